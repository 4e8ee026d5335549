package detectors

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// school is a host that learns: it keeps deltas, closes each day, and puts the new baseline in
// force with the next one.
type school struct {
	*host
	day    int64
	deltas map[baselines.Key]*baselines.Delta
	models map[baselines.Key]*baselines.Model
	acted  map[string]bool
	barred map[string]bool // agents that nobody may learn from
	terms  baselines.Terms
	wide   bool
}

func newSchool(t testing.TB, set string) *school {
	h := newHost(t, set)
	h.panel.list = []Detector{newRarity(8, h.panel.Set)} // the others have tests of their own
	return &school{host: h, day: math.MinInt64, deltas: map[baselines.Key]*baselines.Delta{},
		models: map[baselines.Key]*baselines.Model{}, acted: map[string]bool{}, barred: map[string]bool{}}
}

func (s *school) closeDay() {
	wide := &baselines.Delta{}
	tenant := baselines.Key{}
	for _, k := range slices.SortedFunc(maps.Keys(s.deltas),
		func(a, b baselines.Key) int { return strings.Compare(a.Persona, b.Persona) }) {
		d := s.deltas[k]
		var own baselines.Delta // by way of the wire
		r := wire.Reader{B: d.Append(nil)}
		if own.Decode(&r); r.Err != nil {
			panic(r.Err)
		}
		s.models[k] = baselines.Learn(s.models[k], k, s.day, &own, s.terms)
		wide.Events += d.Events
		wide.Learned += d.Learned
		baselines.RarityDeltaOf(wide).MergeWide(baselines.RarityDeltaOf(&own))
		tenant = baselines.Key{Tenant: k.Tenant, Persona: baselines.TenantWide}
		*d = baselines.Delta{}
	}
	if s.wide && tenant.Tenant != "" {
		s.models[tenant] = baselines.Learn(s.models[tenant], tenant, s.day, wide, s.terms)
	}
	for k, m := range s.models {
		if k.Persona != baselines.TenantWide {
			m.Prior = s.models[tenant]
		}
	}
	clear(s.acted)
}

func (s *school) observe(e event.Event) {
	day := wire.FloorDiv(e.Time, baselines.DayMS)
	if s.day == math.MinInt64 {
		s.day = day
	}
	for ; s.day < day; s.day++ {
		s.closeDay()
	}
	s.host.event, s.host.time = &e, e.Time
	key := baselines.Key{Tenant: e.Tenant, Persona: e.Persona}
	w := s.panel.Who(e.Tenant, e.Persona, "")
	w.Rest(s.models[key], 0, 0)
	if s.deltas[key] == nil {
		s.deltas[key] = &baselines.Delta{}
	}
	d := s.deltas[key]
	d.Events++
	d.Learned++
	fresh := !s.acted[e.Persona+e.Agent.ID]
	if s.acted[e.Persona+e.Agent.ID] = true; fresh {
		d.Acts(xxhash.Sum64String(e.Agent.ID))
	}
	x := Scene{Host: s.host, Time: e.Time, Agent: s.memory(s.agents, e.Tenant+"|"+e.Agent.ID), Who: w,
		AgentID: xxhash.Sum64String(e.Agent.ID), Delta: d, Eligible: !s.barred[e.Agent.ID], NewDay: fresh}
	s.panel.Observe(&x, &e)
}

// rare are the findings of the detector.
func (s *school) rare() (list []event.Finding) {
	for _, f := range s.found {
		if f.Detector == "rarity" {
			list = append(list, f)
		}
	}
	return list
}

const firstDay = 20_500

// work is one call of an agent of a persona that refunds customers.
func work(day int64, agent int, id string) event.Event {
	return event.Event{ID: id, Time: (firstDay+day)*baselines.DayMS + 3_600_000, Kind: event.ToolCall, Tenant: "acme",
		Persona: "refunds", Agent: event.Agent{ID: fmt.Sprint("a", agent)}, Session: "s",
		Tool: event.Tool{Name: "get_order", Server: "shop", Class: event.Read,
			DefinitionHash: "sha256:0123456789abcdef", HashVersion: "1"},
		Resource: event.Resource{Type: "order", Environment: "prod"}}
}

func pays(e event.Event, domain string) event.Event {
	e.Tool = event.Tool{Name: "refund", Server: "bank", Class: event.Pay, DefinitionHash: "sha256:fedcba9876543210",
		HashVersion: "1"}
	e.Destination = event.Destination{Kind: "email", Value: "someone@" + domain, Domain: domain}
	return e
}

// taught is a school in which agents did the same for so many days: they look at orders and pay to
// three domains.
func taught(t testing.TB, set string, agents int, days int64) *school {
	s := newSchool(t, set)
	for day := range days {
		for a := range agents {
			s.observe(work(day, a, fmt.Sprint("w", day, a)))
			s.observe(pays(work(day, a, fmt.Sprint("p", day, a)),
				[]string{"one.example", "two.example", "three.example"}[(int64(a)+day)%3]))
		}
	}
	if n := len(s.rare()); n > 0 {
		t.Fatalf("%d findings of what is usual: %+v", n, s.rare()[0])
	}
	return s
}

const noPolicy = `{"v":1}`

func TestFirstPaymentToADomain(t *testing.T) {
	s := taught(t, noPolicy, 20, 30)
	s.observe(pays(work(31, 3, "evil"), "Evil.Example"))
	got := s.rare()
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

	s.observe(pays(work(31, 3, "evil2"), "evil.example"))
	if got = s.rare(); len(got) != 2 || got[1].Activity != event.Update ||
		got[1].Refs[len(got[1].Refs)-1] != f.Refs[0] || got[1].Time != f.Time || got[1].Count != 2 {
		t.Fatalf("the second time is no update: %+v", got[1:])
	}
	s.observe(pays(work(31, 3, "evil3"), "evil.example"))
	if len(s.rare()) != 2 {
		t.Error("the third time is told")
	}
	s.observe(pays(work(31, 4, "evil4"), "evil.example"))
	if got = s.rare(); len(got) != 3 || got[2].Activity != event.Create {
		t.Error("another agent's is no finding of its own")
	}
}

func TestWhatCalledSomebodyIsStillNewTheDayAfter(t *testing.T) {
	s := taught(t, noPolicy, 20, 30)
	for day := int64(31); day < 45; day++ {
		s.observe(pays(work(day, int(day)%3, fmt.Sprint("evil", day)), "evil.example"))
	}
	alerts := 0
	for _, f := range s.rare() {
		if f.Alert && f.Activity == event.Create {
			alerts++
		}
	}
	if alerts != 3 { // of three agents, however often they repeat it
		t.Errorf("%d alerts", alerts)
	}
	m := s.models[baselines.Key{Tenant: "acme", Persona: "refunds"}]
	var items []string
	for _, q := range baselines.RarityOf(m).Quarantine {
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
	s := newSchool(t, noPolicy)
	n := 0
	day := int64(0)
	for ; day < 40; day++ {
		for a := range 20 {
			s.observe(pays(work(day, a, fmt.Sprint("p", day, a)), "bank.example"))
			if a%5 == 0 {
				n++
				e := work(day, a, fmt.Sprint("r", day, a))
				e.Destination = event.Destination{Kind: "url", Value: "https://x",
					Domain: fmt.Sprint("site", n, ".example")}
				s.observe(e)
			}
		}
	}
	if n := len(s.rare()); n > 0 {
		t.Fatalf("%d findings of an open vocabulary: %s", n, s.rare()[0].Why)
	}
	read := work(day, 1, "read")
	read.Destination = event.Destination{Kind: "url", Domain: "another.example"}
	s.observe(read)
	if len(s.rare()) > 0 {
		t.Fatal("a new domain is told where every fifth day brings one")
	}
	s.observe(pays(work(day, 1, "paid"), "mule.example"))
	got := s.rare()
	if len(got) != 1 || !got[0].Alert || !strings.Contains(got[0].Why, "is sent, paid or granted something on") {
		t.Fatalf("the first payment to a new one is not told: %+v", got)
	}
	t.Log(got[0].Why)
}

func TestValueOutOfAToolsResult(t *testing.T) {
	// A persona that pays to new domains, always as its user said.
	s := newSchool(t, noPolicy)
	n := 0
	day := int64(0)
	pay := func(a int, id, source string) {
		n++
		e := pays(work(day, a, id), fmt.Sprint("d", n, ".example"))
		e.Args = fmt.Appendf(nil, `{"note":"hello","to":["Someone@d%d.example"]}`, n)
		e.Provenance = fmt.Appendf(nil, `{"note":"tool","to[0]":%q}`, source)
		s.observe(e)
	}
	for ; day < 40; day++ {
		for a := range 20 {
			s.observe(work(day, a, fmt.Sprint("w", day, a)))
			if a%4 == 0 {
				pay(a, fmt.Sprint("p", day, a), "user")
			}
		}
	}
	pay(1, "as ever", "user")
	if n := len(s.rare()); n > 0 {
		t.Fatalf("%d findings of what is usual: %s", n, s.rare()[0].Why)
	}
	pay(2, "injected", "tool")
	got := s.rare()
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
			s := taught(t, noPolicy, 20, 30)
			e := work(31, 1, "e")
			c.make(&e.Tool)
			s.observe(e)
			got := s.rare()
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
	s := taught(t,
		`{"v":1,"inventory":[{"kind":"tool","names":["get_order"],"definition_hash":"sha256:badbadbadbadbad"}]}`, 20,
		30)
	e := work(31, 1, "e")
	e.Tool.DefinitionHash = "sha256:badbadbadbadbad"
	s.observe(e)
	if got := s.rare(); len(got) > 0 {
		t.Error(got[0].Why)
	}
}

func TestOneEventIsOneFinding(t *testing.T) {
	s := taught(t, noPolicy, 20, 30)
	e := pays(work(31, 1, "e"), "evil.example")
	e.Tool.Name, e.Tool.Server, e.Resource.Type, e.Intent = "wire", "swift", "account", "x"
	s.observe(e)
	got := s.rare()
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

func TestWhatThePersonaDeclaresIsNotRare(t *testing.T) {
	s := taught(t,
		`{"v":1,"personas":[{"name":"refunds","default":"deny","tools":{"allow":["refund","get_order","wire*"]},"destinations":{"allow":["*","new.example"]}}]}`,
		20, 30)
	s.observe(pays(work(31, 1, "declared"), "new.example"))
	e := work(31, 1, "tool")
	e.Tool = event.Tool{Name: "wire_back", Class: event.Read}
	s.observe(e)
	if got := s.rare(); len(got) > 0 {
		t.Fatal(got[0].Why)
	}
	s.observe(pays(work(31, 1, "not named"), "other.example"))
	if got := s.rare(); len(got) != 1 {
		t.Error("a domain that only * names is taken for declared")
	}
}

func TestRegisteredToolIsNotRare(t *testing.T) {
	register := func(s *school, trusted event.Tri) {
		e := work(30, 1, "audit")
		e.Kind, e.Tool = event.Audit, event.Tool{}
		e.Audit, e.Source.Trusted = event.AuditOf{Action: "tool_registered", Target: "shop|ship"}, trusted
		s.observe(e)
	}
	for trusted, want := range map[event.Tri]int{event.Yes: 0, event.No: 1} {
		s := taught(t, noPolicy, 20, 30)
		register(s, trusted)
		e := work(31, 1, "e")
		e.Tool = event.Tool{Name: "ship", Server: "shop", Class: event.Write}
		s.observe(e)
		if got := s.rare(); len(got) != want {
			t.Errorf("registered by a source that is trusted %v: %d findings", trusted, len(got))
		}
	}
}

// What somebody announced surprises nobody: at once the agent under whose name the announcement
// stands, from the next day on all agents of the tenant.
func TestWhatIsAnnouncedIsNotRare(t *testing.T) {
	ship := func(e event.Event) event.Event {
		e.Tool = event.Tool{Name: "ship", Server: "shop", Class: event.Write}
		return e
	}
	redefined := func(e event.Event) event.Event {
		e.Tool.DefinitionHash = "sha256:aaaaaaaaaaaaaaaa"
		return e
	}
	announce := func(s *school, persona string, day int64, trusted event.Tri, a event.AuditOf) {
		e := work(day, 1, "audit")
		e.Kind, e.Tool, e.Persona = event.Audit, event.Tool{}, persona
		if persona != "refunds" {
			e.Agent.ID = "admin"
		}
		e.Audit, e.Source.Trusted = a, trusted
		s.observe(e)
	}
	registered := event.AuditOf{Action: "tool_registered", Target: "shop|ship"}
	changed := event.AuditOf{Action: "config_change", Target: "shop|get_order",
		Before: []byte(`{"definition_hash":"sha256:0123456789abcdef"}`),
		After:  []byte(`{"tool":{"definition_hash":"sha256:aaaaaaaaaaaaaaaa","hash_version":"1"}}`)}
	other := event.AuditOf{Action: "config_change", Target: "shop|get_order",
		After: []byte(`{"definition_hash":"sha256:bbbb","hash_version":"1"}`)}
	for name, c := range map[string]struct {
		by      string
		audit   event.AuditOf
		trusted event.Tri
		use     func(event.Event) event.Event
		after   int64 // days
		want    int
	}{
		"a tool, on the same day":            {"refunds", registered, event.Unknown, ship, 0, 0},
		"a tool, by a source to be spoofed":  {"refunds", registered, event.No, ship, 0, 1},
		"a tool, by an admin the day before": {"admins", registered, event.Yes, ship, 1, 0},
		"a definition, on the same day":      {"refunds", changed, event.Yes, redefined, 0, 0},
		"a definition, by a source likewise": {"refunds", changed, event.No, redefined, 0, 1},
		"another definition than comes":      {"refunds", other, event.Yes, redefined, 0, 1},
		"no definition is said": {"refunds",
			event.AuditOf{Action: "config_change", Target: "shop|get_order", After: []byte(`[1]`)}, event.Yes,
			redefined, 0, 1},
		"a definition, days later": {"refunds", changed, event.Yes, redefined, 5, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := taught(t, noPolicy, 20, 30)
			s.wide = true
			announce(s, c.by, 30, c.trusted, c.audit)
			e := c.use(work(30+c.after, 1, "e"))
			e.Time += 60_000
			s.observe(e)
			if got := s.rare(); len(got) != c.want {
				t.Errorf("%d findings, want %d: %+v", len(got), c.want, got)
			}
		})
	}
}

func TestTriedAndRefusedIsNotLearned(t *testing.T) {
	for name, change := range map[string]func(*event.Event, *school){
		"attempt":    func(e *event.Event, _ *school) { e.Phase = event.Attempt },
		"refused":    func(e *event.Event, _ *school) { e.Result.Outcome = event.Denied },
		"ineligible": func(e *event.Event, s *school) { s.barred[e.Agent.ID] = true },
	} {
		s := taught(t, noPolicy, 20, 30)
		for day := int64(30); day < 40; day++ {
			for a := range 10 {
				e := pays(work(day, a, fmt.Sprint(day, a)), "evil.example")
				change(&e, s)
				s.observe(e)
			}
		}
		s.observe(work(41, 1, "close"))
		m := s.models[baselines.Key{Tenant: "acme", Persona: "refunds"}]
		if d := folded("evil.example"); baselines.RarityOf(m).Known(baselines.DomainField, d) ||
			baselines.RarityOf(m).Held(baselines.DomainField, d) != nil {
			t.Errorf("%s: learned", name)
		}
		if len(s.rare()) == 0 {
			t.Errorf("%s: not told", name)
		}
	}
}

func TestEdges(t *testing.T) {
	s := newSchool(t, `{"v":1,"personas":[{"name":"clerk","agents":["clerk-*"]},{"name":"admin","agents":["root-*"]}]}`)
	hand := func(day int64, a int, to string) {
		e := work(day, a, fmt.Sprint("h", day, a, to))
		e.Kind, e.Tool, e.Resource = event.Handoff, event.Tool{}, event.Resource{}
		e.Delegation.To = to
		s.observe(e)
	}
	for day := range int64(30) {
		for a := range 20 {
			s.observe(work(day, a, fmt.Sprint("w", day, a)))
			hand(day, a, fmt.Sprint("clerk-", day*20+int64(a)))
			hand(day, a, fmt.Sprint("a", a)) // itself
		}
	}
	hand(31, 1, "clerk-new")
	if got := s.rare(); len(got) > 0 {
		t.Fatal(got[0].Why)
	}
	hand(31, 1, "root-1")
	if got := s.rare(); len(got) != 1 || got[0].Rule != "edge/edge" || got[0].Target != "root-1" ||
		!strings.Contains(got[0].Why, `persona "admin"`) {
		t.Errorf("got %+v", got)
	}
}

func TestAListOfReceiversHidesNobody(t *testing.T) {
	s := taught(t, noPolicy, 20, 30)
	e := pays(work(31, 1, "e"), "")
	e.Destination = event.Destination{Kind: "email",
		Value: "a@one.example, Jane <j@two.example>; x@evil.example, b@three.example"}
	s.observe(e)
	if got := s.rare(); len(got) != 1 || got[0].Target != "evil.example" {
		t.Errorf("got %+v", got)
	}
}

func TestFloodOfNewNamesIsNoStorm(t *testing.T) {
	s := taught(t, noPolicy, 20, 30)
	for i := range 1000 {
		e := pays(work(31, 1, fmt.Sprint("e", i)), fmt.Sprint("evil", i, ".example"))
		e.Time += int64(i) * 1000
		s.observe(e)
	}
	n, created := len(s.rare()), 0
	for _, f := range s.rare() {
		if f.Activity == event.Create {
			created++
		}
	}
	if created > maxUnknown || n > created+12 {
		t.Errorf("%d findings, %d of them new", n, created)
	}
	if last := s.rare()[n-1]; !strings.Contains(last.Why, "one of many") {
		t.Error(last.Why)
	}
}

func TestYoungPersonaIsJudgedByItsTenantAndCallsNobody(t *testing.T) {
	s := taught(t, noPolicy, 20, 30)
	s.wide = true
	for day := int64(30); day < 60; day++ {
		for a := range 20 {
			s.observe(pays(work(day, a, fmt.Sprint("p", day, a)), "one.example"))
		}
	}
	young := func(day int64, domain string) {
		e := pays(work(day, 99, domain), domain)
		e.Persona = "young"
		s.observe(e)
	}
	young(60, "one.example")
	young(61, "one.example")
	if got := s.rare(); len(got) > 0 {
		t.Fatal(got[0].Why)
	}
	terms := s.panel.Who("acme", "young", "").Terms
	terms.AlertsPerDay, terms.TenantAlertsPerDay = 1000, 1000
	for range 3 { // an audit with tests in it, as its own days would bring
		m := s.models[baselines.Key{Tenant: "acme", Persona: "young"}]
		m.Audit.Of[baselines.DestinationTest].Made = 10 * baselines.Unit
	}
	young(61, "evil.example")
	got := s.rare()
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
		s := newSchool(t, noPolicy)
		n := 0
		const days, warm = 120, 60
		for day := range int64(days) {
			for a := range c.agents {
				s.observe(work(day, a, fmt.Sprint("w", day, a)))
				s.observe(pays(work(day, a, fmt.Sprint("p", day, a)), fmt.Sprint("d", rng.IntN(20), ".example")))
				if rng.Float64() < c.fresh {
					n++
					s.observe(pays(work(day, a, fmt.Sprint("n", day, a)), fmt.Sprint("new", n, ".example")))
				}
			}
		}
		alerts, signals := 0, 0
		for _, f := range s.rare() {
			switch {
			case f.Activity != event.Create || f.Time < (firstDay+warm)*baselines.DayMS:
			case f.Alert:
				alerts++
			default:
				signals++
			}
		}
		m := s.models[baselines.Key{Tenant: "acme", Persona: "refunds"}]
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
		s := newSchool(t, noPolicy)
		s.reload = reload
		rng := rand.New(rand.NewPCG(4, 4))
		for day := range int64(40) {
			for i := range 60 {
				e := work(day, rng.IntN(12), fmt.Sprint(day, "-", i))
				e.Tool.Name = fmt.Sprint("t", rng.IntN(5))
				e.User = fmt.Sprint("u", rng.IntN(40))
				if rng.IntN(3) == 0 {
					e = pays(e, fmt.Sprint("d", rng.IntN(6), ".example"))
				}
				if day > 25 && rng.IntN(40) == 0 {
					e = pays(e, fmt.Sprint("e", rng.IntN(1000), ".example"))
				}
				s.observe(e)
			}
		}
		return s.rare()
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
	s := taught(t, noPolicy, 10, 20)
	rng := rand.New(rand.NewPCG(6, 6))
	long := strings.Repeat("ä", event.MaxString/2)
	times := []int64{0, -1, math.MinInt64 / 4, (firstDay + 21) * baselines.DayMS, (firstDay + 5000) * baselines.DayMS,
		(firstDay + 22) * baselines.DayMS}
	for i := range 400 {
		e := work(21, rng.IntN(10), fmt.Sprint("x", i))
		s.host.event = &e
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
		w := s.panel.Who("acme", "refunds", "")
		w.Rest(s.models[w.Key], 0, 0)
		x := Scene{Host: s.host, Time: e.Time, Agent: s.memory(s.agents, e.Agent.ID), Who: w, Delta: &d, Eligible: true}
		s.panel.Observe(&x, &e)
		m := baselines.Learn(s.models[w.Key], w.Key, s.day+1, &d, s.terms)
		for f := range baselines.Fields {
			if p := baselines.RarityOf(m).New(f); !(p >= 0 && p <= 1) {
				t.Fatal(f, p)
			}
		}
	}
	for _, f := range s.rare() {
		if f.Anomaly == nil || !(f.Anomaly.P > 0 && f.Anomaly.P <= 1) || len(f.Why) > 2000 {
			t.Fatalf("%+v", f)
		}
	}
}

func FuzzAcquaintance(f *testing.F) {
	p := &acquaintance{}
	p.begin(firstDay * baselines.DayMS)
	f.Add(p.Append(nil))
	for i := range uint64(40) {
		p.meets(baselines.Field(i%uint64(baselines.Fields)), i*0x9e3779b97f4a7c15)
	}
	p.marks = 3
	f.Add(p.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p, q acquaintance
		r := wire.Reader{B: b}
		if p.Decode(&r); r.Err != nil {
			return
		}
		again := p.Append(nil)
		if len(again) == 0 {
			return
		}
		r = wire.Reader{B: again}
		if q.Decode(&r); r.Err != nil || !bytes.Equal(q.Append(nil), again) {
			t.Fatal("it does not come back", r.Err)
		}
		p.meets(baselines.UserField, 5)
	})
}

func TestAValueCountsOnceADay(t *testing.T) {
	// As many as agents show on a day, over and over: nearly all count once.
	rng := rand.New(rand.NewPCG(2, 2))
	p := &acquaintance{}
	values := make([]uint64, 80)
	for i := range values {
		values[i] = rng.Uint64()
	}
	for day := range int64(50) {
		p.begin((firstDay + day) * baselines.DayMS)
		p.marks = countedMark
		counted := map[uint64]int{}
		for range 20 {
			for i, v := range values {
				if first, _ := p.meets(baselines.Field(i%int(baselines.Fields)), v); first {
					counted[v]++
				}
			}
		}
		wrong := 0
		for _, v := range values {
			if counted[v] != 1 {
				wrong++
			}
		}
		if wrong > 40 || len(counted) < 78 {
			t.Fatalf("day %d: %d values did not count once", day, wrong)
		}
	}
}

func TestMemoryOfAnAgent(t *testing.T) {
	if n := unsafe.Sizeof(acquaintance{}); n > 32 {
		t.Errorf("%d B of an agent with one event", n)
	}
	if n := unsafe.Sizeof(acquaintance{}) + 256; n > 300 || unsafe.Sizeof(acquaintances{}) > 256 {
		t.Errorf("%d B of an active agent", n)
	}
	p := &acquaintance{}
	p.begin(firstDay * baselines.DayMS)
	p.marks = countedMark
	for f := range baselines.Fields {
		p.meets(f, uint64(f)+1)
	}
	if n := len(p.Append(nil)); n > 32 || p.more != nil {
		t.Errorf("%d B on disk of an agent with one event", n)
	}
}

// BenchmarkRarity is the cost of one event, of 20,000 agents of 10 personas in random order.
func BenchmarkRarity(b *testing.B) {
	const agents, personas = 20_000, 10
	set := noPolicy
	h := newHost(b, set)
	rng := rand.New(rand.NewPCG(1, 1))
	d := newRarity(8, h.panel.Set).(*rarity)
	events := make([]event.Event, 256)
	for i := range events {
		e := work(40, 0, "e")
		e.Persona = fmt.Sprint("p", rng.IntN(personas))
		e.Tool.Name, e.Tool.Server = fmt.Sprint("tool_number_", rng.IntN(12)), fmt.Sprint("server", rng.IntN(3))
		e.Intent = fmt.Sprint("intent-", rng.IntN(4))
		e.User = fmt.Sprint("user-", i/4) // sessions of four calls for one user
		e.Resource.Labels = []string{"pii"}
		if rng.IntN(4) == 0 {
			domain := fmt.Sprint("domain", rng.IntN(15), ".example")
			e.Destination = event.Destination{Kind: "email", Value: fmt.Sprint("u", rng.IntN(1000), "@", domain),
				Domain: domain}
		}
		events[i] = e
	}
	memories := make([]Memory, agents)
	whos := make([]*Who, personas)
	deltas := make([]baselines.Delta, personas)
	calls := make([]int, agents)
	run := func(agent int) { // an agent's day has a dozen different calls
		n := calls[agent]
		calls[agent]++
		e := &events[(agent%personas*23+(agent*4+n%12)%48)%len(events)]
		k := agent % personas
		x := Scene{Host: h, Time: e.Time, Agent: &memories[agent], Who: whos[k], AgentID: uint64(agent),
			Delta: &deltas[k], Eligible: true}
		d.Observe(&x, e)
	}
	order := make([]int, 1<<16)
	for i := range order {
		order[i] = rng.IntN(agents)
	}
	for k := range whos {
		whos[k] = h.panel.Who("acme", fmt.Sprint("p", k), "")
	}
	for i := range 400_000 {
		run(order[i%len(order)])
	}
	for k := range whos {
		deltas[k].Events, deltas[k].Learned, deltas[k].AgentDays = 1, 1, 2000
		baselines.RarityDeltaOf(&deltas[k]).Days = max(baselines.RarityDeltaOf(&deltas[k]).Days, 2000)
		whos[k].Rest(baselines.Learn(nil, whos[k].Key, firstDay+39, &deltas[k], baselines.Terms{}), 0, 0)
		deltas[k] = baselines.Delta{}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	clear(memories)
	for i := range 700_000 {
		run(order[i%len(order)])
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	bytes := 0
	for i := range memories {
		bytes += len(memories[i].Append(nil))
	}
	b.ReportAllocs()
	i, busy := 0, cpu()
	for b.Loop() {
		run(order[i%len(order)])
		i++
	}
	b.ReportMetric(float64(cpu()-busy)/float64(b.N), "cpu-ns/op") // on a machine that others use
	b.ReportMetric(float64(bytes)/agents, "disk-B/agent")
	b.ReportMetric(float64(unsafe.Sizeof(acquaintance{})+unsafe.Sizeof(acquaintances{})), "B/agent")
}

// TestWhatThePanelRemembersDoesNotShow: an agent's page must be the same whoever else is on its
// shard, and after a restart.
func TestWhatThePanelRemembersDoesNotShow(t *testing.T) {
	run := func(forget bool) (pages []byte) {
		s := newSchool(t, noPolicy)
		rng := rand.New(rand.NewPCG(7, 7))
		for day := range int64(8) {
			for i := range 600 {
				e := work(day, rng.IntN(3), fmt.Sprint(day, "-", i))
				e.Tool.Name, e.User = fmt.Sprint("t", rng.IntN(40)), fmt.Sprint("u", rng.IntN(60))
				if forget {
					s.panel.list = []Detector{newRarity(8, s.panel.Set)}
				}
				s.observe(e)
			}
		}
		for _, k := range slices.Sorted(maps.Keys(s.agents)) {
			pages = s.agents[k].Append(pages)
		}
		for _, d := range s.deltas {
			pages = d.Append(pages)
		}
		return pages
	}
	if !bytes.Equal(run(false), run(true)) {
		t.Error("it shows")
	}
}
