package event

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"unicode"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Identity is the one form of the name of a user, an owner, a credential, a persona or an approver:
// without case, without blanks around it, in one Unicode form and without characters that nobody
// sees. It is the toNFKC_Casefold of Unicode (3.13.5, D147) without blanks around it. Directories
// take Ana@acme.example and ana@acme.example for one mailbox, and so must counting. Nothing
// more is read into a name: ana+x and a.na are others. Agents and tenants are compared as sent.
func Identity(s string) string {
	switch formOf(s) {
	case asItIs:
		return s
	case asciiUpper:
		return strings.ToLower(trimASCII(s))
	}
	return identitySlow(s)
}

// SameIdentity reports whether two names are those of one.
func SameIdentity(a, b string) bool { return a == b || Identity(a) == Identity(b) }

const (
	asItIs     = iota // it is its own identity
	asciiUpper        // only letters in upper case and blanks around it differ
	otherForm
)

// formOf is how much has to be done to a name; in doubt more than that.
func formOf(s string) (form int) {
	if s == "" {
		return asItIs
	}
	if s[0] <= ' ' || s[len(s)-1] <= ' ' {
		form = asciiUpper
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 0x80 || c < ' ' || c == 0x7f:
			if !settled(s) {
				return otherForm
			}
			return form
		case 'A' <= c && c <= 'Z':
			form = asciiUpper
		}
	}
	return form
}

// settled recognises names in the most common alphabets that are their own identity.
func settled(s string) bool {
	for _, r := range s {
		switch {
		case r > ' ' && r < 0x7f && (r < 'A' || r > 'Z'):
		case r == ' ': // not at an end: the caller looks
		case r >= 0xe0 && r <= 0x17e && r != 0xf7 && r != 0x133 && r != 0x140 && r != 0x149 && unicode.IsLower(r):
		case r >= 0x430 && r <= 0x45f: // Cyrillic
		case r >= 0x3041 && r <= 0x3096, r >= 0x30a1 && r <= 0x30fa: // kana
		case r >= 0x4e00 && r <= 0x9fff, r >= 0xac00 && r <= 0xd7a3: // Han, Hangul
		default:
			return false
		}
	}
	return s[0] != ' ' && s[len(s)-1] != ' '
}

func trimASCII(s string) string { return strings.Trim(s, " ") }

func identitySlow(s string) string {
	fold := cases.Fold()
	for range 4 { // what folding made may compose anew; twice is enough for all of Unicode but for oddities
		was := s
		s = norm.NFKC.String(fold.String(strings.Map(shown, norm.NFKC.String(s))))
		s = strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
		if s == was {
			break
		}
	}
	if len(s) > MaxString { // some characters are many once they are in one form
		var sum [8]byte
		binary.BigEndian.PutUint64(sum[:], xxhash.Sum64String(s))
		s = strings.TrimRight(Clip(s, MaxString-17), " ") + "~" + hex.EncodeToString(sum[:])
	}
	return s
}

// shown leaves out what nobody sees: joiners, marks of direction, variation selectors.
func shown(r rune) rune {
	if unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Variation_Selector, r) ||
		unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) {
		return -1
	}
	return r
}

// identities gives the names in an event their one form, so that everything that looks at it later
// sees one identity.
func (d *Decoder) identities(e *Event) {
	d.identify(&e.Persona)
	d.identify(&e.User)
	d.identify(&e.Agent.Owner)
	d.identify(&e.Agent.Credential)
	d.identify(&e.Approval.By)
	d.identify(&e.Approval.RequestedBy)
	d.identify(&e.Resource.Owner)
}

func (d *Decoder) identify(s *string) {
	switch formOf(*s) {
	case asciiUpper:
		t := trimASCII(*s)
		b := d.text.take(len(t))
		for i := range len(t) {
			c := t[i]
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			b[i] = c
		}
		*s = alias(b)
	case otherForm:
		*s = identitySlow(*s)
	}
}
