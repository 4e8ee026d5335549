package rules

import (
	"fmt"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/rules/expression"
)

// compiler compiles one rule.
type compiler struct {
	src    *Source
	report Report
	params map[string]expression.Name
	caps   map[string]expression.Name // captured values, by step.name; slots are counted from 0
}

// Build compiles the expressions of a source into r and sets what follows from them, Hash among it. It
// reports every fault; a rule with one must not run.
func Build(r *Rule, src *Source, report Report) {
	c := &compiler{src: src, report: report, params: map[string]expression.Name{}, caps: map[string]expression.Name{}}
	for name, p := range src.Params {
		c.params["params."+name] = expression.Name{Type: p.Type, Const: &p.Value}
	}
	for name, list := range src.Lists {
		c.params["lists."+name] = expression.Name{Type: expression.Texts, List: &list}
	}
	r.By, r.Window, r.Within, r.Select, r.AbsentFor = src.By, src.Window, src.Within, src.Select, src.For
	if len(src.Steps) == 0 {
		s := &Step{Name: "event", Times: 1, After: -1, distinct: -1, eqRow: -1}
		if s.Where = c.compile("where", src.Where, c.eventScope(), expression.Bool); s.Where == nil {
			return
		}
		r.Steps = []*Step{s}
		c.compileWindow(r, s)
	} else {
		c.compileSequence(r)
	}
	for i, when := range src.When {
		if x := c.compile(fmt.Sprintf("exceptions[%d].when", i), when, c.eventScope(), expression.Bool); x != nil &&
			i < len(r.Exceptions) {
			r.Exceptions[i].When = x
		}
	}
	r.parts = append(slices.Clone(r.Steps), r.Nots...)
	if r.Absent != nil {
		r.parts = append(r.parts, r.Absent)
	}
	if r.Stateful() {
		for i, s := range r.Parts() {
			for _, x := range s.row {
				if x.QuotesArgument() {
					c.report(c.partPath(i, len(r.Steps)),
						&expression.Fault{Code: "R135",
							What: "what an argument says is not remembered, since it may be anything; take hash(arg(…)) and compare hashes, or its len"})
					break
				}
			}
		}
	}
	r.forRelationStage = r.Absent != nil ||
		len(r.By) > 0 && !slices.Contains(r.By, AgentKey) && !slices.Contains(r.By, SessionKey)
	r.Hash = src.hash() ^ xxhash.Sum64String(r.ID)
}

// partPath is the path of part i in the source; steps is how many parts are steps.
func (c *compiler) partPath(i, steps int) string {
	switch {
	case len(c.src.Steps) == 0:
		return "let"
	case i < steps:
		return fmt.Sprintf("steps[%d]", i)
	case i < steps+len(c.src.Nots):
		return fmt.Sprintf("not[%d]", i-steps)
	}
	return "absent"
}

func (c *compiler) compile(at, src string, s *expression.Scope, want expression.Type) *expression.Expr {
	x, err := expression.Compile(src, s, want)
	if err != nil {
		c.report(at, err)
		return nil
	}
	return x
}

// eventScope is the scope of an expression over an event, parameters, lists and more names.
func (c *compiler) eventScope(more ...map[string]expression.Name) *expression.Scope {
	s := &expression.Scope{Event: true, Names: maps.Clone(c.params)}
	for _, m := range more {
		maps.Copy(s.Names, m)
	}
	return s
}

// deferredScope makes the step's row hold the fields that an expression uses, and returns the scope
// in which the expression can run on that row when the event is gone.
func (c *compiler) deferredScope(s *Step, x *expression.Expr, more map[string]expression.Name) *expression.Scope {
	out := &expression.Scope{Names: maps.Clone(c.params)}
	maps.Copy(out.Names, more)
	for _, name := range x.Uses {
		f := expression.FieldNamed(name)
		if _, known := out.Names[name]; known || f == nil {
			continue
		}
		if f.Type == expression.Texts {
			continue // a row holds no lists: the compiler will report the name as unknown
		}
		out.Names[name] = expression.Name{Type: f.Type, Slot: s.rowIndex(c.compile("", name, c.eventScope(), 0))}
	}
	return out
}

// rowIndex is the place of an expression in the step's row, to which it is added if it is new.
func (s *Step) rowIndex(x *expression.Expr) int {
	for i, have := range s.row {
		if have.Source == x.Source {
			return i
		}
	}
	s.row = append(s.row, x)
	return len(s.row) - 1
}

// compileDeferred compiles an expression that runs when the event is gone, on the step's row and more
// names.
func (c *compiler) compileDeferred(at, src string, s *Step, more map[string]expression.Name,
	want expression.Type) *expression.Expr {
	x := c.compile(at, src, c.eventScope(more), want)
	if x == nil {
		return nil
	}
	scope := c.deferredScope(s, x, more)
	y, err := expression.Compile(src, scope, want)
	if err != nil {
		c.report(at,
			&expression.Fault{Code: "R130",
				What: "arg, baseline.… and lists of the event can be asked in where alone, or under a name in capture: or let:; give it one"})
		return nil
	}
	return y
}

// rowRoom is how many slots of Context.Vars are reserved for a row; captured values and then lets lie
// behind it. How many values a row has is known only when all of a rule is compiled.
const rowRoom = 32

// shiftSlots moves the slots of names behind the row, and so many slots further.
func shiftSlots(names map[string]expression.Name, more int) map[string]expression.Name {
	out := map[string]expression.Name{}
	for k, n := range names {
		if n.Const == nil && n.List == nil {
			n.Slot += rowRoom + more
		}
		out[k] = n
	}
	return out
}

// checkRow reports a row that does not fit.
func (c *compiler) checkRow(s *Step, at string) {
	if len(s.row) > rowRoom {
		c.report(at,
			&expression.Fault{Code: "R134",
				What: fmt.Sprintf("more than %d things are remembered of one event; ask for fewer fields", rowRoom)})
	}
}
