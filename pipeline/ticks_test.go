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
func TestTicks(t *testing.T) {
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
		set  func(st *stage)
		want int64
	}{
		{"everything read", 12, func(*stage) {}, 1},
		{"the end stands still, only a transaction's marker is left", 11, func(*stage) {}, 1},
		{"the end stands still, and records wait that a slow broker has not brought", 8, func(*stage) {}, 0},
		{"held: it does not read what is there, but says how far it is", 8, func(st *stage) { st.held[0] = true }, 1},
		{"an event waits for a day, once those before it are done", 8,
			func(st *stage) { st.awaited[0] = &awaited{at: newest + 600_000, before: 2} }, 0},
		{"an event waits for a day, and those before it are done", 8,
			func(st *stage) { st.awaited[0] = &awaited{at: newest + 600_000} }, 1},
		{"waits for a set", 8, func(st *stage) { st.waiting[0] = true }, 0},
		{"failed, only control is read", 8, func(st *stage) { st.failed[0] = &failure{skip: true} }, 0},
		{"reads, but its transactions do not commit", 8, func(st *stage) { st.polled[0] = now - 1000 }, 0},
		{"held long ago", 12, func(st *stage) { st.polled[0] = now - 5000 }, 1},
	} {
		st := &stage{cfg: &Config{plain: cl, Options: options}, in: []string{"control", "events"}, journal: "journal",
			log:  slog.New(slog.DiscardHandler),
			held: map[int32]bool{}, waiting: map[int32]bool{}, failed: map[int32]*failure{}, polled: map[int32]int64{},
			awaited: map[int32]*awaited{}}
		st.topics[toControl] = "control"
		b := newBehaviour(0, &rules{facts: 1, sources: 1}, none, "events")
		b.next[mainLog], b.stamp, b.end, b.endAt = x.next, now-20_000, 12, now-10_000
		b.clock = clock{seen: true, newest: newest}
		st.shards = map[int32]*shard{0: b.shard}
		x.set(st)
		st.ticks(ctx, cl)
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
		reader := (&stage{cfg: &Config{Options: options}}).reader("control", 0, ticks-1)
		r, err := reader.next(ctx)
		reader.close()
		if err != nil {
			t.Fatal(err)
		}
		if w := st.awaited[0]; w != nil {
			if got, err := readControl(r.value); err != nil || got.Kind != controlWait || got.Time != w.at {
				t.Errorf("%s: %s", x.name, r.value)
			}
			continue
		}
		if got, err := readControl(r.value); err != nil || got.Kind != controlTick ||
			st.held[0] != (got.Time == newest && got.IdleMS == 0) {
			t.Errorf("%s: %s", x.name, r.value)
		}
	}
}
