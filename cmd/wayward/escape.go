package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// escaping is standard output or standard error of all commands. A terminal obeys what it is sent,
// and events are hostile: control characters other than newline and tab, and what turns the
// direction of text around, are written as \u001b. That is how JSON writes them, so a record stays
// the record that it was. The few that draw with sequences of our own (colour, progress) ask for
// the rawOf it, and see to the texts themselves.
type escaping struct {
	w io.Writer

	mu   sync.Mutex
	rest []byte // the beginning of a character whose end is still to come
	buf  []byte
}

// rawOf is the file behind w, for what draws on terminals.
func rawOf(w io.Writer) io.Writer {
	if e, ok := w.(*escaping); ok {
		return e.w
	}
	return w
}

// Write implements io.Writer.
func (e *escaping) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := p
	if len(e.rest) > 0 {
		b = append(e.rest, p...)
		e.rest = nil
	}
	from := 0 // what is plain is written as it came, without a copy
	e.buf = e.buf[:0]
	for i := 0; i < len(b); {
		if c := b[i]; ' ' <= c && c < 0x7f || c == '\n' || c == '\t' {
			i++
			continue
		}
		if b[i] >= utf8.RuneSelf && !utf8.FullRune(b[i:]) {
			e.buf = append(e.buf, b[from:i]...)
			e.rest = append([]byte(nil), b[i:]...)
			b, from = b[:i], i
			break
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			// a byte that is no text; from 0x80 to 0x9f it is a control character to some terminals
			r = rune(b[i])
		} else if !obeyed(r) {
			i += n
			continue
		}
		e.buf = appendEscaped(append(e.buf, b[from:i]...), r)
		i += n
		from = i
	}
	out := b
	if from > 0 || len(e.rest) > 0 {
		e.buf = append(e.buf, b[from:]...)
		out = e.buf
	}
	if len(out) > 0 {
		if _, err := e.w.Write(out); err != nil {
			return 0, err
		}
	}
	if cap(e.buf) > 1<<20 {
		e.buf = nil
	}
	return len(p), nil
}

// Close writes what of a character was left without its end.
func (e *escaping) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var b []byte
	for _, c := range e.rest {
		b = appendEscaped(b, rune(c))
	}
	if e.rest = nil; len(b) == 0 {
		return nil
	}
	_, err := e.w.Write(b)
	return err
}

// obeyed tells whether a terminal does something other than show the character: control characters
// of both sets, what turns text around (Trojan Source), and the separators that some take for
// newlines.
func obeyed(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r == 0x061c, r == 0x200e, r == 0x200f, 0x2028 <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069:
		return true
	}
	return unicode.IsControl(r)
}

func appendEscaped(b []byte, r rune) []byte {
	if r > 0xffff { // as JSON has it
		return fmt.Appendf(b, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
	}
	return fmt.Appendf(b, `\u%04x`, r)
}

// onOneLine is a line of ours that holds texts of events, with newlines and all else that is not
// shown as escapes: no text of an event begins a line that looks like one of ours. Backslashes
// stay, unlike those of visible.
func onOneLine(s string) string {
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
