package policy

import (
	"cmp"
	"slices"

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

// Difference is a point in which a declared persona and what its agents do part.
type Difference struct {
	// undeclared: used and not allowed; unused: allowed and not used; rare: allowed and seldom used
	Kind      string `json:"kind"`
	Dimension string `json:"dimension"`
	Value     string `json:"value"`             // what was used; of unused the entry
	Verdict   string `json:"verdict,omitempty"` // of undeclared: deny or needs_approval
	Rule      string `json:"rule,omitempty"`    // … and the entry that says so, or default
	AgentDays int64  `json:"agent_days"`
	First     string `json:"first_day,omitempty"` // of unused: since when the record goes without it
	Last      string `json:"last_day,omitempty"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
}

// Kinds of differences, the worst first.
const (
	Undeclared = "undeclared"
	Unused     = "unused"
	Rare       = "rare"
)

// Compare says where a declared persona and what was seen part. Seen on fewer agent-days than least
// is rare.
func (p *Persona) Compare(u *Usage, least int64) []Difference {
	var out []Difference
	for d := range Dimensions {
		if !u.Watched[d] {
			continue
		}
		used := map[string]bool{}
		for i := range u.Of[d] {
			s := &u.Of[d][i]
			r := p.allows(d, s)
			used[r.Rule] = true
			x := Difference{Dimension: d.String(), Value: s.Value, AgentDays: s.AgentDays, First: DateOf(s.First),
				Last: DateOf(s.Last)}
			switch {
			case r.Verdict != Allow:
				x.Kind, x.Verdict, x.Rule = Undeclared, r.Verdict.String(), r.Rule
				if r.Verdict == NeedsApproval && r.Rule != byDefault {
					// it is declared, with an approval: whether there was one is for the engine to
					// say
					continue
				}
			case s.AgentDays < least && p.used&(1<<d) != 0:
				x.Kind, x.Rule = Rare, r.Rule
			default:
				continue
			}
			if x.Rule != "" && x.Rule != byDefault {
				x.File, x.Line = p.placeOf(d, x.Rule)
			}
			out = append(out, x)
		}
		for _, e := range p.Lists[d].Allow {
			if used[e] || u.Hidden[d] || d == Destinations && (e == external || e == internal) ||
				slices.ContainsFunc(u.Of[d], func(s Seen) bool { return names(d, e, s.Value) }) {
				continue
			}
			x := Difference{Kind: Unused, Dimension: d.String(), Value: e, First: DateOf(u.First)}
			x.File, x.Line = p.placeOf(d, e)
			out = append(out, x)
		}
	}
	order := []string{Undeclared, Unused, Rare}
	slices.SortStableFunc(out, func(a, b Difference) int {
		return cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind))
	})
	return out
}

// allows is what the persona says of a value that was seen: the worst of it, where the gateway said
// now this and now that of a destination.
func (p *Persona) allows(d Dimension, s *Seen) Ruling {
	if d != Destinations {
		if p.used&(1<<d) == 0 {
			return Ruling{Allow, byDefault}
		}
		return p.ruling(d, s.Value)
	}
	if p.used&(1<<d) == 0 {
		return Ruling{Allow, byDefault}
	}
	worst := Ruling{Allow, ""}
	for _, ext := range []event.Tri{event.Unknown, event.No, event.Yes} {
		if s.External&(1<<ext) == 0 && !(s.External == 0 && ext == event.Unknown) {
			continue
		}
		v := s.Value
		if v == external || v == internal || v == "*" { // nobody could read where it went
			v = ""
		}
		if r := p.goesTo(v, ext); worst.Rule == "" || r.Verdict > worst.Verdict {
			worst = r
		}
	}
	return worst
}

// names tells whether an entry of a dimension names a value.
func names(d Dimension, e, value string) bool {
	if dimensionDefs[d].fold {
		e = event.Lower(e)
	}
	g := glob.Compile(e)
	return g.Match(value)
}

// placeOf is where an entry of a dimension was written.
func (p *Persona) placeOf(d Dimension, e string) (file string, line int) {
	l := p.Lists[d]
	for _, n := range (&listsDef{l.Allow, l.Deny, l.Needs}).named() {
		if i := slices.Index(*n.list, e); i >= 0 {
			return p.Place(at(dimensionDefs[d].path+"."+n.key, i))
		}
	}
	if d == Tools {
		return p.namedAt(e)
	}
	return "", 0
}
