package pipeline

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/response"
)

// Both stages as machines, wired by their logs as Kafka would: what is asked of breakers, of whom,
// and what comes of it.

func TestWhateverHappensCommandsAndBreakersAgree(t *testing.T) {
	acted, refusals, acks := map[string]int{}, map[string]int{}, map[[2]string]int64{}
	for seed := range uint64(15) {
		c := newBothStages(t, seed, 3, 2, setOf(t, armed(true, "")))
		c.aborts = true
		g := stream(seed, 5000, 10)
		g.roles, g.step = roles, 2500
		expected := map[string]int{}
		for range 400 {
			for range c.IntN(4) {
				line, at := g.event()
				c.now = max(c.now, at)
				c.send(line)
			}
			before := len(c.all)
			for range c.IntN(6) {
				c.step()
			}
			c.sendAcks(before)
			if c.IntN(3) == 0 {
				c.expireBreakers(true)
			}
			if c.IntN(5) == 0 {
				f := event.Feedback{Type: event.TripFeedback,
					Scope: event.Scope{Type: event.AgentScope, Tenant: fmt.Sprint("t", c.IntN(2)),
						ID: fmt.Sprint("agent-", c.IntN(12))}}
				switch c.IntN(4) {
				case 0:
					f.Scope.Type, f.Scope.ID = event.UserScope, fmt.Sprint("user-", c.IntN(3))
				case 1:
					f.Scope.Type, f.Scope.ID, f.Scope.Agent = event.SessionScope, fmt.Sprint("s", c.IntN(2)), f.Scope.ID
				case 2:
					f.Scope = event.Scope{Type: event.GlobalScope, ID: "*"}
				}
				if c.IntN(2) == 0 && len(c.all) > 0 {
					f.Type, f.Scope = event.RestoreFeedback, c.all[c.IntN(len(c.all))].Scope
				}
				if reason := c.sendFeedback(c.IntN(9), f); reason != "" {
					expected[reason]++
				}
			}
			c.consistent()
		}
		c.settle()
		c.now += 3_600_000 // everything that ends ends
		for range 25 {
			c.expireBreakers(false)
			c.settle()
		}
		c.consistent()
		c.guarded(rolesOf, 2)
		for _, k := range c.all {
			acted[k.Action.String()+" "+k.Scope.Type.String()+" "+k.Issuer.Type]++
		}
		for reason, n := range c.dead {
			refusals[reason] += n
		}
		for _, reason := range []string{"unsigned", "unknown_key", "bad_signature", "stale_feedback", "wrong_tenant",
			"replayed"} {
			if c.dead[reason] != expected[reason] {
				t.Errorf("seed %d: %d dead letters of %s, want %d", seed, c.dead[reason], reason, expected[reason])
			}
		}
		for k, n := range c.counted {
			acks[k] += n
		}
		for key, list := range c.commands {
			if last := list[len(list)-1]; last.Action != event.Restore && last.DurationMS > 0 &&
				last.IssuedAt+last.DurationMS <= c.now {
				t.Errorf("seed %d: %s was to end: %+v", seed, key, last)
			}
		}
	}
	for _, want := range []string{"block agent rule", "kill session rule", "block user rule", "throttle tool rule",
		"throttle agent rule", "kill user rule", "escalate agent rule", "block agent human", "block session human",
		"block global human", "block user human", "restore agent human",
		"restore agent expiry", "restore user expiry", "restore tool expiry", "restore session human"} {
		if acted[want] < 5 {
			t.Errorf("%q happened %d times: the test proves nothing", want, acted[want])
		}
	}
	for _, want := range []string{"unsigned", "unknown_key", "bad_signature", "stale_feedback", "wrong_tenant",
		"replayed", "not_open", "not_stronger"} {
		if refusals[want] == 0 {
			t.Errorf("nothing was refused as %s: the test proves nothing", want)
		}
	}
	for _, want := range [][2]string{{"acks", "unknown"}, {"acks", "stale"}, {"acks", "repeated"}, {"acks", "missed"},
		{"acks", "applied"}, {"acks", "rejected"}, {"refused", "clock"}, {"guarded", "block"}, {"guarded", "shut"}} {
		if acks[want] == 0 {
			t.Errorf("%v was never counted: the test proves nothing", want)
		}
	}
}

// What the relation stage is asked hours late becomes a question to a human, not a block: its own
// log says how late it is.
func TestAWideOrderOutOfABacklogEscalates(t *testing.T) {
	const hour = 3_600_000
	for name, c := range map[string]struct {
		lag  int64
		want event.Action
	}{"at once": {100, event.Block}, "an hour later": {hour, event.Escalate}} {
		t.Run(name, func(t *testing.T) {
			x := newBothStages(t, 1, 2, 2, setOf(t, armed(true, "")))
			x.send(fmt.Appendf(nil,
				`{"id":"e","time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":"agent-2"},"user":"u","persona":"porter","tool":{"name":"rm"}}`,
				day0))
			for p := range x.behaviours {
				for x.at[p] != [2]int{len(x.logs[p].records[0]), len(x.logs[p].records[1])} {
					x.applyBehaviour(p)
				}
			}
			x.now += c.lag // the relation stage was away
			x.settle()
			list := x.commands["t1|user|u"]
			if len(list) != 1 || list[0].Action != c.want || list[0].IssuedAt != x.now {
				t.Errorf("%+v", list)
			}
		})
	}
}

// Orders on one scope come from many shards, and from findings about other scopes; one shard owns
// it.
func TestEveryScopeHasOneOwner(t *testing.T) {
	set := setOf(t,
		`{"v":1,"personas":[{"name":"p","default":"deny","tools":{"allow":["good"]},"respond":{"action":"block","scope":"server","duration":"1m"}}],"inventory":[{"kind":"tool","names":["known"]},{"kind":"settings","respond":{"action":"kill","scope":"server","duration":"2m"}}],"response":[{"enforce":true}]}`)
	for seed := range uint64(10) {
		c := newBothStages(t, seed, 3, 4, set)
		for i := range 60 {
			c.now += 1000
			c.send(fmt.Appendf(nil,
				`{"id":"e%d","time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":"agent-%d"},"persona":"p","tool":{"name":"tool|%d","server":"srv-%d"}}`,
				i, c.now, i%7, i%5, i%3))
			c.step()
		}
		c.settle()
		c.now += 60_000
		for p := range c.behaviours {
			c.logs[p].add(controlLog, control{Kind: controlTick, Time: c.now}.encode(), c.now)
		}
		c.settle()
		c.consistent()
		if len(c.commands) != 3 {
			t.Fatalf("commands about %v, want three servers", slices.Sorted(maps.Keys(c.commands)))
		}
		for key, list := range c.commands {
			if list[0].Action != event.Block || list[len(list)-1].Action != event.Kill {
				t.Errorf("%s: %+v", key, list)
			}
		}
	}
}

// An agent that acts after a gateway said that it is stopped is found, whatever is stopped: itself,
// its session, or something wider.
func TestActingAgainstAnAppliedBreakerIsFound(t *testing.T) {
	for name, scope := range map[string]event.Scope{
		"agent":   {Type: event.AgentScope, Tenant: "t1", ID: "agent-1"},
		"session": {Type: event.SessionScope, Tenant: "t1", Agent: "agent-1", ID: "s1"},
		"user":    {Type: event.UserScope, Tenant: "t1", ID: "u1"},
		"tool":    {Type: event.ToolScope, Tenant: "t1", ID: "crm|search"},
		"global":  {Type: event.GlobalScope, ID: "*"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newBothStages(t, 1, 2, 2, setOf(t, armed(true, "")))
			var found []string
			act := func(more string) {
				c.now += 5000
				c.send(fmt.Appendf(nil,
					`{"id":"e%d","time":%d,"tenant":"t1","agent":{"id":"agent-1"},"user":"u1","session":"s1","persona":"clerk","tool":{"name":"search","server":"crm"},%s}`,
					c.now, c.now, more))
				for p, b := range c.behaviours {
					for c.at[p] != [2]int{len(c.logs[p].records[0]), len(c.logs[p].records[1])} {
						c.applyBehaviour(p)
						for _, f := range b.findings {
							if f.Detector == response.Detector {
								found = append(found, fmt.Sprintf("%s %d ×%d by %s", f.Rule, f.Activity, f.Count,
									f.Agent))
							}
						}
					}
				}
				c.settle()
			}
			const call = `"kind":"tool_call"`
			act(call)
			f := event.Feedback{Type: event.TripFeedback, Scope: scope}
			c.sendFeedback(0, f)
			c.settle()
			act(call) // nobody has applied it
			k := c.commands[scope.Key()][0]
			ack := event.Ack{CommandID: k.ID, Scope: scope, Epoch: 1, Time: c.now, Status: event.Applied}
			c.viaIngress("agent.acks", ack.Append(nil))
			c.settle()
			if s, err := event.ParseBreaker(c.breakers[scope.Key()]); err != nil || s.Enforced != "applied" {
				t.Fatalf("%+v %v", s, err)
			}
			for _, quiet := range []string{call + `,"result":{"outcome":"denied"}`,
				call + `,"phase":"attempt","call":"c"`, `"kind":"message"`, call + `,"policy":{"verdict":"deny"}`} {
				act(quiet)
			}
			if len(found) != 0 {
				t.Fatalf("found %v", found)
			}
			act(call)
			act(call + `,"result":{"outcome":"error"}`)
			f.Type = event.RestoreFeedback
			c.sendFeedback(0, f)
			c.settle()
			act(call)
			if diff := gocmp.Diff([]string{"acts-after-applied 1 ×1 by agent-1", "acts-after-applied 2 ×2 by agent-1"},
				found); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if c.breakers[scope.Key()] != nil {
				t.Error("no tombstone after a restore")
			}
		})
	}
}
