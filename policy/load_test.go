package policy

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
)

// folder writes files below a new folder; names are relative to it.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func texts(errs []error, dir string) string {
	var b strings.Builder
	for _, err := range errs {
		fmt.Fprintln(&b, strings.ReplaceAll(strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""), dir,
			"DIR"))
	}
	return b.String()
}

func TestBadConfigsAreExplained(t *testing.T) {
	files, err := filepath.Glob("../testdata/bad-configs/policy/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, path := range files {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			kind, _, _ := strings.Cut(name, "-")
			dir := folder(t, map[string]string{filepath.Join(kind, name): string(text)})
			set, errs := Load(dir)
			if set != nil {
				t.Error("there is a set in spite of errors")
			}
			got := texts(errs, filepath.Join(dir, kind))
			golden := strings.TrimSuffix(path, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
			for _, line := range strings.Split(strings.TrimSpace(got), "\n") {
				if !strings.HasPrefix(line, name+":") || !strings.Contains(line, "; ") {
					t.Errorf("says not where, what and what to do: %s", line)
				}
			}
		})
	}
}

func TestFoldersAndFiles(t *testing.T) {
	const one = "limits:\n- {id: mine, scope: session, measure: count, max: 5}\n"
	ids := func(s *Set) (ids []string) {
		for _, l := range s.Limits() {
			ids = append(ids, strings.TrimPrefix(l.ID, "builtin-"))
		}
		return ids
	}
	builtin := []string{"session-calls", "user-calls-hour", "user-records-hour"}
	const (
		looks  = "*.yaml and *.yml in tenants/, tools/, personas/, limits/, inventory/, response/, baselines/ and rules/"
		other  = "not read, for wayward looks for *.yaml and *.yml, in these letters; name it "
		dotted = ", or let its name begin with a dot\n"
	)
	big := "limits:\n" + strings.Repeat("# "+strings.Repeat("x", 100)+"\n", 11_000)
	for _, c := range []struct {
		claim  string
		files  map[string]string
		limits []string
		errs   string
	}{
		{claim: "nothing at all is a mistake", errs: "DIR: no policies found; wayward looks for " + looks +
			": put some there, or name no folder and the built-in limits apply\n"},
		{claim: "so is nothing that is read", files: map[string]string{"limits/README.md": "{"},
			errs: "DIR: no policies found; wayward looks for " + looks +
				": put some there, or name no folder and the built-in limits apply\n"},
		{claim: "so does a file without a limit", files: map[string]string{"limits/a.yaml": "# later\n",
			"limits/b.yaml": "limits: []\n"}, limits: builtin},
		{claim: "so do personas alone", files: map[string]string{"personas/a.yaml": "personas: [{name: p}]\n"},
			limits: builtin},
		{claim: "a limit of one's own replaces them", files: map[string]string{"limits/a.yaml": one},
			limits: []string{"mine"}},
		{claim: "unless a file keeps them", files: map[string]string{"limits/a.yaml": one,
			"limits/b.yml": "builtin: true\n"}, limits: append(slices.Clone(builtin), "mine")},
		{claim: "they can be turned off", files: map[string]string{"limits/a.yaml": "builtin: false\n"}},
		{claim: "other files are not read", files: map[string]string{"limits/README.md": "{", "limits/.a.yaml": "{",
			"limits/..data/a.yaml": "{",
			"limits/a.yaml~":       "{", "limits/a.yaml.bak": "{", "limits/names.txt": "{",
			"limits/b.yaml": "builtin: true\n", "wayward.yaml": "policies: .\n", ".old/limits/a.yaml": "{",
			"ci/build.yaml": "jobs: 1\n", "rules/lists/a.txt": "a", "candidate/limits/a.yaml": one}, limits: builtin},
		{claim: "a folder of one kind is not the folder", files: map[string]string{"policies/limits/a.yaml": one},
			errs: "DIR: no policies found; wayward looks for " + looks + ": did you mean policies?\n"},
		{claim: "what lies in a folder of a name that is misspelt is reported",
			files: map[string]string{"limits/a.yaml": one, "rule/a.yaml": "", "Personas/deep/b.yml": "",
				"tool/README.md": "x"},
			errs: "Personas: Personas/deep/b.yml is not read, for its folder is none of policies; did you mean personas/? wayward looks for " +
				looks + "\n" +
				"rule: rule/a.yaml is not read, for its folder is none of policies; did you mean rules/? wayward looks for " +
				looks + "\n" +
				"tool: tool/README.md is not read, for its folder is none of policies; did you mean tools/? wayward looks for " +
				looks + "\n"},
		{claim: "what reads like a policy elsewhere is reported",
			files: map[string]string{"limits/a.yaml": one, "more/deep/a.yaml": one, "a.yaml": one,
				"r.YML": "id: x\nwhere: 'true'\n"},
			errs: "a.yaml: not read, for it lies in none of the folders; wayward looks for " + looks +
				": move it there\n" +
				"more: more/deep/a.yaml is not read, for its folder is none of policies; wayward looks for " + looks +
				": move it, or let the folder's name begin with a dot\n" +
				"r.YML: not read, for it lies in none of the folders; wayward looks for " + looks +
				": move it there\n"},
		{claim: "what lies deeper is reported", files: map[string]string{"rules/cloud/aws/b.yaml": "",
			"limits/a.yaml": one},
			errs: "rules/cloud/aws/b.yaml: not read, for wayward looks for *.yaml and *.yml in rules itself and not in folders below; move it up, or let the name of rules/cloud begin with a dot\n"},
		{claim: "other ends of names are reported", files: map[string]string{"limits/A.YAML": one, "limits/b.Yml": one,
			"limits/c.yaml.txt": one, "limits/d.yalm": one, "limits/e": one, "limits/f.json": "{\"limits\": []}",
			"limits/g.json": "{\"user\": 1}", "limits/h": "x"},
			errs: "limits/A.YAML: " + other + "A.yaml" + dotted + "limits/b.Yml: " + other + "b.yaml" + dotted +
				"limits/c.yaml.txt: " + other + "c.yaml" + dotted +
				"limits/d.yalm: " + other + "d.yaml" + dotted + "limits/e: " + other + "e.yaml" + dotted +
				"limits/f.json: " + other + "f.yaml" + dotted},
		{claim: "two files may not define one limit", files: map[string]string{"limits/a.yaml": one,
			"limits/b.yaml": "\n" + one},
			errs: "limits/b.yaml:3:8: limit \"mine\" is already at limits/a.yaml:2:3; rename or remove one\n"},
		{claim: "nor one persona", files: map[string]string{"personas/a.yaml": "personas: [{name: p}]\n",
			"personas/b.yaml": "personas: [{name: p, tenant: t}, {name: p}]\n"},
			errs: "personas/b.yaml:1:41: persona \"p\" of every tenant is already at personas/a.yaml:1:12; rename or remove one\n"},
		{claim: "files must agree on the built-in limits", files: map[string]string{"limits/a.yaml": "builtin: true\n",
			"limits/b.yaml": "builtin: false\n"},
			errs: "limits/b.yaml:1:10: builtin is false here and true at limits/a.yaml:1:10; keep one of them\n"},
		{claim: "faults of all files are reported at once", files: map[string]string{"limits/a.yaml": "limit: 1\n",
			"limits/b.yaml": "x: [\n", "personas/a.yaml": "personas: 1\n"},
			errs: `limits/a.yaml:1:1: unknown key "limit"; did you mean "limits"? (builtin or limits)
limits/b.yaml:2: did not find expected node content; correct the YAML here or on the line before
personas/a.yaml:1:11: personas is a list; write it as ["1"]
`},
		{claim: "a file has a bound", files: map[string]string{"limits/a.yaml": big},
			errs: "limits/a.yaml: larger than 1 MiB; split it\n"},
		{claim: "a file is UTF-8", files: map[string]string{"limits/a.yaml": "# \n# \xff\n"},
			errs: "limits/a.yaml:2: not UTF-8; save the file as UTF-8\n"},
		{claim: "a folder is no file", files: map[string]string{"limits/a.yaml/b": ""},
			errs: "limits/a.yaml: not a regular file; make it a file that can be read, or remove it\n"},
		{claim: "a file is no folder", files: map[string]string{"limits": ""},
			errs: "limits: not a directory; make it a folder that can be read\n"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			dir := folder(t, c.files)
			set, errs := Load(dir)
			if diff := cmp.Diff(c.errs, texts(errs, dir)); diff != "" {
				t.Fatal(diff)
			}
			if c.errs != "" {
				return
			}
			if diff := cmp.Diff(c.limits, ids(set)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAliasesAreFollowedButNotBlownUp(t *testing.T) {
	s := parse(t, `
personas:
- {name: a, default: deny, tools: {allow: &reads [get_*, list_*]}}
- {name: b, default: deny, tools: {allow: *reads}}
`, "")
	if diff := cmp.Diff([]string{"get_*", "list_*"}, s.Persona("", "b").Lists[Tools].Allow); diff != "" {
		t.Error(diff)
	}
	bomb := "personas:\n- {name: p0, tags: &t [" + strings.Repeat("x, ", 500) + "x]}\n"
	for i := range 5000 {
		bomb += fmt.Sprintf("- {name: p%d, tags: *t}\n", i+1)
	}
	if _, errs := load(bomb, ""); len(errs) == 0 ||
		!strings.Contains(errs[0].Error(), "more than 10000 entries in one file; split it") {
		t.Errorf("got %v", errs[:min(1, len(errs))])
	}
	for _, circle := range []string{"personas: &a [*a]", "personas: &a\n- *a", "personas:\n- &p {name: p, tools: *p}",
		"personas:\n- {name: p, tags: &t [*t]}"} {
		if _, errs := load(circle, ""); len(errs) == 0 {
			t.Errorf("%s passes", circle)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, dir := range []string{"../testdata/bad-configs/policy", "../configs/personas", "../configs/limits"} {
		files, _ := filepath.Glob(dir + "/*.yaml")
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Add("personas: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		for _, in := range [][2]string{{text, ""}, {"", text}} {
			s, errs := load(in[0], in[1])
			if (s == nil) != (len(errs) > 0) {
				t.Fatalf("a set and errors, or neither: %v", errs)
			}
			if s == nil {
				continue
			}
			again, err := Parse(s.Bytes())
			if err != nil || !bytes.Equal(s.Bytes(), again.Bytes()) {
				t.Fatalf("%v\n%s", err, s.Bytes())
			}
		}
	})
}

// What an example has commented out is there to be used: it must load once the # is gone.
func TestWhatExamplesLeaveOutLoadsToo(t *testing.T) {
	left := regexp.MustCompile(`(?m)^( *)# ( *(?:- )?[a-z_]+:(?: .*)?)$`)
	files, n := map[string]string{}, 0
	for _, name := range []string{"response/response.yaml", "inventory/inventory.yaml", "tenants/tenants.yaml"} {
		text, err := os.ReadFile(filepath.Join("../configs", name))
		if err != nil {
			t.Fatal(err)
		}
		n += len(left.FindAll(text, -1))
		files[name] = strings.Replace(left.ReplaceAllString(string(text), "$1$2"), "tenants: []\n", "tenants:\n", 1)
	}
	s := loaded(t, files)
	if n < 18 || s.Response().Key("alice") == nil || s.Tenant("acme").Pages != 200_000 ||
		s.Inventory().Response.Action != event.Escalate || !s.Inventory().Find(AgentThing, "globex", "billing-0",
		"").Retired ||
		s.Inventory().Find(ToolThing, "acme", "get_customer", "crm").Hash == "" ||
		!s.Inventory().Find(ServerThing, "acme", "payments-eu", "").Known {
		t.Errorf("%d lines: %s", n, s.Bytes())
	}
}

func TestPeopleAndPersonasAreWrittenInAnySpelling(t *testing.T) {
	s := parse(t, `
personas:
- name: Clerk
  agents: ["bot-*", Bot]
  default: deny
  tools: {allow: ["*"]}
  credentials: {allow: ["Key-*", K1]}
  destinations: {allow: ["*"]}
  approvals: {by: ["*@Fin.example", Ann]}
`, `
limits:
- {id: of-ana, scope: user, measure: count, max: 3, window: 1h, where: {users: ["Ana@*"], personas: [CLERK]}}
`)
	p := s.Persona("acme", "CLERK")
	if p == nil || s.PersonaOf("acme", "bot-1") != "clerk" || s.PersonaOf("acme", "Bot") != "clerk" ||
		s.PersonaOf("acme", "BOT-1") != "" {
		t.Fatalf("%v, %q", p, s.PersonaOf("acme", "bot-1"))
	}
	for by, want := range map[string]bool{"joe@fin.example": true, "JOE@FIN.EXAMPLE ": true, "ann": true, "ANN": true,
		"bob": false} {
		if got := p.Approvals.MayApprove(by); got != want {
			t.Errorf("%q may approve: %t", by, got)
		}
	}
	for user, want := range map[string]bool{"Ana@acme": true, "ANA@acme": true, "bob": false} {
		e := &event.Event{}
		err := new(event.Decoder).Decode(
			[]byte(
				`{"time":1767225600000,"kind":"tool_call","tenant":"acme","agent":{"id":"a","credential":"KEY-7"},"persona":"clerk","user":"`+
					user+`","tool":{"name":"x"}}`), e)
		if err != nil {
			t.Fatal(err)
		}
		if l := s.Limits()[0]; l.Covers("acme", e.Persona, &e.Tool) && l.Matches(e) != want {
			t.Errorf("user %q is counted: %t", user, !want)
		} else if !l.Covers("acme", e.Persona, &e.Tool) {
			t.Error("the persona is not covered")
		}
		if got := p.Check(e, nil); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	}
}
