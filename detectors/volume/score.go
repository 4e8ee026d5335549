package volume

import (
	"math"

	"gonum.org/v1/gonum/mathext"

	"github.com/wayward-sec/wayward/baselines"
)

// Count is the distribution of a count as the model has it: a quasi negative binomial
// (docs/statistics.md, Counts) of mean M and variance Phi·M + M²/K.
type Count struct{ M, Phi, K float64 }

// Variance of the count.
func (c Count) Variance() float64 { return c.Phi*c.M + c.M*c.M/c.K }

// Score says how odd it is to reach x: Chernoff's bound on the tail of the negative binomial, as
// −log10. It costs two logarithms, where the tail itself costs ten times as much; it orders counts
// of different means nearly as the tail does, and what remains the calibration takes care of.
func (c Count) Score(x float64) float64 {
	y, mu := x/c.Phi, c.M/c.Phi
	if !(y > mu) || !(mu > 0) {
		return 0
	}
	s := (y*logOf(y/mu) - (y+c.K)*logOf((y+c.K)/(mu+c.K))) * (1 / math.Ln10)
	switch {
	case !(s > 0):
		return 0
	case s > 1000:
		return 1000
	}
	return s
}

// Tail is the probability of reaching x: the regularised incomplete beta function I_q(x/φ, k), q =
// (m/φ)/(m/φ + k).
func (c Count) Tail(x float64) float64 {
	y, mu := x/c.Phi, c.M/c.Phi
	if !(y > 0) || !(c.K > 0) {
		return 1
	}
	if !(mu > 0) {
		return 1e-300
	}
	p := mathext.RegIncBeta(min(max(y, 1e-9), 1e12), min(c.K, 1e9), mu/(mu+c.K))
	if math.IsNaN(p) {
		return 1
	}
	return baselines.Quantised(p)
}

// Quantile is the count that is reached with probability p, within a thousandth.
func (c Count) Quantile(p float64) float64 {
	if !(c.M > 0) {
		return 0
	}
	lo, hi := 0.0, c.M+c.Phi
	for c.Tail(hi) > p && hi < 1e18 {
		lo, hi = hi, 2*hi
	}
	for range 60 {
		if hi-lo <= 1e-3*hi {
			break
		}
		if mid := (lo + hi) / 2; c.Tail(mid) > p {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

// Screen is a count below which there is nothing to look at closely: 2.5 standard deviations and
// one event's worth above the mean.
func (c Count) Screen() float64 { return c.M + 2.5*math.Sqrt(c.Variance()) + c.Phi }

// lnTable are the logarithms of 1, 1+1/128, … 2.
var lnTable = func() (t [129]float64) {
	for i := range t {
		t[i] = math.Log(1 + float64(i)/128)
	}
	return t
}()

// logOf is the logarithm of a normal number above zero, within a hundred-thousandth, in a fifth of
// the time: for scores, which are counted in bins.
func logOf(x float64) float64 {
	b := math.Float64bits(x)
	i := b >> 45 & 127
	part := float64(b&(1<<45-1)) * (1.0 / (1 << 45))
	lo := lnTable[i]
	return float64(int(b>>52)-1023)*math.Ln2 + lo + part*(lnTable[i+1]-lo)
}

// LogSize is ln(1+x), as logOf has it; 0 for what is not positive.
func LogSize(x float64) float64 {
	if !(x > 0) {
		return 0
	}
	return logOf(1 + x)
}
