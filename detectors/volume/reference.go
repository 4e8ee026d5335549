package volume

import (
	"math"
	"sort"
	"unsafe"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
)

// reference is what an agent is judged by: what was learned of its persona and, while that is
// young, what was learned of the tenant as a whole in its place.
type reference struct {
	base     *baselines.Model
	season   *baselines.Season
	currency uint64
	busy     float64 // variance of how busy days are
	of       [Features]referenceFeature
	tools    []referenceTool // sorted
	other    referenceTool   // of tools that are not known

	theta, failure, success [Outcomes]float64             // share of failures; what each outcome adds to the test
	joint                   [Joined]*baselines.Calibrator // of p-values that join features
	outcome, run, even      *baselines.Calibrator         // nil: too little was seen
}

type referenceFeature struct {
	on bool // something was learned of it
	// see FeatureModel for these
	rate, unit float64
	a0         float64
	peer       float64
	peerSD     float64
	grows      Growth
	hyper      [baselines.Windows]Hyper
	// hyper is the persona's own: scores by another yardstick are not learned
	own           [baselines.Windows]bool
	cal           [baselines.Windows]*baselines.Calibrator // nil: too little was seen
	screen        [baselines.Windows]float64               // score from which a block may be odd
	session       *baselines.Calibrator
	sessionScreen float32 // total from which a session may be odd
}

// referenceTool are the sizes of calls of one tool.
type referenceTool struct {
	hash   uint64
	of     [Marks]*baselines.Calibrator
	screen [Marks]float64
}

// referenceKey are the models that a reference is made from.
type referenceKey struct{ base, prior *baselines.Model }

// maxReferences bounds how many references are remembered; beyond, all are made anew.
const maxReferences = 1024

func (v *volume) referenceOf(x *detectors.Scene) *reference { return v.referenceOfWho(x.Who) }

func (v *volume) referenceOfWho(w *detectors.Who) *reference {
	base := w.Base
	if base == nil {
		return nil
	}
	key, hash := referenceKey{base, base.Prior}, uint64(uintptr(unsafe.Pointer(base))>>10)
	if l, ok := v.references.Near(hash, key); ok {
		return l
	}
	l, ok := v.references.Far(hash, key)
	if !ok {
		l = newReference(base)
		v.references.Put(hash, key, l)
	}
	return l
}

// either is the persona's own reference if it has enough, else the tenant's if that has, else nil.
func either(own, prior *baselines.Calibrator) *baselines.Calibrator {
	switch {
	case own.Ready():
		return own
	case prior != nil && prior.Ready():
		return prior
	}
	return nil
}

func newReference(base *baselines.Model) *reference {
	m := ModelOf(base)
	l := &reference{base: base, season: &m.Hours, currency: m.Currency, busy: m.Busy, theta: m.Theta}
	var p *Model
	if base.Prior != nil {
		p = ModelOf(base.Prior)
		if m.Events() < baselines.SeasonEvents && p.Events() >= baselines.SeasonEvents {
			l.season = &p.Hours
		}
		if m.Busy == 0 {
			l.busy = p.Busy
		}
	}
	of := func(get func(*Model) *baselines.Calibrator, f Feature) *baselines.Calibrator {
		if p == nil || f == AmountSum && p.Currency != m.Currency {
			return either(get(m), nil)
		}
		return either(get(m), get(p))
	}
	for i := range l.of {
		f := Feature(i)
		o, own := &l.of[i], &m.Of[i]
		o.rate, o.unit, o.a0, o.peer, o.peerSD = own.Rate, own.Unit, own.A0, own.Peer, own.PeerSD
		if o.grows = own.Grows; o.grows.SD == 0 && p != nil {
			o.grows = p.Of[i].Grows
		}
		o.on = o.rate > 0 && o.unit > 0
		for w := range o.cal {
			o.hyper[w], o.own[w] = own.Hyper[w], own.Hyper[w].Fitted
			if !o.hyper[w].Fitted && p != nil && p.Of[i].Hyper[w].Fitted {
				o.hyper[w] = p.Of[i].Hyper[w]
			}
			o.cal[w] = of(func(v *Model) *baselines.Calibrator { return &v.Of[i].Block[w] }, f)
			if o.cal[w] != nil {
				o.screen[w] = o.cal[w].Quantile(1-screenP) - baselines.BinWidth
			}
		}
		o.session = of(func(v *Model) *baselines.Calibrator { return &v.Of[i].Session }, f)
		o.sessionScreen = math.MaxFloat32
		if o.session != nil {
			o.sessionScreen = float32(math.Expm1(o.session.Quantile(1-screenP) - baselines.BinWidth))
		}
	}
	for k := range l.theta {
		l.failure[k], l.success[k] = baselines.Weights(l.theta[k])
	}
	for k := range l.joint {
		l.joint[k] = of(func(v *Model) *baselines.Calibrator { return &v.Joint[k] }, 0)
	}
	l.outcome = of(func(v *Model) *baselines.Calibrator { return &v.Outcome }, 0)
	l.run = of(func(v *Model) *baselines.Calibrator { return &v.Run }, 0)
	l.even = of(func(v *Model) *baselines.Calibrator { return &v.Even }, 0)
	for i := range l.other.of {
		l.other.of[i] = of(func(v *Model) *baselines.Calibrator { return &v.Calls[i] },
			MarkOf(i))
	}
	l.other.setScreens()
	for i := range m.Tools {
		t := referenceTool{hash: m.Tools[i].Hash}
		for k := range t.of {
			if t.of[k] = l.other.of[k]; m.Tools[i].Of[k].Ready() {
				t.of[k] = &m.Tools[i].Of[k]
			}
		}
		t.setScreens()
		l.tools = append(l.tools, t)
	}
	return l
}

func (t *referenceTool) setScreens() {
	for i, c := range t.of {
		t.screen[i] = math.MaxFloat64
		if c != nil {
			t.screen[i] = c.Quantile(1-screenP) - baselines.BinWidth
		}
	}
}

// tool are the sizes of calls of a tool: its own, else those of all.
func (l *reference) tool(hash uint64) *referenceTool {
	i := sort.Search(len(l.tools), func(i int) bool { return l.tools[i].hash >= hash })
	if i < len(l.tools) && l.tools[i].hash == hash {
		return &l.tools[i]
	}
	return &l.other
}

// judges tells whether a session's total of the feature can be judged.
func (l *reference) judges(f Feature, currency uint64) bool {
	return l.of[f].session != nil && (f != AmountSum || l.currency == currency)
}

// intent is the reference of sessions with an intent: of their own kind if there are enough of
// them.
func (l *reference) intent(intent uint64, f Feature) *baselines.Calibrator {
	if intent != 0 {
		if m := ModelOf(l.base).IntentOf(intent); m != nil && m.Of[f].Ready() {
			return &m.Of[f]
		}
	}
	return l.of[f].session
}

// score is how odd a window's sum is. Of what single calls bring in any size it is put on a
// logarithmic scale: a sum of heavy-tailed sizes is large because of one of them, so its own tail
// is a power of x, which a generalised Pareto tail of logarithms follows and one of x does not.
func score(f Feature, k Count, x float64) float64 {
	s := k.Score(x)
	if s > 0 && f >= RecordSum && f <= CostSum {
		return 4 * math.Log1p(s)
	}
	return s
}

// p is the p-value of a window's sum x, in events' worth: what the model says or what the blocks of
// the past say, whichever is more usual; ½ if it is nothing to look at, since what is usual speaks
// neither for nor against.
func (l *reference) p(f Feature, w int, k Count, x float64) float64 {
	s := score(f, k, x)
	if s < l.of[f].screen[w] {
		return 0.5
	}
	return min(max(l.of[f].cal[w].P(s), k.Tail(x)), 0.5)
}

// calibrated is what the p-value that joins the features of a call, a session or a block is worth:
// by how often such are reached, since features go together and a combination does not know how
// much. Of a day it is never less than what was joined: all agents share busy days, of which the
// past has few.
func (l *reference) calibrated(t baselines.Test, joined float64) float64 {
	c := l.joint[t]
	if c == nil || joined >= 0.5 {
		return joined
	}
	p := c.P(scoreOf(joined))
	if t == baselines.DayTest {
		p = max(p, joined)
	}
	return p
}

// scoreOf is −log10 of a p-value, just inside its bin.
func scoreOf(p float64) float64 {
	if p >= 1 {
		return 0
	}
	return max(0, -math.Log10(p)) + 1e-9
}

// outcomeP is the p-value of a sequential test: the bound for all kinds of failure together, or
// what agent-days of the past say, whichever is more usual.
func (l *reference) outcomeP(o *baselines.SequentialTest) float64 {
	return min(1, max(float64(Outcomes)*o.P(), l.outcome.P(float64(o.LogRatio)/math.Ln10)))
}

// day names the baseline that a session's limits follow from; 0: none.
func (l *reference) day() int32 {
	if l == nil {
		return 0
	}
	return int32(l.base.Day)*2 + 1
}
