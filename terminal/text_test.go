package terminal

import (
	"testing"
	"time"
)

func TestDurationsForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 1500 * time.Microsecond: "2ms",
		1234 * time.Millisecond: "1.2s", 10 * time.Second: "10s", time.Minute: "1m", 90 * time.Second: "1m30s",
		10 * time.Minute: "10m", time.Hour: "1h", 80 * time.Minute: "1h20m", 10 * time.Hour: "10h",
		36*time.Hour + time.Second: "36h0m1s", 72 * time.Hour: "3d"} {
		if got := Short(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}
