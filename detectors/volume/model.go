package volume

import (
	"cmp"
	"slices"

	"github.com/wayward-sec/wayward/baselines"
)

// Feature is something of which an agent does more or less.
type Feature uint8

// Features. Amounts are of one currency: of an agent the first it used, of a persona the one that
// it used most when it was first learned.
const (
	EventCount Feature = iota
	RecordSum
	ByteSum
	AmountSum
	CostSum
	SubjectCount // different subjects
	ResourceCount
	Features
)

var features = [Features]string{"events", "records", "bytes", "amount", "cost", "subjects", "resources"}

func (f Feature) String() string { return features[f] }

// Distinct tells whether the feature counts what is different.
func (f Feature) Distinct() bool { return f >= SubjectCount }

// Windows by their place.
const (
	MinuteWindow = iota
	TenMinuteWindow
	HourWindow
	DayWindow
)

// Marks are the features of which a single call has its own size.
const Marks = 4

// MarkOf is the feature of a mark.
func MarkOf(mark int) Feature { return RecordSum + Feature(mark) }

// Joined is how many tests join several features: those up to DayTest.
const Joined = int(baselines.DayTest) + 1

// Outcome is a kind of failure.
type Outcome uint8

// Kinds of failure that are tested in sequence.
const (
	DeniedOutcome Outcome = iota
	NotFoundOutcome
	ErrorOutcome
	Outcomes
)

func (o Outcome) String() string { return [...]string{"denials", "not-founds", "errors"}[o] }

// Decide finds nothing: no volume waits in quarantine.
func (v *Model) Decide(string, bool, int64) bool { return false }

// FeatureModel is what was learned of a feature. Sums decay with 14 days.
type FeatureModel struct {
	X       int64
	Rates   RateSums
	Growth  GrowthSums
	Spread  [baselines.Windows]SpreadSums
	Block   [baselines.Windows]baselines.Calibrator
	Session baselines.Calibrator

	// Derived by fit.

	Rate float64 // of an agent, per hour of a mean season
	Unit float64 // what one event brings: the unit of Phi
	A0   float64 // how alike the agents are: the shape of their rates' gamma distribution
	// mean and standard deviation of the logarithm of the agents' relative rates; 0 if unknown
	Peer   float64
	PeerSD float64
	Grows  Growth
	Hyper  [baselines.Windows]Hyper
}

// ToolModel is what was learned of the calls of one tool.
type ToolModel struct {
	Hash uint64
	Of   [Marks]baselines.Calibrator
}

// IntentModel is what was learned of the sessions of one intent.
type IntentModel struct {
	Hash uint64
	N    uint64 // sessions, in Units
	Of   [Features]baselines.Calibrator
}

// Model is what was learned about how much agents of a persona do. All that is stored are
// integers; floats are derived.
type Model struct {
	Season   [baselines.HoursOfWeek]baselines.Cell
	Exposure int64
	Learned  int64 // days on which something was learned
	// Days are sums over days of how busy they were: N days, X events, E expected, X2 the sum of
	// X²/E.
	Days DaySums
	Of   [Features]FeatureModel

	Calls    [Marks]baselines.Calibrator
	Tools    []ToolModel
	Intents  []IntentModel
	Currency uint64 // of amounts; 0: none seen

	Joint [Joined]baselines.Calibrator

	Contacts, Failed [Outcomes]uint64 // in Units
	Outcome          baselines.Calibrator
	Run              baselines.Calibrator
	Even             baselines.Calibrator

	// Derived by fit.

	Hours baselines.Season
	Theta [Outcomes]float64 // share of first contacts that fail
	Busy  float64           // variance of how busy days are, relative to their mean squared
}

// Learn closes a day.
func (v *Model) Learn(_ *baselines.Model, day baselines.DeltaPart, _ baselines.Terms) {
	d := day.(*Delta)
	for i := range v.Season {
		c := &v.Season[i]
		decay(&c.X, &c.E)
		c.X, c.E = baselines.AddSaturating(c.X, d.Season[i].X), baselines.AddSaturating(c.E, d.Season[i].E)
	}
	if d.Exposure > 0 {
		v.Learned = min(v.Learned+1, 1<<20)
	}
	decay(&v.Exposure)
	v.Exposure = baselines.AddSaturating(v.Exposure, d.Exposure)
	decay(v.Days.list()...)
	if x, e := float64(d.Day.X)/baselines.FixedOne, float64(d.Day.E)/baselines.FixedOne; e > 1 {
		v.Days.N = baselines.AddSaturating(v.Days.N, baselines.FixedOne)
		v.Days.X, v.Days.E = baselines.AddSaturating(v.Days.X, d.Day.X), baselines.AddSaturating(v.Days.E, d.Day.E)
		v.Days.X2 = baselines.AddSaturating(v.Days.X2, baselines.Fixed(x*x/e))
	}
	for f := range v.Of {
		a, b := &v.Of[f], &d.Of[f]
		decay(&a.X)
		a.X = baselines.AddSaturating(a.X, b.X)
		decay(a.Rates.list()...)
		b.Rates.scaled(a.Rates.list())
		decay(a.Growth.list()...)
		b.Growth.scaled(a.Growth.list())
		for w := range a.Spread {
			decay(a.Spread[w].list()...)
			b.Spread[w].scaled(a.Spread[w].list())
			a.Block[w].Learn(b.Block[w])
		}
		a.Session.Learn(b.Session)
	}
	for k := range v.Calls {
		v.Calls[k].Learn(d.Calls[k])
	}
	v.learnTools(d)
	v.learnIntents(d)
	if v.Currency == 0 && len(d.Currencies) > 0 {
		v.Currency = slices.MaxFunc(d.Currencies,
			func(a, b Currency) int { return cmp.Or(cmp.Compare(a.N, b.N), cmp.Compare(a.Code, b.Code)) }).Code
	}
	for k := range v.Joint {
		v.Joint[k].Learn(d.Joint[k])
	}
	for k := range v.Contacts {
		v.Contacts[k] = baselines.Decayed(v.Contacts[k], baselines.HalfLife14) + min(d.Contacts[k], 1<<40)*baselines.Unit
		v.Failed[k] = baselines.Decayed(v.Failed[k], baselines.HalfLife14) + min(d.Failed[k], 1<<40)*baselines.Unit
	}
	v.Outcome.Learn(d.Outcome)
	v.Run.Learn(d.Run)
	v.Even.Learn(d.Even)
	v.fit()
}

// learnTools decays the tools' marks and adds the day's. A tool that was forgotten makes room.
func (v *Model) learnTools(d *Delta) {
	known := map[uint64]bool{}
	for i := range v.Tools {
		known[v.Tools[i].Hash] = true
	}
	for i := range d.Tools {
		if !known[d.Tools[i].Hash] {
			v.Tools = append(v.Tools, ToolModel{Hash: d.Tools[i].Hash})
		}
	}
	slices.SortFunc(v.Tools, func(a, b ToolModel) int { return cmp.Compare(a.Hash, b.Hash) })
	for i := range v.Tools {
		t := &v.Tools[i]
		j, ok := slices.BinarySearchFunc(d.Tools, t.Hash,
			func(x ToolMarks, h uint64) int { return cmp.Compare(x.Hash, h) })
		for m := range t.Of {
			var day baselines.Histogram
			if ok {
				day = d.Tools[j].Of[m]
			}
			t.Of[m].Learn(day)
		}
	}
	size := func(t *ToolModel) (n uint64) {
		for m := range t.Of {
			n += t.Of[m].Total
		}
		return n
	}
	v.Tools = slices.DeleteFunc(v.Tools, func(t ToolModel) bool { return size(&t) == 0 })
	if len(v.Tools) > maxTools {
		slices.SortStableFunc(v.Tools, func(a, b ToolModel) int { return cmp.Compare(size(&b), size(&a)) })
		v.Tools = v.Tools[:maxTools]
		slices.SortFunc(v.Tools, func(a, b ToolModel) int { return cmp.Compare(a.Hash, b.Hash) })
	}
}

func (v *Model) learnIntents(d *Delta) {
	known := map[uint64]bool{}
	for i := range v.Intents {
		known[v.Intents[i].Hash] = true
	}
	for i := range d.Intents {
		if !known[d.Intents[i].Hash] {
			v.Intents = append(v.Intents, IntentModel{Hash: d.Intents[i].Hash})
		}
	}
	slices.SortFunc(v.Intents, func(a, b IntentModel) int { return cmp.Compare(a.Hash, b.Hash) })
	for i := range v.Intents {
		t := &v.Intents[i]
		var day IntentTotals
		if j, ok := slices.BinarySearchFunc(d.Intents, t.Hash,
			func(x IntentTotals, h uint64) int { return cmp.Compare(x.Hash, h) }); ok {
			day = d.Intents[j]
		}
		t.N = baselines.Decayed(t.N, baselines.HalfLife14) + min(day.N, 1<<40)*baselines.Unit
		for f := range t.Of {
			t.Of[f].Learn(day.Of[f])
		}
	}
	v.Intents = slices.DeleteFunc(v.Intents, func(t IntentModel) bool { return t.N == 0 })
	if len(v.Intents) > maxIntents {
		slices.SortStableFunc(v.Intents, func(a, b IntentModel) int { return cmp.Compare(b.N, a.N) })
		v.Intents = v.Intents[:maxIntents]
		slices.SortFunc(v.Intents, func(a, b IntentModel) int { return cmp.Compare(a.Hash, b.Hash) })
	}
}

// ToolOf returns what was learned of a tool, or nil.
func (v *Model) ToolOf(hash uint64) *ToolModel {
	i, ok := slices.BinarySearchFunc(v.Tools, hash, func(t ToolModel, h uint64) int { return cmp.Compare(t.Hash, h) })
	if !ok {
		return nil
	}
	return &v.Tools[i]
}

// IntentOf returns what was learned of an intent, or nil if that is less than 500 sessions
// (docs/statistics.md, Calibration).
func (v *Model) IntentOf(hash uint64) *IntentModel {
	i, ok := slices.BinarySearchFunc(v.Intents, hash,
		func(t IntentModel, h uint64) int { return cmp.Compare(t.Hash, h) })
	if !ok || v.Intents[i].N < 500*baselines.Unit {
		return nil
	}
	return &v.Intents[i]
}

// Events is the decayed number of events that the season rests on.
func (v *Model) Events() (n float64) {
	for i := range v.Season {
		n += float64(v.Season[i].X) / baselines.Unit
	}
	return n
}

// Bounds of what is fitted (docs/statistics.md, Counts).
const (
	leastPhi    = 1
	leastKappa  = 0.02
	defaultPhi  = 2
	defaultA0   = 1
	leastBlocks = 200
	// leastLearned is on how many days dispersion settles: on the first there are no means yet, on
	// the second deviations are cut off by guess.
	leastLearned = 3
	leastRates   = 20
)

// fit derives the floats from the sums.
func (v *Model) fit() {
	v.Hours.Fit(&v.Season)
	exposure := float64(v.Exposure) / baselines.FixedOne
	for f := range v.Of {
		m := &v.Of[f]
		m.Unit = 1
		if i := f - int(RecordSum); i >= 0 && i < Marks {
			m.Unit = v.Calls[i].MeanSize()
		}
		m.Rate = 0
		if exposure > 0 {
			m.Rate = float64(m.X) / baselines.Unit / exposure
		}
		m.A0, m.Peer, m.PeerSD = m.Rates.fit()
		m.Grows = m.Growth.fit()
		for w := range m.Hyper {
			m.Hyper[w] = m.Spread[w].fit()
			m.Hyper[w].Fitted = m.Hyper[w].Fitted && v.Learned >= leastLearned
		}
	}
	for k := range v.Theta {
		n, x := float64(v.Contacts[k])/baselines.Unit, float64(v.Failed[k])/baselines.Unit
		v.Theta[k] = min(max((x+0.5)/(n+10), 0.01), 0.2) // prior Beta(0.5, 9.5) (docs/statistics.md)
	}
	v.Busy = 0
	if e := float64(v.Days.E) / baselines.FixedOne; e > 0 && v.Days.N >= 3*baselines.FixedOne {
		mean := float64(v.Days.X) / baselines.FixedOne / e
		if mean > 0 {
			v.Busy = min(max(float64(v.Days.X2)/baselines.FixedOne/e/(mean*mean)-1, 0), 1)
		}
	}
}

// Slot is the slot of the detector's parts in state.
const Slot = 6

var emptyModel Model

// ModelOf is what a baseline has learned for this detector. It is never nil and must not be
// changed.
func ModelOf(m *baselines.Model) *Model {
	if p, ok := m.Part(Slot).(*Model); ok {
		return p
	}
	return &emptyModel
}

// DeltaOf is what a day adds for this detector; it is made if there is none.
func DeltaOf(d *baselines.Delta) *Delta {
	if p, ok := d.Part(Slot).(*Delta); ok {
		return p
	}
	return d.Ensure(Slot).(*Delta)
}
