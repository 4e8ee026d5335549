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
	bad    Report
	params map[string]expression.Name
	caps   map[string]expression.Name // by step.name; slots are counted from 0
}

// Build compiles the parts of a rule that are expressions into r.
func Build(r *Rule, src *Source, bad Report) {
	c := &compiler{src: src, bad: bad, params: map[string]expression.Name{}, caps: map[string]expression.Name{}}
	for name, p := range src.Params {
		c.params["params."+name] = expression.Name{Type: p.Type, Const: &p.Value}
	}
	for name, list := range src.Lists {
		c.params["lists."+name] = expression.Name{Type: expression.Texts, List: &list}
	}
	r.By, r.Window, r.Within, r.Select, r.AbsentFor = src.By, src.Window, src.Within, src.Select, src.For
	if len(src.Steps) == 0 {
		s := &Step{Name: "event", Times: 1, After: -1, distinct: -1, eqRow: -1}
		if s.Where = c.compile("where", src.Where, c.events(), expression.Bool); s.Where == nil {
			return
		}
		r.Steps = []*Step{s}
		c.window(r, s)
	} else {
		c.sequence(r)
	}
	for i, when := range src.When {
		if x := c.compile(fmt.Sprintf("exceptions[%d].when", i), when, c.events(), expression.Bool); x != nil &&
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
					c.bad(c.placeOf(i, len(r.Steps)),
						&expression.Fault{Code: "R135",
							What: "what an argument says is not remembered, since it may be anything; take hash(arg(…)) and compare hashes, or its len"})
					break
				}
			}
		}
	}
	r.captures = len(c.caps)
	r.forRelationStage = r.Absent != nil || len(r.By) > 0 && !slices.Contains(r.By, AgentKey) && !slices.Contains(r.By, SessionKey)
	r.Hash = src.hash() ^ xxhash.Sum64String(r.ID)
}

// placeOf is where the part of a rule with a number stands.
func (c *compiler) placeOf(i, steps int) string {
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
		c.bad(at, err)
		return nil
	}
	return x
}

// events is the scope of an expression over an event alone.
func (c *compiler) events(more ...map[string]expression.Name) *expression.Scope {
	s := &expression.Scope{Event: true, Names: maps.Clone(c.params)}
	for _, m := range more {
		maps.Copy(s.Names, m)
	}
	return s
}

// take has the step take what an expression asks of the event, and returns the scope in which it
// can be run later: what was taken, and names behind it.
func (c *compiler) take(s *Step, x *expression.Expr, more map[string]expression.Name) *expression.Scope {
	out := &expression.Scope{Names: maps.Clone(c.params)}
	maps.Copy(out.Names, more)
	for _, name := range x.Uses {
		f := expression.FieldNamed(name)
		if _, known := out.Names[name]; known || f == nil {
			continue
		}
		if f.Type == expression.Texts {
			continue // of which the compiler will say that it is unknown
		}
		out.Names[name] = expression.Name{Type: f.Type, Slot: s.taken(c.compile("", name, c.events(), 0))}
	}
	return out
}

// taken is the place of an expression in what the step takes.
func (s *Step) taken(x *expression.Expr) int {
	for i, have := range s.row {
		if have.Source == x.Source {
			return i
		}
	}
	s.row = append(s.row, x)
	return len(s.row) - 1
}

// later compiles an expression that is run when the event is gone: behind what the step has taken
// lie more.
func (c *compiler) later(at, src string, s *Step, more map[string]expression.Name, want expression.Type) *expression.Expr {
	x := c.compile(at, src, c.events(more), want)
	if x == nil {
		return nil
	}
	scope := c.take(s, x, more)
	y, err := expression.Compile(src, scope, want)
	if err != nil {
		c.bad(at,
			&expression.Fault{Code: "R130",
				What: "arg, baseline.… and lists of the event can be asked in where alone, or under a name in capture: or let:; give it one"})
		return nil
	}
	return y
}

// behind moves the slots of names behind so many values that a step takes, and so many more. What a
// step takes is known only at the end, so there is room for all of it.
const rowRoom = 32

func behind(names map[string]expression.Name, more int) map[string]expression.Name {
	out := map[string]expression.Name{}
	for k, n := range names {
		if n.Const == nil && n.List == nil {
			n.Slot += rowRoom + more
		}
		out[k] = n
	}
	return out
}

func (c *compiler) room(s *Step, at string) {
	if len(s.row) > rowRoom {
		c.bad(at,
			&expression.Fault{Code: "R134",
				What: fmt.Sprintf("more than %d things are remembered of one event; ask for fewer fields", rowRoom)})
	}
}
