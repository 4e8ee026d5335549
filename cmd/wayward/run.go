package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/sinks"
)

func newRun() *cobra.Command {
	var name string
	var logs logOptions
	var stages []string
	var print, watch bool
	var shadow string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Watch: read events from Kafka, write findings to Kafka",
		Long: "run reads agent.events in exactly-once and writes findings to agent.alerts. Without brokers in the config it brings a broker of its own,\n" +
			"on loopback, for demos, tests and laptops: findings may repeat there (with equal ids) after an unclean stop.\n" +
			"Ctrl-C or SIGTERM stops it cleanly, within 30 s; a second one at once. Brokers that are down at the start are waited for. SIGHUP, a POST to /-/reload at the address of the metrics, and with --watch a change in the folder make it\n" +
			"read its policies anew: all or nothing, by a record in every partition's log, and what has not changed keeps its state.",
		Example: "  wayward run                                    embedded broker on 127.0.0.1:29092, state in ./wayward-state\n" +
			"  wayward run --config wayward.yaml              your Kafka\n" +
			"  wayward run --config wayward.yaml --stage behaviour   one stage alone",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(name)
			if err != nil {
				return err
			}
			if len(stages) > 0 {
				c.Stages = stages
			}
			return run(cmd.Context(), c, logs.logger(cmd.ErrOrStderr()), print, watch, shadow, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	configFlag(cmd, &name)
	f.StringSliceVar(&stages, "stage", nil, "run these `stages` only: "+strings.Join(pipeline.Stages, ", "))
	f.BoolVar(&print, "print", false, "print findings and commands on standard output, too")
	f.BoolVar(&watch, "watch", false, "read the policies anew when a file in their folder changes")
	f.StringVar(&shadow, "shadow", "",
		"count what the rules of this `directory` match beside those that are live, as wayward_rule_events_total{rule=\"shadow.ID\"}; they never act")
	cmd.MarkFlagDirname("shadow")
	logFlags(cmd, &logs)
	cmd.RegisterFlagCompletionFunc("stage", cobra.FixedCompletions(pipeline.Stages, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func run(ctx context.Context, c config.Config, log *slog.Logger, print, watch bool, shadow string, stdout io.Writer) error {
	w := wiring{shadow: shadow}
	if print {
		term, settings := terminalSink(stdout)
		w.sinks = &sinks.Fan{}
		w.sinks.Add(term, settings, log)
	}
	i, err := assemble(ctx, c, w, log)
	if err != nil {
		return err
	}
	where := strings.Join(c.Brokers, ",")
	if i.broker != nil {
		where = "embedded " + i.broker.Addr()
	}
	log.Info("wayward "+versionOf(),
		append(append([]any{"brokers", where, "instance", c.Instance, "policies", i.cfg.Policy.Hash()[:12]},
			counted(i.cfg.Policy)...), "metrics", i.addr)...)
	reloading, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { i.reloader.run(reloading, watch) })
	defer done.Wait()
	defer stop()
	told := notify(ctx, i.cfg.Health, log)
	var since atomic.Pointer[time.Time] // when it was told to stop
	defer context.AfterFunc(ctx, func() { now := time.Now(); since.Store(&now) })()
	err = pipeline.Run(ctx, i.cfg)
	told()
	left := stopWithin
	if t := since.Load(); t != nil {
		left = max(stopWithin-time.Since(*t), stopWithin-pipeline.StopWithin)
	}
	return i.end(err, left, log)
}

// end closes what the engine worked with, within what is left of the time that a stop may take.
// What does not end is left standing: the process ends, and that is no worse than a crash.
func (i *instance) end(err error, left time.Duration, log *slog.Logger) error {
	if errors.Is(err, pipeline.ErrStuck) {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- i.Close() }()
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case cerr := <-done:
		log.Info("stopped")
		if err == nil {
			err = cerr
		}
		return err
	case <-t.C:
	}
	stuck := fmt.Errorf("%s %w closing within %s; nothing is lost, the next start goes on from the last checkpoint",
		i.closing.Load(), pipeline.ErrStuck, left.Round(time.Second))
	if err != nil {
		return fmt.Errorf("%w; and on the way out %w", err, stuck)
	}
	return stuck
}

// stopWithin is how long a stop may take in all. Who starts us, mostly kills after 30 s.
const stopWithin = 28 * time.Second

// counted are how many definitions of each kind are in force, for a line of the log.
func counted(set *policy.Set) (attrs []any) {
	for _, c := range set.Counts() {
		attrs = append(attrs, strings.ReplaceAll(c.What, " ", "_"), c.N)
	}
	return attrs
}
