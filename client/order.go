package client

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/explain"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/terminal"
)

// Sign completes feedback with an id, the present time and a signature. What the engine would refuse
// by its form is an error here.
func Sign(f *event.Feedback, key ed25519.PrivateKey) error {
	if f.Reason = strings.TrimSpace(f.Reason); f.Reason == "" {
		return errors.New("--reason is empty: say why, for those who look later")
	}
	var id [16]byte
	rand.Read(id[:]) // never fails
	f.ID, f.Time, f.Tenant = hex.EncodeToString(id[:]), time.Now().UnixMilli(), f.Scope.Tenant
	f.Sign(key)
	_, err := event.ParseFeedback(f.Append(nil))
	return err
}

// WarnOfSigner warns of a key that the engine will refuse, if its policies lie on this machine, too.
func (c *Client) WarnOfSigner(f *event.Feedback, key ed25519.PrivateKey) {
	if c.Policies == "" {
		return
	}
	set, err := config.LoadPolicies(c.Policies)
	if err != nil {
		return // the engine reports it
	}
	by := terminal.Visible(f.By, 60)
	k := set.Response().Key(f.By)
	switch {
	case k == nil:
		fmt.Fprintf(c.warnings, "warning: policies/response in %s has no key %s\n", c.Policies, by)
	case !key.Public().(ed25519.PublicKey).Equal(k.Public):
		fmt.Fprintf(c.warnings, "warning: policies/response in %s has another public key for %s\n", c.Policies, by)
	case !k.Serves(f.Tenant):
		fmt.Fprintf(c.warnings, "warning: policies/response in %s does not let %s act on %s\n", c.Policies, by,
			explain.Scope(f.Scope))
	}
}

// Sent is feedback that the broker has taken.
type Sent struct {
	topics   *broker.Topics
	feedback *event.Feedback
	answers  *kgo.Client // reads from before the feedback was sent; nil: nobody waits
}

// Send writes signed feedback to agent.feedback. Close what it returns. Only with wait can the
// answers be awaited.
func (c *Client) Send(ctx context.Context, f *event.Feedback, wait bool) (*Sent, error) {
	s := &Sent{topics: &c.Topics, feedback: f}
	if wait {
		topics := []string{c.Topics.Commands, c.Topics.Acks, c.Topics.DLQ}
		if f.Type == event.BaselineFeedback {
			topics = []string{c.Topics.Baselines, c.Topics.DLQ}
		}
		var err error
		if s.answers, err = c.tail(ctx, topics...); err != nil {
			return nil, err
		}
	}
	within, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := c.kafka.ProduceSync(within, &kgo.Record{Topic: c.Topics.Feedback, Key: f.Scope.AppendKey(nil),
		Value: f.Append(nil)}).FirstErr()
	if err != nil {
		s.Close()
		return nil, topicError(c.Topics.Feedback, err)
	}
	return s, nil
}

// Close stops listening for answers.
func (s *Sent) Close() {
	if s.answers != nil {
		s.answers.Close()
	}
}

// CommandOutcome is what became of a trip or restore.
type CommandOutcome struct {
	Refused string         // why, if the dead-letter topic says so
	Command *event.Command // nil: none came
	Acks    []event.Ack    // of the command
}

// AwaitCommand reads until the command is answered for good, or the time is over. Its error is that
// of ctx.
func (s *Sent) AwaitCommand(ctx context.Context, wait time.Duration) (*CommandOutcome, error) {
	within, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	out, f := &CommandOutcome{}, s.feedback
	acks := map[string][]event.Ack{} // an ack may be read before its command: they are on two topics
	for within.Err() == nil && !out.complete() {
		s.answers.PollFetches(within).EachRecord(func(r *kgo.Record) {
			switch r.Topic {
			case s.topics.Commands:
				x, err := event.ParseCommand(r.Value)
				if err == nil && x.Scope == f.Scope && x.Issuer.Type == "human" && x.Issuer.By == f.By &&
					x.Issuer.Rule == f.ID {
					out.Command = &x
				}
			case s.topics.Acks:
				if a, err := event.ParseAck(r.Value); err == nil && a.Scope == f.Scope {
					acks[a.CommandID] = append(acks[a.CommandID], a)
				}
			case s.topics.DLQ:
				out.Refused = cmp.Or(s.refusal(r), out.Refused)
			}
		})
		if out.Command != nil {
			out.Acks = acks[out.Command.ID]
		}
	}
	return out, ctx.Err()
}

// complete tells whether nothing more will come.
func (out *CommandOutcome) complete() bool {
	if out.Refused != "" {
		return true
	}
	if out.Command == nil {
		return false
	}
	return out.Command.Mode != event.Enforce ||
		slices.ContainsFunc(out.Acks, func(a event.Ack) bool { return a.Status != event.Received })
}

// Failed tells whether no command came, or a gateway did not obey it.
func (out *CommandOutcome) Failed() bool {
	last := len(out.Acks) - 1
	return out.Command == nil || last >= 0 && out.Acks[last].Status > event.Applied
}

// BaselineOutcome is what became of an order on a baseline.
type BaselineOutcome struct {
	Feedback string `json:"feedback"`
	Refused  string `json:"refused,omitempty"`  // why, if the dead-letter topic says so
	Snapshot string `json:"snapshot,omitempty"` // that was made because of it
	State    string `json:"state,omitempty"`
	Frozen   bool   `json:"frozen,omitempty"`
	Reset    bool   `json:"reset,omitempty"` // its snapshots are gone
}

// AwaitBaseline reads until the order is refused, or the baseline has changed, or the time is over.
// Its error is that of ctx.
func (s *Sent) AwaitBaseline(ctx context.Context, wait time.Duration) (*BaselineOutcome, error) {
	within, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	out, f := &BaselineOutcome{Feedback: s.feedback.ID}, s.feedback
	k := baselines.Key{Tenant: f.Scope.Tenant, Persona: f.Scope.ID, Fork: f.Baseline.Fork}
	snapshots := pipeline.Snapshots{Want: func(o baselines.Key, _ int64) bool { return o == k }}
	for within.Err() == nil && out.Refused == "" && !out.Done() {
		s.answers.PollFetches(within).EachRecord(func(r *kgo.Record) {
			switch {
			case r.Topic == s.topics.DLQ:
				out.Refused = cmp.Or(s.refusal(r), out.Refused)
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
	return out, ctx.Err()
}

// Done tells whether the baseline has changed.
func (out *BaselineOutcome) Done() bool {
	return out.Refused == "" && (out.Snapshot != "" || out.Reset)
}

// refusal is why a dead letter says that the feedback was refused; "": it is about something else.
func (s *Sent) refusal(r *kgo.Record) string {
	if !strings.Contains(string(r.Value), s.feedback.ID) {
		return ""
	}
	header := map[string]string{}
	for _, h := range r.Headers {
		header[h.Key] = string(h.Value)
	}
	text := cmp.Or(header["reason"], "no reason given") + ": " + header["detail"]
	return terminal.Visible(strings.TrimSuffix(text, ": "), 300)
}
