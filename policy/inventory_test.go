package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
)

func TestAnEmptyInventoryKeepsNothing(t *testing.T) {
	for name, s := range map[string]*Set{"no file": Default(),
		"settings alone": loaded(t, map[string]string{"inventory/a.yaml": "inventory: [{kind: settings}]"})} {
		for kind := AgentThing; kind <= ServerThing; kind++ {
			if r := s.Inventory().Find(kind, "acme", "x", ""); r != (Registered{}) {
				t.Errorf("%s: of a %s it says %+v", name, kind, r)
			}
		}
		if v := s.Inventory(); v.Severity != event.Low || v.Response != nil {
			t.Errorf("%s: %s, %+v", name, v.Severity, v.Response)
		}
	}
}

func TestTheLastEntryThatFitsDecidesAndATenantsOwnGoesFirst(t *testing.T) {
	v := loaded(t, map[string]string{"inventory/a.yaml": `
inventory:
- {kind: agent, tenant: acme, names: [agt-1], version: "7"}
- {kind: agent, names: ["agt-*"], version: "1"}
- {kind: agent, names: [agt-2], retired: true}
- {kind: tool, tenant: acme, names: ["get_*"], servers: [crm], definition_hash: abc}
- {kind: tool, tenant: acme, names: [get_secret], servers: ["*"], retired: true}
- {kind: tool, tenant: acme, names: [think]}
`, "inventory/b.yaml": "inventory: [{kind: agent, names: [agt-3], retired: true}]"}).Inventory()
	yes := Registered{Kept: true, Known: true}
	with := func(change func(*Registered)) Registered {
		r := yes
		change(&r)
		return r
	}
	retired := with(func(r *Registered) { r.Retired = true })
	for _, c := range []struct {
		claim                string
		kind                 ThingKind
		tenant, name, server string
		want                 Registered
	}{
		{"one's own entry before a later one for all", AgentThing, "acme", "agt-1", "",
			with(func(r *Registered) { r.Version = "7" })},
		{"another tenant has the one for all", AgentThing, "globex", "agt-1", "",
			with(func(r *Registered) { r.Version = "1" })},
		{"a later one for all takes the place of an earlier, and of its version", AgentThing, "acme", "agt-2", "",
			retired},
		{"also from a later file", AgentThing, "acme", "agt-3", "", retired},
		{"no entry fits", AgentThing, "acme", "bot-1", "", Registered{Kept: true}},
		{"names are taken as they are written", AgentThing, "acme", "AGT-4", "", Registered{Kept: true}},
		{"a tool on its server", ToolThing, "acme", "get_customer", "crm",
			with(func(r *Registered) { r.Hash = "abc" })},
		{"the tool of that name on another", ToolThing, "acme", "get_customer", "crm2", Registered{Kept: true}},
		{"and on an unknown one", ToolThing, "acme", "get_customer", "", Registered{Kept: true}},
		{"a tool on any server", ToolThing, "acme", "get_secret", "crm", retired},
		{"a tool of which no server is asked", ToolThing, "acme", "think", "crm", yes},
		{"no server", ToolThing, "acme", "think", "", yes},
		{"a tenant that registers no tools does not hear that all are unregistered", ToolThing, "globex",
			"get_customer", "crm", Registered{}},
		{"nor anybody of servers", ServerThing, "acme", "crm", "", Registered{}},
	} {
		if diff := cmp.Diff(c.want, v.Find(c.kind, c.tenant, c.name, c.server)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.claim, diff)
		}
	}
}

func TestInventorySettings(t *testing.T) {
	s := loaded(t,
		map[string]string{
			"inventory/a.yaml": "inventory: [{kind: server, names: [crm]}, {kind: settings, severity: high, respond: {action: block, scope: tool, duration: 1h}}]"})
	v := s.Inventory()
	if diff := cmp.Diff(&event.Response{Action: event.Block, Scope: event.ToolScope, DurationMS: 3_600_000},
		v.Response); diff != "" || v.Severity != event.High {
		t.Errorf("%s (-want +got):\n%s", v.Severity, diff)
	}
	again, err := Parse(s.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v.Response, again.Inventory().Response); diff != "" || again.Hash() != s.Hash() ||
		!again.Inventory().Find(ServerThing, "t", "crm", "").Known {
		t.Errorf("over the wire (-before +after):\n%s", diff)
	}
}

func TestKindsOfThingsAreTheWordsOfTheWire(t *testing.T) {
	for _, word := range []string{"agent", "tool", "server"} {
		if k, ok := ParseThingKind(word); !ok || k.String() != word {
			t.Errorf("%s is %s", word, k)
		}
	}
	for _, word := range []string{"", "settings", "Agent"} {
		if _, ok := ParseThingKind(word); ok {
			t.Errorf("%q is a kind", word)
		}
	}
}

func TestFindAllocatesNothing(t *testing.T) {
	v := loaded(t,
		map[string]string{
			"inventory/a.yaml": `inventory: [{kind: tool, names: ["get_*", "set_*"], servers: [crm]}, {kind: tool, tenant: acme, names: [x]}]`}).Inventory()
	if n := testing.AllocsPerRun(100, func() { v.Find(ToolThing, "acme", "get_customer", "crm") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
