package expression

import (
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

func TestNamesOfToolsWithTheirServer(t *testing.T) {
	decoded := func(tool string) *Context {
		var d event.Decoder
		e := &event.Event{}
		if err := d.Decode([]byte(`{"time":1767600000000,"kind":"tool_call","tenant":"acme","agent":{"id":"a"},"tool":`+
			tool+`}`), e); err != nil {
			t.Fatal(err)
		}
		return &Context{E: e}
	}
	calls := map[string]*Context{
		"prefixed":      decoded(`{"name":"mcp__crm__delete_user"}`),
		"apart":         decoded(`{"name":"delete_user","server":"crm"}`),
		"another of it": decoded(`{"name":"mcp__crm__get_user"}`),
		"another's":     decoded(`{"name":"mcp__hr__delete_user"}`),
		"plain":         decoded(`{"name":"delete_user"}`),
	}
	listed := []string{"x", "mcp__crm__delete_user"}
	names := &Scope{Event: true, Names: map[string]Name{"lists.full": {Type: Texts, List: &listed}}}
	plain, full := "prefixed apart another's plain", "prefixed apart"
	for src, want := range map[string]string{
		`tool.name == "delete_user"`:                               plain,
		`tool.name in ["delete_user", "y"]`:                        plain,
		`tool.name startsWith "delete_"`:                           plain,
		`tool.name == "delete_user" and tool.server == "crm"`:      full,
		`tool.name == "mcp__crm__delete_user"`:                     full,
		`"mcp__crm__delete_user" == tool.name`:                     full,
		`tool.name in ["y", "mcp__crm__delete_user"]`:              full,
		`tool.name in lists.full`:                                  full,
		`tool.name matches "^mcp__crm__delete"`:                    full,
		`glob(tool.name, "mcp__crm__del*")`:                        full,
		`tool.full == "mcp__crm__delete_user"`:                     full,
		`tool.name startsWith "mcp__crm__"`:                        full + " another of it",
		`tool.name != "mcp__crm__delete_user"`:                     "another of it another's plain",
		`not (tool.name in ["mcp__crm__delete_user"])`:             "another of it another's plain",
		`tool.name in ["mcp__crm__get_user", "delete_user"]`:       plain + " another of it",
		`tool.class == "" and tool.name == "mcp__hr__delete_user"`: "another's",
	} {
		x, err := Compile(src, names, Bool)
		if err != nil || x.VM != "" {
			t.Fatalf("%s: %v, needs the machine: %s", src, err, x.VM)
		}
		for name, c := range calls {
			got, err := x.IsTrue(c)
			if is := strings.Contains(" "+want+" ", " "+name+" "); err != nil || got != is {
				t.Errorf("%s of %s: %v, %v, want %v", src, name, got, err, is)
			}
			if g := x.Prefilter.Tools; got && g != nil && !slices.Contains(g, c.E.Tool.Name) {
				t.Errorf("%s of %s: the index has %v", src, name, g)
			}
			same(t, x, c)
		}
	}
}
