package expression

import (
	"maps"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
)

// path is the dotted name that a node is, such as tool.name; "": it is none.
func path(n ast.Node) string {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value
	case *ast.MemberNode:
		if p, ok := n.Property.(*ast.StringNode); ok && !n.Optional {
			if head := path(n.Node); head != "" {
				return head + "." + p.Value
			}
		}
	}
	return ""
}

// walk visits a tree from the top; visit says whether to go deeper.
func walk(n ast.Node, visit func(ast.Node) bool) {
	if n == nil || !visit(n) {
		return
	}
	for _, child := range children(n) {
		walk(child, visit)
	}
}

// children are the nodes right below a node.
func children(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return []ast.Node{n.Node}
	case *ast.BinaryNode:
		return []ast.Node{n.Left, n.Right}
	case *ast.ChainNode:
		return []ast.Node{n.Node}
	case *ast.MemberNode:
		return []ast.Node{n.Node, n.Property}
	case *ast.SliceNode:
		return []ast.Node{n.Node, n.From, n.To}
	case *ast.CallNode:
		return append([]ast.Node{n.Callee}, n.Arguments...)
	case *ast.BuiltinNode:
		return append(slices.Clone(n.Arguments), n.Map)
	case *ast.PredicateNode:
		return []ast.Node{n.Node}
	case *ast.ConditionalNode:
		return []ast.Node{n.Cond, n.Exp1, n.Exp2}
	case *ast.VariableDeclaratorNode:
		return []ast.Node{n.Value, n.Expr}
	case *ast.SequenceNode:
		return n.Nodes
	case *ast.ArrayNode:
		return n.Nodes
	case *ast.MapNode:
		return n.Pairs
	case *ast.PairNode:
		return []ast.Node{n.Key, n.Value}
	}
	return nil
}

// second is the second argument of a call; nil: there is none.
func second(n *ast.CallNode) ast.Node {
	if len(n.Arguments) < 2 {
		return nil
	}
	return n.Arguments[1]
}

// literal is a number that is written out.
func literal(n ast.Node) (float64, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return float64(n.Value), true
	case *ast.FloatNode:
		return n.Value, true
	}
	return 0, false
}

// constTexts are the texts that a node always is; nil: not known.
func constTexts(n ast.Node) []string {
	switch n := n.(type) {
	case *ast.StringNode:
		return []string{n.Value}
	case *ast.ConstantNode:
		switch v := n.Value.(type) {
		case string:
			return []string{v}
		case map[string]struct{}:
			return slices.Collect(maps.Keys(v))
		case []any:
			out := []string{}
			for _, x := range v {
				s, ok := x.(string)
				if !ok {
					return nil
				}
				out = append(out, s)
			}
			return out
		}
	case *ast.ArrayNode:
		out := []string{}
		for _, x := range n.Nodes {
			s, ok := x.(*ast.StringNode)
			if !ok {
				return nil
			}
			out = append(out, s.Value)
		}
		return out
	}
	return nil
}

// typeOf is the type that expr's checker found.
func typeOf(n ast.Node) Type {
	t := n.Type()
	if t == nil {
		return 0
	}
	switch t.Kind().String() {
	case "bool":
		return Bool
	case "string":
		return Text
	case "int", "float64", "int64":
		return Number
	case "slice":
		return Texts
	}
	return 0
}

// constText is a text that is written out, or a parameter.
func (x *Expr) constText(n ast.Node) (string, bool) {
	if s, ok := n.(*ast.StringNode); ok {
		return s.Value, true
	}
	if name, ok := x.scope.find(path(n)); ok && name.Const != nil && name.Type == Text {
		return name.Const.S, true
	}
	return "", false
}

// Conjunct is one of the parts of a condition all of which must hold, as it is written.
type Conjunct struct {
	Source string
	node   ast.Node
}

// Conjuncts cuts a condition at its outermost "and". It reads the text anew: what the optimizer made
// of an expression cannot be written down.
func Conjuncts(src string, scope *Scope) ([]Conjunct, error) {
	tree, err := parser.Parse(src)
	if err != nil {
		return nil, explain(err, src, scope)
	}
	var out []Conjunct
	for _, n := range conjuncts(tree.Node) {
		out = append(out, Conjunct{n.String(), n})
	}
	return out, nil
}

// Conjuncts are the parts of the condition, each compiled by itself; of a part that does not compile
// alone there is none.
func (x *Expr) Conjuncts() ([]*Expr, error) {
	parts, err := Conjuncts(x.Source, x.scope)
	if err != nil {
		return nil, err
	}
	var out []*Expr
	for _, p := range parts {
		if y, err := Compile(p.Source, x.scope, Bool); err == nil {
			out = append(out, y)
		}
	}
	return out, nil
}

// Mentions tells whether the part uses one of the names.
func (c Conjunct) Mentions(names map[string]Name) bool {
	found := false
	walk(c.node, func(n ast.Node) bool {
		if _, is := names[path(n)]; is {
			found = true
		}
		return !found
	})
	return found
}

// Equality returns the names on both sides if the part is name == name; false: it is not.
func (c Conjunct) Equality() (left, right string, ok bool) {
	b, ok := c.node.(*ast.BinaryNode)
	if !ok || b.Operator != "==" {
		return "", "", false
	}
	return path(b.Left), path(b.Right), true
}

// conjuncts are the parts of a condition all of which must hold.
func conjuncts(n ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "&&" || b.Operator == "and") {
		return append(conjuncts(b.Left), conjuncts(b.Right)...)
	}
	return []ast.Node{n}
}
