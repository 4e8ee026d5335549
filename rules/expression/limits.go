package expression

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/wayward-sec/wayward/event"
)

// checkLimits says what would make the expression too cost to run with every event.
func (x *Expr) checkLimits() *Fault {
	var found *Fault
	refuse := func(n ast.Node, code, format string, args ...any) {
		if found == nil {
			found = fault(code, n.Location(), x.Source, format, args...)
		}
	}
	var look func(n ast.Node, depth int)
	look = func(n ast.Node, depth int) {
		if n == nil || found != nil {
			return
		}
		switch n := n.(type) {
		case *ast.PredicateNode:
			if depth++; depth > maxNested {
				refuse(n, "R121",
					"predicates are nested more than %d deep, and each multiplies the work; take one apart", maxNested)
			}
		case *ast.BinaryNode:
			switch n.Operator {
			case "==", "!=", "in":
				if f := x.scope.field(path(n.Left)); f != nil && f.words != nil {
					for _, w := range constTexts(n.Right) {
						if w != "" && !slices.Contains(f.words, w) {
							refuse(n.Right, "R107", "no event has %s %s; use one of %s", f.Name, quote(w),
								strings.Join(f.words, ", "))
						}
					}
				}
			case "..":
				refuse(n, "R122", "a range builds a list; compare with both of its ends")
			case "matches":
				if s, ok := n.Right.(*ast.StringNode); !ok {
					refuse(n, "R123",
						"matches needs a pattern that is written out, since one that events bring may be anything; use contains, or glob(…)")
				} else if len(s.Value) > maxRegexp {
					refuse(n, "R123", "the pattern is longer than %d bytes; use a list, or several rules", maxRegexp)
				}
			case "+":
				if depth > 0 && typeOf(n) == Text {
					refuse(n, "R124", "text that grows within a predicate has no bound; compare the parts")
				}
			}
		case *ast.CallNode:
			if net, ok := second(n).(*ast.StringNode); ok && path(n.Callee) == "cidr" {
				if _, err := netip.ParsePrefix(net.Value); err != nil {
					refuse(net, "R108", "%s is no network; write it as 10.0.0.0/8 or fe80::/10", quote(net.Value))
				}
			}
			if path(n.Callee) == "arg" && len(n.Arguments) == 1 {
				if p, ok := x.constText(n.Arguments[0]); ok {
					if what := CheckPath(p, event.MaxDepth, maxIndex, maxPathKey); what != "" {
						refuse(n.Arguments[0], "R109",
							"argument path %s %s; write names with dots between them, as in order.items[0].id",
							quote(p), what)
					} else if !slices.Contains(x.Args, p) {
						x.Args = append(x.Args, p)
					}
				}
			}
			if q, ok := literal(second(n)); ok && path(n.Callee) == "baseline.quantile" && !(q > 0 && q < 1) {
				refuse(n, "R133", "a quantile needs a share between 0 and 1; use 0.99, say")
			}
			if known := baselineWords[path(n.Callee)]; known != nil && len(n.Arguments) > 0 {
				word, ok := n.Arguments[0].(*ast.StringNode)
				switch {
				case !ok:
					refuse(n.Arguments[0], "R106", "%s needs a word that is written out; use one of %s", path(n.Callee),
						strings.Join(known, ", "))
				case !slices.Contains(known, word.Value):
					refuse(word, "R106", "%s knows no %s; use one of %s", path(n.Callee), quote(word.Value),
						strings.Join(known, ", "))
				}
			}
		case *ast.MapNode, *ast.VariableDeclaratorNode, *ast.SequenceNode, *ast.SliceNode:
			refuse(n, "R125", "this form is not used in rules; name parts of a condition under let:")
		}
		for _, child := range children(n) {
			look(child, depth)
		}
	}
	look(x.node, 0)
	return found
}
