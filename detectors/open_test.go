package detectors

import (
	"math/rand/v2"
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// Whatever comes, a finding is updated eight times at most, each time for a reason, and a severity
// that rises once is always told.
func TestAFindingIsUpdatedEightTimesAtMost(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		o := OpenFinding{Grade: event.Signal}
		told, rose := 0, false
		rise := r.IntN(300)
		for i := range 300 {
			grade := o.Grade
			if i == rise {
				grade = event.Medium
			}
			doubled := r.IntN(3) == 0
			if o.Regrade(grade, doubled) {
				told++
				rose = rose || i == rise
				if !doubled && i != rise {
					t.Fatal("told for no reason")
				}
			}
			var again OpenFinding
			again.Decode(&wire.Reader{B: o.Append(nil)})
			if o = again; o.Grade < grade {
				t.Fatal("what was told last is not remembered")
			}
		}
		if told > MaxUpdates || !rose {
			t.Errorf("seed %d: told %d times, the rise at %d of 300: %v", seed, told, rise, rose)
		}
	}
}

func TestWhatGoesOnAndOnIsToldEightTimes(t *testing.T) {
	var l Tallies
	told := []int64{}
	for i := range 100_000 {
		if o, a := l.Add(7, event.Ref{Time: int64(i), ID: "e"}); a != event.Again {
			told = append(told, o.Count)
			if (a == event.Create) != (o.Count == 1) {
				t.Fatalf("at %d it is %v", o.Count, a)
			}
		}
	}
	if len(told) != 1+MaxUpdates || told[MaxUpdates] != 256 {
		t.Errorf("told at %v", told)
	}
}
