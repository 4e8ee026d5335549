package main

import (
	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/policy"
)

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
