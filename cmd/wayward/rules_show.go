package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/authoring"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/rules"
)

func newRulesShow() *cobra.Command {
	var o policiesFlags
	var output string
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one rule: what it is for, which stage runs it, what its conditions ask for",
		Long: "show says of a rule what people need to know, and how it runs: in which stage (the key decides), under which index, what is taken from an event,\n" +
			"and which expressions need expr's machine because closures do not cover them.",
		Example: "  wayward rules show refund-to-new-account --policies policies",
		Args:    cobra.ExactArgs(1),
	}
	outputFlag(cmd, &output, "table", "json")
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
		v := authoring.ViewOf(set, r)
		if output == "json" {
			return printJSON(cmd.OutOrStdout(), v)
		}
		t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		line := func(what, value string) {
			if value != "" {
				fmt.Fprintf(t, "%s\t%s\n", what, strings.Join(strings.Fields(value), " "))
			}
		}
		lets := func(list []*rules.Let) {
			for _, l := range list {
				line("  let "+l.Name, l.Source)
			}
		}
		line("rule", v.ID+", version "+v.Version+", "+v.Status+", mode "+v.Mode)
		line("title", v.Title)
		line("why", v.Why)
		line("severity", v.Severity)
		line("tags", strings.Join(v.Tags, " "))
		line("form", v.Form+", by "+strings.Join(v.By, " and "))
		line("stage", v.Stage+map[string]string{"behaviour": ": the key is one agent's",
			"relation": ": events are told there, and looked at in order of time"}[v.Stage])
		for i, p := range r.Parts() {
			name := "step " + p.Name
			if i >= len(r.Steps) {
				name = "not"
				if p == r.Absent {
					name = "absent for " + policy.FormatSpan(r.AbsentFor)
				}
			} else if len(r.Steps) == 1 && r.Having == nil {
				name = "where"
			}
			line(name, p.Where.Source)
			if p.Join != nil {
				line("  and", p.Join.Source)
			}
			if p.Times > 1 {
				line("  times", fmt.Sprint(p.Times))
			}
			lets(p.Lets)
			if p.Having != nil {
				line("  having", p.Having.Source)
			}
			line("  index", authoring.Index(&p.Where.Prefilter))
			line("  taken", strings.Join(p.Taken(), ", "))
		}
		lets(r.Lets)
		if r.Having != nil {
			line("having", r.Having.Source)
		}
		for where, why := range v.Machine {
			line("machine", where+": "+why)
		}
		line("false positives", strings.Join(v.FalsePos, "; "))
		line("response", v.Response)
		line("tune", v.Tune)
		line("file", v.File)
		return t.Flush()
	}
	o.flags(cmd)
	return cmd
}
