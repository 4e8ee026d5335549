package expression

import (
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/types"

	"github.com/wayward-sec/wayward/event/spelling"
)

// Name is a name that an expression may use besides fields: a parameter, a list, a captured value or a
// let. Of Slot, Const and List one holds.
type Name struct {
	Type  Type
	Slot  int       // in Context.Vars
	Const *Value    // of a parameter
	List  *[]string // of type Texts
}

// Scope is what an expression may use.
type Scope struct {
	Event bool // fields of an event, and functions that look at one
	Names map[string]Name
}

func (s *Scope) find(name string) (Name, bool) {
	n, ok := s.Names[name]
	return n, ok
}

func (s *Scope) field(name string) *Field {
	if !s.Event {
		return nil
	}
	return fieldsByName[name]
}

// all are the fields and names that may be used.
func (s *Scope) all() []string {
	var out []string
	if s.Event {
		for _, f := range Fields() {
			out = append(out, f.Name)
		}
	}
	return append(out, slices.Sorted(maps.Keys(s.Names))...)
}

// suggest proposes what was perhaps meant by an unknown name: a name under head, if head is not "",
// else any.
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

// types is the environment that expr checks against.
func (s *Scope) types() types.Map {
	root := types.Map{}
	of := map[Type]types.Type{Bool: types.Bool, Number: types.Float64, Text: types.String,
		Texts: types.Array(types.String)}
	if s.Event {
		for _, f := range Fields() {
			putPath[types.Type](root, f.Name, of[f.Type])
		}
	}
	for name, n := range s.Names {
		putPath[types.Type](root, name, of[n.Type])
	}
	for i := range functions {
		if f := &functions[i]; s.Event || !f.event {
			putPath[types.Type](root, f.name, types.TypeOf(f.of(nil)))
		}
	}
	return root
}

// env is the environment in which expr's machine runs.
func (s *Scope) env(c *Context) map[string]any {
	root := map[string]any{}
	if s.Event {
		for _, f := range Fields() {
			putPath[any](root, f.Name, f.any(c))
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
			putPath[any](root, name, v.N != 0)
		case Number:
			putPath[any](root, name, v.N)
		case Text:
			putPath[any](root, name, v.S)
		case Texts:
			putPath[any](root, name, *n.List)
		}
	}
	for i := range functions {
		if f := &functions[i]; s.Event || !f.event {
			putPath[any](root, f.name, f.of(c))
		}
	}
	return root
}

// putPath puts a value under a dotted name, into maps within maps.
func putPath[V any, M ~map[string]V](root M, name string, value V) {
	m := root
	for {
		head, rest, more := strings.Cut(name, ".")
		if !more {
			m[head] = value
			return
		}
		next, ok := any(m[head]).(M)
		if !ok {
			next = M{}
			m[head] = any(next).(V)
		}
		m, name = next, rest
	}
}
