package rules

import (
	"slices"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/rules/expression"
)

// absence is a sequence whose steps are done and that matches unless one more event comes in time.
type absence struct {
	since, until int64 // event times between which that event counts
	caps         []expression.Value
	refs         []event.Ref
	arrived      bool // it came
}

func (w *absence) weight() int { return 16 + weightOf(w.caps, w.refs) }

// endAbsences ends the absences for which an event of time t is the one that was not to be missing.
// An event from before an absence began does not count.
func (m *Runner) endAbsences(r *Rule, k *State, t int64, row []expression.Value) {
	list := k.absences
	s := r.Absent
	if k.byValue == nil && s.eqRow >= 0 && len(k.absences) > fewAbsences {
		k.byValue = map[uint64][]*absence{}
		for _, w := range k.absences {
			if h := hashValue(w.caps[s.eqCap]); !w.arrived {
				k.byValue[h] = append(k.byValue[h], w)
			}
		}
	}
	h := uint64(0)
	if k.byValue != nil {
		h = hashValue(row[s.eqRow])
		list = k.byValue[h]
	}
	found := false
	for _, w := range list {
		if !w.arrived && t >= w.since && t <= w.until && m.joins(s, row, w.caps) {
			w.arrived, found = true, true
			k.arrived++
			k.weight -= w.weight()
		}
	}
	if !found {
		return
	}
	if k.byValue != nil {
		k.byValue[h] = slices.DeleteFunc(list, hasArrived)
		if len(k.byValue[h]) == 0 {
			delete(k.byValue, h)
		}
	}
	k.dropArrived()
}

func hasArrived(w *absence) bool { return w.arrived }

// fewAbsences are searched one by one; more are indexed by the value that the event must have.
const fewAbsences = 32

// dropArrived removes ended absences: from the front always, from the middle once they are many.
func (k *State) dropArrived() {
	i := 0
	for i < len(k.absences) && k.absences[i].arrived {
		i++
	}
	clear(k.absences[:i])
	k.absences, k.arrived = k.absences[i:], k.arrived-i
	if k.arrived > fewAbsences && k.arrived > len(k.absences)/2 {
		k.absences, k.arrived = slices.DeleteFunc(k.absences, hasArrived), 0
	}
}

// await adds an absence, in the order of deadlines.
func (k *State) await(r *Rule, w *absence) {
	i := len(k.absences)
	for i > 0 && k.absences[i-1].until > w.until {
		i--
	}
	k.absences = slices.Insert(k.absences, i, w)
	k.weight += w.weight()
	if k.byValue != nil {
		h := hashValue(w.caps[r.Absent.eqCap])
		k.byValue[h] = append(k.byValue[h], w)
	}
}

// popOldest removes and returns the absence with the earliest deadline.
func (k *State) popOldest(r *Rule) *absence {
	w := k.absences[0]
	k.absences[0], k.absences = nil, k.absences[1:]
	k.weight -= w.weight()
	if k.byValue != nil {
		h := hashValue(w.caps[r.Absent.eqCap])
		list := k.byValue[h]
		if i := slices.Index(list, w); i == 0 {
			list = list[1:]
		} else if i > 0 {
			list = slices.Delete(list, i, i+1)
		}
		if k.byValue[h] = list; len(list) == 0 {
			delete(k.byValue, h)
		}
	}
	k.dropArrived()
	return w
}

// Expire appends a match for each absence whose deadline is t or earlier.
func (m *Runner) Expire(r *Rule, k *State, t int64, out []Match) []Match {
	if r.Absent == nil {
		return out
	}
	for k.Due() <= t {
		w := k.popOldest(r)
		out = append(out, Match{Time: w.until, Refs: w.refs, Count: int64(len(w.refs)),
			Why: m.explain(r, nil, w.caps, nil), Deadline: w.until, Partial: k.Dropped})
	}
	return out
}
