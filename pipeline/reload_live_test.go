package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/broker"
)

// A sequence that was begun under one set of policies ends under the next, and what the next one
// adds is found, while the engine runs.
func TestAnotherSetTakesEffectWhileTheEngineRuns(t *testing.T) {
	const kept = `{"id":"kept","title":"x","by":["agent"],"within":"10m","steps":[{"name":"a","where":"tool.name == \"search\""},{"name":"b","where":"tool.name == \"mail\""}]}`
	const aside = `{"id":"by-user","title":"x","by":["user"],"within":"10m","steps":[{"name":"a","where":"tool.name == \"search\""},{"name":"b","where":"tool.name == \"mail\""}]}`
	s := newLiveEngine(t,
		setOf(t, `{"v":1,"rules":[`+kept+`,`+aside+`,{"id":"gone","title":"x","where":"tool.name == \"rm\""}]}`))
	s.run()
	count := func(rule string) (n int) {
		for _, r := range s.read {
			if r.Topic == s.topics.Alerts && bytes.Contains(r.Value, []byte(`"uid":"rule/`+rule+`"`)) {
				n++
			}
		}
		return n
	}
	s.act("agent-1", "clerk", "search", 0)
	s.act("agent-2", "clerk", "rm", 0)
	s.until("the first set finds", func() bool { return count("gone") == 1 })
	s.updates <- setOf(t,
		`{"v":1,"rules":[`+kept+`,`+aside+`,{"id":"come","title":"x","where":"tool.name == \"rm\"","suppress":"1s"}]}`)
	goOn := s.busy("agent-2", "rm")
	s.until("the second set takes effect", func() bool { return count("come") > 0 })
	goOn()
	s.act("agent-1", "clerk", "mail", 0)
	goOn = s.busy("agent-3", "other") // time goes on, also where nobody else acts
	s.until("a sequence over both sets", func() bool { return count("kept") > 0 && count("by-user") > 0 })
	goOn()
	if a, b := count("kept"), count("by-user"); a != 1 || b != 1 {
		t.Errorf("%d and %d findings of sequences, want one each", a, b)
	}
}

// A rule that fails with every event is turned off, by a record like any other change, and the
// others go on.
func TestARuleThatFailsIsTurnedOff(t *testing.T) {
	s := newLiveEngine(t,
		setOf(t,
			`{"v":1,"rules":[{"id":"bad","title":"x","suppress":"1s","where":"tool.name == \"search\" and resource.labels[0] == \"pii\""},{"id":"good","title":"x","suppress":"1s","where":"tool.name == \"search\""}]}`))
	s.run()
	off := func() bool { return s.metric("wayward_rule_off", "bad") == 1 }
	goOn := s.busy("agent-1", "search")
	s.until("the rule is turned off", off)
	goOn()
	looked := func(rule string) float64 { return s.metric("wayward_rule_conditions_total", "behaviour", rule) }
	// By a record in the log of every shard: until it has been read, events are still looked at.
	goOn = s.busy("agent-2", "search")
	s.until("nobody asks the rule any more", func() bool {
		bad, good := looked("bad"), looked("good")
		broker.Pause(t.Context(), 2500*time.Millisecond) // it is told once a second
		return looked("bad") == bad && looked("good") > good
	})
	goOn()
	if n := s.metric("wayward_rule_events_total", "behaviour", "bad", "error"); n < 100 {
		t.Errorf("%v errors are counted", n)
	}
	if at := s.metric("wayward_rule_last_match_timestamp_seconds", "behaviour",
		"good"); time.Since(time.Unix(int64(at), 0)) > time.Minute {
		t.Errorf("the last match was at %v", at)
	}
	s.log.mu.Lock()
	log := s.log.buf.String()
	s.log.mu.Unlock()
	if n := strings.Count(log, "an expression of a rule fails"); n != 1 {
		t.Errorf("it is logged %d times that the rule fails", n)
	}
	if !strings.Contains(log, "rule turned off") || strings.Contains(log, "pii") {
		t.Errorf("the log:\n%s", log)
	}
}

// metric is the value of a metric with these labels, in any order; 0 if there is none.
func (s *liveEngine) metric(name string, labels ...string) float64 {
	families, err := s.registry.Gather()
	if err != nil {
		s.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			has := 0
			for _, l := range m.GetLabel() {
				if slices.Contains(labels, l.GetValue()) {
					has++
				}
			}
			if has == len(labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// busy lets an agent act again and again until it is told to stop.
func (s *liveEngine) busy(agent, tool string) (stop func()) {
	ctx, cancel := context.WithCancel(s.Context())
	var done sync.WaitGroup
	done.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			b := fmt.Appendf(nil,
				`{"id":"%s-%s-%d","time":%d,"kind":"tool_call","tenant":"acme","agent":{"id":%q},"tool":{"name":%q}}`,
				agent, tool, n, time.Now().UnixMilli(), agent, tool)
			s.cl.ProduceSync(ctx, &kgo.Record{Topic: s.topics.Events, Partition: -1,
				Key: event.AppendKey(nil, "acme", agent), Value: b})
			broker.Pause(ctx, 50*time.Millisecond)
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}
