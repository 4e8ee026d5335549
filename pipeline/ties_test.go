package pipeline

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/policy"
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

// Events of one millisecond keep the order of their log above one agent, too, whatever their ids
// say and by however many it is read.
func TestEventsOfOneMillisecondKeepTheirLogsOrder(t *testing.T) {
	set := setOf(t, tiedRule)
	lines, want := tied(3000)
	path := write(t, "ties.jsonl", bytes.Join(lines, nil))
	for _, x := range []struct{ workers, buffer int }{{1, 0}, {2, 700}, {8, 0}, {8, 5000}} {
		src, err := history.OpenLines(path)
		if err != nil {
			t.Fatal(err)
		}
		if x.buffer > 0 {
			src.Buffer = x.buffer
		}
		var got []string
		r := Replay{Policy: set, Workers: x.workers, Flush: true, Deliver: func(f *event.Finding) error {
			if f.Activity == event.Create {
				got = append(got, f.Refs[len(f.Refs)-1].ID)
			}
			return nil
		}}
		_, err = r.Run(t.Context(), src)
		src.Close()
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		if diff := gocmp.Diff(want, got); diff != "" || len(want) < 500 {
			t.Fatalf("%d workers, buffer %d: %d findings (-want +got):\n%s", x.workers, x.buffer, len(want), diff)
		}
	}
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

func TestNotesAreInOrder(t *testing.T) {
	note := func(at, order int64, id string) *detectors.Note {
		return &detectors.Note{Slot: 9, Scope: policy.UserScope, Tenant: "acme", ID: "u",
			Ref: event.Ref{Time: at, ID: id, Agent: "a"}, Order: order}
	}
	list := []*detectors.Note{note(1, 9, "z"), note(2, 3, "y"), note(2, 4, "b"), note(2, 4, "c"), note(2, 11, "a"),
		note(3, 1, "0")}
	for i := range list {
		for j := range list {
			if list[i].Before(list[j]) != (i < j) {
				t.Errorf("%+v before %+v: %v", list[i], list[j], !(i < j))
			}
		}
	}
}

// A window adds up whatever it holds, in both stages, to the event at which a sum is crossed.
func TestWindowsOfManyEventsInBothStages(t *testing.T) {
	const window, limit = 300_000, 60_000
	for _, by := range []string{"agent", "user"} {
		set := setOf(t, `{"v":1,"rules":[{"id":"r","title":"t","by":["`+by+`"],"window":"5m","suppress":"1s","where":"kind == \"tool_call\"","let":{"s":"sum(result.records)"},
			"having":"s > 60000 and s - result.records <= 60000"}]}`)
		g := rand.New(rand.NewPCG(9, 9))
		var lines []byte
		var want []string
		type one struct{ at, records int64 }
		var in []one
		sum, last, was := int64(0), int64(-1<<62), false
		for i := range 9000 {
			at, records := day0+int64(i)*100, g.Int64N(41)
			id := fmt.Sprint("e", i)
			lines = fmt.Appendf(lines,
				`{"time":%d,"id":%q,"kind":"tool_call","tenant":"acme","agent":{"id":"a"},"user":"u","tool":{"name":"x"},"result":{"outcome":"ok","records":%d}}`+
					"\n", at, id, records)
			in, sum = append(in, one{at, records}), sum+records
			for in[0].at <= at-window {
				in, sum = in[1:], sum-in[0].records
			}
			is := sum > limit && sum-records <= limit
			if is {
				if at-last > 1000 && !was {
					want = append(want, id)
				}
				last = at
			}
			was = is
		}
		slices.Sort(want)
		path := write(t, "many.jsonl", lines)
		for _, x := range []struct{ workers, buffer int }{{1, 0}, {4, 3000}} {
			src, err := history.OpenLines(path)
			if err != nil {
				t.Fatal(err)
			}
			if x.buffer > 0 {
				src.Buffer = x.buffer
			}
			var got []string
			r := Replay{Policy: set, Workers: x.workers, Flush: true, Deliver: func(f *event.Finding) error {
				if f.Incomplete {
					t.Errorf("%s is incomplete", f.Why)
				}
				if f.Activity == event.Create {
					got = append(got, f.Refs[len(f.Refs)-1].ID)
				}
				return nil
			}}
			_, err = r.Run(t.Context(), src)
			src.Close()
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(got)
			if diff := gocmp.Diff(want, got); diff != "" || len(want) < 5 {
				t.Fatalf("by %s, %d workers: %d findings (-want +got):\n%s", by, x.workers, len(want), diff)
			}
		}
	}
}
