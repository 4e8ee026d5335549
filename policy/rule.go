package policy

import (
	"bytes"
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

// RuleJSON is a rule as it is written, as canonical JSON: without its tests, and what stands in
// files that it names is in it.
func (s *Set) RuleJSON(id string) json.RawMessage { return s.ruleDefs[id] }

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
	case !IsID(d.ID):
		bad("id", "%s is no id; use letters, digits, dots, hyphens and underscores, at most %d", event.Quote(d.ID), MaxName)
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
			if !IsID(st.Name) || strings.ContainsAny(st.Name, ".-") {
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
		if !IsID(name) || strings.ContainsAny(name, ".-") {
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
