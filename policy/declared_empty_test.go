package policy

import (
	"testing"

	"github.com/wayward-sec/wayward/event"
)

// An empty list of labels is a declaration, of an event as of a tool: nothing is added to it, nor is it lost when the set is written down.
func TestAnEmptyListOfLabelsIsADeclaration(t *testing.T) {
	for name, c := range map[string]struct {
		set, labels string
		want        int
	}{
		"nothing is said":              {`{"v":1}`, "", 1},
		"null is nothing":              {`{"v":1}`, `,"labels":null`, 1},
		"the event says none":          {`{"v":1}`, `,"labels":[]`, 0},
		"the tool has none":            {`{"v":1,"tools":[{"names":["get_customer"],"labels":[]}]}`, "", 0},
		"the event's own come first":   {`{"v":1,"tools":[{"names":["get_customer"],"labels":["pii"]}]}`, `,"labels":[]`, 0},
		"the more telling entry first": {`{"v":1,"tools":[{"names":["get_*"],"labels":["pii"]},{"names":["get_customer"],"labels":[]}]}`, "", 0},
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
			if err := d.Decode([]byte(`{"time":1767600000000,"kind":"tool_call","tenant":"acme","agent":{"id":"a"},"tool":{"name":"get_customer"},"resource":{"id":"c"`+c.labels+`}}`), &e); err != nil {
				t.Fatal(err)
			}
			e = complete(s.Catalogue(), e)
			if len(e.Resource.Labels) != c.want {
				t.Errorf("%s (read again: %v): labels %q", name, i == 1, e.Resource.Labels)
			}
		}
	}
}
