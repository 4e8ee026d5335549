package pipeline

import (
	"testing"

	"github.com/wayward-sec/wayward/event"
)

func TestWhichScopesCoverAnEvent(t *testing.T) {
	tool := func(server, name string) event.Scope {
		return event.Scope{Type: event.ToolScope, Tenant: "acme", ID: event.ToolID(server, name)}
	}
	e := &event.Event{Tenant: "acme", User: "u", Tool: event.Tool{Name: "a|b", Server: "s|t"}}
	for name, c := range map[string]struct {
		s    event.Scope
		want bool
	}{
		"the tool on its server": {tool("s|t", "a|b"), true},
		"on any server":          {tool("", "a|b"), true},
		"on another":             {tool("x", "a|b"), false},
		"cut at another place":   {tool("s", "t|a|b"), false},
		"and another":            {tool("s|t|a", "b"), false},
		"the server":             {event.Scope{Type: event.ServerScope, Tenant: "acme", ID: "s|t"}, true},
		"the user":               {event.Scope{Type: event.UserScope, Tenant: "acme", ID: "u"}, true},
		"of another tenant":      {event.Scope{Type: event.UserScope, Tenant: "other", ID: "u"}, false},
		"the persona":            {event.Scope{Type: event.PersonaScope, Tenant: "acme", ID: "p"}, true},
		"another persona":        {event.Scope{Type: event.PersonaScope, Tenant: "acme", ID: "q"}, false},
		"the tenant":             {event.Scope{Type: event.TenantScope, Tenant: "acme", ID: "acme"}, true},
		"another tenant":         {event.Scope{Type: event.TenantScope, Tenant: "other", ID: "other"}, false},
		"everybody":              {event.Scope{Type: event.GlobalScope, ID: "*"}, true},
	} {
		if got := covers(&c.s, "p", e); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
