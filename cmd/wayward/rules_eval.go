package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/rule"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/rules/expression"
	"github.com/wayward-sec/wayward/terminal"
)

func newRulesEval() *cobra.Command {
	var o policiesFlags
	var input, source string
	cmd := &cobra.Command{
		Use:   "eval -e EXPR --event FILE",
		Short: "Try an expression on events",
		Long: "eval compiles an expression as a rule's where is compiled and prints what it comes to for each event. Exit 1 if a condition is true for none of them.\n" +
			"With --policies the tool catalogue fills in what the event does not say.",
		Example: "  wayward rules eval -e 'amount.value>500' --event calls.jsonl\n" +
			"  zcat calls.jsonl.gz | wayward rules eval -e 'tool.class' --policies policies --event -",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			x, err := expression.Compile(source, &expression.Scope{Event: true}, 0)
			if err != nil {
				f, ok := err.(*expression.Fault)
				if !ok {
					return err
				}
				return fmt.Errorf("%d:%d: %s %s\n    %s\n    %s^", f.Line, f.Column, f.Code, f.What, source,
					strings.Repeat(" ", max(0, f.Column-1)))
			}
			set := policy.Default()
			if o.dir != "" || o.config != "" {
				if set, err = o.load(nil); err != nil {
					return err
				}
			}
			some, w, panel := false, cmd.OutOrStdout(), detectors.New(set)
			if x.VM != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "runs on expr's machine: closures do not cover %s\n", x.VM)
			}
			err = history.EachEvent(cmd.Context(), input, func(e *event.Event) error {
				persona, local, beside := rule.Beside(panel, e)
				text, holds, err := x.Try(e, persona, local, beside)
				some = some || holds || x.Type != expression.Bool
				if err != nil {
					return err
				}
				fmt.Fprintln(w, terminal.OneLine(text))
				return nil
			})
			if err == nil && !some {
				return errSilent{1}
			}
			return err
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVarP(&source, "expr", "e", "", "the `expression`")
	cmd.Flags().StringVar(&input, "event", "",
		"`file` of events, one a line, plain or .gz, .zst, .xz; - is standard input")
	require(cmd, "expr", "event")
	return cmd
}
