package policy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/rules"
	"github.com/wayward-sec/wayward/rules/expression"
)

// Rules are all rules, by id.
func (s *Set) Rules() []*rules.Rule { return slices.Clone(s.rules) }

// RuleJSON is a rule as canonical JSON, without its tests and with the contents of the files that
// it names.
func (s *Set) RuleJSON(id string) json.RawMessage { return s.ruleDefs[id] }

// RuleFile says where a rule was read; "" if it came over the wire.
func (s *Set) RuleFile(id string) string { return s.ruleFiles[id] }

func (c *collector) loadRules(files []*file) {
	for _, f := range files {
		f.rules, f.lines = true, strings.Split(string(f.text), "\n")
		for _, p := range f.problems { // of the file as a whole
			p.Code = "R001"
		}
	}
	each(c, files, func(d *ruleDef, src *source) {
		if d.ID == "" && d.Title == "" && d.Where == "" && len(d.Steps) == 0 && len(src.fields) <= 1 {
			return // a document of comments alone
		}
		src.folder = filepath.Dir(src.file)
		c.addRule(*d, src, "")
	})
}

// ruleCompiler compiles the definition of one rule.
type ruleCompiler struct {
	*collector
	def  ruleDef
	src  *source
	path string // of the definition in the document
	bad  report

	rule  *rules.Rule
	input *rules.Source // texts of the rule that package rules compiles
}

// addRule compiles a rule and keeps it, if it has an id of its own.
func (c *collector) addRule(d ruleDef, src *source, path string) {
	c.addSource(src)
	r := &ruleCompiler{collector: c, def: d, src: src, path: path, bad: src.reporter(path)}
	if !r.identify() {
		return
	}
	r.describe()
	r.readCondition()
	r.readSequence()
	r.checkShape()
	r.readExceptions()
	if r.build() {
		r.readTests()
	}
	r.def.Tests = nil
	c.rules = append(c.rules, compiledRule{r.rule, r.def, src.file})
}

// under is the path of a field in the document.
func (r *ruleCompiler) under(field string) string {
	if r.path == "" {
		return field
	}
	return r.path + "." + field
}

// identify checks id and title. It reports whether the id is good and no other rule has it.
func (r *ruleCompiler) identify() bool {
	d := &r.def
	switch {
	case d.ID == "":
		r.bad("id", "a rule needs an id; name it, for example refund-to-new-account")
		return false
	case !IsID(d.ID):
		r.bad("id", "%s is no id; use letters, digits, dots, hyphens and underscores, at most %d", event.Quote(d.ID),
			MaxName)
		return false
	case d.Title == "":
		r.bad("title", "a rule needs a title; say in a few words what it finds")
	}
	if r.shadow {
		d.ID, d.Mode = ShadowPrefix+d.ID, "shadow"
	}
	if first, dup := r.rulesAt[d.ID]; dup {
		r.bad("id", "rule %s is already at %s; rename or remove one", event.Quote(d.ID), first)
		return false
	}
	r.rulesAt[d.ID] = r.src.place(r.under("id"))
	return true
}

// defaultSuppress is how long a finding of a rule keeps others of the same from being reported.
const defaultSuppress = 15 * 60_000

// describe reads what people are to know of the rule.
func (r *ruleCompiler) describe() {
	d := &r.def
	r.rule = &rules.Rule{ID: d.ID, Title: d.Title, Why: d.Why, Tags: d.Tags, FalsePositives: d.FalsePositives,
		Response: d.Response, Tune: d.Tune, UseCases: d.UseCases, References: d.References, Suppress: defaultSuppress}
	checkText(r.bad, "title", d.Title, maxTitle)
	for field, s := range map[string]string{"why": d.Why, "response": d.Response, "tune": d.Tune} {
		checkText(r.bad, field, s, maxProse)
	}
	checkTags(r.bad, d.Tags)
	r.rule.Severity = parseSeverity(r.bad, &d.Severity, event.Medium)
	d.Status = r.word("status", d.Status, "experimental", rules.Statuses)
	d.Mode = r.word("mode", d.Mode, "alert", rules.Modes())
	r.rule.Status, r.rule.Mode = d.Status, rules.Mode(max(0, slices.Index(rules.Modes(), d.Mode)))
	d.Version = cmp.Or(d.Version, "1")
	r.rule.Version = d.Version
	if d.Risk != "" {
		n, err := strconv.Atoi(d.Risk)
		if err != nil || n < 0 || n > 100 {
			r.bad("risk", "%s is no risk; use 0 to 100", event.Quote(d.Risk))
		}
		r.rule.Risk = n
	}
	if d.Suppress != "" {
		r.rule.Suppress = r.span("suppress", d.Suppress)
	}
}

// word is a field that is one of some words; unset is what it is when it is left out.
func (r *ruleCompiler) word(field, s, unset string, words []string) string {
	if s == "" {
		return unset
	}
	if !slices.Contains(words, s) {
		r.bad(field, "unknown %s %s; %s", field, event.Quote(s), didYouMean(s, words))
	}
	return s
}

// span is a field that is a time, in milliseconds; 0 if it is left out.
func (r *ruleCompiler) span(field, s string) int64 {
	if s == "" {
		return 0
	}
	w, what := parseWindow(s)
	if what != "" {
		r.bad(field, "%s", what)
	}
	return w.Milliseconds()
}

// readCondition reads what a condition and a sequence have in common: keys, times, names and
// expressions.
func (r *ruleCompiler) readCondition() {
	d := &r.def
	selected := r.word("select", d.Select, "latest", rules.Selects())
	r.input = &rules.Source{Where: d.Where, Window: r.span("window", d.Window), Within: r.span("within", d.Within),
		Having: d.Having, Explain: d.Explain, For: r.span("absent.for", d.Absent.For),
		Select: rules.Select(max(0, slices.Index(rules.Selects(), selected))),
		Params: map[string]rules.Param{}, Lists: map[string][]string{}}
	for i, w := range d.By {
		k, ok := rules.ParseKey(w)
		if !ok {
			r.bad(at("by", i), "unknown key %s; %s", event.Quote(w), didYouMean(w, rules.Keys()))
		}
		r.input.By = append(r.input.By, k)
	}
	r.input.Lets = pairs(r.bad, "let", d.Let)
	for _, p := range members(r.bad, "params", d.Params) {
		var v any
		json.Unmarshal(p.raw, &v)
		switch v := v.(type) {
		case float64:
			r.input.Params[p.name] = rules.Param{Type: expression.Number, Value: expression.Value{N: v}}
		case string:
			r.input.Params[p.name] = rules.Param{Type: expression.Text, Value: expression.Value{S: v}}
		case bool:
			r.input.Params[p.name] = rules.Param{Type: expression.Bool, Value: expression.Truth(v)}
		default:
			r.bad("params."+p.name, "a parameter is a number, a text, true or false; put lists under lists:")
		}
	}
	d.Lists = r.lists(r.bad, r.src, d.Lists, r.input.Lists)
}

// readSequence reads the steps of a sequence, and what must not come between or after them.
func (r *ruleCompiler) readSequence() {
	d := &r.def
	r.input.Steps, r.input.Nots = r.steps("steps", d.Steps), r.steps("not", d.Not)
	for i := range r.input.Nots {
		if d.Not[i].Name == "" {
			r.input.Nots[i].Name = "not"
		}
	}
	if d.Absent != (absentDef{}) {
		r.input.Absent = &rules.StepSource{Name: "absent", Where: d.Absent.Where}
		if r.input.For == 0 {
			r.bad("absent.for", "what does not come must not come for a time; add for: 10m, say")
		}
	}
}

func (r *ruleCompiler) steps(field string, defs []stepDef) (out []rules.StepSource) {
	seen := map[string]bool{}
	for i, d := range defs {
		where := at(field, i)
		times := 1
		if d.Times != "" {
			n, err := strconv.Atoi(d.Times)
			if err != nil || n < 1 || n > rules.MaxTimes {
				r.bad(where+".times", "%s is no number of times; use 1 to %d", event.Quote(d.Times), rules.MaxTimes)
			}
			times = n
		}
		name := cmp.Or(d.Name, fmt.Sprint("step", i+1))
		if !isVariable(name) {
			r.bad(where+".name", "%s cannot be used in expressions; use letters, digits and underscores",
				event.Quote(name))
		}
		if seen[name] {
			r.bad(where+".name", "there are two steps %s; rename one", event.Quote(name))
		}
		seen[name] = true
		out = append(out, rules.StepSource{Name: name, Where: d.Where, Capture: pairs(r.bad, where+".capture", d.Capture),
			Times: times, Distinct: d.Distinct, After: d.After, Lets: pairs(r.bad, where+".let", d.Let),
			Having: d.Having})
	}
	return out
}

// checkShape checks that the parts of the rule go together: it is a condition or a sequence.
func (r *ruleCompiler) checkShape() {
	d, in := &r.def, r.input
	sequence := len(d.Steps) > 0
	switch {
	case len(d.Steps) > rules.MaxSteps || len(d.Not) > rules.MaxSteps:
		r.bad("steps", "more than %d steps; split the rule", rules.MaxSteps)
	case sequence && (d.Where != "" || d.Window != "" || d.Having != "" || len(in.Lets) > 0):
		r.bad("steps",
			"a rule is either a condition (where, window, let, having) or a sequence (steps, within); take one of them out")
	case !sequence && (len(d.Not) > 0 || in.Absent != nil || d.Within != ""):
		r.bad("not", "not, absent and within belong to steps; add steps:")
	case sequence && (len(d.Steps) > 1 || in.Steps[0].Times > 1 || in.Steps[0].Having != "") && in.Within == 0:
		r.bad("within", "a sequence needs a time in which all of it happens; add within: 30m, say")
	case !sequence && (d.Window == "") != (d.Having == ""):
		r.bad("window", "window and having belong together: a time, and what must hold of all that lies in it")
	case (sequence || d.Window != "") && len(d.By) == 0:
		r.bad("by", "say whose events belong together; add by: [agent], say")
	}
	if len(in.By) == 0 {
		in.By = []rules.Key{rules.AgentKey}
	}
}

var dated = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)

func (r *ruleCompiler) readExceptions() {
	for i, e := range r.def.Exceptions {
		where := at("exceptions", i)
		checkName(r.bad, where+".name", "an exception", e.Name)
		x := &rules.Exception{Name: e.Name, Reason: e.Reason, Owner: e.Owner}
		if e.Reason == "" || e.Owner == "" {
			r.bad(where, "an exception needs a reason and an owner; say why, and who answers for it")
		}
		if e.Expires != "" {
			t, err := time.Parse(time.DateOnly, e.Expires)
			if err != nil || !dated.MatchString(e.Expires) {
				r.bad(where+".expires", "%s is no date; write it as 2027-01-31", event.Quote(e.Expires))
			}
			x.Expires = t.AddDate(0, 0, 1).UnixMilli() // it holds on the day itself
		}
		r.rule.Exceptions = append(r.rule.Exceptions, x)
		r.input.When = append(r.input.When, e.When)
	}
}

// build compiles the expressions and the response. It reports whether the expressions are good.
func (r *ruleCompiler) build() bool {
	good := true
	rules.Build(r.rule, r.input, func(field string, err error) {
		good = false
		r.src.fault(r.under(field), err)
	})
	own := stoppedBy(r.input.By[0])
	r.rule.Respond = r.def.Respond.compile(r.bad, "respond", own...)
	if r.rule.Respond != nil && r.rule.Respond.Scope == 0 {
		r.rule.Respond.Scope = own[0]
	}
	return good
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

// members are the members of a JSON object, in the order in which they are written.
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
		if !isVariable(name) {
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
			s = string(m.raw) // a number or a boolean is an expression, too
		}
		out = append(out, rules.Pair{Name: m.name, Expr: s})
	}
	return out
}

// isVariable reports whether a name can be used in expressions.
func isVariable(name string) bool { return IsID(name) && !strings.ContainsAny(name, ".-") }
