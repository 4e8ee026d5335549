package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
)

const family = `
personas:
- name: base
  default: deny
  tools: {allow: [get_*, list_*, put_x], needs_approval: [pay], deny: [drop_*]}
  resources: {labels: {deny: [secret]}, tenants: own}
  approvals: {by: [lead], valid: 1h}
  hours: [{from: "00:00", to: "24:00"}]
  separate: [{name: pair, between: [{classes: [pay]}, {classes: [approve]}]}]
  limits: [{id: calls, scope: agent, measure: count, max: 10, window: 1h}, {id: rows, scope: agent, measure: records, max: 10, window: 1h}]
  severity: low
  tags: [A]
  respond: {action: block}
- name: support
  extends: base
  agents: [bot]
  tools: {allow: [send], deny: [put_x], needs_approval: [list_*]}
  approvals: {by: [boss]}
  limits: [{id: calls, scope: agent, measure: count, max: 20, window: 1h}]
  tags: [B]
- name: support
  tenant: acme
  extends: support
  tools: {deny: [pay]}
  severity: critical
`

func TestAChildTakesOverWhatItDoesNotSay(t *testing.T) {
	s := parse(t, family, "")
	var got []string
	for _, l := range s.Persona("acme", "support").Lines() {
		got = append(got, fmt.Sprintf("%s = %s, line %d", l.Path, l.Value, l.Line))
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(`
name = support, line 21
tenant = acme, line 22
default = deny, line 4
tools.allow[0] = send, line 17
tools.allow[1] = get_*, line 5
tools.deny[0] = pay, line 24
tools.deny[1] = put_x, line 17
tools.deny[2] = drop_*, line 5
tools.needs_approval[0] = list_*, line 17
resources.labels.deny[0] = secret, line 6
resources.tenants = own, line 6
hours[0].from = 00:00, line 8
hours[0].to = 24:00, line 8
approvals.by[0] = boss, line 18
approvals.valid = 1h, line 7
separate[0].name = pair, line 9
separate[0].between[0].classes[0] = pay, line 9
separate[0].between[1].classes[0] = approve, line 9
severity = critical, line 25
tags[0] = B, line 20
tags[1] = A, line 12
respond.action = block, line 13`), "\n"), got); diff != "" {
		t.Error(diff)
	}
	if got := s.PersonaOf("acme", "bot"); got != "support" {
		t.Errorf("bot plays %q", got)
	}
}

func TestLimitsOfAPersonaCountItAlone(t *testing.T) {
	s := parse(t, family, "builtin: false\n")
	var got []string
	for _, l := range s.Limits() {
		got = append(got, fmt.Sprintf("%s %d %v %v", l.ID, l.Max, l.Where.Personas, l.Where.Tenants))
	}
	// The tenant's own adds none: those of the persona that it stands in place of hold by its name.
	if diff := cmp.Diff([]string{"persona.base.calls 10 [base] []", "persona.base.rows 10 [base] []",
		"persona.support.calls 20 [support] []", "persona.support.rows 10 [support] []"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheVersionIsOfAllThatHolds(t *testing.T) {
	a := parse(t, family, "").Persona("acme", "support")
	b := parse(t, strings.Replace(family, "drop_*]", "drop_*, x]", 1), "").Persona("acme", "support")
	c := parse(t, family+"  tests: [{name: x, event: {tool: {name: drop_x}}, expect: deny}]\n", "")
	if a.Version == b.Version {
		t.Error("another parent, the same version")
	}
	if c.Persona("acme", "support").Version != a.Version || c.Hash() != parse(t, family, "").Hash() {
		t.Error("a test changed the version")
	}
}

// Whatever is inherited: what a parent refuses, no child that loads lets pass.
func TestAChildIsNeverLooserThanItsParents(t *testing.T) {
	verdicts := []string{"allow", "needs_approval", "deny"}
	entries := []string{"get_a", "get_*", "*_a", "b"}
	loaded := 0
	for i := range 3 * 3 * 3 * 3 * 4 * 4 {
		n := i
		next := func(k int) int { d := n % k; n /= k; return d }
		list := func(a, b string) string {
			m := map[string][]string{}
			for _, e := range []string{a, b} {
				v := verdicts[next(3)]
				if !slices.Contains(m[v], e) {
					m[v] = append(m[v], fmt.Sprintf("%q", e))
				}
			}
			var out []string
			for _, v := range verdicts {
				if len(m[v]) > 0 {
					out = append(out, v+": ["+strings.Join(m[v], ", ")+"]")
				}
			}
			return strings.Join(out, ", ")
		}
		up, down := list(entries[0], entries[1]), list(entries[next(4)], entries[next(4)])
		s, errs := load("personas:\n- {name: up, default: allow, tools: {"+up+
			"}}\n- {name: down, default: allow, extends: up, tools: {"+down+"}}\n", "")
		if len(errs) > 0 {
			continue
		}
		loaded++
		for _, tool := range []string{"get_a", "get_b", "x_a", "b"} {
			e := call(tool, event.NoClass)
			above, below := Strongest(s.Persona("", "up").Check(&e, nil)), Strongest(s.Persona("", "down").Check(&e,
				nil))
			if below < above {
				t.Errorf("%s: up {%s} says %v, down {%s} says %v", tool, up, above, down, below)
			}
		}
	}
	if loaded < 100 {
		t.Errorf("only %d of them load", loaded)
	}
}

func TestLint(t *testing.T) {
	s := parse(t, `
personas:
- name: base
  default: deny
  tools: {allow: [get_secret, get_*, pay], deny: ["*_secret"]}
- {name: loose, extends: base, default: allow, approvals: {valid: 1h}}
- {name: asks, default: allow, tools: {needs_approval: [pay]}}
- {name: asks-right, default: allow, tools: {needs_approval: [pay]}, approvals: {by: [lead]}}
- name: apart
  default: allow
  classes: {deny: [pay, approve]}
  separate: [{name: pair, between: [{classes: [pay]}, {classes: [approve]}]}, {name: half, between: [{classes: [pay]}, {classes: [read]}]}]
`, "")
	var got []string
	for _, p := range s.Lint() {
		got = append(got, p.Error())
	}
	if diff := cmp.Diff([]string{
		`p.yaml:5:19: "get_secret" is allowed here, but denied by "*_secret", so this entry does nothing; remove one`,
		`p.yaml:6:41: the default is allow, but that of "base" is deny, so all that no list names is let go; name what is meant under allow instead`,
		`p.yaml:6:59: nothing needs an approval here; add a needs_approval list, or remove approvals`,
		`p.yaml:7:3: anybody may approve who is not the agent's own side; name the approvers in approvals.by`,
		`p.yaml:12:14: both sides of "pair" are forbidden anyway, so the pair is never found; remove it, or allow one side`,
	}, got); diff != "" {
		t.Error(diff)
	}
	examples, errs := Load("../configs")
	if len(errs) > 0 || len(examples.Lint()) > 0 {
		t.Error(errs, examples.Lint())
	}
}

func TestExamplesPassTheirOwnTests(t *testing.T) {
	s, errs := Load("../configs")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, p := range s.Personas() {
		expected := map[Verdict]int{}
		for i := range p.Tests {
			expected[p.Tests[i].Expect]++
			if fault := s.RunTest(p, &p.Tests[i]); fault != "" {
				t.Errorf("%s: %q %s", p.Name, p.Tests[i].Name, fault)
			}
		}
		if !p.Base() && (expected[Allow] == 0 || expected[Deny] == 0) {
			t.Errorf("%s has no test of each kind: %v", p.Name, expected)
		}
	}
}

func TestAFailingTestSaysWhy(t *testing.T) {
	s := parse(t, `
personas:
- name: p
  default: deny
  tools: {allow: [get_*], needs_approval: [pay]}
  tests:
  - {name: a, event: {tool: {name: drop}}, expect: allow}
  - {name: b, event: {tool: {name: get_x}}, expect: deny}
  - {name: c, event: {tool: {name: pay}}, expect: needs_approval, kinds: [class]}
  - {name: d, event: {tool: {name: pay}}, expect: needs_approval, kinds: [tool]}
`, "")
	p := s.Persona("", "p")
	var got []string
	for i := range p.Tests {
		got = append(got, fmt.Sprintf("%d %s", p.Tests[i].Line, s.RunTest(p, &p.Tests[i])))
	}
	if diff := cmp.Diff([]string{
		`7 is deny (deny of tool "drop" by default), expected allow`,
		`8 is allow, expected deny`,
		`9 is about tool (needs_approval of tool "pay" by pay), expected class`,
		`10 `,
	}, got); diff != "" {
		t.Error(diff)
	}
}
