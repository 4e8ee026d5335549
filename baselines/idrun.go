package baselines

import (
	"math/bits"
)

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

// TrailingNumber is the number that an id ends in, or stands before its last other characters; ok
// is false if there is none.
func TrailingNumber(id string) (n uint64, ok bool) {
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
