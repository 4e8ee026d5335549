package event

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/wayward-sec/wayward/event/jsonscan"
)

// Canonical writes JSON in the one form of RFC 8785 (JCS): keys in order, no white space, numbers
// and strings as ECMAScript writes them. Two texts that say the same have the same form, so a
// digest of it does not change with the order of keys. The zero value is ready; it belongs to one
// goroutine and allocates nothing once its buffers have grown.
//
// What JCS leaves to the reader is refused, since two readers could take it for two things: a name
// that occurs twice in an object, and a number that a double cannot hold (of two account numbers
// beyond 2^53 that differ in the last digit, JCS makes one). Half a surrogate, which JCS refuses,
// is kept as its escape: an agent chooses texts, and must not be able to choose that there is no
// form.
type Canonical struct {
	out     []byte
	spare   []byte
	members []canonicalMember
}

// canonicalMember is a member of an object that is being written: its name and all of it in out.
type canonicalMember struct{ name, nameEnd, from, to int }

// Form returns the canonical form of a JSON value, which lives until the next call; false if it has
// none. It reads at most MaxDepth levels, and looks at each byte once for each level it lies in.
func (c *Canonical) Form(p []byte) ([]byte, bool) {
	c.out, c.members = c.out[:0], c.members[:0]
	i := c.value(p, jsonscan.Space(p, 0), 0)
	if i < 0 || jsonscan.Space(p, i) != len(p) {
		return nil, false
	}
	return c.out, true
}

// value writes the value at i and returns the place behind it, or -1.
func (c *Canonical) value(p []byte, i, depth int) int {
	if i >= len(p) {
		return -1
	}
	switch p[i] {
	case '{':
		if depth >= MaxDepth {
			return -1
		}
		return c.object(p, i+1, depth+1)
	case '[':
		if depth >= MaxDepth {
			return -1
		}
		return c.list(p, i+1, depth+1)
	case '"':
		return c.string(p, i)
	case 't', 'f', 'n':
		for _, w := range [...]string{"true", "false", "null"} {
			if jsonscan.Literal(p, i, w) {
				c.out = append(c.out, w...)
				return i + len(w)
			}
		}
		return -1
	}
	end, _ := jsonscan.Number(p, i)
	if end < 0 || !c.number(p[i:end]) {
		return -1
	}
	return end
}

func (c *Canonical) list(p []byte, i, depth int) int {
	c.out = append(c.out, '[')
	if i = jsonscan.Space(p, i); i < len(p) && p[i] == ']' {
		c.out = append(c.out, ']')
		return i + 1
	}
	for {
		if i = c.value(p, jsonscan.Space(p, i), depth); i < 0 {
			return -1
		}
		if i = jsonscan.Space(p, i); i >= len(p) {
			return -1
		}
		switch p[i] {
		case ']':
			c.out = append(c.out, ']')
			return i + 1
		case ',':
			c.out = append(c.out, ',')
			i++
		default:
			return -1
		}
	}
}

// object writes members as they come, then puts them in order if they are not.
func (c *Canonical) object(p []byte, i, depth int) int {
	first, start := len(c.members), len(c.out)+1
	c.out = append(c.out, '{')
	sorted := true
	for more := jsonscan.Space(p, i) >= len(p) || p[jsonscan.Space(p, i)] != '}'; more; {
		if i = jsonscan.Space(p, i); i >= len(p) || p[i] != '"' {
			return -1
		}
		m := canonicalMember{from: len(c.out), name: len(c.out) + 1}
		if i = c.string(p, i); i < 0 {
			return -1
		}
		m.nameEnd = len(c.out) - 1
		if i = jsonscan.Space(p, i); i >= len(p) || p[i] != ':' {
			return -1
		}
		c.out = append(c.out, ':')
		if i = c.value(p, jsonscan.Space(p, i+1), depth); i < 0 {
			return -1
		}
		m.to = len(c.out)
		if n := len(c.members); n > first {
			sorted = sorted && c.compare(c.members[n-1], m) < 0
		}
		c.members = append(c.members, m)
		if i = jsonscan.Space(p, i); i >= len(p) {
			return -1
		}
		switch p[i] {
		case '}':
			more = false
		case ',':
			c.out = append(c.out, ',')
			i++
		default:
			return -1
		}
	}
	i = jsonscan.Space(p, i) + 1
	if !sorted && !c.sort(first, start) {
		return -1
	}
	c.members = c.members[:first]
	c.out = append(c.out, '}')
	return i
}

// sort puts the members of the object that out ends with in order; false if two have one name.
func (c *Canonical) sort(first, start int) bool {
	own := c.members[first:]
	slices.SortFunc(own, c.compare)
	for k := 1; k < len(own); k++ {
		if c.compare(own[k-1], own[k]) == 0 {
			return false
		}
	}
	c.spare = append(c.spare[:0], c.out[start:]...)
	c.out = c.out[:start]
	for k, m := range own {
		if k > 0 {
			c.out = append(c.out, ',')
		}
		c.out = append(c.out, c.spare[m.from-start:m.to-start]...)
	}
	return true
}

// compare orders two members by their names as UTF-16 (RFC 8785 §3.2.3).
func (c *Canonical) compare(a, b canonicalMember) int {
	x, y := c.out[a.name:a.nameEnd], c.out[b.name:b.nameEnd]
	n := 0 // as far as both are the same bytes, they are the same text
	for n < len(x) && n < len(y) && x[n] == y[n] && x[n] < 0x80 && x[n] != '\\' {
		n++
	}
	for x, y = x[n:], y[n:]; len(x) > 0 && len(y) > 0; {
		u, ux := unitsOf(x)
		v, vy := unitsOf(y)
		if u != v {
			if u < v {
				return -1
			}
			return 1
		}
		x, y = x[ux:], y[vy:]
	}
	return len(x) - len(y)
}

// unitsOf returns the next character of a canonical string as one or two units of UTF-16, the first
// of them in the upper half, and its length in bytes.
func unitsOf(p []byte) (units uint32, n int) {
	if p[0] == '\\' {
		switch p[1] {
		case 'b':
			return '\b' << 16, 2
		case 'f':
			return '\f' << 16, 2
		case 'n':
			return '\n' << 16, 2
		case 'r':
			return '\r' << 16, 2
		case 't':
			return '\t' << 16, 2
		case 'u':
			return uint32(jsonscan.Hex4(p, 2)) << 16, 6
		}
		return uint32(p[1]) << 16, 2
	}
	r, n := utf8.DecodeRune(p)
	if r == utf8.RuneError && n == 1 { // not UTF-8, and kept as it is: behind every character
		return 0xffff<<16 | uint32(p[0]), 1
	}
	if r >= 0x10000 {
		r -= 0x10000
		return uint32(0xd800+r>>10)<<16 | uint32(0xdc00+r&0x3ff), n
	}
	return uint32(r) << 16, n
}

const lowerHex = "0123456789abcdef"

// string writes the string whose quote is at i and returns the place behind it, or -1.
func (c *Canonical) string(p []byte, i int) int {
	c.out = append(c.out, '"')
	for i++; ; {
		k := i
		for k < len(p) && p[k] != '"' && p[k] != '\\' && p[k] >= ' ' {
			k++
		}
		if k >= len(p) || p[k] < ' ' {
			return -1
		}
		c.out = append(c.out, p[i:k]...)
		if p[k] == '"' {
			c.out = append(c.out, '"')
			return k + 1
		}
		if i = k + 2; i > len(p) {
			return -1
		}
		switch e := p[k+1]; e {
		case '"', '\\', 'b', 'f', 'n', 'r', 't':
			c.out = append(c.out, '\\', e)
		case '/':
			c.out = append(c.out, '/')
		case 'u':
			r := jsonscan.Hex4(p, i)
			if i += 4; r < 0 {
				return -1
			}
			if r&0xfc00 == 0xd800 && len(p) > i+1 && p[i] == '\\' && p[i+1] == 'u' {
				if low := jsonscan.Hex4(p, i+2); low&^0x3ff == 0xdc00 {
					r = 0x10000 + (r-0xd800)<<10 + low - 0xdc00
					i += 6
				}
			}
			c.rune(r)
		default:
			return -1
		}
	}
}

// rune writes a character that was written as an escape.
func (c *Canonical) rune(r rune) {
	switch {
	case r == '"' || r == '\\':
		c.out = append(c.out, '\\', byte(r))
	case r < ' ' || r&^0x7ff == 0xd800:
		if k := bytes.IndexByte([]byte("\b\f\n\r\t"), byte(r)); k >= 0 && r < ' ' {
			c.out = append(c.out, '\\', "bfnrt"[k])
			return
		}
		c.out = append(c.out, '\\', 'u', lowerHex[r>>12&15], lowerHex[r>>8&15], lowerHex[r>>4&15], lowerHex[r&15])
	default:
		c.out = utf8.AppendRune(c.out, r)
	}
}

// number writes a number as ECMAScript does (RFC 8785 §3.2.2.3); false if a double cannot hold it.
func (c *Canonical) number(p []byte) bool {
	f, err := strconv.ParseFloat(alias(p), 64)
	if err != nil || math.IsInf(f, 0) || !held(p, f) {
		return false
	}
	switch a := math.Abs(f); {
	case f == 0:
		c.out = append(c.out, '0') // -0 too
	case a >= 1e-6 && a < 1e21:
		c.out = strconv.AppendFloat(c.out, f, 'f', -1, 64)
	default:
		start := len(c.out)
		c.out = strconv.AppendFloat(c.out, f, 'e', -1, 64)
		// Go writes two digits of an exponent at least, ECMAScript as few as there are.
		if k := len(c.out) - 2; c.out[k] == '0' && k > start && (c.out[k-1] == '-' || c.out[k-1] == '+') {
			c.out = append(c.out[:k], c.out[k+1])
		}
	}
	return true
}

// held reports whether the double is the number that the digits write. Up to 15 digits it always
// is; more must be the digits with which the double itself is written.
func held(p []byte, f float64) bool {
	var buf [64]byte
	digits, zeros := buf[:0], 0
	for _, b := range p {
		if b|0x20 == 'e' {
			break
		}
		switch {
		case b == '-', b == '.', b == '0' && len(digits) == 0:
		case b == '0':
			zeros++
		case len(digits)+zeros >= 17:
			return false
		default:
			for ; zeros > 0; zeros-- {
				digits = append(digits, '0')
			}
			digits = append(digits, b)
		}
	}
	if len(digits) <= 15 {
		return f != 0 || len(digits) == 0
	}
	var own [32]byte
	n := 0
	for _, b := range strconv.AppendFloat(own[:0], math.Abs(f), 'e', -1, 64) { // d.ddde±dd
		if b == 'e' {
			break
		}
		if b != '.' {
			own[n] = b
			n++
		}
	}
	return bytes.Equal(own[:n], digits)
}
