package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
)

func complete(c *catalogue.Catalogue, e event.Event) event.Event {
	var x catalogue.Scratch
	c.Tool(e.Tenant, &e.Tool).Complete(&e, &x)
	return e
}

// maxTargets is how many receivers of one call the catalogue names.
const maxTargets = 24

func TestTooManyReceiversAreNotForgotten(t *testing.T) {
	list := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`"a%d@acme.com"`, i))
		}
		return strings.Join(all, ",")
	}
	deny := parse(t,
		"personas:\n- {name: p, default: deny, tools: {allow: [send_email]}, destinations: {allow: [acme.com]}}\n",
		"").Persona("", "p")
	for claim, c := range map[string]struct {
		args string
		bad  bool
	}{
		"a few":                         {`{"to":[` + list(maxTargets) + `]}`, false},
		"one too many":                  {`{"to":[` + list(maxTargets+1) + `]}`, true},
		"a thousand":                    {`{"to":[` + list(1000) + `]}`, true},
		"a thousand in one text":        {`{"to":"` + strings.ReplaceAll(list(1000), `"`, "") + `"}`, true},
		"a stranger behind a long list": {`{"to":"` + strings.Repeat("a@acme.com,", 100) + `evil@x.com"}`, true},
		"a stranger in the middle":      {`{"to":["a@acme.com","b@evil.com","c@acme.com"]}`, true},
		"the same in two fields":        {`{"to":"a@acme.com","bcc":"b@evil.com"}`, true},
	} {
		e := complete(Default().Catalogue(), event.Event{Kind: event.ToolCall, Tool: event.Tool{Name: "send_email"},
			Args: []byte(c.args)})
		if len(e.Destination.Value) > event.MaxString {
			t.Errorf("%s: %d bytes", claim, len(e.Destination.Value))
		}
		if got := len(deny.Check(&e, nil)) > 0; got != c.bad {
			t.Errorf("%s: a violation is %v: %.200q", claim, got, e.Destination)
		}
	}
}

func TestEntriesKeepTheirMeaningOverTheWire(t *testing.T) {
	text := "tools:\n- {names: [b, \"a*\"], class: pay, resource: {id: x.y}, destination: {external: false}, amount: {value: v, currency: EUR}, labels: [z, a], ignore: [q]}\n- {servers: [s], subject: who}\n"
	set, errs := Load(folder(t, map[string]string{"tools/t.yaml": text}))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	again, err := Parse(set.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(text, "\n")
	slices.Reverse(lines[1:3])
	other, errs := Load(folder(t, map[string]string{"tools/a.yaml": strings.Join(lines[:2], ""),
		"tools/b.yaml": lines[0] + lines[2]}))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if set.Hash() != again.Hash() || set.Hash() != other.Hash() {
		t.Error("another hash")
	}
	for _, s := range []*Set{again, other} {
		e := event.Event{Tool: event.Tool{Name: "abc", Server: "s"}, Args: []byte(`{"x":{"y":"1"},"v":"2","who":"w"}`)}
		want, got := complete(set.Catalogue(), e), complete(s.Catalogue(), e)
		if diff := cmp.Diff(want, got); diff != "" || got.Subject != "w" {
			t.Error(diff, got.Subject)
		}
	}
}

func TestEvidenceSaysWhereAnEntryStands(t *testing.T) {
	set, errs := Load(folder(t, map[string]string{"tools/t.yaml": "tools:\n- {names: [zap], class: delete}\n"}))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	e := event.Event{Tool: event.Tool{Name: "zap"}}
	for _, v := range set.Catalogue().Tool("", &e.Tool).Explain(&e) {
		if v.Field == "class" && strings.HasSuffix(v.From, "t.yaml:2:3") {
			return
		}
	}
	t.Error("the file and line of the entry are not named")
}
