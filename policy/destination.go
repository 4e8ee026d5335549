package policy

import (
	"net/netip"
	"strings"
	"unicode"

	"github.com/wayward-sec/wayward/event"
)

// Words of a destination list that are not patterns: they ask destination.external.
const (
	external = "external"
	internal = "internal"
)

// destination judges where the call goes. Of what cannot be read for certain (two hosts in one URL, a recipient with two @) no list
// names the host: only `*`, `external`, `internal` and the default apply, and the violation shows the whole value.
// Guessing would let whoever writes the value choose the reading that passes.
func (p *Persona) destination(d *event.Destination, dst []Violation) []Violation {
	v := d.Value
	switch {
	case d.Domain != "":
		return p.host(hostPort(d.Domain), d.Domain, d.External, dst)
	case v == "":
		if d.External == event.Yes { // it left for somebody that the gateway does not name
			return p.host("", external, d.External, dst)
		}
		return dst
	case strings.EqualFold(d.Kind, "email"):
		return p.recipients(v, d.External, dst)
	case strings.EqualFold(d.Kind, "url"):
		if len(v) > 7 && strings.EqualFold(v[:7], "mailto:") {
			return p.recipients(v[7:], d.External, dst)
		}
		return p.host(hostOf(v), v, d.External, dst)
	case strings.EqualFold(d.Kind, "host"):
		return p.host(hostPort(v), v, d.External, dst)
	}
	return p.target(v, v, d.External, dst)
}

// host judges one host name, or raw if it could not be read.
func (p *Persona) host(host, raw string, ext event.Tri, dst []Violation) []Violation {
	if host == "" {
		return p.target("", raw, ext, dst)
	}
	return p.target(host, host, ext, dst)
}

// recipients judges every address of a list, since the one that matters may stand in the middle.
func (p *Persona) recipients(list string, ext event.Tri, dst []Violation) []Violation {
	first, seen := len(dst), false
	for rest := list; rest != ""; {
		part := rest
		if i := strings.IndexAny(rest, ",;"); i >= 0 {
			part, rest = rest[:i], rest[i+1:]
		} else {
			rest = ""
		}
		if !strings.Contains(part, "@") {
			continue // half of a display name such as "Doe, Jane" <jane@acme.com>
		}
		seen = true
		n := len(dst)
		dst = p.host(domainOf(part), strings.TrimSpace(part), ext, dst)
		if len(dst) > n { // a domain that occurs twice is one violation
			for _, v := range dst[first:n] {
				if v.Value == dst[n].Value {
					dst = dst[:n]
					break
				}
			}
		}
	}
	if !seen {
		return p.target("", list, ext, dst)
	}
	return dst
}

// target judges what was made of a destination; shown is what the violation says.
func (p *Persona) target(s, shown string, ext event.Tri, dst []Violation) []Violation {
	var r Ruling
	if hasUpper(s) {
		var buf [event.MaxString]byte
		r = p.goesTo(lowerInto(buf[:], s), ext)
	} else {
		r = p.goesTo(s, ext)
	}
	if r.Verdict == Allow && !p.all {
		return dst
	}
	return append(dst, Violation{Destinations.String(), shown, r.Rule, r.Verdict})
}

// goesTo is what the lists say of a destination in lower case. Within each list the words go before the names.
func (p *Persona) goesTo(s string, ext event.Tri) Ruling {
	r := &p.rules[Destinations]
	if word := r.words.find(Deny, ext); word != "" {
		return Ruling{Deny, word}
	}
	if i := r.deny.find(s); i >= 0 {
		return Ruling{Deny, r.deny.entries[i]}
	}
	if word := r.words.find(NeedsApproval, ext); word != "" {
		return Ruling{NeedsApproval, word}
	}
	if i := r.needs.find(s); i >= 0 {
		return Ruling{NeedsApproval, r.needs.entries[i]}
	}
	if r.open {
		return Ruling{Allow, byDefault}
	}
	if word := r.words.find(Allow, ext); word != "" {
		return Ruling{Allow, word}
	}
	if i := r.allow.find(s); i >= 0 {
		return Ruling{Allow, r.allow.entries[i]}
	}
	return Ruling{p.Default, byDefault}
}

// words are external and internal in each list, by verdict.
type words struct{ external, internal [3]bool }

// find returns the word of a list that names the destination, or "".
func (w *words) find(list Verdict, ext event.Tri) string {
	switch {
	case ext == event.Yes && w.external[list]:
		return external
	case ext == event.No && w.internal[list]:
		return internal
	}
	return ""
}

// hostOf returns the host of a URL, or "" if readers of URLs could disagree on it.
func hostOf(url string) string {
	s, found := strings.CutPrefix(url, "//")
	if !found {
		if i := strings.Index(url, "://"); i > 0 && isScheme(url[:i]) {
			s, found = url[i+3:], true
		}
	}
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		s = s[:i]
	}
	if i := strings.IndexByte(s, '@'); i >= 0 {
		// Without // the part before the @ may be a scheme; with a \ browsers and libraries see different hosts.
		if !found || strings.ContainsAny(s[:i], `\`) {
			return ""
		}
		s = s[i+1:]
	}
	return hostPort(s)
}

func isScheme(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && (i == 0 || (s[i] < '0' || s[i] > '9') && s[i] != '+' && s[i] != '-' && s[i] != '.') {
			return false
		}
	}
	return s != ""
}

// domainOf returns the domain of one address, with or without a display name, or "" if it is not plain.
func domainOf(address string) string {
	s := strings.TrimSpace(address)
	if i := strings.LastIndexByte(s, '<'); i >= 0 {
		inner, ok := strings.CutSuffix(s[i+1:], ">")
		if !ok {
			return ""
		}
		// Mail programs show an address as its own name; another address there is one that a careless mailer may use.
		if name := strings.Trim(s[:i], ` "'`); strings.Contains(name, "@") && name != inner {
			return ""
		}
		s = inner
	}
	_, domain, ok := strings.Cut(s, "@")
	if !ok || !isHost(domain) {
		return ""
	}
	return strings.TrimSuffix(domain, ".")
}

// hostPort returns host without port, brackets and the root's dot, or "" if it is no host.
func hostPort(s string) string {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		i := strings.IndexByte(inner, ']')
		if i < 0 || inner[i+1:] != "" && !isPort(inner[i+1:]) {
			return ""
		}
		if _, err := netip.ParseAddr(inner[:i]); err != nil {
			return ""
		}
		return inner[:i]
	}
	if i := strings.IndexByte(s, ':'); i >= 0 {
		if strings.IndexByte(s[i+1:], ':') >= 0 {
			if _, err := netip.ParseAddr(s); err != nil {
				return ""
			}
			return s
		}
		if !isPort(s[i:]) {
			return ""
		}
		s = s[:i]
	}
	if !isHost(s) {
		return ""
	}
	return strings.TrimSuffix(s, ".")
}

// isPort wants :1 to :65535; an empty port is what is left of https:/evil.example.
func isPort(s string) bool {
	if len(s) < 2 || len(s) > 6 || s[0] != ':' {
		return false
	}
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// isHost lets letters, digits, dots, hyphens and underscores through, and letters of other scripts. What looks like a slash or a dot
// there (U+FF0F, U+3002) becomes one on its way to a resolver, so it is no part of a name.
func isHost(s string) bool {
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '-', r == '_':
		case r > unicode.MaxASCII && r != unicode.ReplacementChar && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)):
		default:
			return false
		}
	}
	return s != "" && s != "."
}
