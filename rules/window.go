package rules

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/rules/expression"
	"github.com/wayward-sec/wayward/sketch"
)

// window is what lies in a rule's window, or what a step has added up: the newest events as they
// were, and of those before them what they came to, in steps of time.
//
// Nothing is forgotten as long as it lies in the window. Events beyond the newest are folded into
// steps of one millisecond, so that sums stay exact while the window slides. Only where even these
// are too many do steps become wider; an event then leaves with the end of its step, not before.
// What a window comes to follows from which events lie in it, not from how they came.
type window struct {
	samples []sample // the newest, oldest first

	folded bool // there are older ones; all that follows is state only then, else derived from samples
	tight  byte // how often room was made
	width  int64
	steps  []step
	sums   []wide              // of each step: what its events add to each let that adds up
	early  []event.Ref         // a few of those that were folded, oldest first
	seen   []*sketch.Sample    // by distinct(…)
	peaks  [][]peak            // by min(…) and max(…)
	hists  []*sketch.Quantiles // by quantile(…)

	ready  bool        // what follows is up to date
	totals []wide      // by let that adds up
	sorted [][]float64 // by quantile(…), while nothing is folded
	n      int64       // events in all
}

// sample is an event in a window.
type sample struct {
	ref event.Ref
	row []expression.Value
}

// step is how many events were folded of the step of time that begins at a time.
type step struct {
	at int64
	n  uint32
}

// peak is a value above all later ones, and until when it counts.
type peak struct {
	at int64
	v  float64
}

// Bounds of a window.
const (
	sampleNumbers = 8    // as many numbers as an event kept as it was takes
	maxTight      = 6    // halvings of what is kept as it was
	keptEarly     = 16   // references to folded events
	keptBins      = 4096 // of a quantile, before its steps of time become wider
	mostNumber    = 1e24
)

// window adds an event to a rule's window and matches if having holds of all that lies in it.
func (m *Runner) window(r *Rule, k *State, ref event.Ref, row []expression.Value, out []Match) []Match {
	edge := k.Newest - r.Window
	if ref.Time <= edge {
		return out
	}
	if k.win == nil {
		k.win = &window{}
	}
	w := k.win
	w.add(r.Lets, ref, row, edge, MaxSamples)
	lets, holds := m.having(r.Lets, r.Having, row, nil, w, edge)
	was := k.holds
	if k.holds = holds; !holds {
		return out
	}
	return append(out, Match{Time: ref.Time, Refs: w.refs(), Count: w.n, Why: m.explain(r, row, nil, lets), Continues: was,
		Partial: k.Dropped, Approx: w.approx(r.Lets, edge)})
}

// having reckons what adds up in a window, whose event under observation has taken row, and tells
// whether a condition on it holds. What is returned is overwritten by the next call.
func (m *Runner) having(lets []*Let, cond *expression.Expr, row, caps []expression.Value, w *window, edge int64) ([]expression.Value, bool) {
	m.adds = m.adds[:0]
	for _, l := range lets {
		var v expression.Value
		switch {
		case l.Aggregate != "":
			v.N = w.value(l, edge)
		case l.row >= 0:
			v = row[l.row]
		default:
			m.lay(row, caps, m.adds)
			var ok bool
			if v, ok = m.value(l.expr); !ok {
				return nil, false
			}
		}
		m.adds = append(m.adds, v)
	}
	m.lay(row, caps, m.adds)
	holds := m.isTrue(cond)
	if m.trace != nil {
		m.trace(yesNo(holds) + " having: " + cond.Source + cond.Operands(&m.c))
	}
	return m.adds, holds
}

// begin makes room for what adds up, and reckons anew what follows from the events that are kept.
func (w *window) begin(lets []*Let, shape [histKind + 1]int) {
	w.ready, w.n = true, int64(len(w.samples))
	w.totals = make([]wide, shape[sumKind])
	w.sorted = make([][]float64, shape[histKind])
	if !w.folded {
		w.seen = make([]*sketch.Sample, shape[seenKind])
		for i := range w.seen {
			w.seen[i] = sketch.NewSample()
		}
		w.peaks = make([][]peak, shape[peakKind])
		w.hists = make([]*sketch.Quantiles, shape[histKind])
		for i := range w.hists {
			w.hists[i] = sketch.NewQuantiles()
		}
	}
	for i := range w.steps {
		w.n += int64(w.steps[i].n)
		for j := range w.totals {
			w.totals[j].add(w.sums[i*len(w.totals)+j])
		}
	}
	for i := range w.samples {
		s := &w.samples[i]
		for _, l := range lets {
			switch l.kind {
			case sumKind:
				w.totals[l.nth].add(l.adds(s.row))
			case histKind:
				if !w.folded {
					w.sort(l, s.row, 1)
				}
			case seenKind, peakKind:
				if !w.folded {
					w.note(l, s.ref.Time, s.row)
				}
			}
		}
	}
}

// add adds an event, and lets go of what lies at the edge or before it. keep bounds how many events
// are kept as they were.
func (w *window) add(lets []*Let, ref event.Ref, row []expression.Value, edge int64, keep int) {
	n := len(lets)
	var of [histKind + 1]int
	if n > 0 {
		of = lets[0].shape
	}
	if !w.ready {
		w.begin(lets, of)
	}
	w.expire(lets, edge)
	if !w.ready { // nothing is folded any more
		w.begin(lets, of)
	}
	i, _ := slices.BinarySearchFunc(w.samples, ref.Time, func(s sample, t int64) int {
		if s.ref.Time <= t {
			return -1 // those of one time stay as they came
		}
		return 1
	})
	row = slices.Clone(row)
	w.samples = slices.Insert(w.samples, i, sample{ref.Clone(), row})
	w.n++
	for _, l := range lets {
		switch l.kind {
		case sumKind:
			w.totals[l.nth].add(l.adds(row))
		case seenKind, peakKind:
			w.note(l, ref.Time, row)
		case histKind:
			if w.folded {
				w.note(l, ref.Time, row)
			} else {
				w.sort(l, row, 1)
			}
		}
	}
	w.fold(lets, max(keep>>w.tight, 16))
	w.fit(lets, MaxNumbers, keep)
}

// note notes what an event shows in what is no sum.
func (w *window) note(l *Let, t int64, row []expression.Value) {
	v := row[l.row]
	switch l.kind {
	case seenKind:
		if !l.nothing(v) {
			w.seen[l.nth].See(hashValue(v), t)
			w.seen[l.nth].Thin(w.tight)
		}
	case peakKind:
		w.peak(l, w.end(t), v.N)
	case histKind:
		w.hists[l.nth].Add(t, v.N)
	}
}

// start and end are those of the step of time that a time lies in.
func (w *window) start(t int64) int64 {
	if w.width <= 1 {
		return t
	}
	return wire.FloorDiv(t, w.width) * w.width
}

func (w *window) end(t int64) int64 { return w.start(t) + max(w.width, 1) - 1 }

// peak keeps a value if no later one is above it, and forgets earlier ones that it is above.
func (w *window) peak(l *Let, t int64, v float64) {
	if math.IsNaN(v) {
		return
	}
	if l.Aggregate == "min" {
		v = -v
	}
	list := w.peaks[l.nth]
	i, _ := slices.BinarySearchFunc(list, t, func(p peak, t int64) int { return cmp.Compare(p.at, t) })
	if i < len(list) && list[i].v >= v {
		return
	}
	to := i
	if to < len(list) && list[to].at == t {
		to++
	}
	from := i
	for from > 0 && list[from-1].v <= v {
		from--
	}
	w.peaks[l.nth] = slices.Replace(list, from, to, peak{t, v})
}

// sort adds a number to those of a quantile, or takes it away.
func (w *window) sort(l *Let, row []expression.Value, by int) {
	v, list := row[l.row].N, w.sorted[l.nth]
	i, found := slices.BinarySearch(list, v)
	if by > 0 {
		w.sorted[l.nth] = slices.Insert(list, i, v)
	} else if found {
		w.sorted[l.nth] = slices.Delete(list, i, i+1)
	}
}

// expire lets go of what lies at the edge or before it.
func (w *window) expire(lets []*Let, edge int64) {
	gone := 0
	for gone < len(w.samples) && w.samples[gone].ref.Time <= edge {
		s := &w.samples[gone]
		gone++
		for _, l := range lets {
			switch l.kind {
			case sumKind:
				w.totals[l.nth].sub(l.adds(s.row))
			case histKind:
				if !w.folded {
					w.sort(l, s.row, -1)
				}
			}
		}
	}
	w.n -= int64(gone)
	clear(w.samples[:gone])
	w.samples = w.samples[gone:]
	for _, s := range w.seen {
		s.Expire(edge)
	}
	for j, list := range w.peaks {
		i := 0
		for i < len(list) && list[i].at <= edge {
			i++
		}
		w.peaks[j] = list[i:]
	}
	if !w.folded {
		return
	}
	i, k := 0, len(w.totals)
	for i < len(w.steps) && w.end(w.steps[i].at) <= edge {
		w.n -= int64(w.steps[i].n)
		for j := range w.totals {
			w.totals[j].sub(w.sums[i*k+j])
		}
		i++
	}
	w.steps, w.sums = w.steps[i:], w.sums[i*k:]
	for _, h := range w.hists {
		h.Expire(edge)
	}
	i = 0
	for i < len(w.early) && w.early[i].Time <= edge {
		i++
	}
	w.early = slices.Delete(w.early, 0, i)
	if len(w.steps) == 0 { // all that is left is kept as it was: what was forgotten is forgotten
		*w = window{samples: w.samples}
	}
}

// fold keeps no more than so many events as they were.
func (w *window) fold(lets []*Let, keep int) {
	over := len(w.samples) - keep
	if over <= 0 {
		return
	}
	if !w.folded {
		w.folded, w.width = true, 1
		for i := range w.samples {
			for _, l := range lets {
				if l.kind == histKind {
					w.note(l, w.samples[i].ref.Time, w.samples[i].row)
				}
			}
		}
		clear(w.sorted)
	}
	k := len(w.totals)
	for i := range over {
		s := &w.samples[i]
		at := w.start(s.ref.Time)
		j := len(w.steps)
		if j > 0 && w.steps[j-1].at >= at {
			j, _ = slices.BinarySearchFunc(w.steps, at, func(x step, t int64) int { return cmp.Compare(x.at, t) })
		}
		if j == len(w.steps) || w.steps[j].at != at {
			w.steps = slices.Insert(w.steps, j, step{at: at})
			for range k {
				w.sums = slices.Insert(w.sums, j*k, wide{})
			}
		}
		w.steps[j].n++
		for _, l := range lets {
			if l.kind == sumKind {
				w.sums[j*k+l.nth].add(l.adds(s.row))
			}
		}
		w.remember(s.ref)
	}
	clear(w.samples[:over])
	w.samples = w.samples[over:]
}

// remember keeps a reference to an event that is folded, and thins them out where they are too
// many.
func (w *window) remember(ref event.Ref) {
	i := len(w.early)
	for i > 0 && w.early[i-1].Time > ref.Time {
		i--
	}
	if i >= event.MaxRefs && len(w.early) == keptEarly {
		return
	}
	w.early = slices.Insert(w.early, i, ref)
	if len(w.early) > keptEarly {
		w.early = slices.Delete(w.early, keptEarly-1, keptEarly)
	}
}

// numbers is how much the window holds.
func (w *window) numbers() int {
	n := len(w.samples) * sampleNumbers
	if !w.folded {
		return n
	}
	n += len(w.steps) + len(w.sums)
	for _, s := range w.seen {
		n += 2 * s.Len()
	}
	for _, list := range w.peaks {
		n += 2 * len(list)
	}
	for _, h := range w.hists {
		n += h.Len()
	}
	return n
}

// first is when the oldest event in the window came.
func (w *window) first() int64 {
	t := int64(math.MaxInt64)
	if len(w.samples) > 0 {
		t = w.samples[0].ref.Time
	}
	if len(w.steps) > 0 {
		t = min(t, w.steps[0].at)
	}
	return t
}

// refs are five early events of the window and its newest.
func (w *window) refs() []event.Ref {
	refs := make([]event.Ref, 0, event.MaxRefs+1)
	refs = append(refs, w.early[:min(len(w.early), event.MaxRefs)]...)
	for i := range w.samples {
		if len(refs) < event.MaxRefs || i == len(w.samples)-1 {
			refs = append(refs, w.samples[i].ref)
		}
	}
	return refs
}

// value is what a let has come to.
func (w *window) value(l *Let, edge int64) float64 {
	switch l.kind {
	case allKind:
		return float64(w.n)
	case seenKind:
		n, _ := w.seen[l.nth].Count(edge)
		return float64(n)
	case peakKind:
		list := w.peaks[l.nth]
		switch {
		case len(list) == 0:
			return 0
		case l.Aggregate == "min":
			return -list[0].v
		}
		return list[0].v
	case histKind:
		if w.folded {
			return w.hists[l.nth].Quantile(l.q)
		}
		list := w.sorted[l.nth]
		if len(list) == 0 {
			return 0
		}
		return list[min(int(l.q*float64(len(list))), len(list)-1)]
	}
	total := w.totals[l.nth]
	switch {
	case l.Aggregate == "count":
		return total.float()
	case l.Aggregate == "avg" && w.n > 0:
		return total.float() / 1e6 / float64(w.n)
	}
	return total.float() / 1e6
}

// approx says in words what of a window is not exact; "": all of it is.
func (w *window) approx(lets []*Let, edge int64) string {
	if !w.folded {
		return ""
	}
	var about []string
	for _, l := range lets {
		switch l.kind {
		case histKind:
			about = append(about, l.Name)
		case seenKind:
			if _, exact := w.seen[l.nth].Count(edge); !exact {
				about = append(about, l.Name)
			}
		}
	}
	var out []string
	if len(about) > 0 {
		out = append(out, strings.Join(about, ", ")+" approximately: more events than are kept one by one")
	}
	if w.width > 1 {
		out = append(out, fmt.Sprintf("the window's far edge moves in steps of %d ms", w.width))
	}
	return strings.Join(out, "; ")
}
