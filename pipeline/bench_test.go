package pipeline

import (
	"fmt"
	"math/rand/v2"
	"testing"

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
