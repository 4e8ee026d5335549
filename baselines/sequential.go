package baselines

import (
	"math"
)

// SequentialTest is a sequential test of failures after Jung et al. 2004 (doi
// 10.1109/SECPRI.2004.1301325). LogRatio is the logarithm of the likelihood ratio of an agent of
// whose first contacts 60 in 100 fail, against an ordinary one of the persona. It is kept at or
// above a floor, from where the test starts anew.
type SequentialTest struct {
	LogRatio float32
	Restarts float32 // how often it was at the floor; each is one more test
}

// Of the sequential test (docs/statistics.md, Failures and ids).
const (
	failingShare    = 0.6
	sequentialFloor = -2
)

// Weights are what a failure and a success add, for a persona of whose first contacts a share of
// theta fails.
func Weights(theta float64) (failure, success float64) {
	return math.Log(failingShare / theta), math.Log((1 - failingShare) / (1 - theta))
}

// Add takes the outcome of one first contact.
func (o *SequentialTest) Add(failed bool, failure, success float64) {
	if failed {
		o.LogRatio += float32(failure)
		return
	}
	if o.LogRatio += float32(success); o.LogRatio < sequentialFloor {
		o.LogRatio = sequentialFloor
		o.Restarts++
	}
}

// P bounds the probability that the persona's own outcomes ever lead there: Ville's inequality
// (1939) from the start at 0, and once more from each time at the floor.
func (o *SequentialTest) P() float64 {
	return Quantised((1 + float64(o.Restarts)*math.Exp(sequentialFloor)) * math.Exp(-float64(o.LogRatio)))
}
