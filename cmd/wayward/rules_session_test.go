package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/authoring"
)

// docs/rules-session.md is a detection engineer at work: every command of it is run here, and what
// it prints is what it prints.
func TestADetectionEngineersSessionIsCurrent(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	var b strings.Builder
	b.WriteString(
		"# A rule, from nothing to live\n\nEvery command here is run by a test, and prints what it prints (`TestADetectionEngineersSessionIsCurrent`).\n")
	say := func(text string) { fmt.Fprintf(&b, "\n%s\n", text) }
	run := func(want int, line string) string {
		t.Helper()
		args := strings.Fields(strings.TrimPrefix(line, "wayward "))
		into := ""
		if n := len(args); n > 2 && args[n-2] == ">" {
			into, args = args[n-1], args[:n-2]
		}
		out, code := ran(t, args...)
		if code != want {
			t.Fatalf("%s: exit %d, want %d:\n%s", line, code, want, out)
		}
		if into != "" {
			must(t, os.MkdirAll(filepath.Dir(into), 0o755))
			must(t, os.WriteFile(into, []byte(out), 0o644))
			out = ""
		}
		fmt.Fprintf(&b, "\n    $ %s\n", line)
		for l := range strings.Lines(out) {
			fmt.Fprintf(&b, "    %s", strings.TrimRight(l, " \n")+"\n")
		}
		return out
	}
	const file = "policies/rules/big-payment.yaml"
	edit := func(old, by string) {
		t.Helper()
		text, err := os.ReadFile(file)
		must(t, err)
		if !strings.Contains(string(text), old) {
			t.Fatalf("%s has no %q", file, old)
		}
		must(t, os.WriteFile(file, []byte(strings.Replace(string(text), old, by, 1)), 0o644))
	}

	say("A rule to begin with has all that a rule should have, tests included:")
	run(0, "wayward rules new big-payment > "+file)
	run(0, "wayward rules test policies")
	say(
		"It is to let go of what was approved. A typo is found at once, with its place and a way out (`approval.ide` for `approval.id`):")
	edit("amount.value > params.max", `amount.value > params.max and approval.ide == ""`)
	run(1, "wayward rules lint policies")
	edit("approval.ide", "approval.id")
	say(
		"A third test says what is meant. Its first version forgets the approval, and the failing test shows what each condition came to; `--watch` would do so with each change of the file:")
	third := "  - name: stays quiet if it was approved\n    all: {agent: {id: agent-1}, persona: payments, tool: {name: pay_invoice, class: pay}, destination: {kind: iban, value: DE02, external: true}}\n" +
		"    events:\n      - {at: 0s, amount: {value: \"750.00\", currency: EUR}}\n    expect: {findings: 0}\n"
	text, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, []byte(string(text)+third), 0o644))
	run(1, "wayward rules test policies --only-failed")
	text, err = os.ReadFile(file)
	must(t, err)
	must(t,
		os.WriteFile(file,
			[]byte(strings.TrimSuffix(string(text), third)+strings.Replace(third, "{at: 0s, ",
				"{at: 0s, approval: {id: a-1, state: granted, by: bob}, ", 1)), 0o644))
	run(0, "wayward rules test policies")
	say(
		"What would it have said of last week, in place of the rules that are live? `live` holds the rule as it was, and gives alerts; so does the new one, for the comparison:")
	must(t, os.MkdirAll("live/rules", 0o755))
	must(t,
		os.WriteFile("live/rules/big-payment.yaml",
			[]byte(strings.ReplaceAll(authoring.New("event", "big-payment"), "mode: shadow", "mode: alert")), 0o644))
	edit("mode: shadow", "mode: alert")
	var events strings.Builder
	for i := range 40 {
		e := map[string]any{"id": fmt.Sprint("e", i), "time": 1772438400000 + int64(i)*3_600_000, "kind": "tool_call",
			"tenant": "acme", "agent": map[string]any{"id": fmt.Sprint("pay-", i%4)}, "persona": "payments",
			"tool":        map[string]any{"name": "pay_invoice", "class": "pay"},
			"destination": map[string]any{"kind": "iban", "value": fmt.Sprint("DE", 10+i%7), "external": true},
			"amount":      map[string]any{"value": 100 + 70*(i%9), "currency": "EUR"}}
		if i%3 == 0 {
			e["approval"] = map[string]any{"id": fmt.Sprint("a-", i), "state": "granted", "by": "bob"}
		}
		line, err := json.Marshal(e)
		must(t, err)
		events.Write(append(line, '\n'))
	}
	must(t, os.WriteFile("lastweek.jsonl", []byte(events.String()), 0o644))
	run(1, "wayward backtest --base live --candidate policies --input lastweek.jsonl --samples 2")
	say("Only approved payments are lost, as was meant. What changes, and is the state of what is under way kept?")
	run(1, "wayward rules diff live policies")
	say("The version goes up with the change, and is noted; from now on nobody changes the rule without a new one:")
	edit("status: experimental", "status: test")
	edit("title:", "version: 2\ntitle:")
	run(0, "wayward rules lock policies")
	run(0, "wayward rules lock policies --check")
	say(
		"Copied into the folder that `wayward run --watch` was started with it takes effect while the engine runs; with `mode: shadow` it is only counted at first. A mistake leaves the old rules in force and says so in the log.\n\n" +
			"    $ cp policies/rules/big-payment.yaml /etc/wayward/policies/rules/")
	t.Chdir(testsAt)
	golden(t, "rules-session.md", b.String())
}

// testsAt is where the tests were started.
var testsAt = func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return dir
}()
