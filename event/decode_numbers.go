package event

import (
	"math"
	"strconv"

	"github.com/wayward-sec/wayward/event/jsonscan"
)

// count reads an integer that cannot be negative.
func (d *Decoder) count(p []byte, i int, n *int64, has *Has, flag Has) int {
	v := *n
	end := d.integer(p, i, &v)
	if end < 0 || p[i] == 'n' {
		return end
	}
	if v < 0 {
		return d.fail(outOfRange, i, "an integer of at least 0")
	}
	*n = max(*n, v) // of two values the larger counts
	*has |= flag
	return end
}

func (d *Decoder) integer(p []byte, i int, n *int64) int {
	start := i
	if i < len(p) && p[i] == '-' {
		start++
	}
	end := start
	var v uint64 // wraps beyond 19 digits, which are refused by their number
	for end < len(p) && p[end]-'0' <= 9 {
		v = v*10 + uint64(p[end]-'0')
		end++
	}
	if end == start || p[start] == '0' && end > start+1 || end < len(p) && (p[end] == '.' || p[end]|0x20 == 'e') {
		switch end, plain := jsonscan.Number(p, i); {
		case end == -1:
			return d.absent(p, i, "an integer")
		case end == -2 || plain: // plain: a leading zero
			return d.fail(notJSON, i, "an integer")
		}
		return d.fail(wrongType, i, "an integer without fraction or exponent")
	}
	switch {
	case !jsonscan.Ends(p, end):
		return d.fail(notJSON, i, "an integer")
	case end-start > 19 || v > 1<<63 || v == 1<<63 && start == i:
		return d.fail(outOfRange, i, "a 64-bit integer")
	case start == i:
		*n = int64(v)
	default:
		*n = -int64(v)
	}
	return end
}

var tens = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// float reads a number that is finite and not negative.
func (d *Decoder) float(p []byte, i int, f *float64, has *Has, flag Has) int {
	end, _ := jsonscan.Number(p, i)
	if end < 0 {
		if end == -1 {
			return d.absent(p, i, "a number")
		}
		return d.fail(notJSON, i, "a number")
	}
	// Up to 15 digits are exact in a float64, and so is the power of ten below them: one division
	// then rounds once, to the value that strconv finds by its longer way (Clinger, How to Read
	// Floating Point Numbers Accurately, 1990).
	if end-i <= 15 {
		var v uint64
		point := end - 1
		k := i
		for ; k < end; k++ {
			if c := p[k] - '0'; c <= 9 {
				v = v*10 + uint64(c)
			} else if p[k] == '.' {
				point = k
			} else {
				break // a sign or an exponent
			}
		}
		if k == end {
			*f = float64(v) / tens[end-1-point]
			*has |= flag
			return end
		}
	}
	v, err := strconv.ParseFloat(alias(p[i:end]), 64)
	if err != nil || v < 0 {
		return d.fail(outOfRange, i, "a finite number of at least 0")
	}
	*f = math.Abs(v) // -0 is 0
	*has |= flag
	return end
}

// money reads a decimal, as a string or a plain number, into millionths. Floats are never involved,
// so that sums are exact.
func (d *Decoder) money(p []byte, i int, micro *int64, has *Has, flag Has) int {
	var end, last int
	var reason string
	if i < len(p) && p[i] == '"' {
		var s string
		if end = d.string(p, i, &s); end < 0 {
			return end
		}
		*micro, last, reason = decimal(s)
		if last != len(s) {
			reason = wrongType
		}
	} else {
		if end, _ = jsonscan.Number(p, i); end == -1 {
			return d.absent(p, i, "a decimal string")
		} else if end < 0 {
			return d.fail(notJSON, i, "a decimal")
		}
		*micro, last, reason = decimal(alias(p[i:end]))
		if i+last != end {
			reason = wrongType
		}
	}
	switch reason {
	case "":
		*has |= flag
		return end
	case wrongType:
		return d.fail(wrongType, i, "a decimal such as 12.50, without exponent")
	}
	return d.fail(reason, i, "a decimal of at most six places within 64 bits of millionths")
}

// decimal reads -?digits(.digits)? with JSON's rule against leading zeros; end is where it stopped,
// -1 if there is no decimal.
func decimal(s string) (micro int64, end int, reason string) {
	i := 0
	negative := s != "" && s[0] == '-'
	if negative {
		i = 1
	}
	start := i
	places := -1 // behind the point; -1: no point yet
	var v uint64
	for ; i < len(s); i++ {
		c := s[i]
		if c == '.' && places < 0 && i > start {
			places = 0
			continue
		}
		if c -= '0'; c > 9 {
			break
		}
		if places < 0 && i == start+1 && s[start] == '0' {
			return 0, -1, wrongType
		}
		if places >= 6 {
			if c != 0 {
				reason = outOfRange
			}
			continue
		}
		if places >= 0 {
			places++
		}
		if v > (1<<63)/10 { // then a further digit goes beyond what a sign allows
			reason = outOfRange
			continue
		}
		v = v*10 + uint64(c)
	}
	if i == start || s[i-1] == '.' {
		return 0, -1, wrongType
	}
	for places = max(places, 0); places < 6; places++ {
		if v > (1<<63)/10 {
			reason = outOfRange
			break
		}
		v *= 10
	}
	switch {
	case reason != "":
		return 0, i, reason
	case negative && v <= 1<<63:
		return -int64(v), i, ""
	case !negative && v <= math.MaxInt64:
		return int64(v), i, ""
	}
	return 0, i, outOfRange
}
