package persona

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

const clerk = `{"v":1,"personas":[{"name":"clerk","default":"deny","tools":{"allow":["search","mail"],"deny":["rm*"]},"classes":{"deny":["delete"]},"destinations":{"deny":["external"]},"severity":"high"}]}`

func TestPersonaPolicy(t *testing.T) {
	type step struct {
		tool, session string
		at            int64
		change        func(e *event.Event)
	}
	do := func(tool string) step { return step{tool: tool, session: "s1"} }
	for name, c := range map[string]struct {
		steps []step
		want  []string
	}{
		"what is allowed is not found": {[]step{do("search"), do("mail")}, nil},
		"a denied tool is, with the entry that did": {[]step{do("rmall")},
			[]string{`created tool rmall ×1: persona clerk used tool "rmall"; denied by "rm*"`}},
		"updated as the count doubles": {[]step{do("x"), do("x"), do("x"), do("x"), do("x"), do("x"), do("x"), do("x"),
			do("x")},
			[]string{`created tool x ×1: persona clerk used tool "x"; denied by default`,
				`updated tool x ×2: persona clerk used tool "x" 2 times; denied by default`,
				`updated tool x ×4: persona clerk used tool "x" 4 times; denied by default`,
				`updated tool x ×8: persona clerk used tool "x" 8 times; denied by default`}},
		"another tool is another finding, a third goes on with the first": {[]step{do("x"), do("y"), do("x")},
			[]string{`created tool x ×1: persona clerk used tool "x"; denied by default`,
				`created tool y ×1: persona clerk used tool "y"; denied by default`,
				`updated tool x ×2: persona clerk used tool "x" 2 times; denied by default`}},
		"another session is another finding": {[]step{{tool: "x", session: "s1"}, {tool: "x", session: "s2"}},
			[]string{`created tool x ×1: persona clerk used tool "x"; denied by default`,
				`created tool x ×1: persona clerk used tool "x"; denied by default`}},
		"without a session a day is one": {[]step{{tool: "x", at: 1}, {tool: "x", at: 86_399_999},
			{tool: "x", at: 86_400_000}},
			[]string{`created tool x ×1: persona clerk used tool "x"; denied by default`,
				`updated tool x ×2: persona clerk used tool "x" 2 times; denied by default`,
				`created tool x ×1: persona clerk used tool "x"; denied by default`}},
		"an attempt is not judged, its result is": {[]step{{"x", "s1", 0,
			func(e *event.Event) { e.Phase = event.Attempt }}, {"x", "s1", 0, func(e *event.Event) {
			e.Phase = event.Result
		}}},
			[]string{`created tool x ×1: persona clerk used tool "x"; denied by default`}},
		"only tool calls are judged": {[]step{{"x", "s1", 0, func(e *event.Event) { e.Kind = event.ModelCall }}}, nil},
		"a delete behind a tool that calls itself a read is a delete": {[]step{{"search", "s1", 0,
			func(e *event.Event) { e.Tool.Class, e.Result.Effect = event.Read, event.Delete }}},
			[]string{`created class delete ×1: persona clerk used class "delete"; denied by "delete"`}},
		"one call may break two entries": {[]step{{"rm", "s1", 0,
			func(e *event.Event) { e.Tool.Class = event.Delete }}},
			[]string{`created tool rm ×1: persona clerk used tool "rm"; denied by "rm*"`,
				`created class delete ×1: persona clerk used class "delete"; denied by "delete"`}},
		"without a persona nothing is found": {[]step{{"x", "s1", 0, func(e *event.Event) { e.Persona = "unknown" }}},
			nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, reload := range []bool{false, true} {
				h := detectorstest.NewHost(t, clerk)
				h.Reload = reload
				for i, s := range c.steps {
					e := detectorstest.Call(s.at, "e"+strconv.Itoa(i))
					e.Tool.Name, e.Session = s.tool, s.session
					if s.change != nil {
						s.change(&e)
					}
					h.Observe(&e)
				}
				var got []string
				for _, f := range h.Found {
					if f.Detector != "policy" {
						continue
					}
					word := "created"
					if f.Activity == event.Update {
						word = "updated"
					}
					var kind string
					fmt.Sscanf(f.Rule[len("persona/clerk/"):], "%s", &kind)
					got = append(got, fmt.Sprintf("%s %s %s ×%d: %s", word, kind, f.Target, f.Count, f.Why))
				}
				if diff := gocmp.Diff(c.want, got); diff != "" {
					t.Errorf("pages reloaded: %v (-want +got):\n%s", reload, diff)
				}
			}
		})
	}
}

func TestAnUpdateKeepsItsTrigger(t *testing.T) {
	h := detectorstest.NewHost(t, clerk)
	for i, at := range []int64{5000, 1000} { // the second is late
		e := detectorstest.Call(at, "e"+strconv.Itoa(i))
		e.Tool.Name = "x"
		h.Observe(&e)
	}
	f := h.Found[1]
	if f.Activity != event.Update || f.Time != 5000 || f.Refs[len(f.Refs)-1].ID != "e0" || f.First > f.Time ||
		f.Last < f.Time {
		t.Errorf("got %+v", f)
	}
}

func TestAnAgentIsRememberedForSoManyViolations(t *testing.T) {
	h := detectorstest.NewHost(t, clerk)
	for i := range detectors.MaxTallies + 1 {
		e := detectorstest.Call(0, "e"+strconv.Itoa(i))
		e.Tool.Name = "x" + strconv.Itoa(i)
		h.Observe(&e)
	}
	last := len(h.Found)
	for _, c := range []struct {
		tool string
		want event.Activity
	}{{"x5", event.Update}, {"x0", event.Create}} { // the oldest has gone and is found anew
		e := detectorstest.Call(0, "again "+c.tool)
		e.Tool.Name = c.tool
		h.Observe(&e)
		if len(h.Found) != last+1 || h.Found[last].Activity != c.want {
			t.Errorf("%s: found %d times, activity %d, want %d", c.tool, len(h.Found)-last,
				h.Found[len(h.Found)-1].Activity, c.want)
		}
		last = len(h.Found)
	}
	var m detectors.Memory
	r := wire.Reader{B: h.Agents["acme|a1"].Append(nil)}
	if m.Decode(&r); r.Err != nil {
		t.Errorf("a full list does not come back: %v", r.Err)
	}
}

func BenchmarkPersonaPolicy(b *testing.B) {
	h := detectorstest.NewHost(b, clerk)
	d := newPersonaPolicy(1, h.Panel.Set)
	e := detectorstest.Call(0, "e")
	e.Tool.Class = event.Read
	x := detectors.Scene{Host: &detectorstest.BareHost{}, Delta: &baselines.Delta{}, Agent: &detectors.Memory{}, Who: h.Panel.Who("acme", "clerk", "")}
	b.ReportAllocs()
	for range b.N {
		d.Observe(&x, &e)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
