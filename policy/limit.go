package policy

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Scope says whose events a limit adds up.
type Scope uint8

// Scopes of limits, narrowest first.
const (
	AgentScope Scope = iota + 1
	SessionScope
	PersonaScope
	UserScope
	TenantScope
	CallScope            // each call by itself
	BeneficiaryScope     // who is paid, or written to
	UserBeneficiaryScope // one user and one beneficiary
	OwnerScope           // of the agent
	CredentialScope      // of the agent
	ToolScope
	ServerScope
	// Of rules alone.
	ConversationScope
	ResourceScope
	DestinationScope
	SubjectScope
)

var (
	allScopes = []string{"", "agent", "session", "persona", "user", "tenant", "call", "beneficiary", "user+beneficiary",
		"owner", "credential", "tool", "server", "conversation", "resource", "destination", "subject"}
	scopes = allScopes[:Scopes] // of limits
)

func (s Scope) String() string { return allScopes[s] }

// Scopes is how many scopes limits may have, for tables indexed by Scope.
const Scopes = int(ServerScope) + 1

// ParseScope returns the scope that a word names.
func ParseScope(word string) (Scope, bool) {
	i := slices.Index(scopes[1:], word)
	return Scope(i + 1), i >= 0
}

// Measure says what a limit adds up.
type Measure uint8

// Measures of limits. Count is of calls; Amount is of one currency; Cost is US dollars. Errors,
// Denials and Retries count the calls that ended so, or that repeat one of the agent's last calls;
// the last three count different subjects, resources and destinations.
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

// Distinct tells whether the measure counts what is different.
func (m Measure) Distinct() bool { return m >= DistinctSubjects }

// money tells whether the measure is written as a decimal.
func (m Measure) money() bool { return m == Amount || m == Cost }

// MaxDistinct is the highest max of a limit that counts what is different. All of it must be
// remembered, for each window of each scope.
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

// calendars are the units as they are written, and a length for those who want one: of the longest
// month.
var calendars = []struct {
	word, name string
	ms         int64
}{{}, {"1d", "day", 86_400_000}, {"1w", "week", 7 * 86_400_000}, {"1mo", "month", 31 * 86_400_000}}

func (c Calendar) String() string { return calendars[c].name }

// Windows of limits. The longest is what the state must remember.
const (
	minWindow = time.Second
	maxWindow = 31 * 24 * time.Hour
)

// BucketMS is the grain of what is counted above one agent: persona, user and tenant limits are
// decided every 5 s of event time, and their windows are multiples of it.
const BucketMS = 5000

// Limit is how much of something one agent, session, persona, user or tenant may do in a span of
// time. Made by Load, Parse and Default, which compile its conditions; it does not change
// afterwards.
type Limit struct {
	ID, Title string
	Scope     Scope
	Measure   Measure
	// calls, records, bytes; millionths of the unit for amount and cost. More than this crosses it
	Max      int64
	Warn     int64 // more than this is nearly too much, and a finding of its own; see Warns
	Warns    bool
	Currency string // of amount
	WindowMS int64  // 0 only with scope session, the whole session, and scope call
	Tumbling bool   // periods one after the other; else the window slides
	Calendar Calendar
	Zone     *time.Location // of Calendar; nil: the persona's if the scope lies in one, else the tenant's
	Where    Where
	Respond  *event.Response // nil: nothing is done
	// Builtin is one of those that hold until somebody writes others. They know nothing of what is
	// usual, so they step back where that is known: of personas whose baseline is of age, and of
	// users whom many agents share.
	Builtin  bool
	Severity event.Severity
	Tags     []string
	// Hash is of what decides which events are counted and when the limit is crossed (id, scope,
	// measure, max, currency, window, kind, zone, where). It names the limit's state: a new title,
	// warn or respond keeps what was counted, a new condition does not.
	Hash    uint64
	Version string // first 12 hex digits of the SHA-256 of the whole definition

	tenants, personas, users, tools, servers     *glob.List
	resourceTypes, labels, environments, intents *glob.List
	classes                                      uint16
	outcomes                                     uint8

	def limitDef
}

// Where says which calls a limit counts: all conditions given must hold, and of each list one
// entry. All but classes, outcomes and external are names and patterns, case-sensitive. Of classes
// either what the tool claims or what the call really did is enough.
type Where struct {
	Tenants, Personas, Users, Tools, Servers     []string
	ResourceTypes, Labels, Environments, Intents []string
	Classes                                      []event.Class
	Outcomes                                     []event.Outcome
	External                                     event.Tri // of the destination; Unknown: any
}

// Covers tells whether the limit counts calls of this tool by agents of this persona, as far as
// these decide. Callers that ask often remember.
func (l *Limit) Covers(tenant, persona string, tool *event.Tool) bool {
	return l.tenants.Passes(tenant) && l.personas.Passes(persona) && l.tools.PassesTool(tool) &&
		l.servers.Passes(tool.Server)
}

// Classes are the classes that the limit counts, one bit each; 0: all, also the unknown.
func (l *Limit) Classes() uint16 { return l.classes }

// Outcomes are the outcomes that the limit counts, one bit each; 0: all.
func (l *Limit) Outcomes() uint8 { return l.outcomes }

// Asks tells whether Suits has anything to look at.
func (l *Limit) Asks() bool {
	return l.users != nil || l.resourceTypes != nil || l.labels != nil || l.environments != nil || l.intents != nil ||
		l.Where.External != event.Unknown
}

// Suits tells whether the call meets the conditions that are neither in Covers nor in Classes nor
// in Outcomes. It does not allocate.
func (l *Limit) Suits(e *event.Event) bool {
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

// AppendBeneficiary appends who is paid by a call, or written to with money in hand: the
// destination of a call of class pay or with an amount, in one spelling, so that one account is one
// beneficiary however it is written. Nothing is appended if there is none.
func AppendBeneficiary(dst []byte, e *event.Event) []byte {
	if e.Has&event.HasAmount == 0 && classBits(e)&(1<<event.Pay) == 0 {
		return dst
	}
	return appendSpelling(dst, &e.Destination)
}

// AppendDestination appends what tells one destination from another: of a URL its host, else the
// value in one spelling.
func AppendDestination(dst []byte, d *event.Destination) []byte {
	host := cmp.Or(catalogue.HostName(d.Domain), d.Domain)
	switch {
	case strings.EqualFold(d.Kind, "url") && host == "":
		host = catalogue.HostOfURL(d.Value)
	case !strings.EqualFold(d.Kind, "url") && d.Value != "":
		host = ""
	}
	if host != "" {
		return appendSpelling(dst, &event.Destination{Value: host})
	}
	return appendSpelling(dst, d)
}

// appendSpelling appends the value without spaces around it and in lower case; of an IBAN without
// any, nor hyphens.
func appendSpelling(dst []byte, d *event.Destination) []byte {
	spaces := strings.EqualFold(d.Kind, "iban") || mayBeIBAN(d.Value)
	from := len(dst)
	for _, r := range strings.TrimSpace(d.Value) {
		switch {
		case spaces && (unicode.IsSpace(r) || r == '-'), r > unicode.MaxASCII && unicode.Is(unicode.Cf, r):
			// what cannot be seen tells nothing apart
		case 'A' <= r && r <= 'Z':
			dst = append(dst, byte(r)+'a'-'A')
		default:
			dst = utf8.AppendRune(dst, unicode.ToLower(r))
		}
	}
	if len(dst)-from > event.MaxString { // lower case may be longer
		dst = dst[:from+event.MaxString]
	}
	return dst
}

// mayBeIBAN tells whether a text may be an IBAN, with or without spaces: a country, two digits,
// then 11 to 30 letters and digits.
func mayBeIBAN(s string) bool {
	n := 0
	for _, r := range s {
		switch {
		case unicode.IsSpace(r) || r == '-':
		case r|0x20 >= 'a' && r|0x20 <= 'z' && n != 2 && n != 3, r >= '0' && r <= '9' && n > 1:
			n++
		default:
			return false
		}
	}
	return n >= 15 && n <= 34
}

// String says the limit as a person would: more than 1000 records per user in 1h (sliding).
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

// limitDef is a limit as it is written, in YAML and in the canonical JSON alike.
type limitDef struct {
	ID       string     `json:"id"`
	Title    string     `json:"title,omitempty"`
	Scope    string     `json:"scope"`
	Measure  string     `json:"measure"`
	Max      string     `json:"max"` // text: a decimal must not pass through a float
	Warn     string     `json:"warn,omitempty"`
	Currency string     `json:"currency,omitempty"`
	Window   string     `json:"window,omitempty"`
	Kind     string     `json:"kind,omitempty"`
	Zone     string     `json:"zone,omitempty"`
	Where    whereDef   `json:"where,omitzero"`
	Severity string     `json:"severity,omitempty"`
	Tags     []string   `json:"tags,omitempty"`
	Respond  respondDef `json:"respond,omitzero"`
}

type whereDef struct {
	Tenants       []string `json:"tenants,omitempty"`
	Personas      []string `json:"personas,omitempty"`
	Users         []string `json:"users,omitempty"`
	Tools         []string `json:"tools,omitempty"`
	Servers       []string `json:"servers,omitempty"`
	Classes       []string `json:"classes,omitempty"`
	ResourceTypes []string `json:"resource_types,omitempty"`
	Labels        []string `json:"labels,omitempty"`
	Environments  []string `json:"environments,omitempty"`
	Intents       []string `json:"intents,omitempty"`
	Outcomes      []string `json:"outcomes,omitempty"`
	External      *bool    `json:"external,omitempty"`
}

func (w whereDef) IsZero() bool {
	return len(w.Tenants)+len(w.Personas)+len(w.Users)+len(w.Tools)+len(w.Servers)+len(w.Classes)+len(w.ResourceTypes)+
		len(w.Labels)+len(w.Environments)+
		len(w.Intents)+len(w.Outcomes) == 0 && w.External == nil
}

// compile makes the limit and reports what is wrong with its definition; with anything wrong the
// result is not to be used.
func (d limitDef) compile(bad report) *Limit {
	l := &Limit{ID: d.ID, Title: d.Title, Currency: d.Currency, Tags: d.Tags}
	if d.ID == "" {
		bad("id", "a limit needs an id; name it, for example refunds-per-user-day")
	} else if !isID(d.ID) {
		bad("id", "%s is no id; use letters, digits, dots, hyphens and underscores, at most %d", event.Quote(d.ID), maxName)
	}
	checkText(bad, "title", d.Title, maxTitle)
	checkTags(bad, d.Tags)
	l.Severity = parseSeverity(bad, &d.Severity, event.Medium)

	var ok bool
	if l.Scope, ok = ParseScope(d.Scope); d.Scope == "" {
		bad("scope", "a limit needs a scope; use %s", or(scopes[1:]))
	} else if !ok {
		bad("scope", "unknown scope %s; %s", event.Quote(d.Scope), choose(d.Scope, scopes[1:]))
	}
	measure := slices.Index(measures, d.Measure)
	switch {
	case d.Measure == "":
		bad("measure", "a limit needs a measure; use %s", or(measures))
	case measure < 0:
		bad("measure", "unknown measure %s; %s", event.Quote(d.Measure), choose(d.Measure, measures))
	default:
		l.Measure = Measure(measure)
	}

	if measure >= 0 {
		d.numbers(bad, l)
	}
	d.window(bad, l, ok)
	d.where(bad, l)
	if own := stoppable(l.Scope); ok {
		l.Respond = d.Respond.compile(bad, "respond", own...)
		if l.Respond != nil && l.Respond.Scope == 0 && own[0].String() != d.Scope {
			// what the limit is about has no breaker of its own
			l.Respond.Scope = own[0]
		}
	}

	l.def = d
	l.Version = version(d)
	l.Hash = l.hash()
	if l.Title == "" {
		l.Title = "M" + l.String()[1:]
	}
	return l
}

// numbers reads max, warn and currency.
func (d *limitDef) numbers(bad report, l *Limit) {
	parse, format := parseWhole, func(n int64) string { return strconv.FormatInt(n, 10) }
	if l.Measure.money() {
		parse, format = parseMicro, formatMicro
	}
	var what string
	if l.Max, what = parse(d.Max); what != "" {
		bad("max", "%s", what)
	} else if d.Max = format(l.Max); l.Measure.Distinct() && l.Max > MaxDistinct {
		bad("max",
			"%s is too large for %s: every one must be remembered; use at most %d, a shorter window, or measure: count",
			d.Max, d.Measure, MaxDistinct)
	}
	if d.Warn != "" && what == "" {
		l.Warns = true
		if percent, ok := strings.CutSuffix(d.Warn, "%"); ok {
			p, err := strconv.ParseInt(percent, 10, 64)
			if err != nil || p < 1 || p > 99 {
				bad("warn", "%s is no share of max; use 1%% to 99%%, such as 80%%", event.Quote(d.Warn))
			}
			l.Warn = l.Max/100*p + l.Max%100*p/100
		} else if l.Warn, what = parse(d.Warn); what != "" {
			bad("warn", "%s, or a share of max, such as 80%%", what)
		} else if d.Warn = format(l.Warn); l.Warn >= l.Max {
			bad("warn", "%s is not below max, %s; lower it, or write a share such as 80%%", d.Warn, d.Max)
		}
	}
	switch {
	case l.Measure == Amount && d.Currency == "":
		bad("currency", "a limit of amount needs a currency, since sums of two mean nothing; add currency: EUR, say")
	case l.Measure == Amount && !catalogue.IsCurrency(d.Currency):
		bad("currency", "%s is no currency; use its three capital letters as in ISO 4217, such as EUR",
			event.Quote(d.Currency))
	case l.Measure == Cost && d.Currency != "":
		bad("currency", "cost is always in USD; remove currency, or use measure: amount")
	case l.Measure != Amount && d.Currency != "":
		bad("currency", "a limit of %s has no currency; remove it, or use measure: amount", d.Measure)
	}
}

// window reads window, kind and zone. known: the scope could be read.
func (d *limitDef) window(bad report, l *Limit, known bool) {
	kinds := []string{"sliding", "tumbling", "calendar"}
	if d.Kind != "" && !slices.Contains(kinds, d.Kind) {
		bad("kind", "unknown kind %s; %s", event.Quote(d.Kind), choose(d.Kind, kinds))
	}
	if l.Zone = parseZone(bad, "zone", d.Zone); d.Zone != "" && d.Kind != "calendar" {
		bad("zone", "only days, weeks and months of the calendar have a zone; add kind: calendar, or remove zone")
	}
	switch {
	case known && l.Scope == CallScope:
		if d.Window != "" || d.Kind != "" {
			bad("window", "a call is over at once; remove window and kind, or use another scope")
		}
		if d.Measure != "" && l.Measure > Cost || d.Measure == Count.String() {
			bad("measure", "one call has no %s to add up; use records, bytes, amount or cost, or another scope",
				d.Measure)
		}
	case d.Window == "" && d.Kind == "calendar":
		bad("kind", "a calendar limit needs a window; add window: 1d, 1w (from Monday) or 1mo")
	case d.Window == "" && known && l.Scope != SessionScope:
		bad("window",
			"a limit per %s needs a window, 1s to 31d; add window: 1h, say (only session and call can do without)",
			d.Scope)
	case d.Window == "" && slices.Contains(kinds, d.Kind):
		bad("kind", "a limit of a whole session has no window to be %s; remove kind, or add a window", d.Kind)
	case d.Window == "":
	case d.Kind == "calendar":
		for c := Day; c <= Month; c++ {
			if calendars[c].word == d.Window {
				l.Calendar, l.WindowMS = c, calendars[c].ms
			}
		}
		if l.Calendar == NoCalendar {
			bad("window", "%s is no part of the calendar; use 1d, 1w (from Monday) or 1mo", event.Quote(d.Window))
		}
	default:
		w, what := parseWindow(d.Window)
		if what != "" {
			bad("window", "%s", what)
		}
		l.WindowMS = w.Milliseconds()
		if own := l.Scope == AgentScope || l.Scope == SessionScope; what == "" && known && !own &&
			l.WindowMS%BucketMS != 0 {
			bad("window",
				"what is counted above one agent moves by 5s, so %s cannot be kept exactly; use a multiple of 5s",
				d.Window)
		}
		if d.Window = FormatSpan(l.WindowMS); d.Kind == "" {
			d.Kind = "sliding"
		}
	}
	l.Tumbling = d.Kind == "tumbling"
}

// where compiles the conditions. A list's order says nothing, so it must not name another state.
func (d *limitDef) where(bad report, l *Limit) {
	w := &d.Where
	for _, list := range []struct {
		path string
		list *[]string
		to   **glob.List
	}{{"where.tenants", &w.Tenants, &l.tenants}, {"where.personas", &w.Personas, &l.personas},
		{"where.users", &w.Users, &l.users}, {"where.tools", &w.Tools, &l.tools},
		{"where.servers", &w.Servers, &l.servers}, {"where.resource_types", &w.ResourceTypes, &l.resourceTypes},
		{"where.labels", &w.Labels, &l.labels},
		{"where.environments", &w.Environments, &l.environments}, {"where.intents", &w.Intents, &l.intents}} {
		checkEntries(bad, list.path, *list.list)
		*list.list = sorted(*list.list)
		if list.to == &l.personas || list.to == &l.users {
			*list.to = glob.NewIdentities(*list.list)
			continue
		}
		*list.to = glob.NewList(*list.list, false)
	}
	for i, word := range w.Classes {
		c, ok := event.ParseClass(word)
		if !ok {
			bad(at("where.classes", i), "unknown class %s; %s", event.Quote(word), choose(word, event.Classes()))
			continue
		}
		if l.classes&(1<<c) == 0 {
			l.classes |= 1 << c
			l.Where.Classes = append(l.Where.Classes, c)
		}
	}
	for i, word := range w.Outcomes {
		o, ok := event.ParseOutcome(word)
		if !ok {
			bad(at("where.outcomes", i), "unknown outcome %s; %s", event.Quote(word), choose(word, event.Outcomes()))
			continue
		}
		if l.outcomes&(1<<o) == 0 {
			l.outcomes |= 1 << o
			l.Where.Outcomes = append(l.Where.Outcomes, o)
		}
	}
	slices.Sort(l.Where.Classes)
	slices.Sort(l.Where.Outcomes)
	w.Classes, w.Outcomes = nil, nil
	for _, c := range l.Where.Classes {
		w.Classes = append(w.Classes, c.String())
	}
	for _, o := range l.Where.Outcomes {
		w.Outcomes = append(w.Outcomes, o.String())
	}
	if w.External != nil {
		l.Where.External = event.No
		if *w.External {
			l.Where.External = event.Yes
		}
	}
	l.Where.Tenants, l.Where.Personas, l.Where.Users, l.Where.Tools, l.Where.Servers = w.Tenants, w.Personas, w.Users,
		w.Tools, w.Servers
	l.Where.ResourceTypes, l.Where.Labels, l.Where.Environments, l.Where.Intents = w.ResourceTypes, w.Labels,
		w.Environments, w.Intents
}

// stoppable are the scopes whose breaker a limit of scope s may open: itself if it can be stopped
// at all, and who the triggering call names. The first is what is meant if nothing is said.
func stoppable(s Scope) []event.ScopeType {
	switch s {
	case AgentScope, CallScope:
		return []event.ScopeType{event.AgentScope, event.SessionScope, event.UserScope, event.ToolScope}
	case SessionScope:
		return []event.ScopeType{event.SessionScope, event.AgentScope, event.UserScope, event.ToolScope}
	case PersonaScope:
		return []event.ScopeType{event.PersonaScope, event.AgentScope}
	case UserScope:
		return []event.ScopeType{event.UserScope, event.AgentScope}
	case TenantScope:
		return []event.ScopeType{event.TenantScope, event.AgentScope}
	case ToolScope:
		return []event.ScopeType{event.ToolScope, event.AgentScope}
	case ServerScope:
		return []event.ScopeType{event.ServerScope, event.AgentScope}
	case UserBeneficiaryScope:
		return []event.ScopeType{event.AgentScope, event.UserScope}
	default: // beneficiary, owner, credential: nobody can stop these
		return []event.ScopeType{event.AgentScope}
	}
}

// AppendIdentity appends what decides which calls the limit counts, whatever the scope and window:
// it names state, so it never changes for what is written the same.
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
	// What came later is left out where it asks for nothing, so that older limits keep their names.
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

// parseWhole reads a count, plain digits.
func parseWhole(s string) (n int64, what string) {
	if what := numeral(s, false); what != "" {
		return 0, what
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, s + " is too large; the most is " + strconv.FormatInt(math.MaxInt64, 10)
	}
	return n, ""
}

// parseMicro reads a decimal into millionths, exactly.
func parseMicro(s string) (micro int64, what string) {
	if what := numeral(s, true); what != "" {
		return 0, what
	}
	whole, frac, _ := strings.Cut(s, ".")
	frac = strings.TrimRight(frac, "0")
	if len(frac) > 6 {
		return 0, s + " has more than six decimals; round it"
	}
	micro, err := strconv.ParseInt(whole+frac+strings.Repeat("0", 6-len(frac)), 10, 64)
	if err != nil {
		return 0, s + " is too large; the most is " + formatMicro(math.MaxInt64)
	}
	return micro, ""
}

// numeral says what is wrong with a number, or nothing.
func numeral(s string, decimal bool) string {
	want := "write whole digits, such as 1000"
	if decimal {
		want = `write units and decimals, such as "5000.00"`
	}
	if s == "" {
		return "a limit needs a max; " + want
	}
	digits, dots := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			digits++
		case c == '.' && decimal && dots == 0 && digits > 0 && i+1 < len(s):
			dots++
		case c == '-' && i == 0:
			return event.Quote(s) + " is negative; " + want + " (0 allows none at all)"
		default:
			return event.Quote(s) + " is no number that can be used here; " + want
		}
	}
	return ""
}

func formatMicro(micro int64) string {
	s := strconv.FormatInt(micro/1e6, 10)
	if frac := micro % 1e6; frac != 0 {
		s += "." + strings.TrimRight(strconv.FormatInt(1e6+frac, 10)[1:], "0")
	}
	return s
}

// parseWindow reads a Go duration, with days before it: 90s, 10m, 1h30m, 1d, 1d12h.
func parseWindow(s string) (d time.Duration, what string) {
	const want = "write a number and a unit, such as 90s, 10m, 1h or 1d"
	rest := s
	if days, after, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, event.Quote(s) + " is no duration; " + want
		}
		d, rest = time.Duration(n)*24*time.Hour, after
	}
	if rest != "" {
		r, err := time.ParseDuration(rest)
		switch {
		case err != nil && strings.Trim(rest, "0123456789.") == "":
			return 0, event.Quote(s) + " has no unit; " + want
		case err != nil:
			return 0, event.Quote(s) + " is no duration; " + want
		case d > 0 && r < 0:
			return 0, event.Quote(s) + " is no duration; " + want
		}
		if d += min(r, maxWindow+time.Second); r < 0 {
			d = r
		}
	}
	switch {
	case d < minWindow:
		return 0, event.Quote(s) + " is too short; windows are 1s to 31d"
	case d > maxWindow:
		return 0, event.Quote(s) + " is too long; windows are 1s to 31d"
	case d%time.Millisecond != 0:
		return 0, event.Quote(s) + " is finer than a millisecond; event time is not"
	}
	return d, ""
}

// FormatSpan writes what parseWindow reads, in its largest units.
func FormatSpan(ms int64) string {
	s := ""
	for _, u := range []struct {
		name string
		ms   int64
	}{{"d", 86400e3}, {"h", 3600e3}, {"m", 60e3}, {"s", 1e3}, {"ms", 1}} {
		if n := ms / u.ms; n > 0 {
			s += strconv.FormatInt(n, 10) + u.name
			ms -= n * u.ms
		}
	}
	return s
}
