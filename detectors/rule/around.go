package rule

import (
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/rarity"
	"github.com/wayward-sec/wayward/detectors/volume"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/rules/expression"
)

// around is what rules may ask beside the event: of its persona's baseline, of the detectors before
// them, and of the persona's policy.
type around struct {
	x    *detectors.Scene
	e    *event.Event
	role expression.Role
	of   *event.Event // that role is of
	test *expression.Supposed
}

func (a *around) show(x *detectors.Scene, e *event.Event) { a.x, a.e, a.of = x, e, nil }

// Beside completes an event from the tool catalogue, as Observe does, and returns the persona, the
// time on its clock, and what rules may ask beside the event: what the policies say, and nothing
// learned. For tools that try rules on events; what is returned holds until the next call.
func Beside(p *detectors.Panel, e *event.Event) (persona string, local int64, beside expression.Enrichment) {
	persona, mismatch := p.Set.Role(e.Tenant, e.Agent.ID, e.Persona)
	x := &detectors.Scene{Who: p.Who(e.Tenant, persona, ""), Mismatch: mismatch, Time: e.Time}
	p.Complete(x, e)
	if x.Tool != nil && x.Judge != nil {
		x.Violations = x.Judge.Check(e, x.Tool, x.Time, nil)
	}
	a := &around{test: p.Set.Supposed()}
	a.show(x, e)
	return persona, x.Local(x.Time), a
}

// Seen implements expression.Enrichment.
func (a *around) Seen(word string) bool {
	if v, told := a.test.Seen[word]; told {
		return v
	}
	if a.x.Base == nil {
		return true
	}
	e, m := a.e, rarity.ModelOf(a.x.Base)
	known := func(f rarity.Field, s string, hash uint64) bool { return s == "" || m.Known(f, hash) }
	switch word {
	case "tool":
		return known(rarity.ToolField, e.Tool.Name, xxhash.Sum64String(e.Tool.Name))
	case "server":
		return known(rarity.ServerField, e.Tool.Server, xxhash.Sum64String(e.Tool.Server))
	case "destination":
		return known(rarity.AddressField, e.Destination.Value, rarity.Folded(e.Destination.Value))
	case "domain":
		for _, s := range append(catalogue.Domains(nil, &e.Destination), e.Destination.Domain) {
			if s != "" && !m.Known(rarity.DomainField, rarity.Folded(s)) {
				return false
			}
		}
	case "user":
		return known(rarity.UserField, e.User, xxhash.Sum64String(e.User))
	case "resource":
		return e.Resource.Type == "" || m.Known(rarity.ResourceField, rarity.ResourceHash(&e.Resource))
	}
	return true
}

// measures are the words for what calls and hours are measured by.
var measures = map[string]volume.Feature{"events": volume.EventCount, "records": volume.RecordSum,
	"bytes": volume.ByteSum, "amount": volume.AmountSum, "cost": volume.CostSum}

// inUnits is a measure as rules see it: money is kept in millionths.
func inUnits(f volume.Feature, v float64) float64 {
	if f == volume.AmountSum || f == volume.CostSum {
		return v / 1e6
	}
	return v
}

// Quantile implements expression.Enrichment.
func (a *around) Quantile(measure string, q float64) float64 {
	if v, told := a.test.Quantile[measure]; told {
		return v
	}
	f, ok := measures[measure]
	if a.x.Base == nil || !ok || !(q > 0 && q < 1) {
		return math.Inf(1)
	}
	t := volume.ModelOf(a.x.Base).ToolOf(volume.CallKind(a.e))
	if t == nil {
		return math.Inf(1)
	}
	for i := range volume.Marks {
		if volume.MarkOf(i) == f && t.Of[i].Ready() {
			return inUnits(f, volume.QuantileSize(&t.Of[i], q))
		}
	}
	return math.Inf(1)
}

// Expected implements expression.Enrichment.
func (a *around) Expected(measure string) float64 {
	if v, told := a.test.Expected[measure]; told {
		return v
	}
	f, ok := measures[measure]
	if a.x.Base == nil || !ok {
		return math.Inf(1)
	}
	m := volume.ModelOf(a.x.Base)
	return inUnits(f, m.Of[f].Rate*m.Hours.Of[baselines.HourOfWeek(a.x.Local(a.x.Time))])
}

// P implements expression.Enrichment.
func (a *around) P(detector string) float64 {
	if v, told := a.test.P[detector]; told {
		return v
	}
	if slot := detectors.SlotOf(detector); slot != 0 {
		return a.x.Odd[slot]
	}
	return 1
}

// Role implements expression.Enrichment.
func (a *around) Role() *expression.Role {
	if a.of == a.e {
		return &a.role
	}
	a.of = a.e
	r := &a.role
	*r = expression.Role{Forbids: r.Forbids[:0]}
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
