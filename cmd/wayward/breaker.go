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
	"github.com/wayward-sec/wayward/explain"
	"github.com/wayward-sec/wayward/terminal"
)

func newBreaker() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "breaker",
		Short: "See what is stopped, stop something by hand, and restore it",
		Long: "breaker shows the circuit breakers of agents, sessions, tools and wider scopes, what gateways made of the commands, and lets people trip and\n" +
			"restore them. A scope is TYPE ID: session, agent, persona, tool, server, user, tenant or global; a tool is 'server|name', or its name alone.\n" +
			"Trips and restores are signed: wayward breaker keygen makes the key.\n" +
			"Without brokers in the config, the embedded broker of the wayward run on this machine is asked.",
		Example: "  wayward breaker list --config wayward.yaml\n" +
			"  wayward breaker show agent agt-7731 --tenant acme\n" +
			"  wayward breaker trip agent agt-7731 --tenant acme --action block --duration 15m --reason 'exports at night' --by alice --key alice.pem\n" +
			"  wayward breaker restore agent agt-7731 --tenant acme --reason 'a new campaign' --by alice --key alice.pem",
	}
	cmd.AddCommand(newBreakerList(), newBreakerShow(), newBreakerHistory(), newTrip(), newRestore(), newKeygen())
	return cmd
}

func newBreakerList() *cobra.Command {
	var o lookup
	var kind, action string
	var all bool
	cmd := &cobra.Command{Use: "list", Short: "Show the breakers that are not closed", Args: cobra.NoArgs,
		Long: "list shows every scope that is stopped or slowed down at present: since when, until when, by which command, and whether a gateway has said that\n" +
			"it obeys (ENFORCED).",
		Example: "  wayward breaker list --config wayward.yaml --tenant acme\n  wayward breaker list --all-modes --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.open(cmd.Context())
			if err != nil {
				return err
			}
			defer c.client.Close()
			open, err := c.breakers(cmd.Context(), cmd.ErrOrStderr(), func(s event.Scope) bool {
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

// concerns tells whether a scope is the tenant's that was asked for: everything is, too.
func (o *lookup) concerns(s event.Scope) bool {
	return o.tenant == "" || s.Tenant == o.tenant || s.Type == event.GlobalScope
}

// breakers are the present states of scopes, by key.
func (c *cluster) breakers(ctx context.Context, stderr io.Writer, want func(event.Scope) bool) ([]event.Breaker,
	error) {
	open := map[string]event.Breaker{}
	bad := unread{topic: c.Topics.Breakers}
	err := c.read(ctx, c.Topics.Breakers, time.Time{}, func(r *kgo.Record) {
		delete(open, string(r.Key))
		if r.Value == nil {
			return
		}
		b, err := event.ParseBreaker(r.Value)
		if err != nil {
			bad.add(err)
		} else if want(b.Scope) {
			open[string(r.Key)] = b
		}
	})
	bad.tell(stderr)
	var out []event.Breaker
	for _, b := range open {
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b event.Breaker) int { return cmp.Compare(a.Scope.Key(), b.Scope.Key()) })
	return out, err
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

// scopeArgs reads TYPE ID.
func scopeArgs(args []string, tenant, agent string) (event.Scope, error) {
	t, ok := event.ParseScopeType(args[0])
	s := event.Scope{Type: t, Tenant: tenant, Agent: agent}
	switch {
	case !ok:
		return s, fmt.Errorf("there is no type of scope %q; use %s", args[0], strings.Join(event.ScopeTypes(), ", "))
	case t == event.GlobalScope:
		if len(args) == 2 && args[1] != "*" || tenant != "" {
			return s, errors.New("global is everything of every tenant: give no id and no --tenant")
		}
		s.ID = "*"
	case len(args) < 2 && t != event.TenantScope:
		return s, fmt.Errorf("which %s? give its id", t)
	case len(args) < 2:
		s.ID = tenant
	default:
		s.ID = args[1]
	}
	switch {
	case t == event.TenantScope && tenant == "":
		s.Tenant = s.ID
	case t == event.TenantScope && tenant != s.ID:
		return s, fmt.Errorf("tenant %s is not --tenant %s; give one of them", s.ID, tenant)
	case t != event.GlobalScope && s.Tenant == "":
		return s, fmt.Errorf("whose %s? give --tenant", t)
	}
	if t == event.SessionScope && agent == "" {
		return s, errors.New("whose session? give --agent")
	}
	if t != event.SessionScope && agent != "" {
		return s, errors.New("--agent is for sessions alone")
	}
	return s.Identified(), nil
}

func completeScope(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return event.ScopeTypes(), cobra.ShellCompDirectiveNoFileComp
}

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
			c, err := o.open(cmd.Context())
			if err != nil {
				return err
			}
			defer c.client.Close()
			same := func(s event.Scope) bool { return s == scope }
			open, err := c.breakers(cmd.Context(), cmd.ErrOrStderr(), same)
			if err != nil {
				return err
			}
			steps, err := c.history(cmd.Context(), cmd.ErrOrStderr(), time.Time{}, same)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			if o.output == "json" {
				out := struct {
					Breaker json.RawMessage `json:"breaker"` // null: closed
					History []step          `json:"history"`
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
		{"enforced", cmp.Or(terminal.Visible(b.Enforced, 20), "no ack yet")}, {"by", issuerText(b.Issuer)},
		{"reason", terminal.Visible(b.Reason, 1000)}, {"command", terminal.Visible(b.CommandID, 36)},
		{"finding", cmp.Or(terminal.Visible(b.FindingUID, 64), "none")},
	} {
		fmt.Fprintf(t, "  %s\t%s\n", line[0], line[1])
	}
	t.Flush()
}

func issuerText(i event.Issuer) string {
	switch i.Type {
	case "human":
		return terminal.Visible(cmp.Or(i.By, "somebody"), 100)
	case "expiry":
		return "expiry"
	}
	return "rule " + terminal.Visible(i.Rule, 100)
}

// step is a record of the history of breakers.
type step struct {
	Time    time.Time       `json:"time"` // of the log
	Type    string          `json:"type"` // feedback, command or ack
	Latency *int64          `json:"latency_ms,omitempty"`
	Record  json.RawMessage `json:"record"`

	scope          event.Scope
	who, what, why string
	epoch          int64
	order          int
}

// history are commands, acks and feedback since a time, in the order of their time.
func (c *cluster) history(ctx context.Context, stderr io.Writer, since time.Time, want func(event.Scope) bool) ([]step,
	error) {
	steps := []step{}
	sent := map[string]time.Time{} // commands
	add := func(topic string, parse func(r *kgo.Record) (step, error)) error {
		bad := unread{topic: topic}
		defer bad.tell(stderr)
		return c.read(ctx, topic, since, func(r *kgo.Record) {
			s, err := parse(r)
			if err != nil {
				bad.add(err)
				return
			}
			if want(s.scope) {
				s.Time, s.order = r.Timestamp.UTC(), len(steps)
				steps = append(steps, s)
			}
		})
	}
	err := errors.Join(
		add(c.Topics.Feedback, func(r *kgo.Record) (step, error) {
			f, err := event.ParseFeedback(r.Value)
			s := step{Type: "feedback", scope: f.Scope, who: f.By, why: f.Reason, Record: r.Value}
			switch {
			case err != nil:
				return s, err
			case f.Type == event.TripFeedback:
				s.what = "asks to " + explain.Action(f.Action, f.Rate) + explain.Lasting(f.DurationMS)
			case f.Type == event.VerdictFeedback:
				s.what = "says " + f.Verdict
			default:
				s.what = "asks to " + f.Type.String()
			}
			if f.Type != event.VerdictFeedback && len(f.Signature) == 0 {
				s.what += ", unsigned"
			}
			return s, nil
		}),
		add(c.Topics.Commands, func(r *kgo.Record) (step, error) {
			x, err := event.ParseCommand(r.Value)
			if err != nil {
				return step{}, err
			}
			if _, again := sent[x.ID]; !again {
				sent[x.ID] = r.Timestamp
			}
			s := step{Type: "command", scope: x.Scope, who: issuerText(x.Issuer),
				what: explain.Action(x.Action, x.Rate) + explain.Lasting(x.DurationMS), why: x.Reason, epoch: x.Epoch,
				Record: r.Value}
			if x.Mode != event.Enforce {
				s.what += ", " + x.Mode
			}
			return s, nil
		}),
		add(c.Topics.Acks, func(r *kgo.Record) (step, error) {
			a, err := event.ParseAck(r.Value)
			if err != nil {
				return step{}, err
			}
			s := step{Type: "ack", scope: a.Scope, who: cmp.Or(a.By, "a gateway"), what: a.Status.String(),
				why: a.Detail, epoch: a.Epoch, Record: r.Value}
			if at, ok := sent[a.CommandID]; ok {
				ms := r.Timestamp.Sub(at).Milliseconds()
				s.Latency = &ms
			} else if since.IsZero() {
				s.what += ", of no command that is known"
			}
			return s, nil
		}),
	)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.order, b.order)) })
	return steps, nil
}

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
			c, err := o.open(cmd.Context())
			if err != nil {
				return err
			}
			defer c.client.Close()
			steps, err := c.history(cmd.Context(), cmd.ErrOrStderr(), time.Now().Add(-since), want)
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

func printHistory(w io.Writer, steps []step, format string) error {
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
		if s.epoch > 0 {
			epoch = fmt.Sprint(s.epoch)
		}
		if s.Latency != nil {
			after = terminal.Short(time.Duration(*s.Latency) * time.Millisecond)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", terminal.UTC(s.Time.UnixMilli()), explain.Scope(s.scope), epoch,
			terminal.Visible(s.who, 60), terminal.Visible(s.what, 120), after, terminal.Visible(s.why, 80))
	}
	return t.Flush()
}
