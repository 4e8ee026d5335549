package sequence

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// shard is a host of the detector alone: it keeps deltas, closes each day and puts the baseline in
// force with the next.
type testShard struct {
	detectorstest.BareHost
	d        detectors.Detector
	who      *detectors.Who
	delta    *baselines.Delta
	day      int64
	agents   map[string]*detectors.Memory
	sessions map[string]*detectors.Memory
	acted    map[string]bool
	event    *event.Event
	findings []event.Finding
	terms    baselines.Terms
	reload   bool // a restart at every event
	barred   bool // nothing may be learned
	scene    detectors.Scene
	ids      int
}

func newTestShard(t testing.TB) *testShard {
	set, err := policy.Parse([]byte(`{"v":1}`))
	if err != nil {
		t.Fatal(err)
	}
	w := &testShard{d: newSequence(7, set), who: detectors.New(set).Who("acme", "coder", ""), delta: &baselines.Delta{}, day: 20_500,
		agents: map[string]*detectors.Memory{}, sessions: map[string]*detectors.Memory{}, acted: map[string]bool{}}
	w.scene = detectors.Scene{Host: w, Who: w.who}
	return w
}

func (w *testShard) memory(of map[string]*detectors.Memory, key string) *detectors.Memory {
	m := of[key]
	if m == nil {
		m = &detectors.Memory{}
		of[key] = m
	}
	if w.reload {
		r := wire.Reader{B: m.Append(nil)}
		*m = detectors.Memory{}
		if m.Decode(&r); r.Err != nil || len(r.B) > 0 {
			panic(fmt.Sprint(r.Err, len(r.B), " bytes left"))
		}
	}
	return m
}

func (w *testShard) Session() *detectors.Memory {
	return w.memory(w.sessions, w.event.Agent.ID+"|"+w.event.Session)
}

func (w *testShard) Find(f event.Finding) { w.findings = append(w.findings, f) }

func (w *testShard) observe(e *event.Event) {
	w.event = e
	w.scene.Time, w.scene.Agent, w.scene.AgentID, w.scene.Delta, w.scene.Eligible = e.Time, w.memory(w.agents,
		e.Agent.ID), xxhash.Sum64String(e.Agent.ID), w.delta, !w.barred
	w.d.Observe(&w.scene, e)
	w.delta.Events++
	if !w.acted[e.Agent.ID] {
		w.acted[e.Agent.ID] = true
		w.delta.Acts(w.scene.AgentID)
	}
}

// call is one call, at a minute of the day; id names the event.
func (w *testShard) call(agent, session, tool string, class event.Class, minute float64) event.Event {
	w.ids++
	return event.Event{ID: "e" + strconv.Itoa(w.ids), Time: w.day*baselines.DayMS + int64(minute*60_000),
		Kind: event.ToolCall, Tenant: "acme", Persona: "coder", Agent: event.Agent{ID: agent}, Session: session,
		Tool: event.Tool{Name: tool, Class: class}, Result: event.ResultOf{Outcome: event.OK}}
}

// end ends a session as the shard does.
func (w *testShard) end(agent, session string) {
	key := agent + "|" + session
	m := w.sessions[key]
	if m == nil {
		return
	}
	w.delta.Sessions++
	w.d.(detectors.Ender).End(&detectors.Ending{Who: w.who, Time: w.day*baselines.DayMS + 1, AgentID: xxhash.Sum64String(agent), Memory: m,
		Agent: w.memory(w.agents, agent), Delta: w.delta, Eligible: !w.barred})
	delete(w.sessions, key)
}

func (w *testShard) close() *baselines.Model {
	m := baselines.Learn(w.who.Base, w.who.Key, w.day, w.delta, w.terms)
	w.who.Rest(m, math.MinInt64, math.MaxInt64)
	w.delta = &baselines.Delta{}
	clear(w.acted)
	w.day++
	return m
}

// session makes a session of tools, letters of a word: each letter is a tool, capitals send.
func (w *testShard) session(agent, session, word string) {
	for i, r := range word {
		class := event.Read
		if r >= 'A' && r <= 'Z' {
			class = event.Send
		}
		e := w.call(agent, session, "tool_"+string(r), class, float64(i)/10)
		w.observe(&e)
	}
	w.end(agent, session)
}

// habits are what agents of the persona do.
var habits = []string{"abcde", "abccde", "abde", "fgh", "fggh", "fghij", "klm", "klmnno", "pqabc", "pqab"}

// work is a day of n ordinary sessions: habits, one in twenty with a call out of place.
func (w *testShard) work(rng *rand.Rand, n, agents int) {
	for i := range n {
		word := habits[rng.IntN(len(habits))]
		if rng.IntN(20) == 0 {
			at := rng.IntN(len(word) + 1)
			word = word[:at] + string(rune('a'+rng.IntN(20))) + word[at:]
		}
		w.session("a"+strconv.Itoa(rng.IntN(agents)), "s"+strconv.Itoa(i), word)
	}
}

// seasoned is a persona of 40 agents that has been at work for so many days.
func seasoned(t testing.TB, days int) (*testShard, *rand.Rand) {
	w := newTestShard(t)
	rng := rand.New(rand.NewPCG(1, 1))
	for range days {
		w.work(rng, 300, 40)
		w.close()
	}
	return w, rng
}

func TestASessionInAnUnusualOrderIsToldOnceAndSaysWhy(t *testing.T) {
	w, _ := seasoned(t, 14)
	if w.who.Base.State != baselines.Active {
		t.Fatalf("the baseline is %v after 14 days", w.who.Base.State)
	}
	before := len(w.findings)
	w.session("a1", "s-ordinary", "abcde")
	if len(w.findings) > before {
		t.Errorf("an ordinary session is told: %s", w.findings[before].Why)
	}
	for i, r := range "abcdhlpjdnbomfqeg" {
		e := w.call("a1", "s-odd", "tool_"+string(r), event.Read, float64(i))
		w.observe(&e)
	}
	list := w.findings[before:]
	if len(list) == 0 || len(list) > 5 {
		t.Fatalf("%d findings of one session, want one and few updates", len(list))
	}
	f := list[len(list)-1]
	if list[0].Activity != event.Create || !f.Alert || f.Detector != "sequence" || f.ScopeType != "session" ||
		f.ScopeID != "s-odd" || f.Analytic != event.StatisticalAnalytic {
		t.Errorf("the finding is %+v", f)
	}
	for i, u := range list[1:] {
		if u.Activity != event.Update || u.Time != list[0].Time ||
			u.Refs[len(u.Refs)-1] != list[0].Refs[len(list[0].Refs)-1] {
			t.Errorf("update %d is about another trigger: %+v", i, u)
		}
		if grew := u.Anomaly.P*grown <= list[i].Anomaly.P &&
			u.Anomaly.P <= list[i].Anomaly.P*list[i].Anomaly.P; !grew && u.Alert == list[i].Alert {
			t.Errorf("update %d tells nothing new: %g after %g", i, u.Anomaly.P, list[i].Anomaly.P)
		}
	}
	if !strings.Contains(f.Why, `calls of session "s-odd" are unlike persona "coder": `) ||
		!strings.Contains(f.Why, " agent-days; usually tool_") || !strings.Contains(f.Why, "; 1 in ") &&
		!strings.Contains(f.Why, "less than 1 in a billion") {
		t.Errorf("why: %s", f.Why)
	}
	t.Log(f.Why)
	n := len(f.Anomaly.Steps)
	if n < 4 || n > maxShown || len(f.Anomaly.Scores) != 3 {
		t.Fatalf("%d steps, %d scores", n, len(f.Anomaly.Steps))
	}
	odd := 0
	for _, s := range f.Anomaly.Steps {
		if s.Bits >= OddBits {
			odd++
			if len(s.Usual) != maxUsual || s.Usual[0].Share < s.Usual[1].Share || s.Usual[0].Share > 1 {
				t.Errorf("what is usual instead of %s: %+v", s.What, s.Usual)
			}
		}
	}
	if odd < 4 {
		t.Errorf("%d odd steps of %d", odd, n)
	}
	w.end("a1", "s-odd")
	if a := w.delta.Audit.Of[baselines.SequenceTest]; a.Made != 2 || a.Below3 != 1 || a.Alerts != 1 {
		t.Errorf("the audit counts %+v", a)
	}
}

func TestARestartAtAnyEventChangesNothing(t *testing.T) {
	run := func(reload bool) []event.Finding {
		w, rng := seasoned(t, 10)
		w.reload = reload
		w.findings = nil
		for i := range 30 {
			word := ""
			for range 3 + rng.IntN(20) {
				word += string(rune('a' + rng.IntN(17)))
			}
			w.session("a"+strconv.Itoa(i), "x"+strconv.Itoa(i), word)
		}
		w.work(rng, 100, 40)
		w.close()
		w.findings = append(w.findings, event.Finding{UID: w.who.Base.Hash()})
		return w.findings
	}
	a, b := run(false), run(true)
	if len(a) < 10 || fmt.Sprintf("%+v", strip(a)) != fmt.Sprintf("%+v", strip(b)) {
		t.Errorf("%d findings without restarts, %d with one at every event, or they differ", len(a), len(b))
	}
}

// strip makes findings comparable as text.
func strip(list []event.Finding) (out []string) {
	for _, f := range list {
		anomaly := ""
		if f.Anomaly != nil {
			anomaly = fmt.Sprintf("%+v", *f.Anomaly)
		}
		out = append(out, fmt.Sprint(f.UID, f.Activity, f.Alert, f.Why, f.Refs, f.First, f.Last, f.Count, anomaly))
	}
	return out
}

// alerts are how many sessions raised an alert since it was last asked.
func alerts(w *testShard) int {
	n := map[string]bool{}
	for _, f := range w.findings {
		if f.Alert {
			n[f.ScopeID] = true
		}
	}
	w.findings = nil
	return len(n)
}

// Science §3.4 in small: what a change of work costs, and how often what a few repeat is taken for
// one.
func TestWhatManyAgentsShowIsAcceptedAndWhatAFewRepeatIsNot(t *testing.T) {
	w, rng := seasoned(t, 14)
	w.findings = nil
	var perDay []int
	accepted := 0
	for range 6 { // a fifth of the sessions are of a new kind
		w.work(rng, 240, 40)
		for i := range 60 {
			w.session("a"+strconv.Itoa(rng.IntN(40)), "n"+strconv.Itoa(i), "mrsctupvb"[:6+rng.IntN(4)])
		}
		perDay = append(perDay, alerts(w))
		m := w.close()
		for _, s := range m.Shifts {
			if s.Waits {
				t.Errorf("what reads alone waits for a person: %+v", s)
			}
			if s.Agents < 5 || s.Days < 2 || s.Item == "" {
				t.Errorf("accepted without support: %+v", s)
			}
		}
		accepted += len(m.Shifts)
	}
	t.Logf("alerts on the days of a change of work: %v, %d shifts told", perDay, accepted)
	if perDay[0] < 40 || perDay[3] > 6 || accepted == 0 {
		t.Errorf(
			"alerts on the days of a change of work: %v, want most on the first two and next to none from the fourth",
			perDay)
	}

	for _, c := range []struct {
		agents int
		most   int // flagged of the two of the last day
	}{{1, 2}, {3, 2}, {8, 0}} {
		w, rng := seasoned(t, 14)
		last := 0
		for range 14 {
			w.work(rng, 300, 40)
			w.findings = nil
			for i := range 2 * c.agents {
				w.session("a"+strconv.Itoa(i%c.agents), "evil"+strconv.Itoa(i), "dkqhbnfma")
			}
			last = alerts(w)
			w.close()
		}
		t.Logf("%d agents repeat a chain twice a day: on day 14 %d of %d sessions are alerts", c.agents, last,
			2*c.agents)
		if c.agents < 5 && last < 2*c.agents || c.agents > 5 && last > 0 {
			t.Errorf("%d agents repeat a chain twice a day: on day 14 %d of %d sessions are alerts", c.agents, last,
				2*c.agents)
		}
	}
}

func TestWhatCannotBeTakenBackWaitsForAPerson(t *testing.T) {
	w, rng := seasoned(t, 14)
	day := func() (waits []baselines.Shift, called int) {
		w.findings = nil
		w.work(rng, 240, 40)
		for i := range 60 {
			w.session("a"+strconv.Itoa(rng.IntN(40)), "n"+strconv.Itoa(i), "mZrYsXtW")
		}
		called = alerts(w)
		for _, s := range w.close().Shifts {
			if s.Waits {
				waits = append(waits, s)
			}
		}
		return waits, called
	}
	day()
	asked, _ := day()
	if !slices.ContainsFunc(asked, func(s baselines.Shift) bool { return s.What == "tool_Z" && s.Kind == "call" }) {
		t.Fatalf("after two days these wait: %+v", asked)
	}
	if again, _ := day(); len(again) > 0 {
		t.Errorf("asked twice: %+v", again)
	}
	m := ModelOf(w.who.Base)
	waiting := m.Waiting()
	if len(waiting) == 0 || len(waiting) > len(asked) {
		t.Fatalf("%d wait, %d were asked for: %v %v", len(waiting), len(asked), waiting, asked)
	}
	if m.Approve("seq-0000000000000000", w.day) || m.Approve("nonsense", w.day) {
		t.Error("what nobody knows was approved")
	}
	_, before := day()
	m = ModelOf(w.who.Base)
	for _, s := range m.Waiting() {
		if !m.Approve(s.Item, w.day) {
			t.Errorf("%s is not known", s.Item)
		}
	}
	day()
	_, after := day()
	t.Logf("%v; alerts a day before the word %d, after it %d", waiting[0].What, before, after)
	if before < 40 || after > 6 {
		t.Errorf("alerts a day before the word %d, after it %d", before, after)
	}
}

func TestARejectedItemIsNeverAccepted(t *testing.T) {
	w, rng := seasoned(t, 14)
	for day := range 12 {
		w.work(rng, 240, 40)
		w.findings = nil
		for i := range 60 {
			w.session("a"+strconv.Itoa(rng.IntN(40)), "n"+strconv.Itoa(i), "mZrYsXtWuVvU")
		}
		w.close()
		if m := ModelOf(w.who.Base); day == 1 {
			for _, s := range m.Waiting() {
				if !m.Reject(s.Item, w.day) {
					t.Errorf("%s is not known", s.Item)
				}
			}
			if left := m.Waiting(); len(left) > 0 {
				t.Errorf("still waiting: %+v", left)
			}
		}
	}
	n := alerts(w)
	if n < 40 {
		t.Errorf("%d alerts on the tenth day after it was rejected, of 60", n)
	}
}

func TestBadInputIsBornQuietly(t *testing.T) {
	odd := func(w *testShard) {
		t.Helper()
		for _, f := range w.findings {
			if p := f.Anomaly.P; !(p > 0 && p <= 1) || strings.Contains(f.Why, "NaN") ||
				len(f.Anomaly.Steps) > maxShown || len(f.Refs) > 6 {
				t.Errorf("a finding makes no sense: %+v", f)
			}
		}
	}
	t.Run("a session of 10,000 events has bounded memory and is told at most a few times", func(t *testing.T) {
		w, rng := seasoned(t, 10)
		w.findings = nil
		for i := range 10_000 {
			e := w.call("a1", "long", "tool_"+strconv.Itoa(rng.IntN(3000)), event.Read, float64(i)/100)
			w.observe(&e)
		}
		size := len(w.sessions["a1|long"].Append(nil))
		if size > 1700 {
			t.Errorf("its memory takes %d bytes encoded", size)
		}
		odd(w)
		if n := len(w.findings); n < 1 || n > 20 {
			t.Errorf("told %d times", n)
		}
		w.end("a1", "long")
		w.close()
	})
	t.Run("all events at one instant are a sequence in the order in which they come", func(t *testing.T) {
		w, rng := seasoned(t, 10)
		w.findings = nil
		for range 200 {
			e := w.call("a1", "now", "tool_"+string(rune('a'+rng.IntN(20))), event.Read, 0)
			w.observe(&e)
		}
		odd(w)
		if len(w.findings) == 0 {
			t.Error("not told")
		}
	})
	t.Run("a call that is late has no place in the order", func(t *testing.T) {
		w, _ := seasoned(t, 10)
		w.findings = nil
		for i, r := range "abcde" {
			e := w.call("a1", "s", "tool_"+string(r), event.Read, 10+float64(i))
			w.observe(&e)
			for range 20 {
				late := w.call("a1", "s", "tool_q", event.Read, float64(i))
				w.observe(&late)
			}
		}
		if len(w.findings) > 0 {
			t.Errorf("told: %s", w.findings[0].Why)
		}
	})
	t.Run("events without a session, attempts and what is no call make nothing", func(t *testing.T) {
		w, _ := seasoned(t, 3)
		for i := range 3 {
			e := w.call("b", "s", "x", event.Read, 0)
			switch i {
			case 0:
				e.Session = ""
			case 1:
				e.Phase = event.Attempt
			case 2:
				e.Kind = event.Message
			}
			w.observe(&e)
		}
		if len(w.agents["b"].Append(nil)) > 1 || w.sessions["b|s"] != nil {
			t.Error("something is remembered")
		}
	})
	t.Run("a persona with one agent learns what is new after five days", func(t *testing.T) {
		w := newTestShard(t)
		rng := rand.New(rand.NewPCG(2, 2))
		for range 14 {
			w.work(rng, 100, 1)
			w.close()
		}
		var days []int
		for range 9 {
			w.findings = nil
			w.work(rng, 100, 1)
			for i := range 10 {
				w.session("a0", "n"+strconv.Itoa(i), "mrsctupvb")
			}
			n := 0
			for _, f := range w.findings {
				if f.Activity == event.Create {
					n++
				}
			}
			odd(w)
			days = append(days, n)
			w.close()
		}
		if days[0] < 9 || days[4] < 5 || days[6] > 3 {
			t.Errorf("told on its days: %v", days)
		}
	})
	t.Run("no baseline, no finding", func(t *testing.T) {
		w := newTestShard(t)
		w.session("a", "s", "abcdefghijklmnopqrst")
		if len(w.findings) > 0 {
			t.Error("told")
		}
	})
	t.Run("what may not be learned is not", func(t *testing.T) {
		w := newTestShard(t)
		w.barred = true
		rng := rand.New(rand.NewPCG(2, 2))
		w.work(rng, 100, 5)
		if _, grams, held := ModelOf(w.close()).Size(); grams+held > 0 {
			t.Errorf("%d n-grams learned, %d held", grams, held)
		}
	})
}

func TestAnAgentOfOneEventIsCheap(t *testing.T) {
	const n = 100_000
	w := newTestShard(t)
	held := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	w.work(rand.New(rand.NewPCG(1, 1)), 300, 40)
	w.close()
	memories := make([]detectors.Memory, n)
	before := held()
	for i := range n {
		e := w.call("x", "s", "tool_a", event.Read, 0)
		session := &detectors.Memory{}
		w.sessions["x|s"] = session
		w.observe(&e)
		w.d.(detectors.Ender).End(&detectors.Ending{Who: w.who, Time: e.Time, AgentID: uint64(i), Memory: session, Agent: &memories[i],
			Delta: w.delta, Eligible: true})
	}
	each := float64(held()-before) / n
	t.Logf("%.0f bytes an agent whose one session of one call is over", each)
	if each > 34 {
		t.Errorf("%.0f bytes an agent, want at most 32", each)
	}
	runtime.KeepAlive(memories)
}

// One event of one of 20,000 agents, with all that the detector does: symbols, score, memory and
// learning.
func BenchmarkSequenceDetector(b *testing.B) {
	w, rng := seasoned(b, 14)
	type agent struct {
		memory, session detectors.Memory
		at              int
		word            string
	}
	agents := make([]agent, 20_000)
	events := map[rune]*event.Event{}
	for r := 'a'; r <= 't'; r++ {
		e := w.call("x", "s", "tool_"+string(r), event.Read, 1)
		events[r] = &e
	}
	list := make([]*event.Event, 256)
	for r, e := range events {
		list[r] = e
	}
	host := &benchHost{}
	x := w.scene
	x.Host, x.Delta, x.Eligible = host, w.delta, true
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		a := &agents[i*7919%len(agents)]
		if a.at == len(a.word) {
			if a.word != "" {
				w.d.(detectors.Ender).End(&detectors.Ending{Who: w.who, Time: x.Time, AgentID: uint64(i * 7919 % len(agents)),
					Memory: &a.session, Agent: &a.memory, Delta: w.delta, Eligible: true})
			}
			a.word, a.at = habits[rng.IntN(len(habits))], 0
		}
		e := list[a.word[a.at]]
		a.at++
		x.Time, x.Agent, host.Memory = e.Time, &a.memory, &a.session
		w.d.Observe(&x, e)
		i++
	}
}

type benchHost struct{ detectorstest.BareHost }
