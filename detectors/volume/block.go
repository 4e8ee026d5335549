package volume

import (
	"math"
	"math/bits"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event/wire"
)

// close ends a block: it is one test, and what is learned.
func (v *volume) close(a *agentVolume, first *firsts, w int, from, to int64) {
	block := wire.FloorDiv(from, baselines.WindowSteps)
	next := wire.FloorDiv(to, baselines.WindowSteps)
	sums := v.sums[:a.sliding.Columns()]
	a.sliding.Block(w, from, sums)
	test := baselines.MinuteTest + baselines.Test(w)
	learn := v.x.Eligible && a.Alerted&(1<<w) == 0
	p := 1.0
	if v.reference != nil {
		p = a.Least[w]
		tops := a.sliding.Tops(w)
		hours := 0.0
		if learn {
			hours = v.hours(w, block)
		}
		odd := false
		for c := range sums {
			f := Feature(a.Features[c])
			if !v.knows(f, first.Currency) {
				continue
			}
			l := &v.reference.of[f]
			s := score(f, v.widest(a, w, c), a.size(c, tops[c])/l.unit)
			odd = odd || s >= l.screen[w]
			if !learn || !v.learns(f, first.Currency) {
				continue
			}
			d := &DeltaOf(v.x.Delta).Of[f]
			k := v.expected(a, w, c, hours)
			d.Spread[w].Add(a.size(c, sums[c])/l.unit, k, k.M/l.hyper[w].Factor)
			if l.own[w] {
				d.Block[w].Add(s, 1)
			}
		}
		joined := 1.0
		if odd {
			joined, _ = v.joined(a, first, w, tops)
			p = min(p, v.reference.calibrated(test, joined))
		}
		if learn && v.reference.of[EventCount].own[w] && v.reference.of[EventCount].cal[w] != nil {
			DeltaOf(v.x.Delta).Joint[test].Add(scoreOf(joined), 1)
		}
	}
	v.x.Delta.Audit.Count(test, p)
	switch w {
	case MinuteWindow, TenMinuteWindow:
		a.Active[w] = min(a.Active[w]+1, 60)
	case HourWindow:
		v.hour(a, first, block, next, sums)
	case DayWindow:
		v.day(a, first, block, next, sums)
	}
	a.Alerted &^= 1 << w
}

// hour ends an hour in which the agent acted, and the silent ones up to the next: what it does in
// an hour of a mean season is reckoned anew.
func (v *volume) hour(a *agentVolume, first *firsts, block, next int64, sums []float32) {
	silent := min(next-block-1, absentHours)
	d := DeltaOf(v.x.Delta)
	learn := v.x.Eligible && a.Alerted&(1<<HourWindow) == 0
	cell := baselines.HourOfWeek(v.x.Local(block*3_600_000 + 1_800_000))
	active, quiet := 1.0, float64(silent)
	if v.reference != nil {
		active = v.reference.season.Of[cell]
		quiet = v.reference.season.Over((cell+1)%baselines.HoursOfWeek, int(silent))
	}
	// How busy the agent is among its persona: what an hour of it counts for the season.
	weight := 1.0
	if c := int(a.Of[EventCount]) - 1; c >= 0 && v.knows(EventCount, 0) {
		weight = float64(a.sliding.Row(baselines.RateRow)[c]) / v.reference.of[EventCount].rate
	}
	if learn {
		e := baselines.Fixed(min(weight, 1e4))
		d.Season[cell].E += e
		for i := range int(silent) {
			d.Season[(cell+1+i)%baselines.HoursOfWeek].E += e
		}
		d.Exposure += baselines.Fixed(active + quiet)
	}
	forget := decayOf(next - block)
	a.Exposure = (a.Exposure+active)*forget + quiet
	var gaps [3]gap
	if learn && v.reference != nil {
		gaps = v.gaps(cell, int(silent))
	}
	counted := a.sliding.Row(baselines.CountRow)
	for c := range sums {
		f := Feature(a.Features[c])
		x := a.size(c, sums[c])
		if v.knows(f, first.Currency) {
			l := &v.reference.of[f]
			k := v.expected(a, HourWindow, c, active)
			if x = min(x, (k.M+3*math.Sqrt(k.Variance())+k.Phi)*l.unit); !learn {
				x = k.M * l.unit
			}
			if learn && v.learns(f, first.Currency) {
				v.silence(a, f, c, &gaps, active)
			}
			if learn && f == EventCount {
				d.Day.X += baselines.Fixed(x)
				d.Day.E += baselines.Fixed(float64(a.sliding.Row(baselines.RateRow)[c]) * (active + quiet))
			}
		} else if !learn {
			x = 0
		}
		if learn && v.learns(f, first.Currency) {
			d.Of[f].Add(x)
			if f == EventCount {
				d.Season[cell].X += baselines.InUnits(x)
			}
		}
		counted[c] = float32((float64(counted[c]) + x) * forget)
		v.rate(a, first, c)
	}
	a.Active = [2]uint8{}
}

// decays are what is left after so many hours with a half-life of 14 days.
var decays = func() (t [absentHours + 2]float64) {
	for h := range t {
		t[h] = math.Exp2(-float64(h) / (14 * 24))
	}
	return t
}()

func decayOf(hours int64) float64 {
	if hours < int64(len(decays)) {
		return decays[hours]
	}
	return math.Exp2(-float64(hours) / (14 * 24))
}

// gap are silent hours that are about as busy for the persona.
type gap struct{ hours, season float64 }

// gaps sorts the silent hours behind a cell into quiet, ordinary and busy ones: of each sort one
// term stands for all.
func (v *volume) gaps(cell, silent int) (g [3]gap) {
	for i := range silent {
		s := v.reference.season.Of[(cell+1+i)%baselines.HoursOfWeek]
		sort := 2
		if s < 0.25 {
			sort = 0
		} else if s < 1 {
			sort = 1
		}
		g[sort].hours++
		g[sort].season += s
	}
	return g
}

// silence adds the blocks in which nothing happened to the sums of how counts scatter: of the hour
// that is over and of the silent ones behind it.
func (v *volume) silence(a *agentVolume, f Feature, c int, gaps *[3]gap, active float64) {
	l := &v.reference.of[f]
	rate := float64(a.sliding.Row(baselines.RateRow)[c]) / l.unit
	for w := range DayWindow {
		per := 3_600_000 / float64(baselines.WindowMS[w])
		s := &DeltaOf(v.x.Delta).Of[f].Spread[w]
		factor := l.hyper[w].Factor
		if w < HourWindow {
			if n := per - float64(a.Active[w]); n > 0 {
				raw := rate * active / per
				s.AddNone(n, raw*factor, raw)
			}
		}
		for _, g := range gaps {
			if g.hours > 0 {
				raw := rate * g.season / g.hours / per
				s.AddNone(g.hours*per, raw*factor, raw)
			}
		}
	}
}

// rate reckons an agent's rate: its own counts, shrunk towards the persona's the less the more of
// them there are (docs/statistics.md, Rate).
func (v *volume) rate(a *agentVolume, first *firsts, c int) {
	f := Feature(a.Features[c])
	rates, doubts := a.sliding.Row(baselines.RateRow), a.sliding.Row(baselines.DoubtRow)
	if !v.knows(f, first.Currency) {
		rates[c], doubts[c] = 0, 0
		return
	}
	l := &v.reference.of[f]
	h := &l.hyper[HourWindow]
	mean := l.rate / l.unit
	phi := h.Phi + h.Kappa*mean
	prior := l.a0 * phi
	own := float64(a.sliding.Row(baselines.CountRow)[c]) / l.unit
	rates[c] = float32((prior + own) / (prior/mean + a.Exposure) * l.unit)
	doubts[c] = float32(phi / (prior + own))
}

// day ends a day in which the agent acted.
func (v *volume) day(a *agentVolume, first *firsts, block, next int64, sums []float32) {
	// Days that are more than a week ago become part of the anchor: what grows must not lift what
	// it is held against.
	passed := min(next-block, baselines.WeekDays)
	forget := math.Exp2(-float64(next-block) / 60)
	a.Anchored *= forget
	leaving := [baselines.WeekDays]bool{}
	for i := baselines.WeekDays - passed; i < baselines.WeekDays; i++ {
		if a.Week&(1<<i) != 0 {
			leaving[i] = true
			a.Anchored += v.dayHours(block - 1 - i)
		}
	}
	a.Week = a.Week << passed & (1<<baselines.WeekDays - 1)
	for i := next - block - 1; i >= 0; i-- {
		// A silent day is one on which nothing was done; after three the agent was away.
		if i < baselines.WeekDays && next-1-i-block <= absentHours/24 {
			a.Week |= 1 << i
		}
	}
	for c := range sums {
		f := Feature(a.Features[c])
		week, anchor := baselines.WeekRow, a.sliding.Row(baselines.AnchorRow)
		sum := float64(anchor[c]) * forget
		for i, leaves := range leaving {
			if leaves {
				sum += float64(a.sliding.Row(week + i)[c])
			}
		}
		anchor[c] = float32(sum)
		for range passed {
			for i := baselines.WeekDays - 1; i > 0; i-- {
				a.sliding.Row(week + i)[c] = a.sliding.Row(week + i - 1)[c]
			}
			a.sliding.Row(week)[c] = 0
		}
		total := a.size(c, sums[c])
		if v.knows(f, first.Currency) { // one day's excess is no ramp
			k := v.widest(a, DayWindow, c)
			total = min(total, (k.M+5*math.Sqrt(k.Variance())+k.Phi)*v.reference.of[f].unit)
		}
		if next-block <= baselines.WeekDays {
			a.sliding.Row(week + int(next-block) - 1)[c] = float32(total)
		}
		if !v.knows(f, first.Currency) || !v.x.Eligible || a.Exposure < fresh {
			continue
		}
		l := &v.reference.of[f]
		h := &l.hyper[HourWindow]
		if mean := l.rate / l.unit; mean > 0 {
			own := float64(a.sliding.Row(baselines.CountRow)[c]) / l.unit
			noise := (h.Phi + h.Kappa*mean) / (mean * a.Exposure)
			DeltaOf(v.x.Delta).Of[f].Rates.Add(own/a.Exposure/mean, noise)
		}
		if w := DayWindow; next-block > 1 && a.Alerted&(1<<w) == 0 && v.learns(f, first.Currency) {
			for i := block + 1; i < min(next, block+1+absentHours/24); i++ {
				k := v.expected(a, w, c, v.hours(w, i))
				DeltaOf(v.x.Delta).Of[f].Spread[w].AddNone(1, k.M, k.M/l.hyper[w].Factor)
			}
		}
	}
	a.Days = uint8(min(int64(a.Days)+next-block, 255))
	v.ramp(a, first, next)
	v.outcomesOver(a)
}

// dayHours is how much of a mean season lies in a day.
func (v *volume) dayHours(day int64) float64 {
	if v.reference == nil {
		return 24
	}
	return v.hours(DayWindow, day)
}

// ramp compares the last seven days with the sixty before them, and the agent with its peers
// (docs/statistics.md, Growth). By how much ordinary agents deviate from what they did before is
// learned of the persona, since nobody works alike all the time.
func (v *volume) ramp(a *agentVolume, first *firsts, next int64) {
	if v.reference == nil {
		return
	}
	a.Elevated &^= elevatedRamp
	v.ps = v.ps[:0]
	best := crossed{p: 2, test: baselines.RampTest, window: DayWindow}
	hours := 0.0
	for i := range int64(baselines.WeekDays) {
		if a.Week&(1<<i) != 0 {
			hours += v.dayHours(next - 1 - i)
		}
	}
	days := float64(bits.OnesCount8(a.Week))
	for c := range a.sliding.Columns() {
		f := Feature(a.Features[c])
		if !v.knows(f, first.Currency) {
			continue
		}
		l := &v.reference.of[f]
		v.peers(a, c, f)
		if days < leastRampDays || a.Anchored < anchorHours || hours <= 0 {
			continue
		}
		total := 0.0
		for i := range baselines.WeekDays {
			if a.Week&(1<<i) != 0 {
				total += float64(a.sliding.Row(baselines.WeekRow + i)[c])
			}
		}
		old, h := float64(a.sliding.Row(baselines.AnchorRow)[c])/l.unit, &l.hyper[DayWindow]
		mean := old / a.Anchored * hours
		if mean < 1 {
			continue // what an agent begins to do is no growth
		}
		// The relative variance of both sums, as the model has it.
		spread := math.Sqrt(h.Phi/(mean+1) + h.Phi/(old+1) + (h.Kappa+v.reference.busy)*(1/days+24/a.Anchored))
		z := math.Log((total/l.unit+1)/(mean+1)) / spread
		if v.x.Eligible && v.learns(f, first.Currency) {
			DeltaOf(v.x.Delta).Of[f].Growth.Add(z, l.grows)
		}
		p := l.grows.P(z)
		v.ps = append(v.ps, min(p, 0.5))
		if p < best.p {
			at := func(p float64) float64 { return ((mean+1)*math.Exp(l.grows.Reach(p)*spread) - 1) / days * l.unit }
			best.p, best.feature = p, f
			best.observed, best.expected = total/days, mean/days*l.unit
			best.low, best.high = max(0, at(0.99)), max(0, at(1e-3))
		}
	}
	p := 1.0
	if len(v.ps) > 0 {
		p = baselines.Cauchy(v.ps...)
	}
	v.x.Delta.Audit.Count(baselines.RampTest, p)
	if best.p = p; p < 0.01 {
		if reported, _ := v.cross(best); reported {
			a.Elevated |= elevatedRamp
		}
	}
}

// peers compares an agent's rate with those of its persona's other agents.
func (v *volume) peers(a *agentVolume, c int, f Feature) {
	l := &v.reference.of[f]
	own, mean := float64(a.sliding.Row(baselines.CountRow)[c])/l.unit, l.rate/l.unit
	if l.peerSD <= 0 || own <= 0 || a.Exposure < 3*24 {
		return
	}
	z := (math.Log(own/a.Exposure/mean) - l.peer) / l.peerSD
	if bit := uint8(1) << f; z <= peerZ {
		a.Peer &^= bit
	} else if a.Peer&bit == 0 {
		a.Peer |= bit
		v.cross(crossed{p: math.Erfc(z/math.Sqrt2) / 2, test: baselines.RampTest, feature: f,
			window: DayWindow, what: "peers",
			observed: own / a.Exposure * 24 * l.unit, expected: math.Exp(l.peer) * mean * 24 * l.unit,
			low:  math.Exp(l.peer-2.33*l.peerSD) * mean * 24 * l.unit,
			high: math.Exp(l.peer+3.09*l.peerSD) * mean * 24 * l.unit})
	}
}
