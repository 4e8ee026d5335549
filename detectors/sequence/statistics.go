package sequence

import (
	"math"
	"slices"

	"github.com/wayward-sec/wayward/baselines"
)

// Statistics of a chain: its most surprising step, the highest cumulative sum of surprise above the
// mean (CUSUM, Page 1954) and the mean surprise. They are compared among chains of
// like length: strata is how many classes of length there are.
const (
	peakStat = iota // the most surprising step
	cusumStat
	meanStat
	seqStats
	strata = 5
)

// StatisticNames are the names of a chain's statistics.
var StatisticNames = [seqStats]string{"max", "cusum", "mean"}

// strataEnds are the lengths up to which a stratum goes, powers of two; the last has no end. Each
// stratum is one more look at the same session, which the calibration of sessions pays for: with
// ends at 4, 8, 16 and 32 six inserted calls were found in 67 of 100 sessions, with these in 76.
var strataEnds = [strata - 1]uint32{16, 32, 64, 128}

var strataOf = func() (of [129]uint8) {
	for n := range of {
		for s, end := range strataEnds {
			if uint32(n) > end {
				of[n] = uint8(s + 1)
			}
		}
	}
	return of
}()

func stratum(n uint32) int {
	if n < uint32(len(strataOf)) {
		return int(strataOf[n])
	}
	return strata - 1
}

// calibrate derives what follows from the references.
func (m *Model) calibrate() {
	m.mean = 0
	if m.steps > 0 {
		m.mean = int32(m.bits / m.steps)
	}
	m.terms = [strata][seqStats][]float32{}
	for s := range m.terms {
		switch k := m.reference(s); {
		case k == s:
			for j := range m.terms[s] {
				m.terms[s][j] = cauchyTerms(&m.by[s][j])
			}
		case k >= 0:
			m.terms[s] = m.terms[k]
		}
	}
	m.screen = math.MaxFloat32
	if m.session.Ready() {
		for i := baselines.MaxBins - 1; i >= 0 && m.session.P(float64(i)*baselines.BinWidth) < 0.0101; i-- {
			m.screen = float32(math.Tan((0.5 - math.Pow(10, -float64(i)*baselines.BinWidth)) * math.Pi))
		}
	}
}

// reference is the stratum by whose references one is judged: its own, or where too few were ever
// so long the longest before it that has enough of all three statistics; -1: there is none. Each
// decays by itself, and near the bound what is lost to rounding leaves one of them with enough and
// another without.
func (m *Model) reference(s int) int {
	for s >= 0 && slices.ContainsFunc(m.by[s][:], func(c baselines.Calibrator) bool { return !c.Ready() }) {
		s--
	}
	return s
}

// cauchyTerms are the summands of Cauchy's combination for scores in each bin: a step then costs
// three look-ups instead of three tangents.
func cauchyTerms(c *baselines.Calibrator) []float32 {
	out := make([]float32, baselines.MaxBins)
	for i := range out {
		p := min(c.P((float64(i)+0.5)*baselines.BinWidth), baselines.MaxCauchy)
		if p < 1e-15 {
			out[i] = float32(1 / (p * math.Pi))
			continue
		}
		out[i] = float32(math.Tan((0.5 - p) * math.Pi))
	}
	return out
}
