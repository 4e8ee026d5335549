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
)

// Ingress names a topic whose records are brought into the native form and given the key
// tenant|agent.id.
type Ingress struct {
	Topic  string `yaml:"topic"`
	Format string `yaml:"format"`
}

// formats are the input formats by name: what comes in, to its key and native value. One file and
// one line for a new one.
var formats = map[string]func() format{
	"native": func() format { return &native{} },
}

// answers are what comes back from gateways and people: always read, never configured.
func (c *Config) answers(r *rules) map[string]format {
	return map[string]format{
		c.Topics.Acks: answer{r, controlAck,
			func(b []byte) (event.Scope, error) { a, err := event.ParseAck(b); return a.Scope, err }},
		c.Topics.Feedback: answer{r, controlFeedback,
			func(b []byte) (event.Scope, error) { f, err := event.ParseFeedback(b); return f.Scope, err }},
	}
}

// Formats are the names of the input formats.
func Formats() []string {
	var out []string
	for k := range formats {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// format turns a record of an input topic into one that a shard reads.
type format interface {
	convert(r *kgo.Record) (output, error)
	// names says whose event a record is that did not convert; nil: nobody's that is known.
	names(r *record) *event.Named
}

// native records need only their key.
type native struct {
	decoder event.Decoder
	e       event.Event
}

func (n *native) convert(r *kgo.Record) (output, error) {
	n.decoder.Reset()
	if err := n.decoder.Decode(r.Value, &n.e); err != nil {
		return output{}, err
	}
	return output{to: toEvents, partition: -1, key: event.AppendKey(nil, n.e.Tenant, n.e.Agent.ID), value: r.Value}, nil
}

func (n *native) names(r *record) *event.Named { return whose(&n.decoder, r) }

// whose says which agent a record names that did not decode. Where it has a key, that must say so,
// too: what one tenant sends must not count against the agent of another. Keys are the gateway's.
func whose(d *event.Decoder, r *record) *event.Named {
	n, ok := d.Salvage(r.value)
	if !ok || len(r.key) > 0 && string(event.AppendKey(nil, n.Tenant, n.Agent)) != string(r.key) {
		return nil
	}
	return &n
}

// answer routes an ack or feedback to the shard that owns its scope.
type answer struct {
	rules *rules
	kind  string
	scope func([]byte) (event.Scope, error)
}

func (a answer) convert(r *kgo.Record) (output, error) {
	s, err := a.scope(r.Value)
	if err != nil {
		return output{}, &event.DecodeError{Reason: "bad_" + a.kind, Want: err.Error()}
	}
	return a.rules.route(s, wall(), "", control{Kind: a.kind, Source: r.Partition, Body: r.Value,
		Offset: r.Offset}), nil
}

func (a answer) names(*record) *event.Named { return nil }

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
			Explain(err)})
		in.log.Warn("session ended", "err", Explain(err), "retry_in", wait)
		pause(ctx, wait)
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
		f := formats[t.Format]
		if f == nil {
			return fmt.Errorf("%wingress topic %s: format %q is unknown; there are %v", errFatal, t.Topic, t.Format,
				Formats())
		}
		topics = append(topics, t.Topic)
		byTopic[t.Topic] = f()
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
		kgo.RecordPartitioner(partitioner), kgo.MaxBufferedRecords(200_000),
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
			o, err := byTopic[kr.Topic].convert(kr)
			if err != nil {
				r := asRecord(kr)
				dead[reasonOf(err)]++
				whose := byTopic[kr.Topic].names(&r)
				cl.Produce(end, out.record(deadLetter(kr.Topic, kr.Partition, &r, reasonOf(err), err.Error(), whose)),
					promise)
				if whose != nil { // the shard of its agent counts it
					c := control{Kind: controlBroken, Tenant: whose.Tenant, Agent: whose.Agent, Time: whose.Time,
						Finding: whose.ID, Reason: reasonOf(err), Sum: whose.Sum}
					cl.Produce(end,
						out.record(in.rules.route(event.Scope{Type: event.AgentScope, Tenant: whose.Tenant,
							ID: whose.Agent}, wall(), "", c)), promise)
				}
				return
			}
			cl.Produce(end, out.record(o), promise)
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
				in.log.Warn("a record could not be written, the transaction is aborted", "err", Explain(*perr))
			}
		}
	}
	return nil
}
