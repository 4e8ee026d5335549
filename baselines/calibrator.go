package baselines

import (
	"encoding/binary"
	"math"

	"github.com/wayward-sec/wayward/event/wire"
)

// Calibrator turns a score into a p-value: the share of reference scores that reached it and,
// beyond the 98 % level, the tail of a generalised Pareto distribution fitted by
// probability-weighted moments (Hosking & Wallis 1987), its shape shrunk towards Shape0 with
// PseudoExcesses pseudo-observations and kept within [0, 0.6]. The reference decays with a
// half-life of 14 days (docs/statistics.md, Calibration).
//
// Counts are integers in Units; what is derived from them is not stored. The zero value knows
// nothing.
type Calibrator struct {
	Counts []uint64
	Total  uint64

	// Derived by Fit.
	above     []uint64 // observations in bin i and above
	threshold float64
	zeta      float64 // share above the threshold
	scale     float64
	shape     float64
}

// Of the tail fit (docs/statistics.md, Calibration).
const (
	tailLevel      = 0.98
	shape0         = 0.1
	pseudoExcesses = 30
	maxShape       = 0.6
	// MinReference is the least number of own observations from which a p-value is made.
	MinReference = 200
)

// Learn decays the reference by one day and adds the day's scores.
func (c *Calibrator) Learn(day Histogram) {
	if len(day) > len(c.Counts) {
		c.Counts = append(c.Counts, make([]uint64, len(day)-len(c.Counts))...)
	}
	c.Total = 0
	for i := range c.Counts {
		c.Counts[i] = Decayed(c.Counts[i], HalfLife14)
		if i < len(day) {
			c.Counts[i] += uint64(day[i]) * Unit
		}
		c.Total += c.Counts[i]
	}
	for len(c.Counts) > 0 && c.Counts[len(c.Counts)-1] == 0 {
		c.Counts = c.Counts[:len(c.Counts)-1]
	}
	c.Fit()
}

// N is the decayed number of observations.
func (c *Calibrator) N() float64 { return float64(c.Total) / Unit }

// Ready tells whether there is enough of its own to make p-values from.
func (c *Calibrator) Ready() bool { return c.Total >= MinReference*Unit }

// Fit derives the tail from the counts.
func (c *Calibrator) Fit() {
	n := len(c.Counts)
	c.above = make([]uint64, n+1)
	for i := n - 1; i >= 0; i-- {
		c.above[i] = c.above[i+1] + c.Counts[i]
	}
	c.threshold, c.zeta, c.scale, c.shape = 0, 1, BinWidth, shape0
	if c.Total == 0 {
		return
	}
	cut := n
	for cut > 0 && float64(c.above[cut-1]) <= (1-tailLevel)*float64(c.Total) {
		cut--
	}
	c.threshold = float64(cut) * BinWidth
	excess := float64(c.above[cut])
	c.zeta = (excess + Unit/2) / (float64(c.Total) + Unit)
	// Probability-weighted moments of the excesses y: a0 = E y, a1 = E y(1−F(y)); within a bin all
	// lie at its middle.
	a0, a1 := 0.0, 0.0
	for i := cut; i < n; i++ {
		w := float64(c.Counts[i])
		y := (float64(i)+0.5)*BinWidth - c.threshold
		beyond := float64(c.above[i+1]) + w/2
		a0 += w * y
		if excess > 0 {
			a1 += w * y * beyond / excess
		}
	}
	k := excess / Unit
	prior := BinWidth // the scale of a thin tail if there is no excess at all
	if c.threshold > 0 {
		prior = max(BinWidth, c.threshold/math.Log(1/(1-tailLevel))) // as if the body went on exponentially
	}
	if excess > 0 {
		a0, a1 = a0/excess, a1/excess
		if d := a0 - 2*a1; d > 0 {
			c.shape = 2 - a0/d
		}
		c.shape = (c.shape*k + shape0*pseudoExcesses) / (k + pseudoExcesses)
		c.shape = min(max(c.shape, 0), maxShape)
		mean := (a0*k + prior*5/(1-shape0)) / (k + 5)
		c.scale = mean * (1 - c.shape)
	} else {
		c.scale = prior
	}
}

// P is the probability that a reference score reaches the score; 1 if nothing is known. It is never
// 0 and quantised to a millionth of its logarithm, so that machines which round differently agree.
func (c *Calibrator) P(score float64) float64 {
	if c.Total == 0 || !(score > 0) {
		return 1
	}
	if score < c.threshold {
		// Linear within the bin, so that equal scores of a coarse statistic do not jump.
		i := BinOf(score)
		f := score/BinWidth - float64(i)
		a := float64(c.above[i])*(1-f) + float64(c.above[i+1])*f
		return Quantised((a + Unit/2) / (float64(c.Total) + Unit))
	}
	y := score - c.threshold
	var tail float64
	if c.shape < 1e-6 {
		tail = math.Exp(-y / c.scale)
	} else {
		tail = math.Pow(1+c.shape*y/c.scale, -1/c.shape)
	}
	return Quantised(c.zeta * tail)
}

// Quantile is the score that a share q of the reference does not reach, within a bin's width: for
// what is shown, not for decisions.
func (c *Calibrator) Quantile(q float64) float64 {
	if c.Total == 0 {
		return 0
	}
	want := (1 - q) * float64(c.Total)
	if 1-q < c.zeta && c.threshold > 0 {
		r := c.zeta / max(1-q, 1e-12)
		if c.shape < 1e-6 {
			return c.threshold + c.scale*math.Log(r)
		}
		return c.threshold + c.scale/c.shape*(math.Pow(r, c.shape)-1)
	}
	for i := len(c.Counts) - 1; i >= 0; i-- {
		if float64(c.above[i]) >= want {
			return (float64(i) + 0.5) * BinWidth
		}
	}
	return 0
}

// Quantised rounds a probability to a millionth of its decimal logarithm and keeps it within
// [1e-300, 1].
func Quantised(p float64) float64 {
	switch {
	case !(p > 1e-300):
		return 1e-300
	case p >= 1:
		return 1
	}
	return math.Pow(10, math.Round(math.Log10(p)*1e6)/1e6)
}

// Append encodes the reference.
func (c *Calibrator) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(c.Counts)))
	for i := 0; i < len(c.Counts); {
		run := i
		for run < len(c.Counts)-1 && c.Counts[run] == 0 {
			run++
		}
		b = binary.AppendUvarint(b, uint64(run-i))
		b = binary.AppendUvarint(b, c.Counts[run])
		i = run + 1
	}
	return b
}

// Decode reads what Append wrote and fits the tail.
func (c *Calibrator) Decode(r *wire.Reader) {
	n := r.Uvarint()
	if n > MaxBins {
		r.Fail()
		return
	}
	*c = Calibrator{}
	if n > 0 {
		c.Counts = make([]uint64, n)
	}
	for i := uint64(0); i < n && r.Err == nil; i++ {
		i += r.Uvarint()
		v := r.Uvarint()
		if i >= n || v > 1<<50 {
			r.Fail()
			return
		}
		c.Counts[i] = v
		c.Total += v
	}
	c.Fit()
}

// MeanSize is the mean of a reference of logarithms, without the largest thousandth: what one event
// brings, in spite of a few that bring absurdly much.
func (c *Calibrator) MeanSize() float64 {
	n, sum := 0.0, 0.0
	for i, k := range c.Counts {
		if c.above[i+1] < c.Total/1000 && n > 0 {
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
