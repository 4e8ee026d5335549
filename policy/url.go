package policy

import (
	"cmp"
	"strings"
	"unicode"

	"golang.org/x/net/idna"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Who asks for the host of a destination asks here, and event.ReadURL answers: lists of personas,
// limits, rarity, drafts and the catalogue. What readers could disagree on has no host.

// hostOf returns the host of a URL, or "" if readers of URLs could disagree on it.
func hostOf(url string) string {
	if _, rest := nextURL(url); rest != "" {
		return "" // of several
	}
	return sureName(event.ReadURL(url))
}

// hostPort returns host without port, brackets and the root's dot, or "" if it is no host.
func hostPort(s string) string { return sureName(event.ReadHost(s)) }

// domainOf returns the domain of one address, with or without a display name, or "" if it is not
// plain.
func domainOf(address string) string { return sureName(hostOfAddress(address)) }

func sureName(h event.Host) string {
	if h.Sure {
		return h.Name
	}
	return ""
}

// hostOfAddress reads the domain of one address, with or without a display name.
func hostOfAddress(address string) event.Host {
	s := strings.TrimSpace(address)
	if i := strings.LastIndexByte(s, '<'); i >= 0 {
		inner, ok := strings.CutSuffix(s[i+1:], ">")
		if !ok {
			return event.Host{}
		}
		// Mail programs show an address as its own name; another address there is one that a
		// careless mailer may use.
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

func isMailto(s string) bool { return len(s) > 7 && strings.EqualFold(s[:7], "mailto:") }

// nextURL takes the first URL off a list: URLs, //host and mailto: with blanks between them, or
// URLs with a comma, a semicolon or a bar. A blank that no URL follows belongs to the one before
// it: clients send it on as %20.
func nextURL(list string) (first, rest string) {
	for i := 0; i < len(list); {
		n := strings.IndexFunc(list[i:], separates)
		if n < 0 {
			break
		}
		i += n
		word := strings.TrimLeftFunc(list[i:], separates)
		at := len(list) - len(word)
		blank := strings.ContainsFunc(list[i:at], unicode.IsSpace)
		if end := strings.IndexFunc(word, separates); end >= 0 {
			word = word[:end]
		}
		if blank && isMailto(word) || (blank || strings.Contains(word, "://")) && event.IsURL(word) {
			if first = strings.TrimSpace(list[:i]); first != "" {
				return strings.TrimRight(first, ",;|"), list[at:]
			}
		}
		i = at
	}
	return list, ""
}

// separates tells what may stand between the URLs of a list.
func separates(r rune) bool { return unicode.IsSpace(r) || r == ',' || r == ';' || r == '|' }

// compileHosts compiles a list of destinations. Its entries are shown as they are written.
func compileHosts(entries []string) *glob.List {
	if len(entries) == 0 {
		return nil
	}
	hosts := make([]string, len(entries))
	for i, e := range entries {
		hosts[i] = canonicalHost(e)
	}
	g := glob.NewList(hosts, true)
	g.Entries = entries
	return g
}

// canonicalHost is an entry of a list of destinations in the spelling that hosts are read in.
// Patterns keep their stars, and what is no host stays as it is written.
func canonicalHost(entry string) string {
	if glob.Is(entry) {
		labels := strings.Split(entry, ".")
		for i, l := range labels {
			if !glob.Is(l) && strings.ContainsFunc(l, func(r rune) bool { return r > unicode.MaxASCII }) {
				if a, err := idna.Lookup.ToASCII(l); err == nil {
					labels[i] = a
				}
			}
		}
		return strings.TrimSuffix(strings.Join(labels, "."), ".")
	}
	h := event.ReadHost(entry)
	if h.Name == "" || !strings.ContainsAny(h.Name, ".:") || strings.IndexAny(entry, ".:。．｡[") < 0 {
		return entry // a channel, an account
	}
	if strings.Count(entry, ":") == 1 {
		return entry // with a port
	}
	return h.Name
}

// reach is the shape of a destination whose argument says that it is a URL or a host: clients also
// take evil.example/path, an address as one number, a name with a port. bare tells that the
// argument can be nothing else, so that a number is a host.
func reach(s string, bare bool) valueShape {
	shape := shapeOf(s)
	switch shape {
	case urlShape, hostShape:
		return shape
	case anyShape, idShape, pathShape, phoneShape:
	default:
		return shape
	}
	if len(s) > event.MaxString {
		s = clip(s, event.MaxString)
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
	if strings.IndexAny(s, "/?#") >= 0 {
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
		(!fileEndings[lower(last)] || to == urlShape):
		return to
	case bare && port != "" && isDigits(port[:hostEnd(port)]):
		return to
	}
	return shape
}

// isNumbered tells whether there is a digit in a word that is no Punycode.
func isNumbered(s string) bool {
	return strings.ContainsAny(s, "0123456789") && !strings.HasPrefix(lower(s), "xn--")
}
