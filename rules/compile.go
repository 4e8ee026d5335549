package rules

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/spelling"
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

// Context is what an expression sees when it runs.
type Context struct {
	E       *event.Event // nil where only names may be used
	Persona string
	Local   int64   // event time on the persona's own clock, Unix milliseconds
	Vars    []Value // of names, by slot
	Around  Around  // nil: nothing is known

	args    []found
	full    []byte // of tool.full
	form    event.Canonical
	digest  []byte // of args_digest, once it was asked for
	element string // of the list that a predicate looks into
}

// Around is what may be asked that does not stand in the event: what was learned of its persona,
// and what the policies say of it.
type Around interface {
	// Seen tells whether the persona is known to use what the event has under this word: tool,
	// server, destination, domain, resource, user.
	Seen(word string) bool
	// Quantile is the size of such a call that is not exceeded with probability q; infinite if
	// nothing is known. Of records, bytes, amount and cost.
	Quantile(measure string, q float64) float64
	// Expected is how much an agent of the persona does in an hour like the event's; infinite if
	// nothing is known. Of events, records, bytes, amount and cost.
	Expected(measure string) float64
	// P is the smallest p-value that a detector came to with the event: volume, sequence, rarity.
	// 1: nothing odd, or nothing known.
	P(detector string) float64
	// Role is what the policies say.
	Role() *Role
}

// Supposed is what a test supposes to be learned: what stands in it is answered instead of the
// baseline.
type Supposed struct {
	Seen     map[string]bool    `json:"seen,omitempty"`
	Quantile map[string]float64 `json:"quantile,omitempty"` // whatever the share
	Expected map[string]float64 `json:"expected,omitempty"`
	P        map[string]float64 `json:"p,omitempty"`
}

// learned are the words by which a baseline can be asked, by function.
var learned = map[string][]string{
	"baseline.seen":     {"tool", "server", "destination", "domain", "resource", "user"},
	"baseline.quantile": {"records", "bytes", "amount", "cost"},
	"baseline.expected": {"events", "records", "bytes", "amount", "cost"},
	"baseline.p":        {"volume", "sequence", "rarity"},
}

// Fault is a word that Supposed has and no baseline knows, and those that one knows; "" if there is
// none.
func (s *Supposed) Fault() (word string, known []string) {
	for of, words := range map[string][]string{"baseline.seen": slices.Sorted(maps.Keys(s.Seen)),
		"baseline.quantile": slices.Sorted(maps.Keys(s.Quantile)),
		"baseline.expected": slices.Sorted(maps.Keys(s.Expected)), "baseline.p": slices.Sorted(maps.Keys(s.P))} {
		for _, w := range words {
			if !slices.Contains(learned[of], w) {
				return w, learned[of]
			}
		}
	}
	return "", nil
}

// Role is what the policies say of a persona and of the call that it makes.
type Role struct {
	Known         bool
	Default       string
	Tags          []string
	Forbids       []string // dimensions
	NeedsApproval bool
}

var noRole = &Role{}

func (c *Context) role() *Role {
	if c.Around == nil {
		return noRole
	}
	return c.Around.Role()
}

// Name is something else that an expression may use.
type Name struct {
	Type  Type
	Slot  int       // in Context.Vars
	Const *Value    // what it always is; Slot says nothing then
	List  *[]string // of type Texts
}

// Scope is what an expression may use.
type Scope struct {
	Event bool // the fields of an event
	Names map[string]Name
}

// Expr is an expression, checked and compiled. It may be shared by any number of goroutines.
type Expr struct {
	Source string
	Type   Type
	// VM is why it runs on expr's machine; "" if closures run it.
	VM string
	// Uses are the fields and names that it asks for, sorted.
	Uses []string
	// Args are the paths of the call's arguments that it asks for, as far as they are written out.
	Args []string
	// Guard is what an event must be like for it to be true, as far as that can be told.
	Guard Guard

	isTrue  func(*Context) bool
	rest    func(*Context) bool // what is left of it where the index has seen to the guard
	number  func(*Context) float64
	text    func(*Context) string
	node    ast.Node
	program *vm.Program
	scope   *Scope
}

// Fault is something wrong with an expression.
type Fault struct {
	Code   string // R1xx
	Column int    // of the source, from 1; 0: of the whole
	Line   int    // of the source, from 1
	What   string // "what is wrong; what to do"
}

func (f *Fault) Error() string { return f.Code + " " + f.What }

func fault(code string, at file.Location, src, format string, args ...any) *Fault {
	line, col := 1, 1
	for i, r := range []rune(src) {
		if i == at.From {
			break
		}
		if col++; r == '\n' {
			line, col = line+1, 1
		}
	}
	return &Fault{Code: code, Line: line, Column: col, What: fmt.Sprintf(format, args...)}
}

// builtins of expr that an expression may use: none that reads a clock, makes text grow, or builds
// lists.
var builtins = []string{"all", "any", "none", "one", "count", "len", "abs", "ceil", "floor", "round", "lower", "upper",
	"trim", "trimPrefix", "trimSuffix", "max", "min"}

// Compile checks an expression and compiles it. want 0: any type but lists.
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
	if f := x.cost(); f != nil {
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
	x.closures()
	if x.Type == Bool {
		x.Guard = guardOf(x.node, scope)
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

// Rest is the condition for events that the index of Guard has found: those whose tool is among
// Guard.Tools, or if that is nil whose class is among Guard.Classes, or if that is 0 whose kind is
// among Guard.Kinds. It cannot fail. nil: closures do not run the expression; ask IsTrue.
func (x *Expr) Rest() func(*Context) bool { return x.rest }

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

// Truth is a bool as a value.
func Truth(b bool) Value {
	if b {
		return Value{N: 1}
	}
	return Value{}
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

// explain makes a fault of what expr says.
func explain(err error, src string, scope *Scope) error {
	var at *file.Error
	if !errors.As(err, &at) {
		return &Fault{Code: "R104", What: strings.ReplaceAll(err.Error(), "\n", " ") + "; correct the expression"}
	}
	what := at.Message
	f := fault("R104", at.Location, src, "%s; correct the expression", what)
	switch {
	case strings.HasPrefix(what, "unknown name "), strings.HasPrefix(what, "unknown field "):
		name := strings.TrimPrefix(strings.TrimPrefix(what, "unknown name "), "unknown field ")
		head := ""
		if r := []rune(src); at.From > 0 && at.From < len(r) && r[at.From-1] == '.' {
			dot := at.From - 1
			i := dot
			for i > 0 && (r[i-1] == '_' || unicode.IsLetter(r[i-1])) {
				i--
			}
			head = string(r[i:dot])
		}
		f.Code, f.What = "R101", "unknown field "+quote(name)+"; "+scope.suggest(head, name)
	case strings.HasPrefix(what, "invalid operation"), strings.HasPrefix(what, "operator"):
		f.Code, f.What = "R102", what+"; compare things of one type: texts in quotes, numbers without"
	case strings.Contains(what, "unknown builtin"), strings.Contains(what, "is disabled"):
		f.Code, f.What = "R105", what+"; use only what wayward rules fields lists"
	case strings.Contains(what, "maximum allowed nodes"), strings.Contains(what, "exceeds"):
		f.Code, f.What = "R120", "the expression is too large; split it, or put long lists into lists:"
	}
	return f
}

func quote(s string) string { return fmt.Sprintf("%q", s) }

// suggest names what was perhaps meant: a name under head, if there is one, else any.
func (s *Scope) suggest(head, name string) string {
	best, least := "", 2*min(3, len(name)/2+1)+1
	try := func(part, meant string) {
		d := 2 * spelling.Distance(name, part)
		if head == "" && part != meant {
			d++
		}
		if part[:1] != name[:1] {
			d++
		}
		if d < least || d == least && best != "" && meant < best {
			best, least = meant, d
		}
	}
	for _, have := range s.all() {
		top, rest, dotted := strings.Cut(have, ".")
		switch {
		case head != "":
			if top == head && dotted {
				try(rest, have)
			}
			continue
		case dotted && top != "has":
			try(rest, have)
		}
		try(top, top)
	}
	switch {
	case best != "":
		return "did you mean " + best + "?"
	case head != "":
		return "wayward rules fields lists what is under " + head
	}
	return "wayward rules fields lists them all"
}

// all are the names that may be used.
func (s *Scope) all() []string {
	var out []string
	if s.Event {
		for _, f := range Fields() {
			out = append(out, f.Name)
		}
	}
	return append(out, slices.Sorted(maps.Keys(s.Names))...)
}

func (s *Scope) find(name string) (Name, bool) {
	n, ok := s.Names[name]
	return n, ok
}

var fieldsByName = func() map[string]*Field {
	m := map[string]*Field{}
	for _, f := range Fields() {
		m[f.Name] = f
	}
	return m
}()

func (s *Scope) field(name string) *Field {
	if !s.Event {
		return nil
	}
	return fieldsByName[name]
}

// types is the environment that expr checks against.
func (s *Scope) types() types.Map {
	root := types.Map{}
	put := func(name string, t types.Type) {
		m := root
		for {
			head, rest, more := strings.Cut(name, ".")
			if !more {
				m[head] = t
				return
			}
			next, ok := m[head].(types.Map)
			if !ok {
				next = types.Map{}
				m[head] = next
			}
			m, name = next, rest
		}
	}
	of := map[Type]types.Type{Bool: types.Bool, Number: types.Float64, Text: types.String,
		Texts: types.Array(types.String)}
	if s.Event {
		for _, f := range Fields() {
			put(f.Name, of[f.Type])
		}
	}
	for name, n := range s.Names {
		put(name, of[n.Type])
	}
	for i := range functions {
		if f := &functions[i]; s.Event || !f.event {
			put(f.name, types.TypeOf(f.of(nil)))
		}
	}
	return root
}

// env is the environment that expr's machine runs in.
func (s *Scope) env(c *Context) map[string]any {
	root := map[string]any{}
	put := func(name string, v any) {
		m := root
		for {
			head, rest, more := strings.Cut(name, ".")
			if !more {
				m[head] = v
				return
			}
			next, ok := m[head].(map[string]any)
			if !ok {
				next = map[string]any{}
				m[head] = next
			}
			m, name = next, rest
		}
	}
	if s.Event {
		for _, f := range Fields() {
			put(f.Name, f.any(c))
		}
	}
	for name, n := range s.Names {
		v := Value{}
		if n.Const != nil {
			v = *n.Const
		} else if n.Type != Texts {
			v = c.Vars[n.Slot]
		}
		switch n.Type {
		case Bool:
			put(name, v.N != 0)
		case Number:
			put(name, v.N)
		case Text:
			put(name, v.S)
		case Texts:
			put(name, *n.List)
		}
	}
	for i := range functions {
		if f := &functions[i]; s.Event || !f.event {
			put(f.name, f.of(c))
		}
	}
	return root
}

// any is what the field holds.
func (f *Field) any(c *Context) any {
	switch {
	case f.text != nil:
		return f.text(c)
	case f.num != nil:
		return f.num(c)
	case f.is != nil:
		return f.is(c)
	}
	if l := f.texts(c); l != nil {
		return l
	}
	return []string{}
}

const hourMS, dayMS = 3_600_000, 86_400_000

func hourOf(c *Context) float64 { return float64(((c.Local % dayMS) + dayMS) % dayMS / hourMS) }

func weekdayOf(c *Context) float64 {
	day := c.Local / dayMS
	if c.Local%dayMS < 0 {
		day--
	}
	return float64((day%7+7+3)%7 + 1) // the epoch was a Thursday
}

// path is the dotted name that a node stands for, or "".
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

// cost says what would make the expression too dear to run with every event.
func (x *Expr) cost() *Fault {
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
			if known := learned[path(n.Callee)]; known != nil && len(n.Arguments) > 0 {
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
