package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/state"
)

// liveEngine is the embedded broker, a real engine on it, and a consumer of everything that it
// writes.
type liveEngine struct {
	*testing.T
	broker *broker.Embedded
	topics broker.Topics
	set    *policy.Set
	cl     *kgo.Client
	read   []*kgo.Record
	n      int
	stop   func()
	log    logLines

	updates  chan *policy.Set
	registry *prometheus.Registry // of the engine that was started last
}

func newLiveEngine(t *testing.T, set *policy.Set) *liveEngine {
	t.Parallel()
	s := &liveEngine{T: t, broker: startEmbedded(t, t.TempDir()), topics: broker.DefaultTopics(), set: set,
		stop: func() {}, updates: make(chan *policy.Set)}
	s.topics.Partitions, s.topics.FactsPartitions = 3, 2
	var err error
	if s.cl, err = kgo.NewClient(kgo.SeedBrokers(s.broker.Addr()), kgo.RecordPartitioner(broker.Partitioner),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.ConsumeTopics(s.topics.Commands, s.topics.Breakers, s.topics.Alerts, s.topics.DLQ)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.cl.Close)
	if err := applyTopics(t.Context(), kadm.NewClient(s.cl), s.topics.Specs(true, 1)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			s.log.mu.Lock()
			defer s.log.mu.Unlock()
			t.Logf("log of the engine:\n%.3000s", s.log.buf.String())
		}
	})
	return s
}

func (s *liveEngine) options() []kgo.Opt { return []kgo.Opt{kgo.SeedBrokers(s.broker.Addr())} }

// run starts an engine with an empty state.
func (s *liveEngine) run() {
	s.Helper()
	store, err := state.Open("")
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan error, 1)
	s.registry = prometheus.NewRegistry()
	go func() {
		done <- Run(ctx, Config{Options: s.options(), Topics: s.topics, Group: "live", Instance: "0", Store: store,
			Policy: s.set, Encoder: &ocsf{}, Metrics: NewMetrics(s.registry),
			Log: slog.New(slog.NewTextHandler(&s.log, nil)), TransactionEvery: time.Millisecond, Updates: s.updates})
	}()
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			s.Error(err)
		}
		store.Close()
		s.stop = func() {}
	}
}

// until reads on until something is so.
func (s *liveEngine) until(what string, ok func() bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 60*time.Second)
	defer cancel()
	for !ok() {
		f := s.cl.PollFetches(ctx)
		if ctx.Err() != nil {
			s.Fatalf("waited in vain: %s", what)
		}
		s.read = append(s.read, f.Records()...)
	}
}

func (s *liveEngine) put(topic string, key, value []byte) {
	s.Helper()
	if err := s.cl.ProduceSync(s.Context(), &kgo.Record{Topic: topic, Partition: -1, Key: key,
		Value: value}).FirstErr(); err != nil {
		s.Fatal(err)
	}
}

// act is a call of an agent now, or a little later.
func (s *liveEngine) act(agent, persona, tool string, later time.Duration) {
	s.Helper()
	s.n++
	s.put(s.topics.Events, event.AppendKey(nil, "acme", agent),
		fmt.Appendf(nil,
			`{"id":"e%d","time":%d,"kind":"tool_call","tenant":"acme","agent":{"id":%q},"user":"u-%s","session":"s1","persona":%q,"tool":{"name":%q}}`,
			s.n, time.Now().Add(later).UnixMilli(), agent, agent, persona, tool))
}

// commands are those about a scope, in the order of the topic.
func (s *liveEngine) commands(scope event.Scope) (out []event.Command) {
	s.Helper()
	for _, r := range s.read {
		if r.Topic == s.topics.Commands && string(r.Key) == scope.Key() {
			c, err := event.ParseCommand(r.Value)
			if err != nil {
				s.Fatal(err)
			}
			out = append(out, c)
		}
	}
	return out
}

// said is what commands say, one line each.
func said(list []event.Command) (out []string) {
	for _, c := range list {
		out = append(out, fmt.Sprint(c.Epoch, " ", c.Action, " ", c.Issuer.Type, " ", c.Mode))
	}
	return out
}

// state is the last state of a scope; "": none, or closed.
func (s *liveEngine) state(scope event.Scope) (action, enforced string, epoch int64) {
	s.Helper()
	for _, r := range slices.Backward(s.read) {
		if r.Topic == s.topics.Breakers && string(r.Key) == scope.Key() {
			if r.Value == nil {
				return "", "", 0
			}
			b, err := event.ParseBreaker(r.Value)
			if err != nil {
				s.Fatal(err)
			}
			return b.Action.String(), b.Enforced, b.Epoch
		}
	}
	return "", "", 0
}

func (s *liveEngine) ack(c event.Command, status event.AckStatus) {
	s.Helper()
	a := event.Ack{CommandID: c.ID, Scope: c.Scope, Epoch: c.Epoch, Time: time.Now().UnixMilli(), Status: status,
		By: "gateway"}
	s.put(s.topics.Acks, nil, a.Append(nil))
}

func (s *liveEngine) feedback(kind event.FeedbackType, scope event.Scope, sign bool) []byte {
	s.Helper()
	s.n++
	f := event.Feedback{ID: fmt.Sprint("f", s.n), Time: time.Now().UnixMilli(), Tenant: scope.Tenant, Type: kind,
		Scope: scope, By: "alice", Reason: "looked at it"}
	if kind == event.TripFeedback {
		f.Action = event.Kill
	}
	if sign {
		f.Sign(keyOf("alice"))
	}
	b := f.Append(nil)
	s.put(s.topics.Feedback, nil, b)
	return b
}

// alerted counts findings of a rule.
func (s *liveEngine) alerted(rule string) (n int) {
	for _, r := range s.read {
		if r.Topic == s.topics.Alerts && strings.Contains(string(r.Value), rule) {
			n++
		}
	}
	return n
}

// dead counts dead letters of a reason.
func (s *liveEngine) dead(reason string) (n int) {
	for _, r := range s.read {
		if r.Topic == s.topics.DLQ &&
			slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool {
				return h.Key == "reason" &&
					string(h.Value) == reason
			}) {
			n++
		}
	}
	return n
}

func liveSet(t *testing.T, ackWithin string) *policy.Set {
	return setOf(t, fmt.Sprintf(`{"v":1,"personas":[
{"name":"clerk","default":"allow","tools":{"deny":["rm"]},"respond":{"action":"block","scope":"agent","duration":"1h"}},
{"name":"brief","default":"allow","tools":{"deny":["rm"]},"respond":{"action":"block","scope":"agent","duration":"1s"}},
{"name":"porter","default":"allow","tools":{"deny":["rm"]},"respond":{"action":"block","scope":"user","duration":"1h"}}],
"response":[{"enforce":true,"ack_within":%q,"guard":{"least":"3","percent":"0"},"keys":[{"name":"alice","tenants":["*"],"public":%q}]}]}`, ackWithin, publicOf("alice")))
}

func agentScope(id string) event.Scope {
	return event.Scope{Type: event.AgentScope, Tenant: "acme", ID: id}
}

func userScope(id string) event.Scope {
	return event.Scope{Type: event.UserScope, Tenant: "acme", ID: id}
}

// The whole life of a command on a real engine: violation, block, ack, defiance, restore.
func TestAViolationIsStoppedAndReleased(t *testing.T) {
	s := newLiveEngine(t, liveSet(t, "1m"))
	s.run()
	for _, x := range []struct {
		agent, persona string
		scope          event.Scope
	}{{"a1", "clerk", agentScope("a1")}, {"a2", "porter", userScope("u-a2")}} {
		s.act(x.agent, x.persona, "rm", 0)
		s.until("a violation blocks", func() bool {
			a, _, _ := s.state(x.scope)
			return a == "block" &&
				len(s.commands(x.scope)) == 1
		})
		block := s.commands(x.scope)[0]
		if block.Epoch != 1 || block.Mode != event.Enforce || block.DurationMS != 3_600_000 ||
			block.NotAfter <= block.IssuedAt || block.ReplyTo != s.topics.Acks {
			t.Errorf("%+v", block)
		}
		s.ack(block, event.Applied)
		s.until("an ack is seen in the state", func() bool { _, e, _ := s.state(x.scope); return e == "applied" })
		before := s.alerted("acts-after-applied")
		s.act(x.agent, x.persona, "search", 10*time.Second)
		s.until("who acts after an applied block is found",
			func() bool { return s.alerted("acts-after-applied") > before })

		dead := s.dead("unsigned")
		s.feedback(event.RestoreFeedback, x.scope, false)
		s.until("unsigned feedback is set aside", func() bool { return s.dead("unsigned") > dead })
		signed := s.feedback(event.RestoreFeedback, x.scope, true)
		s.until("signed feedback restores", func() bool { return len(s.commands(x.scope)) == 2 })
		s.until("a tombstone", func() bool { a, _, _ := s.state(x.scope); return a == "" })
		replays := s.dead("replayed")
		s.put(s.topics.Feedback, nil, signed)
		s.until("it is taken once", func() bool { return s.dead("replayed") > replays })
		if diff := gocmp.Diff([]string{"1 block rule enforce", "2 restore human enforce"},
			said(s.commands(x.scope))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", x.scope.Key(), diff)
		}
	}
	s.put(s.topics.Acks, nil, []byte(`{"command_id":"x"}`))
	s.put(s.topics.Feedback, nil, []byte(`not even JSON`))
	s.until("what is no ack is set aside", func() bool { return s.dead("bad_ack") == 1 && s.dead("bad_feedback") == 1 })
}

// What the wall clock decides: the end of a duration, an ack that does not come.
func TestTheClockEndsBreakersAndMissesAcks(t *testing.T) {
	s := newLiveEngine(t, liveSet(t, "1s"))
	s.run()
	s.act("b1", "brief", "rm", 0)
	s.until("it ends by itself", func() bool { return len(s.commands(agentScope("b1"))) == 2 })
	s.until("and the state with it", func() bool { a, _, _ := s.state(agentScope("b1")); return a == "" })
	if diff := gocmp.Diff([]string{"1 block rule enforce", "2 restore expiry enforce"},
		said(s.commands(agentScope("b1")))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	missed := s.alerted("not-enforced") // the brief one may have been missed, too
	s.act("a1", "clerk", "rm", 0)
	s.act("a2", "porter", "rm", 0)
	s.until("acks that do not come are findings", func() bool { return s.alerted("not-enforced") >= missed+2 })
	for _, scope := range []event.Scope{agentScope("a1"), userScope("u-a2")} {
		s.until("and seen in the state", func() bool { _, e, _ := s.state(scope); return e == "missed" })
	}
	s.ack(s.commands(agentScope("a1"))[0], event.Applied)
	s.until("a late one is taken all the same",
		func() bool { _, e, _ := s.state(agentScope("a1")); return e == "applied" })
}

// committed is what the behaviour stage has judged, against what there is.
func (s *liveEngine) judgedAll() bool {
	s.Helper()
	adm := kadm.NewClient(s.cl)
	ends, err := adm.ListEndOffsets(s.Context(), s.topics.Events)
	if err != nil {
		s.Fatal(err)
	}
	o, err := adm.FetchOffsets(s.Context(), "live-behaviour")
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		s.Fatal(err)
	}
	all := true
	ends.Each(func(end kadm.ListedOffset) {
		at, ok := o.Lookup(end.Topic, end.Partition)
		all = all && (end.Offset == 0 || ok && at.At >= end.Offset)
	})
	return all
}

// crash throws away what an unclean stop of the embedded broker throws away. torn changes what is
// there in between.
func (s *liveEngine) crash(torn func()) *Resume {
	s.Helper()
	s.stop()
	torn()
	r, err := ReadResume(s.Context(), s.options(), s.topics, "live")
	if err != nil {
		s.Fatal(err)
	}
	if err := s.broker.DiscardInternal(s.Context(), s.topics.Discardable(),
		[]string{"live-ingress", "live-behaviour", "live-relation"}); err != nil {
		s.Fatal(err)
	}
	return r
}

// After control, journal, facts and all state are gone, what was said to the world holds: epochs,
// open breakers, who was restored. Nobody is stopped again for what was judged before.
func TestBreakersOutliveEverythingBehindThem(t *testing.T) {
	s := newLiveEngine(t, liveSet(t, "1m"))
	s.run()
	session := event.Scope{Type: event.SessionScope, Tenant: "acme", Agent: "a5", ID: "s1"}
	s.act("a1", "clerk", "rm", 0)   // blocked, applied
	s.act("a2", "clerk", "rm", 0)   // blocked and restored
	s.act("a3", "porter", "rm", 0)  // the user is blocked
	s.act("a4", "clerk", "mail", 0) // nothing
	restored := []byte(nil)
	s.until("blocks", func() bool {
		return len(s.commands(agentScope("a1"))) == 1 && len(s.commands(agentScope("a2"))) == 1 &&
			len(s.commands(userScope("u-a3"))) == 1
	})
	s.ack(s.commands(agentScope("a1"))[0], event.Applied)
	restored = s.feedback(event.RestoreFeedback, agentScope("a2"), true)
	s.feedback(event.TripFeedback, session, true)
	s.until("an ack, a restore and a trip by hand", func() bool {
		_, e, _ := s.state(agentScope("a1"))
		a, _, _ := s.state(session)
		return e == "applied" && len(s.commands(agentScope("a2"))) == 2 && a == "kill"
	})
	s.until("everything is judged", s.judgedAll)
	type told struct {
		said            []string
		action, enforce string
		epoch           int64
	}
	scopes := []event.Scope{agentScope("a1"), agentScope("a2"), userScope("u-a3"), session}
	picture := func() (out []told) {
		for _, x := range scopes {
			a, e, n := s.state(x)
			out = append(out, told{said(s.commands(x)), a, e, n})
		}
		return out
	}
	want := picture()

	for round := range 3 {
		at := len(s.read)
		r := s.crash(func() {
			if round == 1 {
				// a torn transaction: the state was told, the command was not, and the other way
				// round
				b := event.Breaker{Scope: agentScope("a9"), State: "open", Action: event.Block, Epoch: 4,
					Since: time.Now().UnixMilli(), Mode: event.Enforce, CommandID: idOf(agentScope("a9"), 4),
					Reason: "torn", Issuer: event.Issuer{Type: "rule", Rule: "x"}}
				c := event.Command{ID: idOf(agentScope("a9"), 3), Action: event.Restore, Scope: b.Scope, Epoch: 3,
					Time: b.Since, IssuedAt: b.Since, Mode: event.Enforce, Issuer: event.Issuer{Type: "expiry"},
					Reason: "over"}
				s.put(s.topics.Breakers, []byte(b.Scope.Key()), b.Append(nil))
				s.put(s.topics.Commands, []byte(b.Scope.Key()), c.Append(nil))
				c = event.Command{ID: idOf(agentScope("a8"), 7), Action: event.Kill, Scope: agentScope("a8"), Epoch: 7,
					Time: b.Since, IssuedAt: b.Since, Mode: event.Enforce, Issuer: event.Issuer{Type: "rule"},
					Reason: "torn"}
				s.put(s.topics.Commands, []byte(c.Scope.Key()), c.Append(nil))
			}
		})
		if wantScopes := []int{4, 7, 8}[round]; r.Scopes() != wantScopes {
			t.Errorf("round %d: %d scopes, want %d", round, r.Scopes(), wantScopes)
		}
		if round == 2 { // died between the two, once
			again, err := ReadResume(t.Context(), s.options(), s.topics, "live")
			if err != nil {
				t.Fatal(err)
			}
			r = again
		}
		if err := r.Write(t.Context(), s.options(), s.topics); err != nil {
			t.Fatal(err)
		}
		s.run()
		s.until("everything is judged again", s.judgedAll)
		// A marker behind it all: what came before has been dealt with when it is.
		s.act(fmt.Sprint("marker-", round), "porter", "rm", 0)
		s.until("the next violation is stopped", func() bool {
			return len(s.commands(userScope(fmt.Sprint("u-marker-", round)))) == 1
		})
		s.until("the states are told again", func() bool {
			n := 0
			for _, rec := range s.read[at:] {
				if rec.Topic == s.topics.Breakers {
					n++
				}
			}
			return n >= r.Scopes()
		})
		if diff := gocmp.Diff(want, picture(), gocmp.AllowUnexported(told{})); diff != "" {
			t.Fatalf("round %d (-before +after):\n%s", round, diff)
		}
		if round == 1 {
			if diff := gocmp.Diff([]string{"3 restore expiry enforce", "4 block rule enforce"},
				said(s.commands(agentScope("a9")))); diff != "" {
				t.Errorf("a lost command (-want +got):\n%s", diff)
			}
			if a, _, epoch := s.state(agentScope("a8")); a != "kill" || epoch != 7 {
				t.Errorf("a lost state: %s, epoch %d", a, epoch)
			}
		}
	}

	// Epochs go on, feedback from before does not act again, and the guard still counts.
	s.put(s.topics.Feedback, nil, restored)
	s.until("old feedback is refused", func() bool { return s.dead("before_resume")+s.dead("replayed") > 0 })
	for _, x := range []event.Scope{agentScope("a1"), userScope("u-a3"), session} {
		s.feedback(event.RestoreFeedback, x, true)
		s.until("restored", func() bool { return len(s.commands(x)) == 2 })
		s.until("a tombstone", func() bool { a, _, _ := s.state(x); return a == "" })
		if c := s.commands(x)[1]; c.Epoch != 2 || c.Action != event.Restore {
			t.Errorf("%+v", c)
		}
	}
	s.act("a2", "clerk", "rm", 0)
	s.until("who was restored and does it anew is stopped anew",
		func() bool { return len(s.commands(agentScope("a2"))) == 3 })
	if c := s.commands(agentScope("a2"))[2]; c.Epoch != 3 || c.Action != event.Block {
		t.Errorf("%+v", c)
	}
}

func TestThereMayBeNothingToResume(t *testing.T) {
	for name, make := range map[string]func(s *liveEngine){
		"nothing was ever done": func(*liveEngine) {},
		"an older installation without topics for commands": func(s *liveEngine) {
			if _, err := kadm.NewClient(s.cl).DeleteTopics(t.Context(), s.topics.Commands, s.topics.Breakers,
				s.topics.Control); err != nil {
				s.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newLiveEngine(t, liveSet(t, "1m"))
			make(s)
			r, err := ReadResume(t.Context(), s.options(), s.topics, "live")
			if err != nil || r.Scopes() != 0 {
				t.Fatalf("%+v, %v", r, err)
			}
			if err := applyTopics(t.Context(), kadm.NewClient(s.cl), s.topics.Specs(true, 1)); err != nil {
				t.Fatal(err)
			}
			if err := r.Write(t.Context(), s.options(), s.topics); err != nil {
				t.Fatal(err)
			}
			s.run()
			s.act("a1", "clerk", "rm", 0)
			s.until("a violation blocks", func() bool { return len(s.commands(agentScope("a1"))) == 1 })
		})
	}
}
