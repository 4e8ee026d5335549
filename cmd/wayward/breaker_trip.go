package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/event"
)

func newBreakerTrip() *cobra.Command {
	var o breakerOrder
	var action string
	var classes []string
	var duration, per time.Duration
	cmd := &cobra.Command{Use: "trip TYPE ID", Short: "Stop or slow down a scope by hand", Args: cobra.RangeArgs(1, 2),
		ValidArgsFunction: completeScope,
		Long: "trip writes signed feedback to agent.feedback, and waits for the command that the engine makes of it and for the answer of a gateway.\n" +
			"What the scope is under already is only ever made stronger: observe < throttle < escalate < block < kill.",
		Example: "  wayward breaker trip agent agt-7731 --tenant acme --action block --duration 15m --reason 'exports at night' --by alice --key alice.pem\n" +
			"  wayward breaker trip tool 'crm|export' --tenant acme --action throttle --calls 10 --per 1m --reason 'until looked at' --by alice --key alice.pem",
		RunE: func(cmd *cobra.Command, args []string) error {
			f := event.Feedback{Type: event.TripFeedback, DurationMS: duration.Milliseconds()}
			f.Action, _ = event.ParseAction(action)
			throttle := cmd.Flags().Changed("calls") || cmd.Flags().Changed("per") || len(classes) > 0
			switch {
			case f.Action != event.Throttle && throttle:
				return errors.New("--calls, --per and --class belong to --action throttle")
			case f.Action == event.Throttle && (o.calls < 1 || per < time.Second || per > 24*time.Hour ||
				per%time.Second != 0):
				return errors.New(
					"a throttle needs --calls of at least 1 and --per of whole seconds up to a day, such as --calls 10 --per 1m")
			case f.Action == event.Throttle:
				f.Rate = event.Rate{Calls: o.calls, PerSeconds: int64(per / time.Second)}
			}
			for _, word := range classes {
				c, ok := event.ParseClass(word)
				if !ok {
					return fmt.Errorf("--class %q is unknown; use %s", word, strings.Join(event.Classes(), ", "))
				}
				f.Rate.Classes = append(f.Rate.Classes, c)
			}
			if duration < 0 || duration%time.Millisecond != 0 {
				return fmt.Errorf(
					"--duration %v: use a time such as 15m, or leave it out for until somebody restores it", duration)
			}
			return o.run(cmd, args, f)
		}}
	o.flags(cmd)
	f := cmd.Flags()
	choiceFlag(cmd, &action, "action", "what gateways are to do", event.Actions()...)
	f.DurationVar(&duration, "duration", 0, "how long it holds; 0: until somebody restores it")
	f.Int64Var(&o.calls, "calls", 0, "of a throttle: so many calls")
	f.DurationVar(&per, "per", 0, "of a throttle: in this time")
	f.StringSliceVar(&classes, "class", nil, "of a throttle: calls of these `classes` alone")
	complete(cmd, "class", event.Classes()...)
	require(cmd, "action")
	return cmd
}
