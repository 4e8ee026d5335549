package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
)

// A sequence that was begun under one set of policies ends under the next, and what the next one adds is found, while the engine runs.
func TestAnotherSetTakesEffectWhileTheEngineRuns(t *testing.T) {
	const kept = `{"id":"kept","title":"x","by":["agent"],"within":"10m","steps":[{"name":"a","where":"tool.name == \"search\""},{"name":"b","where":"tool.name == \"mail\""}]}`
	const aside = `{"id":"by-user","title":"x","by":["user"],"within":"10m","steps":[{"name":"a","where":"tool.name == \"search\""},{"name":"b","where":"tool.name == \"mail\""}]}`
	s := newStreet(t, setOf(t, `{"v":1,"rules":[`+kept+`,`+aside+`,{"id":"gone","title":"x","where":"tool.name == \"rm\""}]}`))
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
	s.updates <- setOf(t, `{"v":1,"rules":[`+kept+`,`+aside+`,{"id":"come","title":"x","where":"tool.name == \"rm\"","suppress":"1s"}]}`)
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

// busy lets an agent act again and again until it is told to stop.
func (s *street) busy(agent, tool string) (stop func()) {
	ctx, cancel := context.WithCancel(s.Context())
	var done sync.WaitGroup
	done.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			b := fmt.Appendf(nil, `{"id":"%s-%s-%d","time":%d,"kind":"tool_call","tenant":"acme","agent":{"id":%q},"tool":{"name":%q}}`, agent, tool, n, time.Now().UnixMilli(), agent, tool)
			s.cl.ProduceSync(ctx, &kgo.Record{Topic: s.topics.Events, Partition: -1, Key: event.AppendKey(nil, "acme", agent), Value: b})
			pause(ctx, 50*time.Millisecond)
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}
