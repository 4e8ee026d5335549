package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/authoring"
)

func newRulesList() *cobra.Command {
	var o policiesFlags
	var output string
	cmd := &cobra.Command{
		Use:     "list [DIR]",
		Short:   "List the rules",
		Long:    "list prints of every rule what it may do, how far it is trusted, in which stage it runs and by what it adds up.",
		Example: "  wayward rules list policies\n  wayward rules list policies --output json",
		Args:    cobra.MaximumNArgs(1),
	}
	outputFlag(cmd, &output, "table", "json", "ndjson")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		set, err := o.load(args)
		if err != nil {
			return err
		}
		all := []authoring.View{}
		for _, r := range set.Rules() {
			all = append(all, authoring.ViewOf(set, r))
		}
		w := cmd.OutOrStdout()
		switch output {
		case "json":
			return printJSON(w, all)
		case "ndjson":
			return printLines(w, all)
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "ID\tMODE\tSTATUS\tSEVERITY\tSTAGE\tBY\tTESTS\tTITLE")
		for _, v := range all {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", v.ID, v.Mode, v.Status, v.Severity, v.Stage,
				strings.Join(v.By, " "), v.Tests, v.Title)
		}
		return t.Flush()
	}
	o.flags(cmd)
	return cmd
}
