package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/baselines"
)

// A session in use is not forgotten because clocks of its partition are days ahead: its limit
// counts on from one call to the next, 25 minutes later.
func TestASessionInUseIsNotForgottenWhereClocksAreAhead(t *testing.T) {
	set := setOf(t, `{"v":1,"limits":[{"id":"calls","scope":"session","measure":"count","max":"6"}]}`)
	b := newBehaviour(0, engine(t, 1, 1, set), set, "agent.events")
	b.begin(1, true)
	n := 0
	act := func(agent, session string, at int64) {
		t.Helper()
		n++
		r := record{offset: int64(n), stamp: midnight + 30*baselines.DayMS, value: fmt.Appendf(nil,
			`{"id":"f%d","time":%d,"kind":"tool_call","tenant":"t","agent":{"id":%q},"session":%q,"persona":"clerk","tool":{"name":"search"}}`,
			n, at, agent, session)}
		if err := b.step(mainLog, &r); err != nil {
			t.Fatal(err)
		}
	}
	const ahead = 3 * baselines.DayMS
	const step = 25 * 60_000   // after half an hour it would be another session
	for h := range int64(10) { // two agents agree that it is three days later
		act("slow", "long", midnight+h*step)
		act("fast-1", "a", midnight+ahead+h*step)
		act("fast-2", "b", midnight+ahead+h*step+1000)
	}
	if mark := b.clock.watermark(); mark < midnight+ahead {
		t.Fatalf("the partition's clock is at hour %d: nothing is ahead", (mark-midnight)/hour)
	}
	found := map[string]int{}
	for _, f := range b.findings {
		found[f.ScopeID]++
	}
	if found["long"] == 0 || found["a"] == 0 || found["b"] == 0 {
		t.Errorf("sessions of ten calls that crossed a limit of six: %v", found)
	}
	// One that nobody uses any more is forgotten all the same.
	for h := int64(10); h < 60; h++ {
		act("fast-1", "a", midnight+ahead+h*hour)
		act("fast-2", "b", midnight+ahead+h*hour+1000)
	}
	sessions := 0
	for key := range pagesOf(b.shard) {
		if key[0] == sessionKind && strings.Contains(key, "slow") {
			sessions++
		}
	}
	if sessions != 0 {
		t.Error("a session that has been idle for two days is remembered")
	}
}

// Pages that nobody asks for are as they were when somebody does, and an agent that goes on holds no
// session that has been forgotten.
func TestDaysOfAnotherAgentChangeNoPage(t *testing.T) {
	set := setOf(t, strict)
	b := newBehaviour(0, engine(t, 1, 1, set), set, "events")
	b.volatile = true
	events := crowd(4000, 40)
	b.begin(day0, false)
	for i := range events {
		b.observe(&events[i], day0+86_400_000)
	}
	before := pagesOf(b.shard)
	again := events[0]
	for h := range int64(50) { // one goes on, without a session
		again.ID, again.Time, again.Session = fmt.Sprint("later-", h), day0+(h+1)*3_600_000, ""
		b.observe(&again, day0+100*3_600_000)
	}
	one := string(appendAgentKey(nil, &again))
	others := 0
	for key, body := range pagesOf(b.shard) {
		if key[0] != agentKind || key == one {
			continue
		}
		if others++; body != before[key] {
			t.Fatalf("page %q has changed", key)
		}
	}
	if others < 30 {
		t.Fatalf("only %d other agents are known", others)
	}
	if pg := b.pageIf([]byte(one)); pg == nil || pg.agent().last != nil {
		t.Error("an agent holds a session that is not there any more")
	}
}
