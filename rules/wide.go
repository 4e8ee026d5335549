package rules

import (
	"math"
	"math/bits"
)

// mostNumber bounds what one event adds, so that 128 bits of millionths hold the sum of 10^8 of them.
const mostNumber = 1e24

// wide is an integer of 128 bits in two's complement. Sums of millionths do not overflow and lose
// nothing when an event leaves again.
type wide struct {
	hi int64
	lo uint64
}

func (a *wide) add(b wide) {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	a.lo, a.hi = lo, a.hi+b.hi+int64(carry)
}

func (a *wide) sub(b wide) {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	a.lo, a.hi = lo, a.hi-b.hi-int64(borrow)
}

// short is the number as 64 bits; false: it does not fit.
func (a wide) short() (int64, bool) { return int64(a.lo), a.hi == int64(a.lo)>>63 }

func (a wide) float() float64 {
	if v, ok := a.short(); ok {
		return float64(v)
	}
	if a.hi < 0 {
		b := wide{}
		b.sub(a)
		return -(float64(b.hi)*(1<<64) + float64(b.lo))
	}
	return float64(a.hi)*(1<<64) + float64(a.lo)
}

// micro is a number in millionths. NaN is 0, and what is beyond mostNumber is mostNumber.
func micro(v float64) wide {
	if math.IsNaN(v) {
		return wide{}
	}
	x := math.Round(max(-mostNumber, min(mostNumber, v)) * 1e6)
	if x > -(1<<62) && x < 1<<62 {
		n := int64(x)
		return wide{n >> 63, uint64(n)}
	}
	part, exp := math.Frexp(math.Abs(x))
	n, shift := uint64(part*(1<<53)), exp-53
	out := wide{lo: n << shift}
	if shift > 0 {
		out.hi = int64(n >> (64 - shift))
	}
	if x < 0 {
		neg := wide{}
		neg.sub(out)
		return neg
	}
	return out
}
