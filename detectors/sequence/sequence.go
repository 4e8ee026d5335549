// Package sequence is the detector of the order of calls: it says when a session's calls come in an
// order in which the persona's do not. What was learned is a Model: an n-gram model of calls with
// interpolated Witten-Bell smoothing.
//
// It must never know Kafka, a clock or another detector. Begin with sequence.Observe in this file
// and Chain.Push in chain.go; the probability of a call is Model.p in model.go.
package sequence

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// sequence says when a session's calls come in an order in which the persona's do not: each call
// costs bits by what came before it and by the session's intent; the most surprising call, the
// cumulative sum and the mean are held against sessions of like length and joined, and the oddest
// moment of the session against those of other sessions, so that looking at every call costs no
// false alarms (docs/statistics.md, Order of calls).
//
// One finding covers a session; it is updated when the odds against the session have twice as many
// digits, and at least two more, or when a signal becomes an alert.
type sequence struct {
	slot  byte
	spare []*openSession // memory of sessions that are over, for those that begin
}

// maxSpare bounds what is kept for sessions that begin.
const maxSpare = 1024

func newSequence(slot byte, _ *policy.Set) detectors.Detector { return &sequence{slot: slot} }

// newSession is a session that has not begun.
func (d *sequence) newSession(t int64) *openSession {
	n := len(d.spare)
	if n == 0 {
		return &openSession{newest: t}
	}
	r := d.spare[n-1]
	d.spare = d.spare[:n-1]
	r.newest = t
	return r
}

// recycle takes the memory of a session that nobody has any more.
func (d *sequence) recycle(r *openSession) {
	if len(d.spare) < maxSpare {
		r.Reset()
		r.odd, r.reported = nil, nil
		d.spare = append(d.spare, r)
	}
}

// sequencePart is of a session its chain, of an agent what of it was counted today.
type sequencePart struct {
	AgentDay
	session *openSession // of a session
}

// openSession is a session under way.
type openSession struct {
	Chain
	newest   int64       // event time
	odd      []event.Ref // its first odd calls since it was last calm, at most MaxRefs
	reported *reported
}

// reported is the finding that was made of the session.
type reported struct {
	detectors.OpenFinding
	p     float64
	alert bool
	first int64
}

const (
	// sequenceLate is by how much a call may come late and still have a place in the order of
	// calls, in milliseconds (as the shards' lateness).
	sequenceLate = 10_000
	// quarantineP is the p-value below which a session is not learned from.
	quarantineP = 1e-2
	// grown is by how much a session must at least have grown less likely to be reported again.
	grown    = 100
	maxShown = 8 // steps in a finding
	maxUsual = 3 // usual calls named beside an odd one
)

func (d *sequence) Observe(x *detectors.Scene, e *event.Event) {
	ends := e.Kind == event.Session && e.Phase == event.End
	if !ends && (e.Kind != event.ToolCall || e.Phase == event.Attempt) || e.Session == "" || x.Delta == nil ||
		x.Terms.Off {
		// nobody keeps baselines
		return
	}
	memory := x.Session()
	if memory == nil || ends && memory.Part(d.slot) == nil {
		return
	}
	part := memory.Ensure(d.slot).(*sequencePart)
	if part.session == nil {
		part.session = d.newSession(x.Time)
	}
	r := part.session
	if x.Time < r.newest-sequenceLate {
		return
	}
	r.newest = max(r.newest, x.Time)
	var m *Model
	if x.Base != nil {
		m = ModelOf(x.Base)
	}
	odder := false
	if ends {
		odder = r.End(m)
	} else {
		odder = r.Push(m, DeltaOf(x.Delta).Step(m, e.Tool.Name, e.Resource.Type, e.Tool.Class, e.Result.Outcome,
			e.Intent))
	}
	switch {
	case m == nil || r.reported != nil && !odder:
	case r.Calm():
		r.odd = r.odd[:0]
	case odder:
		d.judge(x, e, r)
	}
	if r.Odd() && r.reported == nil && !r.Calm() && len(r.odd) < event.MaxRefs && m != nil {
		r.odd = append(r.odd, x.Ref(e).Clone())
	}
}

// judge reports a session that has become odder than it was, if that is odd enough.
func (d *sequence) judge(x *detectors.Scene, e *event.Event, r *openSession) {
	p := r.P(ModelOf(x.Base))
	x.Odd[d.slot] = p
	tell, alert := x.Weigh(baselines.SequenceTest, p)
	if !tell {
		return
	}
	activity := event.Update
	switch t := r.reported; {
	case t == nil:
		activity = event.Create
		ref := x.Ref(e).Clone()
		r.reported = &reported{OpenFinding: detectors.OpenFinding{Trigger: ref, Refs: r.odd}, first: ref.Time}
		if len(r.odd) > 0 {
			r.reported.first = min(ref.Time, r.odd[0].Time)
		}
		r.odd, r.reported.Grade = nil, x.Grade(baselines.SequenceTest, p, alert)
	case !t.Regrade(x.Grade(baselines.SequenceTest, p, t.alert || alert), p < t.p && p <= min(t.p*t.p, t.p/grown)):
		// twice as many bits
		return
	}
	t := r.reported
	if alert && !t.alert {
		x.Delta.Audit.Of[baselines.SequenceTest].Alerts++
	}
	t.p, t.alert = p, alert || t.alert
	f := x.NewAnomaly("sequence", baselines.SequenceTest, "chain", p, t.alert)
	f.Activity, f.Title, f.Tags = activity, "Calls in an order unusual for the persona", []string{"ASI01", "AML.T0051"}
	f.ScopeType, f.ScopeID = "session", strings.Clone(e.Session)
	f.Time, f.First, f.Last, f.Refs = t.Trigger.Time, t.first, max(x.Time, t.first), t.All()
	d.explain(x, r, &f)
	x.Find(f)
}

// explain says which calls were odd, and what would have been usual.
func (d *sequence) explain(x *detectors.Scene, r *openSession, f *event.Finding) {
	m := ModelOf(x.Base)
	score := r.Score(m)
	for i, p := range score.Each {
		f.Anomaly.Scores = append(f.Anomaly.Scores, event.Score{Name: StatisticNames[i], P: p})
	}
	steps := r.ScoreSteps(m)
	odd, worst := 0, 0
	for i := range steps {
		if steps[i].Bits >= OddBits {
			odd++
		}
		if steps[i].Bits > steps[worst].Bits {
			worst = i
		}
	}
	f.Count = int64(max(odd, 1))
	// The trigger comes last; before it the oddest, or else the newest.
	shown := []int{len(steps) - 1}
	rest := make([]int, 0, len(steps))
	for i := range len(steps) - 1 {
		rest = append(rest, i)
	}
	slices.SortStableFunc(rest, func(a, b int) int {
		oddA, oddB := steps[a].Bits >= OddBits, steps[b].Bits >= OddBits
		switch {
		case oddA != oddB:
			if oddA {
				return -1
			}
			return 1
		case oddA && steps[a].Bits > steps[b].Bits:
			return -1
		case oddA && steps[a].Bits < steps[b].Bits:
			return 1
		}
		return b - a
	})
	shown = append(shown, rest[:min(len(rest), maxShown-1)]...)
	slices.Sort(shown)
	usual := ""
	for _, i := range shown {
		s := &steps[i]
		step := event.Step{What: d.name(m, x.Delta, s.Step.Call, s.Step.Outcome), Bits: math.Round(s.Bits*10) / 10}
		if s.Bits >= OddBits || i == worst {
			symbols, shares := m.Usual(s, maxUsual)
			for j, u := range symbols {
				step.Usual = append(step.Usual, event.Usual{What: u.String(), Share: math.Round(shares[j]*1000) / 1000})
			}
			if i == worst {
				usual = usualText(step.Usual)
			}
		}
		f.Anomaly.Steps = append(f.Anomaly.Steps, step)
	}
	w := &steps[worst]
	calls := strconv.Itoa(odd) + " calls of"
	switch odd {
	case 0:
		calls = "the calls of"
	case 1:
		calls = "1 call of"
	}
	verb := " are"
	if odd == 1 {
		verb = " is"
	}
	persona := strconv.Quote(detectors.Short(x.Base.Persona))
	if x.Base.Persona == "" {
		persona = "unknown"
	}
	f.Why = calls + " session " + strconv.Quote(detectors.Short(f.ScopeID)) + verb + " unlike persona " + persona + ": " +
		detectors.Short(d.name(m, x.Delta, w.Step.Call, w.Step.Outcome)) + " after " +
		detectors.Short(d.name(m, x.Delta, w.Before, event.NoOutcome)) +
		" (" + event.Thousands(min(m.Support(w), f.Anomaly.AgentDays)) + " of " + event.Thousands(f.Anomaly.AgentDays) +
		" agent-days" + usual + "); " + event.Odds(f.Anomaly.P) + " sessions"
}

// usualText says what is usual.
func usualText(list []event.Usual) string {
	out := ""
	for i, u := range list {
		if u.Share < 0.005 {
			break
		}
		out += [...]string{"; usually ", ", ", ", "}[i] + detectors.Short(u.What) + " " +
			strconv.Itoa(int(math.Round(100*u.Share))) + " %"
	}
	return out
}

// name is what a call is called: of a new one, the delta knows.
func (d *sequence) name(m *Model, delta *baselines.Delta, call uint32, outcome event.Outcome) string {
	s := m.Symbol(call)
	if s == nil {
		s = DeltaOf(delta).Symbol(call)
	}
	what := "a call that was forgotten"
	if s != nil {
		what = s.String()
	}
	if outcome > event.OK {
		what += " (" + outcome.String() + ")"
	}
	return what
}

// End learns from the session, or puts what is new in it into quarantine.
func (d *sequence) End(x *detectors.Ending) {
	part, _ := x.Memory.Part(d.slot).(*sequencePart)
	if part == nil || part.session == nil {
		return
	}
	x.Memory.Drop(d.slot)
	r := part.session
	defer d.recycle(r)
	var m *Model
	if x.Base != nil {
		m = ModelOf(x.Base)
	}
	r.End(m)
	p, alpha := r.P(m), 0.0
	fate := LearnAll
	if x.Base != nil && x.Base.State != baselines.Learning && !x.Approved {
		fate = LearnFrom
		alpha = x.Alpha(baselines.SequenceTest)
		switch {
		case r.reported != nil && r.reported.alert || p < alpha:
			fate = Alerted
		case p < quarantineP:
			fate = Quarantine
		}
	}
	if r.Tested(m) {
		x.Delta.Audit.Count(baselines.SequenceTest, p)
	}
	// An alert of its own makes the agent ineligible for a while; what is new in the session is put
	// into quarantine all the same, else no change of how a persona works would ever be seen to be
	// one.
	if !x.Eligible && fate != Alerted {
		return
	}
	today := &AgentDay{}
	if x.Agent != nil {
		today = &x.Agent.Ensure(d.slot).(*sequencePart).AgentDay
	}
	DeltaOf(x.Delta).Take(m, &r.Chain, x.AgentID, wire.FloorDiv(x.Time, baselines.DayMS), today, fate, alpha)
}

// Append encodes the part.
func (p *sequencePart) Append(b []byte) []byte {
	r := p.session
	if r == nil {
		at := len(b)
		b = append(b, 0)
		if b = p.AgentDay.Append(b); len(b) == at+1 {
			return b[:at]
		}
		return b
	}
	flags := byte(1)
	if r.reported != nil {
		flags |= 2
		if r.reported.alert {
			flags |= 4
		}
	}
	b = binary.AppendVarint(append(b, flags), r.newest)
	b = binary.AppendUvarint(b, uint64(len(r.odd)))
	for _, ref := range r.odd {
		b = wire.AppendRef(b, ref)
	}
	if r.reported != nil {
		b = r.reported.OpenFinding.Append(b)
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(r.reported.p))
		b = binary.AppendVarint(b, r.reported.first)
	}
	return r.Chain.Append(b)
}

// Decode reads what Append wrote.
func (p *sequencePart) Decode(r *wire.Reader) {
	*p = sequencePart{}
	if len(r.B) == 0 {
		return
	}
	flags := r.Byte()
	if flags == 0 {
		p.AgentDay.Decode(r)
		return
	}
	p.session = &openSession{newest: r.Varint()}
	for range min(r.Len(), event.MaxRefs) {
		p.session.odd = append(p.session.odd, wire.ReadRef(r))
	}
	if flags&2 != 0 {
		t := &reported{alert: flags&4 != 0}
		t.OpenFinding.Decode(r)
		t.p = math.Float64frombits(r.Uint64())
		t.first = r.Varint()
		if !(t.p > 0 && t.p <= 1) {
			r.Fail()
		}
		p.session.reported = t
	}
	p.session.Chain.Decode(r)
}

// Kind registers the detector of the order of calls.
var Kind = detectors.Kind{
	Name: "sequence",
	Slot: Slot,
	New:  newSequence,
	Part: func() detectors.Part { return new(sequencePart) },
	Learns: baselines.PartKind{
		Unframed: true,
		Delta:    func() baselines.DeltaPart { return new(Delta) },
		Model:    func() baselines.ModelPart { return new(Model) },
	},
	Oddity: true,
}
