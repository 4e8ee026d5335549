package baselines

import (
	"encoding/binary"
	"math"

	"github.com/wayward-sec/wayward/event/wire"
)

// Family groups tests of one kind of evidence.
type Family uint8

// Families of tests.
const (
	VolumeFamily Family = iota
	SequenceFamily
	RarityFamily
	TimingFamily
	Families
)

var families = [Families]string{"volume", "sequence", "rarity", "timing"}

func (f Family) String() string { return families[f] }

// Weight is the family's share of the budget: that of its tests together (docs/statistics.md; the
// rest, 0.1, is for relations).
func (f Family) Weight() (w float64) {
	for _, t := range tests {
		if t.family == f {
			w += t.share
		}
	}
	return w
}

// Test is what one p-value is about: the unit in which tests are counted and audited.
type Test uint8

// Tests.
const (
	CallTest        Test = iota // size of one call
	SessionTest                 // running total of one session
	MinuteTest                  // one agent, block of 1 m, 10 m, 1 h, 1 d
	TenMinuteTest               //
	HourTest                    //
	DayTest                     //
	OutcomeTest                 // sequential test on denials, not-founds, errors
	RunTest                     // consecutive ids
	RampTest                    // last week against the anchor of 60 days
	BurnTest                    // forecast of a budget
	TimingTest                  // hour of a session's start, evenness of gaps
	SequenceTest                // one session's chain of calls
	ToolTest                    // first seen …
	ServerTest                  //
	DestinationTest             //
	ResourceTest                //
	DefinitionTest              //
	UserTest                    //
	EdgeTest                    //
	Tests
)

// tests have each a share of the budget of their own: calls are a thousand times as many as days,
// and would else leave these no threshold that they can reach.
var tests = [Tests]struct {
	name   string
	family Family
	share  float64
}{
	CallTest:        {"call", VolumeFamily, 0.06},
	SessionTest:     {"session", VolumeFamily, 0.06},
	MinuteTest:      {"1m", VolumeFamily, 0.03},
	TenMinuteTest:   {"10m", VolumeFamily, 0.03},
	HourTest:        {"1h", VolumeFamily, 0.03},
	DayTest:         {"1d", VolumeFamily, 0.03},
	OutcomeTest:     {"outcome", VolumeFamily, 0.02},
	RunTest:         {"id-run", VolumeFamily, 0.01},
	RampTest:        {"ramp", VolumeFamily, 0.02},
	BurnTest:        {"burn", VolumeFamily, 0.01},
	TimingTest:      {"timing", TimingFamily, 0.05},
	SequenceTest:    {"sequence", SequenceFamily, 0.3},
	ToolTest:        {"tool", RarityFamily, 0.05},
	ServerTest:      {"server", RarityFamily, 0.03},
	DestinationTest: {"destination", RarityFamily, 0.07},
	ResourceTest:    {"resource", RarityFamily, 0.03},
	DefinitionTest:  {"definition", RarityFamily, 0.03},
	UserTest:        {"user", RarityFamily, 0.02},
	EdgeTest:        {"edge", RarityFamily, 0.02},
}

func (t Test) String() string { return tests[t].name }

// Share is the test's part of the alert budget.
func (t Test) Share() float64 { return tests[t].share }

// Family is the family that the test belongs to.
func (t Test) Family() Family { return tests[t].family }

// Tally counts what became of tests: how many were made, and how many came out below 1 in 100,
// 1,000 and 10,000, and below what raised an alert.
type Tally struct{ Made, Below2, Below3, Below4, Alerts uint64 }

// Add adds another's counts.
func (t *Tally) Add(o *Tally) {
	t.Made += o.Made
	t.Below2 += o.Below2
	t.Below3 += o.Below3
	t.Below4 += o.Below4
	t.Alerts += o.Alerts
}

// AuditDelta is what one day adds to the audit.
type AuditDelta struct{ Of [Tests]Tally }

// Count counts a test that is over: of a block or session its least p-value, once.
func (a *AuditDelta) Count(t Test, p float64) {
	k := &a.Of[t]
	k.Made++
	if p < 1e-2 {
		k.Below2++
		if p < 1e-3 {
			k.Below3++
			if p < 1e-4 {
				k.Below4++
			}
		}
	}
}

// Merge adds another's counts.
func (a *AuditDelta) Merge(o *AuditDelta) {
	for i := range a.Of {
		a.Of[i].Add(&o.Of[i])
	}
}

// Append encodes the counts.
func (a *AuditDelta) Append(b []byte) []byte { return appendTallies(b, &a.Of) }

// Decode reads what Append wrote.
func (a *AuditDelta) Decode(r *wire.Reader) { readTallies(r, &a.Of) }

func appendTallies(b []byte, of *[Tests]Tally) []byte {
	n := 0
	for i := range of {
		if of[i] != (Tally{}) {
			n++
		}
	}
	b = binary.AppendUvarint(b, uint64(n))
	for i := range of {
		if t := &of[i]; *t != (Tally{}) {
			b = append(b, byte(i))
			for _, v := range [...]uint64{t.Made, t.Below2, t.Below3, t.Below4, t.Alerts} {
				b = binary.AppendUvarint(b, v)
			}
		}
	}
	return b
}

func readTallies(r *wire.Reader, of *[Tests]Tally) {
	*of = [Tests]Tally{}
	for range r.Len() {
		i := r.Byte()
		t := Tally{r.Uvarint(), r.Uvarint(), r.Uvarint(), r.Uvarint(), r.Uvarint()}
		if r.Err != nil {
			return
		}
		if i < byte(Tests) { // a newer version's test is left out
			of[i] = t
		}
	}
}

// Audit is how the tests of a persona came out over the last 14 days or so: sums that decay with
// that half-life, in Units.
type Audit struct {
	Of   [Tests]Tally
	Days uint64 // that decay in the same way
}

// Learn takes the counts of one day.
func (a *Audit) Learn(d *AuditDelta) {
	step := func(sum *uint64, day uint64) { *sum = Decayed(*sum, HalfLife14) + day*Unit }
	for i := range a.Of {
		t, o := &a.Of[i], &d.Of[i]
		step(&t.Made, o.Made)
		step(&t.Below2, o.Below2)
		step(&t.Below3, o.Below3)
		step(&t.Below4, o.Below4)
		step(&t.Alerts, o.Alerts)
	}
	step(&a.Days, 1)
}

// PerDay is how many tests of a kind are made on a day.
func (a *Audit) PerDay(t Test) float64 {
	if a.Days == 0 {
		return 0
	}
	return float64(a.Of[t].Made) / float64(a.Days)
}

// Made is how many tests of a family were made, decaying with 14 days.
func (a *Audit) Made(f Family) (n float64) {
	for i := range a.Of {
		if Test(i).Family() == f {
			n += float64(a.Of[i].Made) / Unit
		}
	}
	return n
}

// Realised is how often the tests of a family came out below 1 in 100, over how often they should
// have; hits says on how many that rests.
func (a *Audit) Realised(f Family) (ratio, hits float64) {
	var sum Tally
	for i := range a.Of {
		if Test(i).Family() == f {
			sum.Add(&a.Of[i])
		}
	}
	return sum.realised()
}

func (t *Tally) realised() (ratio, hits float64) {
	if t.Made == 0 {
		return math.NaN(), 0
	}
	return float64(t.Below2) / (0.01 * float64(t.Made)), float64(t.Below2) / Unit
}

// Bounds of the correction that the self-audit makes (docs/statistics.md, One p-value, one budget).
const (
	looseRatio = 1.5
	looseHits  = 30
	mostLoose  = 10
)

// Alpha is the p-value below which a test raises an alert, for so many false alerts of all tests
// per persona and day: the test's share of the budget over how many of its kind are made on a day,
// made smaller by how much too often they came out low of late. 0 if none are known.
func (a *Audit) Alpha(t Test, budget float64) float64 {
	n := a.PerDay(t)
	if n <= 0 || budget <= 0 {
		return 0
	}
	alpha := budget * tests[t].share / n
	if r, hits := a.Of[t].realised(); hits >= looseHits && r > looseRatio {
		alpha /= min(r, mostLoose)
	}
	return min(alpha, 0.01)
}

// Append encodes the sums.
func (a *Audit) Append(b []byte) []byte {
	return appendTallies(binary.AppendUvarint(b, a.Days), &a.Of)
}

// Decode reads what Append wrote.
func (a *Audit) Decode(r *wire.Reader) {
	a.Days = r.Uvarint()
	readTallies(r, &a.Of)
}
