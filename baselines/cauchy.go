package baselines

import "math"

// MaxCauchy truncates p-values from above, which keeps one boring test from hiding an odd one
// (arXiv 2103.12967).
const MaxCauchy = 0.99

// Cauchy joins p-values of tests that may depend on each other (Liu & Xie 2020, arXiv 1808.09011):
// T = Σ w tan((½ − p)π), p = ½ − atan(T)/π, with equal weights. Without tests it is 1.
func Cauchy(p ...float64) float64 {
	if len(p) == 0 {
		return 1
	}
	t := 0.0
	for _, x := range p {
		if !(x <= MaxCauchy) {
			x = MaxCauchy
		}
		if x < 1e-15 {
			t += 1 / (x * math.Pi) // tan((½ − x)π) → 1/(πx); the subtraction would lose it
			continue
		}
		t += math.Tan((0.5 - x) * math.Pi)
	}
	t /= float64(len(p))
	if t > 1e9 {
		return Quantised(1 / (t * math.Pi)) // here too the subtraction would lose it: ½ − atan(t)/π → 1/(πt)
	}
	return Quantised(0.5 - math.Atan(t)/math.Pi)
}
