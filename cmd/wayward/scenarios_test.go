package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/sinks"
)

var writeEvents = flag.String("events", "",
	"write the events of each scenario to `dir`/<scenario>/{fires,quiet}.jsonl, for wayward replay")

const scenarios = "../../testdata/scenarios"

// Its README.md says how a scenario is written.
func TestScenariosFireAsTheySayAndStayQuietAsTheySay(t *testing.T) {
	for _, name := range scenarioNames(t) {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(scenarios, name)
			set, errs := policy.Load(filepath.Join(dir, "policies"))
			for _, err := range errs {
				t.Error(err)
			}
			if set == nil {
				return
			}
			for _, warning := range set.Lint() {
				t.Error(warning)
			}

			golden := filepath.Join(dir, "fires.txt")
			got := played(t, set, dir, "fires")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(string(want), got); diff != "" {
				t.Errorf("run go test ./cmd/wayward -run Scenarios -update and read the diff\n%s", diff)
			}
			if got == "" {
				t.Error("nothing fires")
			}
			if got := played(t, set, dir, "quiet"); got != "" {
				t.Errorf("quiet.yaml is not:\n%s", got)
			}
			if story, err := os.ReadFile(filepath.Join(dir, "README.md")); err != nil ||
				!bytes.HasPrefix(story, []byte("# ")) {
				t.Errorf("README.md tells no story: %v", err)
			}
		})
	}
}

var row = regexp.MustCompile(`^\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$`)

func TestTheTableOfScenariosHasAllUseCasesAndAllFolders(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(scenarios, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	next, listed := 1, []string{}
	for line := range strings.Lines(string(text)) {
		for _, link := range regexp.MustCompile(`\[([^]]+)\]\(([^)]+)/\)`).FindAllStringSubmatch(line, -1) {
			if link[1] != link[2] {
				t.Errorf("%s is a link to %s", link[1], link[2])
			}
			listed = append(listed, link[1])
		}
		r := row.FindStringSubmatch(strings.TrimSpace(line))
		if r == nil {
			continue
		}
		if r[1] != strconv.Itoa(next) {
			t.Errorf("row %s where %d should be", r[1], next)
		}
		if prefix := fmt.Sprintf("[%02d-", next); r[3] != "–" && !strings.HasPrefix(r[3], prefix) {
			t.Errorf("row %d names folder %s, not one that begins with %02d-", next, r[3], next)
		}
		next++
	}
	if next != 51 {
		t.Errorf("%d use cases, not 50", next-1)
	}
	slices.Sort(listed)
	if diff := gocmp.Diff(scenarioNames(t), listed); diff != "" {
		t.Errorf("folders (-) and those that the table names (+):\n%s", diff)
	}
}

func scenarioNames(t *testing.T) (names []string) {
	entries, err := os.ReadDir(scenarios)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// played is what people read of the findings and commands that a file of a scenario causes. It must
// be the same with one worker and with four.
func played(t *testing.T, set *policy.Set, dir, name string) string {
	t.Helper()
	lines := expand(t, filepath.Join(dir, name+".yaml"))
	file := filepath.Join(t.TempDir(), name+".jsonl")
	if *writeEvents != "" {
		file = filepath.Join(*writeEvents, filepath.Base(dir), name+".jsonl")
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o644); err != nil {
		t.Fatal(err)
	}
	one, alone := replayed(t, set, file, len(lines), 1)
	four, together := replayed(t, set, file, len(lines), 4)
	if diff := gocmp.Diff(alone, together); diff != "" {
		t.Errorf("%s: one worker and four say different things:\n%s", name, diff)
	}
	if one != four {
		t.Errorf("%s: one worker says\n%s\nfour say\n%s", name, one, four)
	}
	return one
}

// replayed is what a replay says, for people in order of time, and as it would stand on the topics.
func replayed(t *testing.T, set *policy.Set, file string, events, workers int) (text string, records []string) {
	t.Helper()
	src, err := history.OpenLines(file)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	type line struct {
		at   int64
		text string
	}
	var all []line
	people, wire := sinks.Text{}, &sinks.OCSF{Version: "test"}
	r := pipeline.Replay{Policy: set, Workers: workers, Flush: true,
		Deliver: func(f *event.Finding) error {
			text, at := string(people.Append(nil, f)), f.Last
			if f.Activity == event.Create {
				text, at = text+"\n    "+small(f), f.Time
			}
			all = append(all, line{at, text})
			records = append(records, string(wire.Append(nil, f)))
			return nil
		},
		Command: func(c *event.Command) error {
			all = append(all, line{c.Time, string(people.AppendCommand(nil, c))})
			records = append(records, string(c.Append(nil)))
			return nil
		},
		Bad: func(at int64, _ string, err error) { t.Errorf("%s: event %d: %v", file, at, err) },
	}
	sum, err := r.Run(context.Background(), src)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Events != int64(events) || sum.Repeated+sum.Late+sum.Future+sum.Dropped > 0 {
		t.Errorf("of %d events not all counted as they are: %+v", events, sum)
	}
	slices.SortStableFunc(all, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	for _, s := range all {
		text += s.text + "\n"
	}
	return text, records
}

// small is what the terminal does not say of a finding, and an operator who writes policies wants
// to know.
func small(f *event.Finding) string {
	s := "(" + f.Detector + " " + f.Rule + ", " + f.Stage + " stage"
	if !f.Alert {
		s += ", no alert"
	}
	if r := f.Response; r != nil {
		s += ", asks for " + r.Action.String()
	}
	return s + ")"
}

// scenarioFile is a file of a scenario.
type scenarioFile struct {
	Start  string           `yaml:"start"`
	All    map[string]any   `yaml:"all"`
	Events []map[string]any `yaml:"events"`
}

// expand makes events, one a line and sorted by time, out of a file of a scenario.
func expand(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s scenarioFile
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	start, err := time.Parse(time.RFC3339, s.Start)
	if err != nil {
		t.Fatalf("%s: start: %v", file, err)
	}
	all, err1 := json.Marshal(s.All)
	events, err2 := json.Marshal(s.Events)
	if err := cmp.Or(err1, err2); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	told, err := event.ParseScenario(all, events, start)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	lines := make([]string, len(told))
	for i := range told {
		lines[i] = string(told[i].Record) + "\n"
	}
	return lines
}
