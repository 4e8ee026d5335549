package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/terminal"
)

func newAgentsShow() *cobra.Command {
	var o lookup
	cmd := &cobra.Command{Use: "show ID", Short: "Show one agent", Args: cobra.ExactArgs(1),
		Long:    "show says what is known of one agent: its owner, persona, tier, model and the versions that it was seen with.",
		Example: "  wayward agents show agt-7731 --tenant acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.open(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			list, err := c.Inventory(cmd.Context(), func(t *event.Thing) bool {
				return t.Kind == "agent" && t.ID == args[0] && (o.tenant == "" || t.Tenant == o.tenant)
			})
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			switch {
			case o.output == "json":
				return printInventory(w, list, "json", "", nil)
			case len(list) == 0:
				return fmt.Errorf("no agent %q was seen; wayward agents list shows those that were", args[0])
			case len(list) > 1:
				return errors.New("agents of several tenants have this id: give --tenant")
			}
			a := &list[0]
			fmt.Fprintf(w, "agent %s of %s\n", terminal.Visible(a.ID, 200), terminal.Visible(a.Tenant, 64))
			t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
			tier := "-"
			if a.Tier > 0 {
				tier = fmt.Sprint(a.Tier)
			}
			for _, line := range [][2]string{
				{"inventory", registration(a)}, {"first seen", terminal.UTC(a.First)}, {"last seen", terminal.UTC(a.Last)},
				{"persona", terminal.Dash(a.Persona)}, {"owner", terminal.Dash(a.Owner)}, {"model", terminal.Dash(a.Model)},
				{"version", terminal.Dash(a.Version)}, {"versions", terminal.Dash(strings.Join(a.Versions, ", "))}, {"tier", tier},
			} {
				fmt.Fprintf(t, "  %s\t%s\n", line[0], line[1])
			}
			return t.Flush()
		}}
	o.flags(cmd)
	return cmd
}
