package expression

import (
	"maps"
	"slices"

	"github.com/wayward-sec/wayward/event"
)

// Context is what an expression sees when it runs.
type Context struct {
	E          *event.Event // nil if the scope has no event
	Persona    string
	Local      int64      // event time on the persona's own clock, Unix milliseconds
	Vars       []Value    // values of names, by slot
	Enrichment Enrichment // nil: nothing is known

	args    []cachedArgument
	full    []byte // scratch of tool.full
	form    event.Canonical
	digest  []byte // args_digest, once it was computed
	element string // the element at which a predicate is: #
}

// Reset points the context at the next event and forgets what was worked out of the one before. Vars
// stay.
func (c *Context) Reset(e *event.Event, persona string, local int64, enrichment Enrichment) {
	c.E, c.Persona, c.Local, c.Enrichment, c.args, c.digest = e, persona, local, enrichment, c.args[:0], c.digest[:0]
}

// Enrichment answers what does not stand in the event: what the persona's baseline knows, and what
// the policies say.
type Enrichment interface {
	// Seen tells whether the persona is known to use what the event has under this word: tool,
	// server, destination, domain, resource, user.
	Seen(word string) bool
	// Quantile is the size of such a call that is not exceeded with probability q; infinite if
	// nothing is known. Of records, bytes, amount and cost.
	Quantile(measure string, q float64) float64
	// Expected is how much an agent of the persona does in an hour like the event's; infinite if
	// nothing is known. Of events, records, bytes, amount and cost.
	Expected(measure string) float64
	// P is the smallest p-value of a detector for the event: volume, sequence, rarity. 1: nothing odd,
	// or nothing known.
	P(detector string) float64
	// Role is what the policies say of the persona and the call.
	Role() *Role
}

// Role is what the policies say of a persona and of the call that it makes.
type Role struct {
	Known         bool
	Default       string
	Tags          []string
	Forbids       []string // dimensions
	NeedsApproval bool
}

var noRole = &Role{}

func (c *Context) role() *Role {
	if c.Enrichment == nil {
		return noRole
	}
	return c.Enrichment.Role()
}

// Supposed is what a test of a rule supposes the baseline to know, by word: it is answered in place of
// the baseline.
type Supposed struct {
	Seen     map[string]bool    `json:"seen,omitempty"`
	Quantile map[string]float64 `json:"quantile,omitempty"` // whatever the share
	Expected map[string]float64 `json:"expected,omitempty"`
	P        map[string]float64 `json:"p,omitempty"`
}

// baselineWords are the words that each function of a baseline takes.
var baselineWords = map[string][]string{
	"baseline.seen":     {"tool", "server", "destination", "domain", "resource", "user"},
	"baseline.quantile": {"records", "bytes", "amount", "cost"},
	"baseline.expected": {"events", "records", "bytes", "amount", "cost"},
	"baseline.p":        {"volume", "sequence", "rarity"},
}

// UnknownWord returns the first word that no function takes, and those that its function takes; "":
// there is none.
func (s *Supposed) UnknownWord() (word string, known []string) {
	for _, f := range []struct {
		function string
		words    []string
	}{
		{"baseline.seen", slices.Sorted(maps.Keys(s.Seen))},
		{"baseline.quantile", slices.Sorted(maps.Keys(s.Quantile))},
		{"baseline.expected", slices.Sorted(maps.Keys(s.Expected))},
		{"baseline.p", slices.Sorted(maps.Keys(s.P))},
	} {
		for _, w := range f.words {
			if known := baselineWords[f.function]; !slices.Contains(known, w) {
				return w, known
			}
		}
	}
	return "", nil
}
