package pipeline

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/ulikunitz/xz"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/response"
	"github.com/wayward-sec/wayward/sinks"
	"github.com/wayward-sec/wayward/state"
)

// The properties that hold without a broker: state is a function of the logs, however they are cut,
// undone, torn or interleaved.

func setOf(t testing.TB, def string) *policy.Set {
	t.Helper()
	s, err := policy.Parse([]byte(def))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Sets whose limits are low, so that a short stream finds much.
const (
	strict = `{"v":1,"personas":[{"name":"clerk","default":"allow","tools":{"deny":["rm"]}}],"limits":[
{"id":"agent-calls","scope":"agent","measure":"count","max":"6","window":"1m"},{"id":"session-rows","scope":"session","measure":"records","max":"100"},
{"id":"user-calls","scope":"user","measure":"count","max":"12","window":"1m"},{"id":"user-again","scope":"user","measure":"count","max":"1","window":"1m"},{"id":"user-rows","scope":"user","measure":"records","max":"90","window":"30s","kind":"tumbling"},
{"id":"persona-calls","scope":"persona","measure":"count","max":"30","window":"1m"},{"id":"tenant-money","scope":"tenant","measure":"amount","currency":"EUR","max":"300","window":"5m"}],"rules":[
{"id":"mail-after-search","title":"x","by":["agent"],"within":"20s","suppress":"5s","steps":[{"name":"a","where":"tool.name == \"search\"","capture":{"u":"user"}},{"name":"b","where":"tool.name == \"mail\" and user != a.u"}]},
{"id":"many-mails","title":"x","by":["session"],"window":"1m","where":"tool.name == \"mail\"","let":{"n":"count()"},"having":"n > 3","explain":"string(n)"},
{"id":"passed-on","title":"x","by":["user"],"within":"30s","select":"each","steps":[{"name":"a","where":"tool.name == \"rm\"","capture":{"who":"agent.id"}},{"name":"b","where":"tool.name == \"mail\" and agent.id != a.who"}]},
{"id":"adds-up","title":"x","by":["user"],"within":"1m","suppress":"1s","steps":[{"name":"a","where":"tool.name == \"search\"","let":{"r":"sum(result.records)","d":"distinct(agent.id)"},"having":"r > 20 and d > 1"},
 {"name":"b","where":"tool.name == \"mail\" and result.records < a.r","let":{"m":"sum(amount.value)"},"having":"m > 15"}]},
{"id":"sizes","title":"x","by":["agent"],"window":"2m","suppress":"1s","where":"tool.name in [\"search\", \"mail\"]","let":{"q":"quantile(result.records, 0.5)","top":"max(result.records)","mean":"avg(amount.value)"},"having":"q > 6 and top > mean","explain":"string(q) + string(mean)"},
{"id":"forbidden","title":"x","suppress":"1s","where":"tool.name == \"rm\" and \"tool\" in role.forbids and baseline.p(\"volume\") <= 1"},
{"id":"no-mail","title":"x","by":["agent"],"suppress":"1s","steps":[{"name":"a","where":"tool.name == \"rm\""}],"absent":{"where":"tool.name == \"mail\"","for":"40s"}}]}`
	other = `{"v":1,"limits":[{"id":"agent-calls","scope":"agent","measure":"count","max":"3","window":"1m"},{"id":"user-calls","scope":"user","measure":"count","max":"12","window":"1m"}],"rules":[
{"id":"mail-after-search","title":"x","by":["agent"],"within":"20s","suppress":"5s","steps":[{"name":"a","where":"tool.name == \"search\"","capture":{"u":"user"}},{"name":"b","where":"tool.name == \"mail\" and user != a.u"}]}]}`
)

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

const day0 = 1_700_000_000_000

// traffic is a stream of events with disorder.
type traffic struct {
	*rand.Rand
	now    int64
	n      int
	behind int // up to so many milliseconds
	agents int
	step   int64    // at most so many milliseconds between two events; 0: 1200
	roles  []string // of the agents, in turn; nil: all are clerks
}

func (g *traffic) event() (line []byte, at int64) {
	if g.now == 0 {
		g.now = day0
	}
	g.now += g.Int64N(cmp.Or(g.step, 1200))
	if g.IntN(150) == 0 {
		g.now += 90_000
	}
	g.n++
	at = g.now
	if g.behind > 0 && g.IntN(3) == 0 {
		at -= g.Int64N(int64(g.behind))
	}
	agent := g.IntN(g.agents)
	user := fmt.Sprint("user-", g.IntN(3))
	if g.IntN(3) == 0 {
		user = fmt.Sprint("of-agent-", agent) // so that what is found about the user is about one agent
	}
	persona := "clerk"
	if len(g.roles) > 0 {
		persona = g.roles[agent%len(g.roles)]
	}
	tool := []string{"search", "search", "mail", "rm"}[g.IntN(4)]
	return fmt.Appendf(nil,
		`{"id":"e%06d","time":%d,"kind":"tool_call","tenant":"t%d","agent":{"id":"agent-%d"},"user":%q,"session":"s%d","persona":%q,"tool":{"name":%q},`+
			`"result":{"outcome":"ok","records":%d},"amount":{"value":"%d","currency":"EUR"}}`, g.n, at, g.IntN(2),
		agent,
		user, g.IntN(2), persona, tool, g.IntN(15), g.IntN(20)), at
}

func stream(seed uint64, behind, agents int) *traffic {
	return &traffic{Rand: rand.New(rand.NewPCG(seed, 99)), behind: behind, agents: agents}
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

func TestAnUndoneSliceLeavesNoTrace(t *testing.T) {
	sets := []*policy.Set{setOf(t, strict), setOf(t, other)}
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := busy(seed, 500, 20_000, sets)
		b := newBehaviour(1, small(engine(t, 3, 2, sets...), seed), sets[0], "events")
		st := &stage{}
		var at [2]int
		now := int64(day0)
		dropped := 0
		for at[mainLog] < len(l.records[mainLog]) {
			now += r.Int64N(3000)
			n, m := r.IntN(10), 1+r.IntN(80)
			want, before := imageOf(b.shard), at
			tenants, pages := maps.Clone(b.tenants), b.pageCount()
			undo := r.IntN(3) > 0
			if _, err := st.apply(b.shard, l.take(&at, n, m), now); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if b.pageCount() < pages {
				dropped++
			}
			if !undo {
				b.kept()
				continue
			}
			if err := b.rollback(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			got := imageOf(b.shard)
			sameState(t, fmt.Sprintf("seed %d, records %v to %v", seed, before, at), want, got)
			if !maps.Equal(tenants, b.tenants) {
				t.Fatalf("seed %d: pages by tenant %v, want %v", seed, b.tenants, tenants)
			}
			// Done again it gives what it would have given, byte by byte.
			at = before
			first := newBehaviour(1, b.rules, none, "events")
			for k, pg := range every(b.shard) {
				first.pages[k] = makePage(k)
				if err := first.pages[k].decode(pg.appendTo(nil)); err != nil {
					t.Fatal(err)
				}
				first.enter(pg)
				first.indexed(first.pages[k])
			}
			if err := first.shard.decodeVars([]byte(want[""])); err != nil {
				t.Fatal(err)
			}
			slice := l.take(&at, n, m)
			j1, err1 := st.apply(b.shard, slice, now)
			j2, err2 := st.apply(first.shard, slice, now)
			if err1 != nil || err2 != nil || j1.digest != j2.digest {
				t.Fatalf(
					"seed %d, records %v to %v: after the undo the slice gives %x (%v), on a fresh shard of the same state %x (%v)",
					seed, before, at, j1.digest, err1, j2.digest, err2)
			}
			b.kept()
			first.kept()
			sameState(t, fmt.Sprintf("seed %d, records %v to %v, done again", seed, before, at), imageOf(first.shard),
				imageOf(b.shard))
		}
		if dropped == 0 && seed == 0 {
			t.Error("no slice dropped pages: the test has lost its teeth")
		}
	}
}

func TestAnUndoneSliceOfFactsLeavesNoTrace(t *testing.T) {
	// the relation stage loads anew instead, but what undoes must not depend on who asks
	set := setOf(t, strict)
	shared := engine(t, 2, 1, set)
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 2))
		facts := factsOf(t, shared, set, seed, 300)
		b := newRelation(0, shared, none)
		b.shard.machine = undoing{b}
		order := interleave(r, facts)
		for len(order) > 0 {
			n := min(len(order), 1+r.IntN(6))
			for _, undo := range []bool{true, false} {
				want := imageOf(b.shard)
				b.begin(1, true)
				for i := range order[:n] {
					if err := b.step(mainLog, &order[i]); err != nil {
						t.Fatal(err)
					}
				}
				if !undo {
					break
				}
				if err := b.rollback(); err != nil {
					t.Fatal(err)
				}
				sameState(t, fmt.Sprintf("seed %d, %d records left", seed, len(order)), want, imageOf(b.shard))
			}
			order = order[n:]
		}
	}
}

type undoing struct{ *relation }

func (undoing) undoes() bool { return true }

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
					t.Fatalf("seed %d: only %d findings: the test has lost its teeth", seed, len(want))
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

// mergedDeltas adds up all that shards have learned and told, and, at the end, what they have not
// told yet.
func mergedDeltas(t *testing.T, into map[keyDay]*baselines.Delta, outs []output, ledger map[keyDay]*deltaPage) {
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
	for k, pg := range ledger {
		add(k, pg.delta)
	}
}

func encoded(deltas map[keyDay]*baselines.Delta) map[string]string {
	out := map[string]string{}
	for k, d := range deltas {
		out[fmt.Sprint(k)] = string(d.Append(nil))
	}
	return out
}

// withoutDeltas leaves out how much of what was learned was told already, which depends on where
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
			mergedDeltas(t, deltas, nil, b.deltas)
			if try == 0 {
				want, pages, facts, learned = got, withoutDeltas(pagesOf(b.shard)), sum, encoded(deltas)
				if len(want) < 50 || len(facts) < 50 || len(learned) < 8 {
					t.Fatalf("seed %d: only %d findings, %d buckets and %d deltas: the test has lost its teeth", seed,
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

// loadFrom reads a shard from a store as load.go does.
func loadFrom(t *testing.T, s *state.Store, sp state.Space, sh *shard) {
	t.Helper()
	st := &stage{member: member{cfg: &Config{Store: s}, log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		metrics: NewMetrics(prometheus.NewRegistry()).stage("behaviour")}, kind: sp.Stage, newShard: func(int32) *shard {
		return sh
	}}
	if _, err := st.read(t.Context(), sp.Partition, [2]int64{}); err != nil {
		t.Fatal(err)
	}
}

func TestCatchUpFromAnyMarkerEqualsTheLiveShard(t *testing.T) {
	sets := []*policy.Set{setOf(t, strict), setOf(t, other)}
	for seed := range uint64(12) {
		shared := small(engine(t, 3, 2, sets...), seed)
		r := rand.New(rand.NewPCG(seed, 3))
		l := busy(seed, 500, 20_000, sets)
		store, err := state.Open("")
		if err != nil {
			t.Fatal(err)
		}
		sp := state.Space{Stage: 'b', Partition: 1}
		live := newBehaviour(1, shared, none, "events")
		st := &stage{member: member{cfg: &Config{Store: store}}}
		var journal [][]byte // the topic
		var at [2]int
		now, saves := int64(day0), 0
		for at[mainLog] < len(l.records[mainLog]) {
			now += r.Int64N(2000)
			before := at
			n, m := r.IntN(8), r.IntN(60)
			j, err := st.apply(live.shard, l.take(&at, n, m), now)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if r.IntN(5) == 0 { // aborted
				if err := live.rollback(); err != nil {
					t.Fatal(err)
				}
				at = before
				continue
			}
			live.kept()
			for _, b := range j.encode() {
				journal = append(journal, b)
			}
			live.joff = int64(len(journal))
			if r.IntN(12) == 0 && at[mainLog] < len(l.records[mainLog]) {
				// the last checkpoint is never of the end
				saves++
				pages, _ := live.takeDirty()
				if err := store.Checkpoint(sp, slices.Values(pages), live.shard.appendVars(nil)); err != nil {
					t.Fatal(err)
				}
			}
		}
		back := newBehaviour(1, shared, none, "events")
		loadFrom(t, store, sp, back.shard)
		behind := live.seq - back.seq
		event := slices.IndexFunc(l.records[mainLog],
			func(k *kgo.Record) bool { return k.Offset >= back.next[mainLog] })
		for back.joff < int64(len(journal)) {
			j, err := readJournal(journal[back.joff])
			if err != nil || j.seq != back.seq {
				t.Fatalf("seed %d: journal %d of transaction %d at %d: %v", seed, back.joff, j.seq, back.seq, err)
			}
			back.begin(j.now, false)
			for i := range j.control {
				if err := back.step(controlLog, &j.control[i]); err != nil {
					t.Fatal(err)
				}
			}
			for i := range j.events {
				rec := asRecord(l.records[mainLog][event])
				if event++; i == 0 && rec.offset != j.first {
					t.Fatalf("seed %d: transaction %d begins at %d, the journal says %d", seed, j.seq, rec.offset,
						j.first)
				}
				if err := back.step(mainLog, &rec); err != nil {
					t.Fatal(err)
				}
			}
			back.machine.seal()
			if back.next != j.next || back.clock.watermark() != j.watermark || back.digest.Sum64() != j.digest {
				t.Fatalf("seed %d: transaction %d does not repeat: offsets %v, want %v; outputs %x, want %x", seed,
					j.seq, back.next, j.next, back.digest.Sum64(), j.digest)
			}
			if len(back.out)+len(back.findings) != 0 {
				t.Fatalf("seed %d: catching up is not silent: %d outputs", seed, len(back.out))
			}
			back.kept()
			back.seq++
			back.joff++
		}
		if behind == 0 || seed == 0 && saves == 0 {
			t.Errorf("seed %d: %d checkpoints, %d transactions behind: the test has lost its teeth", seed, saves,
				behind)
		}
		sameState(t, fmt.Sprintf("seed %d", seed), imageOf(live.shard), imageOf(back.shard))
		if !maps.Equal(live.tenants, back.tenants) {
			t.Errorf("seed %d: pages by tenant %v, want %v", seed, back.tenants, live.tenants)
		}
		store.Close()
	}
}

func TestOnlyDamagedStateIsThrownAway(t *testing.T) {
	set := setOf(t, strict)
	shared := engine(t, 1, 1, set)
	sp := state.Space{Stage: 'b', Partition: 1}
	for name, c := range map[string]struct {
		spoil func(page, marker []byte) ([]byte, []byte)
		load  string // error; "": it is rebuilt
	}{
		"a page cut short":   {func(p, m []byte) ([]byte, []byte) { return p[:len(p)-3], m }, ""},
		"a marker cut short": {func(p, m []byte) ([]byte, []byte) { return p, m[:len(m)-3] }, ""},
		"a page of a newer": {func(p, m []byte) ([]byte, []byte) { p[0]++; return p, m },
			"run the binary that wrote it"},
		"a marker of a newer": {func(p, m []byte) ([]byte, []byte) { m[0]++; return p, m },
			"run the binary that wrote it"},
		"a set not found (yet)": {func(p, m []byte) ([]byte, []byte) { m[len(m)-1] ^= 1; return p, m }, "is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := state.Open("")
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			b := newBehaviour(1, shared, set, "events")
			l := busy(1, 20, 0, nil)
			if _, err := (&stage{}).apply(b.shard, l.take(new([2]int), 0, 20), day0); err != nil {
				t.Fatal(err)
			}
			pages, _ := b.takeDirty()
			marker := b.shard.appendVars(nil)
			pages[0].Value, marker = c.spoil(pages[0].Value, marker)
			if err := store.Checkpoint(sp, slices.Values(pages), marker); err != nil {
				t.Fatal(err)
			}
			st := &stage{member: member{cfg: &Config{Store: store}, log: slog.New(slog.DiscardHandler),
				metrics: NewMetrics(prometheus.NewRegistry()).stage("behaviour")}, kind: 'b',
				newShard: func(p int32) *shard { return newBehaviour(p, shared, none, "events").shard }}
			sh, err := st.read(t.Context(), 1, [2]int64{})
			if c.load == "" {
				if err != nil || sh.pageCount() != 0 || sh.seq != 0 || len(store.Spaces()) != 0 {
					t.Errorf("it is not begun anew: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.load) || len(store.Spaces()) != 1 {
				t.Errorf("got %v, want one that says %q; partitions left: %v", err, c.load, store.Spaces())
			}
		})
	}
}

func TestTheRelationStageCatchesUpFromAnyMarker(t *testing.T) {
	set := setOf(t, strict)
	shared := engine(t, 3, 1, set)
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 4))
		store, err := state.Open("")
		if err != nil {
			t.Fatal(err)
		}
		sp := state.Space{Stage: 'r', Partition: 0}
		log := interleave(r, factsOf(t, shared, set, seed, 400))
		cut := r.IntN(len(log))
		live := newRelation(0, shared, none)
		for i := 0; i < len(log); {
			live.begin(1, true)
			for n := 1 + r.IntN(5); n > 0 && i < len(log); n-- {
				if err := live.step(mainLog, &log[i]); err != nil {
					t.Fatal(err)
				}
				i++
			}
			if live.seq++; i >= cut && live.savedSeq == 0 {
				pages, _ := live.takeDirty()
				if err := store.Checkpoint(sp, slices.Values(pages), live.shard.appendVars(nil)); err != nil {
					t.Fatal(err)
				}
			}
		}
		back := newRelation(0, shared, none)
		loadFrom(t, store, sp, back.shard)
		for i := range log {
			if log[i].offset < back.next[mainLog] {
				continue
			}
			back.begin(back.now, false)
			if err := back.step(mainLog, &log[i]); err != nil {
				t.Fatal(err)
			}
		}
		sameState(t, fmt.Sprintf("seed %d", seed), pagesOf(live.shard), pagesOf(back.shard))
		if got, want := string(back.machine.appendVars(nil)), string(live.machine.appendVars(nil)); got != want ||
			back.next != live.next {
			t.Errorf("seed %d: variables %x, want %x", seed, got, want)
		}
		store.Close()
	}
}

func TestClock(t *testing.T) {
	const hour = 3_600_000
	type see struct {
		at    int64
		agent uint64
	}
	run := func(agent uint64, times ...int64) (out []see) {
		for _, at := range times {
			out = append(out, see{at, agent})
		}
		return out
	}
	alone := func(n int) (out []see) {
		for i := range n {
			out = append(out, see{20*hour + int64(i), 2})
		}
		return out
	}
	for name, c := range map[string]struct {
		events []see
		want   int64 // newest
	}{
		"an hour ahead is believed":                         {[]see{{0, 1}, {1, 2}, {1 + hour, 1}}, 1 + hour},
		"more than an hour is not, of one agent among many": {[]see{{0, 1}, {0, 2}, {hour + 1, 1}}, 0},
		"a second agent beyond it confirms it": {[]see{{0, 1}, {0, 2}, {9 * hour, 1}, {9*hour + 5, 2}},
			9*hour + 5},
		"of two that disagree the lower is believed": {[]see{{0, 1}, {0, 2}, {90 * hour, 1}, {9 * hour, 2}},
			9 * hour},
		"the only agent there is needs nobody": {run(1, 0, 50*hour, 99*hour), 99 * hour},
		"an agent that goes on alone confirms itself": {append([]see{{0, 1}, {0, 2}}, alone(loneRun)...),
			20*hour + loneRun - 1},
		"but not before so many events": {append([]see{{0, 1}, {0, 2}}, alone(loneRun-1)...), 0},
		"nor if others interrupt it": {append(append(append([]see{{0, 1}, {0, 2}},
			alone(loneRun-1)...), see{5, 1}), alone(loneRun-1)...), 5},
		"others go on while a jump waits": {[]see{{0, 1}, {0, 2}, {9 * hour, 1}, {1000, 2},
			{2000, 2}}, 2000},
		"and reach it in the end": {[]see{{0, 1}, {0, 2}, {hour + 5, 1}, {10, 2}}, hour + 5},
		"it never goes back":      {[]see{{5000, 1}, {0, 2}, {100, 1}}, 5000},
	} {
		t.Run(name, func(t *testing.T) {
			var k clock
			last := int64(noTime)
			for _, e := range c.events {
				k.see(e.at+day0, 0, e.agent)
				if k.watermark() < last {
					t.Errorf("the watermark went back from %d to %d", last, k.watermark())
				}
				last = k.watermark()
				var back clock // saved and loaded at any time
				r := wire.Reader{B: k.append(nil)}
				if back.decode(&r); r.Err != nil || back != k {
					t.Errorf("%+v comes back as %+v, %v", k, back, r.Err)
				}
			}
			if k.newest != c.want+day0 || k.watermark() != c.want+day0-lateness {
				t.Errorf("newest %d, want %d", k.newest-day0, c.want)
			}
		})
	}
	var k clock
	if k.tick(day0); k.watermark() != noTime {
		t.Error("a tick makes a clock that has seen nothing")
	}
	k.see(day0, 0, 1)
	k.tick(day0 + 5*hour) // ticks are the owner's own, and no jump
	k.tick(day0 + hour)
	if k.reached() != day0+5*hour || k.newest != day0 {
		t.Errorf("after ticks the clock is at %d, the newest event at %d", k.reached()-day0, k.newest-day0)
	}
}

// replayed is what a replay of a file said.
type replayed struct {
	findings string
	bad      []string
	sum      Summary
	err      error
}

func replayFile(t testing.TB, name string, set *policy.Set, workers, buffer int, flush bool) (out replayed) {
	t.Helper()
	src, err := history.OpenLines(name)
	if err != nil {
		return replayed{err: err}
	}
	defer src.Close()
	if buffer > 0 {
		src.Buffer = buffer
	}
	var b []byte
	enc := &sinks.OCSF{}
	r := Replay{Policy: set, Workers: workers, Flush: flush,
		Deliver: func(f *event.Finding) error { b = append(enc.Append(b, f), '\n'); return nil },
		Bad: func(at int64, reason string, err error) {
			out.bad = append(out.bad, fmt.Sprintf("%d %s", at, reason))
		}}
	out.sum, out.err = r.Run(t.Context(), src)
	out.findings = string(b)
	return out
}

func write(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// file is a stream as JSONL.
func file(seed uint64, n, behind, agents int) []byte {
	return fileOf(stream(seed, behind, agents), n)
}

func fileOf(g *traffic, n int) []byte {
	var b []byte
	for range n {
		line, _ := g.event()
		b = append(append(b, line...), '\n')
		if g.IntN(50) == 0 {
			b = append(append(b, line...), '\n') // the same event again
		}
	}
	return b
}

func TestNeitherWorkersNorChunksShowInAReplay(t *testing.T) {
	set := setOf(t, strict)
	for name, behind := range map[string]int{"disorder within L": 8000, "disorder beyond L": 60_000} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "events.jsonl", file(17, 6000, behind, 8))
			for _, flush := range []bool{false, true} {
				var want replayed
				for i, c := range []struct{ workers, buffer int }{{1, 0}, {2, 0}, {8, 0}, {1, 300}, {2, 5000},
					{8, 40_000}, {2, 700_000}} {
					got := replayFile(t, path, set, c.workers, c.buffer, flush)
					if got.err != nil {
						t.Fatal(got.err)
					}
					if i == 0 {
						want = got
						if got.sum.Findings < 200 || got.sum.Repeated == 0 || got.sum.Verdicts == 0 {
							t.Fatalf("%+v: the test has lost its teeth", got.sum)
						}
						continue
					}
					if got.findings != want.findings {
						a, b := strings.Split(want.findings, "\n"), strings.Split(got.findings, "\n")
						n := 0
						for n < min(len(a), len(b)) && a[n] == b[n] {
							n++
						}
						t.Errorf(
							"flush %v, %d workers, chunks of %d: finding %d of %d (%d) is another:\n%.600s\n%.600s",
							flush, c.workers, c.buffer, n, len(a), len(b), a[n], b[n])
					}
					if diff := gocmp.Diff(want.sum, got.sum); diff != "" {
						t.Errorf("flush %v, %d workers, chunks of %d (-want +got):\n%s", flush, c.workers, c.buffer,
							diff)
					}
				}
			}
		})
	}
}

func TestAnEventFromTheFutureDoesNotMakeAllOthersLate(t *testing.T) {
	set := setOf(t, strict)
	plain := file(5, 2000, 5000, 20)
	var want replayed
	for i, where := range []string{"nowhere", "first", "in the middle"} {
		t.Run(where, func(t *testing.T) {
			future := []byte(
				`{"id":"future","time":"2099-01-01T00:00:00Z","kind":"message","tenant":"acme","agent":{"id":"wrong-clock"}}` +
					"\n")
			b := plain
			switch where {
			case "first":
				b = slices.Concat(future, plain)
			case "in the middle":
				cut := bytes.LastIndexByte(plain[:len(plain)/2], '\n') + 1
				b = slices.Concat(plain[:cut], future, plain[cut:])
			}
			got := replayFile(t, write(t, "events.jsonl", b), set, 2, 0, false)
			if got.err != nil {
				t.Fatal(got.err)
			}
			if i == 0 {
				want = got
				return
			}
			if got.sum.Future != 1 || got.sum.Watermark != want.sum.Watermark || got.findings != want.findings {
				t.Errorf("future %d, watermark %d; without the event it is %d; %d findings, want %d", got.sum.Future,
					got.sum.Watermark, want.sum.Watermark, got.sum.Findings, want.sum.Findings)
			}
		})
	}
}

func TestAReplaySaysWhichLineIsBad(t *testing.T) {
	good := func(i int) string {
		return fmt.Sprintf(
			`{"id":"e%d","time":%d,"kind":"tool_call","tenant":"acme","agent":{"id":"a"},"tool":{"name":"x"}}`, i,
			day0+i*1000)
	}
	long := `{"id":"` + strings.Repeat("x", 3<<20) + `"}`
	for name, c := range map[string]struct {
		input  string
		events int64
		bad    []string
	}{
		"nothing":                          {"", 0, nil},
		"empty lines are not records":      {"\n\n" + good(1) + "\n\n{\n" + good(2) + "\n", 2, []string{"5 not_json"}},
		"an unterminated last line counts": {good(1) + "\n" + good(2), 2, nil},
		"and is numbered":                  {good(1) + "\n{", 1, []string{"2 not_json"}},
		"lines end with CRLF, too":         {good(1) + "\r\n\r\n" + good(2) + "\r\nx\r\n", 2, []string{"4 not_json"}},
		"a line of 3 MB is one bad record": {good(1) + "\n" + long + "\n" + good(2) + "\nx\n" + good(3) + "\n", 3,
			[]string{"2 too_large", "4 not_json"}},
		"two of them are two": {long + "\n" + long + "\n" + good(1) + "\nx", 1,
			[]string{"1 too_large", "2 too_large", "4 not_json"}},
		"also at the end": {good(1) + "\n" + long, 1, []string{"2 too_large"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "events", []byte(c.input))
			for _, buffer := range []int{0, 100_000, 1 << 20, event.MaxSize + 1} {
				got := replayFile(t, path, none, 2, buffer, false)
				if got.err != nil || got.sum.Events != c.events {
					t.Errorf("chunks of %d: %d events, want %d; %v", buffer, got.sum.Events, c.events, got.err)
				}
				if diff := gocmp.Diff(c.bad, got.bad); diff != "" {
					t.Errorf("chunks of %d (-want +got):\n%s", buffer, diff)
				}
			}
		})
	}
}

func TestCompressedInput(t *testing.T) {
	plain := file(23, 3000, 5000, 20)
	set := setOf(t, strict)
	want := replayFile(t, write(t, "events.jsonl", plain), set, 2, 0, false)
	pack := func(open func(io.Writer) io.WriteCloser, parts ...[]byte) []byte {
		var b bytes.Buffer
		for _, p := range parts {
			w := open(&b)
			if _, err := w.Write(p); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		return b.Bytes()
	}
	for name, open := range map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"zstd": func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z },
		"xz":   func(w io.Writer) io.WriteCloser { z, _ := xz.NewWriter(w); return z },
	} {
		t.Run(name, func(t *testing.T) {
			whole := pack(open, plain)
			if got := replayFile(t, write(t, "events", whole), set, 2, 0, false); got.err != nil ||
				got.findings != want.findings {
				t.Errorf("%d events, %v", got.sum.Events, got.err)
			}
			half := len(plain) / 3
			if got := replayFile(t, write(t, "events", pack(open, plain[:half], plain[half:])), set, 2, 0,
				false); got.err != nil || got.findings != want.findings {
				t.Errorf("in two pieces, one after the other: %d events, %v", got.sum.Events, got.err)
			}
			for _, cut := range []int{len(whole) - 3, len(whole) / 2, 20, 7} {
				got := replayFile(t, write(t, "events", whole[:cut]), set, 2, 0, false)
				if got.err == nil {
					t.Errorf("%d of %d bytes are taken for the whole", cut, len(whole))
				} else if !strings.Contains(got.err.Error(), "input:") {
					t.Errorf("%v does not say what is wrong", got.err)
				}
			}
		})
	}
}

func TestReplayStopsWhenToldTo(t *testing.T) {
	path := write(t, "events.jsonl", file(1, 5000, 0, 10))
	src, err := history.OpenLines(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	src.Buffer = 1000
	ctx, cancel := context.WithCancel(t.Context())
	r := Replay{Policy: setOf(t, strict), Workers: 2, Deliver: func(*event.Finding) error { cancel(); return nil }}
	if _, err := r.Run(ctx, src); err == nil || ctx.Err() == nil {
		t.Errorf("got %v", err)
	}
	src2, err := history.OpenLines(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src2.Close()
	r.Deliver = func(*event.Finding) error { return io.ErrClosedPipe }
	if _, err := r.Run(t.Context(), src2); err != io.ErrClosedPipe {
		t.Errorf("got %v, want what Deliver said", err)
	}
}

func bucketOf(r *rand.Rand) detectors.Bucket {
	ref := func() event.Ref {
		return event.Ref{Time: r.Int64() - r.Int64(), ID: fmt.Sprint("e", r.IntN(99)),
			Agent: fmt.Sprint("a", r.IntN(9))}
	}
	k := detectors.Bucket{Slot: byte(1 + r.IntN(9)), Scope: policy.Scope(r.IntN(6)), Tenant: "t",
		ID: fmt.Sprint("u|", r.IntN(9)), Index: r.Int64N(1e9) - 5e8}
	meter := uint64(0)
	for range 1 + r.IntN(4) {
		meter += 1 + r.Uint64N(1<<60)
		c := detectors.Counted{Meter: meter, First: ref(), Last: ref(), Mixed: r.IntN(2) == 0}
		if n := len(k.Counted); n > 0 && r.IntN(2) == 0 {
			c.First, c.Last = k.Counted[n-1].First, k.Counted[n-1].Last
		}
		for i := range c.Sums {
			if r.IntN(2) == 0 {
				c.Sums[i] = r.Int64()
			}
		}
		if r.IntN(3) == 0 {
			c.Keep = uint32(1 + r.IntN(5))
			hash := uint64(0)
			for range 1 + r.IntN(int(c.Keep)) {
				hash += 1 + r.Uint64N(1<<60)
				c.Seen = append(c.Seen, hash)
			}
		}
		k.Counted = append(k.Counted, c)
	}
	return k
}

func TestFactsComeBackAsTheyWere(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		h := factsHead{source: int32(r.IntN(4096)), now: r.Int64(),
			watermark: []int64{noTime, r.Int64(), -5}[r.IntN(3)], idle: r.IntN(2) == 0, out: r.IntN(2) == 0,
			activate: r.IntN(2) == 0, set: none.Hash(), format: factsFormat}
		b := appendFactsHead(nil, h)
		var want, got []detectors.Bucket
		for range r.IntN(5) {
			want = append(want, bucketOf(r))
			b = appendBucket(b, &want[len(want)-1])
		}
		back, body, err := readFactsHead(b)
		if err != nil || back != h {
			t.Fatalf("%+v comes back as %+v, %v", h, back, err)
		}
		for len(body.B) > 0 {
			var k detectors.Bucket
			if readBucket(&body, &k); body.Err != nil {
				t.Fatal(body.Err)
			}
			got = append(got, k)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestAJournalOfALongSliceIsSplitAndComesBack(t *testing.T) {
	for _, n := range []int{0, 1, 100, 3000} {
		j := journal{seq: 7, now: day0, next: [2]int64{int64(n), 99}, first: 90, events: 9, watermark: noTime,
			digest: math.MaxUint64}
		for i := range n {
			j.control = append(j.control, record{offset: int64(i), stamp: day0 + int64(i), key: []byte("k"),
				value: bytes.Repeat([]byte{byte(i)}, 700)})
		}
		var control []record
		parts := j.encode()
		for i, b := range parts {
			if len(b) > journalBytes+2000 {
				t.Errorf("%d control records: part %d has %d bytes", n, i, len(b))
			}
			got, err := readJournal(b)
			if err != nil || got.more != (i < len(parts)-1) {
				t.Fatalf("%d control records: part %d of %d: more %v, %v", n, i, len(parts), got.more, err)
			}
			control = append(control, got.control...)
			got.control, got.more = nil, false
			want := j
			want.control = nil
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("part %d comes back as %+v, want %+v", i, got, want)
			}
		}
		if len(control) != n || n > 0 && fmt.Sprint(control) != fmt.Sprint(j.control) {
			t.Errorf("%d control records come back as %d", n, len(control))
		}
		if (n == 3000) != (len(parts) > 1) {
			t.Errorf("%d control records are split into %d", n, len(parts))
		}
	}
}

func TestControlComesBackAsItWas(t *testing.T) {
	want := control{Kind: controlVerdict, Source: 3, Time: day0, IdleMS: 5, Tenant: "acme", Agent: "a|%", Finding: "f",
		Severity: 4, Risk: 75, Set: "x", Offset: 9,
		Persona: "p", Hash: 1 << 63, Open: true, Scope: event.Scope{Type: event.SessionScope, ID: "s", Tenant: "acme",
			Agent: "a"}, Epoch: 3, Body: []byte(`{"a":1}`), State: []byte{0, 255},
		Trip: &order{Scope: event.Scope{Type: event.UserScope, ID: "u", Tenant: "acme"}, Persona: "p",
			Order: response.Order{Action: event.Throttle, DurationMS: 7,
				Rate: event.Rate{Calls: 1, PerSeconds: 2, Classes: []event.Class{event.Read}}, Time: day0,
				FindingUID: "f",
				Reason:     "r", Issuer: event.Issuer{Type: "rule", Rule: "x", Version: "1", By: "b"},
				Trigger: event.Ref{Time: 1, ID: "i", Agent: "a"}, Guarded: true}}}
	if got, err := readControl(want.encode()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v comes back as %+v, %v", want, got, err)
	}
}

func TestPagesComeBackAsTheyWere(t *testing.T) {
	set := setOf(t, strict)
	b := newBehaviour(0, engine(t, 1, 1, set), set, "events")
	l := busy(3, 300, 20_000, nil)
	var at [2]int
	if _, err := (&stage{}).apply(b.shard, l.take(&at, 0, 1000), day0); err != nil {
		t.Fatal(err)
	}
	for k, pg := range every(b.shard) {
		want := pg.appendTo(nil)
		back := makePage(k)
		if err := back.decode(want); err != nil || string(back.appendTo(nil)) != string(want) ||
			back.tenant != pg.tenant {
			t.Errorf("page %q comes back as another: %v", k, err)
		}
		for n := range want {
			if err := makePage(k).decode(want[:n]); err == nil {
				t.Fatalf("page %q: %d of %d bytes decode without an error", k, n, len(want))
			}
		}
		want[0]++
		if err := makePage(k).decode(want); err == nil ||
			!strings.Contains(err.Error(), fmt.Sprint("format ", pageFormat+1)) {
			t.Errorf("a page of a newer format: %v", err)
		}
	}
}

func FuzzPage(f *testing.F) {
	set := setOf(f, strict)
	b := newBehaviour(0, engine(f, 1, 1, set), set, "events")
	l := busy(3, 60, 20_000, nil)
	var at [2]int
	if _, err := (&stage{}).apply(b.shard, l.take(&at, 0, 1000), day0); err != nil {
		f.Fatal(err)
	}
	keys := slices.Sorted(maps.Keys(b.pages))
	for _, k := range keys[:4] {
		f.Add(k, b.pages[k].appendTo(nil))
	}
	k := bucketOf(rand.New(rand.NewPCG(1, 1)))
	scope := makePage("x scope")
	scope.tenant, scope.scope().pending = "t", []detectors.Bucket{k, k}
	f.Add("x scope", scope.appendTo(nil))
	f.Fuzz(func(t *testing.T, key string, b []byte) {
		if key == "" {
			return
		}
		pg := makePage(key)
		if pg.decode(b) != nil {
			return
		}
		once := pg.appendTo(nil)
		back := makePage(key)
		if err := back.decode(once); err != nil || !bytes.Equal(back.appendTo(nil), once) {
			t.Fatalf("%x comes back as %x, %v", once, back.appendTo(nil), err)
		}
	})
}

// FuzzFacts: whatever lies on the facts topic, the relation stage goes on.
func FuzzFacts(f *testing.F) {
	set := setOf(f, strict)
	for _, records := range factsOf(f, engine(f, 2, 1, set), set, 1, 60) {
		for _, r := range records {
			f.Add(r.value)
		}
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newRelation(0, engine(t, 2, 1, set), set)
		s.begin(1, true)
		if err := s.step(mainLog, &record{value: b}); err != nil && !strings.Contains(err.Error(), "is not known") {
			t.Fatal(err)
		}
		for p := range int32(2) { // everything closes
			if err := s.step(mainLog, tell(set, 0, p, math.MaxInt64/2, 0, nil)); err != nil &&
				!strings.Contains(err.Error(), "went back") {
				t.Fatal(err)
			}
		}
		for _, pg := range every(s.shard) {
			back := makePage(pg.key)
			if err := back.decode(pg.appendTo(nil)); err != nil {
				t.Fatalf("page %q does not come back: %v", pg.key, err)
			}
		}
	})
}

func FuzzJournal(f *testing.F) {
	j := journal{seq: 7, next: [2]int64{1, 2}, first: -1,
		control: []record{{offset: 1, stamp: 2, key: []byte("k"), value: []byte("v")}}}
	f.Add(j.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		j, err := readJournal(b)
		if err != nil {
			return
		}
		again, err := readJournal(j.append(nil))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(j) {
			t.Fatalf("%+v comes back as %+v, %v", j, again, err)
		}
	})
}

// FuzzControl: whatever lies on the control topic, the behaviour stage goes on.
func FuzzControl(f *testing.F) {
	set := setOf(f, strict)
	for _, k := range []string{controlTick, controlIdle, controlVerdict, controlRelation, controlSkip, controlActivate,
		controlBroken, "?"} {
		f.Add(control{Kind: k, Source: 1, Time: day0, Tenant: "acme", Agent: "a", Set: set.Hash(), Offset: 5}.encode())
	}
	f.Add([]byte(`{"kind":"relation","source":-1,"time":-9223372036854775808}`))
	l, _ := busyResponding(1, 200)
	for _, r := range l.records[controlLog][:60] {
		f.Add(r.Value)
	}
	armed := setOf(f, armed(true, ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, q := newBehaviour(0, engine(t, 2, 1, set, armed), armed, "events"), newRelation(0,
			engine(t, 2, 1, set, armed), armed)
		s.begin(1, true)
		q.begin(1, true)
		for i := range int64(2) { // twice: the second time there is something to change
			err := errors.Join(s.step(controlLog, &record{offset: i, value: b}),
				q.step(mainLog,
					&record{offset: i, value: append(appendFactsHead(nil, factsHead{now: 1, control: true}), b...)}))
			if err != nil && !strings.Contains(err.Error(), "is not known") {
				t.Fatal(err)
			}
		}
		s.ahead()
		s.seal()
		for _, sh := range []*shard{s.shard, q.shard} {
			for _, pg := range every(sh) {
				back := makePage(pg.key)
				if err := back.decode(pg.appendTo(nil)); err != nil {
					t.Fatalf("page %q does not come back: %v", pg.key, err)
				}
			}
		}
	})
}

func TestADeadLetterIsCutAt900KiB(t *testing.T) {
	header := func(o *output, key string) string {
		for _, h := range o.headers {
			if h.Key == key {
				return string(h.Value)
			}
		}
		return ""
	}
	for _, n := range []int{0, 10, 900 << 10, 900<<10 + 1, 3 << 20} {
		value := bytes.Repeat([]byte{'x'}, n)
		o := deadLetter("agent.events", 3, &record{offset: 77, key: bytes.Repeat([]byte{'k'}, 5000), value: value},
			"too_large", "at most 1 MiB", nil)
		if o.to != toDLQ || len(o.value) != min(n, 900<<10) || !bytes.Equal(o.value, value[:len(o.value)]) ||
			len(o.key) != 4096 {
			t.Errorf("%d bytes: a value of %d, a key of %d", n, len(o.value), len(o.key))
		}
		for k, want := range map[string]string{"reason": "too_large", "detail": "at most 1 MiB",
			"topic": "agent.events", "partition": "3", "offset": "77"} {
			if got := header(&o, k); got != want {
				t.Errorf("%d bytes: header %s is %q, want %q", n, k, got, want)
			}
		}
		length, sum := "", ""
		if n > 900<<10 {
			h := sha256.Sum256(value)
			length, sum = strconv.Itoa(n), hex.EncodeToString(h[:])
		}
		if header(&o, "length") != length || header(&o, "sha256") != sum {
			t.Errorf("%d bytes: length %q and sha256 %q, want %q and %q", n, header(&o, "length"), header(&o, "sha256"),
				length, sum)
		}
	}
}

func TestATenantThatUsesUpItsPagesHarmsNobodyElse(t *testing.T) {
	set := setOf(t, strict)
	shared := engine(t, 1, 1, set)
	shared.pageCap = 20
	b := newBehaviour(0, shared, set, "events")
	b.begin(0, true)
	for i := range 100 {
		b.observe(&event.Event{ID: fmt.Sprint(i), Time: day0, Kind: event.ToolCall, Tenant: "greedy",
			Agent: event.Agent{ID: fmt.Sprint("a", i)}}, day0)
	}
	b.observe(&event.Event{ID: "x", Time: day0, Kind: event.ToolCall, Tenant: "modest", Agent: event.Agent{ID: "a"}},
		day0)
	if b.tenants["greedy"] != 20 || b.tenants["modest"] != 1 || b.counts.dropped != 80 {
		t.Errorf("pages %v, %d dropped", b.tenants, b.counts.dropped)
	}
}
