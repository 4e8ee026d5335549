package response

import (
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// Resumed is a breaker rebuilt from what is on the topics: the last command, the state if there is
// one (of the same epoch), and the persona whose guard counts it. A missing ack is awaited from now
// on, and only calls after now go against a command that was applied.
func Resumed(c *event.Command, s *event.Breaker, persona string, set *policy.Settings, now int64) *Breaker {
	b := &Breaker{Scope: c.Scope, Epoch: c.Epoch, Mode: c.Mode, At: c.Time, Finding: c.FindingUID,
		Reason: short(c.Reason), Issuer: c.Issuer, Command: c.ID, Issued: c.IssuedAt}
	if c.Action == event.Restore {
		return b
	}
	b.Action, b.Since, b.Length, b.Rate = c.Action, c.Time, c.DurationMS, c.Rate
	if b.Length > 0 {
		b.Until = b.Issued + b.Length
	}
	if b.Action >= event.Block && b.Scope.Type.Narrow() {
		b.Persona = persona
	}
	enforced := ""
	if s != nil && s.CommandID == c.ID {
		b.Since, enforced = s.Since, s.Enforced
	}
	b.Ack = event.ParseAckStatus(enforced)
	b.Missed = enforced == "missed"
	switch {
	case b.Ack == event.Applied:
		b.Applied = now
	case b.Mode == event.Enforce && b.Action != event.Observe && weight(b.Ack) < 2 && !b.Missed:
		b.AckBy = now + set.AckMS
	}
	return b
}

// CommandOf is the command that led to a state: for when the command itself was lost.
func CommandOf(s *event.Breaker, set *policy.Settings, now int64) event.Command {
	c := event.Command{ID: s.CommandID, Action: s.Action, Scope: s.Scope, Epoch: s.Epoch, Time: s.Since, IssuedAt: now,
		NotAfter: now + set.StartMS, Rate: s.Rate, Mode: s.Mode, Issuer: s.Issuer, Reason: s.Reason,
		FindingUID: s.FindingUID}
	if s.Until != 0 {
		c.DurationMS = max(1, s.Until-now)
	}
	return c
}
