package rarity

import (
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// novelty is a value that is new.
type novelty struct {
	*value
	p     float64
	worst Circumstance // that p rests on; Circumstances: it is merely new
	wide  bool         // new to the whole tenant
}

// gatherNew puts into fresh what is new and says something, with the probability that a day brings
// something new there.
func (d *rarity) gatherNew(x *detectors.Scene, e *event.Event, p *agentDay, m, prior *Model) {
	d.fresh = d.fresh[:0]
	var isNew [Fields]bool
	var newDomains uint64
	for i := range d.values {
		if v := &d.values[i]; !v.known {
			isNew[v.field] = true
			if v.field == DomainField {
				newDomains |= 1 << (v.domain & 63)
			}
		}
	}
	for i := range d.values {
		v := &d.values[i]
		if v.known {
			continue
		}
		// What was announced to the agent, registered anywhere in the tenant, or is declared by the
		// persona is no finding. Nor is what follows from something else that is new.
		declared := p.announced(x.Time, v.field, v.hash)
		if wide := x.Base.Prior; wide != nil && v.field.Wide() && !declared {
			k := ModelOf(wide).Of[v.field].Find(v.hash)
			declared = k != nil && k.Via == Declared
		}
		switch v.field {
		case ToolField:
			declared = declared || x.Role != nil && x.Role.Declares(policy.Tools, e.Tool.Name)
		case ServerField:
			declared = declared || x.Role != nil && x.Role.Declares(policy.Servers, e.Tool.Server)
		case DomainField:
			declared = x.Role != nil && d.domains[v.domain] != "" &&
				x.Role.Declares(policy.Destinations, d.domains[v.domain])
		case IntentToolField:
			declared = isNew[ToolField]
		case DefinitionField:
			declared = declared || isNew[ToolField] || !d.changed(x, e, m)
		case AddressField:
			declared = newDomains != 0
		case ToolDomainField:
			declared = isNew[ToolField] || newDomains&(1<<(v.domain&63)) != 0
		}
		if declared {
			continue
		}
		v.judged = 1
		n := novelty{value: v, p: 1, worst: Circumstances}
		if m.Ready() {
			if !m.Supported(v.field) {
				continue
			}
			n.p = m.New(v.field)
		}
		if prior != nil && v.field.Wide() && prior.Supported(v.field) {
			if prior.Known(v.field, v.hash) {
				if !m.Ready() {
					continue
				}
			} else {
				// what is new to the tenant is new to its personas: part of the same event
				n.wide, n.p = true, min(n.p, prior.New(v.field))
			}
		}
		d.fresh = append(d.fresh, n)
	}
}

// changed tells whether a definition that is new is one where another of the same form is known:
// else the tool is new to this server, or is hashed in another way. The one that the inventory pins
// is no change.
func (d *rarity) changed(x *detectors.Scene, e *event.Event, m *Model) bool {
	of, form := definitionOf(&e.Tool)
	same, _ := m.Definition(of, form)
	return same != nil && d.set.Inventory().Find(policy.ToolThing, x.Tenant, e.Tool.Name,
		e.Tool.Server).Hash != e.Tool.DefinitionHash
}

// weighCircumstances takes a smaller probability if what is new is also worse.
func (d *rarity) weighCircumstances(n *novelty, m *Model, e *event.Event, classes uint16, tainted *int) {
	take := func(c Circumstance) {
		n.judged |= 2 << c
		if p := m.Happens(c); p < n.p {
			n.p, n.worst = p, c
		}
	}
	switch n.field {
	case ToolField, IntentToolField:
		if classes&sinkClasses != 0 {
			take(NewSink)
		}
	case DomainField, AddressField:
		if classes&reachClasses == 0 {
			return
		}
		take(NewReach)
		if *tainted < 0 {
			*tainted = 0
			if fromTool(e) {
				*tainted = 1
			}
		}
		if *tainted == 1 {
			take(TaintedReach)
		}
	}
}
