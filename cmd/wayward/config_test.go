package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/config"
)

var update = flag.Bool("update", false, "write the generated pages of docs/ anew")

// golden compares a generated page with the committed one.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("../../docs", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("docs/%s is not current: make update, and read the diff\n%s", name, diff)
	}
}

// wayward runs a command in this process.
func wayward(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return waywardContext(t.Context(), args...)
}

func waywardContext(ctx context.Context, args ...string) (int, string, string) {
	var out, errs bytes.Buffer
	code := execute(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(t.TempDir(), name)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTheReferenceIsCurrent(t *testing.T) { golden(t, "config.yaml", config.Reference()) }

func TestConfigShowSaysWhereEachValueCameFrom(t *testing.T) {
	file := writeFile(t, "c.yaml",
		"group: g\ntopics:\n  retention: {dlq: 36h}\nsasl:\n  mechanism: plain\n  username: u\n  password_file: /run/secret\n")
	t.Setenv("WAYWARD_ENGINE__MAX_POLL", "9")
	code, out, errs := wayward(t, "config", "show", "-c", file)
	if code != 0 {
		t.Fatal(code, errs)
	}
	for _, want := range []string{"group: g  # " + file + ":1:8\n", "  retention:\n    events: 7d  # default\n",
		"    dlq: 36h  # " + file + ":3:20\n", "  max_poll: 9  # environment WAYWARD_ENGINE__MAX_POLL\n",
		"  password_file: /run/secret  #"} {
		if !strings.Contains(out, want) {
			t.Errorf("show does not say %q:\n%s", want, out)
		}
	}
	// What it shows is a config, and the same one.
	r, err := config.Read(writeFile(t, "again.yaml", out), nil)
	if err != nil || len(r.Problems) > 0 {
		t.Fatal(err, r.Err())
	}
	code, js, errs := wayward(t, "config", "show", "-c", file, "--output", "json")
	if code != 0 {
		t.Fatal(code, errs)
	}
	var values []config.Value
	if err := json.Unmarshal([]byte(js), &values); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(values, func(v config.Value) bool { return v.Key == "engine.max_poll" })
	if i < 0 || fmt.Sprint(values[i].Value) != "9" || values[i].From != "environment" ||
		values[i].Env != "WAYWARD_ENGINE__MAX_POLL" {
		t.Errorf("JSON has no engine.max_poll of the environment:\n%s", js)
	}
}

func TestConfigCheckExitCodes(t *testing.T) {
	good, bad := writeFile(t, "good.yaml", "group: g\n"), writeFile(t, "bad.yaml", "grup: g\nlisten: x\n")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{good}, 0, "is fine"},
		{[]string{bad}, 1, bad + ":1:1: there is no setting"},
		{[]string{"-c", bad}, 1, bad + ":2:9: listen"},
		{[]string{bad, "--output", "json"}, 1, `"line": 2`},
		{[]string{good, "--output", "json"}, 0, "[]"},
		{[]string{filepath.Join(t.TempDir(), "none.yaml")}, 2, "no such file"},
		{nil, 2, "name the file"},
		{[]string{good, "--output", "xml"}, 2, "use text or json"},
	} {
		code, out, errs := wayward(t, append([]string{"config", "check"}, c.args...)...)
		if code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("config check %q: exit %d, want %d, saying %q:\n%s%s", c.args, code, c.code, c.says, out, errs)
		}
	}
}

func TestConfigWithAByteOrderMark(t *testing.T) {
	file := writeFile(t, "wayward.yaml", "\ufeffpolicies: nowhere\n")
	if code, out, errs := wayward(t, "config", "show", "-c", file); code != 0 || !strings.Contains(out, "nowhere") {
		t.Errorf("exit code %d: %s %s", code, out, errs)
	}
}
