package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/wayward-sec/wayward/rules"
)

// LintRules reports what is suspicious in rules, though it is not wrong. now decides which
// exceptions have expired.
func (s *Set) LintRules(now time.Time) []*Problem {
	var all []*Problem
	tests := map[string][2]int{}
	carried := s.argumentsOfTests()
	for _, t := range s.ruleTests {
		n := tests[t.Rule]
		n[min(t.Findings, 1)]++
		tests[t.Rule] = n
	}
	for _, r := range s.rules {
		warn := func(code, format string, args ...any) {
			all = append(all, &Problem{File: s.ruleFiles[r.ID], Code: code,
				What: "rule " + r.ID + ": " + fmt.Sprintf(format, args...)})
		}
		if r.Why == "" {
			warn("R201", "does not say why it matters; add why:")
		}
		if len(r.Tags) == 0 {
			warn("R202", "has no tags; add those of OWASP ASI or MITRE ATLAS")
		}
		if n := tests[r.ID]; n[0] == 0 || n[1] == 0 {
			warn("R203", "has %d tests that fire and %d that stay quiet; add the kind that is missing", n[1], n[0])
		}
		for _, p := range r.Args() {
			if shown := carried[r.ID]; !shown[p] && (len(shown) == 0 || strings.ContainsAny(p, ".[")) {
				// Of plain names that are alternatives one is enough.
				warn("R211",
					"asks for the argument %s, which no event of its tests has; add a test with it, or look at recorded events with --sample: an argument that no call has is never seen",
					p)
			}
		}
		for where, x := range r.Expressions() {
			if x.VM != "" {
				warn("R204", "%s runs on expr's machine, which is slow: closures do not cover %s; write it another way",
					where, x.VM)
			}
		}
		for i, part := range r.Parts() {
			if g := part.Where.Prefilter; g.Tools == nil && g.Classes == 0 && g.Kinds == 0 {
				warn("R205", "%s is looked at with every event; say what kind, class or tool it is about",
					r.PartName(i))
			}
		}
		for _, e := range r.Exceptions {
			if e.Expires != 0 && now.UnixMilli() >= e.Expires {
				warn("R206", "exception %s has expired and lets go of nothing; remove it, or give it a new date",
					e.Name)
			}
		}
		if r.Respond != nil && (r.Mode == rules.Signal || r.Mode == rules.Alert) {
			warn("R209", "has respond: and mode: %s, so it asks for nothing; set mode: enforce, or take respond out",
				r.Mode)
		}
		if r.Status == "deprecated" && r.Mode > rules.Shadow {
			warn("R207", "is deprecated and still speaks; set mode: off, or give it another status")
		}
	}
	all = append(all, s.warnings...)
	sortProblems(all)
	return all
}

// warn keeps for lint what is suspicious, though it is not wrong.
func (c *collector) warn(src *source, code, path, format string, args ...any) {
	p := src.place(path)
	c.warnings = append(c.warnings, &Problem{File: p.file, Line: p.line, Column: p.col, Code: code,
		What: fmt.Sprintf(format, args...)})
}
