package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/client"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/explain"
	"github.com/wayward-sec/wayward/terminal"
)

// breakerOrder is what trip and restore have in common.
type breakerOrder struct {
	lookup
	agent, reason, finding, by, key string
	calls                           int64
	wait                            time.Duration
	dry, yes                        bool
}

func (o *breakerOrder) flags(cmd *cobra.Command) {
	o.lookup.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.agent, "agent", "", "whose session it is")
	f.StringVar(&o.reason, "reason", "", "why, for those who look later")
	f.StringVar(&o.finding, "finding", "", "`uid` of the finding that it is about")
	f.StringVar(&o.by, "by", "", "`name` of the key, as policies/response knows it")
	f.StringVar(&o.key, "key", "", "`file` with the private key; $"+client.KeyEnv+" without")
	f.DurationVar(&o.wait, "wait", 10*time.Second, "how long to wait for the command and its ack; 0: not at all")
	f.BoolVar(&o.dry, "dry-run", false, "print the signed record and send nothing")
	f.BoolVar(&o.yes, "yes", false, "do not ask before a whole tenant, or everything")
	require(cmd, "reason", "by")
}

// run signs the feedback, sends it and waits for what becomes of it.
func (o *breakerOrder) run(cmd *cobra.Command, args []string, f event.Feedback) error {
	var err error
	if f.Scope, err = scopeArgs(args, o.tenant, o.agent); err != nil {
		return err
	}
	key, err := client.ReadKey(cmp.Or(o.key, os.Getenv(client.KeyEnv)))
	if err != nil {
		return err
	}
	f.FindingUID, f.By, f.Reason = o.finding, o.by, o.reason
	if err := client.Sign(&f, key); err != nil {
		return err
	}
	if o.dry {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", f.Append(nil))
		return err
	}
	if wide := f.Scope.Type == event.TenantScope || f.Scope.Type == event.GlobalScope; wide && !o.yes {
		if err := confirm(cmd, "This is about "+explain.Scope(f.Scope)+": all of its agents at once."); err != nil {
			return err
		}
	}
	c, err := o.open(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	c.WarnOfSigner(&f, key)
	return o.send(cmd, c, &f)
}

// send sends the feedback, waits for what becomes of it, and prints that.
func (o *breakerOrder) send(cmd *cobra.Command, c *client.Client, f *event.Feedback) error {
	ctx, stdout := cmd.Context(), cmd.OutOrStdout()
	sent, err := c.Send(ctx, f, o.wait > 0)
	if err != nil {
		return err
	}
	defer sent.Close()
	if o.output == "table" {
		fmt.Fprintf(stdout, "sent: %s %s, feedback %s\n", f.Type, explain.Scope(f.Scope), f.ID)
	}
	out := &client.CommandOutcome{}
	if o.wait > 0 {
		if out, err = sent.AwaitCommand(ctx, o.wait); err != nil {
			return err
		}
	}
	if o.output == "json" {
		if err := printJSON(stdout, outcomeJSON(f, out)); err != nil {
			return err
		}
	} else if o.wait > 0 {
		fmt.Fprintln(stdout, outcomeText(out, c.Topics.DLQ, f.By, o.wait))
	}
	if o.wait > 0 && out.Failed() {
		return errSilent{1}
	}
	return nil
}

func outcomeText(out *client.CommandOutcome, deadLetters, by string, waited time.Duration) string {
	switch {
	case out.Refused != "":
		return "refused: " + out.Refused
	case out.Command == nil:
		return fmt.Sprintf(
			"no command came within %v. See whether wayward run is up (/readyz), whether %s has the feedback with a reason why it was refused, "+
				"whether policies/response has the key %s for this tenant, and whether the scope is under a stronger action already (wayward breaker show)",
			waited, deadLetters, terminal.Visible(by, 60))
	}
	x := out.Command
	text := fmt.Sprintf("command: %s, epoch %d%s", explain.Action(x.Action, x.Rate), x.Epoch, explain.Lasting(x.DurationMS))
	if x.Mode != event.Enforce {
		return text + ", " + x.Mode + ": no gateway acts on it (enforce: true in policies/response turns it on)"
	}
	for _, a := range out.Acks {
		text += fmt.Sprintf("\n%s: %s", terminal.Visible(cmp.Or(a.By, "a gateway"), 60), a.Status)
		if a.Detail != "" {
			text += ", " + terminal.Visible(a.Detail, 200)
		}
	}
	if len(out.Acks) == 0 {
		text += fmt.Sprintf("\nno gateway has answered within %v; look again with wayward breaker show", waited)
	}
	return text
}

func outcomeJSON(f *event.Feedback, out *client.CommandOutcome) any {
	j := struct {
		Feedback string            `json:"feedback"`
		Refused  string            `json:"refused,omitempty"`
		Command  json.RawMessage   `json:"command"`
		Acks     []json.RawMessage `json:"acks"`
	}{Feedback: f.ID, Refused: out.Refused, Acks: []json.RawMessage{}}
	if out.Command != nil {
		j.Command = out.Command.Append(nil)
	}
	for _, a := range out.Acks {
		j.Acks = append(j.Acks, a.Append(nil))
	}
	return j
}
