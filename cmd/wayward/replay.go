package main

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/baselines/inspect"
	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/formats"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/policy"
)

func newReplay() *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Run recorded events through the engine",
		Long: "replay runs a file or a range of a topic through the same engine as run, both stages in one process, and publishes nothing.\n" +
			"The findings are the same for any number of --shards, and the same as live as long as no event comes more than 10 s late.\n" +
			"At the end of the input the watermark stays where it is; --flush closes what still waits for it. Exit 1 if records did not\n" +
			"decode: how many, why and where the first is stands at the end; 3 if there was no event.",
		Example: "  wayward replay --input events.jsonl.zst --flush\n" +
			"  wayward replay --learn lastweek.jsonl.zst --input today.jsonl\n" +
			"  wayward replay --input lastmonth.jsonl.zst --snapshots snapshots.jsonl --output findings.jsonl\n" +
			"  zcat events.jsonl.gz | wayward replay --input - --output findings.jsonl\n" +
			"  wayward replay --input events.jsonl --policies policies -o findings.jsonl --commands commands.jsonl\n" +
			"  wayward replay --config wayward.yaml --from-topic agent.events --from 2026-11-20T00:00:00Z --to 2026-11-21T00:00:00Z",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	o.flagsOfInput(cmd)
	f.StringVarP(&o.output, "output", "o", "",
		"write findings to `file`, OCSF, one a line, sorted by time and uid; - is standard output")
	f.StringVar(&o.commands, "commands", "",
		"write the commands that a live engine would have issued to `file`, one a line, sorted; - is standard output")
	o.policiesFlags.flags(cmd)
	f.StringVar(&o.learn, "learn", "",
		"`file` of events that are known to be good: baselines are learned from it, and are in force from the first event of the input")
	f.StringVar(&o.baselines, "baselines", "",
		"`file` of snapshots, as wayward baseline export writes them, that are in force from the first event of the input, whatever their day")
	f.StringVar(&o.snapshots, "snapshots", "",
		"write the baselines as they were last closed to `file`, one a line; wayward baseline --from and import read it; - is standard output")
	f.BoolVar(&o.freeze, "freeze", false,
		"learn nothing from the input: the baselines of --learn or --baselines stay in force")
	f.BoolVar(&o.flush, "flush", false, "at the end, close what still waits for the watermark")
	f.IntVar(&o.shards, "shards", runtime.GOMAXPROCS(0), "workers; the findings do not depend on it")
	f.Lookup("shards").DefValue = "the number of CPUs"
	f.StringVar(&o.memory, "memory", "",
		"`amount` of memory, as 2GiB: what does not fit is put into a temporary directory (TMPDIR); the findings do not depend on it; off: no bound; without, what the config says")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress, no summary")
	cmd.MarkFlagsMutuallyExclusive("learn", "baselines")
	return cmd
}

type replayOptions struct {
	policiesFlags
	input, format, topic, from, to string
	output, commands, learn        string
	baselines, snapshots, memory   string
	flush, quiet, freeze           bool
	badLearn                       undecoded // of --learn
	shards                         int
}

func (o *replayOptions) run(cmd *cobra.Command) (err error) {
	if o.shards < 1 || o.shards > 1024 {
		return fmt.Errorf("--shards %d: use 1 to 1024", o.shards)
	}
	c, err := config.Load(o.config)
	if err != nil {
		return err
	}
	policies, err := config.LoadPolicies(cmp.Or(o.dir, c.Policies))
	if err != nil {
		return err
	}
	stderr := cmd.ErrOrStderr()
	start := time.Now()
	budget, _, err := config.Budget(cmp.Or(o.memory, c.Memory))
	if err != nil {
		return fmt.Errorf("--memory: %w", err)
	}
	r := pipeline.Replay{Policy: policies, Workers: o.shards, Flush: o.flush, PageCap: c.Engine.PageCap,
		Freeze: o.freeze, Budget: budget}
	if o.learn != "" {
		if r.Learn, err = o.learned(cmd, policies, c.Engine.PageCap, budget); err != nil {
			return err
		}
	}
	if o.baselines != "" {
		if r.Learn, err = inspect.ReadModels(o.baselines); err != nil {
			return err
		}
	}

	in, err := o.open(cmd, &c, policies.LongestWindow())
	if err != nil {
		return err
	}
	defer in.close()
	r.Since = in.since

	deliver, done, err := o.sink(cmd)
	if err != nil {
		return err
	}
	r.Deliver = deliver
	command, flush, err := o.commandSink(cmd)
	if err != nil {
		return err
	}
	r.Command = command
	var bad undecoded
	r.Bad = func(at int64, _ string, err error) { bad.add(at, err) }
	report, finish := progress(stderr, o.quiet, in.total, in.unit)
	r.Progress = report
	sum, err := r.Run(cmd.Context(), in)
	finish()
	err = errors.Join(err, done(), flush())
	if err == nil && o.snapshots != "" {
		err = inspect.WriteModels(cmd.OutOrStdout(), o.snapshots, r.Snapshots)
	}
	if !o.quiet {
		summarize(stderr, sum, time.Since(start), o.flush)
		bad.report(stderr, o.place, in.hint())
	}
	switch {
	case err != nil:
		return err
	case bad.n > 0 || o.badLearn.n > 0:
		return errSilent{1}
	case sum.Events == 0:
		return errSilent{3}
	}
	return nil
}

// learned replays the file that is known to be good, silently, and returns what was learned from
// it.
func (o *replayOptions) learned(cmd *cobra.Command, policies *policy.Set, pageCap int,
	budget *pipeline.Budget) ([]*baselines.Model, error) {
	lines, err := history.OpenLines(o.learn)
	if err != nil {
		return nil, err
	}
	defer lines.Close()
	stderr := cmd.ErrOrStderr()
	r := pipeline.Replay{Policy: policies, Workers: o.shards, PageCap: pageCap, Budget: budget, Approved: true,
		Deliver: func(*event.Finding) error { return nil }}
	report, finish := progress(stderr, o.quiet, lines.Size, "bytes")
	r.Progress = report
	var bad undecoded
	r.Bad = func(at int64, _ string, err error) { bad.add(at, err) }
	sum, err := r.Run(cmd.Context(), history.Converted(lines, formats.New(o.format)))
	finish()
	bad.report(stderr, func(at int64) string { return fmt.Sprintf("%s line %d", o.learn, at) }, lines.Hint())
	o.badLearn = bad
	switch {
	case err != nil:
		return nil, fmt.Errorf("learning from %s: %w", o.learn, err)
	case sum.Events == 0:
		return nil, fmt.Errorf("--learn %s: there is no event in it", o.learn)
	}
	if !o.quiet {
		fmt.Fprintf(stderr, "learned %d baselines from %d events, from %s to %s\n", len(r.Snapshots), sum.Events,
			time.UnixMilli(sum.First).UTC().Format(time.RFC3339), time.UnixMilli(sum.Last).UTC().Format(time.RFC3339))
	}
	return r.Snapshots, nil
}
