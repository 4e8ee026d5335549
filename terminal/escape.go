// Package terminal prints for people: texts that nobody vouches for without what a terminal would
// obey, numbers and times, reports in two columns, and pictures made of characters.
//
// It knows no command and nothing of what it prints. Begin reading at Writer, then Report and
// Drawing.
package terminal

import (
	"fmt"
	"io"
	"os"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// Writer is standard output or standard error of all commands. A terminal obeys what it is sent,
// and events are hostile. So control characters other than newline and tab, and what turns the
// direction of text around, are written as \u001b. That is how JSON writes them, so a record stays
// the record that it was. Who draws with sequences of our own (colour, progress) asks for Raw, and
// escapes the texts itself.
type Writer struct {
	w io.Writer

	mu   sync.Mutex
	rest []byte // the beginning of a character whose end is still to come
	buf  []byte
}

// Raw is the file behind w, for what draws on terminals.
func Raw(w io.Writer) io.Writer {
	if e, ok := w.(*Writer); ok {
		return e.w
	}
	return w
}

// NewWriter escapes what is written to w. Close it at the end.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Is tells whether w is a terminal.
func Is(w any) bool {
	if e, ok := w.(*Writer); ok {
		w = e.w
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Write implements io.Writer.
func (e *Writer) Write(p []byte) (int, error) {
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
		} else if !Obeyed(r) {
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
func (e *Writer) Close() error {
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

// Obeyed tells whether a terminal does something other than show the character: control characters
// of both sets, what turns text around (Trojan Source), and the separators that some take for
// newlines.
func Obeyed(r rune) bool {
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
