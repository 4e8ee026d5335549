package pipeline

import (
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// go test ./pipeline -run xxx -bench . -benchtime 1s

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

func BenchmarkPages(b *testing.B) { // all pages of a shard
	s := settled(b, policy.Default(), crowd(200_000, 1000))
	image := s.image()
	delete(image, "")
	size := 0
	for _, body := range image {
		size += len(body)
	}
	perPage := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(image)), "ns/page")
		b.ReportMetric(float64(size)/float64(len(image)), "bytes/page")
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			s.image()
		}
		perPage(b)
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			for key, body := range image {
				if err := makePage(key).decode([]byte(body)); err != nil {
					b.Fatal(err)
				}
			}
		}
		perPage(b)
	})
}
