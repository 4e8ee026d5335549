package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/configs"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/fleet/feed"
	"github.com/wayward-sec/wayward/instance"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/sinks"
	"github.com/wayward-sec/wayward/terminal"
)

func newDemo() *cobra.Command {
	var seconds int
	var rate float64
	var seed int64
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: embedded broker, a made-up fleet with some attacks in it, findings as they come",
		Long: "demo starts a broker in this process, produces the events of a made-up fleet of agents of several tenants and personas, weaves attacks in,\n" +
			"runs the engine with the example policies, and prints findings and commands as they are committed; the latter are dry_run. Everything is in memory and gone afterwards.",
		Example: "  wayward demo\n  wayward demo --seconds 20 --rate 20000",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rate < 1 || rate > 200_000 {
				return fmt.Errorf("--rate %v: use 1 to 200000 events a second", rate)
			}
			return demo(cmd.Context(), time.Duration(seconds)*time.Second, rate, seed, cmd.OutOrStdout(),
				cmd.ErrOrStderr())
		},
	}
	cmd.Flags().IntVar(&seconds, "seconds", 0, "end by itself after so many `seconds`; 0: on Ctrl-C")
	cmd.Flags().Float64Var(&rate, "rate", 2000, "`events` a second")
	cmd.Flags().Int64Var(&seed, "seed", 1, "of the made-up fleet")
	return cmd
}

func demo(ctx context.Context, length time.Duration, rate float64, seed int64, stdout, stderr io.Writer) error {
	dir, err := os.MkdirTemp("", "wayward-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, configs.Files); err != nil {
		return fmt.Errorf("example policies: %w", err)
	}
	log := logOptions{level: "warn", format: "auto"}.logger(stderr)
	c := config.Default()
	c.Policies, c.Listen, c.Embedded.Port = dir, "127.0.0.1:0", 0
	c.Group, c.Instance = "demo", "0"
	term, settings := instance.TerminalSink(stdout)
	n := &countedTerminal{Terminal: term}
	o := instance.Options{Memory: true, Sinks: &sinks.Fan{}, Version: versionOf()}
	o.Sinks.Add(n, settings, log)
	i, err := instance.Open(ctx, c, o, log)
	if err != nil {
		return err
	}
	defer i.Close()
	fmt.Fprintf(stdout, "wayward %s: %d personas, %d limits, embedded broker %s, metrics http://%s/metrics\n\n",
		versionOf(), len(i.Config.Policy.Personas()), len(i.Config.Policy.Limits()), i.Broker.Addr(), i.Addr)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if length > 0 {
		ctx, cancel = context.WithTimeout(ctx, length)
		defer cancel()
	}
	engine := make(chan error, 1)
	go func() { engine <- pipeline.Run(ctx, i.Config) }()
	fed := make(chan error, 1)
	go func() { fed <- feed.Run(ctx, i.Config.Options, c.Topics.Events, rate, seed) }()
	start := time.Now()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	events, last, at := 0.0, 0.0, start
	status := func() string {
		m := i.Metrics()
		events = m["wayward_records_total"]
		per := (events - last) / max(time.Since(at).Seconds(), 0.001)
		last, at = events, time.Now()
		return fmt.Sprintf("%5.0fs  %8.0f events  %7.0f/s  lag %.0f  findings %d  commands %d",
			time.Since(start).Seconds(), events, per, m["wayward_lag_records"], n.findings.Load(), n.commands.Load())
	}
	for {
		select {
		case <-tick.C:
			line := status()
			term.Status(line)
			if !sinks.Colour(terminal.Raw(stdout)) && int(time.Since(start).Seconds()*2)%10 == 0 {
				fmt.Fprintln(stderr, strings.TrimSpace(line)) // not a terminal: a line every five seconds
			}
		case err := <-engine:
			cancel()
			ferr := <-fed
			term.Status("")
			m := i.Metrics()
			fmt.Fprintf(stdout, "\n%.0f events in %v, %d findings, %d commands (dry run)\n", m["wayward_records_total"],
				time.Since(start).Round(time.Second), n.findings.Load(), n.commands.Load())
			if err == nil && ctx.Err() == nil {
				err = ferr
			}
			return err
		}
	}
}

// countedTerminal counts what it prints: findings without their updates, and commands.
type countedTerminal struct {
	*sinks.Terminal
	findings, commands atomic.Int64
}

// Findings implements sinks.Sink.
func (t *countedTerminal) Findings(fs []*event.Finding) error {
	for _, f := range fs {
		if f.Activity == event.Create {
			t.findings.Add(1)
		}
	}
	return t.Terminal.Findings(fs)
}

// Commands implements sinks.Sink.
func (t *countedTerminal) Commands(cs []event.Command) error {
	t.commands.Add(int64(len(cs)))
	return t.Terminal.Commands(cs)
}
