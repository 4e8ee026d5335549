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
	open      []*wait // by deadline; the first is not answered
	holds     bool    // having was true with the newest event
	Dropped   bool    // something was forgotten for want of room

	answered int                // of open; derived, as what follows
	weight   int                // of open
	byValue  map[uint64][]*wait // open, by the value that an answer must have; nil: not many
}

// run is a sequence under way.
type run struct {
	stage  int     // the step that it waits for
	start  int64   // event time of its first event
	done   []int64 // event times at which the steps before were done
	newest int64   // event time of the newest event of the step that it waits for
	count  int     // events that the step has had so far
	caps   []expression.Value
	refs   []event.Ref // the first three and the last three
	seen   []uint64    // hashes of what is distinct in the step; of the first step: times
	win    *window     // of a step that adds up: its events
}

// since is the event time before which nothing can be the step that the sequence waits for.
func (x *run) since() int64 {
	if n := len(x.done); n > 0 {
		return x.done[n-1]
	}
	return math.MinInt64
}

// weight is about how many bytes it takes.
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

// Due is when the state next has something to say if nothing comes; math.MaxInt64: never.
func (k *State) Due() int64 {
	if len(k.open) == 0 {
		return math.MaxInt64
	}
	return k.open[0].until
}

// Clear ends what the state waits for.
func (k *State) Clear() { k.runs, k.open, k.answered, k.weight, k.byValue = nil, nil, 0, 0, nil }

// Absences is how many absences are awaited.
func (k *State) Absences() int { return len(k.open) - k.answered }

// Progress is how far the state has come: what would be lost with it.
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

// Numbers is how many numbers the state holds because something adds up over events.
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

// Shrink makes windows of the state hold half as much: less is kept of events one by one, and
// nothing is left out of what they add up to.
func (k *State) Shrink(r *Rule) {
	if k.win != nil {
		k.win.tighten(r.Lets, MaxSamples)
	}
	for i := range k.runs {
		if x := &k.runs[i]; x.win != nil {
			x.win.tighten(r.Steps[x.stage].Lets, MaxTimes)
		}
	}
}

// Pending tells whether a sequence is under way.
func (k *State) Pending() bool { return len(k.runs)+len(k.open) > 0 }

// alive tells whether a sequence may go on with an event of a time.
func (x *run) alive(r *Rule, t int64) bool { return t-x.start <= r.Within }

// Evict lets go of the oldest thing that is open, and says so in a match: nobody who brings much
// at a time makes what is awaited disappear. An absence goes last, since only it is a decision.
func (m *Runner) Evict(r *Rule, k *State, t int64, out []Match) []Match {
	m.forget(k)
	if len(k.runs) > 0 {
		x := k.runs[0]
		k.runs = slices.Delete(k.runs, 0, 1)
		if x.stage == 0 {
			return out
		}
		return append(out, Match{Time: t, Refs: x.refs, Count: int64(len(x.refs)), Partial: true, Evicted: true})
	}
	if len(k.open) > 0 {
		w := k.oldest(r)
		out = append(out, Match{Time: t, Refs: w.refs, Count: int64(len(w.refs)), Why: m.explain(r, nil, w.caps, nil),
			Partial: true, Evicted: true, Until: w.until})
	}
	return out
}

// Fits tells whether the state is one that the rule may have: it comes from disk.
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
	for _, w := range k.open {
		if r.Absent == nil || len(w.caps) != r.capturedBy(len(r.Steps)) {
			return false
		}
	}
	return true
}

// capturedBy is how many things were captured when so many steps are done.
func (r *Rule) capturedBy(steps int) (n int) {
	for _, s := range r.Steps[:steps] {
		for _, c := range s.captures {
			n = max(n, c.slot+1)
		}
	}
	return n
}

// Empty tells whether nothing worth keeping is remembered at a time.
func (k *State) Empty(r *Rule, now int64) bool {
	if len(k.open) > 0 {
		return false
	}
	for i := range k.runs {
		if now-k.runs[i].start <= r.Within {
			return false
		}
	}
	return k.win == nil || k.Newest <= now-r.Window
}
