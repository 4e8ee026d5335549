package inventory

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// registry is a host that keeps what is known of things, as the relation stage does: notes that say
// the same within a bucket are one.
type registryHost struct {
	*detectorstest.Host
	things map[string]event.Thing
}

func newRegistry(t testing.TB, entries ...string) *registryHost {
	return &registryHost{detectorstest.NewHost(t, `{"v":1,"inventory":[`+strings.Join(entries, ",")+`]}`), map[string]event.Thing{}}
}

// pass tells everything that waits, in order of time.
func (h *registryHost) pass() {
	slices.SortStableFunc(h.Notes, func(a, b detectors.Note) int {
		return cmp.Or(cmp.Compare(a.Ref.Time, b.Ref.Time), cmp.Compare(a.Ref.ID, b.Ref.ID),
			cmp.Compare(a.Ref.Agent, b.Ref.Agent))
	})
	told := map[string]bool{}
	for _, n := range h.Notes {
		key := fmt.Sprint(n.Slot, n.Scope, n.Tenant, "|", n.ID)
		once := fmt.Sprintf("%s %x %d", key, n.Body, wire.FloorDiv(n.Ref.Time, detectors.BucketMS))
		if told[once] {
			continue
		}
		told[once] = true
		h.Panel.Note(&detectors.Closing{Tenant: n.Tenant, ID: n.ID, Memory: h.Memory(h.Scopes, "note "+key), Find: h.Find,
			Keep: func(t *event.Thing) { h.things[string(t.AppendKey(nil))] = *t }}, &n)
	}
	h.Notes = nil
}

// told is what was found, thing by thing.
func (h *registryHost) told() (out []string) {
	for _, f := range h.Found {
		word := map[event.Activity]string{event.Create: "created", event.Update: "updated",
			event.Again: "again"}[f.Activity]
		out = append(out,
			strings.TrimSpace(fmt.Sprintf("%s %s %s %s ×%d %s", f.Rule, word, f.ScopeType, f.ScopeID, f.Count,
				f.Target)))
	}
	slices.SortStableFunc(out, func(a, b string) int { return cmp.Compare(thingOf(a), thingOf(b)) })
	return out
}

func thingOf(told string) string { return strings.Join(strings.Fields(told)[2:4], " ") }

const hour = 3_600_000

func TestInventory(t *testing.T) {
	type change func(e *event.Event)
	agent := func(id string) change { return func(e *event.Event) { e.Agent.ID = id } }
	version := func(v string) change { return func(e *event.Event) { e.Agent.Version = v } }
	at := func(ms int64) change { return func(e *event.Event) { e.Time = ms } }
	tool := func(name, server, hash, form string) change {
		return func(e *event.Event) {
			e.Tool = event.Tool{Name: name, Server: server, DefinitionHash: hash, HashVersion: form}
		}
	}
	audit := func(action, target string, trusted event.Tri) change {
		return func(e *event.Event) {
			e.Kind, e.Tool, e.Agent.ID = event.Audit, event.Tool{}, "admin"
			e.Audit.Action, e.Audit.Target, e.Source.Trusted = action, target, trusted
		}
	}
	changes := func(target string, trusted event.Tri, before, after string) change {
		return func(e *event.Event) {
			audit("config_change", target, trusted)(e)
			e.Audit.Before, e.Audit.After = []byte(before), []byte(after)
		}
	}
	both := func(list ...change) change {
		return func(e *event.Event) {
			for _, c := range list {
				c(e)
			}
		}
	}
	for name, c := range map[string]struct {
		entries []string
		events  []change
		want    []string
	}{
		"a fleet that was just connected is silent": {nil, []change{agent("a"), agent("b"), version("1"),
			tool("x", "srv", "h", "1"), tool("y", "", "", "")}, nil},
		"a kind with an entry is kept, the others are not": {[]string{`{"kind":"agent","names":["a*"]}`},
			[]change{agent("a1"), agent("b1"), tool("x", "srv", "", "")}, []string{"unregistered created agent b1 ×1"}},
		"tools by server": {[]string{`{"kind":"tool","names":["get_*"],"servers":["crm"]}`},
			[]change{tool("get_x", "crm", "", ""), tool("get_x", "other", "", ""), tool("rm", "crm", "", "")},
			[]string{"unregistered created tool crm|rm ×1", "unregistered created tool other|get_x ×1"}},
		"servers": {[]string{`{"kind":"server","names":["crm"]}`},
			[]change{tool("x", "crm", "", ""), tool("x", "evil", "", "")},
			[]string{"unregistered created server evil ×1"}},
		"of another tenant's list": {[]string{`{"kind":"agent","tenant":"acme","names":["a1"]}`},
			[]change{func(e *event.Event) { e.Tenant = "globex" }}, nil},
		"who goes on is told of as the count doubles": {[]string{`{"kind":"agent","names":["z"]}`},
			[]change{at(0), at(1), at(retell), at(2 * retell), at(3 * retell), at(3*retell + 1)},
			[]string{"unregistered created agent a1 ×1", "unregistered updated agent a1 ×2",
				"unregistered updated agent a1 ×4"}},
		"retired by the config and acts": {[]string{`{"kind":"agent","names":["a1"],"retired":true}`,
			`{"kind":"agent","names":["b"]}`}, []change{agent("a1"), agent("b")},
			[]string{"retired created agent a1 ×1"}},
		"retired by an audit event and acts": {nil, []change{agent("a1"), audit("agent_retired", "a1", event.Yes),
			both(at(retell), agent("a1"))},
			[]string{"retired created agent a1 ×1"}},
		"registered after it acted, told before": {[]string{`{"kind":"agent","names":["z"]}`},
			[]change{both(audit("agent_registered", "a1", event.Yes), at(5)), both(agent("a1"), at(3)),
				both(agent("a1"), at(5))},
			[]string{"unregistered created agent a1 ×1"}},
		"retired after it acted, told before": {nil, []change{both(audit("agent_retired", "a1", event.Yes), at(5)),
			both(agent("a1"), at(3))}, nil},
		"retired, and registered again later": {nil, []change{both(audit("agent_registered", "a1", event.Yes), at(8)),
			both(audit("agent_retired", "a1", event.Yes), at(5)), both(agent("a1"), at(6))},
			[]string{"retired created agent a1 ×1"}},
		"retired and quiet": {nil, []change{agent("a1"), audit("agent_retired", "a1", event.Yes)},
			nil},
		"retired and registered again": {nil, []change{agent("a1"), audit("agent_retired", "a1", event.Yes),
			audit("agent_registered", "a1", event.Yes), both(at(retell), agent("a1"))},
			nil},
		"blocked and acts": {nil,
			[]change{agent("a1"), both(audit("agent_blocked", "a1", event.Yes), at(1)), both(at(retell), agent("a1"))},
			[]string{"blocked created agent a1 ×1"}},
		"blocked and quiet": {nil,
			[]change{agent("a1"), audit("agent_blocked", "a1", event.Yes)}, nil},
		"blocked, and acted before": {nil,
			[]change{both(audit("agent_blocked", "a1", event.Yes), at(5)), both(agent("a1"), at(3))}, nil},
		"blocked, tries and is denied": {nil,
			[]change{both(audit("agent_blocked", "a1", event.Yes), at(1)),
				both(both(at(retell), agent("a1")), func(e *event.Event) { e.Result.Outcome = event.Denied })}, nil},
		"blocked and let go again": {nil,
			[]change{both(audit("agent_blocked", "a1", event.Yes), at(1)),
				both(at(5), audit("agent_unblocked", "a1", event.Yes)), both(at(retell), agent("a1"))}, nil},
		"a source that the agent can spoof blocks nobody": {nil,
			[]change{audit("agent_blocked", "a1", event.No), both(at(retell), agent("a1"))}, nil},
		"a source that the agent can spoof retires nobody": {nil,
			[]change{agent("a1"), audit("agent_retired", "a1", event.No), both(at(retell), agent("a1"))}, nil},
		"nor registers anybody": {[]string{`{"kind":"agent","names":["z"]}`},
			[]change{audit("agent_registered", "a1", event.No), agent("a1")},
			[]string{"unregistered created agent a1 ×1"}},
		"one that it cannot does": {[]string{`{"kind":"agent","names":["z"]}`, `{"kind":"tool","names":["z"]}`,
			`{"kind":"server","names":["z"]}`},
			[]change{audit("agent_registered", "a1", event.Yes), audit("tool_registered", "crm|get", event.Unknown),
				both(audit("tool_registered", "put", event.Yes), func(e *event.Event) { e.Tool.Server = "crm" }),
				audit("server_registered", "crm", event.Yes), tool("get", "crm", "", ""), tool("put", "crm", "", "")},
			nil},
		"an announced version is no news": {nil,
			[]change{version("1"), changes("a1", event.Yes, `{"version":"1"}`, `{"version":"2"}`),
				both(at(retell), version("2")), both(at(2*retell), version("3"))},
			[]string{"new-version created agent a1 ×1 3"}},
		"announced by an agent for itself it is": {nil,
			[]change{version("1"), both(changes("a1", event.Unknown, "", `{"version":"2"}`), agent("a1")),
				both(at(retell), version("2"))}, []string{"new-version created agent a1 ×1 2"}},
		"or by a source that can be spoofed": {nil,
			[]change{version("1"), changes("a1", event.No, "", `{"version":"2"}`), both(at(retell), version("2"))},
			[]string{"new-version created agent a1 ×1 2"}},
		"an announced definition is no change": {nil,
			[]change{tool("x", "srv", "h1", "1"),
				changes("srv|x", event.Unknown, "", `{"definition_hash":"h2","hash_version":"1"}`),
				tool("x", "srv", "h2", "1"), tool("x", "srv", "h3", "1")},
			[]string{"definition-changed created tool srv|x ×1 h3"}},
		"an agent does not register itself": {[]string{`{"kind":"agent","names":["z"]}`},
			[]change{both(audit("agent_registered", "a1", event.Unknown), agent("a1")), agent("a1")},
			[]string{"unregistered created agent a1 ×1"}},
		"the first version is no news": {nil, []change{version("1"), version("1")}, nil},
		"a new version is, once": {nil, []change{version("1"), version("2"), version("2"),
			both(at(retell), version("2"))}, []string{"new-version created agent a1 ×1 2"}},
		"two known versions may take turns": {nil, []change{version("1"), version("2"), version("1"), version("2"),
			both(at(retell), version("1")), both(at(retell), version("2"))},
			[]string{"new-version created agent a1 ×1 2"}},
		"a third is another finding": {nil, []change{version("1"), version("2"), version("3")},
			[]string{"new-version created agent a1 ×1 2", "new-version created agent a1 ×1 3"}},
		"an event that says none is no news": {[]string{`{"kind":"agent","names":["a1"],"version":"2"}`},
			[]change{version("1"), version(""), both(at(retell), version(""))},
			[]string{"new-version created agent a1 ×1 1"}},
		"the version of the inventory is expected": {[]string{`{"kind":"agent","names":["a1"],"version":"2"}`},
			[]change{version("2"), version("3"), version("2"), both(at(retell), version("3"))},
			[]string{"new-version created agent a1 ×1 3", "new-version updated agent a1 ×2 3"}},
		"of two that are wrong each is one finding": {[]string{`{"kind":"agent","names":["a1"],"version":"9"}`},
			[]change{version("1"), version("2"), both(at(retell), version("1")), both(at(retell+1), version("2")),
				both(at(2*retell), version("1")), both(at(2*retell+1), version("2"))},
			[]string{"new-version created agent a1 ×1 1", "new-version created agent a1 ×1 2",
				"new-version updated agent a1 ×2 1", "new-version updated agent a1 ×2 2"}},
		"a changed definition": {nil,
			[]change{tool("x", "s", "h1", "1"), tool("x", "s", "h2", "1"), tool("x", "s", "h1", "1"),
				both(at(retell), tool("x", "s", "h2", "1"))}, []string{"definition-changed created tool s|x ×1 h2"}},
		"the same tool on another server is another tool": {nil,
			[]change{tool("x", "s", "h1", "1"), tool("x", "t", "h2", "1")}, nil},
		"a new form of the hash says nothing": {nil,
			[]change{tool("x", "", "h1", "1"), tool("x", "", "k1", "2")}, nil},
		"under the new form a change is a change": {nil,
			[]change{tool("x", "", "h1", "1"), tool("x", "", "k1", "2"), tool("x", "", "k2", "2")},
			[]string{"definition-changed created tool x ×1 k2"}},
		"two forms side by side hide no change": {nil, []change{tool("x", "", "h1", "1"), tool("x", "", "k1", "2"),
			tool("x", "", "h1", "1"), tool("x", "", "k1", "2"), tool("x", "", "h2", "1")},
			[]string{"definition-changed created tool x ×1 h2"}},
		"a call without a hash says nothing": {[]string{`{"kind":"tool","names":["x"],"definition_hash":"h1"}`},
			[]change{tool("x", "", "h2", "1"), tool("x", "", "", ""), both(at(retell), tool("x", "", "", ""))},
			[]string{"definition-changed created tool x ×1 h2"}},
		"a definition that is pinned may come in any form": {
			[]string{`{"kind":"tool","names":["x"],"definition_hash":"h1"}`},
			[]change{tool("x", "", "h1", "1"), tool("x", "", "h1", "2")}, nil},
		"another is found the first time already": {
			[]string{`{"kind":"tool","names":["x"],"definition_hash":"h1"}`}, []change{tool("x", "", "h2", "1")},
			[]string{"definition-changed created tool x ×1 h2"}},
		"a persona and a tool of one name are two things": {[]string{`{"kind":"tool","names":["z"]}`},
			[]change{func(e *event.Event) {
				e.Persona, e.Kind, e.Agent.Tier = "export", event.Message,
					int64(event.Write)
			}, both(tool("export", "", "", ""), func(e *event.Event) {
				e.Persona, e.Agent.Tier, e.Tool.Class = "export", int64(event.Write), event.Write
			})},
			[]string{"unregistered created tool export ×1"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, reload := range []bool{false, true} {
				h := newRegistry(t, c.entries...)
				h.Reload = reload
				for i, change := range c.events {
					e := detectorstest.Call(0, fmt.Sprintf("e%02d", i))
					e.Session = ""
					change(&e)
					if h.Observe(&e); i+1 < len(c.events) {
						h.pass()
					}
				}
				h.pass()
				if diff := gocmp.Diff(c.want, h.told()); diff != "" {
					t.Errorf("pages reloaded: %v (-want +got):\n%s", reload, diff)
				}
			}
		})
	}
}

func TestInventoryFindingsAreLowUnlessTheConfigSaysOtherwise(t *testing.T) {
	one := func(entries ...string) event.Finding {
		h := newRegistry(t, append(entries, `{"kind":"agent","names":["z"]}`)...)
		e := detectorstest.Call(0, "e")
		h.Observe(&e)
		h.pass()
		if len(h.Found) != 1 {
			t.Fatal(h.told())
		}
		return h.Found[0]
	}
	if f := one(); f.Severity != event.Low || f.Response != nil || !f.Alert || f.Agent != "a1" || f.Refs[0].ID != "e" {
		t.Errorf("%+v", f)
	}
	if f := one(`{"kind":"settings","severity":"critical"}`); f.Severity != event.Critical {
		t.Errorf("%+v", f)
	}
	if f := one(`{"kind":"settings","severity":"informational"}`); f.Severity != event.Signal || f.Alert {
		t.Errorf("%+v", f)
	}
	if f := one(`{"kind":"settings","respond":{"action":"block","duration":"1h"}}`); f.Response == nil ||
		f.Response.Action != event.Block || f.Response.DurationMS != hour {
		t.Errorf("%+v", f.Response)
	}
}

// What asks for something asks again, so that an agent that was let go and comes back is stopped
// again.
func TestAThingThatIsSeenAgainAsksForItsResponseAgain(t *testing.T) {
	h := newRegistry(t, `{"kind":"agent","names":["z"]}`, `{"kind":"settings","respond":{"action":"block"}}`)
	h.All = true
	for i := range int64(4) {
		e := detectorstest.Call(i*retell, fmt.Sprint("e", i))
		h.Observe(&e)
		h.pass()
	}
	want := []string{"unregistered created agent a1 ×1", "unregistered updated agent a1 ×2",
		"unregistered again agent a1 ×3", "unregistered updated agent a1 ×4"}
	if diff := gocmp.Diff(want, h.told()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, f := range h.Found {
		if f.Response == nil {
			t.Errorf("×%d asks for nothing", f.Count)
		}
	}
}

func TestWhoMakesUpVersionsMakesNoStormAndFillsNoMemory(t *testing.T) {
	h := newRegistry(t)
	for i := range 5000 {
		e := detectorstest.Call(int64(i), fmt.Sprintf("e%06d", i))
		e.Agent.Version, e.Agent.Model, e.Persona = fmt.Sprint("v", i), fmt.Sprint("m", i), "clerk"
		e.Tool = event.Tool{Name: "x", DefinitionHash: fmt.Sprint("h", i), HashVersion: "1"}
		h.Observe(&e)
		h.pass()
	}
	created := 0
	for _, f := range h.Found {
		if f.Activity == event.Create {
			created++
		}
	}
	if created != 2*maxOpened || len(h.Found) > 2*(maxOpened+13) {
		t.Errorf("%d findings, %d of them new, want %d", len(h.Found), created, 2*maxOpened)
	}
	for key, m := range h.Scopes {
		if n := len(m.Append(nil)); n > 2000 {
			t.Errorf("%s takes %d bytes", key, n)
		}
	}
	for key, m := range h.Agents {
		if n := len(m.Part(5).Append(nil)); n > 600 {
			t.Errorf("agent %s takes %d bytes", key, n)
		}
	}
	e := detectorstest.Call(2*86_400_000, "later") // a day later a version is news again
	e.Agent.Version = "v-next"
	h.Found = nil
	h.Observe(&e)
	h.pass()
	if got := h.told(); len(got) != 1 || got[0] != "new-version created agent a1 ×1 v-next" {
		t.Error(got)
	}
}

func TestTheRecordOfAThing(t *testing.T) {
	h := newRegistry(t, `{"kind":"agent","names":["a1"]}`)
	e := detectorstest.Call(5*hour+1000, "e1")
	e.Agent = event.Agent{ID: "a1", Version: "7", Model: "m", Owner: "o", Tier: 2}
	e.Tool = event.Tool{Name: "get|it", Server: "crm", Class: event.Read, DefinitionHash: "h", HashVersion: "1"}
	h.Observe(&e)
	h.pass()
	first := int64(5*hour + 1000)
	want := map[string]event.Thing{
		"acme|agent|a1": {Kind: "agent", Tenant: "acme", ID: "a1", First: first, Last: first, Persona: "clerk",
			Owner: "o", Model: "m", Version: "7", Versions: []string{"7"}, Tier: 2, Registered: event.Registered},
		"acme|tool|crm|get%7Cit": {Kind: "tool", Tenant: "acme", ID: "get|it", Server: "crm", First: first, Last: first,
			DefinitionHash: "h", HashVersion: "1", Class: event.Read,
			Registered: event.Unkept},
		"acme|server|crm": {Kind: "server", Tenant: "acme", ID: "crm", First: first, Last: first,
			Registered: event.Unkept},
	}
	if diff := gocmp.Diff(want, h.things); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// The same within the hour writes nothing; the next hour, and a change, do.
	clear(h.things)
	for _, ms := range []int64{first + 1, first + 2*retell} {
		e.Time = ms
		h.Observe(&e)
		h.pass()
	}
	if len(h.things) != 0 {
		t.Errorf("told again: %v", h.things)
	}
	e.Time, e.Agent.Model = first+3*retell, "m2"
	h.Observe(&e)
	h.pass()
	if len(h.things) != 1 || h.things["acme|agent|a1"].Model != "m2" {
		t.Errorf("a change writes %v", h.things)
	}
	clear(h.things)
	e.Time = first + hour
	h.Observe(&e)
	h.pass()
	if len(h.things) != 3 || h.things["acme|server|crm"].Last != e.Time {
		t.Errorf("an hour later: %v", h.things)
	}
}

// However the notes of one bucket came, and how often: what is known and found is the same.
func TestTheOrderOfSightingsDoesNotShow(t *testing.T) {
	entries := []string{`{"kind":"agent","names":["a1"],"version":"1"}`,
		`{"kind":"tool","names":["x"],"definition_hash":"h1"}`, `{"kind":"settings","respond":{"action":"observe"}}`}
	for seed := range uint64(20) {
		var want []string
		var things map[string]event.Thing
		for try := range uint64(4) {
			r := rand.New(rand.NewPCG(seed, 0))
			shuffle := rand.New(rand.NewPCG(seed, try))
			h := newRegistry(t, entries...)
			h.Reload = try%2 == 1
			for range 20 { // buckets
				for range 12 {
					e := detectorstest.Call(int64(len(h.Agents))+r.Int64N(20*retell), "")
					e.ID = fmt.Sprintf("e%d", r.Uint64())
					e.Agent = event.Agent{ID: fmt.Sprint("a", 1+r.IntN(3)), Version: fmt.Sprint(1 + r.IntN(3))}
					e.Tool = event.Tool{Name: string("xy"[r.IntN(2)]), Server: "s",
						DefinitionHash: fmt.Sprint("h", 1+r.IntN(3)), HashVersion: "1"}
					if r.IntN(10) == 0 {
						e.Kind, e.Audit.Action, e.Audit.Target = event.Audit, []string{"agent_retired",
							"agent_registered"}[r.IntN(2)], "a2"
					}
					h.Observe(&e)
				}
				h.Notes = append(h.Notes, h.Notes...) // twice
				if try > 0 {
					shuffle.Shuffle(len(h.Notes), func(i, j int) { h.Notes[i], h.Notes[j] = h.Notes[j], h.Notes[i] })
				}
				h.pass()
			}
			if try == 0 {
				if want, things = h.told(), h.things; len(want) < 20 {
					t.Fatalf("seed %d: only %d findings: the test has lost its teeth", seed, len(want))
				}
				continue
			}
			if diff := gocmp.Diff(want, h.told()); diff != "" {
				t.Fatalf("seed %d/%d (-one order +another):\n%s", seed, try, diff)
			}
			if diff := gocmp.Diff(things, h.things); diff != "" {
				t.Fatalf("seed %d/%d (-one order +another):\n%s", seed, try, diff)
			}
		}
	}
}

// quiet is an event that says nothing new, of an agent with many tools.
func quiet(t testing.TB) func() {
	set, err := policy.Parse(
		[]byte(`{"v":1,"inventory":[{"kind":"agent","names":["a*"]},{"kind":"tool","names":["tool-1*"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	d := newInventory(5, set)
	x := detectors.Scene{Host: &detectorstest.BareHost{}, Delta: &baselines.Delta{}, Agent: &detectors.Memory{},
		Who: &detectors.Who{Key: baselines.Key{Tenant: "acme", Persona: "clerk"}}}
	events := make([]event.Event, 20)
	for i := range events {
		events[i] = detectorstest.Call(0, fmt.Sprint("e", i))
		events[i].Agent.Version, events[i].Agent.Model = "1", "m"
		events[i].Tool = event.Tool{Name: fmt.Sprint("tool-", i), Server: "crm", Class: event.Read,
			DefinitionHash: strings.Repeat("a", 64), HashVersion: "1"}
		d.Observe(&x, &events[i])
	}
	i := 0
	return func() {
		d.Observe(&x, &events[i%len(events)])
		i++
	}
}

func TestAnEventThatSaysNothingNewAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(1000, quiet(t)); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkInventory(b *testing.B) {
	observe := quiet(b)
	b.ReportAllocs()
	for b.Loop() {
		observe()
	}
}
