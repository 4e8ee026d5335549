package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/rules/expression"
)

// compileWindow compiles what a rule of one step adds up, and its condition on that.
func (c *compiler) compileWindow(r *Rule, s *Step) {
	var names map[string]expression.Name
	r.Lets, names = c.compileLets("let.", c.src.Lets, s, nil, c.src.Window > 0)
	more := shiftSlots(names, MaxCaptures)
	if c.src.Having != "" {
		r.Having = c.compileDeferred("having", c.src.Having, s, more, expression.Bool)
	}
	if c.src.Explain != "" {
		r.Explain = c.compileDeferred("explain", c.src.Explain, s, more, expression.Text)
	}
	c.checkRow(s, "let")
}

// compileLets compiles the lets of a step and returns them with their names, whose slots are counted
// from 0. An expression may use captured values and earlier lets. windowed tells whether there are
// several events to aggregate over.
func (c *compiler) compileLets(at string, src []Pair, s *Step, captured map[string]expression.Name,
	windowed bool) (lets []*Let, names map[string]expression.Name) {
	names = map[string]expression.Name{}
	for _, l := range src {
		at := at + l.Name
		if len(lets) == maxLets {
			c.report(at, &expression.Fault{Code: "R131", What: fmt.Sprintf("more than %d names; leave some out", maxLets)})
			return lets, names
		}
		let := &Let{Name: l.Name, Source: l.Expr, row: -1}
		var typ expression.Type
		var ok bool
		if kind, inner, is := aggregate(l.Expr); is {
			typ, ok = expression.Number, c.compileAggregate(at, let, kind, inner, s, windowed)
		} else {
			more := shiftSlots(names, MaxCaptures)
			maps.Copy(more, shiftSlots(captured, 0))
			typ, ok = c.compileLetExpression(at, let, s, more)
		}
		if ok {
			names[l.Name] = expression.Name{Type: typ, Slot: len(lets)}
			lets = append(lets, let)
		}
	}
	of := shape(lets)
	for _, l := range lets {
		l.shape = of
	}
	return lets, names
}

// compileAggregate compiles kind(inner); false: it has a fault.
func (c *compiler) compileAggregate(at string, let *Let, kind, inner string, s *Step, windowed bool) bool {
	if !windowed {
		c.report(at, &expression.Fault{Code: "R132", What: kind + " adds up over a window; add window: 10m, say"})
		return false
	}
	let.Aggregate = kind
	want := expression.Number
	switch kind {
	case "count":
		if inner == "" {
			return true
		}
		want = expression.Bool
	case "distinct":
		want = 0
	case "quantile":
		if i := strings.LastIndexByte(inner, ','); i >= 0 {
			let.q = expression.ParseNumber(strings.TrimSpace(inner[i+1:]))
			inner = inner[:i]
		}
		if !(let.q > 0 && let.q < 1) {
			c.report(at, &expression.Fault{Code: "R133",
				What: "quantile needs an expression and a share, such as quantile(result.bytes, 0.95)"})
			return false
		}
	}
	x := c.compile(at, inner, c.eventScope(), want)
	if x == nil {
		return false
	}
	let.row, let.of = s.rowIndex(x), x.Type
	return true
}

// compileLetExpression compiles a let that is no aggregate. One that uses none of the names is taken
// from the event as it comes.
func (c *compiler) compileLetExpression(at string, let *Let, s *Step,
	names map[string]expression.Name) (expression.Type, bool) {
	x := c.compile(at, let.Source, c.eventScope(names), 0)
	if x == nil {
		return 0, false
	}
	if slices.ContainsFunc(x.Uses, func(u string) bool { _, is := names[u]; return is }) {
		let.expr = c.compileDeferred(at, let.Source, s, names, 0)
		return x.Type, let.expr != nil
	}
	let.row = s.rowIndex(x)
	return x.Type, true
}

// aggregates are the functions that add up over events.
var aggregates = []string{"count", "sum", "avg", "min", "max", "distinct", "quantile"}

// aggregate cuts an expression that is one call of an aggregate into its name and argument; false: it
// is none. max(a, b) is the larger of two numbers, no aggregate.
func aggregate(src string) (kind, inner string, ok bool) {
	src = strings.TrimSpace(src)
	open := strings.IndexByte(src, '(')
	if open < 0 || !strings.HasSuffix(src, ")") {
		return "", "", false
	}
	kind = strings.TrimSpace(src[:open])
	if !slices.Contains(aggregates, kind) {
		return "", "", false
	}
	depth := 0
	for i := open; i < len(src); i++ {
		switch src[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 && i < len(src)-1 {
				return "", "", false
			}
		case ',':
			if depth == 1 && (kind == "max" || kind == "min" || kind == "count") {
				return "", "", false
			}
		}
	}
	return kind, strings.TrimSpace(src[open+1 : len(src)-1]), true
}
