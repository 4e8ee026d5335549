package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Every warning has a rule that earns it, and the sound rule earns none.
func TestWarningsOfRules(t *testing.T) {
	const sound = `id: sound
title: t
why: w
tags: [ASI02]
where: 'tool.class == "pay" and amount.value > 5'
`
	const tests = `tests:
  - {name: a, events: [{at: 0s, agent: {id: a}, tool: {name: x, class: pay}, amount: {value: 6, currency: EUR}}], expect: {findings: 1}}
  - {name: b, events: [{at: 0s, agent: {id: a}, tool: {name: x, class: pay}, amount: {value: 5, currency: EUR}}], expect: {findings: 0}}
`
	const respond = "respond: {action: block, scope: session, duration: 15m}\nby: [session]\n"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"sound": {sound + tests, nil},
		"no why, no tags, no tests": {"id: r\ntitle: t\nwhere: 'tool.class == \"pay\"'\n",
			[]string{"R201", "R202", "R203"}},
		"needs the machine": {sound[:len(sound)-2] + " and resource.labels[0] == \"x\"'\n" + tests,
			[]string{"R204"}},
		"looked at with every event": {"id: r\ntitle: t\nwhy: w\ntags: [ASI02]\nwhere: amount.value > 5\n" + tests,
			[]string{"R205"}},
		"an exception that has expired": {sound + tests +
			"exceptions: [{name: x, when: 'user == \"u\"', reason: r, owner: o, expires: 2026-01-31}]\n",
			[]string{"R206"}},
		"one that has not": {sound + tests +
			"exceptions: [{name: x, when: 'user == \"u\"', reason: r, owner: o, expires: 2026-03-02}]\n", nil},
		"deprecated":                      {sound + tests + "status: deprecated\n", []string{"R207"}},
		"deprecated and off":              {sound + tests + "status: deprecated\nmode: off\n", nil},
		"a response that nobody asks for": {sound + tests + respond, []string{"R209"}},
		"one that waits in shadow":        {sound + tests + respond + "mode: shadow\n", nil},
		"one that is asked for":           {sound + tests + respond + "mode: enforce\n", nil},
	} {
		set := loaded(t, map[string]string{"rules/r.yaml": c.text})
		var got []string
		for _, p := range set.LintRules(time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)) {
			got = append(got, p.Code)
		}
		slices.Sort(got)
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// A rule that is turned off is the same but for its mode, and so are all others.
func TestWithout(t *testing.T) {
	set, err := Parse(
		[]byte(
			`{"v":1,"personas":[{"name":"p","default":"allow"}],"rules":[{"id":"a","title":"t","where":"kind == \"tool_call\"","params":{"x":1}},{"id":"b","title":"t","where":"kind == \"message\""}]}`))
	if err != nil {
		t.Fatal(err)
	}
	off, err := set.Without("a")
	if err != nil {
		t.Fatal(err)
	}
	was, is := set.Rules(), off.Rules()
	if is[0].Mode.String() != "off" || is[1].Mode != was[1].Mode || is[0].Hash != was[0].Hash ||
		len(off.Personas()) != 1 || off.Hash() == set.Hash() {
		t.Errorf("got %+v, %+v", is[0], is[1])
	}
	if again, err := off.Without("a"); err != nil || again.Hash() != off.Hash() {
		t.Errorf("turned off twice it is another set: %v", err)
	}
	if same, err := set.Without("nobody"); err != nil || same != set {
		t.Errorf("without a rule that is not there it is another set: %v", err)
	}
}

// What a test supposes to be learned is checked like everything else.
func TestWhatATestSupposes(t *testing.T) {
	for text, want := range map[string]string{
		"{seen: {domain: false}, p: {rarity: 0.001}, quantile: {records: 20}, expected: {events: 3}}": "",
		"{seen: {domian: false}}": `no baseline knows "domian"; did you mean "domain"?`,
		"{p: {rare: 1}}":          `no baseline knows "rare"`,
		"{quantile: {events: 1}}": `no baseline knows "events"`,
		"{expected: {weight: 1}}": `no baseline knows "weight"`,
		"{sen: {domain: false}}":  "unknown field",
		"{seen: {domain: 3}}":     "cannot unmarshal",
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "rules"), 0o700); err != nil {
			t.Fatal(err)
		}
		rule := "id: r\ntitle: x\nwhere: 'kind == \"tool_call\"'\ntests:\n  - {name: a, baseline: " + text +
			", events: [{at: 0s, agent: {id: a}, tool: {name: x}}], expect: {findings: 1}}\n"
		if err := os.WriteFile(filepath.Join(dir, "rules", "r.yaml"), []byte(rule), 0o600); err != nil {
			t.Fatal(err)
		}
		_, faults := Load(dir)
		switch {
		case want == "" && len(faults) == 0:
		case len(faults) != 1 || want == "" || !strings.Contains(faults[0].Error(), want) ||
			!strings.Contains(faults[0].Error(), "R041"):
			t.Errorf("%s: %v, want %q", text, faults, want)
		}
	}
}

// Every key has a code of its own, and keeps it.
func TestEveryKeyOfARuleHasItsCode(t *testing.T) {
	docs, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, k := range RuleKeys() {
		code := ruleCode(k + ".x[3]")
		if other, dup := seen[code]; dup || code < "R010" || code > "R041" {
			t.Errorf("%s has the code %s, as has %q", k, code, other)
		}
		if seen[code] = k; !strings.Contains(string(docs), code+" "+k) {
			t.Errorf("docs/rules.md does not say that %s is about %s", code, k)
		}
	}
}

// A mistake outside of expressions has its line, a caret, a code and a way out as well, in the
// document that it is in.
func TestMistakesAroundExpressions(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "rules"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := `id: r
title: x
where: 'kind == "tool_call"'
---
# a comment
id: s
titel: x
title: y
mode: alrt
by: [agnet]
steps:
  - {name: a, where: 'kind == "tool_call"', times: many}
  - {where: 'kind == "tool_call"'}
exceptions: [{when: 'user == "x"'}]
`
	if err := os.WriteFile(filepath.Join(dir, "rules", "r.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, faults := Load(dir)
	var got []string
	for _, err := range faults {
		p := err.(*Problem)
		lines := strings.Split(p.Snippet, "\n")
		if len(lines) != 2 || strings.Index(lines[1], "^") != 3+p.Column || !strings.Contains(p.What, "; ") {
			t.Errorf("no caret, or no way out: %v", p)
			continue
		}
		got = append(got, fmt.Sprintf("%d:%d %s", p.Line, p.Column, p.Code))
	}
	want := []string{"6:1 R030", "7:1 R001", "9:7 R015", "10:6 R025", "12:52 R032", "14:14 R039", "14:14 R039"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// BenchmarkLintCatalogue reads and lints all of configs, as rules lint does.
func BenchmarkLintCatalogue(b *testing.B) {
	for range b.N {
		set, faults := Load("../configs")
		if len(faults) > 0 || len(set.LintRules(TestStart)) > 0 {
			b.Fatal(faults)
		}
	}
}

func TestEntriesOfAListFile(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                     nil,
		"a\nb":                                 {"a", "b"},
		"a\r\nb\r\n":                           {"a", "b"},
		" a \t\n\n\n\tb c\n":                   {"a", "b c"},
		"\ufeffa\n\ufeffb":                     {"a", "b"},
		"\ufeff# a comment\n#\n##\n# \n#\tx\n": nil,
		"  # a comment behind blanks\n## another one\na": {"a"},
		"#general\nhttps://wiki.example/#a\n##x\n":       {"#general", "https://wiki.example/#a", "##x"},
		"a # b\nc#d\ne #f":                               {"a # b", "c#d", "e #f"},
		"a\nbcd\ufeff":                                   {"a", "bcd\ufeff"},
	} {
		if got := listEntries(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestWhatIsOddInTheFileOfAListIsTold(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Join(dir, "rules"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "rules", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("r.yaml", "\ufeffid: r\r\ntitle: t\r\nwhere: 'user in lists.who'\r\nlists: {who: '@who.txt'}\r\n")
	for text, want := range map[string]string{"ann\n": "", "#general\na#b\n": "", "# nobody\n": "no entry",
		"ann # the boss\n": `if "ann" is meant`, "\xff\xfea\x00": "not UTF-8"} {
		write("who.txt", text)
		set, errs := Load(dir)
		reported := fmt.Sprint(errs)
		if set != nil {
			for _, w := range set.LintRules(TestStart) {
				if w.Code == "R210" {
					reported += w.Error()
				}
			}
		}
		if reported = strings.TrimPrefix(reported, "[]"); want == "" && reported != "" || !strings.Contains(reported, want) ||
			(want != "") != strings.Contains(reported, "r.yaml:4") {
			t.Errorf("%q: got %q, want %q", text, reported, want)
		}
	}
}
