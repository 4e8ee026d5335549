package pipeline

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Alarms come in order of time, however often they are set anew.
func TestAlarmsComeInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var a alarms
	var want []int64
	for range 1000 {
		if due := r.Int64N(500); r.IntN(3) > 0 {
			a.set(due, nil)
			want = append(want, due)
		} else if len(want) > 0 {
			slices.Sort(want)
			if got := a.take().due; got != want[0] {
				t.Fatalf("the alarm of %d comes before that of %d", got, want[0])
			}
			want = want[1:]
		}
	}
}

// BenchmarkAlarms is a step of the watermark in a shard where something is awaited on 10,000 pages,
// none of it due.
func BenchmarkAlarms(b *testing.B) {
	r := newRelation(0, &rules{owners: owners{sources: 1, facts: 1}}, none)
	for i := range 10_000 {
		r.waiting[&scopePage{}] = int64(1e12) + int64(i)
	}
	for i := range b.N {
		r.ring(int64(i))
	}
}
