package catalogue

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/wayward-sec/wayward/event"
)

// declared compiles entries written as YAML, in the order that package policy puts them into.
func declared(t testing.TB, text string) *Catalogue {
	t.Helper()
	var list []any
	if err := yaml.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, x := range list {
		b, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		var d Definition
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatal(err)
		}
		b, _ = json.Marshal(d)
		texts = append(texts, string(b))
	}
	slices.Sort(texts)
	entries := make([]Entry, len(texts))
	for i, x := range texts {
		if err := json.Unmarshal([]byte(x), &entries[i].Definition); err != nil {
			t.Fatal(err)
		}
	}
	return New(entries)
}

func TestWhatTheProducerDeclaresWins(t *testing.T) {
	c := declared(t, `
- names: [create_refund]
  class: delete
  resource: {type: x, id: amount, environment: dev}
  subject: order_id
  destination: {kind: x, value: order_id, external: true}
  amount: {value: amount, currency: EUR}
  labels: [x]
`)
	sent := event.Event{Tool: event.Tool{Name: "create_refund", Class: event.Read},
		Resource: event.Resource{Type: "cow", ID: "7", Environment: "barn", Labels: []string{"brown"}},
		Subject:  "s", Destination: event.Destination{Kind: "host", Value: "h", Domain: "h", External: event.No},
		Has: event.HasAmount, Amount: event.Amount{Micro: 1, Currency: "USD"},
		Args: []byte(`{"order_id":"o1","amount":"5"}`)}
	e := complete(c, sent)
	if e.Inferred != 0 {
		t.Errorf("inferred %b", e.Inferred)
	}
	e.SideEffect = 0
	if diff := cmp.Diff(sent, e); diff != "" {
		t.Error(diff)
	}
	part := complete(c, event.Event{Tool: event.Tool{Name: "get_order"}, Resource: event.Resource{Type: "invoice"},
		Args: []byte(`{"order_id":"o1","customer_id":"c1"}`)})
	if part.Resource.ID != "o1" || part.Resource.Type != "invoice" {
		// what the tool is about, under the producer's word for it
		t.Error(described(&part))
	}
	part = complete(c, event.Event{Tool: event.Tool{Name: "update_address"}, Resource: event.Resource{Type: "address"},
		Args: []byte(`{"order_id":"o1"}`)})
	if part.Resource.ID != "" { // an order is not that address
		t.Error(described(&part))
	}
	if part.Inferred != event.InferredClass {
		t.Errorf("inferred %b", part.Inferred)
	}
}

func TestTheMoreTellingEntryGoesFirst(t *testing.T) {
	c := declared(t, `
- {names: ["*"], labels: [any], class: read}
- {names: ["do_*"], class: write, subject: who}
- {names: ["do_it*"], class: delete}
- {names: [do_it], class: send}
- {names: [do_it], servers: [bank], class: pay}
- {names: ["do_*"], tenant: acme, class: exec}
- {names: [do_that], tenant: acme, class: grant}
- {names: [do_that], class: approve}
- {names: ["*"], servers: ["crm*"], resource: {environment: crm}}
- {names: [merge], class: write}
`)
	for _, k := range []struct{ claim, tenant, tool, server, want string }{
		{"a plain name before a pattern", "t", "do_it", "", "class=send subject=me labels=any effect=irreversible"},
		{"one with the server before one without", "t", "do_it", "bank",
			"class=pay subject=me labels=any effect=irreversible"},
		{"the longer pattern before the shorter", "t", "do_items", "",
			"class=delete subject=me labels=any effect=irreversible"},
		{"the tenant's own before the common one", "acme", "do_items", "", "class=exec subject=me labels=any"},
		{"but a plain name for all before a pattern of one's own", "acme", "do_it", "",
			"class=send subject=me labels=any effect=irreversible"},
		{"of plain names the tenant's own", "acme", "do_that", "",
			"class=grant subject=me labels=any effect=reversible"},
		{"another tenant's does not count", "t", "do_that", "", "class=approve subject=me labels=any"},
		{"a server alone", "t", "x", "crm-1", "class=read env=crm labels=any effect=none"},
		{"a name that carries its server is found without it", "t", "mcp__bank__do_it", "",
			"class=pay subject=me labels=any effect=irreversible"},
	} {
		e := complete(c, event.Event{Tenant: k.tenant, Tool: event.Tool{Name: k.tool, Server: k.server},
			Args: []byte(`{"who":"me"}`)})
		e.Resource.Type, e.Resource.ID = "", ""
		if got := described(&e); got != k.want {
			t.Errorf("%s: got %s, want %s", k.claim, got, k.want)
		}
	}
}

func TestEntriesNameArguments(t *testing.T) {
	c := declared(t, `
- names: [settle]
  class: pay
  side_effect: reversible
  resource: {type: claim, id: "claim.refs[1]"}
  subject: claim.holder
  destination: {kind: account, value: "legs[*].account", external: true}
  amount: {value: legs.sum, currency: unit}
  labels: [financial, medical]
  ignore: [customer_id]
- {names: [fee], amount: {value: sum, currency: EUR}, ignore: [meta]}
- {names: [wire_it], destination: {value: note}}
`)
	for _, k := range []struct{ claim, tool, args, want string }{
		{"paths", "settle",
			`{"customer_id":"c","claim":{"refs":["a","b","c"],"holder":"h"},"legs":[{"account":"x","sum":"1"},{"account":"y","sum":"2"}],"unit":"EUR","to":"z","amount":"9"}`,
			"class=pay resource=claim:b subject=h to=account:x,y external yes amount=3000000 EUR labels=financial+medical effect=reversible"},
		{"what the entry names and the call has not is not guessed from elsewhere", "settle",
			`{"customer_id":"c","to":"z","amount":"9","order_id":"o"}`,
			"class=pay resource=claim: to=: external yes labels=financial+medical effect=reversible"},
		{"a constant currency", "fee", `{"sum":"3","meta":{"customer_id":"c"}}`, "amount=3000000 EUR"},
		{"unless the text says another", "fee", `{"sum":"3 USD"}`, "amount=3000000 USD"},
		{"any text, if the entry says so", "wire_it", `{"note":"a b","to":"x@y.com"}`,
			"class=pay to=:a b effect=irreversible"},
	} {
		e := complete(c, event.Event{Tool: event.Tool{Name: k.tool}, Args: []byte(k.args)})
		if got := described(&e); got != k.want {
			t.Errorf("%s:\n got %s\nwant %s", k.claim, got, k.want)
		}
	}
}
