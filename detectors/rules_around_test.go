package detectors

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
)

// A rule can say "rare, and to an outsider": it hears what the detectors before it came to, and
// what the persona's baseline knows.
func TestRulesAskTheBaseline(t *testing.T) {
	s := taught(t, `{"v":1,"rules":[
		{"id":"rare-outside","title":"t","suppress":"1s","where":"kind == \"tool_call\" and baseline.p(\"rarity\") < 0.01 and destination.external","let":{"often":"baseline.expected(\"events\")"},"explain":"\"expected \" + string(often)"},
		{"id":"unknown-domain","title":"t","suppress":"1s","where":"kind == \"tool_call\" and not baseline.seen(\"domain\")"},
		{"id":"unknown-resource","title":"t","suppress":"1s","where":"kind == \"tool_call\" and not baseline.seen(\"resource\")"}]}`, 20, 30)
	s.panel.list = append(s.panel.list, newRules(9, s.panel.Set))
	s.observe(work(31, 0, "first")) // closes the days before
	for _, m := range s.models {
		baselines.VolumeOf(m).Of[baselines.EventCount].Rate = 4
		for i := range baselines.VolumeOf(m).Hours.Of {
			baselines.VolumeOf(m).Hours.Of[i] = 1.5
		}
	}
	ruled := func(e event.Event) (ids []string, whys string) {
		at := len(s.found)
		s.observe(e)
		for _, f := range s.found[at:] {
			if f.Detector == "rule" {
				ids, whys = append(ids, f.Rule), whys+f.Why
			}
		}
		return ids, whys
	}
	outside := func(e event.Event) event.Event { e.Destination.External = event.Yes; return e }
	for _, c := range []struct {
		what string
		e    event.Event
		want string
	}{
		{"usual", outside(pays(work(31, 3, "u"), "one.example")), "[]"},
		{"new, to an outsider", outside(pays(work(31, 3, "evil"), "evil.example")), "[rare-outside unknown-domain]"},
		{"new, inside", pays(work(31, 4, "inside"), "other.example"), "[unknown-domain]"},
		{"another resource", func() event.Event { e := work(31, 5, "r"); e.Resource.Type = "salary"; return e }(),
			"[unknown-resource]"},
	} {
		ids, whys := ruled(c.e)
		if got := fmt.Sprint(ids); got != c.want {
			t.Errorf("%s: rules %s, want %s", c.what, got, c.want)
		}
		if len(ids) == 2 && !strings.Contains(whys, "expected 6") {
			t.Errorf("%q does not say what was expected", whys)
		}
	}
	// What an event has brought about is not taken for the next one's doing.
	s.found = nil
	if ids, _ := ruled(outside(work(31, 3, "after"))); len(ids) > 0 {
		t.Errorf("an event after an odd one: %v", ids)
	}
}

// Quantile and Expected are in the units of the fields that they are compared with.
func TestWhatIsUsualIsInTheUnitsOfEvents(t *testing.T) {
	m := &baselines.Model{}
	baselines.VolumeOf(m).Of[baselines.AmountSum].Rate, baselines.VolumeOf(m).Of[baselines.RecordSum].Rate = 40e6, 7
	for i := range baselines.VolumeOf(m).Hours.Of {
		baselines.VolumeOf(m).Hours.Of[i] = 2
	}
	h := newHost(t, noPolicy)
	w := h.panel.Who("acme", "p", "")
	w.Rest(m, 0, 0)
	a := &around{test: h.panel.Set.Supposed()}
	a.show(&Scene{Who: w}, &event.Event{Kind: event.ToolCall})
	if got := a.Expected("amount"); got != 80 {
		t.Errorf("amount: %v, want 80", got)
	}
	if got := a.Expected("records"); got != 14 {
		t.Errorf("records: %v, want 14", got)
	}
	if !math.IsInf(a.Expected("weight"), 1) || !math.IsInf(a.Quantile("records", 0.5), 1) || a.P("nobody") != 1 {
		t.Error("what nobody knows is not nothing")
	}
}

// What the persona's policy says of a call can be asked, and is that of this call.
func TestRulesAskThePolicy(t *testing.T) {
	h := newHost(t, `{"v":1,"personas":[{"name":"clerk","default":"allow","tags":["kyc"],"tools":{"deny":["rm*"],"needs_approval":["pay*"]},"destinations":{"deny":["evil.example"]}}],"rules":[
		{"id":"twice-forbidden","title":"t","suppress":"1s","where":"kind == \"tool_call\" and \"tool\" in role.forbids and \"destination\" in role.forbids"},
		{"id":"wants-approval","title":"t","suppress":"1s","where":"kind == \"tool_call\" and role.needs_approval and \"kyc\" in role.tags and role.default == \"allow\""},
		{"id":"no-role","title":"t","suppress":"1s","where":"kind == \"tool_call\" and not role.known"}]}`)
	for _, c := range []struct{ persona, tool, to, want string }{
		{"clerk", "read", "", "[]"},
		{"clerk", "rm_all", "x@evil.example", "[twice-forbidden]"},
		{"clerk", "rm_all", "x@fine.example", "[]"},
		{"clerk", "pay_out", "", "[wants-approval]"},
		{"clerk", "read", "", "[]"},
		{"other", "rm_all", "", "[no-role]"},
	} {
		at := len(h.found)
		h.time += 10_000
		e := event.Event{ID: fmt.Sprint(h.time), Time: h.time, Kind: event.ToolCall, Tenant: "acme", Persona: c.persona,
			Agent: event.Agent{ID: "a" + c.persona}, Tool: event.Tool{Name: c.tool}}
		if c.to != "" {
			e.Destination = event.Destination{Kind: "email", Value: c.to, Domain: c.to[2:]}
		}
		h.event = &e
		h.panel.Observe(&Scene{Host: h, Time: e.Time, Agent: h.memory(h.agents, "acme|"+e.Agent.ID),
			Who: h.panel.Who("acme", c.persona, ""), Delta: &baselines.Delta{}}, &e)
		var ids []string
		for _, f := range h.found[at:] {
			if f.Detector == "rule" {
				ids = append(ids, f.Rule)
			}
		}
		if got := fmt.Sprint(ids); got != c.want {
			t.Errorf("%s %s %s: rules %s, want %s", c.persona, c.tool, c.to, got, c.want)
		}
	}
}
