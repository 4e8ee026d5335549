package baselines

import "math"

// z95 is the normal distribution's 97.5 % point: 95 % lie within it on both sides.
const z95 = 1.959964

// Poisson95 bounds the mean of a Poisson variable of which k was counted, with 95 % confidence. The
// bounds are Garwood's (1936): half the quantiles of chi-squared with 2k and 2k+2 degrees of
// freedom. Wilson and Hilferty's approximation (1931) gives the quantiles. The result is the same
// as Byar's (Rothman and Boice 1979): the upper bound is within one percent, the lower one within
// 0.02. Counts that decay may be fractions. They scatter less than whole ones, so the interval is
// rather too wide for them.
func Poisson95(k float64) (low, high float64) {
	half := func(freedom, z float64) float64 {
		if freedom == 0 {
			return 0
		}
		s := 2 / (9 * freedom)
		return freedom / 2 * math.Pow(max(0, 1-s+z*math.Sqrt(s)), 3)
	}
	return half(2*k, -z95), half(2*k+2, z95)
}
