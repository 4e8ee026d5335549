package oracle

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Event is what the oracle reads of an event.
type Event struct {
	ID, Kind, Phase, Tenant, Persona, User, Session string
	Time                                            int64
	Agent                                           struct{ ID string }
	Tool                                            struct{ Name string }
	Result                                          struct {
		Outcome        string
		Records, Bytes int64
	}
	Amount struct{ Value, Currency string }
	run    int // of its session
}

func (e *Event) measure(l *limit) int64 {
	switch l.measure {
	case "count":
		return 1
	case "records":
		return e.Result.Records
	case "bytes":
		return e.Result.Bytes
	}
	if e.Amount.Currency != l.currency || e.Result.Outcome != "" && e.Result.Outcome != "ok" {
		return 0
	}
	v, err := strconv.ParseInt(strings.Replace(e.Amount.Value, ".", "", 1), 10, 64) // always two decimals
	if err != nil && e.Amount.Value != "" {
		panic(err)
	}
	return v
}

// statement is one statement on the alert topic: a finding or an update of one.
type statement struct {
	Rule, Scope, Tenant, ID, Trigger string
	Activity                         int
	Value                            string
	Count, Time, Last                int64
	Agent                            string // that it is about; "": several
	Key                              string // of the record
}

// unit is what is added to a window at once: an event, or above one agent what a scope did in 5 s.
type unit struct {
	time, n, v int64 // time: of the event, or the start of the 5 s
	last       *Event
	agents     map[string]bool
}

// expected says what must be found. Events are in the order of each agent; those in aside the
// engine was made to set aside.
func expected(sent [][]byte, aside map[string]bool) (findings, drops map[statement]int, dead map[string]int) {
	findings, dead = map[statement]int{}, map[string]int{}
	seen := map[string]bool{}
	var events []*Event
	for _, b := range sent {
		e := ReadEvent(b)
		if e == nil || aside[e.ID] {
			dead[string(b)]++
			continue
		}
		if id := e.Tenant + "|" + e.Agent.ID + "|" + e.ID; !seen[id] {
			seen[id] = true
			events = append(events, e)
		}
	}
	held(events)
	for i := range limits {
		crossings(&limits[i], events, findings)
	}
	// A persona's denied tool: one finding per agent, session and tool, said at 1, 2, 4, 8 …
	type what struct {
		tenant, agent, session, tool string
		run                          int
	}
	first, count := map[what]*Event{}, map[what]int64{}
	for _, e := range events {
		denied := slices.ContainsFunc(Personas, func(p Persona) bool {
			return p.Name == e.Persona &&
				strings.HasPrefix(e.Tool.Name, p.tool)
		})
		if e.Kind != "tool_call" || e.Phase == "attempt" || !denied {
			continue
		}
		w := what{e.Tenant, e.Agent.ID, e.Session, e.Tool.Name, e.run}
		count[w]++
		n := count[w]
		s := statement{Rule: "policy/persona/" + e.Persona + "/tool", Scope: "agent", Tenant: e.Tenant, ID: e.Agent.ID,
			Activity: 2, Value: "", Count: n, Last: e.Time, Agent: e.Agent.ID, Key: e.Tenant + "|" + e.Agent.ID}
		if n == 1 {
			first[w], s.Activity = e, 1
		}
		s.Trigger, s.Time = first[w].ID, first[w].Time
		if n&(n-1) == 0 {
			findings[s]++
		}
	}
	return findings, expectedOfRules(events, findings), dead
}

// held fills in what holds in a session until another is said: on whose behalf it is. A session
// that was idle for half an hour is another one: run tells them apart.
func held(events []*Event) {
	type session struct{ tenant, agent, id string }
	type holds struct {
		user string
		last int64
		run  int
	}
	of := map[session]*holds{}
	for _, e := range events {
		if e.Session == "" {
			continue
		}
		k := session{e.Tenant, e.Agent.ID, e.Session}
		h := of[k]
		if h == nil {
			h = &holds{}
			of[k] = h
		}
		begins := e.Time-h.last >= 30*60_000
		if e.Kind != "tool_call" && e.User == "" && e.Persona == "" {
			// it says nothing that a session could hold
			if !begins {
				e.User, e.run = h.user, h.run
			}
			continue
		}
		if begins {
			h.user, h.run = "", h.run+1
		}
		if e.User != "" {
			h.user = e.User
		}
		h.last = max(h.last, e.Time)
		e.User, e.run = h.user, h.run
	}
}

// ReadEvent reads an event; nil: it is none.
func ReadEvent(b []byte) *Event {
	e := &Event{}
	if json.Unmarshal(b, e) != nil {
		return nil
	}
	return e
}

func crossings(l *limit, events []*Event, out map[statement]int) {
	own := l.scope == "agent" || l.scope == "session"
	type key struct {
		tenant, agent, id string
		run               int
	}
	units := map[key][]*unit{}
	grains := map[key]map[int64]*unit{}
	for _, e := range events {
		if e.Kind != "tool_call" || e.Phase == "attempt" || !strings.HasPrefix(e.Tool.Name, l.tool) ||
			!slices.Contains([]string{"acme", "globex", "initech"}, e.Tenant) {
			continue
		}
		k := key{tenant: e.Tenant, id: map[string]string{"agent": e.Agent.ID, "session": e.Session, "user": e.User,
			"persona": e.Persona, "tenant": e.Tenant}[l.scope]}
		if k.id == "" {
			continue
		}
		if own {
			if k.agent = e.Agent.ID; l.scope == "session" {
				k.run = e.run
			}
			units[k] = append(units[k], &unit{e.Time, 1, e.measure(l), e, nil})
			continue
		}
		if grains[k] == nil {
			grains[k] = map[int64]*unit{}
		}
		start := e.Time / 5000 * 5000
		u := grains[k][start]
		if u == nil {
			u = &unit{time: start, last: e, agents: map[string]bool{}}
			grains[k][start] = u
		}
		u.n++
		u.v += e.measure(l)
		u.agents[e.Agent.ID] = true
		if e.Time > u.last.Time || e.Time == u.last.Time && e.ID > u.last.ID {
			u.last = e
		}
	}
	for k, g := range grains {
		units[k] = slices.SortedFunc(maps.Values(g), func(a, b *unit) int { return cmp.Compare(a.time, b.time) })
	}
	step := int64(5000)
	if own {
		step = max(1000, l.window/60)
	}
	for k, list := range units {
		var trigger *Event
		next, open := int64(0), false
		from := 0
		var sum, n int64
		for i, u := range list {
			// What has left the window when u comes; u itself not yet in it.
			inside := func(t int64) bool {
				switch {
				case l.window == 0:
					return true
				case l.tumbling:
					return t/l.window == u.time/l.window
				}
				return t/step > u.time/step-l.window/step
			}
			for from < i && !inside(list[from].time) {
				sum, n = sum-list[from].v, n-list[from].n
				from++
			}
			if sum <= l.max {
				open = false
			}
			before := sum
			sum, n = sum+u.v, n+u.n
			if sum <= l.max {
				continue
			}
			activity := 0
			switch {
			case before <= l.max:
				activity, trigger, open = 1, u.last, true
				for next = 2 * l.max; next <= sum; next *= 2 {
				}
			case open && sum >= next:
				activity = 2
				for ; next <= sum; next *= 2 {
				}
			default:
				continue
			}
			s := statement{Rule: "limit/" + l.id, Scope: l.scope, Tenant: k.tenant, ID: k.id, Trigger: trigger.ID,
				Activity: activity, Value: strconv.FormatInt(sum, 10), Count: n, Time: trigger.Time, Last: u.last.Time}
			if l.measure == "amount" {
				s.Value = cents(sum)
			}
			if own {
				s.Agent = k.agent
			} else {
				all := map[string]bool{}
				for _, w := range list[from : i+1] {
					maps.Copy(all, w.agents)
				}
				if len(all) == 1 {
					for s.Agent = range all {
					}
				}
			}
			s.Key = k.tenant + "|" + k.agent
			if !own {
				s.Key = k.tenant + "|" + l.scope + ":" + k.id
			}
			out[s]++
		}
	}
}

// alert is a record of the alert topic: what it says, and what else it names.
type alert struct {
	statement
	UID, Stage, Session, User, Tool, Persona, Target string
	Crosser                                          string    // agent of the trigger
	Processed                                        time.Time // wall clock of its transaction
	at                                               time.Time // when it was produced
}

// ReadAlert reads a record of the alert topic.
func ReadAlert(r *kgo.Record) (x alert, err error) {
	var a struct {
		Activity    int   `json:"activity_id"`
		Time        int64 `json:"time"`
		End         int64 `json:"end_time"`
		Count       int64 `json:"count"`
		FindingInfo struct {
			UID      string `json:"uid"`
			Analytic struct {
				UID string `json:"uid"`
			} `json:"analytic"`
			Related []struct {
				UID string `json:"uid"`
			} `json:"related_events"`
		} `json:"finding_info"`
		Evidences []struct {
			Actor struct {
				Agent string `json:"app_uid"`
			}
		}
		Metadata struct {
			Tenant    string `json:"tenant_uid"`
			Processed int64  `json:"processed_time"`
		} `json:"metadata"`
		Unmapped struct {
			Wayward struct {
				Stage, Agent, Observed, Session, User, Tool, Persona, Target string
				Incomplete                                                   bool
				Scope                                                        struct{ Type, ID string }
			} `json:"wayward"`
		} `json:"unmapped"`
	}
	if err := json.Unmarshal(r.Value, &a); err != nil {
		return x, err
	}
	w := &a.Unmapped.Wayward
	trigger := ""
	if n := len(a.FindingInfo.Related); n > 0 {
		trigger = a.FindingInfo.Related[n-1].UID
	} else if !strings.HasPrefix(a.FindingInfo.Analytic.UID, "response/") {
		// what a person has ordered follows from no event
		return x, fmt.Errorf("no related events: %s", r.Value)
	}
	s := statement{Rule: a.FindingInfo.Analytic.UID, Scope: w.Scope.Type, Tenant: a.Metadata.Tenant, ID: w.Scope.ID,
		Trigger:  trigger,
		Activity: a.Activity, Value: w.Observed, Count: a.Count, Time: a.Time, Last: a.End, Agent: w.Agent,
		Key: string(r.Key)}
	if w.Incomplete {
		s.Rule += " (incomplete)"
	}
	crosser := w.Agent
	if len(a.Evidences) > 0 { // the trigger comes first
		crosser = a.Evidences[0].Actor.Agent
	}
	return alert{s, a.FindingInfo.UID, w.Stage, w.Session, w.User, w.Tool, w.Persona, w.Target, crosser,
		time.UnixMilli(a.Metadata.Processed), r.Timestamp}, nil
}
