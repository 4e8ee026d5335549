package baselines

import "math"

// fixed is how many parts one has in sums that merge: a float is rounded once, when it is added.
const FixedOne = 1 << 16

// Fixed is a number in 65,536ths, kept within bounds that no sum of a billion of them leaves.
func Fixed(x float64) int64 {
	switch {
	case !(x > 0):
		return 0
	case x >= 1<<32:
		return 1 << 48
	}
	return int64(x*FixedOne + 0.5)
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

func Plus(a, b int64) int64 {
	if s := a + b; s >= a {
		return s
	}
	return math.MaxInt64
}
