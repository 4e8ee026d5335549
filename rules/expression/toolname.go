package expression

import (
	"slices"

	"github.com/expr-lang/expr/ast"

	"github.com/wayward-sec/wayward/event"
)

// fullTool is the name of the tool with its server. The next call overwrites it.
func fullTool(x *Context) string {
	t := &x.E.Tool
	switch {
	case t.Sent != "":
		return t.Sent
	case t.Server == "":
		return t.Name
	}
	x.full = t.AppendFull(x.full[:0])
	return alias(x.full)
}

// byFullName patches the tree so that a rule may write the name of a tool as MCP clients do,
// mcp__crm__delete_user, although tool.name is the plain name. A comparison of tool.name with such a
// text compares tool.full as well: tool.name == "mcp__…" becomes tool.name == "mcp__…" or
// tool.full == "mcp__…".
type byFullName struct{ scope *Scope }

func (b byFullName) Visit(n *ast.Node) {
	if b.scope.field("tool.name") == nil {
		return
	}
	switch x := (*n).(type) {
	case *ast.BinaryNode:
		join := "or"
		switch x.Operator {
		case "==", "in", "startsWith", "endsWith", "contains", "matches":
		case "!=":
			join = "and"
		default:
			return
		}
		other := *x
		switch {
		case path(x.Left) == "tool.name" && b.names(x.Right):
			other.Left = fullName()
		case path(x.Right) == "tool.name" && b.names(x.Left):
			other.Right = fullName()
		default:
			return
		}
		b.join(n, join, &other)
	case *ast.CallNode:
		if path(x.Callee) == "glob" && len(x.Arguments) == 2 && path(x.Arguments[0]) == "tool.name" &&
			b.names(x.Arguments[1]) {
			b.join(n, "or", &ast.CallNode{Callee: x.Callee, Arguments: []ast.Node{fullName(), x.Arguments[1]}})
		}
	}
}

func (b byFullName) join(n *ast.Node, operator string, other ast.Node) {
	other.SetLocation((*n).Location())
	ast.Patch(n, &ast.BinaryNode{Operator: operator, Left: *n, Right: other})
}

func fullName() ast.Node {
	return &ast.MemberNode{Node: &ast.IdentifierNode{Value: "tool"}, Property: &ast.StringNode{Value: "full"}}
}

// names tells whether a text, one of a list, or a pattern is about names with servers.
func (b byFullName) names(n ast.Node) bool {
	if s, ok := n.(*ast.StringNode); ok {
		return event.NamesServer(s.Value) || len(s.Value) > 5 && s.Value[0] == '^' && event.NamesServer(s.Value[1:])
	}
	if name, ok := b.scope.find(path(n)); ok {
		return name.List != nil && slices.ContainsFunc(*name.List, event.NamesServer) || name.Const != nil &&
			name.Type == Text && event.NamesServer(name.Const.S)
	}
	return slices.ContainsFunc(constTexts(n), event.NamesServer)
}
