package event

import (
	"math/rand/v2"
	"testing"
)

func TestDurationsAreExact(t *testing.T) {
	for ms, want := range map[int64]string{
		1: "PT0.001S", 57: "PT0.057S", 1001: "PT1.001S", 1100: "PT1.1S", 60_000: "PT1M", 900_000: "PT15M",
		3_600_000: "PT1H", 86_400_000: "P1D", 129_600_000: "P1DT12H",
		93_784_005: "P1DT2H3M4.005S", 366 * 86_400_000: "P366D", 0: "", -5: "",
	} {
		if got := isoDuration(ms); got != want {
			t.Errorf("%d ms: got %s, want %s", ms, got, want)
		}
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 100_000 {
		ms := 1 + rng.Int64N(maxDuration.Milliseconds()>>rng.IntN(30))
		if got, err := parseISODuration(isoDuration(ms)); err != nil || got != ms {
			t.Fatalf("%d ms is written %s and read as %d, %v", ms, isoDuration(ms), got, err)
		}
	}
	for s, want := range map[string]int64{"P1W": 604_800_000, "P1W1D": 691_200_000, "PT90M": 5_400_000,
		"PT36H": 129_600_000, "PT00001.5S": 1500, "PT0.0019S": 1, "P0DT1S": 1000} {
		if got, err := parseISODuration(s); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "P", "PT", "P1", "1D", "P1Y", "P1M", "P-1D", "P+1D", "P1.5D", "PT1.5M", "P1DT",
		"PT1H1D", "PT1S1M", "P1D1W", "PT1H1H", "p1d", "P1D ", "PT.5S", "PT1.S", "PT1,5S", "PT0S", "PT0.0001S",
		"P367D", "PT31622400.001S", "PT9999999999S", "P999999999W", "P١D"} {
		if got, err := parseISODuration(s); err == nil {
			t.Errorf("%q is %d ms", s, got)
		}
	}
}

func FuzzISODuration(f *testing.F) {
	for _, s := range []string{"PT15M", "P1DT2H3M4.005S", "P52W", "PT0.001S", "P", "PT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ms, err := parseISODuration(s)
		if err != nil {
			return
		}
		if ms < 1 || ms > maxDuration.Milliseconds() {
			t.Fatalf("%q is %d ms", s, ms)
		}
		if again, err := parseISODuration(isoDuration(ms)); err != nil || again != ms {
			t.Fatalf("%q is %d ms, written %s, read as %d, %v", s, ms, isoDuration(ms), again, err)
		}
	})
}
