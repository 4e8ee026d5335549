package pipeline

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event/wire"
)

// mergedFacts adds up all facts that shards wrote: what the relation stage will count, however the
// slices were cut.
func mergedFacts(t *testing.T, into map[string]*detectors.Bucket, outs []output) {
	t.Helper()
	for _, o := range outs {
		if o.to != toFacts {
			continue
		}
		_, body, err := readFactsHead(bytes.Clone(o.value))
		if err != nil {
			t.Fatal(err)
		}
		for len(body.B) > 0 {
			if body.B[0] == deltaTag {
				body.Byte()
				readDelta(t, &body)
				continue
			}
			if body.B[0] == noteTag {
				body.Byte()
				n := readNote(&body, true)
				if body.Err != nil {
					t.Fatal(body.Err)
				}
				key := fmt.Sprintf("note %d %d %d %s|%s %x %d", o.partition, n.Slot, n.Scope, n.Tenant, n.ID, n.Body,
					wire.FloorDiv(n.Ref.Time, detectors.BucketMS))
				if old := into[key]; old == nil || n.Ref.Before(old.Counted[0].First) {
					into[key] = &detectors.Bucket{Counted: []detectors.Counted{{First: n.Ref}}}
				}
				continue
			}
			var k detectors.Bucket
			if readBucket(&body, &k); body.Err != nil {
				t.Fatal(body.Err)
			}
			key := fmt.Sprint(o.partition, k.Slot, k.Scope, k.Tenant, "|", k.ID, k.Index)
			if old := into[key]; old != nil {
				old.Merge(&k)
			} else {
				into[key] = &k
			}
		}
	}
}

func readDelta(t *testing.T, r *wire.Reader) (keyDay, *baselines.Delta) {
	t.Helper()
	k := keyDay{baselines.Key{Tenant: strings.Clone(r.String()), Persona: strings.Clone(r.String()),
		Fork: strings.Clone(r.String())}, r.Varint()}
	d, own := &baselines.Delta{}, wire.Reader{B: r.Bytes()}
	if d.Decode(&own); r.Err != nil || own.Err != nil || len(own.B) > 0 {
		t.Fatal(r.Err, own.Err, len(own.B))
	}
	return k, d
}

// mergedDeltas adds up what shards have learned and sent, and, at the end, what they have not sent
// yet.
func mergedDeltas(t *testing.T, into map[keyDay]*baselines.Delta, outs []output, pages map[string]*page) {
	t.Helper()
	add := func(k keyDay, d *baselines.Delta) {
		if into[k] == nil {
			into[k] = &baselines.Delta{}
		}
		into[k].Merge(d)
	}
	for _, o := range outs {
		if o.to != toFacts || isControlFacts(o.value) {
			continue
		}
		if _, body, _ := readFactsHead(o.value); len(body.B) > 0 && body.B[0] == deltaTag {
			for len(body.B) > 0 {
				body.Byte()
				if k, d := readDelta(t, &body); k.Persona != baselines.TenantWide {
					add(k, d)
				}
			}
		}
	}
	for _, pg := range pages {
		if d, ok := pg.content.(*deltaPage); ok {
			add(keyDay{d.baseline, d.day}, d.delta)
		}
	}
}

func encoded(deltas map[keyDay]*baselines.Delta) map[string]string {
	out := map[string]string{}
	for k, d := range deltas {
		out[fmt.Sprint(k)] = string(d.Append(nil))
	}
	return out
}

// withoutDeltas leaves out how much of what was learned was sent already, which depends on where
// slices end.
func withoutDeltas(pages map[string]string) map[string]string {
	maps.DeleteFunc(pages, func(k, _ string) bool { return k[0] == deltaKind })
	return pages
}

func TestWhereALogIsCutDoesNotShow(t *testing.T) {
	set := setOf(t, strict)
	for seed := range uint64(6) {
		l := busy(seed, 800, 20_000, nil)
		var want []string
		var pages map[string]string
		var facts map[string]*detectors.Bucket
		var learned map[string]string
		for try := range uint64(5) {
			r := rand.New(rand.NewPCG(seed, try))
			b := newBehaviour(1, engine(t, 3, 2, set), set, "events")
			sum, deltas := map[string]*detectors.Bucket{}, map[keyDay]*baselines.Delta{}
			var got []string
			var at [2]int
			for at[mainLog] < len(l.records[mainLog]) {
				n := []int{len(l.records[mainLog]), 1, 1 + r.IntN(10), 1 + r.IntN(300), 100}[try]
				if _, err := (&stage{}).apply(b.shard, l.take(&at, 0, n), day0); err != nil {
					t.Fatal(err)
				}
				b.kept()
				got = append(got, lines(b.findings)...)
				mergedFacts(t, sum, b.out)
				mergedDeltas(t, deltas, b.out, nil)
			}
			mergedDeltas(t, deltas, nil, every(t, b.shard))
			if try == 0 {
				want, pages, facts, learned = got, withoutDeltas(pagesOf(b.shard)), sum, encoded(deltas)
				if len(want) < 50 || len(facts) < 50 || len(learned) < 8 {
					t.Fatalf("seed %d: only %d findings, %d buckets and %d deltas: the test proves nothing", seed,
						len(want), len(facts), len(learned))
				}
				continue
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Fatalf("seed %d, cut %d: findings (-whole +cut):\n%s", seed, try, diff)
			}
			if diff := gocmp.Diff(facts, sum); diff != "" {
				t.Fatalf("seed %d, cut %d: facts (-whole +cut):\n%s", seed, try, diff)
			}
			if diff := gocmp.Diff(learned, encoded(deltas)); diff != "" {
				t.Fatalf("seed %d, cut %d: what is learned (-whole +cut):\n%s", seed, try, diff)
			}
			sameState(t, fmt.Sprintf("seed %d, cut %d", seed, try), pages, withoutDeltas(pagesOf(b.shard)))
		}
	}
}
