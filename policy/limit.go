package policy

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Measure says what a limit adds up.
type Measure uint8

// Measures of limits. Count is of calls, Amount of one currency, Cost of US dollars. Errors and
// Denials count calls with that outcome, Retries those that repeat one of the agent's last calls.
// The last three count distinct subjects, resources and destinations.
const (
	Count Measure = iota
	Records
	Bytes
	Amount
	Cost
	Errors
	Denials
	Retries
	DistinctSubjects
	DistinctResources
	DistinctDestinations
)

var measures = []string{"count", "records", "bytes", "amount", "cost", "errors", "denials", "retries",
	"distinct_subjects", "distinct_resources", "distinct_destinations"}

func (m Measure) String() string { return measures[m] }

// Distinct reports whether the measure counts distinct values.
func (m Measure) Distinct() bool { return m >= DistinctSubjects }

// money reports whether the measure is written as a decimal.
func (m Measure) money() bool { return m == Amount || m == Cost }

// MaxDistinct is the highest max of a limit that counts distinct values. All of them must be kept
// in memory, for each window of each scope.
const MaxDistinct = 10_000

// Calendar is the unit of a window that follows the calendar.
type Calendar uint8

// Units of calendar windows. Weeks begin on Monday, as in ISO 8601.
const (
	NoCalendar Calendar = iota
	Day
	Week
	Month
)

// calendars are the units as they are written, and their length; for months that of the longest.
var calendars = []struct {
	word, name string
	ms         int64
}{{}, {"1d", "day", 86_400_000}, {"1w", "week", 7 * 86_400_000}, {"1mo", "month", 31 * 86_400_000}}

func (c Calendar) String() string { return calendars[c].name }

// BucketMS is the resolution of counts above one agent: limits of personas, users and tenants are
// decided every 5 s of event time, and their windows are multiples of it.
const BucketMS = 5000

// Limit is how much of something one agent, session, persona, user or tenant may do in a span of
// time. Load, Parse and Default make limits and compile their conditions. A limit does not change.
type Limit struct {
	ID, Title string
	Scope     Scope
	Measure   Measure
	// Max is in calls, records or bytes; for amount and cost in millionths. More crosses the limit.
	Max      int64
	Warn     int64 // more than this is a warning, if Warns
	Warns    bool
	Currency string // of amount
	WindowMS int64  // 0: the whole session or the one call, with those scopes
	Tumbling bool   // else the window slides, unless Calendar is set
	Calendar Calendar
	Zone     *time.Location // of Calendar; nil: the persona's if the scope lies in one, else the tenant's
	Where    Where
	Respond  *event.Response // nil: no response
	// Builtin limits hold until somebody writes others. They do not know what is usual. So they do
	// not apply to personas whose baseline is old enough, nor to users whom many agents share.
	Builtin  bool
	Severity event.Severity
	Tags     []string
	// Hash covers what decides which events are counted and when the limit is crossed (id, scope,
	// measure, max, currency, window, kind, zone, where). It is the key of the limit's state: a new
	// title, warn or respond keeps the counts, a new condition does not.
	Hash    uint64
	Version string // first 12 hex digits of the SHA-256 of the whole definition

	tenants, personas, users, tools, servers     *glob.List
	resourceTypes, labels, environments, intents *glob.List
	classes                                      uint16
	outcomes                                     uint8

	def limitDef
}

// Where says which calls a limit counts: all conditions that are set must hold, and of each list
// one entry. All but classes, outcomes and external are names and patterns, case-sensitive. A class
// fits if the tool claims it or the call really had that effect.
type Where struct {
	Tenants, Personas, Users, Tools, Servers     []string
	ResourceTypes, Labels, Environments, Intents []string
	Classes                                      []event.Class
	Outcomes                                     []event.Outcome
	External                                     event.Tri // of the destination; Unknown: any
}

// Covers reports whether the limit counts calls of this tool by agents of this persona, apart from
// its other conditions. It is slow: callers keep the result.
func (l *Limit) Covers(tenant, persona string, tool *event.Tool) bool {
	return l.tenants.Passes(tenant) && l.personas.Passes(persona) && l.tools.PassesTool(tool) &&
		l.servers.Passes(tool.Server)
}

// Classes are the classes that the limit counts, one bit each; 0: all, also the unknown.
func (l *Limit) Classes() uint16 { return l.classes }

// Outcomes are the outcomes that the limit counts, one bit each; 0: all.
func (l *Limit) Outcomes() uint8 { return l.outcomes }

// HasConditions reports whether Matches has anything to check.
func (l *Limit) HasConditions() bool {
	return l.users != nil || l.resourceTypes != nil || l.labels != nil || l.environments != nil || l.intents != nil ||
		l.Where.External != event.Unknown
}

// Matches reports whether the call meets the conditions that are neither in Covers nor in Classes nor
// in Outcomes. It does not allocate.
func (l *Limit) Matches(e *event.Event) bool {
	if x := l.Where.External; x != event.Unknown && x != e.Destination.External {
		return false
	}
	if l.labels != nil && !slices.ContainsFunc(e.Resource.Labels, l.labels.Passes) {
		return false
	}
	return l.users.Passes(e.User) && l.resourceTypes.Passes(e.Resource.Type) &&
		l.environments.Passes(e.Resource.Environment) && l.intents.Passes(e.Intent)
}

// ClassBits is what a call claims to do and what it really did, one bit for each class.
func ClassBits(e *event.Event) uint16 { return classBits(e) }

// ZoneOf is the zone of a persona's calendar: its own, else its tenant's.
func (s *Set) ZoneOf(tenant, persona string) *time.Location {
	if p := s.Persona(tenant, persona); p != nil && p.Zone != nil {
		return p.Zone
	}
	return s.Zone(tenant)
}

// String is the limit for people: more than 1000 records per user in 1h (sliding).
func (l *Limit) String() string {
	var b strings.Builder
	b.WriteString("more than ")
	b.WriteString(l.quantity())
	b.WriteString(" per " + l.Scope.String())
	switch {
	case l.Calendar != NoCalendar:
		b.WriteString(" in a calendar " + l.Calendar.String())
		if l.Zone != nil {
			b.WriteString(" (" + l.Zone.String() + ")")
		}
	case l.WindowMS > 0 && l.Tumbling:
		b.WriteString(" in " + FormatSpan(l.WindowMS) + " (tumbling)")
	case l.WindowMS > 0:
		b.WriteString(" in " + FormatSpan(l.WindowMS) + " (sliding)")
	}
	return b.String()
}

// quantity is max with its unit.
func (l *Limit) quantity() string {
	switch l.Measure {
	case Amount:
		return formatMicro(l.Max) + " " + l.Currency
	case Cost:
		return formatMicro(l.Max) + " USD"
	}
	unit := [...]string{Count: "call", Records: "record", Bytes: "byte", Errors: "error", Denials: "denial",
		Retries:          "retry",
		DistinctSubjects: "distinct subject", DistinctResources: "distinct resource",
		DistinctDestinations: "distinct destination"}[l.Measure]
	if l.Max != 1 {
		if unit += "s"; l.Measure == Retries {
			unit = "retries"
		}
	}
	return strconv.FormatInt(l.Max, 10) + " " + unit
}

// AppendIdentity appends what decides which calls the limit counts, apart from scope and window. It
// is part of the key of state, so its bytes for the same conditions must never change.
func (w *Where) AppendIdentity(b []byte) []byte {
	list := func(ss []string) {
		b = binary.AppendUvarint(b, uint64(len(ss)))
		for _, s := range ss {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	list(w.Tenants)
	list(w.Personas)
	list(w.Tools)
	list(w.Servers)
	classes := uint16(0)
	for _, c := range w.Classes {
		classes |= 1 << c
	}
	b = binary.BigEndian.AppendUint16(b, classes)
	// Conditions of later versions are left out where they are not set, so that old limits keep their
	// keys.
	for i, ss := range [...][]string{w.Users, w.ResourceTypes, w.Labels, w.Environments, w.Intents} {
		if len(ss) > 0 {
			b = append(b, byte(1+i))
			list(ss)
		}
	}
	for _, o := range w.Outcomes {
		b = append(b, 100, byte(o))
	}
	if w.External != event.Unknown {
		b = append(b, 101, byte(w.External))
	}
	return b
}

func (l *Limit) hash() uint64 {
	var b []byte
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	text(l.ID)
	b = append(b, byte(l.Scope), byte(l.Measure))
	b = binary.BigEndian.AppendUint64(b, uint64(l.Max))
	text(l.Currency)
	b = binary.BigEndian.AppendUint64(b, uint64(l.WindowMS))
	switch {
	case l.Calendar != NoCalendar:
		b = append(b, 1+byte(l.Calendar))
		text(l.def.Zone)
	case l.Tumbling:
		b = append(b, 1)
	default:
		b = append(b, 0)
	}
	b = l.Where.AppendIdentity(b)
	return xxhash.Sum64(b)
}
