package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

// An attacker who makes every agent of a persona misbehave must not be able to switch them all off.
func TestAThousandAgentsThatMisbehaveAreNotAllBlocked(t *testing.T) {
	for _, x := range []struct {
		name   string
		guard  string
		calm   int // agents of the persona that did nothing wrong, before
		made   bool
		most   int64
		atOnce bool
	}{
		{"two at a time", `,"guard":{"percent":"0"}`, 0, false, 2, false},
		{"all within one slice", `,"guard":{"percent":"0"}`, 0, false, 2, true},
		{"five percent of the active agents", "", 600, false, 80, false}, // those that misbehave act, too
		{"none", `,"guard":{"least":"0","percent":"0"}`, 0, false, 0, false},
		{"made-up personas share one guard", `,"guard":{"percent":"0"}`, 0, true, 2, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			def := strings.Replace(armed(true, x.guard), `"duration":"1m"`, `"duration":"until_restored"`, 1)
			if x.made { // no persona of the set: the inventory stops who is not registered
				def = strings.Replace(armed(true, x.guard), `"action":"escalate"`, `"action":"block"`, 1)
			}
			c := newBothStages(t, 1, 4, 2, setOf(t, def))
			send := func(agent, persona, tool string) {
				c.now++
				c.send(fmt.Appendf(nil,
					`{"id":"e%d","time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":%q},"session":"s1","persona":%q,"tool":{"name":%q},"result":{"outcome":"ok"}}`,
					c.now, c.now, agent, persona, tool))
				if !x.atOnce && c.IntN(3) == 0 {
					c.step()
				}
			}
			for i := range x.calm {
				send(fmt.Sprintf("agent-0-calm-%d", i), "clerk", "search")
			}
			pass := func(ms int64) { // every source says how far it is
				c.settle()
				c.now += ms
				for p := range c.behaviours {
					c.logs[p].add(controlLog, control{Kind: controlTick, Time: c.now}.encode(), c.now)
				}
				c.settle()
			}
			pass(60_000)
			persona := func(i int) string {
				if x.made {
					return fmt.Sprint("made-up-", i)
				}
				return "clerk"
			}
			for range 3 {
				for i := range 1000 {
					send(fmt.Sprintf("agent-0-bad-%d", i), persona(i), "rm")
				}
				pass(60_000)
			}
			c.consistent()
			most := int64(0)
			for n, open := int64(0), map[string]bool{}; len(c.all) > 0; c.all = c.all[1:] {
				if k := c.all[0]; k.Action == event.Block && k.Issuer.Type == "rule" && !open[k.Scope.Key()] {
					open[k.Scope.Key()] = true
					n++
					most = max(most, n)
				}
			}
			if shards := int64(4); most > x.most+shards-1 || most < x.most {
				t.Errorf("%d are blocked, want %d and at most %d more", most, x.most, shards-1)
			}
			escalated := 0
			for key, list := range c.commands {
				if last := list[len(list)-1]; strings.Contains(key, "calm") {
					continue
				} else if last.Action == event.Escalate {
					escalated++
				} else if last.Action != event.Block {
					t.Errorf("%+v", last)
				}
			}
			if want := 1000 - int(most); escalated != want && !(x.made && escalated > want) {
				t.Errorf("%d are escalated, want %d", escalated, want)
			}
		})
	}
}

// When blocks end there is room again, on every shard.
func TestAGuardOpensAgainWhenBlocksEnd(t *testing.T) {
	c := newBothStages(t, 1, 3, 2, setOf(t, armed(true, `,"guard":{"percent":"0"}`)))
	bad := func(i int) {
		c.now++
		c.send(fmt.Appendf(nil,
			`{"id":"e%d","time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":"agent-0-%d"},"session":"s1","persona":"clerk","tool":{"name":"rm"}}`,
			c.now, c.now, i))
		c.settle()
	}
	blocks := func() (n int) {
		for _, list := range c.commands {
			if list[len(list)-1].Action == event.Block {
				n++
			}
		}
		return n
	}
	for i := range 20 {
		bad(i)
	}
	if n := blocks(); n != 2 {
		t.Fatalf("%d blocks at a time when they come one by one, want 2", n)
	}
	for round := range 5 {
		c.now += 61_000
		for range 4 {
			c.expireBreakers(false)
			c.settle()
		}
		if n := blocks(); n != 0 {
			t.Fatalf("round %d: %d blocks after their end", round, n)
		}
		for i := range 20 {
			bad(100*(round+1) + i)
		}
		if n := blocks(); n != 2 {
			t.Fatalf("round %d: %d blocks, want 2 again", round, n)
		}
	}
}

// A broadcast that there is room again must not let a shard add a second block before its first was
// counted.
func TestABroadcastIsNoAnswerToABlock(t *testing.T) {
	set := setOf(t, armed(true, ""))
	b := newBehaviour(0, engine(t, 1, 1, set), set, "events")
	b.begin(day0, true)
	bad := func(i int) {
		if err := b.step(mainLog, &record{offset: int64(i), stamp: day0, value: fmt.Appendf(nil,
			`{"id":"e%d","time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":"agent-0-%d"},"persona":"clerk","tool":{"name":"rm"}}`,
			i, day0, i)}); err != nil {
			t.Fatal(err)
		}
	}
	last := func() event.Action { return b.commands[len(b.commands)-1].Action }
	offset := int64(0)
	gate := func(hash uint64, open bool) {
		offset++
		if err := b.step(controlLog, &record{offset: offset, value: control{Kind: controlGate, Tenant: "t1",
			Persona: "clerk", Hash: hash, Open: open}.encode()}); err != nil {
			t.Fatal(err)
		}
	}
	// sent is the block about which the shard asked the guard last.
	sent := func() (hash uint64) {
		for _, o := range b.out {
			if o.to != toFacts || !isControlFacts(o.value) {
				continue
			}
			_, body, err := readFactsHead(o.value)
			if err != nil {
				t.Fatal(err)
			}
			if c, err := readControl(body.B); err == nil && c.Kind == controlBlocked {
				hash = c.Hash
			}
		}
		return hash
	}
	for i, step := range []struct {
		before func()
		want   event.Action
	}{
		{func() {}, event.Block},
		{func() {}, event.Escalate},
		// room, but the first is not counted
		{func() { gate(0, true) }, event.Escalate},
		{func() { gate(12345, true) }, event.Escalate}, // somebody else's
		// counted, and that was the last
		{func() { gate(sent(), false) }, event.Escalate},
		{func() { gate(0, true) }, event.Block},     // room again
		{func() { gate(0, false) }, event.Escalate}, // full
		// counted, and there is room
		{func() { gate(sent(), true) }, event.Block},
		{func() { gate(sent(), true); gate(0, true) }, event.Block}, // twice is once
	} {
		step.before()
		if bad(i); last() != step.want {
			t.Errorf("step %d: %s, want %s", i, last(), step.want)
		}
	}
}
