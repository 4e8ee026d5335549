package pipeline

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/history"
)

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
