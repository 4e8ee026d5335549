package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/explain"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/terminal"
)

// ruled is what became of an order on a baseline.
type ruled struct {
	Feedback string `json:"feedback"`
	Refused  string `json:"refused,omitempty"`  // why, if the dead-letter topic says so
	Snapshot string `json:"snapshot,omitempty"` // that was made because of it
	State    string `json:"state,omitempty"`
	Frozen   bool   `json:"frozen,omitempty"`
	Reset    bool   `json:"reset,omitempty"` // its snapshots are gone
}

// follow reads until the order is refused, or the baseline has changed, or the time is over.
func (out *ruled) follow(ctx context.Context, cl *kgo.Client, c *config.Config, f *event.Feedback) {
	k := baselines.Key{Tenant: f.Scope.Tenant, Persona: f.Scope.ID, Fork: f.Baseline.Fork}
	snapshots := pipeline.Snapshots{Want: func(o baselines.Key, _ int64) bool { return o == k }}
	for ctx.Err() == nil && out.Refused == "" && out.Snapshot == "" && !out.Reset {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			switch {
			case r.Topic == c.Topics.DLQ:
				if strings.Contains(string(r.Value), f.ID) {
					out.Refused = refusal(r)
				}
			case r.Value == nil:
				out.Reset = out.Reset || f.Baseline.Op == "reset" &&
					strings.HasPrefix(string(r.Key), pipeline.SnapshotPrefix(k))
			default:
				if snapshots.Add(r.Key, r.Value) != nil {
					return
				}
				for _, s := range snapshots.Models(true, func(error) {}) {
					// not all pieces may be there yet
					out.Snapshot, out.State, out.Frozen = s.Model.Snapshot(), s.Model.State.String(), s.Model.Frozen
				}
			}
		})
	}
}

func (out *ruled) done() bool { return out.Refused == "" && (out.Snapshot != "" || out.Reset) }

func (out *ruled) text(c *config.Config, f *event.Feedback, waited time.Duration) string {
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
			"and whether policies/response has the key %s for this tenant", waited, c.Topics.DLQ,
		terminal.Visible(f.By, 60))
}

func (o *baselineOrder) send(cmd *cobra.Command, c *cluster, f *event.Feedback, value []byte) error {
	ctx, stdout := cmd.Context(), cmd.OutOrStdout()
	var answers *kgo.Client
	if o.wait > 0 {
		var err error
		if answers, err = c.from(ctx, c.Topics.Baselines, c.Topics.DLQ); err != nil {
			return err
		}
		defer answers.Close()
	}
	send, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := c.client.ProduceSync(send, &kgo.Record{Topic: c.Topics.Feedback, Key: f.Scope.AppendKey(nil),
		Value: value}).FirstErr(); err != nil {
		return missing(c.Topics.Feedback, err)
	}
	out := ruled{Feedback: f.ID}
	if o.output == "table" {
		fmt.Fprintf(stdout, "sent: %s %s, feedback %s\n", f.Baseline.Op, explain.Scope(f.Scope), f.ID)
	}
	if o.wait > 0 {
		wait, cancel := context.WithTimeout(ctx, o.wait)
		defer cancel()
		out.follow(wait, answers, &c.Config, f)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if o.output == "json" {
		if err := printJSON(stdout, out); err != nil {
			return err
		}
	} else if o.wait > 0 {
		fmt.Fprintln(stdout, out.text(&c.Config, f, o.wait))
	}
	if o.wait > 0 && !out.done() {
		return errSilent{1}
	}
	return nil
}
