package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/baselines/inspect"
	"github.com/wayward-sec/wayward/event"
)

// firstDay is Monday, 2 November 2026.
const firstDay = 20759

// office is a persona at work: agents with tools, office hours, sessions of some length. It learns
// as detectors do, by deltas.
type office struct {
	key    baselines.Key
	rng    *rand.Rand
	agents int
	tools  []string
	m      *baselines.Model
	days   []*baselines.Model
	today  map[uint64]*baselines.AgentDay
	terms  baselines.Terms
}

func newOffice(tenant, persona, fork string, agents int, tools ...string) *office {
	return &office{key: baselines.Key{Tenant: tenant, Persona: persona, Fork: fork}, rng: rand.New(rand.NewPCG(7, 7)),
		agents: agents, tools: tools, today: map[uint64]*baselines.AgentDay{}}
}

// work is a day: sessions of each agent, busier in the middle of working days.
func (o *office) work(day int64, busy float64) {
	d := &baselines.Delta{}
	weekday := int(day-firstDay) % 7
	if weekday > 4 {
		busy *= .1
	}
	for f := range baselines.Fields {
		if f == baselines.ToolField || f == baselines.DomainField {
			baselines.RarityDeltaOf(d).Days = uint64(o.agents)
			for range o.agents {
				baselines.RarityDeltaOf(d).Appear(f)
			}
		}
	}
	for agent := range o.agents {
		d.Acts(uint64(agent) + 1)
		seen := map[string]bool{}
		for range max(1, int(4*busy)) {
			d.Sessions++
			hour := 8 + o.rng.IntN(10)
			var chain baselines.Chain
			records := 0.0
			for i := range 3 + o.rng.IntN(5) {
				tool := o.tools[min(i%3+o.rng.IntN(2), len(o.tools)-1)]
				chain.Push(nil, baselines.SequenceDeltaOf(d).Step(nil, tool, "ticket", event.Read, event.OK, ""))
				seen[tool] = true
				records += float64(1 + o.rng.IntN(4))
				d.Events++
				d.Learned++
				baselines.VolumeDeltaOf(d).Season[24*weekday+hour].X += baselines.Unit
				baselines.VolumeDeltaOf(d).Of[baselines.EventCount].X += baselines.Unit
				baselines.VolumeDeltaOf(d).Of[baselines.RecordSum].X += 2 * baselines.Unit
			}
			chain.End(nil)
			t := o.today[uint64(agent)]
			if t == nil {
				t = &baselines.AgentDay{}
				o.today[uint64(agent)] = t
			}
			baselines.SequenceDeltaOf(d).Take(nil, &chain, uint64(agent+1), day, t, baselines.LearnFrom, 0)
			baselines.VolumeDeltaOf(d).Of[baselines.EventCount].Session.Add(math.Log1p(5), 1)
			baselines.VolumeDeltaOf(d).Of[baselines.RecordSum].Session.Add(math.Log1p(records), 1)
			d.Audit.Count(baselines.SessionTest, o.rng.Float64())
			d.Audit.Count(baselines.SequenceTest, o.rng.Float64()*.3) // comes out low too often
		}
		for h := range 24 {
			baselines.VolumeDeltaOf(d).Season[24*weekday+h].E += 1 << 16
		}
		baselines.VolumeDeltaOf(d).Exposure += 24 << 16
		for _, tool := range o.tools {
			if seen[tool] {
				s := baselines.RarityDeltaOf(d).See(baselines.ToolField, xxhash.Sum64String(tool), false)
				s.Name = tool
			}
		}
	}
	if day >= firstDay+12 { // three agents do what somebody is called for
		for agent := range 3 {
			s := baselines.RarityDeltaOf(d).See(baselines.ToolField, xxhash.Sum64String("bank.transfer"), true)
			s.Name, s.Sink, s.Agents = "bank.transfer", true, s.Agents|1<<agent
		}
		s := baselines.RarityDeltaOf(d).See(baselines.DomainField, xxhash.Sum64String("pastebin.example"), true)
		s.Name, s.Agents = "pastebin.example", s.Agents|1
	}
	baselines.VolumeDeltaOf(d).Contacts = [baselines.Outcomes]uint64{100, 100, 100}
	baselines.VolumeDeltaOf(d).Failed = [baselines.Outcomes]uint64{2, 5, 9}
	o.m = baselines.Learn(o.m, o.key, day, d, o.terms)
	o.days = append(o.days, o.m)
}

// support is a persona after two weeks, the last days with a tool more and at half the pace.
func support() *office {
	o := newOffice("acme", "support", "v4", 12, "crm.search", "crm.get_ticket", "crm.reply", "crm.close")
	for day := range int64(10) {
		o.work(firstDay+day, 1)
	}
	o.tools = append([]string{"kb.lookup"}, o.tools...)
	for day := int64(10); day < 14; day++ {
		o.work(firstDay+day, .5)
	}
	return o
}

// file writes snapshots as export does.
func (o *office) file(t *testing.T, days ...*baselines.Model) string {
	t.Helper()
	var b strings.Builder
	for _, m := range days {
		line, err := json.Marshal(inspect.EnvelopeOf(inspect.Snapshot{Model: m, Bytes: len(m.Append(nil))}))
		must(t, err)
		b.Write(append(line, '\n'))
	}
	return writeFile(t, "snapshots.jsonl", b.String())
}

func TestBaselinesReadWell(t *testing.T) {
	o := support()
	wide := newOffice("acme", baselines.TenantWide, "", 12, "crm.search")
	wide.work(firstDay, 1)
	all := append(slices.Clone(o.days), wide.days...)
	file := o.file(t, all...)
	var hashes []string // change with every change of what is stored
	for i, m := range all {
		hashes = append(hashes, m.Hash(), fmt.Sprintf("%016d", i))
	}
	for name, args := range map[string]string{
		"list.txt":           "list",
		"list-all.txt":       "list support --all",
		"show.txt":           "show support",
		"show-ascii.txt":     "show support --ascii --top 2 --day 2026-11-06",
		"diff.txt":           "diff 2026-11-10 2026-11-15 --persona support",
		"diff.json":          "diff 2026-11-10 2026-11-15 --persona support --output json --least 3",
		"audit.txt":          "audit",
		"audit-tests.txt":    "audit --tests",
		"show-tenant.txt":    "show * --top 0",
		"audit-support.json": "audit support --day 2026-11-02 --output json",
	} {
		args := strings.Fields(args)
		code, out, errs := wayward(t, append([]string{"baseline", args[0], "--from", file}, args[1:]...)...)
		// different, loose
		wantCode := map[string]int{"diff.txt": 1, "diff.json": 1, "audit.txt": 1, "audit-tests.txt": 1}[name]
		if code != wantCode || errs != "" {
			t.Errorf("%s: exit %d, want %d: %s", name, code, wantCode, errs)
		}
		out = regexp.MustCompile(`"bytes": \d+`).ReplaceAllString(out, `"bytes": 0`)
		out = regexp.MustCompile(`\d+ B\b|\d+\.\d KiB`).ReplaceAllString(out, "4.0 KiB") // likewise
		goldenFile(t, "baselines/"+name, strings.NewReplacer(hashes...).Replace(out))
		if strings.Contains(name, "ascii") {
			if i := strings.IndexFunc(out, func(r rune) bool { return r > 126 }); i >= 0 {
				t.Errorf("%s: --ascii prints %q", name, out[i:i+5])
			}
		}
	}
}

func TestASnapshotComesBackFromAFile(t *testing.T) {
	o := support()
	file := o.file(t, o.days...)
	dir := t.TempDir()
	out := filepath.Join(dir, "out.jsonl")
	code, _, errs := wayward(t, "baseline", "export", "support", "--from", file, "--day", "2026-11-05", "--out", out)
	if code != 0 || !strings.Contains(errs, "1 snapshot in "+out) {
		t.Fatalf("exit %d: %s", code, errs)
	}
	list, err := inspect.Read(dir) // a folder
	must(t, err)
	if len(list) != 1 || string(list[0].Model.Append(nil)) != string(o.days[3].Append(nil)) ||
		list[0].Model.Hash() != o.days[3].Hash() {
		t.Errorf("%d snapshots, not the one of the day", len(list))
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v: who else may read it? %v", err, info.Mode())
	}
	_, all, _ := wayward(t, "baseline", "export", "--from", file, "--all")
	if n := strings.Count(all, "\n"); n != len(o.days) {
		t.Errorf("%d lines for %d days", n, len(o.days))
	}
}

func TestASnapshotThatWasChangedIsRefused(t *testing.T) {
	o := support()
	text, err := os.ReadFile(o.file(t, o.m))
	must(t, err)
	for what, change := range map[string]func(e map[string]any){
		"day":     func(e map[string]any) { e["summary"].(map[string]any)["day"] = "2026-11-14" },
		"tenant":  func(e map[string]any) { e["summary"].(map[string]any)["tenant"] = "globex" },
		"hash":    func(e map[string]any) { e["summary"].(map[string]any)["hash"] = "0000000000000000" },
		"schema":  func(e map[string]any) { e["schema"] = "wayward.baseline/v9" },
		"cut":     func(e map[string]any) { e["model"] = e["model"].(string)[:400] },
		"longer":  func(e map[string]any) { e["model"] = e["model"].(string)[:400] + e["model"].(string) },
		"nothing": func(e map[string]any) { e["model"] = "" },
	} {
		var e map[string]any
		must(t, json.Unmarshal(text, &e))
		change(e)
		b, err := json.Marshal(e)
		must(t, err)
		file := writeFile(t, "changed.json", string(b))
		if code, out, errs := wayward(t, "baseline", "list", "--from", file); code != 2 ||
			!strings.Contains(errs, "object 1") {
			t.Errorf("%s: exit %d: %s%s", what, code, out, errs)
		}
	}
	if code, _, errs := wayward(t, "baseline", "list", "--from",
		writeFile(t, "events.jsonl", `{"time":1767600000000,"kind":"session"}`)); code != 2 ||
		!strings.Contains(errs, "schema") {
		t.Errorf("events instead of snapshots: exit %d: %s", code, errs)
	}
}

func TestWhatIsMeantIsFoundOrAskedFor(t *testing.T) {
	o, two, other := support(), newOffice("acme", "support", "", 3, "a"), newOffice("globex", "support", "", 3, "a")
	two.work(firstDay, 1)
	other.work(firstDay, 1)
	file := o.file(t, append(slices.Clone(o.days), two.m, other.m)...)
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"show support", 2, "say which with --tenant acme or globex"},
		{"show support --tenant acme", 2, "say which with --fork - or v4"},
		{"show support --tenant acme --fork v4", 0, "2026-11-15/" + o.m.Hash()},
		{"show support --tenant acme --fork -", 0, "2026-11-02/" + two.m.Hash()},
		{"show suport", 3, "no baseline of suport; there are acme support and globex support"},
		{"show support --day 2026-12-24", 3, "of 2026-12-24; there are"},
		{"show support --day yesterday", 2, "is no day; write it as 2026-11-20"},
		{"show support --top -1", 2, "--top"},
		{"list nobody", 3, "no baseline of nobody"},
		{"diff 2026-11-02 2026-11-03", 2, "--persona"},
		{"diff 2026-11-02 2026-11-03 --persona support", 2, "say --tenant and --fork"},
		{"diff 2026-11-02 2026-12-03 --persona support --fork v4", 2, "there is no snapshot 2026-12-03"},
		{"diff 2026-11-02 2026-11-02 --persona support --fork v4", 0, "nothing has changed"},
		{"diff 2026-11-02/" + o.days[0].Hash()[:4] + " 2026-11-02 --persona support --fork v4", 0,
			"nothing has changed"},
		{"diff neither nor", 2, "neither a file nor a day"},
		{"diff 2026-11-02 2026-11-03 --persona support --least 1", 2, "--least"},
	} {
		args := strings.Fields(c.args)
		code, out, errs := wayward(t, append([]string{"baseline", args[0], "--from", file}, args[1:]...)...)
		if code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("%s: exit %d, want %d, saying %q:\n%.600s%s", c.args, code, c.code, c.says, out, errs)
		}
	}
	a, b := o.file(t, o.days[0]), o.file(t, o.days[13])
	if code, out, errs := wayward(t, "baseline", "diff", a, b); code != 1 || !strings.Contains(out, "kb.lookup") {
		t.Errorf("two files: exit %d: %s%s", code, out, errs)
	}
	if code, _, errs := wayward(t, "baseline", "list", "--from", t.TempDir()); code != 3 ||
		!strings.Contains(errs, "holds no snapshots") {
		t.Errorf("an empty folder: exit %d: %s", code, errs)
	}
}

// stored are the records of a snapshot as a relation shard writes them, in pieces of so many bytes.
func stored(m *baselines.Model, size int) (keys []string, values [][]byte) {
	b := m.Append(nil)
	n := (len(b) + size - 1) / size
	for i := range n {
		keys = append(keys, fmt.Sprintf("s|%s|%s|%s|%d|%s|%d|%d", m.Tenant, m.Persona, m.Fork, m.Day, m.Hash(), i, n))
		values = append(values, b[i*size:min(len(b), (i+1)*size)])
	}
	return keys, values
}

func TestBaselinesAreReadFromTheTopic(t *testing.T) {
	d := newDesk(t)
	o, other := support(), newOffice("globex", "payer", "", 3, "a")
	other.work(firstDay, 1)
	put := func(key string, value []byte) {
		must(t, d.client.ProduceSync(t.Context(), &kgo.Record{Topic: d.topics.Baselines, Key: []byte(key),
			Value: value}).FirstErr())
	}
	for _, m := range append(slices.Clone(o.days[10:]), other.m) {
		keys, values := stored(m, 1000)
		for i := range keys {
			put(keys[i], values[i])
		}
	}
	gone, _ := stored(o.days[10], 1000)
	for _, key := range gone {
		put(key, nil)
	}
	put("s|acme|support|v4|1|0123456789abcdef|0|1", []byte("no snapshot"))
	put("nonsense", []byte("x"))

	_, errs, _ := d.run("baseline", "list")
	for _, want := range []string{
		"records of wayward.baselines that cannot be read, and are left out: 1; the first: key", "first: snapshot"} {
		if !strings.Contains(errs, want) {
			t.Errorf("standard error does not say %q: %s", want, errs)
		}
	}
	list := func(args ...string) (days []string) {
		var heads []inspect.Head
		must(t, json.Unmarshal([]byte(d.done(append([]string{"baseline", "list", "--output", "json"}, args...)...)),
			&heads))
		for _, h := range heads {
			days = append(days, h.Tenant+" "+h.Day)
		}
		return days
	}
	if diff := cmp.Diff([]string{"acme 2026-11-15", "globex 2026-11-02"}, list()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"acme 2026-11-13", "acme 2026-11-14", "acme 2026-11-15"},
		list("--all", "--tenant", "acme")); diff != "" {
		t.Error(diff)
	}

	// A person has rolled back: the older snapshot was written once more.
	keys, values := stored(o.days[12], 1000)
	for i := range keys {
		put(keys[i], values[i])
	}
	put(fmt.Sprintf("c|0|%d|%d|0|1", o.m.Day, o.m.Day), []byte("{}"))
	if diff := cmp.Diff([]string{"acme 2026-11-14", "globex 2026-11-02"}, list()); diff != "" {
		t.Error(diff)
	}
	if out := d.done("baseline", "show", "support"); !strings.Contains(out, "2026-11-14/"+o.days[12].Hash()) {
		t.Errorf("show: %.300s", out)
	}
	if _, errs, code := d.run("baseline", "show", "suport"); code != 3 ||
		!strings.Contains(errs, "there are acme support and globex payer") {
		t.Errorf("exit %d: %s", code, errs)
	}
	out := filepath.Join(t.TempDir(), "out.jsonl")
	d.done("baseline", "export", "support", "--all", "--out", out)
	if all, err := inspect.Read(out); err != nil || len(all) != 3 {
		t.Errorf("%d snapshots exported: %v", len(all), err)
	}
}

func TestATopicWithoutSnapshotsIsSaidToBeEmpty(t *testing.T) {
	d := newDesk(t)
	if _, errs, code := d.run("baseline", "list"); code != 3 || !strings.Contains(errs, "there are no snapshots yet") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// What a replay has learned can be looked at, and be in force in another replay from its first
// event on.
func TestAReplayWritesAndReadsSnapshots(t *testing.T) {
	var events strings.Builder
	for day := range int64(4) {
		for i := range int64(30) {
			fmt.Fprintf(&events,
				`{"id":"e%d-%d","time":%d,"kind":"tool_call","tenant":"acme","persona":"support","agent":{"id":"a%d"},"session":"s%d-%d","tool":{"name":"crm.search"},"result":{"outcome":"ok","records":3}}`+
					"\n",
				day, i, (firstDay+day)*baselines.DayMS+9*3_600_000+i*60_000, i%5, day, i%10)
		}
	}
	input, out := writeFile(t, "events.jsonl", events.String()), filepath.Join(t.TempDir(), "snapshots.jsonl")
	if code, _, errs := wayward(t, "replay", "--input", input, "--snapshots", out, "--output", os.DevNull,
		"--quiet"); code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	list, err := inspect.Read(out)
	must(t, err)
	if len(list) != 2 || list[0].Model.Persona != baselines.TenantWide || list[1].Model.Persona != "support" ||
		list[1].Model.Day != firstDay+2 || list[1].Model.AgentDays == 0 {
		t.Fatalf("%d snapshots: %v", len(list), list)
	}
	code, shown, errs := wayward(t, "baseline", "show", "support", "--from", out)
	if code != 0 || !strings.Contains(shown, "2026-11-02 to 2026-11-04, 3 days") {
		t.Errorf("exit %d: %s%s", code, shown, errs)
	}
	again := filepath.Join(t.TempDir(), "again.jsonl")
	code, _, errs = wayward(t, "replay", "--input", input, "--baselines", out, "--freeze", "--snapshots", again,
		"--output", os.DevNull, "--quiet")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	// Nor do workers show in what is found on what was learned, to the byte.
	var first []byte
	for _, shards := range []string{"1", "8"} {
		found, learned := filepath.Join(t.TempDir(), "found.jsonl"), filepath.Join(t.TempDir(), "learned.jsonl")
		if code, _, errs := wayward(t, "replay", "--learn", input, "--input", input, "--shards", shards, "--snapshots",
			learned, "--output", found, "--quiet"); code != 0 {
			t.Fatalf("exit %d: %s", code, errs)
		}
		one, err := os.ReadFile(found)
		must(t, err)
		two, err := os.ReadFile(learned)
		must(t, err)
		if both := append(one, two...); first == nil {
			first = both
		} else if !bytes.Equal(first, both) || len(two) == 0 {
			t.Errorf("8 workers give %d bytes of findings and snapshots, 1 gives %d", len(both), len(first))
		}
	}
	for args, want := range map[string]string{
		"--baselines /does/not/exist":                          "no such file",
		"--baselines " + writeFile(t, "empty.jsonl", ""):       "holds none",
		"--baselines " + out + " --learn " + input:             "none of the others can be",
		"--snapshots /does/not/exist/x --output " + os.DevNull: "no such file",
	} {
		if code, _, errs := wayward(t, append([]string{"replay", "--input", input, "--quiet"},
			strings.Fields(args)...)...); code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d, want %q: %s", args, code, want, errs)
		}
	}
}
