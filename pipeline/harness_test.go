package pipeline

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/sinks"
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
// would have it, is imageOf(b.shard). factsOf and interleave make the log of a relation shard from
// what several behaviour shards wrote.

// ocsf is the encoder that users get, without Kafka's headers.
type ocsf struct{ sinks.OCSF }

func (o *ocsf) Record(f *event.Finding) (key, value []byte, headers []Header) {
	return o.Key(nil, f), o.Append(nil, f), nil
}

// engine shares what the shards of a test need.
func engine(t testing.TB, sources, facts int32, list ...*policy.Set) *rules {
	known := map[string]*policy.Set{none.Hash(): none}
	for _, s := range list {
		known[s.Hash()] = s
	}
	return &rules{encoder: &ocsf{}, owners: owners{sources: sources, facts: facts, partition: byKey},
		pageCap: 1000 * int(max(sources, facts)), acks: "agent.acks", feedback: "agent.feedback", set: func(h string) (*policy.Set, error) {
			if known[h] == nil {
				return nil, fmt.Errorf("set %s is not known", h)
			}
			return known[h], nil
		}}
}

// imageOf is the whole state of a shard as it would be on disk; the variables have the empty key.
func imageOf(s *shard) map[string]string {
	out := map[string]string{"": string(s.appendVars(nil))}
	for k, pg := range every(s) {
		out[k] = string(pg.appendTo(nil))
	}
	return out
}

// every is every page of a shard; those that were put by stay so.
func every(s *shard) map[string]*page {
	out := maps.Clone(s.pages)
	take := func(k string, body []byte) {
		if out[k] != nil {
			panic("a page is both at hand and put by: " + k)
		}
		pg := makePage(k)
		if err := pg.decode(body); err != nil {
			panic(err)
		}
		out[k] = pg
	}
	get := func(k string) []byte {
		body, err := s.rules.store.Get(s.space, []byte(k))
		if body == nil || err != nil {
			panic(fmt.Sprintf("page %q is not on disk: %v", k, err))
		}
		return body
	}
	for k, c := range s.cold {
		if c.body == nil {
			c.body = get(k)
		}
		take(k, c.body)
	}
	if len(s.away) > 0 {
		n := 0
		s.rules.store.Keys(s.space, func(k string) bool {
			if _, ok := s.away[xxhash.Sum64String(k)]; ok {
				n++
				take(k, get(k))
			}
			return true
		})
		if n != len(s.away) {
			panic(fmt.Sprintf("%d pages are on disk alone, it has %d of them", len(s.away), n))
		}
	}
	return out
}

func pagesOf(s *shard) map[string]string {
	m := imageOf(s)
	delete(m, "")
	return m
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

// busy makes logs of n events and, if told, a control record now and then.
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
		var records []*kgo.Record
		offset := int64(0)
		flush := func() {
			now += 400
			if _, err := st.apply(b.shard, &[2][]*kgo.Record{1: records}, now); err != nil {
				t.Fatal(err)
			}
			b.kept()
			for _, o := range b.out {
				if o.to == toFacts && o.partition == 0 {
					out[p] = append(out[p], record{value: o.value})
				}
			}
			records = nil
		}
		for i := range n {
			line, at := g.event()
			if int(g.IntN(len(out))) == p { // each source has agents of its own
				line = bytes.Replace(line, []byte(`"agent-`), []byte(fmt.Sprintf(`"agent-%d-`, p)), 1)
				line = bytes.Replace(line, []byte(`"id":"e`), []byte(fmt.Sprintf(`"id":"e%d-`, p)), 1)
				records = append(records, &kgo.Record{Offset: offset, Value: line, Timestamp: time.UnixMilli(at)})
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

// lines are findings without the wall clock.
func lines(found []*event.Finding) (out []string) {
	for _, f := range found {
		g := *f
		g.Now = 0
		out = append(out, fmt.Sprintf("%+v", g))
	}
	return out
}
