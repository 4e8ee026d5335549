package pipeline

import (
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

// The dead letter of feedback says where it came from: not from the shard's own log.
func TestRefusedFeedbackNamesItsOrigin(t *testing.T) {
	for name, s := range map[string]event.Scope{"agent": {Type: event.AgentScope, Tenant: "t1", ID: "a"},
		"user": {Type: event.UserScope, Tenant: "t1", ID: "u"}} {
		t.Run(name, func(t *testing.T) {
			c := newBothStages(t, 1, 2, 2, setOf(t, armed(true, "")))
			var got map[string]string
			c.committed = func(outs []output) {
				for _, o := range outs {
					if o.to == toDLQ {
						got = map[string]string{"value": string(o.value)}
						for _, h := range o.headers {
							got[h.Key] = string(h.Value)
						}
					}
				}
			}
			c.sendFeedback(1, event.Feedback{Type: event.TripFeedback, Scope: s})
			c.settle()
			if got["topic"] != "agent.feedback" || got["partition"] != "3" || got["offset"] != "77" ||
				got["reason"] != "unsigned" || got["detail"] == "" || !strings.Contains(got["value"], `"because"`) {
				t.Errorf("%v", got)
			}
		})
	}
}

// What was refused must not act later because somebody sends it again.
func TestRefusedFeedbackCannotBeSentAgain(t *testing.T) {
	c := newBothStages(t, 1, 1, 1, setOf(t, armed(true, "")))
	s := event.Scope{Type: event.AgentScope, Tenant: "t1", ID: "agent-1"}
	f := event.Feedback{ID: "f1", Time: c.now, Tenant: "t1", Type: event.RestoreFeedback, Scope: s, By: "alice"}
	f.Sign(keyOf("alice"))
	c.viaIngress("agent.feedback", f.Append(nil))
	c.sendFeedback(0, event.Feedback{Type: event.TripFeedback, Scope: s})
	c.viaIngress("agent.feedback", f.Append(nil))
	c.settle()
	if list := c.commands[s.Key()]; len(list) != 1 || c.dead["not_open"] != 1 || c.dead["replayed"] != 1 {
		t.Errorf("%+v, refused %v", list, c.dead)
	}
	// Nor when it has been forgotten: then it is old.
	c.now += 2*feedbackTol + 1
	c.sendFeedback(1, event.Feedback{Type: event.TripFeedback, Scope: s})
	c.viaIngress("agent.feedback", f.Append(nil))
	c.settle()
	if len(c.commands[s.Key()]) != 1 || c.dead["stale_feedback"] != 1 {
		t.Errorf("refused %v", c.dead)
	}
}
