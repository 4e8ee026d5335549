package policy

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/localtime"
)

// Hours are the minutes of a week in which a persona works, by the wall clock of its zone. When the
// clock is put back, the repeated hour counts twice; a skipped hour does not occur.
type Hours struct {
	minutes [7*minutesADay/64 + 1]uint64 // a bit each, from Monday 00:00
	text    string
}

const minutesADay = 24 * 60

var weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// String is the hours as they are written: mon tue wed thu fri 08:00-18:00.
func (h *Hours) String() string { return h.text }

type hoursDef struct {
	Days []string `json:"days,omitempty"`
	From string   `json:"from"`
	To   string   `json:"to"`
}

// compileHours makes one table of all spans; nil if there are none. A span that ends before it
// begins goes on into the next day, which need not be listed.
func compileHours(bad report, defs []hoursDef) *Hours {
	if len(defs) == 0 {
		return nil
	}
	h := &Hours{}
	var texts []string
	for i, d := range defs {
		path := at("hours", i)
		from, ok1 := minuteOf(d.From)
		to, ok2 := minuteOf(d.To)
		if !ok1 || from == minutesADay {
			bad(path+".from", `%s is no time of day; write "08:00", in quotes, 00:00 to 23:59`, event.Quote(d.From))
		}
		if !ok2 {
			bad(path+".to", `%s is no time of day; write "18:00", in quotes, 00:00 to 24:00`, event.Quote(d.To))
		}
		if ok1 && ok2 && from == to {
			bad(path,
				`from and to are both %s, so these hours never begin; write from: "00:00" and to: "24:00" for the whole day`,
				d.From)
		}
		days := d.Days
		if len(days) == 0 {
			days = weekdays
		}
		length := to - from
		if length < 0 {
			length += minutesADay
		}
		for j, word := range days {
			day := slices.Index(weekdays, word)
			if day < 0 {
				bad(at(path+".days", j), "unknown day %s; %s", event.Quote(word), didYouMean(word, weekdays))
				continue
			}
			for m := range length {
				minute := (day*minutesADay + from + m) % (7 * minutesADay)
				h.minutes[minute/64] |= 1 << (minute % 64)
			}
		}
		texts = append(texts, strings.Join(days, " ")+" "+d.From+"-"+d.To)
	}
	h.text = strings.Join(texts, ", ")
	return h
}

// minuteOf reads a time of day, 00:00 to 24:00.
func minuteOf(s string) (minute int, ok bool) {
	if len(s) != 5 || s[2] != ':' {
		return 0, false
	}
	h, err1 := strconv.ParseUint(s[:2], 10, 8)
	m, err2 := strconv.ParseUint(s[3:], 10, 8)
	minute = int(h*60 + m)
	return minute, err1 == nil && err2 == nil && m < 60 && minute <= minutesADay
}

// Within reports whether a local time lies in the hours.
func (h *Hours) Within(local int64) bool {
	minute := localtime.SinceMonday(local) / 60_000
	return h.minutes[minute/64]&(1<<(minute%64)) != 0
}

// sayLocal writes a local time: Sat 23:10 Europe/Berlin.
func sayLocal(local int64, zone *time.Location) string {
	return time.UnixMilli(local).UTC().Format("Mon 15:04 ") + zone.String()
}
