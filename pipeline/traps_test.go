package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/state"
)

// The traps of exactly-once (research/engine.md §2.1 and §2.7), each set for the whole engine on
// kfake. J1, J2 and J9 are in package state. What every test asks in the end: the findings are
// those of a straight run over the logs, none lost, none twice.

const trapSession = 1500 * time.Millisecond

// lab is a broker with topics, and what the engine is given there.
type lab struct {
	*testing.T
	cluster *kfake.Cluster
	cl      *kgo.Client
	adm     *kadm.Client
	topics  broker.Topics
	set     *policy.Set
	g       *traffic
	n       int // events produced
	log     labLog
}

// labLog collects what the engine logs.
type labLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *labLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func newLab(t *testing.T) *lab { return newLabOf(t, 2, 1) }

func newLabOf(t *testing.T, partitions, facts int) *lab {
	t.Parallel()
	l := &lab{T: t, topics: broker.DefaultTopics(), set: setOf(t, strict), g: stream(1, 5000, 12)}
	l.topics.Partitions, l.topics.FactsPartitions = partitions, facts
	l.cluster, l.adm = fakeCluster(t, kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(100*time.Millisecond),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err := broker.ApplyTopics(t.Context(), l.adm, planned(t, l.adm, l.topics.Specs(false, 1)),
		func(broker.Change) {}); err != nil {
		t.Fatal(err)
	}
	var err error
	if l.cl, err = kgo.NewClient(kgo.SeedBrokers(l.cluster.ListenAddrs()...),
		kgo.RecordPartitioner(broker.Partitioner)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.cl.Close)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the engine:\n%.8000s", l.text())
		}
	})
	return l
}

func (l *lab) text() string {
	l.log.mu.Lock()
	defer l.log.mu.Unlock()
	return l.log.buf.String()
}

// short writes findings as one line of what matters.
type short struct{ fat atomic.Bool }

func (s *short) Record(f *event.Finding) (key, value []byte, headers []Header) {
	value = fmt.Appendf(nil, "%s %d %d %s %d", f.UID, f.Activity, f.Count, f.Observed, f.Last)
	if s.fat.Load() {
		value = append(value, make([]byte, 2<<20)...)
	}
	return []byte(f.Tenant + "|" + f.Agent), value, nil
}

func (l *lab) store(dir string) *state.Store {
	l.Helper()
	s, err := state.Open(dir)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { s.Close() }) // after those that use it have stopped
	return s
}

func (l *lab) config(instance string, store *state.Store) Config {
	return Config{Options: []kgo.Opt{kgo.SeedBrokers(l.cluster.ListenAddrs()...)}, Topics: l.topics, Group: "lab",
		Instance: instance, Stages: []string{"behaviour"},
		Store: store, Policy: l.set, Encoder: &short{}, Metrics: NewMetrics(prometheus.NewRegistry()),
		Log:     slog.New(slog.NewTextHandler(&l.log, &slog.HandlerOptions{Level: slog.LevelInfo})),
		MaxPoll: 40, TransactionEvery: time.Millisecond, SessionTimeout: trapSession,
		TransactionTimeout: 5 * time.Second, CheckpointEvery: 300 * time.Millisecond}
}

// life is an engine that runs.
type life struct {
	l    *lab
	stop context.CancelFunc
	done chan error
}

func (l *lab) start(c Config) *life {
	ctx, cancel := context.WithCancel(l.Context())
	e := &life{l, cancel, make(chan error, 1)}
	go func() { e.done <- Run(ctx, c) }()
	l.Cleanup(func() { e.end() })
	return e
}

// end stops the engine and waits until it has stopped.
func (e *life) end() error {
	e.stop()
	select {
	case err := <-e.done:
		e.done <- err
		return err
	case <-time.After(20 * time.Second):
		e.l.Error("the engine does not stop")
		return nil
	}
}

func (l *lab) produce(n int) {
	l.Helper()
	if err := l.cl.ProduceSync(l.Context(), l.events(n)...).FirstErr(); err != nil {
		l.Fatal(err)
	}
}

func (l *lab) events(n int) (out []*kgo.Record) {
	for range n {
		line, _ := l.g.event()
		var d event.Decoder
		var e event.Event
		if err := d.Decode(line, &e); err != nil {
			l.Fatal(err)
		}
		out = append(out, &kgo.Record{Topic: l.topics.Events, Partition: -1,
			Key: event.AppendKey(nil, e.Tenant, e.Agent.ID), Value: line})
	}
	l.n += n
	return out
}

// until waits for something that Kafka and the engine do, and fails if they do not.
func (l *lab) until(what string, ok func() bool) {
	l.Helper()
	deadline := time.Now().Add(25 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			l.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (l *lab) says(what string) func() bool {
	return func() bool { return strings.Contains(l.text(), what) }
}

// position is what the group has committed of events, by partition.
func (l *lab) position() [2]int64 {
	o, err := l.adm.FetchOffsets(l.Context(), "lab-behaviour")
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return [2]int64{-1, -1}
	}
	var at [2]int64
	for p := range at {
		if x, ok := o.Lookup(l.topics.Events, int32(p)); ok {
			at[p] = x.At
		}
	}
	return at
}

// drained waits until everything produced is committed.
func (l *lab) drained() {
	l.Helper()
	want := [2]int64{}
	for p := range want {
		if all := l.read(l.topics.Events, int32(p)); len(all) > 0 {
			want[p] = all[len(all)-1].Offset + 1
		}
	}
	l.until("all events are committed", func() bool { at := l.position(); return at[0] >= want[0] && at[1] >= want[1] })
}

// read returns the committed records of a partition as it is now.
func (l *lab) read(topic string, p int32) (out []*kgo.Record) {
	l.Helper()
	ends, err := l.adm.ListCommittedOffsets(l.Context(), topic)
	if err != nil {
		l.Fatal(err)
	}
	starts, err := l.adm.ListStartOffsets(l.Context(), topic)
	if err != nil {
		l.Fatal(err)
	}
	end, _ := ends.Lookup(topic, p)
	start, _ := starts.Lookup(topic, p)
	r := newReader([]kgo.Opt{kgo.SeedBrokers(l.cluster.ListenAddrs()...)}, topic, p, 0)
	defer r.close()
	ctx, cancel := context.WithTimeout(l.Context(), 10*time.Second)
	defer cancel()
	for at := start.Offset; at < end.Offset; {
		kr, err := r.any(ctx)
		if err != nil {
			l.Fatalf("%s[%d] at %d of %d: %v", topic, p, at, end.Offset, err)
		}
		if at = kr.Offset + 1; !kr.Attrs.IsControl() {
			out = append(out, kr)
		}
	}
	return out
}

// exact asks the question of all traps.
func (l *lab) exact() {
	l.Helper()
	var want, got []string
	shared := engine(l, 2, 1, l.set)
	shared.encoder = &short{}
	n := 0
	for p := range int32(2) {
		b := newBehaviour(p, shared, l.set, l.topics.Events)
		events := l.read(l.topics.Events, p)
		n += len(events)
		if _, err := (&stage{}).apply(b.shard, &[2][]*kgo.Record{1: events}, day0); err != nil {
			l.Fatal(err)
		}
		for _, o := range b.out {
			if o.to == toAlerts {
				want = append(want, string(o.value))
			}
		}
	}
	partitions := int32(0)
	td, err := l.adm.ListTopics(l.Context(), l.topics.Alerts)
	if err != nil {
		l.Fatal(err)
	}
	partitions = int32(len(td[l.topics.Alerts].Partitions))
	for p := range partitions {
		for _, r := range l.read(l.topics.Alerts, p) {
			got = append(got, string(r.Value))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := gocmp.Diff(want, got); diff != "" {
		l.Errorf("findings (-straight run +engine), %d and %d:\n%.3000s", len(want), len(got), diff)
	}
	if n != l.n || len(want) < 20 {
		l.Errorf("%d events of %d, %d findings: the test has lost its teeth", n, l.n, len(want))
	}
}

// journals checks that each partition's journal is gapless and takes every event once, and returns
// how many transactions there are.
func (l *lab) journals() (n int) {
	l.Helper()
	for p := range int32(2) {
		seq, next, events := uint64(0), int64(0), int64(0)
		for _, r := range l.read(l.topics.Journal, p) {
			j, err := readJournal(r.Value)
			if err != nil {
				l.Fatal(err)
			}
			if j.seq != seq || j.events > 0 && j.first < next || j.next[mainLog] < next {
				l.Errorf("journal[%d] at %d: transaction %d from %d to %d, want %d from %d on", p, r.Offset, j.seq,
					j.first, j.next[mainLog], seq, next)
				return
			}
			if j.more {
				continue
			}
			seq, next, events = seq+1, j.next[mainLog], events+j.events
			n++
		}
		if all := len(l.read(l.topics.Events, p)); int64(all) != events {
			l.Errorf("journal[%d] has %d events, the log %d", p, events, all)
		}
	}
	return n
}

// network can be frozen, and can lie about how a transaction ended.
type network struct {
	gate sync.RWMutex
	// answers to EndTxn still to be falsified: it was done, the client is told UNKNOWN_SERVER_ERROR
	lies atomic.Int32
	told atomic.Int32
}

func (w *network) dial(ctx context.Context, network, host string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, host)
	return &wireConn{Conn: c, w: w}, err
}

type wireConn struct {
	net.Conn
	w   *network
	end sync.Map // correlation ids of EndTxn
	buf bytes.Buffer
}

func (c *wireConn) Write(b []byte) (int, error) {
	c.w.gate.RLock()
	defer c.w.gate.RUnlock()
	if len(b) >= 12 && binary.BigEndian.Uint16(b[4:]) == uint16(kmsg.EndTxn) {
		c.end.Store(binary.BigEndian.Uint32(b[8:]), true)
	}
	return c.Conn.Write(b)
}

func (c *wireConn) Read(b []byte) (int, error) {
	if c.buf.Len() == 0 {
		full := func(p []byte) error {
			for len(p) > 0 {
				n, err := c.Conn.Read(p)
				if p = p[n:]; err != nil {
					return err
				}
			}
			return nil
		}
		head := make([]byte, 4)
		if err := full(head); err != nil {
			return 0, err
		}
		body := make([]byte, binary.BigEndian.Uint32(head))
		if err := full(body); err != nil {
			return 0, err
		}
		if _, ok := c.end.LoadAndDelete(binary.BigEndian.Uint32(body)); ok && c.w.lies.Load() > 0 &&
			c.w.lies.Add(-1) >= 0 {
			// behind correlation id, tags and throttle: the error
			binary.BigEndian.PutUint16(body[9:], 0xffff)
			c.w.told.Add(1)
		}
		c.buf.Write(head)
		c.buf.Write(body)
	}
	c.w.gate.RLock()
	defer c.w.gate.RUnlock()
	return c.buf.Read(b)
}

func TestJ3ATransactionSaidToBeAbortedMayStand(t *testing.T) {
	l := newLab(t)
	w := &network{}
	c := l.config("a", l.store(""))
	c.Options = append(c.Options, kgo.Dialer(w.dial))
	l.start(c)
	l.produce(300)
	l.until("the engine is at work", func() bool { at := l.position(); return at[0]+at[1] > 0 })
	for range 3 {
		before := w.told.Load()
		w.lies.Store(1)
		l.produce(200)
		l.until("a lie is told", func() bool { return w.told.Load() > before })
	}
	l.drained()
	l.until("the engine notices", l.says("the transaction was said to be aborted, but the group is at"))
	l.exact()
	l.journals()
}

func TestF4AnUnknownOutcomeIsNotTakenForAnAbort(t *testing.T) {
	// J3's neighbour: End itself says that it does not know
	l := newLab(t)
	c := l.config("a", l.store(""))
	l.start(c)
	for range 3 {
		l.produce(200)
		h := l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.RequestTimedOut, TopLevel: true})
		l.produce(100)
		l.until("the fault is met", func() bool { return h.Hits() > 0 })
	}
	l.drained()
	l.exact()
	l.journals()
}

func TestJ4ARecordThatCannotBeWrittenAbortsAll(t *testing.T) {
	l := newLab(t)
	c := l.config("a", l.store(""))
	enc := &short{}
	enc.fat.Store(true)
	c.Encoder = enc
	l.produce(400)
	l.start(c)
	l.until("a transaction is aborted", l.says("a record could not be written, the transaction is aborted"))
	stuck := l.position()
	l.until("and again", func() bool { return strings.Count(l.text(), "could not be written") > 2 })
	if at := l.position(); at != stuck {
		t.Errorf("the group went on from %v to %v over a finding that is not written", stuck, at)
	}
	enc.fat.Store(false)
	l.drained()
	l.exact()
	l.journals()
}

func TestJ5AZombieCannotCommit(t *testing.T) {
	l := newLab(t)
	w := &network{}
	a := l.config("a", l.store(""))
	a.Options = append(a.Options, kgo.Dialer(w.dial))
	a.TransactionTimeout = 60 * time.Second // so that nothing but the group's generation can fence it
	var freeze atomic.Bool
	var frozen sync.WaitGroup
	frozen.Add(1)
	a.Hooks = &Hooks{CrashPoint: func(point string) {
		if point == "behaviour: before End" && freeze.CompareAndSwap(true, false) {
			w.gate.Lock()
			time.Sleep(2 * trapSession) // the broker's clock, not ours, must run out
			w.gate.Unlock()
			frozen.Done()
		}
	}}
	l.start(a)
	l.produce(300)
	l.drained()
	freeze.Store(true)
	l.produce(100)
	l.until("a is frozen inside its transaction", func() bool { return !freeze.Load() })
	l.start(l.config("b", l.store("")))
	l.produce(200)
	frozen.Wait()
	l.produce(100)
	l.drained()
	l.exact()
	l.journals()
}

func TestJ6ACatchUpOverMarkersAndAbortedRecordsEnds(t *testing.T) {
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
	for range 3 { // every life on an empty disk
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

func TestJ7ACatchUpWaitsForTheJournalsEnd(t *testing.T) {
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

func TestJ8APartitionTornApartStopsTheEngine(t *testing.T) {
	l := newLab(t)
	l.produce(50)
	other, err := kgo.NewClient(kgo.SeedBrokers(l.cluster.ListenAddrs()...), kgo.ConsumerGroup("lab-behaviour"),
		kgo.ConsumeTopics(l.topics.Events), kgo.Balancers(kgo.RangeBalancer()),
		kgo.DisableAutoCommit(), kgo.HeartbeatInterval(100*time.Millisecond), kgo.SessionTimeout(trapSession))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	var polls sync.WaitGroup
	polls.Go(func() { // a member that has events alone
		for ctx.Err() == nil {
			other.PollFetches(ctx)
		}
	})
	e := l.start(l.config("a", l.store("")))
	select {
	case err := <-e.done:
		e.done <- err
		if err == nil || !strings.Contains(err.Error(), "without its pair") ||
			!strings.Contains(err.Error(), l.topics.Control) {
			t.Errorf("%v does not say what is wrong", err)
		}
	case <-time.After(15 * time.Second):
		t.Error("the engine goes on with events[p] here and control[p] elsewhere")
	}
	cancel()
	polls.Wait()
	if n := len(l.read(l.topics.Journal, 0)) + len(l.read(l.topics.Journal, 1)); n > 0 {
		l.journals() // what it did before it knew must be right
	}
}

func TestJ10AJournalCutBehindTheMarkerIsNoJump(t *testing.T) {
	for name, changelog := range map[string]bool{"without a changelog the shard stops and says so": false,
		"with one it goes on from there": true} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			old := l.store(t.TempDir())
			life := func(s *state.Store) (Config, *life) {
				c := l.config("a", s)
				c.Changelog, c.ChangelogEvery = changelog, 100*time.Millisecond
				return c, l.start(c)
			}
			l.produce(300)
			_, e := life(old)
			l.drained()
			if err := e.end(); err != nil {
				t.Fatal(err)
			}
			l.produce(300)
			newer := l.store("")
			_, e = life(newer)
			l.drained()
			if changelog {
				target := l.position()
				l.until("the changelog has the state", func() bool { // of after the first life's
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
			_, e = life(old)
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
			_, e = life(fresh) // and with an empty disk
			l.until("it says what is wrong", l.says("the journal has a gap"))
			if at := l.position(); at != done {
				t.Errorf("on an empty disk the group jumped from %v to %v", done, at)
			}
			_ = e.end()
		})
	}
}

func TestJ10FactsCutAtTheBeginningAreNoBeginning(t *testing.T) {
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

func TestF1AHeartbeatThatFailsBetweenPollAndEndDoesNotHang(t *testing.T) {
	l := newLab(t)
	c := l.config("a", l.store(""))
	var left atomic.Int32
	left.Store(3)
	c.Hooks = &Hooks{CrashPoint: func(point string) {
		if point == "behaviour: open transaction" && left.Add(-1) >= 0 {
			h := l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID,
				TopLevel: true})
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := h.Wait(ctx, 1); err != nil {
				t.Errorf("no heartbeat came: %v", err)
			}
		}
	}}
	l.start(c)
	for range 4 {
		l.produce(150)
		l.drained()
	}
	if left.Load() >= 0 {
		t.Error("the fault was never set: the test has lost its teeth")
	}
	l.exact()
	l.journals()
}

func TestTwoInstancesThatComeAndGoLoseNothing(t *testing.T) {
	l := newLab(t)
	stores := map[string]*state.Store{"a": l.store(""), "b": l.store("")}
	a := l.start(l.config("a", stores["a"]))
	l.produce(300)
	b := l.start(l.config("b", stores["b"]))
	l.produce(300)
	l.drained()
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	l.produce(300)
	l.drained()
	a = l.start(l.config("a", stores["a"]))
	l.produce(100)
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	l.produce(100)
	l.drained()
	l.exact()
	l.journals()
}

// unfinished makes a kfake answer as Kafka 4 does until the markers of a transaction are written:
// EndTxn is answered at once, and a transaction that begins meanwhile with offsets is refused with
// CONCURRENT_TRANSACTIONS. They are written once the state was asked for so many times, or a while
// later. Below zero nobody may ask.
func (l *lab) unfinished(stage string, asks int) (refused *atomic.Int32) {
	refused = &atomic.Int32{}
	var mu sync.Mutex
	id := "lab-" + stage + "-a"
	left, until := 0, time.Time{}
	open := func() bool { return left != 0 && time.Now().Before(until) }
	l.cluster.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		if r := req.(*kmsg.EndTxnRequest); r.TransactionalID == id && r.Commit {
			mu.Lock()
			defer mu.Unlock()
			left, until = asks, time.Now().Add(500*time.Millisecond)
		}
		return nil, nil, false
	})
	l.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		// here Kafka and the client wait by themselves
		l.cluster.KeepControl()
		if r := req.(*kmsg.ProduceRequest); r.TransactionID != nil && *r.TransactionID == id {
			mu.Lock()
			defer mu.Unlock()
			left = 0
		}
		return nil, nil, false
	})
	l.cluster.ControlKey(int16(kmsg.DescribeTransactions), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		r := req.(*kmsg.DescribeTransactionsRequest)
		mu.Lock()
		defer mu.Unlock()
		if !slices.Contains(r.TransactionalIDs, id) || !open() {
			return nil, nil, false
		}
		resp := r.ResponseKind().(*kmsg.DescribeTransactionsResponse)
		s := kmsg.NewDescribeTransactionsResponseTransactionState()
		s.TransactionalID, s.State = id, "PrepareCommit"
		if asks < 0 {
			s.ErrorCode, s.State = kerr.TransactionalIDAuthorizationFailed.Code, ""
		} else {
			left--
		}
		resp.TransactionStates = append(resp.TransactionStates, s)
		return resp, nil, true
	})
	l.cluster.ControlKey(int16(kmsg.TxnOffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		r := req.(*kmsg.TxnOffsetCommitRequest)
		mu.Lock()
		defer mu.Unlock()
		if r.TransactionalID != id || !open() {
			return nil, nil, false
		}
		refused.Add(1)
		resp := r.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
		for _, t := range r.Topics {
			x := kmsg.NewTxnOffsetCommitResponseTopic()
			x.Topic, x.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				y := kmsg.NewTxnOffsetCommitResponseTopicPartition()
				y.Partition, y.ErrorCode = p.Partition, kerr.ConcurrentTransactions.Code
				x.Partitions = append(x.Partitions, y)
			}
			resp.Topics = append(resp.Topics, x)
		}
		return resp, nil, true
	})
	return refused
}

// outcomes are the transactions of a stage by outcome and reason, those that there were.
func outcomes(t *testing.T, c Config, stage string) map[string]float64 {
	t.Helper()
	families, err := c.Metrics.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "wayward_transactions_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if n := m.GetCounter().GetValue(); labels["stage"] == stage && n > 0 {
				out[strings.TrimSpace(labels["outcome"]+" "+labels["reason"])] = n
			}
		}
	}
	return out
}

func TestATransactionWithoutRecordsWaitsForTheOneBefore(t *testing.T) {
	l := newLab(t)
	refused := l.unfinished("relation", 2)
	c := l.config("a", l.store(""))
	c.Stages = []string{"behaviour", "relation"}
	l.start(c)
	for range 15 {
		l.produce(40)
		l.drained()
	}
	l.until("the relation stage is at work", func() bool { return outcomes(t, c, "relation")["committed"] >= 10 })
	got := outcomes(t, c, "relation")
	t.Log(got, "offsets refused:", refused.Load())
	delete(got, "committed")
	delete(got, "aborted rebalance") // none is wanted, and one may come while the group forms
	if len(got) > 0 || refused.Load() > 0 {
		t.Errorf("%v of a broker that only needs a moment, %d times refused", got, refused.Load())
	}
}

func TestAnAbortSaysWhy(t *testing.T) {
	l := newLab(t)
	// a broker that does not say how a transaction is, as before Kafka 3.0
	refused := l.unfinished("relation", -1)
	c := l.config("a", l.store(""))
	c.Stages = []string{"behaviour", "relation"}
	l.start(c)
	l.until("offsets are refused again and again", func() bool {
		l.produce(10)
		return refused.Load() > 3
	})
	l.until("it is counted", func() bool { return outcomes(t, c, "relation")["aborted offsets_refused"] >= 3 })
	if n := strings.Count(l.text(), "transaction aborted, its slice is applied again"); n != 1 {
		t.Errorf("said %d times within a minute, want once", n)
	}
	if !strings.Contains(l.text(), "reason=offsets_refused") {
		t.Error("the log does not say why")
	}
}
