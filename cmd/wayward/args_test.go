package main

import (
	"strings"
	"testing"
)

func TestLintShowsTheArgumentsThatRulesAskFor(t *testing.T) {
	rule := func(path, tests string) string {
		return "id: r\ntitle: t\nwhy: w\ntags: [ASI02]\nwhere: 'tool.name == \"pay\" and arg(\"" + path +
			"\") == \"7\"'\n" + tests
	}
	const tests = "tests:\n  - {name: fires, events: [{at: 0s, agent: {id: a}, tool: {name: pay}, args: {items: [{id: 7}]}}], expect: {findings: 1}}\n" +
		"  - {name: quiet, events: [{at: 0s, agent: {id: a}, tool: {name: pay}, args: {items: [{id: 8}]}}], expect: {findings: 0}}\n"
	sample := writeFile(t, "sample.jsonl",
		`{"time":1767600000000,"kind":"tool_call","tenant":"acme","agent":{"id":"a"},"tool":{"name":"pay"},"args":{"items":[{"id":"7"}]}}`+
			"\n")
	for _, c := range []struct {
		path, tests, says string
		code              int
	}{
		{"items[0].id", tests, "1 rules; 0 problems, 0 warnings", 0},
		{"items[*].id", tests, "1 rules; 0 problems, 0 warnings", 0},
		{"items.id", tests, "1 rules; 0 problems, 0 warnings", 0},
		{"items[0].id", "", "R211 rule r: asks for the argument items[0].id, which no event of its tests has", 0},
		{"items[1].id", tests, "R208 rule r: none of 1 events has the argument items[1].id", 0},
		{"items[x].id", tests,
			"r.yaml:5:36: R109 argument path \"items[x].id\" has something else than a number up to 9999 or * in brackets",
			1},
	} {
		dir := tree(t, map[string]string{"rules/r.yaml": rule(c.path, c.tests)})
		code, out, errs := wayward(t, "rules", "lint", dir, "--sample", sample)
		if code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%s: exit code %d: %s%s", c.path, code, out, errs)
		}
		if c.code == 1 && !strings.Contains(out, "\n"+strings.Repeat(" ", 31)+"^") {
			t.Errorf("%s: the caret stands elsewhere:\n%s", c.path, out)
		}
		if strings.HasPrefix(c.says, "1 rules") {
			if code, out, _ := wayward(t, "rules", "test", dir); code != 0 {
				t.Errorf("%s: exit code %d: %s", c.path, code, out)
			}
		}
	}
}
