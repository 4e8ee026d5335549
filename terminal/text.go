package terminal

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wayward-sec/wayward/event"
)

// Visible is at most so many characters of a text that nobody vouches for: what is no visible
// character is written as an escape, since a terminal obeys what it is sent.
func Visible(s string, most int) string {
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most-1]) + "…"
	}
	q := strconv.QuoteToGraphic(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// OneLine is a line of ours that holds texts of events, with newlines and all else that is not
// shown as escapes: no text of an event begins a line that looks like one of ours. Backslashes
// stay, unlike those of Visible.
func OneLine(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || r == utf8.RuneError }) < 0 {
		return s
	}
	var b []byte
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = appendEscaped(b, rune(s[i]))
		case !unicode.IsGraphic(r):
			b = appendEscaped(b, r)
		default:
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	return string(b)
}

// Dash is a text for a column of a table that must not be empty.
func Dash(s string) string { return cmp.Or(Visible(s, 60), "-") }

// UTC is a time for people, in UTC, since they compare them across machines.
func UTC(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05") }

// Short is a duration without what is too small to matter.
func Short(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	s := d.Round(time.Second).String()
	if rest, ok := strings.CutSuffix(s, "m0s"); ok {
		s = rest + "m"
	}
	if rest, ok := strings.CutSuffix(s, "h0m"); ok {
		s = rest + "h"
	}
	return s
}

// Plural counts things: 1 event, 2,000 events.
func Plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return event.Thousands(n) + " " + what + "s"
}

// Rough is a number in three figures: more would claim what nobody knows.
func Rough(v float64) string { return event.Figure(ThreeFigures(v)) }

// ThreeFigures is a number without what comes behind its first three figures.
func ThreeFigures(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return v
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-2)
	return math.Round(v/unit) * unit
}
