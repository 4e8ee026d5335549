package rules

import (
	"math"
	"slices"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/rules/expression"
)

// State is what is remembered for one rule under one key.
type State struct {
	Rule, Sub uint64  // hash of the rule, and of the parts of the key that are not the page's
	Newest    int64   // event time
	win       *window // of a rule with a window
	runs      []run
	absences  []*absence // by deadline; the first has not arrived
	holds     bool       // having was true with the newest event
	Dropped   bool       // something was forgotten for want of room

	// Derived from absences.
	arrived int                   // how many have arrived
	weight  int                   // their size in bytes
	byValue map[uint64][]*absence // by the value that the awaited event must have; nil: they are few
}

// run is a sequence under way: the events so far that may become a match.
type run struct {
	stage  int     // the step that it waits for
	start  int64   // event time of its first event
	done   []int64 // event times at which the steps before were done
	newest int64   // event time of the newest event of the step that it waits for
	count  int     // events that the step has had so far
	caps   []expression.Value
	refs   []event.Ref // the first three and the last three
	// hashes of the different values that the step has had; of a first step pairs of such a hash, or 0,
	// and the time at which it was last seen, by time
	seen []uint64
	win  *window // of a step with having: its events
}

// since is when the step before was done. What happened earlier cannot be the next step.
func (x *run) since() int64 {
	if n := len(x.done); n > 0 {
		return x.done[n-1]
	}
	return math.MinInt64
}

// weight is about how many bytes the run takes.
func (x *run) weight() int { return 24 + weightOf(x.caps, x.refs) + 8*(len(x.seen)+len(x.done)) }

func weightOf(caps []expression.Value, refs []event.Ref) (n int) {
	for i := range caps {
		n += 3 + len(caps[i].S)
	}
	for i := range refs {
		n += 9 + len(refs[i].ID) + len(refs[i].Agent)
	}
	return n
}

// Due is the event time at which the state matches if nothing comes until then; math.MaxInt64: never.
func (k *State) Due() int64 {
	if len(k.absences) == 0 {
		return math.MaxInt64
	}
	return k.absences[0].until
}

// Clear forgets all sequences and absences. Windows stay.
func (k *State) Clear() { k.runs, k.absences, k.arrived, k.weight, k.byValue = nil, nil, 0, 0, nil }

// Absences is how many absences are pending.
func (k *State) Absences() int { return len(k.absences) - k.arrived }

// Progress measures how much would be lost with the state, to compare states.
func (k *State) Progress() int {
	n := k.Numbers()
	for i := range k.runs {
		n += sampleNumbers * (k.runs[i].stage + k.runs[i].count)
	}
	return n
}

// Size is about how many bytes sequences and absences take.
func (k *State) Size() int {
	n := k.weight
	for i := range k.runs {
		n += k.runs[i].weight()
	}
	return n
}

// Numbers is how many numbers the windows of the state hold, an event taken for sampleNumbers.
func (k *State) Numbers() (n int) {
	if k.win != nil {
		n = k.win.numbers()
	}
	for i := range k.runs {
		if w := k.runs[i].win; w != nil {
			n += w.numbers()
		}
	}
	return n
}

// Shrink halves what the windows of the state hold. Fewer events are kept one by one; sums lose
// nothing.
func (k *State) Shrink(r *Rule) {
	if k.win != nil {
		k.win.shrink(r.Lets, MaxSamples)
	}
	for i := range k.runs {
		if x := &k.runs[i]; x.win != nil {
			x.win.shrink(r.Steps[x.stage].Lets, MaxTimes)
		}
	}
}

// Pending tells whether a sequence is under way or an absence is awaited.
func (k *State) Pending() bool { return len(k.runs)+len(k.absences) > 0 }

// alive tells whether an event of time t is within the rule's span of the sequence.
func (x *run) alive(r *Rule, t int64) bool { return t-x.start <= r.Within }

// Evict drops the oldest sequence, or if there is none the oldest absence, and reports it as a match
// with Evicted: an agent that floods the state cannot make its own sequence disappear unseen.
// Absences go last, since each of them is a match unless something comes.
func (m *Runner) Evict(r *Rule, k *State, t int64, out []Match) []Match {
	m.countDrop(k)
	if len(k.runs) > 0 {
		x := k.runs[0]
		k.runs = slices.Delete(k.runs, 0, 1)
		if x.stage == 0 {
			return out
		}
		return append(out, Match{Time: t, Refs: x.refs, Count: int64(len(x.refs)), Partial: true, Evicted: true})
	}
	if len(k.absences) > 0 {
		w := k.popOldest(r)
		out = append(out, Match{Time: t, Refs: w.refs, Count: int64(len(w.refs)), Why: m.explain(r, nil, w.caps, nil),
			Partial: true, Evicted: true, Until: w.until})
	}
	return out
}

// Fits tells whether a state read from disk is one that the rule can have.
func (k *State) Fits(r *Rule) bool {
	if k.Rule != r.Hash {
		return false
	}
	if k.win != nil && (len(r.Steps) == 0 || !k.win.fits(r.Lets, len(r.Steps[0].row))) {
		return false
	}
	for i := range k.runs {
		x := &k.runs[i]
		if x.stage >= len(r.Steps) || len(x.caps) != r.capturedBy(x.stage) || x.stage > 0 && len(x.refs) == 0 {
			return false
		}
		if x.win != nil && (!x.win.fits(r.Steps[x.stage].Lets, len(r.Steps[x.stage].row))) {
			return false
		}
	}
	for _, w := range k.absences {
		if r.Absent == nil || len(w.caps) != r.capturedBy(len(r.Steps)) {
			return false
		}
	}
	return true
}

// capturedBy is how many slots are filled when so many steps are done.
func (r *Rule) capturedBy(steps int) (n int) {
	for _, s := range r.Steps[:steps] {
		for _, c := range s.captures {
			n = max(n, c.slot+1)
		}
	}
	return n
}

// Empty tells whether the state holds nothing that still counts at a time.
func (k *State) Empty(r *Rule, now int64) bool {
	if len(k.absences) > 0 {
		return false
	}
	for i := range k.runs {
		if now-k.runs[i].start <= r.Within {
			return false
		}
	}
	return k.win == nil || k.Newest <= now-r.Window
}
