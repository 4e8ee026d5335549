package main

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/instance"
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

func run(ctx context.Context, c config.Config, log *slog.Logger, print, watch bool, shadow string,
	stdout io.Writer) error {
	o := instance.Options{Shadow: shadow, Version: versionOf()}
	if print {
		term, settings := instance.TerminalSink(stdout)
		o.Sinks = &sinks.Fan{}
		o.Sinks.Add(term, settings, log)
	}
	i, err := instance.Open(ctx, c, o, log)
	if err != nil {
		return err
	}
	where := strings.Join(c.Brokers, ",")
	if i.Broker != nil {
		where = "embedded " + i.Broker.Addr()
	}
	log.Info("wayward "+versionOf(),
		append(append([]any{"brokers", where, "instance", c.Instance, "policies", i.Config.Policy.Hash()[:12]},
			counted(i.Config.Policy)...), "metrics", i.Addr)...)
	return i.Run(ctx, watch, log)
}

// counted are how many definitions of each kind are in force, for a line of the log.
func counted(set *policy.Set) (attrs []any) {
	for _, c := range set.Counts() {
		attrs = append(attrs, strings.ReplaceAll(c.What, " ", "_"), c.N)
	}
	return attrs
}
