package rarity

import (
	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/memo"
	"github.com/wayward-sec/wayward/policy"
)

// rarity says when an agent uses or reaches what no agent of its persona has: a tool, a tool for an
// intent, a server, a definition of a tool, a destination, a class of resources, a user, another
// agent.
//
// The unit is an agent's day. A test asks of one field whether the day brings something new, so
// each agent-day is one test of each field in which that would be odd, and its p-value is the
// probability that a day brings something new, or 1. What is worse than merely new (a payment goes
// there, and the account number came out of a tool's result) is a part of that event, with the
// smaller probability that the persona's days bring that: no further test. All that is new about
// one event is one finding; the p-values of its fields are joined by Cauchy.
//
// What an event that called somebody brought is held in quarantine (baselines.Quarantined); all
// else is known from the next day on.
type rarity struct {
	slot    byte
	set     *policy.Set
	values  []value
	fresh   []novelty
	ps      []float64
	domains []string
	shape   shape
	known   memo.Cache[uint64, string] // of a shape all of which a model knows: the hash of that model
}

func newRarity(slot byte, set *policy.Set) detectors.Detector {
	return &rarity{slot: slot, set: set, known: memo.NewCache[uint64, string](1024)}
}

func (d *rarity) Observe(x *detectors.Scene, e *event.Event) {
	if x.Delta == nil { // nobody keeps baselines
		return
	}
	d.values = d.values[:0]
	switch e.Kind {
	case event.ToolCall, event.Handoff, event.Message:
	case event.Audit:
		d.registered(x, e)
		return
	default:
		return
	}
	to := recipient(e)
	if e.Kind != event.ToolCall && to == "" {
		return
	}
	p := x.Agent.Ensure(d.slot).(*acquaintance)
	p.begin(x.Time)
	var m *Model
	if x.Base != nil {
		m = ModelOf(x.Base)
		if p.marks&testedMark == 0 {
			p.marks |= testedMark
			for t := baselines.ToolTest; t <= baselines.EdgeTest; t++ {
				x.Delta.Audit.Of[t].Made += m.Made(t)
			}
		}
	}
	// What was only tried, or refused, is looked at but not learned.
	learn := x.Eligible && e.Phase != event.Attempt && e.Result.Outcome != event.Denied
	if learn && p.marks&countedMark == 0 {
		p.marks |= countedMark
		DeltaOf(x.Delta).Days++
	}
	whole := -1 // how many of the values are of the shape, if they have to be looked at
	// of them, that all have been counted today, if they are known: what the page says must not
	// depend on what the panel happens to remember
	counted := 0
	if e.Kind == event.ToolCall {
		d.hash(e)
		showed := learn && p.showed(d.shape.all)
		if model, ok := d.known.Get(d.shape.all, d.shape.all); m == nil || !ok || model != x.Base.Hash() ||
			learn && !showed {
			d.spread(e)
			if whole = len(d.values); showed {
				counted = whole
			}
		}
		if e.User != "" {
			d.add(UserField, xxhash.Sum64String(e.User))
		}
		if v := e.Destination.Value; v != "" {
			d.add(AddressField, Folded(v))
		}
	}
	if to != "" {
		d.edge(e, to)
	}
	fresh := false
	for i := range d.values {
		v := &d.values[i]
		if v.known = m != nil && m.Known(v.field, v.hash); !v.known {
			fresh = true
			whole = min(whole, i) // so that it is less than it was if it is one of the shape's
		} else if learn && i >= counted {
			d.learn(x, e, p, v, false)
		}
		if i+1 == whole && m != nil {
			d.known.Put(d.shape.all, d.shape.all, x.Base.Hash())
			if learn {
				p.shows(d.shape.all)
			}
		}
	}
	if !fresh {
		return
	}
	alert := m != nil && d.judge(x, e, p, m, learn)
	if !learn {
		return
	}
	for i := range d.values {
		if v := &d.values[i]; !v.known {
			d.learn(x, e, p, v, alert)
		}
	}
}

// learn counts a value once a day.
func (d *rarity) learn(x *detectors.Scene, e *event.Event, p *acquaintance, v *value, held bool) {
	first, of := p.meets(v.field, v.hash)
	if of {
		DeltaOf(x.Delta).Appear(v.field)
	}
	if !first {
		return
	}
	s := DeltaOf(x.Delta).See(v.field, v.hash, held)
	if v.field == ToolField {
		s.Classes |= classesOf(e)
	}
	if v.known {
		return
	}
	s.Agents |= 1 << (x.AgentID & 63)
	if held {
		s.Judged |= v.judged
	}
	if s.Name == "" && v.field.Named() {
		s.Name = baselines.Name(d.name(e, v))
	}
	switch v.field {
	case DefinitionField:
		s.Of, s.Form = definitionOf(&e.Tool)
	case ToolField, IntentToolField:
		s.Sink = s.Sink || classesOf(e)&sinkClasses != 0
	case DomainField, AddressField, ToolDomainField:
		s.Sink = s.Sink || classesOf(e)&reachClasses != 0
	}
}

// judge looks at what is new about an event and says whether somebody is called for it.
func (d *rarity) judge(x *detectors.Scene, e *event.Event, p *acquaintance, m *Model, learn bool) (alert bool) {
	var prior *Model
	if x.Base.Prior != nil && ModelOf(x.Base.Prior).Ready() {
		prior = ModelOf(x.Base.Prior)
	}
	if !m.Ready() && prior == nil {
		return false
	}
	d.gather(x, e, p, m, prior)
	if len(d.fresh) == 0 {
		return false
	}
	classes := classesOf(e)
	if m.Ready() {
		tainted := -1 // not looked at yet
		for i := range d.fresh {
			d.worsen(&d.fresh[i], m, e, classes, &tainted)
		}
	}
	d.ps = d.ps[:0]
	worst := -1
	for i := range d.fresh {
		if n := &d.fresh[i]; n.p < Odd {
			d.ps = append(d.ps, n.p)
			if worst < 0 || n.p < d.fresh[worst].p {
				worst = i
			}
		}
	}
	tell, joint := false, 1.0
	if worst >= 0 {
		if joint = d.ps[0]; len(d.ps) > 1 {
			joint = baselines.Cauchy(d.ps...)
		}
		x.Odd[d.slot] = joint
		tell, alert = x.Weigh(d.fresh[worst].field.Test(), joint)
		alert = alert && m.Ready()
	}
	if m.Ready() {
		d.count(x, p, m, learn && !alert)
	}
	if tell {
		d.tell(x, e, p, m, &d.fresh[worst], joint, alert)
	}
	return alert
}

// count notes what the day of the agent brought, once: for the audit always, for what is usual if
// it may be learned.
func (d *rarity) count(x *detectors.Scene, p *acquaintance, m *Model, learn bool) {
	for i := range d.fresh {
		n := &d.fresh[i]
		if bit := uint16(1) << n.field; p.marks&bit == 0 {
			p.marks |= bit
			if n.p < Odd {
				t := n.field.Test()
				x.Delta.Audit.Count(t, n.p)
				x.Delta.Audit.Of[t].Made-- // it was counted when the day began
			}
			if learn && m.Held(n.field, n.hash) == nil {
				DeltaOf(x.Delta).Novel(n.field)
			}
		}
		if !learn || m.Held(n.field, n.hash) != nil {
			continue
		}
		for c := range Circumstances {
			if bit := uint16(circumstanceMark) << c; n.judged&(2<<c) != 0 && p.marks&bit == 0 {
				p.marks |= bit
				DeltaOf(x.Delta).Worse[c]++
			}
		}
	}
}

// Kind registers the detector of what is new.
var Kind = detectors.Kind{
	Name: "rarity",
	Slot: Slot,
	New:  newRarity,
	Part: func() detectors.Part { return new(acquaintance) },
	Learns: baselines.PartKind{
		Unframed: true,
		Delta:    func() baselines.DeltaPart { return new(Delta) },
		Model:    func() baselines.ModelPart { return new(Model) },
	},
	Oddity: true,
}
