package oracle

// Rules in the crash test: sequences in both stages, an absence, a window, and a reload of the
// policies while the engines die. The oracle knows them by the words of the documentation: each
// agent's events in its own order, and what several agents do in order of time.

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const crashRules = `id: hand-over
title: What was read was sent for the same person
by: [agent]
within: 40s
suppress: 20s
steps:
  - {name: read, where: 'kind == "tool_call" and tool.name == "db.query" and result.outcome == "ok"', capture: {who: user}}
  - {name: sent, where: 'kind == "tool_call" and tool.name == "mail.send" and user == read.who'}
not:
  - {where: 'kind == "tool_call" and tool.name == "search"'}
---
id: relay
title: One agent took, another sent
by: [user]
within: 30s
select: first
suppress: 30s
steps:
  - {name: taken, where: 'kind == "tool_call" and tool.name == "db.export" and result.records >= 30', capture: {who: agent.id}}
  - {name: sent, where: 'kind == "tool_call" and tool.name == "mail.send" and agent.id != taken.who'}
---
id: unanswered
title: A grant was not followed by its end
by: [agent]
suppress: 10s
steps:
  - {name: granted, where: 'kind == "tool_call" and tool.name == "admin.grant" and result.outcome == "ok"'}
absent: {where: 'kind == "tool_call" and tool.name == "admin.drop"', for: 15s}
---
id: heavy
title: Much was read
by: [session]
window: 60s
suppress: 30s
where: 'kind == "tool_call" and tool.name in ["db.query", "search"]'
let: {n: count(), records: sum(result.records)}
having: n >= 6 and records > 220
---
id: RELOADED
title: A drop that failed
suppress: 1s
where: 'kind == "tool_call" and tool.name == "admin.drop" and result.outcome == "error"'
`

// ruleResponses is what rules ask for that may act: one in the transaction of its alert, two by way
// of another shard's log.
var ruleResponses = map[string]response{
	"hand-over":  {action: "escalate", scope: "agent", seconds: 1},
	"relay":      {action: "block", scope: "user", seconds: 1},
	"unanswered": {"throttle", "agent", 1, 4, 1},
}

// Of the last rule there are two: one before the reload, one after it.
const BeforeReload, AfterReload = "before", "after"

// WriteRules puts the rules into the folder of policies, at one stroke; last names the one that a
// reload replaces.
func WriteRules(policies, last string) error {
	name := filepath.Join(policies, "rules", "rules.yaml")
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	fresh := filepath.Join(filepath.Dir(policies), "rules.new")
	text := strings.Replace(crashRules, "RELOADED", last, 1)
	for id, asks := range ruleResponses {
		text = strings.Replace(text, "id: "+id+"\n", "id: "+id+"\nmode: enforce\n"+asks.yaml(""), 1)
	}
	if err := os.WriteFile(fresh, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, name)
}

// matched is when a rule matches: at a time, with events of which the last is the trigger.
type matched struct {
	time    int64
	trigger *Event
	count   int64 // events in it
	goes    bool  // it held before
}

// groupMatches adds the statements that matches under one key cause. Those within suppress of the one
// before are one finding, which is updated when their number has doubled.
func groupMatches(out map[statement]int, s statement, suppress int64, all []matched) {
	var n, next, last int64
	var trigger *Event
	for _, m := range all {
		s.Activity = 2
		if n == 0 || m.time-last > suppress && !m.goes {
			n, next, trigger, s.Activity = 0, 1, m.trigger, 1
			last = m.time
		}
		last = max(last, m.time)
		if n++; n < next {
			continue
		}
		for next <= n {
			next *= 2
		}
		s.Trigger, s.Time, s.Last, s.Count, s.Agent = trigger.ID, trigger.Time, max(last, trigger.Time), m.count+
			n-1, trigger.Agent.ID
		if s.Scope != "user" {
			s.Key = s.Tenant + "|" + trigger.Agent.ID
		}
		out[s]++
	}
}

// expectedOfRules adds what the rules must have found; drops are what the rule that is replaced by
// a reload must tell of.
func expectedOfRules(events []*Event, out map[statement]int) (drops map[statement]int) {
	type key struct{ tenant, id, session string }
	agents, sessions, users := map[key][]*Event{}, map[key][]*Event{}, map[key][]*Event{}
	for _, e := range events {
		if e.Kind != "tool_call" || e.Phase == "attempt" {
			continue
		}
		agents[key{e.Tenant, e.Agent.ID, ""}] = append(agents[key{e.Tenant, e.Agent.ID, ""}], e)
		if e.Session != "" {
			sessions[key{e.Tenant, e.Agent.ID, e.Session}] = append(sessions[key{e.Tenant, e.Agent.ID, e.Session}], e)
		}
		if e.User != "" {
			users[key{e.Tenant, e.User, ""}] = append(users[key{e.Tenant, e.User, ""}], e)
		}
	}
	drops = map[statement]int{}
	for k, list := range agents {
		var handed, unanswered, dropped []matched
		var read *Event
		var grants []*Event
		for _, e := range list {
			// hand-over
			if read != nil && e.Time-read.Time > 40_000 {
				read = nil
			}
			switch {
			case e.Tool.Name == "search":
				read = nil
			case e.Tool.Name == "mail.send" && read != nil && e.User == read.User:
				handed, read = append(handed, matched{time: e.Time, trigger: e, count: 2}), nil
			case e.Tool.Name == "db.query" && e.Result.Outcome == "ok":
				read = e
			}
			// unanswered: what had not come by its time is over, then this event answers the rest
			for len(grants) > 0 && grants[0].Time+15_000 < e.Time {
				unanswered = append(unanswered, matched{time: grants[0].Time + 15_000, trigger: grants[0], count: 1})
				grants = grants[1:]
			}
			switch {
			case e.Tool.Name == "admin.drop":
				grants = nil
			case e.Tool.Name == "admin.grant" && e.Result.Outcome == "ok":
				grants = append(grants, e)
			}
			if e.Tool.Name == "admin.drop" && e.Result.Outcome == "error" {
				dropped = append(dropped, matched{time: e.Time, trigger: e, count: 1})
			}
		}
		for _, g := range grants {
			unanswered = append(unanswered, matched{time: g.Time + 15_000, trigger: g, count: 1})
		}
		groupMatches(out, statement{Rule: "rule/hand-over", Scope: "agent", Tenant: k.tenant, ID: k.id}, 20_000, handed)
		groupMatches(out, statement{Rule: "rule/unanswered", Scope: "agent", Tenant: k.tenant, ID: k.id}, 10_000, unanswered)
		groupMatches(drops, statement{Rule: "rule/" + BeforeReload, Scope: "agent", Tenant: k.tenant, ID: k.id}, 1000, dropped)
	}
	for k, list := range sessions {
		var heavy []matched
		var window []*Event
		held := false
		for _, e := range list {
			if e.Tool.Name != "db.query" && e.Tool.Name != "search" {
				continue
			}
			window = append(window, e)
			for window[0].Time <= e.Time-60_000 {
				window = window[1:]
			}
			records := int64(0)
			for _, w := range window {
				records += w.Result.Records
			}
			holds := len(window) >= 6 && records > 220
			if holds {
				heavy = append(heavy, matched{e.Time, e, int64(len(window)), held})
			}
			held = holds
		}
		groupMatches(out, statement{Rule: "rule/heavy", Scope: "session", Tenant: k.tenant, ID: k.session}, 30_000, heavy)
	}
	for k, list := range users {
		slices.SortFunc(list, func(a, b *Event) int {
			return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Agent.ID, b.Agent.ID))
		})
		var sent []matched
		var taken *Event
		for _, e := range list {
			if taken != nil && e.Time-taken.Time > 30_000 {
				taken = nil
			}
			switch {
			case e.Tool.Name == "mail.send" && taken != nil && e.Agent.ID != taken.Agent.ID:
				sent, taken = append(sent, matched{time: e.Time, trigger: e, count: 2}), nil
			case e.Tool.Name == "db.export" && e.Result.Records >= 30 && taken == nil:
				taken = e
			}
		}
		groupMatches(out, statement{Rule: "rule/relay", Scope: "user", Tenant: k.tenant, ID: k.id,
			Key: k.tenant + "|user:" + k.id}, 30_000, sent)
	}
	return drops
}

// weighReload wants each failed drop told by exactly one of the two rules, as it was in force. One
// that closely follows another of its agent may or may not grow the finding of that one, by when
// the reload came between.
func weighReload(b *Balance, drops, have map[statement]int) {
	alone := map[string]string{} // agent and time to trigger
	close := map[string]bool{}
	at := func(s statement) string { return fmt.Sprint(s.Tenant, "|", s.ID, "|", s.Last) }
	for s := range drops {
		if s.Activity == 1 && drops[s] == 1 {
			alone[at(s)] = s.Trigger
		} else {
			close[at(s)] = true
		}
	}
	told := map[string]int{}
	for s, n := range have {
		s.Rule = "rule/" + BeforeReload
		told[at(s)] += n
		if trigger, known := alone[at(s)]; known && trigger == s.Trigger && s.Activity == 1 && s.Count == 1 ||
			s.Count > 1 && close[at(s)] || s.Count == 1 && !known {
			continue
		}
		b.Wrong += n
		b.Sample("wrong drop", s)
	}
	for where, trigger := range alone {
		switch n := told[where]; {
		case n == 0:
			b.Lost++
			b.Sample("lost drop", where+" "+trigger)
		case n > 1:
			b.Doubled += n - 1
			b.Sample("doubled drop", where+" "+trigger)
		}
	}
}
