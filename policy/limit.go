package policy

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
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
)

var scopes = []string{"", "agent", "session", "persona", "user", "tenant", "call", "beneficiary", "user+beneficiary", "owner", "credential", "tool", "server"}

func (s Scope) String() string { return scopes[s] }

// ParseScope returns the scope that a word names.
func ParseScope(word string) (Scope, bool) {
	i := slices.Index(scopes[1:], word)
	return Scope(i + 1), i >= 0
}

// Measure says what a limit adds up.
type Measure uint8

// Measures of limits. Count is of calls; Amount is of one currency; Cost is US dollars.
const (
	Count Measure = iota
	Records
	Bytes
	Amount
	Cost
)

// Measures is how many there are, for tables indexed by Measure.
const Measures = 5

var measures = []string{"count", "records", "bytes", "amount", "cost"}

func (m Measure) String() string { return measures[m] }

// Windows of limits. The longest is what the state must remember.
const (
	minWindow = time.Second
	maxWindow = 31 * 24 * time.Hour
)

// BucketMS is the grain of what is counted above one agent: persona, user and tenant limits are decided every 5 s of event time, and their windows
// are multiples of it.
const BucketMS = 5000

// Limit is how much of something one agent, session, persona, user or tenant may do in a span of time. Made by Load, Parse and Default,
// which compile its conditions; it does not change afterwards.
type Limit struct {
	ID, Title string
	Scope     Scope
	Measure   Measure
	Max       int64  // calls, records, bytes; millionths of the unit for amount and cost. More than this crosses it
	Currency  string // of amount
	WindowMS  int64  // 0 only with scope session: the whole session
	Tumbling  bool   // periods one after the other; else the window slides
	Where     Where
	Severity  event.Severity
	Tags      []string
	// Hash is of what decides which events are counted and when the limit is crossed (id, scope, measure, max, currency, window, kind,
	// where). It names the limit's state: a new title keeps what was counted, a new condition does not.
	Hash    uint64
	Version string // first 12 hex digits of the SHA-256 of the whole definition

	tenants, personas, tools, servers *globs
	classes                           uint16

	def limitDef
}

// Where says which calls a limit counts: all conditions given must hold, and of each list one entry. All but classes are names and
// patterns, case-sensitive. Of classes either what the tool claims or what the call really did is enough.
type Where struct {
	Tenants, Personas, Tools, Servers []string
	Classes                           []event.Class
}

// Matches tells whether the limit counts the event of this persona. It looks at Where alone, and does not allocate.
func (l *Limit) Matches(persona string, e *event.Event) bool {
	if l.classes != 0 && l.classes&classBits(e) == 0 {
		return false
	}
	return l.tenants.passes(e.Tenant) && l.personas.passes(persona) && l.servers.passes(e.Tool.Server) && l.tools.passes(e.Tool.Name)
}

// String says the limit as a person would: more than 1000 records per user in 1h (sliding).
func (l *Limit) String() string {
	var b strings.Builder
	b.WriteString("more than ")
	switch l.Measure {
	case Amount:
		b.WriteString(formatMicro(l.Max) + " " + l.Currency)
	case Cost:
		b.WriteString(formatMicro(l.Max) + " USD")
	default:
		unit := map[Measure]string{Count: "call", Records: "record", Bytes: "byte"}[l.Measure]
		b.WriteString(strconv.FormatInt(l.Max, 10) + " " + unit)
		if l.Max != 1 {
			b.WriteByte('s')
		}
	}
	b.WriteString(" per " + l.Scope.String())
	if l.WindowMS > 0 {
		b.WriteString(" in " + formatWindow(l.WindowMS))
		if l.Tumbling {
			b.WriteString(" (tumbling)")
		} else {
			b.WriteString(" (sliding)")
		}
	}
	return b.String()
}

// limitDef is a limit as it is written, in YAML and in the canonical JSON alike.
type limitDef struct {
	ID       string   `json:"id"`
	Title    string   `json:"title,omitempty"`
	Scope    string   `json:"scope"`
	Measure  string   `json:"measure"`
	Max      string   `json:"max"` // text: a decimal must not pass through a float
	Currency string   `json:"currency,omitempty"`
	Window   string   `json:"window,omitempty"`
	Kind     string   `json:"kind,omitempty"`
	Where    whereDef `json:"where,omitzero"`
	Severity string   `json:"severity,omitempty"`
	Tags     []string `json:"tags,omitempty"`
}

type whereDef struct {
	Tenants  []string `json:"tenants,omitempty"`
	Personas []string `json:"personas,omitempty"`
	Tools    []string `json:"tools,omitempty"`
	Servers  []string `json:"servers,omitempty"`
	Classes  []string `json:"classes,omitempty"`
}

func (w whereDef) IsZero() bool {
	return len(w.Tenants)+len(w.Personas)+len(w.Tools)+len(w.Servers)+len(w.Classes) == 0
}

// compile makes the limit and reports what is wrong with its definition; with anything wrong the result is not to be used.
func (d limitDef) compile(bad report) *Limit {
	l := &Limit{ID: d.ID, Title: d.Title, Currency: d.Currency, Tags: d.Tags}
	if d.ID == "" {
		bad("id", "a limit needs an id; name it, for example refunds-per-user-day")
	} else if !isID(d.ID) {
		bad("id", "%s is no id; use letters, digits, dots, hyphens and underscores, at most %d", quote(d.ID), maxName)
	}
	checkText(bad, "title", d.Title, maxTitle)
	checkTags(bad, d.Tags)
	l.Severity = parseSeverity(bad, &d.Severity, event.Medium)

	var ok bool
	if l.Scope, ok = ParseScope(d.Scope); d.Scope == "" {
		bad("scope", "a limit needs a scope; use %s", or(scopes[1:]))
	} else if !ok {
		bad("scope", "unknown scope %s; %s", quote(d.Scope), choose(d.Scope, scopes[1:]))
	}
	measure := slices.Index(measures, d.Measure)
	switch {
	case d.Measure == "":
		bad("measure", "a limit needs a measure; use %s", or(measures))
	case measure < 0:
		bad("measure", "unknown measure %s; %s", quote(d.Measure), choose(d.Measure, measures))
	default:
		l.Measure = Measure(measure)
	}

	if measure >= 0 {
		var what string
		if l.Measure == Amount || l.Measure == Cost {
			l.Max, what = parseMicro(d.Max)
		} else {
			l.Max, what = parseWhole(d.Max)
		}
		if what != "" {
			bad("max", "%s", what)
		} else if l.Measure == Amount || l.Measure == Cost {
			d.Max = formatMicro(l.Max)
		} else {
			d.Max = strconv.FormatInt(l.Max, 10)
		}
		switch {
		case l.Measure == Amount && d.Currency == "":
			bad("currency", "a limit of amount needs a currency, since sums of two mean nothing; add currency: EUR, say")
		case l.Measure == Amount && !isCurrency(d.Currency):
			bad("currency", "%s is no currency; use its three capital letters as in ISO 4217, such as EUR", quote(d.Currency))
		case l.Measure == Cost && d.Currency != "":
			bad("currency", "cost is always in USD; remove currency, or use measure: amount")
		case l.Measure != Amount && d.Currency != "":
			bad("currency", "a limit of %s has no currency; remove it, or use measure: amount", d.Measure)
		}
	}

	switch {
	case d.Window == "" && ok && l.Scope != SessionScope:
		bad("window", "a limit per %s needs a window, 1s to 31d; add window: 1h, say (only scope: session can do without)", d.Scope)
	case d.Window != "":
		w, what := parseWindow(d.Window)
		if what != "" {
			bad("window", "%s", what)
		}
		l.WindowMS = w.Milliseconds()
		if own := l.Scope == AgentScope || l.Scope == SessionScope; what == "" && ok && !own && l.WindowMS%BucketMS != 0 {
			bad("window", "what is counted above one agent moves by 5s, so %s cannot be kept exactly; use a multiple of 5s", d.Window)
		}
		d.Window = formatWindow(l.WindowMS)
	}
	kinds := []string{"sliding", "tumbling"}
	switch {
	case d.Kind != "" && !slices.Contains(kinds, d.Kind):
		bad("kind", "unknown kind %s; %s", quote(d.Kind), choose(d.Kind, kinds))
	case d.Kind != "" && d.Window == "":
		bad("kind", "a limit of a whole session has no window to be %s; remove kind, or add a window", d.Kind)
	case d.Kind == "" && d.Window != "":
		d.Kind = "sliding"
	}
	l.Tumbling = d.Kind == "tumbling"

	// A list's order says nothing, so it must not name another state.
	w := &d.Where
	for _, list := range []struct {
		path string
		list *[]string
		to   **globs
	}{{"where.tenants", &w.Tenants, &l.tenants}, {"where.personas", &w.Personas, &l.personas}, {"where.tools", &w.Tools, &l.tools}, {"where.servers", &w.Servers, &l.servers}} {
		checkEntries(bad, list.path, *list.list)
		*list.list = sorted(*list.list)
		*list.to = compileGlobs(*list.list, false)
	}
	for i, word := range w.Classes {
		c, ok := event.ParseClass(word)
		if !ok {
			bad(at("where.classes", i), "unknown class %s; %s", quote(word), choose(word, event.Classes()))
			continue
		}
		if l.classes&(1<<c) == 0 {
			l.classes |= 1 << c
			l.Where.Classes = append(l.Where.Classes, c)
		}
	}
	slices.Sort(l.Where.Classes)
	w.Classes = nil
	for _, c := range l.Where.Classes {
		w.Classes = append(w.Classes, c.String())
	}
	l.Where.Tenants, l.Where.Personas, l.Where.Tools, l.Where.Servers = w.Tenants, w.Personas, w.Tools, w.Servers

	l.def = d
	l.Version = version(d)
	l.Hash = l.hash()
	if l.Title == "" {
		l.Title = "M" + l.String()[1:]
	}
	return l
}

func (l *Limit) hash() uint64 {
	var b []byte
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	list := func(ss []string) {
		b = binary.AppendUvarint(b, uint64(len(ss)))
		for _, s := range ss {
			text(s)
		}
	}
	text(l.ID)
	b = append(b, byte(l.Scope), byte(l.Measure))
	b = binary.BigEndian.AppendUint64(b, uint64(l.Max))
	text(l.Currency)
	b = binary.BigEndian.AppendUint64(b, uint64(l.WindowMS))
	if l.Tumbling {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	list(l.Where.Tenants)
	list(l.Where.Personas)
	list(l.Where.Tools)
	list(l.Where.Servers)
	b = binary.BigEndian.AppendUint16(b, l.classes)
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
			return quote(s) + " is negative; " + want + " (0 allows none at all)"
		default:
			return quote(s) + " is no number that can be used here; " + want
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
			return 0, quote(s) + " is no duration; " + want
		}
		d, rest = time.Duration(n)*24*time.Hour, after
	}
	if rest != "" {
		r, err := time.ParseDuration(rest)
		switch {
		case err != nil && isDigits(rest):
			return 0, quote(s) + " has no unit; " + want
		case err != nil:
			return 0, quote(s) + " is no duration; " + want
		case d > 0 && r < 0:
			return 0, quote(s) + " is no duration; " + want
		}
		if d += min(r, maxWindow+time.Second); r < 0 {
			d = r
		}
	}
	switch {
	case d < minWindow:
		return 0, quote(s) + " is too short; windows are 1s to 31d"
	case d > maxWindow:
		return 0, quote(s) + " is too long; windows are 1s to 31d"
	case d%time.Millisecond != 0:
		return 0, quote(s) + " is finer than a millisecond; event time is not"
	}
	return d, ""
}

// formatWindow writes what parseWindow reads, in its largest units.
func formatWindow(ms int64) string {
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
