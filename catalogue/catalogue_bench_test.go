package catalogue

import (
	"testing"

	"github.com/wayward-sec/wayward/event"
)

func BenchmarkComplete(b *testing.B) {
	for _, c := range []struct {
		name string
		e    event.Event
	}{
		{"class declared, no arguments",
			event.Event{Tool: event.Tool{Name: "get_customer", Server: "crm", Class: event.Read}}},
		{"all declared", event.Event{Tool: event.Tool{Name: "create_refund", Server: "bank", Class: event.Pay},
			Subject: "cus_17", Has: event.HasAmount,
			Amount: event.Amount{Micro: 1, Currency: "EUR"},
			Resource: event.Resource{Type: "order", ID: "ord_1", Environment: "production",
				Labels: []string{"financial"}}, Destination: event.Destination{Kind: "iban", Value: "x"},
			Args: []byte(
				`{"order_id":"ord_00417733","customer_id":"cus_00120117","amount":"49.90","currency":"EUR","reason":"parcel lost on its way, see the ticket"}`)}},
		{"a refund, 142 bytes", event.Event{Tool: event.Tool{Name: "create_refund", Server: "bank"},
			Args: []byte(
				`{"order_id":"ord_00417733","customer_id":"cus_00120117","amount":"49.90","currency":"EUR","reason":"parcel lost on its way, see the ticket"}`)}},
		{"a mail, 190 bytes", event.Event{Tool: event.Tool{Name: "send_email", Server: "mail"},
			Args: []byte(
				`{"to":"jane.doe@mailbox.example","subject":"Your order of last week","body":"Dear Jane, the parcel is on its way and should be with you on Thursday, at the latest on Friday. Kind regards"}`)}},
		{"a query, 96 bytes", event.Event{Tool: event.Tool{Name: "search_customers", Server: "crm"},
			Args: []byte(
				`{"query":"doe berlin","limit":20,"offset":0,"filter":{"country":"DE","active":true},"sort":"name"}`)}},
		{"a mail with escapes, 130 bytes", event.Event{Tool: event.Tool{Name: "send_email", Server: "mail"},
			Args: []byte(
				`{"to":["a@mailbox.example","b@mailbox.example"],"subject":"Re: \"Order\"","body":"Dear Jane,\n\nthe parcel is on its way.\n\nKind regards"}`)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			t := New(nil).Tool("acme", &c.e.Tool)
			var x Scratch
			b.ReportAllocs()
			for b.Loop() {
				e := c.e
				t.Complete(&e, &x)
				x.Reset()
			}
		})
	}
	b.Run("copying an event, to be taken off", func(b *testing.B) {
		e := event.Event{Tool: event.Tool{Name: "x"}}
		for b.Loop() {
			c := e
			sink = c.Subject
		}
	})
}

var sink string
