package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// judged is what the engine makes of a made-up stream under the example policies.
func judged(t *testing.T, generate string) (findings, commands []map[string]any) {
	t.Helper()
	dir := t.TempDir()
	stream, fs, cs := filepath.Join(dir, "e.jsonl.zst"), filepath.Join(dir, "f.jsonl"), filepath.Join(dir, "c.jsonl")
	for _, args := range [][]string{
		append([]string{"generate", "--output", stream}, strings.Fields(generate)...),
		{"replay", "--input", stream, "--flush", "--quiet", "--policies", "../../configs", "--output", fs, "--commands",
			cs},
	} {
		if code, _, errs := wayward(t, args...); code != 0 {
			t.Fatalf("%v: exit %d: %s", args, code, errs)
		}
	}
	for name, to := range map[string]*[]map[string]any{fs: &findings, cs: &commands} {
		b, err := os.ReadFile(name)
		must(t, err)
		for line := range bytes.Lines(b) {
			var x map[string]any
			must(t, json.Unmarshal(line, &x))
			*to = append(*to, x)
		}
	}
	return findings, commands
}

func TestTheExamplesFindNothingInBenignWork(t *testing.T) {
	for _, generate := range []string{
		"--seed 1 --rate 2000 --events 240000",
		"--seed 3 --rate 500 --events 400000",
		"--seed 6 --rate 3 --agents 30 --events 260000", // a day
	} {
		t.Run(generate, func(t *testing.T) {
			findings, commands := judged(t, generate+" --attacks=false")
			for _, f := range findings[:min(3, len(findings))] {
				t.Errorf("%v", f["message"])
			}
			if len(commands) > 0 {
				t.Errorf("%d commands", len(commands))
			}
		})
	}
}

// A minute has ten attacks of each kind.
func TestTheExamplesFindEveryAttackAndSayWhatToDo(t *testing.T) {
	findings, commands := judged(t, "--seed 1 --events 120000")
	rules := map[string]int{}
	for _, f := range findings {
		if f["activity_id"] == 1.0 {
			rules[f["finding_info"].(map[string]any)["analytic"].(map[string]any)["uid"].(string)]++
		}
	}
	for rule, least := range map[string]int{
		"limit/builtin-user-records-hour": 8, "limit/builtin-session-calls": 8, "limit/builtin-user-calls-hour": 8,
		"policy/persona/analyst/class":        8,
		"policy/persona/payments/destination": 8, "limit/retries-per-session": 8,
	} {
		if rules[rule] < least {
			t.Errorf("%d findings of %s, want %d", rules[rule], rule, least)
		}
	}
	actions := map[string]int{}
	for _, c := range commands {
		actions[c["action"].(string)]++
		if c["mode"] != "dry_run" {
			t.Errorf("the examples switch something off: %v", c)
		}
	}
	if actions["block"] < 5 || actions["throttle"] < 5 || actions["escalate"] == 0 {
		// the last by the guard, since many agents of one persona stray
		t.Errorf("commands %v", actions)
	}
	t.Logf("%v %v", rules, actions)
}

func TestGenerateSaysWhatIsWrong(t *testing.T) {
	for flags, want := range map[string]string{
		"--events 0":                    "--events 0: use at least 1",
		"--rate 0":                      "--rate 0: use 0.01",
		"--rate NaN":                    "--rate NaN",
		"--tenants 5 --agents 4":        "every tenant needs one",
		"--tenants 5 --agents 10":       "use at least 20, or --attacks=false",
		"--size 100":                    "--size 100: use 640",
		"--disorder 2h":                 "--disorder 2h0m0s: use 0s to 1h",
		"--disorder 10us":               "whole milliseconds",
		"--start yesterday":             "not a time",
		"--plain --attacks":             "leave --attacks out",
		"--events 100000000 --rate .01": "hundred years",
		"--size 1 --events 0":           "--events 0: use at least 1\n--size 1",
		"extra":                         "unknown command",
		"--output /nowhere/at/all":      "output: open /nowhere/at/all",
	} {
		cmd := newGenerate()
		cmd.SetArgs(strings.Fields(flags))
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		var out bytes.Buffer
		cmd.SetOut(&out)
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", flags, err, want)
		}
	}
}
