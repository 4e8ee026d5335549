package rule

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/rules"
)

// Whoever brings ever new keys and fills their windows takes no more of a page than is given, and
// what was forgotten is marked.
func TestAPageHoldsNoMoreOfRulesThanItMay(t *testing.T) {
	set, err := policy.Parse(
		[]byte(
			`{"v":1,"rules":[{"id":"many","title":"t","by":["agent","subject"],"window":"1h","where":"tool.class == \"read\"","let":{"n":"count()"},"having":"n > 3000"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	d := newRules(9, set).(*ruleRunner)
	var agent detectors.Memory
	x := detectors.Scene{Host: &detectorstest.NoHost{}, Who: detectors.New(set).Who("acme", "p", ""), Agent: &agent}
	e := event.Event{Kind: event.ToolCall, Tenant: "acme", Agent: event.Agent{ID: "a"},
		Tool: event.Tool{Class: event.Read}}
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
			held += k.Numbers()
		}
		most, states = max(most, held), max(states, len(part.states))
	}
	part := agent.Part(9).(*rulePart)
	if most > rules.MaxPageNumbers || states > rules.MaxStates || part.dropped && len(part.states) > rules.MaxStates {
		t.Errorf("%d numbers and %d keys are kept, dropped %v", most, states, part.dropped)
	}
	if held, weight := part.sums(); held != part.held || weight != part.weight {
		t.Errorf("%d numbers and %d bytes are kept, and %d and %d were counted", held, weight, part.held, part.weight)
	}
}

func (p *rulePart) sums() (held, weight int) {
	for _, k := range p.states {
		held, weight = held+k.Numbers(), weight+k.Size()
	}
	return held, weight
}

// player shows events of one agent to rules.
type player struct {
	d *ruleRunner
	q *finder
	x detectors.Scene
	n int
}

func playing(t *testing.T, rule string) *player {
	t.Helper()
	set, err := policy.Parse([]byte(`{"v":1,"rules":[` + rule + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	p := &player{d: newRules(9, set).(*ruleRunner), q: &finder{}}
	p.x = detectors.Scene{Host: p.q, Who: detectors.New(set).Who("acme", "p", ""), Agent: &detectors.Memory{}}
	return p
}

func (p *player) act(at int64, class event.Class, subject string) string {
	p.n++
	id := fmt.Sprint("e", p.n)
	p.x.Time = at
	p.d.Observe(&p.x, &event.Event{ID: id, Time: at, Kind: event.ToolCall, Tenant: "acme", Agent: event.Agent{ID: "a"},
		Tool: event.Tool{Class: class}, Subject: subject, Has: event.HasRecords, Result: event.ResultOf{Records: 1}})
	return id
}

// However many keys somebody makes up, what adds up under another one goes on adding up.
func TestDecoyKeysDoNotHideAWindow(t *testing.T) {
	p := playing(t,
		`{"id":"many","title":"t","by":["agent","subject"],"window":"1h","suppress":"1s","where":"tool.class == \"read\"","let":{"n":"sum(result.records)"},"having":"n == 300"}`)
	at := int64(0)
	act := func(subject string) string { at += 10; return p.act(at, event.Read, subject) }
	for range 299 {
		act("true")
	}
	for i := range 3 * rules.MaxStates {
		act(fmt.Sprint("decoy", i))
		if i%1000 == 0 { // a restart changes nothing
			part := p.x.Agent.Part(9).(*rulePart)
			b := part.Append(nil)
			back := newRulePart()
			back.Decode(&wire.Reader{B: b})
			p.x.Agent.Set(9, back)
			held, weight := back.sums()
			if held != part.held || weight != part.weight || string(back.Append(nil)) != string(b) {
				t.Fatalf("%d numbers, %d bytes come back; %d and %d were counted", held, weight, part.held, part.weight)
			}
		}
	}
	last := act("true")
	if len(p.q.found) != 1 || p.q.found[0].Refs[5].ID != last {
		t.Errorf("%d findings", len(p.q.found))
	}
}

// What must make room is told: a sequence that was under way under a key that goes is no secret.
func TestWhatIsUnderWayAndMustGoIsTold(t *testing.T) {
	p := playing(t, `{"id":"s","title":"t","by":["agent","subject"],"within":"10h","suppress":"1s","mode":"enforce","respond":{"action":"block","scope":"agent","duration":"1h"},
		"steps":[{"name":"a","where":"tool.class == \"read\""},{"name":"b","where":"tool.class == \"send\""}]}`)
	first := p.act(0, event.Read, "true")
	for i := range rules.MaxStates - 1 {
		p.act(int64(i)+1, event.Read, fmt.Sprint("decoy", i))
	}
	if len(p.q.found) != 0 {
		t.Fatalf("%d findings when there was room", len(p.q.found))
	}
	p.act(50_000, event.Read, "one more")
	if len(p.q.found) == 0 || p.q.found[0].Rule != "s/unfollowed" || p.q.found[0].Refs[0].ID != first ||
		!p.q.found[0].Incomplete || p.q.found[0].Response != nil {
		t.Fatalf("%+v", p.q.found)
	}
	p.q.found = nil
	p.act(60_000, event.Send, fmt.Sprint("decoy", rules.MaxStates-2))
	if len(p.q.found) != 1 || p.q.found[0].Rule != "s" || p.q.found[0].Response == nil {
		t.Errorf("%+v", p.q.found)
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
	set, err := policy.Parse([]byte(`{"v":1,"rules":[{"id":"large","title":"t","by":["agent"],"within":"1h","steps":[` +
		strings.Join(steps, ",") + `],"not":[` + strings.Join(nots, ",") +
		`],"absent":{"where":"kind == \"tool_call\" and subject == \"200\"","for":"1m"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	d := newRules(9, set).(*ruleRunner)
	told := &teller{}
	x := detectors.Scene{Host: told, Who: detectors.New(set).Who("acme", "p", ""), Agent: &detectors.Memory{}}
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
	detectorstest.NoHost
	n int
}

func (q *teller) Tell(byte, policy.Scope, string, []byte) { q.n++ }

// finder keeps what is found.
type finder struct {
	detectorstest.NoHost
	found []event.Finding
}

func (q *finder) Find(f event.Finding) { q.found = append(q.found, f) }

// What belongs together by user and agent lies on the agent's page, and two users of one agent are
// still two.
func TestEveryPartOfAKeyCounts(t *testing.T) {
	for _, by := range []string{`["user","agent"]`, `["agent","user"]`} {
		set, err := policy.Parse([]byte(`{"v":1,"rules":[{"id":"r","title":"t","by":` + by +
			`,"within":"1h","steps":[{"where":"tool.class == \"read\""},{"where":"tool.class == \"send\""}]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		d, q := newRules(9, set).(*ruleRunner), &finder{}
		x := detectors.Scene{Host: q, Who: detectors.New(set).Who("acme", "p", ""), Agent: &detectors.Memory{}}
		act := func(id, user string, class event.Class) {
			d.Observe(&x, &event.Event{ID: id, Kind: event.ToolCall, Tenant: "acme", User: user,
				Agent: event.Agent{ID: "a"}, Tool: event.Tool{Class: class}})
		}
		act("1", "ann", event.Read)
		act("2", "bob", event.Send)
		if len(q.found) != 0 {
			t.Errorf("by %s: one user's read and another one's send are a finding", by)
		}
		act("3", "ann", event.Send)
		if len(q.found) != 1 {
			t.Errorf("by %s: %d findings of one user's read and send", by, len(q.found))
		}
	}
}

// An exception lets go of what would match, not of what ends a sequence.
func TestWhatIsExceptedStillEndsASequence(t *testing.T) {
	set, err := policy.Parse([]byte(`{"v":1,"rules":[{"id":"r","title":"t","by":["agent"],"within":"1h","steps":[{"where":"tool.class == \"read\""},{"where":"tool.class == \"send\""}],
		"not":[{"where":"tool.class == \"approve\""}],"exceptions":[{"name":"x","when":"user == \"boss\"","reason":"r","owner":"o"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	d, q := newRules(9, set).(*ruleRunner), &finder{}
	x := detectors.Scene{Host: q, Who: detectors.New(set).Who("acme", "p", ""), Agent: &detectors.Memory{}}
	for i, c := range []struct {
		user  string
		class event.Class
	}{{"ann", event.Read}, {"boss", event.Approve}, {"ann", event.Send}, {"boss", event.Read}, {"ann", event.Send}} {
		d.Observe(&x, &event.Event{ID: fmt.Sprint(i), Kind: event.ToolCall, Tenant: "acme", User: c.user,
			Agent: event.Agent{ID: "a"}, Tool: event.Tool{Class: c.class}})
	}
	if len(q.found) != 0 {
		t.Errorf("%d findings", len(q.found))
	}
}

// counter counts what rules come to.
type counter struct {
	finder
	n map[string]int
}

func (c *counter) Count(what, rule string) { c.n[what+" "+rule]++ }

// A rule that fails is no match, harms no other, and is told of when it has failed too often in a
// row, wherever in it the failure is.
func TestARuleThatFails(t *testing.T) {
	set, err := policy.Parse([]byte(`{"v":1,"rules":[
		{"id":"where","title":"t","where":"kind == \"tool_call\" and resource.labels[0] == \"pii\"","suppress":"1s"},
		{"id":"exception","title":"t","where":"tool.class == \"read\"","suppress":"1s","exceptions":[{"name":"x","reason":"r","owner":"o","when":"resource.labels[1] == \"ok\""}]},
		{"id":"let","title":"t","by":["agent"],"window":"1h","where":"tool.class == \"read\"","let":{"n":"distinct(resource.labels[0])"},"having":"n > 1000"},
		{"id":"sound","title":"t","where":"tool.class == \"read\"","suppress":"1s"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	d, q := newRules(9, set).(*ruleRunner), &counter{n: map[string]int{}}
	x := detectors.Scene{Host: q, Who: detectors.New(set).Who("acme", "p", ""), Agent: &detectors.Memory{}}
	n := int64(0)
	act := func(labels ...string) {
		n++
		x.Time = n * 10_000
		d.Observe(&x, &event.Event{ID: fmt.Sprint(n), Time: x.Time, Kind: event.ToolCall, Tenant: "acme",
			Agent: event.Agent{ID: "a"}, Tool: event.Tool{Class: event.Read}, Resource: event.Resource{Labels: labels}})
	}
	act("pii", "ok")
	for range maxFailures - 1 {
		act()
	}
	for _, rule := range []string{"where", "exception", "let"} {
		if q.n["error "+rule] != maxFailures-1 || q.n["failing "+rule] != 0 {
			t.Errorf("rule %s: %d errors, failing %d", rule, q.n["error "+rule], q.n["failing "+rule])
		}
	}
	act("pii", "ok") // once it works, and all begins anew
	for range maxFailures - 1 {
		act()
	}
	for _, rule := range []string{"where", "exception", "let"} {
		if q.n["failing "+rule] != 0 {
			t.Errorf("rule %s failed never %d times in a row, and is failing", rule, maxFailures)
		}
	}
	act()
	for _, rule := range []string{"where", "exception", "let"} {
		if q.n["failing "+rule] != 1 {
			t.Errorf("rule %s: failing %d times", rule, q.n["failing "+rule])
		}
	}
	if q.n["match where"] != 2 || q.n["match sound"] != int(n) || q.n["match exception"] != int(n)-2 {
		t.Errorf("%d events, matches: %v", n, q.n)
	}
	looked := map[string]int64{}
	p := &detectors.Panel{List: []detectors.Detector{d}}
	p.Looked(func(rule string, n int64) { looked[rule] = n })
	if len(looked) != 4 || looked["sound"] != n {
		t.Errorf("looked at: %v, of %d events", looked, n)
	}
	p.Looked(func(rule string, n int64) { t.Errorf("rule %s: %d told twice", rule, n) })
}

// Who asks for what no event carries is named, until one does.
func TestFieldsThatNoEventCarries(t *testing.T) {
	set, err := policy.Parse(
		[]byte(
			`{"v":1,"rules":[{"id":"a","title":"t","where":"subject == \"x\" and kind == \"tool_call\""},{"id":"b","title":"t","where":"subject == \"y\" and amount.value > 3 and hour > 2"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	d := newRules(9, set).(*ruleRunner)
	p := &detectors.Panel{List: []detectors.Detector{d}}
	x := detectors.Scene{Host: &detectorstest.NoHost{}, Who: detectors.New(set).Who("acme", "p", ""), Agent: &detectors.Memory{}}
	want := func(want string) {
		t.Helper()
		var got []string
		p.Unseen(func(rule, field string) { got = append(got, rule+" "+field) })
		slices.Sort(got)
		if fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
	act := func(e event.Event) {
		for range lookEvery {
			e.Kind, e.Agent.ID = event.ToolCall, "a"
			d.Observe(&x, &e)
		}
	}
	want("[a kind a subject b amount.value b hour b subject]")
	act(event.Event{})
	want("[a subject b amount.value b subject]")
	act(event.Event{Has: event.HasAmount})
	want("[a subject b subject]")
	act(event.Event{Subject: "z"})
	want("[]")
	if n := p.Unseen(func(string, string) {}); n != 3*lookEvery {
		t.Errorf("%d events", n)
	}
}
