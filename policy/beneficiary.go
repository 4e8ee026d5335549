package policy

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
)

// AppendBeneficiary appends who gets money by a call: the destination of a call of class pay or
// with an amount. It is in one spelling, so that one account is one beneficiary however it is
// written. Nothing is appended if there is none.
func AppendBeneficiary(dst []byte, e *event.Event) []byte {
	if e.Has&event.HasAmount == 0 && classBits(e)&(1<<event.Pay) == 0 {
		return dst
	}
	return appendSpelling(dst, &e.Destination)
}

// AppendDestination appends the key of a destination: the host of a URL, else the value in one
// spelling.
func AppendDestination(dst []byte, d *event.Destination) []byte {
	host := cmp.Or(catalogue.HostName(d.Domain), d.Domain)
	switch {
	case strings.EqualFold(d.Kind, "url") && host == "":
		host = catalogue.HostOfURL(d.Value)
	case !strings.EqualFold(d.Kind, "url") && d.Value != "":
		host = ""
	}
	if host != "" {
		return appendSpelling(dst, &event.Destination{Value: host})
	}
	return appendSpelling(dst, d)
}

// appendSpelling appends the value in lower case and without the spaces around it. An IBAN loses
// all spaces and hyphens.
func appendSpelling(dst []byte, d *event.Destination) []byte {
	spaces := strings.EqualFold(d.Kind, "iban") || mayBeIBAN(d.Value)
	from := len(dst)
	for _, r := range strings.TrimSpace(d.Value) {
		switch {
		case spaces && (unicode.IsSpace(r) || r == '-'), r > unicode.MaxASCII && unicode.Is(unicode.Cf, r):
			// invisible characters make no difference
		case 'A' <= r && r <= 'Z':
			dst = append(dst, byte(r)+'a'-'A')
		default:
			dst = utf8.AppendRune(dst, unicode.ToLower(r))
		}
	}
	if len(dst)-from > event.MaxString { // lower case may be longer
		dst = dst[:from+event.MaxString]
	}
	return dst
}

// mayBeIBAN reports whether a text may be an IBAN, with or without spaces: a country, two digits,
// then 11 to 30 letters and digits.
func mayBeIBAN(s string) bool {
	n := 0
	for _, r := range s {
		switch {
		case unicode.IsSpace(r) || r == '-':
		case r|0x20 >= 'a' && r|0x20 <= 'z' && n != 2 && n != 3, r >= '0' && r <= '9' && n > 1:
			n++
		default:
			return false
		}
	}
	return n >= 15 && n <= 34
}
