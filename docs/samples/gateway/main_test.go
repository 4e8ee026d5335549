package main

import (
	"context"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/broker"
)

func TestTheSampleObeysAndAnswers(t *testing.T) {
	b, err := broker.StartEmbedded("", 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics("agent.acks"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	topics := broker.DefaultTopics()
	topics.Partitions, topics.FactsPartitions = 2, 1
	adm := kadm.NewClient(cl)
	changes, err := broker.PlanTopics(t.Context(), adm, topics.Specs(true, 1))
	if err == nil {
		err = broker.ApplyTopics(t.Context(), adm, changes, func(broker.Change) {})
	}
	if err != nil {
		t.Fatal(err)
	}
	put := func(topic string, s event.Scope, value []byte) {
		t.Helper()
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: s.AppendKey(nil),
			Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	scope := func(id string) event.Scope { return event.Scope{Type: event.AgentScope, ID: id, Tenant: "acme"} }
	issuer := event.Issuer{Type: "rule", Rule: "r"}
	now := time.Now().UnixMilli()
	state := func(id string, epoch int64, mode, enforced string) []byte {
		b := event.Breaker{Scope: scope(id), State: "open", Action: event.Block, Epoch: epoch, Since: now, Mode: mode,
			Enforced: enforced, CommandID: "b-" + id, Reason: "x", Issuer: issuer}
		return b.Append(nil)
	}
	command := func(id string, a event.Action, epoch int64, mode string, notAfter int64) []byte {
		c := event.Command{ID: "c-" + id, Action: a, Scope: scope(id), Epoch: epoch, Time: now, IssuedAt: now,
			NotAfter: notAfter, Mode: mode, Reason: "x", Issuer: issuer}
		if a == event.Throttle {
			c.Rate = event.Rate{Calls: 1, PerSeconds: 1}
		}
		return c.Append(nil)
	}
	// Before it starts: one held, one free again, one in dry run, and a command that was done long
	// ago.
	put("agent.breakers", scope("held"), state("held", 4, event.Enforce, ""))
	put("agent.breakers", scope("known"), state("known", 4, event.Enforce, "applied"))
	put("agent.breakers", scope("free"), state("free", 2, event.Enforce, "applied"))
	put("agent.breakers", scope("free"), nil)
	put("agent.breakers", scope("dry"), state("dry", 2, event.DryRun, ""))
	put("agent.commands", scope("free"), command("old", event.Block, 1, event.Enforce, 0))

	var mu sync.Mutex
	var said []string
	heard := make(chan string, 100)
	g := &gateway{name: "gw", held: map[string]hold{}, last: map[string]int64{}, say: func(what string) {
		mu.Lock()
		said = append(said, what)
		mu.Unlock()
		heard <- what
	}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- g.run(ctx, []string{b.Addr()}) }()
	for what := range heard {
		if strings.HasPrefix(what, "started") {
			if what != "started: 2 scopes are held" {
				t.Error(what)
			}
			break
		}
	}

	later := now + time.Hour.Milliseconds()
	// received, applied
	put("agent.commands", scope("x1"), command("x1", event.Throttle, 1, event.Enforce, later))
	for _, c := range [][]byte{
		// received, applied
		command("x", event.Throttle, 2, event.Enforce, later),
		// again: applied
		command("x", event.Throttle, 2, event.Enforce, later),
		// stale: nothing
		command("x", event.Block, 1, event.Enforce, later),
		// nothing
		command("x", event.Kill, 9, event.DryRun, later),
		// expired
		command("x", event.Kill, 3, event.Enforce, now-60_000),
		// refused: nothing
		[]byte(strings.Replace(string(command("x", event.Kill, 4, event.Enforce, later)), `"agent","id"`,
			`"fleet","id"`, 1)),
		// received, applied
		command("x", event.Block, 5, event.Enforce, later),
		// late and right: received, applied
		command("x", event.Restore, 6, event.Enforce, now-60_000),
	} {
		put("agent.commands", scope("x"), c)
	}
	// received, applied
	put("agent.commands", scope("held"), command("held", event.Restore, 5, event.Enforce, later))
	want := map[string]string{
		"b-held":   "4 applied",
		"c-x1":     "1 received, 1 applied",
		"c-x":      "2 received, 2 applied, 2 applied, 3 expired, 5 received, 5 applied, 6 received, 6 applied",
		"c-held":   "5 received, 5 applied",
		"b-dry":    "",
		"b-free":   "",
		"b-known":  "",
		"c-old":    "",
		"unwanted": "",
	}
	got := map[string]string{}
	for n := 0; n < 13 && ctx.Err() == nil; {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			a, err := event.ParseAck(r.Value)
			if err != nil || string(r.Key) != a.Scope.Key() || a.By != "gw" {
				t.Errorf("%v in %s", err, r.Value)
			}
			n++
			got[a.CommandID] = strings.TrimPrefix(got[a.CommandID]+", "+
				strings.Join([]string{string(rune('0' + a.Epoch)), a.Status.String()}, " "), ", ")
		})
	}
	for id, w := range want {
		if got[id] != w {
			t.Errorf("acks of %s: got %s, want %s", id, got[id], w)
		}
	}
	cancel()
	<-ended
	holds := map[string]hold{"acme|agent|known": {action: event.Block},
		"acme|agent|x1": {action: event.Throttle, rate: event.Rate{Calls: 1, PerSeconds: 1}}}
	if !reflect.DeepEqual(g.held, holds) {
		t.Errorf("held are %v", g.held)
	}
	mu.Lock()
	defer mu.Unlock()
	if all := strings.Join(said, "\n"); !strings.Contains(all, `refused: command: scope.type "fleet" is unknown`) {
		t.Errorf("said:\n%s", all)
	}
}

func TestAHoldEndsByItself(t *testing.T) {
	g := &gateway{held: map[string]hold{}, last: map[string]int64{}, say: func(string) {}}
	s := event.Scope{Type: event.AgentScope, ID: "a", Tenant: "acme"}
	at := time.Unix(1000, 0)
	g.hold(s, 1, event.Block, event.Rate{}, at)
	if g.expire(at); len(g.held) != 1 {
		t.Error("freed before its time")
	}
	if g.expire(at.Add(time.Millisecond)); len(g.held) != 0 {
		t.Error("held for ever")
	}
}

func TestAStateThatCannotBeReadStopsTheGateway(t *testing.T) {
	g := &gateway{held: map[string]hold{}, last: map[string]int64{}, say: func(string) {}}
	if _, err := g.breaker(&kgo.Record{Key: []byte("acme|fleet|x"), Value: []byte(`{"schema":"wayward.breaker/v2"}`)},
		false, time.Now()); err == nil {
		t.Error("it lets calls pass")
	}
}
