package detectors

import (
	"fmt"
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/rules"
)

// Whoever brings ever new keys and fills their windows takes no more of a page than is given, and what was forgotten is marked.
func TestAPageHoldsNoMoreOfRulesThanItMay(t *testing.T) {
	set, err := policy.Parse([]byte(`{"v":1,"rules":[{"id":"many","title":"t","by":["agent","subject"],"window":"1h","where":"tool.class == \"read\"","let":{"n":"count()"},"having":"n > 3000"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	d := newRules(9, set).(*ruleRunner)
	var agent Memory
	x := Scene{Host: &nobody{}, Who: New(set).Who("acme", "p", ""), Agent: &agent}
	e := event.Event{Kind: event.ToolCall, Tenant: "acme", Agent: event.Agent{ID: "a"}, Tool: event.Tool{Class: event.Read}}
	most, states := 0, 0
	for i := range 400 { // keys
		for j := range 200 {
			x.Time = int64(i*200 + j)
			e.ID, e.Subject = fmt.Sprint(i, "-", j), fmt.Sprint("s", i)
			d.Observe(&x, &e)
		}
		part := agent.Part(9).(*rulePart)
		held := 0
		for _, k := range part.states {
			held += k.Held()
		}
		most, states = max(most, held), max(states, len(part.states))
	}
	part := agent.Part(9).(*rulePart)
	if most > rules.MaxKept+300 || states > rules.MaxStates || !part.dropped {
		t.Errorf("%d events and %d keys are kept, dropped %v", most, states, part.dropped)
	}
}
