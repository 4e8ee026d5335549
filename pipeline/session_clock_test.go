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
	for key := range every(b.shard) {
		if key[0] == sessionKind && strings.Contains(key, "slow") {
			sessions++
		}
	}
	if sessions != 0 {
		t.Error("a session that has been idle for two days is remembered")
	}
}
