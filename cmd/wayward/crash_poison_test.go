package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/cmd/wayward/oracle"
)

// A shard with a damaged page, or with an event that makes it panic, pauses while the others
// commit, and then recovers with nothing lost.
func TestPoisonedPage(t *testing.T) {
	a := newTestbed(t, nil)
	a.aside = map[string]bool{"poison-2": true}
	s := &crashRun{rate: 800, session: 1500 * time.Millisecond, txn: 2 * time.Second}
	spec := a.spec(s, "0")
	spec.Changelog, spec.Proxy = false, "" // rebuilt from the journal, which takes a while
	str := newTraffic(a, 1)
	wait := func(d time.Duration) func() bool {
		until := time.Now().Add(d)
		return func() bool { return time.Now().After(until) }
	}

	str.run(s.rate, wait(time.Second)) // no partition is idle at the start
	e := a.run(spec, nil)
	str.run(s.rate, wait(4*time.Second))
	e.stop(t)
	dir := filepath.Join(spec.State, "store")
	damage(t, dir, 'b', 2)
	damage(t, dir, 'r', 1)

	spec.SlowCatchUp = 25 * time.Millisecond
	spec.Poison = t.TempDir()
	must(t, os.WriteFile(filepath.Join(spec.Poison, "poison-1"), make([]byte, 2), 0o600))
	must(t, os.WriteFile(filepath.Join(spec.Poison, "poison-2"), make([]byte, 99), 0o600))
	var mu sync.Mutex
	events := map[string]time.Time{} // log lines, first and last time
	e = a.run(spec, func(line string) {
		at := func(what string) {
			if _, ok := events[what]; !ok {
				events[what] = time.Now()
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for _, w := range []string{"state is damaged", "shard loaded", "shard paused", "shard recovered", "set aside"} {
			if strings.Contains(line, w) {
				_, rest, _ := strings.Cut(line, " stage=")
				stage, rest, _ := strings.Cut(rest, " ")
				_, p, _ := strings.Cut(rest, "partition=")
				p, _, _ = strings.Cut(p, " ")
				at(w + " " + stage + " " + p)
			}
		}
	})
	// What the group has committed of each partition of events, as time goes by.
	type sample struct {
		at   time.Time
		next map[int32]int64
	}
	var samples []sample
	stop := make(chan struct{})
	var sampler sync.WaitGroup
	sampler.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(40 * time.Millisecond):
			}
			at := time.Now()
			offsets, err := a.adm.FetchOffsets(context.Background(), a.prefix+"wayward-behaviour")
			if err != nil {
				continue
			}
			next := map[int32]int64{}
			offsets.Each(func(o kadm.OffsetResponse) {
				if o.Topic == a.topics.Events {
					next[o.Partition] = o.At
				}
			})
			samples = append(samples, sample{at, next})
		}
	})
	// stood demands that p stood still between two log lines while the others went on.
	stood := func(p int32, from, to string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		lo, ok1 := events[from]
		hi, ok2 := events[to]
		if !ok1 || !ok2 {
			t.Errorf("%q and %q were not both logged: %v", from, to, events)
			return
		}
		var in []sample
		for _, x := range samples {
			if x.at.After(lo.Add(20*time.Millisecond)) && x.at.Before(hi.Add(-80*time.Millisecond)) {
				in = append(in, x)
			}
		}
		if len(in) < 2 {
			t.Errorf("%v between %q and %q: too short to see anything", hi.Sub(lo), from, to)
			return
		}
		first, last := in[0], in[len(in)-1]
		moved := 0
		for q, o := range last.next {
			if q != p && o > first.next[q] {
				moved++
			}
		}
		t.Logf("partition %d paused for %v, %d of 5 others went on", p, hi.Sub(lo).Round(time.Millisecond), moved)
		if first.next[p] != last.next[p] {
			t.Errorf("partition %d committed from %d to %d although it should have paused", p, first.next[p],
				last.next[p])
		}
		if moved < 4 {
			t.Errorf("only %d other partitions went on while %d was paused", moved, p)
		}
	}
	str.run(s.rate, wait(4*time.Second))
	send := func(id string) (p int32) {
		tm := str.time()
		str.send([]byte("acme|"+id),
			fmt.Appendf(nil,
				`{"id":%q,"time":%d,"kind":"tool_call","tenant":"acme","persona":"clerk","session":"s","agent":{"id":%q},"tool":{"name":"admin.drop"}}`,
				id, tm, id))
		return int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte("acme|" + id)}, 6))
	}
	p1, p2 := send("poison-1"), send("poison-2")
	str.run(s.rate, wait(5*time.Second))
	str.finish()
	b := a.settle(str.sent, 20*time.Second)
	close(stop)
	sampler.Wait()
	e.stop(t)
	stood(2, "state is damaged behaviour 2", "shard loaded behaviour 2")
	stood(p1, fmt.Sprint("shard paused behaviour ", p1), fmt.Sprint("shard recovered behaviour ", p1))
	stood(p2, fmt.Sprint("shard paused behaviour ", p2), fmt.Sprint("shard recovered behaviour ", p2))
	if _, ok := events["state is damaged relation 1"]; !ok {
		t.Error("the damaged page of the relation stage was not noticed")
	}
	b = a.compare(str.sent)
	t.Logf("poison: events=%d findings=%d lost=%d doubled=%d wrong=%d", len(str.sent), b.Findings, b.Lost, b.Doubled,
		b.Wrong)
	a.guards = nil // it must complain
	a.verify(t, b, oracle.JournalGaps(a.read(a.topics.Journal)))
}

// damage flips a bit in a page of one partition, at the page's own version: what a bad disk does.
func damage(t *testing.T, dir string, stage byte, p byte) {
	db, err := badger.OpenManaged(badger.DefaultOptions(dir).WithLogger(nil))
	must(t, err)
	defer db.Close()
	tx := db.NewTransactionAt(1<<63, false)
	defer tx.Discard()
	it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte{'p', stage, 0, 0, 0, p}})
	defer it.Close()
	it.Rewind()
	if !it.Valid() {
		t.Fatalf("no page of %c %d on disk", stage, p)
	}
	v, err := it.Item().ValueCopy(nil)
	must(t, err)
	v[len(v)/2] ^= 4
	w := db.NewTransactionAt(1<<63, true)
	must(t, w.Set(it.Item().KeyCopy(nil), v))
	must(t, w.CommitAt(it.Item().Version(), nil))
}
