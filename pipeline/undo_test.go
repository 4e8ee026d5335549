package pipeline

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/wayward-sec/wayward/policy"
)

// An aborted transaction leaves no trace in a shard, and done again it gives the same.

func TestAnUndoneSliceLeavesNoTrace(t *testing.T) {
	sets := []*policy.Set{setOf(t, strict), setOf(t, other)}
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := busy(seed, 500, 20_000, sets)
		b := newBehaviour(1, small(engine(t, 3, 2, sets...), seed), sets[0], "events")
		st := &stage{}
		var at [2]int
		now := int64(day0)
		dropped := 0
		for at[mainLog] < len(l.records[mainLog]) {
			now += r.Int64N(3000)
			n, m := r.IntN(10), 1+r.IntN(80)
			want, before := b.image(), at
			pages := b.pageCount()
			undo := r.IntN(3) > 0
			if _, err := st.apply(b.shard, l.take(&at, n, m), now); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if b.pageCount() < pages {
				dropped++
			}
			if !undo {
				b.kept()
				continue
			}
			if err := b.rollback(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			got := b.image()
			sameState(t, fmt.Sprintf("seed %d, records %v to %v", seed, before, at), want, got)
			// Done again it gives what it would have given, byte by byte.
			at = before
			first := newBehaviour(1, b.rules, none, "events")
			restore(t, first.shard, want)
			slice := l.take(&at, n, m)
			j1, err1 := st.apply(b.shard, slice, now)
			j2, err2 := st.apply(first.shard, slice, now)
			if err1 != nil || err2 != nil || j1.digest != j2.digest {
				t.Fatalf(
					"seed %d, records %v to %v: after the undo the slice gives %x (%v), on a fresh shard of the same state %x (%v)",
					seed, before, at, j1.digest, err1, j2.digest, err2)
			}
			b.kept()
			first.kept()
			sameState(t, fmt.Sprintf("seed %d, records %v to %v, done again", seed, before, at), first.image(),
				b.image())
		}
		if dropped == 0 && seed == 0 {
			t.Error("no slice dropped pages: the test proves nothing")
		}
	}
}

func TestAnUndoneSliceOfFactsLeavesNoTrace(t *testing.T) {
	// the relation stage loads anew instead, but what undoes must not depend on who asks
	set := setOf(t, strict)
	shared := engine(t, 2, 1, set)
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 2))
		facts := factsOf(t, shared, set, seed, 300)
		b := newRelation(0, shared, none)
		b.shard.machine = undoing{b}
		order := interleave(r, facts)
		for len(order) > 0 {
			n := min(len(order), 1+r.IntN(6))
			for _, undo := range []bool{true, false} {
				want := b.image()
				b.begin(1, true)
				for i := range order[:n] {
					if err := b.step(mainLog, &order[i]); err != nil {
						t.Fatal(err)
					}
				}
				if !undo {
					break
				}
				if err := b.rollback(); err != nil {
					t.Fatal(err)
				}
				sameState(t, fmt.Sprintf("seed %d, %d records left", seed, len(order)), want, b.image())
			}
			order = order[n:]
		}
	}
}

type undoing struct{ *relation }

func (undoing) undoes() bool { return true }
