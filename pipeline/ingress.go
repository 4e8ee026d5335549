package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/formats"
	"github.com/wayward-sec/wayward/pipeline/broker"
)

// Ingress names a topic whose records are brought into the native form and given the key
// tenant|agent.id.
type Ingress struct {
	Topic  string `yaml:"topic"`
	Format string `yaml:"format"`
}

// answers are what comes back from gateways and people: always read, never configured.
func (c *Config) answers(r *rules) map[string]converter {
	return map[string]converter{
		c.Topics.Acks: answer{r, controlAck,
			func(b []byte) (event.Scope, error) { a, err := event.ParseAck(b); return a.Scope, err }},
		c.Topics.Feedback: answer{r, controlFeedback,
			func(b []byte) (event.Scope, error) { f, err := event.ParseFeedback(b); return f.Scope, err }},
	}
}

// converter turns a record of an input topic into those that shards read.
type converter interface {
	// convert calls emit for each; what could not be converted is an error.
	convert(r *kgo.Record, emit func(output)) error
	// salvage says whose event a record is that did not convert; nil: nobody's that is known.
	salvage(r *kgo.Record) *event.Named
}

// converted brings the events of a producer to their agents' partitions.
type converted struct{ formats.Format }

func (f converted) convert(r *kgo.Record, emit func(output)) error {
	return f.Convert(r.Key, r.Value, func(e formats.Event) {
		emit(output{to: toEvents, partition: -1, key: event.AppendKey(nil, e.Tenant, e.Agent), value: e.Value})
	})
}

func (f converted) salvage(r *kgo.Record) *event.Named {
	if n, ok := f.Salvage(r.Key, r.Value); ok {
		return &n
	}
	return nil
}

// whose says which agent a record names that did not decode.
func whose(d *event.Decoder, r *record) *event.Named {
	if n, ok := d.SalvageKeyed(r.key, r.value); ok {
		return &n
	}
	return nil
}

// answer routes an ack or feedback to the shard that owns its scope.
type answer struct {
	rules *rules
	kind  string
	scope func([]byte) (event.Scope, error)
}

func (a answer) convert(r *kgo.Record, emit func(output)) error {
	s, err := a.scope(r.Value)
	if err != nil {
		return &event.DecodeError{Reason: "bad_" + a.kind, Want: err.Error()}
	}
	emit(a.rules.route(s, wall(), "", control{Kind: a.kind, Source: r.Partition, Body: r.Value, Offset: r.Offset}))
	return nil
}

func (a answer) salvage(*kgo.Record) *event.Named { return nil }

// route brings a control record to the shard that owns a scope. set is as controlFacts has it.
func (r *rules) route(s event.Scope, now int64, set string, c control) output {
	if !s.Type.Narrow() {
		return output{to: toFacts, partition: r.wideOwner(s), value: controlFacts(0, now, set, c)}
	}
	agent := s.Agent
	if s.Type == event.AgentScope {
		agent = s.ID
	}
	return output{to: toControl, partition: r.partition(event.AppendKey(nil, s.Tenant, agent), r.sources),
		value: c.encode()}
}

// ingress is the stateless stage: raw topics in, agent.events out, in one transaction with the
// offsets and the dead letters.
type ingress struct {
	cfg   *Config
	rules *rules
	log   *slog.Logger
}

func (in *ingress) run(ctx context.Context) error {
	wait := 100 * time.Millisecond
	for {
		err := in.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errFatal) {
			return err
		}
		in.cfg.Health.set(StageHealth{Stage: "ingress", Waiting: "its session ended, another one begins: " +
			broker.Explain(err)})
		in.log.Warn("session ended", "err", broker.Explain(err), "retry_in", wait)
		broker.Pause(ctx, wait)
		wait = min(2*wait, 10*time.Second)
	}
}

func (in *ingress) session(ctx context.Context) error {
	c := in.cfg
	var topics []string
	byTopic := c.answers(in.rules)
	for t := range byTopic {
		topics = append(topics, t)
	}
	for _, t := range c.Ingress {
		f := formats.New(t.Format)
		if f == nil {
			return fmt.Errorf("%wingress topic %s: format %q is unknown; there are %v", errFatal, t.Topic, t.Format,
				formats.Names())
		}
		topics = append(topics, t.Topic)
		byTopic[t.Topic] = converted{f}
	}
	id := c.Group + "-ingress-" + c.Instance
	base, abort := context.WithCancel(context.Background())
	var joined atomic.Bool
	unwritten := false
	out := &stage{cfg: c, name: "ingress"}
	revoked := func(context.Context, *kgo.Client, map[string][]int32) { out.revoked.Store(true) }
	s, err := kgo.NewGroupTransactSession(append(slices.Clone(c.Options), kgo.WithContext(base),
		kgo.ConsumerGroup(c.Group+"-ingress"), kgo.ConsumeTopics(topics...),
		kgo.TransactionalID(id), kgo.InstanceID(id), kgo.BlockRebalanceOnPoll(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(c.SessionTimeout),
		kgo.HeartbeatInterval(c.SessionTimeout/10), kgo.RebalanceTimeout(3*c.SessionTimeout),
		kgo.TransactionTimeout(c.TransactionTimeout), kgo.RetryTimeout(c.TransactionTimeout),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.BrokerMaxReadBytes(512<<20),
		kgo.ProducerBatchCompression(c.Topics.Codec()), kgo.ProducerLinger(0),
		kgo.RecordPartitioner(broker.Partitioner), kgo.MaxBufferedRecords(200_000),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { joined.Store(true) }),
		kgo.OnPartitionsRevoked(revoked), kgo.OnPartitionsLost(revoked),
		kgo.WithHooks(c.Metrics.hooks("ingress")...))...)
	if err != nil {
		abort()
		return fmt.Errorf("%wingress stage: %w", errFatal, err)
	}
	defer func() {
		closeSession(s, abort)
		if ctx.Err() != nil { // others may take over at once
			(&stage{cfg: c, name: "ingress", log: in.log}).leave()
		}
	}()
	last, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer afterStop(ctx, func() { giveUp(); abort() })()
	cl := s.Client()
	if _, _, err := cl.ProducerID(ctx); err != nil {
		return fmt.Errorf("transactional id %s: %w", id, err)
	}
	metrics := c.Metrics.stage("ingress")
	names := topicsOf(c.Topics)
	out.topics, out.metrics, out.log, out.complaints = names, metrics, in.log, complaints{}
	var complained time.Time
	for ctx.Err() == nil {
		health := StageHealth{Stage: "ingress"}
		switch {
		case !joined.Load():
			health.Waiting = "the group has not said yet which partitions are this instance's"
		case unwritten:
			health.Waiting = "the last transaction could not be written"
		}
		c.Health.set(health)
		poll, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		f := s.PollRecords(poll, c.MaxPoll)
		cancel()
		f.EachError(func(topic string, p int32, err error) { complain(in.log, &complained, topic, p, err) })
		if f.NumRecords() == 0 {
			s.AllowRebalance()
			continue
		}
		if err := s.Begin(); err != nil {
			return err
		}
		out.revoked.Store(false)
		end, cancel := context.WithTimeout(last, 2*c.TransactionTimeout)
		var lost atomic.Pointer[error]
		promise := func(_ *kgo.Record, err error) {
			if err != nil {
				lost.CompareAndSwap(nil, &err)
			}
		}
		dead := map[string]int64{}
		n := 0
		f.EachRecord(func(kr *kgo.Record) {
			n++
			produce := func(o output) { cl.Produce(end, out.record(o), promise) }
			err := byTopic[kr.Topic].convert(kr, produce)
			if err == nil {
				return
			}
			r, reason := asRecord(kr), reasonOf(err)
			dead[reason]++
			agent := byTopic[kr.Topic].salvage(kr)
			produce(deadLetter(kr.Topic, kr.Partition, &r, reason, err.Error(), agent))
			if agent != nil { // its shard counts it
				c := control{Kind: controlBroken, Tenant: agent.Tenant, Agent: agent.Agent, Time: agent.Time,
					Finding: agent.ID, Reason: reason, Sum: agent.Sum}
				produce(in.rules.route(event.Scope{Type: event.AgentScope, Tenant: agent.Tenant, ID: agent.Agent},
					wall(), "", c))
			}
		})
		out.at("open transaction")
		err := cl.Flush(end)
		out.at("before End")
		s.AllowRebalance()
		var ok bool
		if err == nil {
			ok, err = s.End(end, kgo.TransactionEndTry(lost.Load() == nil))
		}
		cancel()
		unwritten = lost.Load() != nil
		switch {
		case err != nil:
			metrics.transactions("unknown", whyOf(err)).Inc()
			return err
		case ok:
			out.at("after End")
			metrics.transactions("committed", "").Inc()
			c.Metrics.events.WithLabelValues("ingress").Add(float64(n))
			for reason, k := range dead {
				c.Metrics.dead.WithLabelValues("ingress", reason).Add(float64(k))
			}
		default:
			out.aborted(out.whyAborted(nil, nil, lost.Load(), true))
			if perr := lost.Load(); perr != nil {
				in.log.Warn("a record could not be written, the transaction is aborted", "err", broker.Explain(*perr))
			}
		}
	}
	return nil
}
