// Package pipeline runs events through the detectors, live on Kafka in exactly-once, or in a
// replay.
//
// The path of one event, in order: poll (stage.go) → apply (transact.go) → decode → observe
// (behaviour.go) → find → emit (shard.go) → produce and commit (transact.go); what is counted above
// one agent goes on as facts → take → close (relation.go). State is a function of the logs alone,
// so a restart, a rebalance and a replay reach the same one.
package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/state"
)

// Config is what an instance of the engine needs. Durations that are zero take their defaults.
type Config struct {
	Options  []kgo.Opt // how to reach the brokers
	Topics   broker.Topics
	Group    string // prefix of consumer groups and transactional ids
	Instance string // unique among the group's instances, the same after a restart
	Stages   []string
	Ingress  []Ingress

	Store *state.Store
	Disk  *state.Disk // watched while the engine runs; nil: state is in memory
	// Broken, if set, tells that the broker of this process could not write something, which it
	// says to nobody else.
	Broken    func() error
	Policy    *policy.Set
	Encoder   Encoder
	Metrics   *Metrics
	Log       *slog.Logger
	Changelog bool    // keep pages on a compacted topic, for machines without a disk of this state
	Health    *Health // told how the stages are; may be nil
	// Found is given what each commit found, after it. It must not block.
	Found func([]*event.Finding)
	// Issued is given the commands of each commit, likewise.
	Issued func([]event.Command)

	MaxPoll          int           // records per transaction
	TransactionEvery time.Duration // least time between two transactions
	// also the longest that somebody's open transaction can hold up a catch-up
	TransactionTimeout time.Duration
	SessionTimeout     time.Duration
	CheckpointEvery    time.Duration
	ChangelogEvery     time.Duration
	// event time by which a behaviour shard may run ahead of the relation stage
	MaxAhead time.Duration
	PageCap  int // pages of a tenant in all partitions of a stage together

	// Budget bounds the memory of the process; nil: nothing does.
	Budget *Budget

	// Hooks is nil but in tests.
	Hooks *Hooks

	// Updates are sets of policies that are to take the place of Policy while the engine runs; nil:
	// none ever. Each takes effect by a record in every shard's log, as the first one did; rules
	// and limits whose conditions are the same keep their state. Told hears of each what came of
	// it.
	Updates <-chan *policy.Set
	Told    func(set *policy.Set, err error)

	wanted *atomic.Pointer[string] // hash of the newest set
	off    chan string             // rules that are to be turned off
	plain  *kgo.Client             // without transactions: ticks, sets, offsets
	loads  chan struct{}
}

// Hooks are for the crash tests alone: they end the process at a point where that must do no harm,
// or leave something out, so that the test shows that it notices.
type Hooks struct {
	CrashPoint func(name string) // called with "stage: point" wherever a crash is worth a test
	NoUndo     bool              // an aborted transaction leaves the memory of its shards as it is
	NoJournal  bool              // a catch-up does not use the journal
}

// Stages that an instance can run.
var Stages = []string{"ingress", "behaviour", "relation"}

// Defaults fills in the durations and bounds that are zero.
func (c *Config) Defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.TransactionEvery, 20*time.Millisecond)
	set(&c.TransactionTimeout, 10*time.Second)
	set(&c.SessionTimeout, 10*time.Second)
	set(&c.CheckpointEvery, 10*time.Second)
	set(&c.ChangelogEvery, time.Minute)
	set(&c.MaxAhead, 10*time.Minute)
	if c.MaxPoll == 0 {
		c.MaxPoll = 50_000
	}
	if c.PageCap == 0 {
		c.PageCap = DefaultPageCap
	}
}

// Run runs the stages until ctx is done, then stops them cleanly: transactions are ended, state is
// on disk. An error is one that time does not mend: a missing topic, a state directory of another
// layout, a wrong assignor.
func Run(ctx context.Context, c Config) error {
	c.Defaults()
	if len(c.Stages) == 0 {
		c.Stages = Stages
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.loads = make(chan struct{}, 4)
	// Nobody else reads what it writes.
	plain, err := kgo.NewClient(append(slices.Clone(c.Options), kgo.RecordPartitioner(broker.Partitioner),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()))...)
	if err != nil {
		return fmt.Errorf("client of Kafka: %w", err)
	}
	defer plain.Close()
	c.plain = plain
	if c.Health == nil {
		c.Health = &Health{}
	}
	if err := broker.WaitForBrokers(ctx, plain, c.Log, c.Health.waitFor); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var sources, facts int32
	err = broker.Retry(ctx, c.Log, c.Health.waitFor, "its topics", func(ctx context.Context) (err error) {
		sources, facts,
			err = c.layout(ctx)
		return err
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	known, err := newSets(c.Policy, c.Store, c.Topics.Sets)
	if err != nil {
		return err
	}
	stopped := ctx
	known.fetch = func(ctx context.Context) (map[string][]byte, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(stopped, cancel)() // who loads a shard asks with no context of its own
		return c.readSets(ctx)
	}
	if err := broker.Retry(ctx, c.Log, c.Health.waitFor, "topic "+c.Topics.Sets,
		func(ctx context.Context) error { return known.publish(ctx, plain) }); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	shared := &rules{owners: owners{sources: sources, facts: facts, partition: byKey}, encoder: c.Encoder,
		budget: c.Budget, store: c.Store, pageCap: c.PageCap, set: known.get, acks: c.Topics.Acks, feedback: c.Topics.Feedback,
		noUndo: c.Hooks != nil && c.Hooks.NoUndo}
	c.Health.begin(plain, c.Stages)
	hash := c.Policy.Hash()
	c.wanted = &atomic.Pointer[string]{}
	c.wanted.Store(&hash)
	c.off = make(chan string, 64)
	g, ctx := errgroup.WithContext(ctx)
	var work atWork
	g.Go(work.do("taking over policies", func() error { c.update(ctx, known); return nil }))
	g.Go(work.do("watching the disk", func() error { return c.watchDisk(ctx) }))
	for _, name := range c.Stages {
		switch name {
		case "ingress":
			in := c.ingress(shared)
			g.Go(work.do("stage ingress", func() error { return in.run(ctx) }))
		case "behaviour":
			st := c.stage("behaviour", 'b', shared)
			st.in = []string{c.Topics.Control, c.Topics.Events}
			st.journal = c.Topics.Journal
			if c.Changelog {
				st.changelog = c.Topics.ChangelogBehaviour
			}
			st.snapshotCache = newSnapshotCache(ctx, c.plain, c.Options, c.Topics.Baselines, shared.facts, c.Log)
			st.newShard = func(p int32) *shard {
				b := newBehaviour(p, shared, none, c.Topics.Events)
				b.models = st.snapshotCache
				return b.shard
			}
			ready := make(chan struct{})
			g.Go(work.do("reading baselines", func() error { st.snapshotCache.run(ctx, ready); return nil }))
			g.Go(work.do("stage behaviour", func() error {
				select {
				case <-ready:
				case <-ctx.Done():
					return nil
				}
				return st.run(ctx)
			}))
		case "relation":
			st := c.stage("relation", 'r', shared)
			st.in = []string{c.Topics.Facts}
			if c.Changelog {
				st.changelog = c.Topics.ChangelogRelation
			}
			st.newShard = func(p int32) *shard { return newRelation(p, shared, none).shard }
			g.Go(work.do("stage relation", func() error { return st.run(ctx) }))
		default:
			return fmt.Errorf("stage %q is unknown; there are %v", name, Stages)
		}
	}
	return work.wait(ctx, g.Wait)
}

// update takes over sets as they come, and turns rules off that fail. A set that cannot be kept
// where every shard may find it again does not take effect.
func (c *Config) update(ctx context.Context, known *sets) {
	updates, latest := c.Updates, c.Policy
	inForce := func(set *policy.Set) error {
		if err := known.add(ctx, c.plain, set); err != nil {
			return err
		}
		hash := set.Hash()
		c.wanted.Store(&hash)
		latest = set
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return
		case set, more := <-updates:
			if !more {
				updates = nil
				continue
			}
			err := inForce(set)
			if err == nil {
				c.Metrics.ruleOff.Reset()
			}
			if c.Told != nil {
				c.Told(set, err)
			}
		case rule := <-c.off:
			set, err := latest.Without(rule)
			if err == nil && set.Hash() == latest.Hash() {
				continue // it is off already
			}
			if err == nil {
				err = inForce(set)
			}
			if err != nil {
				c.Log.Error("a rule that fails could not be turned off", "rule", rule, "err", err)
				continue
			}
			c.Metrics.ruleOff.WithLabelValues(rule).Set(1)
			c.Log.Error(
				"rule turned off: an expression of it failed 100 times in a row; try it with wayward rules eval, and reload",
				"rule", rule)
		}
	}
}

func topicsOf(t broker.Topics) (out [toBaselines + 1]string) {
	out[toAlerts], out[toDLQ], out[toFacts], out[toControl], out[toJournal], out[toEvents] = t.Alerts, t.DLQ, t.Facts,
		t.Control, t.Journal, t.Events
	out[toCommands], out[toBreakers], out[toInventory], out[toBaselines] = t.Commands, t.Breakers, t.Inventory,
		t.Baselines
	return out
}

// layout checks the topics and returns their partition counts, which are recorded at the first
// start: state is cut by them.
func (c *Config) layout(ctx context.Context) (sources, facts int32, err error) {
	adm := kadm.NewClient(c.plain)
	specs := c.Topics.Specs(!c.Changelog, 1)
	for i := range specs {
		specs[i].Replication = 0
	}
	found, err := broker.ReviewTopics(ctx, adm, specs)
	if err != nil {
		return 0, 0, err
	}
	if err := broker.Fatal(found); err != nil {
		return 0, 0, err
	}
	for _, f := range found {
		c.Log.Warn(f.What)
	}
	td, err := broker.ListTopics(ctx, adm, []string{c.Topics.Events, c.Topics.Control, c.Topics.Journal,
		c.Topics.Facts})
	if err != nil {
		return 0, 0, fmt.Errorf("topics: %w", broker.Explained(err))
	}
	now := LayoutOf(c.Topics, td)
	then, err := StoredLayout(c.Store)
	if err != nil {
		return 0, 0, err
	}
	switch {
	case then == nil:
	case then.Events != now.Events || then.Facts != now.Facts:
		return 0, 0, fmt.Errorf(
			"%s has %d partitions and %s has %d, but the state was made with %d and %d: entities have moved between partitions. Stop all instances and run wayward state rebuild for each",
			c.Topics.Events, now.Events, c.Topics.Facts, now.Facts, then.Events, then.Facts)
	case len(now.Remade(*then)) > 0:
		return 0, 0, fmt.Errorf(
			"the topics of %v were deleted and made anew since this state was made, so it belongs to records that are gone. Stop this instance and run wayward state rebuild",
			now.Remade(*then))
	}
	if then == nil || len(then.Topics) < len(now.Topics) {
		b, err := json.Marshal(now)
		if err != nil {
			return 0, 0, err
		}
		if err := c.Store.SetMeta("layout", b); err != nil {
			return 0, 0, err
		}
	}
	return int32(now.Events), int32(now.Facts), nil
}

// readSets reads wayward.sets whole: it is small and compacted.
func (c *Config) readSets(ctx context.Context) (map[string][]byte, error) {
	adm := kadm.NewClient(c.plain)
	ends, err := adm.ListEndOffsets(ctx, c.Topics.Sets)
	if err != nil {
		return nil, broker.Explained(err)
	}
	starts, err := adm.ListStartOffsets(ctx, c.Topics.Sets)
	if err != nil {
		return nil, broker.Explained(err)
	}
	end, _ := ends.Lookup(c.Topics.Sets, 0)
	start, _ := starts.Lookup(c.Topics.Sets, 0)
	chunks := map[string][]byte{}
	if end.Offset <= start.Offset {
		return chunks, nil
	}
	r := newReader(c.Options, c.Topics.Sets, 0, 0)
	defer r.close()
	for at := int64(0); at < end.Offset-1; {
		wait, cancel := context.WithTimeout(ctx, 5*time.Second)
		kr, err := r.any(wait)
		cancel()
		if err != nil {
			if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
				break
			}
			return nil, err
		}
		at = kr.Offset
		if len(kr.Key) > 0 && kr.Value != nil {
			chunks[string(kr.Key)] = kr.Value
		}
	}
	return join(chunks), nil
}
