package policy

import (
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Declares tells whether the persona names a value of a dimension as allowed, or as allowed with an
// approval: by name or by a pattern that says more than "all". The words external and internal name
// nobody.
func (p *Persona) Declares(d Dimension, s string) bool {
	r := &p.rules[d]
	if dimensionDefs[d].fold || d == Destinations {
		s = event.Lower(s)
	}
	for _, g := range [...]*glob.List{r.allow, r.needs} {
		if i := g.Find(s); i >= 0 && glob.Fixed(g.Entries[i]) > 0 {
			return true
		}
	}
	return false
}
