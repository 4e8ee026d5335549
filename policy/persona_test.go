package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
)

// parse makes a set of YAML text, personas and limits.
func parse(t testing.TB, personas, limits string) *Set {
	t.Helper()
	s, errs := load(personas, limits)
	for _, err := range errs {
		t.Error(err)
	}
	if s == nil {
		t.FailNow()
	}
	return s
}

func load(personas, limits string) (*Set, []error) {
	text := func(name, s string) []*file {
		f := &file{source: source{file: name}, entriesLeft: maxEntries, text: []byte(s)}
		return []*file{f}
	}
	c := newCollector()
	ps, ls := text("p.yaml", personas), text("l.yaml", limits)
	c.addSource(&ps[0].source)
	c.addSource(&ls[0].source)
	c.loadPersonas(ps)
	c.loadLimits(ls)
	if errs := c.problems(); len(errs) > 0 {
		return nil, errs
	}
	return c.set(), nil
}

func persona(t testing.TB, yaml string) *Persona {
	t.Helper()
	return parse(t, "personas:\n- {name: p, "+yaml+"}\n", "").Persona("acme", "p")
}

// call is a tool call as a gateway reports it.
func call(tool string, class event.Class) event.Event {
	return event.Event{Kind: event.ToolCall, Tenant: "acme", Tool: event.Tool{Name: tool, Class: class}}
}

func TestPersonaJudgesToolsAndClasses(t *testing.T) {
	const (
		strict  = `default: deny, tools: {allow: [get_*, crm.update], deny: ["*_secret"]}`
		classed = `default: deny, tools: {allow: ["*"]}, classes: {allow: [read, write], deny: [pay]}`
		denying = `default: deny, tools: {allow: ["*"]}, classes: {deny: [pay]}`
		open    = `default: allow, tools: {allow: [get_*], deny: [drop_*]}, classes: {deny: ["*"]}`
	)
	effect := func(e event.Event, c event.Class) event.Event { e.Result.Effect = c; return e }
	phase := func(e event.Event, p event.Phase) event.Event { e.Phase = p; return e }
	for _, c := range []struct {
		claim, persona string
		event          event.Event
		want           []Violation
	}{
		{"an allowed tool is fine", strict, call("get_order", event.Read), nil},
		{"an allowed name is fine", strict, call("crm.update", event.Write), nil},
		{"what no list names is what the default says", strict, call("put_order", event.Read),
			[]Violation{{"tool", "put_order", "default", Deny}}},
		{"case matters for tools", strict, call("GET_order", event.Read),
			[]Violation{{"tool", "GET_order", "default", Deny}}},
		{"deny wins over allow", strict, call("get_secret", event.Read),
			[]Violation{{"tool", "get_secret", "*_secret", Deny}}},
		{"a tool without a name is no allowed tool", strict, call("", event.Read),
			[]Violation{{"tool", "", "default", Deny}}},
		{"classes are not judged where none is listed", strict, call("get_order", event.Delete), nil},
		{"a class that is not allowed", classed, call("x", event.Exec),
			[]Violation{{"class", "exec", "default", Deny}}},
		{"a class that is denied", classed, call("x", event.Pay), []Violation{{"class", "pay", "pay", Deny}}},
		{"an unknown class is unknown", classed, call("x", event.NoClass), nil},
		{"a deny list of classes alone forbids no others", denying, call("x", event.Exec), nil},
		{"and still forbids", denying, call("x", event.Pay), []Violation{{"class", "pay", "pay", Deny}}},
		{"what was really done counts", denying, effect(call("x", event.Read), event.Pay),
			[]Violation{{"class", "pay", "pay", Deny}}},
		{"claim and effect are one violation if they agree", denying, effect(call("x", event.Pay), event.Pay),
			[]Violation{{"class", "pay", "pay", Deny}}},
		{"and two if they do not", classed, effect(call("x", event.Exec), event.Pay),
			[]Violation{{"class", "exec", "default", Deny}, {"class", "pay", "pay", Deny}}},
		{"an allow list under default allow forbids nothing", open, call("put_order", event.NoClass), nil},
		{"a star denies every class", open, call("get_order", event.Read), []Violation{{"class", "read", "*", Deny}}},
		{"tool and class are two violations", open, call("drop_table", event.Delete),
			[]Violation{{"tool", "drop_table", "drop_*", Deny}, {"class", "delete", "*", Deny}}},
		{"the result of a call is judged", strict, phase(call("put_order", event.Read), event.Result),
			[]Violation{{"tool", "put_order", "default", Deny}}},
		{"its attempt is not, or one call were two violations", strict,
			phase(call("put_order", event.Read), event.Attempt), nil},
		{"other kinds of event are not judged", strict, event.Event{Kind: event.ModelCall}, nil},
	} {
		t.Run(c.claim, func(t *testing.T) {
			if diff := cmp.Diff(c.want, persona(t, c.persona).Check(&c.event, nil)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPersonaJudgesWhateverElseTheCallSays(t *testing.T) {
	const (
		open   = `default: allow, servers: {deny: [shady*]}, resources: {types: {deny: [secret]}, labels: {deny: [secret], needs_approval: [pii]}, environments: {deny: [prod]}, tenants: own}, destination_kinds: {deny: [repo]}, intents: {deny: [test-*]}, credentials: {deny: [root]}, tier: {at_most: 2}`
		strict = `default: deny, tools: {allow: ["*"]}, servers: {allow: [crm]}, resources: {types: {allow: [Ticket]}, labels: {needs_approval: [pii]}}, intents: {allow: [order_*]}`
		asks   = `default: needs_approval, tools: {allow: [get_*], deny: [rm]}, classes: {allow: [read], deny: [grant]}, destinations: {allow: [internal], needs_approval: [external]}`
	)
	with := func(change func(e *event.Event)) event.Event {
		e := call("get_x", event.Read)
		change(&e)
		return e
	}
	for _, c := range []struct {
		claim, persona string
		event          event.Event
		want           []Violation
	}{
		{"what is not said is no violation", open, with(func(e *event.Event) {}), nil},
		{"a denied server", open, with(func(e *event.Event) { e.Tool.Server = "shady-mcp" }),
			[]Violation{{"server", "shady-mcp", "shady*", Deny}}},
		{"a denied type of resource, in any case", open, with(func(e *event.Event) { e.Resource.Type = "Secret" }),
			[]Violation{{"resource", "Secret", "secret", Deny}}},
		{"every label", open, with(func(e *event.Event) { e.Resource.Labels = []string{"x", "PII", "secret"} }),
			[]Violation{{"label", "PII", "pii", NeedsApproval}, {"label", "secret", "secret", Deny}}},
		{"a classification is a label", open, with(func(e *event.Event) { e.Resource.Classification = "SECRET" }),
			[]Violation{{"label", "SECRET", "secret", Deny}}},
		{"and no second one", open,
			with(func(e *event.Event) { e.Resource.Classification, e.Resource.Labels = "secret", []string{"secret"} }),
			[]Violation{{"label", "secret", "secret", Deny}}},
		{"an environment", open, with(func(e *event.Event) { e.Resource.Environment = "PROD" }),
			[]Violation{{"environment", "PROD", "prod", Deny}}},
		{"a resource of one's own tenant", open, with(func(e *event.Event) { e.Resource.Tenant = "acme" }), nil},
		{"a resource of another tenant", open, with(func(e *event.Event) { e.Resource.Tenant = "globex" }),
			[]Violation{{"tenant", "globex", "own", Deny}}},
		{"a kind of destination", open, with(func(e *event.Event) { e.Destination.Kind = "Repo" }),
			[]Violation{{"destination_kind", "Repo", "repo", Deny}}},
		{"an intent", open, with(func(e *event.Event) { e.Intent = "test-7" }),
			[]Violation{{"intent", "test-7", "test-*", Deny}}},
		{"a credential", open, with(func(e *event.Event) { e.Agent.Credential = "root" }),
			[]Violation{{"credential", "root", "root", Deny}}},
		{"an agent that is trusted enough", open, with(func(e *event.Event) { e.Agent.Tier, e.Has = 2, event.HasTier }),
			nil},
		{"an agent that is not", open, with(func(e *event.Event) { e.Agent.Tier, e.Has = 3, event.HasTier }),
			[]Violation{{"tier", "3", "at most 2", Deny}}},
		{"under default deny an allow list judges what it does not name", strict,
			with(func(e *event.Event) { e.Tool.Server, e.Resource.Type, e.Intent = "erp", "order", "chat" }),
			[]Violation{{"server", "erp", "default", Deny}, {"resource", "order", "default", Deny},
				{"intent", "chat", "default", Deny}}},
		{"in any case where case says nothing", strict,
			with(func(e *event.Event) { e.Tool.Server, e.Resource.Type, e.Intent = "crm", "tICKET", "order_1" }), nil},
		{"without an allow list the default does not judge", strict,
			with(func(e *event.Event) { e.Resource.Labels, e.Agent.Credential = []string{"financial"}, "x" }), nil},
		{"but what needs approval does", strict, with(func(e *event.Event) { e.Resource.Labels = []string{"pii"} }),
			[]Violation{{"label", "pii", "pii", NeedsApproval}}},
		{"the default may ask for approval", asks, with(func(e *event.Event) { e.Tool.Name = "put_x" }),
			[]Violation{{"tool", "put_x", "default", NeedsApproval}}},
		{"deny wins over asking", asks,
			with(func(e *event.Event) { e.Tool = event.Tool{Name: "rm", Class: event.Grant} }),
			[]Violation{{"tool", "rm", "rm", Deny}, {"class", "grant", "grant", Deny}}},
		{"a class that no list names", asks, with(func(e *event.Event) { e.Tool.Class = event.Send }),
			[]Violation{{"class", "send", "default", NeedsApproval}}},
		{"external may need approval", asks,
			with(func(e *event.Event) { e.Destination = event.Destination{Domain: "x.example", External: event.Yes} }),
			[]Violation{{"destination", "x.example", "external", NeedsApproval}}},
		{"and internal not", asks,
			with(func(e *event.Event) { e.Destination = event.Destination{Domain: "db7", External: event.No} }), nil},
	} {
		t.Run(c.claim, func(t *testing.T) {
			if diff := cmp.Diff(c.want, persona(t, c.persona).Check(&c.event, nil)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPersonaJudgesDestinations(t *testing.T) {
	const (
		strict = `default: deny, tools: {allow: ["*"]}, destinations: {allow: [acme.com, "*.acme.com", DE89*], deny: [bad.acme.com]}`
		inside = `default: deny, tools: {allow: ["*"]}, destinations: {allow: [internal, partner.com]}`
		closed = `default: deny, tools: {allow: ["*"]}`
		open   = `default: allow, destinations: {deny: [external, evil.com, "*.evil.com"]}`
		every  = `default: deny, tools: {allow: ["*"]}, destinations: {allow: ["*"]}`
		meta   = "default: allow, destinations: {deny: ['169.254.169.254', \"Bu\u0308cher.example.\", '*.bücher.test']}"
		alike  = `default: deny, tools: {allow: ["*"]}, destinations: {allow: ["::ffff:10.0.0.1"]}`
	)
	type to = event.Destination
	bad := func(pairs ...string) (vs []Violation) {
		for i := 0; i < len(pairs); i += 2 {
			vs = append(vs, Violation{"destination", pairs[i], pairs[i+1], Deny})
		}
		return vs
	}
	for _, c := range []struct {
		claim, persona string
		to             to
		want           []Violation
	}{
		{"no destination, nothing to violate", strict, to{}, nil},
		{"nor with its kind alone", strict, to{Kind: "email", External: event.No}, nil},
		{"but gone out to nobody named is gone out", strict, to{External: event.Yes}, bad("external", "default")},
		{"the domain itself", strict, to{Domain: "acme.com"}, nil},
		{"below it", strict, to{Domain: "a.b.acme.com"}, nil},
		{"not what merely ends so", strict, to{Domain: "notacme.com"}, bad("notacme.com", "default")},
		{"not what merely begins so", strict, to{Domain: "acme.com.evil.net"}, bad("acme.com.evil.net", "default")},
		{"domains have no case", strict, to{Domain: "WWW.Acme.COM"}, nil},
		{"a violation shows it as sent", strict, to{Domain: "Evil.COM"}, bad("Evil.COM", "default")},
		{"the root's dot is no difference", strict, to{Domain: "acme.com."}, nil},
		{"deny wins over a pattern that allows", strict, to{Domain: "BAD.acme.com"},
			bad("BAD.acme.com", "bad.acme.com")},
		{"the domain goes before the value", strict, to{Kind: "email", Value: "x@evil.com", Domain: "acme.com"}, nil},
		{"an address has a domain", strict, to{Kind: "email", Value: "jane@acme.com"}, nil},
		{"also with a name", strict, to{Kind: "email", Value: `"Doe, Jane" <jane@acme.com>`}, nil},
		{"also with itself as name", strict, to{Kind: "email", Value: `jane@acme.com <jane@acme.com>`}, nil},
		{"another address as name is suspect", strict, to{Kind: "email", Value: `eve@evil.com <jane@acme.com>`},
			bad("eve@evil.com <jane@acme.com>", "default")},
		{"every recipient counts", strict, to{Kind: "email", Value: "jane@acme.com, eve@evil.com; joe@acme.com"},
			bad("evil.com", "default")},
		{"each domain once", strict, to{Kind: "email", Value: "a@evil.com,b@evil.com,c@bad.acme.com"},
			bad("evil.com", "default", "bad.acme.com", "bad.acme.com")},
		{"two @ are not an address", strict, to{Kind: "email", Value: "eve@evil.com@acme.com"},
			bad("eve@evil.com@acme.com", "default")},
		{"nor are two lines", strict, to{Kind: "email", Value: "eve@evil.com\njane@acme.com"},
			bad("eve@evil.com\njane@acme.com", "default")},
		{"nor is a word", strict, to{Kind: "email", Value: "acme.com"}, bad("acme.com", "default")},
		{"a URL has a host", strict, to{Kind: "url", Value: "https://api.acme.com:8443/x?y=@evil.com"}, nil},
		{"also without a scheme", strict, to{Kind: "url", Value: "acme.com/redirect?to=https://evil.com"}, nil},
		{"with a user before it", strict, to{Kind: "url", Value: "https://acme.com@evil.com/"},
			bad("evil.com", "default")},
		{"with a backslash readers disagree", strict, to{Kind: "url", Value: `https://evil.com\@acme.com/`},
			bad(`https://evil.com\@acme.com/`, "default")},
		{"with a second @ too", strict, to{Kind: "url", Value: "https://a@evil.com@acme.com/"},
			bad("https://a@evil.com@acme.com/", "default")},
		{"a scheme without slashes", strict, to{Kind: "url", Value: "https:evil.com/.acme.com"},
			bad("https:evil.com/.acme.com", "default")},
		{"a host with escapes", strict, to{Kind: "url", Value: "https://evil.com%2F.acme.com"},
			bad("https://evil.com%2F.acme.com", "default")},
		{"a slash of another script", strict, to{Kind: "url", Value: "https://evil.com／.acme.com"},
			bad("https://evil.com／.acme.com", "default")},
		{"mailto is an address", strict, to{Kind: "URL", Value: "mailto:jane@acme.com"}, nil},
		{"and may hide another", strict, to{Kind: "url", Value: "mailto:jane@acme.com?bcc=eve@evil.com"},
			bad("jane@acme.com?bcc=eve@evil.com", "default")},
		{"a host has a port", strict, to{Kind: "host", Value: "db.acme.com:5432"}, nil},
		{"an IPv6 address has colons", strict, to{Kind: "host", Value: "[2001:db8::1]:443"},
			bad("2001:db8::1", "default")},
		{"also without brackets", strict, to{Kind: "host", Value: "2001:db8::1"}, bad("2001:db8::1", "default")},
		{"what only looks like one is no host", strict, to{Kind: "host", Value: "evil.com:80:x.acme.com"},
			bad("evil.com:80:x.acme.com", "default")},
		{"nor is what stands behind brackets", strict, to{Kind: "host", Value: "[::1].acme.com"},
			bad("[::1].acme.com", "default")},
		{"nor what stands in them", strict, to{Kind: "host", Value: "[x.acme.com]"}, bad("[x.acme.com]", "default")},
		{"a port is a number", strict, to{Kind: "host", Value: "acme.com:evil"}, bad("acme.com:evil", "default")},
		{"any other kind is its value", strict, to{Kind: "iban", Value: "DE89370400440532013000"}, nil},
		{"and a host in it does not count", strict, to{Kind: "channel", Value: "x@acme.com"},
			bad("x@acme.com", "default")},
		{"internal asks the gateway", inside, to{Domain: "db7", External: event.No}, nil},
		{"unknown is not internal", inside, to{Domain: "db7"}, bad("db7", "default")},
		{"external is not internal", inside, to{Domain: "db7", External: event.Yes}, bad("db7", "default")},
		{"but what is named may be external", inside, to{Domain: "partner.com", External: event.Yes}, nil},
		{"default deny judges destinations without a list too", closed, to{Domain: "acme.com", External: event.No},
			bad("acme.com", "default")},
		{"denying external goes before names", open, to{Domain: "evil.com", External: event.Yes},
			bad("evil.com", "external")},
		{"unknown is not external", open, to{Domain: "acme.com"}, nil},
		{"but a denied name is", open, to{Kind: "url", Value: "https://x.EVIL.com/"}, bad("x.EVIL.com", "*.evil.com")},
		{"a list of URLs is judged part by part", strict,
			to{Kind: "url", Value: "https://acme.com/a b https://evil.com/ mailto:x@bad.acme.com"},
			bad("evil.com", "default", "bad.acme.com", "bad.acme.com")},
		{"a blank in a path ends no URL", strict, to{Kind: "url", Value: " https://acme.com/a b "}, nil},
		{"each reading may be denied", open, to{Kind: "url", Value: `https://acme.com\@evil.com/`},
			bad("evil.com", "evil.com")},
		{"in either order", open, to{Kind: "url", Value: `https://evil.com\@acme.com/`}, bad("evil.com", "evil.com")},
		{"a number is an address", meta, to{Kind: "url", Value: "http://2852039166/"},
			bad("169.254.169.254", "169.254.169.254")},
		{"a mapped one, too", meta, to{Kind: "host", Value: "[::FFFF:a9fe:a9fe]:80"},
			bad("169.254.169.254", "169.254.169.254")},
		{"in octal and hexadecimal", meta, to{Domain: "0251.0xfe.0251.254"}, bad("169.254.169.254", "169.254.169.254")},
		{"with a dot at its end", meta, to{Domain: "169.254.169.254."}, bad("169.254.169.254", "169.254.169.254")},
		{"entries are hosts however they are written", meta, to{Domain: "xn--bcher-kva.example"},
			bad("xn--bcher-kva.example", "Bu\u0308cher.example.")},
		{"in patterns as well", meta, to{Kind: "url", Value: "//a.BÜCHER.test/x"},
			bad("a.xn--bcher-kva.test", "*.bücher.test")},
		{"and those that allow", alike, to{Kind: "url", Value: "http://0xa000001"}, nil},
		{"a star allows what cannot be read", every, to{Kind: "email", Value: "a@b@c"}, nil},
		{"a long value is looked at whole", every, to{Kind: "channel", Value: strings.Repeat("A", 5000)}, nil},
	} {
		t.Run(c.claim, func(t *testing.T) {
			e := call("send", event.NoClass)
			e.Destination = c.to
			if diff := cmp.Diff(c.want, persona(t, c.persona).Check(&e, nil)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCheckAppends(t *testing.T) {
	p := persona(t, `default: deny, tools: {allow: [get_*]}`)
	e := call("put", event.Write)
	got := p.Check(&e, []Violation{{Kind: "before"}})
	if len(got) != 2 || got[0].Kind != "before" {
		t.Errorf("got %v", got)
	}
}

func FuzzHost(f *testing.F) {
	for _, s := range []string{"https://a.b/c", "a@b.c", "mailto:x@y", "[::1]:80", "//x", "a:80", `"x" <a@b>`,
		"a@b,c@d"} {
		f.Add(s)
	}
	p := persona(f, `default: deny, tools: {allow: ["*"]}, destinations: {allow: ["*.acme.com", acme.com]}`)
	f.Fuzz(func(t *testing.T, s string) {
		for _, kind := range []string{"email", "url", "host", "iban", ""} {
			e := call("x", event.NoClass)
			e.Destination = event.Destination{Kind: kind, Value: s}
			vs := p.Check(&e, nil)
			if kind != "" && kind != "iban" && s != "" && len(vs) == 0 && !strings.Contains(event.Lower(s), "acme.com") {
				t.Errorf("%s %q passes", kind, s)
			}
			for _, v := range vs {
				if v.Value == "" && s != "" {
					t.Errorf("%s %q: a violation that shows nothing", kind, s)
				}
			}
		}
	})
}

// twenty is a persona as people write them: twenty allowed tools, some by pattern.
func twenty(t testing.TB) *Persona {
	var b strings.Builder
	b.WriteString(`default: deny, tools: {allow: [`)
	for i := range 14 {
		fmt.Fprintf(&b, "crm.tool_%d, ", i)
	}
	b.WriteString(`get_*, search_*, list_*, ticket.*, "*.read*", "*_status"], deny: ["*.export*", drop_*]}, `)
	b.WriteString(
		`classes: {allow: [read, write, send], deny: [pay]}, destinations: {allow: [internal, "*.acme.com"], deny: [evil.com]}`)
	return persona(t, b.String())
}

// everything is a persona that uses all there is, and a call that breaks nothing of it.
func everything(t testing.TB) (*Judge, *catalogue.Tool, event.Event) {
	s := parse(t, `
personas:
- name: p
  default: deny
  tools: {allow: [crm.update, get_*, search_*, list_*, ticket.*, "*.read*", "*_status"], needs_approval: [pay_*], deny: ["*.export*", drop_*]}
  servers: {allow: [crm, "tickets-*"], deny: ["*-staging"]}
  classes: {allow: [read, write, send], needs_approval: [pay]}
  resources:
    types: {allow: [customer, ticket]}
    labels: {deny: [secret], needs_approval: [financial]}
    environments: {deny: [prod]}
    tenants: own
  destinations: {allow: [internal, "*.acme.com"], deny: [evil.com], needs_approval: [partner.com]}
  destination_kinds: {deny: [repo]}
  intents: {allow: [order_status, "complaint*"]}
  credentials: {deny: [root]}
  tier: {at_most: 2}
  zone: Europe/Berlin
  hours: [{days: [mon, tue, wed, thu, fri], from: "08:00", to: "18:00"}]
`, "")
	e := call("get_order_status", event.Read)
	e.Tool.Server, e.Intent, e.Agent.Credential, e.Agent.Tier, e.Has = "crm", "order_status", "cred-7", 2, event.HasTier
	e.Resource = event.Resource{Type: "Customer", ID: "c-1", Tenant: "acme", Labels: []string{"pii"},
		Environment: "staging"}
	e.Destination = event.Destination{Kind: "email", Value: "jane@mail.acme.com", Domain: "mail.acme.com",
		External: event.No}
	return s.Judge("acme", "p"), s.Catalogue().Tool("acme", &e.Tool), e
}

func TestAJudgeRemembersNoMoreThanItsTools(t *testing.T) {
	s := parse(t, "personas:\n- {name: p, default: deny, tools: {allow: [get_*]}}\n", "")
	j := s.Judge("acme", "p")
	for i := range 3 * rememberedTools {
		e := call(fmt.Sprint([]string{"get_", "put_"}[i%2], i), event.NoClass)
		tool := s.Catalogue().Tool("acme", &e.Tool)
		for range 2 { // computed, and remembered
			if diff := cmp.Diff(s.Persona("acme", "p").Check(&e, nil), j.Check(&e, tool, 0, nil)); diff != "" {
				t.Fatal(diff)
			}
		}
	}
	if len(j.tools) > rememberedTools {
		t.Errorf("%d tools remembered", len(j.tools))
	}
}

func TestACleanEventCostsNoAllocation(t *testing.T) {
	p := twenty(t)
	s := parse(t, "personas:\n- {name: p, agents: [bot, x*]}\n", "")
	mail := call("get_order", event.Send)
	mail.Destination = event.Destination{Kind: "email", Value: "Jane.Doe@A.Long.Subdomain.Of.Some.Kind.Mail.ACME.com"}
	read := call("kb.read_page", event.Read)
	judge, tool, rich := everything(t)
	buf := make([]Violation, 0, 4)
	for name, f := range map[string]func(){
		"check a read": func() { buf = p.Check(&read, buf[:0]) },
		"check a mail": func() { buf = p.Check(&mail, buf[:0]) },
		"persona":      func() { s.Persona("acme", "p") },
		"persona of":   func() { s.PersonaOf("acme", "xyz") },
		"judge":        func() { buf = judge.Check(&rich, tool, 1_767_614_400_000, buf[:0]) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if len(buf) != 0 {
			t.Errorf("%s: %v", name, buf)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	p := twenty(b)
	exact, pattern, last, mail := call("crm.tool_7", event.Write), call("get_order",
		event.Read), call("kb.page.read_all", event.Read), call("get_order", event.Send)
	mail.Destination = event.Destination{Kind: "email", Value: "jane@mail.acme.com", Domain: "mail.acme.com",
		External: event.No}
	for _, c := range []struct {
		name  string
		event event.Event
	}{{"exact", exact}, {"pattern", pattern}, {"late-pattern", last}, {"destination", mail}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var dst []Violation
			for b.Loop() {
				dst = p.Check(&c.event, dst[:0])
			}
			if len(dst) > 0 {
				b.Fatal(dst)
			}
		})
	}
}

func BenchmarkJudge(b *testing.B) {
	j, tool, rich := everything(b)
	plain := call("get_order_status", event.Read)
	for name, e := range map[string]*event.Event{"plain": &plain, "rich": &rich} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var dst []Violation
			for b.Loop() {
				dst = j.Check(e, tool, 1_767_614_400_000, dst[:0])
			}
			if len(dst) > 0 {
				b.Fatal(dst)
			}
		})
	}
}
