package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wayward runs a command line; paths in dir are shown without it.
func waywardIn(t *testing.T, dir string, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	code = execute(context.Background(), args, &b, &b)
	return code, strings.ReplaceAll(b.String(), dir+string(filepath.Separator), "")
}

func policiesWith(t *testing.T, personas string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "personas"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "personas", "p.yaml"), []byte(personas), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

const clerks = `personas:
  - name: base
    default: deny
    tools: {allow: [get_*]}
  - name: clerk
    extends: base
    agents: [bot]
    tools: {needs_approval: [pay]}
    tests:
      - {name: reads, event: {tool: {name: get_x}}, expect: allow}
      - {name: pays, event: {tool: {name: pay}}, expect: needs_approval}
  - name: clerk
    tenant: acme
    extends: clerk
    default: allow
    tests: [{name: reads, event: {tool: {name: drop}}, expect: deny}]
`

func TestPersonasCommands(t *testing.T) {
	dir := policiesWith(t, clerks)
	broken := policiesWith(t, "personas:\n  - {name: a, extends: b}\n  - {name: b, extends: a}\n")
	event := filepath.Join(dir, "event.json")
	if err := os.WriteFile(event, []byte(`{"id":"e1","time":1767614400000,"kind":"tool_call","tenant":"other","agent":{"id":"bot"},
 "tool":{"name":"pay"},"args":{"to":"x"},"destination":{"domain":"evil\u001b.example"}}
{"id":"e2","time":1767614400000,"kind":"message","tenant":"other","agent":{"id":"bot"}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		claim string
		args  []string
		code  int
		want  string
	}{
		{"lint lists warnings and passes", []string{"lint", dir}, 0, `
personas/p.yaml:5:5: anybody may approve who is not the agent's own side; name the approvers in approvals.by (warning)
personas/p.yaml:12:5: anybody may approve who is not the agent's own side; name the approvers in approvals.by (warning)
personas/p.yaml:15:14: the default is allow, but that of "clerk" is deny, so all that no list names is let go; name what is meant under allow instead (warning)
3 personas, 3 limits; 0 problems, 3 warnings`},
		{"unless it is told to fail on them", []string{"lint", dir, "--fail-on", "warning"}, 1, "..."},
		{"lint fails on problems", []string{"lint", broken}, 1, `
personas/p.yaml:3:24: personas extend each other in a circle: "a" (personas/p.yaml:2:24) extends "b" (personas/p.yaml:3:24) and back to "a"; remove extends from one of them
1 problems`},
		{"a word that is none", []string{"lint", dir, "--fail-on", "x"}, 2,
			`wayward: invalid argument "x" for "--fail-on" flag: use problem or warning`},
		{"a folder that is none", []string{"lint", dir + "x"}, 2, "..."},
		{"nor any at all", []string{"lint"}, 2,
			"wayward: no policies: name their directory, or give --config with policies in it"},
		{"test says what failed", []string{"test", dir}, 1, `
FAIL  personas/p.yaml:16: clerk: "reads" is allow, expected deny
3 tests of 3 personas, 1 failed`},
		{"and what is missing", []string{"test", dir, "--min-tests", "2"}, 1, `
FAIL  personas/p.yaml:16: clerk: "reads" is allow, expected deny
FAIL  personas/p.yaml:12: persona clerk has 1 tests of 2; add some under tests
3 tests of 3 personas, 2 failed`},
		{"show lists", []string{"show", "--policies", dir, "--tenant", "acme"}, 0, `
NAME   TENANT  EXTENDS  DEFAULT  AGENTS  TESTS  WHERE
base   -       -        deny     -       0      personas/p.yaml:2
clerk  acme    clerk    allow    -       1      personas/p.yaml:12`},
		{"show one, with where each line comes from", []string{"show", "clerk", "--policies", dir, "--tenant", "acme"}, 0, `
WHAT                     VALUE  WHERE
name                     clerk  personas/p.yaml:12
tenant                   acme   personas/p.yaml:13
default                  allow  personas/p.yaml:15
tools.allow[0]           get_*  personas/p.yaml:4
tools.needs_approval[0]  pay    personas/p.yaml:8
severity                 high   by default`},
		{"as one would write it", []string{"show", "base", "--policies", dir, "--output", "yaml"}, 0, `
personas:
    - name: base # personas/p.yaml:2
      default: deny # personas/p.yaml:3
      tools:
        allow:
            - get_* # personas/p.yaml:4
      severity: high # by default`},
		{"of none there is nothing to show", []string{"show", "clark", "--policies", dir, "--tenant", "acme"}, 2,
			`wayward: there is no persona "clark" for tenant acme; there are: base, clerk`},
		{"explain says what decided, and escapes what would draw on the terminal", []string{"explain", "--policies", dir, "--event", event}, 0, `
e1: agent bot as clerk, tool pay: deny
  tool         pay               needs_approval  pay               personas/p.yaml:8
  class        pay               allow           no list names it  
  destination  evil\x1b.example  deny            default           personas/p.yaml:3
e2: agent bot as clerk, tool -: not judged
  a persona judges tool calls alone; this is a message`},
	} {
		t.Run(c.claim, func(t *testing.T) {
			code, out := waywardIn(t, dir, append([]string{"personas"}, c.args...)...)
			out = strings.ReplaceAll(out, broken+"/", "")
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if diff := cmp.Diff(strings.TrimSpace(c.want), strings.TrimSpace(out)); diff != "" && c.want != "..." {
				t.Error(diff)
			}
		})
	}
	_, out := waywardIn(t, dir, "personas", "explain", "--policies", dir, "--event", event, "--output", "json")
	var all []explanation
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 2 || all[0].Verdict != "deny" ||
		all[0].Because[0].Line != 8 {
		t.Errorf("%v %s", err, out)
	}
}
