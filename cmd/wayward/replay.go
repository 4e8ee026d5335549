package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
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
	"github.com/wayward-sec/wayward/sinks"
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
	tell, finish := progress(stderr, o.quiet, in.total, in.unit)
	r.Progress = tell
	sum, err := r.Run(cmd.Context(), in)
	finish()
	err = errors.Join(err, done(), flush())
	if err == nil && o.snapshots != "" {
		err = inspect.WriteModels(cmd.OutOrStdout(), o.snapshots, r.Snapshots)
	}
	if !o.quiet {
		summarize(stderr, sum, time.Since(start), o.flush)
		bad.tell(stderr, o.place, in.hint())
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

// input is what a replay reads.
type input struct {
	history.Source
	total int64 // in unit
	unit  string
	since int64 // event time before which nothing is reported
	close func()
	hint  func() string // what to do if records do not decode
}

// open opens the file or the range of the topic. back is how far before the range the longest
// window reaches: what lies there fills the windows and is not reported.
func (o *replayOptions) open(cmd *cobra.Command, c *config.Config, back time.Duration) (*input, error) {
	if o.topic == "" {
		if o.from != "" || o.to != "" {
			return nil, errors.New("--from and --to are times of a topic: give --from-topic")
		}
		lines, err := history.OpenLines(o.input)
		if err != nil {
			return nil, err
		}
		return &input{Source: history.Converted(lines, formats.New(o.format)), hint: lines.Hint, total: lines.Size,
			unit: "bytes", close: lines.Close}, nil
	}
	from, err := moment("--from", o.from)
	if err != nil {
		return nil, err
	}
	to, err := moment("--to", o.to)
	if err != nil {
		return nil, err
	}
	if c.Kafka.Embedded() {
		return nil, errors.New("--from-topic needs brokers: give --config with brokers in it")
	}
	options, err := c.Kafka.Options()
	if err != nil {
		return nil, err
	}
	before, since := from, int64(0)
	if !from.IsZero() {
		since = from.UnixMilli()
		before = from.Add(-back)
	}
	rng, err := history.OpenRange(cmd.Context(), options, o.topic, before, to)
	if err != nil {
		return nil, err
	}
	return &input{Source: history.Converted(rng, formats.New(o.format)), hint: func() string { return "" }, total: rng.Total, unit: "records", since: since, close: func() { rng.Close() }}, nil
}

// flagsOfInput adds what says where events come from.
func (o *replayOptions) flagsOfInput(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.input, "input", "i", "",
		"`file` of events, one a line, plain or .gz, .zst, .xz; - is standard input")
	formatFlag(cmd, &o.format)
	f.StringVar(&o.topic, "from-topic", "", "`topic` to read instead of a file")
	f.StringVar(&o.from, "from", "", "first broker `time` of the topic, RFC 3339; its beginning without")
	f.StringVar(&o.to, "to", "", "broker `time` to stop at; its end without")
	cmd.MarkFlagsMutuallyExclusive("input", "from-topic")
	cmd.MarkFlagsOneRequired("input", "from-topic")
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
	tell, finish := progress(stderr, o.quiet, lines.Size, "bytes")
	r.Progress = tell
	var bad undecoded
	r.Bad = func(at int64, _ string, err error) { bad.add(at, err) }
	sum, err := r.Run(cmd.Context(), history.Converted(lines, formats.New(o.format)))
	finish()
	bad.tell(stderr, func(at int64) string { return fmt.Sprintf("%s line %d", o.learn, at) }, lines.Hint())
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

func (o *replayOptions) place(at int64) string {
	if o.topic != "" {
		return fmt.Sprintf("%s offset %d", o.topic, at)
	}
	return fmt.Sprintf("%s line %d", o.input, at)
}

func moment(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("%s %s: not a time; write it as 2026-11-20T14:30:00Z", flag, s)
	}
	return t, nil
}

// sink is where findings go: a file, sorted; else lines for people on standard output.
func (o *replayOptions) sink(cmd *cobra.Command) (deliver func(*event.Finding) error, done func() error, err error) {
	if o.output == "" {
		t := sinks.NewTerminal(cmd.OutOrStdout(), sinks.Colour(cmd.OutOrStdout()))
		return t.Deliver, t.Close, nil
	}
	var w io.Writer = cmd.OutOrStdout()
	closeFile := func() error { return nil }
	if o.output != "-" {
		f, err := os.Create(o.output)
		if err != nil {
			return nil, nil, fmt.Errorf("output: %w", err)
		}
		w, closeFile = f, f.Close
	}
	s := sinks.NewSorted(w, &sinks.OCSF{Version: versionOf()})
	return s.Deliver, func() error { return errors.Join(s.Close(), closeFile()) }, nil
}

// commandSink is where commands go: a file, as they would stand on the topic; else, beside findings
// for people, lines; else nowhere.
func (o *replayOptions) commandSink(cmd *cobra.Command) (command func(*event.Command) error, done func() error,
	err error) {
	nothing := func() error { return nil }
	switch {
	case o.commands == "" && o.output == "":
		t := sinks.NewTerminal(cmd.OutOrStdout(), sinks.Colour(cmd.OutOrStdout()))
		return t.Command, nothing, nil
	case o.commands == "":
		return nil, nothing, nil
	case o.commands == o.output && o.output == "-":
		return nil, nil, errors.New(
			"--output and --commands cannot both be standard output: name a file for one of them")
	}
	var w io.Writer = cmd.OutOrStdout()
	closeFile := nothing
	if o.commands != "-" {
		f, err := os.Create(o.commands)
		if err != nil {
			return nil, nil, fmt.Errorf("commands: %w", err)
		}
		w, closeFile = f, f.Close
	}
	b := bufio.NewWriter(w)
	return func(c *event.Command) error {
		_, err := b.Write(append(c.Append(nil), '\n'))
		return err
	}, func() error { return errors.Join(b.Flush(), closeFile()) }, nil
}

func summarize(w io.Writer, s pipeline.Summary, took time.Duration, flushed bool) {
	fmt.Fprintf(w, "%d events in %v (%.0f/s)", s.Events, took.Round(time.Millisecond), float64(s.Events)/took.Seconds())
	if s.Events > 0 {
		fmt.Fprintf(w, ", from %s to %s", time.UnixMilli(s.First).UTC().Format(time.RFC3339),
			time.UnixMilli(s.Last).UTC().Format(time.RFC3339))
	}
	fmt.Fprintf(w, "\n%d findings, %d updates of findings, %d commands; %d agents, sessions and scopes remembered\n",
		s.Findings, s.Updates, s.Commands, s.Pages)
	for _, c := range []struct {
		n    int64
		what string
	}{
		{s.Repeated, "events came again (same id, same agent) and were counted once"},
		{s.Late, "events were more than 10 s behind their agent's newest"},
		{s.Future, "events were stamped in the future; their time was replaced"},
		{s.Dropped,
			"times an agent, session or scope was not remembered: its tenant has used up its share of the state (engine.page_cap)"},
		{s.Evicted,
			"agents, sessions and scopes idle for an hour were forgotten to make room for others of their tenant"},
		{s.Stateless,
			"events were judged without memory of their agent, since there was no room for it: by persona, limits of a call and rules on single events alone"},
	} {
		if c.n > 0 {
			fmt.Fprintf(w, "%d %s\n", c.n, c.what)
		}
	}
	for _, limit := range slices.Sorted(maps.Keys(s.Unmeasured)) {
		fmt.Fprintf(w,
			"limit %s: %d calls could not be measured: an amount without a currency, or a number that could not be read\n",
			limit, s.Unmeasured[limit])
	}
	for _, rule := range slices.Sorted(maps.Keys(s.RuleErrors)) {
		fmt.Fprintf(w,
			"rule %s: an expression failed %d times, and counted as not true; try it with wayward rules eval\n", rule,
			s.RuleErrors[rule])
	}
	if s.Pending > 0 && !flushed {
		fmt.Fprintf(w, "%d buckets above one agent still wait for the watermark: --flush closes them\n", s.Pending)
	}
}
