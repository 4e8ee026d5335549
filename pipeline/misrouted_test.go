package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
)

// A producer whose partitioner is another one spreads an agent over partitions that are not its
// key's. Its breaker is one all the same, where people and gateways reach it.
func TestTheBreakerOfAMisroutedAgentIsOne(t *testing.T) {
	for seed := range uint64(20) {
		c := newBothStages(t, seed, 4, 2, setOf(t, armed(true, "")))
		scope := event.Scope{Type: event.AgentScope, Tenant: "t1", ID: "agent-1"}
		home := byKey(event.AppendKey(nil, "t1", "agent-1"), 4)
		wrong := int64(0)
		act := func(n int) {
			for i := range n {
				c.now += 1000
				line := fmt.Appendf(nil,
					`{"id":"e%d-%d","time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":"agent-1"},"persona":"clerk","tool":{"name":"rm"}}`,
					c.now, i, c.now)
				p := c.IntN(4)
				if int32(p) != home {
					wrong++
				}
				c.logs[p].add(mainLog, line, c.now)
				c.settle()
			}
		}
		act(8)
		got := c.commands[scope.Key()]
		if len(got) != 1 || got[0].Action != event.Block || got[0].Epoch != 1 {
			t.Fatalf("seed %d: commands %+v", seed, got)
		}
		c.now += 1000
		f := event.Feedback{Type: event.RestoreFeedback, Scope: scope}
		c.sendFeedback(0, f)
		c.settle()
		if got = c.commands[scope.Key()]; len(got) != 2 || got[1].Action != event.Restore || got[1].Epoch != 2 {
			t.Errorf("seed %d: commands after a restore: %+v; refused: %v", seed, got, c.dead)
		}
		for p, b := range c.behaviours {
			for _, pg := range every(t, b.shard) {
				if pg.breaker != nil && int32(p) != home {
					t.Errorf("seed %d: partition %d has a breaker of an agent of partition %d", seed, p, home)
				}
			}
		}
		if c.dead["not_open"] > 0 || wrong == 0 {
			t.Errorf("seed %d: %d events of 8 were misrouted, refused: %v", seed, wrong, c.dead)
		}
	}
}

// What lies in the wrong partition is counted by reason and logged once; doctor finds it, too; and
// what comes through the ingress lies where it belongs.
func TestMisroutedEventsAreCountedAndLogged(t *testing.T) {
	l := newLab(t)
	l.topics.Partitions = 2
	var records []*kgo.Record
	n := map[string]int{}
	for i, r := range l.events(400) {
		key := r.Key
		r.Partition = byKey(key, 2)
		if i%4 != 0 {
			r.Partition = 1 - r.Partition
			n[misroutedWhy[i%4-1]]++
		}
		switch i % 4 {
		case noKey + 1:
			r.Key = nil
		case otherKey + 1:
			r.Key = []byte("session-7")
		}
		records = append(records, r)
	}
	if err := l.cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c := l.config("a", l.store(t.TempDir()))
	registry := prometheus.NewRegistry()
	c.Metrics = NewMetrics(registry)
	e := l.start(c)
	l.drained()
	for why, n := range n {
		want := fmt.Sprintf("wayward_misrouted_events_total{reason=%q,stage=\"behaviour\"} %d\n", why, n)
		l.until("the metrics say "+want, func() bool { return strings.Contains(exposed(registry), want) })
		if got := strings.Count(l.text(), "reason="+why); got != 1 {
			t.Errorf("%s is logged %d times", why, got)
		}
	}
	if err := e.end(); err != nil {
		t.Fatal(err)
	}
	m, err := SampleRouting(t.Context(), c.Options, l.topics.Events, 1000)
	if err != nil || m.Looked != 400 {
		t.Fatalf("looked at %d, %v", m.Looked, err)
	}
	for why, n := range n {
		if m.Reasons[why] != n {
			t.Errorf("%s: %d, want %d", why, m.Reasons[why], n)
		}
	}
	if s := m.String(); !strings.Contains(s, "300 of the newest 400") || !strings.Contains(s, "belongs in partition") {
		t.Error(s)
	}
	if ahead, _, ok, err := Ahead(t.Context(), c.Options, l.topics.Journal); err != nil || !ok || ahead > MostAhead {
		t.Errorf("ahead %v, %v, %v", ahead, ok, err)
	}
}

// exposed is what /metrics says.
func exposed(g prometheus.Gatherer) string {
	w := httptest.NewRecorder()
	promhttp.HandlerFor(g, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// The ingress is the way out where a producer cannot be changed.
func TestTheIngressWritesWhereEventsBelong(t *testing.T) {
	l := newLab(t)
	if _, err := l.adm.CreateTopic(t.Context(), 3, 1, nil, "raw"); err != nil {
		t.Fatal(err)
	}
	for i, r := range l.events(200) {
		r.Topic, r.Partition, r.Key = "raw", int32(i%3), nil
		if err := l.cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	c := l.config("a", l.store(t.TempDir()))
	c.Stages, c.Ingress = []string{"ingress"}, []Ingress{{Topic: "raw", Format: "native"}}
	c.Log = slog.New(slog.NewTextHandler(&l.log, nil))
	l.start(c)
	l.until("all events are brought over", func() bool {
		return len(l.read(l.topics.Events, 0))+len(l.read(l.topics.Events, 1)) == 200
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	m, err := SampleRouting(ctx, c.Options, l.topics.Events, 1000)
	if err != nil || m.Looked != 200 || len(m.Reasons) != 0 {
		t.Errorf("%+v, %v", m, err)
	}
}
