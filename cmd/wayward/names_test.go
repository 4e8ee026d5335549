package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree writes files below a folder of the test's own.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// found are the findings of a replay: how many of each rule.
func found(t *testing.T, events string, files map[string]string) map[string]int {
	t.Helper()
	dir := tree(t, files)
	input := writeFile(t, "events.jsonl", events)
	out := filepath.Join(t.TempDir(), "findings.jsonl")
	if code, _, errs := wayward(t, "replay", "-q", "--input", input, "--flush", "--policies", dir, "-o",
		out); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]int{}
	for line := range strings.Lines(string(text)) {
		var f struct {
			Unmapped struct{ Wayward struct{ Rule string } }
		}
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatal(err)
		}
		of[f.Unmapped.Wayward.Rule]++
	}
	return of
}

func TestToolsMeanTheSameWhicheverClientNamedThem(t *testing.T) {
	policies := func(name string) map[string]string {
		return map[string]string{
			"personas/p.yaml": "personas:\n  - name: clerk\n    default: allow\n    tools: {deny: [" + name +
				"]}\n    separate: [{name: two, between: [{tools: [" + name +
				"]}, {classes: [grant]}], within: session}]\n",
			"limits/l.yaml": "limits:\n  - {id: many, title: many, scope: user, measure: count, max: 3, window: 1h, where: {tools: [" +
				name + "]}}\n",
			"rules/r.yaml": "id: asked\ntitle: asked\nwhere: 'tool.name == \"" + name + "\"'\n",
			"rules/glob.yaml": "id: glob\ntitle: glob\nwhere: 'glob(tool.name, \"" + strings.Replace(name, "remove",
				"rem*", 1) + "\")'\n",
			"inventory/i.yaml": "inventory:\n  - {kind: tool, names: [\"" + name +
				"\"], servers: [hr], retired: true}\n",
			"tools/t.yaml":     "tools:\n  - {names: [\"" + name + "\"], class: grant}\n",
			"rules/class.yaml": "id: class\ntitle: class\nwhere: 'tool.class == \"grant\"'\n",
		}
	}
	stream := func(tool string) string {
		var b strings.Builder
		for i := range 6 {
			fmt.Fprintf(&b,
				`{"id":"e%d","time":"2026-03-02T09:%02d:00Z","kind":"tool_call","tenant":"acme","persona":"clerk","agent":{"id":"c-1"},"user":"u","session":"s","tool":%s}`+
					"\n", i, i, tool)
		}
		return b.String()
	}
	apart := found(t, stream(`{"name":"remove_person","server":"hr"}`), policies("remove_person"))
	for _, rule := range []string{"persona/clerk/tool", "persona/clerk/separation/two", "many", "asked", "glob",
		"class", "retired"} {
		if apart[rule] == 0 {
			t.Fatalf("%s finds nothing: %v", rule, apart)
		}
	}
	for name, tool := range map[string]string{"prefixed": `{"name":"mcp__hr__remove_person"}`,
		"prefixed, and the server": `{"name":"mcp__hr__remove_person","server":"hr"}`} {
		if diff := cmp.Diff(apart, found(t, stream(tool), policies("remove_person"))); diff != "" {
			t.Error(name, diff)
		}
	}
	// Who writes policies in the long form goes on to find the same.
	for _, tool := range []string{`{"name":"mcp__hr__remove_person"}`, `{"name":"remove_person","server":"hr"}`} {
		if diff := cmp.Diff(apart, found(t, stream(tool), policies("mcp__hr__remove_person"))); diff != "" {
			t.Error(tool, diff)
		}
		if other := found(t, stream(tool), policies("mcp__crm__remove_person")); len(other) > 0 &&
			(other["asked"]+other["many"]+other["persona/clerk/tool"]) > 0 {
			t.Error(tool, "is taken for that of another server", other)
		}
	}
}

func TestEveryCommandSaysWhatOfAFolderIsNotRead(t *testing.T) {
	const rule = "id: r\ntitle: t\nwhere: 'true'\n"
	event := writeFile(t, "e.jsonl", `{"time":1767600000000,"kind":"session","tenant":"a","agent":{"id":"b"}}`+"\n")
	for name, want := range map[string]string{"rules/cloud/b.yaml": "rules/cloud/b.yaml",
		"rule/b.yaml": "did you mean rules/?", "Rules/b.yaml": "did you mean rules/?", "rules/B.YAML": "name it B.yaml",
		"README.md": "no policies found; wayward looks for"} {
		files := map[string]string{name: rule}
		if name != "README.md" {
			files["limits/l.yaml"] = "builtin: true\n"
		}
		dir := tree(t, files)
		config := writeFile(t, "wayward.yaml", "policies: "+dir+"\nstate: "+t.TempDir()+"\n")
		for _, args := range [][]string{{"rules", "lint", dir}, {"rules", "test", dir}, {"personas", "lint", dir},
			{"personas", "test", dir}, {"replay", "--input", event, "--policies", dir}, {"run", "-c", config},
			{"tools", "classify", event, "--policies", dir}, {"backtest", "--base", dir, "--candidate", dir, "--input",
				event}, {"doctor", "-c", config}, {"rules", "explain", "r", "--policies", dir, "--event", event}} {
			code, out, errs := wayward(t, args...)
			if code == 0 || code == 3 || !strings.Contains(out+errs, want) {
				t.Errorf("%s, %s: exit code %d: %s%s", name, strings.Join(args, " "), code, out, errs)
			}
		}
	}
}
