package pipeline

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
)

const tiedRule = `{"v":1,"rules":[{"id":"r","title":"t","by":["user"],"within":"30d","suppress":"1s","steps":[
	{"name":"a","where":"tool.class == \"read\""},{"name":"b","where":"tool.class == \"send\""}]}]}`

// tied are events of several agents and users, many of them of one millisecond, and the ids of
// those that complete the sequence of tiedRule by the order of the lines.
func tied(n int) (lines [][]byte, want []string) {
	g := rand.New(rand.NewPCG(7, 7))
	armed, last := map[int]bool{}, map[int]int{}
	for i := range n {
		user := g.IntN(5)
		for range 1 + g.IntN(4) {
			class, id := []string{"read", "send", "write"}[g.IntN(3)], fmt.Sprintf("%08x", g.Uint32())
			lines = append(lines,
				fmt.Appendf(nil,
					`{"time":%d,"id":%q,"kind":"tool_call","tenant":"acme","agent":{"id":"a%d"},"user":"u%d","tool":{"name":"x","class":%q},"result":{"outcome":"ok"}}`+
						"\n",
					day0+int64(i)*2000, id, g.IntN(20), user, class))
			switch {
			case class == "read":
				armed[user] = true
			case class == "send" && armed[user]:
				armed[user] = false
				if last[user] != i+1 { // else it is in the finding before
					want = append(want, id)
				}
				last[user] = i + 1
			}
		}
	}
	slices.Sort(want)
	return lines, want
}

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
		var records []*kgo.Record
		for i, line := range all {
			records = append(records, &kgo.Record{Offset: int64(100 + 2*i), Value: line,
				Timestamp: time.UnixMilli(day0 + 30*86_400_000)})
			if g.IntN(4) > 0 && i < len(all)-1 {
				continue
			}
			now += 1400
			if _, err := st.apply(b.shard, &[2][]*kgo.Record{1: records}, now); err != nil {
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
			records = nil
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
