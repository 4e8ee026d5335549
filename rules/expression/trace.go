package expression

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Try runs the expression on an event and returns its value as people write it, and whether it is
// true.
func (x *Expr) Try(e *event.Event, persona string, local int64, enrichment Enrichment) (string, bool, error) {
	v, err := x.Value(&Context{E: e, Persona: persona, Local: local, Enrichment: enrichment})
	return v.Format(x.Type), x.Type == Bool && v.N != 0, err
}

// Operands says what the fields and names in the expression are for an event: "   (hour is 3)", or
// "" if it has none. For people.
func (x *Expr) Operands(c *Context) string {
	var out []string
	for _, u := range x.Uses {
		if y, err := Compile(u, x.scope, 0); err == nil {
			if v, err := y.Value(c); err == nil {
				out = append(out, u+" is "+v.Format(y.Type))
			}
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "   (" + strings.Join(out, ", ") + ")"
}
