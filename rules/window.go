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

// window holds the events of a sliding window, or those that a step with having has had: the newest
// one by one, older ones folded into buckets of time.
//
// Every event counts as long as it lies in the window. Buckets are one millisecond wide, so sums stay
// exact while the window slides. Only where even these are too many do buckets become wider; an event
// then leaves with the end of its bucket. What a window comes to follows from which events lie in it,
// not from the order in which they arrived.
type window struct {
	samples []sample // the newest, oldest first

	// Of events that are no longer among samples. While there are none (folded is false) these are
	// derived from samples and not saved.
	folded    bool
	shrinks   byte  // how often room was made
	width     int64 // of a bucket, ms
	buckets   []bucket
	sums      []wide              // of each bucket: what its events add to each total
	earlyRefs []event.Ref         // the first few that were folded, oldest first
	distinct  []*sketch.Sample    // by distinct(…); of samples too
	peaks     [][]peak            // by min(…) and max(…); of samples too
	quantiles []*sketch.Quantiles // by quantile(…); of samples too

	// Derived.
	ready  bool        // what follows is up to date
	totals []wide      // by let of sumKind
	sorted [][]float64 // by quantile(…), while nothing is folded
	n      int64       // events in all
}

// sample is an event that is kept by itself.
type sample struct {
	ref event.Ref
	row []expression.Value
}

// bucket counts the folded events of the stretch of time that begins at a time.
type bucket struct {
	at int64
	n  uint32
}

// peak is a value that is above all later ones, so it is the maximum once earlier ones have left. It
// leaves at its time. A window's peaks fall with time (a monotonic queue).
type peak struct {
	at int64
	v  float64
}

// Bounds of a window.
const (
	sampleNumbers = 8    // a sample takes about as much memory as so many numbers
	maxShrinks    = 6    // halvings of how many samples are kept
	maxEarlyRefs  = 16   // references to folded events
	maxBins       = 4096 // of a quantile, before its buckets become wider
)

// window adds an event to the rule's window, which matches if having holds of it then.
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
	lets, holds := m.havingHolds(r.Lets, r.Having, row, nil, w, edge)
	was := k.holds
	if k.holds = holds; !holds {
		return out
	}
	return append(out, Match{Time: ref.Time, Refs: w.refs(), Count: w.n, Why: m.explain(r, row, nil, lets),
		Continues: was, Partial: k.Dropped, Approx: w.approx(r.Lets, edge)})
}

// havingHolds computes the lets of a window, to which an event with this row was added last, and tells
// whether a condition on them holds. The values are good until the next call.
func (m *Runner) havingHolds(lets []*Let, cond *expression.Expr, row, caps []expression.Value, w *window,
	edge int64) ([]expression.Value, bool) {
	m.letValues = m.letValues[:0]
	for _, l := range lets {
		var v expression.Value
		switch {
		case l.Aggregate != "":
			v.N = w.value(l, edge)
		case l.row >= 0:
			v = row[l.row]
		default:
			m.bind(row, caps, m.letValues)
			var ok bool
			if v, ok = m.value(l.expr); !ok {
				return nil, false
			}
		}
		m.letValues = append(m.letValues, v)
	}
	m.bind(row, caps, m.letValues)
	holds := m.isTrue(cond)
	if m.trace != nil {
		m.trace(yesNo(holds) + " having: " + cond.Source + cond.Operands(&m.c))
	}
	return m.letValues, holds
}

// rebuild computes what is derived, as after a load.
func (w *window) rebuild(lets []*Let, shape [quantileKind + 1]int) {
	w.ready, w.n = true, int64(len(w.samples))
	w.totals = make([]wide, shape[sumKind])
	w.sorted = make([][]float64, shape[quantileKind])
	if !w.folded {
		w.distinct = make([]*sketch.Sample, shape[distinctKind])
		for i := range w.distinct {
			w.distinct[i] = sketch.NewSample()
		}
		w.peaks = make([][]peak, shape[extremeKind])
		w.quantiles = make([]*sketch.Quantiles, shape[quantileKind])
		for i := range w.quantiles {
			w.quantiles[i] = sketch.NewQuantiles()
		}
	}
	for i := range w.buckets {
		w.n += int64(w.buckets[i].n)
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
			case quantileKind:
				if !w.folded {
					w.updateSorted(l, s.row, 1)
				}
			case distinctKind, extremeKind:
				if !w.folded {
					w.addToSketch(l, s.ref.Time, s.row)
				}
			}
		}
	}
}

// add adds an event and drops what lies at the edge or before it. keep bounds the samples.
func (w *window) add(lets []*Let, ref event.Ref, row []expression.Value, edge int64, keep int) {
	n := len(lets)
	var of [quantileKind + 1]int
	if n > 0 {
		of = lets[0].shape
	}
	if !w.ready {
		w.rebuild(lets, of)
	}
	w.expire(lets, edge)
	if !w.ready { // expire has dropped the last bucket
		w.rebuild(lets, of)
	}
	i, _ := slices.BinarySearchFunc(w.samples, ref.Time, func(s sample, t int64) int {
		if s.ref.Time <= t {
			return -1 // events of one time stay in the order of arrival
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
		case distinctKind, extremeKind:
			w.addToSketch(l, ref.Time, row)
		case quantileKind:
			if w.folded {
				w.addToSketch(l, ref.Time, row)
			} else {
				w.updateSorted(l, row, 1)
			}
		}
	}
	w.fold(lets, max(keep>>w.shrinks, 16))
	w.fit(lets, MaxNumbers, keep)
}

// addToSketch adds an event to what a let keeps besides a total.
func (w *window) addToSketch(l *Let, t int64, row []expression.Value) {
	v := row[l.row]
	switch l.kind {
	case distinctKind:
		if !l.absent(v) {
			w.distinct[l.nth].See(hashValue(v), t)
			w.distinct[l.nth].Thin(w.shrinks)
		}
	case extremeKind:
		w.peak(l, w.end(t), v.N)
	case quantileKind:
		w.quantiles[l.nth].Add(t, v.N)
	}
}

// start and end are the first and the last millisecond of the bucket in which a time lies.
func (w *window) start(t int64) int64 {
	if w.width <= 1 {
		return t
	}
	return wire.FloorDiv(t, w.width) * w.width
}

func (w *window) end(t int64) int64 { return w.start(t) + max(w.width, 1) - 1 }

// peak adds a value if no later one is above it, and drops earlier ones that are not above it. A
// minimum is the maximum of negated values.
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

// updateSorted adds the value of a row to the exact values of a quantile, or with by < 0 removes it.
func (w *window) updateSorted(l *Let, row []expression.Value, by int) {
	v, list := row[l.row].N, w.sorted[l.nth]
	i, found := slices.BinarySearch(list, v)
	if by > 0 {
		w.sorted[l.nth] = slices.Insert(list, i, v)
	} else if found {
		w.sorted[l.nth] = slices.Delete(list, i, i+1)
	}
}

// expire drops what lies at the edge or before it.
func (w *window) expire(lets []*Let, edge int64) {
	gone := 0
	for gone < len(w.samples) && w.samples[gone].ref.Time <= edge {
		s := &w.samples[gone]
		gone++
		for _, l := range lets {
			switch l.kind {
			case sumKind:
				w.totals[l.nth].sub(l.adds(s.row))
			case quantileKind:
				if !w.folded {
					w.updateSorted(l, s.row, -1)
				}
			}
		}
	}
	w.n -= int64(gone)
	clear(w.samples[:gone])
	w.samples = w.samples[gone:]
	for _, s := range w.distinct {
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
	for i < len(w.buckets) && w.end(w.buckets[i].at) <= edge {
		w.n -= int64(w.buckets[i].n)
		for j := range w.totals {
			w.totals[j].sub(w.sums[i*k+j])
		}
		i++
	}
	w.buckets, w.sums = w.buckets[i:], w.sums[i*k:]
	for _, h := range w.quantiles {
		h.Expire(edge)
	}
	i = 0
	for i < len(w.earlyRefs) && w.earlyRefs[i].Time <= edge {
		i++
	}
	w.earlyRefs = slices.Delete(w.earlyRefs, 0, i)
	if len(w.buckets) == 0 { // only samples are left, so the window is exact again
		*w = window{samples: w.samples}
	}
}

// fold moves the oldest samples into buckets until no more than so many are left.
func (w *window) fold(lets []*Let, keep int) {
	over := len(w.samples) - keep
	if over <= 0 {
		return
	}
	if !w.folded {
		w.folded, w.width = true, 1
		for i := range w.samples {
			for _, l := range lets {
				if l.kind == quantileKind {
					w.addToSketch(l, w.samples[i].ref.Time, w.samples[i].row)
				}
			}
		}
		clear(w.sorted)
	}
	k := len(w.totals)
	for i := range over {
		s := &w.samples[i]
		at := w.start(s.ref.Time)
		j := len(w.buckets)
		if j > 0 && w.buckets[j-1].at >= at {
			j, _ = slices.BinarySearchFunc(w.buckets, at, func(x bucket, t int64) int { return cmp.Compare(x.at, t) })
		}
		if j == len(w.buckets) || w.buckets[j].at != at {
			w.buckets = slices.Insert(w.buckets, j, bucket{at: at})
			for range k {
				w.sums = slices.Insert(w.sums, j*k, wide{})
			}
		}
		w.buckets[j].n++
		for _, l := range lets {
			if l.kind == sumKind {
				w.sums[j*k+l.nth].add(l.adds(s.row))
			}
		}
		w.keepEarlyRef(s.ref)
	}
	clear(w.samples[:over])
	w.samples = w.samples[over:]
}

// keepEarlyRef keeps a reference to an event that is folded if it is among the first.
func (w *window) keepEarlyRef(ref event.Ref) {
	i := len(w.earlyRefs)
	for i > 0 && w.earlyRefs[i-1].Time > ref.Time {
		i--
	}
	if i >= event.MaxRefs && len(w.earlyRefs) == maxEarlyRefs {
		return
	}
	w.earlyRefs = slices.Insert(w.earlyRefs, i, ref)
	if len(w.earlyRefs) > maxEarlyRefs {
		w.earlyRefs = slices.Delete(w.earlyRefs, maxEarlyRefs-1, maxEarlyRefs)
	}
}

// numbers is how many numbers the window holds, a sample taken for sampleNumbers.
func (w *window) numbers() int {
	n := len(w.samples) * sampleNumbers
	if !w.folded {
		return n
	}
	n += len(w.buckets) + len(w.sums)
	for _, s := range w.distinct {
		n += 2 * s.Len()
	}
	for _, list := range w.peaks {
		n += 2 * len(list)
	}
	for _, h := range w.quantiles {
		n += h.Len()
	}
	return n
}

// first is the time of the oldest event.
func (w *window) first() int64 {
	t := int64(math.MaxInt64)
	if len(w.samples) > 0 {
		t = w.samples[0].ref.Time
	}
	if len(w.buckets) > 0 {
		t = min(t, w.buckets[0].at)
	}
	return t
}

// refs are the first events of the window, event.MaxRefs at most, and its newest.
func (w *window) refs() []event.Ref {
	refs := make([]event.Ref, 0, event.MaxRefs+1)
	refs = append(refs, w.earlyRefs[:min(len(w.earlyRefs), event.MaxRefs)]...)
	for i := range w.samples {
		if len(refs) < event.MaxRefs || i == len(w.samples)-1 {
			refs = append(refs, w.samples[i].ref)
		}
	}
	return refs
}

// value is the present value of an aggregate.
func (w *window) value(l *Let, edge int64) float64 {
	switch l.kind {
	case allKind:
		return float64(w.n)
	case distinctKind:
		n, _ := w.distinct[l.nth].Count(edge)
		return float64(n)
	case extremeKind:
		list := w.peaks[l.nth]
		switch {
		case len(list) == 0:
			return 0
		case l.Aggregate == "min":
			return -list[0].v
		}
		return list[0].v
	case quantileKind:
		if w.folded {
			return w.quantiles[l.nth].Quantile(l.q)
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

// approx says in words what of the window is not exact; "": all is.
func (w *window) approx(lets []*Let, edge int64) string {
	if !w.folded {
		return ""
	}
	var about []string
	for _, l := range lets {
		switch l.kind {
		case quantileKind:
			about = append(about, l.Name)
		case distinctKind:
			if _, exact := w.distinct[l.nth].Count(edge); !exact {
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
