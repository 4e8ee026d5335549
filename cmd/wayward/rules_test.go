package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/authoring"
	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/rules"
)

// ran is what a command prints, and its exit code.
func ran(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = execute(context.Background(), args, &stdout, &stderr)
	return stdout.String() + stderr.String(), code
}

func rulesIn(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "rules"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "rules", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestARuleToBeginWithPassesLintAndItsTests(t *testing.T) {
	files := map[string]string{}
	for form := range authoring.Forms {
		out, code := ran(t, "rules", "new", "my-"+form, "--form", form)
		if code != 0 {
			t.Fatal(out)
		}
		files[form+".yaml"] = out
	}
	dir := rulesIn(t, files)
	if out, code := ran(t, "rules", "lint", dir, "--fail-on", "warning"); code != 0 {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if out, code := ran(t, "rules", "test", dir); code != 0 ||
		!strings.Contains(out, "8 tests: 8 passed, 0 failed, 0 todo") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if out, code := ran(t, "rules", "list", dir); code != 0 ||
		!strings.Contains(out, "my-absence   shadow  experimental  medium    relation") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestAFailingTestShowsWhatEachConditionCameTo(t *testing.T) {
	text := strings.Replace(authoring.Forms["event"], "findings: 0", "findings: 1", 1)
	text = strings.Replace(text, "{id}", "big-payment", 1)
	dir := rulesIn(t, map[string]string{"r.yaml": text})
	out, code := ran(t, "rules", "test", dir, "--report", "junit="+filepath.Join(dir, "tests.xml"))
	for _, want := range []string{"ok    big-payment: fires above the limit", "FAIL  big-payment: stays quiet below it",
		"0 findings, expected 1",
		"no  event: amount.value > params.max   (amount.value is 400, params.max is 500)",
		"2 tests: 1 passed, 1 failed"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if code != 1 {
		t.Errorf("exit %d", code)
	}
	report, err := os.ReadFile(filepath.Join(dir, "tests.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Suites []struct {
			Name     string `xml:"name,attr"`
			Failures int    `xml:"failures,attr"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(report, &suites); err != nil || len(suites.Suites) != 1 || suites.Suites[0].Failures != 1 ||
		suites.Suites[0].Name != "big-payment" {
		t.Errorf("%+v, %v", suites, err)
	}
}

// Where a window or a sequence disappoints, the test shows what has added up, what was captured and
// what is waited for.
func TestAFailingTestShowsWhatHasAddedUp(t *testing.T) {
	dir := rulesIn(t, map[string]string{"window.yaml": `id: many
title: Many people
by: [agent]
window: 10m
where: tool.class == "read"
let: {people: distinct(resource.id), calls: count(), share: people / calls}
having: people >= 3 and share > 0.5
tests:
  - name: fires
    all: {agent: {id: a}}
    events:
      - {at: 0s, every: 1s, times: 4, tool: {name: x, class: read}, resource: {type: customer, id: 'c'}}
    expect: {findings: 1}
`, "sequence.yaml": `id: sent-to-another
title: Read for one, sent to another
by: [agent]
within: 10m
steps:
  - {name: taken, where: 'tool.class == "read"', let: {n: count(), all: sum(result.records)}, having: all > 10, capture: {who: user}}
  - {name: sent, where: 'tool.class == "send" and user != taken.who', times: 2}
absent: {where: 'kind == "approval"', for: 5m}
tests:
  - name: fires
    all: {agent: {id: a}, user: ann}
    events:
      - {at: 0s, every: 1s, times: 2, tool: {name: x, class: read}, result: {records: 6}}
      - {at: 2s, tool: {name: y, class: send}}
      - {at: 3s, tool: {name: y, class: send}, user: bob}
      - {at: 4s, tool: {name: y, class: send}, agent: {id: b}}
    expect: {findings: 1}
`})
	out, code := ran(t, "rules", "test", dir)
	for _, want := range []string{"no  having: people >= 3 and share > 0.5   (people is 1, share is 0.25)",
		"no  having: all > 10   (all is 6)", "yes having: all > 10   (all is 12)",
		`under way: waits for sent, has 0 of 2   (taken.n is 2, taken.all is 12, user of taken is "ann")`,
		`no  sent: user != taken.who   (taken.who is "ann", user is "ann")`, `has 1 of 2`} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if code != 1 || strings.Count(out, "has 1 of 2") != 1 {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestAStableRuleNeedsBothKindsOfTests(t *testing.T) {
	text := strings.Replace(authoring.Forms["event"], "{id}", "r", 1)
	text = strings.Replace(text, "status: experimental", "status: stable", 1)
	text = text[:strings.Index(text, "  - name: stays quiet")]
	dir := rulesIn(t, map[string]string{"r.yaml": text})
	if out, code := ran(t, "rules", "test", dir); code != 1 ||
		!strings.Contains(out, "has 1 tests that fire and 0 that stay quiet") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if out, code := ran(t, "rules", "test", dir, "--min-tests", "0"); code != 0 {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if out, code := ran(t, "rules", "test", dir, "--run", "nothing"); code != 3 {
		t.Errorf("nothing was examined: exit %d:\n%s", code, out)
	}
}

// Every mistake has its file, line, column, a caret and a way out.
func TestMistakesInRules(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"typo": {"id: r\ntitle: t\nwhere: tool.nmae == \"x\"\n", `r.yaml:3:13: R101 unknown field "nmae"; did you mean tool.name?
    tool.nmae == "x"
         ^`},
		"quoted": {"id: r\ntitle: t\nwhere: 'tool.name > 5'\n", "r.yaml:3:19: R102"},
		"block": {"id: r\ntitle: t\nwhere: |\n  tool.class == \"pay\" and\n  usr == \"x\"\n",
			"r.yaml:5: R101 unknown field \"usr\"; did you mean user?"},
		"in a step": {
			"id: r\ntitle: t\nby: [agent]\nwithin: 1m\nsteps:\n  - {where: 'kind == \"tool_call\"'}\n  - {where: 'nothing'}\n",
			"r.yaml:7:14: R101"},
		"in a let": {
			"id: r\ntitle: t\nby: [agent]\nwindow: 1m\nwhere: 'kind == \"tool_call\"'\nlet: {n: sum(user)}\nhaving: n > 1\n",
			"r.yaml:6:10: R102"},
		"unknown key": {"id: r\ntitle: t\nwhen: true\n",
			"r.yaml:3:1: R001 unknown key \"when\"; use id, title, why"},
		"no window": {"id: r\ntitle: t\nwhere: 'true'\nhaving: 'true'\n", "window and having belong together"},
		"no within": {"id: r\ntitle: t\nby: [agent]\nsteps: [{where: 'true'}, {where: 'true'}]\n",
			"a sequence needs a time"},
		"no by": {"id: r\ntitle: t\nwithin: 1m\nsteps: [{where: 'true'}, {where: 'true'}]\n",
			"say whose events belong together"},
		"unknown by": {"id: r\ntitle: t\nby: [agnt]\nwhere: 'true'\n",
			"unknown key \"agnt\"; did you mean \"agent\"?"},
		"unknown mode": {"id: r\ntitle: t\nmode: loud\nwhere: 'true'\n", "unknown mode \"loud\""},
		"an exception": {"id: r\ntitle: t\nwhere: 'true'\nexceptions: [{name: x, when: 'true'}]\n",
			"an exception needs a reason and an owner"},
		"a test": {
			"id: r\ntitle: t\nwhere: 'true'\ntests: [{name: x, events: [{at: 0s, tol: {}}], expect: {findings: 1}}]\n",
			"event 1: an event has no tol"},
		"deep nesting": {
			"id: r\ntitle: t\nwhere: 'any(resource.labels, any(resource.labels, any(resource.labels, # == \"a\")))'\n",
			"R121"},
		"memory growth": {"id: r\ntitle: t\nwhere: 'reduce(1..1000000, #acc + #acc, \"a\") == \"\"'\n", "R122"},
		"a bad regexp":  {"id: r\ntitle: t\nwhere: 'tool.name matches \"(a{1000}){1000}\"'\n", "R104"},
		"two of one id": {"id: r\ntitle: t\nwhere: 'true'\n---\nid: r\ntitle: t\nwhere: 'true'\n",
			"rule \"r\" is already at"},
		"a file outside": {"id: r\ntitle: t\nwhere: 'user in lists.x'\nlists: {x: '@../../etc/passwd'}\n",
			"is not beside the rule"},
	} {
		dir := rulesIn(t, map[string]string{"r.yaml": c.text})
		out, code := ran(t, "rules", "lint", dir)
		if code != 1 || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit %d, want %q in\n%s", name, code, c.want, out)
		}
	}
}

func TestLintWritesSARIF(t *testing.T) {
	dir := rulesIn(t, map[string]string{"r.yaml": "id: r\ntitle: t\nwhere: tool.nmae == \"x\"\n"})
	out, _ := ran(t, "rules", "lint", dir, "--output", "sarif")
	var s struct {
		Version string
		Runs    []struct {
			Results []struct {
				RuleID    string
				Locations []struct {
					PhysicalLocation struct {
						Region struct{ StartLine, StartColumn int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.Version != "2.1.0" || len(s.Runs) != 1 ||
		len(s.Runs[0].Results) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	r := s.Runs[0].Results[0]
	if at := r.Locations[0].PhysicalLocation.Region; r.RuleID != "R101" || at.StartLine != 3 || at.StartColumn != 13 {
		t.Errorf("%+v", r)
	}
}

func TestListsFromFiles(t *testing.T) {
	dir := rulesIn(t,
		map[string]string{"r.yaml": strings.Join([]string{"id: r", "title: t", "where: user in lists.vips",
			"lists: {vips: [zoe, '@vips.txt']}", "tests:",
			"  - {name: fires, events: [{at: 0s, user: bob, agent: {id: a}, tool: {name: x}}, {at: 1s, user: zoe, agent: {id: b}, tool: {name: x}}], expect: {findings: 2}}",
			"  - {name: quiet, events: [{at: 0s, user: eve, agent: {id: a}, tool: {name: x}}], expect: {findings: 0}}"},
			"\n"), "vips.txt": "\ufeff# who matters\r\nann\r\n\t bob \r\n#\r\n\r\n"})
	if out, code := ran(t, "rules", "test", dir); code != 0 {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestAnExpressionCanBeTried(t *testing.T) {
	file := filepath.Join(t.TempDir(), "e.jsonl")
	record := `{"id":"1","time":1767600000000,"kind":"tool_call","tenant":"acme","agent":{"id":"a"},"tool":{"name":"refund"},"amount":{"value":"750.50","currency":"EUR"}}`
	if err := os.WriteFile(file, []byte(record+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]struct {
		out  string
		code int
	}{`amount.value * 2`: {"1501", 0}, `tool.name`: {`"refund"`, 0}, `amount.value > 1000`: {"false", 1},
		`amount.valu`: {"2", 2}} {
		out, code := ran(t, "rules", "eval", "-e", source, "--event", file)
		if code != want.code || code < 2 && strings.TrimSpace(out) != want.out {
			t.Errorf("%s: exit %d, %q; want %d, %q", source, code, out, want.code, want.out)
		}
	}
	if out, _ := ran(t, "rules", "eval", "-e", "amount.valu", "--event", file); !strings.Contains(out,
		"did you mean amount.value?") || !strings.Contains(out, "       ^") {
		t.Errorf("%s", out)
	}
}

func TestWatchRunsAgainWhenAFileChanges(t *testing.T) {
	dir := rulesIn(t, map[string]string{"r.yaml": "x"})
	ctx, stop := context.WithCancel(context.Background())
	var seen []string
	err := watched(ctx, dir, func() {
		text, _ := os.ReadFile(filepath.Join(dir, "rules", "r.yaml"))
		if seen = append(seen, string(text)); len(seen) == 1 {
			os.WriteFile(filepath.Join(dir, "rules", "r.yaml"), []byte("changed"), 0o644)
		} else {
			stop()
		}
	})
	if err != nil || !slices.Equal(seen, []string{"x", "changed"}) {
		t.Errorf("%q, %v", seen, err)
	}
}

func TestABacktestTellsNewFromLostAndSame(t *testing.T) {
	rule := func(above string) string {
		return strings.NewReplacer("{id}", "big-payment", "mode: shadow", "mode: alert", "max: 500",
			"max: "+above).Replace(authoring.Forms["event"])
	}
	base, candidate := rulesIn(t, map[string]string{"r.yaml": rule("500")}), rulesIn(t,
		map[string]string{"r.yaml": rule("300"),
			"s.yaml": strings.NewReplacer("{id}", "very-big", "mode: shadow", "mode: alert", "max: 500",
				"max: 1000").Replace(authoring.Forms["event"])})
	var lines []string
	for i, amount := range []string{"400", "600", "2000"} {
		lines = append(lines, `{"id":"e`+amount+`","time":`+string(rune('1'+i))+
			`767600000000,"kind":"tool_call","tenant":"acme","agent":{"id":"a`+amount+
			`"},"tool":{"name":"pay_invoice","class":"pay"},"destination":{"kind":"iban","value":"DE02","external":true},"amount":{"value":`+
			amount+`,"currency":"EUR"}}`)
	}
	file := filepath.Join(t.TempDir(), "e.jsonl")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	lines = append(lines, "no event")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	out, code := ran(t, "backtest", "--base", base, "--candidate", candidate, "--input", file)
	for _, want := range []string{"3 events, 1 records that do not decode", "line 4: ",
		"rule/big-payment  1    0     2", "rule/very-big     1    0     0", "agent a400: paid 400 EUR to DE02"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if code != 1 {
		t.Errorf("exit %d", code)
	}
	// a record that does not decode ends it with 1
	whole := writeFile(t, "whole.jsonl", strings.Join(lines[:len(lines)-1], "\n"))
	if out, code := ran(t, "backtest", "--base", candidate, "--candidate", base, "--input", whole, "--max-lost", "2",
		"--output", "json"); code != 0 || !strings.Contains(out, `"lost": 2`) {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestARuleThatChangesNeedsANewVersion(t *testing.T) {
	text := strings.NewReplacer("{id}", "r", "id: {id}", "id: r\nversion: 1").Replace(authoring.Forms["event"])
	dir := rulesIn(t, map[string]string{"r.yaml": text})
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "rules", "r.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := func(code int, words string, args ...string) {
		t.Helper()
		if out, got := ran(t, append([]string{"rules", "lock", dir}, args...)...); got != code ||
			!strings.Contains(out, words) {
			t.Errorf("exit %d, want %d and %q:\n%s", got, code, words, out)
		}
	}
	want(1, "is not in rules.lock", "--check")
	want(0, "1 rules")
	want(0, "are as rules.lock has them", "--check")
	write(strings.Replace(text, "mode: shadow", "mode: alert", 1)) // is no change of the rule
	want(0, "are as rules.lock has them", "--check")
	write(strings.Replace(text, "max: 500", "max: 400", 1))
	want(1, "still is version 1; raise version to 2")
	write(strings.NewReplacer("max: 500", "max: 400", "version: 1", "version: 2").Replace(text))
	want(1, "is version 2, rules.lock has 1", "--check")
	want(0, "1 rules")
}

func TestADiffOfRulesIsOfWhatTheySay(t *testing.T) {
	text := strings.Replace(authoring.Forms["window"], "{id}", "r", 1)
	other := strings.NewReplacer("# yaml-language-server: $schema=rule.schema.json\n", "", "severity: medium",
		`severity: "high"`).Replace(text)
	a, b := rulesIn(t, map[string]string{"r.yaml": text}), rulesIn(t,
		map[string]string{"r.yaml": other, "s.yaml": strings.Replace(authoring.Forms["event"], "{id}", "s", 1)})
	if out, code := ran(t, "rules", "diff", a, a); code != 0 {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, code := ran(t, "rules", "diff", a, b); code != 1 ||
		out != "~ r  (state is kept)\n    severity: medium -> high\n+ s\n" {
		t.Errorf("exit %d: %q", code, out)
	}
}

func TestFmtChangesTheTextAndNotTheRule(t *testing.T) {
	mixed := "# who pays\nwhere: 'true' # all of it\ntitle:   t\nid: r\n---\ntags: [b,   a]\nid: s\ntitle: u\nwhere: 'false'\n"
	file := filepath.Join(rulesIn(t, map[string]string{"r.yaml": mixed}), "rules", "r.yaml")
	if out, code := ran(t, "rules", "fmt", "--check", file); code != 1 || !strings.Contains(out, file) {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, code := ran(t, "rules", "fmt", "--write", file); code != 0 {
		t.Errorf("exit %d: %s", code, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := "id: r\ntitle: t\n# who pays\nwhere: 'true' # all of it\n---\nid: s\ntitle: u\ntags: [b, a]\nwhere: 'false'\n"; string(text) != want {
		t.Errorf("%s", text)
	}
	if out, code := ran(t, "rules", "fmt", "--check", file); code != 0 {
		t.Errorf("what was formatted is not formatted: %s", out)
	}
}

func TestTheCatalogueIsCurrentAndLarge(t *testing.T) {
	set, err := config.LoadPolicies("../../configs")
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(filepath.Join(scenarios, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	page, carried := cataloguePage(string(table), set.Rules())
	golden(t, "catalogue.md", page)
	if carried < 36 {
		t.Errorf("%d of 50 use cases are carried, want 36", carried)
	}
	if out, code := ran(t, "rules", "lint", "../../configs", "--fail-on", "warning"); code != 0 {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if out, code := ran(t, "rules", "test", "../../configs"); code != 0 {
		t.Errorf("exit %d:\n%s", code, out)
	}
	for _, r := range set.Rules() {
		if r.Why == "" || len(r.Tags) == 0 || len(r.FalsePositives) == 0 || r.Tune == "" || len(r.UseCases) == 0 {
			t.Errorf("rule %s lacks why, tags, false_positives, tune or use_cases", r.ID)
		}
	}
}

func TestEveryCodeOfRulesIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]bool{}
	for _, dir := range []string{"../../rules", "../../policy"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			for _, m := range regexp.MustCompile(`"(R[12]\d\d)"`).FindAllSubmatch(text, -1) {
				codes[string(m[1])] = true
			}
		}
	}
	if len(codes) < 20 {
		t.Errorf("only %d codes found", len(codes))
	}
	for code := range codes {
		if !strings.Contains(string(doc), "| "+code+" |") {
			t.Errorf("docs/rules.md does not explain %s", code)
		}
	}
}

func TestARuleThatAsksForWhatNobodySendsIsReported(t *testing.T) {
	dir := rulesIn(t, map[string]string{"r.yaml": strings.Replace(authoring.Forms["event"], "{id}", "r", 1)})
	file := filepath.Join(t.TempDir(), "e.jsonl")
	for line, want := range map[string]string{
		`{"id":"1","time":1767600000000,"kind":"tool_call","tenant":"acme","agent":{"id":"a"},"tool":{"name":"pay_invoice"},"amount":{"value":7,"currency":"EUR"}}`:                                                             "R208 rule r: none of 1 events carries destination.external; ask the gateway",
		`{"id":"1","time":1767600000000,"kind":"tool_call","tenant":"acme","agent":{"id":"a"},"tool":{"name":"pay_invoice"},"amount":{"value":7,"currency":"EUR"},"destination":{"kind":"iban","value":"DE1","external":true}}`: "1 rules; 0 problems, 0 warnings",
	} {
		if err := os.WriteFile(file, []byte(line+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, code := ran(t, "rules", "lint", dir, "--sample", file); code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, want %q in\n%s", code, want, out)
		}
	}
}

// Rules in shadow run beside the live ones, whatever they say, and are told apart.
func TestRulesOfAShadowFolderNeverSpeak(t *testing.T) {
	live := rulesIn(t,
		map[string]string{"r.yaml": strings.NewReplacer("{id}", "r", "mode: shadow",
			"mode: alert").Replace(authoring.Forms["event"])})
	beside := rulesIn(t,
		map[string]string{"r.yaml": strings.NewReplacer("{id}", "r", "mode: shadow", "mode: enforce", "max: 500",
			"max: 10").Replace(authoring.Forms["event"])})
	set, err := config.LoadShadowed(live, beside)
	if err != nil {
		t.Fatal(err)
	}
	var modes []string
	for _, r := range set.Rules() {
		modes = append(modes, r.ID+" "+r.Mode.String())
	}
	if !slices.Equal(modes, []string{"r alert", "shadow.r shadow"}) {
		t.Errorf("%q", modes)
	}
	back, err := policy.Parse(set.Bytes())
	if err != nil || back.Hash() != set.Hash() || back.Rules()[1].Mode != rules.Shadow {
		t.Errorf("the set does not travel: %v", err)
	}
	if _, err := config.LoadShadowed(live, t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), "no rules for the shadow") {
		t.Errorf("a shadow without rules: %v", err)
	}
	if _, err := config.LoadShadowed("", beside); err == nil {
		t.Error("rules in shadow of nothing")
	}
}

// Workers do not show in what the whole catalogue finds, to the byte: in all of its own stories
// played at once, and in a day's traffic.
func TestWorkersDoNotShowUnderTheCatalogue(t *testing.T) {
	set, faults := policy.Load("../../configs")
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	type line struct {
		at   int64
		text []byte
	}
	var lines []line
	for i, test := range set.RuleTests() {
		for _, told := range test.Events {
			var e map[string]any
			must(t, json.Unmarshal(told.Record, &e))
			e["tenant"] = fmt.Sprint("story-", i)
			b, err := json.Marshal(e)
			must(t, err)
			lines = append(lines, line{int64(told.At), b})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	var stories bytes.Buffer
	for _, l := range lines {
		stories.Write(append(l.text, '\n'))
	}
	traffic := filepath.Join(t.TempDir(), "traffic.jsonl")
	if code, _, errs := wayward(t, "generate", "--events", "40000", "--output", traffic); code != 0 {
		t.Fatal(errs)
	}
	for name, input := range map[string]string{"stories": writeFile(t, "stories.jsonl", stories.String()),
		"traffic": traffic} {
		var found [2][]byte
		for i, shards := range []string{"1", "8"} {
			out := filepath.Join(t.TempDir(), "found.jsonl")
			if code, _, errs := wayward(t, "replay", "--policies", "../../configs", "--input", input, "--shards",
				shards, "--flush", "--output", out, "--quiet"); code != 0 {
				t.Fatal(errs)
			}
			var err error
			found[i], err = os.ReadFile(out)
			must(t, err)
		}
		if !bytes.Equal(found[0], found[1]) {
			t.Errorf("%s: 1 worker finds %d bytes, 8 find %d", name, len(found[0]), len(found[1]))
		}
		spoke := map[string]bool{}
		for _, r := range set.Rules() {
			if bytes.Contains(found[0], []byte(`"rule/`+r.ID+`"`)) {
				spoke[r.ID] = true
			}
		}
		for _, test := range set.RuleTests() {
			if test.Findings > 0 && test.Learned.Seen != nil {
				spoke[test.Rule] = true // only where something was learned
			}
		}
		t.Logf("%s: %d bytes of findings, %d of %d rules speak", name, len(found[0]), len(spoke), len(set.Rules()))
		if name == "stories" && len(spoke) < len(set.Rules()) {
			t.Errorf("only %d of %d rules speak: %v", len(spoke), len(set.Rules()), spoke)
		}
	}
}
