package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

// ingress is the stateless stage: raw topics in, agent.events out, in one transaction with the
// offsets and the dead letters.
type ingress struct {
	member
	rules      *rules
	converters map[string]converter // by topic
	joined     atomic.Bool          // the group has assigned partitions
	unwritten  bool                 // the last transaction could not be written
}

func (c *Config) ingress(r *rules) *ingress { return &ingress{member: c.member("ingress"), rules: r} }

func (in *ingress) run(ctx context.Context) error {
	in.converters = in.cfg.answers(in.rules)
	for _, t := range in.cfg.Ingress {
		f := formats.New(t.Format)
		if f == nil {
			return fmt.Errorf("%wingress topic %s: format %q is unknown; there are %v", errFatal, t.Topic, t.Format,
				formats.Names())
		}
		in.converters[t.Topic] = converted{f}
	}
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
	base, abort := context.WithCancel(context.Background())
	in.joined.Store(false)
	in.unwritten = false
	s, err := kgo.NewGroupTransactSession(append(in.options(base),
		kgo.ConsumeTopics(slices.Sorted(maps.Keys(in.converters))...),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { in.joined.Store(true) }))...)
	if err != nil {
		abort()
		return fmt.Errorf("%wingress stage: %w", errFatal, err)
	}
	defer func() {
		closeSession(s, abort)
		if ctx.Err() != nil { // others may take over at once
			in.leave()
		}
	}()
	lastCtx, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer afterStop(ctx, func() { giveUp(); abort() })()
	if _, _, err := s.Client().ProducerID(ctx); err != nil {
		return fmt.Errorf("transactional id %s: %w", in.transactionalID(), err)
	}
	for ctx.Err() == nil {
		in.reportHealth()
		poll, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		f := s.PollRecords(poll, in.cfg.MaxPoll)
		cancel()
		f.EachError(in.logFetchError)
		if f.NumRecords() == 0 {
			s.AllowRebalance()
			continue
		}
		if err := in.transact(lastCtx, s, f); err != nil {
			return err
		}
	}
	return nil
}

func (in *ingress) reportHealth() {
	health := StageHealth{Stage: "ingress"}
	switch {
	case !in.joined.Load():
		health.Waiting = noAssignment
	case in.unwritten:
		health.Waiting = notWritten
	}
	in.cfg.Health.set(health)
}

// transact converts what was polled in one transaction.
func (in *ingress) transact(ctx context.Context, s *kgo.GroupTransactSession, f kgo.Fetches) error {
	if err := s.Begin(); err != nil {
		return err
	}
	in.revoked.Store(false)
	ctx, cancel := context.WithTimeout(ctx, 2*in.cfg.TransactionTimeout)
	defer cancel()
	cl := s.Client()
	var lost lostRecord
	dead := map[string]int64{}
	n := 0
	f.EachRecord(func(kr *kgo.Record) {
		n++
		if reason := in.convert(kr, func(o output) { cl.Produce(ctx, in.record(o), lost.promise) }); reason != "" {
			dead[reason]++
		}
	})
	in.crashPoint("open transaction")
	err := cl.Flush(ctx)
	in.crashPoint("before End")
	s.AllowRebalance()
	var ok bool
	if err == nil {
		ok, err = s.End(ctx, kgo.TransactionEndTry(lost.Load() == nil))
	}
	in.unwritten = lost.Load() != nil
	switch {
	case err != nil:
		in.metrics.transactions("unknown", whyOf(err)).Inc()
		return err
	case ok:
		in.crashPoint("after End")
		in.metrics.transactions("committed", "").Inc()
		in.cfg.Metrics.events.WithLabelValues("ingress").Add(float64(n))
		for reason, k := range dead {
			in.cfg.Metrics.dead.WithLabelValues("ingress", reason).Add(float64(k))
		}
	default:
		in.aborted(in.whyAborted(nil, lost.Load(), true))
		if err := lost.Load(); err != nil {
			in.log.Warn("a record could not be written, the transaction is aborted", "err", broker.Explain(*err))
		}
	}
	return nil
}

// convert converts one record. It returns the reason if that cannot be done, and has then produced
// a dead letter.
func (in *ingress) convert(kr *kgo.Record, produce func(output)) (reason string) {
	c := in.converters[kr.Topic]
	err := c.convert(kr, produce)
	if err == nil {
		return ""
	}
	r, agent := asRecord(kr), c.salvage(kr)
	reason = event.ReasonOf(err)
	produce(deadLetter(kr.Topic, kr.Partition, &r, reason, err.Error(), agent))
	if agent != nil { // its shard counts it
		c := control{Kind: controlBroken, Tenant: agent.Tenant, Agent: agent.Agent, Time: agent.Time,
			Finding: agent.ID, Reason: reason, Sum: agent.Sum}
		produce(in.rules.route(event.Scope{Type: event.AgentScope, Tenant: agent.Tenant, ID: agent.Agent}, wall(), "",
			c))
	}
	return reason
}
