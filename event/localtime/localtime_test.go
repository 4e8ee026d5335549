package localtime

import (
	"testing"
	"time"

	"github.com/wayward-sec/wayward/event/wire"
)

// The remembered offset must not show: any moments, in any order, are what package time says.
func TestAClockShowsWhatPackageTimeSays(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe",
		"Africa/Casablanca", "Pacific/Apia"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		c, days := In(zone), CalendarIn(zone)
		year := int64(365 * DayMS)
		for i := range int64(20_000) {
			ms := (i*7_919_333_777)%(120*year) - 40*year // back and forth, 1930 to 2050
			local := time.UnixMilli(ms).In(zone)
			_, offset := local.Zone()
			if got, want := c.Local(ms), ms+int64(offset)*1000; got != want {
				t.Fatalf("%s at %d: got %d, want %d", name, ms, got, want)
			}
			day := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC)
			monday := day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
			want := Day{Day: day.Unix() / 86_400, Week: wire.FloorDiv(monday.Unix()/86_400+3, 7),
				Month: int64(local.Year())*12 + int64(local.Month()) - 1}
			if got := days.On(ms); got != want {
				t.Fatalf("%s at %d: got %+v, want %+v", name, ms, got, want)
			}
		}
	}
}
