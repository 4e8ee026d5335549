package rules

import (
	"slices"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/rules/expression"
)

// wait is a sequence that is done, of which it is awaited that something does not come.
type wait struct {
	since, until int64 // event times between which it may come
	caps         []expression.Value
	refs         []event.Ref
	answered     bool
}

func (w *wait) weight() int { return 16 + weightOf(w.caps, w.refs) }

// answer ends the absences that an event answers. It does not answer what it came before.
func (m *Runner) answer(r *Rule, k *State, t int64, row []expression.Value) {
	list := k.open
	s := r.Absent
	if k.byValue == nil && s.eqRow >= 0 && len(k.open) > fewOpen {
		k.byValue = map[uint64][]*wait{}
		for _, w := range k.open {
			if h := hashValue(w.caps[s.eqCap]); !w.answered {
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
		if !w.answered && t >= w.since && t <= w.until && m.join(s, row, w.caps) {
			w.answered, found = true, true
			k.answered++
			k.weight -= w.weight()
		}
	}
	if !found {
		return
	}
	if k.byValue != nil {
		k.byValue[h] = slices.DeleteFunc(list, isAnswered)
		if len(k.byValue[h]) == 0 {
			delete(k.byValue, h)
		}
	}
	k.tidy()
}

func isAnswered(w *wait) bool { return w.answered }

// fewOpen absences are looked through one by one.
const fewOpen = 32

// tidy lets go of absences that were answered.
func (k *State) tidy() {
	i := 0
	for i < len(k.open) && k.open[i].answered {
		i++
	}
	clear(k.open[:i])
	k.open, k.answered = k.open[i:], k.answered-i
	if k.answered > fewOpen && k.answered > len(k.open)/2 {
		k.open, k.answered = slices.DeleteFunc(k.open, isAnswered), 0
	}
}

// await waits for what may not come.
func (k *State) await(r *Rule, w *wait) {
	i := len(k.open)
	for i > 0 && k.open[i-1].until > w.until {
		i--
	}
	k.open = slices.Insert(k.open, i, w)
	k.weight += w.weight()
	if k.byValue != nil {
		h := hashValue(w.caps[r.Absent.eqCap])
		k.byValue[h] = append(k.byValue[h], w)
	}
}

// oldest takes away the absence that is over first.
func (k *State) oldest(r *Rule) *wait {
	w := k.open[0]
	k.open[0], k.open = nil, k.open[1:]
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
	k.tidy()
	return w
}

// Expire ends what was awaited up to a time and has not come.
func (m *Runner) Expire(r *Rule, k *State, t int64, out []Match) []Match {
	if r.Absent == nil {
		return out
	}
	for k.Due() <= t {
		w := k.oldest(r)
		out = append(out, Match{Time: w.until, Refs: w.refs, Count: int64(len(w.refs)),
			Why: m.explain(r, nil, w.caps, nil), Deadline: w.until, Partial: k.Dropped})
	}
	return out
}
