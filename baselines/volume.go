package baselines

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
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

// Windows are the lengths over which an agent's features are added up: a ring of RingSteps steps
// each, so that one covers between 11/12 of its length and all of it.
const (
	Windows   = 4
	RingSteps = 12
)

// WindowMS and StepMS are the windows and their steps in milliseconds.
var (
	WindowMS = [Windows]int64{60_000, 600_000, 3_600_000, DayMS}
	StepMS   = [Windows]int64{WindowMS[0] / RingSteps, WindowMS[1] / RingSteps, WindowMS[2] / RingSteps,
		WindowMS[3] / RingSteps}
)

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
const Joined = int(DayTest) + 1

// fixed is how many parts one has in sums that merge: a float is rounded once, when it is added.
const fixed = 1 << 16

// Fixed is a number in 65,536ths, kept within bounds that no sum of a billion of them leaves.
func Fixed(x float64) int64 {
	switch {
	case !(x > 0):
		return 0
	case x >= 1<<32:
		return 1 << 48
	}
	return int64(x*fixed + 0.5)
}

// Whole is a count that may be a fraction, in Units. Beyond 2^46 it is cut off: nobody does so
// much.
func Whole(x float64) int64 {
	switch {
	case !(x > 0):
		return 0
	case x >= 1<<46:
		return 1 << 54
	}
	return int64(x*Unit + 0.5)
}

func plus(a, b int64) int64 {
	if s := a + b; s >= a {
		return s
	}
	return math.MaxInt64
}

// Cell is one hour of the week.
type Cell struct {
	X int64 // events, in Units
	E int64 // exposure: agent-hours, each weighed by how busy the agent is, in 65,536ths
}

// RateSums are what one day says of how agents differ: of each agent that acted its rate over the
// persona's mean, once a day.
type RateSums struct {
	N, R, R2 int64 // agents, their relative rates, and the squares: in 65,536ths but N
	Noise    int64 // the part of the squares that counting itself explains
	Ln, Ln2  int64 // logarithms, moved up by LnOffset so that they are never negative, and their squares
}

// LnOffset is added to the logarithm of a relative rate, which is kept within [e^−LnOffset,
// e^LnOffset].
const LnOffset = 8

// Add adds one agent: its rate over the persona's mean, and the variance that counting gives such a
// ratio.
func (s *RateSums) Add(ratio, noise float64) {
	ratio = min(max(ratio, math.Exp(-LnOffset)), math.Exp(LnOffset))
	ln := math.Log(ratio) + LnOffset
	s.N++
	s.R = plus(s.R, Fixed(ratio))
	s.R2 = plus(s.R2, Fixed(ratio*ratio))
	s.Noise = plus(s.Noise, Fixed(min(noise, ratio*ratio)))
	s.Ln = plus(s.Ln, Fixed(ln))
	s.Ln2 = plus(s.Ln2, Fixed(ln*ln))
}

func (s *RateSums) list() []*int64 { return []*int64{&s.N, &s.R, &s.R2, &s.Noise, &s.Ln, &s.Ln2} }

// GrowthSums are what one day says of how agents grow: of each agent that acted how its last seven
// days compare with those before, once a day.
type GrowthSums struct {
	N int64 // agents
	// deviations, moved up by GrowthOffset so that they are never negative, and their squares: in
	// 65,536ths
	Z, Z2 int64
}

// GrowthOffset is added to a deviation, which is kept within ±GrowthOffset.
const GrowthOffset = 8

// Add adds one agent's deviation. What lies further out than three times what is usual is moved in,
// so that who grows does not make growth usual (science §2.8).
func (s *GrowthSums) Add(z float64, usual Growth) {
	if usual.SD > 0 {
		z = min(max(z, usual.Mean-3*usual.SD), usual.Mean+3*usual.SD)
	}
	z = min(max(z, -GrowthOffset), GrowthOffset) + GrowthOffset
	s.N++
	s.Z = plus(s.Z, Fixed(z))
	s.Z2 = plus(s.Z2, Fixed(z*z))
}

func (s *GrowthSums) list() []*int64 { return []*int64{&s.N, &s.Z, &s.Z2} }

func (s GrowthSums) scaled(into []*int64) { addDay(into, s.list()) }

// Growth is how the deviations of ordinary agents lie; SD is 0 if too few were seen.
type Growth struct{ Mean, SD float64 }

// leastGrowth is from how many agent-days on it is known.
const leastGrowth = 100

func (s GrowthSums) fit() (g Growth) {
	if s.N < leastGrowth*fixed {
		return g
	}
	mean := float64(s.Z) / float64(s.N)
	return Growth{mean - GrowthOffset, math.Sqrt(max(float64(s.Z2)/float64(s.N)-mean*mean, 0.05))}
}

// growthTail is how heavy the tail of deviations is: the degrees of freedom of Student's t
// distribution, as of sums of a week.
const growthTail = 10

// P is the probability that an ordinary agent's deviation reaches z; 1 if that is not known.
func (g Growth) P(z float64) float64 {
	if !(g.SD > 0) {
		return 1
	}
	return quantised(distuv.StudentsT{Sigma: 1, Nu: growthTail}.Survival((z - g.Mean) / g.SD))
}

// Reach is the deviation that is reached with probability p.
func (g Growth) Reach(p float64) float64 {
	return g.Mean + g.SD*distuv.StudentsT{Sigma: 1, Nu: growthTail}.Quantile(1-p)
}

// SpreadSums are the sums of the weighted least squares of (x−μ)² on φμ + κμ², over blocks of one
// window, and of x and μ. All are in 65,536ths but N.
type SpreadSums struct{ N, X, E, S11, S12, S22, T1, T2 int64 }

func (s *SpreadSums) list() []*int64 {
	return []*int64{&s.N, &s.X, &s.E, &s.S11, &s.S12, &s.S22, &s.T1, &s.T2}
}

// Add adds a block: what was seen in it, how it was expected to be distributed, and the mean
// without the window's own factor, in events' worth. A deviation is cut off at √60 of what is
// usual: the standard deviation and, since what comes in clumps has most of its variance in few
// blocks, the size of a clump (science §2.3).
func (s *SpreadSums) Add(x float64, k Count, raw float64) {
	mu, most := k.M, 60*(k.Variance()+k.Phi*k.Phi)
	s.N++
	s.X = plus(s.X, Fixed(min(x, mu+math.Sqrt(most))))
	s.E = plus(s.E, Fixed(raw))
	// The weight is the inverse square of a variance of φ = 1, κ = 1/10: near the best for anything
	// usual, and every term is bounded.
	w := mu + 0.1 + mu*mu/10
	a, b := mu/w, mu*mu/w
	r := min((x-mu)*(x-mu), most) / w
	s.S11 = plus(s.S11, Fixed(a*a))
	s.S12 = plus(s.S12, Fixed(a*b))
	s.S22 = plus(s.S22, Fixed(b*b))
	s.T1 = plus(s.T1, Fixed(a*r))
	s.T2 = plus(s.T2, Fixed(b*r))
}

// AddNone adds n blocks in which nothing was done.
func (s *SpreadSums) AddNone(n, mu, raw float64) {
	s.N += int64(n)
	s.E = plus(s.E, Fixed(n*raw))
	w := mu + 0.1 + mu*mu/10
	a, b := mu/w, mu*mu/w
	aa, ab, bb := Fixed(n*a*a), Fixed(n*a*b), Fixed(n*b*b)
	s.S11, s.S12, s.S22 = plus(s.S11, aa), plus(s.S12, ab), plus(s.S22, bb)
	s.T1, s.T2 = plus(s.T1, ab), plus(s.T2, bb) // the square is μ²
}

// FeatureDelta is what one day adds to a feature.
type FeatureDelta struct {
	X       int64 // what agents did in hours that are over, in Units; winsorised
	Rates   RateSums
	Growth  GrowthSums
	Spread  [Windows]SpreadSums
	Block   [Windows]Histogram // largest score of each block
	Session Histogram          // logarithms of final totals
}

// Add adds what one agent did in an hour.
func (d *FeatureDelta) Add(x float64) { d.X = plus(d.X, Whole(x)) }

// MarkSet are the sizes of single calls, as logarithms.
type MarkSet [Marks]Histogram

// ToolMarks are those of one tool, which is named by a hash.
type ToolMarks struct {
	Hash uint64
	Of   MarkSet
}

// IntentTotals are the final totals of sessions of one intent, which is named by a hash.
type IntentTotals struct {
	Hash uint64
	N    uint64
	Of   [Features]Histogram
}

// Currency counts amounts of one currency.
type Currency struct {
	Code uint64 // its first eight bytes
	N    uint64
}

// Bounds of what a delta tells apart by names that events bring. Those with the smallest hashes are
// kept, so that what is kept does not depend on the order in which deltas are merged, and the
// counts of those are whole.
const (
	maxTools      = 64
	maxIntents    = 16
	maxCurrencies = 16
)

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

// VolumeDelta is what one day adds to a VolumeModel. All numbers are integers: deltas merge in any
// order.
type VolumeDelta struct {
	Season   [HoursOfWeek]Cell
	Exposure int64 // agent-hours times season, in 65,536ths
	// events in hours that are over, and how many were expected, in 65,536ths: how busy the day was
	Day Cell
	Of  [Features]FeatureDelta

	Calls      MarkSet // of all tools
	Tools      []ToolMarks
	Intents    []IntentTotals
	Currencies []Currency

	// of calls, sessions and blocks: −log10 of the p-value that joins their features
	Joint [Joined]Histogram

	Contacts, Failed [Outcomes]uint64 // first contacts, and how many of them failed
	Outcome          Histogram        // largest logarithm of the likelihood ratio of each agent-day
	Run              Histogram        // longest run over ids of each agent-day, by RunScore
	Even             Histogram        // evenness of the first gaps of a session
}

// find is the place of a key in a sorted list, which is made if there is none and room; −1 if there
// is no room.
func find[T any](list *[]T, most int, key func(*T) uint64, hash uint64, fresh func(*T)) int {
	i, ok := slices.BinarySearchFunc(*list, hash, func(t T, h uint64) int { return cmp.Compare(key(&t), h) })
	if ok {
		return i
	}
	if i >= most {
		return -1
	}
	if len(*list) == most {
		*list = (*list)[:most-1]
	}
	var t T
	fresh(&t)
	*list = slices.Insert(*list, i, t)
	return i
}

// Tool returns the marks of a tool, or nil if there is no room for it.
func (d *VolumeDelta) Tool(hash uint64) *ToolMarks {
	// In the path of every call: without closures.
	lo, hi := 0, len(d.Tools)
	for lo < hi {
		if m := (lo + hi) / 2; d.Tools[m].Hash < hash {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo < len(d.Tools) && d.Tools[lo].Hash == hash {
		return &d.Tools[lo]
	}
	if lo >= maxTools {
		return nil
	}
	if len(d.Tools) == maxTools {
		d.Tools = d.Tools[:maxTools-1]
	}
	d.Tools = slices.Insert(d.Tools, lo, ToolMarks{Hash: hash})
	return &d.Tools[lo]
}

// Intent returns the totals of an intent, or nil if there is no room for it.
func (d *VolumeDelta) Intent(hash uint64) *IntentTotals {
	i := find(&d.Intents, maxIntents, func(t *IntentTotals) uint64 { return t.Hash }, hash,
		func(t *IntentTotals) { t.Hash = hash })
	if i < 0 {
		return nil
	}
	return &d.Intents[i]
}

// Currency counts n amounts of a currency.
func (d *VolumeDelta) Currency(code, n uint64) {
	for i := range d.Currencies { // mostly one
		if d.Currencies[i].Code == code {
			d.Currencies[i].N += n
			return
		}
	}
	if i := find(&d.Currencies, maxCurrencies, func(c *Currency) uint64 { return c.Code }, code,
		func(c *Currency) { c.Code = code }); i >= 0 {
		d.Currencies[i].N += n
	}
}

// Merge adds another's.
func (d *VolumeDelta) Merge(from DeltaPart) {
	o := from.(*VolumeDelta)
	for i := range d.Season {
		d.Season[i].X = plus(d.Season[i].X, o.Season[i].X)
		d.Season[i].E = plus(d.Season[i].E, o.Season[i].E)
	}
	d.Exposure = plus(d.Exposure, o.Exposure)
	d.Day.X, d.Day.E = plus(d.Day.X, o.Day.X), plus(d.Day.E, o.Day.E)
	for f := range d.Of {
		a, b := &d.Of[f], &o.Of[f]
		a.X = plus(a.X, b.X)
		add(a.Rates.list(), b.Rates.list())
		add(a.Growth.list(), b.Growth.list())
		for w := range a.Spread {
			add(a.Spread[w].list(), b.Spread[w].list())
			a.Block[w].Merge(b.Block[w])
		}
		a.Session.Merge(b.Session)
	}
	for m := range d.Calls {
		d.Calls[m].Merge(o.Calls[m])
	}
	for i := range o.Tools {
		if t := d.Tool(o.Tools[i].Hash); t != nil {
			for m := range t.Of {
				t.Of[m].Merge(o.Tools[i].Of[m])
			}
		}
	}
	for i := range o.Intents {
		if t := d.Intent(o.Intents[i].Hash); t != nil {
			t.N += o.Intents[i].N
			for f := range t.Of {
				t.Of[f].Merge(o.Intents[i].Of[f])
			}
		}
	}
	for _, c := range o.Currencies {
		d.Currency(c.Code, c.N)
	}
	for k := range d.Joint {
		d.Joint[k].Merge(o.Joint[k])
	}
	for k := range d.Contacts {
		d.Contacts[k] += o.Contacts[k]
		d.Failed[k] += o.Failed[k]
	}
	d.Outcome.Merge(o.Outcome)
	d.Run.Merge(o.Run)
	d.Even.Merge(o.Even)
}

// MergeWide adds all of another's.
func (d *VolumeDelta) MergeWide(o DeltaPart) { d.Merge(o) }

// Decide finds nothing: no volume waits in quarantine.
func (v *VolumeModel) Decide(string, bool, int64) bool { return false }

func add(into, from []*int64) {
	for i := range into {
		*into[i] = plus(*into[i], *from[i])
	}
}

// FeatureModel is what was learned of a feature. Sums decay with 14 days.
type FeatureModel struct {
	X       int64
	Rates   RateSums
	Growth  GrowthSums
	Spread  [Windows]SpreadSums
	Block   [Windows]Calibrator
	Session Calibrator

	// Derived by fit.

	Rate float64 // of an agent, per hour of a mean season
	Unit float64 // what one event brings: the unit of Phi
	A0   float64 // how alike the agents are: the shape of their rates' gamma distribution
	// mean and standard deviation of the logarithm of the agents' relative rates; 0 if unknown
	Peer   float64
	PeerSD float64
	Grows  Growth
	Hyper  [Windows]Hyper
}

// Hyper says how counts of a window scatter about their mean m: variance φm + κm², in events'
// worth, and which part of rate × time falls into it.
type Hyper struct {
	Phi, Kappa, Factor float64
	Fitted             bool
}

// ToolModel is what was learned of the calls of one tool.
type ToolModel struct {
	Hash uint64
	Of   [Marks]Calibrator
}

// IntentModel is what was learned of the sessions of one intent.
type IntentModel struct {
	Hash uint64
	N    uint64 // sessions, in Units
	Of   [Features]Calibrator
}

// VolumeModel is what was learned about how much agents of a persona do. All that is stored are
// integers; floats are derived.
type VolumeModel struct {
	Season   [HoursOfWeek]Cell
	Exposure int64
	Learned  int64 // days on which something was learned
	// Days are sums over days of how busy they were: N days, X events, E expected, X2 the sum of
	// X²/E.
	Days DaySums
	Of   [Features]FeatureModel

	Calls    [Marks]Calibrator
	Tools    []ToolModel
	Intents  []IntentModel
	Currency uint64 // of amounts; 0: none seen

	Joint [Joined]Calibrator

	Contacts, Failed [Outcomes]uint64 // in Units
	Outcome          Calibrator
	Run              Calibrator
	Even             Calibrator

	// Derived by fit.

	Hours Season
	Theta [Outcomes]float64 // share of first contacts that fail
	Busy  float64           // variance of how busy days are, relative to their mean squared
}

// DaySums are sums over days, in 65,536ths.
type DaySums struct{ N, X, E, X2 int64 }

func (s *DaySums) list() []*int64 { return []*int64{&s.N, &s.X, &s.E, &s.X2} }

// decay lets sums that are never negative forget one day.
func decay(list ...*int64) {
	for _, v := range list {
		*v = int64(Decayed(uint64(max(0, *v)), HalfLife14))
	}
}

// Learn closes a day.
func (v *VolumeModel) Learn(_ *Model, day DeltaPart, _ Terms) {
	d := day.(*VolumeDelta)
	for i := range v.Season {
		c := &v.Season[i]
		decay(&c.X, &c.E)
		c.X, c.E = plus(c.X, d.Season[i].X), plus(c.E, d.Season[i].E)
	}
	if d.Exposure > 0 {
		v.Learned = min(v.Learned+1, 1<<20)
	}
	decay(&v.Exposure)
	v.Exposure = plus(v.Exposure, d.Exposure)
	decay(v.Days.list()...)
	if x, e := float64(d.Day.X)/fixed, float64(d.Day.E)/fixed; e > 1 {
		v.Days.N = plus(v.Days.N, fixed)
		v.Days.X, v.Days.E = plus(v.Days.X, d.Day.X), plus(v.Days.E, d.Day.E)
		v.Days.X2 = plus(v.Days.X2, Fixed(x*x/e))
	}
	for f := range v.Of {
		a, b := &v.Of[f], &d.Of[f]
		decay(&a.X)
		a.X = plus(a.X, b.X)
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
		v.Contacts[k] = Decayed(v.Contacts[k], HalfLife14) + min(d.Contacts[k], 1<<40)*Unit
		v.Failed[k] = Decayed(v.Failed[k], HalfLife14) + min(d.Failed[k], 1<<40)*Unit
	}
	v.Outcome.Learn(d.Outcome)
	v.Run.Learn(d.Run)
	v.Even.Learn(d.Even)
	v.fit()
}

// scaled adds a day's sums. N is a count in the delta and is kept in 65,536ths, so that it decays
// smoothly.
func (s RateSums) scaled(into []*int64) { addDay(into, s.list()) }

func (s SpreadSums) scaled(into []*int64) { addDay(into, s.list()) }

func addDay(into, day []*int64) {
	*day[0] = min(*day[0], 1<<40) * fixed
	add(into, day)
}

// learnTools decays the tools' marks and adds the day's. A tool that was forgotten makes room.
func (v *VolumeModel) learnTools(d *VolumeDelta) {
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
			var day Histogram
			if ok {
				day = d.Tools[j].Of[m]
			}
			t.Of[m].Learn(day)
		}
	}
	size := func(t *ToolModel) (n uint64) {
		for m := range t.Of {
			n += t.Of[m].total
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

func (v *VolumeModel) learnIntents(d *VolumeDelta) {
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
		t.N = Decayed(t.N, HalfLife14) + min(day.N, 1<<40)*Unit
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
func (v *VolumeModel) ToolOf(hash uint64) *ToolModel {
	i, ok := slices.BinarySearchFunc(v.Tools, hash, func(t ToolModel, h uint64) int { return cmp.Compare(t.Hash, h) })
	if !ok {
		return nil
	}
	return &v.Tools[i]
}

// IntentOf returns what was learned of an intent, or nil if that is less than 500 sessions (science
// §2.5).
func (v *VolumeModel) IntentOf(hash uint64) *IntentModel {
	i, ok := slices.BinarySearchFunc(v.Intents, hash,
		func(t IntentModel, h uint64) int { return cmp.Compare(t.Hash, h) })
	if !ok || v.Intents[i].N < 500*Unit {
		return nil
	}
	return &v.Intents[i]
}

// Events is the decayed number of events that the season rests on.
func (v *VolumeModel) Events() (n float64) {
	for i := range v.Season {
		n += float64(v.Season[i].X) / Unit
	}
	return n
}

// Bounds of what is fitted (science §2.2, §2.3).
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
func (v *VolumeModel) fit() {
	v.Hours.fit(&v.Season)
	exposure := float64(v.Exposure) / fixed
	for f := range v.Of {
		m := &v.Of[f]
		m.Unit = 1
		if i := f - int(RecordSum); i >= 0 && i < Marks {
			m.Unit = v.Calls[i].meanSize()
		}
		m.Rate = 0
		if exposure > 0 {
			m.Rate = float64(m.X) / Unit / exposure
		}
		m.A0, m.Peer, m.PeerSD = m.Rates.fit()
		m.Grows = m.Growth.fit()
		for w := range m.Hyper {
			m.Hyper[w] = m.Spread[w].fit()
			m.Hyper[w].Fitted = m.Hyper[w].Fitted && v.Learned >= leastLearned
		}
	}
	for k := range v.Theta {
		n, x := float64(v.Contacts[k])/Unit, float64(v.Failed[k])/Unit
		v.Theta[k] = min(max((x+0.5)/(n+10), 0.01), 0.2) // prior Beta(0.5, 9.5) (science §2.9)
	}
	v.Busy = 0
	if e := float64(v.Days.E) / fixed; e > 0 && v.Days.N >= 3*fixed {
		mean := float64(v.Days.X) / fixed / e
		if mean > 0 {
			v.Busy = min(max(float64(v.Days.X2)/fixed/e/(mean*mean)-1, 0), 1)
		}
	}
}

// meanSize is the mean of a reference of logarithms, without the largest thousandth: what one event
// brings, in spite of a few that bring absurdly much.
func (c *Calibrator) meanSize() float64 {
	n, sum := 0.0, 0.0
	for i, k := range c.counts {
		if c.above[i+1] < c.total/1000 && n > 0 {
			break
		}
		n += float64(k)
		sum += float64(k) * math.Expm1((float64(i)+0.5)*BinWidth)
	}
	if !(sum > 0) {
		return 1
	}
	return max(sum/n, 1e-3)
}

// fit gives the shape of the agents' rates, and mean and deviation of their logarithms.
func (s RateSums) fit() (a0, mean, sd float64) {
	n := float64(s.N) / fixed
	if n < leastRates {
		return defaultA0, 0, 0
	}
	k := n * fixed
	m := float64(s.R) / k
	between := (float64(s.R2)-float64(s.Noise))/k - m*m
	a0 = 20.0
	if between > 0 {
		a0 = min(max(m*m/between, 0.3), 20)
	}
	ln := float64(s.Ln) / k
	return a0, ln - LnOffset, math.Sqrt(max(float64(s.Ln2)/k-ln*ln, 1e-4))
}

// fit solves the least squares.
func (s SpreadSums) fit() Hyper {
	h := Hyper{Phi: defaultPhi, Kappa: 1, Factor: 1}
	if s.N < leastBlocks*fixed {
		return h
	}
	s11, s12, s22, t1, t2 := float64(s.S11), float64(s.S12), float64(s.S22), float64(s.T1), float64(s.T2)
	if s11 <= 0 || s22 <= 0 {
		return h
	}
	h.Fitted = true
	if det := s11*s22 - s12*s12; det > 1e-9*s11*s22 {
		h.Phi, h.Kappa = (t1*s22-t2*s12)/det, (s11*t2-s12*t1)/det
	}
	if !(h.Phi >= leastPhi) {
		h.Phi = leastPhi
		h.Kappa = (t2 - h.Phi*s12) / s22
	}
	if !(h.Kappa >= leastKappa) {
		h.Kappa = leastKappa
		h.Phi = max(leastPhi, (t1-h.Kappa*s12)/s11)
	}
	h.Phi, h.Kappa = min(h.Phi, 1e6), min(h.Kappa, 1e3)
	if s.E > 0 {
		h.Factor = min(max(float64(s.X)/float64(s.E), 0.02), 5)
	}
	return h
}

// VolumeSlot is the slot of the parts.
const VolumeSlot = 6

var emptyVolume VolumeModel

// VolumeOf is the part of a model; never nil, and not to be changed.
func VolumeOf(m *Model) *VolumeModel {
	if p, ok := m.parts[VolumeSlot].(*VolumeModel); ok {
		return p
	}
	return &emptyVolume
}

// VolumeDeltaOf is the part of a delta.
func VolumeDeltaOf(d *Delta) *VolumeDelta {
	if p, ok := d.parts[VolumeSlot].(*VolumeDelta); ok {
		return p
	}
	return d.Ensure(VolumeSlot).(*VolumeDelta)
}
