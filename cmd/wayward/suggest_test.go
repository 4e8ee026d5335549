package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/baselines/inspect"
	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// atWork are events of a few personas over twelve days.
func atWork(n int) []byte {
	rng := rand.New(rand.NewPCG(1, 1))
	var b bytes.Buffer
	for i := range n {
		persona := []string{"support", "refunds"}[rng.IntN(2)]
		e := map[string]any{"id": fmt.Sprint("e", i), "time": 1_767_600_000_000 + int64(i)*12*86_400_000/int64(n),
			"kind": "tool_call", "tenant": "acme", "persona": persona, "session": fmt.Sprint("s", i/7),
			"agent": map[string]any{"id": fmt.Sprint(persona, "-", rng.IntN(5)), "tier": 2},
			"tool":  map[string]any{"name": fmt.Sprint(persona, "_tool_", rng.IntN(4)), "server": "srv"},
			"resource": map[string]any{"type": "customer", "tenant": "acme", "labels": []string{"pii"},
				"classification": "internal", "environment": "prod"},
			"result": map[string]any{"outcome": "ok", "records": rng.IntN(9)}}
		if persona == "refunds" {
			e["tool"] = map[string]any{"name": "pay", "class": "pay"}
			e["destination"] = map[string]any{"kind": "email", "value": fmt.Sprintf("u%d@d%d.example", i, rng.IntN(3)),
				"external": rng.IntN(2) == 0}
		}
		line, _ := json.Marshal(e)
		b.Write(append(line, '\n'))
	}
	return b.Bytes()
}

func TestSuggestedPersonasAdmitTheEventsTheyWereMadeFrom(t *testing.T) {
	dir := t.TempDir()
	events := filepath.Join(dir, "events.jsonl")
	if err := os.WriteFile(events, atWork(3000), 0o644); err != nil {
		t.Fatal(err)
	}
	policies := filepath.Join(dir, "policies")
	if err := os.MkdirAll(filepath.Join(policies, "personas"), 0o755); err != nil {
		t.Fatal(err)
	}
	draft := filepath.Join(policies, "personas", "draft.yaml")
	if code, out := waywardIn(t, dir, "personas", "suggest", "--input", events, "--output", draft); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	if code, out := waywardIn(t, dir, "personas", "lint", policies); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	code, out := waywardIn(t, dir, "personas", "explain", "--policies", policies, "--event", events, "--output", "json")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	var got []explanation
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 3000 {
		t.Fatal(err, len(got))
	}
	for _, x := range got {
		if x.Verdict != "allow" {
			t.Fatalf("%+v", x)
		}
	}
	if code, out := waywardIn(t, dir, "replay", "--policies", policies, "--input", events, "--flush", "--output", "-",
		"--quiet"); strings.Contains(out, `"policy"`) && strings.Contains(out, "draft-") {
		t.Errorf("exit %d: the engine finds violations: %s", code, out)
	}
	if code, out := waywardIn(t, dir, "personas", "diff", "--policies", policies, "--input", events); code != 0 ||
		strings.Count(out, "agree") != 2 {
		t.Errorf("exit %d: %s", code, out)
	}
	other := strings.Replace(string(atWork(3000)), `"name":"pay"`, `"name":"drop"`, 1)
	if err := os.WriteFile(events, []byte(other+"broken\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out = waywardIn(t, dir, "personas", "diff", "--policies", policies, "--input", events)
	if code != 1 || !strings.Contains(out, "drop") || !strings.Contains(out, "used, not declared (deny: default)") ||
		!strings.Contains(out, "1 record did not decode: not_json; the first is events.jsonl line ") {
		t.Errorf("exit %d: %s", code, out)
	}
	code, out = waywardIn(t, dir, "personas", "diff", "--policies", policies, "--input", events, "--persona", "support",
		"--output", "json")
	var all []comparison
	if err := json.Unmarshal([]byte(out[strings.Index(out, "["):]), &all); code != 1 || err != nil || len(all) != 1 ||
		!all[0].Declared || all[0].AgentDays == 0 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
}

func TestSuggestSaysWhatItCannotDo(t *testing.T) {
	dir := t.TempDir()
	events, empty := filepath.Join(dir, "events.jsonl"), filepath.Join(dir, "empty.jsonl")
	if err := os.WriteFile(events, atWork(20), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	policies := policiesWith(t, clerks)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"suggest"}, 2, "at least one of the flags"},
		{[]string{"suggest", "--input", events, "--min-agent-days", "500"}, 2, "ask for fewer with --min-agent-days"},
		{[]string{"suggest", "--input", events, "--min-agent-days", "500", "--persona", "refunds"}, 2,
			"was seen on 500 agent-days"},
		{[]string{"suggest", "--input", events, "--min-agent-days", "0"}, 2, "use 1 or more"},
		{[]string{"suggest", "--input", empty}, 3, "no tool call"},
		{[]string{"suggest", "--input", events, "--tenant", "other"}, 3, "no tool call"},
		{[]string{"suggest", "--input", dir + "/none"}, 2, "none"},
		{[]string{"suggest", "--snapshots", events}, 2, "object 1: schema"},
		{[]string{"suggest", "--snapshots", dir + "/none"}, 2, "none"},
		{[]string{"diff", "--input", events}, 2, "no policies"},
		{[]string{"diff", "--input", events, "--policies", policies}, 1, "no persona of that name is declared"},
	} {
		if code, out := waywardIn(t, dir, append([]string{"personas"}, c.args...)...); code != c.code ||
			!strings.Contains(out, c.want) {
			t.Errorf("%v: exit %d: %s", c.args, code, out)
		}
	}
}

// nobody is a host for detectors of which nothing is asked.
type nobody struct{ detectors.Host }

func (nobody) Find(event.Finding)                                              {}
func (nobody) Session() *detectors.Memory                                      { return nil }
func (nobody) Tell(byte, policy.Scope, string, []byte)                         {}
func (nobody) Contribute(byte, policy.Scope, string, []detectors.Contribution) {}
func (nobody) Settled(*event.Response, event.ScopeType) bool                   { return false }

func TestASnapshotIsDraftedToo(t *testing.T) {
	dir := t.TempDir()
	text := atWork(4000)
	panel := detectors.New(policy.Default())
	memories := map[string]*detectors.Memory{}
	deltas := map[string]*baselines.Delta{}
	models := map[string]*baselines.Model{}
	day := int64(0)
	closeDay := func() {
		for p, d := range deltas {
			models[p] = baselines.Learn(models[p], baselines.Key{Tenant: "acme", Persona: p}, day, d, baselines.Terms{})
			deltas[p] = &baselines.Delta{}
		}
	}
	var events []event.Event
	for line := range bytes.Lines(text) {
		var d event.Decoder
		var e event.Event
		if err := d.Decode(bytes.TrimSpace(line), &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
		if today := e.Time / baselines.DayMS; today != day {
			closeDay()
			day = today
		}
		if deltas[e.Persona] == nil {
			deltas[e.Persona], memories[e.Agent.ID] = &baselines.Delta{}, nil
		}
		if memories[e.Agent.ID] == nil {
			memories[e.Agent.ID] = &detectors.Memory{}
		}
		deltas[e.Persona].Events++
		deltas[e.Persona].Learned++
		x := detectors.Scene{Host: nobody{}, Who: panel.Who("acme", e.Persona, ""), Time: e.Time,
			Agent: memories[e.Agent.ID], Delta: deltas[e.Persona], Eligible: true}
		own := e
		panel.Observe(&x, &own)
	}
	closeDay()
	snapshots := filepath.Join(dir, "snapshots.jsonl")
	must(t, inspect.WriteModels(io.Discard, snapshots, []*baselines.Model{models["support"], models["refunds"]}))
	code, out := waywardIn(t, dir, "personas", "suggest", "--snapshots", snapshots)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	policies := t.TempDir()
	if err := os.MkdirAll(filepath.Join(policies, "personas"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(policies, "personas", "p.yaml"), []byte(out), 0o644); err != nil {
		t.Fatal(err)
	}
	set, errs := policy.Load(policies)
	if len(errs) > 0 {
		t.Fatalf("%v\n%s", errs, out)
	}
	for i := range events {
		e := &events[i]
		tool := set.Catalogue().Tool(e.Tenant, &e.Tool)
		tool.Complete(e, &catalogue.Scratch{})
		if vs := set.Judge("acme", e.Persona).Check(e, tool, e.Time, nil); len(vs) > 0 {
			t.Fatalf("%+v\n%s", vs, out)
		}
	}
	for _, want := range []string{"- d0.example # ", "- support_tool_1 # ", "        - internal # ",
		"          - prod # "} {
		if !strings.Contains(out, want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
	if code, out := waywardIn(t, dir, "personas", "diff", "--snapshots", snapshots, "--policies", policies); code != 0 {
		t.Errorf("exit %d: %s", code, out)
	}
}
