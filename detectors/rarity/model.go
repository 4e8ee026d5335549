package rarity

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/wayward-sec/wayward/baselines"
)

// Circumstance is what makes something new worse: each is part of the one it is listed under.
type Circumstance uint8

// Circumstances.
const (
	NewReach     Circumstance = iota // a sink call (send, pay, grant, delegate …) reached a new destination
	TaintedReach                     // … which came out of a tool's result
	NewSink                          // a tool that is new, or new for its intent, was a sink
	Circumstances
)

// Bounds and settings of vocabularies.
const (
	maxValues     = 4096 // of a field; beyond, the field is open
	maxQuarantine = 1024
	forgetDays    = 180 // after which a value that nobody showed is forgotten
	graceDays     = 30  // after which a value in quarantine that nobody showed is forgotten
	objectionDays = 14  // that people have to reject what an alert was raised for
	declaredFor   = 3   // agent-days that a declaration is worth
	// Vocabularies last longer than habits: with the 14 days of volumes a persona of four agents
	// would never have enough support, while what changes of late is what Recent is for.
	halfLife60 = 64783 // 2^(−1/60) in 65,536ths

	// YoungDays is the support, in agent-days, below which a vocabulary raises no alert.
	YoungDays = 100
	boundDays = 300     // … below which the estimate is an upper bound
	recentFor = 200     // agent-days over which Recent is a mean
	one       = 1 << 32 // probabilities are stored in 2^−32
	// the probability of something new rises by no more than this factor a day: nobody may drown
	// what is new in novelties
	rise = 2
)

// Odd is the probability above which something new is no test: what can only come out above every
// threshold must not use up the budget of the others (Tarone 1990).
const Odd = 0.01

// Model is what was learned about what agents of a persona use and touch: for each field the values
// seen, counted in agent-days. From these counts Good and Turing's estimate gives how often an
// agent-day brings a new value (docs/statistics.md, New things).
//
// An agent-day without a field counts as one that brings nothing new: what is tested is whether the
// day of an agent brings something new, so the denominator is all days on which it did anything.
type Model struct {
	Days       uint64 // agent-days with any call, decaying with 60 days, in Units
	Total      uint64 // … since the first, not decaying: what counts of values are shares of
	Of         [Fields]Vocabulary
	Worse      [Circumstances]uint64 // agent-days on which it happened, decaying in the same way
	Quarantine []Quarantined         // by field and hash

	// Derived.
	keys []uint64 // hashes of values, open addressing
	made [baselines.Tests]uint8
	day  int64
}

// Ready tells whether there is enough support to make p-values from.
func (v *Model) Ready() bool { return v.Days >= YoungDays*baselines.Unit }

// Support is the number of agent-days that the model rests on, decayed.
func (v *Model) Support() float64 { return float64(v.Days) / baselines.Unit }

// New is the probability that an agent-day brings a new value of the field; 0: not known.
func (v *Model) New(f Field) float64 { return float64(v.Of[f].Last) / one }

// Supported tells whether a new value of the field says anything: the field has been there for long
// enough to know.
func (v *Model) Supported(f Field) bool {
	return v.Of[f].Last > 0 && (!fieldDefs[f].sent || v.Of[f].Days >= YoungDays*baselines.Unit)
}

// Tested tells whether a new value of the field is a test: it would be odd.
func (v *Model) Tested(f Field) bool { return v.Supported(f) && v.New(f) < Odd }

// Made is how many tests of a kind each agent-day is. Each field that is tested is one; where no
// field is, what is worse than new may still be.
func (v *Model) Made(t baselines.Test) uint64 { return uint64(v.made[t]) }

// Happens is the probability that an agent-day brings the circumstance.
func (v *Model) Happens(c Circumstance) float64 {
	return (float64(v.Worse[c]) + baselines.Unit/2) / (float64(v.Days) + baselines.Unit)
}

// Known tells whether a value of the field has been seen and learned.
func (v *Model) Known(f Field, hash uint64) bool {
	if len(v.keys) > 0 {
		k := keyOf(f, hash)
		for i := k; ; i++ {
			switch v.keys[i&uint64(len(v.keys)-1)] {
			case k:
				return true
			case 0:
				return v.Of[f].prunedDays != nil && v.mayBePruned(f, hash)
			}
		}
	}
	return false
}

func keyOf(f Field, hash uint64) uint64 {
	return max((hash^uint64(f+1)*0x9e3779b97f4a7c15)*0xd6e8feb86659fd93, 1)
}

// mayBePruned tells whether a value that is not kept may have been seen: another of its bucket may
// be meant.
func (v *Model) mayBePruned(f Field, hash uint64) bool {
	last := v.Of[f].prunedDays[hash%maxValues]
	return last != 0 && v.day-int64(last) <= forgetDays
}

// Definition says what is known of the definition of a tool of a server, apart from this one: the
// newest of the same form, nil if there is none, and whether there is any at all. A hash of another
// form says nothing of the definition.
func (v *Model) Definition(of, form uint64) (same *Value, any bool) {
	values := v.Of[DefinitionField].Values
	for i := range values {
		if d := &values[i]; d.Of == of {
			any = true
			if d.Form == form && (same == nil || d.Last > same.Last || d.Last == same.Last && d.First > same.First) {
				same = d
			}
		}
	}
	return same, any
}

// Learn closes a day.
func (v *Model) Learn(m *baselines.Model, part baselines.DeltaPart, terms baselines.Terms) {
	d, day := part.(*Delta), int32(m.Day)
	v.Days = baselines.Decayed(v.Days, halfLife60) + min(d.Days, maxDay)*baselines.Unit
	v.Total = min(v.Total+min(d.Days, maxDay), 1<<56)
	for c := range v.Worse {
		v.Worse[c] = baselines.Decayed(v.Worse[c], halfLife60) + min(d.Worse[c], maxDay)*baselines.Unit
	}
	passed := power32(one-one/recentFor, d.Days)
	for f := range Fields {
		o, n := &v.Of[f], &d.of[f]
		o.Days = baselines.Decayed(o.Days, halfLife60) + min(n.Days, maxDay)*baselines.Unit
		o.prunedSingles = baselines.Decayed(o.prunedSingles, halfLife60)
		if d.Days > 0 {
			o.Recent = uint32(min(mul32(uint64(o.Recent), passed)+mul32(ratio32(n.New, d.Days), one-passed), one-1))
		}
		v.learn(f, n.sorted(), day, terms)
		o.prune(day)
		if n.over() {
			o.Open = true
		}
	}
	v.reviewQuarantine(m, day, terms)
	v.derive(m.Day)
	for f := range Fields {
		v.Of[f].estimate(v.Days)
	}
	v.derive(m.Day)
}

// learn adds what was seen of a field on a day.
func (v *Model) learn(f Field, seen []Sighting, day int32, terms baselines.Terms) {
	o := &v.Of[f]
	var fresh []Value
	for i := range seen {
		s := &seen[i]
		x := Value{Hash: s.Hash, Count: s.Count, First: day, Last: day, Classes: s.Classes, Of: s.Of, Form: s.Form,
			Name: s.Name}
		if s.Declared {
			x.Via, x.Count = Declared, max(x.Count, declaredFor)
		}
		if k := o.Find(s.Hash); k != nil {
			if s.Count > 0 {
				k.Count = baselines.AddSaturating32(k.Count, s.Count)
				k.Last = max(k.Last, day)
			}
			k.Classes |= s.Classes
			if k.Name == "" {
				k.Name = s.Name
			}
			if s.Declared && k.Via == Learned {
				k.Via, k.Count = Declared, max(k.Count, declaredFor)
			}
			continue
		}
		at, held := v.quarantineIndex(f, s.Hash)
		if terms.Approved || s.Declared && !(held && v.Quarantine[at].Rejected) {
			x.Count = baselines.AddSaturating32(x.Count, s.Held)
			if held {
				x.Count, x.First = baselines.AddSaturating32(x.Count, v.Quarantine[at].Count), v.Quarantine[at].First
				v.Quarantine = slices.Delete(v.Quarantine, at, at+1)
			}
			fresh = append(fresh, x)
			continue
		}
		if !held && s.Held == 0 {
			if s.Count > 0 {
				fresh = append(fresh, x)
			}
			continue
		}
		if !held {
			x.Count = 0
			v.Quarantine = slices.Insert(v.Quarantine, at, Quarantined{Value: x, Field: f})
		}
		q := &v.Quarantine[at]
		shown := baselines.AddSaturating32(s.Count, s.Held)
		q.Count = baselines.AddSaturating32(q.Count, shown)
		q.Agents |= s.Agents
		q.Most = max(q.Most, shown)
		q.Days = baselines.AddSaturating32(q.Days, 1)
		q.Last = max(q.Last, day)
		q.Classes |= s.Classes
		q.Sink = q.Sink || s.Sink
		q.Judged |= s.Judged
	}
	if len(fresh) > 0 {
		o.Values = append(o.Values, fresh...)
		slices.SortFunc(o.Values, func(a, b Value) int { return cmp.Compare(a.Hash, b.Hash) })
	}
}

// derive makes what is not stored.
func (v *Model) derive(day int64) {
	v.day = day
	n := 0
	for f := range v.Of {
		o := &v.Of[f]
		n += len(o.Values)
		o.once, o.twice, o.singles = 0, 0, 0
		for i := range o.Values {
			switch x := &o.Values[i]; x.Count {
			case 1:
				o.once++
				o.singles += weight(int32(day), x.Last)
			case 2:
				o.twice++
			}
		}
	}
	v.keys, v.made = nil, [baselines.Tests]uint8{}
	if n > 0 {
		v.keys = make([]uint64, 2<<bits.Len(uint(n)))
	}
	mask := uint64(len(v.keys) - 1)
	for f := range Fields {
		for i := range v.Of[f].Values {
			k := keyOf(f, v.Of[f].Values[i].Hash)
			at := k
			for v.keys[at&mask] != 0 && v.keys[at&mask] != k {
				at++
			}
			v.keys[at&mask] = k
		}
		if v.Tested(f) {
			v.made[f.Test()]++
		}
	}
	if v.Ready() {
		v.made[baselines.DestinationTest] = max(v.made[baselines.DestinationTest], 1)
		v.made[baselines.ToolTest] = max(v.made[baselines.ToolTest], 1)
	}
	if v.keys == nil && slices.ContainsFunc(v.Of[:], func(o Vocabulary) bool { return o.prunedDays != nil }) {
		v.keys = make([]uint64, 1) // so that prunedDays is looked at
	}
}

// Slot is the slot of the detector's parts in state.
const Slot = 8

var emptyModel Model

// ModelOf is what a baseline has learned for this detector. It is never nil and must not be
// changed.
func ModelOf(m *baselines.Model) *Model {
	if p, ok := m.Part(Slot).(*Model); ok {
		return p
	}
	return &emptyModel
}

// DeltaOf is what a day adds for this detector; it is made if there is none.
func DeltaOf(d *baselines.Delta) *Delta {
	if p, ok := d.Part(Slot).(*Delta); ok {
		return p
	}
	return d.Ensure(Slot).(*Delta)
}
