package pipeline

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/state"
)

// Loading of a running engine's partitions from logs that end or begin in unusual places.

func TestACatchUpOverMarkersAndAbortedRecordsEnds(t *testing.T) {
	// there is no "first live offset" to wait for
	l := newLab(t)
	x, err := kgo.NewClient(kgo.SeedBrokers(l.cluster.ListenAddrs()...), kgo.TransactionalID("producer"),
		kgo.RecordPartitioner(broker.Partitioner))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	produce := func() {
		// the log ends with aborted records and a marker: no record of data is at the group's
		// offset
		for i := range 6 {
			how := kgo.TransactionEndTry(i%2 == 0)
			if err := x.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			records := l.events(60)
			if !how {
				l.n -= 60
			}
			if err := x.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := x.EndTransaction(t.Context(), how); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 3 { // every run on an empty disk
		produce()
		e := l.start(l.config("a", l.store("")))
		l.drained()
		if err := e.end(); err != nil {
			t.Fatal(err)
		}
	}
	l.exact()
	l.journals()
}

func TestACatchUpWaitsForTheJournalsEnd(t *testing.T) {
	l := newLab(t)
	x, err := kgo.NewClient(kgo.SeedBrokers(l.cluster.ListenAddrs()...), kgo.TransactionalID("somebody"),
		kgo.TransactionTimeout(time.Minute), kgo.RecordPartitioner(broker.Partitioner))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := x.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for p := range int32(2) { // an open transaction: read_committed sees nothing behind these
		if err := x.ProduceSync(t.Context(), &kgo.Record{Topic: l.topics.Journal, Partition: p,
			Value: []byte("never committed")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	l.produce(400)
	e := l.start(l.config("a", l.store("")))
	l.drained()
	if err := e.end(); err != nil {
		t.Fatal(err)
	}
	done := l.position()
	l.produce(200)
	b := l.config("a", l.store("")) // the disk is lost
	var reached atomic.Bool
	b.Hooks = &Hooks{CrashPoint: func(point string) {
		if point == "behaviour: catch-up" {
			reached.Store(true)
		}
	}}
	loads := strings.Count(l.text(), "shard loaded")
	l.start(b)
	time.Sleep(2 * time.Second) // long enough to go wrong in
	if at := l.position(); at != done || reached.Load() || strings.Count(l.text(), "shard loaded") != loads {
		t.Errorf("the group went on from %v to %v while the journal's end was hidden", done, at)
	}
	if err := x.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	l.drained()
	l.exact()
	l.journals()
}

func TestAJournalCutBehindTheMarkerIsNotSkippedOver(t *testing.T) {
	for name, changelog := range map[string]bool{"without a changelog the shard stops and says so": false,
		"with one it goes on from there": true} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			old := l.store(t.TempDir())
			run := func(s *state.Store) (Config, *runningEngine) {
				c := l.config("a", s)
				c.Changelog, c.ChangelogEvery = changelog, 100*time.Millisecond
				return c, l.start(c)
			}
			l.produce(300)
			_, e := run(old)
			l.drained()
			if err := e.end(); err != nil {
				t.Fatal(err)
			}
			l.produce(300)
			newer := l.store("")
			_, e = run(newer)
			l.drained()
			if changelog {
				target := l.position()
				l.until("the changelog has the state", func() bool { // of after the first run's
					for p := range int32(2) {
						done := target[p]
						if !slices.ContainsFunc(l.read(l.topics.ChangelogBehaviour, p), func(r *kgo.Record) bool {
							sh := newBehaviour(p, engine(t, 2, 1, l.set), none, "").shard
							return r.Key[0] == changelogMarker && sh.decodeVars(r.Value) == nil &&
								sh.next[mainLog] >= done
						}) {
							l.produce(1) // copies travel with transactions
							return false
						}
					}
					return true
				})
				l.drained()
			}
			if err := e.end(); err != nil {
				t.Fatal(err)
			}
			done := l.position()
			cut := kadm.Offsets{}
			for p := range int32(2) {
				// behind the old disk's marker, and behind nothing that the changelog needs
				all := l.read(l.topics.Journal, p)
				for _, r := range all {
					if j, err := readJournal(r.Value); err == nil && j.next[mainLog] <= done[p]-60 {
						cut.AddOffset(l.topics.Journal, p, r.Offset+1, -1)
					}
				}
			}
			if _, err := l.adm.DeleteRecords(t.Context(), cut); err != nil {
				t.Fatal(err)
			}
			alerts := 0
			for p := range int32(2) {
				alerts += len(l.read(l.topics.Alerts, p))
			}
			l.produce(200)
			_, e = run(old)
			if changelog {
				l.drained()
				l.until("it says what it does", l.says("taking the changelog"))
				l.exact()
				return
			}
			l.until("it says what is wrong", func() bool { return strings.Count(l.text(), "shard paused") > 1 })
			if !strings.Contains(l.text(), "OFFSET_OUT_OF_RANGE") && !strings.Contains(l.text(), "gap") {
				t.Error("the log does not say that the journal is cut")
			}
			if at := l.position(); at != done {
				t.Errorf("the group jumped from %v to %v", done, at)
			}
			_ = e.end()
			fresh := l.store("")
			_, e = run(fresh) // and with an empty disk
			l.until("it says what is wrong", l.says("the journal has a gap"))
			if at := l.position(); at != done {
				t.Errorf("on an empty disk the group jumped from %v to %v", done, at)
			}
			_ = e.end()
		})
	}
}

func TestFactsCutAtTheBeginningAreNotTakenForAll(t *testing.T) {
	// the relation stage has no journal that would show a gap
	l := newLab(t)
	l.produce(400)
	c := l.config("a", l.store(""))
	c.Stages = []string{"behaviour", "relation"}
	e := l.start(c)
	l.drained()
	at := func() int64 {
		o, err := l.adm.FetchOffsets(t.Context(), "lab-relation")
		if err != nil {
			return 0
		}
		x, _ := o.Lookup(l.topics.Facts, 0)
		return x.At
	}
	l.until("the relation stage is at work", func() bool { return at() > 10 })
	if err := e.end(); err != nil {
		t.Fatal(err)
	}
	done := at()
	cut := kadm.Offsets{}
	cut.AddOffset(l.topics.Facts, 0, done/2, -1)
	if _, err := l.adm.DeleteRecords(t.Context(), cut); err != nil {
		t.Fatal(err)
	}
	c = l.config("a", l.store(""))
	c.Stages = []string{"relation"}
	l.start(c)
	l.until("it says what is wrong", l.says("no longer reaches back to its beginning"))
	if got := at(); got != done {
		t.Errorf("the group went on from %d to %d", done, got)
	}
}
