// Package rules runs rules: it compiles a rule into steps and conditions, and keeps the windows and
// sequences in which events add up to a match.
//
// Everything here is a function of its arguments. The package knows no page, no log and no clock:
// whoever runs a rule keeps its State and shows it the events in order. Conditions are package
// expression's; how rules are written in YAML is package policy's.
//
// Begin reading at Rule, then Build (from source to rule), then Runner.Advance (from event to
// match).
package rules

import (
	"fmt"
	"maps"
	"slices"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/rules/expression"
)

// Taken are the expressions that a step takes from an event.
func (s *Step) Taken() []string {
	var out []string
	for _, x := range s.row {
		out = append(out, x.Source)
	}
	return out
}

// Bounds of a rule and of what is remembered for it.
const (
	MaxSteps     = 8
	MaxParts     = 2*MaxSteps + 1 // steps, nots, absent
	MaxCaptures  = 8
	MaxTimes     = 100
	MaxRuns      = 1024      // sequences under way under one key that wait for one step, with select: each
	MaxAbsences  = 4096      // absences awaited under one key
	MaxPageBytes = 512 << 10 // bytes of sequences and absences on a page
	// events of a window under one key that are kept one by one; older ones are added up
	MaxSamples     = 1000
	MaxNumbers     = 48 << 10 // numbers that a window under one key holds, an event taken for sampleNumbers
	MaxStates      = 4096     // keys on one page
	MaxPageNumbers = 64 << 10 // numbers in all windows of a page
	maxText        = 256      // bytes of a text that is remembered
	maxLets        = 16
)

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
	Having     *expression.Expr
	Explain    *expression.Expr
	Exceptions []*Exception
	Respond    *event.Response

	// Hash names its state: it changes with what decides when it matches, and with nothing else.
	Hash             uint64
	parts            []*Step
	forRelationStage bool
}

// Step is a condition on one event, or on several that add up. Its condition is cut in two: Where
// needs the event alone and is evaluated where the event is; Join compares values taken from the
// event, its row, with captured ones, and is evaluated where the sequence is kept.
type Step struct {
	Name  string
	Where *expression.Expr
	Join  *expression.Expr // nil: the step compares with nothing
	Times int              // so many events are needed, without Having
	After int              // of a not: the step behind which it counts; -1: anywhere
	Lets  []*Let
	// what must hold of all events of the step so far for it to be done; nil: Times of them will do
	Having   *expression.Expr
	captures []capture
	row      []*expression.Expr // what is taken from the event, in this order
	distinct int                // place in row of the value that must differ between the events; -1: none
	// places of a value in row and of a captured one that Join wants to be equal, so that most events
	// can be told apart without running it; eqRow -1: there are none
	eqRow, eqCap int
}

// lacksDistinct tells whether the event lacks the value that must differ: then it does not count.
func (s *Step) lacksDistinct(row []expression.Value) bool {
	return s.row[s.distinct].Type != expression.Bool && row[s.distinct] == (expression.Value{})
}

// takesSeveral tells whether the step takes more than one event.
func (s *Step) takesSeveral() bool { return s.Times > 1 || s.Having != nil }

// capture copies a value into a slot when a step is done: of place row in the row of its last event,
// or if row is -1 the value of a let.
type capture struct{ row, let, slot int }

// Exception is a condition under which a match does not count.
type Exception struct {
	Name, Reason, Owner string
	Expires             int64 // Unix ms; 0: never
	When                *expression.Expr
}

// ForRelationStage tells whether events of several agents may come together in the rule, or it awaits
// an absence. Then the stage that sees all agents and knows how far time has come runs it.
func (r *Rule) ForRelationStage() bool { return r.forRelationStage }

// Stateful tells whether the rule needs a State. Else each event that passes is a match.
func (r *Rule) Stateful() bool {
	return r.Having != nil || len(r.Steps) > 1 || r.Absent != nil || r.Steps[0].takesSeveral()
}

// Parts are the conditions of the rule in the order of their bits in Taken.Mask: steps, nots,
// absent.
func (r *Rule) Parts() []*Step { return r.parts }

// PartName is the path of a part in the rule as it is written.
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

// Expressions are all expressions of the rule, by their paths.
func (r *Rule) Expressions() map[string]*expression.Expr {
	out := map[string]*expression.Expr{}
	put := func(name string, x *expression.Expr) {
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
func (r *Rule) Fields() []*expression.Field {
	names := map[string]bool{}
	for _, x := range r.Expressions() {
		for _, u := range x.Uses {
			if expression.FieldNamed(u) != nil {
				names[u] = true
			}
		}
	}
	var out []*expression.Field
	for _, n := range slices.Sorted(maps.Keys(names)) {
		out = append(out, expression.FieldNamed(n))
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
