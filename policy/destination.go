package policy

import (
	"strings"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
)

// Words of a destination list that are not patterns: they ask destination.external.
const (
	external = "external"
	internal = "internal"
)

// destination judges where the call goes. Of what cannot be read for certain (two hosts in one URL,
// a recipient with two @) no list names the host: only `*`, `external`, `internal` and the default
// apply, and the violation shows the whole value. Guessing would let whoever writes the value
// choose the reading that passes.
func (p *Persona) destination(d *event.Destination, dst []Violation) []Violation {
	v := d.Value
	switch {
	case d.Domain != "":
		return p.host(event.ReadHost(d.Domain), d.Domain, d.External, dst)
	case v == "":
		if d.External == event.Yes { // it left for somebody that the gateway does not name
			return p.host(event.Host{}, external, d.External, dst)
		}
		return dst
	case strings.EqualFold(d.Kind, "email"):
		return p.recipients(v, d.External, dst)
	case strings.EqualFold(d.Kind, "url"):
		return p.urls(v, d.External, dst)
	case strings.EqualFold(d.Kind, "host"):
		return p.host(event.ReadHost(v), v, d.External, dst)
	}
	return p.target(v, v, d.External, dst)
}

// urls judges every URL of a list.
func (p *Persona) urls(list string, ext event.Tri, dst []Violation) []Violation {
	first := len(dst)
	for rest := list; rest != ""; {
		var part string
		part, rest = catalogue.NextURL(rest)
		n := len(dst)
		if catalogue.IsMailto(part) {
			dst = p.recipients(part[7:], ext, dst)
		} else {
			dst = p.host(event.ReadURL(part), part, ext, dst)
		}
		dst = once(dst, first, n)
	}
	return dst
}

// once drops what was added since n if it was said before: a domain that occurs twice is one
// violation.
func once(dst []Violation, first, n int) []Violation {
	for i := n; i < len(dst); i++ {
		for _, v := range dst[first:i] {
			if v.Value == dst[i].Value {
				dst = append(dst[:i], dst[i+1:]...)
				i--
				break
			}
		}
	}
	return dst
}

// host judges one host, or raw if none could be read. Of what readers could disagree on each
// reading may be denied, and none is let pass by its name.
func (p *Persona) host(h event.Host, raw string, ext event.Tri, dst []Violation) []Violation {
	if h.Sure {
		return p.target(h.Name, h.Name, ext, dst)
	}
	for _, name := range [...]string{h.Name, h.Other} {
		if name == "" {
			continue
		}
		if r := p.goesTo(event.Lower(name), ext); r.Verdict == Deny && r.Rule != byDefault {
			return append(dst, Violation{Destinations.String(), name, r.Rule, r.Verdict})
		}
	}
	return p.target("", raw, ext, dst)
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
		dst = p.host(catalogue.HostOfAddress(part), strings.TrimSpace(part), ext, dst)
		dst = once(dst, first, n)
	}
	if !seen {
		return p.target("", list, ext, dst)
	}
	return dst
}

// target judges what was made of a destination; shown is what the violation says.
func (p *Persona) target(s, shown string, ext event.Tri, dst []Violation) []Violation {
	var r Ruling
	if event.HasUpper(s) {
		var buf [event.MaxString]byte
		r = p.goesTo(event.LowerInto(buf[:], s), ext)
	} else {
		r = p.goesTo(s, ext)
	}
	if r.Verdict == Allow && !p.all {
		return dst
	}
	return append(dst, Violation{Destinations.String(), shown, r.Rule, r.Verdict})
}

// goesTo is what the lists say of a destination in lower case. Within each list the words go before
// the names.
func (p *Persona) goesTo(s string, ext event.Tri) Ruling {
	r := &p.rules[Destinations]
	if word := r.words.find(Deny, ext); word != "" {
		return Ruling{Deny, word}
	}
	if i := r.deny.Find(s); i >= 0 {
		return Ruling{Deny, r.deny.Entries[i]}
	}
	if word := r.words.find(NeedsApproval, ext); word != "" {
		return Ruling{NeedsApproval, word}
	}
	if i := r.needs.Find(s); i >= 0 {
		return Ruling{NeedsApproval, r.needs.Entries[i]}
	}
	if r.open {
		return Ruling{Allow, byDefault}
	}
	if word := r.words.find(Allow, ext); word != "" {
		return Ruling{Allow, word}
	}
	if i := r.allow.Find(s); i >= 0 {
		return Ruling{Allow, r.allow.Entries[i]}
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
