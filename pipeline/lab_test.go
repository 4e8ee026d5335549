package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/state"
)

// A lab is a broker in this process (kfake) for tests of the exactly-once guarantee. What every such
// test asks in the end is lab.exact: the findings on the topic are those of a straight run over the
// logs, none lost, none twice.

// labSession is the session timeout of consumer groups: long enough for a busy machine.
const labSession = 1500 * time.Millisecond

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
	log     logLines
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

// shortEncoder writes what matters of a finding as one line, and while tooLarge is set, more than the
// broker takes.
type shortEncoder struct{ tooLarge atomic.Bool }

func (s *shortEncoder) Record(f *event.Finding) (key, value []byte, headers []Header) {
	value = fmt.Appendf(nil, "%s %d %d %s %d", f.UID, f.Activity, f.Count, f.Observed, f.Last)
	if s.tooLarge.Load() {
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
		Store: store, Policy: l.set, Encoder: &shortEncoder{}, Metrics: NewMetrics(prometheus.NewRegistry()),
		Log:     slog.New(slog.NewTextHandler(&l.log, &slog.HandlerOptions{Level: slog.LevelInfo})),
		MaxPoll: 40, TransactionEvery: time.Millisecond, SessionTimeout: labSession,
		TransactionTimeout: 5 * time.Second, CheckpointEvery: 300 * time.Millisecond}
}

// runningEngine is an engine that a lab has started.
type runningEngine struct {
	l    *lab
	stop context.CancelFunc
	done chan error
}

func (l *lab) start(c Config) *runningEngine {
	ctx, cancel := context.WithCancel(l.Context())
	e := &runningEngine{l, cancel, make(chan error, 1)}
	go func() { e.done <- Run(ctx, c) }()
	l.Cleanup(func() { e.end() })
	return e
}

// end stops the engine and waits until it has stopped.
func (e *runningEngine) end() error {
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

// exact fails unless the findings on the topic are those of a straight run over the logs.
func (l *lab) exact() {
	l.Helper()
	var want, got []string
	shared := engine(l, 2, 1, l.set)
	shared.encoder = &shortEncoder{}
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
		l.Errorf("%d events of %d, %d findings: the test proves nothing", n, l.n, len(want))
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
