package pipeline

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/response"
)

// Pages of scopes that were stopped outlive others: their epoch must not begin anew, and a guard
// must not forget what it shut.
func TestWhatWasStoppedIsNotForgotten(t *testing.T) {
	set := setOf(t, armed(true, ""))
	const day = 86_400_000
	c := newBothStages(t, 1, 1, 1, set)
	bad := func(agent, role string) {
		c.now++
		c.send(fmt.Appendf(nil,
			`{"id":"e%d","time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":%q},"user":"u","session":"s1","persona":%q,"tool":{"name":"rm"}}`,
			c.now, c.now, agent, role))
		c.settle()
	}
	pass := func(days int64) {
		for range days {
			c.now += day
			c.send(fmt.Appendf(nil, `{"id":"e%d","time":%d,"kind":"message","tenant":"other","agent":{"id":"x"}}`,
				c.now, c.now))
			c.settle()
			c.expireBreakers(false)
			c.settle()
		}
	}
	for i := range 4 {
		bad(fmt.Sprint("agent-1-", i), "courier") // two sessions are killed, two agents escalated
	}
	bad("agent-2", "porter")
	pass(70) // the user's block has ended long ago
	barred := int64(0)
	for _, pg := range every(t, c.behaviours[0].shard) {
		if a, ok := pg.content.(*agentPage); ok {
			barred += a.barred
		}
	}
	if barred != 4 {
		t.Errorf("%d sessions are known to be barred, want 4", barred)
	}
	bad("agent-1-4", "courier")
	late := event.Scope{Type: event.SessionScope, Tenant: "t1", Agent: "agent-1-4", ID: "s1"}
	if list := c.commands[late.Key()]; len(list) != 1 || list[0].Action != event.Escalate {
		t.Errorf("the guard of blocks that still hold was forgotten: %+v", list)
	}
	bad("agent-2", "porter")
	if list := c.commands["t1|user|u"]; len(list) != 3 || list[2].Epoch != 3 {
		t.Errorf("seventy days later: %+v", list)
	}
	// Restored after more than breakerIdle, the epoch is kept for as long again.
	var sessions []event.Scope
	for _, list := range c.commands {
		if k := list[len(list)-1]; k.Action == event.Kill {
			sessions = append(sessions, k.Scope)
		}
	}
	pass(40)
	for _, s := range sessions {
		c.sendFeedback(0, event.Feedback{Type: event.RestoreFeedback, Scope: s})
	}
	c.settle()
	pass(40)
	for _, s := range sessions {
		c.sendFeedback(0, event.Feedback{Type: event.TripFeedback, Scope: s})
	}
	c.settle()
	c.consistent()
	if len(sessions) != 2 || len(c.commands[sessions[0].Key()]) < 3 {
		t.Errorf("%v", c.commands)
	}
}

// What a Resume wrote is in force at once: its guard counts it, its session is watched, its state
// is told; behaviour that was judged leads to nothing.
func TestAResumedShardGoesOn(t *testing.T) {
	set := setOf(t, armed(true, `,"guard":{"least":"1","percent":"0"}`))
	c := newBothStages(t, 1, 2, 2, set)
	put := func(s event.Scope, k control) { c.deliver([]output{c.rules.route(s, c.now, "", k)}) }
	stopped := func(s event.Scope, a event.Action, guard string) {
		k := event.Command{ID: idOf(s, 5), Action: a, Scope: s, Epoch: 5, Time: c.now, IssuedAt: c.now,
			Mode: event.Enforce, Issuer: event.Issuer{Type: "rule"}, Reason: "x"}
		put(s,
			control{Kind: controlResume,
				State: response.Resumed(&k, &event.Breaker{CommandID: k.ID, Since: c.now, Enforced: "applied"}, guard,
					none.Response(), c.now).Append(nil)})
		c.commands[s.Key()] = slices.Repeat([]event.Command{k}, 5) // as the topic has it
		for i := range c.commands[s.Key()] {
			c.commands[s.Key()][i].Epoch, c.commands[s.Key()][i].ID = int64(i+1), idOf(s, int64(i+1))
		}
	}
	agent, session, user := event.Scope{Type: event.AgentScope, Tenant: "t1",
		ID: "agent-0"}, event.Scope{Type: event.SessionScope, Tenant: "t1", Agent: "agent-1", ID: "s1"},
		event.Scope{Type: event.UserScope, Tenant: "t1", ID: "u1"}
	for p := range c.behaviours {
		c.logs[p].add(controlLog, control{Kind: controlResume, Time: c.now + 60_000}.encode(), c.now)
	}
	stopped(agent, event.Block, "t1|clerk")
	stopped(session, event.Kill, "")
	stopped(user, event.Throttle, "")
	c.settle()
	c.consistent()
	act := func(agent, tool string, after int64) {
		c.now += 1000
		c.send(fmt.Appendf(nil,
			`{"id":"e%d","time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":%q},"user":"u9","session":"s1","persona":"clerk","tool":{"name":%q}}`,
			c.now, c.now+after, agent, tool))
		c.settle()
	}
	act("agent-5", "rm", 0) // judged before
	if list := c.commands["t1|agent|agent-5"]; len(list) != 0 {
		t.Errorf("behaviour that was judged before: %+v", list)
	}
	c.now += 60_000
	act("agent-5", "rm", 0)
	if list := c.commands["t1|agent|agent-5"]; len(list) != 1 || list[0].Action != event.Escalate {
		t.Errorf("the guard has forgotten whom it counts: %+v", list)
	}
	defied := 0
	c.committed = func(outs []output) {
		for _, o := range outs {
			if o.to == toAlerts && bytes.Contains(o.value, []byte("acts-after-applied")) {
				defied++
			}
		}
	}
	act("agent-1", "search", 0)
	act("agent-0", "search", 0)
	if defied != 2 {
		t.Errorf("%d of two that act against what is resumed are found", defied)
	}
	f := event.Feedback{Type: event.RestoreFeedback, Scope: user}
	c.sendFeedback(0, f)
	c.settle()
	if list := c.commands[user.Key()]; len(list) != 6 || list[5].Epoch != 6 {
		t.Errorf("%+v", list)
	}
	c.consistent()
	old := event.Feedback{ID: "old", Time: day0, Tenant: "t1", Type: event.TripFeedback, Scope: agent,
		Action: event.Kill, By: "alice", Reason: "x"}
	old.Sign(keyOf("alice"))
	c.viaIngress("agent.feedback", old.Append(nil))
	c.settle()
	if c.dead["before_resume"] != 1 {
		t.Errorf("feedback from before: %v", c.dead)
	}
}

// What is ordered of a session comes by the wall clock, hours after its events where those are old.
// It keeps the page of its breaker, and does not make the session look as if it went on.
func TestTheClockOfABreakerKeepsNoSessionGoing(t *testing.T) {
	c := newBothStages(t, 1, 1, 1, setOf(t, armed(true, "")))
	c.now = day0 + 10*3_600_000
	act := func(at int64) *sessionPage {
		c.send(fmt.Appendf(nil,
			`{"id":"e%d","time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":"agent-1"},"session":"s1","persona":"clerk","tool":{"name":"search"}}`,
			at, at))
		c.settle()
		for key, pg := range every(t, c.behaviours[0].shard) {
			if key[0] == sessionKind {
				return pg.session()
			}
		}
		t.Fatal("there is no session")
		return nil
	}
	act(day0)
	scope := event.Scope{Type: event.SessionScope, Tenant: "t1", Agent: "agent-1", ID: "s1"}
	c.sendFeedback(0, event.Feedback{Type: event.TripFeedback, Scope: scope})
	c.settle()
	c.sendFeedback(0, event.Feedback{Type: event.RestoreFeedback, Scope: scope})
	c.settle()
	if n := len(c.commands[scope.Key()]); n != 2 {
		t.Fatalf("%d commands", n)
	}
	if pg := act(day0 + 10*60_000); pg.began != day0 {
		t.Errorf("ten minutes later the session began at %d", pg.began-day0)
	}
	if pg := act(day0 + 2*3_600_000); pg.began != day0+2*3_600_000 {
		t.Errorf("after two hours without an event the session still is the one that began at %d", pg.began-day0)
	}
}
