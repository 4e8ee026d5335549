// Package expression is the language of conditions in rules: expressions over one event, such as
// tool.class == "pay" and amount.value > 500.
//
// An expression is written in expr (github.com/expr-lang/expr), checked against the table of fields
// and compiled to closures over the checked tree. What the closures do not cover runs on expr's own
// machine, which is some seventeen times slower and allocates.
//
// The package knows one event at a time: no window, no sequence, no state. What is asked beside the
// event comes in through Enrichment. Begin reading at Compile; fields.go has all that an expression
// may ask, functions.go all that it may call.
package expression

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"
)

// Bounds of an expression.
const (
	MaxSource = 4096 // bytes
	maxNodes  = 500
	// predicates within predicates: expr has no limit on steps, and each multiplies the work by the
	// length of a list
	maxNested = 2
	maxRegexp = 512
)

// Expr is an expression, checked and compiled. It may be shared by any number of goroutines.
type Expr struct {
	Source string
	Type   Type
	// VM is why it runs on expr's machine; "" if closures run it.
	VM string
	// Uses are the fields and names in it, sorted.
	Uses []string
	// Args are the paths of the call's arguments in it, as far as they are written out.
	Args []string
	// Prefilter is what an event must be like for it to be true, as far as that can be read off.
	Prefilter Prefilter

	isTrue   func(*Context) bool
	residual func(*Context) bool // see Residual
	number   func(*Context) float64
	text     func(*Context) string
	node     ast.Node
	program  *vm.Program
	scope    *Scope
}

// builtins of expr that an expression may use: none that reads a clock, makes text grow, or builds
// lists.
var builtins = []string{"all", "any", "none", "one", "count", "len", "abs", "ceil", "floor", "round", "lower", "upper",
	"trim", "trimPrefix", "trimSuffix", "max", "min"}

// Compile checks and compiles an expression of type want; 0: any type but lists. Its errors are
// *Fault.
func Compile(src string, scope *Scope, want Type) (*Expr, error) {
	switch {
	case strings.TrimSpace(src) == "":
		return nil, &Fault{Code: "R100",
			What: "the expression is empty; write a condition, such as tool.class == \"pay\""}
	case len(src) > MaxSource:
		return nil, &Fault{Code: "R120",
			What: fmt.Sprintf("the expression is longer than %d bytes; split it, or put long lists into lists:",
				MaxSource)}
	}
	options := []expr.Option{expr.Env(scope.types()), expr.DisableAllBuiltins(), expr.MaxNodes(maxNodes),
		expr.Patch(byFullName{scope}), expr.Patch(byIdentity{scope})}
	for _, b := range builtins {
		options = append(options, expr.EnableBuiltin(b))
	}
	program, err := expr.Compile(src, options...)
	if err != nil {
		return nil, explain(err, src, scope)
	}
	x := &Expr{Source: src, node: program.Node(), program: program, scope: scope}
	if f := x.checkLimits(); f != nil {
		return nil, f
	}
	x.Type = typeOf(x.node)
	switch {
	case x.Type == 0 || x.Type == Texts:
		return nil, &Fault{Code: "R103",
			What: "the expression has no single value; compare it with something, or use in, any, all or len"}
	case want != 0 && want != x.Type:
		return nil, &Fault{Code: "R102", What: fmt.Sprintf("the expression is a %s, and a %s is wanted here; %s",
			x.Type, want, map[Type]string{Bool: "compare it with something", Number: "use a count or a sum",
				Text: "use string(…)"}[want])}
	}
	uses := map[string]bool{}
	walk(x.node, func(n ast.Node) bool {
		if p := path(n); p != "" {
			if _, known := scope.find(p); known || scope.field(p) != nil {
				uses[p] = true
				return false
			}
		}
		return true
	})
	x.Uses = slices.Sorted(maps.Keys(uses))
	x.compileClosures()
	if x.Type == Bool {
		x.Prefilter = prefilterOf(x.node, scope)
	}
	return x, nil
}

// IsTrue runs an expression of type Bool.
func (x *Expr) IsTrue(c *Context) (bool, error) {
	if x.isTrue != nil {
		return x.isTrue(c), nil
	}
	v, err := vm.Run(x.program, x.scope.env(c))
	if err != nil {
		return false, err
	}
	b, _ := v.(bool)
	return b, nil
}

// Residual is what is left of the condition for events that an index of Prefilter has found: those
// whose tool is among Prefilter.Tools, or if that is nil whose class is among Prefilter.Classes, or if
// that is 0 whose kind is among Prefilter.Kinds. It cannot fail. nil: closures do not run the
// expression; use IsTrue.
func (x *Expr) Residual() func(*Context) bool { return x.residual }

// Value runs an expression.
func (x *Expr) Value(c *Context) (Value, error) {
	switch {
	case x.isTrue != nil:
		return Truth(x.isTrue(c)), nil
	case x.number != nil:
		return Value{N: x.number(c)}, nil
	case x.text != nil:
		return Value{S: x.text(c)}, nil
	}
	v, err := vm.Run(x.program, x.scope.env(c))
	if err != nil {
		return Value{}, err
	}
	return valueOf(v), nil
}

func valueOf(v any) Value {
	switch v := v.(type) {
	case bool:
		return Truth(v)
	case string:
		return Value{S: v}
	case float64:
		return Value{N: v}
	case int:
		return Value{N: float64(v)}
	}
	return Value{}
}
