package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/state"
)

// quietEngine is an engine on a fake clock: broker, network, engine and all their timers are in one
// bubble, so that an hour without an event takes seconds.
type quietEngine struct {
	*testing.T
	net    kfake.VirtualNetwork
	topics broker.Topics
	opts   []kgo.Opt
	cl     *kgo.Client
	adm    *kadm.Client
	dir    string
	n      int
}

const quietPolicies = `{"v":1,"limits":[
{"id":"user-calls","scope":"user","measure":"count","max":"2","window":"1m"},
{"id":"agent-calls","scope":"agent","measure":"count","max":"3","window":"10m"}],"rules":[
{"id":"no-mail","title":"x","by":["agent"],"suppress":"1s","steps":[{"name":"a","where":"tool.name == \"rm\""}],"absent":{"where":"tool.name == \"mail\"","for":"10m"}},
{"id":"many","title":"x","by":["user"],"window":"30m","where":"tool.name == \"rm\"","let":{"n":"count()"},"having":"n > 2","explain":"string(n)"}]}`

func newQuietEngine(t *testing.T, partitions int) *quietEngine {
	q := &quietEngine{T: t, topics: broker.DefaultTopics(), dir: t.TempDir()}
	q.topics.Partitions, q.topics.FactsPartitions = partitions, 2
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ListenFn(q.net.Listen),
		kfake.GroupMinSessionTimeout(100*time.Millisecond),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	q.opts = []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.Dialer(q.net.DialContext)}
	if q.cl, err = kgo.NewClient(append(q.opts, kgo.RecordPartitioner(broker.Partitioner))...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.cl.Close)
	q.adm = kadm.NewClient(q.cl)
	if err := broker.ApplyTopics(t.Context(), q.adm, planned(t, q.adm, q.topics.Specs(false, 1)),
		func(broker.Change) {}); err != nil {
		t.Fatal(err)
	}
	return q
}

// run starts an instance, and returns what stops it.
func (q *quietEngine) run(instance string) (stop func()) {
	dir := filepath.Join(q.dir, instance)
	store, err := state.Open(dir)
	if err != nil {
		q.Fatal(err)
	}
	log := &logLines{}
	c := Config{Options: q.opts, Topics: q.topics, Group: "quiet", Instance: instance,
		Stages: []string{"behaviour", "relation"}, Store: store,
		Policy: setOf(q, quietPolicies), Encoder: &shortEncoder{}, Metrics: NewMetrics(prometheus.NewRegistry()),
		Log: slog.New(slog.NewTextHandler(log, nil)), TransactionEvery: 200 * time.Millisecond,
		CheckpointEvery: time.Minute}
	ctx, cancel := context.WithCancel(q.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, c) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			q.Errorf("instance %s: %v", instance, err)
		}
		if err := store.Close(); err != nil {
			q.Error(err)
		}
		if q.Failed() {
			q.Logf("log of %s:\n%.4000s", instance, log.buf.String())
		}
	}
}

// act writes one event of an agent, as it happens.
func (q *quietEngine) act(agent, user, tool string) {
	q.n++
	time.Sleep(time.Millisecond) // of two partitions there is no order within one
	line := fmt.Appendf(nil,
		`{"id":"e%05d","time":%d,"kind":"tool_call","tenant":"t","agent":{"id":%q},"user":%q,"tool":{"name":%q}}`, q.n,
		wall(), agent, user, tool)
	r := &kgo.Record{Topic: q.topics.Events, Partition: -1, Key: event.AppendKey(nil, "t", agent), Value: line}
	if err := q.cl.ProduceSync(q.Context(), r).FirstErr(); err != nil {
		q.Fatal(err)
	}
}

// on is the name of an agent whose events lie in a partition.
func (q *quietEngine) on(p int) string {
	for i := 0; ; i++ {
		if name := fmt.Sprint("agent-", i); byKey(event.AppendKey(nil, "t", name),
			int32(q.topics.Partitions)) == int32(p) {
			return name
		}
	}
}

// read returns the committed records of a topic, by partition and offset.
func (q *quietEngine) read(topic string) (out []*kgo.Record) {
	ends, err := q.adm.ListCommittedOffsets(q.Context(), topic)
	if err != nil {
		q.Fatal(err)
	}
	ends.Each(func(end kadm.ListedOffset) {
		r := newReader(q.opts, topic, end.Partition, 0)
		defer r.close()
		for at := int64(0); at < end.Offset; {
			kr, err := r.any(q.Context())
			if err != nil {
				q.Fatal(err)
			}
			if at = kr.Offset + 1; !kr.Attrs.IsControl() {
				out = append(out, kr)
			}
		}
	})
	slices.SortStableFunc(out, func(a, b *kgo.Record) int { return a.Timestamp.Compare(b.Timestamp) })
	return out
}

// lead is by how much a watermark was ahead of the wall clock at the most, in milliseconds, and how
// far the slowest was behind it at the end.
func (q *quietEngine) lead() (ahead, behind int64) {
	ahead = noTime
	last := map[int32]int64{}
	for _, r := range q.read(q.topics.Journal) {
		j, err := readJournal(r.Value)
		if err != nil {
			q.Fatal(err)
		}
		if j.watermark != noTime {
			ahead = max(ahead, j.watermark-j.now)
			last[r.Partition] = j.watermark
		}
	}
	for _, w := range last {
		behind = max(behind, wall()-w)
	}
	return ahead, behind
}

// replayed is what a replay of the topic finds.
func (q *quietEngine) replayed() []string {
	var b []byte
	for _, r := range q.read(q.topics.Events) {
		b = append(append(b, r.Value...), '\n')
	}
	path := filepath.Join(q.dir, "events.jsonl")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		q.Fatal(err)
	}
	src, err := history.OpenLines(path)
	if err != nil {
		q.Fatal(err)
	}
	defer src.Close()
	var out []string
	r := Replay{Policy: setOf(q, quietPolicies), Workers: 1, Flush: true, Deliver: func(f *event.Finding) error {
		_, value, _ := (&shortEncoder{}).Record(f)
		out = append(out, f.Rule+" "+string(value))
		return nil
	}}
	if _, err := r.Run(q.Context(), src); err != nil {
		q.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func (q *quietEngine) found() (out []string) {
	for _, r := range q.read(q.topics.Alerts) {
		out = append(out, string(r.Value))
	}
	slices.Sort(out)
	return out
}

// Time must go on where nothing happens, at the pace of the wall clock and not faster.
func TestTimeGoesOnWhereNothingHappens(t *testing.T) {
	for name, story := range map[string]func(q *quietEngine){
		"everybody falls silent": func(q *quietEngine) {
			stop := q.run("a")
			q.act(q.on(0), "u", "rm")
			q.act(q.on(1), "u", "mail")
			time.Sleep(time.Hour)
			q.act(q.on(0), "u", "mail")
			time.Sleep(time.Minute)
			stop()
		},
		"one event every five seconds in one partition": func(q *quietEngine) {
			stop := q.run("a")
			q.act(q.on(2), "v", "rm")
			for i := range 720 {
				q.act(q.on(0), "u", []string{"rm", "search", "mail", "search"}[i%4])
				time.Sleep(5 * time.Second)
			}
			time.Sleep(time.Minute)
			stop()
		},
		"stopped for a while, and started again": func(q *quietEngine) {
			stop := q.run("a")
			q.act(q.on(0), "u", "rm")
			q.act(q.on(1), "v", "rm")
			time.Sleep(5 * time.Minute)
			stop()
			time.Sleep(2 * time.Minute)
			q.act(q.on(1), "v", "mail")
			time.Sleep(8 * time.Minute)
			stop = q.run("a")
			time.Sleep(20 * time.Minute)
			q.act(q.on(0), "u", "rm")
			q.act(q.on(1), "u", "rm")
			q.act(q.on(2), "u", "rm")
			time.Sleep(15 * time.Minute)
			stop()
		},
		"partitions move while some sleep": func(q *quietEngine) {
			stop := q.run("a")
			q.act(q.on(0), "u", "rm")
			q.act(q.on(3), "u", "rm")
			time.Sleep(7 * time.Minute)
			other := q.run("b")
			for i := range 60 {
				q.act(q.on(i%2), "u", "rm")
				time.Sleep(7 * time.Second)
			}
			stop()
			time.Sleep(20 * time.Minute)
			q.act(q.on(3), "u", "mail")
			stop = q.run("a")
			time.Sleep(15 * time.Minute)
			other()
			time.Sleep(15 * time.Minute)
			stop()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQuietEngine(t, 4)
				story(q)
				// The tick of a partition that sleeps is up to ten seconds old, and a watermark ten
				// behind.
				if ahead, behind := q.lead(); ahead > 0 || behind > 2*lateness+tickEvery(60_001)+5000 {
					t.Errorf("a watermark was %d ms ahead of the wall clock, at the end one is %d ms behind it", ahead,
						behind)
				}
				want := q.replayed()
				absences := 0
				for i, f := range want {
					rule, value, _ := strings.Cut(f, " ")
					if want[i] = value; rule == "no-mail" {
						absences++
					}
				}
				slices.Sort(want)
				if diff := gocmp.Diff(want, q.found()); diff != "" || absences == 0 {
					t.Errorf("findings (-replay +live), %d absences of %d:\n%s", absences, len(want), diff)
				}
			})
		})
	}
}
