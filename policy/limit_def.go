package policy

import (
	"slices"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// limitDef is a limit as it is written, in YAML and in the canonical JSON.
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

// compile makes the limit and reports what is wrong with its definition. If anything is, the result
// must not be used.
func (d limitDef) compile(bad report) *Limit {
	l := &Limit{ID: d.ID, Title: d.Title, Currency: d.Currency, Tags: d.Tags}
	if d.ID == "" {
		bad("id", "a limit needs an id; name it, for example refunds-per-user-day")
	} else if !IsID(d.ID) {
		bad("id", "%s is no id; use letters, digits, dots, hyphens and underscores, at most %d", event.Quote(d.ID), MaxName)
	}
	checkText(bad, "title", d.Title, maxTitle)
	checkTags(bad, d.Tags)
	l.Severity = parseSeverity(bad, &d.Severity, event.Medium)

	var ok bool
	if l.Scope, ok = ParseScope(d.Scope); d.Scope == "" {
		bad("scope", "a limit needs a scope; use %s", joinOr(scopes[1:]))
	} else if !ok {
		bad("scope", "unknown scope %s; %s", event.Quote(d.Scope), didYouMean(d.Scope, scopes[1:]))
	}
	measure := slices.Index(measures, d.Measure)
	switch {
	case d.Measure == "":
		bad("measure", "a limit needs a measure; use %s", joinOr(measures))
	case measure < 0:
		bad("measure", "unknown measure %s; %s", event.Quote(d.Measure), didYouMean(d.Measure, measures))
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
			// The scope of the limit has no breaker of its own.
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

// window reads window, kind and zone. known: the scope is known.
func (d *limitDef) window(bad report, l *Limit, known bool) {
	kinds := []string{"sliding", "tumbling", "calendar"}
	if d.Kind != "" && !slices.Contains(kinds, d.Kind) {
		bad("kind", "unknown kind %s; %s", event.Quote(d.Kind), didYouMean(d.Kind, kinds))
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

// where compiles the conditions. Lists are sorted, since their order must not change the key of the
// state.
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
	l.classes = parseClasses(bad, "where.classes", w.Classes)
	w.Classes = nil
	for c := range event.Class(16) {
		if l.classes>>c&1 != 0 {
			l.Where.Classes = append(l.Where.Classes, c)
			w.Classes = append(w.Classes, c.String())
		}
	}
	for i, word := range w.Outcomes {
		o, ok := event.ParseOutcome(word)
		if !ok {
			bad(at("where.outcomes", i), "unknown outcome %s; %s", event.Quote(word), didYouMean(word, event.Outcomes()))
			continue
		}
		l.outcomes |= 1 << o
	}
	w.Outcomes = nil
	for o := range event.Outcome(8) {
		if l.outcomes>>o&1 != 0 {
			l.Where.Outcomes = append(l.Where.Outcomes, o)
			w.Outcomes = append(w.Outcomes, o.String())
		}
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
