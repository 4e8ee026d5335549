package policy

import (
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

// What could not be read is unknown: no allow list lets it pass, whatever was kept of it.
func TestNoAllowListLetsTheUnreadablePass(t *testing.T) {
	long := strings.Repeat("x", 2000)
	lists := `tools: {allow: ["*"]}, servers: {allow: ["*"]}, classes: {allow: [read, send]}, ` +
		`resources: {types: {allow: ["*"]}, labels: {allow: ["*"]}, environments: {allow: ["*"]}, tenants: own}, destinations: {allow: ["*"]}, ` +
		`destination_kinds: {allow: ["*"]}, intents: {allow: ["*"]}, credentials: {allow: ["*"]}, tier: {at_most: "3"}`
	for _, c := range []struct{ more, kind string }{
		{`"destination":{"value":"ann\ud800@acme.example","kind":"email"}`, "destination"},
		{`"destination":{"value":"` + long + `@acme.example","kind":"email"}`, "destination"},
		{`"destination":{"domain":"acme.example\ud800"}`, "destination"},
		{`"destination":{"value":"a@acme.example","value":"b@acme.example"}`, "destination"},
		{`"destination":5`, "destination destination_kind"},
		{`"destination":{"kind":["email"],"value":"a@acme.example"}`, "destination_kind"},
		{`"resource":{"type":"` + long + `"}`, "resource"},
		{`"resource":{"labels":["a",{}]}`, "label"},
		{`"resource":{"classification":"\udc00"}`, "label"},
		{`"resource":{"environment":7}`, "environment"},
		{`"resource":{"tenant":["acme"]}`, "tenant"},
		{`"resource":"order"`, "resource label environment tenant"},
		{`"intent":"\ud800"`, "intent"},
		{`"tool":{"name":"get_x","server":"\ud800"}`, "server"},
		{`"tool":{"name":"get_x","class":"look"}`, "class"},
		{`"result":{"effect":"look"}`, "class"},
		{`"agent":{"id":"a","credential":"` + long + `"}`, "credential"},
		{`"agent":{"id":"a","tier":9}`, "tier"},
		{`"agent":{"id":"a","tier":"2"}`, ""}, // it says plainly which
		{`"destination":{"value":"https://acme.example/?q=` + long + `","kind":"url"}`, ""},
		{`"destination":{"value":"` + long + `","domain":"acme.example"}`, ""}, // the domain is judged
		{`"result":{"content":"\ud800","error":"` + long + `"},"args":{"a":"\ud800"},"subject":5`, ""},
	} {
		members := []string{`"time":1767600000000,"kind":"tool_call","tenant":"acme"`}
		if !strings.HasPrefix(c.more, `"agent"`) {
			members = append(members, `"agent":{"id":"a"}`)
		}
		if !strings.HasPrefix(c.more, `"tool"`) {
			members = append(members, `"tool":{"name":"get_x","class":"read"}`)
		}
		record := "{" + strings.Join(append(members, c.more), ",") + "}"
		var e event.Event
		if err := new(event.Decoder).Decode([]byte(record), &e); err != nil || e.Unreadable == 0 {
			t.Errorf("%.120s: %v, marks %v", record, err, e.Unreadable.Words())
			continue
		}
		for def, verdict := range map[string]Verdict{"deny": Deny, "needs_approval": NeedsApproval, "allow": Allow} {
			p := persona(t, "default: "+def+", "+lists)
			var got []string
			for _, v := range p.Check(&e, nil) {
				if want := verdict; v.Rule != Unreadable || v.Verdict != want && v.Kind != "tenant" &&
					v.Kind != "tier" {
					t.Errorf("%.120s under %s: %+v", c.more, def, v)
				}
				got = append(got, v.Kind)
			}
			want := c.kind
			if def == "allow" { // only what is not a list is still judged
				want = ""
				for _, k := range []string{"tenant", "tier"} {
					if strings.Contains(c.kind, k) {
						want = k
					}
				}
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%.120s under %s: got %q, want %q", c.more, def, got, want)
			}
		}
	}
}

func TestADenyListNamesWhatWasKept(t *testing.T) {
	p := persona(t, "default: allow, resources: {labels: {deny: [secret]}}, destinations: {deny: [evil.example]}")
	for more, kind := range map[string]string{
		`"resource":{"labels":["a"` + strings.Repeat(`,"b"`, 40) +
			`," Secret"]}`: "label",
		`"resource":{"labels":"secret"}`: "label",
		`"destination":{"kind":"url","value":"https://evil.example/` + strings.Repeat("x", 2000) +
			`"}`: "destination",
		`"resource":{"labels":["secret"],"labels":["public"]}`:                                                          "label",
		`"resource":{"labels":["secret"]},"resource":{"type":"doc"}`:                                                    "label",
		`"destination":{"kind":"url","value":"https://evil.example/","external":"false"},"result":{"content":"\ud800"}`: "destination",
	} {
		var e event.Event
		record := `{"time":1767600000000,"kind":"tool_call","tenant":"acme","agent":{"id":"a"},"tool":{"name":"get_x"},` +
			more + "}"
		if err := new(event.Decoder).Decode([]byte(record), &e); err != nil || e.Unreadable == 0 {
			t.Fatal(err)
		}
		if vs := p.Check(&e, nil); len(vs) != 1 || vs[0].Kind != kind || vs[0].Verdict != Deny {
			t.Errorf("%.80s: %+v", more, vs)
		}
	}
}
