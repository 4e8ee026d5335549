package declaration

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

func TestDeclarations(t *testing.T) {
	read := func(name string, effect event.Class) event.Event {
		e := detectorstest.Call(0, "")
		e.Persona = ""
		e.Tool = event.Tool{Name: name, Server: "crm", Class: event.Read}
		e.Result.Effect = effect
		return e
	}
	hinted := func(e event.Event) event.Event {
		e.Tool.Class, e.Tool.ReadOnlyHint = event.NoClass, event.Yes
		return e
	}
	closed := func(external event.Tri) event.Event {
		e := read("lookup", event.NoClass)
		e.Tool.Class, e.Tool.OpenWorldHint = event.NoClass, event.No
		e.Destination = event.Destination{Kind: "url", Value: "https://x.example/", Domain: "x.example",
			External: external}
		return e
	}
	attempt := func(e event.Event) event.Event { e.Phase = event.Attempt; return e }
	const says = `medium alert: tool "lookup" of "crm" declares `
	for claim, c := range map[string]struct {
		events []event.Event
		want   []string
	}{
		"a read that reads is fine": {[]event.Event{read("lookup", event.Read),
			read("lookup", event.NoClass), hinted(read("get_it", event.Read))}, nil},
		"a declared read with the effect of a delete is one": {[]event.Event{read("lookup", event.Delete)},
			[]string{says + "class read, and its effect was delete"}},
		"so is one that only hints at it": {[]event.Event{hinted(read("lookup", event.Pay))},
			[]string{says + "read_only_hint true, and its effect was pay"}},
		"handing on a task changes nothing by itself": {[]event.Event{read("lookup", event.Delegate)}, nil},
		"a class that the catalogue inferred is no claim": {[]event.Event{func() event.Event {
			e := read("get_it", event.Delete)
			e.Tool.Class = event.NoClass
			return e
		}()}, nil},
		"a declared write may delete: no read is claimed": {[]event.Event{func() event.Event {
			e := read("lookup", event.Delete)
			e.Tool.Class = event.Write
			return e
		}()}, nil},
		"a name that says otherwise is a signal": {[]event.Event{read("delete_user", event.NoClass)},
			[]string{
				`informational: tool "delete_user" of "crm" declares class read, and its name says delete ("delete")`}},
		"unless the effect is known to be a read": {[]event.Event{read("delete_user", event.Read)}, nil},
		"an observed effect is said rather than the name": {[]event.Event{read("delete_user", event.Delete)},
			[]string{`medium alert: tool "delete_user" of "crm" declares class read, and its effect was delete`}},
		"a word that may mean many things is no contradiction": {[]event.Event{read("order_list", event.NoClass),
			read("report_total", event.NoClass), read("set", event.NoClass)}, nil},
		"a closed world that reaches outside is one": {[]event.Event{closed(event.Yes)},
			[]string{says + "that it stays inside (open_world_hint false), and reached an external destination"}},
		"not if it is not known to be outside": {[]event.Event{closed(event.Unknown), closed(event.No)}, nil},
		"an attempt shows no effect": {[]event.Event{attempt(read("lookup", event.Delete)),
			attempt(closed(event.Yes))}, nil},
		"it is updated as the count doubles, each tool and kind by itself": {
			[]event.Event{read("lookup", event.Delete), read("lookup", event.Send), read("other", event.Write),
				read("lookup", event.Write), read("lookup", event.Write)},
			[]string{says + "class read, and its effect was delete",
				says + "class read, and its effect was send 2 times",
				`medium alert: tool "other" of "crm" declares class read, and its effect was write`,
				says + "class read, and its effect was write 4 times"}},
	} {
		t.Run(claim, func(t *testing.T) {
			for _, reload := range []bool{false, true} {
				h := detectorstest.NewHost(t, `{"v":1}`)
				h.Reload = reload
				for i, e := range c.events {
					e.ID, e.Time = "e"+strconv.Itoa(i), int64(i)
					h.Observe(&e)
				}
				var got []string
				for _, f := range h.Found {
					word := f.Severity.String()
					if f.Alert {
						word += " alert"
					}
					got = append(got, fmt.Sprintf("%s: %s", word, f.Why))
					if f.Detector != "declaration" || f.Time > f.Last || len(f.Refs) == 0 ||
						f.Refs[len(f.Refs)-1].Time != f.Time {
						t.Errorf("%+v", f)
					}
				}
				if diff := gocmp.Diff(c.want, got); diff != "" {
					t.Errorf("pages reloaded: %v (-want +got):\n%s", reload, diff)
				}
			}
		})
	}
}

func TestAnAgentIsRememberedForSoManyContradictions(t *testing.T) {
	h := detectorstest.NewHost(t, `{"v":1}`)
	observe := func(tool string) event.Activity {
		e := detectorstest.Call(0, "e"+tool)
		e.Persona, e.Tool.Name, e.Tool.Class, e.Result.Effect = "", tool, event.Read, event.Delete
		h.Observe(&e)
		return h.Found[len(h.Found)-1].Activity
	}
	for i := range detectors.MaxTallies + 1 {
		observe("x" + strconv.Itoa(i))
	}
	if observe("x5") != event.Update || observe("x0") != event.Create {
		t.Error("not the oldest went first")
	}
	var m detectors.Memory
	r := wire.Reader{B: h.Agents["acme|a1"].Append(nil)}
	if m.Decode(&r); r.Err != nil || len(m.Part(3).(*contradictions).list) != detectors.MaxTallies {
		t.Errorf("a full list does not come back: %v", r.Err)
	}
}

func TestTheCatalogueFillsInBeforeDetectorsLook(t *testing.T) {
	h := detectorstest.NewHost(t, `{"v":1,"tools":[{"names":["zap"],"class":"delete"}],"personas":[{"name":"clerk","classes":{"deny":["delete","send"]},"destinations":{"deny":["evil.example"]}}],
		"limits":[{"id":"paid","scope":"agent","measure":"amount","currency":"EUR","max":"100","window":"1h","where":{"classes":["pay"]}}]}`)
	for i, s := range []struct{ tool, args string }{
		{"zap", ""}, {"mail.send", `{"to":"a@evil.example"}`}, {"create_refund", `{"amount":"60.00 EUR"}`},
		{"create_refund", `{"amount":60,"currency":"eur"}`}, {"get_it", `{"amount":60,"currency":"EUR"}`},
	} {
		e := detectorstest.Call(0, "e"+strconv.Itoa(i))
		e.Tool.Name, e.Args = s.tool, []byte(s.args)
		h.Observe(&e)
	}
	var got []string
	for _, f := range h.Found {
		got = append(got, f.Refs[len(f.Refs)-1].ID+" "+f.Rule+" "+f.Target)
	}
	want := []string{"e0 persona/clerk/class delete", "e1 persona/clerk/class send",
		"e1 persona/clerk/destination evil.example", "e3 paid "}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTextsOfAnEventOutliveTheNext(t *testing.T) {
	h := detectorstest.NewHost(t, `{"v":1}`)
	send := func(id, to string) *event.Event { // escapes: the text cannot be a part of the record
		e := detectorstest.Call(0, id)
		e.Persona, e.Tool.Name, e.Args = "", "send_email", []byte(`{"to":"`+to+`\u0040acme.com"}`)
		h.Observe(&e)
		return &e
	}
	first := send("1", "jane")
	for i := range 100 {
		send("x"+strconv.Itoa(i), "somebody-else")
	}
	if got := first.Destination.Value; got != "jane@acme.com" {
		// partial sums alias it until the slice ends
		t.Errorf("got %q", got)
	}
	h.Panel.Reset()
	if got := send("2", "joe").Destination.Value; got != "joe@acme.com" {
		t.Errorf("got %q", got)
	}
}
