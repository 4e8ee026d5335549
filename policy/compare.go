package policy

import (
	"cmp"
	"slices"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Declares reports whether the persona allows a value of a dimension, with or without an approval,
// by its name or by a pattern other than *. The words external and internal do not count.
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

// Difference is a point in which a declared persona differs from what its agents do.
type Difference struct {
	// Kind is undeclared (used and not allowed), unused (allowed and not used) or rare (allowed and
	// seldom used).
	Kind      string `json:"kind"`
	Dimension string `json:"dimension"`
	Value     string `json:"value"`             // that was used; if unused, the entry
	Verdict   string `json:"verdict,omitempty"` // if undeclared: deny or needs_approval
	Rule      string `json:"rule,omitempty"`    // the entry that decided, or default
	AgentDays int64  `json:"agent_days"`
	First     string `json:"first_day,omitempty"` // if unused: the first day of the record
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

// Compare returns the differences between a declared persona and what was seen. A value that was
// seen on fewer agent-days than least is rare.
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
					// It is declared, with an approval. Whether there was one, the engine checks.
					continue
				}
			case s.AgentDays < least && p.judged&(1<<d) != 0:
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

// allows is the ruling on a value that was seen. If gateways said different things of a
// destination, it is the worst ruling.
func (p *Persona) allows(d Dimension, s *Seen) Ruling {
	if d != Destinations {
		if p.judged&(1<<d) == 0 {
			return Ruling{Allow, byDefault}
		}
		return p.ruling(d, s.Value)
	}
	if p.judged&(1<<d) == 0 {
		return Ruling{Allow, byDefault}
	}
	worst := Ruling{Allow, ""}
	for _, ext := range []event.Tri{event.Unknown, event.No, event.Yes} {
		if s.External&(1<<ext) == 0 && !(s.External == 0 && ext == event.Unknown) {
			continue
		}
		v := s.Value
		if v == external || v == internal || v == "*" { // the host could not be read
			v = ""
		}
		if r := p.destinationRuling(v, ext); worst.Rule == "" || r.Verdict > worst.Verdict {
			worst = r
		}
	}
	return worst
}

// names reports whether an entry of a dimension fits a value.
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
