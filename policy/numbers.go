package policy

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/wayward-sec/wayward/event"
)

// Numbers and durations as people write them. The parsers return what is wrong with a text, or "".

// parseWhole reads a count in plain digits.
func parseWhole(s string) (n int64, what string) {
	if what := numeral(s, false); what != "" {
		return 0, what
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, s + " is too large; the most is " + strconv.FormatInt(math.MaxInt64, 10)
	}
	return n, ""
}

// parseMicro reads a decimal into millionths, exactly.
func parseMicro(s string) (micro int64, what string) {
	if what := numeral(s, true); what != "" {
		return 0, what
	}
	whole, frac, _ := strings.Cut(s, ".")
	frac = strings.TrimRight(frac, "0")
	if len(frac) > 6 {
		return 0, s + " has more than six decimals; round it"
	}
	micro, err := strconv.ParseInt(whole+frac+strings.Repeat("0", 6-len(frac)), 10, 64)
	if err != nil {
		return 0, s + " is too large; the most is " + formatMicro(math.MaxInt64)
	}
	return micro, ""
}

// numeral says what is wrong with a number, or nothing.
func numeral(s string, decimal bool) string {
	want := "write whole digits, such as 1000"
	if decimal {
		want = `write units and decimals, such as "5000.00"`
	}
	if s == "" {
		return "a limit needs a max; " + want
	}
	digits, dots := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			digits++
		case c == '.' && decimal && dots == 0 && digits > 0 && i+1 < len(s):
			dots++
		case c == '-' && i == 0:
			return event.Quote(s) + " is negative; " + want + " (0 allows none at all)"
		default:
			return event.Quote(s) + " is no number that can be used here; " + want
		}
	}
	return ""
}

func formatMicro(micro int64) string {
	s := strconv.FormatInt(micro/1e6, 10)
	if frac := micro % 1e6; frac != 0 {
		s += "." + strings.TrimRight(strconv.FormatInt(1e6+frac, 10)[1:], "0")
	}
	return s
}

// Windows of limits. State is kept for the longest.
const (
	minWindow = time.Second
	maxWindow = 31 * 24 * time.Hour
)

// parseWindow reads a Go duration, with days before it: 90s, 10m, 1h30m, 1d, 1d12h.
func parseWindow(s string) (d time.Duration, what string) {
	const want = "write a number and a unit, such as 90s, 10m, 1h or 1d"
	rest := s
	if days, after, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, event.Quote(s) + " is no duration; " + want
		}
		d, rest = time.Duration(n)*24*time.Hour, after
	}
	if rest != "" {
		r, err := time.ParseDuration(rest)
		switch {
		case err != nil && strings.Trim(rest, "0123456789.") == "":
			return 0, event.Quote(s) + " has no unit; " + want
		case err != nil:
			return 0, event.Quote(s) + " is no duration; " + want
		case d > 0 && r < 0:
			return 0, event.Quote(s) + " is no duration; " + want
		}
		if d += min(r, maxWindow+time.Second); r < 0 {
			d = r
		}
	}
	switch {
	case d < minWindow:
		return 0, event.Quote(s) + " is too short; windows are 1s to 31d"
	case d > maxWindow:
		return 0, event.Quote(s) + " is too long; windows are 1s to 31d"
	case d%time.Millisecond != 0:
		return 0, event.Quote(s) + " is finer than a millisecond; event time is not"
	}
	return d, ""
}

// FormatSpan writes what parseWindow reads, in its largest units.
func FormatSpan(ms int64) string {
	s := ""
	for _, u := range []struct {
		name string
		ms   int64
	}{{"d", 86400e3}, {"h", 3600e3}, {"m", 60e3}, {"s", 1e3}, {"ms", 1}} {
		if n := ms / u.ms; n > 0 {
			s += strconv.FormatInt(n, 10) + u.name
			ms -= n * u.ms
		}
	}
	return s
}
