package detectorstest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// school is a host that learns: it keeps deltas, closes each day, and puts the new baseline in
// force with the next one.
type School struct {
	*Host
	Day    int64
	Deltas map[baselines.Key]*baselines.Delta
	Models map[baselines.Key]*baselines.Model
	acted  map[string]bool
	Barred map[string]bool // agents that nobody may learn from
	Terms  baselines.Terms
	Wide   bool
}

func NewSchool(t testing.TB, set string) *School {
	h := NewHost(t, set)
	return &School{Host: h, Day: math.MinInt64, Deltas: map[baselines.Key]*baselines.Delta{},
		Models: map[baselines.Key]*baselines.Model{}, acted: map[string]bool{}, Barred: map[string]bool{}}
}

func (s *School) closeDay() {
	wide := &baselines.Delta{}
	tenant := baselines.Key{}
	for _, k := range slices.SortedFunc(maps.Keys(s.Deltas),
		func(a, b baselines.Key) int { return strings.Compare(a.Persona, b.Persona) }) {
		d := s.Deltas[k]
		var own baselines.Delta // by way of the wire
		r := wire.Reader{B: d.Append(nil)}
		if own.Decode(&r); r.Err != nil {
			panic(r.Err)
		}
		s.Models[k] = baselines.Learn(s.Models[k], k, s.Day, &own, s.Terms)
		wide.MergeWide(&own)
		tenant = baselines.Key{Tenant: k.Tenant, Persona: baselines.TenantWide}
		*d = baselines.Delta{}
	}
	if s.Wide && tenant.Tenant != "" {
		s.Models[tenant] = baselines.Learn(s.Models[tenant], tenant, s.Day, wide, s.Terms)
	}
	for k, m := range s.Models {
		if k.Persona != baselines.TenantWide {
			m.Prior = s.Models[tenant]
		}
	}
	clear(s.acted)
}

func (s *School) Observe(e event.Event) {
	day := wire.FloorDiv(e.Time, baselines.DayMS)
	if s.Day == math.MinInt64 {
		s.Day = day
	}
	for ; s.Day < day; s.Day++ {
		s.closeDay()
	}
	s.Host.Event, s.Host.Time = &e, e.Time
	key := baselines.Key{Tenant: e.Tenant, Persona: e.Persona}
	w := s.Panel.Who(e.Tenant, e.Persona, "")
	w.Rest(s.Models[key], 0, 0)
	if s.Deltas[key] == nil {
		s.Deltas[key] = &baselines.Delta{}
	}
	d := s.Deltas[key]
	d.Events++
	d.Learned++
	fresh := !s.acted[e.Persona+e.Agent.ID]
	if s.acted[e.Persona+e.Agent.ID] = true; fresh {
		d.Acts(xxhash.Sum64String(e.Agent.ID))
	}
	x := detectors.Scene{Host: s.Host, Time: e.Time, Agent: s.Memory(s.Agents, e.Tenant+"|"+e.Agent.ID), Who: w,
		AgentID: xxhash.Sum64String(e.Agent.ID), Delta: d, Eligible: !s.Barred[e.Agent.ID], NewDay: fresh}
	s.Panel.Observe(&x, &e)
}

// rare are the findings of the detector.
func (s *School) Rare() (list []event.Finding) {
	for _, f := range s.Found {
		if f.Detector == "rarity" {
			list = append(list, f)
		}
	}
	return list
}

const FirstDay = 20_500

// work is one call of an agent of a persona that refunds customers.
func Work(day int64, agent int, id string) event.Event {
	return event.Event{ID: id, Time: (FirstDay+day)*baselines.DayMS + 3_600_000, Kind: event.ToolCall, Tenant: "acme",
		Persona: "refunds", Agent: event.Agent{ID: fmt.Sprint("a", agent)}, Session: "s",
		Tool: event.Tool{Name: "get_order", Server: "shop", Class: event.Read,
			DefinitionHash: "sha256:0123456789abcdef", HashVersion: "1"},
		Resource: event.Resource{Type: "order", Environment: "prod"}}
}

func Pays(e event.Event, domain string) event.Event {
	e.Tool = event.Tool{Name: "refund", Server: "bank", Class: event.Pay, DefinitionHash: "sha256:fedcba9876543210",
		HashVersion: "1"}
	e.Destination = event.Destination{Kind: "email", Value: "someone@" + domain, Domain: domain}
	return e
}

// taught is a school in which agents did the same for so many days: they look at orders and pay to
// three domains.
func Taught(t testing.TB, set string, agents int, days int64) *School {
	s := NewSchool(t, set)
	for day := range days {
		for a := range agents {
			s.Observe(Work(day, a, fmt.Sprint("w", day, a)))
			s.Observe(Pays(Work(day, a, fmt.Sprint("p", day, a)),
				[]string{"one.example", "two.example", "three.example"}[(int64(a)+day)%3]))
		}
	}
	if n := len(s.Rare()); n > 0 {
		t.Fatalf("%d findings of what is usual: %+v", n, s.Rare()[0])
	}
	return s
}

const NoPolicy = `{"v":1}`
