package policy

import (
	"testing"

	"github.com/wayward-sec/wayward/event"
)

// TestListsReadDestinationsAsClientsDo writes one host in many ways: a list that lets others pass
// lets none of them pass, and one that denies it denies all.
func TestListsReadDestinationsAsClientsDo(t *testing.T) {
	allow := parse(t,
		"personas:\n- {name: p, default: deny, tools: {allow: ['*']}, classes: {allow: ['*']}, destinations: {allow: [good.example, '*.good.example']}}\n",
		"").Persona("", "p")
	deny := parse(t,
		"personas:\n- {name: p, default: allow, destinations: {deny: [bad.example, 169.254.169.254, böse.example, '127.*']}}\n",
		"").Persona("", "p")
	violations := func(p *Persona, tool, url string) (n int) {
		e := complete(Default().Catalogue(), event.Event{Kind: event.ToolCall, Tool: event.Tool{Name: tool},
			Args: []byte(`{"url":"` + url + `"}`)})
		for _, v := range p.Check(&e, nil) {
			if v.Kind == Destinations.String() {
				n++
			}
		}
		return n
	}
	for _, tool := range []string{"fetch_url", "update_record", "delete_record", "run_job"} {
		for _, url := range []string{"https://bad.example/x", " https://bad.example", `\thttps://bad.example`,
			"https://bad.example.", "HTTPS://BAD.EXAMPLE", "https:bad.example", `https:\\\\bad.example`,
			"https://good.example@bad.example/", `https://bad.example\\@good.example/`,
			"https://bad.example#@good.example", "//bad.example/x", "bad.example/x", `https://b\tad.example`,
			"https://ｂad.example", "https://bad。example", "https://BAD%2eexample/",
			"http://2852039166/", "http://0xa9fea9fe/", "http://0251.0376.0251.0376", "http://[::ffff:a9fe:a9fe]/",
			"http://169.254.43518/", "http://[64:ff9b::169.254.169.254]/", "http://[2002:a9fe:a9fe::]/",
			"http://böse.example", `http://bo\u0308se.example`,
			"http://xn--bse-sna.example", "http://127.1/", "http://0177.0.0.1/", "wss://bad.example/x",
			"jar:https://bad.example!/x", "git+ssh://git@bad.example/x", "view-source:https://bad.example",
			"https://good.example https://bad.example",
			"https://good.example,https://bad.example", "https://good.example/;https://bad.example",
			"https://good.example|https://bad.example/", `https://good.example\nhttps://bad.example`,
			"<https://bad.example>", `\"https://bad.example\"`, "(https://bad.example)",
			"https://user:pa ss@bad.example/", "https://bad.example /x", "https://bad.example%20/x"} {
			if violations(allow, tool, url) == 0 {
				t.Errorf("%s %s: let pass", tool, url)
			}
			if violations(deny, tool, url) == 0 {
				t.Errorf("%s %s: not denied", tool, url)
			}
		}
		for _, url := range []string{"https://good.example/a b", "https://good.example./",
			"https://Good.example:8443/x?y=https://bad.example", "good.example/x@y", " https://good.example ",
			"https://x.good.example/a,b;c|d"} {
			if violations(allow, tool, url)+violations(deny, tool, url) != 0 {
				t.Errorf("%s %s: strays", tool, url)
			}
		}
	}
}
