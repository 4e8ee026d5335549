package policy

import (
	"cmp"
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// maxDomains bounds the receivers of one call whose domains are looked at.
const maxDomains = 64

// Domains appends the domains that a destination names, in one spelling: of a list of addresses
// that of each. What cannot be read for certain has none.
func Domains(dst []string, d *event.Destination) []string {
	v := d.Value
	host := func(s string) {
		if s != "" && len(dst) < maxDomains {
			dst = append(dst, s)
		}
	}
	switch {
	case d.Domain != "":
		host(cmp.Or(hostPort(d.Domain), d.Domain))
		return dst
	case v == "":
		return dst
	case strings.EqualFold(d.Kind, "url") && !isMailto(v):
		for v != "" {
			var part string
			part, v = nextURL(v)
			if isMailto(part) {
				host(domainOf(part[7:]))
			} else {
				host(sureName(event.ReadURL(part)))
			}
		}
		return dst
	case strings.EqualFold(d.Kind, "host"):
		host(hostPort(v))
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
		host(domainOf(part))
	}
	return dst
}

// Declares tells whether the persona names a value of a dimension as allowed, or as allowed with an
// approval: by name or by a pattern that says more than "all". The words external and internal name
// nobody.
func (p *Persona) Declares(d Dimension, s string) bool {
	r := &p.rules[d]
	if dimensionDefs[d].fold || d == Destinations {
		s = lower(s)
	}
	for _, g := range [...]*glob.List{r.allow, r.needs} {
		if i := g.Find(s); i >= 0 && tame(g.Entries[i]) > 0 {
			return true
		}
	}
	return false
}
