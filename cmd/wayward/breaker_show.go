package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/client"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/explain"
	"github.com/wayward-sec/wayward/terminal"
)

func newBreakerShow() *cobra.Command {
	var o lookup
	var agent string
	cmd := &cobra.Command{Use: "show TYPE ID", Short: "Show one breaker with its commands and what became of them",
		Args: cobra.RangeArgs(1, 2), ValidArgsFunction: completeScope,
		Long:    "show says what state a scope is in, and lists the commands, acks and feedback about it that the topics still have.",
		Example: "  wayward breaker show agent agt-7731 --tenant acme\n  wayward breaker show session s-1 --agent agt-7731 --tenant acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			scope, err := scopeArgs(args, o.tenant, agent)
			if err != nil {
				return err
			}
			c, err := o.open(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			same := func(s event.Scope) bool { return s == scope }
			open, err := c.Breakers(cmd.Context(), same)
			if err != nil {
				return err
			}
			steps, err := c.History(cmd.Context(), time.Time{}, same)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			if o.output == "json" {
				out := struct {
					Breaker json.RawMessage `json:"breaker"` // null: closed
					History []client.Step   `json:"history"`
				}{History: steps}
				if len(open) > 0 {
					out.Breaker = open[0].Append(nil)
				}
				return printJSON(w, out)
			}
			if len(open) == 0 {
				fmt.Fprintf(w, "%s is free: its breaker is closed\n", explain.Scope(scope))
			} else {
				printBreaker(w, &open[0])
			}
			fmt.Fprintln(w)
			return printHistory(w, steps, "table")
		}}
	o.flags(cmd)
	cmd.Flags().StringVar(&agent, "agent", "", "whose session it is")
	return cmd
}

func printBreaker(w io.Writer, b *event.Breaker) {
	fmt.Fprintf(w, "%s is %s\n", explain.Scope(b.Scope), terminal.Visible(b.State, 20))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	mode := b.Mode
	if mode != event.Enforce {
		mode += ": no gateway acts on it"
	}
	for _, line := range [][2]string{
		{"action", explain.Action(b.Action, b.Rate)}, {"mode", mode}, {"epoch", fmt.Sprint(b.Epoch)},
		{"since", terminal.UTC(b.Since)}, {"until", until(b.Until, time.Now())},
		{"enforced", cmp.Or(terminal.Visible(b.Enforced, 20), "no ack yet")}, {"by", client.Issuer(b.Issuer)},
		{"reason", terminal.Visible(b.Reason, 1000)}, {"command", terminal.Visible(b.CommandID, 36)},
		{"finding", cmp.Or(terminal.Visible(b.FindingUID, 64), "none")},
	} {
		fmt.Fprintf(t, "  %s\t%s\n", line[0], line[1])
	}
	t.Flush()
}
