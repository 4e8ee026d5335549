package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/bench"
	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/eval"
	"github.com/wayward-sec/wayward/fleet"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/terminal"
)

type evalOptions struct {
	seeds, only, json string
	policiesFlags
	quiet bool
	eval.Settings
}

func newEval() *cobra.Command {
	var o evalOptions
	cmd := &cobra.Command{
		Use:   "eval [" + strings.Join(eval.Parts, "] [") + "]",
		Short: "Measure how often the statistical detectors are wrong, and what they find",
		Long: "eval makes weeks of work of 200 agents in six personas, replays them, and counts. clean: false alarms over nominal, from the day 21 on. attacks: what is woven\n" +
			"in, and how much of it is found, how soon, before half of the harm, and at 1 and 5 false alarms in 1,000 sessions; each twice: learned as all else is, and apart,\n" +
			"judged by what was learned without it. ramps: agents that do a little more each day, for weeks. repeats: the same odd chain every day, until it is\n" +
			"usual. drift: honest changes. shards: the same findings for 1 worker and 8. cost: CPU with detectors and without, at --agents. data: recorded sessions and\n" +
			"logs of --data, which the project does not contain. Without a word: all of them.\n" +
			"All is made up but data, by parameters that stand in package fleet; the same options give the same findings. Exit 0 if all gates hold, 1 if one is missed.",
		Example:   "  wayward eval\n  wayward eval clean attacks --seeds 1-2 --only sequence\n  wayward eval --quick\n  wayward eval data --data ../shared/data --json report.json",
		ValidArgs: eval.Parts,
		Args:      cobra.OnlyValidArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Parts = args
			if len(args) == 0 {
				o.Parts = eval.Parts
			}
			if err := o.check(cmd.Flags().Changed); err != nil {
				return err
			}
			return o.run(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.seeds, "seeds", "1-5", "`seeds` of the streams: 3, 1-5 or 1,4")
	f.IntVar(&o.Days, "days", fleet.Days, "`number` of days of a stream; from day 21 on it is measured")
	f.Float64Var(&o.Scale, "scale", 1, "`factor` on the number of agents")
	f.IntVar(&o.Agents, "agents", 20_000, "`number` of agents of the part cost")
	f.StringVar(&o.only, "only", "", "look at these `families` alone: volume, sequence, rarity, timing")
	f.StringVar(&o.json, "json", "", "also write all numbers to `file`; - is standard output, instead of the table")
	f.StringVar(&o.Data, "data", os.Getenv("WAYWARD_DATA"), "`directory` of recorded data; $WAYWARD_DATA without")
	f.Lookup("data").DefValue = ""
	o.policiesFlags.flags(cmd)
	f.IntVar(&o.Workers, "shards", runtime.GOMAXPROCS(0), "workers; the findings do not depend on it")
	f.Lookup("shards").DefValue = "the number of CPUs"
	f.BoolVar(&o.Quick, "quick", false,
		"a look in less than a minute: one seed, a quarter of the agents, 35 days, only clean, attacks and shards; gates are not judged but shards")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress")
	return cmd
}

func (o *evalOptions) check(given func(string) bool) error {
	var wrong []error
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if o.Quick {
		if len(o.Parts) == len(eval.Parts) {
			o.Parts = []string{"clean", "attacks", "shards"}
		}
		if !given("seeds") {
			o.seeds = "1"
		}
		if !given("days") {
			o.Days = 35
		}
		if !given("scale") {
			o.Scale = .25
		}
	}
	for word := range strings.SplitSeq(o.seeds, ",") {
		from, to, span := strings.Cut(word, "-")
		if !span {
			to = from
		}
		a, errA := strconv.ParseUint(from, 10, 32)
		b, errB := strconv.ParseUint(to, 10, 32)
		if errA != nil || errB != nil || a > b || b-a > 99 {
			bad("--seeds %s: use a number, or a span as 1-5, or several with commas", o.seeds)
			break
		}
		for s := a; s <= b; s++ {
			o.Seeds = append(o.Seeds, s)
		}
	}
	if o.only != "" {
		for word := range strings.SplitSeq(o.only, ",") {
			known := false
			for f := range baselines.Families {
				known = known || f.String() == word
			}
			if !known {
				bad("--only %s: %q is no family of tests; use volume, sequence, rarity or timing", o.only, word)
			}
			o.Families = append(o.Families, word)
		}
	}
	if o.Days < fleet.TestDay+2 || o.Days > 365 {
		bad("--days %d: use %d to 365: what is measured begins on day %d", o.Days, fleet.TestDay+2, fleet.TestDay)
	}
	if !(o.Scale >= .05 && o.Scale <= 100) {
		bad("--scale %v: use 0.05 to 100", o.Scale)
	}
	if o.Agents < 200 || o.Agents > 1_000_000 {
		bad("--agents %d: use 200 to 1000000", o.Agents)
	}
	if o.Workers < 1 || o.Workers > 1024 {
		bad("--shards %d: use 1 to 1024", o.Workers)
	}
	return errors.Join(wrong...)
}

// load returns the policies of the flags; else the personas of the streams.
func (o *evalOptions) load(cmd *cobra.Command) (*policy.Set, error) {
	if o.dir != "" || cmd.Flags().Changed("config") {
		c, err := config.Load(o.config)
		if err != nil {
			return nil, err
		}
		return config.LoadPolicies(cmp.Or(o.dir, c.Policies))
	}
	return eval.DefaultPolicies()
}

func (o *evalOptions) run(cmd *cobra.Command) error {
	var err error
	if o.Policies, err = o.load(cmd); err != nil {
		return err
	}
	stderr := cmd.ErrOrStderr()
	report, finish := progress(stderr, o.quiet, o.Events(), "events")
	finish = sync.OnceFunc(finish)
	defer finish()
	o.Progress, o.Warn = report, func(text string) { fmt.Fprintln(stderr, terminal.OneLine(text)) }
	o.Version, o.Machine = versionOf(), fmt.Sprintf("%s, %d CPUs", bench.CPU(), runtime.NumCPU())
	r, err := o.Settings.Run(cmd.Context())
	finish()
	if err != nil {
		return err
	}
	if o.json != "-" {
		r.Write(cmd.OutOrStdout())
	}
	if o.json != "" {
		if err := writeReport(cmd.OutOrStdout(), o.json, r); err != nil {
			return err
		}
	}
	if !r.Holds() {
		return errSilent{1}
	}
	return nil
}

func writeReport(w io.Writer, name string, r *eval.Report) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if name == "-" {
		_, err = w.Write(b)
		return err
	}
	return os.WriteFile(name, b, 0o644)
}
