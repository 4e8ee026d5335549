package rules

import (
	"math"
	"math/bits"
)

// wide is a whole number of 128 bits: sums of millionths do not overflow, whatever events bring.
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

// short is the number if it has 64 bits.
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

// micro is a number in millionths. What is no number adds nothing; what is larger than any amount
// counts as the largest.
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
