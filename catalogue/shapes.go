package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// What the values of arguments look like: an address, a URL, an account number.

// valueShape is what a value looks like.
type valueShape uint8

const (
	anyShape valueShape = iota
	emailShape
	urlShape
	ibanShape
	cardShape
	phoneShape
	hostShape
	channelShape
	pathShape
	idShape
)

// shapeNames are the words for evidence.
var shapeNames = [...]string{"", "an e-mail address", "a URL", "an IBAN", "a card number", "a phone number", "a host",
	"a channel", "a path", "an id"}

// shapeKinds are the values of destination.kind.
var shapeKinds = [...]string{"", "email", "url", "iban", "card", "phone", "host", "channel", "", ""}

func (s valueShape) String() string { return shapeNames[s] }

// shapeOf is the shape of a value. Of two shapes that fit, it is the narrower one.
func shapeOf(s string) valueShape {
	switch {
	case s == "" || len(s) > event.MaxString:
		return anyShape
	case plainEmail(s) > 0:
		return emailShape
	case isURL(s):
		return urlShape
	case isEmail(s):
		return emailShape
	case isIBAN(s):
		return ibanShape
	case isCard(s):
		return cardShape
	case isPhone(s):
		return phoneShape
	case s[0] == '#' && len(s) > 1 && strings.IndexByte(s, ' ') < 0:
		return channelShape
	case isPath(s):
		return pathShape
	case isHostName(s):
		return hostShape
	case isIdentifier(s):
		return idShape
	}
	return anyShape
}

// plainEmail returns the place of the @ if the text is one address with common characters only,
// else 0. It is the fast path of isEmail.
func plainEmail(s string) int {
	at := strings.IndexByte(s, '@')
	if at <= 0 || at > 64 {
		return 0
	}
	for i := range at {
		if !hostLetters[s[i]] && s[i] != '+' {
			return 0
		}
	}
	dot := 0
	for i := at + 1; i < len(s); i++ {
		if !hostLetters[s[i]] {
			return 0
		}
		if s[i] == '.' {
			dot = i
		}
	}
	if dot <= at+1 || dot == len(s)-1 {
		return 0
	}
	return at
}

// hostLetters are the characters of plain host names, and of most local parts of addresses.
var hostLetters = func() (t [256]bool) {
	for c := range t {
		t[c] = isWordByte(byte(c)) && c < 0x80 || c == '.' || c == '-' || c == '_'
	}
	return t
}()

// isEmail accepts one address or a list of them, with or without display names, and mailto:.
func isEmail(s string) bool {
	if strings.IndexByte(s, '@') < 0 {
		return false
	}
	if len(s) > 7 && strings.EqualFold(s[:7], "mailto:") {
		s = s[7:]
	}
	found := false
	for s != "" {
		part := s
		if i := strings.IndexAny(s, ",;"); i >= 0 {
			part, s = s[:i], s[i+1:]
		} else {
			s = ""
		}
		if strings.IndexByte(part, '@') < 0 {
			continue // half of "Doe, Jane" <jane@acme.com>
		}
		if d := DomainOf(part); d == "" || strings.IndexByte(d, '.') <= 0 {
			return false
		}
		local := strings.TrimSpace(part)
		if i := strings.LastIndexByte(local, '<'); i >= 0 {
			local = local[i+1:]
		} else if strings.ContainsAny(local, " \t\n") {
			return false // a sentence that names an address
		}
		if local[0] == '@' {
			return false
		}
		found = true
	}
	return found
}

func isURL(s string) bool {
	return event.IsURL(s) || len(s) > 8 && strings.EqualFold(s[:4], "www.") && event.ReadHost(s[:hostEnd(s)]).Name != ""
}

func hostEnd(s string) int {
	if i := strings.IndexAny(s, "/?#:"); i >= 0 {
		return i
	}
	return len(s)
}

// isIBAN checks the form and ISO 7064's remainder of 97. Spaces between groups are fine.
func isIBAN(s string) bool {
	if len(s) < 15 || len(s) > 42 || !isUpper(s[0]&^0x20) || !isUpper(s[1]&^0x20) || !isDigit(s[2]) || !isDigit(s[3]) {
		return false
	}
	n, rest := 0, 0
	take := func(c byte) bool {
		switch {
		case isDigit(c):
			rest = (rest*10 + int(c-'0')) % 97
		case isUpper(c &^ 0x20):
			rest = (rest*100 + int(c&^0x20-'A') + 10) % 97
		default:
			return false
		}
		n++
		return true
	}
	for i := 4; i < len(s); i++ {
		if s[i] != ' ' && !take(s[i]) {
			return false
		}
	}
	for i := range 4 {
		take(s[i])
	}
	return rest == 1 && n >= 15 && n <= 34
}

// isCard accepts 13 to 19 digits, in groups or not, that begin like a payment card and pass Luhn's
// check.
func isCard(s string) bool {
	var digits [19]byte
	n := 0
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c):
			if n == len(digits) {
				return false
			}
			digits[n] = c - '0'
			n++
		case (c == ' ' || c == '-') && n > 0:
		default:
			return false
		}
	}
	if n < 13 || digits[0] < 2 || digits[0] > 6 {
		return false
	}
	sum := 0
	for i := range n {
		d := int(digits[n-1-i])
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// isPhone accepts 7 to 15 digits that begin with + or (, or stand in groups as in 555-010-9999. A
// plain number is no phone.
func isPhone(s string) bool {
	if len(s) > 24 || len(s) < 7 {
		return false
	}
	digits, groups := 0, 1
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c):
			digits++
		case c == '+' && i == 0 || c == '(' || c == ')':
		case (c == '-' || c == ' ' || c == '.') && i > 0:
			groups++
		default:
			return false
		}
	}
	// 2026-11-20 is a date: its first group has four digits.
	return digits >= 7 && digits <= 15 && (s[0] == '+' || s[0] == '(' || groups >= 3 &&
		!(len(s) > 4 && isDigits(s[:4]) && !isDigit(s[4])))
}

func isPath(s string) bool {
	return strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") ||
		strings.HasPrefix(s, "~/") ||
		len(s) > 3 && s[1] == ':' && (s[2] == '\\' || s[2] == '/')
}

// isHostName accepts names with a dot whose last label is no known extension of files, and IPv4
// addresses.
func isHostName(s string) bool {
	if strings.IndexByte(s, '.') <= 0 || HostName(s) == "" || strings.Contains(s, "..") || s[len(s)-1] == '.' {
		return false
	}
	host := HostName(s)
	last := host[strings.LastIndexByte(host, '.')+1:]
	if isDigits(host) {
		return strings.Count(s, ".") == 3
	}
	for i := range len(last) {
		if !isUpper(last[i]&^0x20) && last[i] < 0x80 {
			return false
		}
	}
	return len(last) >= 2 && !fileEndings[event.Lower(last)]
}

var fileEndings = nounsOf(`
	txt md pdf doc docx xls xlsx csv tsv json yaml yml xml html htm png jpg jpeg gif svg zip gz tar py js ts
	go rs java c h cpp sh sql log ini toml cfg conf ppt pptx ipynb bak tmp exe dll rb php css mp3 mp4`)

// isIdentifier accepts one word with a digit in it.
func isIdentifier(s string) bool {
	digit := false
	for i := range len(s) {
		c := s[i]
		digit = digit || isDigit(c)
		if !isWordByte(c) && c != '-' && c != '_' && c != '#' && c != ':' && c != '.' {
			return false
		}
	}
	return digit && len(s) <= 128
}

// maskCard appends a card number with all digits masked but the first six and the last four, which
// may be shown (PCI DSS 3.4).
func maskCard(dst []byte, s string) []byte {
	n := 0
	for i := range len(s) {
		if isDigit(s[i]) {
			n++
		}
	}
	k := 0
	for i := range len(s) {
		if !isDigit(s[i]) {
			continue
		}
		if k < 6 || k >= n-4 {
			dst = append(dst, s[i])
		} else {
			dst = append(dst, '*')
		}
		k++
	}
	return dst
}
