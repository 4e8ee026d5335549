package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
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

// things are the flags of lists of the inventory.
type things struct {
	lookup
	unregistered bool
	since        time.Duration
}

func (o *things) flags(cmd *cobra.Command) {
	o.lookup.flags(cmd)
	cmd.Flags().BoolVar(&o.unregistered, "unregistered", false, "only what the inventory does not have or has retired")
	cmd.Flags().DurationVar(&o.since, "since", 0, "only what was seen in this time, such as 24h")
}

// list reads what was seen of a kind.
func (o *things) list(cmd *cobra.Command, kind string) ([]event.Thing, error) {
	if o.since < 0 {
		return nil, fmt.Errorf("--since %v: use a time such as 24h", o.since)
	}
	c, err := o.open(cmd.Context())
	if err != nil {
		return nil, err
	}
	defer c.client.Close()
	after := int64(0)
	if o.since > 0 {
		after = time.Now().Add(-o.since).UnixMilli()
	}
	return c.inventory(cmd.Context(), cmd.ErrOrStderr(), func(t *event.Thing) bool {
		return t.Kind == kind && (o.tenant == "" || t.Tenant == o.tenant) && t.Last >= after &&
			(!o.unregistered || t.Registered == event.Unregistered || t.Retired)
	})
}

// inventory is what was seen, by key.
func (c *cluster) inventory(ctx context.Context, stderr io.Writer, want func(*event.Thing) bool) ([]event.Thing,
	error) {
	seen := map[string]event.Thing{}
	bad := unread{topic: c.Topics.Inventory}
	err := c.read(ctx, c.Topics.Inventory, time.Time{}, func(r *kgo.Record) {
		delete(seen, string(r.Key))
		if r.Value == nil {
			return
		}
		t, err := event.ParseThing(r.Value)
		if err != nil {
			bad.add(err)
		} else if want(&t) {
			seen[string(r.Key)] = t
		}
	})
	bad.tell(stderr)
	var out []event.Thing
	for _, t := range seen {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b event.Thing) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Server, b.Server))
	})
	return out, err
}

// registration says in a word what the inventory has of a thing.
func registration(t *event.Thing) string {
	switch {
	case t.Retired:
		return "retired"
	case t.Registered == event.Registered:
		return "registered"
	case t.Registered == event.Unregistered:
		return "unregistered"
	}
	return "-" // nothing of its kind is
}

// printThings prints a table whose columns are given by a function, or JSON.
func printThings(w io.Writer, list []event.Thing, format, heading string, columns func(*event.Thing) []string) error {
	if format == "json" {
		records := []json.RawMessage{}
		for i := range list {
			records = append(records, list[i].Append(nil))
		}
		return printJSON(w, records)
	}
	if len(list) == 0 {
		fmt.Fprintln(w, "none seen")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, heading)
	for i := range list {
		fmt.Fprintln(t, strings.Join(columns(&list[i]), "\t"))
	}
	return t.Flush()
}

func newAgentsList() *cobra.Command {
	var o things
	cmd := &cobra.Command{Use: "list", Short: "List the agents that were seen", Args: cobra.NoArgs,
		Long:    "list shows a line for each agent that was seen, by tenant and id.",
		Example: "  wayward agents list --tenant acme --since 24h\n  wayward agents list --unregistered --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := o.list(cmd, "agent")
			if err != nil {
				return err
			}
			return printThings(cmd.OutOrStdout(), list, o.output,
				"TENANT\tAGENT\tPERSONA\tVERSION\tFIRST SEEN\tLAST SEEN\tINVENTORY", func(t *event.Thing) []string {
					return []string{visible(t.Tenant, 64), visible(t.ID, 100), dash(t.Persona), dash(t.Version),
						utc(t.First), utc(t.Last), registration(t)}
				})
		}}
	o.flags(cmd)
	return cmd
}

func newAgentsShow() *cobra.Command {
	var o lookup
	cmd := &cobra.Command{Use: "show ID", Short: "Show one agent", Args: cobra.ExactArgs(1),
		Long:    "show says what is known of one agent: its owner, persona, tier, model and the versions that it was seen with.",
		Example: "  wayward agents show agt-7731 --tenant acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.open(cmd.Context())
			if err != nil {
				return err
			}
			defer c.client.Close()
			list, err := c.inventory(cmd.Context(), cmd.ErrOrStderr(), func(t *event.Thing) bool {
				return t.Kind == "agent" && t.ID == args[0] && (o.tenant == "" || t.Tenant == o.tenant)
			})
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			switch {
			case o.output == "json":
				return printThings(w, list, "json", "", nil)
			case len(list) == 0:
				return fmt.Errorf("no agent %q was seen; wayward agents list shows those that were", args[0])
			case len(list) > 1:
				return errors.New("agents of several tenants have this id: give --tenant")
			}
			a := &list[0]
			fmt.Fprintf(w, "agent %s of %s\n", visible(a.ID, 200), visible(a.Tenant, 64))
			t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
			tier := "-"
			if a.Tier > 0 {
				tier = fmt.Sprint(a.Tier)
			}
			for _, line := range [][2]string{
				{"inventory", registration(a)}, {"first seen", utc(a.First)}, {"last seen", utc(a.Last)},
				{"persona", dash(a.Persona)}, {"owner", dash(a.Owner)}, {"model", dash(a.Model)},
				{"version", dash(a.Version)}, {"versions", dash(strings.Join(a.Versions, ", "))}, {"tier", tier},
			} {
				fmt.Fprintf(t, "  %s\t%s\n", line[0], line[1])
			}
			return t.Flush()
		}}
	o.flags(cmd)
	return cmd
}

// newToolsList is `wayward tools list`.
func newToolsList() *cobra.Command {
	var o things
	var servers bool
	cmd := &cobra.Command{Use: "list", Short: "List the tools that were called, or the servers that offer them",
		Args:    cobra.NoArgs,
		Long:    "list shows a line for each tool that was called while wayward ran, as its topics have it; wayward tools classify reads a file instead.",
		Example: "  wayward tools list --config wayward.yaml --unregistered\n  wayward tools list --servers",
		RunE: func(cmd *cobra.Command, _ []string) error {
			kind, heading := "tool", "TENANT\tTOOL\tSERVER\tCLASS\tDEFINITION\tFIRST SEEN\tLAST SEEN\tINVENTORY"
			columns := func(t *event.Thing) []string {
				return []string{visible(t.Tenant, 64), visible(t.ID, 100), dash(t.Server), dash(t.Class.String()),
					cmp.Or(visible(t.DefinitionHash, 13), "-"), utc(t.First), utc(t.Last), registration(t)}
			}
			if servers {
				kind, heading = "server", "TENANT\tSERVER\tFIRST SEEN\tLAST SEEN\tINVENTORY"
				columns = func(t *event.Thing) []string {
					return []string{visible(t.Tenant, 64), visible(t.ID, 100), utc(t.First), utc(t.Last),
						registration(t)}
				}
			}
			list, err := o.list(cmd, kind)
			if err != nil {
				return err
			}
			return printThings(cmd.OutOrStdout(), list, o.output, heading, columns)
		}}
	o.flags(cmd)
	cmd.Flags().BoolVar(&servers, "servers", false, "list servers instead")
	return cmd
}
