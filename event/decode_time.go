package event

import (
	"math"

	"github.com/wayward-sec/wayward/event/jsonscan"
)

// Bounds of times, in Unix milliseconds.
const (
	firstDate = -62135596800000 // year 0001, for dates that are no event's: an approval may expire then
	lastTime  = 253402300799999 // year 9999

	// Nothing that an agent did is older than the epoch: such a time, and the epoch itself, is the
	// zero of some language that nobody set. Time runs forward, so one such event would be late for
	// ever.
	firstTime = 1
	// A number has no unit, so its size decides. Below 10^11 (as milliseconds, before 3 March
	// 1973) it is epoch seconds, since those stay below it until the year 5138. Microseconds and
	// nanoseconds of any time since 1978 lie above lastTime. What is refused so cannot put an
	// hour's calls into four seconds.
	firstMillis = 100_000_000_000
)

const wantTime = "RFC 3339 or epoch milliseconds"

// time reads a date no earlier than first, as RFC 3339 or epoch milliseconds.
func (d *Decoder) time(p []byte, i int, ms *int64, first int64) int {
	if i < len(p) && p[i] == '"' {
		var s string
		end := d.string(p, i, &s)
		if end < 0 {
			return end
		}
		t, ok := rfc3339(s)
		switch {
		case !ok:
			return d.fail(badTime, i, wantTime)
		case t < first:
			return d.fail(badTime, i, "a time after 1970-01-01T00:00:00Z; is it a zero that nobody set?")
		case t < firstDate || t > lastTime:
			return d.fail(badTime, i, "a year from 1 to 9999")
		}
		*ms = t
		return end
	}
	end, plain := jsonscan.Number(p, i)
	switch {
	case end == -1:
		return d.absent(p, i, wantTime)
	case end == -2:
		return d.fail(notJSON, i, wantTime)
	case !plain: // what time.time() of Python gives
		return d.fail(badTime, i, "a whole number: a fraction looks like epoch seconds; send milliseconds or RFC 3339")
	}
	var t int64
	if d.integer(p, i, &t) < 0 {
		if d.fault.Reason != outOfRange {
			return -1
		}
		t = math.MaxInt64
		if p[i] == '-' {
			t = math.MinInt64
		}
	}
	switch {
	case t < 0:
		return d.fail(badTime, i, "a time after 1970-01-01T00:00:00Z")
	case t == 0:
		return d.fail(badTime, i, "epoch milliseconds; is 0 a zero that nobody set?")
	case t < firstMillis:
		return d.fail(badTime, i, "epoch milliseconds: this looks like epoch seconds; send milliseconds or RFC 3339")
	case t > lastTime*1000:
		return d.fail(badTime, i,
			"epoch milliseconds: this looks like epoch nanoseconds; send milliseconds or RFC 3339")
	case t > lastTime:
		return d.fail(badTime, i,
			"epoch milliseconds: this looks like epoch microseconds; send milliseconds or RFC 3339")
	}
	*ms = t
	return end
}

// rfc3339 reads 2006-01-02T15:04:05.999Z or with ±hh:mm. Leap seconds are refused: Unix time has no
// place for them.
func rfc3339(s string) (ms int64, ok bool) {
	if len(s) < len("2006-01-02T15:04:05Z") || s[4] != '-' || s[7] != '-' || s[10]|0x20 != 't' || s[13] != ':' ||
		s[16] != ':' {
		return 0, false
	}
	var bad int
	year := two(s, 0, &bad)*100 + two(s, 2, &bad)
	month, day := two(s, 5, &bad), two(s, 8, &bad)
	hour, minute, second := two(s, 11, &bad), two(s, 14, &bad), two(s, 17, &bad)
	if bad != 0 || year == 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 ||
		minute > 59 || second > 59 {
		return 0, false
	}
	i := 19
	if s[i] == '.' {
		start := i + 1
		for i = start; i < len(s) && s[i]-'0' <= 9; i++ {
			if i-start < 3 {
				ms = ms*10 + int64(s[i]-'0')
			}
		}
		if i == start {
			return 0, false
		}
		for n := i - start; n < 3; n++ {
			ms *= 10
		}
	}
	zone := 0 // minutes east
	switch {
	case len(s)-i == 1 && s[i]|0x20 == 'z':
	case len(s)-i == 6 && (s[i] == '+' || s[i] == '-') && s[i+3] == ':':
		h, m := two(s, i+1, &bad), two(s, i+4, &bad)
		if bad != 0 || h > 23 || m > 59 {
			return 0, false
		}
		if zone = h*60 + m; s[i] == '-' {
			zone = -zone
		}
	default:
		return 0, false
	}
	// Days since 1970 with years that begin in March, so that the leap day comes last (H. Hinnant,
	// chrono-Compatible Low-Level Date Algorithms).
	y, m := year, month-3
	if m < 0 {
		y, m = y-1, m+12
	}
	days := 365*y + y/4 - y/100 + y/400 + (153*m+2)/5 + day - 1 - 719468
	return int64((days*1440+hour*60+minute-zone)*60+second)*1000 + ms, true
}

// two reads two digits and counts in bad what is none.
func two(s string, i int, bad *int) int {
	a, b := int(s[i])-'0', int(s[i+1])-'0'
	if a|b < 0 || a > 9 || b > 9 {
		*bad++
	}
	return a*10 + b
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}
