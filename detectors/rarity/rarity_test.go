package rarity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
)

func TestFirstPaymentToADomain(t *testing.T) {
	s := detectorstest.Taught(t, detectorstest.NoPolicy, 20, 30)
	s.Observe(detectorstest.Pays(detectorstest.Work(31, 3, "evil"), "Evil.Example"))
	got := s.Rare()
	if len(got) != 1 {
		t.Fatalf("%d findings", len(got))
	}
	f := got[0]
	if f.Rule != "destination/domain" || !f.Alert || f.Severity < event.Medium || f.Target != "evil.example" ||
		f.ScopeID != "a3" || f.Analytic != event.StatisticalAnalytic || f.Refs[0].ID != "evil" {
		t.Errorf("got %+v", f)
	}
	for _, part := range []string{`first payment to domain "evil.example" by persona "refunds"`,
		"agent-days know 3 domains, a new one comes on 0.1 %", "such a day is 1 in "} {
		if !strings.Contains(f.Why, part) {
			t.Errorf("%q lacks %q", f.Why, part)
		}
	}
	a := f.Anomaly
	if a == nil || !(a.P > 0 && a.P < a.Alpha) || a.Feature != "domain" || a.Family != "rarity" ||
		a.Persona != "refunds" || a.Expected <= 0 || a.Snapshot == "" || len(a.Scores) == 0 {
		t.Errorf("got %+v", a)
	}
	t.Log(f.Why)

	s.Observe(detectorstest.Pays(detectorstest.Work(31, 3, "evil2"), "evil.example"))
	if got = s.Rare(); len(got) != 2 || got[1].Activity != event.Update ||
		got[1].Refs[len(got[1].Refs)-1] != f.Refs[0] || got[1].Time != f.Time || got[1].Count != 2 {
		t.Fatalf("the second time is no update: %+v", got[1:])
	}
	s.Observe(detectorstest.Pays(detectorstest.Work(31, 3, "evil3"), "evil.example"))
	if len(s.Rare()) != 2 {
		t.Error("the third time is told")
	}
	s.Observe(detectorstest.Pays(detectorstest.Work(31, 4, "evil4"), "evil.example"))
	if got = s.Rare(); len(got) != 3 || got[2].Activity != event.Create {
		t.Error("another agent's is no finding of its own")
	}
}

func TestWhatCalledSomebodyIsStillNewTheDayAfter(t *testing.T) {
	s := detectorstest.Taught(t, detectorstest.NoPolicy, 20, 30)
	for day := int64(31); day < 45; day++ {
		s.Observe(detectorstest.Pays(detectorstest.Work(day, int(day)%3, fmt.Sprint("evil", day)), "evil.example"))
	}
	alerts := 0
	for _, f := range s.Rare() {
		if f.Alert && f.Activity == event.Create {
			alerts++
		}
	}
	if alerts != 3 { // of three agents, however often they repeat it
		t.Errorf("%d alerts", alerts)
	}
	m := s.Models[baselines.Key{Tenant: "acme", Persona: "refunds"}]
	var items []string
	for _, q := range ModelOf(m).Quarantine {
		items = append(items, q.Item())
		if !q.Sink {
			t.Errorf("%s may be accepted without a person", q.Item())
		}
	}
	if !slices.Contains(items, "domain:evil.example") {
		t.Errorf("in quarantine: %v", items)
	}
}

func TestWorseThanNewIsRarer(t *testing.T) {
	// A persona that reads from new domains all the time, and pays to few.
	s := detectorstest.NewSchool(t, detectorstest.NoPolicy)
	n := 0
	day := int64(0)
	for ; day < 40; day++ {
		for a := range 20 {
			s.Observe(detectorstest.Pays(detectorstest.Work(day, a, fmt.Sprint("p", day, a)), "bank.example"))
			if a%5 == 0 {
				n++
				e := detectorstest.Work(day, a, fmt.Sprint("r", day, a))
				e.Destination = event.Destination{Kind: "url", Value: "https://x",
					Domain: fmt.Sprint("site", n, ".example")}
				s.Observe(e)
			}
		}
	}
	if n := len(s.Rare()); n > 0 {
		t.Fatalf("%d findings of an open vocabulary: %s", n, s.Rare()[0].Why)
	}
	read := detectorstest.Work(day, 1, "read")
	read.Destination = event.Destination{Kind: "url", Domain: "another.example"}
	s.Observe(read)
	if len(s.Rare()) > 0 {
		t.Fatal("a new domain is told where every fifth day brings one")
	}
	s.Observe(detectorstest.Pays(detectorstest.Work(day, 1, "paid"), "mule.example"))
	got := s.Rare()
	if len(got) != 1 || !got[0].Alert || !strings.Contains(got[0].Why, "is sent, paid or granted something on") {
		t.Fatalf("the first payment to a new one is not told: %+v", got)
	}
	t.Log(got[0].Why)
}

func TestValueOutOfAToolsResult(t *testing.T) {
	// A persona that pays to new domains, always as its user said.
	s := detectorstest.NewSchool(t, detectorstest.NoPolicy)
	n := 0
	day := int64(0)
	pay := func(a int, id, source string) {
		n++
		e := detectorstest.Pays(detectorstest.Work(day, a, id), fmt.Sprint("d", n, ".example"))
		e.Args = fmt.Appendf(nil, `{"note":"hello","to":["Someone@d%d.example"]}`, n)
		e.Provenance = fmt.Appendf(nil, `{"note":"tool","to[0]":%q}`, source)
		s.Observe(e)
	}
	for ; day < 40; day++ {
		for a := range 20 {
			s.Observe(detectorstest.Work(day, a, fmt.Sprint("w", day, a)))
			if a%4 == 0 {
				pay(a, fmt.Sprint("p", day, a), "user")
			}
		}
	}
	pay(1, "as ever", "user")
	if n := len(s.Rare()); n > 0 {
		t.Fatalf("%d findings of what is usual: %s", n, s.Rare()[0].Why)
	}
	pay(2, "injected", "tool")
	got := s.Rare()
	if len(got) != 1 || !got[0].Alert || !strings.Contains(got[0].Why, "came from a tool result") {
		t.Fatalf("got %+v", got)
	}
	t.Log(got[0].Why)
}

func TestProvenanceIsThatOfTheDestination(t *testing.T) {
	for _, c := range []struct {
		args, provenance string
		want             bool
	}{
		{`{"to":"mallory@evil.example"}`, `{"to":"tool"}`, true},
		{`{"to":"mallory@evil.example"}`, `{"$.to":"tool"}`, true},
		{`{"to":"mallory@evil.example"}`, `{"/to":"tool"}`, true},
		{`{"to":"mallory@evil.example"}`, `{"args.to":"tool"}`, true},
		{`{"to":["a@b.example","Mallory@evil.example "]}`, `{"to":"tool"}`, true},
		{`{"to":["a@b.example","mallory@evil.example"]}`, `{"to[0]":"tool","to[1]":"user"}`, false},
		{`{"mail":{"to":[{"address":"mallory@evil.example"}]}}`, `{"mail.to[0].address":"tool"}`, true},
		{`{"to":"mallory@evil.example","body":"x"}`, `{"to":"user","body":"tool"}`, false},
		{`{"to":"mallory@evil.example"}`, `{"to":"model"}`, false},
		{``, `{"to":"tool"}`, true},
		{``, `{"to":"user"}`, false},
		{`{"to":"mallory@evil.example"}`, `{"to[99999999999999999999]":"tool"}`, false},
		{`{"to":["mallory@evil.example"]}`, `{"to[99999999999999999999]":"tool","to[-1]":"tool"}`, false},
		{`{"to":"mallory@evil.example"}`, `{"":"tool"}`, false},
		{`{"to":"mallory@evil.example"}`, `["tool"]`, false},
		{`{"to":`, `{"to":"tool"}`, false},
		{`{"to":"mallory@evil.example"}`, ``, false},
	} {
		e := event.Event{Args: []byte(c.args), Provenance: []byte(c.provenance),
			Destination: event.Destination{Kind: "email", Value: "mallory@evil.example"}}
		if got := fromTool(&e); got != c.want {
			t.Errorf("%s with %s: %v", c.args, c.provenance, got)
		}
	}
}

func TestNewChangedAndRehashedDefinitions(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(*event.Tool)
		want string // rule of the finding; "": none
	}{
		{"another definition", func(t *event.Tool) { t.DefinitionHash = "sha256:badbadbadbadbad" },
			"definition/definition"},
		{"the same, hashed in another way", func(t *event.Tool) {
			t.DefinitionHash, t.HashVersion = "sha256:ffff",
				"2"
		}, ""},
		{"none", func(t *event.Tool) { t.DefinitionHash, t.HashVersion = "", "" }, ""},
		{"a new tool with its definition", func(t *event.Tool) { t.Name, t.DefinitionHash = "wipe", "sha256:ffff" },
			"tool/tool"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := detectorstest.Taught(t, detectorstest.NoPolicy, 20, 30)
			e := detectorstest.Work(31, 1, "e")
			c.make(&e.Tool)
			s.Observe(e)
			got := s.Rare()
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("got %s", got[0].Why)
			case c.want != "" && (len(got) != 1 || got[0].Rule != c.want):
				t.Errorf("got %+v", got)
			case c.want == "definition/definition":
				if f := got[0]; !strings.Contains(f.Why,
					`definition "badbadbadbad" of tool "get_order" instead of "0123456789ab", known since 2026-02-16`) {
					t.Error(f.Why)
				}
			}
		})
	}
}

func TestPinnedDefinitionIsNoChange(t *testing.T) {
	s := detectorstest.Taught(t,
		`{"v":1,"inventory":[{"kind":"tool","names":["get_order"],"definition_hash":"sha256:badbadbadbadbad"}]}`, 20,
		30)
	e := detectorstest.Work(31, 1, "e")
	e.Tool.DefinitionHash = "sha256:badbadbadbadbad"
	s.Observe(e)
	if got := s.Rare(); len(got) > 0 {
		t.Error(got[0].Why)
	}
}

func TestOneEventIsOneFinding(t *testing.T) {
	s := detectorstest.Taught(t, detectorstest.NoPolicy, 20, 30)
	e := detectorstest.Pays(detectorstest.Work(31, 1, "e"), "evil.example")
	e.Tool.Name, e.Tool.Server, e.Resource.Type, e.Intent = "wire", "swift", "account", "x"
	s.Observe(e)
	got := s.Rare()
	if len(got) != 1 {
		t.Fatalf("%d findings", len(got))
	}
	var names []string
	for _, k := range got[0].Anomaly.Scores {
		names = append(names, k.Name)
	}
	// Not the pairs of what is new anyway.
	if want := []string{"tool", "server", "resource", "domain"}; !slices.Equal(names, want) {
		t.Errorf("joined %v, want %v", names, want)
	}
	if !strings.Contains(got[0].Why, "; also first") {
		t.Error(got[0].Why)
	}
}

func TestTriedAndRefusedIsNotLearned(t *testing.T) {
	for name, change := range map[string]func(*event.Event, *detectorstest.School){
		"attempt":    func(e *event.Event, _ *detectorstest.School) { e.Phase = event.Attempt },
		"refused":    func(e *event.Event, _ *detectorstest.School) { e.Result.Outcome = event.Denied },
		"ineligible": func(e *event.Event, s *detectorstest.School) { s.Barred[e.Agent.ID] = true },
	} {
		s := detectorstest.Taught(t, detectorstest.NoPolicy, 20, 30)
		for day := int64(30); day < 40; day++ {
			for a := range 10 {
				e := detectorstest.Pays(detectorstest.Work(day, a, fmt.Sprint(day, a)), "evil.example")
				change(&e, s)
				s.Observe(e)
			}
		}
		s.Observe(detectorstest.Work(41, 1, "close"))
		m := s.Models[baselines.Key{Tenant: "acme", Persona: "refunds"}]
		if d := Folded("evil.example"); ModelOf(m).Known(DomainField, d) ||
			ModelOf(m).Held(DomainField, d) != nil {
			t.Errorf("%s: learned", name)
		}
		if len(s.Rare()) == 0 {
			t.Errorf("%s: not told", name)
		}
	}
}

func TestEdges(t *testing.T) {
	s := detectorstest.NewSchool(t, `{"v":1,"personas":[{"name":"clerk","agents":["clerk-*"]},{"name":"admin","agents":["root-*"]}]}`)
	hand := func(day int64, a int, to string) {
		e := detectorstest.Work(day, a, fmt.Sprint("h", day, a, to))
		e.Kind, e.Tool, e.Resource = event.Handoff, event.Tool{}, event.Resource{}
		e.Delegation.To = to
		s.Observe(e)
	}
	for day := range int64(30) {
		for a := range 20 {
			s.Observe(detectorstest.Work(day, a, fmt.Sprint("w", day, a)))
			hand(day, a, fmt.Sprint("clerk-", day*20+int64(a)))
			hand(day, a, fmt.Sprint("a", a)) // itself
		}
	}
	hand(31, 1, "clerk-new")
	if got := s.Rare(); len(got) > 0 {
		t.Fatal(got[0].Why)
	}
	hand(31, 1, "root-1")
	if got := s.Rare(); len(got) != 1 || got[0].Rule != "edge/edge" || got[0].Target != "root-1" ||
		!strings.Contains(got[0].Why, `persona "admin"`) {
		t.Errorf("got %+v", got)
	}
}

func TestAListOfReceiversHidesNobody(t *testing.T) {
	s := detectorstest.Taught(t, detectorstest.NoPolicy, 20, 30)
	e := detectorstest.Pays(detectorstest.Work(31, 1, "e"), "")
	e.Destination = event.Destination{Kind: "email",
		Value: "a@one.example, Jane <j@two.example>; x@evil.example, b@three.example"}
	s.Observe(e)
	if got := s.Rare(); len(got) != 1 || got[0].Target != "evil.example" {
		t.Errorf("got %+v", got)
	}
}

func TestFloodOfNewNamesIsNoStorm(t *testing.T) {
	s := detectorstest.Taught(t, detectorstest.NoPolicy, 20, 30)
	for i := range 1000 {
		e := detectorstest.Pays(detectorstest.Work(31, 1, fmt.Sprint("e", i)), fmt.Sprint("evil", i, ".example"))
		e.Time += int64(i) * 1000
		s.Observe(e)
	}
	n, created := len(s.Rare()), 0
	for _, f := range s.Rare() {
		if f.Activity == event.Create {
			created++
		}
	}
	if created > maxUnknown || n > created+12 {
		t.Errorf("%d findings, %d of them new", n, created)
	}
	if last := s.Rare()[n-1]; !strings.Contains(last.Why, "one of many") {
		t.Error(last.Why)
	}
}

func TestYoungPersonaIsJudgedByItsTenantAndCallsNobody(t *testing.T) {
	s := detectorstest.Taught(t, detectorstest.NoPolicy, 20, 30)
	s.Wide = true
	for day := int64(30); day < 60; day++ {
		for a := range 20 {
			s.Observe(detectorstest.Pays(detectorstest.Work(day, a, fmt.Sprint("p", day, a)), "one.example"))
		}
	}
	young := func(day int64, domain string) {
		e := detectorstest.Pays(detectorstest.Work(day, 99, domain), domain)
		e.Persona = "young"
		s.Observe(e)
	}
	young(60, "one.example")
	young(61, "one.example")
	if got := s.Rare(); len(got) > 0 {
		t.Fatal(got[0].Why)
	}
	terms := s.Panel.Who("acme", "young", "").Terms
	terms.AlertsPerDay, terms.TenantAlertsPerDay = 1000, 1000
	for range 3 { // an audit with tests in it, as its own days would bring
		m := s.Models[baselines.Key{Tenant: "acme", Persona: "young"}]
		m.Audit.Of[baselines.DestinationTest].Made = 10 * baselines.Unit
	}
	young(61, "evil.example")
	got := s.Rare()
	if len(got) != 1 || got[0].Alert || !strings.Contains(got[0].Why, "which is young") {
		t.Errorf("got %+v", got)
	}
}

// TestAlertsStayWithinTheBudget runs personas that meet something new now and then, as their nature
// is.
func TestAlertsStayWithinTheBudget(t *testing.T) {
	for _, c := range []struct {
		name   string
		agents int
		fresh  float64 // share of agent-days that bring a new domain
	}{{"a closed persona", 60, 0}, {"a new domain on 1 of 3,000 agent-days", 60, 1.0 / 3000},
		{"on 1 of 300", 60, 1.0 / 300}, {"on 1 of 150, of many agents", 150, 1.0 / 150}, {"on 1 of 30", 60, 1.0 / 30},
		{"few agents", 6, 1.0 / 100}} {
		rng := rand.New(rand.NewPCG(11, 12))
		s := detectorstest.NewSchool(t, detectorstest.NoPolicy)
		n := 0
		const days, warm = 120, 60
		for day := range int64(days) {
			for a := range c.agents {
				s.Observe(detectorstest.Work(day, a, fmt.Sprint("w", day, a)))
				s.Observe(detectorstest.Pays(detectorstest.Work(day, a, fmt.Sprint("p", day, a)), fmt.Sprint("d", rng.IntN(20), ".example")))
				if rng.Float64() < c.fresh {
					n++
					s.Observe(detectorstest.Pays(detectorstest.Work(day, a, fmt.Sprint("n", day, a)), fmt.Sprint("new", n, ".example")))
				}
			}
		}
		alerts, signals := 0, 0
		for _, f := range s.Rare() {
			switch {
			case f.Activity != event.Create || f.Time < (detectorstest.FirstDay+warm)*baselines.DayMS:
			case f.Alert:
				alerts++
			default:
				signals++
			}
		}
		m := s.Models[baselines.Key{Tenant: "acme", Persona: "refunds"}]
		ratio, hits := m.Audit.Realised(baselines.RarityFamily)
		budget := 0.25 * (days - warm)
		t.Logf("%s: %d alerts, %d signals in %d days of a budget of %.1f; %d new; audit %.2f on %.0f hits", c.name,
			alerts, signals, days-warm, budget, n, ratio, hits)
		if float64(alerts) > 2*budget {
			t.Errorf("%s: %d alerts of %.1f", c.name, alerts, budget)
		}
		if ratio > 2 {
			t.Errorf("%s: realised over nominal %.2f", c.name, ratio)
		}
	}
}

func TestRestartInTheMiddleChangesNothing(t *testing.T) {
	run := func(reload bool) []event.Finding {
		s := detectorstest.NewSchool(t, detectorstest.NoPolicy)
		s.Reload = reload
		rng := rand.New(rand.NewPCG(4, 4))
		for day := range int64(40) {
			for i := range 60 {
				e := detectorstest.Work(day, rng.IntN(12), fmt.Sprint(day, "-", i))
				e.Tool.Name = fmt.Sprint("t", rng.IntN(5))
				e.User = fmt.Sprint("u", rng.IntN(40))
				if rng.IntN(3) == 0 {
					e = detectorstest.Pays(e, fmt.Sprint("d", rng.IntN(6), ".example"))
				}
				if day > 25 && rng.IntN(40) == 0 {
					e = detectorstest.Pays(e, fmt.Sprint("e", rng.IntN(1000), ".example"))
				}
				s.Observe(e)
			}
		}
		return s.Rare()
	}
	a, b := run(false), run(true)
	if len(a) == 0 {
		t.Fatal("nothing was found")
	}
	if d := gocmp.Diff(a, b); d != "" {
		t.Error(d)
	}
}

func TestBadInput(t *testing.T) {
	s := detectorstest.Taught(t, detectorstest.NoPolicy, 10, 20)
	rng := rand.New(rand.NewPCG(6, 6))
	long := strings.Repeat("ä", event.MaxString/2)
	times := []int64{0, -1, math.MinInt64 / 4, (detectorstest.FirstDay + 21) * baselines.DayMS, (detectorstest.FirstDay + 5000) * baselines.DayMS,
		(detectorstest.FirstDay + 22) * baselines.DayMS}
	for i := range 400 {
		e := detectorstest.Work(21, rng.IntN(10), fmt.Sprint("x", i))
		s.Host.Event = &e
		e.Time = times[rng.IntN(len(times))]
		e.Tool.Name, e.Intent = []string{"get_order", "", long, "a\x00b"}[rng.IntN(4)], []string{"", long}[rng.IntN(2)]
		e.Kind = event.Kind(1 + rng.IntN(7))
		e.Destination = event.Destination{Kind: []string{"", "email", "url", "host", "iban"}[rng.IntN(5)],
			Value: []string{"", long, "@", ";,;", "https://a@b\\c", strings.Repeat("a@b.example,", 80)}[rng.IntN(6)]}
		e.Tool.Class = event.Class(rng.IntN(10))
		e.Delegation.To, e.Message.To, e.Audit = []string{"", "a1",
			long}[rng.IntN(3)], long, event.AuditOf{Action: "tool_registered", Target: long}
		e.Resource.Labels = []string{long, long}
		d := baselines.Delta{}
		w := s.Panel.Who("acme", "refunds", "")
		w.Rest(s.Models[w.Key], 0, 0)
		x := detectors.Scene{Host: s.Host, Time: e.Time, Agent: s.Memory(s.Agents, e.Agent.ID), Who: w, Delta: &d, Eligible: true}
		s.Panel.Observe(&x, &e)
		m := baselines.Learn(s.Models[w.Key], w.Key, s.Day+1, &d, s.Terms)
		for f := range Fields {
			if p := ModelOf(m).New(f); !(p >= 0 && p <= 1) {
				t.Fatal(f, p)
			}
		}
	}
	for _, f := range s.Rare() {
		if f.Anomaly == nil || !(f.Anomaly.P > 0 && f.Anomaly.P <= 1) || len(f.Why) > 2000 {
			t.Fatalf("%+v", f)
		}
	}
}
