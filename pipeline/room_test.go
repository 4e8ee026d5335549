package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

const forbids = `{"v":1,"personas":[{"name":"clerk","default":"allow","tools":{"deny":["rm"]}}],"limits":[
{"id":"rows-of-a-call","scope":"call","measure":"records","max":"50"},{"id":"agent-calls","scope":"agent","measure":"count","max":"3","window":"1d"}],
"rules":[{"id":"odd-hour","title":"x","where":"tool.name == \"odd\""}]}`

// At a full state whoever is new is held against everything that needs no memory, and its findings
// say what they were made without.
func TestWhoFindsNoRoomIsJudgedWithoutMemory(t *testing.T) {
	set := setOf(t, forbids)
	shared := engine(t, 2, 1, set)
	shared.pageCap = 11
	b := newBehaviour(0, shared, set, "events")
	b.begin(day0, true)
	n := 0
	see := func(agent, tool string, records int64) {
		n++
		b.observe(act(agent, "", tool, n, day0+int64(n)*1000, records), day0+int64(n)*1000)
	}
	for i := range 6 { // of 11 pages of two partitions
		see(fmt.Sprint("old-", i), "search", 1)
	}
	if len(b.findings) > 0 || b.counts.dropped > 0 || !b.full("acme") {
		t.Fatalf("%d findings, %d dropped, full: %v", len(b.findings), b.counts.dropped, b.full("acme"))
	}
	for range 3 { // the same again is told once
		see("new", "rm", 1)
		see("new", "odd", 1)
		see("new", "search", 60)
	}
	see("another", "rm", 1)
	var rules []string
	for _, f := range b.findings {
		rules = append(rules, f.Agent+" "+f.Detector+"/"+f.Rule)
		if !strings.HasPrefix(f.Full, "state is full: ") || !strings.HasSuffix(f.Why, "; "+f.Full) || !f.Incomplete {
			t.Errorf("%s: %q ends without %q", f.Rule, f.Why, f.Full)
		}
	}
	want := []string{"new policy/persona/clerk/tool", "new rule/odd-hour", "new limit/rows-of-a-call",
		"new limit/rows-of-a-call", "new limit/rows-of-a-call", "another policy/persona/clerk/tool"}
	if !slices.Equal(rules, want) {
		t.Errorf("found %q, want %q", rules, want)
	}
	if b.counts.stateless != 10 || tenantPages(b.shard, "acme") != 6 {
		t.Errorf("%d events without memory, %d pages", b.counts.stateless, tenantPages(b.shard, "acme"))
	}
	// Those that are known are still counted, and theirs are findings as ever.
	for range 3 {
		see("old-1", "search", 1)
	}
	if f := b.findings[len(b.findings)-1]; f.Rule != "agent-calls" || f.Full != "" {
		t.Errorf("%s of a known agent: %q", f.Rule, f.Full)
	}
	// Nothing is learned of who has no memory, and it counts as no agent of the persona.
	if b.pageIf([]byte("aacme|new")) != nil || len(b.deltas.gathered) != 1 {
		t.Errorf("a page of it, or %d deltas", len(b.deltas.gathered))
	}
}

// Who invents agents pushes out what has been idle for an hour, longest first, and nobody that is
// at work.
func TestIdlePagesMakeRoomAndNoOthers(t *testing.T) {
	set := setOf(t, forbids)
	shared := engine(t, 1, 1, set)
	shared.pageCap = 100
	b := newBehaviour(0, shared, set, "events")
	b.volatile = true
	b.begin(day0, false)
	n := 0
	see := func(agent string, at int64) {
		n++
		b.observe(act(agent, "", "search", n, at, 1), at)
	}
	for i := range int64(50) { // idle, one after the other
		see(fmt.Sprint("idle-", i), day0+i*1000)
	}
	for m := range int64(300) {
		// honest ones act every minute, five hours long; from the second hour on somebody invents
		// agents
		at := day0 + (m+1)*60_000
		for i := range 20 {
			see(fmt.Sprint("honest-", i), at)
		}
		if m >= 120 {
			for i := range 200 {
				see(fmt.Sprintf("made-up-%d-%d", m, i), at+1000)
			}
		}
		for i := range 20 {
			if b.pageIf(fmt.Appendf(nil, "aacme|honest-%d", i)) == nil {
				t.Fatalf("minute %d: honest-%d was pushed out", m, i)
			}
		}
		if tenantPages(b.shard, "acme") > 100 {
			t.Fatalf("minute %d: %d pages", m, tenantPages(b.shard, "acme"))
		}
	}
	if b.counts.evicted < 50 || b.counts.stateless == 0 {
		t.Errorf("%d have made room, %d events were judged without memory", b.counts.evicted, b.counts.stateless)
	}
	// After hours in which nobody invents any more, whoever is new is remembered again, though
	// nothing was swept yet.
	see("late", day0+305*60_000)
	see("late", day0+364*60_000)
	see("late", day0+365*60_000)
	see("late-2", day0+365*60_000)
	if b.pageIf([]byte("aacme|late-2")) == nil {
		t.Error("idle pages made no room")
	}
}

func TestTheLongestIdleMakesRoomFirst(t *testing.T) {
	set := setOf(t, forbids)
	shared := engine(t, 1, 1, set)
	shared.pageCap = 4
	b := newBehaviour(0, shared, set, "events")
	b.begin(day0, true)
	for i, agent := range []string{"c", "a", "d", "b"} {
		b.observe(act(agent, "", "search", i, day0+int64(i)*60_000, 1), day0+int64(i)*60_000)
	}
	at := int64(day0 + 3_700_000)
	b.observe(act("b", "", "search", 300, day0+3*60_000+1, 1), at)
	b.clock.tick(at)
	for i, gone := range []string{"c", "a", "d", "b"} {
		b.observe(act(fmt.Sprint("new-", i), "", "search", 100+i, at, 1), at)
		for j, agent := range []string{"c", "a", "d", "b"} {
			if have := b.pageIf([]byte("aacme|"+agent)) != nil; have != (j > i) {
				t.Errorf("after %d that are new (%s): %s is remembered: %v", i+1, gone, agent, have)
			}
		}
		at += 60_000
		b.clock.tick(at)
	}
}

// Who invents sessions uses up its own share of the tenant's pages and no more; of its own the
// longest idle make room.
func TestOneAgentsSessionsLeaveRoomForOthers(t *testing.T) {
	set := setOf(t, forbids)
	shared := engine(t, 1, 1, set)
	shared.pageCap = 80
	b := newBehaviour(0, shared, set, "events")
	b.begin(day0, true)
	for i := range 500 {
		at, tool := int64(day0+i*1000), "search"
		if i == 400 {
			tool = "odd"
		}
		b.observe(act("many", fmt.Sprint("s", i), tool, i, at, 1), at)
	}
	if got := tenantPages(b.shard, "acme"); got != 11 {
		t.Errorf("one agent has %d pages of 80, want 10 sessions and its own", got)
	}
	last := b.findings[len(b.findings)-1]
	if !strings.Contains(last.Full, "10 sessions of this agent") || b.counts.stateless > 0 {
		t.Errorf("a session beyond: %q", last.Full)
	}
	// Hours later they are over, and make room for those that go on.
	at := int64(day0 + 3*3_600_000)
	b.clock.tick(at)
	for i := range 5 {
		b.observe(act("many", fmt.Sprint("later", i), "search", 1000+i, at+int64(i)*20_000, 1), at+int64(i)*20_000)
	}
	if b.pageIf([]byte("sacme|many|later4")) == nil || tenantPages(b.shard, "acme") != 11 {
		t.Errorf("sessions that are over make no room: %d pages", tenantPages(b.shard, "acme"))
	}
}

// Of a full tenant, too, an agent is stopped.
func TestAFullStateStopsWhomItShould(t *testing.T) {
	set := setOf(t,
		`{"v":1,"response":[{"enforce":true}],"personas":[{"name":"clerk","default":"allow","tools":{"deny":["rm"]},"respond":{"action":"block","scope":"agent","duration":"15m"}}]}`)
	shared := engine(t, 1, 1, set)
	shared.pageCap = 8
	b := newBehaviour(0, shared, set, "events")
	b.begin(day0, true)
	for i := range 8 {
		b.observe(act(fmt.Sprint("a", i), "", "search", i, day0, 1), day0)
	}
	for i := range 100 {
		// one is stopped; of a hundred that are made up no more than the reserve has room for
		b.observe(act(fmt.Sprint("x", i), "", "rm", 100+i, day0, 1), day0)
	}
	if len(b.commands) != 2 || tenantPages(b.shard, "acme") != 10 {
		t.Errorf("%d commands, %d pages", len(b.commands), tenantPages(b.shard, "acme"))
	}
}

func TestATenantThatUsesUpItsPagesHarmsNobodyElse(t *testing.T) {
	set := setOf(t, strict)
	shared := engine(t, 1, 1, set)
	shared.pageCap = 20
	b := newBehaviour(0, shared, set, "events")
	b.begin(0, true)
	for i := range 100 {
		b.observe(&event.Event{ID: fmt.Sprint(i), Time: day0, Kind: event.ToolCall, Tenant: "greedy",
			Agent: event.Agent{ID: fmt.Sprint("a", i)}}, day0)
	}
	b.observe(&event.Event{ID: "x", Time: day0, Kind: event.ToolCall, Tenant: "modest", Agent: event.Agent{ID: "a"}},
		day0)
	greedy, modest := tenantPages(b.shard, "greedy"), tenantPages(b.shard, "modest")
	if greedy != 20 || modest != 1 || b.counts.dropped != 80 {
		t.Errorf("pages %d and %d, %d dropped", greedy, modest, b.counts.dropped)
	}
}
