package policy

import (
	"slices"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Mismatch is how the persona that an agent claims disagrees with the lists of agents.
type Mismatch uint8

// Mismatches. A persona that an agent chooses for itself must not take it out of its rules.
const (
	Agreed    Mismatch = iota
	Otherwise          // the lists have another persona for the agent, which is the one that counts
	Unlisted           // the claimed persona is not declared, others are, and no list has the agent
)

// Role is the persona by which an agent is judged. claimed is the persona that the agent says it
// plays; "" and "unknown" are none. The claim counts, unless the lists of agents have the agent for
// another persona: by its name, or by a pattern other than * while the claimed persona's list does
// not have it. It is slow: callers keep the result.
func (s *Set) Role(tenant, agent, claimed string) (persona string, m Mismatch) {
	claimed = event.Identity(claimed)
	listed, by := s.personaOfAgent(tenant, agent)
	if claimed == "" || claimed == "unknown" || claimed == listed {
		return listed, Agreed
	}
	own := s.Persona(tenant, claimed)
	switch {
	case own == nil && listed != "":
		return listed, Otherwise
	case own == nil && s.declares(tenant):
		return claimed, Unlisted
	case listed == "" || by == "*" || glob.Is(by) && own.lists(agent):
		return claimed, Agreed
	}
	return listed, Otherwise
}

// declares reports whether there is any persona for a tenant.
func (s *Set) declares(tenant string) bool {
	return slices.ContainsFunc(s.personas, func(p *Persona) bool { return p.Tenant == "" || p.Tenant == tenant })
}

// lists reports whether the persona's list of agents has the agent, by more than *.
func (p *Persona) lists(agent string) bool {
	return slices.ContainsFunc(p.Agents, func(a string) bool {
		if a == "*" {
			return false
		}
		if !glob.Is(a) {
			return a == agent
		}
		g := glob.Compile(a)
		return g.Match(agent)
	})
}
