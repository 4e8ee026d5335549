package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/authoring"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/rule"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/rules"
	"github.com/wayward-sec/wayward/terminal"
)

func newRulesExplain() *cobra.Command {
	var o policiesFlags
	var input string
	cmd := &cobra.Command{
		Use:   "explain ID --event FILE",
		Short: "Say of events what each condition of a rule makes of them",
		Long: "explain reads events, one a line, and prints for every part of the rule each of its conditions with what it came to, what has added up over a window, and which\n" +
			"sequences are under way. What a baseline has learned is not known here.",
		Example: "  wayward rules explain refund-to-new-account --policies policies --event call.json",
		Args:    cobra.ExactArgs(1),
	}
	cmd.ValidArgsFunction = completeRules(&o)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		set, err := o.load(nil)
		if err != nil {
			return err
		}
		r, err := authoring.Rule(set, args[0])
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		v := authoring.ViewOf(set, r)
		fmt.Fprintf(w, "%s: %s, by %s, %s stage\n", v.ID, v.Form, strings.Join(v.By, " and "), v.Stage)
		tracer, panel := rules.NewTracer(r), detectors.New(set)
		return history.EachEvent(cmd.Context(), input, func(e *event.Event) error {
			fmt.Fprintf(w, "%s %s %s\n", time.UnixMilli(e.Time).UTC().Format(time.RFC3339),
				terminal.Visible(e.Agent.ID, 100),
				terminal.Visible(e.Tool.Name, 100))
			persona, local, beside := rule.Beside(panel, e)
			for _, line := range tracer.Event(e, persona, local, beside) {
				fmt.Fprintln(w, "  "+terminal.OneLine(line))
			}
			return nil
		})
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&input, "event", "",
		"`file` of events, one a line, plain or .gz, .zst, .xz; - is standard input")
	require(cmd, "event")
	return cmd
}
