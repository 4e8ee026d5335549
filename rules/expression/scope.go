package expression

import (
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/types"

	"github.com/wayward-sec/wayward/event/spelling"
)

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
