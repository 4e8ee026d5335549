package baselines

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/wayward-sec/wayward/event/wire"
)

// scores draws n scores of which the tail is what draw makes it.
func histogram(rng *rand.Rand, n int, draw func(*rand.Rand) float64) (h Histogram) {
	for range n {
		h.Add(draw(rng), 1)
	}
	return h
}

// exponential are the scores −log10 p of an exact model, pareto those of one that takes a heavy
// tail for a light one.
func exponential(rng *rand.Rand) float64 { return rng.ExpFloat64() / math.Ln10 }
func pareto(rng *rand.Rand) float64      { return 0.4 * (math.Pow(rng.Float64(), -0.25) - 1) }

func TestCalibratedPValuesAreWhatTheySay(t *testing.T) {
	for name, draw := range map[string]func(*rand.Rand) float64{"exponential": exponential, "pareto": pareto} {
		for _, want := range []struct{ p, low, high float64 }{{1e-1, 0.9, 1.1}, {1e-2, 0.8, 1.25}, {1e-3, 0.6, 1.7},
			{1e-4, 0.2, 3}} {
			t.Run(fmt.Sprintf("%s at %g", name, want.p), func(t *testing.T) {
				below, tests := 0, 0
				for seed := range uint64(20) {
					rng := rand.New(rand.NewPCG(seed, 1))
					var c Calibrator
					for range 14 {
						c.Learn(histogram(rng, 300, draw))
					}
					for range 20_000 {
						tests++
						if c.P(draw(rng)) < want.p {
							below++
						}
					}
				}
				if r := float64(below) / (want.p * float64(tests)); r < want.low || r > want.high {
					t.Errorf("realised over nominal is %.2f, want %g to %g", r, want.low, want.high)
				}
			})
		}
	}
}

func TestCalibratorFallsWithTheScoreAndIsNeverZero(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for name, c := range map[string]*Calibrator{"nothing": {}, "one score": learned(Histogram{0, 1}),
		"equal scores":        learned(Histogram{0, 0, 0, 5000}),
		"all in the last bin": learned(append(make(Histogram, MaxBins-1), 900)),
		"heavy":               learned(histogram(rng, 3000, pareto)),
		"light":               learned(histogram(rng, 3000, exponential))} {
		last := 1.0
		for s := -1.0; s < 400; s += 0.013 {
			p := c.P(s)
			if !(p > 0 && p <= 1) {
				t.Fatalf("%s: P(%g) = %g", name, s, p)
			}
			if p > last*(1+1e-5) {
				t.Fatalf("%s: P rises to %g at %g, after %g", name, p, s, last)
			}
			last = p
		}
		for _, s := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			if p := c.P(s); !(p > 0 && p <= 1) {
				t.Errorf("%s: P(%g) = %g", name, s, p)
			}
		}
	}
}

func learned(h Histogram) *Calibrator {
	c := &Calibrator{}
	c.Learn(h)
	return c
}

func TestQuantileIsWherePIs(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	c := learned(histogram(rng, 20_000, exponential))
	for _, q := range []float64{0.5, 0.9, 0.99, 0.999} {
		if p := c.P(c.Quantile(q)); math.Abs(math.Log(p/(1-q))) > 0.35 {
			t.Errorf("P(Quantile(%g)) = %g", q, p)
		}
	}
}

func TestReferenceForgetsByHalfInFourteenDays(t *testing.T) {
	c := learned(Histogram{10_000})
	for range 14 {
		c.Learn(nil)
	}
	if n := c.N(); math.Abs(n-5000) > 5 {
		t.Errorf("after 14 days %g of 10000 are left, want 5000", n)
	}
	for range 400 {
		c.Learn(nil)
	}
	if n := c.N(); n > 1 || c.P(1) != 1 && c.P(1) <= 0 {
		t.Errorf("after more than a year %g are left", n)
	}
}

func TestHistogramsMergeInAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	parts := make([]Histogram, 8)
	for i := range parts {
		parts[i] = histogram(rng, 50, pareto)
	}
	var first []byte
	for range 10 {
		rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		var sum Histogram
		for _, p := range parts {
			sum.Merge(p)
		}
		b := sum.Append(nil)
		if first == nil {
			first = b
		}
		if !bytes.Equal(b, first) {
			t.Fatal("the order of merging shows")
		}
		var back Histogram
		r := wire.Reader{B: b}
		if back.Decode(&r); r.Err != nil || !bytes.Equal(back.Append(nil), b) {
			t.Fatalf("does not read what it wrote: %v", r.Err)
		}
	}
}

func TestCauchyKeepsTheLevelWhateverDependsOnWhat(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for _, rho := range []float64{0, 0.3, 0.9} {
		const n = 400_000
		below := 0
		for range n {
			shared, p := rng.NormFloat64(), make([]float64, 4)
			for i := range p {
				z := math.Sqrt(rho)*shared + math.Sqrt(1-rho)*rng.NormFloat64()
				p[i] = math.Erfc(z/math.Sqrt2) / 2
			}
			if Cauchy(p...) < 1e-3 {
				below++
			}
		}
		if r := float64(below) / (n * 1e-3); r < 0.75 || r > 1.25 {
			t.Errorf("correlation %g: realised over nominal is %.2f", rho, r)
		}
	}
}

func TestCauchyOfExtremesStaysAProbability(t *testing.T) {
	for _, p := range [][]float64{{}, {1}, {0}, {1e-300, 1}, {1, 1, 1, 1}, {math.NaN(), 0.5}, {1e-16, 1e-16}} {
		if got := Cauchy(p...); !(got > 0 && got <= 1) {
			t.Errorf("Cauchy(%v) = %g", p, got)
		}
	}
	if a, b := Cauchy(1e-14, 0.5), Cauchy(1e-16, 0.5); !(b < a) {
		t.Errorf("Cauchy does not fall below 1e-15: %g, then %g", a, b)
	}
}

func FuzzCalibratorDecode(f *testing.F) {
	f.Add(learned(Histogram{3, 0, 0, 7, 1}).Append(nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Calibrator
		r := wire.Reader{B: b}
		c.Decode(&r)
		if r.Err != nil {
			return
		}
		if p := c.P(2.5); !(p > 0 && p <= 1) {
			t.Fatalf("P(2.5) = %g", p)
		}
		var again Calibrator
		r = wire.Reader{B: c.Append(nil)}
		if again.Decode(&r); r.Err != nil || !bytes.Equal(again.Append(nil), c.Append(nil)) {
			t.Fatalf("does not read what it wrote: %v", r.Err)
		}
	})
}

func BenchmarkCalibratorP(b *testing.B) {
	c := learned(histogram(rand.New(rand.NewPCG(1, 1)), 20_000, pareto))
	b.ReportAllocs()
	for i := range b.N {
		_ = c.P(float64(i%64) * 0.1)
	}
}
