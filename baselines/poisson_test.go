package baselines

import (
	"math"
	"testing"
)

func TestPoissonBoundsHoldTheTruth(t *testing.T) {
	// The exact bounds of Garwood 1936.
	for k, want := range map[float64][2]float64{0: {0, 3.69}, 1: {.0253, 5.57}, 3: {.619, 8.77}, 10: {4.80, 18.39},
		20: {12.217, 30.888}, 30: {20.24, 42.83}, 100: {81.36, 121.63}, 400: {361.76, 441.19}} {
		low, high := Poisson95(k)
		if math.Abs(low-want[0]) > .1 || math.Abs(high-want[1]) > .1*max(1, want[1]/10) {
			t.Errorf("%v: %.3f to %.3f, want %v", k, low, high, want)
		}
	}
}
