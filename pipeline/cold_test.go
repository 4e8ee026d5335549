package pipeline

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/state"
)

// Two shards see the same. Between any two slices, also between one that is undone and the next, one
// of them puts on disk whatever may leave memory. It saves its state now and then, and is loaded
// anew from it.
func TestPagesOnDiskDoNotShowInABehaviourShard(t *testing.T) {
	sets := []*policy.Set{setOf(t, strict), setOf(t, other)}
	freed, evicted, stateless, loads := int64(0), int64(0), int64(0), 0
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		l := busy(seed, 500, 20_000, sets)
		warm := newBehaviour(1, small(engine(t, 3, 2, sets...), seed), sets[0], "events")
		store, err := state.Open("")
		if err != nil {
			t.Fatal(err)
		}
		shared := small(engine(t, 3, 2, sets...), seed)
		shared.store = store
		cold := newBehaviour(1, shared, sets[0], "events")
		st := &stage{}
		var at [2]int
		now := int64(day0)
		for at[mainLog] < len(l.records[mainLog]) {
			now += r.Int64N(3000)
			if r.IntN(3) == 0 {
				pages, _ := cold.takeDirty()
				if err := store.Checkpoint(cold.space, withDoomed(store, cold.space, slices.Values(pages),
					cold.takeDoomed()), cold.shard.appendVars(nil)); err != nil {
					t.Fatal(err)
				}
				if r.IntN(4) == 0 {
					loads++
					cold = newBehaviour(1, shared, none, "events")
					image := map[string]string{}
					marker, err := store.Load(cold.space, func(key string, value []byte) error {
						image[key] = string(value)
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
					image[""] = string(marker)
					restore(t, cold.shard, image)
				}
			}
			if r.IntN(2) == 0 {
				n, err := cold.shed(int64(r.IntN(4)) * 200_000)
				if err != nil {
					t.Fatal(err)
				}
				freed += n
			}
			slice := l.take(&at, r.IntN(10), 1+r.IntN(80))
			j1, err1 := st.apply(warm.shard, slice, now)
			j2, err2 := st.apply(cold.shard, slice, now)
			what := fmt.Sprintf("seed %d, records to %v", seed, at)
			if err1 != nil || err2 != nil || j1.digest != j2.digest {
				t.Fatalf("%s: a shard that puts pages by gives %x (%v), another %x (%v)", what, j2.digest, err2,
					j1.digest, err1)
			}
			sameState(t, what, warm.image(), cold.image())
			evicted, stateless = evicted+cold.counts.evicted, stateless+cold.counts.stateless
			if r.IntN(3) == 0 {
				for _, b := range []*behaviour{warm, cold} {
					if err := b.rollback(); err != nil {
						t.Fatal(what, err)
					}
				}
				what += ", undone"
				sameState(t, what, warm.image(), cold.image())
			} else {
				warm.kept()
				cold.kept()
			}
		}
		store.Close()
	}
	if freed < 500_000 || evicted < 20 || stateless < 100 || loads < 20 {
		t.Errorf("only %d bytes left memory, %d pages made room, %d events found none, %d loads: "+
			"the test proves nothing", freed, evicted, stateless, loads)
	}
}

// The relation stage, too, finds the same with its pages on disk.
func TestPagesOnDiskDoNotShowInARelationShard(t *testing.T) {
	set := setOf(t, strict)
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 2))
		shared := engine(t, 2, 1, set)
		order := interleave(r, factsOf(t, shared, set, seed, 400))
		warm := newRelation(0, shared, none)
		disk := *shared
		disk.store = scratch(t)
		cold := newRelation(0, &disk, none)
		cold.volatile = true
		cold.begin(1, false)
		warm.begin(1, false)
		freed := int64(0)
		for i := range order {
			for _, b := range []*relation{warm, cold} {
				if err := b.step(mainLog, &order[i]); err != nil {
					t.Fatal(err)
				}
			}
			if warm.digest.Sum64() != cold.digest.Sum64() {
				t.Fatalf("seed %d, record %d: outputs differ", seed, i)
			}
			if r.IntN(3) == 0 {
				n, err := cold.shed(1 << 40)
				if err != nil {
					t.Fatal(err)
				}
				freed += n
			}
		}
		sameState(t, fmt.Sprint("seed ", seed), pagesOf(warm.shard), pagesOf(cold.shard))
		if freed == 0 {
			t.Error("nothing was put on disk: the test proves nothing")
		}
	}
}
