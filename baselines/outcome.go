package baselines

import (
	"math"
	"math/bits"
)

// Odds is a sequential test of failures after Jung et al. 2004 (doi 10.1109/SECPRI.2004.1301325):
// the logarithm of the likelihood ratio of an agent of whose first contacts 60 in 100 fail, against
// one of the persona. It is held at Floor, from where it starts anew.
type Odds struct {
	L    float32
	Held float32 // how often it was at the floor, which is as many tests
}

// Of the sequential test (science §2.9).
const (
	oddsTheta1 = 0.6
	oddsFloor  = -2
)

// Weights are what a failure and a success add, for a persona of whose first contacts a share of
// theta fails.
func Weights(theta float64) (failure, success float64) {
	return math.Log(oddsTheta1 / theta), math.Log((1 - oddsTheta1) / (1 - theta))
}

// Add takes the outcome of one first contact.
func (o *Odds) Add(failed bool, failure, success float64) {
	if failed {
		o.L += float32(failure)
		return
	}
	if o.L += float32(success); o.L < oddsFloor {
		o.L = oddsFloor
		o.Held++
	}
}

// P is about the probability that the persona's own outcomes ever lead there: Ville's inequality
// from the start at 0, and anew from each time at the floor.
func (o *Odds) P() float64 {
	return Quantised((1 + float64(o.Held)*math.Exp(oddsFloor)) * math.Exp(-float64(o.L)))
}

// IDRun looks for runs over ids: the share of the last 31 steps from one id to the next that are
// the same small step.
type IDRun struct {
	Last  uint64
	Steps uint32 // one bit each, the newest lowest: a small step up
	Downs uint32 // a small step down
	N     uint8  // steps so far, at most 31
	Any   bool
	_     [6]uint8 // so that it is saved by copying it
}

// RunSteps is how many steps are looked at.
const RunSteps = 31

// Add takes the number in an id and returns the longer of the two runs: how many of the last steps
// are 1 or 2 up, or so down.
func (r *IDRun) Add(id uint64) int {
	if !r.Any {
		r.Any, r.Last = true, id
		return 0
	}
	up, down := id-r.Last, r.Last-id
	r.Last = id
	const mask = 1<<RunSteps - 1
	r.Steps, r.Downs = r.Steps<<1&mask, r.Downs<<1&mask
	if up == 1 || up == 2 {
		r.Steps |= 1
	}
	if down == 1 || down == 2 {
		r.Downs |= 1
	}
	if r.N < RunSteps {
		r.N++
	}
	return max(bits.OnesCount32(r.Steps), bits.OnesCount32(r.Downs))
}

// Number is the number that an id ends in, or stands before its last other characters; ok is false
// if there is none.
func Number(id string) (n uint64, ok bool) {
	end := len(id)
	for end > 0 && (id[end-1] < '0' || id[end-1] > '9') {
		end--
	}
	start := end
	for start > 0 && id[start-1] >= '0' && id[start-1] <= '9' && end-start < 18 {
		start--
	}
	for _, c := range []byte(id[start:end]) {
		n = n*10 + uint64(c-'0')
	}
	return n, end > start
}

// RunScore is the score of a run: two bins for each step, and just inside the bin, so that equal
// runs count as reached.
func RunScore(steps int) float64 { return float64(steps)/10 + 1e-9 }
