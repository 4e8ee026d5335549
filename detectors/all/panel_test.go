package all

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// remembered is a memory with everything in it.
func remembered(t testing.TB) *detectors.Memory {
	h := detectorstest.NewHost(t,
		`{"v":1,"personas":[{"name":"clerk","tools":{"deny":["search"]}}],"limits":[{"id":"a","scope":"agent","measure":"count","max":"3","window":"1m"},`+
			`{"id":"b","scope":"agent","measure":"records","max":"3","window":"1h"},{"id":"c","scope":"agent","measure":"amount","currency":"EUR","max":"3","window":"1d","kind":"tumbling"}]}`)
	for i := range int64(20) {
		e := detectorstest.Amount(detectorstest.Records(detectorstest.Call(i*700, "e"+strconv.Itoa(int(i))), i), i, "EUR")
		h.Observe(&e)
	}
	if len(h.Found) < 6 {
		t.Fatalf("only %d findings", len(h.Found))
	}
	return h.Agents["acme|a1"]
}

func TestMemoryComesBackAsItWas(t *testing.T) {
	want := remembered(t).Append(nil)
	var m detectors.Memory
	r := wire.Reader{B: want}
	if m.Decode(&r); r.Err != nil || len(r.B) != 0 {
		t.Fatalf("%v, %d bytes left", r.Err, len(r.B))
	}
	if got := m.Append(nil); string(got) != string(want) {
		t.Errorf("%d bytes come back as %d others", len(want), len(got))
	}
	for n := range want {
		r := wire.Reader{B: want[:n]}
		if (&detectors.Memory{}).Decode(&r); r.Err == nil {
			t.Fatalf("%d of %d bytes decode without an error", n, len(want))
		}
	}
}

func TestThePartOfAnUnknownDetectorIsLeftOut(t *testing.T) {
	b := append([]byte{200, 0, 0, 0, 3, 'x', 'y', 'z'}, remembered(t).Append(nil)...)
	var m detectors.Memory
	r := wire.Reader{B: b}
	if m.Decode(&r); r.Err != nil || string(m.Append(nil)) != string(b[8:]) {
		t.Errorf("the rest is not as it was: %v", r.Err)
	}
}

func FuzzMemory(f *testing.F) {
	f.Add(remembered(f).Append(nil))
	f.Add([]byte{1, 0, 0, 0, 1, 5, 0})
	f.Add([]byte{2, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m detectors.Memory
		r := wire.Reader{B: b}
		if m.Decode(&r); r.Err != nil {
			return
		}
		once := m.Append(nil)
		var back detectors.Memory
		again := wire.Reader{B: once}
		if back.Decode(&again); again.Err != nil || string(back.Append(nil)) != string(once) {
			t.Fatalf("%x comes back as %x, %v", once, back.Append(nil), again.Err)
		}
	})
}

// BenchmarkCatalogueAndFiftyLimits is all that an event costs between the decoder and the shard,
// when it violates nothing: catalogue, persona policy, fifty limits, duties, declarations and
// inventory.
func BenchmarkCatalogueAndFiftyLimits(b *testing.B) {
	for _, n := range []int{1, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(n, " agents"), func(b *testing.B) {
			fresh := new(event.Event) // the catalogue fills in
			detectorstest.Benchmark(b, detectors.New(detectorstest.Fifty(b)), n, func(p *detectors.Panel, x *detectors.Scene, e *event.Event) {
				*fresh = *e
				p.Observe(x, fresh)
			})
		})
	}
}

func TestWhatGoesOnAsksForItsResponseAgain(t *testing.T) {
	for respond, want := range map[string]string{"": "2 and 0", `,"respond":{"action":"block"}`: "2 and 2"} {
		h := detectorstest.NewHost(t, `{"v":1,"personas":[{"name":"clerk","default":"allow","tools":{"deny":["x"]}`+respond+`}],
			"limits":[{"id":"l","scope":"agent","measure":"count","max":"1","window":"1h"`+respond+`}]}`)
		for i := range 3 { // a persona's finding is told at 1, 2 and 4 calls, a limit's at 2 and 4
			e := event.Event{ID: fmt.Sprint(i), Time: int64(i), Kind: event.ToolCall, Tenant: "acme", Persona: "clerk",
				Agent: event.Agent{ID: "a"}, Tool: event.Tool{Name: "x"}}
			h.Observe(&e)
		}
		count := map[string]int{}
		for _, f := range h.Found {
			count[f.Detector]++
		}
		got := fmt.Sprintf("%d and %d", count["policy"], len(h.Again))
		if got != want || count["limit"] != 1 {
			t.Errorf("with response %q: %s findings of the policy told and going on, want %s; %d of the limit", respond,
				got, want, count["limit"])
		}
		for _, f := range h.Again {
			if f.Response == nil || f.UID != h.Found[0].UID && len(f.Refs) == 0 {
				t.Errorf("%+v asks for nothing", f)
			}
		}
	}
}

func BenchmarkPanel(b *testing.B) {
	h := detectorstest.NewHost(b, `{"v":1}`)
	line := []byte(
		`{"time":1767600000000,"kind":"tool_call","tenant":"acme","persona":"support","agent":{"id":"support-1"},"user":"u-1","session":"s1","tool":{"name":"get_customer","server":"crm","class":"read"},"resource":{"type":"customer","id":"cus_00000012","labels":["pii"]},"subject":"cus_1","args":{"id":"cus_00000012","note":"look this customer up, please, and do it quickly, since they wait on the phone"},"result":{"outcome":"ok","records":1}}`)
	var d event.Decoder
	var e event.Event
	if err := d.Decode(line, &e); err != nil {
		b.Fatal(err)
	}
	x := detectors.Scene{Host: h, Agent: &detectors.Memory{}, Delta: &baselines.Delta{}, Who: h.Panel.Who("acme", "support", "")}
	h.Event = &e
	b.ReportAllocs()
	c := new(event.Event)
	for b.Loop() {
		*c = e
		h.Panel.Observe(&x, c)
		h.Panel.Reset()
	}
}

func TestToolsThatLookAlikeAreKeptApart(t *testing.T) {
	h := detectorstest.NewHost(t,
		`{"v":1,"tools":[{"names":["a1z1b"],"class":"delete"},{"names":["a2z2b"],"class":"send"},{"names":["a1z1b"],"tenant":"globex","class":"pay"},{"names":["a1z1b"],"servers":["s"],"class":"exec"}]}`)
	for range 3 {
		for _, c := range []struct {
			tenant, name, server string
			want                 event.Class
		}{{"acme", "a1z1b", "", event.Delete}, {"acme", "a2z2b", "", event.Send}, {"globex", "a1z1b", "", event.Pay},
			{"acme", "a1z1b", "s", event.Exec}, {"acme", "", "", event.NoClass}} {
			e := detectorstest.Call(0, "e")
			e.Tenant, e.Persona, e.Tool = c.tenant, "", event.Tool{Name: c.name, Server: c.server}
			if got := h.Panel.Tool(c.tenant, &e.Tool); got.Name != c.name || got.Server != c.server {
				t.Errorf("got %s of %s", got.Name, got.Server)
			}
			if h.Observe(&e); e.Tool.Class != c.want {
				t.Errorf("%+v: got %v", c, e.Tool.Class)
			}
		}
	}
}
