package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/wayward-sec/wayward/baselines/inspect"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/terminal"
)

// hostile is a text that an agent, a tool or a user of a tool may be called: it clears lines, sets
// titles, turns text around, and begins a line of its own.
const hostile = "x\x1b[2K\x1b]0;t\x07\u009b1m\x7f\b\r\nforged: ok\u202e\u2066\u2028y"

// shows reports what in an output a terminal obeys, and lines that an event began.
func shows(t *testing.T, what, out string) {
	t.Helper()
	for i, r := range out {
		if terminal.Obeyed(r) || r == utf8.RuneError && !strings.HasPrefix(out[i:], "\ufffd") {
			// which XML has for what it cannot say
			t.Errorf("%s: %q at %d of …%q…", what, r, i, out[max(0, i-60):min(len(out), i+20)])
			break
		}
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(strings.TrimSpace(line), "forged") {
			t.Errorf("%s: an event begins the line %q", what, line)
			break
		}
	}
}

// hostileEvents have it in one field each, and in all of them.
func hostileEvents() string {
	var b strings.Builder
	at := int64(1767600000000)
	add := func(change func(e, tool, agent map[string]any)) {
		tool, agent := map[string]any{"name": "del", "class": "delete"}, map[string]any{"id": "a"}
		e := map[string]any{"id": fmt.Sprint("e", at), "time": at, "kind": "tool_call", "tenant": "acme",
			"persona": "clerk", "session": "s", "user": "u", "agent": agent, "tool": tool}
		change(e, tool, agent)
		j, _ := json.Marshal(e)
		// encoding/json escapes what is below blank; some of the rest goes as it is
		b.Write(append(j, '\n'))
		at += 60_000
	}
	fields := []func(e, tool, agent map[string]any){
		func(e, _, _ map[string]any) { e["id"] = hostile },
		func(e, _, _ map[string]any) { e["session"] = hostile },
		func(e, _, _ map[string]any) { e["user"] = hostile },
		func(e, _, _ map[string]any) { e["persona"] = hostile },
		func(e, _, _ map[string]any) { e["kind"] = hostile },
		func(e, _, _ map[string]any) { e["tenant"] = hostile },
		func(e, _, _ map[string]any) { e["time"] = hostile },
		func(_, tool, _ map[string]any) { tool["name"] = hostile },
		func(_, tool, _ map[string]any) { tool["server"] = hostile },
		func(_, tool, _ map[string]any) { tool["class"] = hostile },
		func(_, tool, _ map[string]any) { tool["arguments"] = map[string]any{hostile: hostile, "to": hostile} },
		func(_, _, agent map[string]any) { agent["id"] = hostile },
		func(_, _, agent map[string]any) { agent["version"] = hostile },
		func(e, _, _ map[string]any) {
			e["destination"] = map[string]any{"kind": "host", "value": hostile, "domain": hostile}
		},
		func(e, _, _ map[string]any) { e["resource"] = map[string]any{"type": hostile, "id": hostile} },
		func(e, _, _ map[string]any) { e["subject"] = hostile },
	}
	well := []int{0, 1, 2, 3, 7, 8, 10, 11, 12, 13, 14, 15} // what the decoder takes
	for _, i := range well {
		add(fields[i])
	}
	add(func(e, tool, agent map[string]any) {
		for _, i := range well {
			fields[i](e, tool, agent)
		}
	})
	for i, f := range fields { // last, since some commands end at the first that does not decode
		if !slices.Contains(well, i) {
			add(f)
		}
	}
	b.WriteString("{\"id\":\"\x1b[2J\x9b\r\n")
	b.WriteString(hostile + "\n")
	return b.String()
}

func TestNoCommandSendsATerminalWhatAnEventSays(t *testing.T) {
	const del = `id: del
title: something is deleted
where: 'tool.class == "delete"'
explain: '"deleted by " + agent.id + " with " + tool.name + " in " + session'
suppress: 1s
`
	h := strconv.QuoteToASCII(hostile) // YAML has the same escapes
	test := fmt.Sprintf(`tests:
  - name: quiet
    events: [{at: 0s, id: %s, tool: {name: %s, class: delete}, agent: {id: %s}, user: %s}]
    expect: {findings: 0}
`, h, h, h, h)
	persona := "personas:\n  - {name: clerk, default: allow, tools: {deny: [del]}}\n"
	dir := tree(t, map[string]string{"rules/del.yaml": del, "personas/p.yaml": persona})
	failing := tree(t, map[string]string{"rules/del.yaml": del + test, "personas/p.yaml": persona})
	other := tree(t, map[string]string{"personas/p.yaml": persona})
	events := writeFile(t, "events.jsonl", hostileEvents())
	findings := filepath.Join(t.TempDir(), "findings.jsonl")
	_, _, errs := wayward(t, "replay", "--input", events, "--policies", dir, "--flush", "-o", findings)
	found, err := os.ReadFile(findings)
	if err != nil || bytes.Count(found, []byte("\n")) < 10 {
		t.Fatalf("%d findings, %v: %s", bytes.Count(found, []byte("\n")), err, errs)
	}

	o := newOffice("acme", hostile, hostile, 20, hostile, "crm.search")
	for day := range int64(10) {
		o.work(firstDay+day, 1)
	}
	snapshots := o.file(t, o.days...)

	d := newDesk(t)
	scope := event.Scope{Type: event.AgentScope, ID: hostile, Tenant: "acme"}
	breaker, command := breakerOf(scope, event.Block, 1, event.Enforce), commandOf(scope, event.Block, 1, event.Enforce)
	breaker.Reason, command.Reason, command.Issuer.Rule, command.ID, command.FindingUID = hostile, hostile, hostile,
		hostile[:20], hostile
	ack := event.Ack{CommandID: hostile[:20], Scope: scope, Epoch: 1, Time: opened.UnixMilli(), Status: event.Rejected,
		By: hostile, Detail: hostile}
	verdict := event.Feedback{ID: hostile, Time: opened.UnixMilli(), Tenant: "acme", Type: event.VerdictFeedback,
		Scope: scope, Verdict: "unclear", By: hostile, Reason: hostile}
	now := time.Now()
	d.put(d.topics.Breakers, scope, breaker.Append(nil), now)
	d.put(d.topics.Commands, scope, command.Append(nil), now)
	d.put(d.topics.Acks, scope, ack.Append(nil), now)
	d.put(d.topics.Feedback, scope, verdict.Append(nil), now)
	d.put(d.topics.Commands, scope, []byte(hostile), now)
	for line := range bytes.Lines(found) {
		d.put(d.topics.Alerts, scope, line, now)
	}
	for _, kind := range []string{"agent", "tool", "server"} {
		thing := event.Thing{Kind: kind, Tenant: "acme", ID: hostile, Server: hostile, First: 1, Last: 2,
			Persona: hostile, Owner: hostile, Model: hostile, Version: hostile, Versions: []string{hostile},
			Registered: event.Unregistered}
		d.put(d.topics.Inventory, scope, thing.Append(nil), now)
	}

	for _, args := range [][]string{
		{"rules", "explain", "del", "--policies", dir, "--event", events},
		{"rules", "eval", "-e", "tool.name", "--event", events},
		{"rules", "eval", "-e", "agent.id", "--event", events},
		{"rules", "test", failing}, {"rules", "test", failing, "--output", "json"},
		{"rules", "test", failing, "--output", "junit"},
		{"rules", "list", "--policies", dir}, {"rules", "show", "del", "--policies", dir},
		{"backtest", "--input", events, "--base", other, "--candidate", dir},
		{"backtest", "--input", events, "--base", other, "--candidate", dir, "--output", "json"},
		{"personas", "explain", "--policies", dir, "--event", events},
		{"personas", "explain", "--policies", dir, "--event", events, "--output", "json"},
		{"personas", "suggest", "--input", events}, {"personas", "diff", "--policies", dir, "--input", events},
		{"personas", "diff", "--policies", dir, "--snapshots", snapshots},
		{"personas", "suggest", "--snapshots", snapshots},
		{"tools", "classify", events}, {"tools", "classify", events, "--output", "json"}, {"tools", "draft", events},
		{"replay", "--input", events, "--policies", dir, "--flush", "-o", "-", "--commands", "-"},
		{"replay", "--input", events, "--policies", dir, "--flush"},
		{"explain", "--input", findings}, {"explain", "--input", findings, "--output", "json"},
		{"baseline", "list", "--from", snapshots}, {"baseline", "show", hostile, "--from", snapshots},
		{"baseline", "show", hostile, "--from", snapshots, "--output", "json"},
		{"baseline", "show", "nobody", "--from", snapshots}, {"baseline", "audit", "--from", snapshots},
		{"baseline", "diff", inspect.Day(firstDay), inspect.Day(firstDay + 9), "--persona", hostile, "--from", snapshots},
		{"baseline", "export", "--from", snapshots, "--out", "-"},
		{"send", events, "-c", d.config},
		{"breaker", "list", "-c", d.config}, {"breaker", "history", "-c", d.config},
		{"breaker", "show", "agent", hostile, "--tenant", "acme", "-c", d.config},
		{"breaker", "list", "-c", d.config, "--output", "json"},
		{"breaker", "history", "-c", d.config, "--output", "json"},
		{"breaker", "show", "agent", hostile + "?", "--tenant", "acme", "-c", d.config},
		{"agents", "list", "-c", d.config}, {"agents", "show", hostile, "--tenant", "acme", "-c", d.config},
		{"agents", "list", "-c", d.config, "--output", "json"},
		{"tools", "list", "-c", d.config}, {"tools", "list", "-c", d.config, "--servers"},
		{"explain", "-c", d.config, "--since", "1000000h"},
		{"baseline", "list", "-c", d.config}, {"doctor", "-c", d.config},
		// people paste what a finding says
		{"explain", hostile, "--input", findings}, {"rules", "explain", hostile, "--policies", dir, "--event", events},
	} {
		what := strings.Join(args[:2], " ")
		code, out, errs := wayward(t, args...)
		if strings.Contains(errs, "unknown flag") || strings.Contains(errs, "unknown command") ||
			strings.Contains(errs, "arg(s)") {
			t.Errorf("%s: %s", what, errs)
		}
		shows(t, what, out)
		shows(t, what+": standard error", errs)
		if testing.Verbose() {
			t.Logf("%s: %d\n%.2000s%.500s", what, code, out, errs)
		}
	}
}
