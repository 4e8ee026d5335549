// Package jsonscan reads JSON where it lies: offsets in, offsets out, nothing allocated. It knows
// the grammar and no meaning: which fields there are, how deep they may nest and what a fault is
// called is the caller's. Three parts: the tokens of valid JSON (scan.go), members and elements of a
// value that was checked before (walk.go), and repair of what is broken (broken.go).
// Begin reading at String.
package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Reasons why a string is none, as package event names them in its dead letters.
const (
	NotJSON = "not_json"
	BadUTF8 = "bad_utf8" // also half a pair of surrogates
)

// Space returns the offset of the first byte at or after i that is no white space.
func Space(p []byte, i int) int {
	for i < len(p) && (p[i] == ' ' || p[i] == '\n' || p[i] == '\r' || p[i] == '\t') {
		i++
	}
	return i
}

// Literal reports whether the word w (true, false, null) is the value at i.
func Literal(p []byte, i int, w string) bool {
	return len(p)-i >= len(w) && string(p[i:i+len(w)]) == w && Ends(p, i+len(w))
}

// Ends reports whether a number or literal may end before i: what goes on there (nullx, 00) is one
// value that is misspelt, not two.
func Ends(p []byte, i int) bool {
	if i >= len(p) {
		return true
	}
	c := p[i]
	return c <= ' ' || c == ',' || c == '}' || c == ']'
}

// Number returns the offset behind the number at i and whether it has neither fraction nor
// exponent; -1 if no number begins there, -2 if one breaks off or is misspelt.
func Number(p []byte, i int) (end int, plain bool) {
	if end, plain = digits(p, i); end >= 0 && !Ends(p, end) {
		return -2, false
	}
	return end, plain
}

func digits(p []byte, i int) (end int, plain bool) {
	if i >= len(p) {
		return -1, false
	}
	if p[i] == '-' {
		if i++; i >= len(p) || p[i]-'0' > 9 {
			return -2, false
		}
	} else if p[i]-'0' > 9 {
		return -1, false
	}
	if p[i] == '0' {
		i++
	} else {
		for i < len(p) && p[i]-'0' <= 9 {
			i++
		}
	}
	if i >= len(p) || p[i] != '.' && p[i]|0x20 != 'e' {
		return i, true
	}
	if p[i] == '.' {
		start := i + 1
		for i = start; i < len(p) && p[i]-'0' <= 9; i++ {
		}
		if i == start {
			return -2, false
		}
	}
	if i < len(p) && p[i]|0x20 == 'e' {
		if i++; i < len(p) && (p[i] == '+' || p[i] == '-') {
			i++
		}
		start := i
		for i < len(p) && p[i]-'0' <= 9 {
			i++
		}
		if i == start {
			return -2, false
		}
	}
	return i, false
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// stops marks with its high bit each byte of w at which a string cannot simply go on: quotes,
// backslashes and control characters. The lowest mark is exact; above it a borrow may mark more (M.
// Mycroft's test for a zero byte, Hacker's Delight 6-1).
func stops(w uint64) uint64 {
	quote := w ^ ones*'"'
	slash := w ^ ones*'\\'
	return ((w - ones*' ') | (quote - ones) | (slash - ones)) &^ w & highs
}

// String checks the string whose text begins at i and returns the offset of its closing quote and
// whether it holds escapes; or the reason why it is none and where.
func String(p []byte, i int) (end int, escaped bool, reason string) {
	// marks bytes outside ASCII, and a few behind the end of the string, which costs a check too
	// many at worst
	var high uint64
	for k := i; k+8 <= len(p); k += 8 {
		w := binary.LittleEndian.Uint64(p[k:])
		high |= w
		if m := stops(w); m != 0 {
			n := bits.TrailingZeros64(m)
			k += n >> 3
			if byte(w>>((n-7)&63)) != '"' || high&highs != 0 {
				break
			}
			return k, false, ""
		}
	}
	return stringSlow(p, i)
}

// stringSlow is String for strings that hold escapes or more than ASCII, or stand in the last bytes
// of the record.
func stringSlow(p []byte, i int) (end int, escaped bool, reason string) {
	start := i
	ascii := true
	for {
		for i+8 <= len(p) {
			w := binary.LittleEndian.Uint64(p[i:])
			if stops(w) != 0 {
				break
			}
			ascii = ascii && w&highs == 0
			i += 8
		}
		for ; ; i++ {
			if i >= len(p) {
				return i, false, NotJSON
			}
			c := p[i]
			if c < ' ' || c == '"' || c == '\\' {
				break
			}
			ascii = ascii && c < 0x80
		}
		switch p[i] {
		case '"':
			if !ascii && !utf8.Valid(p[start:i]) {
				return start, false, BadUTF8
			}
			return i, escaped, ""
		case '\\':
			escaped = true
			n, reason := Escape(p[i:])
			if reason != "" {
				return i, false, reason
			}
			i += n
		default:
			return i, false, NotJSON
		}
	}
}

// Escape returns the length of the escape at the start of p; a pair of surrogates is one. Half a
// pair is no character: readers replace it each in their way, so it is refused.
func Escape(p []byte) (n int, reason string) {
	if len(p) < 2 {
		return 0, NotJSON
	}
	switch p[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, ""
	case 'u':
	default:
		return 0, NotJSON
	}
	r := Hex4(p, 2)
	switch {
	case r < 0:
		return 0, NotJSON
	case r&0xf800 != 0xd800:
		return 6, ""
	case r >= 0xdc00 || len(p) >= 8 && (p[6] != '\\' || p[7] != 'u'):
		return 0, BadUTF8
	}
	low := Hex4(p, 8)
	switch {
	case low < 0:
		return 0, NotJSON
	case low&0xfc00 != 0xdc00:
		return 0, BadUTF8
	}
	return 12, ""
}

// Hex4 reads four hexadecimal digits, or returns -1.
func Hex4(p []byte, i int) rune {
	if len(p) < i+4 {
		return -1
	}
	var r rune
	for _, c := range p[i : i+4] {
		switch {
		case c-'0' <= 9:
			r = r<<4 | rune(c-'0')
		case c|0x20-'a' <= 5:
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return r
}

// Unescape appends the text of a string that String has passed.
func Unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '\\' {
			dst = append(dst, c)
			continue
		}
		i++
		switch c = raw[i]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := Hex4(raw, i+1)
			i += 4
			if r&0xf800 == 0xd800 {
				r = 0x10000 + (r-0xd800)<<10 + Hex4(raw, i+3) - 0xdc00
				i += 6
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// Unquote appends the text of a JSON string, given as it is written with its quotes; false, with
// dst as it was, if it is none.
func Unquote(dst, raw []byte) ([]byte, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return dst, false
	}
	end, escaped, reason := String(raw, 1)
	switch {
	case reason != "" || end != len(raw)-1:
		return dst, false
	case escaped:
		return Unescape(dst, raw[1:end]), true
	}
	return append(dst, raw[1:end]...), true
}

// EndOfString returns the offset of the quote that closes the JSON string whose text begins at i,
// and whether the text holds escapes; -1 if it is no string.
func EndOfString(p []byte, i int) (end int, escaped bool) {
	end, escaped, reason := String(p, i)
	if reason != "" {
		return -1, false
	}
	return end, escaped
}
