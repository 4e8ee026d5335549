package policy

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Baseline says how the baseline of a persona is learned and how many alerts it may cause.
type Baseline struct {
	Tenant, Persona string // "": every one
	// AlertsPerDay is the budget of a persona: how many false alerts a day, of all statistical
	// detectors together, somebody will look at.
	AlertsPerDay float64
	// TenantAlertsPerDay bounds the alerts of all personas of a tenant together: if their budgets
	// are more, each is cut in proportion.
	TenantAlertsPerDay float64
	LearnDays          int64  // before a baseline may alert
	LearnSessions      uint64 // before it may alert: so many sessions, or agent-days
	AcceptAgents       uint64 // agents that must show something new before it is learned …
	AcceptPercent      uint64 // … or this percentage of the active ones, whichever is more …
	AcceptDays         uint64 // … on at least so many days
	Off                bool   // nothing is learned and nothing is scored
}

func defaultBaseline() Baseline {
	return Baseline{AlertsPerDay: 1, TenantAlertsPerDay: 20, LearnDays: 7, LearnSessions: 200, AcceptAgents: 5,
		AcceptPercent: 10, AcceptDays: 2}
}

// baselineDef is an entry as written. What it leaves out comes from the entry for every persona of
// the tenant, then from that for every tenant, then from the defaults.
type baselineDef struct {
	Tenant             string `json:"tenant,omitempty"`
	Persona            string `json:"persona,omitempty"`
	AlertsPerDay       string `json:"alerts_per_day,omitempty"`
	TenantAlertsPerDay string `json:"tenant_alerts_per_day,omitempty"`
	LearnDays          string `json:"learn_days,omitempty"`
	LearnSessions      string `json:"learn_sessions,omitempty"`
	AcceptAgents       string `json:"accept_agents,omitempty"`
	AcceptPercent      string `json:"accept_percent,omitempty"`
	AcceptDays         string `json:"accept_days,omitempty"`
	Off                *bool  `json:"off,omitempty"`
}

func (c *collector) loadBaselines(files []*file) {
	type doc struct {
		Baselines []baselineDef `json:"baselines"`
	}
	each(c, files, func(d *doc, src *source) {
		addAll(d.Baselines, c.addBaseline, src, "baselines")
	})
}

func (c *collector) addBaseline(d baselineDef, src *source, path string) {
	c.addSource(src)
	bad := src.reporter(path)
	key := [3]string{"baseline", d.Tenant, event.Identity(d.Persona)}
	if first, dup := c.places[key]; dup {
		bad("persona", "the baseline of persona %s %s is already at %s; keep one of them", event.Quote(d.Persona),
			ofTenant(d.Tenant), first)
		return
	}
	c.places[key] = src.place(path)
	if d.Tenant != "" {
		checkTenant(bad, "tenant", d.Tenant)
	}
	b := defaultBaseline()
	d.applyTo(&b, bad)
	c.baselines = append(c.baselines, d)
}

// applyTo sets the fields of b that the definition has.
func (d *baselineDef) applyTo(b *Baseline, bad report) {
	rate := func(path, text string, into *float64) {
		if text == "" {
			return
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v >= 0) || v > 1e6 {
			bad(path, "%s is no number of alerts per day; use 0 to 1000000, such as 1 or 0.5", event.Quote(text))
			return
		}
		*into = v
	}
	whole := func(path, text string, most uint64) uint64 {
		v, err := strconv.ParseUint(text, 10, 32)
		if err != nil || v < 1 || v > most {
			bad(path, "%s is no number from 1 to %d; correct it, or leave it out", event.Quote(text), most)
			return 0
		}
		return v
	}
	rate("alerts_per_day", d.AlertsPerDay, &b.AlertsPerDay)
	rate("tenant_alerts_per_day", d.TenantAlertsPerDay, &b.TenantAlertsPerDay)
	if d.LearnDays != "" {
		b.LearnDays = int64(whole("learn_days", d.LearnDays, 365))
	}
	if d.LearnSessions != "" {
		b.LearnSessions = whole("learn_sessions", d.LearnSessions, math.MaxInt32)
	}
	if d.AcceptAgents != "" {
		b.AcceptAgents = whole("accept_agents", d.AcceptAgents, math.MaxInt32)
	}
	if d.AcceptPercent != "" {
		b.AcceptPercent = whole("accept_percent", d.AcceptPercent, 100)
	}
	if d.AcceptDays != "" {
		b.AcceptDays = whole("accept_days", d.AcceptDays, 60)
	}
	if d.Off != nil {
		b.Off = *d.Off
	}
}

// baselineSettings are all baseline entries of a set.
type baselineSettings struct {
	defs []baselineDef // sorted: the most general first
}

func newLearning(defs []baselineDef) baselineSettings {
	defs = slices.Clone(defs)
	slices.SortFunc(defs, func(a, b baselineDef) int {
		if a.Tenant != b.Tenant {
			return strings.Compare(a.Tenant, b.Tenant)
		}
		return strings.Compare(a.Persona, b.Persona)
	})
	return baselineSettings{defs}
}

// Baseline is how the baseline of a tenant's persona is learned. The entry for both comes first,
// then the one for the persona in every tenant, then the one for all of the tenant's personas, then
// the one for everybody, then the defaults. It is slow: callers keep the result.
func (s *Set) Baseline(tenant, persona string) *Baseline {
	b := defaultBaseline()
	for _, want := range [...][2]string{{"", ""}, {tenant, ""}, {"", persona}, {tenant, persona}} {
		for i := range s.learning.defs {
			if d := &s.learning.defs[i]; d.Tenant == want[0] && event.SameIdentity(d.Persona, want[1]) {
				d.applyTo(&b, func(string, string, ...any) {})
			}
		}
	}
	b.Tenant, b.Persona = tenant, persona
	return &b
}
