package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/terminal"
)

func TestInventoryIsShown(t *testing.T) {
	d := newDesk(t)
	put := func(x event.Thing) {
		if err := d.client.ProduceSync(t.Context(), &kgo.Record{Topic: d.topics.Inventory, Key: x.AppendKey(nil),
			Value: x.Append(nil)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	old, now := opened.UnixMilli(), time.Now().UnixMilli()
	put(event.Thing{Kind: "agent", Tenant: "acme", ID: "agt-1", First: old, Last: old, Registered: event.Unregistered})
	put(event.Thing{Kind: "agent", Tenant: "acme", ID: "agt-1", First: old, Last: old + 60_000, Persona: "support",
		Owner: "team-a", Model: "m-1", Version: "1.2", Versions: []string{"1.1", "1.2"}, Tier: 2,
		Registered: event.Registered})
	put(event.Thing{Kind: "agent", Tenant: "acme", ID: "agt-2\x1b[2J", First: old, Last: now,
		Registered: event.Unregistered})
	put(event.Thing{Kind: "agent", Tenant: "globex", ID: "agt-1", First: old, Last: old, Registered: event.Registered,
		Retired: true})
	put(event.Thing{Kind: "tool", Tenant: "acme", ID: "export", Server: "crm", First: old, Last: old,
		DefinitionHash: "0123456789abcdef", Class: event.Send, Registered: event.Unkept})
	put(event.Thing{Kind: "server", Tenant: "acme", ID: "crm", First: old, Last: old, Registered: event.Unkept})

	if diff := cmp.Diff(`TENANT  AGENT         PERSONA  VERSION  FIRST SEEN           LAST SEEN            INVENTORY
acme    agt-1         support  1.2      2026-11-20 14:33:04  2026-11-20 14:34:04  registered
acme    agt-2\x1b[2J  -        -        2026-11-20 14:33:04  `+terminal.UTC(now)+`  unregistered
globex  agt-1         -        -        2026-11-20 14:33:04  2026-11-20 14:33:04  retired
`, d.done("agents", "list")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for args, want := range map[string][]string{
		"agents list --unregistered":             {`agt-2\u001b[2J`, "agt-1"},
		"agents list --unregistered --since 10m": {`agt-2\u001b[2J`},
		"agents list --tenant globex":            {"agt-1"},
		"agents list --tenant nobody":            nil,
		"agents show agt-1":                      {"agt-1", "agt-1"},
	} {
		var got []struct{ ID string }
		out := d.done(append(strings.Fields(args), "--output", "json")...)
		if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != len(want) {
			t.Errorf("%s: %v in %s", args, err, out)
		}
		for _, id := range want {
			if !strings.Contains(out, `"`+id+`"`) {
				t.Errorf("%s lacks %s: %s", args, id, out)
			}
		}
	}
	if diff := cmp.Diff(`agent agt-1 of acme
  inventory   registered
  first seen  2026-11-20 14:33:04
  last seen   2026-11-20 14:34:04
  persona     support
  owner       team-a
  model       m-1
  version     1.2
  versions    1.1, 1.2
  tier        2
`, d.done("agents", "show", "agt-1", "--tenant", "acme")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for args, want := range map[string]string{
		"agents show agt-1": "agents of several tenants have this id: give --tenant",
		"agents show agt-9": `no agent "agt-9" was seen`} {
		if _, errs, code := d.run(strings.Fields(args)...); code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d %s", args, code, errs)
		}
	}

	tools := func(args ...string) string {
		cmd := newToolsList()
		var out, errs bytes.Buffer
		cmd.SetArgs(append(args, "--config", d.config))
		cmd.SetOut(&out)
		cmd.SetErr(&errs)
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatalf("%v %s", err, &errs)
		}
		return out.String()
	}
	if diff := cmp.Diff(`TENANT  TOOL    SERVER  CLASS  DEFINITION     FIRST SEEN           LAST SEEN            INVENTORY
acme    export  crm     send   0123456789ab…  2026-11-20 14:33:04  2026-11-20 14:33:04  -
`, tools()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := tools("--servers"); !strings.HasPrefix(got, "TENANT  SERVER  FIRST SEEN ") ||
		!strings.Contains(got, "\nacme    crm     2026-11-20 14:33:04") {
		t.Errorf("servers: %s", got)
	}
	if got := tools("--unregistered"); got != "none seen\n" {
		t.Errorf("nothing is unregistered where nothing is registered: %s", got)
	}
}
