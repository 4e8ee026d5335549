package policy

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/rules"
	"github.com/wayward-sec/wayward/rules/expression"
)

// RuleTest is a test of a rule: events, and the findings that the rule must have. Tests are no part
// of the set's identity.
type RuleTest struct {
	Rule, Name string
	Todo       string // why it may fail
	Learned    expression.Supposed
	Events     []event.ScenarioEvent
	Findings   int
	Why, Scope string // of the first finding; "" is not asked for
	At         []time.Duration
	File       string
	Line       int
}

// RuleTests are the tests of all rules, in the order of files.
func (s *Set) RuleTests() []RuleTest { return slices.Clone(s.ruleTests) }

// readTests reads the tests of a rule whose expressions are good.
func (r *ruleCompiler) readTests() {
	bad := r.bad
	for i, t := range r.def.Tests {
		where := at("tests", i)
		checkName(bad, where+".name", "a test", t.Name)
		p := r.src.place(where)
		test := RuleTest{Rule: r.def.ID, Name: t.Name, Todo: t.Todo, Why: t.Expect.Why, Scope: t.Expect.Scope, File: p.file,
			Line: p.line}
		if t.Expect.Findings == "" {
			bad(where+".expect", "say how many findings are expected; add findings: 1, or 0 if it must stay quiet")
		} else if n, err := strconv.Atoi(t.Expect.Findings); err != nil || n < 0 {
			bad(where+".expect.findings", "%s is no number; use 0 or more", event.Quote(t.Expect.Findings))
		} else {
			test.Findings = n
		}
		for j, s := range t.Expect.At {
			d, err := time.ParseDuration(s)
			if err != nil {
				bad(at(where+".expect.at", j), "%s is no time since the start; write 90s or 1h30m", event.Quote(s))
			}
			test.At = append(test.At, d)
		}
		if len(t.Learned) > 0 {
			d := json.NewDecoder(bytes.NewReader(t.Learned))
			d.DisallowUnknownFields()
			if err := d.Decode(&test.Learned); err != nil {
				bad(where+".baseline",
					"%v; write it as {seen: {destination: false}, p: {rarity: 0.001}, quantile: {records: 20}, expected: {events: 3}}",
					err)
			} else if word, known := test.Learned.UnknownWord(); word != "" {
				bad(where+".baseline", "no baseline knows %s; %s", event.Quote(word), didYouMean(word, known))
			}
		}
		var err error
		if test.Events, err = event.ParseScenario(t.All, t.Events, TestStart); err != nil {
			bad(where+".events", "%v", err)
		}
		r.ruleTests = append(r.ruleTests, test)
	}
}

// TestStart is the time that "at: 0s" means in tests, a Monday.
var TestStart = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// WithAlerts is the set with every rule in mode alert at least, for tests of rules.
func (s *Set) WithAlerts() *Set {
	out := *s
	out.rules = nil
	for _, r := range s.rules {
		own := *r
		own.Mode = max(own.Mode, rules.Alert)
		out.rules = append(out.rules, &own)
	}
	return &out
}

// argumentsOfTests has, by rule, the paths of arguments that the rule asks for and some event of
// its tests has.
func (s *Set) argumentsOfTests() map[string]map[string]bool {
	asked := map[string][]string{} // paths that each rule asks for
	for _, r := range s.rules {
		asked[r.ID] = r.Args()
	}
	out := map[string]map[string]bool{}
	var d event.Decoder
	for _, t := range s.ruleTests {
		if out[t.Rule] == nil {
			out[t.Rule] = map[string]bool{}
		}
		for _, x := range t.Events {
			if len(out[t.Rule]) == len(asked[t.Rule]) {
				break
			}
			var e event.Event
			d.Reset()
			if d.DecodeStrict(x.Record, &e) != nil {
				continue
			}
			for _, p := range asked[t.Rule] {
				if expression.HasArgument(&e, p) {
					out[t.Rule][p] = true
				}
			}
		}
	}
	return out
}
