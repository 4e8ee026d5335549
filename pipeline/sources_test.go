package pipeline

import (
	"fmt"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// factsFrom is a facts record that says how far a source is. If at is not 0, it brings a call of one
// user in the bucket of that time.
func factsFrom(set *policy.Set, meter uint64, head factsHead, at int64) *record {
	head.set = set.Hash()
	b := appendFactsHead(nil, head)
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
	if err := b.step(mainLog, &record{stamp: day0, value: fmt.Appendf(nil,
		`{"id":"e","time":%d,"kind":"tool_call","tenant":"acme","agent":{"id":"a"},"user":"u1","tool":{"name":"x"}}`,
		day0)}); err != nil {
		t.Fatal(err)
	}
	b.seal()
	var buckets []detectors.Bucket
	for _, o := range b.out {
		if o.to != toFacts {
			continue
		}
		_, body, err := readFactsHead(o.value)
		if err != nil {
			t.Fatal(err)
		}
		for len(body.B) > 0 && body.B[0] != deltaTag && body.B[0] != noteTag {
			var k detectors.Bucket
			if readBucket(&body, &k); body.Err != nil {
				t.Fatal(body.Err)
			}
			buckets = append(buckets, k)
		}
	}
	if len(buckets) != 2 { // of the limit and of the persona's guard
		t.Fatalf("%d buckets", len(buckets))
	}
	meter := uint64(0)
	for _, k := range buckets {
		if k.Slot != guardSlot {
			meter = k.Counted[0].Meter
		}
	}
	return meter
}

func TestWhichSourcesAreWaitedFor(t *testing.T) {
	set := setOf(t, `{"v":1,"limits":[{"id":"u","scope":"user","measure":"count","max":"0","window":"1h"}]}`)
	meter := meterOf(t, set)
	const at = day0
	// call is the only call, which a source brings; reached, idle and out bring nothing.
	call := func(source int32, watermark int64) *record {
		return factsFrom(set, meter, factsHead{source: source, watermark: watermark}, at)
	}
	idleWithCall := func(source int32, watermark int64) *record {
		return factsFrom(set, meter, factsHead{source: source, watermark: watermark, idle: true}, at)
	}
	reached := func(source int32, watermark int64) *record {
		return factsFrom(set, meter, factsHead{source: source, watermark: watermark}, 0)
	}
	idle := func(source int32, watermark int64) *record {
		return factsFrom(set, meter, factsHead{source: source, watermark: watermark, idle: true}, 0)
	}
	out := func(source int32) *record {
		return factsFrom(set, meter, factsHead{source: source, out: true}, 0)
	}
	for name, c := range map[string]struct {
		records    []*record
		found      int
		incomplete bool
	}{
		"a source that was never heard holds everything back": {[]*record{call(0, at+60_000)}, 0, false},
		"the bucket closes when the last source has passed it": {[]*record{call(0, at+60_000),
			reached(1, at+5000)}, 1, false},
		"and not a moment before": {[]*record{call(0, at+60_000),
			reached(1, at+4999)}, 0, false},
		"an idle source is not waited for":                           {[]*record{idle(1, noTime), call(0, at+60_000)}, 1, false},
		"nor is one that has been left out, and the finding says so": {[]*record{call(0, at+60_000), out(1)}, 1, true},
		"an idle source that goes on is waited for again": {[]*record{idle(1, at-60_000), reached(1, at-60_000),
			call(0, at+60_000)}, 0, false},
		"a source that comes back is waited for, and later findings are complete": {[]*record{out(1),
			reached(1, at-60_000), call(0, at+60_000), reached(1, at+60_000)}, 1, false},
		"when all are idle the newest of them counts": {[]*record{idleWithCall(0, at-60_000),
			idle(1, at+60_000)}, 1, false},
		"a late part is counted at once": {[]*record{reached(0, at+600_000), reached(1, at+600_000),
			call(0, at+600_000)}, 1, false},
		"watermarks do not go back": {[]*record{reached(0, at+60_000), call(0, at-60_000),
			reached(1, at+60_000)}, 1, false},
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
