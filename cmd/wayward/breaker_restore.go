package main

import (
	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/event"
)

func newBreakerRestore() *cobra.Command {
	var o breakerOrder
	cmd := &cobra.Command{Use: "restore TYPE ID", Short: "Let a scope go on", Args: cobra.RangeArgs(1, 2),
		ValidArgsFunction: completeScope,
		Long:              "restore writes signed feedback to agent.feedback, and waits for the command that the engine makes of it and for the answer of a gateway.",
		Example:           "  wayward breaker restore agent agt-7731 --tenant acme --reason 'a new campaign' --by alice --key alice.pem",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd, args, event.Feedback{Type: event.RestoreFeedback})
		}}
	o.flags(cmd)
	return cmd
}
