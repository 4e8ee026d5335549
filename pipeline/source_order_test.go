package pipeline

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event/wire"
)

func TestTheOrderOfSourcesDoesNotShow(t *testing.T) {
	set := setOf(t, strict)
	shared := engine(t, 3, 1, set)
	for seed := range uint64(8) {
		facts := factsOf(t, shared, set, seed, 600)
		var want []string
		var state map[string]string
		for try := range uint64(6) {
			r := rand.New(rand.NewPCG(seed, try))
			b := newRelation(0, shared, none)
			b.begin(1, true)
			marks := map[int32]int64{}
			for _, rec := range interleave(r, facts) {
				found := len(b.findings)
				if err := b.step(mainLog, &rec); err != nil {
					t.Fatal(err)
				}
				h, _, _ := readFactsHead(rec.value)
				marks[h.source] = max(marks[h.source], h.watermark)
				low := int64(math.MaxInt64)
				for p := range shared.sources {
					low = min(low, marks[p])
				}
				if b.mark > low && b.mark != noTime {
					t.Fatalf("seed %d/%d: the watermark is %d, but a source is at %d", seed, try, b.mark, low)
				}
				for _, f := range b.findings[found:] {
					if end := (wire.FloorDiv(f.Last, detectors.BucketMS) + 1) * detectors.BucketMS; end > low {
						t.Fatalf("seed %d/%d: a bucket that ends at %d was closed while a source was at %d", seed, try,
							end, low)
					}
				}
			}
			if b.counts.lateBuckets != 0 {
				t.Fatalf("seed %d/%d: %d late parts of a stream that is never later than L", seed, try,
					b.counts.lateBuckets)
			}
			got := lines(b.findings)
			if try == 0 {
				want, state = got, pagesOf(b.shard)
				if len(want) < 20 {
					t.Fatalf("seed %d: only %d findings: the test proves nothing", seed, len(want))
				}
				continue
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Fatalf("seed %d/%d (-one order +another):\n%s", seed, try, diff)
			}
			sameState(t, fmt.Sprintf("seed %d/%d", seed, try), state, pagesOf(b.shard))
		}
	}
}
