package sinks

import (
	"math"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/wayward-sec/wayward/event"
)

// object appends JSON by hand: the order of fields is the order of calls, which makes the bytes the
// same in every run. Names and words are ours and need no escaping; texts come from events.
type object struct {
	b    []byte
	cut  bool // a text was too long
	more bool // something stands before in this object or array
}

// sep writes a comma before all members but the first. (Looking at the last byte instead would wait
// for it to be stored, a quarter of the time.)
func (o *object) sep() {
	if o.more {
		o.b = append(o.b, ',')
	}
	o.more = true
}

func (o *object) name(name string) {
	if o.more {
		o.b = append(o.b, ',', '"')
	} else {
		o.b = append(o.b, '"')
	}
	o.more = true
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

// fixed appends fields that are the same in every record.
func (o *object) fixed(fields string) {
	o.sep()
	o.b = append(o.b, fields...)
}

// open begins an object or array, named unless it is an element; close ends it.
func (o *object) open(name string, bracket byte) {
	if name == "" {
		o.sep()
	} else {
		o.name(name)
	}
	o.b = append(o.b, bracket)
	o.more = false
}

func (o *object) close(brackets string) {
	o.b = append(o.b, brackets...)
	o.more = true
}

func (o *object) num(name string, n int64) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

// float writes a number with nine figures, which hide the order in which a machine added up. NaN and
// infinities are left out: JSON has no word for them.
func (o *object) float(name string, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	o.name(name)
	o.b = strconv.AppendFloat(o.b, v, 'g', 9, 64)
}

// figure is a number as a text.
func (o *object) figure(name string, v float64) {
	o.name(name)
	o.b = append(o.b, '"')
	o.b = append(event.AppendFigure(o.b, v), '"')
}

// short is a text of at most maxTag bytes.
func (o *object) short(name, s string) {
	o.name(name)
	o.value(s, maxTag)
}

func (o *object) bool(name string, v bool) {
	o.name(name)
	o.b = strconv.AppendBool(o.b, v)
}

func (o *object) word(name, word string) {
	o.name(name)
	o.b = append(o.b, '"')
	o.b = append(o.b, word...)
	o.b = append(o.b, '"')
}

func (o *object) text(name, s string) {
	o.name(name)
	o.value(s, maxText)
}

// opt leaves out what is empty.
func (o *object) opt(name, s string) {
	if s != "" {
		o.text(name, s)
	}
}

// value appends s as a JSON string of at most max bytes between the quotes.
func (o *object) value(s string, max int) {
	o.b = append(o.b, '"')
	// No byte grows to more than six, so most texts need no measuring.
	if len(s) > max/6 {
		if n := fit(s, max); n < len(s) {
			o.b = append(quote(o.b, s[:n]), "…"...)
			o.b = append(o.b, '"')
			o.cut = true
			return
		}
	}
	o.b = append(quote(o.b, s), '"')
}

const hexDigits = "0123456789abcdef"

// plain marks the bytes that stand for themselves in JSON and on a terminal.
var plain = func() (t [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// hidden runes are legal in JSON, yet they drive terminals (U+009B is an escape sequence), end
// lines in JavaScript (U+2028) or turn text around (U+202E). They are written as escapes, so that the
// raw line can be shown safely.
func hidden(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }

// quote appends s with everything escaped that is not plain. A byte that is no UTF-8 becomes
// U+FFFD.
func quote(b []byte, s string) []byte {
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[done:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = unit(b, rune(c))
			}
			i++
			done = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, s[done:i]...)
			b = append(b, "\uFFFD"...)
			done = i + n
		case hidden(r):
			b = append(b, s[done:i]...)
			if r >= 0x10000 {
				b = unit(b, 0xd800+(r-0x10000)>>10)
				b = unit(b, 0xdc00+(r-0x10000)&0x3ff)
			} else {
				b = unit(b, r)
			}
			done = i + n
		}
		i += n
	}
	return append(b, s[done:]...)
}

// unit appends a UTF-16 unit as \uXXXX.
func unit(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// fit returns how much of s quote can write within max bytes: all of it, or a prefix that leaves
// room for an ellipsis.
func fit(s string, max int) int {
	size, short := 0, 0
	for i, r := range s {
		n := 1
		switch {
		case r == '"' || r == '\\' || r == '\n' || r == '\r' || r == '\t':
			n = 2
		case r < ' ' || r == 0x7f:
			n = 6
		case r < utf8.RuneSelf:
		case !hidden(r):
			n = utf8.RuneLen(r) // 3 for U+FFFD, which is also what an invalid byte becomes
		case r >= 0x10000:
			n = 12
		default:
			n = 6
		}
		if size+n > max {
			return short
		}
		if size+n <= max-len("…") {
			short = i + runeLen(s[i:])
		}
		size += n
	}
	return len(s)
}

func runeLen(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}
