package rules

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/rules/expression"
)

// Source is a rule as it is written, without the texts that are for people alone. Expressions are not
// compiled yet.
type Source struct {
	By      []Key
	Window  int64 // ms
	Within  int64 // ms
	Select  Select
	Where   string
	Steps   []StepSource
	Nots    []StepSource
	Absent  *StepSource
	For     int64 // ms; of Absent
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
	Type  expression.Type
	Value expression.Value
}

// Pair is a name and an expression.
type Pair struct{ Name, Expr string }

// Report is called with each fault, and the path of the source where it is, such as steps[1].where.
type Report func(path string, err error)

// hash covers what decides when the rule matches, and nothing else.
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
