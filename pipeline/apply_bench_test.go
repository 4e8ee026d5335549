package pipeline

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/policy"
)

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
	for round := range b.N {
		j, err := st.apply(s.shard, &slice, day0)
		if err != nil {
			b.Fatal(err)
		}
		s.kept()
		j.encode()
		b.StopTimer()
		for i, r := range slice[mainLog] { // another round of events with ids of their own
			r.Offset += int64(len(slice[mainLog]))
			copy(r.Value[len(`{"id":"`):], fmt.Sprintf("%c%06d", 'f'+round%20, i))
		}
		b.StartTimer()
	}
	perSecond(b, len(slice[mainLog]), "events")
}

func BenchmarkRelation(b *testing.B) { // take and close what 4,000 events of 2,000 users contributed
	set := policy.Default()
	events := crowd(4000, crowdAgents)
	shared := engine(b, 1, 1, set)
	shared.pageCap = 1 << 30
	s := newBehaviour(0, shared, set, "events")
	r := newRelation(0, shared, set)
	b.ReportAllocs()
	buckets, offset := int64(0), int64(0)
	for round := range b.N {
		b.StopTimer()
		s.begin(day0, true)
		for i := range events {
			slide(&events[i], round)
			offset++
			if err := s.step(mainLog, &record{offset: offset, stamp: day0 + 1000*86_400_000,
				value: lineOf(&events[i])}); err != nil {
				b.Fatal(err)
			}
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
