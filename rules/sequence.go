package rules

import (
	"math"
	"slices"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/rules/expression"
)

// ends tells whether a not of time t ends the sequence: t lies after the step behind which the not
// counts and before the next one, however late its event arrives.
func (x *run) ends(s *Step, t int64) bool {
	switch {
	case x.stage == 0 && x.count == 0 || t < x.start:
		return false
	case s.After < 0:
		return true
	}
	return x.stage > s.After && t >= x.done[s.After] && (x.stage == s.After+1 || t < x.done[s.After+1])
}

// sequence applies an event to the sequences of a state. An event that is too late to be a step still
// ends sequences by a not, and absences.
func (m *Runner) sequence(r *Rule, k *State, ref event.Ref, t *Taken, late bool, out []Match) []Match {
	n := len(r.Steps)
	// A run whose time is over stays for events that arrive late.
	k.runs = slices.DeleteFunc(k.runs, func(x run) bool { return x.stage > 0 && !x.alive(r, k.Newest-Late) })
	for j, s := range r.Nots {
		if bit := n + j; t.Mask&(1<<bit) != 0 {
			k.runs = slices.DeleteFunc(k.runs, func(x run) bool {
				return x.ends(s, ref.Time) &&
					m.joins(s, t.Rows[bit], x.caps)
			})
		}
	}
	if bit := n + len(r.Nots); r.Absent != nil && t.Mask&(1<<bit) != 0 {
		m.endAbsences(r, k, ref.Time, t.Rows[bit])
	}
	if late {
		return out
	}
	// From the last step to the first, so that one event is not two steps of one sequence.
	for i := n - 1; i >= 0; i-- {
		if t.Mask&(1<<i) == 0 {
			continue
		}
		s, row := r.Steps[i], t.Rows[i]
		if i == 0 {
			out = m.start(r, k, s, ref, row, out)
			continue
		}
		var done []run
		stay := k.runs[:0]
		for _, x := range k.runs {
			// A step follows by event time, not by arrival.
			if x.stage == i && ref.Time >= x.since() && x.alive(r, ref.Time) && m.joins(s, row, x.caps) &&
				x.countEvent(s, row) {
				x.addRef(ref)
				x.newest = max(x.newest, ref.Time)
				if lets, whole := m.stepDone(&x, s, ref, row, math.MinInt64); whole {
					x.capture(s, row, lets)
					done = append(done, x)
					continue
				}
			}
			stay = append(stay, x)
		}
		clear(k.runs[len(stay):])
		k.runs = stay
		for _, x := range done {
			out = m.advance(r, k, x, ref, row, out)
		}
	}
	return out
}

// countEvent counts an event for the step; false: its value was counted before, or it has none.
func (x *run) countEvent(s *Step, row []expression.Value) bool {
	if s.distinct >= 0 {
		if s.lacksDistinct(row) {
			return false
		}
		h := hashValue(row[s.distinct])
		if slices.Contains(x.seen, h) {
			return false
		}
		x.seen = append(x.seen, h)
	}
	x.count++
	return true
}

// addRef keeps the first three references and the last three.
func (x *run) addRef(ref event.Ref) {
	if len(x.refs) < 6 {
		x.refs = append(x.refs, ref.Clone())
		return
	}
	copy(x.refs[3:], x.refs[4:])
	x.refs[5] = ref.Clone()
}

// capture fills the slots of what the step captures.
func (x *run) capture(s *Step, row, lets []expression.Value) {
	for _, c := range s.captures {
		for len(x.caps) <= c.slot {
			x.caps = append(x.caps, expression.Value{})
		}
		if c.row < 0 {
			x.caps[c.slot] = lets[c.let]
		} else {
			x.caps[c.slot] = row[c.row]
		}
	}
}

// stepDone adds an event to the window of a step with having, and tells whether the step is done; lets
// are what its window has come to.
func (m *Runner) stepDone(x *run, s *Step, ref event.Ref, row []expression.Value,
	edge int64) (lets []expression.Value, ok bool) {
	if s.Having == nil {
		return nil, x.count >= s.Times
	}
	if x.win == nil {
		x.win = &window{}
	}
	x.win.add(s.Lets, ref, row, edge, MaxTimes)
	return m.havingHolds(s.Lets, s.Having, row, x.caps, x.win, edge)
}

// start begins a sequence, or continues a first step that takes several events.
func (m *Runner) start(r *Rule, k *State, s *Step, ref event.Ref, row []expression.Value, out []Match) []Match {
	if s.takesSeveral() {
		return m.startSeveral(r, k, s, ref, row, out)
	}
	if r.Select == First && len(r.Steps) > 1 {
		i := slices.IndexFunc(k.runs, func(x run) bool { return x.alive(r, ref.Time) })
		switch {
		case i < 0:
		case k.runs[i].stage == 1 && ref.Time < k.runs[i].start: // it arrives late and came first
			k.runs = slices.Delete(k.runs, i, i+1)
		default:
			return out
		}
	}
	x := run{start: ref.Time, newest: ref.Time}
	x.addRef(ref)
	x.capture(s, row, nil)
	return m.advance(r, k, x, ref, row, out)
}

// startSeveral keeps the newest events of a first step that takes several. The sequence starts with
// the oldest of those that suffice.
func (m *Runner) startSeveral(r *Rule, k *State, s *Step, ref event.Ref, row []expression.Value, out []Match) []Match {
	if s.distinct >= 0 && s.lacksDistinct(row) {
		return out
	}
	j := slices.IndexFunc(k.runs, func(x run) bool { return x.stage == 0 })
	if j < 0 {
		k.runs = append(k.runs, run{start: ref.Time, newest: ref.Time})
		j = len(k.runs) - 1
	}
	x := &k.runs[j]
	newest := max(x.newest, ref.Time)
	if newest-ref.Time > r.Within {
		return out
	}
	x.newest = newest
	if s.Having != nil {
		x.addRef(ref)
		edge := newest - r.Within - 1
		lets, whole := m.stepDone(x, s, ref, row, edge)
		x.startAt(max(x.win.first(), edge+1), int(x.win.n))
		if !whole {
			return out
		}
		x.capture(s, row, lets)
		return m.leaveFirstStep(r, k, j, ref, row, out)
	}
	what, at := uint64(0), ref.Time
	if s.distinct >= 0 {
		what = hashValue(row[s.distinct])
		for i := 0; i < len(x.seen); i += 2 {
			if x.seen[i] == what {
				at = max(at, int64(x.seen[i+1]))
				x.seen = slices.Delete(x.seen, i, i+2)
				break
			}
		}
	}
	i := len(x.seen)
	for i > 0 && int64(x.seen[i-1]) > at {
		i -= 2
	}
	x.seen = slices.Insert(x.seen, i, what, uint64(at))
	for len(x.seen) > 2 && newest-int64(x.seen[1]) > r.Within || len(x.seen) > 2*s.Times {
		x.seen = x.seen[2:]
	}
	x.seen = slices.Clip(x.seen)
	x.addRef(ref)
	x.startAt(int64(x.seen[1]), len(x.seen)/2)
	if x.count < s.Times {
		return out
	}
	x.capture(s, row, nil)
	return m.leaveFirstStep(r, k, j, ref, row, out)
}

// startAt moves the start of a sequence whose first step takes several events, and forgets the
// references from before.
func (x *run) startAt(start int64, count int) {
	x.start, x.count = start, count
	x.refs = slices.DeleteFunc(x.refs, func(r event.Ref) bool { return r.Time < start })
}

// leaveFirstStep advances the run j, whose first step took several events.
func (m *Runner) leaveFirstStep(r *Rule, k *State, j int, ref event.Ref, row []expression.Value,
	out []Match) []Match {
	whole := k.runs[j]
	k.runs = slices.Delete(k.runs, j, j+1)
	return m.advance(r, k, whole, ref, row, out)
}

// advance moves a run to its next step. After the last step it matches, or awaits its absence.
func (m *Runner) advance(r *Rule, k *State, x run, ref event.Ref, row []expression.Value, out []Match) []Match {
	x.done = append(x.done, x.newest)
	x.stage, x.count, x.seen, x.win = x.stage+1, 0, nil, nil
	if x.stage == len(r.Steps) {
		if r.Absent == nil {
			return append(out, Match{Time: ref.Time, Refs: x.refs, Count: int64(len(x.refs)),
				Why: m.explain(r, row, x.caps, nil), Partial: k.Dropped})
		}
		for len(k.absences)-k.arrived >= MaxAbsences {
			m.countDrop(k)
			w := k.popOldest(r)
			out = append(out, Match{Time: ref.Time, Refs: w.refs, Count: int64(len(w.refs)),
				Why: m.explain(r, nil, w.caps, nil), Partial: true, Evicted: true, Until: w.until})
		}
		k.await(r, &absence{since: x.newest, until: x.newest + r.AbsentFor, caps: x.caps, refs: slices.Clip(x.refs)})
		return out
	}
	if r.Select == Each {
		same, oldest := 0, -1
		for i := range k.runs {
			if o := &k.runs[i]; o.stage == x.stage {
				if same++; oldest < 0 || o.start < k.runs[oldest].start {
					oldest = i
				}
			}
		}
		if same >= MaxRuns {
			if o := &k.runs[oldest]; o.alive(r, k.Newest) {
				m.countDrop(k)
				out = append(out, Match{Time: ref.Time, Refs: o.refs, Count: int64(len(o.refs)), Partial: true,
					Evicted: true})
			}
			k.runs = slices.Delete(k.runs, oldest, oldest+1)
		}
	} else if i := slices.IndexFunc(k.runs, func(o run) bool { return o.stage == x.stage }); i >= 0 {
		o := &k.runs[i]
		if r.Select == First && o.alive(r, ref.Time) || r.Select == Latest && o.since() > x.newest {
			return out // the run to be kept is there already
		}
		k.runs = slices.Delete(k.runs, i, i+1)
	}
	k.runs = append(k.runs, x)
	return out
}
