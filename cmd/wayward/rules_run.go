package main

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/rules"
)

func newRulesTest() *cobra.Command {
	var o policiesFlags
	var run, output string
	var reports []string
	var failed, watch bool
	least := 2
	cmd := &cobra.Command{
		Use:   "test [DIR]",
		Short: "Run the tests that stand in the rules",
		Long: "test plays the events of each test through the engine itself, both stages, and compares what the rule says. A rule that is off or in shadow is tested as\n" +
			"if it gave alerts. Every rule with status stable needs --min-tests tests, one that fires and one that stays quiet. A test with todo: may fail; one that no\n" +
			"longer does is reported. Where a test fails, what each condition came to is shown. Exit 1 if a test fails or is missing, 3 if there was none.",
		Example: "  wayward rules test policies\n" +
			"  wayward rules test policies --run refund --watch\n" +
			"  wayward rules test policies --only-failed --report junit=tests.xml",
		Args: cobra.MaximumNArgs(1),
	}
	outputFlag(cmd, &output, "table", "json", "ndjson", "junit")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, err := o.where(args)
		if err != nil {
			return err
		}
		only, err := regexp.Compile(run)
		if err != nil {
			return fmt.Errorf("--run: %w", err)
		}
		once := func() error {
			set, err := config.LoadPolicies(dir)
			if err != nil {
				return err
			}
			results, err := testRules(cmd.Context(), set, only, least)
			if err != nil {
				return err
			}
			return reportTests(cmd.OutOrStdout(), results, output, reports, failed)
		}
		if !watch {
			return once()
		}
		return watched(cmd.Context(), dir, func() {
			fmt.Fprintf(cmd.OutOrStdout(), "--- %s\n", time.Now().Format("15:04:05"))
			if err := once(); err != nil {
				if _, silent := err.(errSilent); !silent {
					fmt.Fprintln(cmd.ErrOrStderr(), err)
				}
			}
		})
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&run, "run", "", "only tests whose rule/name fits this `regexp`")
	f.IntVar(&least, "min-tests", 2, "tests that every stable rule needs, at least one of each kind; 0: none")
	f.BoolVar(&failed, "only-failed", false, "leave out what passes")
	f.BoolVar(&watch, "watch", false, "run again when a file changes, until interrupted")
	f.StringArrayVar(&reports, "report", nil,
		"also write `FORMAT=FILE`: table, json, ndjson or junit; may be given several times")
	return cmd
}

// testResult is what came of one test.
type testResult struct {
	Rule  string   `json:"rule"`
	Test  string   `json:"test"`
	Pass  bool     `json:"pass"`
	Todo  string   `json:"todo,omitempty"`
	Fault string   `json:"fault,omitempty"`
	Said  []string `json:"said,omitempty"`
	Trace []string `json:"trace,omitempty"`
	File  string   `json:"file,omitempty"`
	Line  int      `json:"line,omitempty"`
	MS    int64    `json:"ms"`
}

func (r *testResult) wrong() bool { return !r.Pass && r.Todo == "" }

func testRules(ctx context.Context, set *policy.Set, only *regexp.Regexp, least int) ([]testResult, error) {
	var out []testResult
	awake := set.Awake()
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
		r := testResult{Rule: t.Rule, Test: t.Name, Todo: t.Todo, File: t.File, Line: t.Line}
		var err error
		if r.Fault, r.Said, err = testRule(ctx, awake, &t); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", t.File, t.Line, err)
		}
		if r.Pass = r.Fault == ""; r.Pass && t.Todo != "" {
			r.Pass, r.Todo, r.Fault = false, "", "passes, though todo says that it does not; remove todo"
		} else if !r.Pass {
			r.Trace = traceRule(awake, &t)
		}
		r.MS = time.Since(began).Milliseconds()
		out = append(out, r)
	}
	for _, r := range set.Rules() {
		if r.Status != "stable" || least == 0 || !only.MatchString(r.ID+"/") {
			continue
		}
		if f, q := fires[r.ID], quiet[r.ID]; f+q < least || f == 0 || q == 0 {
			out = append(out, testResult{Rule: r.ID, Test: "has its tests", File: set.RuleFile(r.ID),
				Fault: fmt.Sprintf(
					"has %d tests that fire and %d that stay quiet; a stable rule needs %d, one of each kind", f, q,
					least)})
		}
	}
	return out, nil
}

// story is a source of the events of a test.
type story struct {
	lines []byte
	done  bool
}

func (s *story) Next(context.Context) (*pipeline.Chunk, error) {
	if s.done {
		return nil, io.EOF
	}
	s.done = true
	return &pipeline.Chunk{Lines: s.lines, At: 1}, nil
}

func (s *story) Done(*pipeline.Chunk) {}

// play plays the events of a test and returns what its rule has found, and what is wrong with an
// event.
func play(ctx context.Context, set *policy.Set, t *policy.RuleTest, workers int) (found []*event.Finding, bad string,
	err error) {
	src := &story{}
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

// testRule plays a test and says what is wrong with its outcome, or nothing; and what the rule
// said.
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

const maxTrace = 40

// traceRule says of the events of a test what each condition of the rule came to.
func traceRule(set *policy.Set, t *policy.RuleTest) (out []string) {
	r, err := ruleOf(set, t.Rule)
	if err != nil {
		return nil
	}
	tracer, panel := rules.NewTracer(r), detectors.New(set.Supposing(&t.Learned))
	for _, told := range t.Events {
		if len(out) >= maxTrace {
			return append(out, "…")
		}
		var e event.Event
		if err := new(event.Decoder).Strictly(told.Record, &e); err != nil {
			return append(out, err.Error())
		}
		out = append(out, fmt.Sprintf("at %v %s:", told.At, e.ID))
		persona, local, beside := panel.Beside(&e)
		for _, line := range tracer.Event(&e, persona, local, beside) {
			out = append(out, "  "+line)
		}
	}
	return out
}

func reportTests(w io.Writer, results []testResult, output string, reports []string, onlyFailed bool) error {
	passed, wrong, todo := 0, 0, 0
	for i := range results {
		switch r := &results[i]; {
		case r.Pass:
			passed++
		case r.Todo != "":
			todo++
		default:
			wrong++
		}
	}
	if onlyFailed {
		results = slices.DeleteFunc(slices.Clone(results), func(r testResult) bool { return r.Pass })
	}
	if results == nil {
		results = []testResult{}
	}
	err := writeReports(w, output, reports, map[string]func(io.Writer) error{
		"table": func(w io.Writer) error {
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
				fmt.Fprintf(w, "      %s:%d: %s\n", r.File, r.Line, onOneLine(r.Fault))
				for _, s := range r.Said {
					fmt.Fprintf(w, "      said: %s\n", onOneLine(s))
				}
				for _, s := range r.Trace {
					fmt.Fprintf(w, "      %s\n", onOneLine(s))
				}
			}
			_, err := fmt.Fprintf(w, "%d tests: %d passed, %d failed, %d todo\n", passed+wrong+todo, passed, wrong,
				todo)
			return err
		},
		"json": func(w io.Writer) error { return printJSON(w, results) },
		"ndjson": func(w io.Writer) error {
			return printLines(w, results)
		},
		"junit": func(w io.Writer) error { return junit(w, results) },
	})
	switch {
	case err != nil:
		return err
	case wrong > 0:
		return errSilent{1}
	case passed+todo == 0:
		return errSilent{3}
	}
	return nil
}

// junit writes what build servers read: a suite for each rule.
func junit(w io.Writer, results []testResult) error {
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

// watched runs something now and whenever a file in a folder has changed, until the context ends.
func watched(ctx context.Context, dir string, run func()) error {
	was := ""
	for {
		now := fingerprint(dir)
		if now != was {
			was = now
			run()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(300 * time.Millisecond):
		}
	}
}

func fingerprint(dir string) string {
	var b strings.Builder
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := os.Stat(path); err == nil {
				fmt.Fprintln(&b, path, info.Size(), info.ModTime().UnixNano())
			}
		}
		return nil
	})
	return b.String()
}

func newRulesExplain() *cobra.Command {
	var o policiesFlags
	var input string
	cmd := &cobra.Command{
		Use:   "explain ID --event FILE",
		Short: "Say of events what each condition of a rule makes of them",
		Long: "explain reads events, one a line, and prints for every part of the rule each of its conditions with what it came to, what has added up over a window, and which\n" +
			"sequences are under way. What a baseline has learned is not known here.",
		Example: "  wayward rules explain refund-to-new-account --policies policies --event call.json",
		Args:    cobra.ExactArgs(1),
	}
	cmd.ValidArgsFunction = completeRules(&o)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		set, err := o.load(nil)
		if err != nil {
			return err
		}
		r, err := ruleOf(set, args[0])
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		v := viewOfRule(set, r)
		fmt.Fprintf(w, "%s: %s, by %s, %s stage\n", v.ID, v.Form, strings.Join(v.By, " and "), v.Stage)
		tracer, panel := rules.NewTracer(r), detectors.New(set)
		return eventsOf(cmd.Context(), input, func(e *event.Event) error {
			fmt.Fprintf(w, "%s %s %s\n", time.UnixMilli(e.Time).UTC().Format(time.RFC3339), visible(e.Agent.ID, 100),
				visible(e.Tool.Name, 100))
			persona, local, beside := panel.Beside(e)
			for _, line := range tracer.Event(e, persona, local, beside) {
				fmt.Fprintln(w, "  "+onOneLine(line))
			}
			return nil
		})
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&input, "event", "",
		"`file` of events, one a line, plain or .gz, .zst, .xz; - is standard input")
	require(cmd, "event")
	return cmd
}

func newRulesEval() *cobra.Command {
	var o policiesFlags
	var input, source string
	cmd := &cobra.Command{
		Use:   "eval -e EXPR --event FILE",
		Short: "Try an expression on events",
		Long: "eval compiles an expression as a rule's where is compiled and prints what it comes to for each event. Exit 1 if a condition is true for none of them.\n" +
			"With --policies the tool catalogue fills in what the event does not say.",
		Example: "  wayward rules eval -e 'amount.value>500' --event calls.jsonl\n" +
			"  zcat calls.jsonl.gz | wayward rules eval -e 'tool.class' --policies policies --event -",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			x, err := rules.Compile(source, &rules.Scope{Event: true}, 0)
			if err != nil {
				f, ok := err.(*rules.Fault)
				if !ok {
					return err
				}
				return fmt.Errorf("%d:%d: %s %s\n    %s\n    %s^", f.Line, f.Column, f.Code, f.What, source,
					strings.Repeat(" ", max(0, f.Column-1)))
			}
			set := policy.Default()
			if o.dir != "" || o.config != "" {
				if set, err = o.load(nil); err != nil {
					return err
				}
			}
			some, w, panel := false, cmd.OutOrStdout(), detectors.New(set)
			if x.VM != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "runs on expr's machine: closures do not cover %s\n", x.VM)
			}
			err = eventsOf(cmd.Context(), input, func(e *event.Event) error {
				persona, local, beside := panel.Beside(e)
				text, holds, err := rules.Try(x, e, persona, local, beside)
				some = some || holds || x.Type != rules.Bool
				if err != nil {
					return err
				}
				fmt.Fprintln(w, onOneLine(text))
				return nil
			})
			if err == nil && !some {
				return errSilent{1}
			}
			return err
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVarP(&source, "expr", "e", "", "the `expression`")
	cmd.Flags().StringVar(&input, "event", "",
		"`file` of events, one a line, plain or .gz, .zst, .xz; - is standard input")
	require(cmd, "expr", "event")
	return cmd
}

// eventsOf reads a file of events.
func eventsOf(ctx context.Context, input string, do func(*event.Event) error) error {
	lines, err := pipeline.OpenLines(input)
	if err != nil {
		return err
	}
	defer lines.Close()
	records := json.NewDecoder(&linesReader{ctx: ctx, lines: lines})
	var decoder event.Decoder
	for n := 1; ; n++ {
		var record json.RawMessage // an event may be spread over lines by whoever wants to read it
		if err := records.Decode(&record); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s, event %d: %w", input, n, err)
		}
		var e event.Event
		if err := decoder.Decode(record, &e); err != nil {
			if len(record) > 0 && record[0] == '[' {
				err = fmt.Errorf("%w; %s", err, lines.Hint())
			}
			return fmt.Errorf("%s, event %d: %w", input, n, err)
		}
		if err := do(&e); err != nil {
			return err
		}
	}
}

// guardText says under which index a condition is looked at.
func guardText(g *rules.Guard) string {
	var out []string
	if g.Tools != nil {
		out = append(out, "tool "+strings.Join(g.Tools, ", "))
	}
	for c, word := range append([]string{"no class"}, event.Classes()...) {
		if g.Classes>>c&1 != 0 {
			out = append(out, "class "+word)
		}
	}
	for k := event.ToolCall; k <= event.Session; k++ {
		if g.Kinds>>k&1 != 0 {
			out = append(out, "kind "+k.String())
		}
	}
	return cmp.Or(strings.Join(out, "; "), "none: it is looked at with every event")
}
