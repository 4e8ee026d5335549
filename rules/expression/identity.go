package expression

import (
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/wayward-sec/wayward/event"
)

// identityFields hold the names of users and the like, which events carry in the form of
// event.Identity.
var identityFields = func() map[string]bool {
	m := map[string]bool{}
	for _, name := range event.IdentityFields() {
		m[name] = true
	}
	return m
}()

// byIdentity patches the tree so that a rule may write such a name in any spelling. What is compared
// with an identity field is brought into the form of the field: a constant when the rule is compiled,
// anything else when it runs.
type byIdentity struct{ scope *Scope }

func (b byIdentity) Visit(n *ast.Node) {
	switch x := (*n).(type) {
	case *ast.BinaryNode:
		switch x.Operator {
		case "==", "!=", "in", "startsWith", "endsWith", "contains", "matches":
		default:
			return
		}
		left, right := b.is(x.Left), b.is(x.Right)
		switch {
		case left == right: // of two such fields both are in the form
		case left:
			b.fold(&x.Right, x.Operator)
		case x.Operator == "==" || x.Operator == "!=":
			b.fold(&x.Left, x.Operator)
		}
	case *ast.CallNode:
		switch path(x.Callee) {
		case "glob":
			if len(x.Arguments) == 2 && b.is(x.Arguments[0]) {
				b.fold(&x.Arguments[1], "glob")
			}
		case "distance":
			if len(x.Arguments) == 2 && b.is(x.Arguments[0]) != b.is(x.Arguments[1]) {
				i := 0
				if b.is(x.Arguments[0]) {
					i = 1
				}
				b.fold(&x.Arguments[i], "==")
			}
		}
	}
}

// is tells whether a node is one of the fields.
func (b byIdentity) is(n ast.Node) bool {
	p := path(n)
	return identityFields[p] && b.scope.field(p) != nil
}

// fold brings what is compared with a field into the field's form.
func (b byIdentity) fold(n *ast.Node, operator string) {
	part := operator != "==" && operator != "!=" && operator != "in" // of a name
	one := func(s string) string {
		if part { // blanks at an end of a part are not around the name
			head := s[:len(s)-len(strings.TrimLeft(s, " "))]
			tail := s[len(strings.TrimRight(s, " ")):]
			if len(head) == len(s) {
				return s
			}
			return head + event.Identity(s) + tail
		}
		return event.Identity(s)
	}
	if operator == "matches" { // letters in an expression may mean something else than themselves
		one = func(s string) string { return "(?i)" + s }
	}
	texts := func(list []string) ast.Node { // as expr has a list that in looks into
		set := map[string]struct{}{}
		for _, s := range list {
			set[one(s)] = struct{}{}
		}
		return &ast.ConstantNode{Value: set}
	}
	switch x := (*n).(type) {
	case *ast.StringNode:
		x.Value = one(x.Value)
	case *ast.ArrayNode:
		for i := range x.Nodes {
			b.fold(&x.Nodes[i], operator)
		}
	case *ast.ConstantNode:
		if s, ok := x.Value.(string); ok {
			b.patch(n, &ast.StringNode{Value: one(s)})
		} else if list := constTexts(x); len(list) > 0 && operator == "in" {
			b.patch(n, texts(list))
		}
	default:
		name, known := b.scope.find(path(*n))
		switch {
		case known && name.List != nil && operator == "in":
			b.patch(n, texts(*name.List))
		case known && name.Const != nil && name.Type == Text:
			b.patch(n, &ast.StringNode{Value: one(name.Const.S)})
		case operator == "==" || operator == "!=":
			b.patch(n, &ast.CallNode{Callee: &ast.IdentifierNode{Value: "identity"}, Arguments: []ast.Node{*n}})
		}
	}
}

func (b byIdentity) patch(n *ast.Node, other ast.Node) {
	other.SetLocation((*n).Location())
	ast.Patch(n, other)
}
