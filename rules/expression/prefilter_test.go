package expression

import (
	"reflect"
	"slices"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

func TestPrefilters(t *testing.T) {
	class := func(cs ...event.Class) (bits uint16) {
		for _, c := range cs {
			bits |= 1 << c
		}
		return bits
	}
	for src, want := range map[string]Prefilter{
		`tool.class == "pay"`: {Classes: class(event.Pay)},
		`kind == "tool_call" and tool.class in ["send", "pay"] and total > 1`: {Kinds: 1 << event.ToolCall,
			Classes: class(event.Send, event.Pay)},
		`tool.class == "pay" or tool.class == "send"`:  {Classes: class(event.Send, event.Pay)},
		`tool.class == "pay" or total > 5`:             {},
		`tool.name in ["b", "a"] and tool.name != "c"`: {Tools: []string{"a", "b"}},
		`tool.name == "a" and tool.name == "b"`:        {Tools: []string{}},
		`not (tool.class == "pay")`:                    {},
		`tool.class == "pay" and tool.class == "send"`: {Classes: 1 << 15},
	} {
		x, err := Compile(src, scope(), Bool)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(x.Prefilter, want) {
			t.Errorf("%s: guard %+v, want %+v", src, x.Prefilter, want)
		}
	}
}

// found tells whether the index finds the condition for an event.
func (x *Expr) found(e *event.Event) bool {
	g := &x.Prefilter
	switch {
	case g.Tools != nil:
		return slices.Contains(g.Tools, e.Tool.Name)
	case g.Classes != 0:
		return g.Classes>>e.Tool.Class&1 != 0
	}
	return g.Kinds == 0 || g.Kinds>>e.Kind&1 != 0
}
