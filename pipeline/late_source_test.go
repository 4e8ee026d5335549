package pipeline

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/wayward-sec/wayward/baselines"
)

// A source that falls silent holds the end of a day up for as long as it is waited for; then it is
// left out, the day's closing names it, and what it brings later is learned with the next day.
func TestAPartitionThatIsLateAtTheEndOfADay(t *testing.T) {
	day := int64(midnight / baselines.DayMS)
	b := newRelation(0, engine(t, 3, 1, none), none)
	b.begin(1, true)
	key := baselines.Key{Tenant: "t", Persona: "clerk"}
	offset := int64(0)
	take := func(r record) {
		t.Helper()
		offset++
		r.offset = offset
		if err := b.step(mainLog, &r); err != nil {
			t.Fatal(err)
		}
	}
	delta := func(source int32, of int64, events uint64) {
		take(deltaFacts(none, source, keyDay{key, of}, events, 0))
	}
	reached := func(source int32, at int64) {
		take(record{value: appendFactsHead(nil, factsHead{source: source, watermark: at, set: none.Hash()})})
	}
	closing := func(of int64) *Closing {
		t.Helper()
		for _, o := range b.out {
			if name, _, _, err := partOf(o.key); o.to == toBaselines && err == nil &&
				name == fmt.Sprintf("c|1|0|%d|%d", of, of) && o.value != nil {
				c := &Closing{}
				if err := json.Unmarshal(o.value, c); err != nil {
					t.Fatal(err)
				}
				return c
			}
		}
		return nil
	}
	for source := range int32(3) {
		reached(source, day*baselines.DayMS+hour)
	}
	delta(0, day, 10)
	delta(1, day, 20)
	delta(2, day, 3) // before it falls silent
	over := (day + 1) * baselines.DayMS
	reached(0, over+2*hour)
	reached(1, over+3*hour)
	if c := closing(day); c != nil {
		t.Fatalf("the day is closed without a source that is still waited for: %+v", c)
	}
	take(record{value: appendFactsHead(nil, factsHead{source: 2, out: true, set: none.Hash()})})
	c := closing(day)
	if c == nil || len(c.LeftOut) != 1 || c.LeftOut[0] != 2 {
		t.Fatalf("the closing of the day does not name who was left out: %+v", c)
	}
	if s, _ := c.For(key); s == nil || s.Events != 33 {
		t.Errorf("the day holds %+v, want the 33 events that had come", s)
	}
	delta(2, day, 7) // it comes back
	delta(0, day+1, 100)
	for source := range int32(3) {
		reached(source, over+baselines.DayMS+hour)
	}
	next := closing(day + 1)
	if next == nil || len(next.LeftOut) != 0 {
		t.Fatalf("the next day: %+v", next)
	}
	if s, _ := next.For(key); s == nil || s.Events != 107 || s.Day != day+1 {
		t.Errorf("the next day holds %+v, want its own 100 events and the 7 that were late", s)
	}
	if len(next.Sources) != 2 || next.Sources[1].Source != 2 || next.Sources[1].Events != 7 {
		t.Errorf("who brought what to the next day: %+v", next.Sources)
	}
	if again := closing(day); again != nil && len(again.LeftOut) != 1 || b.counts.lateDeltas != 1 {
		t.Errorf("the day before was closed again, or nobody has counted what was late: %+v, %d", again,
			b.counts.lateDeltas)
	}
}
