package rules

import (
	"math"
	"testing"
)

func TestWideNumbers(t *testing.T) {
	for _, v := range []float64{0, 1, -1, 0.1, -0.1, 12345.678901, 9.3e9, -9.3e9, 9.2e18, 1e20, -3.5e22, 1e24} {
		got := micro(v)
		if f := got.float() / 1e6; math.Abs(f-v) > 1e-15*math.Abs(v) {
			t.Errorf("%v comes back as %v", v, f)
		}
		sum := wide{}
		for range 1000 {
			sum.add(got)
		}
		if f := sum.float() / 1e6; math.Abs(f-1000*v) > 1e-12*math.Abs(v) {
			t.Errorf("a thousand times %v is %v", v, f)
		}
		for range 1000 {
			sum.sub(got)
		}
		if sum != (wide{}) {
			t.Errorf("%v a thousand times to and fro leaves %v", v, sum)
		}
	}
	if micro(math.NaN()) != (wide{}) || micro(math.Inf(1)) != micro(1e30) {
		t.Error("what is no number adds something, or the infinite is more than the largest")
	}
}
