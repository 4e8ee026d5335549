package main

import (
	"cmp"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/terminal"
)

// newToolsList is `wayward tools list`.
func newToolsList() *cobra.Command {
	var o inventoryFlags
	var servers bool
	cmd := &cobra.Command{Use: "list", Short: "List the tools that were called, or the servers that offer them",
		Args:    cobra.NoArgs,
		Long:    "list shows a line for each tool that was called while wayward ran, as its topics have it; wayward tools classify reads a file instead.",
		Example: "  wayward tools list --config wayward.yaml --unregistered\n  wayward tools list --servers",
		RunE: func(cmd *cobra.Command, _ []string) error {
			kind, heading := "tool", "TENANT\tTOOL\tSERVER\tCLASS\tDEFINITION\tFIRST SEEN\tLAST SEEN\tINVENTORY"
			columns := func(t *event.Thing) []string {
				return []string{terminal.Visible(t.Tenant, 64), terminal.Visible(t.ID, 100),
					terminal.Dash(t.Server), terminal.Dash(t.Class.String()),
					cmp.Or(terminal.Visible(t.DefinitionHash, 13), "-"), terminal.UTC(t.First), terminal.UTC(t.Last), registration(t)}
			}
			if servers {
				kind, heading = "server", "TENANT\tSERVER\tFIRST SEEN\tLAST SEEN\tINVENTORY"
				columns = func(t *event.Thing) []string {
					return []string{terminal.Visible(t.Tenant, 64), terminal.Visible(t.ID, 100),
						terminal.UTC(t.First), terminal.UTC(t.Last),
						registration(t)}
				}
			}
			list, err := o.list(cmd, kind)
			if err != nil {
				return err
			}
			return printInventory(cmd.OutOrStdout(), list, o.output, heading, columns)
		}}
	o.flags(cmd)
	cmd.Flags().BoolVar(&servers, "servers", false, "list servers instead")
	return cmd
}
