package main

import (
	"slices"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/cmd/wayward/oracle"
)

// reload puts the last rule in another's place, tells the engines that run, and returns how many
// events had been sent when all had heard, or were dead.
func (a *testbed) reload(str *traffic, during func(over func() bool)) int {
	must(a.t, oracle.WriteRules(a.policies, oracle.AfterReload))
	a.mu.Lock()
	running := slices.Clone(a.running)
	a.mu.Unlock()
	for _, e := range running {
		e.signal(syscall.SIGHUP)
	}
	deadline := time.Now().Add(30 * time.Second)
	during(func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		if time.Now().After(deadline) {
			a.t.Error("an engine did not hear of the reload within 30 s")
			return true
		}
		return !slices.ContainsFunc(running, func(e *engine) bool {
			select {
			case <-e.done:
				return false
			default:
				return e.heard < 2
			}
		})
	})
	return len(str.sent)
}

// reloads is what the rule that was replaced has told before and after, and in how many partitions
// it told something after.
type reloads struct{ before, after, partitions int }

// inForce wants that, of the events sent after all engines had heard of the reload, once one of a
// partition was told by the new rule none is told by the old one, and the last of each is.
func (a *testbed) inForce(b *oracle.Balance, sent [][]byte, from int) {
	rule := map[string]string{} // by agent and trigger
	n := map[string]int{}
	for _, r := range a.read(a.topics.Alerts) {
		if s, err := oracle.ReadAlert(r); err == nil && s.Activity == 1 &&
			(s.Rule == "rule/"+oracle.BeforeReload || s.Rule == "rule/"+oracle.AfterReload) {
			rule[s.Tenant+"|"+s.ID+"|"+s.Trigger] = s.Rule
			n[s.Rule]++
		}
	}
	by := kgo.StickyKeyPartitioner(nil).ForTopic("")
	last := map[int]string{}
	for _, line := range sent[from:] {
		e := oracle.ReadEvent(line)
		if e == nil {
			continue
		}
		told, ok := rule[e.Tenant+"|"+e.Agent.ID+"|"+e.ID]
		if !ok {
			continue
		}
		p := by.Partition(&kgo.Record{Key: []byte(e.Tenant + "|" + e.Agent.ID)}, 6)
		if last[p] == "rule/"+oracle.AfterReload && told == "rule/"+oracle.BeforeReload {
			b.Wrong++
			b.Sample("the old rule after the new one", e.ID)
		}
		last[p] = told
	}
	for p, told := range last {
		if told != "rule/"+oracle.AfterReload {
			b.Wrong++
			b.Sample("the old rule is still in force", p)
		}
	}
	a.reloads = reloads{n["rule/"+oracle.BeforeReload], n["rule/"+oracle.AfterReload], len(last)}
}
