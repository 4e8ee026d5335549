package pipeline

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/policy"
)

// dayCloses is how long after its end, in milliseconds of event time, a day is closed.
const dayCloses = 50 * 60_000

// deltaFacts is a facts record with one delta of some events.
func deltaFacts(set *policy.Set, source int32, k keyDay, events uint64, offset int64) record {
	b := appendFactsHead(nil, factsHead{source: source, watermark: noTime, set: set.Hash()})
	d := baselines.Delta{Events: events, AgentDays: 1, Sessions: 1}
	return record{offset: offset, value: appendDelta(b, k, d.Append(nil))}
}

func TestTheOrderOfDeltasDoesNotShowInSnapshots(t *testing.T) {
	day := int64(midnight / baselines.DayMS)
	var want map[string]string
	for try := range uint64(20) {
		r := rand.New(rand.NewPCG(try, 9))
		var list []record
		for d := range int64(3) {
			for source := range int32(3) {
				for _, fork := range []string{"", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
					// more than may have a baseline
					list = append(list,
						deltaFacts(none, source, keyDay{baselines.Key{Tenant: "t", Persona: "clerk", Fork: fork},
							day + d}, uint64(source)+uint64(len(fork)*int(d+1)), 0))
				}
			}
		}
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for source := range int32(3) {
			list = append(list,
				record{value: appendFactsHead(nil,
					factsHead{source: source, watermark: (day+3)*baselines.DayMS + dayCloses + r.Int64N(hour),
						set: none.Hash()})})
		}
		b := newRelation(0, engine(t, 3, 1, none), none)
		b.begin(1, true)
		for i := range list {
			list[i].offset = int64(i)
			if err := b.step(mainLog, &list[i]); err != nil {
				t.Fatal(err)
			}
		}
		if b.closed != day+2 {
			t.Fatalf("day %d is closed, want %d", b.closed, day+2)
		}
		got := pagesOf(b.shard)
		for _, o := range b.out {
			if o.to == toBaselines {
				got["topic "+string(o.key)] += string(o.value)
			}
		}
		if want == nil {
			if want = got; len(want) < 30 {
				t.Fatalf("only %d pages and records: the test proves nothing", len(want))
			}
			forks := map[baselines.Key]bool{}
			for _, pg := range every(t, b.shard) {
				if m, ok := pg.content.(*modelPage); ok {
					forks[m.baseline] = true
				}
			}
			if len(forks) != maxForks+1 {
				t.Errorf("%d forks have a baseline, want %d and that of the others", len(forks), maxForks)
			}
			continue
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("try %d (-one order +another):\n%.3000s", try, diff)
		}
	}
}

func TestASilentBaselineIsClosedDayByDayUntilItSleeps(t *testing.T) {
	day := int64(midnight / baselines.DayMS)
	key := baselines.Key{Tenant: "t", Persona: "clerk"}
	// However the watermark gets over a gap, in one step or in many, the same is known at the end
	// of each day.
	var want map[int64]string
	for _, step := range []int64{1, 7, 40, 2000} {
		b := newFileRelation(0, engine(t, 1, 1, none), none, false, false)
		rec := deltaFacts(none, 0, keyDay{key, day}, 3, 0)
		if err := b.apply(mainLog, &rec); err != nil {
			t.Fatal(err)
		}
		for at := day + 1; ; at = min(at+step, day+2000) {
			b.advanceTo(at*baselines.DayMS + dayCloses)
			if at == day+2000 {
				break
			}
		}
		got, closings := map[int64]string{}, 0
		for _, c := range b.takeClosed().closings {
			closings++
			for d := max(c.From, day-2); d <= c.To; d++ {
				s, _ := c.For(key)
				if _, twice := got[d]; twice {
					t.Fatalf("day %d is closed twice", d-day)
				}
				if s != nil {
					got[d] = fmt.Sprint(s.Day-day, " ", s.Hash)
				} else {
					got[d] = "-"
				}
			}
		}
		if want == nil {
			want = got
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("steps of %d days (-of 1 +of this):\n%.2000s", step, diff)
		}
		if len(got) < 2000 || step == 2000 && closings > sleepAfter+5 {
			t.Errorf("%d days in %d closings", len(got), closings)
		}
		if got[day-1] != "-" || !strings.HasPrefix(got[day+10], "10 ") ||
			!strings.HasPrefix(got[day+50], fmt.Sprint(sleepAfter, " ")) {
			t.Errorf("before, on the tenth and on the fiftieth day: %q, %q, %q", got[day-1], got[day+10], got[day+50])
		}
	}
}
