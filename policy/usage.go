package policy

import (
	"time"

	"github.com/wayward-sec/wayward/event/localtime"
)

// Seen is one value of a dimension that agents of a persona used or reached.
type Seen struct {
	Value       string // as an entry of the dimension's lists, see EntryFor
	AgentDays   int64  // the agents that used it, each counted once a day
	First, Last int64  // UTC days since 1970-01-01
	// External is what gateways said of a destination, a bit for each event.Tri.
	External uint8
}

// Usage is what the agents of one persona were seen to use and reach. A persona can be drafted from
// it (package suggest), and a declared one compared with it.
type Usage struct {
	Tenant, Persona string
	From            string // where it was seen: a file of events, a snapshot
	AgentDays       int64  // the agents that acted, each counted once a day
	Agents          int64  // 0: unknown
	First, Last     int64  // UTC days
	Of              [Dimensions][]Seen
	// Watched are the dimensions that were recorded; nothing is known of the others. Hidden are those
	// with values that no list can name, such as addresses of which a snapshot has only hashes.
	Watched, Hidden [Dimensions]bool
	OwnTenant       bool  // some resources named a tenant, and it was always the agent's own
	MaxTier         int64 // 0: no agent had one
	Limits          []Level
}

// Level is how much of something agents were seen to do in one unit, a session or a day.
type Level struct {
	Scope     Scope
	Measure   Measure
	Currency  string
	WindowMS  int64 // 0: of a session
	Reached   int64 // by 1 in 1,000 units
	Units     int64 // that were observed
	Estimated bool  // by a statistical model
}

// DateOf writes a UTC day since 1970-01-01, such as Seen.First, as a date.
func DateOf(day int64) string {
	return time.UnixMilli(day * localtime.DayMS).UTC().Format(time.DateOnly)
}
