// Package authoring is for people who write rules: it lints, tests, locks, compares and formats
// rules, shows how they run, and has templates for new ones.
//
// It reads policies and runs events through the engine. It must never know configuration, Kafka or
// commands.
//
// Begin reading with Test, which runs the tests of rules, and with Lint in lint.go.
package authoring

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/rule"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/rules"
	"github.com/wayward-sec/wayward/terminal"
)

// Result is the result of one test.
type Result struct {
	Rule  string   `json:"rule"`
	Test  string   `json:"test"`
	Pass  bool     `json:"pass"`
	Todo  string   `json:"todo,omitempty"`  // why it may fail
	Fault string   `json:"fault,omitempty"` // why it failed
	Said  []string `json:"said,omitempty"`  // the explanations of the rule's findings
	Trace []string `json:"trace,omitempty"` // if it failed: what each condition was for each event
	File  string   `json:"file,omitempty"`
	Line  int      `json:"line,omitempty"`
	MS    int64    `json:"ms"` // that it took
}

// Failed reports whether the test failed and may not.
func (r *Result) Failed() bool { return !r.Pass && r.Todo == "" }

// Test runs the tests of the rules in a set whose rule/name matches only, through the engine
// itself. A stable rule with fewer than least tests, or without one of each kind, is a failed
// result of its own; least 0: none is.
func Test(ctx context.Context, set *policy.Set, only *regexp.Regexp, least int) ([]Result, error) {
	var out []Result
	alerting := set.WithAlerts()
	fires, quiet := map[string]int{}, map[string]int{}
	for _, t := range set.RuleTests() {
		if t.Findings > 0 {
			fires[t.Rule]++
		} else {
			quiet[t.Rule]++
		}
		if !only.MatchString(t.Rule + "/" + t.Name) {
			continue
		}
		began := time.Now()
		r := Result{Rule: t.Rule, Test: t.Name, Todo: t.Todo, File: t.File, Line: t.Line}
		var err error
		if r.Fault, r.Said, err = testRule(ctx, alerting, &t); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", t.File, t.Line, err)
		}
		if r.Pass = r.Fault == ""; r.Pass && t.Todo != "" {
			r.Pass, r.Todo, r.Fault = false, "", "passes, though todo says that it does not; remove todo"
		} else if !r.Pass {
			r.Trace = traceRule(alerting, &t)
		}
		r.MS = time.Since(began).Milliseconds()
		out = append(out, r)
	}
	for _, r := range set.Rules() {
		if r.Status != "stable" || least == 0 || !only.MatchString(r.ID+"/") {
			continue
		}
		if f, q := fires[r.ID], quiet[r.ID]; f+q < least || f == 0 || q == 0 {
			out = append(out, Result{Rule: r.ID, Test: "has its tests", File: set.RuleFile(r.ID),
				Fault: fmt.Sprintf(
					"has %d tests that fire and %d that stay quiet; a stable rule needs %d, one of each kind", f, q,
					least)})
		}
	}
	return out, nil
}

// testSource gives the engine the events of a test.
type testSource struct {
	lines []byte
	done  bool
}

func (s *testSource) Next(context.Context) (*history.Chunk, error) {
	if s.done {
		return nil, io.EOF
	}
	s.done = true
	return &history.Chunk{Lines: s.lines, At: 1}, nil
}

func (s *testSource) Done(*history.Chunk) {}

// play runs the events of a test through the engine. It returns the findings of the rule, and what
// is wrong with an event, if one is.
func play(ctx context.Context, set *policy.Set, t *policy.RuleTest, workers int) (found []*event.Finding, bad string,
	err error) {
	src := &testSource{}
	for _, e := range t.Events {
		src.lines = append(append(src.lines, e.Record...), '\n')
	}
	r := pipeline.Replay{Policy: set.Supposing(&t.Learned), Workers: workers, Flush: true, Freeze: true,
		Deliver: func(f *event.Finding) error {
			if f.Detector == "rule" && f.Rule == t.Rule && f.Activity == event.Create {
				found = append(found, f)
			}
			return nil
		},
		Bad: func(at int64, _ string, err error) { bad = fmt.Sprintf("event %d: %v", at, err) },
	}
	_, err = r.Run(ctx, src)
	return found, bad, err
}

// testRule runs a test. It returns what is wrong with its outcome, or "", and the explanations of
// the findings.
func testRule(ctx context.Context, set *policy.Set, t *policy.RuleTest) (fault string, said []string, err error) {
	found, bad, err := play(ctx, set, t, 1)
	if err != nil {
		return "", nil, err
	}
	for _, f := range found {
		said = append(said, f.Why)
	}
	switch {
	case bad != "":
		return bad, said, nil
	case len(found) != t.Findings:
		return fmt.Sprintf("%d findings, expected %d", len(found), t.Findings), said, nil
	case len(found) > 0 && t.Why != "" && !strings.Contains(found[0].Why, t.Why):
		return fmt.Sprintf("says %q, expected %q in it", found[0].Why, t.Why), said, nil
	case len(found) > 0 && t.Scope != "" && found[0].ScopeID != t.Scope:
		return fmt.Sprintf("is about %s %q, expected %q", found[0].ScopeType, found[0].ScopeID, t.Scope), said, nil
	}
	for i, at := range t.At {
		if i < len(found) {
			if got := time.UnixMilli(max(found[i].Time, found[i].Last)).Sub(policy.TestStart); got != at {
				return fmt.Sprintf("finding %d is at %v, expected %v", i+1, got, at), said, nil
			}
		}
	}
	return "", said, nil
}

// maxTrace bounds the lines of a trace.
const maxTrace = 40

// traceRule returns what each condition of the rule was for each event of a test.
func traceRule(set *policy.Set, t *policy.RuleTest) (out []string) {
	r, err := Rule(set, t.Rule)
	if err != nil {
		return nil
	}
	tracer, panel := rules.NewTracer(r), detectors.New(set.Supposing(&t.Learned))
	for _, x := range t.Events {
		if len(out) >= maxTrace {
			return append(out, "…")
		}
		var e event.Event
		if err := new(event.Decoder).DecodeStrict(x.Record, &e); err != nil {
			return append(out, err.Error())
		}
		out = append(out, fmt.Sprintf("at %v %s:", x.At, e.ID))
		persona, local, beside := rule.Beside(panel, &e)
		for _, line := range tracer.Event(&e, persona, local, beside) {
			out = append(out, "  "+line)
		}
	}
	return out
}

// WriteTable writes results for people, with the traces of failed tests.
func WriteTable(w io.Writer, results []Result) {
	for i := range results {
		r := &results[i]
		word := "ok    "
		if r.Todo != "" {
			word = "todo  "
		} else if !r.Pass {
			word = "FAIL  "
		}
		fmt.Fprintf(w, "%s%s: %s\n", word, r.Rule, r.Test)
		if r.Pass {
			continue
		}
		fmt.Fprintf(w, "      %s:%d: %s\n", r.File, r.Line, terminal.OneLine(r.Fault))
		for _, s := range r.Said {
			fmt.Fprintf(w, "      said: %s\n", terminal.OneLine(s))
		}
		for _, s := range r.Trace {
			fmt.Fprintf(w, "      %s\n", terminal.OneLine(s))
		}
	}
}

// WriteJUnit writes results as JUnit XML for build servers, a suite for each rule.
func WriteJUnit(w io.Writer, results []Result) error {
	type failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Name    string    `xml:"name,attr"`
		Class   string    `xml:"classname,attr"`
		Time    string    `xml:"time,attr"`
		Failure *failure  `xml:"failure,omitempty"`
		Skipped *struct{} `xml:"skipped,omitempty"`
	}
	type suite struct {
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	all := struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []suite  `xml:"testsuite"`
	}{}
	for i := range results {
		r := &results[i]
		if n := len(all.Suites); n == 0 || all.Suites[n-1].Name != r.Rule {
			all.Suites = append(all.Suites, suite{Name: r.Rule})
		}
		s := &all.Suites[len(all.Suites)-1]
		c := testcase{Name: r.Test, Class: r.Rule, Time: fmt.Sprintf("%.3f", float64(r.MS)/1000)}
		switch {
		case r.Todo != "":
			c.Skipped = &struct{}{}
		case !r.Pass:
			c.Failure = &failure{r.Fault, strings.Join(append(slices.Clone(r.Said), r.Trace...), "\n")}
			s.Failures++
		}
		s.Tests++
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(&all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
