package event

import (
	"math"
	"strconv"
	"strings"
)

// Odds writes a probability in words that need no statistics: "1 in 40,000". It has two significant
// figures, since p-values are no more exact. What is no probability is "unknown".
func Odds(p float64) string {
	n := 1 / p
	switch {
	case !(p >= 0 && p <= 1):
		return "unknown"
	case n >= 1e9:
		return "less than 1 in a billion"
	case n < 99.5:
		return "1 in " + strconv.Itoa(int(math.Round(n)))
	default:
		unit := math.Pow(10, math.Floor(math.Log10(n))-1)
		return "1 in " + Thousands(int64(math.Round(math.Round(n/unit)*unit)))
	}
}

// Thousands writes a number with commas: 1,234,567.
func Thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Figure writes an observed or expected number for people and programs: whole from a thousand on,
// else with as many decimals as give four figures, without zeros at the end. What is no number is
// empty.
func Figure(v float64) string { return string(AppendFigure(nil, v)) }

// AppendFigure appends what Figure returns.
func AppendFigure(b []byte, v float64) []byte {
	size := math.Abs(v)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return b
	case size >= 1e15:
		return strconv.AppendFloat(b, v, 'g', 6, 64)
	case size < 1e-6:
		return append(b, '0')
	}
	decimals := 0
	for unit := 1000.0; size < unit && decimals < 9; unit /= 10 {
		decimals++
	}
	start := len(b)
	b = strconv.AppendFloat(b, v, 'f', decimals, 64)
	if decimals > 0 {
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
		if b[len(b)-1] == '.' {
			b = b[:len(b)-1]
		}
	}
	if string(b[start:]) == "-0" {
		return append(b[:start], '0')
	}
	return b
}

// Percent writes a share with two figures: "62 %", "4.2 %", "0.4 %".
func Percent(share float64) string {
	v := share * 100
	switch {
	case !(v >= 0 && v <= 100):
		return "unknown"
	case v != 0 && v < .095:
		return "less than 0.1 %"
	case v < 9.95:
		return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") + " %"
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + " %"
}
