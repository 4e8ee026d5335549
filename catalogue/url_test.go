package catalogue

import (
	"slices"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

func TestDomainsOfADestination(t *testing.T) {
	for _, c := range []struct {
		d    event.Destination
		want []string
	}{
		{event.Destination{Domain: "a.example", Kind: "email", Value: "x@b.example"}, []string{"a.example"}},
		{event.Destination{Kind: "email", Value: "x@b.example; Jane <y@c.example>"},
			[]string{"b.example", "c.example"}},
		{event.Destination{Kind: "url", Value: "https://d.example/x"}, []string{"d.example"}},
		{event.Destination{Kind: "URL", Value: "MailTo:x@e.example"}, []string{"e.example"}},
		{event.Destination{Kind: "host", Value: "f.example:22"}, []string{"f.example"}},
		{event.Destination{Kind: "iban", Value: "DE02"}, nil},
		{event.Destination{Kind: "url", Value: `https://a@b\c`}, nil},
		{event.Destination{}, nil},
	} {
		if got := Domains(nil, &c.d); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %q, want %q", c.d, got, c.want)
		}
	}
}
