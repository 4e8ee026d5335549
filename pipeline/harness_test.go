package pipeline

import (
	"bytes"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/sinks"
	"github.com/wayward-sec/wayward/state"
)

// The harness drives shards without a broker. A test makes two logs of events and control records
// (busy, or logs.add), cuts slices off them (logs.take), and applies each slice to a shard as a
// transaction would (stage.apply). Then it commits (kept) or undoes (rollback) the slice:
//
//	set := setOf(t, strict)
//	l := busy(seed, 500, 20_000, nil)
//	b := newBehaviour(1, engine(t, 3, 2, set), set, "events")
//	var at [2]int
//	for at[mainLog] < len(l.records[mainLog]) {
//		j, err := (&stage{}).apply(b.shard, l.take(&at, 5, 50), day0)
//		...
//		b.kept()
//	}
//
// What came of it is in b.findings, b.out and the journal record j. The whole state, as the disk
// would have it, is b.image(). factsOf and interleave make the log of a relation shard from
// what several behaviour shards wrote.

// ocsf is the encoder that users get, without Kafka's headers.
type ocsf struct{ sinks.OCSF }

func (o *ocsf) Record(f *event.Finding) (key, value []byte, headers []Header) {
	return o.Key(nil, f), o.Append(nil, f), nil
}

// engine is what the shards of a test share: logs of so many partitions, and the sets that they know.
func engine(t testing.TB, sources, facts int32, list ...*policy.Set) *rules {
	known := map[string]*policy.Set{none.Hash(): none}
	for _, s := range list {
		known[s.Hash()] = s
	}
	partition := func(key []byte, n int32) int32 { return broker.KeyPartition(&kgo.Record{Key: key}, n) }
	set := func(hash string) (*policy.Set, error) {
		if known[hash] == nil {
			return nil, fmt.Errorf("set %s is not known", hash)
		}
		return known[hash], nil
	}
	return &rules{owners: owners{sources: sources, facts: facts, partition: partition}, encoder: &ocsf{},
		pageCap: 1000 * int(max(sources, facts)), acks: "agent.acks", feedback: "agent.feedback", set: set}
}

// pagesOf is the state of a shard without what is in no page.
func pagesOf(s *shard) map[string]string {
	m := s.image()
	delete(m, "")
	return m
}

// every is every page of a shard, decoded from what the disk would have. Nothing that is done to one
// reaches the shard.
func every(t testing.TB, s *shard) map[string]*page {
	t.Helper()
	out := map[string]*page{}
	for key, body := range pagesOf(s) {
		pg := makePage(key)
		if err := pg.decode([]byte(body)); err != nil {
			t.Fatalf("page %q does not come back: %v", key, err)
		}
		out[key] = pg
	}
	return out
}

// restore loads a shard that is empty from an image, as the engine loads one from the disk.
func restore(t testing.TB, s *shard, image map[string]string) {
	t.Helper()
	for key, body := range image {
		if key == "" {
			continue
		}
		pg := makePage(key)
		if err := pg.decode([]byte(body)); err != nil {
			t.Fatalf("page %q: %v", key, err)
		}
		s.take(pg, []byte(body))
	}
	if err := s.decodeVars([]byte(image[""])); err != nil {
		t.Fatal(err)
	}
}

// tenantPages is how many pages a tenant has in a behaviour shard.
func tenantPages(s *shard, tenant string) (n int) {
	for key := range pagesOf(s) {
		if strings.HasPrefix(key[1:], tenant+"|") {
			n++
		}
	}
	return n
}

func sameState(t *testing.T, what string, want, got map[string]string) {
	t.Helper()
	if maps.Equal(want, got) {
		return
	}
	n := 0
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[k]; !ok || g != want[k] {
			if n++; n < 4 {
				t.Errorf("%s: page %q (there: %v)\nwant %x\ngot  %x", what, k, ok, want[k], g)
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[k]; !ok {
			if n++; n < 4 {
				t.Errorf("%s: page %q should not be there", what, k)
			}
		}
	}
	t.Fatalf("%s: %d of %d pages differ", what, n, len(want))
}

// logs are the two logs of a behaviour shard, with gaps in the offsets as transactions leave them.
type logs struct {
	records [2][]*kgo.Record
	next    [2]int64
}

func (l *logs) add(log int, value []byte, stamp int64) {
	l.records[log] = append(l.records[log], &kgo.Record{Offset: l.next[log], Value: value,
		Timestamp: time.UnixMilli(stamp)})
	l.next[log]++
}

func (l *logs) gap(log int) { l.next[log]++ }

// busy makes logs of n events and, given sets, a control record now and then.
func busy(seed uint64, n int, behind int, sets []*policy.Set) *logs {
	g := stream(seed, behind, 5)
	l := &logs{}
	for range n {
		switch g.IntN(60) {
		case 0:
			// no event, but somebody's
			l.add(mainLog, fmt.Appendf(nil, `{"tenant":"t%d","agent":{"id":"agent-%d"},"time":%d,"n":%d,`, g.IntN(2),
				g.IntN(4), g.now, g.n), g.now)
		case 1:
			l.gap(mainLog)
		case 2:
			g.now += 25 * 3_600_000 // sessions end, pages are dropped
		case 3:
			line, at := g.event()
			// from the future
			l.add(mainLog, bytes.Replace(line, []byte(strconv.FormatInt(at, 10)),
				[]byte(strconv.FormatInt(at+500_000_000, 10)), 1), at)
		case 4:
			line, at := g.event()
			l.add(mainLog, line, at)
			l.add(mainLog, line, at) // twice
		}
		line, at := g.event()
		l.add(mainLog, line, at+100)
		if len(sets) > 0 && g.IntN(8) == 0 {
			c := []control{{Kind: controlTick, Time: g.now + 5000, IdleMS: g.Int64N(20_000)}, {Kind: controlIdle},
				{Kind: "of a later version"},
				{Kind: controlVerdict, Tenant: "t0", Agent: fmt.Sprint("agent-", g.IntN(9)), Time: at},
				{Kind: controlRelation, Source: int32(g.IntN(3)), Time: at - 20_000},
				{Kind: controlSkip, Offset: l.next[mainLog] + g.Int64N(3)},
				{Kind: controlActivate, Set: sets[g.IntN(len(sets))].Hash()},
				{Kind: controlBroken, Tenant: "t1", Agent: fmt.Sprint("agent-", g.IntN(4)), Time: at,
					Finding: fmt.Sprint("x", g.n), Sum: uint64(g.n), Reason: "not_json"}}[g.IntN(8)]
			l.add(controlLog, c.encode(), at)
			if g.IntN(4) == 0 {
				l.gap(controlLog)
			}
		}
	}
	return l
}

// take cuts the next slice off both logs.
func (l *logs) take(at *[2]int, control, main int) *[2][]*kgo.Record {
	var out [2][]*kgo.Record
	for log, n := range [2]int{control, main} {
		end := min(len(l.records[log]), at[log]+n)
		out[log] = l.records[log][at[log]:end]
		at[log] = end
	}
	return &out
}

// lines are findings without the wall clock.
func lines(found []*event.Finding) (out []string) {
	for _, f := range found {
		g := *f
		g.Now = 0
		out = append(out, fmt.Sprintf("%+v", g))
	}
	return out
}

// small makes the state of the tests' engines so small that tenants use up their shares, for every
// second seed.
func small(r *rules, seed uint64) *rules {
	if seed%2 == 1 {
		r.pageCap = 5 * int(max(r.sources, r.facts))
	}
	return r
}

func scratch(t *testing.T) *state.Store {
	t.Helper()
	s, err := state.Scratch(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// leastBudget is a budget of one byte: after each garbage collection all that may leave memory does.
// The runtime is not held to it, for it would do nothing but collect.
func leastBudget() *Budget {
	before := debug.SetMemoryLimit(-1)
	b := NewBudget(1)
	debug.SetMemoryLimit(before)
	return b
}
