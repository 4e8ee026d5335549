package oracle

import (
	"fmt"
	"slices"
	"time"
)

var stateWords = map[string]string{"observe": "observed", "throttle": "throttled", "escalate": "open", "block": "open",
	"kill": "open"}

// present weighs what agent.breakers says of one scope, record by record, against its commands and
// acks: each command has its record and each record its command or ack, in their order, so that the
// last one is the truth.
func (b *Balance) present(key string, h *scopeLog, shown map[string]map[string]bool) {
	next := 0
	var now *command // what is in force by the records so far
	var e *enforcement
	for _, s := range h.states {
		if !s.gone && now != nil && s.Epoch == now.Epoch {
			b.same(s, now, h)
			b.enforced(s, now, e)
			shown[now.ID][s.Enforced] = true
			continue
		}
		at := next
		for at < len(h.commands) && (s.gone != (h.commands[at].Action == "restore") || !s.gone &&
			s.Epoch != h.commands[at].Epoch) {
			at++
		}
		if at != next || at == len(h.commands) {
			b.fault("breaker out of order",
				fmt.Sprintf("%s: record (tombstone %v, epoch %d) is due for command %d of %d", key, s.gone, s.Epoch,
					next+1, len(h.commands)))
		}
		if at == len(h.commands) {
			continue
		}
		now, next = h.commands[at], at+1
		if s.gone {
			now = nil
			continue
		}
		b.same(s, now, h)
		e = enforcementOf(now, h.acks)
		shown[now.ID] = map[string]bool{s.Enforced: true}
		if s.Enforced != "" {
			b.fault("breaker answered for before its command", s)
		}
	}
	if next < len(h.commands) {
		b.fault("breaker", fmt.Sprintf("%s: no record for command %d of %d", key, next+1, len(h.commands)))
	}
	if now == nil {
		return
	}
	b.Open++
	switch {
	case e.at < len(e.steps):
		b.miss("ack in the breaker", fmt.Sprintf("%s epoch %d: %v, shown %v", key, now.Epoch, e.steps, e.steps[:e.at]))
	case e.waits() && !e.missed && now.Action != "observe":
		b.miss("deadline of an ack", fmt.Sprintf("%s epoch %d of %v", key, now.Epoch,
			now.Issued.Format(time.StampMilli)))
	}
}

// same demands that a breaker says what the command said.
func (b *Balance) same(s *breakerState, c *command, h *scopeLog) {
	rate := s.Limit == nil && c.Limit == nil || s.Limit != nil && c.Limit != nil && *s.Limit == *c.Limit
	since := slices.ContainsFunc(h.commands, func(o *command) bool {
		return o.Epoch <= c.Epoch &&
			o.Time.Equal(s.Since)
	})
	if s.State != stateWords[c.Action] || s.Action != c.Action || s.Mode != c.Mode || s.Command != c.ID ||
		s.Finding != c.Finding || s.Reason != c.Reason || s.Issuer != c.Issuer || !rate || !since ||
		!s.Until.Equal(c.until) {
		b.fault("breaker against its command", []any{s, c})
	}
}

// enforcement is what gateways said of one command, as a breaker must show it.
type enforcement struct {
	steps  []string // the answers that changed something
	at     int      // of them shown
	missed bool
}

// weights of answers: a lighter one takes nothing back, and one of the same weight says nothing
// new.
var weights = map[string]int{"received": 1, "rejected": 2, "failed": 2, "expired": 2, "applied": 3}

// enforcementOf follows the acks of a command.
func enforcementOf(c *command, acks []ack) *enforcement {
	e, now := &enforcement{}, ""
	for _, a := range acks {
		if a.Command == c.ID && a.Epoch == c.Epoch && weights[a.Status] > weights[now] {
			now = a.Status
			e.steps = append(e.steps, now)
		}
	}
	return e
}

// waits tells whether by the answers shown the deadline still runs.
func (e *enforcement) waits() bool { return e.at == 0 || e.steps[e.at-1] == "received" }

// enforced follows one record that only says what became of a command.
func (b *Balance) enforced(s *breakerState, c *command, e *enforcement) {
	switch due := e.at < len(e.steps); {
	case due && (s.Enforced == e.steps[e.at] || s.Enforced == "missed" && e.missed && e.steps[e.at] == "received"):
		e.at++
	case s.Enforced == "missed" && !e.missed && e.waits() && c.Action != "observe" &&
		!s.at.Before(c.Issued.Add(AckWithin)):
		e.missed = true
	default:
		b.fault("enforced", fmt.Sprintf("%s epoch %d: %q at %v, issued %v, acks %v of which %d are shown, missed %v",
			c.Scope.key(), c.Epoch, s.Enforced, s.at.Format(time.StampMilli), c.Issued.Format(time.StampMilli), e.steps,
			e.at, e.missed))
	}
}
