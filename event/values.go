package event

import (
	"math"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/event/jsonscan"
)

// skip checks the value at i, which is inside depth containers, and passes over it.
func (d *Decoder) skip(p []byte, i, depth int) int {
	outer := depth
	var objects uint64 // one bit for each container entered here, the innermost lowest: 1 is an object
	for {
		if i >= len(p) {
			return d.fail(notJSON, i, "a value")
		}
		switch c := p[i]; c {
		case '"':
			end, _, reason := jsonscan.String(p, i+1)
			if reason != "" {
				return d.fail(reason, end, "a string")
			}
			i = end + 1
		case '{', '[':
			if depth == MaxDepth {
				return d.fail(tooDeep, i, "at most 32 levels")
			}
			depth++
			objects <<= 1
			i = jsonscan.Space(p, i+1)
			if c == '{' {
				objects |= 1
				if i < len(p) && p[i] == '}' {
					break // out of the switch: the closing is seen below
				}
				if i = d.unnamed(p, i); i < 0 {
					return i
				}
				continue
			}
			if i < len(p) && p[i] == ']' {
				break
			}
			continue
		case 't', 'f', 'n':
			w := "true"
			if c == 'f' {
				w = "false"
			} else if c == 'n' {
				w = "null"
			}
			if !jsonscan.Literal(p, i, w) {
				return d.fail(notJSON, i, "a value")
			}
			i += len(w)
		default:
			end, _ := jsonscan.Number(p, i)
			if end < 0 {
				return d.fail(notJSON, i, "a value")
			}
			i = end
		}
		for { // behind a value
			if depth == outer {
				return i
			}
			i = jsonscan.Space(p, i)
			if i >= len(p) {
				return d.fail(notJSON, i, "a comma or an end")
			}
			if p[i] == ',' {
				i = jsonscan.Space(p, i+1)
				if objects&1 != 0 {
					if i = d.unnamed(p, i); i < 0 {
						return i
					}
				}
				break
			}
			if p[i] != "]}"[objects&1] {
				return d.fail(notJSON, i, "a comma or an end")
			}
			i++
			depth--
			objects >>= 1
		}
	}
}

// unnamed passes over a field name and its colon.
func (d *Decoder) unnamed(p []byte, i int) int {
	if i >= len(p) || p[i] != '"' {
		return d.fail(notJSON, i, "a field name")
	}
	end, _, reason := jsonscan.String(p, i+1)
	if reason != "" {
		return d.fail(reason, end, "a string")
	}
	i = jsonscan.Space(p, end+1)
	if i >= len(p) || p[i] != ':' {
		return d.fail(notJSON, i, "a colon")
	}
	return jsonscan.Space(p, i+1)
}

func (d *Decoder) string(p []byte, i int, s *string) int {
	if i >= len(p) || p[i] != '"' {
		return d.absent(p, i, "a string")
	}
	end, escaped, reason := jsonscan.String(p, i+1)
	if reason != "" {
		return d.fail(reason, end, "a string")
	}
	b := p[i+1 : end]
	if escaped {
		if len(b) > 6*MaxString { // no escape is longer than six bytes
			return d.fail(tooLong, i, "at most 1024 bytes")
		}
		t := d.text.take(len(b))
		n := len(jsonscan.Unescape(t[:0], b))
		d.text.giveBack(len(b) - n)
		b = t[:n]
	}
	if len(b) > MaxString {
		return d.fail(tooLong, i, "at most 1024 bytes")
	}
	*s = alias(b)
	return end + 1
}

// noLabels is an explicitly empty list of labels, which the catalogue does not add to.
var noLabels = []string{}

func (d *Decoder) strings(p []byte, i int, list *[]string) int {
	if i >= len(p) || p[i] != '[' {
		return d.absent(p, i, "an array of strings")
	}
	i = jsonscan.Space(p, i+1)
	if i < len(p) && p[i] == ']' {
		if *list == nil {
			*list = noLabels
		}
		return i + 1
	}
	all := d.labels.take(MaxLabels)
	n := 0
	for {
		if n == MaxLabels {
			return d.fail(tooLong, i, "at most 32 labels")
		}
		if i < len(p) && p[i] == 'n' {
			return d.fail(wrongType, i, "a string")
		}
		if i = d.string(p, i, &all[n]); i < 0 {
			return i
		}
		all[n] = trim(all[n])
		n++
		i = jsonscan.Space(p, i)
		if i < len(p) && p[i] == ',' {
			i = jsonscan.Space(p, i+1)
			continue
		}
		if i >= len(p) || p[i] != ']' {
			return d.fail(notJSON, i, "a comma or an end")
		}
		d.labels.giveBack(MaxLabels - n)
		if len(*list) > 0 { // of a list that came twice no label may be lost
			*list = append((*list)[:len(*list):len(*list)], all[:n]...)
		} else {
			*list = all[:n:n]
		}
		return i + 1
	}
}

// word reads a string that must be one of words; the first, empty, is never on the wire.
func word[W ~uint8](d *Decoder, p []byte, i int, words []string, w *W) int {
	var s string
	end := d.string(p, i, &s)
	if end < 0 || p[i] == 'n' {
		return end
	}
	if k := Word(words, s); k > 0 {
		*w = W(k)
		return end
	}
	return d.fail(unknownWord, i, "one of "+strings.Join(words[1:], ", "))
}

func (d *Decoder) tenant(p []byte, i int, s *string) int {
	end := d.string(p, i, s)
	if end < 0 || p[i] == 'n' {
		return end
	}
	if len(*s) == 0 || len(*s) > 64 {
		return d.fail(badTenant, i, "1 to 64 bytes")
	}
	for k := 0; k < len(*s); k++ {
		if c := (*s)[k]; c|0x20-'a' > 'z'-'a' && c-'0' > 9 && c != '.' && c != '_' && c != '-' {
			return d.fail(badTenant, i, "only A-Z a-z 0-9 . _ -")
		}
	}
	return end
}

func (d *Decoder) version(p []byte, i int) int {
	var v int64
	var has Has
	end := d.count(p, i, &v, &has, 1)
	if end < 0 && d.fault.Reason == outOfRange || has != 0 && v != 1 {
		d.fault = DecodeError{}
		return d.fail(unknownVersion, i, "version 1")
	}
	return end
}

func (d *Decoder) bool(p []byte, i int, t *Tri) int {
	if jsonscan.Literal(p, i, "true") {
		*t = Yes
		return i + 4
	}
	if jsonscan.Literal(p, i, "false") {
		*t = No
		return i + 5
	}
	return d.absent(p, i, "true or false")
}

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

func (d *Decoder) object(p []byte, i, depth int, raw *[]byte) int {
	if i >= len(p) || p[i] != '{' {
		return d.absent(p, i, "an object")
	}
	return d.any(p, i, depth, raw)
}

// quoted keeps a string as it is written, of any length.
func (d *Decoder) quoted(p []byte, i int, raw *[]byte) int {
	if i >= len(p) || p[i] != '"' {
		return d.absent(p, i, "a string")
	}
	return d.any(p, i, 0, raw)
}

func (d *Decoder) any(p []byte, i, depth int, raw *[]byte) int {
	end := d.skip(p, i, depth)
	if end >= 0 && p[i] != 'n' {
		*raw = p[i:end:end]
	}
	return end
}

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
