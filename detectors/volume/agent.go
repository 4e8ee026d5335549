package volume

import (
	"math"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event/wire"
)

// agent counts the event in the agent's windows.
func (v *volume) agent(part *volumePart) {
	t, first := v.x.Time, &part.first
	if part.agent == nil {
		if first.At[EventCount] == 0 {
			for f := range Features {
				if v.has&(1<<f) != 0 {
					v.keepFirst(first, f, t)
				}
			}
			return
		}
		part.agent = &agentVolume{}
		part.agent.start(seconds(first.At[EventCount]))
		for w := range baselines.Windows {
			v.span(part.agent, w)
		}
	}
	a := part.agent
	var index [baselines.Windows]int64
	indexes(t, &index)
	switch {
	case index[HourWindow] > a.Head[HourWindow]-baselines.WindowSteps:
		a.Lost = 0
	case a.Lost < lostEvents:
		a.Lost++
	default:
		a.restart(t)
	}
	v.advance(a, first, &index)
	v.list = v.list[:0]
	for f := range Features {
		if v.has&(1<<f) == 0 {
			continue
		}
		if a.Of[f] == 0 {
			if first.At[f] == 0 {
				v.keepFirst(first, f, t)
				continue
			}
			v.column(a, first, f)
		}
		if !f.Distinct() {
			v.list = append(v.list, addend{int(a.Of[f]) - 1, float32(v.values[f])})
		}
	}
	closely := v.count(a, &index)
	for i := range 2 {
		if f := SubjectCount + Feature(i); v.has&(1<<f) != 0 && a.Of[f] != 0 {
			closely |= a.seeDistinct(i, int(a.Of[f])-1, v.distinct[i], max(index[0], a.Head[0]))
		}
	}
	if closely != 0 {
		a.remember(v.x.Ref(v.e))
		for w := range baselines.Windows {
			if closely&(1<<w) != 0 {
				v.inspect(a, first, w)
			}
		}
	}
	v.elevated = v.elevated || a.Elevated != 0
}

// keepFirst keeps the first value of a feature: it gets a column when it occurs again.
func (v *volume) keepFirst(first *firsts, f Feature, t int64) {
	first.At[f] = inSeconds(t)
	first.Value[f] = float32(v.values[f])
	if f.Distinct() {
		first.Distinct[f-SubjectCount] = v.distinct[f-SubjectCount]
	}
}

// column makes room for a feature and counts its first value, which waited.
func (v *volume) column(a *agentVolume, first *firsts, f Feature) {
	a.sliding.Grow()
	c := a.sliding.Columns() - 1
	a.Of[f], a.Features[c] = uint8(c+1), uint8(f)
	v.rate(a, first, c)
	for w := range baselines.Windows {
		v.prepare(a, first, w, c)
	}
	at := seconds(first.At[f])
	var index [baselines.Windows]int64
	indexes(at, &index)
	if f.Distinct() {
		if index[0] <= a.Head[0] && a.Head[0]-index[0] < baselines.DayMS/5000 {
			a.seeDistinct(int(f-SubjectCount), c, first.Distinct[f-SubjectCount], index[0])
		}
		return
	}
	value := first.Value[f]
	for w := range baselines.Windows {
		if i := index[w]; i <= a.Head[w] && i > a.Head[w]-baselines.WindowSteps {
			a.sliding.Steps(w, i)[c] += value
			a.sliding.Sums(w)[c] += value
		}
	}
	if wire.FloorDiv(index[HourWindow], baselines.WindowSteps) < wire.FloorDiv(a.Head[HourWindow],
		baselines.WindowSteps) {
		a.sliding.Row(baselines.CountRow)[c] += value
	}
}

// count adds the event to the windows that still hold its time, and says which of them are to be
// looked at closely.
func (v *volume) count(a *agentVolume, index *[baselines.Windows]int64) (closely uint8) {
	for w := range baselines.Windows {
		if index[w] <= a.Head[w]-baselines.WindowSteps {
			continue
		}
		row, sums := a.sliding.Steps(w, index[w]), a.sliding.Sums(w)
		tops, limits := a.sliding.Tops(w), a.sliding.Limits(w)
		for _, k := range v.list {
			c := k.column
			row[c] += k.value
			s := sums[c] + k.value
			sums[c] = s
			if s > tops[c] {
				tops[c] = s
				if s > limits[c] {
					closely |= 1 << w
				}
			}
		}
	}
	return closely
}

// advance moves the windows on to the event's time and closes the blocks that are over.
func (v *volume) advance(a *agentVolume, first *firsts, index *[baselines.Windows]int64) {
	var over, empty uint8
	for w := range baselines.Windows {
		from, to := a.Head[w], index[w]
		if to <= from {
			continue
		}
		if wire.FloorDiv(from, baselines.WindowSteps) != wire.FloorDiv(to, baselines.WindowSteps) {
			over |= 1 << w
			v.close(a, first, w, from, to)
		}
		if a.sliding.Move(w, from, to); to-from >= baselines.WindowSteps {
			empty |= 1 << w
		}
		a.Head[w] = to
		if w == DayWindow {
			a.forget(index[0])
		}
	}
	if over == 0 {
		return
	}
	for w := range baselines.Windows {
		if over&(1<<w) != 0 {
			a.sliding.Begin(w, empty&(1<<w) != 0)
			a.Least[w] = 1
			v.span(a, w)
			for c := range a.sliding.Columns() {
				v.prepare(a, first, w, c)
			}
			if a.Elevated&(1<<w) != 0 && !a.above(w) {
				a.Elevated &^= 1 << w
			}
			a.Refs &^= 1 << w
		}
	}
	if a.Refs == 0 && a.Elevated == 0 && a.detail != nil {
		if a.detail.watch = nil; len(a.detail.budgets) == 0 {
			a.detail = nil
		}
	}
}

// hours is how many hours of a mean season a block lasts for the persona, on its own clock.
func (v *volume) hours(w int, block int64) float64 {
	start := v.x.Local(block * baselines.WindowMS[w])
	if w == DayWindow {
		return v.reference.season.Over(baselines.HourOfWeek(start), 24)
	}
	return v.reference.season.Of[baselines.HourOfWeek(start+
		baselines.WindowMS[w]/2)] * (float64(baselines.WindowMS[w]) / 3_600_000)
}

// expected is the distribution of a sum over so many hours of a mean season, in events' worth.
func (v *volume) expected(a *agentVolume, w, c int, hours float64) Count {
	l := &v.reference.of[a.Features[c]]
	h := &l.hyper[w]
	rate, doubt := float64(a.sliding.Row(baselines.RateRow)[c]), float64(a.sliding.Row(baselines.DoubtRow)[c])
	kappa := h.Kappa
	if w == DayWindow {
		kappa += v.reference.busy
	}
	return Count{M: rate * hours * h.Factor / l.unit, Phi: h.Phi, K: 1 / (kappa + doubt*(1+h.Kappa))}
}

// widest is that of a window that slides through a block: of the block itself or of the one before,
// whichever is more.
func (v *volume) widest(a *agentVolume, w, c int) Count {
	return v.expected(a, w, c, float64(a.Hours[w]))
}

// span reckons how long the block that begins is for the persona.
func (v *volume) span(a *agentVolume, w int) {
	a.Hours[w] = 0
	if v.reference != nil {
		block := wire.FloorDiv(a.Head[w], baselines.WindowSteps)
		a.Hours[w] = float32(max(v.hours(w, block), v.hours(w, block-1)))
	}
}

// prepare sets the sum at which a column is looked at closely in the block that begins.
func (v *volume) prepare(a *agentVolume, first *firsts, w, c int) {
	f := Feature(a.Features[c])
	limit := float32(math.MaxFloat32)
	if v.knows(f, first.Currency) {
		if l := &v.reference.of[f]; l.cal[w] != nil {
			limit = float32(min(v.widest(a, w, c).Screen()*l.unit, math.MaxFloat32))
		}
	}
	a.sliding.Limits(w)[c] = limit
}

// inspect scores a window whose sum has passed what is usual.
func (v *volume) inspect(a *agentVolume, first *firsts, w int) {
	if v.reference == nil {
		return
	}
	sums, limits := a.sliding.Sums(w), a.sliding.Limits(w)
	joined, c := v.joined(a, first, w, sums)
	p := v.reference.calibrated(baselines.MinuteTest+baselines.Test(w), joined)
	for i, s := range sums {
		if s > limits[i] {
			limits[i] = float32(min(float64(s)*growth, math.MaxFloat32))
		}
	}
	if a.Least[w] = min(a.Least[w], p); c < 0 || events(a, w) < leastEvents {
		return
	}
	a.Refs |= 1 << w
	f := Feature(a.Features[c])
	k := v.widest(a, w, c)
	unit := v.reference.of[f].unit
	reported, alert := v.cross(crossed{p: p, test: baselines.MinuteTest + baselines.Test(w), feature: f, window: w,
		observed: a.size(c, sums[c])})
	if !reported {
		return
	}
	a.Elevated |= 1 << w
	if alert { // what is only a signal is learned: without its own tail a reference would find ever more
		a.Alerted |= 1<<w | 1<<HourWindow | 1<<DayWindow
	}
	if v.best.test == baselines.MinuteTest+baselines.Test(w) && v.best.feature == f {
		v.best.expected, v.best.low, v.best.high = k.M*unit, k.Quantile(0.99)*unit, v.usual(k, w, f)*unit
	}
}

// usual is the count that 999 of 1,000 blocks do not reach, by both the model and the calibration.
func (v *volume) usual(k Count, w int, f Feature) float64 {
	lo, hi := k.M, k.M+k.Phi
	for v.reference.p(f, w, k, hi) > 1e-3 && hi < 1e18 {
		lo, hi = hi, 2*hi
	}
	for range 40 {
		if hi-lo < 0.01*hi {
			break
		}
		if mid := (lo + hi) / 2; v.reference.p(f, w, k, mid) > 1e-3 {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

// joined is the p-value of a window's sums together, and the column that is oddest; −1 if none can
// be judged.
func (v *volume) joined(a *agentVolume, first *firsts, w int, sums []float32) (float64, int) {
	v.ps = v.ps[:0]
	least, at := 2.0, -1
	for c, s := range sums {
		f := Feature(a.Features[c])
		if !v.knows(f, first.Currency) || v.reference.of[f].cal[w] == nil {
			continue
		}
		p := v.reference.p(f, w, v.widest(a, w, c), a.size(c, s)/v.reference.of[f].unit)
		v.ps = append(v.ps, p)
		if p < least {
			least, at = p, c
		}
	}
	if at < 0 {
		return 1, -1
	}
	return baselines.Cauchy(v.ps...), at
}

// events is how many events a window holds.
func events(a *agentVolume, w int) float32 {
	if c := int(a.Of[EventCount]) - 1; c >= 0 {
		return a.sliding.Sums(w)[c]
	}
	return 0
}
