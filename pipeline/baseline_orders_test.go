package pipeline

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
)

// registry is both stages whose baselines are published and read, one agent of which works every day.
type registry struct {
	*bothStages
	snapshotCache *snapshotCache
	n             int
	topic         map[string]bool // keys of snapshots that a compacted topic of baselines still has
}

func newRegistry(t *testing.T) *registry {
	r := &registry{topic: map[string]bool{}, bothStages: newBothStages(t, 1, 1, 1, setOf(t, armed(true, "")))}
	r.snapshotCache = newSnapshotCache(t.Context(), nil, nil, "wayward.baselines", r.rules.facts,
		slog.New(slog.DiscardHandler))
	r.behaviours[0].models = r.snapshotCache
	r.committed = func(outs []output) {
		for _, o := range outs {
			if o.to == toBaselines {
				r.snapshotCache.take(o.key, o.value)
				if delete(r.topic, string(o.key)); o.value != nil && o.key[0] == 's' {
					r.topic[string(o.key)] = true
				}
			}
		}
	}
	return r
}

// work is one event at hours after midnight, in a session of its own that ends with it; it returns
// by what it was judged.
func (r *registry) work(hours float64) *baselines.Model {
	r.Helper()
	r.n++
	r.now = midnight + int64(hours*hour)
	r.send(fmt.Appendf(nil,
		`{"id":"e%d","time":%d,"kind":"message","tenant":"t1","agent":{"id":"agent-0"},"session":"s%d","persona":"clerk"}`,
		r.n, r.now, r.n))
	r.settle()
	return r.behaviours[0].event.scene.Base
}

func (r *registry) day(n int) {
	for h := range 10 {
		r.work(float64(24*n + 3 + h))
	}
	r.work(float64(24*n+24) + 0.5)
	r.work(float64(24*n+24) + 0.9) // the day is closed
}

func (r *registry) order(o event.BaselineOrder) (refused string) {
	r.Helper()
	r.n++
	before := fmt.Sprint(r.dead)
	f := event.Feedback{ID: fmt.Sprint("o", r.n), Time: r.now, Tenant: "t1", Type: event.BaselineFeedback,
		Scope: event.Scope{Type: event.PersonaScope, ID: "clerk", Tenant: "t1"}, Baseline: &o, By: "alice"}
	f.Sign(keyOf("alice"))
	r.viaIngress("agent.feedback", f.Append(nil))
	r.settle()
	if after := fmt.Sprint(r.dead); after != before {
		return after
	}
	return ""
}

func TestWhatPeopleOrderAboutABaseline(t *testing.T) {
	r := newRegistry(t)
	if why := r.order(event.BaselineOrder{Op: "freeze"}); !strings.Contains(why, "no_baseline") {
		t.Errorf("an order about nothing: %q", why)
	}
	for n := range 3 {
		r.day(n)
	}
	day := func(n int64) string { return dateOf(midnight/baselines.DayMS + n) }
	good := r.work(3*24 + 1.1)
	if good == nil || good.AgentDays == 0 || good.Day != midnight/baselines.DayMS+2 {
		t.Fatalf("after three days: %+v", good)
	}
	if why := r.order(event.BaselineOrder{Op: "suspect"}); why != "" {
		t.Fatal(why)
	}
	if m := r.work(3*24 + 1.2); m.State != baselines.Suspect || m.AgentDays != good.AgentDays || m.Day != good.Day {
		t.Errorf("suspected: %s, %d agent-days", m.State, m.AgentDays)
	}
	r.day(3)
	if m := r.work(4*24 + 1.1); m.State != baselines.Suspect || m.AgentDays != good.AgentDays {
		t.Errorf("the next day it has learned, or is trusted again: %s, %d agent-days", m.State, m.AgentDays)
	}
	if why := r.order(event.BaselineOrder{Op: "unfreeze"}); why != "" {
		t.Fatal(why)
	}
	r.day(4)
	learned := r.work(5*24 + 1.1)
	if learned.State == baselines.Suspect || learned.AgentDays <= good.AgentDays {
		t.Errorf("it does not learn again: %s, %d agent-days", learned.State, learned.AgentDays)
	}
	if why := r.order(event.BaselineOrder{Op: "rollback", Day: day(-1)}); !strings.Contains(why, "no_snapshot") {
		t.Errorf("back to a day without a snapshot: %q", why)
	}
	if why := r.order(event.BaselineOrder{Op: "rollback", Day: day(2), Hash: "0123"}); !strings.Contains(why,
		"no_snapshot:2") {
		t.Errorf("back to another snapshot: %q", why)
	}
	if why := r.order(event.BaselineOrder{Op: "rollback", Day: day(1)}); why != "" {
		t.Fatal(why)
	}
	back := r.work(5*24 + 1.2)
	if back.AgentDays >= good.AgentDays || back.Day != learned.Day {
		t.Errorf("rolled back to the second day: %d agent-days of day %s", back.AgentDays, dateOf(back.Day))
	}
	// It is state: a shard that comes back from its pages judges as before.
	again := newBehaviour(0, r.rules, none, "events")
	again.models = r.snapshotCache
	restore(t, again.shard, r.behaviours[0].image())
	r.behaviours[0] = again
	if m := r.work(5*24 + 1.3); m.Hash() != back.Hash() {
		t.Errorf("after a restart it is judged by %s, not %s", m.Hash(), back.Hash())
	}
	if why := r.order(event.BaselineOrder{Op: "freeze"}); why != "" {
		t.Fatal(why)
	}
	r.day(5)
	if m := r.work(6*24 + 1.1); !m.Frozen || m.AgentDays != back.AgentDays {
		t.Errorf("frozen, it learns: %v, %d agent-days", m.Frozen, m.AgentDays)
	}
	if why := r.order(event.BaselineOrder{Op: "freeze"}); !strings.Contains(why, "nothing_changes") {
		t.Errorf("frozen twice: %q", why)
	}
	if why := r.order(event.BaselineOrder{Op: "approve", Item: "x"}); !strings.Contains(why, "nothing_waits") {
		t.Errorf("approving nothing: %q", why)
	}
	if why := r.order(event.BaselineOrder{Op: "reset"}); why != "" {
		t.Fatal(why)
	}
	if m := r.work(6*24 + 1.2); m != nil {
		t.Errorf("reset, it is judged by %s", m.Snapshot())
	}
	r.day(6)
	if m := r.work(7*24 + 1.1); m == nil || m.First != midnight/baselines.DayMS+6 {
		t.Errorf("it does not begin anew: %+v", m)
	}
}

func TestAnEventWaitsForTheDayThatItNeeds(t *testing.T) {
	r := newRegistry(t)
	r.day(0)
	r.work(25.1)
	b := r.behaviours[0]
	r.now = midnight + 50*hour
	value := fmt.Appendf(nil,
		`{"id":"late","time":%d,"kind":"message","tenant":"t1","agent":{"id":"agent-0"},"persona":"clerk"}`, r.now)
	want := b.image()
	r.send(value)
	at := r.at[0]
	slice := r.logs[0].take(&r.at[0], 0, 9)
	_, err := (&stage{}).apply(b.shard, slice, r.now)
	gap, step := (*missing)(nil), (*stepError)(nil)
	if !errors.As(err, &gap) || !errors.As(err, &step) || step.log != mainLog || step.index != 0 ||
		gap.day != midnight/baselines.DayMS+1 {
		t.Fatalf("it does not wait for its day: %v", err)
	}
	w := awaitsBaseline(b.shard, err)
	if err := b.rollback(); err != nil {
		t.Fatal(err)
	}
	sameState(t, "the event that waits", want, b.image())
	r.at[0] = at
	// Its time goes on by a record of its own, closes the day, and is not the event.
	hold := r.logs[0].records[mainLog]
	r.logs[0].records[mainLog] = hold[:at[mainLog]]
	r.logs[0].add(controlLog, control{Kind: controlWait, Time: w.at, Hash: w.agent}.encode(), r.now)
	r.settle()
	r.logs[0].records[mainLog] = hold
	r.settle()
	if m := b.event.scene.Base; m == nil || m.Day != midnight/baselines.DayMS+1 || r.at[0][mainLog] != len(hold) {
		t.Errorf("it was judged by %+v", m)
	}
}

// sure is a snapshot cache that must have what it is said to have had.
type sure struct {
	*snapshotCache
	t *testing.T
}

func (s sure) must(k baselines.Key, day int64, ruled rulingFunc) (*baselines.Model, error) {
	m, err := s.find(k, day, ruled)
	if err != nil {
		s.t.Errorf("a session that ends asks for what its events were not judged by: %v", err)
		return nil, nil
	}
	return m, nil
}

func TestASessionOfAWrongClockEnds(t *testing.T) {
	r := newRegistry(t)
	r.day(0)
	b := r.behaviours[0]
	b.models = sure{r.snapshotCache, t}
	r.work(25.1)
	// One agent among others says that it is days later: nobody confirms it, and no day is over.
	// Then the session is stopped, or begins anew.
	for i, h := range []float64{25.2, 30, 100, 26, 26.1} {
		r.now = midnight + int64(h*hour)
		r.send(fmt.Appendf(nil,
			`{"id":"wrong%d","time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":"agent-1"},"session":"s","persona":"clerk","tool":{"name":"search"}}`,
			i, r.now))
		r.settle()
		r.work(25.3 + float64(i)/10)
	}
	r.now = midnight + int64(100.1*hour)
	r.send(fmt.Appendf(nil,
		`{"id":"end","time":%d,"kind":"session","phase":"end","tenant":"t1","agent":{"id":"agent-1"},"session":"s","persona":"clerk"}`,
		r.now))
	r.settle()
	ended := 0
	for key, pg := range every(t, b.shard) {
		if key[0] == sessionKind && strings.HasSuffix(key, "agent-1|s") && !pg.session().going {
			ended++
		}
	}
	if ended != 1 {
		t.Errorf("%d sessions of the wrong clock have ended", ended)
	}
}

// A snapshot that a person changes is another one, under a key of its own: what it replaced goes
// from the topic with its day, or with all if the baseline is reset.
func TestWhatAPersonReplacedGoesFromTheTopicWithItsDay(t *testing.T) {
	const most = 32 // versions of a day that are remembered
	r := newRegistry(t)
	of := func(day int64) (n int) {
		for key := range r.topic {
			if strings.HasPrefix(key, fmt.Sprintf("s|t1|clerk||%d|", midnight/baselines.DayMS+day)) {
				n++
			}
		}
		return n
	}
	for n := range 2 {
		r.day(n)
	}
	for i := range most + 8 {
		if why := r.order(event.BaselineOrder{Op: []string{"freeze", "suspect", "unfreeze"}[i%3]}); why != "" &&
			!strings.Contains(why, "nothing_changes") {
			t.Fatal(why)
		}
	}
	if n := of(1); n < 3 || n > most+1 {
		t.Errorf("%d versions of the day: whoever has not yet read of a change needs the one before", n)
	}
	if why := r.order(event.BaselineOrder{Op: "rollback", Day: dateOf(midnight / baselines.DayMS)}); why != "" {
		t.Fatal(why)
	}
	for n := 2; n < keptDays+3; n++ {
		r.day(n)
	}
	if n := of(1); n != 0 {
		t.Errorf("%d versions of a day that is no longer kept", n)
	}
	if n := of(keptDays + 1); n != 1 {
		t.Errorf("%d versions of a day that nobody touched", n)
	}
	r.order(event.BaselineOrder{Op: "freeze"})
	if why := r.order(event.BaselineOrder{Op: "reset"}); why != "" {
		t.Fatal(why)
	}
	for key := range r.topic {
		if strings.HasPrefix(key, "s|t1|clerk||") {
			t.Errorf("after a reset there still is %s", key)
		}
	}
}
