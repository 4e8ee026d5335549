package expression

import (
	"cmp"
	"slices"

	"github.com/expr-lang/expr/ast"

	"github.com/wayward-sec/wayward/event"
)

// Guard is what an event must be like for a condition to be true: one bit for each kind and class,
// 0 if any will do, and the names of tools, nil if any.
type Guard struct {
	Kinds   uint16
	Classes uint16
	Tools   []string
}

// guardOf reads it off a condition.
func guardOf(n ast.Node, s *Scope) (g Guard) {
	switch n := n.(type) {
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "and":
			a, b := guardOf(n.Left, s), guardOf(n.Right, s)
			g.Kinds, g.Classes = both(a.Kinds, b.Kinds), both(a.Classes, b.Classes)
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
			a, b := guardOf(n.Left, s), guardOf(n.Right, s)
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

// both joins two demands; 0 is none.
func both(a, b uint16) uint16 {
	if a == 0 || b == 0 {
		return a | b
	}
	if a&b == 0 {
		return 1 << 15 // nothing can be both
	}
	return a & b
}

// rest is a condition without the parts that the index answers: kind, class and name of a tool.
// What the index does not look at stays: see Indexed.
func (k closer) rest(n ast.Node) boolOf {
	index := indexed(guardOf(n, k.scope))
	parts := conjuncts(n)
	// none can fail, so their order does not show
	slices.SortStableFunc(parts, func(a, b ast.Node) int { return cmp.Compare(price(a), price(b)) })
	var all []boolOf
	for _, part := range parts {
		if index == "" || !answers(part, index, k.scope) {
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

// price ranks conditions by what they cost and how seldom they are likely to hold, as far as their
// form tells: the best to be asked first is least.
func price(n ast.Node) int {
	dear := 0
	walk(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallNode, *ast.BuiltinNode:
			dear = max(dear, 10)
		case *ast.BinaryNode:
			if n.Operator == "matches" {
				dear = 20
			}
		}
		return true
	})
	switch n := n.(type) {
	case *ast.BinaryNode:
		switch n.Operator {
		case "==":
			return dear
		case "<", "<=", ">", ">=":
			return dear + 1
		case "in":
			return dear + 2
		case "!=":
			return dear + 5
		}
		return dear + 4
	case *ast.UnaryNode:
		return dear + 5
	}
	return dear + 3
}

// indexed is the field by which a condition is found.
func indexed(g Guard) string {
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

// answers tells whether a part of a condition asks for nothing but the field that the index has
// looked at.
func answers(n ast.Node, field string, s *Scope) bool {
	b, ok := n.(*ast.BinaryNode)
	return ok && (b.Operator == "==" || b.Operator == "in") && path(b.Left) == field && s.field(field) != nil &&
		constTexts(b.Right) != nil
}
