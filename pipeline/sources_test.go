package pipeline

import (
	"fmt"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// tell is a facts record that says how far a source is, with a call of one user in the bucket of a
// time if at is not 0.
func tell(set *policy.Set, meter uint64, source int32, watermark, at int64, change func(h *factsHead)) *record {
	h := factsHead{source: source, watermark: watermark, set: set.Hash()}
	if change != nil {
		change(&h)
	}
	b := appendFactsHead(nil, h)
	if at != 0 {
		ref := event.Ref{Time: at, ID: fmt.Sprint("e", at), Agent: "a1"}
		b = appendBucket(b, &detectors.Bucket{Slot: 2, Scope: policy.UserScope, Tenant: "acme", ID: "u1",
			Index:   wire.FloorDiv(at, detectors.BucketMS),
			Counted: []detectors.Counted{{Meter: meter, Sums: detectors.Sums{1}, First: ref, Last: ref}}})
	}
	return &record{value: b}
}

// meterOf finds the meter of a set's only limit above one agent, as a behaviour shard would send
// it.
func meterOf(t testing.TB, set *policy.Set) uint64 {
	t.Helper()
	b := newBehaviour(0, engine(t, 1, 1, set), set, "")
	b.begin(0, true)
	b.observe(&event.Event{ID: "e", Time: day0, Kind: event.ToolCall, Tenant: "acme", Agent: event.Agent{ID: "a"},
		User: "u1"}, day0)
	if b.partials.Len() != 2 { // of the limit and of the persona's guard
		t.Fatalf("%d buckets", b.partials.Len())
	}
	meter := uint64(0)
	b.partials.Each(func(k *detectors.Bucket) {
		if k.Slot != guardSlot {
			meter = k.Counted[0].Meter
		}
	})
	return meter
}

func TestWhichSourcesAreWaitedFor(t *testing.T) {
	set := setOf(t, `{"v":1,"limits":[{"id":"u","scope":"user","measure":"count","max":"0","window":"1h"}]}`)
	meter := meterOf(t, set)
	const at = day0
	idle := func(h *factsHead) { h.idle = true }
	out := func(h *factsHead) { h.out = true }
	for name, c := range map[string]struct {
		records    []*record
		found      int
		incomplete bool
	}{
		"a source that was never heard holds everything back": {[]*record{tell(set, meter, 0, at+60_000, at, nil)},
			0, false},
		"the bucket closes when the last source has passed it": {[]*record{tell(set, meter, 0, at+60_000, at, nil),
			tell(set, meter, 1, at+5000, 0, nil)}, 1, false},
		"and not a moment before": {[]*record{tell(set, meter, 0, at+60_000, at, nil),
			tell(set, meter, 1, at+4999, 0, nil)}, 0, false},
		"an idle source is not waited for": {[]*record{tell(set, meter, 1, noTime, 0, idle),
			tell(set, meter, 0, at+60_000, at, nil)}, 1, false},
		"nor is one that has been left out, and the finding says": {[]*record{tell(set, meter, 0, at+60_000, at, nil),
			tell(set, meter, 1, 0, 0, out)}, 1, true},
		"an idle source that goes on is waited for again": {[]*record{tell(set, meter, 1, at-60_000, 0, idle),
			tell(set, meter, 1, at-60_000, 0, nil), tell(set, meter, 0, at+60_000, at, nil)}, 0, false},
		"a source that was out and comes back is waited for, and later findings are whole": {[]*record{tell(set, meter,
			1, 0, 0, out), tell(set, meter, 1, at-60_000, 0, nil), tell(set, meter, 0, at+60_000, at, nil),
			tell(set, meter, 1, at+60_000, 0, nil)}, 1, false},
		"when all are idle the newest of them counts": {[]*record{tell(set, meter, 0, at-60_000, at, idle),
			tell(set, meter, 1, at+60_000, 0, idle)}, 1, false},
		"a late part is counted at once": {[]*record{tell(set, meter, 0, at+600_000, 0, nil),
			tell(set, meter, 1, at+600_000, 0, nil), tell(set, meter, 0, at+600_000, at, nil)}, 1, false},
		"watermarks do not go back": {[]*record{tell(set, meter, 0, at+60_000, 0, nil),
			tell(set, meter, 0, at-60_000, at, nil), tell(set, meter, 1, at+60_000, 0, nil)}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newRelation(0, engine(t, 2, 1, set), none)
			b.begin(1, true)
			for i, r := range c.records {
				r.offset = int64(i)
				if err := b.step(mainLog, r); err != nil {
					t.Fatal(err)
				}
			}
			if len(b.findings) != c.found || c.found > 0 && b.findings[0].Incomplete != c.incomplete {
				t.Errorf("got %v, want %d, incomplete: %v", lines(b.findings), c.found, c.incomplete)
			}
		})
	}
}
