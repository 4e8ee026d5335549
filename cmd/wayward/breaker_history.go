package main

import (
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

func newBreakerHistory() *cobra.Command {
	var o lookup
	var agent string
	var since time.Duration
	cmd := &cobra.Command{Use: "history [TYPE ID]", Short: "Show who did what, and what gateways answered",
		Args: cobra.MaximumNArgs(2), ValidArgsFunction: completeScope,
		Long:    "history shows feedback, commands and acks in the order of the brokers' time stamps. AFTER is the time from a command to its ack.",
		Example: "  wayward breaker history --tenant acme --since 24h\n  wayward breaker history agent agt-7731 --tenant acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			want := o.concerns
			if len(args) > 0 {
				scope, err := scopeArgs(args, o.tenant, agent)
				if err != nil {
					return err
				}
				want = func(s event.Scope) bool { return s == scope }
			}
			if since <= 0 {
				return fmt.Errorf("--since %v: use a time such as 24h", since)
			}
			c, err := o.open(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			steps, err := c.History(cmd.Context(), time.Now().Add(-since), want)
			if err != nil {
				return err
			}
			return printHistory(cmd.OutOrStdout(), steps, o.output)
		}}
	o.flags(cmd)
	cmd.Flags().StringVar(&agent, "agent", "", "whose session it is")
	cmd.Flags().DurationVar(&since, "since", 24*time.Hour, "how far back")
	return cmd
}

func printHistory(w io.Writer, steps []client.Step, format string) error {
	if format == "json" {
		return printJSON(w, steps)
	}
	if len(steps) == 0 {
		fmt.Fprintln(w, "no commands, acks or feedback")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TIME\tSCOPE\tEPOCH\tWHO\tWHAT\tAFTER\tWHY")
	for _, s := range steps {
		epoch, after := "", ""
		if s.Epoch > 0 {
			epoch = fmt.Sprint(s.Epoch)
		}
		if s.Latency != nil {
			after = terminal.Short(time.Duration(*s.Latency) * time.Millisecond)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", terminal.UTC(s.Time.UnixMilli()), explain.Scope(s.Scope), epoch,
			terminal.Visible(s.Who, 60), terminal.Visible(s.What, 120), after, terminal.Visible(s.Why, 80))
	}
	return t.Flush()
}
