package rules

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"github.com/wayward-sec/wayward/event"
)

// Bounds of a rule and of what is remembered for it.
const (
	MaxSteps    = 8
	MaxParts    = 2*MaxSteps + 1 // steps, nots, absent
	MaxCaptures = 8
	MaxTimes    = 100
	MaxRuns     = 1024      // sequences under way under one key that wait for one step, with select: each
	MaxOpen     = 4096      // absences awaited under one key
	MaxWeight   = 512 << 10 // bytes of sequences and absences on a page
	// events of a window under one key that are kept as they were; older ones are added up
	MaxSamples = 1000
	MaxNumbers = 48 << 10 // numbers that a window under one key holds, an event taken for eight
	MaxStates  = 4096     // keys on one page
	MaxKept    = 64 << 10 // numbers in all windows of a page
	maxText    = 256      // bytes of a text that is remembered
	maxLets    = 16
)

// Mode says what a rule may do.
type Mode uint8

// Modes, each doing what the one before does and more.
const (
	Off     Mode = iota // nothing
	Shadow              // its matches are counted
	Signal              // they are findings that call nobody
	Alert               // they are alerts
	Enforce             // they ask for what respond says
)

var modes = []string{"off", "shadow", "signal", "alert", "enforce"}

func (m Mode) String() string { return modes[m] }

// Modes are the words of Mode.
func Modes() []string { return modes }

// Statuses say how far the text of a rule can be trusted.
var Statuses = []string{"experimental", "test", "stable", "deprecated"}

// Key is a part of what a rule adds up by.
type Key uint8

// Keys. Agent and session are known to one shard alone; all others may be shared by agents.
const (
	AgentKey Key = iota
	SessionKey
	UserKey
	PersonaKey
	TenantKey
	OwnerKey
	CredentialKey
	ToolKey
	ServerKey
	ConversationKey
	ResourceKey
	DestinationKey
	SubjectKey
)

var keys = []string{"agent", "session", "user", "persona", "tenant", "owner", "credential", "tool", "server",
	"conversation", "resource", "destination", "subject"}

func (k Key) String() string { return keys[k] }

// Keys are the words of Key.
func Keys() []string { return keys }

// ParseKey returns the key that a word names.
func ParseKey(word string) (Key, bool) {
	i := slices.Index(keys, word)
	return Key(max(i, 0)), i >= 0
}

// Select says which of several sequences under way goes on.
type Select uint8

// Ways of selecting.
const (
	Latest Select = iota // a newer start replaces an older one
	First                // the oldest stays until it is over
	Each                 // up to MaxRuns go on side by side
)

var selects = []string{"latest", "first", "each"}

func (s Select) String() string { return selects[s] }

// Selects are the words of Select.
func Selects() []string { return selects }

// Rule is a rule, compiled. It never changes.
type Rule struct {
	ID, Title, Why string
	Version        string
	Status         string
	Mode           Mode
	Severity       event.Severity
	Risk           int // 0: by severity
	Tags           []string
	FalsePositives []string
	Response       string // what a person should do
	Tune           string
	UseCases       []string // of the catalogue of use cases
	References     []string

	By         []Key
	Window     int64 // ms; of a rule with Having
	Within     int64 // ms; of a sequence
	Select     Select
	Suppress   int64 // ms
	Steps      []*Step
	Nots       []*Step
	Absent     *Step
	AbsentFor  int64 // ms
	Lets       []*Let
	Having     *Expr
	Explain    *Expr
	Exceptions []*Exception
	Respond    *event.Response

	// Hash names its state: it changes with what decides when it matches, and with nothing else.
	Hash     uint64
	captures int
	parts    []*Step
	above    bool
}

// Step is what one event of a rule must be like, or several that add up.
type Step struct {
	Name  string
	Where *Expr // of the event alone
	Join  *Expr // together with what was captured before; nil: nothing
	Times int
	After int // of a not: the step behind which it counts; -1: anywhere
	Lets  []*Let
	// what must hold of all events of the step so far for it to be done; nil: Times of them will do
	Having   *Expr
	captures []capture
	row      []*Expr // what is taken from the event, in this order
	distinct int     // place in row of what times counts the different values of; -1: all count
	eqRow    int     // place in row of what Join wants to be equal to a thing captured; -1: nothing
	eqCap    int     // and the slot of that
}

// nothing tells whether the event lacks what the step counts the different values of: that is no
// value to tell from others.
func (s *Step) nothing(row []Value) bool {
	return s.row[s.distinct].Type != Bool && row[s.distinct] == (Value{})
}

// many tells whether it takes more than one event.
func (s *Step) many() bool { return s.Times > 1 || s.Having != nil }

// capture is what goes on from a step into a slot: a thing taken from its last event, or what a let
// has come to.
type capture struct{ row, let, slot int }

// Let is a named part of a rule or step that adds up: an aggregate over its events, or what follows
// from others.
type Let struct {
	Name      string
	Source    string
	Aggregate string  // count, sum, avg, min, max, distinct, quantile; "" if it is an expression
	row       int     // of what it adds up
	of        Type    // of that
	q         float64 // of quantile
	expr      *Expr

	kind  letKind
	nth   int // among lets of its kind
	shape [histKind + 1]int
}

// Exception lets go of what a rule would match.
type Exception struct {
	Name, Reason, Owner string
	Expires             int64 // Unix ms; 0: never
	When                *Expr
}

// Above tells whether events of several agents may come together in the rule, or it waits for what
// may not come: then the relation stage runs it.
func (r *Rule) Above() bool { return r.above }

// Kept tells whether anything must be remembered for the rule besides that it matched.
func (r *Rule) Kept() bool {
	return r.Having != nil || len(r.Steps) > 1 || r.Absent != nil || r.Steps[0].many()
}

// Parts are the conditions of the rule in the order of their bits in Taken.Mask: steps, nots,
// absent.
func (r *Rule) Parts() []*Step { return r.parts }

// PartName is where a part stands in the rule as it is written.
func (r *Rule) PartName(i int) string {
	switch n := len(r.Steps); {
	case r.parts[i] == r.Absent:
		return "absent"
	case i >= n:
		return fmt.Sprintf("not[%d]", i-n)
	case r.Within == 0 && r.Absent == nil && n == 1:
		return "event"
	}
	return fmt.Sprintf("steps[%d]", i)
}

// Expressions are all expressions of the rule, by where they stand.
func (r *Rule) Expressions() map[string]*Expr {
	out := map[string]*Expr{}
	put := func(name string, x *Expr) {
		if x != nil {
			out[name] = x
		}
	}
	for i, s := range r.Parts() {
		name := r.PartName(i)
		put(name+".where", s.Where)
		put(name+".join", s.Join)
		for j, x := range s.row {
			put(fmt.Sprintf("%s.row[%d]", name, j), x)
		}
		for _, l := range s.Lets {
			put(name+".let."+l.Name, l.expr)
		}
		put(name+".having", s.Having)
	}
	for _, l := range r.Lets {
		put("let."+l.Name, l.expr)
	}
	put("having", r.Having)
	put("explain", r.Explain)
	for _, e := range r.Exceptions {
		put("exceptions."+e.Name, e.When)
	}
	return out
}

// Fields are the fields of events that the rule asks for, sorted.
func (r *Rule) Fields() []*Field {
	names := map[string]bool{}
	for _, x := range r.Expressions() {
		for _, u := range x.Uses {
			if fieldsByName[u] != nil {
				names[u] = true
			}
		}
	}
	var out []*Field
	for _, n := range slices.Sorted(maps.Keys(names)) {
		out = append(out, fieldsByName[n])
	}
	return out
}

// Args are the paths of the call's arguments that the rule asks for, sorted.
func (r *Rule) Args() []string {
	paths := map[string]bool{}
	for _, x := range r.Expressions() {
		for _, p := range x.Args {
			paths[p] = true
		}
	}
	return slices.Sorted(maps.Keys(paths))
}

// Carries tells whether a call has something at the path of an argument.
func Carries(e *event.Event, path string) bool { return argumentOf(e.Args, path) != "" }

// Source is a rule as it is written, without what concerns people alone.
type Source struct {
	By      []Key
	Window  int64
	Within  int64
	Select  Select
	Where   string
	Steps   []StepSource
	Nots    []StepSource
	Absent  *StepSource
	For     int64
	Lets    []Pair
	Having  string
	Explain string
	Params  map[string]Param
	Lists   map[string][]string
	When    []string // of exceptions
}

// StepSource is a step as it is written.
type StepSource struct {
	Name, Where string
	Capture     []Pair
	Times       int
	Distinct    string
	After       string
	Lets        []Pair
	Having      string
}

// Param is a constant that a rule is tuned by.
type Param struct {
	Type  Type
	Value Value
}

// Pair is a name and an expression.
type Pair struct{ Name, Expr string }

// Report hears of a fault in the expression at a path of the source, such as steps[1].where.
type Report func(path string, err error)

// compiler compiles one rule.
type compiler struct {
	src    *Source
	bad    Report
	params map[string]Name
	caps   map[string]Name // by step.name; slots are counted from 0
}

// Build compiles the parts of a rule that are expressions into r.
func Build(r *Rule, src *Source, bad Report) {
	c := &compiler{src: src, bad: bad, params: map[string]Name{}, caps: map[string]Name{}}
	for name, p := range src.Params {
		c.params["params."+name] = Name{Type: p.Type, Const: &p.Value}
	}
	for name, list := range src.Lists {
		c.params["lists."+name] = Name{Type: Texts, List: &list}
	}
	r.By, r.Window, r.Within, r.Select, r.AbsentFor = src.By, src.Window, src.Within, src.Select, src.For
	if len(src.Steps) == 0 {
		s := &Step{Name: "event", Times: 1, After: -1, distinct: -1, eqRow: -1}
		if s.Where = c.compile("where", src.Where, c.events(), Bool); s.Where == nil {
			return
		}
		r.Steps = []*Step{s}
		c.window(r, s)
	} else {
		c.sequence(r)
	}
	for i, when := range src.When {
		if x := c.compile(fmt.Sprintf("exceptions[%d].when", i), when, c.events(), Bool); x != nil &&
			i < len(r.Exceptions) {
			r.Exceptions[i].When = x
		}
	}
	r.parts = append(slices.Clone(r.Steps), r.Nots...)
	if r.Absent != nil {
		r.parts = append(r.parts, r.Absent)
	}
	if r.Kept() {
		for i, s := range r.Parts() {
			for _, x := range s.row {
				if x.shows() {
					c.bad(c.placeOf(i, len(r.Steps)),
						&Fault{Code: "R135",
							What: "what an argument says is not remembered, since it may be anything; take hash(arg(…)) and compare hashes, or its len"})
					break
				}
			}
		}
	}
	r.captures = len(c.caps)
	r.above = r.Absent != nil || len(r.By) > 0 && !slices.Contains(r.By, AgentKey) && !slices.Contains(r.By, SessionKey)
	r.Hash = src.hash() ^ xxhash.Sum64String(r.ID)
}

// placeOf is where the part of a rule with a number stands.
func (c *compiler) placeOf(i, steps int) string {
	switch {
	case len(c.src.Steps) == 0:
		return "let"
	case i < steps:
		return fmt.Sprintf("steps[%d]", i)
	case i < steps+len(c.src.Nots):
		return fmt.Sprintf("not[%d]", i-steps)
	}
	return "absent"
}

// shows tells whether the value of an expression is, or holds, what an argument of the call says.
func (x *Expr) shows() bool {
	found := false
	if x.Type == Text {
		walk(x.node, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallNode); ok {
				switch path(call.Callee) {
				case "hash":
					return false
				case "arg":
					found = true
				}
			}
			return !found
		})
	}
	return found
}

func (c *compiler) compile(at, src string, s *Scope, want Type) *Expr {
	x, err := Compile(src, s, want)
	if err != nil {
		c.bad(at, err)
		return nil
	}
	return x
}

// events is the scope of an expression over an event alone.
func (c *compiler) events(more ...map[string]Name) *Scope {
	s := &Scope{Event: true, Names: maps.Clone(c.params)}
	for _, m := range more {
		maps.Copy(s.Names, m)
	}
	return s
}

// take has the step take what an expression asks of the event, and returns the scope in which it
// can be run later: what was taken, and names behind it.
func (c *compiler) take(s *Step, x *Expr, more map[string]Name) *Scope {
	out := &Scope{Names: maps.Clone(c.params)}
	maps.Copy(out.Names, more)
	for _, name := range x.Uses {
		f := fieldsByName[name]
		if _, known := out.Names[name]; known || f == nil {
			continue
		}
		if f.Type == Texts {
			continue // of which the compiler will say that it is unknown
		}
		out.Names[name] = Name{Type: f.Type, Slot: s.taken(c.compile("", name, c.events(), 0))}
	}
	return out
}

// taken is the place of an expression in what the step takes.
func (s *Step) taken(x *Expr) int {
	for i, have := range s.row {
		if have.Source == x.Source {
			return i
		}
	}
	s.row = append(s.row, x)
	return len(s.row) - 1
}

// later compiles an expression that is run when the event is gone: behind what the step has taken
// lie more.
func (c *compiler) later(at, src string, s *Step, more map[string]Name, want Type) *Expr {
	x := c.compile(at, src, c.events(more), want)
	if x == nil {
		return nil
	}
	scope := c.take(s, x, more)
	y, err := Compile(src, scope, want)
	if err != nil {
		c.bad(at,
			&Fault{Code: "R130",
				What: "arg, baseline.… and lists of the event can be asked in where alone, or under a name in capture: or let:; give it one"})
		return nil
	}
	return y
}

// behind moves the slots of names behind so many values that a step takes, and so many more. What a
// step takes is known only at the end, so there is room for all of it.
const rowRoom = 32

func behind(names map[string]Name, more int) map[string]Name {
	out := map[string]Name{}
	for k, n := range names {
		if n.Const == nil && n.List == nil {
			n.Slot += rowRoom + more
		}
		out[k] = n
	}
	return out
}

// letsOf compiles names of what adds up over events of a step; captured lies before them. adds
// tells whether there is anything to add up over.
func (c *compiler) letsOf(at string, src []Pair, s *Step, captured map[string]Name, adds bool) (lets []*Let,
	names map[string]Name) {
	names = map[string]Name{}
	for _, l := range src {
		at := at + l.Name
		if len(lets) == maxLets {
			c.bad(at, &Fault{Code: "R131", What: fmt.Sprintf("more than %d names; leave some out", maxLets)})
			return lets, names
		}
		let := &Let{Name: l.Name, Source: l.Expr, row: -1}
		kind, inner, ok := aggregate(l.Expr)
		typ := Number
		switch {
		case ok && !adds:
			c.bad(at, &Fault{Code: "R132", What: kind + " adds up over a window; add window: 10m, say"})
			continue
		case ok:
			let.Aggregate = kind
			if kind == "quantile" {
				i := strings.LastIndexByte(inner, ',')
				if i >= 0 {
					let.q = toNumber(strings.TrimSpace(inner[i+1:]))
					inner = inner[:i]
				}
				if !(let.q > 0 && let.q < 1) {
					c.bad(at,
						&Fault{Code: "R133",
							What: "quantile needs an expression and a share, such as quantile(result.bytes, 0.95)"})
					continue
				}
			}
			if kind != "count" || inner != "" {
				want := Number
				if kind == "count" {
					want = Bool
				} else if kind == "distinct" {
					want = 0
				}
				x := c.compile(at, inner, c.events(), want)
				if x == nil {
					continue
				}
				let.row, let.of = s.taken(x), x.Type
			}
		default:
			more := behind(names, MaxCaptures)
			maps.Copy(more, behind(captured, 0))
			x := c.compile(at, l.Expr, c.events(more), 0)
			if x == nil {
				continue
			}
			alone := true
			for _, u := range x.Uses {
				if _, is := more[u]; is {
					alone = false
				}
			}
			if typ = x.Type; alone { // of the event: it is taken from it as it comes
				let.row = s.taken(x)
			} else if let.expr = c.later(at, l.Expr, s, more, 0); let.expr == nil {
				continue
			}
		}
		names[l.Name] = Name{Type: typ, Slot: len(lets)}
		lets = append(lets, let)
	}
	of := shape(lets)
	for _, l := range lets {
		l.shape = of
	}
	return lets, names
}

func (c *compiler) window(r *Rule, s *Step) {
	var names map[string]Name
	r.Lets, names = c.letsOf("let.", c.src.Lets, s, nil, c.src.Window > 0)
	more := behind(names, MaxCaptures)
	if c.src.Having != "" {
		r.Having = c.later("having", c.src.Having, s, more, Bool)
	}
	if c.src.Explain != "" {
		r.Explain = c.later("explain", c.src.Explain, s, more, Text)
	}
	c.room(s, "let")
}

func (c *compiler) room(s *Step, at string) {
	if len(s.row) > rowRoom {
		c.bad(at,
			&Fault{Code: "R134",
				What: fmt.Sprintf("more than %d things are remembered of one event; ask for fewer fields", rowRoom)})
	}
}

// aggregate reads sum(…) and the like.
func aggregate(src string) (kind, inner string, ok bool) {
	src = strings.TrimSpace(src)
	open := strings.IndexByte(src, '(')
	if open < 0 || !strings.HasSuffix(src, ")") {
		return "", "", false
	}
	kind = strings.TrimSpace(src[:open])
	if !slices.Contains([]string{"count", "sum", "avg", "min", "max", "distinct", "quantile"}, kind) {
		return "", "", false
	}
	depth := 0
	for i := open; i < len(src); i++ {
		switch src[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 && i < len(src)-1 {
				return "", "", false
			}
		case ',':
			if depth == 1 && (kind == "max" || kind == "min" || kind == "count") {
				return "", "", false // of numbers, not of events
			}
		}
	}
	return kind, strings.TrimSpace(src[open+1 : len(src)-1]), true
}

func (c *compiler) sequence(r *Rule) {
	for i, s := range c.src.Steps {
		if st := c.step(fmt.Sprintf("steps[%d]", i), s, true); st != nil {
			r.Steps = append(r.Steps, st)
		}
	}
	for i, s := range c.src.Nots {
		st := c.step(fmt.Sprintf("not[%d]", i), s, false)
		if st == nil {
			continue
		}
		if s.After != "" {
			if st.After = slices.IndexFunc(c.src.Steps, func(o StepSource) bool { return o.Name == s.After }); st.After < 0 {
				c.bad(fmt.Sprintf("not[%d].after", i),
					&Fault{Code: "R140", What: "there is no step " + quote(s.After) + "; use the name of one"})
			}
		}
		r.Nots = append(r.Nots, st)
	}
	if c.src.Absent != nil {
		r.Absent = c.step("absent", *c.src.Absent, false)
	}
	if len(r.Steps) == 0 {
		return
	}
	if c.src.Explain != "" {
		last := r.Steps[len(r.Steps)-1]
		r.Explain = c.later("explain", c.src.Explain, last, behind(c.caps, 0), Text)
	}
	for i, s := range r.Steps {
		c.room(s, fmt.Sprintf("steps[%d]", i))
	}
}

// step compiles a condition. What it says of the event alone is its filter; what compares with
// something captured before is looked at where the sequence is kept.
func (c *compiler) step(at string, s StepSource, capturing bool) *Step {
	st := &Step{Name: s.Name, Times: max(s.Times, 1), After: -1, distinct: -1, eqRow: -1}
	more := behind(c.caps, 0)
	whole := c.compile(at+".where", s.Where, c.events(more), Bool)
	if whole == nil {
		return nil
	}
	// as it is written: what the optimizer makes of it cannot be written down
	tree, err := parser.Parse(s.Where)
	if err != nil {
		c.bad(at+".where", explain(err, s.Where, c.events(more)))
		return nil
	}
	var alone, joined []string
	for _, n := range conjuncts(tree.Node) {
		uses := false
		walk(n, func(n ast.Node) bool {
			if _, is := c.caps[path(n)]; is {
				uses = true
			}
			return !uses
		})
		if src := n.String(); uses {
			joined = append(joined, src)
		} else {
			alone = append(alone, src)
		}
	}
	switch {
	case len(joined) == 0:
		st.Where = whole
	case len(alone) == 0:
		c.bad(at+".where",
			&Fault{Code: "R141",
				What: "nothing here is of the event alone, so every event would have to be remembered; also say what kind of event, class or tool it is"})
		return nil
	default:
		st.Where = c.compile(at+".where", strings.Join(alone, " and "), c.events(), Bool)
		st.Join = c.later(at+".where", strings.Join(joined, " and "), st, more, Bool)
		if st.Where == nil || st.Join == nil {
			return nil
		}
		for _, n := range conjuncts(tree.Node) {
			c.equals(st, n)
		}
	}
	if s.Distinct != "" {
		if x := c.compile(at+".distinct", s.Distinct, c.events(), 0); x != nil {
			st.distinct = st.taken(x)
		}
	}
	if !capturing {
		if s.Times > 1 || s.Distinct != "" || len(s.Capture)+len(s.Lets) > 0 || s.Having != "" {
			c.bad(at,
				&Fault{Code: "R143",
					What: "one event is enough here, and nothing goes on from it; take times, distinct, capture, let and having out"})
		}
		return st
	}
	kept := func(at, name string, from capture, t Type) {
		if len(c.caps) == MaxCaptures {
			c.bad(at,
				&Fault{Code: "R142", What: fmt.Sprintf("more than %d things are captured; leave some out",
					MaxCaptures)})
			return
		}
		if _, twice := c.caps[s.Name+"."+name]; twice {
			c.bad(at, &Fault{Code: "R145", What: "the step has captured " + quote(name) + " already; use another name"})
			return
		}
		from.slot = len(c.caps)
		st.captures = append(st.captures, from)
		c.caps[s.Name+"."+name] = Name{Type: t, Slot: from.slot}
	}
	switch {
	case s.Having != "" && (s.Times > 1 || s.Distinct != ""):
		c.bad(at+".having",
			&Fault{Code: "R144",
				What: "having says when the step is done, so times and distinct have nothing to say; use count() and distinct(…) under let"})
	case s.Having != "":
		var names map[string]Name
		before := maps.Clone(c.caps)
		st.Lets, names = c.letsOf(at+".let.", s.Lets, st, before, true)
		more := behind(names, MaxCaptures)
		maps.Copy(more, behind(before, 0))
		st.Having = c.later(at+".having", s.Having, st, more, Bool)
		for i, l := range st.Lets {
			kept(at+".let."+l.Name, l.Name, capture{row: -1, let: i}, names[l.Name].Type)
		}
	case len(s.Lets) > 0:
		c.bad(at+".let",
			&Fault{Code: "R144",
				What: "what adds up in a step says when it is done; add having: total > 500, say, or put what is taken from one event under capture"})
	}
	for _, p := range s.Capture {
		where := at + ".capture." + p.Name
		if x := c.compile(where, p.Expr, c.events(), 0); x != nil {
			kept(where, p.Name, capture{row: st.taken(x)}, x.Type)
		}
	}
	return st
}

// equals notes that a part of a step's condition wants a field of the event to be equal to a thing
// captured.
func (c *compiler) equals(s *Step, n ast.Node) {
	b, ok := n.(*ast.BinaryNode)
	if !ok || b.Operator != "==" || s.eqRow >= 0 {
		return
	}
	for _, side := range [...][2]string{{path(b.Left), path(b.Right)}, {path(b.Right), path(b.Left)}} {
		captured, is := c.caps[side[1]]
		if f := fieldsByName[side[0]]; !is || f == nil || f.Type != captured.Type {
			continue
		}
		if i := slices.IndexFunc(s.row, func(x *Expr) bool { return x.Source == side[0] }); i >= 0 {
			s.eqRow, s.eqCap = i, captured.Slot
			return
		}
	}
}

// conjuncts are the parts of a condition all of which must hold.
func conjuncts(n ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "&&" || b.Operator == "and") {
		return append(conjuncts(b.Left), conjuncts(b.Right)...)
	}
	return []ast.Node{n}
}

// hash is of what decides when the rule matches.
func (s *Source) hash() uint64 {
	h := xxhash.New()
	put := func(parts ...any) {
		for _, p := range parts {
			fmt.Fprintf(h, "%v\x00", p)
		}
	}
	steps := func(list []StepSource) {
		put(len(list))
		for _, st := range list {
			put(st.Name, st.Where, st.Times, st.Distinct, st.After, st.Capture)
			if st.Having != "" {
				put(st.Lets, st.Having)
			}
		}
	}
	put(s.By, s.Window, s.Within, s.Select, s.Where, s.For, s.Lets, s.Having, s.When)
	steps(s.Steps)
	steps(s.Nots)
	if s.Absent != nil {
		steps([]StepSource{*s.Absent})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Params)) {
		put(name, s.Params[name].Value)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Lists)) {
		put(name, s.Lists[name])
	}
	return cmp.Or(h.Sum64(), 1)
}
