package policy

import (
	"slices"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Mismatch is how the persona that an agent says it plays disagrees with what is declared.
type Mismatch uint8

// Mismatches. A persona that an agent chooses for itself must not take it out of its rules.
const (
	Agreed    Mismatch = iota
	Otherwise          // the lists of agents have another persona for it: it is judged by that one
	Unlisted           // personas are declared, this one is not, and no list has the agent
)

// Role is the persona by which an agent is judged that says it plays one, or says nothing (""):
// what it says, unless the lists of agents know it otherwise. They do if they name the agent, or
// have it by a pattern other than a mere *, and the list of the persona that it says does not have
// it likewise. Patterns are tried one by one, so callers that ask often remember.
func (s *Set) Role(tenant, agent, said string) (persona string, m Mismatch) {
	said = event.Identity(said)
	known, by := s.player(tenant, agent)
	if said == "" || said == "unknown" || said == known { // who says that he does not know says nothing
		return known, Agreed
	}
	own := s.Persona(tenant, said)
	switch {
	case own == nil && known != "":
		return known, Otherwise
	case own == nil && s.declares(tenant):
		return said, Unlisted
	case known == "" || by == "*" || glob.Is(by) && own.lists(agent):
		return said, Agreed
	}
	return known, Otherwise
}

// declares tells whether there is any persona for a tenant.
func (s *Set) declares(tenant string) bool {
	return slices.ContainsFunc(s.personas, func(p *Persona) bool { return p.Tenant == "" || p.Tenant == tenant })
}

// lists tells whether the persona's list of agents has the agent, by more than a mere *.
func (p *Persona) lists(agent string) bool {
	return slices.ContainsFunc(p.Agents, func(a string) bool {
		if a == "*" { // of everybody, so it says nothing of this one
			return false
		}
		if !glob.Is(a) {
			return a == agent
		}
		g := glob.Compile(a)
		return g.Match(agent)
	})
}
