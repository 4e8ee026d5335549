// Package localtime tells what the clocks and calendars of a time zone show. It must never know the
// wall clock: every moment is given to it. Begin reading at Clock.
package localtime

import (
	"math"
	"time"

	"github.com/wayward-sec/wayward/event/wire"
)

// DayMS is a day of 24 hours in milliseconds.
const DayMS = 86_400_000

// Clock shows the local time of a zone. It remembers from when to when the last offset from UTC
// holds, which spares the search for it; so it belongs to one goroutine.
type Clock struct {
	zone     *time.Location
	from, to int64 // Unix milliseconds
	offset   int64 // ms east of UTC
}

// In returns the clock of a zone.
func In(zone *time.Location) *Clock { return &Clock{zone: zone} }

// Zone returns the zone of the clock.
func (c *Clock) Zone() *time.Location { return c.zone }

// Local returns a moment as the zone's clocks show it, in milliseconds since Thursday, 1 January
// 1970, 00:00 there.
func (c *Clock) Local(ms int64) int64 {
	if ms < c.from || ms >= c.to {
		t := time.UnixMilli(ms).In(c.zone)
		_, offset := t.Zone()
		start, end := t.ZoneBounds()
		c.from, c.to, c.offset = math.MinInt64, math.MaxInt64, int64(offset)*1000
		if !start.IsZero() {
			c.from = start.UnixMilli()
		}
		if !end.IsZero() {
			c.to = end.UnixMilli()
		}
	}
	return ms + c.offset
}

const weekMS = 7 * DayMS

// SinceMonday is how many milliseconds of its week a local moment, as Clock.Local returns it, lies
// behind Monday 00:00. A week on the clocks always has 7 days of 24 hours.
func SinceMonday(local int64) int64 {
	ms := (local + 3*DayMS) % weekMS // 1 January 1970 was a Thursday
	if ms < 0 {
		ms += weekMS
	}
	return ms
}

// Calendar numbers the days of a zone. It remembers the last day, so it belongs to one goroutine.
type Calendar struct {
	Clock
	start int64 // of the day, in local time
	day   Day
}

// Day is a day of a zone's calendar, counted three ways.
type Day struct {
	Day   int64 // since 1970-01-01
	Week  int64 // from Monday to Monday
	Month int64 // since the year 0
}

// CalendarIn returns the calendar of a zone.
func CalendarIn(zone *time.Location) *Calendar {
	return &Calendar{Clock: Clock{zone: zone}, start: math.MinInt64}
}

// On returns the day of a moment. A day is as long as the zone's daylight saving makes it.
func (c *Calendar) On(ms int64) Day {
	local := c.Local(ms)
	if since := uint64(local) - uint64(c.start); since >= DayMS {
		t := time.UnixMilli(local).UTC() // whose date is the local one
		day := wire.FloorDiv(local, DayMS)
		c.start = day * DayMS
		c.day = Day{Day: day, Week: wire.FloorDiv(day+3, 7), Month: int64(t.Year())*12 + int64(t.Month()) - 1}
	}
	return c.day
}
