package main

import (
	"github.com/spf13/cobra"
)

func newAgents() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agents",
		Short: "Show which agents were seen, and which of them are registered",
		Long: "agents shows agents as their events describe them: when they were first and last seen, as what persona, and what policies/inventory says of them\n" +
			"(registered, unregistered, retired, or - if no agents are registered at all). It takes some 15 s until a call shows here, and of an agent that goes on\n" +
			"LAST SEEN may be five minutes behind.",
		Example: "  wayward agents list --config wayward.yaml --unregistered\n" +
			"  wayward agents show agt-7731 --tenant acme",
	}
	cmd.AddCommand(newAgentsList(), newAgentsShow())
	return cmd
}
