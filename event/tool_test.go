package event

import "testing"

func TestNamesThatCarryTheirServer(t *testing.T) {
	for in, want := range map[string]string{ // as sent: name, server, full name
		`{"name":"mcp__crm__delete_user"}`:                 "delete_user crm mcp__crm__delete_user",
		`{"name":"mcp__crm__delete_user","server":"crm"}`:  "delete_user crm mcp__crm__delete_user",
		`{"name":"mcp__crm__delete_user","server":"prod"}`: "delete_user prod mcp__crm__delete_user",
		`{"name":"mcp__my_crm__a__b"}`:                     "a__b my_crm mcp__my_crm__a__b",
		`{"name":"delete_user","server":"crm"}`:            "delete_user crm mcp__crm__delete_user",
		`{"name":"delete_user"}`:                           "delete_user  delete_user",
		`{"name":"mcp__crm"}`:                              "mcp__crm  mcp__crm",
		`{"name":"mcp__crm__"}`:                            "mcp__crm__  mcp__crm__",
		`{"name":"mcp____x"}`:                              "mcp____x  mcp____x",
		`{"name":"m\u0063p__crm__x"}`:                      "x crm mcp__crm__x",
	} {
		e, err := decode(record(`,"tool":` + in))
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Tool.Name + " " + e.Tool.Server + " " + string(e.Tool.AppendFull(nil)); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
		again := e.Tool
		if again.Normalise(); again != e.Tool {
			t.Errorf("%s: %+v is not what it is the second time, %+v", in, e.Tool, again)
		}
	}
}
