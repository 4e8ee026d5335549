package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/pipeline/broker"
)

// A tick says that nothing is waiting: the relation stage then closes what the partition's next
// events still belong to.
func TestAPartitionIsTickedWhereNothingWaits(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "events", "control"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	options := []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}
	cl, err := kgo.NewClient(append(options, kgo.RecordPartitioner(broker.Partitioner))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx := context.Background()
	for i := range 10 {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "events", Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	// And a transaction, whose marker has an offset of its own.
	txn, err := kgo.NewClient(append(options, kgo.RecordPartitioner(broker.Partitioner), kgo.TransactionalID("t"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer txn.Close()
	if err := txn.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := txn.ProduceSync(ctx, &kgo.Record{Topic: "events", Value: []byte("10")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := txn.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	now := wall()
	newest := now - 3_600_000
	ticks := int64(0)
	for _, x := range []struct {
		name string
		next int64
		set  func(pt *partition)
		want int64
	}{
		{"everything read", 12, func(*partition) {}, 1},
		{"the end stands still, only a transaction's marker is left", 11, func(*partition) {}, 1},
		{"the end stands still, and records wait that a slow broker has not brought", 8, func(*partition) {}, 0},
		{"held: it does not read what is there, but says how far it is", 8, func(pt *partition) { pt.ahead = true }, 1},
		{"an event waits for a day, once those before it are done", 8,
			func(pt *partition) { pt.baseline = &awaited{at: newest + 600_000, before: 2} }, 0},
		{"an event waits for a day, and those before it are done", 8,
			func(pt *partition) { pt.baseline = &awaited{at: newest + 600_000} }, 1},
		{"waits for a set", 8, func(pt *partition) { pt.policies = true }, 0},
		{"failed, only control is read", 8, func(pt *partition) { pt.failure = &failure{skip: true} }, 0},
		{"reads, but its transactions do not commit", 8, func(pt *partition) { pt.polledAt = now - 1000 }, 0},
		{"held long ago", 12, func(pt *partition) { pt.polledAt = now - 5000 }, 1},
	} {
		b := newBehaviour(0, &rules{owners: owners{sources: 1, facts: 1}}, none, "events")
		b.next[mainLog], b.stamp = x.next, now-20_000
		b.clock = clock{seen: true, newest: newest}
		pt := &partition{shard: b.shard, end: 12, endAt: now - 10_000}
		x.set(pt)
		st := &stage{member: member{cfg: &Config{plain: cl, Options: options}, log: slog.New(slog.DiscardHandler)},
			in: []string{"control", "events"}, journal: "journal", partitions: map[int32]*partition{0: pt}}
		st.topics[toControl] = "control"
		st.advanceIdlePartitions(ctx, cl)
		if err := cl.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		wait, cancel := context.WithTimeout(ctx, 5*time.Second)
		ends, err := kadm.NewClient(cl).ListEndOffsets(wait, "control")
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		end, _ := ends.Lookup("control", 0)
		if got := end.Offset - ticks; got != x.want {
			t.Errorf("%s: %d ticks, want %d", x.name, got, x.want)
		}
		ticks = end.Offset
		if x.want == 0 {
			continue
		}
		reader := newReader(options, "control", 0, ticks-1)
		r, err := reader.next(ctx)
		reader.close()
		if err != nil {
			t.Fatal(err)
		}
		if w := pt.baseline; w != nil {
			if got, err := readControl(r.Value); err != nil || got.Kind != controlWait || got.Time != w.at {
				t.Errorf("%s: %s", x.name, r.Value)
			}
			continue
		}
		if got, err := readControl(r.Value); err != nil || got.Kind != controlTick ||
			pt.ahead != (got.Time == newest && got.IdleMS == 0) {
			t.Errorf("%s: %s", x.name, r.Value)
		}
	}
}
