package rules

import (
	"fmt"
	"strings"

	"github.com/expr-lang/expr/parser"

	"github.com/wayward-sec/wayward/event"
)

// Taken are the expressions that a step takes from an event.
func (s *Step) Taken() []string {
	var out []string
	for _, x := range s.row {
		out = append(out, x.Source)
	}
	return out
}

// Try runs an expression on an event and says what it comes to, and whether it is true.
func Try(x *Expr, e *event.Event, persona string, local int64) (string, bool, error) {
	v, err := x.Value(&Context{E: e, Persona: persona, Local: local})
	return v.text(x.Type), x.Type == Bool && v.N != 0, err
}

// text writes a value as people do.
func (v Value) text(t Type) string {
	switch t {
	case Bool:
		return fmt.Sprint(v.N != 0)
	case Number:
		return formatNumber(v.N)
	}
	return fmt.Sprintf("%q", v.S)
}

// ExplainPart says what the conditions of one part make of an event, a line each: whether each holds, and what the fields in it are.
func (r *Rule) ExplainPart(p *Step, e *event.Event, persona string, local int64) (out []string) {
	name := p.Name
	if p == r.Absent {
		name = "absent"
	}
	c := &Context{E: e, Persona: persona, Local: local}
	tree, err := parser.Parse(p.Where.Source)
	if err != nil {
		return nil
	}
	for _, n := range conjuncts(tree.Node) {
		x, err := Compile(n.String(), p.Where.scope, Bool)
		if err != nil {
			continue
		}
		holds, err := x.IsTrue(c)
		word := "yes"
		if err != nil {
			word = err.Error()
		} else if !holds {
			word = "no "
		}
		var with []string
		for _, u := range x.Uses {
			if y, err := Compile(u, p.Where.scope, 0); err == nil {
				if v, err := y.Value(c); err == nil {
					with = append(with, u+" is "+v.text(y.Type))
				}
			}
		}
		line := fmt.Sprintf("%s %s: %s", word, name, n.String())
		if len(with) > 0 {
			line += "   (" + strings.Join(with, ", ") + ")"
		}
		out = append(out, line)
	}
	if p.Join != nil {
		out = append(out, fmt.Sprintf("?   %s: %s   (depends on what was captured)", name, p.Join.Source))
	}
	if p.Having != nil {
		out = append(out, fmt.Sprintf("?   %s: %s   (depends on the events of the step)", name, p.Having.Source))
	}
	if holds, err := p.Where.IsTrue(c); err == nil && holds && len(p.row) > 0 {
		var with []string
		for _, x := range p.row {
			if v, err := x.Value(c); err == nil {
				with = append(with, x.Source+" is "+v.text(x.Type))
			}
		}
		out = append(out, "    "+name+" takes "+strings.Join(with, ", "))
	}
	return out
}
