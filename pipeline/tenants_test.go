package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

// Whoever holds the key of one tenant reaches no other with it, however the other is named: nothing
// is commanded, no breaker changes and no baseline.
func TestTheKeyOfOneTenantReachesNoOther(t *testing.T) {
	agent := event.Scope{Type: event.AgentScope, Tenant: "t2", ID: "agent-1"}
	for _, x := range []struct {
		name  string
		scope event.Scope // of what is signed
		top   string      // the tenant beside the scope
		why   string
	}{
		{"its own agent", event.Scope{Type: event.AgentScope, Tenant: "t1", ID: "agent-1"}, "t1", ""},
		{"its own self", event.Scope{Type: event.TenantScope, Tenant: "t1", ID: "t1"}, "t1", ""},
		{"another's agent", agent, "t2", "wrong_tenant"},
		{"another's agent below its own name", agent, "t1", "bad_feedback"},
		{"another's session", event.Scope{Type: event.SessionScope, Tenant: "t2", ID: "s", Agent: "agent-1"}, "t2",
			"wrong_tenant"},
		{"another's session below its own name", event.Scope{Type: event.SessionScope, Tenant: "t2", ID: "s",
			Agent: "agent-1"}, "t1", "bad_feedback"},
		{"another tenant", event.Scope{Type: event.TenantScope, Tenant: "t2", ID: "t2"}, "t2", "wrong_tenant"},
		{"another tenant as its own scope", event.Scope{Type: event.TenantScope, Tenant: "t1", ID: "t2"}, "t1",
			"bad_feedback"},
		{"itself as another's scope", event.Scope{Type: event.TenantScope, Tenant: "t2", ID: "t1"}, "t2",
			"bad_feedback"},
		{"all tenants", event.Scope{Type: event.TenantScope, Tenant: "t1", ID: "*"}, "t1", "bad_feedback"},
		{"a tenant called *", event.Scope{Type: event.TenantScope, Tenant: "*", ID: "*"}, "*", "bad_feedback"},
		{"everything", event.Scope{Type: event.GlobalScope, ID: "*"}, "", "wrong_tenant"},
		{"everything below its own name", event.Scope{Type: event.GlobalScope, ID: "*"}, "t1", "bad_feedback"},
		{"everything, of its own", event.Scope{Type: event.GlobalScope, Tenant: "t1", ID: "*"}, "t1", "bad_feedback"},
		{"a tenant with the key of another's agent", event.Scope{Type: event.AgentScope, Tenant: "t2|agent",
			ID: "agent-1"}, "t2|agent", "bad_feedback"},
		{"another's case", event.Scope{Type: event.TenantScope, Tenant: "T1", ID: "T1"}, "T1", "wrong_tenant"},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := newBothStages(t, 1, 2, 2, setOf(t, armed(true, "")))
			// a breaker of the other's, set by who may
			c.sendFeedback(0, event.Feedback{Type: event.TripFeedback, Scope: agent})
			c.settle()
			before := len(c.all)
			for i, kind := range []event.FeedbackType{event.TripFeedback, event.RestoreFeedback} {
				f := event.Feedback{ID: fmt.Sprint("x", i), Time: c.now, Tenant: x.top, Type: kind, Scope: x.scope,
					By: "bob", Reason: "mine"}
				if kind == event.TripFeedback {
					f.Action = event.Kill
				}
				f.Sign(keyOf("bob"))
				c.viaIngress("agent.feedback", f.Append(nil))
				c.settle()
			}
			if got := len(c.all) - before; x.why == "" && got != 2 || x.why != "" && (got != 0 || c.dead[x.why] != 2) {
				t.Errorf("%d commands, refused %v, want %q", got, c.dead, x.why)
			}
		})
	}
}

// What is an id of its own tenant stays one, whatever it looks like.
func TestAnIdThatLooksLikeAnothersScopeIsOnesOwn(t *testing.T) {
	other := event.Scope{Type: event.AgentScope, Tenant: "t2", ID: "agent-1"}
	for _, id := range []string{"t2|agent|agent-1", "t2%7Cagent%7Cagent-1", "../t2|agent|agent-1", "|agent|agent-1",
		"agent|t2", "t2", "t2|agent-1", "*", "|global|*"} {
		for kind, s := range map[string]event.Scope{
			"agent": {Type: event.AgentScope, ID: id}, "user": {Type: event.UserScope, ID: id},
			"tool":   {Type: event.ToolScope, ID: id},
			"server": {Type: event.ServerScope, ID: id}, "persona": {Type: event.PersonaScope, ID: id},
			"session":      {Type: event.SessionScope, ID: "s", Agent: id},
			"session's id": {Type: event.SessionScope, ID: id, Agent: "agent-1"},
		} {
			s.Tenant = "t1"
			c := newBothStages(t, 1, 2, 2, setOf(t, armed(true, "")))
			c.sendFeedback(0, event.Feedback{Type: event.TripFeedback, Scope: other})
			c.settle()
			before := string(c.breakers[other.Key()])
			if before == "" {
				t.Fatal("the other has no breaker")
			}
			for i, kind := range []event.FeedbackType{event.TripFeedback, event.RestoreFeedback} {
				f := event.Feedback{ID: fmt.Sprint("x", i), Time: c.now, Tenant: "t1", Type: kind, Scope: s, By: "bob",
					Reason: "mine"}
				if kind == event.TripFeedback {
					f.Action = event.Kill
				}
				f.Sign(keyOf("bob"))
				c.viaIngress("agent.feedback", f.Append(nil))
				c.settle()
			}
			if after := string(c.breakers[other.Key()]); after != before {
				t.Errorf("%s %q: the other's breaker became %s", kind, id, after)
			}
			for _, cmd := range c.all {
				if cmd.Issuer.By == "bob" && (cmd.Scope.Tenant != "t1" || !strings.HasPrefix(cmd.Scope.Key(), "t1|")) {
					t.Errorf("%s %q: commanded %s", kind, id, cmd.Scope.Key())
				}
			}
			if len(c.all) < 3 {
				t.Errorf("%s %q: %d commands, refused %v", kind, id, len(c.all), c.dead)
			}
		}
	}
}
