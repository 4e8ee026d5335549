package expression

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/wayward-sec/wayward/event"
)

// checkLimits returns the first part of the expression that could never hold, that would cost too
// much to run with every event, or whose cost has no bound; nil: there is none. It notes the
// argument paths that it passes in Args.
func (x *Expr) checkLimits() *Fault {
	c := checker{x: x}
	c.check(x.node, 0)
	return c.fault
}

// checker walks an expression until it has found a fault.
type checker struct {
	x     *Expr
	fault *Fault
}

func (c *checker) refuse(n ast.Node, code, format string, args ...any) {
	if c.fault == nil {
		c.fault = fault(code, n.Location(), c.x.Source, format, args...)
	}
}

// check checks a node inside so many predicates, and all below it.
func (c *checker) check(n ast.Node, predicates int) {
	if n == nil || c.fault != nil {
		return
	}
	switch n := n.(type) {
	case *ast.PredicateNode:
		if predicates++; predicates > maxNested {
			c.refuse(n, "R121",
				"predicates are nested more than %d deep, and each multiplies the work; take one apart", maxNested)
		}
	case *ast.BinaryNode:
		c.checkOperator(n, predicates)
	case *ast.CallNode:
		c.checkCall(n)
	case *ast.MapNode, *ast.VariableDeclaratorNode, *ast.SequenceNode, *ast.SliceNode:
		c.refuse(n, "R125", "this form is not used in rules; name parts of a condition under let:")
	}
	for _, child := range children(n) {
		c.check(child, predicates)
	}
}

func (c *checker) checkOperator(n *ast.BinaryNode, predicates int) {
	switch n.Operator {
	case "==", "!=", "in":
		f := c.x.scope.field(path(n.Left))
		if f == nil || f.words == nil {
			return
		}
		for _, w := range constTexts(n.Right) {
			if w != "" && !slices.Contains(f.words, w) {
				c.refuse(n.Right, "R107", "no event has %s %s; use one of %s", f.Name, quote(w),
					strings.Join(f.words, ", "))
			}
		}
	case "..":
		c.refuse(n, "R122", "a range builds a list; compare with both of its ends")
	case "matches":
		if s, ok := n.Right.(*ast.StringNode); !ok {
			c.refuse(n, "R123",
				"matches needs a pattern that is written out, since one that events bring may be anything; use contains, or glob(…)")
		} else if len(s.Value) > maxRegexp {
			c.refuse(n, "R123", "the pattern is longer than %d bytes; use a list, or several rules", maxRegexp)
		}
	case "+":
		if predicates > 0 && typeOf(n) == Text {
			c.refuse(n, "R124", "text that grows within a predicate has no bound; compare the parts")
		}
	}
}

func (c *checker) checkCall(n *ast.CallNode) {
	name := path(n.Callee)
	switch name {
	case "cidr":
		if net, ok := second(n).(*ast.StringNode); ok {
			if _, err := netip.ParsePrefix(net.Value); err != nil {
				c.refuse(net, "R108", "%s is no network; write it as 10.0.0.0/8 or fe80::/10", quote(net.Value))
			}
		}
	case "arg":
		if len(n.Arguments) == 1 {
			c.checkArgument(n.Arguments[0])
		}
	case "baseline.quantile":
		if q, ok := literal(second(n)); ok && !(q > 0 && q < 1) {
			c.refuse(n, "R133", "a quantile needs a share between 0 and 1; use 0.99, say")
		}
	}
	known := baselineWords[name]
	if known == nil || len(n.Arguments) == 0 {
		return
	}
	word, ok := n.Arguments[0].(*ast.StringNode)
	switch {
	case !ok:
		c.refuse(n.Arguments[0], "R106", "%s needs a word that is written out; use one of %s", name,
			strings.Join(known, ", "))
	case !slices.Contains(known, word.Value):
		c.refuse(word, "R106", "%s knows no %s; use one of %s", name, quote(word.Value), strings.Join(known, ", "))
	}
}

// checkArgument checks the path in arg(path) if it is written out, and notes it.
func (c *checker) checkArgument(n ast.Node) {
	p, ok := c.x.constText(n)
	if !ok {
		return
	}
	if what := CheckPath(p, event.MaxDepth, maxIndex, maxPathKey); what != "" {
		c.refuse(n, "R109", "argument path %s %s; write names with dots between them, as in order.items[0].id",
			quote(p), what)
	} else if !slices.Contains(c.x.Args, p) {
		c.x.Args = append(c.x.Args, p)
	}
}
