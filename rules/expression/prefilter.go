package expression

import (
	"cmp"
	"slices"

	"github.com/expr-lang/expr/ast"

	"github.com/wayward-sec/wayward/event"
)

// Prefilter is a necessary condition by which an index finds the conditions that an event can meet:
// kinds and classes as a bit each, 0 if any will do, and the names of tools, nil if any.
type Prefilter struct {
	Kinds   uint16
	Classes uint16
	Tools   []string
}

// prefilterOf reads the prefilter off a condition.
func prefilterOf(n ast.Node, s *Scope) (g Prefilter) {
	switch n := n.(type) {
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "and":
			a, b := prefilterOf(n.Left, s), prefilterOf(n.Right, s)
			g.Kinds, g.Classes = intersect(a.Kinds, b.Kinds), intersect(a.Classes, b.Classes)
			switch {
			case a.Tools == nil:
				g.Tools = b.Tools
			case b.Tools == nil:
				g.Tools = a.Tools
			default:
				g.Tools = []string{}
				for _, t := range a.Tools {
					if slices.Contains(b.Tools, t) {
						g.Tools = append(g.Tools, t)
					}
				}
			}
			return g
		case "||", "or":
			a, b := prefilterOf(n.Left, s), prefilterOf(n.Right, s)
			if a.Kinds != 0 && b.Kinds != 0 {
				g.Kinds = a.Kinds | b.Kinds
			}
			if a.Classes != 0 && b.Classes != 0 {
				g.Classes = a.Classes | b.Classes
			}
			if a.Tools != nil && b.Tools != nil {
				g.Tools = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(a.Tools), b.Tools...))))
			}
			return g
		case "==", "in":
			p := path(n.Left)
			if s.field(p) == nil {
				return g
			}
			words := constTexts(n.Right)
			switch p {
			case "kind":
				for _, w := range words {
					for k := event.ToolCall; k <= event.Session; k++ {
						if k.String() == w {
							g.Kinds |= 1 << k
						}
					}
				}
			case "tool.class":
				for _, w := range words {
					if c, ok := event.ParseClass(w); ok {
						g.Classes |= 1 << c
					} else if w == "" {
						g.Classes |= 1
					}
				}
			case "tool.name":
				if words != nil {
					g.Tools = slices.Sorted(slices.Values(words))
				}
			}
		}
	}
	return g
}

// intersect is what both sets of bits have; 0 stands for all bits.
func intersect(a, b uint16) uint16 {
	if a == 0 || b == 0 {
		return a | b
	}
	if a&b == 0 {
		return 1 << 15 // a kind or class that no event has
	}
	return a & b
}

// residual compiles a condition without the parts that the index has answered.
func (k closureBuilder) residual(n ast.Node) boolOf {
	index := indexField(prefilterOf(n, k.scope))
	parts := conjuncts(n)
	// no closure can fail, so their order makes no difference but to the cost
	slices.SortStableFunc(parts, func(a, b ast.Node) int { return cmp.Compare(rank(a), rank(b)) })
	var all []boolOf
	for _, part := range parts {
		if index == "" || !answeredBy(part, index, k.scope) {
			all = append(all, k.bool(part))
		}
	}
	switch len(all) {
	case 0:
		return func(*Context) bool { return true }
	case 1:
		return all[0]
	case 2:
		a, b := all[0], all[1]
		return func(c *Context) bool { return a(c) && b(c) }
	case 3:
		a, b, d := all[0], all[1], all[2]
		return func(c *Context) bool { return a(c) && b(c) && d(c) }
	}
	return func(c *Context) bool {
		for _, f := range all {
			if !f(c) {
				return false
			}
		}
		return true
	}
}

// rank orders conditions by cost and by how seldom they are likely to hold, judged by their form. The
// least is best evaluated first.
func rank(n ast.Node) int {
	cost := 0
	walk(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallNode, *ast.BuiltinNode:
			cost = max(cost, 10)
		case *ast.BinaryNode:
			if n.Operator == "matches" {
				cost = 20
			}
		}
		return true
	})
	switch n := n.(type) {
	case *ast.BinaryNode:
		switch n.Operator {
		case "==":
			return cost
		case "<", "<=", ">", ">=":
			return cost + 1
		case "in":
			return cost + 2
		case "!=":
			return cost + 5
		}
		return cost + 4
	case *ast.UnaryNode:
		return cost + 5
	}
	return cost + 3
}

// indexField is the field by which the index finds a condition; "": by none.
func indexField(g Prefilter) string {
	switch {
	case g.Tools != nil:
		return "tool.name"
	case g.Classes != 0:
		return "tool.class"
	case g.Kinds != 0:
		return "kind"
	}
	return ""
}

// answeredBy tells whether a part of a condition is about the indexed field alone, so that the index
// has answered it.
func answeredBy(n ast.Node, field string, s *Scope) bool {
	b, ok := n.(*ast.BinaryNode)
	return ok && (b.Operator == "==" || b.Operator == "in") && path(b.Left) == field && s.field(field) != nil &&
		constTexts(b.Right) != nil
}
