package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/cmd/wayward/oracle"
	"github.com/wayward-sec/wayward/event"
)

// gateway is who reads commands and answers: a gateway that mostly does what it is told, and people
// who trip and restore, and some who should not.
type gateway struct {
	a      *testbed
	rng    *rand.Rand
	cl     *kgo.Client
	stop   context.CancelFunc
	done   sync.WaitGroup
	people atomic.Bool // people are at work

	open map[string]event.Command // by key: what is in force as far as it knows
	late []lateAck
	old  []event.Command // answered long ago
	sent [][]byte        // feedback
	n    int
}

type lateAck struct {
	at  time.Time
	ack event.Ack
}

// Who signs: ana may act on two tenants, root on all and on global scopes; nobody knows eve.
var (
	anaKey  = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	rootKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
	eveKey  = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32))
)

// signers is the list of keys as the policies have it.
func signers() string {
	public := func(k ed25519.PrivateKey) string {
		return base64.StdEncoding.EncodeToString(k.Public().(ed25519.PublicKey))
	}
	return fmt.Sprintf(
		"    - {name: ana, tenants: [acme, globex], public: %q}\n    - {name: root, tenants: [\"*\"], public: %q}\n",
		public(anaKey), public(rootKey))
}

const peopleEvery = 120 * time.Millisecond

// newGateway starts reading commands. Before that, somebody sends feedback although no engine has
// ever run.
func newGateway(a *testbed, seed uint64) *gateway {
	g := &gateway{a: a, rng: rand.New(rand.NewPCG(seed, 4)), open: map[string]event.Command{}}
	for i := range 16 {
		g.feedback("early", event.Feedback{Type: event.TripFeedback, Scope: g.scope(), Action: event.Action(1 + i%5),
			By: "root"}, rootKey)
	}
	var err error
	g.cl, err = kgo.NewClient(kgo.SeedBrokers(a.brokers...), kgo.ConsumeTopics(a.topics.Commands),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(50*time.Millisecond), kgo.ProducerLinger(0))
	must(a.t, err)
	a.t.Cleanup(g.close)
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	g.people.Store(true)
	g.done.Go(func() { g.run(ctx) })
	return g
}

// close answers what is still to be answered, and ends.
func (g *gateway) close() {
	g.stop()
	g.done.Wait()
	for _, l := range g.late {
		g.ack(l.ack)
	}
	g.late = nil
	must(g.a.t, g.a.cl.Flush(context.Background()))
	g.cl.Close()
}

func (g *gateway) run(ctx context.Context) {
	next := time.Now()
	for ctx.Err() == nil {
		poll, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		g.cl.PollFetches(poll).EachRecord(func(r *kgo.Record) {
			c, err := event.ParseCommand(r.Value)
			if err != nil {
				g.a.t.Errorf("command: %v", err)
				return
			}
			g.answer(c)
		})
		cancel()
		g.late = slices.DeleteFunc(g.late, func(l lateAck) bool {
			due := time.Now().After(l.at)
			if due {
				g.ack(l.ack)
			}
			return due
		})
		for ; time.Now().After(next); next = next.Add(peopleEvery) {
			if g.people.Load() {
				g.person()
			}
		}
	}
}

// ack sends an ack under the key of its scope, so that those about one scope keep their order.
func (g *gateway) ack(a event.Ack) {
	g.produce(g.a.topics.Acks, a.Scope.Key(), a.Append(nil))
}

func (g *gateway) produce(topic, key string, value []byte) {
	g.a.cl.Produce(context.Background(), &kgo.Record{Topic: topic, Key: []byte(key), Value: value},
		func(_ *kgo.Record, err error) {
			if err != nil {
				g.a.t.Errorf("%s: not produced: %v", topic, err)
			}
		})
}

// answer does what gateways do: most apply, at once, twice or too late; some refuse, some never
// answer, and some are confused.
func (g *gateway) answer(c event.Command) {
	if key := c.Scope.Key(); c.Action == event.Restore {
		delete(g.open, key)
	} else {
		g.open[key] = c
	}
	a := event.Ack{CommandID: c.ID, Tenant: c.Scope.Tenant, Scope: c.Scope, Epoch: c.Epoch,
		Time: time.Now().UnixMilli(), By: "gateway"}
	say := func(words ...event.AckStatus) {
		for _, w := range words {
			a.Status = w
			g.ack(a)
		}
	}
	later := func(d time.Duration, w event.AckStatus) {
		b := a
		b.Status = w
		g.late = append(g.late, lateAck{time.Now().Add(d), b})
	}
	mood := g.rng.IntN(16)
	if c.Scope.Tenant == "live" && c.Action >= event.Escalate {
		mood = 15 // applied: only then can its agents act against it
	}
	switch mood {
	case 0:
	case 1:
		say(event.Received)
	case 2:
		say(event.Rejected, event.Rejected)
	case 3:
		say(event.Failed)
		later(200*time.Millisecond, event.Applied) // it has tried again
	case 4:
		say(event.Received, event.Failed, event.Received, event.Rejected)
	case 5:
		later(oracle.AckWithin+500*time.Millisecond, event.Applied)
	case 6:
		later(oracle.AckWithin+800*time.Millisecond, event.Rejected)
	case 7:
		later(oracle.AckWithin+300*time.Millisecond, event.Received)
	case 8:
		say(event.Expired)
	case 9:
		say(event.Applied, event.Applied, event.Rejected)
	default:
		say(event.Received, event.Applied)
	}
	switch g.rng.IntN(8) {
	case 0: // of an epoch that is over, or soon will be
		g.old = append(g.old, c)
		if len(g.old) > 50 {
			o := g.old[0]
			g.old = g.old[1:]
			g.ack(event.Ack{CommandID: o.ID, Scope: o.Scope, Epoch: o.Epoch, Time: time.Now().UnixMilli(),
				Status: event.Rejected})
		}
	case 1: // of an epoch that has not been
		g.ack(event.Ack{CommandID: "made-up", Scope: c.Scope, Epoch: c.Epoch + 7, Time: time.Now().UnixMilli(),
			Status: event.Failed})
	case 2: // the id of another command
		if len(g.old) > 0 {
			g.ack(event.Ack{CommandID: g.old[0].ID, Scope: c.Scope, Epoch: c.Epoch, Time: time.Now().UnixMilli(),
				Status: event.Failed})
		}
	case 3:
		g.n++
		g.produce(g.a.topics.Acks, "", fmt.Appendf(nil, `{"command_id":"broken-%d"`, g.n))
	}
}

// scope makes one that has, or might have, a breaker.
func (g *gateway) scope() event.Scope {
	s := event.Scope{Tenant: crashTenants[g.rng.IntN(len(crashTenants))]}
	agent := fmt.Sprintf("agent-%d", g.rng.IntN(crashAgents))
	switch g.rng.IntN(8) {
	case 0, 1:
		s.Type, s.ID = event.AgentScope, agent
	case 2:
		s.Type, s.ID, s.Agent = event.SessionScope, fmt.Sprintf("s%d", g.rng.IntN(5)), agent
	case 3:
		s.Type, s.ID = event.UserScope, fmt.Sprintf("user-%d", g.rng.IntN(9))
	case 4:
		s.Type, s.ID = event.ToolScope, crashTools[g.rng.IntN(len(crashTools))]
	case 5:
		s.Type, s.ID = event.PersonaScope, oracle.Personas[g.rng.IntN(len(oracle.Personas))].Name
	case 6:
		s.Type, s.ID = event.TenantScope, s.Tenant
	case 7:
		s = event.Scope{Type: event.GlobalScope, ID: "*"}
	}
	return s
}

// live makes a scope of agents that go on although they are stopped.
func (g *gateway) live() event.Scope {
	agent := liveAgents[g.rng.IntN(len(liveAgents))]
	return []event.Scope{{Type: event.AgentScope, Tenant: "live", ID: agent},
		{Type: event.SessionScope, Tenant: "live", ID: "s1", Agent: agent},
		{Type: event.UserScope, Tenant: "live", ID: "user-1"},
		{Type: event.ToolScope, Tenant: "live", ID: "search"}}[g.rng.IntN(4)]
}

// feedback signs and sends. The first word of the id says what is wrong with it.
func (g *gateway) feedback(class string, f event.Feedback, key ed25519.PrivateKey) {
	g.n++
	f.ID, f.Tenant, f.Reason = fmt.Sprintf("%s-%d", class, g.n), f.Scope.Tenant, "for a test"
	if f.Time == 0 {
		f.Time = time.Now().UnixMilli()
	}
	if f.Action == event.Throttle {
		f.Rate = event.Rate{Calls: 3, PerSeconds: 4}
	}
	if key != nil {
		f.Sign(key)
	}
	if class == "forged" {
		if f.Scope.Type == event.TenantScope { // its id is the tenant's, or it would not be read at all
			f.Reason += "x"
		} else {
			f.Scope.ID += "x"
		}
	}
	b := f.Append(nil)
	if class == "broken" {
		b = b[:len(b)-1]
	}
	g.send(f.Scope, b)
	g.sent = append(g.sent, b)
}

func (g *gateway) send(s event.Scope, b []byte) { g.produce(g.a.topics.Feedback, s.Key(), b) }

// person wants something.
func (g *gateway) person() {
	f := event.Feedback{Type: event.TripFeedback, Scope: g.scope(), Action: event.Action(1 + g.rng.IntN(5)),
		DurationMS: int64(g.rng.IntN(5)) * 500, By: "root"}
	key := rootKey
	if t := f.Scope.Tenant; g.rng.IntN(2) == 0 && (t == "acme" || t == "globex") {
		f.By, key = "ana", anaKey
	}
	switch g.rng.IntN(20) {
	case 0, 1, 2, 3:
		g.feedback("fine", f, key)
	case 4, 5:
		f.Scope, f.Action, f.DurationMS, f.By = g.live(), event.Escalate+event.Action(g.rng.IntN(3)), 0, "root"
		g.feedback("fine", f, rootKey)
	case 6, 7, 8, 9, 10, 11:
		var keys []string
		for k := range g.open {
			keys = append(keys, k)
		}
		if len(keys) == 0 {
			return
		}
		slices.Sort(keys)
		f.Type, f.Action, f.DurationMS, f.Scope, f.By = event.RestoreFeedback, 0, 0,
			g.open[keys[g.rng.IntN(len(keys))]].Scope, "root"
		g.feedback("fine", f, rootKey)
	case 12, 13: // somebody has recorded it, and sends it again
		b := g.sent[g.rng.IntN(len(g.sent))]
		if old, err := event.ParseFeedback(b); err == nil {
			g.send(old.Scope, b)
		}
	case 14:
		g.feedback("unsigned", f, nil)
	case 15:
		f.By = "eve"
		g.feedback("stranger", f, eveKey)
	case 16:
		f.By, f.Scope = "ana", event.Scope{Type: event.AgentScope, Tenant: "initech", ID: "agent-1"}
		g.feedback("foreign", f, anaKey)
	case 17:
		if strings.HasPrefix(f.Scope.ID, "*") {
			return
		}
		g.feedback("forged", f, key)
	case 18:
		f.Time = time.Now().Add(-20 * time.Minute).UnixMilli()
		g.feedback("stale", f, key)
	case 19:
		if g.rng.IntN(2) == 0 {
			g.feedback("broken", f, key)
			return
		}
		f.Type, f.Action, f.DurationMS, f.Verdict = event.VerdictFeedback, 0, 0, event.Verdicts[g.rng.IntN(
			len(event.Verdicts))]
		g.feedback("verdict", f, nil)
	}
}
