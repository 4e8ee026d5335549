package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/rules/expression"
)

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
