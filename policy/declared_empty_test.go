package policy

import (
	"testing"

	"github.com/wayward-sec/wayward/event"
)

// An empty list of labels is a declaration, of an event as of a tool: nothing is added to it, nor
// is it lost when the set is written down.
func TestAnEmptyListOfLabelsIsADeclaration(t *testing.T) {
	for name, c := range map[string]struct {
		set, labels string
		want        int
	}{
		"nothing is said":     {`{"v":1}`, "", 1},
		"null is nothing":     {`{"v":1}`, `,"labels":null`, 1},
		"the event says none": {`{"v":1}`, `,"labels":[]`, 0},
		"the tool has none":   {`{"v":1,"tools":[{"names":["get_customer"],"labels":[]}]}`, "", 0},
		"the event's own come first": {`{"v":1,"tools":[{"names":["get_customer"],"labels":["pii"]}]}`,
			`,"labels":[]`, 0},
		"the more telling entry first": {
			`{"v":1,"tools":[{"names":["get_*"],"labels":["pii"]},{"names":["get_customer"],"labels":[]}]}`, "", 0},
	} {
		set, err := Parse([]byte(c.set))
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(set.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range []*Set{set, again} {
			var d event.Decoder
			var e event.Event
			if err := d.Decode(
				[]byte(
					`{"time":1767600000000,"kind":"tool_call","tenant":"acme","agent":{"id":"a"},"tool":{"name":"get_customer"},"resource":{"id":"c"`+
						c.labels+`}}`), &e); err != nil {
				t.Fatal(err)
			}
			e = complete(s.Catalogue(), e)
			if len(e.Resource.Labels) != c.want {
				t.Errorf("%s (read again: %v): labels %q", name, i == 1, e.Resource.Labels)
			}
		}
	}
}

// So is a list of a persona that allows nothing; where no list is said, its default closes tools
// and destinations alone.
func TestAListThatAllowsNothingAllowsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		personas string
		want     int
	}{
		"none": {`{"name":"p","default":"deny","tools":{"allow":["*"]}}`, 0},
		"one that denies another": {
			`{"name":"p","default":"deny","tools":{"allow":["*"]},"resources":{"labels":{"deny":["secret"]}}}`, 0},
		"labels": {
			`{"name":"p","default":"deny","tools":{"allow":["*"]},"resources":{"labels":{"allow":[]}}}`, 1},
		"labels and intents": {
			`{"name":"p","default":"deny","tools":{"allow":["*"]},"resources":{"labels":{"allow":[]}},"intents":{"allow":[]}}`,
			2},
		"what the default lets pass": {`{"name":"p","default":"allow","resources":{"labels":{"allow":[]}}}`, 0},
		"of a parent": {
			`{"name":"base","default":"deny","tools":{"allow":["*"]},"resources":{"labels":{"allow":[]}}},{"name":"p","extends":"base"}`,
			1},
		"which a child adds to": {
			`{"name":"base","default":"deny","tools":{"allow":["*"]},"resources":{"labels":{"allow":[]}}},{"name":"p","extends":"base","resources":{"labels":{"allow":["pii"]}}}`,
			0},
		"of a child": {
			`{"name":"base","default":"deny","tools":{"allow":["*"]}},{"name":"p","extends":"base","resources":{"labels":{"allow":[]}}}`,
			1},
	} {
		set, err := Parse([]byte(`{"v":1,"personas":[` + c.personas + `]}`))
		if err != nil {
			t.Fatal(name, err)
		}
		again, err := Parse(set.Bytes())
		if err != nil {
			t.Fatal(name, err)
		}
		for i, s := range []*Set{set, again} {
			e := event.Event{Kind: event.ToolCall, Tenant: "acme", Persona: "p", Intent: "refund",
				Tool: event.Tool{Name: "get"}, Resource: event.Resource{Labels: []string{"pii"}}}
			if got := s.Persona("acme", "p").Check(&e, nil); len(got) != c.want {
				t.Errorf("%s (read again: %v): %v, want %d", name, i == 1, got, c.want)
			}
		}
	}
}
