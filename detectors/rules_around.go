package detectors

import (
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/rules"
)

// around is what rules may ask beside the event: of its persona's baseline, of the detectors before
// them, and of the persona's policy.
type around struct {
	x    *Scene
	e    *event.Event
	role rules.Role
	of   *event.Event // that role is of
	test *rules.Supposed
}

func (a *around) show(x *Scene, e *event.Event) { a.x, a.e, a.of = x, e, nil }

// Beside completes an event from the tool catalogue, as Observe does, and returns the persona, the
// time on its clock, and what rules may ask beside the event: what the policies say, and nothing
// learned. For tools that try rules on events; what is returned holds until the next call.
func Beside(p *Panel, e *event.Event) (persona string, local int64, beside rules.Around) {
	persona, mismatch := p.Set.Role(e.Tenant, e.Agent.ID, e.Persona)
	x := &Scene{Who: p.Who(e.Tenant, persona, ""), Mismatch: mismatch, Time: e.Time}
	p.Complete(x, e)
	if x.Tool != nil && x.Judge != nil {
		x.Violations = x.Judge.Check(e, x.Tool, x.Time, nil)
	}
	a := &around{test: p.Set.Supposed()}
	a.show(x, e)
	return persona, x.Local(x.Time), a
}

// Seen implements rules.Around.
func (a *around) Seen(word string) bool {
	if v, told := a.test.Seen[word]; told {
		return v
	}
	if a.x.Base == nil {
		return true
	}
	e, m := a.e, baselines.RarityOf(a.x.Base)
	known := func(f baselines.Field, s string, hash uint64) bool { return s == "" || m.Known(f, hash) }
	switch word {
	case "tool":
		return known(baselines.ToolField, e.Tool.Name, xxhash.Sum64String(e.Tool.Name))
	case "server":
		return known(baselines.ServerField, e.Tool.Server, xxhash.Sum64String(e.Tool.Server))
	case "destination":
		return known(baselines.AddressField, e.Destination.Value, folded(e.Destination.Value))
	case "domain":
		for _, s := range append(catalogue.Domains(nil, &e.Destination), e.Destination.Domain) {
			if s != "" && !m.Known(baselines.DomainField, folded(s)) {
				return false
			}
		}
	case "user":
		return known(baselines.UserField, e.User, xxhash.Sum64String(e.User))
	case "resource":
		return e.Resource.Type == "" || m.Known(baselines.ResourceField, resourceHash(&e.Resource))
	}
	return true
}

// measures are the words for what calls and hours are measured by.
var measures = map[string]baselines.Feature{"events": baselines.EventCount, "records": baselines.RecordSum,
	"bytes": baselines.ByteSum, "amount": baselines.AmountSum, "cost": baselines.CostSum}

// inUnits is a measure as rules see it: money is kept in millionths.
func inUnits(f baselines.Feature, v float64) float64 {
	if f == baselines.AmountSum || f == baselines.CostSum {
		return v / 1e6
	}
	return v
}

// Quantile implements rules.Around.
func (a *around) Quantile(measure string, q float64) float64 {
	if v, told := a.test.Quantile[measure]; told {
		return v
	}
	f, ok := measures[measure]
	if a.x.Base == nil || !ok || !(q > 0 && q < 1) {
		return math.Inf(1)
	}
	t := baselines.VolumeOf(a.x.Base).ToolOf(callKind(a.e))
	if t == nil {
		return math.Inf(1)
	}
	for i := range baselines.Marks {
		if baselines.MarkOf(i) == f && t.Of[i].Ready() {
			return inUnits(f, quantileSize(&t.Of[i], q))
		}
	}
	return math.Inf(1)
}

// Expected implements rules.Around.
func (a *around) Expected(measure string) float64 {
	if v, told := a.test.Expected[measure]; told {
		return v
	}
	f, ok := measures[measure]
	if a.x.Base == nil || !ok {
		return math.Inf(1)
	}
	m := baselines.VolumeOf(a.x.Base)
	return inUnits(f, m.Of[f].Rate*m.Hours.Of[baselines.HourOfWeek(a.x.Local(a.x.Time))])
}

// P implements rules.Around.
func (a *around) P(detector string) float64 {
	if v, told := a.test.P[detector]; told {
		return v
	}
	if slot := SlotOf(detector); slot != 0 {
		return a.x.Odd[slot]
	}
	return 1
}

// Role implements rules.Around.
func (a *around) Role() *rules.Role {
	if a.of == a.e {
		return &a.role
	}
	a.of = a.e
	r := &a.role
	*r = rules.Role{Forbids: r.Forbids[:0]}
	if p := a.x.Role; p != nil {
		r.Known, r.Default, r.Tags = true, p.Default.String(), p.Tags
	}
	for i := range a.x.Violations {
		switch v := &a.x.Violations[i]; {
		case v.Verdict != policy.Deny:
			r.NeedsApproval = true
		case !slices.Contains(r.Forbids, v.Kind):
			r.Forbids = append(r.Forbids, v.Kind)
		}
	}
	return r
}
