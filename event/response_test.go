package event

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestTheLadderRisesAndRestoreIsNoStep(t *testing.T) {
	if got := strings.Join(Actions(), " < "); got != "observe < throttle < escalate < block < kill" {
		t.Errorf("the ladder is %s", got)
	}
	for i, word := range append(Actions(), "restore") {
		a, ok := ParseAction(word)
		if !ok || int(a) != i+1 || a.String() != word {
			t.Errorf("%s is %d", word, a)
		}
	}
	for _, word := range []string{"", "Block", "open", "observe "} {
		if a, ok := ParseAction(word); ok || a != 0 {
			t.Errorf("%q is the action %d", word, a)
		}
	}
}

func TestScopeTypesAreThoseOfTheWire(t *testing.T) {
	if got := strings.Join(ScopeTypes(), " "); got != "session agent persona tool server user tenant global" {
		t.Errorf("scopes are %s", got)
	}
	for i, word := range ScopeTypes() {
		s, ok := ParseScopeType(word)
		if !ok || int(s) != i+1 || s.String() != word || s.Narrow() != (word == "session" || word == "agent") {
			t.Errorf("%s is %d, narrow %t", word, s, s.Narrow())
		}
	}
	if s, ok := ParseScopeType("fleet"); ok || s != 0 {
		t.Error("fleet is a type of scope")
	}
}

func TestKeysOfScopes(t *testing.T) {
	for want, s := range map[string]Scope{
		"acme|agent|agt-7731":             {AgentScope, "agt-7731", "acme", ""},
		"acme|session|agt-7731|s-1":       {SessionScope, "s-1", "acme", "agt-7731"},
		"acme|session|a%7Cb|c%25":         {SessionScope, "c%", "acme", "a|b"},
		"acme|tool|crm%7Cget_customer":    {ToolScope, ToolID("crm", "get_customer"), "acme", ""},
		"acme|tool|crm%257C1%7Cget":       {ToolScope, ToolID("crm|1", "get"), "acme", ""},
		"acme|tool|get_customer":          {ToolScope, ToolID("", "get_customer"), "acme", ""},
		"acme|user|max%7Cadmin@acme.test": {UserScope, "max|admin@acme.test", "acme", ""},
		"acme|tenant|acme":                {TenantScope, "acme", "acme", ""},
		"|global|*":                       {GlobalScope, "*", "", ""},
	} {
		if got := s.Key(); got != want {
			t.Errorf("%+v: got %s, want %s", s, got, want)
		}
	}
}

// Names are chosen by agents: none may be taken for another.
func TestTwoScopesNeverShareAKey(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	name := func() string {
		b := make([]byte, 1+rng.IntN(3))
		for i := range b {
			b[i] = "ab|%7C"[rng.IntN(6)]
		}
		return string(b)
	}
	seen := map[string][5]string{}
	for range 200_000 {
		s := Scope{Type: []ScopeType{SessionScope, AgentScope, ToolScope}[rng.IntN(3)], ID: name(), Tenant: "t"}
		parts := [5]string{s.Type.String(), s.ID}
		switch s.Type {
		case SessionScope:
			s.Agent = name()
			parts[2] = s.Agent
		case ToolScope:
			parts[2] = name()
			s.ID = ToolID(parts[2], s.ID)
			if rng.IntN(3) == 0 {
				parts[2] = ""
				s.ID = ToolID("", parts[1])
			}
		}
		if other, ok := seen[s.Key()]; ok && other != parts {
			t.Fatalf("%q and %q have the key %s", other, parts, s.Key())
		}
		seen[s.Key()] = parts
	}
}

func TestKeysOfThings(t *testing.T) {
	for want, thing := range map[string]Thing{
		"acme|agent|agt-1":    {Kind: "agent", Tenant: "acme", ID: "agt-1"},
		"acme|tool|crm|get":   {Kind: "tool", Tenant: "acme", ID: "get", Server: "crm"},
		"acme|tool|a%7Cb|c":   {Kind: "tool", Tenant: "acme", ID: "c", Server: "a|b"},
		"acme|tool|a%7Cb":     {Kind: "tool", Tenant: "acme", ID: "a|b"},
		"acme|server|crm%25s": {Kind: "server", Tenant: "acme", ID: "crm%s"},
	} {
		if got := string(thing.AppendKey(nil)); got != want {
			t.Errorf("%+v: got %s, want %s", thing, got, want)
		}
	}
}
