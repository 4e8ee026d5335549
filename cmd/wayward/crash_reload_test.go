package main

import (
	"slices"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// reload puts the last rule in another's place, tells the engines that run, and returns how many
// events had been sent when all had heard, or were dead.
func (a *testbed) reload(str *traffic, during func(over func() bool)) int {
	writeRules(a.t, a.policies, afterReload)
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
func (a *testbed) inForce(b *balance, sent [][]byte, from int) {
	rule := map[string]string{} // by agent and trigger
	n := map[string]int{}
	for _, r := range a.read(a.topics.Alerts) {
		if s, err := readAlert(r); err == nil && s.Activity == 1 &&
			(s.Rule == "rule/"+beforeReload || s.Rule == "rule/"+afterReload) {
			rule[s.Tenant+"|"+s.ID+"|"+s.Trigger] = s.Rule
			n[s.Rule]++
		}
	}
	by := kgo.StickyKeyPartitioner(nil).ForTopic("")
	last := map[int]string{}
	for _, line := range sent[from:] {
		e := readOracleEvent(line)
		if e == nil {
			continue
		}
		told, ok := rule[e.Tenant+"|"+e.Agent.ID+"|"+e.ID]
		if !ok {
			continue
		}
		p := by.Partition(&kgo.Record{Key: []byte(e.Tenant + "|" + e.Agent.ID)}, 6)
		if last[p] == "rule/"+afterReload && told == "rule/"+beforeReload {
			b.wrong++
			b.sample("the old rule after the new one", e.ID)
		}
		last[p] = told
	}
	for p, told := range last {
		if told != "rule/"+afterReload {
			b.wrong++
			b.sample("the old rule is still in force", p)
		}
	}
	a.reloads = reloads{n["rule/"+beforeReload], n["rule/"+afterReload], len(last)}
}
