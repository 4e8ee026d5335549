package authoring

import (
	"cmp"
	"fmt"
	"path/filepath"
	"time"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/rules/expression"
)

// Lint reports the problems that policy.Load found in a folder of policies, and what is suspicious
// in its rules. set is nil if there is none because of the problems. sample may be nil.
func Lint(set *policy.Set, problems []error, sample *Sample, now time.Time) []Finding {
	var all []Finding
	for _, err := range problems {
		all = append(all, findingOf(err, "error"))
	}
	if set == nil {
		return all
	}
	for _, w := range set.LintRules(now) {
		all = append(all, findingOf(w, "warning"))
	}
	if sample != nil {
		for _, w := range sample.notCarried() {
			all = append(all, findingOf(w, "warning"))
		}
	}
	return all
}

// Sample finds rules that ask for fields and arguments that none of some recorded events has, after
// the catalogue has completed them. Such rules never find anything.
type Sample struct {
	Events int

	set     *policy.Set
	fields  map[*expression.Field]bool // that no event had so far
	args    map[string]bool            // likewise
	scratch catalogue.Scratch
}

// NewSample returns a sample without events.
func NewSample(set *policy.Set) *Sample {
	s := &Sample{set: set, fields: map[*expression.Field]bool{}, args: map[string]bool{}}
	for _, r := range set.Rules() {
		for _, p := range r.Args() {
			s.args[p] = true
		}
		for _, f := range r.Fields() {
			s.fields[f] = true
		}
	}
	return s
}

// Add completes an event and notes what it has.
func (s *Sample) Add(e *event.Event) {
	s.Events++
	if e.Kind == event.ToolCall {
		s.set.Catalogue().Tool(e.Tenant, &e.Tool).Complete(e, &s.scratch)
	}
	for f := range s.fields {
		if f.Present(&expression.Context{E: e}) {
			delete(s.fields, f)
		}
	}
	for p := range s.args {
		if expression.HasArgument(e, p) {
			delete(s.args, p)
		}
	}
	s.scratch.Reset()
}

// notCarried has a problem for each field and argument that a rule asks for and no event had.
func (s *Sample) notCarried() (out []*policy.Problem) {
	for _, r := range s.set.Rules() {
		for _, p := range r.Args() {
			if s.args[p] {
				out = append(out, &policy.Problem{File: s.set.RuleFile(r.ID), Code: "R208",
					What: fmt.Sprintf(
						"rule %s: none of %d events has the argument %s; look at how its calls really name it", r.ID,
						s.Events,
						p)})
			}
		}
		for _, f := range r.Fields() {
			if s.fields[f] {
				out = append(out, &policy.Problem{File: s.set.RuleFile(r.ID), Code: "R208",
					What: fmt.Sprintf(
						"rule %s: none of %d events carries %s; ask the gateway to send it, or do without", r.ID,
						s.Events,
						f.Name)})
			}
		}
	}
	return out
}

// Finding is something wrong or suspicious in a rule.
type Finding struct {
	Level  string `json:"level"`
	Code   string `json:"code,omitempty"`
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	What   string `json:"what"`
	Text   string `json:"-"` // for people
}

// findingOf is a problem of the policies as a finding.
func findingOf(err error, level string) Finding {
	f := Finding{Level: level, What: err.Error(), Text: err.Error()}
	if p, ok := err.(*policy.Problem); ok {
		f.Code, f.File, f.Line, f.Column, f.What = p.Code, p.File, p.Line, p.Column, p.What
	}
	if level == "warning" {
		f.Text += " (warning)"
	}
	return f
}

// SARIF is the findings as SARIF 2.1.0, for code scanners.
func SARIF(all []Finding, version string) any {
	type object = map[string]any
	results := []object{}
	for _, f := range all {
		region := object{"startLine": max(f.Line, 1)}
		if f.Column > 0 {
			region["startColumn"] = f.Column
		}
		results = append(results, object{"ruleId": cmp.Or(f.Code, "policy"), "level": f.Level,
			"message": object{"text": f.What},
			"locations": []object{
				{"physicalLocation": object{"artifactLocation": object{"uri": filepath.ToSlash(f.File)},
					"region": region}}}})
	}
	return object{"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []object{{"tool": object{"driver": object{"name": "wayward rules lint", "version": version}},
			"results": results}}}
}
