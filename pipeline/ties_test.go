package pipeline

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
)

// The same, live: a partition's events keep their order, wherever the log is cut into slices.
func TestEventsOfOneMillisecondKeepTheirPartitionsOrder(t *testing.T) {
	set := setOf(t, tiedRule)
	shared := engine(t, 1, 1, set)
	all, want := tied(600)
	for seed := range uint64(4) {
		g := rand.New(rand.NewPCG(seed, 8))
		b, rel := newBehaviour(0, shared, set, "events"), newRelation(0, shared, none)
		rel.begin(1, true)
		st, now := &stage{}, int64(day0)
		var slice []*kgo.Record
		for i, line := range all {
			slice = append(slice, &kgo.Record{Offset: int64(100 + 2*i), Value: line,
				Timestamp: time.UnixMilli(day0 + 30*86_400_000)})
			if g.IntN(4) > 0 && i < len(all)-1 {
				continue
			}
			now += 1400
			if _, err := st.apply(b.shard, &[2][]*kgo.Record{1: slice}, now); err != nil {
				t.Fatal(err)
			}
			b.kept()
			for _, o := range b.out {
				if o.to == toFacts {
					if err := rel.step(mainLog, &record{value: o.value, offset: rel.next[mainLog]}); err != nil {
						t.Fatal(err)
					}
				}
			}
			slice = nil
		}
		end := appendFactsHead(nil, factsHead{now: now, watermark: day0 + 40*86_400_000, set: set.Hash()})
		if err := rel.step(mainLog, &record{value: end, offset: rel.next[mainLog]}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range rel.findings {
			if f.Activity == event.Create {
				got = append(got, f.Refs[len(f.Refs)-1].ID)
			}
		}
		slices.Sort(got)
		if diff := gocmp.Diff(want, got); diff != "" || len(want) < 100 {
			t.Fatalf("seed %d: %d findings (-want +got):\n%s", seed, len(want), diff)
		}
	}
}
