package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

// A needs_approval entry with conditions means the same wherever in the persona it stands, and
// however it travels.
func TestApprovalsUnderConditions(t *testing.T) {
	money := func(tool string, class event.Class, value int64, currency string) event.Event {
		e := call(tool, class)
		e.Amount, e.Has = event.Amount{Micro: value * 1e6, Currency: currency}, event.HasAmount
		return e
	}
	with := func(e event.Event, change func(e *event.Event)) event.Event { change(&e); return e }
	const above = `{tools: [pay_*], above: {amount: "500", currency: EUR}}`
	for claim, c := range map[string]struct {
		entry string
		e     event.Event
		needs bool
	}{
		"above it needs one": {above, money("pay_x", event.Pay, 501, "EUR"), true},
		"at it not":          {above, money("pay_x", event.Pay, 500, "EUR"), false},
		"by a millionth it does": {above,
			with(money("pay_x", event.Pay, 500, "EUR"), func(e *event.Event) { e.Amount.Micro++ }), true},
		"another currency is not below":    {above, money("pay_x", event.Pay, 5, "JPY"), true},
		"nor none":                         {above, money("pay_x", event.Pay, 5, ""), true},
		"a currency has no case":           {above, money("pay_x", event.Pay, 5, " eur"), false},
		"no amount is not below":           {above, call("pay_x", event.Pay), true},
		"whatever the tool is known to do": {above, call("pay_x", event.NoClass), true},
		"a read moves nothing":             {above, call("pay_x", event.Read), false},
		"money that comes back is money":   {above, money("pay_x", event.Pay, -501, "EUR"), true},
		"another tool needs none":          {above, money("get_x", event.Pay, 501, "EUR"), false},
		"without tools payments are meant": {`{above: {amount: "500", currency: EUR}}`, call("get_x", event.Pay),
			true},
		"and what moves money": {`{above: {amount: "500", currency: EUR}}`,
			money("get_x", event.Write, 501, "EUR"), true},
		"but not all that says nothing of money": {`{above: {amount: "500", currency: EUR}}`,
			call("get_x", event.Write), false},
		"nor with every tool named": {`{tools: ["*"], above: {amount: "500", currency: EUR}}`,
			call("get_x", event.Write), false},
		"a class": {`{classes: [delete], environments: [prod]}`,
			with(call("get_x", event.Delete), func(e *event.Event) { e.Resource.Environment = "Prod" }), true},
		"in another environment": {`{classes: [delete], environments: [prod]}`,
			with(call("get_x", event.Delete), func(e *event.Event) { e.Resource.Environment = "dev" }), false},
		"in one that is not known": {`{classes: [delete], environments: [prod]}`,
			call("get_x", event.Delete), false},
		"of another class": {`{classes: [delete], environments: [prod]}`,
			with(call("get_x", event.Read), func(e *event.Event) { e.Resource.Environment = "prod" }), false},
		"what it really did counts": {`{classes: [delete]}`,
			with(call("get_x", event.Read), func(e *event.Event) { e.Result.Effect = event.Delete }), true},
		"a label": {`{labels: [pii], destinations: [external]}`, with(call("get_x", event.Send), func(e *event.Event) {
			e.Resource.Labels, e.Destination = []string{"x", "PII"}, event.Destination{Kind: "email",
				Value: "a@b.example", External: event.Yes}
		}), true},
		"a classification is one": {`{labels: [secret]}`,
			with(call("get_x", event.Send), func(e *event.Event) { e.Resource.Classification = "Secret" }), true},
		"labels without the destination": {`{labels: [pii], destinations: [external]}`,
			with(call("get_x", event.Send), func(e *event.Event) { e.Resource.Labels = []string{"pii"} }), false},
		"a destination is read as in lists": {`{destinations: ["*.evil.example"]}`,
			with(call("get_x", event.Send), func(e *event.Event) {
				e.Destination = event.Destination{Kind: "url", Value: "https://A.Evil.example:443/x"}
			}), true},
		"one of several receivers": {`{destinations: [evil.example]}`,
			with(call("get_x", event.Send), func(e *event.Event) {
				e.Destination = event.Destination{Kind: "email", Value: "a@ok.example, b@evil.example"}
			}), true},
		"another destination": {`{destinations: [evil.example]}`,
			with(call("get_x", event.Send),
				func(e *event.Event) { e.Destination = event.Destination{Kind: "email", Value: "a@ok.example"} }),
			false},
		"a server": {`{servers: [crm], classes: [write]}`,
			with(call("get_x", event.Write), func(e *event.Event) { e.Tool.Server = "crm" }), true},
		"a type of resource": {`{resource_types: [Invoice]}`,
			with(call("get_x", event.Write), func(e *event.Event) { e.Resource.Type = "invoice" }), true},
		"a tool named with its server": {`{tools: [mcp__crm__*]}`,
			with(call("del", event.Delete), func(e *event.Event) { e.Tool.Server = "crm" }), true},
		"every entry holds by itself": {above + `, {classes: [delete]}`, call("get_x", event.Delete), true},
	} {
		for form, yaml := range map[string]string{
			"in a list": "default: deny, destinations: {allow: [\"*\"]}, tools: {allow: [get_*, get_y], needs_approval: [ask_*, " +
				c.entry + "]}",
			"beside": "default: deny, destinations: {allow: [\"*\"]}, tools: {allow: [get_*, get_y], needs_approval: [ask_*]}, needs_approval: [" +
				c.entry + "]",
			"elsewhere": "default: deny, destinations: {allow: [\"*\"]}, tools: {allow: [get_*, get_y], needs_approval: [ask_*]}, classes: {needs_approval: [" +
				c.entry + "]}",
		} {
			s := parse(t, "personas:\n- {name: p, "+yaml+"}\n", "")
			again, err := Parse(s.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []*Set{s, again} {
				j := s.Judge("acme", "p")
				vs := j.Check(&c.e, nil, 0, nil)
				got := Strongest(vs)
				want := Allow
				if c.needs {
					want = NeedsApproval
				}
				if got != want {
					t.Errorf("%s, %s: %v by %v, want %v", claim, form, got, vs, want)
				}
				explains(t, j, &c.e)
			}
			if n := testing.AllocsPerRun(20,
				func() { s.Persona("acme", "p").judgeConditions(&c.e, make([]Violation, 0, 4)) }); n > 0 &&
				c.needs == false {
				t.Errorf("%s: %v allocations", claim, n)
			}
		}
	}
}

// Where a condition stands is no part of what it says.
func TestConditionsHaveOneIdentity(t *testing.T) {
	of := func(yaml string) string {
		return parse(t, "personas:\n- {name: p, default: allow, "+yaml+"}\n", "").Hash()
	}
	one := of(`needs_approval: [{tools: [pay], above: {amount: "5", currency: EUR}}]`)
	for _, yaml := range []string{`needs_approval: {tools: [pay], above: {amount: "5", currency: EUR}}`,
		`tools: {needs_approval: [{tools: [pay], above: {amount: "5", currency: EUR}}]}`,
		`resources: {environments: {needs_approval: {tools: [pay], above: {currency: EUR, amount: "5"}}}}`} {
		if of(yaml) != one {
			t.Errorf("%s is another set", yaml)
		}
	}
	if of(`needs_approval: [{tools: [pay], above: {amount: "6", currency: EUR}}]`) == one {
		t.Error("another amount is the same set")
	}
}

func TestConditionsAreTakenOver(t *testing.T) {
	s := parse(t, `
personas:
- name: base
  default: deny
  tools: {allow: [get_*]}
  needs_approval:
  - {tools: [pay_*], above: {amount: "500", currency: EUR}}
- name: child
  extends: base
  tools:
    allow: [pay_x]
    needs_approval:
    - list_all
    - {classes: [delete], environments: [prod]}
    - {tools: [pay_*], above: {amount: "900", currency: EUR}}
`, "")
	e := call("pay_x", event.Pay)
	e.Amount, e.Has = event.Amount{Micro: 600e6, Currency: "EUR"}, event.HasAmount
	child := s.Persona("acme", "child")
	if vs := child.Check(&e, nil); len(vs) != 1 ||
		vs[0] != (Violation{"condition", "pay_x", "pay_* above 500 EUR", NeedsApproval}) {
		t.Errorf("a child may loosen what its parent wants approved: %v", vs)
	}
	var got []string
	for _, l := range child.Lines() {
		if strings.Contains(l.Path, "needs_approval") {
			got = append(got, fmt.Sprintf("%s = %s, line %d", l.Path, l.Value, l.Line))
		}
	}
	want := []string{"tools.needs_approval[0] = list_all, line 13", "needs_approval[0].classes[0] = delete, line 14",
		"needs_approval[0].environments[0] = prod, line 14",
		"needs_approval[1].tools[0] = pay_*, line 15", "needs_approval[1].above.amount = 900, line 15",
		"needs_approval[1].above.currency = EUR, line 15",
		"needs_approval[2].tools[0] = pay_*, line 7", "needs_approval[2].above.amount = 500, line 7",
		"needs_approval[2].above.currency = EUR, line 7"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	_, all := s.Judge("acme", "child").Explain(&e, nil)
	text := fmt.Sprint(all)
	for _, w := range []string{"{condition pay_x needs_approval pay_* above 500 EUR p.yaml 7}",
		"{condition pay_x allow pay_* above 900 EUR p.yaml 15}"} {
		if !strings.Contains(text, w) {
			t.Errorf("explained as %s, without %s", text, w)
		}
	}
}

func TestBadConditionsAreExplained(t *testing.T) {
	for entry, want := range map[string]string{
		`{above: {amount: "500"}}`:                 "above needs a currency, since amounts of two cannot be compared; add currency: EUR, say",
		`{above: {currency: EUR}}`:                 `above needs an amount; write above: {amount: "500.00", currency: EUR}, say`,
		`{above: {amount: "5,00", currency: EUR}}`: `"5,00" is no number that can be used here; write units and decimals, such as "5000.00"`,
		`{above: {amount: "-5", currency: EUR}}`:   `"-5" is negative; write units and decimals, such as "5000.00" (0 allows none at all)`,
		`{above: {amount: "5", currency: euro}}`:   `"euro" is no currency; use its three capital letters as in ISO 4217, such as EUR`,
		`{classes: [erase]}`:                       `unknown class "erase"; use read,`,
		`{}`:                                       `an entry without a condition is every call; give it tools, classes, environments, labels, destinations or above, or write default: needs_approval`,
		`{tool: [x]}`:                              `unknown key "tool"; did you mean "tools"?`,
	} {
		_, errs := load("personas:\n- {name: p, default: allow, tools: {needs_approval: ["+entry+"]}}\n", "")
		if got := errors.Join(errs...).Error(); !strings.Contains(got, ": "+want) ||
			!strings.HasPrefix(got, "p.yaml:2:") {
			t.Errorf("%s is explained as %q, want %q", entry, got, want)
		}
	}
}

func TestWhatMustBeTheSame(t *testing.T) {
	for same, want := range map[string]string{"resource": "", "user": "", "{first: resource, second: beneficiary}": "",
		"{first: subject, second: subject}": "",
		"{first: resource}":                 "a pair needs a word for each side", "invoice": `unknown word "invoice"`,
		"{first: resource, second: payee}": `unknown word "payee"`, "{one: resource}": `unknown key "one"`,
		"[resource]": "needs keys"} {
		s, errs := load(
			"personas:\n- {name: p, separate: [{name: a, between: [{classes: [pay]}, {classes: [approve]}], same: "+
				same+"}]}\n", "")
		if want != "" {
			if got := errors.Join(errs...); got == nil || !strings.Contains(got.Error(), want) {
				t.Errorf("same: %s is explained as %v", same, got)
			}
			continue
		}
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		again, err := Parse(s.Bytes())
		if err != nil || again.Hash() != s.Hash() ||
			again.Personas()[0].Separate[0].Hash != s.Personas()[0].Separate[0].Hash {
			t.Errorf("same: %s travels as another set: %v\n%s", same, err, s.Bytes())
		}
		yaml, err := s.Personas()[0].YAML()
		if shown, errs := load(string(yaml), ""); err != nil || len(errs) > 0 ||
			shown.Personas()[0].Version != s.Personas()[0].Version {
			t.Errorf("same: %s is shown as another persona: %v %v\n%s", same, err, errs, yaml)
		}
	}
}

func TestTenantsWithExceptions(t *testing.T) {
	of := func(tenant string) event.Event {
		e := call("x", event.Read)
		e.Resource.Tenant = tenant
		return e
	}
	for list, allowed := range map[string]string{"own": "acme", "[own]": "acme", "[own, public-kb]": "acme public-kb",
		`[own, "shared-*", public-kb]`: "acme public-kb shared-1",
		"any":                          "acme public-kb shared-1 Public-KB globex",
		"[any]":                        "acme public-kb shared-1 Public-KB globex"} {
		s := parse(t, "personas:\n- {name: base, resources: {tenants: "+list+"}}\n- {name: p, extends: base}\n", "")
		again, err := Parse(s.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*Set{s, again} {
			for _, tenant := range []string{"", "acme", "public-kb", "shared-1", "Public-KB", "globex"} {
				e := of(tenant)
				vs := s.Persona("acme", "p").Check(&e, nil)
				if want := tenant == "" || strings.Contains(" "+allowed+" ", " "+tenant+" "); want != (len(vs) == 0) {
					t.Errorf("tenants %s, resource of %q: %v", list, tenant, vs)
				}
			}
		}
	}
	for list, want := range map[string]string{"[public-kb]": "alone would forbid", "[a, b]": "own is not among",
		"[own, any]": "any is every tenant", "[own, a/b]": "is no tenant", "others": "alone would forbid",
		"[]": "is empty"} {
		_, errs := load("personas:\n- {name: p, resources: {tenants: "+list+"}}\n", "")
		if got := errors.Join(errs...).Error(); !strings.Contains(got, want) {
			t.Errorf("tenants %s is explained as %q", list, got)
		}
	}
}
