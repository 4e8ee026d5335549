package volume

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/wayward-sec/wayward/baselines"
)

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
	s.R = baselines.AddSaturating(s.R, baselines.Fixed(ratio))
	s.R2 = baselines.AddSaturating(s.R2, baselines.Fixed(ratio*ratio))
	s.Noise = baselines.AddSaturating(s.Noise, baselines.Fixed(min(noise, ratio*ratio)))
	s.Ln = baselines.AddSaturating(s.Ln, baselines.Fixed(ln))
	s.Ln2 = baselines.AddSaturating(s.Ln2, baselines.Fixed(ln*ln))
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
// so that who grows does not make growth usual (docs/statistics.md, Growth).
func (s *GrowthSums) Add(z float64, usual Growth) {
	if usual.SD > 0 {
		z = min(max(z, usual.Mean-3*usual.SD), usual.Mean+3*usual.SD)
	}
	z = min(max(z, -GrowthOffset), GrowthOffset) + GrowthOffset
	s.N++
	s.Z = baselines.AddSaturating(s.Z, baselines.Fixed(z))
	s.Z2 = baselines.AddSaturating(s.Z2, baselines.Fixed(z*z))
}

func (s *GrowthSums) list() []*int64 { return []*int64{&s.N, &s.Z, &s.Z2} }

func (s GrowthSums) scaled(into []*int64) { addDay(into, s.list()) }

// Growth is how the deviations of ordinary agents lie; SD is 0 if too few were seen.
type Growth struct{ Mean, SD float64 }

// leastGrowth is from how many agent-days on it is known.
const leastGrowth = 100

func (s GrowthSums) fit() (g Growth) {
	if s.N < leastGrowth*baselines.FixedOne {
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
	return baselines.Quantised(distuv.StudentsT{Sigma: 1, Nu: growthTail}.Survival((z - g.Mean) / g.SD))
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
// blocks, the size of a clump (docs/statistics.md, Counts).
func (s *SpreadSums) Add(x float64, k Count, raw float64) {
	mu, most := k.M, 60*(k.Variance()+k.Phi*k.Phi)
	s.N++
	s.X = baselines.AddSaturating(s.X, baselines.Fixed(min(x, mu+math.Sqrt(most))))
	s.E = baselines.AddSaturating(s.E, baselines.Fixed(raw))
	// The weight is the inverse square of a variance of φ = 1, κ = 1/10: near the best for anything
	// usual, and every term is bounded.
	w := mu + 0.1 + mu*mu/10
	a, b := mu/w, mu*mu/w
	r := min((x-mu)*(x-mu), most) / w
	s.S11 = baselines.AddSaturating(s.S11, baselines.Fixed(a*a))
	s.S12 = baselines.AddSaturating(s.S12, baselines.Fixed(a*b))
	s.S22 = baselines.AddSaturating(s.S22, baselines.Fixed(b*b))
	s.T1 = baselines.AddSaturating(s.T1, baselines.Fixed(a*r))
	s.T2 = baselines.AddSaturating(s.T2, baselines.Fixed(b*r))
}

// AddNone adds n blocks in which nothing was done.
func (s *SpreadSums) AddNone(n, mu, raw float64) {
	s.N += int64(n)
	s.E = baselines.AddSaturating(s.E, baselines.Fixed(n*raw))
	w := mu + 0.1 + mu*mu/10
	a, b := mu/w, mu*mu/w
	aa, ab, bb := baselines.Fixed(n*a*a), baselines.Fixed(n*a*b), baselines.Fixed(n*b*b)
	s.S11 = baselines.AddSaturating(s.S11, aa)
	s.S12 = baselines.AddSaturating(s.S12, ab)
	s.S22 = baselines.AddSaturating(s.S22, bb)
	s.T1, s.T2 = baselines.AddSaturating(s.T1, ab), baselines.AddSaturating(s.T2, bb) // the square is μ²
}

func add(into, from []*int64) {
	for i := range into {
		*into[i] = baselines.AddSaturating(*into[i], *from[i])
	}
}

// Hyper says how counts of a window scatter about their mean m: variance φm + κm², in events'
// worth, and which part of rate × time falls into it.
type Hyper struct {
	Phi, Kappa, Factor float64
	Fitted             bool
}

// DaySums are sums over days, in 65,536ths.
type DaySums struct{ N, X, E, X2 int64 }

func (s *DaySums) list() []*int64 { return []*int64{&s.N, &s.X, &s.E, &s.X2} }

// decay lets sums that are never negative forget one day.
func decay(list ...*int64) {
	for _, v := range list {
		*v = int64(baselines.Decayed(uint64(max(0, *v)), baselines.HalfLife14))
	}
}

// scaled adds a day's sums. N is a count in the delta and is kept in 65,536ths, so that it decays
// smoothly.
func (s RateSums) scaled(into []*int64) { addDay(into, s.list()) }

func (s SpreadSums) scaled(into []*int64) { addDay(into, s.list()) }

func addDay(into, day []*int64) {
	*day[0] = min(*day[0], 1<<40) * baselines.FixedOne
	add(into, day)
}

// fit gives the shape of the agents' rates, and mean and deviation of their logarithms.
func (s RateSums) fit() (a0, mean, sd float64) {
	n := float64(s.N) / baselines.FixedOne
	if n < leastRates {
		return defaultA0, 0, 0
	}
	k := n * baselines.FixedOne
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
	if s.N < leastBlocks*baselines.FixedOne {
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
