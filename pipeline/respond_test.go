package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/formats"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/response"
)

// Both stages as machines, wired by their logs as Kafka would: what is asked of breakers, of whom,
// and what comes of it.

// idOf is the id of a command.
func idOf(s event.Scope, epoch int64) string {
	b := &response.Breaker{Scope: s, Epoch: epoch - 1, Action: event.Observe}
	c, _ := b.Restore(event.Issuer{}, "", 0, none.Response(), 0)
	return c.ID
}

// city is a small installation: shards of both stages, and their logs.
type city struct {
	testing.TB
	*rand.Rand
	rules      *rules
	set        *policy.Set
	now        int64
	behaviours []*behaviour
	relations  []*relation
	logs       []*logs // of the behaviours
	at         [][2]int
	facts      [][]record
	heard      []int // facts that each relation has applied
	answers    map[string]converter

	commands  map[string][]event.Command // by scope's key
	breakers  map[string][]byte
	all       []event.Command
	dead      map[string]int
	counted   map[[2]string]int64
	aborts    bool
	committed func(outs []output)
}

func newCity(t testing.TB, seed uint64, sources, facts int32, set *policy.Set) *city {
	c := &city{TB: t, Rand: rand.New(rand.NewPCG(seed, 5)), rules: engine(t, sources, facts, set), set: set, now: day0,
		at: make([][2]int, sources), facts: make([][]record, facts), heard: make([]int, facts),
		commands: map[string][]event.Command{}, breakers: map[string][]byte{}, dead: map[string]int{},
		counted: map[[2]string]int64{}}
	cfg := &Config{Topics: broker.DefaultTopics()}
	c.answers = cfg.answers(c.rules)
	for p := range sources {
		c.behaviours = append(c.behaviours, newBehaviour(p, c.rules, set, "agent.events"))
		c.logs = append(c.logs, &logs{})
	}
	for q := range facts {
		c.relations = append(c.relations, newRelation(q, c.rules, set))
	}
	return c
}

// send is a producer or the ingress.
func (c *city) send(e []byte) {
	var o output
	if err := (converted{formats.NewNative()}).convert(&kgo.Record{Value: e}, func(x output) { o = x }); err != nil {
		c.Fatal(err)
	}
	p := byKey(o.key, c.rules.sources)
	c.logs[p].add(mainLog, e, c.now)
}

// answer brings an ack or feedback in, as the ingress does.
func (c *city) answer(topic string, value []byte) {
	var o output
	err := c.answers[topic].convert(&kgo.Record{Topic: topic, Partition: 3, Offset: 77, Value: value,
		Timestamp: time.UnixMilli(c.now)}, func(x output) { o = x })
	if err != nil {
		c.dead[event.ReasonOf(err)]++
		return
	}
	if o.to == toFacts { // it has the wall clock of the test's machine
		h, body, _ := readFactsHead(o.value)
		k, err := readControl(body.B)
		if err != nil {
			c.Fatal(err)
		}
		o.value = controlFacts(h.source, c.now, h.set, k)
	}
	c.deliver([]output{o})
}

func (c *city) deliver(outs []output) {
	for _, o := range outs {
		switch o.to {
		case toControl:
			c.logs[o.partition].add(controlLog, bytes.Clone(o.value), c.now)
		case toFacts:
			c.facts[o.partition] = append(c.facts[o.partition],
				record{offset: int64(len(c.facts[o.partition])), stamp: c.now, value: bytes.Clone(o.value)})
		case toDLQ:
			for _, h := range o.headers {
				if h.Key == "reason" {
					c.dead[string(h.Value)]++
				}
			}
		case toCommands:
			k, err := event.ParseCommand(o.value)
			if err != nil || string(o.key) != k.Scope.Key() || k.ReplyTo != "agent.acks" {
				c.Fatalf("%s: %v", o.value, err)
			}
			c.commands[string(o.key)] = append(c.commands[string(o.key)], k)
			c.all = append(c.all, k)
		case toBreakers:
			c.breakers[string(o.key)] = o.value
		}
	}
	if c.committed != nil {
		c.committed(outs)
	}
}

func (c *city) count(s *shard) {
	for k, n := range s.counts.other {
		c.counted[k] += n
	}
	if s.counts.badControl != 0 {
		c.Fatalf("%d control records were not understood", s.counts.badControl)
	}
}

// behave applies a slice of one partition, perhaps aborting it first.
func (c *city) behave(p int) {
	b, at := c.behaviours[p], c.at[p]
	slice := c.logs[p].take(&c.at[p], c.IntN(8), c.IntN(8))
	if len(slice[0])+len(slice[1]) == 0 {
		return
	}
	if c.aborts && c.IntN(4) == 0 {
		want := imageOf(b.shard)
		if _, err := (&stage{}).apply(b.shard, slice, c.now); err != nil {
			c.Fatal(err)
		}
		if err := b.rollback(); err != nil {
			c.Fatal(err)
		}
		if got := imageOf(b.shard); !maps.Equal(want, got) {
			c.Fatalf("partition %d, from %v: an undone slice leaves a trace", p, at)
		}
		watched(c, b.shard)
		c.at[p] = at
		return
	}
	if _, err := (&stage{}).apply(b.shard, slice, c.now); err != nil {
		c.Fatal(err)
	}
	b.kept()
	c.count(b.shard)
	c.deliver(b.out)
	watched(c, b.shard)
}

func (c *city) relate(q int) {
	b := c.relations[q]
	n := min(1+c.IntN(6), len(c.facts[q])-c.heard[q])
	if n == 0 {
		return
	}
	b.begin(b.now, true)
	for range n {
		r := c.facts[q][c.heard[q]]
		c.heard[q]++
		if err := b.step(mainLog, &r); err != nil {
			c.Fatal(err)
		}
	}
	c.count(b.shard)
	c.deliver(b.out)
	watched(c, b.shard)
}

// watched checks the index of breakers that wait for the clock: everything that does is in it, and
// nothing in it is of the past.
func watched(t testing.TB, s *shard) {
	t.Helper()
	for _, pg := range s.pages {
		if k := pg.breaker; (k.Open() || k != nil && k.AckBy != 0) && !s.open[pg] {
			t.Fatalf("the breaker of %q waits for the clock, and nobody looks", pg.key)
		}
	}
	for pg := range s.open {
		if pg.breaker != nil && !pg.dead && s.pages[pg.key] != pg {
			t.Fatalf("a page %q that is not in the shard is looked after", pg.key)
		}
	}
}

// step moves something on: a shard, or nothing if it has nothing to do.
func (c *city) step() {
	if n := len(c.behaviours); c.IntN(2) == 0 {
		c.behave(c.IntN(n))
	} else {
		c.relate(c.IntN(len(c.relations)))
	}
}

// settle runs until nobody has anything to do.
func (c *city) settle() {
	for busy := true; busy; {
		busy = false
		for p := range c.behaviours {
			for c.at[p] != [2]int{len(c.logs[p].records[0]), len(c.logs[p].records[1])} {
				c.behave(p)
				busy = true
			}
		}
		for q := range c.relations {
			for c.heard[q] < len(c.facts[q]) {
				c.relate(q)
				busy = true
			}
		}
	}
}

// wind writes what the wall clock says of breakers; wrong: also what it does not say.
func (c *city) wind(wrong bool) {
	each := func(s *shard, tell func(k control)) {
		for _, key := range slices.Sorted(maps.Keys(s.pages)) {
			k := s.pages[key].breaker
			if k == nil {
				continue
			}
			kind, due := controlExpire, k.Open() && k.Until != 0 && c.now >= k.Until
			if c.IntN(2) == 0 {
				kind, due = controlMissed, k.AckBy != 0 && c.now >= k.AckBy
			}
			r := control{Kind: kind, Scope: k.Scope, Epoch: k.Epoch, Time: c.now}
			if due {
				tell(r)
			}
			if wrong && c.IntN(6) == 0 {
				tell(r) // doubled, or early
			}
			if wrong && c.IntN(10) == 0 {
				r.Epoch += c.Int64N(3) - 1
				tell(r)
			}
			if wrong && c.IntN(10) == 0 {
				r.Time += 3_600_000 // an instance whose clock is an hour ahead
				tell(r)
			}
		}
	}
	for p, b := range c.behaviours {
		each(b.shard, func(k control) { c.logs[p].add(controlLog, k.encode(), c.now) })
	}
	for q, b := range c.relations {
		each(b.shard, func(k control) {
			c.deliver([]output{{to: toFacts, partition: int32(q), value: controlFacts(0, c.now, "", k)}})
		})
	}
}

// gateway answers the commands from n on, and makes things up.
func (c *city) gateway(n int) {
	for _, k := range c.all[n:] {
		a := event.Ack{CommandID: k.ID, Scope: k.Scope, Epoch: k.Epoch, Time: c.now + c.Int64N(9000) - 4000,
			Status: []event.AckStatus{event.Received, event.Applied, event.Applied, event.Rejected,
				event.Failed}[c.IntN(5)], By: "gw"}
		for range c.IntN(3) { // or not at all, or twice
			c.answer("agent.acks", a.Append(nil))
		}
		switch c.IntN(12) {
		case 0:
			a.CommandID = "made-up"
		case 1:
			a.Epoch--
		case 2:
			a.Epoch++
		case 3:
			a.Scope.ID += "x"
		default:
			continue
		}
		c.answer("agent.acks", a.Append(nil))
	}
}

// person sends feedback of one kind about a scope and returns the reason for which it must be
// refused; "": it depends.
func (c *city) person(kind int, f event.Feedback) string {
	f.ID, f.Time, f.Tenant, f.By, f.Reason = fmt.Sprintf("fb-%d", c.Uint64()), c.now, f.Scope.Tenant, "alice", "because"
	if f.Type == event.TripFeedback {
		f.Action, f.DurationMS = event.Block, []int64{0, 90_000}[c.IntN(2)]
	}
	reason := ""
	switch kind {
	case 1:
		reason = "unsigned"
	case 2:
		f.By, reason = "mallory", "unknown_key"
	case 3:
		f.Sign(keyOf("mallory"))
		reason = "bad_signature"
	case 4:
		f.Time -= 11 * 60_000
		reason = "stale_feedback"
	case 5:
		f.Time += 11 * 60_000
		reason = "stale_feedback"
	case 6:
		if f.By = "bob"; f.Tenant != "t1" {
			reason = "wrong_tenant"
		}
	}
	if kind != 1 && kind != 3 {
		f.Sign(keyOf(f.By))
	}
	if kind == 7 {
		f.Reason, reason = "because I say so", "bad_signature" // changed after it was signed
	}
	c.answer("agent.feedback", f.Append(nil))
	if kind == 8 {
		c.answer("agent.feedback", f.Append(nil))
		reason = "replayed"
	}
	return reason
}

// consistent checks what every consumer relies on: epochs without a gap, and that the state of a
// scope is its last command.
func (c *city) consistent() {
	c.Helper()
	for key, list := range c.commands {
		ids := map[string]bool{}
		for i, k := range list {
			if k.Epoch != int64(i+1) || ids[k.ID] || k.ID != idOf(k.Scope, k.Epoch) {
				c.Fatalf("%s: command %d has epoch %d and id %s: %+v", key, i+1, k.Epoch, k.ID, list)
			}
			ids[k.ID] = true
		}
		last, state := list[len(list)-1], c.breakers[key]
		if last.Action == event.Restore {
			if state != nil {
				c.Fatalf("%s was restored, agent.breakers says %s", key, state)
			}
			continue
		}
		s, err := event.ParseBreaker(state)
		if err != nil {
			c.Fatalf("%s: %s: %v", key, state, err)
		}
		want := event.Breaker{Scope: last.Scope, State: s.State, Action: last.Action, Epoch: last.Epoch, Since: s.Since,
			Rate: last.Rate, Mode: last.Mode, Enforced: s.Enforced, CommandID: last.ID, FindingUID: last.FindingUID,
			Reason: last.Reason, Issuer: last.Issuer}
		if last.DurationMS > 0 {
			want.Until = last.IssuedAt + last.DurationMS
		}
		if diff := gocmp.Diff(want, s); diff != "" {
			c.Fatalf("%s (-last command +state):\n%s", key, diff)
		}
	}
	for key := range c.breakers {
		if len(c.commands[key]) == 0 {
			c.Fatalf("%s has a state and no command", key)
		}
	}
}

// guarded checks that no persona ever has more automatic blocks and kills at a time than its guard
// allows. allowed is what the guard may count.
func (c *city) guarded(persona func(event.Scope) string, allowed int64) {
	c.Helper()
	blocked := map[string]map[string]bool{}
	for _, k := range c.all {
		who := k.Scope.Tenant + "|" + persona(k.Scope)
		if blocked[who] == nil {
			blocked[who] = map[string]bool{}
		}
		switch {
		case !k.Scope.Type.Narrow():
		case (k.Action == event.Block || k.Action == event.Kill) && k.Issuer.Type == "rule":
			blocked[who][k.Scope.Key()] = true
		case k.Action == event.Restore:
			delete(blocked[who], k.Scope.Key())
		}
		if n := int64(len(blocked[who])); n > allowed+int64(len(c.behaviours))-1 {
			c.Fatalf("%d of %s are blocked at a time: %v", n, who, slices.Sorted(maps.Keys(blocked[who])))
		}
	}
}

func rolesOf(s event.Scope) string {
	agent := s.ID
	if s.Type == event.SessionScope {
		agent = s.Agent
	}
	var n int
	fmt.Sscanf(agent, "agent-%d", &n)
	return roles[n%len(roles)]
}

func TestWhateverHappensCommandsAndBreakersAgree(t *testing.T) {
	acted, refusals, acks := map[string]int{}, map[string]int{}, map[[2]string]int64{}
	for seed := range uint64(15) {
		c := newCity(t, seed, 3, 2, setOf(t, armed(true, "")))
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
			c.gateway(before)
			if c.IntN(3) == 0 {
				c.wind(true)
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
				if reason := c.person(c.IntN(9), f); reason != "" {
					expected[reason]++
				}
			}
			c.consistent()
		}
		c.settle()
		c.now += 3_600_000 // everything that ends ends
		for range 25 {
			c.wind(false)
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
			t.Errorf("%q happened %d times: the test has lost its teeth", want, acted[want])
		}
	}
	for _, want := range []string{"unsigned", "unknown_key", "bad_signature", "stale_feedback", "wrong_tenant",
		"replayed", "not_open", "not_stronger"} {
		if refusals[want] == 0 {
			t.Errorf("nothing was refused as %s: the test has lost its teeth", want)
		}
	}
	for _, want := range [][2]string{{"acks", "unknown"}, {"acks", "stale"}, {"acks", "repeated"}, {"acks", "missed"},
		{"acks", "applied"}, {"acks", "rejected"}, {"refused", "clock"}, {"guarded", "block"}, {"guarded", "shut"}} {
		if acks[want] == 0 {
			t.Errorf("%v was never counted: the test has lost its teeth", want)
		}
	}
}

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
			c := newCity(t, 1, 4, 2, setOf(t, def))
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
	c := newCity(t, 1, 3, 2, setOf(t, armed(true, `,"guard":{"percent":"0"}`)))
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
			c.wind(false)
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
	for p, b := range c.behaviours {
		if g := b.gates["t1|clerk"]; !g.shut || g.waits != 0 {
			t.Errorf("shard %d: %+v, but the persona's guard is full and all is answered", p, g)
		}
	}
}

// A broadcast that there is room again must not let a shard add a second block before its first was
// counted.
func TestNewsForAllIsNoAnswerToABlock(t *testing.T) {
	set := setOf(t, armed(true, ""))
	b := newBehaviour(0, engine(t, 2, 1, set), set, "events")
	b.begin(day0, true)
	bad := func(i int) {
		b.observe(&event.Event{ID: fmt.Sprint("e", i), Time: day0, Kind: event.ToolCall, Tenant: "t1", Persona: "clerk",
			Agent: event.Agent{ID: fmt.Sprint("agent-0-", i)}, Tool: event.Tool{Name: "rm"}}, day0)
	}
	last := func() event.Action { return b.commands[len(b.commands)-1].Action }
	gate := func(hash uint64, open bool) {
		if err := b.control(&record{value: control{Kind: controlGate, Tenant: "t1", Persona: "clerk", Hash: hash,
			Open: open}.encode()}); err != nil {
			t.Fatal(err)
		}
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
		{func() { gate(b.gates["t1|clerk"].waits, false) }, event.Escalate},
		{func() { gate(0, true) }, event.Block},     // room again
		{func() { gate(0, false) }, event.Escalate}, // full
		// counted, and there is room
		{func() { gate(b.gates["t1|clerk"].waits, true) }, event.Block},
		{func() { gate(b.gates["t1|clerk"].waits, true); gate(0, true) }, event.Block}, // twice is once
	} {
		step.before()
		if bad(i); last() != step.want {
			t.Errorf("step %d: %s, want %s", i, last(), step.want)
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
			x := newCity(t, 1, 2, 2, setOf(t, armed(true, "")))
			x.send(fmt.Appendf(nil,
				`{"id":"e","time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":"agent-2"},"user":"u","persona":"porter","tool":{"name":"rm"}}`,
				day0))
			for p := range x.behaviours {
				for x.at[p] != [2]int{len(x.logs[p].records[0]), len(x.logs[p].records[1])} {
					x.behave(p)
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
		c := newCity(t, seed, 3, 4, set)
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

func TestWhatIsActedAgainst(t *testing.T) {
	tool := func(server, name string) event.Scope {
		return event.Scope{Type: event.ToolScope, Tenant: "acme", ID: event.ToolID(server, name)}
	}
	e := &event.Event{Tenant: "acme", User: "u", Tool: event.Tool{Name: "a|b", Server: "s|t"}}
	for name, c := range map[string]struct {
		s    event.Scope
		want bool
	}{
		"the tool on its server": {tool("s|t", "a|b"), true},
		"on any server":          {tool("", "a|b"), true},
		"on another":             {tool("x", "a|b"), false},
		"cut at another place":   {tool("s", "t|a|b"), false},
		"and another":            {tool("s|t|a", "b"), false},
		"the server":             {event.Scope{Type: event.ServerScope, Tenant: "acme", ID: "s|t"}, true},
		"the user":               {event.Scope{Type: event.UserScope, Tenant: "acme", ID: "u"}, true},
		"of another tenant":      {event.Scope{Type: event.UserScope, Tenant: "other", ID: "u"}, false},
		"the persona":            {event.Scope{Type: event.PersonaScope, Tenant: "acme", ID: "p"}, true},
		"another persona":        {event.Scope{Type: event.PersonaScope, Tenant: "acme", ID: "q"}, false},
		"the tenant":             {event.Scope{Type: event.TenantScope, Tenant: "acme", ID: "acme"}, true},
		"another tenant":         {event.Scope{Type: event.TenantScope, Tenant: "other", ID: "other"}, false},
		"everybody":              {event.Scope{Type: event.GlobalScope, ID: "*"}, true},
	} {
		if got := covers(&c.s, "p", e); got != c.want {
			t.Errorf("%s: %v", name, got)
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
			c := newCity(t, 1, 2, 2, setOf(t, armed(true, "")))
			var found []string
			act := func(more string) {
				c.now += 5000
				c.send(fmt.Appendf(nil,
					`{"id":"e%d","time":%d,"tenant":"t1","agent":{"id":"agent-1"},"user":"u1","session":"s1","persona":"clerk","tool":{"name":"search","server":"crm"},%s}`,
					c.now, c.now, more))
				for p, b := range c.behaviours {
					for c.at[p] != [2]int{len(c.logs[p].records[0]), len(c.logs[p].records[1])} {
						c.behave(p)
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
			c.person(0, f)
			c.settle()
			act(call) // nobody has applied it
			k := c.commands[scope.Key()][0]
			ack := event.Ack{CommandID: k.ID, Scope: scope, Epoch: 1, Time: c.now, Status: event.Applied}
			c.answer("agent.acks", ack.Append(nil))
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
			c.person(0, f)
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
		wide.Trip(response.Order{Action: event.Block, Time: g.now, Issuer: event.Issuer{Type: "human"}}, setOfResponse,
			g.now)
		wide.TakeAck(&event.Ack{CommandID: wide.Command, Epoch: wide.Epoch, Time: g.now, Status: event.Applied}, g.now)
		if g.IntN(3) == 0 {
			wide.Restore(event.Issuer{}, "", g.now, setOfResponse, g.now)
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

var setOfResponse = &policy.Settings{Enforce: true, StaleMS: 1 << 50, AckMS: 1000, StartMS: 1000}

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
					t.Fatalf("seed %d: only %d outputs: the test has lost its teeth", seed, len(want))
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
			want, before := imageOf(b.shard), at
			n, m := r.IntN(20), r.IntN(20)
			j, err := (&stage{}).apply(b.shard, l.take(&at, n, m), now)
			if err != nil {
				t.Fatal(err)
			}
			watched(t, b.shard)
			if r.IntN(2) == 0 {
				b.kept()
				continue
			}
			after, commands := imageOf(b.shard), len(b.commands)
			if err := b.rollback(); err != nil {
				t.Fatal(err)
			}
			sameState(t, fmt.Sprintf("seed %d, records %v to %v", seed, before, at), want, imageOf(b.shard))
			watched(t, b.shard)
			at = before
			again, err := (&stage{}).apply(b.shard, l.take(&at, n, m), now)
			if err != nil || again.digest != j.digest || len(b.commands) != commands {
				t.Fatalf("seed %d, records %v to %v: done again it gives %x, not %x: %v", seed, before, at,
					again.digest, j.digest, err)
			}
			sameState(t, fmt.Sprintf("seed %d, records %v to %v, done again", seed, before, at), after,
				imageOf(b.shard))
			b.kept()
			undone += commands
		}
	}
	if undone < 50 {
		t.Errorf("%d commands were undone: the test has lost its teeth", undone)
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
				watched(t, back.shard)
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
			sameState(t, fmt.Sprintf("seed %d, at %v", seed, at), imageOf(live.shard), imageOf(back.shard))
		}
		if commands < 30 {
			t.Errorf("seed %d: %d commands: the test has lost its teeth", seed, commands)
		}
	}
}

// Pages of scopes that were stopped outlive others: their epoch must not begin anew, and a guard
// must not forget what it shut.
func TestWhatWasStoppedIsNotForgotten(t *testing.T) {
	set := setOf(t, armed(true, ""))
	const day = 86_400_000
	c := newCity(t, 1, 1, 1, set)
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
			c.wind(false)
			c.settle()
		}
	}
	for i := range 4 {
		bad(fmt.Sprint("agent-1-", i), "courier") // two sessions are killed, two agents escalated
	}
	bad("agent-2", "porter")
	pass(70) // the user's block has ended long ago
	if g := c.behaviours[0].gates["t1|courier"]; !g.shut ||
		c.relations[0].pages[scopeKeyOf(t, c.relations[0], "courier")] == nil {
		t.Fatalf("the guard of blocks that still hold was forgotten: gate %+v", g)
	}
	barred := int64(0)
	for _, pg := range every(t, c.behaviours[0].shard) {
		if a, ok := pg.content.(*agentPage); ok {
			barred += a.barred
		}
	}
	if barred != 4 {
		t.Errorf("%d sessions are known to be barred, want 4", barred)
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
		c.person(0, event.Feedback{Type: event.RestoreFeedback, Scope: s})
	}
	c.settle()
	pass(40)
	for _, s := range sessions {
		c.person(0, event.Feedback{Type: event.TripFeedback, Scope: s})
	}
	c.settle()
	c.consistent()
	if len(sessions) != 2 || len(c.commands[sessions[0].Key()]) < 3 {
		t.Errorf("%v", c.commands)
	}
}

func scopeKeyOf(t *testing.T, b *relation, persona string) string {
	t.Helper()
	return string(b.scopePage(guardSlot, policy.PersonaScope, "t1", persona).key)
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

// The dead letter of feedback says where it came from: not from the shard's own log.
func TestRefusedFeedbackNamesItsOrigin(t *testing.T) {
	for name, s := range map[string]event.Scope{"agent": {Type: event.AgentScope, Tenant: "t1", ID: "a"},
		"user": {Type: event.UserScope, Tenant: "t1", ID: "u"}} {
		t.Run(name, func(t *testing.T) {
			c := newCity(t, 1, 2, 2, setOf(t, armed(true, "")))
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
			c.person(1, event.Feedback{Type: event.TripFeedback, Scope: s})
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
	c := newCity(t, 1, 1, 1, setOf(t, armed(true, "")))
	s := event.Scope{Type: event.AgentScope, Tenant: "t1", ID: "agent-1"}
	f := event.Feedback{ID: "f1", Time: c.now, Tenant: "t1", Type: event.RestoreFeedback, Scope: s, By: "alice"}
	f.Sign(keyOf("alice"))
	c.answer("agent.feedback", f.Append(nil))
	c.person(0, event.Feedback{Type: event.TripFeedback, Scope: s})
	c.answer("agent.feedback", f.Append(nil))
	c.settle()
	if list := c.commands[s.Key()]; len(list) != 1 || c.dead["not_open"] != 1 || c.dead["replayed"] != 1 {
		t.Errorf("%+v, refused %v", list, c.dead)
	}
	// Nor when it has been forgotten: then it is old.
	c.now += 2*feedbackTol + 1
	c.person(1, event.Feedback{Type: event.TripFeedback, Scope: s})
	c.answer("agent.feedback", f.Append(nil))
	c.settle()
	if len(c.commands[s.Key()]) != 1 || c.dead["stale_feedback"] != 1 {
		t.Errorf("refused %v", c.dead)
	}
}

// A control record may be the first of all facts, before any set is in force.
func TestTheFirstOfAllFactsMayBeAControlRecord(t *testing.T) {
	q := newRelation(0, engine(t, 2, 1), none)
	q.begin(day0, true)
	if err := q.step(mainLog, &record{value: controlFacts(0, day0, "", control{Kind: controlResume, Time: day0})}); err != nil || q.judged != day0 {
		t.Errorf("judged up to %d, %v", q.judged, err)
	}
}

// What a Resume wrote is in force at once: its guard counts it, its session is watched, its state
// is told; behaviour that was judged leads to nothing.
func TestAResumedShardGoesOn(t *testing.T) {
	set := setOf(t, armed(true, `,"guard":{"least":"1","percent":"0"}`))
	c := newCity(t, 1, 2, 2, set)
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
	c.person(0, f)
	c.settle()
	if list := c.commands[user.Key()]; len(list) != 6 || list[5].Epoch != 6 {
		t.Errorf("%+v", list)
	}
	c.consistent()
	old := event.Feedback{ID: "old", Time: day0, Tenant: "t1", Type: event.TripFeedback, Scope: agent,
		Action: event.Kill, By: "alice", Reason: "x"}
	old.Sign(keyOf("alice"))
	c.answer("agent.feedback", old.Append(nil))
	c.settle()
	if c.dead["before_resume"] != 1 {
		t.Errorf("feedback from before: %v", c.dead)
	}
}

// What is ordered of a session comes by the wall clock, hours after its events where those are old.
// It keeps the page of its breaker, and does not make the session look as if it went on.
func TestTheClockOfABreakerKeepsNoSessionGoing(t *testing.T) {
	c := newCity(t, 1, 1, 1, setOf(t, armed(true, "")))
	c.now = day0 + 10*3_600_000
	act := func(at int64) *sessionPage {
		c.send(fmt.Appendf(nil,
			`{"id":"e%d","time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":"agent-1"},"session":"s1","persona":"clerk","tool":{"name":"search"}}`,
			at, at))
		c.settle()
		for key, pg := range c.behaviours[0].pages {
			if key[0] == sessionKind {
				return pg.session()
			}
		}
		t.Fatal("there is no session")
		return nil
	}
	act(day0)
	scope := event.Scope{Type: event.SessionScope, Tenant: "t1", Agent: "agent-1", ID: "s1"}
	c.person(0, event.Feedback{Type: event.TripFeedback, Scope: scope})
	c.settle()
	c.person(0, event.Feedback{Type: event.RestoreFeedback, Scope: scope})
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
