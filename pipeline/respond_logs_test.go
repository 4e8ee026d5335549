package pipeline

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/response"
)

// busyResponding is busy with everything that can be said of breakers, true and false. The sequence
// says in which order the two logs came.
func busyResponding(seed uint64, n int) (l *logs, sequence []int) {
	g := stream(seed, 10_000, 6)
	g.roles = roles
	l = &logs{}
	scope := func() event.Scope {
		s := event.Scope{Type: event.AgentScope, Tenant: fmt.Sprint("t", g.IntN(2)),
			ID: fmt.Sprint("agent-", g.IntN(6))}
		if g.IntN(3) == 0 {
			s = event.Scope{Type: event.SessionScope, Tenant: s.Tenant, Agent: s.ID, ID: fmt.Sprint("s", g.IntN(2))}
		}
		return s
	}
	for range n {
		line, at := g.event()
		if g.IntN(2) > 0 {
			l.add(mainLog, line, at+100)
			sequence = append(sequence, mainLog)
			if g.IntN(200) == 0 {
				g.now += 8 * 86_400_000
			}
			continue
		}
		s, epoch := scope(), 1+g.Int64N(6)
		wide := response.Breaker{Scope: event.Scope{Type: event.UserScope, Tenant: s.Tenant,
			ID: fmt.Sprint("user-", g.IntN(3))}, Epoch: g.Int64N(3)}
		wide.Trip(response.Order{Action: event.Block, Time: g.now, Issuer: event.Issuer{Type: "human"}}, responseSettings,
			g.now)
		wide.TakeAck(&event.Ack{CommandID: wide.Command, Epoch: wide.Epoch, Time: g.now, Status: event.Applied}, g.now)
		if g.IntN(3) == 0 {
			wide.Restore(event.Issuer{}, "", g.now, responseSettings, g.now)
		}
		fb := event.Feedback{ID: fmt.Sprint("f", g.IntN(40)), Time: at, Tenant: s.Tenant, Type: event.TripFeedback,
			Scope: s, Action: event.Action(1 + g.IntN(5)), By: "alice", Reason: "x"}
		if fb.Action == event.Throttle {
			fb.Rate = event.Rate{Calls: 1, PerSeconds: 1}
		}
		if g.IntN(2) == 0 {
			fb.Type, fb.Action, fb.Rate = event.RestoreFeedback, 0, event.Rate{}
		}
		if g.IntN(4) > 0 {
			fb.Sign(keyOf("alice"))
		}
		ack := event.Ack{CommandID: idOf(s, epoch), Scope: s, Epoch: epoch, Time: at,
			Status: event.AckStatus(1 + g.IntN(5))}
		o := &order{Scope: s, Persona: "clerk", Order: response.Order{Action: event.Action(1 + g.IntN(5)),
			DurationMS: g.Int64N(2) * 60_000, Time: at, Issuer: event.Issuer{Type: "rule"},
			Trigger: event.Ref{Time: at, ID: "e"}, Guarded: true}}
		c := []control{{Kind: controlTrip, Trip: o}, {Kind: controlGate, Tenant: s.Tenant, Persona: "clerk",
			Open: g.IntN(3) > 0}, {Kind: controlWide, State: wide.Append(nil)},
			{Kind: controlAck, Body: ack.Append(nil)},
			{Kind: controlFeedback, Body: fb.Append(nil)}, {Kind: controlExpire, Scope: s, Epoch: epoch,
				Time: day0 + 99*86_400_000}, {Kind: controlMissed, Scope: s, Epoch: epoch, Time: day0 + 99*86_400_000},
			{Kind: controlTick, Time: at}}[g.IntN(8)]
		l.add(controlLog, c.encode(), at)
		sequence = append(sequence, controlLog)
	}
	return l, sequence
}

var responseSettings = &policy.Settings{Enforce: true, StaleMS: 1 << 50, AckMS: 1000, StartMS: 1000}

func TestWhereALogIsCutDoesNotShowInCommands(t *testing.T) {
	set := setOf(t, armed(true, ""))
	for seed := range uint64(6) {
		var want, findings []string
		var state map[string]string
		for try := range uint64(5) {
			l, sequence := busyResponding(seed, 1500)
			r := rand.New(rand.NewPCG(seed, try))
			b := newBehaviour(1, engine(t, 3, 2, set), set, "events")
			var got, found []string
			var at [2]int
			for len(sequence) > 0 {
				// A slice is control first, then events: it ends at the latest where control comes
				// after an event.
				most := []int{len(sequence), 1, 1 + r.IntN(5), 1 + r.IntN(100), 7}[try]
				var n [2]int
				for len(sequence) > 0 && n[0]+n[1] < most && !(sequence[0] == controlLog && n[mainLog] > 0) {
					n[sequence[0]]++
					sequence = sequence[1:]
				}
				if _, err := (&stage{}).apply(b.shard, l.take(&at, n[controlLog], n[mainLog]), day0); err != nil {
					t.Fatal(err)
				}
				b.kept()
				found = append(found, lines(b.findings)...)
				for _, o := range b.out {
					if o.to == toCommands || o.to == toBreakers || o.to == toDLQ || o.to == toFacts &&
						isControlFacts(o.value) {
						got = append(got, fmt.Sprintf("%d %d %s %s", o.to, o.partition, o.key, o.value))
					}
				}
			}
			if try == 0 {
				if want, findings, state = got, found, withoutDeltas(pagesOf(b.shard)); len(want) < 200 {
					t.Fatalf("seed %d: only %d outputs: the test proves nothing", seed, len(want))
				}
				continue
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Fatalf("seed %d, cut %d (-one way +another):\n%s", seed, try, diff)
			}
			if diff := gocmp.Diff(findings, found); diff != "" {
				t.Fatalf("seed %d, cut %d (-one way +another):\n%s", seed, try, diff)
			}
			sameState(t, fmt.Sprintf("seed %d, cut %d", seed, try), state, withoutDeltas(pagesOf(b.shard)))
		}
	}
}

func TestAnUndoneSliceOfCommandsLeavesNoTrace(t *testing.T) {
	set := setOf(t, armed(true, ""))
	undone := 0
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		l, _ := busyResponding(seed, 600)
		b := newBehaviour(1, engine(t, 3, 2, set), set, "events")
		var at [2]int
		now := int64(day0)
		for at != [2]int{len(l.records[0]), len(l.records[1])} {
			now += r.Int64N(20_000)
			want, before := b.image(), at
			n, m := r.IntN(20), r.IntN(20)
			j, err := (&stage{}).apply(b.shard, l.take(&at, n, m), now)
			if err != nil {
				t.Fatal(err)
			}
			breakersIndexed(t, b.shard)
			if r.IntN(2) == 0 {
				b.kept()
				continue
			}
			after, commands := b.image(), len(b.commands)
			if err := b.rollback(); err != nil {
				t.Fatal(err)
			}
			sameState(t, fmt.Sprintf("seed %d, records %v to %v", seed, before, at), want, b.image())
			breakersIndexed(t, b.shard)
			at = before
			again, err := (&stage{}).apply(b.shard, l.take(&at, n, m), now)
			if err != nil || again.digest != j.digest || len(b.commands) != commands {
				t.Fatalf("seed %d, records %v to %v: done again it gives %x, not %x: %v", seed, before, at,
					again.digest, j.digest, err)
			}
			sameState(t, fmt.Sprintf("seed %d, records %v to %v, done again", seed, before, at), after,
				b.image())
			b.kept()
			undone += commands
		}
	}
	if undone < 50 {
		t.Errorf("%d commands were undone: the test proves nothing", undone)
	}
}

// A shard that is put together again from its pages at any place goes on as the one that never
// stopped.
func TestBreakersComeBackFromAnyMarker(t *testing.T) {
	set := setOf(t, armed(true, ""))
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 2))
		l, _ := busyResponding(seed, 700)
		live := newBehaviour(1, engine(t, 3, 2, set), set, "events")
		back := newBehaviour(1, live.rules, set, "events")
		var at [2]int
		now, commands := int64(day0), 0
		for at != [2]int{len(l.records[0]), len(l.records[1])} {
			now += r.Int64N(20_000)
			if r.IntN(4) == 0 { // the machine of the second one dies
				back = newBehaviour(1, live.rules, none, "events")
				restore(t, back.shard, live.image())
				breakersIndexed(t, back.shard)
			}
			slice := l.take(&at, r.IntN(20), r.IntN(20))
			one, err1 := (&stage{}).apply(live.shard, slice, now)
			two, err2 := (&stage{}).apply(back.shard, slice, now)
			if err := errors.Join(err1, err2); err != nil || one.digest != two.digest {
				t.Fatalf("seed %d, at %v: outputs %x and %x, %v", seed, at, one.digest, two.digest, err)
			}
			commands += len(live.commands)
			live.kept()
			back.kept()
			sameState(t, fmt.Sprintf("seed %d, at %v", seed, at), live.image(), back.image())
		}
		if commands < 30 {
			t.Errorf("seed %d: %d commands: the test proves nothing", seed, commands)
		}
	}
}

// What lies on the logs may be anything: it is counted or set aside, never guessed, and nothing
// fails.
func TestControlThatIsNotUnderstoodIsCounted(t *testing.T) {
	set := setOf(t, armed(true, ""))
	agent := event.Scope{Type: event.AgentScope, Tenant: "t1", ID: "a"}
	user := event.Scope{Type: event.UserScope, Tenant: "t1", ID: "u"}
	ordered := func(kind string, s event.Scope) control {
		return control{Kind: kind, Trip: &order{Scope: s, Order: response.Order{Action: event.Block, Time: day0}}}
	}
	bad := ordered(controlTrip, agent)
	bad.Trip.Order.Action = event.Restore
	class := ordered(controlTrip, agent)
	class.Trip.Order.Rate.Classes = []event.Class{event.Delegate + 1}
	for name, c := range map[string]struct {
		c                   control
		behaviour, relation int64 // bad control records
	}{
		"an order that is none":  {control{Kind: controlTrip}, 1, 1},
		"an action that is none": {bad, 1, 1},
		"a class that is none":   {class, 1, 1},
		"an agent's order":       {ordered(controlTrip, agent), 0, 1},
		"a user's order":         {ordered(controlTrip, user), 1, 0},
		"a question":             {ordered(controlAsk, user), 1, 0},
		"a block of a shard that is not": {control{Kind: controlBlocked, Source: 99, Tenant: "t1", Persona: "clerk",
			Hash: 1}, 1, 1},
		"an ack that is none":       {control{Kind: controlAck, Body: []byte(`{"x":1}`)}, 1, 1},
		"a state that is none":      {control{Kind: controlWide, State: []byte{1, 2, 3}}, 1, 1},
		"a kind of a later version": {control{Kind: "later"}, 1, 1},
		"an end of nothing":         {control{Kind: controlExpire, Scope: agent, Epoch: 1, Time: day0}, 0, 0},
		"a scope that is none":      {control{Kind: controlExpire, Scope: event.Scope{Type: 99}}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b, q := newBehaviour(0, engine(t, 2, 1, set), set, "events"), newRelation(0, engine(t, 2, 1, set), set)
			b.begin(day0, true)
			q.begin(day0, true)
			if err := errors.Join(b.step(controlLog, &record{value: c.c.encode(), stamp: day0}),
				q.step(mainLog, &record{value: controlFacts(0, day0, "", c.c), stamp: day0})); err != nil {
				t.Fatal(err)
			}
			if b.counts.badControl != c.behaviour || q.counts.badControl != c.relation {
				t.Errorf("behaviour %d, want %d; relation %d, want %d", b.counts.badControl, c.behaviour,
					q.counts.badControl, c.relation)
			}
		})
	}
}

// A control record may be the first of all facts, before any set is in force.
func TestTheFirstOfAllFactsMayBeAControlRecord(t *testing.T) {
	q := newRelation(0, engine(t, 2, 1), none)
	q.begin(day0, true)
	first := record{value: controlFacts(0, day0, "", control{Kind: controlResume, Time: day0})}
	if err := q.step(mainLog, &first); err != nil || q.judged != day0 {
		t.Errorf("judged up to %d, %v", q.judged, err)
	}
}
