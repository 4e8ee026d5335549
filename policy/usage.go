package policy

import (
	"time"

	"github.com/wayward-sec/wayward/event/localtime"
)

// Seen is one thing that agents of a persona used or reached.
type Seen struct {
	Value       string // as a list of the dimension names it
	AgentDays   int64  // agents that showed it, each once a day
	First, Last int64  // UTC days since 1970-01-01
	// External tells of a destination what the gateway says of it: bit per event.Tri.
	External uint8
}

// Usage is what the agents of one persona were seen to use and reach: what a persona could be made
// from, and what a declared one is compared with.
type Usage struct {
	Tenant, Persona string
	From            string // where it was seen: a file of events, a snapshot
	AgentDays       int64  // agents that acted, each once a day
	Agents          int64  // 0: not known
	First, Last     int64  // UTC days
	Of              [Dimensions][]Seen
	// Watched tells which dimensions were looked at: of the others nothing can be said. Hidden are
	// those of which some values have no name that a list could hold, such as addresses of which a
	// snapshot keeps hashes alone.
	Watched, Hidden [Dimensions]bool
	OwnTenant       bool  // every resource that says so was the tenant's own, and some said so
	MaxTier         int64 // 0: no agent said
	Limits          []Level
}

// Level is how much of something agents were seen to do in one unit.
type Level struct {
	Scope     Scope
	Measure   Measure
	Currency  string
	WindowMS  int64 // 0: of a session
	Reached   int64 // what 1 in 1,000 units reaches
	Units     int64 // that this rests on
	Estimated bool  // from a model of them
}

// DateOf writes a UTC day since 1970-01-01, such as Seen.First, as a date.
func DateOf(day int64) string {
	return time.UnixMilli(day * localtime.DayMS).UTC().Format(time.DateOnly)
}
