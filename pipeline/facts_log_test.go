package pipeline

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/policy"
)

// factsOf runs a behaviour shard for each source over its own events and returns the facts that
// each wrote, in order, the last of which lets everything close.
func factsOf(t testing.TB, shared *rules, set *policy.Set, seed uint64, n int) [][]record {
	t.Helper()
	out := make([][]record, shared.sources)
	for p := range out {
		b := newBehaviour(int32(p), shared, set, "events")
		g := stream(seed, 8000, 4)
		st := &stage{}
		now := int64(day0)
		var slice []*kgo.Record
		offset := int64(0)
		flush := func() {
			now += 400
			if _, err := st.apply(b.shard, &[2][]*kgo.Record{1: slice}, now); err != nil {
				t.Fatal(err)
			}
			b.kept()
			for _, o := range b.out {
				if o.to == toFacts && o.partition == 0 {
					out[p] = append(out[p], record{value: o.value})
				}
			}
			slice = nil
		}
		for i := range n {
			line, at := g.event()
			if int(g.IntN(len(out))) == p { // each source has agents of its own
				line = bytes.Replace(line, []byte(`"agent-`), []byte(fmt.Sprintf(`"agent-%d-`, p)), 1)
				line = bytes.Replace(line, []byte(`"id":"e`), []byte(fmt.Sprintf(`"id":"e%d-`, p)), 1)
				slice = append(slice, &kgo.Record{Offset: offset, Value: line, Timestamp: time.UnixMilli(at)})
				offset++
			}
			if g.IntN(12) == 0 || i == n-1 {
				flush()
			}
		}
		out[p] = append(out[p],
			record{value: appendFactsHead(nil, factsHead{source: int32(p), now: now, watermark: day0 + 40*86_400_000,
				set: set.Hash()})})
	}
	return out
}

// interleave mixes the sources, each in its own order, as a log might have it.
func interleave(r *rand.Rand, facts [][]record) (out []record) {
	var at []int
	for p := range facts {
		at = append(at, slices.Repeat([]int{p}, len(facts[p]))...)
	}
	r.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
	next := make([]int, len(facts))
	for i, p := range at {
		k := facts[p][next[p]]
		next[p]++
		k.offset = int64(i)
		out = append(out, k)
	}
	return out
}
