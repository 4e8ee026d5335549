package baselines

import "math"

// FixedOne is one in 65,536ths. Sums that merge are integers, so that their order does not show: a
// float is rounded once, when it is added.
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

// InUnits is a count that may be a fraction, in Units. Beyond 2^46 it is cut off.
func InUnits(x float64) int64 {
	switch {
	case !(x > 0):
		return 0
	case x >= 1<<46:
		return 1 << 54
	}
	return int64(x*Unit + 0.5)
}

// AddSaturating adds two numbers that are not negative; a sum that is too large stays at the
// largest number.
func AddSaturating(a, b int64) int64 {
	if s := a + b; s >= a {
		return s
	}
	return math.MaxInt64
}

// AddSaturating32 is AddSaturating of 32 bits.
func AddSaturating32(a, b uint32) uint32 {
	if s := a + b; s >= a {
		return s
	}
	return math.MaxUint32
}

// Unit is what one fresh observation weighs in a decaying integer count: decay then loses less than
// a hundredth of an observation a step.
const Unit = 256

// HalfLife14 is the factor, in 65,536ths, that halves a count in fourteen daily steps: 2^(−1/14).
const HalfLife14 = 62370

// Decayed is n after one step of a decay by factor/65536, rounded down, so that what is not
// refreshed ends at nothing.
func Decayed(n uint64, factor uint64) uint64 { return n/65536*factor + n%65536*factor/65536 }
