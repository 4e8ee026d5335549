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

func TestTheWeekBeginsOnMonday(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1970-01-01 00:00:00": 3 * 24 * time.Hour,
		"1969-12-29 00:00:00": 0,
		"1969-12-28 23:59:59": 7*24*time.Hour - time.Second,
		"2026-11-20 14:33:04": 4*24*time.Hour + 14*time.Hour + 33*time.Minute + 4*time.Second,
	} {
		at, err := time.Parse(time.DateTime, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := time.Duration(SinceMonday(at.UnixMilli())) * time.Millisecond; got != want {
			t.Errorf("%s lies %v behind Monday, want %v", text, got, want)
		}
	}
}
