package event

import (
	"math"
	"strconv"
	"testing"
)

func TestOddsAreWordsForAProbability(t *testing.T) {
	for p, want := range map[float64]string{1: "1 in 1", .5: "1 in 2", .0101: "1 in 99", .01: "1 in 100",
		.01003: "1 in 100", 1e-3: "1 in 1,000", 2.5e-5: "1 in 40,000", 2e-6: "1 in 500,000",
		1.23e-7: "1 in 8,100,000", 9e-10: "less than 1 in a billion", 0: "less than 1 in a billion", -1: "unknown",
		2: "unknown", math.NaN(): "unknown", math.Inf(1): "unknown"} {
		if got := Odds(p); got != want {
			t.Errorf("%v: %q, want %q", p, got, want)
		}
	}
	for e := 0.0; e < 9; e += .001 {
		if got := Odds(math.Pow(10, -e)); got[:5] != "1 in " {
			t.Fatalf("10^-%v: %q", e, got)
		}
	}
}

func TestFiguresAreShortAndNear(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 9: "9", 9.4312: "9.431", 96: "96", 212: "212", .0314159: "0.03142",
		1234.5: "1234", 180000: "180000", -3.25: "-3.25", 1e-9: "0", -1e-9: "0",
		1e15: "1e+15", math.NaN(): "", math.Inf(-1): "", 999.96: "1000", 100: "100", 15000.5: "15000"} {
		if got := Figure(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	for e := -5.5; e < 18; e += .01 {
		v := math.Pow(10, e)
		if got, err := strconv.ParseFloat(Figure(v), 64); err != nil || math.Abs(got/v-1) > .001 {
			t.Fatalf("%v is written as %s: %v", v, Figure(v), err)
		}
	}
}

func TestSharesAreShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0 %", 1: "100 %", .62: "62 %", .0421: "4.2 %", .04: "4 %",
		.004: "0.4 %", .0001: "less than 0.1 %", .0995: "10 %", -.1: "unknown", 2: "unknown", math.NaN(): "unknown"} {
		if got := Percent(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}
