package detectors

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// school is a host that learns: it keeps deltas, closes each day, and puts the new baseline in
// force with the next one.
type school struct {
	*host
	day    int64
	deltas map[baselines.Key]*baselines.Delta
	models map[baselines.Key]*baselines.Model
	acted  map[string]bool
	barred map[string]bool // agents that nobody may learn from
	terms  baselines.Terms
	wide   bool
}

func newSchool(t testing.TB, set string) *school {
	h := newHost(t, set)
	return &school{host: h, day: math.MinInt64, deltas: map[baselines.Key]*baselines.Delta{},
		models: map[baselines.Key]*baselines.Model{}, acted: map[string]bool{}, barred: map[string]bool{}}
}

func (s *school) closeDay() {
	wide := &baselines.Delta{}
	tenant := baselines.Key{}
	for _, k := range slices.SortedFunc(maps.Keys(s.deltas),
		func(a, b baselines.Key) int { return strings.Compare(a.Persona, b.Persona) }) {
		d := s.deltas[k]
		var own baselines.Delta // by way of the wire
		r := wire.Reader{B: d.Append(nil)}
		if own.Decode(&r); r.Err != nil {
			panic(r.Err)
		}
		s.models[k] = baselines.Learn(s.models[k], k, s.day, &own, s.terms)
		wide.MergeWide(&own)
		tenant = baselines.Key{Tenant: k.Tenant, Persona: baselines.TenantWide}
		*d = baselines.Delta{}
	}
	if s.wide && tenant.Tenant != "" {
		s.models[tenant] = baselines.Learn(s.models[tenant], tenant, s.day, wide, s.terms)
	}
	for k, m := range s.models {
		if k.Persona != baselines.TenantWide {
			m.Prior = s.models[tenant]
		}
	}
	clear(s.acted)
}

func (s *school) observe(e event.Event) {
	day := wire.FloorDiv(e.Time, baselines.DayMS)
	if s.day == math.MinInt64 {
		s.day = day
	}
	for ; s.day < day; s.day++ {
		s.closeDay()
	}
	s.host.event, s.host.time = &e, e.Time
	key := baselines.Key{Tenant: e.Tenant, Persona: e.Persona}
	w := s.panel.Who(e.Tenant, e.Persona, "")
	w.Rest(s.models[key], 0, 0)
	if s.deltas[key] == nil {
		s.deltas[key] = &baselines.Delta{}
	}
	d := s.deltas[key]
	d.Events++
	d.Learned++
	fresh := !s.acted[e.Persona+e.Agent.ID]
	if s.acted[e.Persona+e.Agent.ID] = true; fresh {
		d.Acts(xxhash.Sum64String(e.Agent.ID))
	}
	x := Scene{Host: s.host, Time: e.Time, Agent: s.memory(s.agents, e.Tenant+"|"+e.Agent.ID), Who: w,
		AgentID: xxhash.Sum64String(e.Agent.ID), Delta: d, Eligible: !s.barred[e.Agent.ID], NewDay: fresh}
	s.panel.Observe(&x, &e)
}

// rare are the findings of the detector.
func (s *school) rare() (list []event.Finding) {
	for _, f := range s.found {
		if f.Detector == "rarity" {
			list = append(list, f)
		}
	}
	return list
}

const firstDay = 20_500

// work is one call of an agent of a persona that refunds customers.
func work(day int64, agent int, id string) event.Event {
	return event.Event{ID: id, Time: (firstDay+day)*baselines.DayMS + 3_600_000, Kind: event.ToolCall, Tenant: "acme",
		Persona: "refunds", Agent: event.Agent{ID: fmt.Sprint("a", agent)}, Session: "s",
		Tool: event.Tool{Name: "get_order", Server: "shop", Class: event.Read,
			DefinitionHash: "sha256:0123456789abcdef", HashVersion: "1"},
		Resource: event.Resource{Type: "order", Environment: "prod"}}
}

func pays(e event.Event, domain string) event.Event {
	e.Tool = event.Tool{Name: "refund", Server: "bank", Class: event.Pay, DefinitionHash: "sha256:fedcba9876543210",
		HashVersion: "1"}
	e.Destination = event.Destination{Kind: "email", Value: "someone@" + domain, Domain: domain}
	return e
}

// taught is a school in which agents did the same for so many days: they look at orders and pay to
// three domains.
func taught(t testing.TB, set string, agents int, days int64) *school {
	s := newSchool(t, set)
	for day := range days {
		for a := range agents {
			s.observe(work(day, a, fmt.Sprint("w", day, a)))
			s.observe(pays(work(day, a, fmt.Sprint("p", day, a)),
				[]string{"one.example", "two.example", "three.example"}[(int64(a)+day)%3]))
		}
	}
	if n := len(s.rare()); n > 0 {
		t.Fatalf("%d findings of what is usual: %+v", n, s.rare()[0])
	}
	return s
}

const noPolicy = `{"v":1}`
