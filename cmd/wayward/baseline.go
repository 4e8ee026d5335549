package main

import (
	"github.com/spf13/cobra"
)

func newBaseline() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "baseline",
		Short: "See what was learned of each persona, check it, and correct it",
		Long: "baseline shows the snapshots of what was learned of each persona by the end of each UTC day: how much its agents do and when, in which order they call\n" +
			"their tools, what they use and touch. It compares them, moves them as files, audits whether the detectors keep within their alert budget, and lets people\n" +
			"freeze, reset, approve and roll back. What acts is signed, as trips of breakers are: wayward breaker keygen makes the key.\n" +
			"A persona '*' is the tenant as a whole, from which young personas borrow. docs/baselines.md says what is learned and what the states mean.",
		Example: "  wayward baseline list --config wayward.yaml\n" +
			"  wayward baseline show support --tenant acme --config wayward.yaml\n" +
			"  wayward baseline audit --config wayward.yaml\n" +
			"  wayward baseline rollback support --tenant acme --day 2026-11-18 --reason 'learned from an incident' --by alice --key alice.pem",
	}
	cmd.AddCommand(newBaselineList(), newBaselineShow(), newBaselineDiff(), newBaselineAudit(), newBaselineExport(),
		newBaselineImport())
	cmd.AddCommand(newBaselineActs()...)
	return cmd
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
