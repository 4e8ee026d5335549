package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
)

// catalogue compiles entries written as YAML.
func catalogue(t testing.TB, text string) *Catalogue {
	t.Helper()
	set, errs := Load(folder(t, map[string]string{"tools/t.yaml": text}))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return set.Catalogue()
}

// described is what is known of an event, in one line.
func described(e *event.Event) string {
	var parts []string
	add := func(name, text string) {
		if text != "" {
			parts = append(parts, name+"="+text)
		}
	}
	add("class", e.Tool.Class.String())
	if e.Resource.Type+e.Resource.ID != "" {
		add("resource", e.Resource.Type+":"+e.Resource.ID)
	}
	add("env", e.Resource.Environment)
	add("subject", e.Subject)
	if d := e.Destination; d != (event.Destination{}) {
		text := d.Kind + ":" + d.Value
		if d.Domain != "" {
			text += "@" + d.Domain
		}
		if d.External != event.Unknown {
			text += " external " + []string{"", "no", "yes"}[d.External]
		}
		add("to", text)
	}
	if e.Has&event.HasAmount != 0 {
		text := strings.TrimSpace(format(e.Amount.Micro) + " " + e.Amount.Currency)
		for _, a := range e.OtherAmounts {
			text += " and " + strings.TrimSpace(format(a.Micro)+" "+a.Currency)
		}
		add("amount", text)
	}
	add("labels", strings.Join(e.Resource.Labels, "+"))
	add("effect", e.SideEffect.String())
	return strings.Join(parts, " ")
}

func complete(c *Catalogue, e event.Event) event.Event {
	var x Scratch
	c.Tool(e.Tenant, &e.Tool).Complete(&e, &x)
	return e
}

func TestCallsAreUnderstoodFromNameAndArguments(t *testing.T) {
	for _, c := range []struct{ claim, tool, args, want string }{
		{"nothing is known of nothing", "frobnicate", `{"a":1,"b":"c"}`, ""},
		{"the id of what the tool is about", "get_order", `{"order_id":"o-1"}`,
			"class=read resource=order:o-1 effect=none"},
		{"in camel case, and as a number", "getOrder", `{"orderId":17}`, "class=read resource=order:17 effect=none"},
		{"without a prefix", "ticket.read", `{"id":"t-1"}`, "class=read resource=ticket:t-1 effect=none"},
		{"an order's items are the order's", "modify_order_items", `{"item_ids":["i1","i2"],"order_id":"o-1"}`,
			"class=write resource=order:o-1 effect=reversible"},
		{"a file by its path", "read_file", `{"path":"/etc/passwd"}`,
			"class=read resource=file:/etc/passwd effect=none"},
		{"whom the data is about", "update_address", `{"customer_id":"c-9","street":"x"}`,
			"class=write resource=address: subject=c-9 effect=reversible"},
		{"both, if the person is what is read", "get_user", `{"user_id":"u1"}`,
			"class=read resource=user:u1 subject=u1 labels=pii effect=none"},
		{"what a search looks for is no id", "search_products", `{"product_name":"shoes","query":"red"}`,
			"class=read resource=product: effect=none"},
		{"ids of the exchange are no ids", "get_page", `{"page":2,"request_id":"r1","session_id":"s1"}`,
			"class=read resource=page: effect=none"},
		{"an address", "send_email", `{"to":"jane@acme.com","body":"hello a@b.com"}`,
			"class=send to=email:jane@acme.com@acme.com effect=irreversible"},
		{"all addresses: the one that matters may stand anywhere", "send_email",
			`{"recipients":["a@x.com","b@y.com"],"cc":"c@z.com"}`,
			"class=send to=email:a@x.com,b@y.com,c@z.com effect=irreversible"},
		{"a channel", "chat.post", `{"channel":"#ops","text":"hi"}`, "class=send to=channel:#ops effect=irreversible"},
		{"a page that is read", "fetch_page", `{"url":"https://Acme.com/a?b"}`,
			"class=read resource=page: to=url:https://Acme.com/a?b@acme.com effect=none"},
		{"where a flight goes is no destination", "search_flights", `{"origin":"BER","destination":"JFK"}`,
			"class=read resource=flight: effect=none"},
		{"nor where a booked one goes", "book_flight", `{"to":"JFK"}`,
			"class=write resource=flight: effect=reversible"},
		{"a payment", "create_refund", `{"order_id":"o-1","amount":"12.50","currency":"eur"}`,
			"class=pay resource=order:o-1 amount=12500000 EUR labels=financial effect=irreversible"},
		{"a transfer, whatever the spelling of the account", "send_money",
			`{"recipient":"de89 3704 0044 0532 0130 00","amount":100.0}`,
			"class=pay to=iban:DE89370400440532013000 amount=100000000 labels=financial effect=irreversible"},
		{"the receiver, not the payer", "transfer_funds", `{"from_account":"A1","to_account":"B2","amount":"€5"}`,
			"class=pay resource=account:A1 to=:B2 amount=5000000 EUR labels=financial effect=irreversible"},
		{"an amount in hundredths", "charge_customer", `{"amount_cents":1250,"currency":"USD"}`,
			"class=pay amount=12500000 USD labels=pii effect=irreversible"},
		{"nested", "create_payment",
			`{"payment":{"amount":{"value":"5.00","currency":"CHF"},"beneficiary":{"iban":"DE89370400440532013000"}}}`,
			"class=pay to=iban:DE89370400440532013000 amount=5000000 CHF labels=financial effect=irreversible"},
		{"several parts of an amount are added", "create_payment",
			`{"parts":[{"amount":"5.00"},{"amount":"7.00"}],"currency":"EUR"}`,
			"class=pay amount=12000000 EUR labels=financial effect=irreversible"},
		{"of two currencies each is a sum", "create_payment", `{"parts":[{"amount":"5.00 EUR"},{"amount":"7.00 USD"}]}`,
			"class=pay amount=5000000 EUR and 7000000 USD labels=financial effect=irreversible"},
		{"amounts and currencies in lists of their own: each may be of each", "create_payment",
			`{"amounts":[5,7],"currencies":["EUR","usd"]}`,
			"class=pay amount=12000000 EUR and 12000000 USD labels=financial effect=irreversible"},
		{"a name may say the currency", "create_payment", `{"amount_eur":5}`,
			"class=pay amount=5000000 EUR labels=financial effect=irreversible"},
		{"each of an object's", "create_payment", `{"amount":{"EUR":5,"USD":7}}`,
			"class=pay amount=5000000 EUR and 7000000 USD labels=financial effect=irreversible"},
		{"or that the amount is in the smallest unit, of which currencies have as many as they have", "create_payment",
			`{"amount_minor":5000,"currency":"KWD"}`,
			"class=pay amount=5000000 KWD labels=financial effect=irreversible"},
		{"digits of any script", "create_payment", `{"amount":"１２５，５０","currency":"EUR"}`,
			"class=pay amount=125500000 EUR labels=financial effect=irreversible"},
		{"those of Arabic, too", "create_payment", `{"amount":"١٢٥ EUR"}`,
			"class=pay amount=125000000 EUR labels=financial effect=irreversible"},
		{"next to a protocol post is a method", "http_post", `{"url":"https://acme.com/x"}`,
			"class=write resource=http: to=url:https://acme.com/x@acme.com effect=reversible"},
		{"a statement is no id", "run_sql", `{"sql":"select 1"}`, "class=read resource=sql: effect=none"},
		{"data that is exported is sent", "bigquery",
			`{"query":"EXPORT DATA OPTIONS(uri='gs://b/x') AS SELECT * FROM t"}`, "class=send effect=irreversible"},
		{"a bound is no amount", "create_payment", `{"max_amount":5}`,
			"class=pay labels=financial effect=irreversible"},
		{"an amount that can be read in two ways is none", "create_payment", `{"amount":"1,234"}`,
			"class=pay labels=financial effect=irreversible"},
		{"a password is no id", "update_password", `{"password":"hunter2"}`,
			"class=write resource=password: labels=secret effect=reversible"},
		{"a card number is not shown", "delete_card", `{"card_id":"4111 1111 1111 1111"}`,
			"class=delete resource=card:411111******1111 labels=financial effect=irreversible"},
		{"nor among others", "send_money", `{"to":["4111111111111111","5500005555555559"]}`,
			"class=pay to=:card,card labels=financial effect=irreversible"},
		{"the class may be an argument", "manage_users", `{"action":"delete","user_id":"u1"}`,
			"class=delete resource=user:u1 subject=u1 labels=pii effect=irreversible"},
		{"or a method", "http_gateway", `{"method":"DELETE","url":"https://acme.com/x"}`,
			"class=delete to=url:https://acme.com/x@acme.com effect=irreversible"},
		{"of it and a plain name the stronger one", "get_user", `{"action":"delete"}`,
			"class=delete resource=user: labels=pii effect=irreversible"},
		{"however it is said", "delete_user", `{"action":"get"}`,
			"class=delete resource=user: labels=pii effect=irreversible"},
		{"SQL shows what a query is", "query_database", `{"query":"delete from customers"}`,
			"class=delete resource=database: effect=irreversible"},
		{"a search for such words is none", "search_articles", `{"query":"delete from customers"}`,
			"class=read resource=article: effect=none"},
		{"an environment", "deploy_app", `{"env":"production","app_id":"a"}`,
			"class=exec resource=app:a env=production"},
		{"but not any word", "deploy_app", `{"env":"Bob's"}`, "class=exec"},
		{"more than one line is no id", "get_order", `{"order_id":"a\nb"}`, "class=read resource=order: effect=none"},
		{"nor is a long text", "get_order", `{"order_id":"` + strings.Repeat("x", 300) + `"}`,
			"class=read resource=order: effect=none"},
		{"of one name twice the last counts, as it does for most readers", "get_order",
			`{"order_id":"a","order_id":"b"}`, "class=read resource=order:b effect=none"},
		{"escapes", "get_order", `{"order\u005fid":"a\u0062c"}`, "class=read resource=order:abc effect=none"},
		{"other values than texts and numbers are none", "get_order", `{"order_id":null,"id":true}`,
			"class=read resource=order: effect=none"},
		{"nor does it matter how deep it lies", "get_order", `{"a":{"b":{"c":{"d":{"e":{"f":{"order_id":"x"}}}}}}}`,
			"class=read resource=order:x effect=none"},
		{"whoever is given access", "share_folder", `{"folder_id":"f1","email":"bob@acme.com"}`,
			"class=send resource=folder:f1 to=email:bob@acme.com@acme.com effect=irreversible"},
		{"a new member of a group", "add_user_to_group", `{"user_id":"u1","group_id":"g1"}`,
			"class=grant resource=group:g1 to=user:u1 labels=pii effect=reversible"},
	} {
		e := complete(Default().Catalogue(), event.Event{Kind: event.ToolCall, Tool: event.Tool{Name: c.tool},
			Args: []byte(c.args)})
		if got := described(&e); got != c.want {
			t.Errorf("%s: %s %.80s\n got %s\nwant %s", c.claim, c.tool, c.args, got, c.want)
		}
	}
}

func TestWhatTheProducerDeclaresWins(t *testing.T) {
	c := catalogue(t, `
tools:
- names: [create_refund]
  class: delete
  resource: {type: x, id: amount, environment: dev}
  subject: order_id
  destination: {kind: x, value: order_id, external: true}
  amount: {value: amount, currency: EUR}
  labels: [x]
`)
	declared := event.Event{Tool: event.Tool{Name: "create_refund", Class: event.Read},
		Resource: event.Resource{Type: "cow", ID: "7", Environment: "barn", Labels: []string{"brown"}},
		Subject:  "s", Destination: event.Destination{Kind: "host", Value: "h", Domain: "h", External: event.No},
		Has: event.HasAmount, Amount: event.Amount{Micro: 1, Currency: "USD"},
		Args: []byte(`{"order_id":"o1","amount":"5"}`)}
	e := complete(c, declared)
	if e.Inferred != 0 {
		t.Errorf("inferred %b", e.Inferred)
	}
	e.SideEffect = 0
	if diff := cmp.Diff(declared, e); diff != "" {
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

func TestHintsAreClaims(t *testing.T) {
	for _, c := range []struct {
		tool string
		hint event.Tri
		want event.Class
	}{
		{"frobnicate", event.Yes, event.Read}, {"frobnicate", event.No, event.NoClass},
		{"order_pizza", event.Yes, event.Read}, {"delete_user", event.Yes, event.Delete},
		{"get_x", event.No, event.Read},
	} {
		e := complete(Default().Catalogue(), event.Event{Tool: event.Tool{Name: c.tool, ReadOnlyHint: c.hint}})
		if e.Tool.Class != c.want {
			t.Errorf("%s, read only %d: got %v, want %v", c.tool, c.hint, e.Tool.Class, c.want)
		}
	}
}

func TestTheMoreTellingEntryGoesFirst(t *testing.T) {
	c := catalogue(t, `
tools:
- {names: ["*"], labels: [any], class: read}
- {names: ["do_*"], class: write, subject: who}
- {names: ["do_it*"], class: delete}
- {names: [do_it], class: send}
- {names: [do_it], servers: [bank], class: pay}
- {names: ["do_*"], tenant: acme, class: exec}
- {names: [do_that], tenant: acme, class: grant}
- {names: [do_that], class: approve}
- {servers: ["crm*"], resource: {environment: crm}}
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
	c := catalogue(t, `
tools:
- names: [settle]
  class: pay
  side_effect: reversible
  resource: {type: claim, id: "claim.refs[1]"}
  subject: claim.holder
  destination: {kind: account, value: "legs[*].account", external: true}
  amount: {value: legs.sum, currency: unit}
  labels: [medical, financial]
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

// TestWhatWasSeenBeforeDoesNotShow holds a tool that has seen much against one that is new: after a
// restart every tool is new.
func TestWhatWasSeenBeforeDoesNotShow(t *testing.T) {
	c := Default().Catalogue()
	old := c.Tool("", &event.Tool{Name: "send_order"})
	var x Scratch
	for i := range 2 * maxLearned {
		e := event.Event{Args: fmt.Appendf(nil, `{"k%d":{"to":"a@b.com"},"to%d":"x"}`, i, i)}
		old.Complete(&e, &x)
	}
	if old.learned > maxLearned {
		t.Errorf("%d names are remembered", old.learned)
	}
	for _, args := range []string{`{"to":"a@b.com","order_id":"1"}`,
		`{"order_id":"1","recipients":[{"email":"a@b.com"}]}`, `{"k1":{"to":"z@b.com"},"a\"b":"x"}`} {
		a, b := event.Event{Args: []byte(args)}, event.Event{Args: []byte(args)}
		old.Complete(&a, &x)
		c.Tool("", &event.Tool{Name: "send_order"}).Complete(&b, &x)
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%s: %s", args, diff)
		}
	}
}

func TestTextsLiveUntilReset(t *testing.T) {
	tool := Default().Catalogue().Tool("", &event.Tool{Name: "send_email"})
	var x Scratch
	var got []event.Event
	for i := range 3000 { // more than a block holds
		e := event.Event{Args: fmt.Appendf(nil, `{"to":["a%d@x.com","b@\u0079.com"]}`, i)}
		tool.Complete(&e, &x)
		got = append(got, e)
	}
	for i, e := range got {
		if want := fmt.Sprintf("a%d@x.com,b@y.com", i); e.Destination.Value != want {
			t.Fatalf("got %q, want %q", e.Destination.Value, want)
		}
	}
}

func TestCompleteAllocatesNothing(t *testing.T) {
	for _, args := range []string{"",
		`{"order_id":"o1","customer_id":"c1","amount":"5.00","currency":"eur","note":"x\ny"}`,
		`{"to":["a@x.com","b@y.com"],"body":{"a":[1,2,{"b":"c"}]}}`,
		`{"iban":"de89 3704 0044 0532 0130 00","card":"4111 1111 1111 1111","nested":{"id":"a\u0062"}}`} {
		for _, name := range []string{"send_email", "pay_order", "get_customer", "frobnicate", "query_database"} {
			tool := Default().Catalogue().Tool("", &event.Tool{Name: name})
			var x Scratch
			if n := testing.AllocsPerRun(100, func() {
				e := event.Event{Args: []byte(args)}
				tool.Complete(&e, &x)
				x.Reset()
			}); n > 1 { // the bytes of the arguments themselves
				t.Errorf("%s %s: %v allocations", name, args, n)
			}
		}
	}
}

func TestEvidence(t *testing.T) {
	set, errs := Load(folder(t,
		map[string]string{"tools/t.yaml": "tools:\n- {names: [zap], class: delete, subject: who.id}\n"}))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	explain := func(e event.Event) string {
		var lines []string
		before := e
		for _, v := range set.Catalogue().Tool("", &e.Tool).Explain(&e) {
			lines = append(lines, strings.TrimSpace(v.Field+" "+v.Value)+": "+
				v.From[strings.LastIndexByte(v.From, filepath.Separator)+1:])
		}
		if diff := cmp.Diff(before, e); diff != "" {
			t.Error("the event is another: ", diff)
		}
		return strings.Join(lines, "; ")
	}
	for _, c := range []struct {
		e    event.Event
		want string
	}{
		{event.Event{Tool: event.Tool{Name: "zap"}, Args: []byte(`{"who":{"id":"u1"}}`)},
			`class delete: t.yaml:2:3; side_effect irreversible: class delete; resource who: argument "who.id", an id; subject: t.yaml:2:3`},
		{event.Event{Tool: event.Tool{Name: "send_money"}, Args: []byte(`{"to":"DE89370400440532013000","amount":5}`)},
			`class pay: verb "send" with "money" in the name; side_effect irreversible: class pay; destination iban: argument "to", an IBAN; amount: argument "amount"; labels financial: nouns of the name`},
		{event.Event{Tool: event.Tool{Name: "x", Class: event.Read}, Subject: "s"},
			"class read: declared; side_effect none: class read; subject: declared"},
		{event.Event{Tool: event.Tool{Name: "x", ReadOnlyHint: event.Yes}},
			"class read: hint read_only_hint; side_effect none: class read"},
		{event.Event{Tool: event.Tool{Name: "manage"}, Args: []byte(`{"action":"remove"}`)},
			`class delete: argument "action", "remove"; side_effect irreversible: class delete`},
		{event.Event{Tool: event.Tool{Name: "x"}}, ""},
	} {
		if got := explain(c.e); got != c.want {
			t.Errorf("\n got %s\nwant %s", got, c.want)
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

// FuzzComplete wants that no call breaks the catalogue, and that what it fills in is bounded,
// readable, and the same for a tool that has seen it before.
func FuzzComplete(f *testing.F) {
	for _, args := range []string{`{"to":"a@b.com"}`, `{"a":{"b":[{"id":1}]},"amount":"5 EUR"}`,
		`{"url":"https://x.y/z","action":"delete"}`, `{"to":["4111111111111111","\ud83d\ude00"],"x":[[[[1]]]]}`,
		`{"iban":"DE89 3704 0044 0532 0130 00","cc":[]}`, `{`, `{"a"`, `{"a":`, `{"a":[`, `{"a":"\`,
		`{"to":"` + strings.Repeat(`a@b.com,`, 200) + `"}`} {
		for _, name := range []string{"send_email", "pay", "get_order", "x", "query_db"} {
			f.Add(name, args)
		}
	}
	c := catalogue(f,
		"tools:\n- {names: [pay], destination: {value: \"to[1]\"}, subject: a.b, amount: {value: amount, currency: cur}}\n")
	f.Fuzz(func(t *testing.T, name, args string) {
		if !utf8.ValidString(args) || !utf8.ValidString(name) {
			return // the decoder lets none through
		}
		e := event.Event{Tool: event.Tool{Name: name}, Args: []byte(args)}
		tool := c.Tool("t", &e.Tool)
		var x Scratch
		first, second := e, e
		tool.Complete(&first, &x)
		tool.Complete(&second, &x)
		if diff := cmp.Diff(first, second); diff != "" {
			t.Fatal(diff)
		}
		for _, s := range []string{first.Resource.Type, first.Resource.ID, first.Resource.Environment, first.Subject,
			first.Destination.Kind, first.Destination.Value, first.Destination.Domain, first.Amount.Currency} {
			if !utf8.ValidString(s) || len(s) > event.MaxString {
				t.Fatalf("%q", s)
			}
			if strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0 && isCard(s) {
				t.Fatalf("a card number: %s", s)
			}
		}
		if cap(x.block) > scratchBlock || tool.learned > maxLearned+8 {
			t.Fatalf("%d bytes, %d names", cap(x.block), tool.learned)
		}
		tool.Explain(&e)
	})
}

// FuzzArguments holds the scan of arguments against encoding/json: what is found at a path is what
// stands there.
func FuzzArguments(f *testing.F) {
	for _, args := range []string{`{"k":"v"}`, `{"x":{"k":[1,{"k":"deep"}]},"k":"a\u0062"}`, `{"k":-1.5e3}`,
		`{"k":[],"j":{}}`, `{ "k" : "a" , "k" : "b" }`, `{"k":["a","b"]}`, `{"":"","k":""}`} {
		f.Add([]byte(args))
	}
	c := catalogue(f, "tools:\n- {names: [x], subject: k}\n")
	f.Fuzz(func(t *testing.T, args []byte) {
		var members map[string]json.RawMessage
		if !utf8.Valid(args) || json.Unmarshal(args, &members) != nil {
			return
		}
		if tokens := bytes.Count(args, []byte{':'}) + bytes.Count(args, []byte{','}); tokens >= 16_000 ||
			bytes.Contains(args, []byte(`\u`)) && bytes.Contains(bytes.ToLower(args), []byte(`\ud`)) {
			return // only so many are looked at; half a surrogate the decoder lets through to nobody
		}
		want := ""
		var value any
		d := json.NewDecoder(bytes.NewReader(members["k"]))
		d.UseNumber()
		if d.Decode(&value) == nil {
			switch v := value.(type) {
			case string:
				want = v
			case json.Number:
				want = v.String()
			default:
				return // lists and objects: their texts count too
			}
		}
		if strings.Count(string(args), `"k"`) > 1 || bytes.ContainsRune(args, '\\') &&
			strings.Contains(string(args), `\u006`) {
			return // one name twice, perhaps in disguise: the last that is a text counts, not the last
		}
		e := event.Event{Args: args}
		var x Scratch
		c.Tool("", &event.Tool{Name: "x"}).Complete(&e, &x)
		if len(want) > maxValue || strings.ContainsFunc(want, func(r rune) bool { return r < ' ' || r == 0x7f }) ||
			isCard(want) {
			return
		}
		if e.Subject != want {
			t.Fatalf("%s: got %q, want %q", args, e.Subject, want)
		}
	})
}
