package main

import (
	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/terminal"
)

func newAgentsList() *cobra.Command {
	var o inventoryFlags
	cmd := &cobra.Command{Use: "list", Short: "List the agents that were seen", Args: cobra.NoArgs,
		Long:    "list shows a line for each agent that was seen, by tenant and id.",
		Example: "  wayward agents list --tenant acme --since 24h\n  wayward agents list --unregistered --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := o.list(cmd, "agent")
			if err != nil {
				return err
			}
			return printInventory(cmd.OutOrStdout(), list, o.output,
				"TENANT\tAGENT\tPERSONA\tVERSION\tFIRST SEEN\tLAST SEEN\tINVENTORY", func(t *event.Thing) []string {
					return []string{terminal.Visible(t.Tenant, 64), terminal.Visible(t.ID, 100),
						terminal.Dash(t.Persona), terminal.Dash(t.Version),
						terminal.UTC(t.First), terminal.UTC(t.Last), registration(t)}
				})
		}}
	o.flags(cmd)
	return cmd
}
