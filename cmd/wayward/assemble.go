package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/sinks"
	"github.com/wayward-sec/wayward/state"
	"github.com/wayward-sec/wayward/terminal"
)

// instance is everything that a running engine consists of, opened in order and closed in reverse.
type instance struct {
	cfg      pipeline.Config
	registry *prometheus.Registry
	addr     string // of the metrics, once they are served
	broker   *broker.Embedded
	reloader *reloader
	close    []closer
	closing  atomic.Value // string: what is being closed
}

// closer is a part of an instance that has to be closed.
type closer struct {
	what string
	do   func() error
}

// Close takes the instance down, last opened first.
func (i *instance) Close() error {
	var errs []error
	for n := len(i.close) - 1; n >= 0; n-- {
		i.closing.Store(i.close[n].what)
		errs = append(errs, i.close[n].do())
	}
	i.close = nil
	return errors.Join(errs...)
}

// options of assemble that are not in the config file.
type wiring struct {
	memory bool // broker and state in memory: the demo
	shadow string
	sinks  *sinks.Fan // besides those of the config; nil: none
}

// assemble opens what the config asks for: broker, topics, policies, state, sinks, metrics. It is
// the only place that knows them all.
func assemble(ctx context.Context, c config.Config, w wiring, log *slog.Logger) (_ *instance, err error) {
	i := &instance{registry: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.Close())
		}
	}()
	i.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	policies, err := config.LoadShadowed(c.Policies, w.shadow)
	if err != nil {
		return nil, err
	}
	dir := c.State
	if w.memory {
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
		brokerDir := ""
		if dir != "" {
			brokerDir = dir // it takes dir/broker and dir/lock
		}
		own, err := broker.StartEmbedded(brokerDir, c.Embedded.Port, log)
		if err != nil {
			return nil, err
		}
		i.broker = own
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
		if err := prepareEmbedded(ctx, &c, options, i.broker, storeDir, log); err != nil {
			return nil, err
		}
	}
	store, err := state.OpenOn(storeDir, disk)
	if err != nil {
		return nil, err
	}
	i.close = append(i.close, closer{"the state in " + storeDir, store.Close})

	fan := cmp.Or(w.sinks, &sinks.Fan{})
	i.close = append(i.close, closer{"the sinks", fan.Close})
	for _, x := range sinksOf(&c, os.Stdout) {
		if err := fan.Open(x, log); err != nil {
			return nil, err
		}
	}

	i.cfg = pipeline.Config{
		Options: options, Topics: c.Topics, Group: c.Group, Instance: c.Instance, Stages: c.Stages, Ingress: c.Ingress,
		Store: store, Disk: disk, Policy: policies, Encoder: encoder{&sinks.OCSF{Version: versionOf()}},
		Metrics: pipeline.NewMetrics(i.registry), Log: log,
		Changelog: !embedded, Found: fan.Findings, Issued: fan.Commands, Health: &pipeline.Health{},
		MaxPoll: c.Engine.MaxPoll, TransactionEvery: c.Engine.TransactionEvery,
		TransactionTimeout: c.Engine.TransactionTimeout, SessionTimeout: c.Engine.SessionTimeout,
		CheckpointEvery: c.Engine.CheckpointEvery, ChangelogEvery: c.Engine.ChangelogEvery, MaxAhead: c.Engine.MaxAhead,
		PageCap: c.Engine.PageCap,
	}
	if i.broker != nil {
		i.cfg.Broken = i.broker.Broken
	}
	budget, from, err := config.Budget(c.Memory)
	if err != nil {
		return nil, err
	}
	i.cfg.Budget = budget
	log.Info("memory", "limit", config.FormatMemory(budget.Limit()), "from", from)
	i.reloader = newReloader(c.Policies, w.shadow, policies, log)
	i.cfg.Updates, i.cfg.Told = i.reloader.updates, i.reloader.told
	if c.Listen != "off" && c.Listen != "" {
		if err := i.serve(c.Listen, log); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// prepareEmbedded creates the topics of the embedded broker. After an unclean stop its transactions
// cannot be trusted to be whole, so all that the engine wrote to itself is thrown away and made
// again from agent.events; findings may then repeat, with equal ids. Breakers stay as they are.
func prepareEmbedded(ctx context.Context, c *config.Config, options []kgo.Opt, own *broker.Embedded, storeDir string,
	log *slog.Logger) error {
	cl, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer cl.Close()
	var resume *pipeline.Resume
	if !own.Clean() {
		log.Warn("the last stop was not clean: state is rebuilt from " + c.Topics.Events +
			", findings may repeat with equal ids")
		groups := []string{c.Group + "-ingress", c.Group + "-behaviour", c.Group + "-relation"}
		if resume, err = pipeline.ReadResume(ctx, options, c.Topics, c.Group); err != nil {
			return err
		}
		if storeDir != "" { // first: once the topics are discarded the next stop is clean
			if err := os.RemoveAll(storeDir); err != nil {
				return fmt.Errorf("discarding state: %w", err)
			}
		}
		if err := own.DiscardInternal(ctx, c.Topics.Discardable(), groups); err != nil {
			return err
		}
	}
	adm := kadm.NewClient(cl)
	changes, err := broker.PlanTopics(ctx, adm, c.Topics.Specs(true, 1))
	if err != nil {
		return err
	}
	if err := broker.ApplyTopics(ctx, adm, changes, func(broker.Change) {}); err != nil || resume == nil {
		return err
	}
	return resume.Write(ctx, options, c.Topics)
}

// serve offers metrics and health on an address, loopback unless the config says otherwise.
func (i *instance) serve(addr string, log *slog.Logger) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w; set another address, or off, in listen", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(i.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("GET /readyz", readiness{i.cfg.Health})
	mux.Handle("POST /-/reload", ownOrigin(addr, i.reloader))
	if !onLoopback(addr) {
		log.Warn(
			"listen is not loopback alone: whoever reaches it can read the metrics and have policies read anew, without a password; use 127.0.0.1, or a network that is closed",
			"addr", addr)
	}
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics listener", "err", err)
		}
	}()
	i.addr = l.Addr().String()
	i.close = append(i.close, closer{"the listener", func() error {
		err := s.Close()
		<-done
		return err
	}})
	return nil
}

// encoder is what pipeline wants of package sinks.
type encoder struct{ *sinks.OCSF }

// Record implements pipeline.Encoder.
func (e encoder) Record(f *event.Finding) (key, value []byte, headers []pipeline.Header) {
	for _, h := range e.Headers(f) {
		headers = append(headers, pipeline.Header{Key: h.Key, Value: h.Value})
	}
	return e.Key(nil, f), e.Append(nil, f), headers
}

// terminalSink prints findings and commands on standard output.
func terminalSink(stdout io.Writer) (*sinks.Terminal, sinks.Settings) {
	out := terminal.Raw(stdout)
	return sinks.NewTerminal(out, sinks.Colour(out)), sinks.Settings{Type: "terminal",
		Records: []string{"findings", "commands"}}
}

// sinksOf are the sinks that the config asks for. findings.file is the short form of a file.
func sinksOf(c *config.Config, stdout io.Writer) []sinks.Settings {
	all := slices.Clone(c.Sinks)
	if c.Findings.File != "" {
		all = append(all, sinks.Settings{Type: "file", Path: c.Findings.File})
	}
	for i := range all {
		all[i].Version, all[i].Out, all[i].Colour = versionOf(), stdout, sinks.Colour(stdout)
	}
	return all
}
