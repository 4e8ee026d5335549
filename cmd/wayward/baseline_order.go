package main

import (
	"cmp"
	"crypto/ed25519"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/baselines/inspect"
	"github.com/wayward-sec/wayward/client"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/explain"
	"github.com/wayward-sec/wayward/terminal"
)

// baselineOrder are the flags of what acts on a baseline.
type baselineOrder struct {
	lookup
	fork, day, hash, reason, by, key string
	wait                             time.Duration
	dry, yes                         bool
}

func (o *baselineOrder) flags(cmd *cobra.Command) {
	configFlag(cmd, &o.config)
	f := cmd.Flags()
	f.StringVar(&o.tenant, "tenant", "", "`tenant` of the persona")
	f.StringVar(&o.reason, "reason", "", "why, for those who look later")
	f.StringVar(&o.by, "by", "", "`name` of the key, as policies/response knows it")
	f.StringVar(&o.key, "key", "", "`file` with the private key; $"+client.KeyEnv+" without")
	f.DurationVar(&o.wait, "wait", 10*time.Second, "how long to wait for what becomes of it; 0: not at all")
	outputFlag(cmd, &o.output, "table", "json")
}

// run signs the order, sends it and waits for what becomes of it.
func (o *baselineOrder) run(cmd *cobra.Command, op string, args []string) error {
	key, err := client.ReadKey(cmp.Or(o.key, os.Getenv(client.KeyEnv)))
	if err != nil {
		return err
	}
	if o.day != "" {
		if _, err := inspect.ParseDay(o.day); err != nil {
			return fmt.Errorf("--day %w", err)
		}
	}
	b := &event.BaselineOrder{Op: op, Fork: o.fork, Day: o.day, Hash: o.hash}
	if len(args) > 1 {
		b.Item = args[1]
	}
	f, err := o.order(o.tenant, args[0], b, key)
	if err != nil {
		return err
	}
	if o.dry {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", f.Append(nil))
		return err
	}
	if args[0] == baselines.TenantWide && !o.yes {
		if err := confirm(cmd, "This is about the baseline of the whole tenant "+terminal.Visible(o.tenant, 60)+
			", from which its young personas borrow."); err != nil {
			return err
		}
	}
	c, err := o.open(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	c.WarnOfSigner(f, key)
	return o.send(cmd, c, f)
}

// order is the signed feedback: what the engine would refuse by its form is refused here.
func (o *baselineOrder) order(tenant, persona string, b *event.BaselineOrder, key ed25519.PrivateKey) (*event.Feedback,
	error) {
	f := &event.Feedback{Type: event.BaselineFeedback, Baseline: b, By: o.by, Reason: o.reason,
		Scope: event.Scope{Type: event.PersonaScope, ID: persona, Tenant: tenant}.Identified()}
	return f, client.Sign(f, key)
}

// send sends the order, waits for what becomes of it, and prints that.
func (o *baselineOrder) send(cmd *cobra.Command, c *client.Client, f *event.Feedback) error {
	ctx, stdout := cmd.Context(), cmd.OutOrStdout()
	sent, err := c.Send(ctx, f, o.wait > 0)
	if err != nil {
		return err
	}
	defer sent.Close()
	if o.output == "table" {
		fmt.Fprintf(stdout, "sent: %s %s, feedback %s\n", f.Baseline.Op, explain.Scope(f.Scope), f.ID)
	}
	out := &client.BaselineOutcome{Feedback: f.ID}
	if o.wait > 0 {
		if out, err = sent.AwaitBaseline(ctx, o.wait); err != nil {
			return err
		}
	}
	if o.output == "json" {
		if err := printJSON(stdout, out); err != nil {
			return err
		}
	} else if o.wait > 0 {
		fmt.Fprintln(stdout, baselineText(out, c.Topics.DLQ, f.By, o.wait))
	}
	if o.wait > 0 && !out.Done() {
		return errSilent{1}
	}
	return nil
}

func baselineText(out *client.BaselineOutcome, deadLetters, by string, waited time.Duration) string {
	switch {
	case out.Refused != "":
		return "refused: " + out.Refused
	case out.Reset:
		return "forgotten: it begins anew"
	case out.Snapshot != "":
		text := "in force: " + out.Snapshot + ", " + out.State
		if out.Frozen {
			text += ", frozen"
		}
		return text
	}
	return fmt.Sprintf(
		"nothing came within %v. See whether wayward run is up (/readyz), whether %s has the feedback with a reason why it was refused, "+
			"and whether policies/response has the key %s for this tenant", waited, deadLetters,
		terminal.Visible(by, 60))
}
