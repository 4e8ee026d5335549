// Package rarity is the detector of new things: it says when an agent uses or reaches what no agent
// of its persona has. What was learned is a Model: the values seen of each Field, with the estimate
// how often a new one comes.
//
// It must never know Kafka, a clock or another detector. Begin with rarity.Observe in this file,
// then read vocabulary.go for the estimate, and novelty.go for what counts as new.
package rarity

import (
	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/memo"
	"github.com/wayward-sec/wayward/policy"
)

// rarity says when an agent uses or reachTexts what no agent of its persona has: a tool, a tool for
// an intent, a server, a definition of a tool, a destination, a class of resources, a user, another
// agent.
//
// The unit is an agent's day. A test asks of one field whether the day brings something new, so
// each agent-day is one test of each field in which that would be odd, and its p-value is the
// probability that a day brings something new, or 1. What is worse than merely new (a payment goes
// there, and the account number came out of a tool's result) is a part of that event, with the
// smaller probability that the persona's days bring that: no further test. All that is new about
// one event is one finding; the p-values of its fields are joined by Cauchy.
//
// What an event that raised an alert brought is held in quarantine (see Quarantined); all
// else is known from the next day on.
type rarity struct {
	slot    byte
	set     *policy.Set
	values  []value   // of the event under observation
	fresh   []novelty // of them, what is new
	ps      []float64 // p-values to be joined
	domains []string
	shape   shape
	known   memo.Cache[uint64, string] // by shape: the hash of a model that knows all its values
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
	p := x.Agent.Ensure(d.slot).(*agentDay)
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
	// whole is how many of the values are of the shape, if these have to be looked at one by one;
	// else -1. counted is how many of them were counted today if they are known. The agent's page
	// must not depend on which shapes this detector happens to remember.
	whole, counted := -1, 0
	if e.Kind == event.ToolCall {
		d.hashShape(e)
		shapeCounted := learn && p.shapeCounted(d.shape.all)
		if model, ok := d.known.Get(d.shape.all, d.shape.all); m == nil || !ok || model != x.Base.Hash() ||
			learn && !shapeCounted {
			d.addShape(e)
			if whole = len(d.values); shapeCounted {
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
		d.addEdge(e, to)
	}
	fresh := false
	for i := range d.values {
		v := &d.values[i]
		if v.known = m != nil && m.Known(v.field, v.hash); !v.known {
			fresh = true
			whole = min(whole, i) // a new value of the shape: the shape is not known as a whole
		} else if learn && i >= counted {
			d.learn(x, e, p, v, false)
		}
		if i+1 == whole && m != nil {
			d.known.Put(d.shape.all, d.shape.all, x.Base.Hash())
			if learn {
				p.markShapeCounted(d.shape.all)
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
func (d *rarity) learn(x *detectors.Scene, e *event.Event, p *agentDay, v *value, held bool) {
	first, firstOfField := p.firstToday(v.field, v.hash)
	if firstOfField {
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

// judge looks at what is new about an event and says whether it is an alert.
func (d *rarity) judge(x *detectors.Scene, e *event.Event, p *agentDay, m *Model, learn bool) (alert bool) {
	var prior *Model
	if x.Base.Prior != nil && ModelOf(x.Base.Prior).Ready() {
		prior = ModelOf(x.Base.Prior)
	}
	if !m.Ready() && prior == nil {
		return false
	}
	d.gatherNew(x, e, p, m, prior)
	if len(d.fresh) == 0 {
		return false
	}
	classes := classesOf(e)
	if m.Ready() {
		tainted := -1 // not looked at yet
		for i := range d.fresh {
			d.weighCircumstances(&d.fresh[i], m, e, classes, &tainted)
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
	report, joint := false, 1.0
	if worst >= 0 {
		if joint = d.ps[0]; len(d.ps) > 1 {
			joint = baselines.Cauchy(d.ps...)
		}
		x.Odd[d.slot] = joint
		report, alert = x.Weigh(d.fresh[worst].field.Test(), joint)
		alert = alert && m.Ready()
	}
	if m.Ready() {
		d.countDay(x, p, m, learn && !alert)
	}
	if report {
		d.report(x, e, p, m, &d.fresh[worst], joint, alert)
	}
	return alert
}

// countDay notes what the day of the agent brought, once: for the audit always, for what is usual
// if it may be learned.
func (d *rarity) countDay(x *detectors.Scene, p *agentDay, m *Model, learn bool) {
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
	Part: func() detectors.Part { return new(agentDay) },
	Learns: baselines.PartKind{
		Unframed: true,
		Delta:    func() baselines.DeltaPart { return new(Delta) },
		Model:    func() baselines.ModelPart { return new(Model) },
	},
	Oddity: true,
}
