package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/explain"
	"github.com/wayward-sec/wayward/terminal"
)

func newBreakerList() *cobra.Command {
	var o lookup
	var kind, action string
	var all bool
	cmd := &cobra.Command{Use: "list", Short: "Show the breakers that are not closed", Args: cobra.NoArgs,
		Long: "list shows every scope that is stopped or slowed down at present: since when, until when, by which command, and whether a gateway has said that\n" +
			"it obeys (ENFORCED).",
		Example: "  wayward breaker list --config wayward.yaml --tenant acme\n  wayward breaker list --all-modes --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.open(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			open, err := c.Breakers(cmd.Context(), func(s event.Scope) bool {
				return o.concerns(s) && (kind == "" || s.Type.String() == kind)
			})
			if err != nil {
				return err
			}
			open = slices.DeleteFunc(open, func(b event.Breaker) bool {
				return action != "" &&
					b.Action.String() != action
			})
			dry := 0
			for _, b := range open {
				if b.Mode != event.Enforce {
					dry++
				}
			}
			if !all {
				open = slices.DeleteFunc(open, func(b event.Breaker) bool { return b.Mode != event.Enforce })
			}
			if err := printBreakers(cmd.OutOrStdout(), open, o.output); err != nil {
				return err
			}
			if dry > 0 && all {
				fmt.Fprintf(cmd.ErrOrStderr(),
					"%d of them are dry_run: no gateway acts on them (enforce: true in policies/response turns it on)\n",
					dry)
			} else if dry > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(),
					"%d more are dry_run, on which no gateway acts: --all-modes shows them\n", dry)
			}
			return nil
		}}
	o.flags(cmd)
	choiceFlag(cmd, &kind, "type", "of this type of scope", event.ScopeTypes()...)
	choiceFlag(cmd, &action, "action", "with this action", event.Actions()...)
	cmd.Flags().BoolVar(&all, "all-modes", false, "those in dry_run, too")
	return cmd
}

func printBreakers(w io.Writer, open []event.Breaker, format string) error {
	if format == "json" {
		records := []json.RawMessage{}
		for _, b := range open {
			records = append(records, b.Append(nil))
		}
		return printJSON(w, records)
	}
	if len(open) == 0 {
		fmt.Fprintln(w, "nothing is stopped")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SCOPE\tSTATE\tACTION\tEPOCH\tSINCE\tUNTIL\tMODE\tENFORCED\tREASON")
	for _, b := range open {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", explain.Scope(b.Scope), terminal.Visible(b.State, 20),
			explain.Action(b.Action, b.Rate), b.Epoch, terminal.UTC(b.Since), until(b.Until, time.Now()), b.Mode,
			cmp.Or(terminal.Visible(b.Enforced, 20), "no ack yet"), terminal.Visible(b.Reason, 80))
	}
	return t.Flush()
}

// until says when a breaker ends, seen from now.
func until(ms int64, now time.Time) string {
	if ms == 0 {
		return "restored"
	}
	if left := time.UnixMilli(ms).Sub(now); left > 0 {
		return terminal.UTC(ms) + " (" + terminal.Short(left) + " left)"
	}
	return terminal.UTC(ms) + " (over)"
}
