package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/rules"
	"github.com/wayward-sec/wayward/rules/expression"
)

// ruleDef is a rule as it is written: one YAML document.
type ruleDef struct {
	ID             string          `json:"id"`
	Title          string          `json:"title"`
	Why            string          `json:"why,omitempty"`
	Version        string          `json:"version,omitempty"`
	Status         string          `json:"status,omitempty"`
	Mode           string          `json:"mode,omitempty"`
	Severity       string          `json:"severity,omitempty"`
	Risk           string          `json:"risk,omitempty"`
	Tags           []string        `json:"tags,omitempty"`
	Authors        []string        `json:"authors,omitempty"`
	References     []string        `json:"references,omitempty"`
	FalsePositives []string        `json:"false_positives,omitempty"`
	Response       string          `json:"response,omitempty"`
	Tune           string          `json:"tune,omitempty"`
	UseCases       []string        `json:"use_cases,omitempty"`
	By             []string        `json:"by,omitempty"`
	Where          string          `json:"where,omitempty"`
	Window         string          `json:"window,omitempty"`
	Let            json.RawMessage `json:"let,omitempty"`
	Having         string          `json:"having,omitempty"`
	Within         string          `json:"within,omitempty"`
	Select         string          `json:"select,omitempty"`
	Steps          []stepDef       `json:"steps,omitempty"`
	Not            []stepDef       `json:"not,omitempty"`
	Absent         absentDef       `json:"absent,omitzero"`
	Params         json.RawMessage `json:"params,omitempty"`
	Lists          json.RawMessage `json:"lists,omitempty"`
	Explain        string          `json:"explain,omitempty"`
	Suppress       string          `json:"suppress,omitempty"`
	Exceptions     []exceptionDef  `json:"exceptions,omitempty"`
	Respond        respondDef      `json:"respond,omitzero"`
	Tests          []ruleTestDef   `json:"tests,omitempty"`
}

type stepDef struct {
	Name     string          `json:"name,omitempty"`
	Where    string          `json:"where"`
	Capture  json.RawMessage `json:"capture,omitempty"`
	Times    string          `json:"times,omitempty"`
	Distinct string          `json:"distinct,omitempty"`
	Let      json.RawMessage `json:"let,omitempty"`
	Having   string          `json:"having,omitempty"`
	After    string          `json:"after,omitempty"`
}

type absentDef struct {
	Where string `json:"where"`
	For   string `json:"for"`
}

type exceptionDef struct {
	Name    string `json:"name"`
	When    string `json:"when"`
	Reason  string `json:"reason"`
	Owner   string `json:"owner"`
	Expires string `json:"expires,omitempty"`
}

type ruleTestDef struct {
	Name    string          `json:"name"`
	Todo    string          `json:"todo,omitempty"`
	All     json.RawMessage `json:"all,omitempty"`
	Learned json.RawMessage `json:"baseline,omitempty"`
	Events  json.RawMessage `json:"events"`
	Expect  expectDef       `json:"expect"`
}

type expectDef struct {
	Findings string   `json:"findings,omitempty"`
	Why      string   `json:"why,omitempty"`
	At       []string `json:"at,omitempty"`
	Scope    string   `json:"scope,omitempty"`
}

// RuleTest is a test beside a rule: events, and what the rule is meant to say of them. No part of
// the set's identity.
type RuleTest struct {
	Rule, Name string
	Todo       string // why it fails and may
	Learned    expression.Supposed
	Events     []event.ScenarioEvent
	Findings   int
	Why, Scope string // of the first finding; "" is not asked for
	At         []time.Duration
	File       string
	Line       int
}

// Rules are all rules, by id.
func (s *Set) Rules() []*rules.Rule { return slices.Clone(s.rules) }

// RuleTests are the tests beside them, in the order of files.
func (s *Set) RuleTests() []RuleTest { return slices.Clone(s.ruleTests) }

// RuleJSON is a rule as it is written, as canonical JSON: without its tests, and what stands in
// files that it names is in it.
func (s *Set) RuleJSON(id string) json.RawMessage { return s.ruleDefs[id] }

// RuleKeys are the keys of a rule in the order in which they are best written.
func RuleKeys() []string { return keysOf(reflect.TypeFor[ruleDef]()) }

// RuleFile says where a rule was read; "" if it came over the wire.
func (s *Set) RuleFile(id string) string { return s.ruleFiles[id] }

func (c *collector) loadRules(files []*file) {
	for _, f := range files {
		f.rules, f.lines = true, strings.Split(string(f.text), "\n")
		for _, p := range f.problems { // what was wrong with the file as a whole
			p.Code = "R001"
		}
	}
	each(c, files, func(d *ruleDef, src *source) {
		if d.ID == "" && d.Title == "" && d.Where == "" && len(d.Steps) == 0 && len(src.fields) <= 1 {
			return // a document of comments alone
		}
		src.folder = filepath.Dir(src.file)
		c.rule(*d, src, "")
	})
}

// ruleCode is the code of a mistake under a key of a rule.
func ruleCode(field string) string {
	key := field
	if i := strings.IndexAny(field, ".["); i >= 0 {
		key = field[:i]
	}
	return fmt.Sprintf("R%03d", 10+slices.Index(codedKeys, key))
}

// codedKeys are the keys of a rule in the order of their codes, which never change: R010 is the
// first; a new key goes to the end.
var codedKeys = []string{"id", "title", "why", "version", "status", "mode", "severity", "risk", "tags", "authors",
	"references", "false_positives", "response", "tune", "use_cases", "by", "where", "window",
	"let", "having", "within", "select", "steps", "not", "absent", "params", "lists", "explain", "suppress",
	"exceptions", "respond", "tests"}

var dated = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)

func (c *collector) rule(d ruleDef, src *source, path string) {
	c.use(src)
	bad := src.reporter(path)
	under := func(field string) string {
		if path == "" {
			return field
		}
		return path + "." + field
	}
	r := &rules.Rule{ID: d.ID, Title: d.Title, Why: d.Why, Tags: d.Tags, FalsePositives: d.FalsePositives,
		Response: d.Response, Tune: d.Tune, UseCases: d.UseCases, References: d.References, Suppress: 15 * 60_000}
	switch {
	case d.ID == "":
		bad("id", "a rule needs an id; name it, for example refund-to-new-account")
		return
	case !isID(d.ID):
		bad("id", "%s is no id; use letters, digits, dots, hyphens and underscores, at most %d", event.Quote(d.ID), maxName)
		return
	case d.Title == "":
		bad("title", "a rule needs a title; say in a few words what it finds")
	}
	if c.shadow {
		d.ID, d.Mode, r.ID = ShadowPrefix+d.ID, "shadow", ShadowPrefix+d.ID
	}
	if first, dup := c.rulesAt[d.ID]; dup {
		bad("id", "rule %s is already at %s; rename or remove one", event.Quote(d.ID), first)
		return
	}
	c.rulesAt[d.ID] = src.place(under("id"))
	checkText(bad, "title", d.Title, maxTitle)
	for field, s := range map[string]string{"why": d.Why, "response": d.Response, "tune": d.Tune} {
		checkText(bad, field, s, 4096)
	}
	checkTags(bad, d.Tags)
	r.Severity = parseSeverity(bad, &d.Severity, event.Medium)
	word := func(field, s, unset string, words []string) string {
		if s == "" {
			return unset
		}
		if !slices.Contains(words, s) {
			bad(field, "unknown %s %s; %s", field, event.Quote(s), choose(s, words))
		}
		return s
	}
	d.Status = word("status", d.Status, "experimental", rules.Statuses)
	d.Mode = word("mode", d.Mode, "alert", rules.Modes())
	r.Status, r.Mode = d.Status, rules.Mode(max(0, slices.Index(rules.Modes(), d.Mode)))
	if d.Version == "" {
		d.Version = "1"
	}
	if d.Risk != "" {
		n, err := strconv.Atoi(d.Risk)
		if err != nil || n < 0 || n > 100 {
			bad("risk", "%s is no risk; use 0 to 100", event.Quote(d.Risk))
		}
		r.Risk = n
	}
	span := func(field, s string) int64 {
		if s == "" {
			return 0
		}
		w, what := parseWindow(s)
		if what != "" {
			bad(field, "%s", what)
		}
		return w.Milliseconds()
	}
	if d.Suppress != "" {
		r.Suppress = span("suppress", d.Suppress)
	}
	s := &rules.Source{Where: d.Where, Window: span("window", d.Window), Within: span("within", d.Within),
		Having: d.Having, Explain: d.Explain, For: span("absent.for", d.Absent.For),
		Params: map[string]rules.Param{}, Lists: map[string][]string{}}
	s.Select = rules.Select(max(0, slices.Index(rules.Selects(), word("select", d.Select, "latest", rules.Selects()))))
	for i, w := range d.By {
		k, ok := rules.ParseKey(w)
		if !ok {
			bad(at("by", i), "unknown key %s; %s", event.Quote(w), choose(w, rules.Keys()))
		}
		s.By = append(s.By, k)
	}
	s.Lets = pairs(bad, "let", d.Let)
	for _, p := range members(bad, "params", d.Params) {
		var v any
		json.Unmarshal(p.raw, &v)
		switch v := v.(type) {
		case float64:
			s.Params[p.name] = rules.Param{Type: expression.Number, Value: expression.Value{N: v}}
		case string:
			s.Params[p.name] = rules.Param{Type: expression.Text, Value: expression.Value{S: v}}
		case bool:
			s.Params[p.name] = rules.Param{Type: expression.Bool, Value: expression.Truth(v)}
		default:
			bad("params."+p.name, "a parameter is a number, a text, true or false; put lists under lists:")
		}
	}
	d.Lists = c.lists(bad, src, d.Lists, s.Lists)
	steps := func(field string, defs []stepDef) (out []rules.StepSource) {
		seen := map[string]bool{}
		for i, st := range defs {
			where := at(field, i)
			times := 1
			if st.Times != "" {
				n, err := strconv.Atoi(st.Times)
				if err != nil || n < 1 || n > rules.MaxTimes {
					bad(where+".times", "%s is no number of times; use 1 to %d", event.Quote(st.Times), rules.MaxTimes)
				}
				times = n
			}
			if st.Name == "" {
				st.Name = fmt.Sprint("step", i+1)
			}
			if !isID(st.Name) || strings.ContainsAny(st.Name, ".-") {
				bad(where+".name", "%s cannot be used in expressions; use letters, digits and underscores",
					event.Quote(st.Name))
			}
			if seen[st.Name] {
				bad(where+".name", "there are two steps %s; rename one", event.Quote(st.Name))
			}
			seen[st.Name] = true
			out = append(out, rules.StepSource{Name: st.Name, Where: st.Where,
				Capture: pairs(bad, where+".capture", st.Capture), Times: times, Distinct: st.Distinct, After: st.After,
				Lets: pairs(bad, where+".let", st.Let), Having: st.Having})
		}
		return out
	}
	s.Steps, s.Nots = steps("steps", d.Steps), steps("not", d.Not)
	for i := range s.Nots {
		if d.Not[i].Name == "" {
			s.Nots[i].Name = "not"
		}
	}
	if d.Absent != (absentDef{}) {
		s.Absent = &rules.StepSource{Name: "absent", Where: d.Absent.Where}
		if s.For == 0 {
			bad("absent.for", "what does not come must not come for a time; add for: 10m, say")
		}
	}
	switch {
	case len(d.Steps) > rules.MaxSteps || len(d.Not) > rules.MaxSteps:
		bad("steps", "more than %d steps; split the rule", rules.MaxSteps)
	case len(d.Steps) > 0 && (d.Where != "" || d.Window != "" || d.Having != "" || len(s.Lets) > 0):
		bad("steps",
			"a rule is either a condition (where, window, let, having) or a sequence (steps, within); take one of them out")
	case len(d.Steps) == 0 && (len(d.Not) > 0 || s.Absent != nil || d.Within != ""):
		bad("not", "not, absent and within belong to steps; add steps:")
	case len(d.Steps) > 0 && (len(d.Steps) > 1 || s.Steps[0].Times > 1 || s.Steps[0].Having != "") && s.Within == 0:
		bad("within", "a sequence needs a time in which all of it happens; add within: 30m, say")
	case len(d.Steps) == 0 && (d.Window == "") != (d.Having == ""):
		bad("window", "window and having belong together: a time, and what must hold of all that lies in it")
	case (len(d.Steps) > 0 || d.Window != "") && len(d.By) == 0:
		bad("by", "say whose events belong together; add by: [agent], say")
	}
	if len(s.By) == 0 {
		s.By = []rules.Key{rules.AgentKey}
	}
	for i, e := range d.Exceptions {
		where := at("exceptions", i)
		checkName(bad, where+".name", "an exception", e.Name)
		x := &rules.Exception{Name: e.Name, Reason: e.Reason, Owner: e.Owner}
		if e.Reason == "" || e.Owner == "" {
			bad(where, "an exception needs a reason and an owner; say why, and who answers for it")
		}
		if e.Expires != "" {
			t, err := time.Parse(time.DateOnly, e.Expires)
			if err != nil || !dated.MatchString(e.Expires) {
				bad(where+".expires", "%s is no date; write it as 2027-01-31", event.Quote(e.Expires))
			}
			x.Expires = t.AddDate(0, 0, 1).UnixMilli() // the day itself is the last
		}
		r.Exceptions = append(r.Exceptions, x)
		s.When = append(s.When, e.When)
	}
	faults := 0
	rules.Build(r, s, func(field string, err error) {
		faults++
		src.fault(under(field), err)
	})
	r.Respond = d.Respond.compile(bad, "respond", stoppedBy(s.By[0])...)
	if r.Respond != nil && r.Respond.Scope == 0 {
		r.Respond.Scope = stoppedBy(s.By[0])[0]
	}
	if faults == 0 {
		c.ruleTest(d, src, path, bad)
	}
	d.Tests = nil
	r.Version = d.Version
	c.rules = append(c.rules, compiledRule{r, d, src.file})
}

type compiledRule struct {
	*rules.Rule
	def  ruleDef
	file string
}

// stoppedBy are the scopes whose breaker a rule may open, by the first part of its key.
func stoppedBy(k rules.Key) []event.ScopeType {
	scope, ok := map[rules.Key]Scope{rules.AgentKey: AgentScope, rules.SessionKey: SessionScope,
		rules.UserKey: UserScope, rules.PersonaKey: PersonaScope, rules.TenantKey: TenantScope,
		rules.ToolKey: ToolScope, rules.ServerKey: ServerScope}[k]
	if !ok {
		return []event.ScopeType{event.AgentScope}
	}
	return stoppable(scope)
}

type member struct {
	name string
	raw  json.RawMessage
}

// members are the members of a JSON object in the order in which they are written.
func members(bad report, path string, raw json.RawMessage) (out []member) {
	if len(raw) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		bad(path, "%s needs names; write each as name: value", path)
		return nil
	}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		var v json.RawMessage
		if err != nil || !ok || d.Decode(&v) != nil {
			bad(path, "%s cannot be read; write each as name: value", path)
			return out
		}
		if !isID(name) || strings.ContainsAny(name, ".-") {
			bad(path+"."+name, "%s cannot be used in expressions; use letters, digits and underscores", event.Quote(name))
			continue
		}
		if slices.ContainsFunc(out, func(e member) bool { return e.name == name }) {
			bad(path+"."+name, "%s is there twice; keep one", event.Quote(name))
			continue
		}
		out = append(out, member{name, v})
	}
	return out
}

// pairs are names and expressions.
func pairs(bad report, path string, raw json.RawMessage) (out []rules.Pair) {
	for _, m := range members(bad, path, raw) {
		var s string
		if json.Unmarshal(m.raw, &s) != nil {
			s = string(m.raw) // a number or a truth value is an expression, too
		}
		out = append(out, rules.Pair{Name: m.name, Expr: s})
	}
	return out
}

// Bounds of lists.
const (
	maxList     = 100_000 // entries
	maxListFile = 4 << 20 // bytes
)

// lists reads lists of texts; an member @file stands for the lines of a file beside the rule. It
// returns them as they are, files read.
func (c *collector) lists(bad report, src *source, raw json.RawMessage, into map[string][]string) json.RawMessage {
	all := members(bad, "lists", raw)
	if all == nil {
		return raw
	}
	for _, m := range all {
		var list []string
		if json.Unmarshal(m.raw, &list) != nil {
			var one string
			if json.Unmarshal(m.raw, &one) != nil {
				bad("lists."+m.name, "a list holds texts; write [a, b], or @file")
				continue
			}
			list = []string{one}
		}
		var out []string
		for _, s := range list {
			file, is := strings.CutPrefix(s, "@")
			if !is {
				out = append(out, s)
				continue
			}
			if src.folder == "" || filepath.IsAbs(file) || strings.Contains(file, "..") {
				bad("lists."+m.name, "%s is not beside the rule; use a file in its folder or below", event.Quote(file))
				continue
			}
			info, err := os.Stat(filepath.Join(src.folder, file))
			if err == nil && (!info.Mode().IsRegular() || info.Size() > maxListFile) {
				err = errors.New("not a file of at most 4 MiB")
			}
			var text []byte
			if err == nil {
				text, err = os.ReadFile(filepath.Join(src.folder, file))
			}
			if err != nil {
				bad("lists."+m.name, "%s: %v; make it a file that can be read", event.Quote(file), cause(err))
				continue
			}
			if !utf8.Valid(text) {
				bad("lists."+m.name, "%s is not UTF-8; save the file as UTF-8", event.Quote(file))
				continue
			}
			entries := listEntries(string(text))
			if len(entries) == 0 {
				c.warn(src, "R210", "lists."+m.name, "%s has no entry, so nothing is in the list; write one a line",
					event.Quote(file))
			}
			for _, e := range entries {
				if before, _, found := strings.Cut(e, " #"); found {
					c.warn(src, "R210", "lists."+m.name,
						"the # in %s of %s is part of the entry, not a comment; if %s is meant, put the comment on a line of its own",
						event.Quote(e), event.Quote(file), event.Quote(strings.TrimSpace(before)))
					break
				}
			}
			out = append(out, entries...)
		}
		if len(out) > maxList {
			bad("lists."+m.name, "more than %d entries; leave some out", maxList)
		}
		into[m.name] = sorted(out)
	}
	return canonical(into)
}

// listEntries are the entries of a file of a list, one a line, without the blanks around them. A
// comment is a line that begins with # and a blank, or has nothing but #s: #general is a channel,
// and a # further on is part of a URL.
func listEntries(text string) (out []string) {
	for line := range strings.Lines(text) {
		// A byte order mark is not only found at the beginning: files are put together of others.
		line = strings.TrimSpace(strings.TrimLeft(line, byteOrderMark))
		switch rest := strings.TrimLeft(line, "#"); {
		case rest == "", rest != line && (rest[0] == ' ' || rest[0] == '\t'):
			continue
		}
		out = append(out, line)
	}
	return out
}

// byteOrderMark is what editors and spreadsheets on Windows write in front of UTF-8.
const byteOrderMark = "\ufeff"

// warn notes what is not wrong and still suspicious, for lint.
func (c *collector) warn(src *source, code, path, format string, args ...any) {
	p := src.place(path)
	c.warnings = append(c.warnings, &Problem{File: p.file, Line: p.line, Column: p.col, Code: code,
		What: fmt.Sprintf(format, args...)})
}

// fault reports what is wrong with an expression, with its line and a caret.
func (s *source) fault(path string, err error) {
	for p := path; p != ""; p = p[:max(strings.LastIndexAny(p, ".["), 0)] {
		if s.broken[p] {
			return
		}
	}
	f := (*expression.Fault)(nil)
	if !errors.As(err, &f) {
		s.problem(s.place(path), "%v", err)
		return
	}
	p := s.place(path)
	t, known := s.texts[path]
	if known {
		switch {
		case f.Line == 0:
			p.line, p.col = t.line, t.col
		case t.block:
			p.line, p.col = t.line+f.Line, 0
		case f.Line == 1:
			p = place{p.file, t.line, t.col + f.Column - 1}
		}
	}
	problem := &Problem{File: p.file, Line: p.line, Column: p.col, Code: f.Code, What: f.What}
	if known && f.Line > 0 {
		if lines := strings.Split(t.text, "\n"); f.Line <= len(lines) {
			problem.Snippet = caret(lines[f.Line-1], f.Column)
		}
	}
	s.problems = append(s.problems, problem)
}

// written is a text as it stands in a file.
type written struct {
	line, col int // of its first character
	block     bool
	text      string
}

func (c *collector) ruleTest(d ruleDef, src *source, path string, bad report) {
	for i, t := range d.Tests {
		where := at("tests", i)
		checkName(bad, where+".name", "a test", t.Name)
		p := src.place(where)
		test := RuleTest{Rule: d.ID, Name: t.Name, Todo: t.Todo, Why: t.Expect.Why, Scope: t.Expect.Scope, File: p.file,
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
				bad(where+".baseline", "no baseline knows %s; %s", event.Quote(word), choose(word, known))
			}
		}
		told, err := event.ParseScenario(t.All, t.Events, TestStart)
		if err != nil {
			bad(where+".events", "%v", err)
		}
		test.Events = told
		c.ruleTests = append(c.ruleTests, test)
	}
}

// TestStart is the time of at: 0s in tests: a Monday.
var TestStart = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// Awake is the set with every rule at least giving alerts: for tests.
func (s *Set) Awake() *Set {
	out := *s
	out.rules = nil
	for _, r := range s.rules {
		own := *r
		own.Mode = max(own.Mode, rules.Alert)
		out.rules = append(out.rules, &own)
	}
	return &out
}

// LintRules reports what is not wrong in rules and still suspicious, at a time.
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
				// of plain names that stand for each other one is enough
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

// argumentsOfTests are, by rule, the paths of arguments that some event of its tests has.
func (s *Set) argumentsOfTests() map[string]map[string]bool {
	asked := map[string][]string{}
	for _, r := range s.rules {
		asked[r.ID] = r.Args()
	}
	out := map[string]map[string]bool{}
	var d event.Decoder
	for _, t := range s.ruleTests {
		if out[t.Rule] == nil {
			out[t.Rule] = map[string]bool{}
		}
		for _, told := range t.Events {
			if len(out[t.Rule]) == len(asked[t.Rule]) {
				break
			}
			var e event.Event
			d.Reset()
			if d.DecodeStrict(told.Record, &e) != nil {
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

// RuleSchema is the JSON Schema of a rule.
func RuleSchema() any {
	type object = map[string]any
	text := object{"type": []string{"string", "number", "boolean"}}
	words := func(list []string) object { return object{"enum": list} }
	texts := object{"type": "array", "items": text}
	open := object{"type": "object", "additionalProperties": true}
	closed := func(of object, required ...string) object {
		o := object{"type": "object", "additionalProperties": false, "properties": of}
		if len(required) > 0 {
			o["required"] = required
		}
		return o
	}
	expression := object{"type": []string{"string", "boolean", "number"},
		"description": "an expression: wayward rules fields lists what it may use"}
	names := object{"type": "object", "additionalProperties": expression}
	span := object{"type": "string", "pattern": `^(\d+d)?(\d+(\.\d+)?(h|m|s|ms))*$`,
		"description": "90s, 10m, 1h30m, 2d"}
	step := closed(object{"name": text, "where": expression, "capture": names, "times": text, "distinct": expression,
		"let": names, "having": expression, "after": text}, "where")
	var severities []string
	for s := event.Signal; s <= event.Critical; s++ {
		severities = append(severities, s.String())
	}
	s := closed(object{
		"id": object{"type": "string", "pattern": `^[A-Za-z0-9._-]{1,128}$`}, "title": text, "why": text,
		"version": text, "status": words(rules.Statuses), "mode": words(rules.Modes()),
		"severity": words(severities), "risk": object{"type": "integer", "minimum": 0, "maximum": 100}, "tags": texts,
		"authors": texts, "references": texts,
		"false_positives": texts, "response": text, "tune": text, "use_cases": texts,
		"by": object{"type": "array", "items": words(rules.Keys())}, "where": expression, "window": span, "let": names,
		"having": expression,
		"within": span, "select": words(rules.Selects()), "steps": object{"type": "array", "items": step,
			"maxItems": rules.MaxSteps}, "not": object{"type": "array", "items": step},
		"absent": closed(object{"where": expression, "for": span}, "where", "for"), "params": open, "lists": open,
		"explain": expression, "suppress": span,
		"exceptions": object{"type": "array",
			"items": closed(object{"name": text, "when": expression, "reason": text, "owner": text, "expires": text},
				"name", "when", "reason", "owner")},
		"respond": closed(object{"action": words(event.Actions()), "scope": words(event.ScopeTypes()),
			"duration": text, "calls": text, "per": span, "classes": texts}, "action"),
		"tests": object{"type": "array",
			"items": closed(object{"name": text, "todo": text, "all": open,
				"baseline": closed(object{"seen": open, "p": open, "quantile": open, "expected": open}),
				"events":   object{"type": "array", "items": open},
				"expect": closed(object{"findings": object{"type": "integer", "minimum": 0}, "why": text, "scope": text,
					"at": texts}, "findings")}, "name", "events", "expect")},
	}, "id", "title")
	s["$schema"], s["title"] = "https://json-schema.org/draft/2020-12/schema", "A rule of wayward"
	return s
}
