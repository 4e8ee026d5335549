package detectors

import (
	"testing"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
)

func BenchmarkPanel(b *testing.B) {
	h := newHost(b, `{"v":1}`)
	line := []byte(
		`{"time":1767600000000,"kind":"tool_call","tenant":"acme","persona":"support","agent":{"id":"support-1"},"user":"u-1","session":"s1","tool":{"name":"get_customer","server":"crm","class":"read"},"resource":{"type":"customer","id":"cus_00000012","labels":["pii"]},"subject":"cus_1","args":{"id":"cus_00000012","note":"look this customer up, please, and do it quickly, since they wait on the phone"},"result":{"outcome":"ok","records":1}}`)
	var d event.Decoder
	var e event.Event
	if err := d.Decode(line, &e); err != nil {
		b.Fatal(err)
	}
	x := Scene{Host: h, Agent: &Memory{}, Delta: &baselines.Delta{}, Who: h.panel.Who("acme", "support", "")}
	h.event = &e
	b.ReportAllocs()
	c := new(event.Event)
	for b.Loop() {
		*c = e
		h.panel.Observe(&x, c)
		h.panel.Reset()
	}
}

func TestToolsThatLookAlikeAreKeptApart(t *testing.T) {
	h := newHost(t,
		`{"v":1,"tools":[{"names":["a1z1b"],"class":"delete"},{"names":["a2z2b"],"class":"send"},{"names":["a1z1b"],"tenant":"globex","class":"pay"},{"names":["a1z1b"],"servers":["s"],"class":"exec"}]}`)
	for range 3 {
		for _, c := range []struct {
			tenant, name, server string
			want                 event.Class
		}{{"acme", "a1z1b", "", event.Delete}, {"acme", "a2z2b", "", event.Send}, {"globex", "a1z1b", "", event.Pay},
			{"acme", "a1z1b", "s", event.Exec}, {"acme", "", "", event.NoClass}} {
			e := call(0, "e")
			e.Tenant, e.Persona, e.Tool = c.tenant, "", event.Tool{Name: c.name, Server: c.server}
			if got := h.panel.tool(c.tenant, &e.Tool); got.Name != c.name || got.Server != c.server {
				t.Errorf("got %s of %s", got.Name, got.Server)
			}
			if h.observe(&e); e.Tool.Class != c.want {
				t.Errorf("%+v: got %v", c, e.Tool.Class)
			}
		}
	}
}
