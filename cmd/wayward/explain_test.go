package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/sinks"
)

// goldenFile compares with a file of testdata, which -update writes.
func goldenFile(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("../../testdata", name)
	if *update {
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("testdata/%s differs (-want +got; -update writes it):\n%s", name, diff)
	}
}

// Findings that sinks has as records are explained in words and pictures, each of which somebody
// has looked at.
func TestExplanationsReadWell(t *testing.T) {
	for _, name := range []string{"volume-session", "volume-session-update", "sequence-session", "rarity-destination",
		"volume-outcome", "limit-agent", "policy-agent", "hostile"} {
		code, out, errs := wayward(t, "explain", "--input", "../../testdata/findings/"+name+".json")
		if code != 0 || errs != "" {
			t.Errorf("%s: exit %d: %s", name, code, errs)
		}
		goldenFile(t, "explain/"+name+".txt", out)
	}
	for _, name := range []string{"volume-session", "sequence-session"} {
		_, out, _ := wayward(t, "explain", "--ascii", "--input", "../../testdata/findings/"+name+".json")
		goldenFile(t, "explain/"+name+"-ascii.txt", out)
		for _, r := range out {
			if r >= utf8.RuneSelf {
				t.Errorf("%s: --ascii prints %q", name, r)
			}
		}
	}
}

func recordOf(f event.Finding) string { return string((&sinks.OCSF{Version: "0.1.0"}).Append(nil, &f)) }

func TestExplainFindsWhatIsAskedFor(t *testing.T) {
	f := event.Finding{UID: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", Activity: event.Create, Severity: event.High,
		Title: "First title", Tenant: "acme", Count: 1}
	grown := f
	grown.Activity, grown.Count, grown.Title = event.Update, 9, "Grown title"
	near, other := f, f
	near.UID, near.Title = "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb", "Near title"
	other.UID, other.Title = "cccccccccccccccccccccccccccccccc", "Other title"
	file := writeFile(t, "findings.jsonl",
		strings.Join([]string{recordOf(grown), recordOf(f), recordOf(near), "{bad", `{"class_uid":2004}`, "",
			recordOf(other)}, "\n"))
	command := commandOf(theAgent, event.Block, 7, event.DryRun)
	command.FindingUID = grown.UID
	commands := writeFile(t, "commands.jsonl", string(command.Append(nil))+"\n"+string(command.Append(nil))+"\n{}\n")
	for _, c := range []struct {
		args string
		code int
		says []string
		not  string
	}{
		{"", 0, []string{"Grown title", "Near title", "Other title"}, "First title"},
		{grown.UID, 0, []string{"Grown title"}, "Near title"},
		{grown.UID + " --commands " + commands, 0,
			[]string{"block acme agent agt-7731 for 15m, epoch 7, dry_run: no gateway acts on it",
				"cannot be read, and are left out: 1"}, "commands   none"},
		{other.UID + " --commands " + commands, 0, []string{"commands   none"}, ""},
		{"cccccccc", 0, []string{"Other title"}, "Near title"},
		{"aaaaaaaa", 2, []string{"begins the uids of 2 findings"}, ""},
		{"aaaa", 2, []string{"at least 8 characters"}, ""},
		{"dddddddddd", 3, []string{"no finding dddddddddd"}, ""},
		{"--since 0s", 2, []string{"--since"}, ""},
	} {
		code, out, errs := wayward(t, append([]string{"explain", "--input", file}, strings.Fields(c.args)...)...)
		for _, s := range c.says {
			if !strings.Contains(out+errs, s) {
				t.Errorf("%s: does not say %q:\n%s%s", c.args, s, out, errs)
			}
		}
		if code != c.code || c.not != "" && strings.Contains(out, c.not) {
			t.Errorf("%s: exit %d, want %d:\n%s%s", c.args, code, c.code, out, errs)
		}
	}
	if code, _, errs := wayward(t, "explain", "--input", writeFile(t, "x", `{"class_uid":2004}`)); code != 3 ||
		!strings.Contains(errs, "1 records are none of wayward") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, out, errs := wayward(t, "explain", recordOf(near)); code != 0 || !strings.Contains(out, "Near title") {
		t.Errorf("a record as argument: exit %d: %s%s", code, out, errs)
	}
	if code, _, errs := wayward(t, "explain", "{}"); code != 2 || !strings.Contains(errs, "no finding of wayward") {
		t.Errorf("no record as argument: exit %d: %s", code, errs)
	}

	_, out, _ := wayward(t, "explain", grown.UID, "--input", file, "--commands", commands, "--output", "json")
	var got struct {
		UID, Outcome string
		Commands     []json.RawMessage
		Record       struct{ Count int }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.UID != grown.UID || len(got.Commands) != 1 ||
		got.Record.Count != 9 || got.Outcome == "" {
		t.Errorf("%v: %s", err, out)
	}
	_, out, _ = wayward(t, "explain", "--input", file, "--output", "json")
	var all []struct{ Commands []json.RawMessage }
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 3 || all[0].Commands != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestExplainReadsTheTopics(t *testing.T) {
	d := newDesk(t)
	f := event.Finding{UID: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", Activity: event.Create, Severity: event.High,
		Title: "A title", Tenant: "acme", Count: 1}
	for i := range 3 {
		g := f
		g.UID = fmt.Sprintf("%032x", i)
		must(t,
			d.client.ProduceSync(t.Context(),
				&kgo.Record{Topic: d.topics.Alerts, Value: []byte(recordOf(g))}).FirstErr())
	}
	must(t,
		d.client.ProduceSync(t.Context(), &kgo.Record{Topic: d.topics.Alerts, Value: []byte(recordOf(f))}).FirstErr())
	command := commandOf(theAgent, event.Block, 7, event.Enforce)
	command.FindingUID = f.UID
	d.put(d.topics.Commands, theAgent, command.Append(nil), time.Now())
	out := d.done("explain", "aaaaaaaaaa")
	if !strings.Contains(out, "A title") ||
		!strings.Contains(out, "commands   block acme agent agt-7731 for 15m, epoch 7, 2026-11-20 14:33:04") {
		t.Errorf("%s", out)
	}
	if out := d.done("explain", recordOf(f)); !strings.Contains(out, "commands   block") {
		t.Errorf("a record as argument: %s", out)
	}
	if _, errs, code := d.run("explain", "bbbbbbbbbb"); code != 3 {
		t.Errorf("exit %d: %s", code, errs)
	}
}
