package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
)

// Severity of a finding, with the numbers of OCSF's severity_id.
type Severity uint8

// Severities, weakest first.
const (
	Signal Severity = iota + 1
	Low
	Medium
	High
	Critical
)

var severities = []string{"", "informational", "low", "medium", "high", "critical"}

func (s Severity) String() string { return severities[s] }

// ParseSeverity returns the severity that a word names.
func ParseSeverity(word string) (Severity, bool) {
	for i, w := range severities[1:] {
		if w == word {
			return Severity(i + 1), true
		}
	}
	return 0, false
}

// Ref points at an event without holding it.
type Ref struct {
	Time  int64 // Unix milliseconds
	ID    string
	Agent string
}

// MaxRefs is how many first contributors a finding names besides its trigger.
const MaxRefs = 5

// Before orders references by (time, id), and by agent where two agents use one id.
func (r Ref) Before(o Ref) bool {
	if r.Time != o.Time {
		return r.Time < o.Time
	}
	if r.ID != o.ID {
		return r.ID < o.ID
	}
	return r.Agent < o.Agent
}

// Clone returns a reference with memory of its own: ids of events alias the record they came in.
func (r Ref) Clone() Ref {
	both := r.ID + r.Agent // one piece of memory for two strings
	if r.Agent == "" {
		both = strings.Clone(r.ID)
	}
	return Ref{r.Time, both[:len(r.ID)], both[len(r.ID):]}
}

// Activity is what happened to a finding, with OCSF's activity_id.
type Activity uint8

// Activities of a finding. An update keeps uid, trigger and time. Again is a finding that goes on
// without having grown enough for an update: nothing is sent, but its response is repeated if that
// is no longer in force.
const (
	Again  Activity = 0
	Create Activity = 1
	Update Activity = 2
)

// Analytic says what kind of reasoning made a finding, with OCSF's analytic.type_id.
type Analytic uint8

// Analytics in use.
const (
	RuleAnalytic        Analytic = 1
	BehaviouralAnalytic Analytic = 2
	StatisticalAnalytic Analytic = 3
)

// Finding is the result of a detector; package sinks encodes it as OCSF.
type Finding struct {
	UID      string
	Activity Activity
	Analytic Analytic
	Severity Severity
	Risk     int  // 0–100, of this finding alone
	Alert    bool // false: a signal, which is recorded and raises no alert
	// Incomplete: made while a source of facts was left out or state had been dropped, so more may
	// be behind it.
	Incomplete bool
	// Full says for what there was no room in the state, so that the finding was made without it:
	// "state is full: …". It ends Why, too. "": nothing.
	Full string

	// Unreadable are the fields of the trigger that could not be read as they were sent: what the
	// finding says of them may not be all. "": none.
	Unreadable string

	Tenant      string
	Detector    string // name in the registry
	Rule        string // what was broken: id of the limit, name of the persona
	RuleVersion string // first 12 hex digits of the definition's hash
	Title       string
	Why         string // one sentence: what was observed, what was allowed, over which span
	Tags        []string

	ScopeType string // agent, session, persona, user, tenant
	ScopeID   string
	Agent     string // empty if more than one
	Persona   string
	Session   string
	User      string
	Tool      string // of the trigger
	Server    string
	Class     Class
	Target    string // destination or resource of the trigger, if the finding is about it

	Time  int64 // event time of the trigger, Unix milliseconds
	First int64 // event time of the first contributor
	Last  int64 // event time of the newest contributor: grows with updates
	// wall clock of the transaction, Unix milliseconds; 0 in a replay. Never part of identity or
	// comparison
	Now   int64
	Count int64 // contributors so far
	Refs  []Ref // first contributors in order, at most six, the trigger last

	Measure  string // what was measured: count, records, bytes, amount, cost; empty if nothing was
	Unit     string // currency or unit of Observed and Expected
	Observed string // decimal
	Expected string // decimal: the limit
	WindowMS int64
	Stage    string // behaviour or relation

	// Anomaly is what a statistical finding rests on; nil: it is certain.
	Anomaly *Anomaly

	// Response is what the broken rule asks for; nil: nothing. A finding that is only a warning has none.
	Response *Response
}

// UID is the identity of a finding: a hash of tenant, detector or rule, scope and trigger, so that
// a replay, a restart or a new version of the rule gives the same one. 128 bits of
// SHA-256, each part preceded by its length.
func UID(tenant, rule, scopeType, scopeID, trigger string) string {
	return uid(tenant, rule, scopeType, scopeID, trigger)
}

// TriggeredUID is the identity of a finding that an event triggered: UID with the event's time,
// too. Agents that count their events from 1 after a restart give one id to two events, and what is
// found at the second is no update of what was found at the first.
func TriggeredUID(tenant, rule, scopeType, scopeID string, trigger Ref) string {
	return uid(tenant, rule, scopeType, scopeID, trigger.ID, strconv.FormatInt(trigger.Time, 10))
}

func uid(parts ...string) string {
	h := sha256.New()
	for _, s := range parts {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	var sum [sha256.Size]byte
	return hex.EncodeToString(h.Sum(sum[:0])[:16])
}

// Anomaly says how rare something is, compared to what, and how that was computed: enough to draw
// it and to check it.
type Anomaly struct {
	P     float64 // p-value
	Alpha float64 // p-value below which the persona's alert budget lets a test of this family raise an alert
	// Family and Test name the kind of test, as `wayward baseline audit` counts them.
	Family, Test string
	// Feature is what was counted or seen: events, records, bytes, amount, cost, subjects,
	// resources; tool, server, destination …
	Feature string
	Unit    string // of the numbers: currency or bytes; empty: a count
	// Observed, Expected and the band (the 1st and 99.9th percentile of what is usual here) in
	// Unit. Zero if the finding is not about an amount.
	Observed, Expected, Low, High float64
	WindowMS                      int64 // of a windowed count
	// the persona's own clock: "Tue 14:00 Europe/Berlin"; empty if it plays no part
	Season        string
	Persona, Fork string // against whom
	// support: agents that acted, summed over days (decayed), and on the last one
	AgentDays, Agents int64
	Snapshot          string // day and hash of the baseline: "2026-11-20/3fa9c1d20b7e4a55"
	State             string // of the baseline: learning, active, stale, suspect
	// what is new came with an agent that is new itself: the baseline has never met it, and rests
	// on too few others to say what newcomers bring
	Stranger bool
	Scores   []Score
	Steps    []Step // of a sequence, oldest first, the trigger last
}

// Score is one of several p-values that were joined.
type Score struct {
	Name string
	P    float64
}

// Step is one step of a sequence: how surprising it was, and what usually comes there.
type Step struct {
	What  string // the call: tool, class, resource, outcome
	Bits  float64
	Usual []Usual // what usually comes next, most usual first
}

// Usual is one thing that usually comes, and how often.
type Usual struct {
	What  string
	Share float64
}
