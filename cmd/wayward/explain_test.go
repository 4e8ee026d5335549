package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
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

// anyBand is a band of what is usual, where it may lie.
func anyBand(r *rand.Rand) (low, expected, high, observed float64) {
	n := func() float64 { return math.Copysign(math.Pow(10, r.Float64()*12-2), r.Float64()-.1) }
	v := []float64{n(), n(), n()}
	return min(v[0], v[1], v[2]), v[0], max(v[0], v[1], v[2]), n()
}

func TestABandFitsAndShowsOnWhichSideTheObservedLies(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 5000 {
		low, expected, high, seen := anyBand(r)
		d := drawing{60 + r.IntN(60), r.IntN(2) == 0}
		got := d.band(low, expected, high, seen, true)
		if n := utf8.RuneCountInString(got); n > d.width {
			t.Fatalf("%d columns of %d: %s", n, d.width, got)
		}
		mark := strings.Index(got, d.pick("●", "*"))
		begin, end := strings.Index(got, d.pick("├", "[")), strings.Index(got, d.pick("┤", "]"))
		switch {
		case mark < 0 || strings.Count(got, d.pick("●", "*")) != 1 || begin > end:
			t.Fatalf("%v in %v to %v: %s", seen, low, high, got)
		case seen > high && mark < end, seen < low && mark > begin, seen >= low && seen <= high &&
			(mark < begin || mark > end):
			t.Fatalf("%v in %v to %v stands on the wrong side: %s", seen, low, high, got)
		}
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for i := range 4 {
			v := []float64{1, 2, 3, 4}
			v[i] = bad
			got := (drawing{80, false}).band(v[0], v[1], v[2], v[3], true)
			if i == 3 && math.IsNaN(bad) { // nothing was observed
				if n := utf8.RuneCountInString(got); n == 0 || n > 80 || strings.Contains(got, "●") {
					t.Errorf("%v: %s", v, got)
				}
			} else if got != "" {
				t.Errorf("%v: %s", v, got)
			}
		}
	}
	for _, v := range [][4]float64{{}, {1, 1, 1, 1}, {5, 5, 5, 6}, {0, 0, 0, 1e308}, {-1e308, 0, 1e308, 0},
		{3, 9, 1, 2}} {
		if got := (drawing{1, false}).band(v[0], v[1], v[2], v[3], true); got == "" || strings.Contains(got, "NaN") {
			t.Errorf("%v: %q", v, got)
		}
	}
}

func TestMoreIsDrawnFurtherAway(t *testing.T) {
	d := drawing{100, false}
	before := -1
	for _, seen := range []float64{97, 150, 400, 2000, 1e5, 1e9} {
		dots := strings.Count(d.band(1, 9, 96, seen, true), "·")
		if dots < before {
			t.Errorf("%v is drawn nearer than less: %d dots after %d", seen, dots, before)
		}
		before = dots
	}
}

func TestBarsFillTheirWidth(t *testing.T) {
	for _, d := range []drawing{{80, true}, {80, false}} {
		for _, share := range []float64{-1, 0, 1e-9, .01, .5, .999, 1, 7, math.NaN()} {
			got := d.bar(share, 10)
			if n := utf8.RuneCountInString(got); n != 10 {
				t.Errorf("%v: %q has %d columns", share, got, n)
			}
			if (strings.TrimSpace(got) != "") != (share > 0) {
				t.Errorf("%v: %q", share, got)
			}
		}
	}
}

func TestTheLocaleSaysWhetherATerminalUnderstandsUTF8(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{"LANG": "de_DE.UTF-8"}, true},
		{map[string]string{"LANG": "de_DE.utf8", "LC_ALL": "C"}, false},
		{map[string]string{"LANG": "C", "LC_CTYPE": "C.UTF-8"}, true},
		{nil, false},
	} {
		if got := utf8Locale(func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("%v: %v", c.env, got)
		}
	}
}

func TestEachOutcomeIsExplained(t *testing.T) {
	for _, c := range []struct {
		f    event.Finding
		want string
	}{
		{event.Finding{Alert: true}, "certain"},
		{event.Finding{}, "nobody is called"},
		{event.Finding{Alert: true, Anomaly: &event.Anomaly{P: 1e-6, Alpha: 1e-3}},
			"1 in 1,000,000 is rarer than the budget's 1 in 1,000"},
		{event.Finding{Anomaly: &event.Anomaly{P: 1e-6, Alpha: 1e-3, State: "learning"}}, "still learning"},
		{event.Finding{Anomaly: &event.Anomaly{P: 1e-6, Alpha: 1e-3, State: "suspect"}},
			"approves it or rolls it back"},
		{event.Finding{Anomaly: &event.Anomaly{P: 1e-2, Alpha: 1e-3, State: "active"}},
			"not rarer than the budget's 1 in 1,000"},
		{event.Finding{Anomaly: &event.Anomaly{P: 1e-2, State: "active"}}, "nothing for"},
		{event.Finding{Anomaly: &event.Anomaly{P: 1e-6, Alpha: 1e-3, State: "active"}}, "of this kind alone"},
	} {
		if got := outcomeText(&c.f); !strings.Contains(got, c.want) {
			t.Errorf("%v: %s, want %s", c.f, got, c.want)
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
