package expression

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/wayward-sec/wayward/event/glob"
)

// compileClosures compiles the checked tree to closures, or sets VM to what they do not cover. They
// agree with expr's machine; a fuzz test compares them.
func (x *Expr) compileClosures() {
	defer func() {
		if r := recover(); r != nil {
			u, ours := r.(notCovered)
			if !ours {
				panic(r)
			}
			x.isTrue, x.residual, x.number, x.text, x.VM = nil, nil, nil, nil, string(u)
		}
	}()
	c := closureBuilder{x.scope}
	switch x.Type {
	case Bool:
		x.isTrue = c.bool(x.node)
		x.residual = c.residual(x.node)
	case Number:
		x.number = c.number(x.node)
	case Text:
		x.text = c.text(x.node)
	}
}

// notCovered is a form of expression that closures do not cover.
type notCovered string

// unsupported leaves the compilation of closures.
func unsupported(format string, args ...any) { panic(notCovered(fmt.Sprintf(format, args...))) }

// closureBuilder compiles nodes of a tree to closures. Its methods do not return where a node is not
// covered: see unsupported.
type closureBuilder struct{ scope *Scope }

type (
	boolOf   = func(*Context) bool
	numberOf = func(*Context) float64
	textOf   = func(*Context) string
)

// bool compiles a node whose value is a bool.
func (k closureBuilder) bool(n ast.Node) boolOf {
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
	unsupported("%s", nodeName(n))
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

// either is cond ? a : b.
func either[T any](cond boolOf, a, b func(*Context) T) func(*Context) T {
	return func(c *Context) T {
		if cond(c) {
			return a(c)
		}
		return b(c)
	}
}

// ordered compares two values by <, <=, > or >=.
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

// nodeName is the name of a node for messages.
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

// binary compiles an operator whose value is a bool.
func (k closureBuilder) binary(n *ast.BinaryNode) boolOf {
	var f boolOf
	switch n.Operator {
	case "&&", "and":
		a, b := k.bool(n.Left), k.bool(n.Right)
		return func(c *Context) bool { return a(c) && b(c) }
	case "||", "or":
		a, b := k.bool(n.Left), k.bool(n.Right)
		return func(c *Context) bool { return a(c) || b(c) }
	case "==", "!=":
		f = k.equality(n, n.Operator == "==")
	case "<", "<=", ">", ">=":
		f = k.order(n)
	case "contains", "startsWith", "endsWith":
		return k.partOf(n)
	case "matches":
		f = k.matches(n)
	case "in":
		return k.in(n)
	}
	if f == nil {
		unsupported("operator %s between %s and %s", n.Operator, typeOf(n.Left), typeOf(n.Right))
	}
	return f
}

// equality compiles == (same) and !=; nil: not of these types.
func (k closureBuilder) equality(n *ast.BinaryNode, same bool) boolOf {
	switch l, r := typeOf(n.Left), typeOf(n.Right); {
	case l == Text && r == Text:
		s, ok := n.Right.(*ast.StringNode)
		if !ok {
			a, b := k.text(n.Left), k.text(n.Right)
			return func(c *Context) bool { return (a(c) == b(c)) == same }
		}
		v := s.Value
		if f := k.scope.field(path(n.Left)); f != nil && f.text != nil { // most conditions are like this
			get := f.text
			if same {
				return func(c *Context) bool { return get(c) == v }
			}
			return func(c *Context) bool { return get(c) != v }
		}
		a := k.text(n.Left)
		return func(c *Context) bool { return (a(c) == v) == same }
	case l == Number && r == Number:
		a, b := k.number(n.Left), k.number(n.Right)
		return func(c *Context) bool { return (a(c) == b(c)) == same }
	case l == Bool && r == Bool:
		a, b := k.bool(n.Left), k.bool(n.Right)
		return func(c *Context) bool { return (a(c) == b(c)) == same }
	}
	return nil
}

// order compiles < and the like; nil: not of these types.
func (k closureBuilder) order(n *ast.BinaryNode) boolOf {
	switch l, r := typeOf(n.Left), typeOf(n.Right); {
	case l == Number && r == Number:
		a, b := k.number(n.Left), k.number(n.Right)
		v, constant := k.constant(n.Right)
		f := k.scope.field(path(n.Left))
		if !constant || f == nil || f.num == nil {
			return ordered(n.Operator, a, b)
		}
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
	case l == Text && r == Text:
		return ordered(n.Operator, k.text(n.Left), k.text(n.Right))
	}
	return nil
}

// partOf compiles contains, startsWith and endsWith.
func (k closureBuilder) partOf(n *ast.BinaryNode) boolOf {
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
}

// matches compiles a comparison with a regular expression; nil: it is not written out.
func (k closureBuilder) matches(n *ast.BinaryNode) boolOf {
	s, ok := n.Right.(*ast.StringNode)
	if !ok {
		return nil
	}
	a, re := k.text(n.Left), regexp.MustCompile(s.Value) // the checker has compiled it
	if prefix := anchored(s.Value); prefix != "" {
		return func(c *Context) bool { v := a(c); return strings.HasPrefix(v, prefix) && re.MatchString(v) }
	}
	return func(c *Context) bool { return re.MatchString(a(c)) }
}

// anchored is the literal text with which a pattern begins behind ^, so that most texts can be
// refused without running it; "": it has none.
func anchored(pattern string) string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil || re.Op != syntax.OpConcat || len(re.Sub) < 2 || re.Sub[0].Op != syntax.OpBeginText ||
		re.Sub[1].Op != syntax.OpLiteral || re.Sub[1].Flags&syntax.FoldCase != 0 {
		return ""
	}
	return string(re.Sub[1].Rune)
}

// constant is the number that a node always is.
func (k closureBuilder) constant(n ast.Node) (float64, bool) {
	if v, ok := literal(n); ok {
		return v, true
	}
	if name, ok := k.scope.find(path(n)); ok && name.Type == Number && name.Const != nil {
		return name.Const.N, true
	}
	return 0, false
}

// in compiles membership in a list.
func (k closureBuilder) in(n *ast.BinaryNode) boolOf {
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
						unsupported("a list of several types")
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
					unsupported("a list that is not written out")
				}
			}
		}
		if list != nil {
			return func(c *Context) bool { return slices.Contains(list, a(c)) }
		}
	}
	unsupported("in with %s", nodeName(n.Right))
	return nil
}

// listOf is a list to look into.
func (k closureBuilder) listOf(n ast.Node) func(*Context) []string {
	p := path(n)
	if name, ok := k.scope.find(p); ok && name.Type == Texts {
		list := *name.List
		return func(*Context) []string { return list }
	}
	if f := k.scope.field(p); f != nil && f.texts != nil {
		return f.texts
	}
	unsupported("a list that is no field")
	return nil
}

// predicate compiles any, none, one and all over a list.
func (k closureBuilder) predicate(n *ast.BuiltinNode) boolOf {
	p, ok := n.Arguments[1].(*ast.PredicateNode)
	if !ok {
		unsupported("%s", n.Name)
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
	unsupported("%s", n.Name)
	return nil
}

// args are the arguments of a call that must have so many.
func (k closureBuilder) args(n *ast.CallNode, count int) []ast.Node {
	if len(n.Arguments) != count {
		unsupported("%s with %d arguments", path(n.Callee), len(n.Arguments))
	}
	return n.Arguments
}

// callBool compiles a function of ours that returns a bool.
func (k closureBuilder) callBool(n *ast.CallNode) boolOf {
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
	unsupported("%s(…)", path(n.Callee))
	return nil
}
