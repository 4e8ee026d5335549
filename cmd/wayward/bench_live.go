package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/fleet"
	"github.com/wayward-sec/wayward/instance"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/broker"
)

// warmUp is left out of the latency: the stream's time has just jumped from the backlog's to the
// present, and what was idle meanwhile is forgotten.
const warmUp = 15 * time.Second

// live drains a backlog, then measures event to alert at half the rate that came out.
func (o *benchOptions) live(ctx context.Context, w io.Writer, name string, brokers []string) error {
	var f figures
	for run := range o.runs {
		if err := o.liveOnce(ctx, &f, name, brokers, run); err != nil {
			return err
		}
	}
	f.print(w)
	return nil
}

func (o *benchOptions) liveOnce(ctx context.Context, f *figures, name string, brokers []string, run int) (err error) {
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
	if err := benchPolicies(c.Policies); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	i, err := instance.Open(ctx, c, instance.Options{Version: versionOf()}, log)
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
	var lost atomic.Pointer[error]
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			lost.CompareAndSwap(nil, &err)
		}
	}
	s := o.stream()
	produce := func() {
		value := s.Next(make([]byte, 0, 704)) // first: it sets the key
		cl.Produce(ctx, &kgo.Record{Key: append([]byte(nil), s.Key...), Value: value}, promise)
	}
	for range o.events {
		produce()
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	if e := lost.Load(); e != nil {
		return *e
	}
	runtime.GC()
	u := used()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	engine := make(chan error, 1)
	go func() { engine <- pipeline.Run(ctx, i.Config) }()
	applied := func() float64 { return i.Metrics()["wayward_records_total"] }
	if err := await(ctx, engine, func() bool { return applied() >= float64(o.events) }); err != nil {
		return err
	}
	rate := float64(o.events) / time.Since(u.wall).Seconds()
	f.since(u, name, o.events)

	// Half load: events carry the present, and each finding its trigger's time.
	alerts, err := kgo.NewClient(append(slices.Clone(i.Config.Options),
		kgo.ConsumeTopics(c.Topics.Alerts, c.Topics.Commands), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), kgo.FetchMaxWait(10*time.Millisecond))...)
	if err != nil {
		return err
	}
	defer alerts.Close()
	var waits, orders []float64
	var counted atomic.Int64 // findings of events after this time count
	read := make(chan struct{})
	actx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer close(read)
		for actx.Err() == nil {
			alerts.PollFetches(actx).EachRecord(func(r *kgo.Record) {
				if r.Topic == c.Topics.Commands {
					cmd, err := event.ParseCommand(r.Value)
					if since := counted.Load(); err == nil && cmd.Issuer.Type == "rule" && since > 0 &&
						cmd.Time > since {
						orders = append(orders, float64(time.Now().UnixMilli()-cmd.Time))
					}
					return
				}
				if !bytes.Contains(r.Value, []byte(`"activity_id":1,`)) {
					return // an update keeps its trigger's time
				}
				now := time.Now().UnixMilli()
				var at int64
				for _, h := range r.Headers {
					if h.Key == "ce_time" {
						if t, err := time.Parse(time.RFC3339Nano, string(h.Value)); err == nil {
							at = t.UnixMilli()
						}
					}
				}
				if at > counted.Load() && counted.Load() > 0 {
					waits = append(waits, float64(now-at))
				}
			})
		}
	}()
	half := fleet.NewTraffic(fleet.TrafficOptions{Seed: 2, Agents: o.agents, Tenants: 3, Plain: true, Rate: rate * o.load,
		Start: time.Now().UnixMilli()})
	start := time.Now()
	counted.Store(start.UnixMilli() + warmUp.Milliseconds())
	for time.Since(start) < warmUp+time.Duration(o.seconds)*time.Second {
		for half.Time-start.UnixMilli() <= time.Since(start).Milliseconds() {
			value := half.Next(make([]byte, 0, 704))
			cl.Produce(ctx, &kgo.Record{Key: append([]byte(nil), half.Key...), Value: value}, promise)
		}
		time.Sleep(time.Millisecond)
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	time.Sleep(time.Second)
	stop()
	<-read
	cancel()
	if err := <-engine; err != nil {
		return err
	}
	if len(waits) < 100 {
		return fmt.Errorf("only %d findings at half load: too few to speak of a percentile", len(waits))
	}
	if len(orders) < 100 {
		return fmt.Errorf("only %d commands at half load: too few to speak of a percentile", len(orders))
	}
	slices.Sort(waits)
	slices.Sort(orders)
	f.add(name+"_violation_to_command_p50", orders[len(orders)/2], "ms")
	f.add(name+"_violation_to_command_p99", orders[len(orders)*99/100], "ms")
	f.add(name+"_event_to_alert_p50", waits[len(waits)/2], "ms")
	f.add(name+"_event_to_alert_p99", waits[len(waits)*99/100], "ms")
	return nil
}
