package sketch

import (
	"math"
	"math/rand/v2"
	"testing"
)

const day = 17_280 // steps

func TestDifferentThingsAreCountedInAWindow(t *testing.T) {
	for _, c := range []struct {
		n     int
		error float64 // of the mean, relative
	}{{5, 0}, {15, 0}, {16, 0.05}, {50, 0.05}, {200, 0.05}, {500, 0.06}} {
		sum := 0.0
		for round := range 30 {
			rng := rand.New(rand.NewPCG(13, uint64(round)))
			hashes := make([]uint32, c.n)
			for i := range hashes {
				hashes[i] = rng.Uint32()
			}
			var d Timestamps
			occupied := float32(0)
			for i := range 4 * c.n {
				hash := hashes[rng.IntN(c.n)]
				if i < c.n {
					hash = hashes[i] // each at least once
				}
				now := int64(i / 10)
				if d.Full() {
					d.Spread(now, func(int64) { occupied-- })
				}
				d.See(hash, now, func(_ int64, ok bool) {
					if !ok {
						occupied++
					}
				})
			}
			sum += d.Estimate(occupied)
		}
		if got := sum / 30; math.Abs(got-float64(c.n)) > c.error*float64(c.n) {
			t.Errorf("%d things are counted as %.1f", c.n, got)
		}
	}
	var d Timestamps
	d.See(7, 0, func(int64, bool) {})
	d.Forget(day, day)
	d.See(7, day, func(_ int64, ok bool) {
		if ok {
			t.Error("a thing of a day ago is remembered")
		}
	})
	d.See(7, day+9, func(was int64, ok bool) {
		if !ok || was != day {
			t.Error("a thing of just now was seen", was, ok)
		}
	})
}
