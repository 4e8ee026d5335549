package catalogue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
)

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
		e := complete(New(nil), event.Event{Kind: event.ToolCall, Tool: event.Tool{Name: c.tool},
			Args: []byte(c.args)})
		if got := described(&e); got != c.want {
			t.Errorf("%s: %s %.80s\n got %s\nwant %s", c.claim, c.tool, c.args, got, c.want)
		}
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
		e := complete(New(nil), event.Event{Tool: event.Tool{Name: c.tool, ReadOnlyHint: c.hint}})
		if e.Tool.Class != c.want {
			t.Errorf("%s, read only %d: got %v, want %v", c.tool, c.hint, e.Tool.Class, c.want)
		}
	}
}

// TestWhatWasSeenBeforeDoesNotShow holds a tool that has seen much against one that is new: after a
// restart every tool is new.
func TestWhatWasSeenBeforeDoesNotShow(t *testing.T) {
	c := New(nil)
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
	tool := New(nil).Tool("", &event.Tool{Name: "send_email"})
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
			tool := New(nil).Tool("", &event.Tool{Name: name})
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
	c := declared(f,
		"- {names: [pay], destination: {value: \"to[1]\"}, subject: a.b, amount: {value: amount, currency: cur}}\n")
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
	c := declared(f, "- {names: [x], subject: k}\n")
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

func TestEvidence(t *testing.T) {
	c := New([]Entry{{Definition{Names: []string{"zap"}, Class: "delete", Subject: "who.id"}, "t.yaml:2:3"}})
	explain := func(e event.Event) string {
		var lines []string
		before := e
		for _, v := range c.Tool("", &e.Tool).Explain(&e) {
			lines = append(lines, strings.TrimSpace(v.Field+" "+v.Value)+": "+v.From)
		}
		if diff := cmp.Diff(before, e); diff != "" {
			t.Error("the event is another: ", diff)
		}
		return strings.Join(lines, "; ")
	}
	for _, k := range []struct {
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
		if got := explain(k.e); got != k.want {
			t.Errorf("\n got %s\nwant %s", got, k.want)
		}
	}
}
