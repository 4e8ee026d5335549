package event

import (
	"strconv"
	"unsafe"
)

// alias is the text over bytes that do not change while it is used.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Lower lowers ASCII letters and leaves the rest alone, so that it cannot change a text's length.
// It allocates only where there is a capital letter.
func Lower(s string) string {
	if !HasUpper(s) {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// HasUpper reports whether an ASCII letter of s is a capital one.
func HasUpper(s string) bool {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}

// LowerInto is Lower without an allocation where s fits into buf. The result may lie in buf: it
// must live no longer, and nothing may write to buf meanwhile.
func LowerInto(buf []byte, s string) string {
	if len(s) > len(buf) {
		return Lower(s)
	}
	n := copy(buf, s)
	for i, c := range buf[:n] {
		if 'A' <= c && c <= 'Z' {
			buf[i] = c + 'a' - 'A'
		}
	}
	return unsafe.String(unsafe.SliceData(buf), n)
}

// Quote quotes a text of somebody else's, cut so that it does not fill the screen.
func Quote(s string) string {
	if len(s) > 64 {
		s = s[:61] + "..."
	}
	return strconv.Quote(s)
}

// Clip returns at most so many bytes of a text, cut between characters.
func Clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && s[most]&0xc0 == 0x80 {
		most--
	}
	return s[:most]
}
