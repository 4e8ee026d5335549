package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecordsThatDoNotDecode(t *testing.T) {
	const good = `{"id":"1","time":"2026-03-02T09:00:00Z","kind":"tool_call","tenant":"acme","persona":"p","agent":{"id":"a"},"session":"s","tool":{"name":"get_x"}}`
	bad := strings.Join([]string{good, `{"time":1772442000,"kind":"session","tenant":"a","agent":{"id":"b"}}`,
		`nonsense`, strings.Replace(good, `"1"`, `"2"`, 1), `more nonsense`}, "\n") + "\n"
	whole := writeFile(t, "whole.jsonl", "\ufeff"+good+"\n")
	part := writeFile(t, "part.jsonl", bad)
	none := writeFile(t, "none.jsonl", "nonsense\n")
	array := writeFile(t, "array.json", "["+good+","+good+"]")
	spread := writeFile(t, "spread.json", strings.ReplaceAll(good, ",", ",\n")+"\n")
	empty := writeFile(t, "empty.jsonl", "")
	rules := tree(t, map[string]string{"rules/r.yaml": "id: r\ntitle: t\nwhere: 'tool.name == \"get_x\"'\n",
		"personas/p.yaml": "personas: [{name: p}]\n"})
	for name, args := range map[string][]string{
		"replay":     {"replay", "--flush", "--input", "FILE"},
		"replay -o":  {"replay", "--flush", "-o", filepath.Join(t.TempDir(), "f.jsonl"), "--input", "FILE"},
		"learn":      {"replay", "--input", whole, "--learn", "FILE"},
		"classify":   {"tools", "classify", "FILE"},
		"draft":      {"tools", "draft", "FILE"},
		"suggest":    {"personas", "suggest", "--min-agent-days", "1", "--input", "FILE"},
		"lint":       {"rules", "lint", rules, "--sample", "FILE"},
		"backtest":   {"backtest", "--base", rules, "--candidate", rules, "--input", "FILE"},
		"rules eval": {"rules", "eval", "-e", "tool.name", "--event", "FILE"},
	} {
		try := func(file string) (int, string, string) {
			own := append([]string{}, args...)
			for i := range own {
				if own[i] == "FILE" {
					own[i] = file
				}
			}
			return wayward(t, own...)
		}
		if code, _, errs := try(whole); code != 0 || strings.Contains(errs, "decode") {
			t.Errorf("%s, a byte order mark: exit code %d: %s", name, code, errs)
		}
		if code, _, errs := try(array); code == 0 || code == 3 || !strings.Contains(errs, "jq -c '.[]' FILE") {
			t.Errorf("%s, an array: exit code %d: %s", name, code, errs)
		}
		if name == "rules eval" { // it stops at the first one, and reads events that are spread over lines
			continue
		}
		if code, _, errs := try(spread); code == 0 || code == 3 || !strings.Contains(errs, "jq -c . FILE") {
			t.Errorf("%s, an event on several lines: exit code %d: %s", name, code, errs)
		}
		if code, _, errs := try(part); code != 1 ||
			!strings.Contains(errs, "1 record did not decode: bad_time; the first is "+part+" line 2: ") ||
			!strings.Contains(errs, "2 records did not decode: not_json; the first is "+part+" line 3: ") {
			t.Errorf("%s, a part: exit code %d: %s", name, code, errs)
		}
		if code, _, errs := try(none); code == 0 || code == 3 ||
			!strings.Contains(errs, "1 record did not decode: not_json") {
			t.Errorf("%s, none: exit code %d: %s", name, code, errs)
		}
		if code, _, errs := try(empty); code == 0 || code == 1 || strings.Contains(errs, "decode") {
			t.Errorf("%s, empty: exit code %d: %s", name, code, errs)
		}
	}
	// What could be done is done.
	out := filepath.Join(t.TempDir(), "f.jsonl")
	if code, _, errs := wayward(t, "replay", "-q", "--input", part, "--flush", "--policies", rules, "-o",
		out); code != 1 || errs != "" {
		t.Errorf("quiet: exit code %d: %q", code, errs)
	}
	if text, err := os.ReadFile(out); err != nil || !strings.Contains(string(text), `"rule":"r"`) {
		t.Errorf("findings: %s, %v", text, err)
	}
}
