package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
)

func TestBreakerShowAndHistoryTellWhoDidWhat(t *testing.T) {
	d := newDesk(t)
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	state := breakerOf(theAgent, event.Block, 7, event.Enforce)
	state.Enforced = "applied"
	d.put(d.topics.Breakers, theAgent, state.Append(nil), at(0))
	first, second := commandOf(theAgent, event.Block, 7, event.Enforce), commandOf(theSession, event.Kill, 3,
		event.DryRun)
	d.put(d.topics.Commands, theAgent, first.Append(nil), at(0))
	d.put(d.topics.Commands, theSession, second.Append(nil), at(10))
	d.put(d.topics.Commands, theAgent, first.Append(nil), at(20)) // sent again: acks count from the first
	for i, status := range []event.AckStatus{event.Received, event.Applied} {
		a := event.Ack{CommandID: "c7", Tenant: "acme", Scope: theAgent, Epoch: 7, Time: 1, Status: status, By: "gw-1",
			Detail: "3 connections closed"}
		d.put(d.topics.Acks, theAgent, a.Append(nil), at(40+100*i))
	}
	unknown := event.Ack{CommandID: "c0", Tenant: "acme", Scope: theAgent, Epoch: 1, Time: 1, Status: event.Failed}
	d.put(d.topics.Acks, theAgent, unknown.Append(nil), at(300))
	verdict := event.Feedback{ID: "b1", Time: 1, Tenant: "acme", Type: event.VerdictFeedback, Scope: theAgent,
		FindingUID: "f00d", Verdict: "false_positive", By: "bob", Reason: "a new campaign"}
	d.put(d.topics.Feedback, theAgent, verdict.Append(nil), at(60_000))
	asked := event.Feedback{ID: "b2", Time: 1, Tenant: "acme", Type: event.RestoreFeedback, Scope: theAgent,
		By: "alice", Reason: "a new campaign"}
	d.put(d.topics.Feedback, theAgent, asked.Append(nil), at(61_000))
	restored := commandOf(theAgent, event.Restore, 8, event.Enforce)
	restored.Issuer, restored.DurationMS, restored.Reason = event.Issuer{Type: "human", By: "alice",
		Rule: "b2"}, 0, "a new campaign"
	d.put(d.topics.Commands, theAgent, restored.Append(nil), at(61_050))

	lines := func(s string) string { // without the column of times, and with one blank for many
		var b strings.Builder
		for line := range strings.Lines(strings.ReplaceAll(s, start.UTC().Format("2006-01-02")+" ", "")) {
			if f := strings.Fields(line); len(f) > 1 {
				fmt.Fprintln(&b, strings.Join(f[1:], " "))
			}
		}
		return b.String()
	}
	const story = `SCOPE EPOCH WHO WHAT AFTER WHY
acme agent agt-7731 7 rule export-volume block for 15m moved 180000 B; the limit is 90000 B
acme agent agt-7731 7 rule export-volume block for 15m moved 180000 B; the limit is 90000 B
acme agent agt-7731 7 gw-1 received 40ms 3 connections closed
acme agent agt-7731 7 gw-1 applied 140ms 3 connections closed
acme agent agt-7731 1 a gateway failed, of no command that is known
acme agent agt-7731 bob says false_positive a new campaign
acme agent agt-7731 alice asks to restore, unsigned a new campaign
acme agent agt-7731 8 alice restore a new campaign
`
	out := d.done("breaker", "show", "agent", "agt-7731", "--tenant", "acme")
	head, rest, _ := strings.Cut(out, "\n\n")
	if diff := cmp.Diff(`acme agent agt-7731 is open
  action    block
  mode      enforce
  epoch     7
  since     2026-11-20 14:33:04
  until     restored
  enforced  applied
  by        rule export-volume
  reason    moved 180000 B; the limit is 90000 B
  command   c7
  finding   f00d`, head); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(story, lines(rest)); diff != "" {
		t.Errorf("history of one (-want +got):\n%s", diff)
	}
	all := strings.Replace(story,
		"acme agent agt-7731 7 rule export-volume block for 15m moved 180000 B; the limit is 90000 B\n",
		"acme agent agt-7731 7 rule export-volume block for 15m moved 180000 B; the limit is 90000 B\nacme session s-1 of agt-9 3 rule export-volume kill for 15m, dry_run moved 180000 B; the limit is 90000 B\n",
		1)
	// it may be older than what was asked for
	all = strings.Replace(all, ", of no command that is known", "", 1)
	if diff := cmp.Diff(all, lines(d.done("breaker", "history"))); diff != "" {
		t.Errorf("history of all (-want +got):\n%s", diff)
	}
	if out := d.done("breaker", "history", "--since", "1s"); out != "no commands, acks or feedback\n" {
		t.Errorf("of the last second: %s", out)
	}
	if out := d.done("breaker", "history", "session", "s-1", "--agent", "agt-9", "--tenant", "acme"); strings.Count(out,
		"\n") != 2 || !strings.Contains(out, "kill for 15m, dry_run") {
		t.Errorf("of a session: %s", out)
	}

	var shown struct {
		Breaker *struct{ Epoch int64 }
		History []struct {
			Type    string
			Latency *int64 `json:"latency_ms"`
			Record  struct{ Status string }
		}
	}
	if err := json.Unmarshal([]byte(d.done("breaker", "show", "agent", "agt-7731", "--tenant", "acme", "--output",
		"json")), &shown); err != nil {
		t.Fatal(err)
	}
	if h := shown.History; shown.Breaker == nil || shown.Breaker.Epoch != 7 || len(h) != 8 || h[3].Type != "ack" ||
		*h[3].Latency != 140 || h[3].Record.Status != "applied" || h[0].Latency != nil {
		t.Errorf("got %+v", shown)
	}
	if out := d.done("breaker", "show", "user", "u-1", "--tenant",
		"acme"); out != "acme user u-1 is free: its breaker is closed\n\nno commands, acks or feedback\n" {
		t.Errorf("one that was never tripped: %s", out)
	}
	if out := d.done("breaker", "show", "user", "u-1", "--tenant", "acme", "--output", "json"); !strings.Contains(out,
		`"breaker": null`) || !strings.Contains(out, `"history": []`) {
		t.Errorf("one that was never tripped: %s", out)
	}
}
