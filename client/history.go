package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/explain"
	"github.com/wayward-sec/wayward/terminal"
)

// Step is a record of the history of breakers.
type Step struct {
	Time    time.Time       `json:"time"` // the broker's
	Type    string          `json:"type"` // feedback, command or ack
	Latency *int64          `json:"latency_ms,omitempty"`
	Record  json.RawMessage `json:"record"`

	Scope          event.Scope `json:"-"`
	Who, What, Why string      `json:"-"` // for people
	Epoch          int64       `json:"-"` // 0: of feedback, which has none
	order          int         // as it was read
}

// History is what people asked for, what was commanded and what gateways answered since a time
// (zero: all that the topics have), in the order of the brokers' time stamps.
func (c *Client) History(ctx context.Context, since time.Time, want func(event.Scope) bool) ([]Step, error) {
	steps := []Step{}
	add := func(topic string, parse func(r *kgo.Record) (Step, error)) error {
		bad := Unread{From: topic}
		defer bad.Report(c.warnings)
		return c.read(ctx, topic, since, func(r *kgo.Record) {
			s, err := parse(r)
			if err != nil {
				bad.Add(err)
				return
			}
			if want(s.Scope) {
				s.Time, s.order = r.Timestamp.UTC(), len(steps)
				steps = append(steps, s)
			}
		})
	}
	sent := map[string]time.Time{} // by id of the command
	err := errors.Join(
		add(c.Topics.Feedback, feedbackStep),
		add(c.Topics.Commands, func(r *kgo.Record) (Step, error) { return commandStep(r, sent) }),
		add(c.Topics.Acks, func(r *kgo.Record) (Step, error) { return ackStep(r, sent, since.IsZero()) }),
	)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(steps, func(a, b Step) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.order, b.order)) })
	return steps, nil
}

func feedbackStep(r *kgo.Record) (Step, error) {
	f, err := event.ParseFeedback(r.Value)
	s := Step{Type: "feedback", Scope: f.Scope, Who: f.By, Why: f.Reason, Record: r.Value}
	switch {
	case err != nil:
		return s, err
	case f.Type == event.TripFeedback:
		s.What = "asks to " + explain.Action(f.Action, f.Rate) + explain.Lasting(f.DurationMS)
	case f.Type == event.VerdictFeedback:
		s.What = "says " + f.Verdict
	default:
		s.What = "asks to " + f.Type.String()
	}
	if f.Type != event.VerdictFeedback && len(f.Signature) == 0 {
		s.What += ", unsigned"
	}
	return s, nil
}

// commandStep also notes in sent when a command was first issued.
func commandStep(r *kgo.Record, sent map[string]time.Time) (Step, error) {
	x, err := event.ParseCommand(r.Value)
	if err != nil {
		return Step{}, err
	}
	if _, again := sent[x.ID]; !again {
		sent[x.ID] = r.Timestamp
	}
	s := Step{Type: "command", Scope: x.Scope, Who: Issuer(x.Issuer),
		What: explain.Action(x.Action, x.Rate) + explain.Lasting(x.DurationMS), Why: x.Reason, Epoch: x.Epoch,
		Record: r.Value}
	if x.Mode != event.Enforce {
		s.What += ", " + x.Mode
	}
	return s, nil
}

// ackStep has all commands in sent if complete: an ack without one is then of an unknown command.
func ackStep(r *kgo.Record, sent map[string]time.Time, complete bool) (Step, error) {
	a, err := event.ParseAck(r.Value)
	if err != nil {
		return Step{}, err
	}
	s := Step{Type: "ack", Scope: a.Scope, Who: cmp.Or(a.By, "a gateway"), What: a.Status.String(),
		Why: a.Detail, Epoch: a.Epoch, Record: r.Value}
	if at, ok := sent[a.CommandID]; ok {
		ms := r.Timestamp.Sub(at).Milliseconds()
		s.Latency = &ms
	} else if complete {
		s.What += ", of no command that is known"
	}
	return s, nil
}

// Issuer says who issued a command, for people.
func Issuer(i event.Issuer) string {
	switch i.Type {
	case "human":
		return terminal.Visible(cmp.Or(i.By, "somebody"), 100)
	case "expiry":
		return "expiry"
	}
	return "rule " + terminal.Visible(i.Rule, 100)
}
