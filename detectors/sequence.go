package detectors

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// sequence says when a session's calls come in an order in which the persona's do not: each call
// costs bits by what came before it and by the session's intent; the most surprising call, the
// cumulative sum and the mean are held against sessions of like length and joined, and the oddest
// moment of the session against those of other sessions, so that looking at every call costs no
// false alarms (science §3).
//
// One finding covers a session; it is updated when the odds against the session have twice as many
// digits, and at least two more, or when a signal becomes an alert.
type sequence struct {
	slot  byte
	spare []*run // memory of sessions that are over, for those that begin
}

// maxSpare bounds what is kept for sessions that begin.
const maxSpare = 1024

func newSequence(slot byte, _ *policy.Set) Detector { return &sequence{slot: slot} }

// begin is a run that has not begun.
func (d *sequence) begin(t int64) *run {
	n := len(d.spare)
	if n == 0 {
		return &run{newest: t}
	}
	r := d.spare[n-1]
	d.spare = d.spare[:n-1]
	r.newest = t
	return r
}

// done takes the memory of a run that nobody has any more.
func (d *sequence) done(r *run) {
	if len(d.spare) < maxSpare {
		r.Reset()
		r.odd, r.told = nil, nil
		d.spare = append(d.spare, r)
	}
}

// sequencePart is of a session its chain, of an agent what of it was counted today.
type sequencePart struct {
	baselines.AgentDay
	run *run // of a session
}

// run is a session under way.
type run struct {
	baselines.Chain
	newest int64       // event time
	odd    []event.Ref // its first odd calls since it was last calm, at most MaxRefs
	told   *told
}

// told is a finding that was made.
type told struct {
	open
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
	// grown is by how much a session must at least have grown less likely to be told again.
	grown    = 100
	maxTold  = 8 // steps in a finding
	maxUsual = 3
)

func (d *sequence) Observe(x *Scene, e *event.Event) {
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
	if part.run == nil {
		part.run = d.begin(x.Time)
	}
	r := part.run
	if x.Time < r.newest-sequenceLate {
		return
	}
	r.newest = max(r.newest, x.Time)
	var m *baselines.SequenceModel
	if x.Base != nil {
		m = baselines.SequenceOf(x.Base)
	}
	odder := false
	if ends {
		odder = r.End(m)
	} else {
		odder = r.Push(m, baselines.SequenceDeltaOf(x.Delta).Step(m, e.Tool.Name, e.Resource.Type, e.Tool.Class, e.Result.Outcome,
			e.Intent))
	}
	switch {
	case m == nil || r.told != nil && !odder:
	case r.Calm():
		r.odd = r.odd[:0]
	case odder:
		d.judge(x, e, r)
	}
	if r.Odd() && r.told == nil && !r.Calm() && len(r.odd) < event.MaxRefs && m != nil {
		r.odd = append(r.odd, x.Ref(e).Clone())
	}
}

// judge tells of a session that has become odder than it was.
func (d *sequence) judge(x *Scene, e *event.Event, r *run) {
	p := r.P(baselines.SequenceOf(x.Base))
	x.Odd[d.slot] = p
	tell, alert := x.Weigh(baselines.SequenceTest, p)
	if !tell {
		return
	}
	activity := event.Update
	switch t := r.told; {
	case t == nil:
		activity = event.Create
		ref := x.Ref(e).Clone()
		r.told = &told{open: open{trigger: ref, refs: r.odd}, first: ref.Time}
		if len(r.odd) > 0 {
			r.told.first = min(ref.Time, r.odd[0].Time)
		}
		r.odd, r.told.grade = nil, x.grade(baselines.SequenceTest, p, alert)
	case !t.regrade(x.grade(baselines.SequenceTest, p, t.alert || alert), p < t.p && p <= min(t.p*t.p, t.p/grown)):
		// twice as many bits
		return
	}
	t := r.told
	if alert && !t.alert {
		x.Delta.Audit.Of[baselines.SequenceTest].Alerts++
	}
	t.p, t.alert = p, alert || t.alert
	f := x.stray("sequence", baselines.SequenceTest, "chain", p, t.alert)
	f.Activity, f.Title, f.Tags = activity, "Calls in an order unusual for the persona", []string{"ASI01", "AML.T0051"}
	f.ScopeType, f.ScopeID = "session", strings.Clone(e.Session)
	f.Time, f.First, f.Last, f.Refs = t.trigger.Time, t.first, max(x.Time, t.first), t.all()
	d.explain(x, r, &f)
	x.Find(f)
}

// explain says which calls were odd, and what would have been usual.
func (d *sequence) explain(x *Scene, r *run, f *event.Finding) {
	m := baselines.SequenceOf(x.Base)
	score := r.Score(m)
	for i, p := range score.Each {
		f.Anomaly.Scores = append(f.Anomaly.Scores, event.Score{Name: baselines.SequenceStatistics[i], P: p})
	}
	steps := r.Tell(m)
	odd, worst := 0, 0
	for i := range steps {
		if steps[i].Bits >= baselines.OddBits {
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
		oddA, oddB := steps[a].Bits >= baselines.OddBits, steps[b].Bits >= baselines.OddBits
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
	shown = append(shown, rest[:min(len(rest), maxTold-1)]...)
	slices.Sort(shown)
	usual := ""
	for _, i := range shown {
		s := &steps[i]
		step := event.Step{What: d.name(m, x.Delta, s.Step.Call, s.Step.Outcome), Bits: math.Round(s.Bits*10) / 10}
		if s.Bits >= baselines.OddBits || i == worst {
			symbols, shares := m.Usual(s, maxUsual)
			for j, u := range symbols {
				step.Usual = append(step.Usual, event.Usual{What: u.String(), Share: math.Round(shares[j]*1000) / 1000})
			}
			if i == worst {
				usual = said3(step.Usual)
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
	persona := strconv.Quote(short(x.Base.Persona))
	if x.Base.Persona == "" {
		persona = "unknown"
	}
	f.Why = calls + " session " + strconv.Quote(short(f.ScopeID)) + verb + " unlike persona " + persona + ": " +
		short(d.name(m, x.Delta, w.Step.Call, w.Step.Outcome)) + " after " +
		short(d.name(m, x.Delta, w.Before, event.NoOutcome)) +
		" (" + event.Thousands(min(m.Support(w), f.Anomaly.AgentDays)) + " of " + event.Thousands(f.Anomaly.AgentDays) +
		" agent-days" + usual + "); " + event.Odds(f.Anomaly.P) + " sessions"
}

// said3 says what is usual.
func said3(list []event.Usual) string {
	out := ""
	for i, u := range list {
		if u.Share < 0.005 {
			break
		}
		out += [...]string{"; usually ", ", ", ", "}[i] + short(u.What) + " " +
			strconv.Itoa(int(math.Round(100*u.Share))) + " %"
	}
	return out
}

// name is what a call is called: of a new one, the delta knows.
func (d *sequence) name(m *baselines.SequenceModel, delta *baselines.Delta, call uint32, outcome event.Outcome) string {
	s := m.Symbol(call)
	if s == nil {
		s = baselines.SequenceDeltaOf(delta).Symbol(call)
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
func (d *sequence) End(x *Ending) {
	part, _ := x.Memory.Part(d.slot).(*sequencePart)
	if part == nil || part.run == nil {
		return
	}
	x.Memory.Drop(d.slot)
	r := part.run
	defer d.done(r)
	var m *baselines.SequenceModel
	if x.Base != nil {
		m = baselines.SequenceOf(x.Base)
	}
	r.End(m)
	p, alpha := r.P(m), 0.0
	fate := baselines.LearnAll
	if x.Base != nil && x.Base.State != baselines.Learning && !x.Approved {
		fate = baselines.LearnFrom
		alpha = x.Alpha(baselines.SequenceTest)
		switch {
		case r.told != nil && r.told.alert || p < alpha:
			fate = baselines.Alerted
		case p < quarantineP:
			fate = baselines.Quarantine
		}
	}
	if r.Tested(m) {
		x.Delta.Audit.Count(baselines.SequenceTest, p)
	}
	// An alert of its own makes the agent ineligible for a while; what is new in the session is put
	// into quarantine all the same, else no change of how a persona works would ever be seen to be
	// one.
	if !x.Eligible && fate != baselines.Alerted {
		return
	}
	today := &baselines.AgentDay{}
	if x.Agent != nil {
		today = &x.Agent.Ensure(d.slot).(*sequencePart).AgentDay
	}
	baselines.SequenceDeltaOf(x.Delta).Take(m, &r.Chain, x.AgentID, wire.FloorDiv(x.Time, baselines.DayMS), today, fate, alpha)
}

// Append encodes the part.
func (p *sequencePart) Append(b []byte) []byte {
	r := p.run
	if r == nil {
		at := len(b)
		b = append(b, 0)
		if b = p.AgentDay.Append(b); len(b) == at+1 {
			return b[:at]
		}
		return b
	}
	flags := byte(1)
	if r.told != nil {
		flags |= 2
		if r.told.alert {
			flags |= 4
		}
	}
	b = binary.AppendVarint(append(b, flags), r.newest)
	b = binary.AppendUvarint(b, uint64(len(r.odd)))
	for _, ref := range r.odd {
		b = wire.AppendRef(b, ref)
	}
	if r.told != nil {
		b = r.told.open.append(b)
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(r.told.p))
		b = binary.AppendVarint(b, r.told.first)
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
	p.run = &run{newest: r.Varint()}
	for range min(r.Len(), event.MaxRefs) {
		p.run.odd = append(p.run.odd, wire.ReadRef(r))
	}
	if flags&2 != 0 {
		t := &told{alert: flags&4 != 0}
		t.open.decode(r)
		t.p = math.Float64frombits(r.Uint64())
		t.first = r.Varint()
		if !(t.p > 0 && t.p <= 1) {
			r.Fail()
		}
		p.run.told = t
	}
	p.run.Chain.Decode(r)
}

// sequenceKind registers the detector of the order of calls.
var sequenceKind = Kind{Name: "sequence", Slot: baselines.SequenceSlot, New: newSequence, Part: func() Part { return new(sequencePart) },
	Learns: baselines.PartKind{Unframed: true,
		Delta: func() baselines.DeltaPart { return new(baselines.SequenceDelta) },
		Model: func() baselines.ModelPart { return new(baselines.SequenceModel) }},
	Oddity: true}
