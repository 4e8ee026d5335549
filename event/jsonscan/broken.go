package jsonscan

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// ClosingQuote returns the offset of the quote that closes the string whose text begins at i,
// whatever stands in it; -1: none does.
func ClosingQuote(p []byte, i int) int {
	for i < len(p) {
		switch p[i] {
		case '"':
			return i
		case '\\':
			i++
		}
		i++
	}
	return -1
}

// Brackets are the containers that are open at some place of a text, of any depth. The zero value
// is ready; it keeps its memory from one text to the next.
type Brackets struct {
	open []uint64 // one bit for each, the outermost lowest: 1 is an object
}

// EndOfValue returns the offset behind the value at i by its quotes and brackets alone, however
// deep, or -1 if they do not match.
func (b *Brackets) EndOfValue(p []byte, i int) int {
	if i >= len(p) {
		return -1
	}
	depth := 0
	for start := i; i < len(p); {
		switch c := p[i]; c {
		case '"':
			if i = ClosingQuote(p, i+1); i < 0 {
				return -1
			}
			i++
		case '{', '[':
			if depth>>6 == len(b.open) {
				b.open = append(b.open, 0)
			}
			word, bit := &b.open[depth>>6], uint64(1)<<(depth&63)
			if *word &^= bit; c == '{' {
				*word |= bit
			}
			depth++
			i++
			continue
		case '}', ']':
			if depth == 0 {
				return -1
			}
			depth--
			if (c == '}') != (b.open[depth>>6]>>(depth&63)&1 == 1) {
				return -1
			}
			i++
		default:
			if depth > 0 {
				i++
				continue
			}
			if i = Bare(p, i); i == start {
				return -1
			}
		}
		if depth == 0 {
			return i
		}
	}
	return -1
}

// Bare returns the offset behind what stands at i without quotes: a number, a literal, NaN.
func Bare(p []byte, i int) int {
	for i < len(p) && p[i] > ' ' && strings.IndexByte(`,:{}[]"`, p[i]) < 0 {
		i++
	}
	return i
}

// EscapedRune reads the escape at the start of raw; what is none is U+FFFD.
func EscapedRune(raw []byte) (r rune, n int) {
	if n, reason := Escape(raw); reason == "" {
		var b [4]byte
		r, _ = utf8.DecodeRune(Unescape(b[:0], raw[:n]))
		return r, n
	}
	if len(raw) >= 6 && raw[1] == 'u' && Hex4(raw, 2) >= 0 {
		return utf8.RuneError, 6
	}
	return utf8.RuneError, min(2, len(raw))
}

// Rewrite appends the value that p is, whose brackets match, as JSON to the letter. depth is how
// many levels of containers may be written; what lies deeper is null.
func Rewrite(dst, p []byte, depth int) []byte {
	w := writer{p: p, dst: dst}
	w.value(depth)
	return w.dst
}

type writer struct {
	p   []byte
	i   int
	dst []byte
}

func (w *writer) skip(punctuation string) {
	for w.i < len(w.p) && (w.p[w.i] <= ' ' || strings.IndexByte(punctuation, w.p[w.i]) >= 0) {
		w.i++
	}
}

func (w *writer) value(depth int) {
	if w.skip(""); w.i >= len(w.p) {
		w.dst = append(w.dst, "null"...)
		return
	}
	switch c := w.p[w.i]; c {
	case '"':
		w.text()
	case '{', '[':
		if depth == 0 {
			w.i += enclosed(w.p[w.i:])
			w.dst = append(w.dst, "null"...)
			return
		}
		w.container(c, depth)
	default:
		end := Bare(w.p, w.i)
		if end == w.i { // a comma or colon where a value was due
			w.dst = append(w.dst, "null"...)
			return
		}
		if token := w.p[w.i:end]; json.Valid(token) {
			w.dst = append(w.dst, token...)
		} else {
			w.dst = QuoteRaw(w.dst, token, false)
		}
		w.i = end
	}
}

func (w *writer) text() {
	end := ClosingQuote(w.p, w.i+1)
	if end < 0 {
		end = len(w.p)
	}
	w.dst = QuoteRaw(w.dst, w.p[w.i+1:end], true)
	w.i = min(end+1, len(w.p))
}

func (w *writer) container(open byte, depth int) {
	end := byte('}')
	if open == '[' {
		end = ']'
	}
	w.dst = append(w.dst, open)
	w.i++
	for first := true; ; first = false {
		w.skip(",:")
		if w.i >= len(w.p) || w.p[w.i] == '}' || w.p[w.i] == ']' {
			w.i = min(w.i+1, len(w.p))
			w.dst = append(w.dst, end)
			return
		}
		if !first {
			w.dst = append(w.dst, ',')
		}
		if open == '{' {
			switch w.p[w.i] {
			case '"':
				w.text()
			case '{', '[': // without a name
				w.dst = append(w.dst, `""`...)
			default:
				end := Bare(w.p, w.i)
				w.dst = QuoteRaw(w.dst, w.p[w.i:end], false)
				w.i = end
			}
			w.dst = append(w.dst, ':')
			if w.skip(":"); w.i < len(w.p) && (w.p[w.i] == '}' || w.p[w.i] == ']') {
				w.dst = append(w.dst, "null"...)
				continue
			}
		}
		w.value(depth - 1)
	}
}

// enclosed is the length of the container at the start of p, whose brackets match.
func enclosed(p []byte) int {
	depth := 0
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '"':
			if i = ClosingQuote(p, i+1); i < 0 {
				return len(p)
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(p)
}

// QuoteRaw appends a JSON string to the letter. Escapes of raw are kept if escaped and right.
func QuoteRaw(dst, raw []byte, escaped bool) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(raw); {
		c := raw[i]
		switch {
		case c == '\\' && escaped:
			n, reason := Escape(raw[i:])
			if reason != "" {
				_, n = EscapedRune(raw[i:])
				dst = append(dst, `\ufffd`...)
			} else {
				dst = append(dst, raw[i:i+n]...)
			}
			i += n
		case c == '\\' || c == '"':
			dst = append(dst, '\\', c)
			i++
		case c < ' ':
			dst = append(dst, `\u00`...)
			dst = append(dst, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
			i++
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, n := utf8.DecodeRune(raw[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return append(dst, '"')
}
