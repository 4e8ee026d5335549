package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/authoring"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/formats"
	"github.com/wayward-sec/wayward/policy"
)

func newRulesLint() *cobra.Command {
	var o policiesFlags
	var failOn, output, sample string
	var reports []string
	cmd := &cobra.Command{
		Use:   "lint [DIR]",
		Short: "Report what is wrong or suspicious in the rules of a folder of policies",
		Long: "lint reads the whole folder as the engine does. What is wrong comes with its line, a caret and a code (docs/rules.md lists them).\n" +
			"Problems stop the engine's start and end lint with exit code 1; warnings do so with --fail-on warning. With --sample it also says which rules ask for what none of\n" +
			"these events carries: such a rule is silent for ever. Exit 3 if there are no rules.",
		Example: "  wayward rules lint policies\n" +
			"  wayward rules lint policies --sample yesterday.jsonl.zst\n" +
			"  wayward rules lint policies --fail-on warning --report sarif=lint.sarif",
		Args: cobra.MaximumNArgs(1),
	}
	outputFlag(cmd, &output, "table", "json", "sarif")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, err := o.where(args)
		if err != nil {
			return err
		}
		set, problems := policy.Load(dir)
		var bad undecoded
		var events *authoring.Sample
		n := 0
		if set != nil {
			n = len(set.Rules())
			if sample != "" {
				events = authoring.NewSample(set)
				bad, err = eachEvent(cmd, sample, formats.All[0].Name, false, func(_ []byte, e *event.Event) error {
					events.Add(e)
					return nil
				})
				if err == nil && events.Events == 0 {
					err = fmt.Errorf("--sample %s: there is no event in it", sample)
				}
				if err != nil {
					return err
				}
			}
		}
		all := authoring.Lint(set, problems, events, time.Now())
		if err := writeReports(cmd.OutOrStdout(), output, reports, map[string]func(io.Writer) error{
			"table": func(w io.Writer) error {
				for _, f := range all {
					fmt.Fprintln(w, f.Text)
				}
				_, err := fmt.Fprintf(w, "%d rules; %d problems, %d warnings\n", n, len(problems),
					len(all)-len(problems))
				return err
			},
			"json":  func(w io.Writer) error { return printJSON(w, map[string]any{"rules": n, "findings": all}) },
			"sarif": func(w io.Writer) error { return printJSON(w, authoring.SARIF(all, version)) },
		}); err != nil {
			return err
		}
		switch {
		case len(problems) > 0, failOn == "warning" && len(all) > 0:
			return errSilent{1}
		case n == 0:
			return errSilent{3}
		}
		return bad.code()
	}
	o.flags(cmd)
	failOn = "problem"
	choiceFlag(cmd, &failOn, "fail-on", "exit with 1 on these, and on what is worse", "problem", "warning")
	cmd.Flags().StringVar(&sample, "sample", "",
		"`file` of events as they really come, one a line, plain or .gz, .zst, .xz")
	cmd.Flags().StringArrayVar(&reports, "report", nil,
		"also write `FORMAT=FILE`: table, json or sarif; may be given several times")
	return cmd
}
