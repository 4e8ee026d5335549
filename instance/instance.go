// Package instance puts a running engine together from its config: broker, policies, state, sinks,
// metrics and the listener, opened in order and closed in reverse. It alone knows all of them, and
// nothing but commands may know it. It decides nothing about events: that is package pipeline.
// Begin with Open, then Instance.Run.
package instance

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/sinks"
	"github.com/wayward-sec/wayward/state"
)

// Instance is everything that a running engine consists of, opened in order and closed in reverse.
type Instance struct {
	Config   pipeline.Config
	Registry *prometheus.Registry
	Addr     string           // of the listener; "": it is off
	Broker   *broker.Embedded // nil: the config names brokers
	Reloader *Reloader
	close    []closer
	closing  atomic.Value // string: what is being closed
}

// closer is a part of an instance that has to be closed.
type closer struct {
	what string
	do   func() error
}

// Close takes the instance down, last opened first.
func (i *Instance) Close() error {
	var errs []error
	for n := len(i.close) - 1; n >= 0; n-- {
		i.closing.Store(i.close[n].what)
		errs = append(errs, i.close[n].do())
	}
	i.close = nil
	return errors.Join(errs...)
}

// Options are what is not in the config file.
type Options struct {
	Memory  bool       // broker and state in memory: the demo
	Shadow  string     // folder of rules that are counted and never act; "": none
	Sinks   *sinks.Fan // besides those of the config; nil: none
	Version string     // of this binary, for findings
}

// Open opens what the config asks for: broker, topics, policies, state, sinks, metrics, listener.
// After an error nothing is left open.
func Open(ctx context.Context, c config.Config, o Options, log *slog.Logger) (_ *Instance, err error) {
	i := &Instance{Registry: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.Close())
		}
	}()
	i.Registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	policies, err := config.LoadShadowed(c.Policies, o.Shadow)
	if err != nil {
		return nil, err
	}
	dir := c.State
	if o.Memory {
		dir = ""
	}
	embedded := c.Kafka.Embedded()
	var disk *state.Disk
	if dir != "" {
		disk = c.Disk()
		if err := disk.Look().Problem(); err != nil { // before anybody begins to write
			return nil, err
		}
	}
	if embedded {
		own, err := broker.StartEmbedded(dir, c.Embedded.Port, log) // it takes dir/broker and dir/lock
		if err != nil {
			return nil, err
		}
		i.Broker = own
		i.close = append(i.close, closer{"the embedded broker", own.Close})
		c.Kafka = broker.Kafka{Brokers: []string{own.Addr()}}
	}
	options, err := c.Kafka.Options()
	if err != nil {
		return nil, err
	}
	storeDir := ""
	if dir != "" {
		storeDir = c.StoreDir()
	}
	if embedded {
		if err := prepareEmbedded(ctx, &c, options, i.Broker, storeDir, log); err != nil {
			return nil, err
		}
	}
	store, err := state.OpenOn(storeDir, disk)
	if err != nil {
		return nil, err
	}
	i.close = append(i.close, closer{"the state in " + storeDir, store.Close})

	fan := cmp.Or(o.Sinks, &sinks.Fan{})
	i.close = append(i.close, closer{"the sinks", fan.Close})
	for _, x := range sinksOf(&c, o.Version, os.Stdout) {
		if err := fan.Open(x, log); err != nil {
			return nil, err
		}
	}

	i.Config = pipeline.Config{
		Options: options, Topics: c.Topics, Group: c.Group, Instance: c.Instance, Stages: c.Stages, Ingress: c.Ingress,
		Store: store, Disk: disk, Policy: policies, Encoder: encoder{&sinks.OCSF{Version: o.Version}},
		Metrics: pipeline.NewMetrics(i.Registry), Log: log,
		Changelog: !embedded, Found: fan.Findings, Issued: fan.Commands, Health: &pipeline.Health{},
		MaxPoll: c.Engine.MaxPoll, TransactionEvery: c.Engine.TransactionEvery,
		TransactionTimeout: c.Engine.TransactionTimeout, SessionTimeout: c.Engine.SessionTimeout,
		CheckpointEvery: c.Engine.CheckpointEvery, ChangelogEvery: c.Engine.ChangelogEvery, MaxAhead: c.Engine.MaxAhead,
		PageCap: c.Engine.PageCap,
	}
	if i.Broker != nil {
		i.Config.Broken = i.Broker.Broken
	}
	budget, from, err := config.Budget(c.Memory)
	if err != nil {
		return nil, err
	}
	i.Config.Budget = budget
	log.Info("memory", "limit", config.FormatMemory(budget.Limit()), "from", from)
	i.Reloader = newReloader(c.Policies, o.Shadow, policies, log)
	i.Config.Updates, i.Config.Told = i.Reloader.updates, i.Reloader.onOutcome
	if c.Listen != "off" && c.Listen != "" {
		if err := i.serve(c.Listen, log); err != nil {
			return nil, err
		}
	}
	return i, nil
}
