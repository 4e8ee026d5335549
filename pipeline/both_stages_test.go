package pipeline

import (
	"bytes"
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

// idOf is the id of a command.
func idOf(s event.Scope, epoch int64) string {
	b := &response.Breaker{Scope: s, Epoch: epoch - 1, Action: event.Observe}
	c, _ := b.Restore(event.Issuer{}, "", 0, none.Response(), 0)
	return c.ID
}

// bothStages are shards of both stages, wired by their logs as Kafka would wire them.
type bothStages struct {
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
	applied    []int // facts that each relation has applied
	answers    map[string]converter

	commands  map[string][]event.Command // by scope's key
	breakers  map[string][]byte
	all       []event.Command
	dead      map[string]int
	counted   map[[2]string]int64
	aborts    bool
	checks    int // how often the index of breakers might have been checked
	committed func(outs []output)
}

func newBothStages(t testing.TB, seed uint64, sources, facts int32, set *policy.Set) *bothStages {
	c := &bothStages{TB: t, Rand: rand.New(rand.NewPCG(seed, 5)), rules: engine(t, sources, facts, set), set: set, now: day0,
		at: make([][2]int, sources), facts: make([][]record, facts), applied: make([]int, facts),
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
func (c *bothStages) send(e []byte) {
	var o output
	if err := (converted{formats.NewNative()}).convert(&kgo.Record{Value: e}, func(x output) { o = x }); err != nil {
		c.Fatal(err)
	}
	p := byKey(o.key, c.rules.sources)
	c.logs[p].add(mainLog, e, c.now)
}

// viaIngress brings an ack or feedback in, as the ingress does.
func (c *bothStages) viaIngress(topic string, value []byte) {
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

func (c *bothStages) deliver(outs []output) {
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

func (c *bothStages) count(s *shard) {
	for k, n := range s.counts.other {
		c.counted[k] += n
	}
	if s.counts.badControl != 0 {
		c.Fatalf("%d control records were not understood", s.counts.badControl)
	}
}

// applyBehaviour applies a slice of one partition, perhaps aborting it first.
func (c *bothStages) applyBehaviour(p int) {
	b, at := c.behaviours[p], c.at[p]
	slice := c.logs[p].take(&c.at[p], c.IntN(8), c.IntN(8))
	if len(slice[0])+len(slice[1]) == 0 {
		return
	}
	if c.aborts && c.IntN(4) == 0 {
		want := b.image()
		if _, err := (&stage{}).apply(b.shard, slice, c.now); err != nil {
			c.Fatal(err)
		}
		if err := b.rollback(); err != nil {
			c.Fatal(err)
		}
		if got := b.image(); !maps.Equal(want, got) {
			c.Fatalf("partition %d, from %v: an undone slice leaves a trace", p, at)
		}
		c.checkIndex(b.shard)
		c.at[p] = at
		return
	}
	if _, err := (&stage{}).apply(b.shard, slice, c.now); err != nil {
		c.Fatal(err)
	}
	b.kept()
	c.count(b.shard)
	c.deliver(b.out)
	c.checkIndex(b.shard)
}

func (c *bothStages) applyRelation(q int) {
	b := c.relations[q]
	n := min(1+c.IntN(6), len(c.facts[q])-c.applied[q])
	if n == 0 {
		return
	}
	b.begin(b.now, true)
	for range n {
		r := c.facts[q][c.applied[q]]
		c.applied[q]++
		if err := b.step(mainLog, &r); err != nil {
			c.Fatal(err)
		}
	}
	c.count(b.shard)
	c.deliver(b.out)
	c.checkIndex(b.shard)
}

// checkIndex checks the index of breakers of a shard now and then: it takes a look at all pages.
func (c *bothStages) checkIndex(s *shard) {
	if c.checks++; c.checks%50 == 0 {
		breakersIndexed(c, s)
	}
}

// breakersIndexed checks the index of breakers that wait for the clock: every one that does is in it.
func breakersIndexed(t testing.TB, s *shard) {
	t.Helper()
	have := map[string]bool{}
	for pg := range s.open {
		have[pg.key] = true
	}
	for key, pg := range every(t, s) {
		if k := pg.breaker; (k.Open() || k != nil && k.AckBy != 0) && !have[key] {
			t.Fatalf("the breaker of %q waits for the clock, and nobody looks", key)
		}
	}
}

// step moves something on: a shard, or nothing if it has nothing to do.
func (c *bothStages) step() {
	if n := len(c.behaviours); c.IntN(2) == 0 {
		c.applyBehaviour(c.IntN(n))
	} else {
		c.applyRelation(c.IntN(len(c.relations)))
	}
}

// settle runs until nobody has anything to do.
func (c *bothStages) settle() {
	for busy := true; busy; {
		busy = false
		for p := range c.behaviours {
			for c.at[p] != [2]int{len(c.logs[p].records[0]), len(c.logs[p].records[1])} {
				c.applyBehaviour(p)
				busy = true
			}
		}
		for q := range c.relations {
			for c.applied[q] < len(c.facts[q]) {
				c.applyRelation(q)
				busy = true
			}
		}
	}
}

// expireBreakers writes what the wall clock says of breakers; wrong: also what it does not say.
func (c *bothStages) expireBreakers(wrong bool) {
	each := func(s *shard, write func(k control)) {
		var waiting []*response.Breaker
		for pg := range s.open {
			if pg.breaker != nil && !pg.dead {
				waiting = append(waiting, pg.breaker)
			}
		}
		slices.SortFunc(waiting, func(x, y *response.Breaker) int {
			return strings.Compare(x.Scope.Key(), y.Scope.Key())
		})
		for _, k := range waiting {
			kind, due := controlExpire, k.Open() && k.Until != 0 && c.now >= k.Until
			if c.IntN(2) == 0 {
				kind, due = controlMissed, k.AckBy != 0 && c.now >= k.AckBy
			}
			r := control{Kind: kind, Scope: k.Scope, Epoch: k.Epoch, Time: c.now}
			if due {
				write(r)
			}
			if wrong && c.IntN(6) == 0 {
				write(r) // doubled, or early
			}
			if wrong && c.IntN(10) == 0 {
				r.Epoch += c.Int64N(3) - 1
				write(r)
			}
			if wrong && c.IntN(10) == 0 {
				r.Time += 3_600_000 // an instance whose clock is an hour ahead
				write(r)
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

// sendAcks answers the commands from n on as gateways would, and sends acks of commands that never were.
func (c *bothStages) sendAcks(n int) {
	for _, k := range c.all[n:] {
		a := event.Ack{CommandID: k.ID, Scope: k.Scope, Epoch: k.Epoch, Time: c.now + c.Int64N(9000) - 4000,
			Status: []event.AckStatus{event.Received, event.Applied, event.Applied, event.Rejected,
				event.Failed}[c.IntN(5)], By: "gw"}
		for range c.IntN(3) { // or not at all, or twice
			c.viaIngress("agent.acks", a.Append(nil))
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
		c.viaIngress("agent.acks", a.Append(nil))
	}
}

// sendFeedback sends feedback of one kind about a scope and returns the reason for which it must be
// refused; "": it depends.
func (c *bothStages) sendFeedback(kind int, f event.Feedback) string {
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
	c.viaIngress("agent.feedback", f.Append(nil))
	if kind == 8 {
		c.viaIngress("agent.feedback", f.Append(nil))
		reason = "replayed"
	}
	return reason
}

// consistent checks what every consumer relies on: epochs without a gap, and that the state of a
// scope is its last command.
func (c *bothStages) consistent() {
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
func (c *bothStages) guarded(persona func(event.Scope) string, allowed int64) {
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
