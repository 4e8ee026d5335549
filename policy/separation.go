package policy

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
	"github.com/wayward-sec/wayward/event/localtime"
)

// Separation is a segregation of duties: two kinds of call of which the same session, agent, owner
// or credential may make only one.
//
// Within a session or an agent it counts the calls of agents that play the persona. Within an owner
// or a credential it counts the calls of every agent that has them, and finds a pair if at least
// one of the two calls is by an agent that plays the persona: so it finds duties that are split
// over agents. The calls of an agent that is idle for a week are forgotten.
type Separation struct {
	Name     string
	Persona  *Persona
	Within   Scope
	WindowMS int64       // 0: as long as the session lasts
	Same     [2]Sameness // the field of each side that must be equal; NotSame: none
	Hash     uint64      // of the definition and its persona; the key of its state
	sides    [2]side
}

type side struct {
	tools, servers *glob.List
	classes        uint16
	text           string
}

type separationDef struct {
	Name    string    `json:"name"`
	Between []sideDef `json:"between"`
	Within  string    `json:"within,omitempty"`
	Window  string    `json:"window,omitempty"`
	Same    sameDef   `json:"same,omitzero"`
}

// sameDef is the fields that must be equal: one word for both sides, or one for each.
type sameDef struct {
	First  string `json:"first"`
	Second string `json:"second"`
}

// MarshalJSON writes one word where both sides have the same.
func (d sameDef) MarshalJSON() ([]byte, error) {
	if d.First == d.Second {
		return canonical(d.First), nil
	}
	type pair sameDef
	return canonical(pair(d)), nil
}

// UnmarshalJSON reads a word or a pair.
func (d *sameDef) UnmarshalJSON(b []byte) error {
	var word string
	if json.Unmarshal(b, &word) == nil {
		*d = sameDef{word, word}
		return nil
	}
	type pair sameDef
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	return dec.Decode((*pair)(d))
}

// Sameness is a field of a call that must be equal on both sides of a pair.
type Sameness uint8

// Kinds of sameness.
const (
	NotSame Sameness = iota
	SameResource
	SameSubject
	SameBeneficiary
	SameDestination
	SameUser
)

var samenesses = []string{"", "resource", "subject", "beneficiary", "destination", "user"}

func (s Sameness) String() string { return samenesses[s] }

// Of appends the value of the field; nothing if the call has none, or it is unknown.
func (s Sameness) Of(dst []byte, e *event.Event) []byte {
	switch s {
	case SameResource:
		return append(dst, e.Resource.ID...)
	case SameSubject:
		return append(dst, e.Subject...)
	case SameBeneficiary:
		return AppendBeneficiary(dst, e)
	case SameDestination:
		return AppendDestination(dst, &e.Destination)
	case SameUser:
		return append(dst, e.User...)
	}
	return dst
}

// Key appends the value by which a call is compared as one side of the pair. Ids of resources are
// compared with each other as they are. Values of different fields, and those that people spell in
// many ways, are compared without case and blanks. Nothing is appended if the value is unknown.
func (s *Separation) Key(dst []byte, side int, e *event.Event) []byte {
	same := s.Same[side]
	if s.Same[0] == s.Same[1] && same != SameUser {
		return same.Of(dst, e)
	}
	// With its kind, an account would be spelled differently than in the other field.
	d := event.Destination{Value: e.Destination.Value}
	switch same {
	case SameResource:
		d.Value = e.Resource.ID
	case SameSubject:
		d.Value = e.Subject
	case SameUser:
		d.Value = e.User
	case SameBeneficiary:
		if len(AppendBeneficiary(nil, e)) == 0 {
			return dst
		}
	case SameDestination:
		if strings.EqualFold(e.Destination.Kind, "url") || d.Value == "" {
			return AppendDestination(dst, &e.Destination)
		}
	}
	return appendSpelling(dst, &d)
}

// ComparesFields reports whether a field must be equal on both sides.
func (s *Separation) ComparesFields() bool { return s.Same[0] != NotSame }

// Sameness says for people which fields are equal.
func (s *Separation) Sameness() string {
	switch {
	case !s.ComparesFields():
		return ""
	case s.Same[0] == s.Same[1]:
		return [...]string{SameResource: "on one resource", SameSubject: "about one subject",
			SameBeneficiary: "for one beneficiary",
			SameDestination: "to one destination", SameUser: "for one user"}[s.Same[0]]
	}
	return "where the " + s.Same[0].String() + " of the first is the " + s.Same[1].String() + " of the second"
}

type sideDef struct {
	Tools   []string `json:"tools,omitempty"`
	Servers []string `json:"servers,omitempty"`
	Classes []string `json:"classes,omitempty"`
}

var separationScopes = []Scope{SessionScope, AgentScope, OwnerScope, CredentialScope}

const defaultSeparationWindow = 30 * localtime.DayMS

func compileSeparations(bad report, p *Persona, defs []separationDef) (all []*Separation) {
	for i, d := range defs {
		path := at("separate", i)
		s := &Separation{Name: d.Name, Persona: p, Within: AgentScope}
		if !IsID(d.Name) {
			bad(path+".name",
				"%s is no name for a pair of duties; use letters, digits, dots, hyphens and underscores, such as pay-and-approve",
				event.Quote(d.Name))
		}
		for _, o := range all {
			if o.Name == d.Name && d.Name != "" {
				bad(path+".name", "separate has two pairs named %s; rename or remove one", event.Quote(d.Name))
			}
		}
		if d.Within != "" {
			var words []string
			found := false
			for _, scope := range separationScopes {
				words = append(words, scope.String())
				if scope.String() == d.Within {
					s.Within, found = scope, true
				}
			}
			if !found {
				bad(path+".within", "unknown word %s; %s", event.Quote(d.Within), didYouMean(d.Within, words))
			}
		}
		if d.Window != "" {
			w, what := parseWindow(d.Window)
			if what != "" {
				bad(path+".window", "%s", what)
			}
			s.WindowMS = w.Milliseconds()
		} else if s.Within != SessionScope {
			s.WindowMS = defaultSeparationWindow
		}
		for k, word := range [...]string{d.Same.First, d.Same.Second} {
			same := slices.Index(samenesses, word)
			switch {
			case same < 0:
				bad(path+".same", "unknown word %s; %s, or leave same out", event.Quote(word), didYouMean(word, samenesses[1:]))
			case word == "" && d.Same != sameDef{}:
				bad(path+".same",
					"a pair needs a word for each side; write same: {first: resource, second: beneficiary}, say")
			}
			s.Same[k] = Sameness(max(same, 0))
			if d.Same.First == d.Same.Second {
				s.Same[1] = s.Same[0]
				break
			}
		}
		if len(d.Between) != 2 {
			bad(path+".between",
				"a pair has two sides, not %d; write between: [{classes: [approve]}, {classes: [pay]}], say",
				len(d.Between))
		} else {
			for k := range s.sides {
				s.sides[k] = d.Between[k].compile(bad, at(path+".between", k))
			}
		}
		s.Hash = xxhash.Sum64(canonical([]any{p.Tenant, p.Name, d}))
		all = append(all, s)
	}
	return all
}

func (d sideDef) compile(bad report, path string) side {
	if len(d.Tools)+len(d.Servers)+len(d.Classes) == 0 {
		bad(path, "a side that names nothing is every call; give it tools, servers or classes")
	}
	checkEntries(bad, path+".tools", d.Tools)
	checkEntries(bad, path+".servers", d.Servers)
	s := side{tools: glob.NewList(d.Tools, false), servers: glob.NewList(d.Servers, false)}
	s.classes = parseClasses(bad, path+".classes", d.Classes)
	s.text = joinOr(slices.Concat(d.Classes, d.Tools, d.Servers))
	return s
}

// Sides returns which sides of the pair a tool call is. All conditions of a side must hold, and of
// each list one entry. A call may be both.
func (s *Separation) Sides(e *event.Event) (is [2]bool) {
	for i := range s.sides {
		d := &s.sides[i]
		is[i] = (d.classes == 0 || d.classes&classBits(e) != 0) && d.tools.PassesTool(&e.Tool) &&
			d.servers.Passes(e.Tool.Server)
	}
	return is
}

// Side is one side as it is written.
func (s *Separation) Side(i int) string { return s.sides[i].text }

// Separations are the separations that hold in a tenant, by persona and name: those of the tenant's
// own personas, and those of personas for every tenant that no own persona replaces.
func (s *Set) Separations(tenant string) (all []*Separation) {
	for _, p := range s.personas {
		if s.Persona(tenant, p.Name) == p {
			all = append(all, p.Separate...)
		}
	}
	return all
}
