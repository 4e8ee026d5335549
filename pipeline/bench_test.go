package pipeline

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// go test ./pipeline -run xxx -bench . -benchtime 1s

// crowd makes decoded events of many agents at honest work: ten events a millisecond, no disorder.
func crowd(n, agents int) []event.Event {
	r := rand.New(rand.NewPCG(1, 1))
	out := make([]event.Event, n)
	for i := range out {
		a := r.IntN(agents)
		out[i] = event.Event{ID: fmt.Sprintf("01JC%08d", i), Time: day0 + int64(i)/10, Kind: event.ToolCall,
			Tenant: "acme", Persona: "clerk", User: fmt.Sprint("user-", a%2000),
			Agent: event.Agent{ID: fmt.Sprintf("agent-%05d", a)}, Session: fmt.Sprint("s", i/(100*agents)),
			Tool: event.Tool{Name: "crm.search", Class: event.Read},
			Has:  event.HasRecords, Result: event.ResultOf{Outcome: event.OK, Records: int64(r.IntN(5))}}
	}
	return out
}

const crowdAgents = 10_000

// settled is a shard of a set of policies that has seen every agent.
func settled(b *testing.B, set *policy.Set, events []event.Event) *behaviour {
	s := newBehaviour(0, engine(b, 1, 4, set), set, "events")
	s.rules.pageCap = 1 << 30
	s.begin(day0, false)
	for i := range events {
		s.observe(&events[i], day0+86_400_000)
	}
	s.seal()
	s.kept()
	return s
}

func perSecond(b *testing.B, n int, what string) {
	b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), what+"/s")
}

// slide moves events on, so that a window never fills and every id is new.
func slide(e *event.Event, round int) {
	e.Time += 60_000
	id := []byte(e.ID)
	for i := range 4 {
		id[i] = byte('A' + round%26)
		round /= 26
	}
	e.ID = string(id)
}

func benchmarkObserve(b *testing.B, set *policy.Set, live bool) {
	events := crowd(20_000, crowdAgents)
	s := settled(b, set, events)
	b.ReportAllocs()
	b.ResetTimer()
	for round := range b.N {
		b.StopTimer()
		for i := range events {
			slide(&events[i], round)
		}
		b.StartTimer()
		for at := 0; at < len(events); at += 4000 { // transactions of 4,000 events
			s.begin(day0, live)
			for i := range events[at : at+4000] {
				s.observe(&events[at+i], day0+1000*86_400_000)
			}
			s.drain()
		}
	}
	perSecond(b, len(events), "events")
}

func BenchmarkObserve(b *testing.B) {
	fifty, errs := policy.Load("../testdata/bench")
	if len(errs) > 0 {
		b.Fatal(errs)
	}
	b.Run("with before-images", func(b *testing.B) { benchmarkObserve(b, policy.Default(), true) })
	b.Run("silently", func(b *testing.B) { benchmarkObserve(b, policy.Default(), false) })
	b.Run("of no limits", func(b *testing.B) { benchmarkObserve(b, none, false) })
	b.Run("of fifty limits", func(b *testing.B) { benchmarkObserve(b, fifty, false) })
}

func BenchmarkApply(b *testing.B) { // decode, observe, seal and journal of a transaction of 4,000 events
	set := policy.Default()
	s := newBehaviour(0, engine(b, 1, 4, set), set, "events")
	s.rules.pageCap = 1 << 30
	g := stream(1, 0, crowdAgents)
	var slice [2][]*kgo.Record
	bytes := int64(0)
	for i := range 4000 {
		line, at := g.event()
		bytes += int64(len(line))
		slice[mainLog] = append(slice[mainLog],
			&kgo.Record{Offset: int64(i), Value: line, Timestamp: time.UnixMilli(at)})
	}
	st := &stage{}
	b.SetBytes(bytes)
	b.ReportAllocs()
	for range b.N {
		s.next[mainLog] = 0
		j, err := st.apply(s.shard, &slice, day0)
		if err != nil {
			b.Fatal(err)
		}
		s.kept()
		j.encode()
		for _, pg := range s.pages {
			if a, ok := pg.content.(*agentPage); ok {
				a.recent.Ring = a.recent.Ring[:0] // so that the ids are new
			}
		}
	}
	perSecond(b, len(slice[mainLog]), "events")
}

func BenchmarkSeal(b *testing.B) { // facts of a transaction of 4,000 events
	events := crowd(4000, crowdAgents)
	s := settled(b, policy.Default(), events)
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	for round := range b.N {
		b.StopTimer()
		s.begin(day0, true)
		for i := range events {
			slide(&events[i], round)
			s.observe(&events[i], day0+1000*86_400_000)
		}
		n = s.partials.Len()
		b.StartTimer()
		s.seal()
		s.kept()
	}
	perSecond(b, len(events), "events")
	b.ReportMetric(float64(n), "buckets")
}

func BenchmarkUndo(b *testing.B) { // of a transaction of 4,000 events
	events := crowd(4000, crowdAgents)
	s := settled(b, policy.Default(), events)
	b.ReportAllocs()
	b.ResetTimer()
	for round := range b.N {
		b.StopTimer()
		s.begin(day0, true)
		for i := range events {
			slide(&events[i], round)
			s.observe(&events[i], day0+1000*86_400_000)
		}
		pages := len(s.undo)
		b.StartTimer()
		if err := s.rollback(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(pages), "pages")
	}
	perSecond(b, len(events), "events")
}

func BenchmarkRelation(b *testing.B) { // take and close what 4,000 events of 2,000 users contributed
	set := policy.Default()
	events := crowd(4000, crowdAgents)
	shared := engine(b, 1, 1, set)
	shared.pageCap = 1 << 30
	s := newBehaviour(0, shared, set, "events")
	r := newRelation(0, shared, set)
	b.ReportAllocs()
	buckets := int64(0)
	for round := range b.N {
		b.StopTimer()
		s.begin(day0, true)
		for i := range events {
			slide(&events[i], round)
			s.observe(&events[i], day0+1000*86_400_000)
		}
		s.seal()
		s.kept()
		b.StartTimer()
		r.begin(day0, true)
		for _, o := range s.out {
			if o.to != toFacts {
				continue
			}
			if err := r.apply(mainLog, &record{value: o.value}); err != nil {
				b.Fatal(err)
			}
		}
		r.advanceTo(events[len(events)-1].Time + 10_000)
		buckets += r.counts.buckets
	}
	perSecond(b, len(events), "events")
	b.ReportMetric(float64(buckets)/b.Elapsed().Seconds(), "buckets/s")
}

func journalOf(control int) *journal {
	j := &journal{seq: 7, now: day0, next: [2]int64{5, 4000}, events: 4000, watermark: day0, digest: 1}
	for i := range control {
		j.control = append(j.control, record{offset: int64(i), stamp: day0, value: control0})
	}
	return j
}

var control0 = control{Kind: controlVerdict, Tenant: "acme", Agent: "agent-00001",
	Finding: "0123456789abcdef0123456789abcdef", Severity: 3, Risk: 50, Time: day0}.encode()

func BenchmarkJournal(b *testing.B) {
	for _, n := range []int{0, 100} {
		j := journalOf(n)
		b.Run(fmt.Sprintf("encode %d control records", n), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				j.encode()
			}
		})
		one := j.encode()[0]
		b.Run(fmt.Sprintf("decode %d control records", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(one)))
			for range b.N {
				if _, err := readJournal(one); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPage(b *testing.B) {
	s := settled(b, policy.Default(), crowd(200_000, 1000))
	var pages []*page
	var coded [][]byte
	size := 0
	for _, pg := range s.pages {
		pages = append(pages, pg)
		coded = append(coded, pg.appendTo(nil))
		size += len(coded[len(coded)-1])
	}
	mean := float64(size) / float64(len(pages))
	b.Run("encode", func(b *testing.B) {
		var buf []byte
		b.ReportAllocs()
		b.SetBytes(int64(mean))
		for i := range b.N {
			buf = pages[i%len(pages)].appendTo(buf[:0])
		}
		b.ReportMetric(mean, "bytes/page")
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(mean))
		for i := range b.N {
			if err := pages[i%len(pages)].decode(coded[i%len(pages)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkReplay(b *testing.B) {
	set := policy.Default()
	for name, step := range map[string]int64{"1000 events a second": 2, "2 events a second": 1000} {
		b.Run(name, func(b *testing.B) {
			g := stream(3, 0, 2000)
			g.step = step
			path := write(b, "events.jsonl", fileOf(g, 100_000))
			b.ReportAllocs()
			b.ResetTimer()
			n := int64(0)
			for range b.N {
				got := replayFile(b, path, set, 2, 0, false)
				if got.err != nil {
					b.Fatal(got.err)
				}
				n += got.sum.Events
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkRing is a step of the watermark in a shard where something is awaited on 10,000 pages,
// none of it due.
func BenchmarkRing(b *testing.B) {
	r := newRelation(0, &rules{owners: owners{sources: 1, facts: 1}}, none)
	for i := range 10_000 {
		r.waiting[&scopePage{}] = int64(1e12) + int64(i)
	}
	for i := range b.N {
		r.ring(int64(i))
	}
}
