package detectors

import (
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// volume says when an agent does more than it should by what was learned of its persona: in one call, in one session, or within a minute, ten minutes, an
// hour or a day; when its calls fail more than others' do; when it counts through ids; when it grows week by week; when it burns a budget.
//
// Of a window the largest sum of each block (of the window's length, in which the agent acts) is one test; of a session its running totals are one, since they
// never exceed the final ones. All features of a unit are joined into one p-value.
//
// Stated behaviour for odd input: what is more than a window late is left out of that window; 32 events in a row that are more than an hour late mean that the
// clock was wrong before, and the windows start anew. Silence of more than three days is absence and does not make an agent slow. Amounts below zero count as
// none. Amounts of an agent are of the first currency that it used; others are counted as events alone. An agent that is renamed is a new one.
type volume struct {
	slot    byte
	lenses  map[*baselines.Model]*lens
	near    [64]*lens
	budgets []*budget

	// Of the event under observation.
	x      *Scene
	e      *event.Event
	lens   *lens // nil: nothing was learned yet
	values [baselines.Features]float64
	has    uint8
	things [2]uint32 // hashes of subject and resource
	best   crossed   // the oddest of what was crossed
	hot    bool      // something is crossed, or stays so

	list []addend
	sums [baselines.Features]float32
	ps   []float64
	key  []byte
}

// addend is what the event adds to a column.
type addend struct {
	column int
	value  float32
}

// crossed is a test whose p-value is worth telling.
type crossed struct {
	p        float64
	alert    bool
	test     baselines.Test
	feature  baselines.Feature
	observed float64
	expected float64
	low      float64
	high     float64
	window   int
	what     string // of outcomes: which
}

// Of what the detector allows for.
const (
	leastEvents  = 3         // before anything is said of a window or a session
	calmMS       = 3_600_000 // after which an episode is over
	absentHours  = 72        // of silence, beyond which an agent was away
	lostEvents   = 32        // in a row, too late for the hour: the clock was wrong before
	fresh        = 12        // hours of exposure from which an agent's own rate says something of how agents differ
	maxValue     = 1e15
	lookP        = 0.02 // nothing is looked at closely that is more usual than this
	growth       = 1.1  // by how much a sum must have grown to be looked at again
	rampFactor   = 1.10
	rampP        = 1e-5
	peerZ        = 3.5
	anchorHours  = 14 * 24
	leastRunOf31 = 25 // 0.8 of the last 32 ids
	evenGaps     = 32
)

func newVolume(slot byte, set *policy.Set) Detector {
	v := &volume{slot: slot, lenses: map[*baselines.Model]*lens{}, list: make([]addend, 0, baselines.Features), ps: make([]float64, 0, baselines.Features)}
	v.budgets = budgetsOf(set)
	return v
}

// counts tells whether an event is something that an agent did.
func counts(e *event.Event) bool {
	switch e.Kind {
	case event.ToolCall, event.ModelCall, event.Message, event.Handoff:
		return e.Phase != event.Attempt
	}
	return false
}

func (v *volume) Observe(x *Scene, e *event.Event) {
	if x.Delta == nil || !counts(e) { // without a delta nobody keeps baselines
		return
	}
	v.x, v.e, v.lens = x, e, v.lensOf(x)
	v.best, v.hot = crossed{p: 1}, false
	part := x.Agent.Ensure(v.slot).(*volumePart)
	v.measure(part)
	v.agent(part)
	if mem := x.Session(); mem != nil {
		v.session(part, mem.Ensure(v.slot).(*volumePart))
	}
	if e.Kind == event.ToolCall {
		v.call()
		if part.agent != nil {
			v.outcome(part.agent)
		}
	}
	v.burn(part)
	v.tell(part)
	v.x, v.e = nil, nil
}

// measure takes from the event what it adds to each feature.
func (v *volume) measure(part *volumePart) {
	e := v.e
	v.has = 1 << baselines.EventCount
	v.values = [baselines.Features]float64{baselines.EventCount: 1}
	set := func(f baselines.Feature, n int64) {
		v.has |= 1 << f
		v.values[f] = min(max(float64(n), 0), maxValue)
	}
	if e.Has&event.HasRecords != 0 {
		set(baselines.RecordSum, e.Result.Records)
	}
	if e.Has&event.HasBytes != 0 {
		set(baselines.ByteSum, e.Result.Bytes)
	}
	if e.Has&event.HasCost != 0 {
		set(baselines.CostSum, e.Cost.MicroUSD)
	}
	if e.Has&event.HasAmount != 0 && e.Result.Outcome <= event.OK { // money of a call that failed was not spent
		code := currencyCode(e.Amount.Currency)
		if v.x.Eligible {
			v.x.Delta.Volume.Currency(code, 1)
		}
		if part.first.Currency == 0 {
			part.first.Currency = code
		}
		if part.first.Currency == code {
			set(baselines.AmountSum, e.Amount.Micro)
		}
	}
	if e.Subject != "" {
		v.has |= 1 << baselines.SubjectCount
		v.things[0] = uint32(xxhash.Sum64String(e.Subject))
	}
	if e.Resource.ID != "" {
		v.has |= 1 << baselines.ResourceCount
		v.things[1] = uint32(xxhash.Sum64String(e.Resource.ID)) ^ uint32(xxhash.Sum64String(e.Resource.Type))*31
	}
}

// currencyCode is a currency's first bytes as a number, never 0.
func currencyCode(s string) uint64 {
	code := uint64(1)
	for i := range min(len(s), 7) {
		code = code<<8 | uint64(s[i])
	}
	return code
}

// knows tells whether the feature is one that the persona's baseline can say something of, for this agent.
func (v *volume) knows(f baselines.Feature, currency uint64) bool {
	if v.lens == nil {
		return false
	}
	return v.lens.of[f].on && (f != baselines.AmountSum || v.lens.currency == currency)
}

// learns likewise, of what may be learned: of amounts only those of the persona's own currency, once it has one.
func (v *volume) learns(f baselines.Feature, currency uint64) bool {
	return f != baselines.AmountSum || v.x.Base != nil && v.x.Base.Volume.Currency == currency
}

// cross notes a test that came out low: the oddest of an event speaks.
func (v *volume) cross(c crossed) (told, alert bool) {
	if v.x.Base == nil {
		return false, false
	}
	told, alert = v.x.Weigh(c.test, c.p)
	if !told {
		return false, false
	}
	v.hot = true
	if c.alert = alert; c.p < v.best.p {
		v.best = c
	}
	return true, alert
}

// agent counts the event in the agent's windows.
func (v *volume) agent(part *volumePart) {
	t, first := v.x.Time, &part.first
	if part.agent == nil {
		if first.At[baselines.EventCount] == 0 {
			for f := range baselines.Features {
				if v.has&(1<<f) != 0 {
					v.wait(first, f, t)
				}
			}
			return
		}
		part.agent = &agentVolume{}
		part.agent.start(seconds(first.At[baselines.EventCount]))
		for w := range baselines.Windows {
			v.span(part.agent, w)
		}
	}
	a := part.agent
	var index [baselines.Windows]int64
	indexes(t, &index)
	switch {
	case index[baselines.HourWindow] > a.Head[baselines.HourWindow]-baselines.RingSteps:
		a.Lost = 0
	case a.Lost < lostEvents:
		a.Lost++
	default:
		a.restart(t)
	}
	v.advance(a, first, &index)
	v.list = v.list[:0]
	for f := range baselines.Features {
		if v.has&(1<<f) == 0 {
			continue
		}
		if a.Of[f] == 0 {
			if first.At[f] == 0 {
				v.wait(first, f, t)
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
		if f := baselines.SubjectCount + baselines.Feature(i); v.has&(1<<f) != 0 && a.Of[f] != 0 {
			closely |= a.touch(i, int(a.Of[f])-1, v.things[i], max(index[0], a.Head[0]))
		}
	}
	if closely != 0 {
		a.remember(v.x.Ref(v.e))
		for w := range baselines.Windows {
			if closely&(1<<w) != 0 {
				v.look(a, first, w)
			}
		}
	}
	v.hot = v.hot || a.Hot != 0
}

// wait keeps the first value of a feature: it gets a column when it occurs again.
func (v *volume) wait(first *firsts, f baselines.Feature, t int64) {
	first.At[f] = inSeconds(t)
	first.Value[f] = float32(v.values[f])
	if f.Distinct() {
		first.Things[f-baselines.SubjectCount] = v.things[f-baselines.SubjectCount]
	}
}

// column makes room for a feature and counts its first value, which waited.
func (v *volume) column(a *agentVolume, first *firsts, f baselines.Feature) {
	a.rings.Grow()
	c := a.rings.Columns() - 1
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
			a.touch(int(f-baselines.SubjectCount), c, first.Things[f-baselines.SubjectCount], index[0])
		}
		return
	}
	value := first.Value[f]
	for w := range baselines.Windows {
		if i := index[w]; i <= a.Head[w] && i > a.Head[w]-baselines.RingSteps {
			a.rings.Steps(w, i)[c] += value
			a.rings.Sums(w)[c] += value
		}
	}
	if baselines.FloorDiv(index[baselines.HourWindow], baselines.RingSteps) < baselines.FloorDiv(a.Head[baselines.HourWindow], baselines.RingSteps) {
		a.rings.Row(baselines.CountRow)[c] += value
		a.rings.Row(baselines.AnchorRow)[c] += value
	}
}

// count adds the event to the windows that still hold its time, and says which of them are to be looked at closely.
func (v *volume) count(a *agentVolume, index *[baselines.Windows]int64) (closely uint8) {
	for w := range baselines.Windows {
		if index[w] <= a.Head[w]-baselines.RingSteps {
			continue
		}
		row, sums, tops, limits := a.rings.Steps(w, index[w]), a.rings.Sums(w), a.rings.Tops(w), a.rings.Limits(w)
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
		if baselines.FloorDiv(from, baselines.RingSteps) != baselines.FloorDiv(to, baselines.RingSteps) {
			over |= 1 << w
			v.close(a, first, w, from, to)
		}
		if a.rings.Move(w, from, to); to-from >= baselines.RingSteps {
			empty |= 1 << w
		}
		a.Head[w] = to
		if w == baselines.DayWindow {
			a.forget(index[0])
		}
	}
	if over == 0 {
		return
	}
	for w := range baselines.Windows {
		if over&(1<<w) != 0 {
			a.rings.Begin(w, empty&(1<<w) != 0)
			a.Least[w] = 1
			v.span(a, w)
			for c := range a.rings.Columns() {
				v.prepare(a, first, w, c)
			}
			if a.Hot&(1<<w) != 0 && !a.above(w) {
				a.Hot &^= 1 << w
			}
			a.Refs &^= 1 << w
		}
	}
	if a.Refs == 0 && a.Hot == 0 && a.more != nil {
		if a.more.watch = nil; len(a.more.budgets) == 0 {
			a.more = nil
		}
	}
}

// hours is how many hours of a mean season a block lasts for the persona, on its own clock.
func (v *volume) hours(w int, block int64) float64 {
	start := v.x.Local(block * baselines.WindowMS[w])
	if w == baselines.DayWindow {
		return v.lens.season.Over(baselines.HourOfWeek(start), 24)
	}
	return v.lens.season.Of[baselines.HourOfWeek(start+baselines.WindowMS[w]/2)] * (float64(baselines.WindowMS[w]) / 3_600_000)
}

// expected is the distribution of a sum over so many hours of a mean season, in events' worth.
func (v *volume) expected(a *agentVolume, w, c int, hours float64) baselines.Count {
	l := &v.lens.of[a.Features[c]]
	h := &l.hyper[w]
	rate, doubt := float64(a.rings.Row(baselines.RateRow)[c]), float64(a.rings.Row(baselines.DoubtRow)[c])
	kappa := h.Kappa
	if w == baselines.DayWindow {
		kappa += v.lens.busy
	}
	return baselines.Count{M: rate * hours * h.Factor / l.unit, Phi: h.Phi, K: 1 / (kappa + doubt*(1+h.Kappa))}
}

// widest is that of a window that slides through a block: of the block itself or of the one before, whichever is more.
func (v *volume) widest(a *agentVolume, w, c int) baselines.Count {
	return v.expected(a, w, c, float64(a.Hours[w]))
}

// span reckons how long the block that begins is for the persona.
func (v *volume) span(a *agentVolume, w int) {
	a.Hours[w] = 0
	if v.lens != nil {
		block := baselines.FloorDiv(a.Head[w], baselines.RingSteps)
		a.Hours[w] = float32(max(v.hours(w, block), v.hours(w, block-1)))
	}
}

// prepare sets the sum at which a column is looked at closely in the block that begins.
func (v *volume) prepare(a *agentVolume, first *firsts, w, c int) {
	f := baselines.Feature(a.Features[c])
	limit := float32(math.MaxFloat32)
	if v.knows(f, first.Currency) {
		if l := &v.lens.of[f]; l.cal[w] != nil {
			limit = float32(min(v.widest(a, w, c).Screen()*l.unit, math.MaxFloat32))
		}
	}
	a.rings.Limits(w)[c] = limit
}

// look scores a window whose sum has passed what is usual.
func (v *volume) look(a *agentVolume, first *firsts, w int) {
	if v.lens == nil {
		return
	}
	sums, limits := a.rings.Sums(w), a.rings.Limits(w)
	joined, c := v.joined(a, first, w, sums)
	p := v.lens.together(baselines.MinuteTest+baselines.Test(w), joined)
	for i, s := range sums {
		if s > limits[i] {
			limits[i] = float32(min(float64(s)*growth, math.MaxFloat32))
		}
	}
	if a.Least[w] = min(a.Least[w], p); c < 0 || events(a, w) < leastEvents {
		return
	}
	a.Refs |= 1 << w
	f := baselines.Feature(a.Features[c])
	k := v.widest(a, w, c)
	unit := v.lens.of[f].unit
	told, alert := v.cross(crossed{p: p, test: baselines.MinuteTest + baselines.Test(w), feature: f, window: w, observed: a.size(c, sums[c])})
	if !told {
		return
	}
	a.Hot |= 1 << w
	if alert { // what is only a signal is learned: without its own tail a reference would find ever more
		a.Alerted |= 1<<w | 1<<baselines.HourWindow | 1<<baselines.DayWindow
	}
	if v.best.test == baselines.MinuteTest+baselines.Test(w) && v.best.feature == f {
		v.best.expected, v.best.low, v.best.high = k.M*unit, k.Quantile(0.99)*unit, v.usual(k, w, f)*unit
	}
}

// usual is the count that 999 of 1,000 blocks do not reach, by both the model and the calibration.
func (v *volume) usual(k baselines.Count, w int, f baselines.Feature) float64 {
	lo, hi := k.M, k.M+k.Phi
	for v.lens.p(f, w, k, hi) > 1e-3 && hi < 1e18 {
		lo, hi = hi, 2*hi
	}
	for range 40 {
		if hi-lo < 0.01*hi {
			break
		}
		if mid := (lo + hi) / 2; v.lens.p(f, w, k, mid) > 1e-3 {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

// joined is the p-value of a window's sums together, and the column that is oddest; −1 if none can be judged.
func (v *volume) joined(a *agentVolume, first *firsts, w int, sums []float32) (float64, int) {
	v.ps = v.ps[:0]
	least, at := 2.0, -1
	for c, s := range sums {
		f := baselines.Feature(a.Features[c])
		if !v.knows(f, first.Currency) || v.lens.of[f].cal[w] == nil {
			continue
		}
		p := v.lens.p(f, w, v.widest(a, w, c), a.size(c, s)/v.lens.of[f].unit)
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
	if c := int(a.Of[baselines.EventCount]) - 1; c >= 0 {
		return a.rings.Sums(w)[c]
	}
	return 0
}

// close ends a block: it is one test, and what is learned.
func (v *volume) close(a *agentVolume, first *firsts, w int, from, to int64) {
	block := baselines.FloorDiv(from, baselines.RingSteps)
	next := baselines.FloorDiv(to, baselines.RingSteps)
	sums := v.sums[:a.rings.Columns()]
	a.rings.Block(w, from, sums)
	test := baselines.MinuteTest + baselines.Test(w)
	learn := v.x.Eligible && a.Alerted&(1<<w) == 0
	p := 1.0
	if v.lens != nil {
		p = a.Least[w]
		tops := a.rings.Tops(w)
		hours := 0.0
		if learn {
			hours = v.hours(w, block)
		}
		odd := false
		for c := range sums {
			f := baselines.Feature(a.Features[c])
			if !v.knows(f, first.Currency) {
				continue
			}
			l := &v.lens.of[f]
			s := score(f, v.widest(a, w, c), a.size(c, tops[c])/l.unit)
			odd = odd || s >= l.look[w]
			if !learn || !v.learns(f, first.Currency) {
				continue
			}
			d := &v.x.Delta.Volume.Of[f]
			k := v.expected(a, w, c, hours)
			d.Spread[w].Add(a.size(c, sums[c])/l.unit, k, k.M/l.hyper[w].Factor)
			if l.own[w] {
				d.Block[w].Add(s, 1)
			}
		}
		joined := 1.0
		if odd {
			joined, _ = v.joined(a, first, w, tops)
			p = min(p, v.lens.together(test, joined))
		}
		if learn && v.lens.of[baselines.EventCount].own[w] && v.lens.of[baselines.EventCount].cal[w] != nil {
			v.x.Delta.Volume.Joint[test].Add(scoreOf(joined), 1)
		}
	}
	v.x.Delta.Audit.Count(test, p)
	switch w {
	case baselines.MinuteWindow, baselines.TenMinuteWindow:
		a.Active[w] = min(a.Active[w]+1, 60)
	case baselines.HourWindow:
		v.hour(a, first, block, next, sums)
	case baselines.DayWindow:
		v.day(a, first, block, next, sums)
	}
	a.Alerted &^= 1 << w
}

// hour ends an hour in which the agent acted, and the silent ones up to the next: what it does in an hour of a mean season is reckoned anew.
func (v *volume) hour(a *agentVolume, first *firsts, block, next int64, sums []float32) {
	silent := min(next-block-1, absentHours)
	d := &v.x.Delta.Volume
	learn := v.x.Eligible && a.Alerted&(1<<baselines.HourWindow) == 0
	cell := baselines.HourOfWeek(v.x.Local(block*3_600_000 + 1_800_000))
	active, quiet := 1.0, float64(silent)
	if v.lens != nil {
		active = v.lens.season.Of[cell]
		quiet = v.lens.season.Over((cell+1)%baselines.HoursOfWeek, int(silent))
	}
	// How busy the agent is among its persona: what an hour of it counts for the season.
	weight := 1.0
	if c := int(a.Of[baselines.EventCount]) - 1; c >= 0 && v.knows(baselines.EventCount, 0) {
		weight = float64(a.rings.Row(baselines.RateRow)[c]) / v.lens.of[baselines.EventCount].rate
	}
	if learn {
		e := baselines.Fixed(min(weight, 1e4))
		d.Season[cell].E += e
		for i := range int(silent) {
			d.Season[(cell+1+i)%baselines.HoursOfWeek].E += e
		}
		d.Exposure += baselines.Fixed(active + quiet)
	}
	forget, anchor := decayOf(next - block)
	a.Exposure = (a.Exposure + active) * forget
	a.Anchored = (a.Anchored + active) * anchor
	a.Exposure += quiet
	a.Anchored += quiet
	var gaps [3]gap
	if learn && v.lens != nil {
		gaps = v.gaps(cell, int(silent))
	}
	counted, anchored := a.rings.Row(baselines.CountRow), a.rings.Row(baselines.AnchorRow)
	for c := range sums {
		f := baselines.Feature(a.Features[c])
		x := a.size(c, sums[c])
		if v.knows(f, first.Currency) {
			l := &v.lens.of[f]
			k := v.expected(a, baselines.HourWindow, c, active)
			if x = min(x, (k.M+3*math.Sqrt(k.Variance())+k.Phi)*l.unit); !learn {
				x = k.M * l.unit
			}
			if learn && v.learns(f, first.Currency) {
				v.silence(a, f, c, &gaps, active)
			}
			if learn && f == baselines.EventCount {
				d.Day.X += baselines.Fixed(x)
				d.Day.E += baselines.Fixed(float64(a.rings.Row(baselines.RateRow)[c]) * (active + quiet))
			}
		} else if !learn {
			x = 0
		}
		if learn && v.learns(f, first.Currency) {
			d.Of[f].Add(x)
			if f == baselines.EventCount {
				d.Season[cell].X += baselines.Whole(x)
			}
		}
		counted[c] = float32((float64(counted[c]) + x) * forget)
		anchored[c] = float32((float64(anchored[c]) + x) * anchor)
		v.rate(a, first, c)
	}
	a.Active = [2]uint8{}
}

// decays are what is left after so many hours with half-lives of 14 and 60 days.
var decays = func() (t [absentHours + 2][2]float64) {
	for h := range t {
		t[h] = [2]float64{math.Exp2(-float64(h) / (14 * 24)), math.Exp2(-float64(h) / (60 * 24))}
	}
	return t
}()

func decayOf(hours int64) (float64, float64) {
	if hours < int64(len(decays)) {
		return decays[hours][0], decays[hours][1]
	}
	return math.Exp2(-float64(hours) / (14 * 24)), math.Exp2(-float64(hours) / (60 * 24))
}

// gap are silent hours that are about as busy for the persona.
type gap struct{ hours, season float64 }

// gaps sorts the silent hours behind a cell into quiet, ordinary and busy ones: of each sort one term stands for all.
func (v *volume) gaps(cell, silent int) (g [3]gap) {
	for i := range silent {
		s := v.lens.season.Of[(cell+1+i)%baselines.HoursOfWeek]
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

// silence adds the blocks in which nothing happened to the sums of how counts scatter: of the hour that is over and of the silent ones behind it.
func (v *volume) silence(a *agentVolume, f baselines.Feature, c int, gaps *[3]gap, active float64) {
	l := &v.lens.of[f]
	rate := float64(a.rings.Row(baselines.RateRow)[c]) / l.unit
	for w := range baselines.DayWindow {
		per := 3_600_000 / float64(baselines.WindowMS[w])
		s := &v.x.Delta.Volume.Of[f].Spread[w]
		factor := l.hyper[w].Factor
		if w < baselines.HourWindow {
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

// rate reckons an agent's rate: its own counts, shrunk towards the persona's the less the more of them there are (science §2.2).
func (v *volume) rate(a *agentVolume, first *firsts, c int) {
	f := baselines.Feature(a.Features[c])
	rates, doubts := a.rings.Row(baselines.RateRow), a.rings.Row(baselines.DoubtRow)
	if !v.knows(f, first.Currency) {
		rates[c], doubts[c] = 0, 0
		return
	}
	l := &v.lens.of[f]
	h := &l.hyper[baselines.HourWindow]
	mean := l.rate / l.unit
	phi := h.Phi + h.Kappa*mean
	prior := l.a0 * phi
	own := float64(a.rings.Row(baselines.CountRow)[c]) / l.unit
	rates[c] = float32((prior + own) / (prior/mean + a.Exposure) * l.unit)
	doubts[c] = float32(phi / (prior + own))
}

// day ends a day in which the agent acted.
func (v *volume) day(a *agentVolume, first *firsts, block, next int64, sums []float32) {
	for c := range sums {
		f := baselines.Feature(a.Features[c])
		week := baselines.WeekRow
		for range min(next-block, baselines.WeekDays) {
			for i := baselines.WeekDays - 1; i > 0; i-- {
				a.rings.Row(week + i)[c] = a.rings.Row(week + i - 1)[c]
			}
			a.rings.Row(week)[c] = 0
		}
		total := a.size(c, sums[c])
		if v.knows(f, first.Currency) { // one day's excess is no ramp
			k := v.widest(a, baselines.DayWindow, c)
			total = min(total, (k.M+5*math.Sqrt(k.Variance())+k.Phi)*v.lens.of[f].unit)
		}
		if next-block <= baselines.WeekDays {
			a.rings.Row(week + int(next-block) - 1)[c] = float32(total)
		}
		if !v.knows(f, first.Currency) || !v.x.Eligible || a.Exposure < fresh {
			continue
		}
		l := &v.lens.of[f]
		h := &l.hyper[baselines.HourWindow]
		if mean := l.rate / l.unit; mean > 0 {
			own := float64(a.rings.Row(baselines.CountRow)[c]) / l.unit
			noise := (h.Phi + h.Kappa*mean) / (mean * a.Exposure)
			v.x.Delta.Volume.Of[f].Rates.Add(own/a.Exposure/mean, noise)
		}
		if w := baselines.DayWindow; next-block > 1 && a.Alerted&(1<<w) == 0 && v.learns(f, first.Currency) {
			for i := block + 1; i < min(next, block+1+absentHours/24); i++ {
				k := v.expected(a, w, c, v.hours(w, i))
				v.x.Delta.Volume.Of[f].Spread[w].AddNone(1, k.M, k.M/l.hyper[w].Factor)
			}
		}
	}
	a.Days = uint8(min(int64(a.Days)+next-block, 255))
	v.ramp(a, first)
	v.outcomesOver(a)
}

// ramp compares the last seven days with the anchor of sixty, and the agent with its peers (science §2.8).
func (v *volume) ramp(a *agentVolume, first *firsts) {
	if v.lens == nil {
		return
	}
	a.Hot &^= hotRamp
	v.ps = v.ps[:0]
	best := crossed{p: 2, test: baselines.RampTest, window: baselines.DayWindow}
	for c := range a.rings.Columns() {
		f := baselines.Feature(a.Features[c])
		if !v.knows(f, first.Currency) {
			continue
		}
		l := &v.lens.of[f]
		own := float64(a.rings.Row(baselines.CountRow)[c]) / l.unit
		mean := l.rate / l.unit
		if l.peerSD > 0 && own > 0 && a.Exposure >= 3*24 {
			z := (math.Log(own/a.Exposure/mean) - l.peer) / l.peerSD
			if bit := uint8(1) << f; z <= peerZ {
				a.Peer &^= bit
			} else if a.Peer&bit == 0 {
				a.Peer |= bit
				v.cross(crossed{p: math.Erfc(z/math.Sqrt2) / 2, test: baselines.RampTest, feature: f, window: baselines.DayWindow, what: "peers",
					observed: own / a.Exposure * 24 * l.unit, expected: math.Exp(l.peer) * mean * 24 * l.unit,
					low: math.Exp(l.peer-2.33*l.peerSD) * mean * 24 * l.unit, high: math.Exp(l.peer+3.09*l.peerSD) * mean * 24 * l.unit})
			}
		}
		if a.Days < baselines.WeekDays || a.Anchored < anchorHours {
			continue
		}
		total := 0.0
		for i := range baselines.WeekDays {
			total += float64(a.rings.Row(baselines.WeekRow + i)[c])
		}
		old := float64(a.rings.Row(baselines.AnchorRow)[c]) / l.unit
		h, hour := &l.hyper[baselines.DayWindow], &l.hyper[baselines.HourWindow]
		phi := hour.Phi + hour.Kappa*mean
		k := baselines.Count{M: rampFactor * old / a.Anchored * baselines.HoursOfWeek * h.Factor, Phi: h.Phi,
			K: 1 / ((h.Kappa+v.lens.busy)/baselines.WeekDays + phi/(l.a0*phi+old) + 0.01)}
		p := k.Tail(total / l.unit)
		v.ps = append(v.ps, min(p, 0.5))
		if p < best.p {
			best.p, best.feature = p, f
			best.observed, best.expected = total/baselines.WeekDays, k.M/rampFactor/baselines.WeekDays*l.unit
			best.low, best.high = k.Quantile(0.99)/baselines.WeekDays*l.unit, k.Quantile(1e-3)/baselines.WeekDays*l.unit
		}
	}
	p := 1.0
	if len(v.ps) > 0 {
		p = baselines.Cauchy(v.ps...)
	}
	v.x.Delta.Audit.Count(baselines.RampTest, p)
	if best.p = p; p < rampP {
		if told, _ := v.cross(best); told {
			a.Hot |= hotRamp
		}
	}
}

// session adds the event to its session's totals, which are judged against those of the persona's sessions as they end.
func (v *volume) session(part, own *volumePart) {
	if own.session == nil {
		own.session = &sessionVolume{sessionNumbers: sessionNumbers{Intent: intentOf(v.e.Intent)}}
		v.sessionLimits(own.session)
		v.start()
	}
	s := own.session
	if s.Base != v.lens.day() { // another baseline came into force
		v.sessionLimits(s)
	}
	v.gap(s)
	closely := false
	s.Has |= v.has
	if part.first.Currency != 0 {
		s.Currency = part.first.Currency
	}
	for f := range baselines.Features {
		if v.has&(1<<f) == 0 {
			continue
		}
		if f.Distinct() {
			if n, fresh := s.things[f-baselines.SubjectCount].see(v.things[f-baselines.SubjectCount]); fresh {
				s.Totals[f] = n
			}
		} else {
			s.Totals[f] += v.values[f]
		}
		closely = closely || s.Totals[f] > float64(s.Limits[f])
	}
	if closely {
		v.lookAtSession(s)
	}
	v.hot = v.hot || s.Hot
}

// sessionLimits sets the totals at which a session is looked at closely.
func (v *volume) sessionLimits(s *sessionVolume) {
	s.Base = v.lens.day()
	for f := range baselines.Features {
		s.Limits[f], s.Looks[f] = math.MaxFloat32, math.MaxFloat32
		if v.lens == nil {
			continue
		}
		if l := &v.lens.of[f]; l.session != nil {
			s.Limits[f] = l.sessionLook
			if c := v.lens.intent(s.Intent, f); c != l.session {
				s.Limits[f] = float32(math.Expm1(c.Quantile(1-lookP) - baselines.BinWidth))
			}
		}
		s.Looks[f] = s.Limits[f]
	}
}

func (v *volume) lookAtSession(s *sessionVolume) {
	joined, f := v.sessionP(s)
	for i := range s.Limits {
		if s.Totals[i] > float64(s.Limits[i]) {
			s.Limits[i] = float32(min(s.Totals[i]*growth, math.MaxFloat32))
		}
	}
	if joined >= 1 || s.Totals[baselines.EventCount] < leastEvents {
		return
	}
	p := v.lens.together(baselines.SessionTest, joined)
	told, alert := v.cross(crossed{p: p, test: baselines.SessionTest, feature: f, observed: s.Totals[f]})
	if !told {
		return
	}
	s.Hot, s.Alerted = true, s.Alerted || alert
	if v.best.test == baselines.SessionTest {
		c := v.lens.intent(s.Intent, f)
		v.best.expected, v.best.low, v.best.high = quantileSize(c, 0.5), quantileSize(c, 0.01), quantileSize(c, 0.999)
	}
}

// sessionP is the p-value of a session's totals together, and the oddest feature.
func (v *volume) sessionP(s *sessionVolume) (float64, baselines.Feature) {
	v.ps = v.ps[:0]
	least, at := 2.0, baselines.EventCount
	if v.lens != nil {
		for f := range baselines.Features {
			if s.Has&(1<<f) == 0 || !v.lens.judges(f, s.Currency) {
				continue
			}
			p := 0.5
			if s.Totals[f] > float64(s.Looks[f]) {
				p = min(v.lens.intent(s.Intent, f).P(baselines.LogSize(s.Totals[f])), 0.5)
			}
			v.ps = append(v.ps, p)
			if p < least {
				least, at = p, f
			}
		}
	}
	if len(v.ps) == 0 {
		return 1, at
	}
	return baselines.Cauchy(v.ps...), at
}

// End learns the totals of a session that is over.
func (v *volume) End(x *Ending) {
	part, _ := x.Memory.Part(v.slot).(*volumePart)
	if part == nil || part.session == nil {
		return
	}
	s := part.session
	v.lens = v.lensOfWho(x.Who)
	joined, _ := v.sessionP(s)
	p := joined
	if v.lens != nil {
		p = v.lens.together(baselines.SessionTest, joined)
	}
	x.Delta.Audit.Count(baselines.SessionTest, p)
	if d := &x.Delta.Volume; x.Eligible && !s.Alerted {
		if joined < 1 {
			d.Joint[baselines.SessionTest].Add(scoreOf(joined), 1)
		}
		var intent *baselines.IntentTotals
		if s.Intent != 0 {
			if intent = d.Intent(s.Intent); intent != nil {
				intent.N++
			}
		}
		for f := range baselines.Features {
			if s.Has&(1<<f) == 0 || f == baselines.AmountSum && (x.Base == nil || x.Base.Volume.Currency != s.Currency) {
				continue
			}
			size := baselines.LogSize(s.Totals[f])
			d.Of[f].Session.Add(size, 1)
			if intent != nil {
				intent.Of[f].Add(size, 1)
			}
		}
		if s.Even > 0 {
			d.Even.Add(s.Even, 1)
		}
	}
	x.Memory.Drop(v.slot)
}

func intentOf(intent string) uint64 {
	if intent == "" {
		return 0
	}
	return xxhash.Sum64String(intent)
}

// call judges the sizes of one call by those of its tool.
func (v *volume) call() {
	const marks = 1<<baselines.RecordSum | 1<<baselines.ByteSum | 1<<baselines.AmountSum | 1<<baselines.CostSum
	if v.has&marks == 0 {
		return
	}
	e, d := v.e, &v.x.Delta.Volume
	hash := xxhash.Sum64String(e.Tool.Name)
	if e.Tool.Server != "" {
		hash ^= xxhash.Sum64String(e.Tool.Server) * 31
	}
	var known *lensTool
	if v.lens != nil {
		known = v.lens.tool(hash)
	}
	best := crossed{p: 2, test: baselines.CallTest}
	var sizes [baselines.Marks]float64
	judged := false
	for m := range baselines.Marks {
		f := baselines.MarkOf(m)
		if v.has&(1<<f) == 0 {
			continue
		}
		sizes[m] = baselines.LogSize(v.values[f])
		if known == nil || known.of[m] == nil || f == baselines.AmountSum && v.lens.currency != currencyCode(e.Amount.Currency) {
			continue
		}
		judged = true
		if sizes[m] > known.look[m] {
			if p := known.of[m].P(sizes[m]); p < best.p {
				best.p, best.feature, best.observed = p, f, v.values[f]
			}
		}
	}
	joined := 1.0
	if best.p < lookP {
		v.ps = v.ps[:0]
		for m := range baselines.Marks {
			if f := baselines.MarkOf(m); v.has&(1<<f) != 0 && known.of[m] != nil {
				p := 0.5
				if sizes[m] > known.look[m] {
					p = min(known.of[m].P(sizes[m]), 0.5)
				}
				v.ps = append(v.ps, p)
			}
		}
		joined = baselines.Cauchy(v.ps...)
	}
	p := joined
	if judged {
		p = v.lens.together(baselines.CallTest, joined)
	}
	v.x.Delta.Audit.Count(baselines.CallTest, p)
	alert := false
	if best.p = p; p < 0.01 {
		told := false
		if told, alert = v.cross(best); told && v.best.test == baselines.CallTest {
			c := known.of[best.feature-baselines.RecordSum]
			v.best.expected, v.best.low, v.best.high = quantileSize(c, 0.5), quantileSize(c, 0.01), quantileSize(c, 0.999)
		}
	}
	if !v.x.Eligible || alert {
		return
	}
	if judged {
		d.Joint[baselines.CallTest].Add(scoreOf(joined), 1)
	}
	tool := d.Tool(hash)
	for m := range baselines.Marks {
		if f := baselines.MarkOf(m); v.has&(1<<f) != 0 && (f != baselines.AmountSum || v.x.Base != nil && v.x.Base.Volume.Currency == currencyCode(e.Amount.Currency)) {
			d.Calls[m].Add(sizes[m], 1)
			if tool != nil {
				tool.Of[m].Add(sizes[m], 1)
			}
		}
	}
}

// quantileSize is a quantile of sizes whose logarithms are kept: whole, as they were.
func quantileSize(c *baselines.Calibrator, q float64) float64 {
	return math.Round(math.Expm1(c.Quantile(q)))
}

// outcome tests failures in sequence, and looks for runs over ids.
func (v *volume) outcome(a *agentVolume) {
	e := v.e
	if e.Resource.ID != "" {
		if n, ok := baselines.Number(e.Resource.ID); ok {
			steps := a.Run.Add(n)
			a.RunTop = max(a.RunTop, uint8(steps))
			if steps >= leastRunOf31 && v.lens != nil && v.lens.run != nil {
				p := v.lens.run.P(baselines.RunScore(steps))
				if told, alert := v.cross(crossed{p: p, test: baselines.RunTest, feature: baselines.ResourceCount, observed: float64(steps + 1), expected: 2, high: float64(leastRunOf31), what: "run"}); told {
					a.Hot |= hotRun
					if alert {
						a.Alerted |= hotRun
					}
				}
			}
		}
	}
	v.key = append(v.key[:0], e.Tool.Name...)
	v.key = append(append(v.key, 0), e.Tool.Server...)
	v.key = append(append(v.key, 0), e.Resource.Type...)
	v.key = append(append(v.key, 0), e.Resource.ID...)
	if e.Resource.ID == "" {
		v.key = append(v.key, e.ArgsDigest...)
	}
	if !a.contact(uint16(xxhash.Sum64(v.key))) {
		return
	}
	failed := [baselines.Outcomes]bool{
		baselines.DeniedOutcome:   e.Result.Outcome == event.Denied || e.Policy.Verdict == "deny",
		baselines.NotFoundOutcome: e.Result.Outcome == event.NotFound,
		baselines.ErrorOutcome:    e.Result.Outcome == event.Error || e.Result.Outcome == event.NoOutcome && e.Result.Error != "",
	}
	d := &v.x.Delta.Volume
	for k, bad := range failed {
		if v.x.Eligible {
			d.Contacts[k]++
			if bad {
				d.Failed[k]++
			}
		}
		if v.lens == nil {
			continue
		}
		o := &a.Odds[k]
		o.Add(bad, v.lens.failure[k], v.lens.success[k])
		if a.OddsTop = max(a.OddsTop, o.L); !bad || o.L < 4 || v.lens.outcome == nil {
			continue
		}
		p := v.lens.outcomeP(o)
		a.OddsP = min(a.OddsP, p)
		theta := v.lens.theta[k]
		if told, alert := v.cross(crossed{p: p, test: baselines.OutcomeTest, feature: baselines.EventCount, what: baselines.Outcome(k).String(),
			observed: math.Exp(float64(o.L)), expected: theta, high: theta}); told {
			a.Hot |= hotOutcome
			if alert {
				a.Alerted |= hotOutcome
			}
		}
	}
}

// outcomesOver ends the day of the tests that last a day.
func (v *volume) outcomesOver(a *agentVolume) {
	d := v.x.Delta
	if a.contacts != nil {
		d.Audit.Count(baselines.OutcomeTest, a.OddsP)
		if v.x.Eligible && a.Alerted&hotOutcome == 0 && v.lens != nil {
			d.Volume.Outcome.Add(float64(a.OddsTop)/math.Ln10, 1)
		}
	}
	if a.Run.Any {
		p := 1.0
		if v.lens != nil && v.lens.run != nil {
			p = v.lens.run.P(baselines.RunScore(int(a.RunTop)))
		}
		d.Audit.Count(baselines.RunTest, p)
		if v.x.Eligible && a.Alerted&hotRun == 0 {
			d.Volume.Run.Add(baselines.RunScore(int(a.RunTop)), 1)
		}
	}
	a.Hot &^= hotOutcome | hotRun
	a.Alerted &^= hotOutcome | hotRun
	a.RunTop, a.OddsTop, a.OddsP, a.Odds = 0, 0, 1, [baselines.Outcomes]baselines.Odds{}
}

// start weighs the hour in which a session starts: a sign, never an alert.
func (v *volume) start() {
	p := 1.0
	if v.lens != nil && v.x.Base.Volume.Events() >= baselines.SeasonEvents {
		p = v.lens.season.Rare[baselines.HourOfWeek(v.x.Local(v.x.Time))]
		if p < 0.01 {
			v.timing(crossed{p: p, test: baselines.TimingTest, what: "hour"})
		}
	}
	v.x.Delta.Audit.Count(baselines.TimingTest, p)
}

// gap takes the time since the session's last event; the first 32 gaps tell a machine that does not wait for anybody by how even they are.
func (v *volume) gap(s *sessionVolume) {
	if s.Events++; s.Events > 1 && s.Gaps < evenGaps {
		g := float32(max(0, v.x.Time-s.Last)) / 1000
		s.Gaps++
		s.GapSum += g
		s.GapSquares += g * g
		if s.Gaps == evenGaps {
			mean := float64(s.GapSum) / evenGaps
			sd := math.Sqrt(max(float64(s.GapSquares)/evenGaps-mean*mean, 0))
			cv := 1.0
			if mean > 0 {
				cv = max(sd/mean, 1e-6)
			}
			s.Even = max(-math.Log(cv/10), baselines.BinWidth) // the more even, the larger; ten is the most uneven that matters
			p := 1.0
			if v.lens != nil && v.lens.even != nil {
				if p = v.lens.even.P(s.Even); p < 0.01 && cv < 0.1 {
					v.timing(crossed{p: p, test: baselines.TimingTest, what: "gaps", observed: cv, expected: 10 * math.Exp(-v.lens.even.Quantile(0.5))})
				}
			}
			v.x.Delta.Audit.Count(baselines.TimingTest, p)
		}
	}
	s.Last = max(s.Last, v.x.Time)
}

// remember keeps the first contributors.
func (a *agentVolume) remember(r event.Ref) {
	if m := a.rare(); len(m.watch) < baselines.MaxRefs && !slices.Contains(m.watch, r) {
		m.watch = append(m.watch, r.Clone())
	}
}
