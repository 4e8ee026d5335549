package policy

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/wayward-sec/wayward/event"
)

// Test is a test of a persona: a call, and the verdict that the persona must give. Tests are no
// part of the set's identity: adding one changes nothing that runs.
type Test struct {
	Name   string
	Expect Verdict
	Kinds  []string // of all violations; empty: not checked
	Record []byte   // wayward.event/v1
	File   string
	Line   int
}

type testDef struct {
	Name   string          `json:"name"`
	Event  json.RawMessage `json:"event"`
	Expect string          `json:"expect"`
	Kinds  []string        `json:"kinds,omitempty"`
}

// compileTests completes the events with defaults: a Monday's noon, a tool call, tenant, persona
// and agent.
func compileTests(bad report, p *Persona, defs []testDef) (all []Test) {
	kinds := violationKinds()
	for i, d := range defs {
		path := at("tests", i)
		checkName(bad, path+".name", "a test", d.Name)
		t := Test{Name: d.Name, Kinds: sorted(d.Kinds)}
		v := slices.Index(verdicts, d.Expect)
		if v < 0 {
			bad(path+".expect", "unknown verdict %s; %s", event.Quote(d.Expect), didYouMean(d.Expect, verdicts))
		}
		t.Expect = Verdict(max(v, 0))
		for k, word := range d.Kinds {
			if !slices.Contains(kinds, word) {
				bad(at(path+".kinds", k), "unknown kind %s; %s", event.Quote(word), didYouMean(word, kinds))
			}
		}
		fields := map[string]json.RawMessage{}
		if json.Unmarshal(d.Event, &fields) != nil || len(fields) == 0 {
			bad(path+".event", "a test needs an event; write event: {tool: {name: get_order}}, say")
			continue
		}
		zone := time.UTC
		if p.Zone != nil {
			zone = p.Zone
		}
		tenant := p.Tenant
		if tenant == "" {
			tenant = "example"
		}
		for key, value := range map[string]any{"time": time.Date(2026, time.January, 5, 12, 0, 0, 0,
			zone).Format(time.RFC3339),
			"kind": "tool_call", "tenant": tenant, "persona": p.Name, "id": "test"} {
			if _, said := fields[key]; !said {
				fields[key] = canonical(value)
			}
		}
		agent := map[string]json.RawMessage{}
		if fields["agent"] == nil || json.Unmarshal(fields["agent"], &agent) == nil && agent != nil {
			if agent["id"] == nil {
				agent["id"] = canonical("test-agent")
			}
			fields["agent"] = canonical(agent)
		}
		t.Record = canonical(fields)
		var e event.Event
		if err := new(event.Decoder).DecodeStrict(t.Record, &e); err != nil {
			bad(path+".event", "%v; write it as in docs/event.schema.json", err)
		} else if e.Kind != event.ToolCall {
			bad(path+".event", "a persona judges tool calls alone; leave kind out")
		}
		all = append(all, t)
	}
	return all
}

func violationKinds() (kinds []string) {
	for d := range Dimensions {
		kinds = append(kinds, d.String())
	}
	return append(kinds, tenantKind, tierKind, hoursKind, conditionKind)
}

// RunTest runs a test and returns what is wrong with its outcome, or "".
func (s *Set) RunTest(p *Persona, t *Test) (fault string) {
	var e event.Event
	if err := new(event.Decoder).DecodeStrict(t.Record, &e); err != nil {
		return err.Error()
	}
	vs := s.judge(e.Tenant, p).Check(&e, nil, e.Time, nil)
	var kinds, said []string
	for _, v := range vs {
		kinds = append(kinds, v.Kind)
		said = append(said, v.Verdict.String()+" of "+v.Kind+" "+event.Quote(v.Value)+" by "+v.Rule)
	}
	because := ""
	if len(said) > 0 {
		because = " (" + strings.Join(said, ", ") + ")"
	}
	if got := Strongest(vs); got != t.Expect {
		return "is " + got.String() + because + ", expected " + t.Expect.String()
	}
	if kinds = sorted(kinds); len(t.Kinds) > 0 && !slices.Equal(kinds, t.Kinds) {
		return "is about " + joinOr(kinds) + because + ", expected " + joinOr(t.Kinds)
	}
	return ""
}

// Strongest is the verdict on a call with these violations.
func Strongest(vs []Violation) Verdict {
	v := Allow
	for i := range vs {
		v = max(v, vs[i].Verdict)
	}
	return v
}
