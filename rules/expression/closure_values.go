package expression

import (
	"math"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/spelling"
)

// text compiles a node whose value is a text.
func (k closureBuilder) text(n ast.Node) textOf {
	switch n := n.(type) {
	case *ast.StringNode:
		v := n.Value
		return func(*Context) string { return v }
	case *ast.ConstantNode:
		if v, ok := n.Value.(string); ok {
			return func(*Context) string { return v }
		}
	case *ast.PointerNode:
		if n.Name == "" {
			return func(c *Context) string { return c.element }
		}
	case *ast.IdentifierNode, *ast.MemberNode:
		p := path(n)
		if f := named(k.scope, p, Text, func(v *Value) string { return v.S }); f != nil {
			return f
		}
		if f := k.scope.field(p); f != nil && f.text != nil {
			return f.text
		}
	case *ast.ConditionalNode:
		return either(k.bool(n.Cond), k.text(n.Exp1), k.text(n.Exp2))
	case *ast.BinaryNode:
		if n.Operator == "+" {
			a, b := k.text(n.Left), k.text(n.Right)
			return func(c *Context) string { return a(c) + b(c) }
		}
	case *ast.BuiltinNode:
		if f := k.builtinText(n); f != nil {
			return f
		}
	case *ast.CallNode:
		if f := k.callText(n); f != nil {
			return f
		}
	}
	unsupported("%s", nodeName(n))
	return nil
}

// builtinText compiles a function of expr that returns a text; nil: it is none.
func (k closureBuilder) builtinText(n *ast.BuiltinNode) textOf {
	if n.Name == "lower" || n.Name == "upper" || n.Name == "trim" && len(n.Arguments) == 1 {
		a := k.text(n.Arguments[0])
		f := map[string]func(string) string{"lower": strings.ToLower, "upper": strings.ToUpper,
			"trim": strings.TrimSpace}[n.Name]
		return func(c *Context) string { return f(a(c)) }
	}
	if (n.Name == "trimPrefix" || n.Name == "trimSuffix") && len(n.Arguments) == 2 {
		a, b := k.text(n.Arguments[0]), k.text(n.Arguments[1])
		f := map[string]func(s, t string) string{"trimPrefix": strings.TrimPrefix,
			"trimSuffix": strings.TrimSuffix}[n.Name]
		return func(c *Context) string { return f(a(c), b(c)) }
	}
	return nil
}

// callText compiles a function of ours that returns a text; nil: it is none.
func (k closureBuilder) callText(n *ast.CallNode) textOf {
	switch path(n.Callee) {
	case "arg":
		a := k.text(k.args(n, 1)[0])
		return func(c *Context) string { return argument(c, a(c)) }
	case "identity":
		a := k.text(k.args(n, 1)[0])
		return func(c *Context) string { return event.Identity(a(c)) }
	case "hash":
		a := k.text(k.args(n, 1)[0])
		return func(c *Context) string { return hashText(a(c)) }
	case "string":
		a := k.number(k.args(n, 1)[0])
		return func(c *Context) string { return formatNumber(a(c)) }
	}
	return nil
}

// number compiles a node whose value is a number.
func (k closureBuilder) number(n ast.Node) numberOf {
	switch n := n.(type) {
	case *ast.IntegerNode:
		v := float64(n.Value)
		return func(*Context) float64 { return v }
	case *ast.FloatNode:
		v := n.Value
		return func(*Context) float64 { return v }
	case *ast.ConstantNode:
		switch v := n.Value.(type) {
		case int:
			return func(*Context) float64 { return float64(v) }
		case float64:
			return func(*Context) float64 { return v }
		}
	case *ast.IdentifierNode, *ast.MemberNode:
		p := path(n)
		if f := named(k.scope, p, Number, func(v *Value) float64 { return v.N }); f != nil {
			return f
		}
		if f := k.scope.field(p); f != nil && f.num != nil {
			return f.num
		}
	case *ast.UnaryNode:
		a := k.number(n.Node)
		switch n.Operator {
		case "-":
			if wholeNumber(n) {
				return func(c *Context) float64 { return 0 - a(c) }
			}
			return func(c *Context) float64 { return -a(c) }
		case "+":
			return a
		}
	case *ast.ConditionalNode:
		return either(k.bool(n.Cond), k.number(n.Exp1), k.number(n.Exp2))
	case *ast.BinaryNode:
		switch n.Operator {
		case "+", "-", "*", "/", "**", "^":
			return k.arithmetic(n)
		}
	case *ast.BuiltinNode:
		return k.builtinNumber(n)
	case *ast.CallNode:
		if f := k.callNumber(n); f != nil {
			return f
		}
	}
	unsupported("%s", nodeName(n))
	return nil
}

// arithmetic compiles an operator between two numbers.
func (k closureBuilder) arithmetic(n *ast.BinaryNode) numberOf {
	a, b := k.number(n.Left), k.number(n.Right)
	switch n.Operator {
	case "+":
		return func(c *Context) float64 { return a(c) + b(c) }
	case "-":
		return func(c *Context) float64 { return a(c) - b(c) }
	case "*":
		if wholeNumber(n) {
			return func(c *Context) float64 { return a(c)*b(c) + 0 }
		}
		return func(c *Context) float64 { return a(c) * b(c) }
	case "/":
		return func(c *Context) float64 { return a(c) / b(c) }
	}
	return func(c *Context) float64 { return math.Pow(a(c), b(c)) }
}

// callNumber compiles a function of ours that returns a number; nil: it is none.
func (k closureBuilder) callNumber(n *ast.CallNode) numberOf {
	switch path(n.Callee) {
	case "entropy":
		a := k.text(k.args(n, 1)[0])
		return func(c *Context) float64 { return entropy(a(c)) }
	case "distance":
		a := k.args(n, 2)
		s, t := k.text(a[0]), k.text(a[1])
		return func(c *Context) float64 { return float64(spelling.Distance(s(c), t(c))) }
	case "number":
		a := k.text(k.args(n, 1)[0])
		return func(c *Context) float64 { return ParseNumber(a(c)) }
	case "baseline.quantile":
		a := k.args(n, 2)
		m, q := k.text(a[0]), k.number(a[1])
		return func(c *Context) float64 { return quantile(c, m(c), q(c)) }
	case "baseline.expected":
		m := k.text(k.args(n, 1)[0])
		return func(c *Context) float64 { return expected(c, m(c)) }
	case "baseline.p":
		d := k.text(k.args(n, 1)[0])
		return func(c *Context) float64 { return pValue(c, d(c)) }
	}
	return nil
}

// builtinNumber compiles a function of expr that returns a number.
func (k closureBuilder) builtinNumber(n *ast.BuiltinNode) numberOf {
	switch n.Name {
	case "len":
		if typeOf(n.Arguments[0]) == Text {
			a := k.text(n.Arguments[0])
			return func(c *Context) float64 { return float64(utf8.RuneCountInString(a(c))) }
		}
		a := k.listOf(n.Arguments[0])
		return func(c *Context) float64 { return float64(len(a(c))) }
	case "count":
		if len(n.Arguments) == 2 && n.Map == nil && n.Threshold == nil {
			if p, ok := n.Arguments[1].(*ast.PredicateNode); ok {
				list, is := k.listOf(n.Arguments[0]), k.bool(p.Node)
				return func(c *Context) float64 {
					was, n := c.element, 0
					for _, s := range list(c) {
						if c.element = s; is(c) {
							n++
						}
					}
					c.element = was
					return float64(n)
				}
			}
		}
	case "abs", "ceil", "floor", "round":
		a := k.number(n.Arguments[0])
		f := map[string]func(float64) float64{"abs": math.Abs, "ceil": math.Ceil, "floor": math.Floor,
			"round": math.Round}[n.Name]
		return func(c *Context) float64 { return f(a(c)) }
	case "max", "min":
		var all []numberOf
		for _, a := range n.Arguments {
			if typeOf(a) != Number {
				unsupported("%s of a list", n.Name)
			}
			all = append(all, k.number(a))
		}
		sign := map[string]float64{"max": 1, "min": -1}[n.Name]
		return func(c *Context) float64 {
			best := all[0](c)
			for _, f := range all[1:] {
				if v := f(c); v*sign > best*sign {
					best = v
				}
			}
			return best
		}
	}
	unsupported("%s", n.Name)
	return nil
}

// wholeNumber tells whether expr's machine computes a node in ints, which have no -0.
func wholeNumber(n ast.Node) bool { return n.Type() != nil && n.Type().Kind() == reflect.Int }
