package main

import (
	"context"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/cmd/wayward/oracle"
)

// read returns all committed records of a topic as it is now.
func (a *testbed) read(topic string) (out []*kgo.Record) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ends, err := a.adm.ListCommittedOffsets(ctx, topic)
	must(a.t, err)
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		must(a.t, o.Err)
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	cl, err := kgo.NewClient(kgo.SeedBrokers(a.brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords())
	must(a.t, err)
	defer cl.Close()
	for len(left) > 0 {
		f := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			a.t.Fatalf("reading %s: stuck before %v", topic, left)
		}
		f.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
			if end, ok := left[r.Partition]; ok && r.Offset >= end-1 {
				delete(left, r.Partition)
			}
		})
	}
	return out
}

func (a *testbed) compare(sent [][]byte) oracle.Balance {
	l := &oracle.Topics{Alerts: a.read(a.topics.Alerts), DLQ: a.read(a.topics.DLQ), Control: a.read(a.topics.Control),
		Commands: a.read(a.topics.Commands),
		Breakers: a.read(a.topics.Breakers), Acks: a.read(a.topics.Acks), Feedback: a.read(a.topics.Feedback)}
	b := oracle.Compare(sent, a.aside, l)
	oracle.WeighCommands(&b, l)
	oracle.WeighBaselines(&b, sent, a.aside, a.through, a.read(a.topics.Baselines))
	return b
}

// written notes how long an event took to be written.
func (a *testbed) written(d time.Duration) {
	for old := a.slowest.Load(); int64(d) > old && !a.slowest.CompareAndSwap(old, int64(d)); {
		old = a.slowest.Load()
	}
}

// tooLate tells whether some event was so long on its way to the log that the engine may have taken
// its partition for idle and gone on without it: then what it finds depends on the machine.
func (a *testbed) tooLate() bool { return time.Duration(a.slowest.Load()) > 7*time.Second }

// settle waits until nothing is lost any more, or nothing has come for a while.
func (a *testbed) settle(sent [][]byte, most time.Duration) oracle.Balance {
	deadline, least := time.Now().Add(most), math.MaxInt
	for {
		b := a.compare(sent)
		if b.Lost == 0 || time.Now().After(deadline) {
			return b
		}
		if b.Lost < least {
			least, deadline = b.Lost, time.Now().Add(most)
		}
		time.Sleep(300 * time.Millisecond)
	}
}
