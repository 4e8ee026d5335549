package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/authoring"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/rules/expression"
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

func newRulesFields() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "fields",
		Short:   "List what an expression may use",
		Long:    "fields lists the fields of events, the helpers and the functions of expr that expressions may use. Whatever is not listed is an error at load.",
		Example: "  wayward rules fields\n  wayward rules fields --output json",
		Args:    cobra.NoArgs,
	}
	outputFlag(cmd, &output, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if output == "json" {
			type field struct {
				Name  string `json:"name"`
				Type  string `json:"type"`
				About string `json:"about,omitempty"`
			}
			out := struct {
				Fields    []field               `json:"fields"`
				Functions []expression.Function `json:"functions"`
				Builtins  []string              `json:"builtins"`
			}{Functions: expression.Functions(), Builtins: expression.Builtins()}
			for _, f := range expression.Fields() {
				out.Fields = append(out.Fields, field{f.Name, f.Type.String(), f.About})
			}
			return printJSON(cmd.OutOrStdout(), out)
		}
		t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "NAME\tTYPE\tABOUT")
		for _, f := range expression.Fields() {
			fmt.Fprintf(t, "%s\t%s\t%s\n", f.Name, f.Type, f.About)
		}
		for _, f := range expression.Functions() {
			fmt.Fprintf(t, "%s\tfunction\t%s\n", f.Usage, f.About)
		}
		fmt.Fprintf(t, "%s\tof expr\t\n", strings.Join(expression.Builtins(), " "))
		return t.Flush()
	}
	return cmd
}

func newRulesSchema() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of a rule, for editors",
		Long:    "schema prints what an editor needs to complete and check rules as they are written; the first line of a rule names it, as in what wayward rules new prints.",
		Example: "  wayward rules schema > rule.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printJSON(cmd.OutOrStdout(), policy.RuleSchema())
		},
	}
}
