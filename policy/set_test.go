package policy

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wayward-sec/wayward/event"
)

var update = flag.Bool("update", false, "write what is got as what is wanted; read the diff")

func TestPersonaIsTheTenantsOwnFirst(t *testing.T) {
	s := parse(t, `
personas:
- {name: support, description: common}
- {name: support, tenant: acme, description: own}
`, "")
	for tenant, want := range map[string]string{"acme": "own", "other": "common", "": "common"} {
		if got := s.Persona(tenant, "support"); got == nil || got.Description != want {
			t.Errorf("%q: got %v", tenant, got)
		}
	}
	if s.Persona("acme", "supporter") != nil {
		t.Error("a persona that does not exist")
	}
	if s.Persona("acme", " Support\n") != s.Persona("acme", "support") || s.Persona("Acme", "support").Tenant != "" {
		t.Error("a persona is known in any spelling, a tenant in one")
	}
	if p := s.Persona("acme", "support"); p.File != "p.yaml" || p.Line != 4 {
		t.Errorf("read at %s:%d", p.File, p.Line)
	}
}

func TestPersonaOf(t *testing.T) {
	s := parse(t, `
personas:
- {name: common-exact, agents: [bot-7, bot-8]}
- {name: common-glob, agents: ["bot-*", "*"]}
- {name: own-exact, tenant: acme, agents: [bot-7]}
- {name: own-glob, tenant: acme, agents: ["b*"]}
- {name: own-longer, tenant: acme, agents: ["bot-9*"]}
- {name: own-same-length, tenant: acme, agents: ["*ot-91"]}
`, "")
	for _, c := range []struct{ claim, tenant, agent, want string }{
		{"a plain name of the tenant's own", "acme", "bot-7", "own-exact"},
		{"a plain name for all before a pattern of one's own", "acme", "bot-8", "common-exact"},
		{"a pattern of one's own before one for all", "acme", "bot-6", "own-glob"},
		{"the more specific pattern", "acme", "bot-90", "own-longer"},
		{"of two equally specific ones, the one that sorts first", "acme", "bot-91", "own-same-length"},
		{"another tenant's do not count", "other", "bot-7", "common-exact"},
		{"nor their patterns", "other", "bot-90", "common-glob"},
		{"the last resort", "acme", "x", "common-glob"},
	} {
		if got := s.PersonaOf(c.tenant, c.agent); got != c.want {
			t.Errorf("%s: got %s", c.claim, got)
		}
	}
	if got := Default().PersonaOf("acme", "x"); got != "" {
		t.Errorf("without a registry: got %s", got)
	}
}

func TestHashIsOfTheDefinitions(t *testing.T) {
	base := func() map[string]string {
		return map[string]string{
			"personas/a.yaml": "personas:\n- {name: a, default: deny, tools: {allow: [get_*]}, agents: [x, y]}\n- {name: b}\n",
			"limits/a.yaml":   "builtin: true\nlimits:\n- {id: l, scope: user, measure: count, max: 5, window: 1h}\n",
		}
	}
	hash := func(files map[string]string) string {
		s, errs := Load(folder(t, files))
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		if len(s.Hash()) != 32 {
			t.Errorf("%s is no hash", s.Hash())
		}
		return s.Hash()
	}
	want := hash(base())
	for claim, change := range map[string]func(map[string]string){
		"comments": func(f map[string]string) { f["limits/a.yaml"] = "# why\n" + f["limits/a.yaml"] },
		"the order of files": func(f map[string]string) {
			f["personas/z.yaml"] = "personas:\n- {name: a, agents: [y, x], tools: {allow: [get_*]}, default: deny}\n"
			f["personas/a.yaml"] = "personas:\n- {name: b}\n"
		},
		"several documents": func(f map[string]string) {
			f["personas/a.yaml"] = strings.Replace(f["personas/a.yaml"], "- {name: b", "---\npersonas:\n- {name: b", 1)
		},
		"defaults written out": func(f map[string]string) {
			f["personas/a.yaml"] = strings.Replace(f["personas/a.yaml"], "name: b",
				"name: b, default: allow, severity: high", 1)
		},
	} {
		f := base()
		change(f)
		if got := hash(f); got != want {
			t.Errorf("%s change the hash", claim)
		}
	}
	f := base()
	f["personas/a.yaml"] = strings.Replace(f["personas/a.yaml"], "get_*", "get*", 1)
	if hash(f) == want {
		t.Error("another tool keeps the hash")
	}
}

// same compares what two sets say; where a persona was read is no part of it.
var same = []cmp.Option{
	cmpopts.IgnoreFields(Persona{}, "File", "Line", "Tests"),
	cmpopts.IgnoreUnexported(Persona{}, Limit{}, Approvals{}, Separation{}, Condition{}),
	cmpopts.IgnoreFields(Separation{}, "Persona"), // leads back
	cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() }),
	cmp.Comparer(func(a, b *Hours) bool { return a == b || a != nil && b != nil && *a == *b }),
}

func TestParseOfBytesIsTheSameSet(t *testing.T) {
	examples, errs := Load("../configs")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	sets := []*Set{Default(), examples, parse(t, "", "builtin: false\n")}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		sets = append(sets, anySet(t, rng))
	}
	for _, s := range sets {
		again, err := Parse(s.Bytes())
		if err != nil {
			t.Fatalf("%v\n%s", err, s.Bytes())
		}
		if !bytes.Equal(s.Bytes(), again.Bytes()) || s.Hash() != again.Hash() {
			t.Fatalf("other bytes:\n%s\n%s", s.Bytes(), again.Bytes())
		}
		if diff := cmp.Diff(s.Personas(), again.Personas(), same...); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(s.Limits(), again.Limits(), same...); diff != "" {
			t.Fatal(diff)
		}
		for range 50 { // and it behaves alike
			e := anyEvent(rng)
			if a, b := s.PersonaOf(e.Tenant, e.Agent.ID), again.PersonaOf(e.Tenant, e.Agent.ID); a != b {
				t.Fatalf("%s plays %s and %s\n%s", e.Agent.ID, a, b, s.Bytes())
			}
			for i, p := range s.Personas() {
				ours, theirs := s.judge(e.Tenant, p), again.judge(e.Tenant, again.Personas()[i])
				for _, now := range []int64{0, 1_764_000_000_000 + rng.Int64N(1e10)} {
					if diff := cmp.Diff(ours.Check(&e, nil, now, nil), theirs.Check(&e, nil, now, nil)); diff != "" {
						t.Fatal(diff)
					}
				}
				explains(t, ours, &e)
			}
			for i, l := range s.Limits() {
				if counts(l, "p1", &e) != counts(again.Limits()[i], "p1", &e) {
					t.Fatal(l, e)
				}
			}
		}
	}
}

var someNames = []string{"a", "get_order", "get_*", "*.read", "x?z", "acme.com", "*.acme.com", "ünï <&> \\ \"q\""}

// explains wants an explanation to say what Check says, and nothing else against the call.
func explains(t *testing.T, j *Judge, e *event.Event) {
	t.Helper()
	verdict, all := j.Explain(e, nil)
	vs := j.Check(e, nil, e.Time, nil)
	if verdict != Strongest(vs) {
		t.Fatalf("explained as %v, judged as %v", verdict, vs)
	}
	var got, want []string
	for _, x := range all {
		if x.Kind != "approval" && (x.Verdict == "deny" || x.Verdict == "needs_approval") {
			got = append(got, fmt.Sprintf("%s %q %s", x.Kind, x.Value, x.Verdict))
		}
	}
	for _, v := range vs {
		want = append(want, fmt.Sprintf("%s %q %s", v.Kind, v.Value, v.Verdict))
	}
	if diff := cmp.Diff(sorted(want), sorted(got)); diff != "" {
		t.Fatal(diff)
	}
}

func anyEvent(r *rand.Rand) event.Event {
	pick := func(ss ...string) string { return ss[r.IntN(len(ss))] }
	e := call(pick("a", "get_order", "b.read", "xyz", "other"), event.Class(r.IntN(10)))
	e.Tenant = pick("t1", "t2", "t3")
	e.Agent.ID = pick("a", "get_order", "get_x", "b.read", "xyz")
	e.Intent, e.Tool.Server, e.Agent.Credential = pick("", "a", "b.read"), pick("", "get_order"), pick("", "xyz")
	e.Resource = event.Resource{Type: pick("", "Customer"), Classification: pick("", "secret", "finance"),
		Environment: pick("", "PROD"), Tenant: pick("", "t1")}
	e.Agent.Tier, e.Has = int64(r.IntN(4)), event.Has(r.IntN(2))*event.HasTier
	e.Destination = event.Destination{Kind: pick("", "email", "url"),
		Value: pick("", "a@acme.com", "https://x.acme.com"), External: event.Tri(r.IntN(3))}
	return e
}

func anySet(t *testing.T, r *rand.Rand) *Set {
	pick := func(ss ...string) string { return ss[r.IntN(len(ss))] }
	some := func(ss ...string) (out []string) {
		for _, s := range ss {
			if r.IntN(3) == 0 {
				out = append(out, s)
			}
		}
		r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
		return out
	}
	split := func(ss ...string) (l listsDef) {
		for _, s := range some(ss...) {
			into := []*[]string{&l.Allow, &l.Deny, &l.Needs}[r.IntN(3)]
			*into = append(*into, s)
		}
		return l
	}
	c := newCollector()
	src := &source{file: "any"}
	for i := range r.IntN(5) {
		d := personaDef{Name: fmt.Sprintf("p%d", i), Description: pick("", "line\nline"),
			Default: pick("allow", "deny"),
			Tools:   split(someNames...), Classes: split(event.Classes()...),
			Destinations: split(append([]string{"internal", "External", "EVIL.com"}, someNames...)...),
			Severity:     pick("", "low"), Tags: some("ASI02", "x")}
		if i > 0 { // the first is everybody's to extend
			d.Tenant = pick("", "t1", "t2")
		}
		d.Tools.Allow = append(d.Tools.Allow, fmt.Sprint("own", i))
		if r.IntN(2) == 0 {
			d.Servers, d.Intents, d.Credentials, d.DestinationKinds = split(someNames...), split(someNames...), split(
				someNames...), split("email", "URL", "*")
			d.Resources = resourcesDef{split("customer", "Ticket"), split("pii", "SECRET", "fin*"),
				split("prod", "dev"), []oneOrMore{nil, {"own"}, {"any"}, {"own", "public-kb", "shared-*"}}[r.IntN(4)]}
			d.Needs = []needsDef{{Tools: some(someNames...), Classes: []string{"pay"},
				Above: aboveDef{pick("5", "500.00"), "EUR"}},
				{Environments: []string{"Prod"}, Labels: some("pii"),
					Destinations: some("external", "*.EVIL.com")}}[r.IntN(3):]
			d.Tier.AtMost, d.Zone = pick("", "1", "3"), pick("", "Europe/Berlin", "Asia/Kolkata")
			d.Hours = []hoursDef{{some("mon", "sun"), "22:00", "06:30"}, {nil, "09:00", "24:00"}}[r.IntN(2):]
			yes := r.IntN(2) == 0
			d.Approvals = approvalsDef{some("lead-*", "*@Acme.example"), &yes, pick("", "1h"), nil, &yes}
			d.Separate = []separationDef{{"pair", []sideDef{{Tools: []string{"a"}}, {Classes: []string{"pay"}}},
				pick("", "session", "owner"), pick("", "1d"),
				[]sameDef{{}, {"resource", "resource"}, {"resource", "beneficiary"}, {"user", "user"}}[r.IntN(4)]}}
			d.Limits = []limitDef{{ID: "own", Scope: "agent", Measure: "count", Max: "5", Window: "60m"}}
			d.Respond = respondDef{Action: "block", Scope: pick("", "session")}
		}
		if i > 0 && r.IntN(2) == 0 { // a child says nothing that could contradict its parent
			d = personaDef{Name: d.Name, Tenant: d.Tenant, Extends: "p0", Tools: listsDef{Deny: some(someNames...)},
				Zone: d.Zone, Tags: some("y")}
		}
		d.Agents = append(some("*"+strings.Repeat("?", i), fmt.Sprint("get_*", strings.Repeat("?", i))),
			fmt.Sprint("agent", i))
		c.addPersona(d, src, at("personas", i))
	}
	c.inherit()
	for i := range r.IntN(5) {
		d := limitDef{ID: fmt.Sprintf("l%d", i), Scope: pick(scopes[1:]...),
			Measure: pick("count", "records", "bytes", "errors", "retries", "distinct_subjects"),
			Max:     fmt.Sprint(1 + r.IntN(1e4)), Window: pick("5s", "90m", "31d"),
			Kind: pick("", "sliding", "tumbling", "calendar"), Warn: pick("", "80%"),
			Where: whereDef{Tenants: some("t1", "t*"), Personas: some("p1", "p?"), Tools: some(someNames...),
				Servers: some(someNames...), Classes: some(event.Classes()...),
				ResourceTypes: some(someNames...), Labels: some(someNames...), Environments: some("prod", "*"),
				Intents: some("x*"), Users: some("u?"), Outcomes: some(event.Outcomes()...)},
			Severity: pick("", "critical"), Title: pick("", "T"), Tags: some("ASI02", "x")}
		if r.IntN(2) == 0 {
			d.Measure, d.Currency, d.Max = "amount", "EUR", fmt.Sprintf("%d.%02d", r.IntN(1e6), r.IntN(100))
		}
		switch yes := true; {
		case d.Scope == "call":
			d.Window, d.Kind = "", ""
			if !slices.Contains([]string{"records", "bytes", "amount"}, d.Measure) {
				d.Measure = "bytes"
			}
		case d.Kind == "calendar":
			d.Window, d.Zone = pick("1d", "1w", "1mo"), pick("", "Europe/Berlin")
		case r.IntN(3) == 0:
			d.Where.External = &yes
			d.Respond = respondDef{Action: "block", Scope: pick("", "agent")}
		}
		c.addLimit(d, src, at("limits", i))
	}
	for _, err := range c.problems() {
		t.Fatal(err)
	}
	return c.set()
}

func TestParseTrustsNothing(t *testing.T) {
	for text, want := range map[string]string{
		``:                "EOF",
		`{"v":2}`:         "version 2",
		`{"v":1,"x":1}`:   `unknown field "x"`,
		`{"v":1} {"v":1}`: "something follows",
		`{"v":1,"personas":[{"name":"p","tools":{"alow":[]}}]}`:                                    `unknown field "alow"`,
		`{"v":1,"limits":[{"id":"a","scope":"usr","measure":"count","max":"1"}]}`:                  `policy set limits[0].scope: unknown scope "usr"; did you mean "user"?`,
		`{"v":1,"limits":[{"id":"a","scope":"user","measure":"count","max":"1"}]}`:                 "a limit per user needs a window",
		`{"v":1,"personas":[{"name":"p"},{"name":"p"}]}`:                                           `persona "p" of every tenant is already at policy set personas[0]`,
		`{"v":1,"personas":[{"name":"p","agents":["a"]},{"name":"q","agents":["a"]}],"limits":[]}`: `agent "a" already plays "p" at policy set personas[0].agents[0]`,
	} {
		s, err := Parse([]byte(text))
		if s != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestBytesAreACopy(t *testing.T) {
	s := Default()
	s.Bytes()[0] = 'x'
	if s.Bytes()[0] != '{' {
		t.Error("a caller changed the set")
	}
}

func TestBuiltinLimits(t *testing.T) {
	var got []string
	for _, l := range Default().Limits() {
		got = append(got, l.ID+": "+l.String()+", "+l.Severity.String())
	}
	if diff := cmp.Diff([]string{
		"builtin-session-calls: more than 50 calls per session, medium",
		"builtin-user-calls-hour: more than 450 calls per user in 1h (sliding), medium",
		"builtin-user-records-hour: more than 5000 records per user in 1h (sliding), medium",
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestExamplesDoWhatTheySay(t *testing.T) {
	s, errs := Load("../configs")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var names []string
	for _, p := range s.Personas() {
		names = append(names, p.Name)
	}
	if diff := cmp.Diff([]string{"analyst", "base-agent", "devops", "payments", "support", "support"},
		names); diff != "" {
		t.Error(diff)
	}
	if got := len(s.Limits()); got != 11 {
		t.Errorf("%d limits", got)
	}
	to := func(e event.Event, kind, value string, ext event.Tri) event.Event {
		e.Destination = event.Destination{Kind: kind, Value: value, External: ext}
		return e
	}
	refund := func(eur int64) event.Event {
		e := call("create_refund", event.Pay)
		e.Amount, e.Has = event.Amount{Micro: eur * 1e6, Currency: "EUR"}, event.HasAmount
		return e
	}
	for _, c := range []struct {
		claim, persona string
		event          event.Event
		want           int
	}{
		{"support reads", "support", call("crm.read_customer", event.Read), 0},
		{"support answers anybody", "support", to(call("send_reply", event.Send), "email", "jane@customer.example",
			event.Yes), 0},
		{"support exports nothing", "support", call("ticket.export_all", event.Read), 1},
		{"support uses no drop", "support", to(call("send_reply", event.Send), "url", "https://abc.webhook.site/x",
			event.Yes), 1},
		{"payments refunds", "payments", to(refund(80), "iban", "DE89370400440532013000", event.Yes), 0},
		{"payments asks for large ones", "payments", to(refund(800), "iban", "DE89370400440532013000", event.Yes), 1},
		{"payments pays no stranger", "payments", to(call("pay_invoice", event.Pay), "iban", "GB29NWBK60161331926819",
			event.Yes), 1},
		{"payments does not approve", "payments", call("approve_invoice", event.Approve), 2},
		{"devops deploys", "devops", call("k8s.rollout", event.Exec), 0},
		{"devops keeps logs in", "devops", to(call("logs.ship", event.Send), "host", "paste.example", event.Yes), 1},
		{"analyst queries", "analyst", call("warehouse.query", event.Read), 0},
		{"analyst sends nothing out", "analyst", to(call("report.share", event.Write), "email", "x@y.example",
			event.Yes), 1},
	} {
		if got := s.Persona("acme", c.persona).Check(&c.event, nil); len(got) != c.want {
			t.Errorf("%s: got %v", c.claim, got)
		}
	}
}
