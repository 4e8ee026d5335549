package policy

import (
	"strings"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
)

// Words of a list of destinations that are no patterns. They match destination.external.
const (
	external = "external"
	internal = "internal"
)

// judgeDestination judges where the call goes. If programs could disagree on the host (two hosts in
// one URL, a recipient with two @), no name in a list matches: only `*`, `external`, `internal` and
// the default apply, and the violation shows the whole value. A guess would let an attacker choose
// the reading that passes.
func (p *Persona) judgeDestination(d *event.Destination, dst []Violation) []Violation {
	v := d.Value
	switch {
	case d.Domain != "":
		return p.judgeHost(event.ReadHost(d.Domain), d.Domain, d.External, dst)
	case v == "":
		if d.External == event.Yes { // the gateway does not name the receiver
			return p.judgeHost(event.Host{}, external, d.External, dst)
		}
		return dst
	case strings.EqualFold(d.Kind, "email"):
		return p.judgeRecipients(v, d.External, dst)
	case strings.EqualFold(d.Kind, "url"):
		return p.judgeURLs(v, d.External, dst)
	case strings.EqualFold(d.Kind, "host"):
		return p.judgeHost(event.ReadHost(v), v, d.External, dst)
	}
	return p.judgeTarget(v, v, d.External, dst)
}

// judgeURLs judges every URL of a list.
func (p *Persona) judgeURLs(list string, ext event.Tri, dst []Violation) []Violation {
	first := len(dst)
	for rest := list; rest != ""; {
		var part string
		part, rest = catalogue.NextURL(rest)
		n := len(dst)
		if catalogue.IsMailto(part) {
			dst = p.judgeRecipients(part[7:], ext, dst)
		} else {
			dst = p.judgeHost(event.ReadURL(part), part, ext, dst)
		}
		dst = dropRepeated(dst, first, n)
	}
	return dst
}

// dropRepeated drops the violations since n that stand between first and n too: a domain that
// occurs twice is one violation.
func dropRepeated(dst []Violation, first, n int) []Violation {
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

// judgeHost judges one host, or raw if there is no host. If programs could disagree on the host,
// each reading can be denied by name, and none can be allowed by name.
func (p *Persona) judgeHost(h event.Host, raw string, ext event.Tri, dst []Violation) []Violation {
	if h.Sure {
		return p.judgeTarget(h.Name, h.Name, ext, dst)
	}
	for _, name := range [...]string{h.Name, h.Other} {
		if name == "" {
			continue
		}
		if r := p.destinationRuling(event.Lower(name), ext); r.Verdict == Deny && r.Rule != byDefault {
			return append(dst, Violation{Destinations.String(), name, r.Rule, r.Verdict})
		}
	}
	return p.judgeTarget("", raw, ext, dst)
}

// judgeRecipients judges every address of a list, since the one that matters may stand in the
// middle.
func (p *Persona) judgeRecipients(list string, ext event.Tri, dst []Violation) []Violation {
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
		dst = p.judgeHost(catalogue.HostOfAddress(part), strings.TrimSpace(part), ext, dst)
		dst = dropRepeated(dst, first, n)
	}
	if !seen {
		return p.judgeTarget("", list, ext, dst)
	}
	return dst
}

// judgeTarget judges a destination in its final spelling. shown is the value of the violation.
func (p *Persona) judgeTarget(s, shown string, ext event.Tri, dst []Violation) []Violation {
	var r Ruling
	if event.HasUpper(s) {
		var buf [event.MaxString]byte
		r = p.destinationRuling(event.LowerInto(buf[:], s), ext)
	} else {
		r = p.destinationRuling(s, ext)
	}
	if r.Verdict == Allow && !p.explainAll {
		return dst
	}
	return append(dst, Violation{Destinations.String(), shown, r.Rule, r.Verdict})
}

// destinationRuling is the ruling of the lists on a destination in lower case. In each list
// external and internal come before names.
func (p *Persona) destinationRuling(s string, ext event.Tri) Ruling {
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

// externalWords are external and internal in each list, by verdict.
type externalWords struct{ external, internal [3]bool }

// find returns the word of a list that fits the destination, or "".
func (w *externalWords) find(list Verdict, ext event.Tri) string {
	switch {
	case ext == event.Yes && w.external[list]:
		return external
	case ext == event.No && w.internal[list]:
		return internal
	}
	return ""
}
