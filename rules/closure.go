package rules

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"reflect"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
	"github.com/wayward-sec/wayward/event/spelling"
)

// closures makes closures of the checked tree, or says what they do not cover. They agree with
// expr's machine; a fuzz test compares them.
func (x *Expr) closures() {
	defer func() {
		if r := recover(); r != nil {
			u, ours := r.(uncovered)
			if !ours {
				panic(r)
			}
			x.isTrue, x.rest, x.number, x.text, x.VM = nil, nil, nil, nil, string(u)
		}
	}()
	c := closer{x.scope}
	switch x.Type {
	case Bool:
		x.isTrue = c.bool(x.node)
		x.rest = c.rest(x.node)
	case Number:
		x.number = c.number(x.node)
	case Text:
		x.text = c.text(x.node)
	}
}

// uncovered is what closures do not cover.
type uncovered string

func cannot(format string, args ...any) { panic(uncovered(fmt.Sprintf(format, args...))) }

type closer struct{ scope *Scope }

type (
	boolOf   = func(*Context) bool
	numberOf = func(*Context) float64
	textOf   = func(*Context) string
)

func (k closer) bool(n ast.Node) boolOf {
	switch n := n.(type) {
	case *ast.BoolNode:
		v := n.Value
		return func(*Context) bool { return v }
	case *ast.ConstantNode:
		if v, ok := n.Value.(bool); ok {
			return func(*Context) bool { return v }
		}
	case *ast.IdentifierNode, *ast.MemberNode:
		p := path(n)
		if f := named(k.scope, p, Bool, func(v *Value) bool { return v.N != 0 }); f != nil {
			return f
		}
		if f := k.scope.field(p); f != nil && f.is != nil {
			return f.is
		}
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			a := k.bool(n.Node)
			return func(c *Context) bool { return !a(c) }
		}
	case *ast.ConditionalNode:
		return either(k.bool(n.Cond), k.bool(n.Exp1), k.bool(n.Exp2))
	case *ast.BuiltinNode:
		if len(n.Arguments) == 2 && n.Map == nil {
			return k.predicate(n)
		}
	case *ast.CallNode:
		return k.callBool(n)
	case *ast.BinaryNode:
		return k.binary(n)
	}
	cannot("%s", nodeName(n))
	return nil
}

// named is a parameter, a capture or a let of a type; nil: there is none of that name.
func named[T any](s *Scope, p string, want Type, as func(*Value) T) func(*Context) T {
	name, ok := s.find(p)
	switch {
	case !ok || name.Type != want:
		return nil
	case name.Const != nil:
		v := as(name.Const)
		return func(*Context) T { return v }
	}
	slot := name.Slot
	return func(c *Context) T { return as(&c.Vars[slot]) }
}

func either[T any](cond boolOf, a, b func(*Context) T) func(*Context) T {
	return func(c *Context) T {
		if cond(c) {
			return a(c)
		}
		return b(c)
	}
}

func ordered[T float64 | string](operator string, a, b func(*Context) T) boolOf {
	switch operator {
	case "<":
		return func(c *Context) bool { return a(c) < b(c) }
	case "<=":
		return func(c *Context) bool { return a(c) <= b(c) }
	case ">":
		return func(c *Context) bool { return a(c) > b(c) }
	}
	return func(c *Context) bool { return a(c) >= b(c) }
}

func nodeName(n ast.Node) string {
	switch n := n.(type) {
	case *ast.BuiltinNode:
		return n.Name
	case *ast.BinaryNode:
		return "operator " + n.Operator
	case *ast.UnaryNode:
		return "operator " + n.Operator
	case *ast.CallNode:
		return path(n.Callee) + "(…)"
	}
	if p := path(n); p != "" {
		return p
	}
	return strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", n), "*ast."), "Node")
}

func (k closer) binary(n *ast.BinaryNode) boolOf {
	switch n.Operator {
	case "&&", "and":
		a, b := k.bool(n.Left), k.bool(n.Right)
		return func(c *Context) bool { return a(c) && b(c) }
	case "||", "or":
		a, b := k.bool(n.Left), k.bool(n.Right)
		return func(c *Context) bool { return a(c) || b(c) }
	case "==", "!=":
		same := n.Operator == "=="
		switch l, r := typeOf(n.Left), typeOf(n.Right); {
		case l == Text && r == Text:
			if s, ok := n.Right.(*ast.StringNode); ok {
				v := s.Value
				if f := k.scope.field(path(n.Left)); f != nil && f.text != nil {
					// most conditions are like this
					if get := f.text; same {
						return func(c *Context) bool { return get(c) == v }
					} else {
						return func(c *Context) bool { return get(c) != v }
					}
				}
				a := k.text(n.Left)
				return func(c *Context) bool { return (a(c) == v) == same }
			}
			a := k.text(n.Left)
			b := k.text(n.Right)
			return func(c *Context) bool { return (a(c) == b(c)) == same }
		case l == Number && r == Number:
			a, b := k.number(n.Left), k.number(n.Right)
			return func(c *Context) bool { return (a(c) == b(c)) == same }
		case l == Bool && r == Bool:
			a, b := k.bool(n.Left), k.bool(n.Right)
			return func(c *Context) bool { return (a(c) == b(c)) == same }
		}
	case "<", "<=", ">", ">=":
		switch l, r := typeOf(n.Left), typeOf(n.Right); {
		case l == Number && r == Number:
			a, b := k.number(n.Left), k.number(n.Right)
			if v, ok := k.constant(n.Right); ok {
				if f := k.scope.field(path(n.Left)); f != nil && f.num != nil {
					switch get := f.num; n.Operator {
					case "<":
						return func(c *Context) bool { return get(c) < v }
					case "<=":
						return func(c *Context) bool { return get(c) <= v }
					case ">":
						return func(c *Context) bool { return get(c) > v }
					default:
						return func(c *Context) bool { return get(c) >= v }
					}
				}
			}
			return ordered(n.Operator, a, b)
		case l == Text && r == Text:
			a, b := k.text(n.Left), k.text(n.Right)
			return ordered(n.Operator, a, b)
		}
	case "contains", "startsWith", "endsWith":
		if s, ok := n.Right.(*ast.StringNode); ok {
			a, v := k.text(n.Left), s.Value
			switch n.Operator {
			case "contains":
				return func(c *Context) bool { return strings.Contains(a(c), v) }
			case "startsWith":
				return func(c *Context) bool { return strings.HasPrefix(a(c), v) }
			default:
				return func(c *Context) bool { return strings.HasSuffix(a(c), v) }
			}
		}
		a, b := k.text(n.Left), k.text(n.Right)
		f := map[string]func(s, t string) bool{"contains": strings.Contains, "startsWith": strings.HasPrefix,
			"endsWith": strings.HasSuffix}[n.Operator]
		return func(c *Context) bool { return f(a(c), b(c)) }
	case "matches":
		if s, ok := n.Right.(*ast.StringNode); ok {
			a, re := k.text(n.Left), regexp.MustCompile(s.Value) // the checker has compiled it
			if prefix := anchored(s.Value); prefix != "" {
				return func(c *Context) bool { v := a(c); return strings.HasPrefix(v, prefix) && re.MatchString(v) }
			}
			return func(c *Context) bool { return re.MatchString(a(c)) }
		}
	case "in":
		return k.in(n)
	}
	cannot("operator %s between %s and %s", n.Operator, typeOf(n.Left), typeOf(n.Right))
	return nil
}

// anchored is a text with which everything begins that a pattern matches, as far as that is easily
// told; "": not known.
func anchored(pattern string) string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil || re.Op != syntax.OpConcat || len(re.Sub) < 2 || re.Sub[0].Op != syntax.OpBeginText ||
		re.Sub[1].Op != syntax.OpLiteral || re.Sub[1].Flags&syntax.FoldCase != 0 {
		return ""
	}
	return string(re.Sub[1].Rune)
}

// constant is the number that a node always is.
func (k closer) constant(n ast.Node) (float64, bool) {
	if v, ok := literal(n); ok {
		return v, true
	}
	if name, ok := k.scope.find(path(n)); ok && name.Type == Number && name.Const != nil {
		return name.Const.N, true
	}
	return 0, false
}

func (k closer) in(n *ast.BinaryNode) boolOf {
	switch typeOf(n.Left) {
	case Text:
		a := k.text(n.Left)
		if words := constTexts(n.Right); words != nil {
			if len(words) <= 8 {
				slices.Sort(words)
				return func(c *Context) bool { return slices.Contains(words, a(c)) }
			}
			set := map[string]struct{}{}
			for _, w := range words {
				set[w] = struct{}{}
			}
			return func(c *Context) bool { _, ok := set[a(c)]; return ok }
		}
		p := path(n.Right)
		if name, ok := k.scope.find(p); ok && name.Type == Texts {
			set := map[string]struct{}{}
			for _, w := range *name.List {
				set[w] = struct{}{}
			}
			return func(c *Context) bool { _, ok := set[a(c)]; return ok }
		}
		if f := k.scope.field(p); f != nil && f.texts != nil {
			get := f.texts
			return func(c *Context) bool { return slices.Contains(get(c), a(c)) }
		}
	case Number:
		a := k.number(n.Left)
		var list []float64
		switch r := n.Right.(type) {
		case *ast.ConstantNode:
			switch v := r.Value.(type) {
			case map[int]struct{}:
				for _, i := range slices.Sorted(maps.Keys(v)) {
					list = append(list, float64(i))
				}
			case []any:
				for _, x := range v {
					switch x := x.(type) {
					case int:
						list = append(list, float64(x))
					case float64:
						list = append(list, x)
					default:
						cannot("a list of several types")
					}
				}
			}
		case *ast.ArrayNode:
			for _, x := range r.Nodes {
				switch x := x.(type) {
				case *ast.IntegerNode:
					list = append(list, float64(x.Value))
				case *ast.FloatNode:
					list = append(list, x.Value)
				default:
					cannot("a list that is not written out")
				}
			}
		}
		if list != nil {
			return func(c *Context) bool { return slices.Contains(list, a(c)) }
		}
	}
	cannot("in with %s", nodeName(n.Right))
	return nil
}

// listOf is a list to look into.
func (k closer) listOf(n ast.Node) func(*Context) []string {
	p := path(n)
	if name, ok := k.scope.find(p); ok && name.Type == Texts {
		list := *name.List
		return func(*Context) []string { return list }
	}
	if f := k.scope.field(p); f != nil && f.texts != nil {
		return f.texts
	}
	cannot("a list that is no field")
	return nil
}

func (k closer) predicate(n *ast.BuiltinNode) boolOf {
	p, ok := n.Arguments[1].(*ast.PredicateNode)
	if !ok {
		cannot("%s", n.Name)
	}
	list, is := k.listOf(n.Arguments[0]), k.bool(p.Node)
	count := func(c *Context, enough int) int {
		was, n := c.element, 0
		for _, s := range list(c) {
			if c.element = s; is(c) {
				if n++; n == enough {
					break
				}
			}
		}
		c.element = was
		return n
	}
	switch n.Name {
	case "any":
		return func(c *Context) bool { return count(c, 1) > 0 }
	case "none":
		return func(c *Context) bool { return count(c, 1) == 0 }
	case "one":
		return func(c *Context) bool { return count(c, 2) == 1 }
	case "all":
		return func(c *Context) bool {
			was := c.element
			defer func() { c.element = was }()
			for _, s := range list(c) {
				if c.element = s; !is(c) {
					return false
				}
			}
			return true
		}
	}
	cannot("%s", n.Name)
	return nil
}

func (k closer) args(n *ast.CallNode, count int) []ast.Node {
	if len(n.Arguments) != count {
		cannot("%s with %d arguments", path(n.Callee), len(n.Arguments))
	}
	return n.Arguments
}

func (k closer) callBool(n *ast.CallNode) boolOf {
	switch path(n.Callee) {
	case "glob":
		a := k.args(n, 2)
		s := k.text(a[0])
		if lit, ok := a[1].(*ast.StringNode); ok {
			p := glob.Compile(lit.Value)
			return func(c *Context) bool { return p.Match(s(c)) }
		}
		p := k.text(a[1])
		return func(c *Context) bool { return glob.Match(s(c), p(c)) }
	case "domain":
		a := k.args(n, 2)
		s, p := k.text(a[0]), k.text(a[1])
		if lit, ok := a[1].(*ast.StringNode); ok {
			domain := hostName(lit.Value)
			return func(c *Context) bool { return below(s(c), domain) }
		}
		return func(c *Context) bool { return inDomain(s(c), p(c)) }
	case "cidr":
		a := k.args(n, 2)
		s := k.text(a[0])
		if lit, ok := a[1].(*ast.StringNode); ok {
			p, err := netip.ParsePrefix(lit.Value)
			if err != nil {
				return func(*Context) bool { return false }
			}
			p = unmapped(p)
			return func(c *Context) bool { return within(s(c), p) }
		}
		p := k.text(a[1])
		return func(c *Context) bool { return inNetwork(s(c), p(c)) }
	case "baseline.seen":
		a := k.text(k.args(n, 1)[0])
		return func(c *Context) bool { return seen(c, a(c)) }
	}
	cannot("%s(…)", path(n.Callee))
	return nil
}

func (k closer) text(n ast.Node) textOf {
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
	case *ast.CallNode:
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
	}
	cannot("%s", nodeName(n))
	return nil
}

func (k closer) number(n ast.Node) numberOf {
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
			if whole(n) {
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
			a, b := k.number(n.Left), k.number(n.Right)
			switch n.Operator {
			case "+":
				return func(c *Context) float64 { return a(c) + b(c) }
			case "-":
				return func(c *Context) float64 { return a(c) - b(c) }
			case "*":
				if whole(n) {
					return func(c *Context) float64 { return a(c)*b(c) + 0 }
				}
				return func(c *Context) float64 { return a(c) * b(c) }
			case "/":
				return func(c *Context) float64 { return a(c) / b(c) }
			}
			return func(c *Context) float64 { return math.Pow(a(c), b(c)) }
		}
	case *ast.BuiltinNode:
		return k.builtinNumber(n)
	case *ast.CallNode:
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
			return func(c *Context) float64 { return toNumber(a(c)) }
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
	}
	cannot("%s", nodeName(n))
	return nil
}

func (k closer) builtinNumber(n *ast.BuiltinNode) numberOf {
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
				cannot("%s of a list", n.Name)
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
	cannot("%s", n.Name)
	return nil
}

// whole tells whether expr's machine reckons a node in ints, which know no zero below zero.
func whole(n ast.Node) bool { return n.Type() != nil && n.Type().Kind() == reflect.Int }

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
