package catalogue

import (
	"cmp"
	"strings"
	"unicode"

	"github.com/wayward-sec/wayward/event"
)

// The hosts of destinations, for everybody: lists of personas, limits, rarity, drafts and the
// catalogue. event.ReadURL reads them. A text that two programs could read differently has no host.

// HostOfURL returns the host of a URL, or "" if programs could disagree on it.
func HostOfURL(url string) string {
	if _, rest := NextURL(url); rest != "" {
		return "" // of several
	}
	return certainName(event.ReadURL(url))
}

// HostName returns a host without port, brackets and the dot at its end, or "" if it is no host.
func HostName(s string) string { return certainName(event.ReadHost(s)) }

// DomainOf returns the domain of one e-mail address, with or without a display name, or "" if
// programs could disagree on it.
func DomainOf(address string) string { return certainName(HostOfAddress(address)) }

func certainName(h event.Host) string {
	if h.Sure {
		return h.Name
	}
	return ""
}

// HostOfAddress reads the domain of one e-mail address, with or without a display name.
func HostOfAddress(address string) event.Host {
	s := strings.TrimSpace(address)
	if i := strings.LastIndexByte(s, '<'); i >= 0 {
		inner, ok := strings.CutSuffix(s[i+1:], ">")
		if !ok {
			return event.Host{}
		}
		// The name may be the address again. Another address there is one that a careless program
		// may send to.
		if name := strings.Trim(s[:i], ` "'`); strings.Contains(name, "@") && name != inner {
			return event.Host{}
		}
		s = inner
	}
	_, domain, ok := strings.Cut(s, "@")
	if !ok || strings.ContainsAny(domain, ":/\\@?#% \t\r\n") && !strings.HasPrefix(domain, "[") {
		return event.Host{}
	}
	return event.ReadHost(domain)
}

// IsMailto reports whether a text is a mailto: URL.
func IsMailto(s string) bool { return len(s) > 7 && strings.EqualFold(s[:7], "mailto:") }

// NextURL splits the first URL off a list: URLs, //host and mailto: with blanks between them, or
// URLs with a comma, a semicolon or a bar. A blank with no URL behind it is part of the URL before
// it: clients send it as %20.
func NextURL(list string) (first, rest string) {
	for i := 0; i < len(list); {
		n := strings.IndexFunc(list[i:], isURLSeparator)
		if n < 0 {
			break
		}
		i += n
		word := strings.TrimLeftFunc(list[i:], isURLSeparator)
		at := len(list) - len(word)
		blank := strings.ContainsFunc(list[i:at], unicode.IsSpace)
		if end := strings.IndexFunc(word, isURLSeparator); end >= 0 {
			word = word[:end]
		}
		if blank && IsMailto(word) || (blank || strings.Contains(word, "://")) && event.IsURL(word) {
			if first = strings.TrimSpace(list[:i]); first != "" {
				return strings.TrimRight(first, ",;|"), list[at:]
			}
		}
		i = at
	}
	return list, ""
}

// isURLSeparator reports whether a character may stand between the URLs of a list.
func isURLSeparator(r rune) bool { return unicode.IsSpace(r) || r == ',' || r == ';' || r == '|' }

// maxDomains bounds the receivers of one call whose domains are read.
const maxDomains = 64

// Domains appends the domains that a destination names, in one spelling: for a list of addresses
// the domain of each. An address that programs could disagree on has none.
func Domains(dst []string, d *event.Destination) []string {
	v := d.Value
	host := func(s string) {
		if s != "" && len(dst) < maxDomains {
			dst = append(dst, s)
		}
	}
	switch {
	case d.Domain != "":
		host(cmp.Or(HostName(d.Domain), d.Domain))
		return dst
	case v == "":
		return dst
	case strings.EqualFold(d.Kind, "url") && !IsMailto(v):
		for v != "" {
			var part string
			part, v = NextURL(v)
			if IsMailto(part) {
				host(DomainOf(part[7:]))
			} else {
				if h := event.ReadURL(part); h.Sure {
					host(h.Name)
				}
			}
		}
		return dst
	case strings.EqualFold(d.Kind, "host"):
		host(HostName(v))
		return dst
	case strings.EqualFold(d.Kind, "url"):
		v = v[7:]
	case !strings.EqualFold(d.Kind, "email"):
		return dst
	}
	for v != "" {
		part := v
		if i := strings.IndexAny(v, ",;"); i >= 0 {
			part, v = v[:i], v[i+1:]
		} else {
			v = ""
		}
		host(DomainOf(part))
	}
	return dst
}

// shapeOfEndpoint is the shape of a destination whose argument is a URL or a host by its name:
// clients also accept evil.example/path, an address as one number, a name with a port. bare: the
// argument can be nothing else, so a number is a host.
func shapeOfEndpoint(s string, bare bool) valueShape {
	shape := shapeOf(s)
	switch shape {
	case urlShape, hostShape:
		return shape
	case anyShape, idShape, pathShape, phoneShape:
	default:
		return shape
	}
	if len(s) > event.MaxString {
		s = event.Clip(s, event.MaxString)
		if event.IsURL(s) {
			return urlShape
		}
	}
	h := event.ReadURL(s)
	name := cmp.Or(h.Name, h.Other)
	if name == "" {
		return shape
	}
	to := hostShape
	if strings.ContainsAny(s, "/?#") {
		to = urlShape
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	_, port, _ := strings.Cut(strings.TrimSpace(s), ":")
	switch {
	case strings.IndexByte(name, ':') >= 0, strings.HasPrefix(strings.TrimSpace(s), "["),
		strings.EqualFold(name, "localhost"):
		return to
	case isDigits(name): // an IPv4 address
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(s)), "0x") || strings.Count(s, ".") == 3 || bare &&
			(name[0] != '0' || name[1] != '.') {
			return to
		}
	case strings.IndexByte(name, '.') > 0 && len(last) > 1 && !isNumbered(last) &&
		(!fileEndings[event.Lower(last)] || to == urlShape):
		return to
	case bare && port != "" && isDigits(port[:hostEnd(port)]):
		return to
	}
	return shape
}

// isNumbered reports whether a label has a digit and is no Punycode.
func isNumbered(s string) bool {
	return strings.ContainsAny(s, "0123456789") && !strings.HasPrefix(event.Lower(s), "xn--")
}
