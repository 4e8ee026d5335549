package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/fleet"
	"github.com/wayward-sec/wayward/instance"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/broker"
)

// warmUp is left out of the latency: the stream's time has just jumped from the backlog's to the
// present, and what was idle meanwhile is forgotten.
const warmUp = 15 * time.Second

// Live drains a backlog, then measures event to alert at a share of the rate that came out. Without
// brokers it brings an embedded one.
func (o *Options) Live(ctx context.Context, name string, brokers []string) (*Figures, error) {
	f := &Figures{}
	for run := range o.Runs {
		if err := o.liveOnce(ctx, f, name, brokers, run); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// liveRun is an engine with a client that produces events for it.
type liveRun struct {
	*Options
	topics   broker.Topics
	instance *instance.Instance
	client   *kgo.Client
	lost     atomic.Pointer[error] // why an event was not produced
}

func (o *Options) liveOnce(ctx context.Context, f *Figures, name string, brokers []string, run int) (err error) {
	dir, err := os.MkdirTemp("", "wayward-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c := config.Default()
	c.State, c.Listen, c.Embedded.Port, c.Brokers = dir, "off", 0, brokers
	c.Group = fmt.Sprintf("bench-%d-%d", os.Getpid(), run)
	if brokers != nil {
		c.Topics.Prefix = c.Group + "."
		c.Topics = c.Topics.Full()
	}
	c.Policies = filepath.Join(dir, "policies")
	if err := writePolicies(c.Policies); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	i, err := instance.Open(ctx, c, instance.Options{Version: o.Version}, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	cl, err := kgo.NewClient(append(slices.Clone(i.Config.Options), kgo.DefaultProduceTopic(c.Topics.Events),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.MaxBufferedRecords(50_000))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	r := &liveRun{Options: o, topics: c.Topics, instance: i, client: cl}
	if brokers != nil {
		adm := kadm.NewClient(cl)
		specs := c.Topics.Specs(false, 1)
		changes, err := broker.PlanTopics(ctx, adm, specs)
		if err != nil {
			return err
		}
		if err := broker.ApplyTopics(ctx, adm, changes, func(broker.Change) {}); err != nil {
			return err
		}
		defer func() {
			var names []string
			for _, s := range specs {
				names = append(names, s.Name)
			}
			_, derr := adm.DeleteTopics(context.WithoutCancel(ctx), names...)
			err = errors.Join(err, derr)
		}()
	}
	if err := r.backlog(ctx); err != nil {
		return err
	}
	runtime.GC()
	u := used()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	engine := make(chan error, 1)
	go func() { engine <- pipeline.Run(ctx, i.Config) }()
	applied := func() float64 { return i.Metrics()["wayward_records_total"] }
	if err := await(ctx, engine, func() bool { return applied() >= float64(o.Events) }); err != nil {
		return err
	}
	rate := float64(o.Events) / time.Since(u.wall).Seconds()
	f.since(u, name, o.Events)

	l, err := r.partLoad(ctx, rate*o.Load)
	if err != nil {
		return err
	}
	cancel()
	if err := <-engine; err != nil {
		return err
	}
	return l.report(f, name)
}

// produce sends the next event of a stream.
func (r *liveRun) produce(ctx context.Context, s *fleet.Traffic) {
	value := s.Next(make([]byte, 0, 704)) // first: it sets the key
	r.client.Produce(ctx, &kgo.Record{Key: append([]byte(nil), s.Key...), Value: value},
		func(_ *kgo.Record, err error) {
			if err != nil {
				r.lost.CompareAndSwap(nil, &err)
			}
		})
}

// backlog produces all events before the engine runs.
func (r *liveRun) backlog(ctx context.Context) error {
	s := r.stream()
	for range r.Events {
		r.produce(ctx, s)
	}
	if err := r.client.Flush(ctx); err != nil {
		return err
	}
	if e := r.lost.Load(); e != nil {
		return *e
	}
	return nil
}

// partLoad produces events at a rate a second, stamped with the present, and measures how long
// findings and commands take.
func (r *liveRun) partLoad(ctx context.Context, rate float64) (*latency, error) {
	cl, err := kgo.NewClient(append(slices.Clone(r.instance.Config.Options),
		kgo.ConsumeTopics(r.topics.Alerts, r.topics.Commands), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), kgo.FetchMaxWait(10*time.Millisecond))...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	l := &latency{commandTopic: r.topics.Commands}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	read := make(chan struct{})
	go func() {
		defer close(read)
		for reading.Err() == nil {
			cl.PollFetches(reading).EachRecord(l.add)
		}
	}()
	start := time.Now()
	s := fleet.NewTraffic(fleet.TrafficOptions{Seed: 2, Agents: r.Agents, Tenants: 3, Plain: true, Rate: rate,
		Start: start.UnixMilli()})
	l.after.Store(start.UnixMilli() + warmUp.Milliseconds())
	for time.Since(start) < warmUp+time.Duration(r.Seconds)*time.Second {
		for s.Time-start.UnixMilli() <= time.Since(start).Milliseconds() {
			r.produce(ctx, s)
		}
		time.Sleep(time.Millisecond)
	}
	if err := r.client.Flush(ctx); err != nil {
		return nil, err
	}
	time.Sleep(time.Second) // for what is under way
	stop()
	<-read
	return l, nil
}
