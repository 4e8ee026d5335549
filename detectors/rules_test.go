package detectors

import (
	"fmt"
	"strings"
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

// A rule as large as one may be runs like any other.
func TestTheLargestRuleRuns(t *testing.T) {
	step := `{"where":"kind == \"tool_call\" and subject == \"%d\""}`
	var steps, nots []string
	for i := range rules.MaxSteps {
		steps = append(steps, fmt.Sprintf(step, i))
		nots = append(nots, fmt.Sprintf(step, 100+i))
	}
	set, err := policy.Parse([]byte(`{"v":1,"rules":[{"id":"large","title":"t","by":["agent"],"within":"1h","steps":[` + strings.Join(steps, ",") + `],"not":[` + strings.Join(nots, ",") + `],"absent":{"where":"kind == \"tool_call\" and subject == \"200\"","for":"1m"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	d := newRules(9, set).(*ruleRunner)
	told := &teller{}
	x := Scene{Host: told, Who: New(set).Who("acme", "p", ""), Agent: &Memory{}}
	e := event.Event{ID: "e", Kind: event.ToolCall, Tenant: "acme", Agent: event.Agent{ID: "a"}}
	for _, subject := range []string{"0", "7", "100", "107", "200", "none"} {
		e.Subject = subject
		d.Observe(&x, &e)
	}
	if told.n != 5 {
		t.Errorf("%d events are told, want 5", told.n)
	}
}

type teller struct {
	nobody
	n int
}

func (q *teller) Tell(byte, policy.Scope, string, []byte) { q.n++ }
