package main

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline"
)

func newBacktest() *cobra.Command {
	o := backtestOptions{samples: 3}
	cmd := &cobra.Command{
		Use:   "backtest --base DIR --candidate DIR",
		Short: "Replay events under two sets of policies and print the difference",
		Long: "backtest runs the same events through the engine twice, under the policies of --base and of --candidate, and says which findings are new, which are lost and\n" +
			"which are the same, with samples. Findings are the same if they have one uid: the same rule, scope and trigger. Baselines learn likewise in both, or nothing with\n" +
			"--freeze. Publishes nothing. Exit 1 if more are new or lost than --max-new and --max-lost allow, 3 if there was no event.",
		Example: "  wayward backtest --base policies --candidate policies.new --input lastweek.jsonl.zst\n" +
			"  wayward backtest --base live --candidate tuned --input events.jsonl --max-lost 0 --max-new 20 --output json\n" +
			"  wayward backtest --base live --candidate tuned --config wayward.yaml --from-topic agent.events --from 2026-11-20T00:00:00Z",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&o.base, "base", "", "`directory` of policies as they are")
	f.StringVar(&o.candidate, "candidate", "", "`directory` of policies as they are to become")
	o.flagsOfInput(cmd)
	configFlag(cmd, &o.config)
	f.StringVar(&o.only, "rule", "", "compare the findings of this `rule` alone")
	f.IntVar(&o.samples, "samples", 3, "findings to print of each rule, new and lost")
	f.IntVar(&o.maxNew, "max-new", 0, "so many new findings are fine")
	f.IntVar(&o.maxLost, "max-lost", 0, "so many lost findings are fine")
	f.BoolVar(&o.freeze, "freeze", false, "learn nothing from the input")
	f.IntVar(&o.shards, "shards", runtime.GOMAXPROCS(0), "workers; the findings do not depend on it")
	f.Lookup("shards").DefValue = "the number of CPUs"
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress")
	outputFlag(cmd, &o.output, "table", "json")
	cmd.MarkFlagDirname("base")
	cmd.MarkFlagDirname("candidate")
	require(cmd, "base", "candidate")
	return cmd
}

type backtestOptions struct {
	replayOptions
	base, candidate, only    string
	samples, maxNew, maxLost int
}

func (o *backtestOptions) run(cmd *cobra.Command) error {
	if o.shards < 1 || o.shards > 1024 {
		return fmt.Errorf("--shards %d: use 1 to 1024", o.shards)
	}
	if o.input == "-" {
		return errors.New("--input -: the events are read twice; write them to a file")
	}
	c, err := config.Load(o.config)
	if err != nil {
		return err
	}
	budget, _, err := config.Budget(c.Memory)
	if err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	var rep backtestReport
	var bad undecoded
	for i, dir := range []string{o.base, o.candidate} {
		set, err := config.LoadPolicies(dir)
		if err != nil {
			return err
		}
		in, err := o.open(cmd, &c, set.LongestWindow())
		if err != nil {
			return err
		}
		found := map[string]*event.Finding{}
		r := pipeline.Replay{Policy: set, Workers: o.shards, Flush: true, PageCap: c.Engine.PageCap, Freeze: o.freeze,
			Since: in.since, Budget: budget,
			Deliver: func(f *event.Finding) error {
				if f.Activity == event.Create && (o.only == "" || f.Rule == o.only) {
					found[f.UID] = f
				}
				return nil
			}}
		if i == 0 { // the other replay reads the same
			r.Bad = func(at int64, _ string, err error) {
				rep.Bad++
				bad.add(at, err)
			}
		}
		report, finish := progress(cmd.ErrOrStderr(), o.quiet, in.total, in.unit)
		r.Progress = report
		sum, err := r.Run(cmd.Context(), in)
		finish()
		in.close()
		if i == 0 && !o.quiet {
			bad.report(cmd.ErrOrStderr(), o.place, in.hint())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		rep.Events, rep.found[i] = sum.Events, found
	}
	rep.compare(o.samples)
	w := cmd.OutOrStdout()
	if o.output == "json" {
		err = printJSON(w, &rep)
	} else {
		err = rep.print(w, o.base, o.candidate)
	}
	switch {
	case err != nil:
		return err
	case bad.n > 0:
		return bad.code()
	case rep.Events == 0:
		return errSilent{3}
	case rep.New > o.maxNew || rep.Lost > o.maxLost:
		return errSilent{1}
	}
	return nil
}
