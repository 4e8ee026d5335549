package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/authoring"
	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/terminal"
)

func newRulesDiff() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Say what differs between the rules of two folders of policies",
		Long: "diff compares rules by id and key, not by text: order, comments and quotes do not show. A rule whose conditions are the same keeps its state when B takes\n" +
			"the place of A. Exit 1 if something differs.",
		Example: "  wayward rules diff policies policies.new",
		Args:    cobra.ExactArgs(2),
	}
	outputFlag(cmd, &output, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := config.LoadPolicies(args[0])
		if err != nil {
			return err
		}
		b, err := config.LoadPolicies(args[1])
		if err != nil {
			return err
		}
		all := authoring.Diff(a, b)
		w := cmd.OutOrStdout()
		if output == "json" {
			err = printJSON(w, all)
		} else {
			for _, d := range all {
				fmt.Fprintf(w, "%s %s%s\n", map[string]string{"added": "+", "removed": "-", "changed": "~"}[d.What],
					d.Rule, map[bool]string{true: "  (state is kept)"}[d.KeepsState && d.What == "changed"])
				for _, c := range d.Changes {
					fmt.Fprintf(w, "    %s: %s -> %s\n", c.Key, cmp.Or(terminal.Visible(c.From, 200), "none"),
						cmp.Or(terminal.Visible(c.To, 200), "none"))
				}
			}
			if len(all) == 0 {
				fmt.Fprintln(w, "the rules are the same")
			}
		}
		if err == nil && len(all) > 0 {
			return errSilent{1}
		}
		return err
	}
	return cmd
}
