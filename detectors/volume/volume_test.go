package volume

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/wayward-sec/wayward/detectors"

	gocmp "github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

var simClerks = []simPersona{{"clerk", 20, 30, .6, true, 1, 1.5, .8, .3, .7, 0, [2]int{5, 12}, .02, .25, 50000}}

// trained is a lab whose clerks have worked for so many days, and their events.
func trained(t testing.TB, set string, days int) (*testShard, []event.Event) {
	l := newTestShard(t, set)
	events := simulate(3, simClerks, days)
	for i := range events {
		l.observe(&events[i])
	}
	l.turn(simStart/baselines.DayMS + int64(days))
	l.found = nil
	return l, events
}

// noon is a time on the day after so many days, in the middle of it.
func noon(days int) int64 { return simStart + int64(days)*baselines.DayMS + 11*3_600_000 }

// acts plays a call of a clerk so many times, one every so many milliseconds.
func (l *testShard) acts(e event.Event, n int, every int64, change func(i int, e *event.Event)) {
	for i := range n {
		c := e
		c.ID = e.Session + "-" + strconv.Itoa(i)
		c.Time += int64(i) * every
		if change != nil {
			change(i, &c)
		}
		l.observe(&c)
	}
}

func aClerk(like []event.Event, agent string, t int64) event.Event {
	e := like[len(like)-1]
	e.Agent.ID, e.Time, e.Session = agent, t, "s-"+agent
	return e
}

// noted are the findings that raise an alert.
func (l *testShard) noted() (out []event.Finding) {
	for _, f := range l.found {
		if f.Alert {
			out = append(out, f)
		}
	}
	return out
}

func TestABurstIsOneFindingThatExplainsItself(t *testing.T) {
	l, events := trained(t, `{"v":1}`, 12)
	l.acts(aClerk(events, "clerk-3", noon(12)), 400, 2000, nil)
	got := l.noted()
	if len(got) == 0 {
		t.Fatal("a burst of 400 was not found")
	}
	uids := map[string]bool{}
	for i, f := range got {
		uids[event.TriggeredUID("acme", f.Detector+"/"+f.Rule, f.ScopeType, f.ScopeID, f.Refs[len(f.Refs)-1])] = true
		if want := event.Update; i > 0 && f.Activity != want {
			t.Errorf("finding %d is %v", i, f.Activity)
		}
		a := f.Anomaly
		if a == nil || a.P <= 0 || a.P >= a.Alpha || a.Observed <= a.High || a.High <= a.Expected ||
			a.Expected < a.Low || a.Persona != "clerk" || a.Snapshot == "" || a.AgentDays == 0 {
			t.Errorf("%s: %+v", f.Why, a)
		}
		if !strings.Contains(f.Why, "clerk-3") || !strings.Contains(f.Why, "1 in ") &&
			!strings.Contains(f.Why, "less than") || !strings.Contains(f.Why, "999 of 1,000") {
			t.Errorf("it says: %s", f.Why)
		}
		if f.Refs[len(f.Refs)-1] != got[0].Refs[len(got[0].Refs)-1] || f.Time != got[0].Time {
			t.Error("an update changes the trigger")
		}
	}
	t.Log(got[0].Why)
	t.Log(got[len(got)-1].Why)
	if len(uids) != 1 || len(got) > 12 {
		t.Errorf("one burst makes %d findings with %d ids", len(got), len(uids))
	}
	// An hour later all is calm, and the next burst is another finding.
	l.found = nil
	next := aClerk(events, "clerk-3", noon(13)+5*3_600_000)
	next.Session = "again"
	l.acts(next, 400, 2000, nil)
	if len(l.noted()) == 0 || l.found[0].Activity != event.Create {
		t.Error("the burst of the next day is not a new finding")
	}
}

func TestVolumeFindings(t *testing.T) {
	for _, c := range []struct {
		name, rule, why string
		n               int
		every           int64
		change          func(i int, e *event.Event)
	}{
		{"one call that brings far more than any", "call/records", "one call of", 1, 1000,
			func(_ int, e *event.Event) { e.Result.Records = 300_000 }},
		{"a session about many customers", "session/subjects", "different subjects in session", 20, 3000,
			func(i int, e *event.Event) { e.Subject = "other" + strconv.Itoa(i) }},
		{"denials at every door", "outcome/denials", "meets denials on first contacts", 40, 5000,
			func(i int, e *event.Event) {
				e.Resource.ID, e.Result.Outcome, e.Session = "x"+strconv.Itoa(i*7919%1000)+"y", event.Denied, "s"+
					strconv.Itoa(i/5)
			}},
		{"counting through ids", "id-run/run", "counts through ids", 80, 20_000, func(i int, e *event.Event) {
			e.Resource.ID, e.Session = "T-"+strconv.Itoa(4000+i), "s"+strconv.Itoa(i/5)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, events := trained(t, `{"v":1}`, 18)
			l.acts(aClerk(events, "clerk-3", noon(18)), c.n, c.every, c.change)
			for _, f := range l.found {
				if f.Rule == c.rule && strings.Contains(f.Why, c.why) {
					t.Log(f.Alert, f.Why)
					return
				}
			}
			for _, f := range l.found {
				t.Log(f.Rule, f.Why)
			}
			t.Errorf("no finding of %s", c.rule)
		})
	}
}

func TestVolumeIsQuietWhileItKnowsNothing(t *testing.T) {
	l := newTestShard(t, `{"v":1}`)
	e := event.Event{Kind: event.ToolCall, Tenant: "acme", Persona: "new", Agent: event.Agent{ID: "a"}, Session: "s",
		Time: simStart, Tool: event.Tool{Name: "x"}, Has: event.HasRecords}
	l.acts(e, 5000, 50, func(_ int, e *event.Event) { e.Result.Records = 1e6 })
	if len(l.found) > 0 {
		t.Errorf("%d findings without a baseline: %s", len(l.found), l.found[0].Why)
	}
}

func TestWhatMayNotBeLearnedIsNot(t *testing.T) {
	l, events := trained(t, `{"v":1}`, 8)
	l.eligible = false
	l.acts(aClerk(events, "clerk-3", noon(8)), 600, 20_000, nil)
	l.sweep(noon(8) + baselines.DayMS)
	d := l.deltas["clerk"]
	audits := d.Audit
	if DeltaOf(d).Exposure != 0 || DeltaOf(d).Of[0].X != 0 || DeltaOf(d).Of[0].Session.N() != 0 ||
		DeltaOf(d).Calls[0].N() != 0 || DeltaOf(d).Contacts[0] != 0 {
		t.Error("something of it was learned")
	}
	if audits.Of[baselines.MinuteTest].Made == 0 || audits.Of[baselines.CallTest].Made == 0 ||
		audits.Of[baselines.SessionTest].Made == 0 {
		t.Error("the tests were not counted")
	}
	// The agent's own rate has not followed either.
	p := l.agents["clerk-3"].Part(l.volume.slot).(*volumePart)
	c := int(p.agent.Of[EventCount]) - 1
	rate, mean := p.agent.sliding.Row(baselines.RateRow)[c], ModelOf(l.models["clerk"]).Of[0].Rate
	if float64(rate) > 3*mean {
		t.Errorf("the rate of an agent that nobody learns from is %v, the mean %v", rate, mean)
	}
}

func TestVolumeDoesNotDependOnWhatIsInMemory(t *testing.T) {
	play := func(copied bool) (string, []event.Finding) {
		l := newTestShard(t, `{"v":1}`)
		l.copied = copied
		events := simulate(5,
			[]simPersona{{"clerk", 6, 20, .6, true, 1, 1.5, .8, .3, .7, 1.5, [2]int{5, 12}, .1, .25, 50}}, 9)
		for i := range events {
			l.observe(&events[i])
			if i%500 == 499 {
				l.acts(aClerk(events[:i+1], events[i].Agent.ID, events[i].Time), 60, 200, nil)
			}
		}
		l.turn(l.day + 1)
		return l.models["clerk"].Hash(), l.found
	}
	hash, found := play(false)
	again, same := play(true)
	if diff := gocmp.Diff(found, same); diff != "" || len(found) == 0 {
		t.Errorf("%d findings; they differ when every part goes through its encoding:\n%.2000s", len(found), diff)
	}
	if hash != again {
		t.Error("the baselines differ when every part goes through its encoding")
	}
}

func TestOddInputToVolume(t *testing.T) {
	l, events := trained(t, `{"v":1}`, 8)
	rng := rand.New(rand.NewPCG(1, 9))
	base := aClerk(events, "odd", noon(8))
	for i := range 30_000 {
		e := base
		e.ID = "odd-" + strconv.Itoa(i)
		e.Agent.ID = "odd-" + strconv.Itoa(i%7)
		e.Session = "s" + strconv.Itoa(i/50%5)
		e.Has |= event.HasAmount
		e.Amount = event.Amount{Micro: rng.Int64N(1e9), Currency: []string{"EUR", "USD", "", "xxxxxxxxxxxx"}[i/1000%4]}
		switch i % 7 {
		case 0: // all at one instant
		case 1: // jumps to and fro
			e.Time += rng.Int64N(20*baselines.DayMS) - 10*baselines.DayMS
		case 2: // a week of silence now and then
			e.Time += int64(i/500) * 7 * baselines.DayMS
		case 3:
			e.Result.Records, e.Result.Bytes, e.Amount.Micro, e.Cost.MicroUSD = math.MaxInt64, math.MaxInt64,
				math.MaxInt64, math.MaxInt64
		case 4:
			e.Result.Records, e.Result.Bytes, e.Amount.Micro, e.Cost.MicroUSD = math.MinInt64, -1, -5, math.MinInt64
		case 5:
			e.Time = []int64{math.MinInt64 / 4, math.MaxInt64 / 4, 0, -1}[i/7%4]
		case 6: // different things without end
			e.Subject, e.Resource.ID, e.Time = strconv.FormatUint(rng.Uint64(), 36), strconv.FormatUint(rng.Uint64(),
				10), e.Time+int64(i)*700
		}
		d := l.delta(e.Persona)
		m := l.agents[e.Agent.ID]
		if m == nil {
			m = &detectors.Memory{}
			l.agents[e.Agent.ID] = m
		}
		l.e = &e
		l.x = detectors.Scene{Host: l, Who: l.panel.Who("acme", "clerk", ""), Time: e.Time, Agent: m, AgentID: 1, Delta: d,
			Eligible: i%11 > 0}
		l.volume.Observe(&l.x, &e)
		if i%97 == 0 { // what was kept can be read again
			*m = copied(m)
		}
	}
	for _, f := range l.found {
		a := f.Anomaly
		for _, v := range []float64{a.P, a.Observed, a.Expected, a.Low, a.High, float64(f.Risk)} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("%s: %+v", f.Why, a)
			}
		}
		if strings.Contains(f.Why, "NaN") || strings.Contains(f.Why, "Inf") || a.P <= 0 || a.P > 1 {
			t.Fatal(f.Why)
		}
	}
	r := wire.Reader{B: l.delta("clerk").Append(nil)}
	var d baselines.Delta
	if d.Decode(&r); r.Err != nil {
		t.Error("the delta cannot be read again:", r.Err)
	}
	l.turn(l.day + 1)
	m := *ModelOf(l.models["clerk"])
	for f := range m.Of {
		if math.IsNaN(m.Of[f].Rate) || math.IsInf(m.Of[f].Rate, 0) {
			t.Errorf("the rate of %s is %v", Feature(f), m.Of[f].Rate)
		}
	}
	if n := len(l.delta("clerk").Append(nil)); n > 512<<10 {
		t.Errorf("a delta of %d bytes", n)
	}
}

func TestAClockThatWasAheadIsForgiven(t *testing.T) {
	l, events := trained(t, `{"v":1}`, 8)
	e := aClerk(events, "clerk-3", noon(8)+20*baselines.DayMS)
	l.day = math.MaxInt64 / baselines.DayMS // no day is closed by it
	l.observe(&e)
	l.acts(aClerk(events, "clerk-3", noon(8)), 400, 2000, nil)
	if len(l.noted()) == 0 {
		t.Error("an agent whose clock was once ahead goes unseen")
	}
}

func TestCurrenciesAreNotMixedInBaselines(t *testing.T) {
	l := newTestShard(t, `{"v":1}`)
	events := simulate(3, simClerks, 10)
	for i := range events {
		e := &events[i]
		e.Has |= event.HasAmount
		e.Amount = event.Amount{Micro: 20_000_000 + int64(i%100)*100_000, Currency: "EUR"}
		if i%40 == 0 { // a few in another: a hundred times the number for the same money
			e.Amount = event.Amount{Micro: 100 * e.Amount.Micro, Currency: "JPY"}
		}
		l.observe(e)
	}
	l.turn(l.day + 1)
	m := ModelOf(l.models["clerk"])
	if m.Currency != currencyCode("EUR") {
		t.Error("the persona's currency is not the one it uses most")
	}
	if top := math.Expm1(m.Of[AmountSum].Session.Quantile(0.99)); top > 3e9 {
		t.Errorf("sessions reach %v", top/1e6)
	}
	if mark := math.Expm1(m.Calls[AmountSum-RecordSum].Quantile(0.999)); mark > 60e6 {
		t.Errorf("calls reach %v", mark/1e6)
	}
}

// What a model costs comes with calls of the model, not with those of tools.
func TestACostlyModelCallIsFound(t *testing.T) {
	l := newTestShard(t, `{"v":1}`)
	events := simulate(3, simClerks, 15)
	rng := rand.New(rand.NewPCG(5, 5))
	cost := func() int64 { return int64(8000 * math.Exp(.5*rng.NormFloat64())) }
	for i := range events {
		e := &events[i]
		e.Has &^= event.HasCost
		e.Cost.MicroUSD = 0
		l.observe(e)
		m := *e
		m.ID, m.Kind, m.Tool, m.Has, m.Result, m.Resource.ID = e.ID+
			"m", event.ModelCall, event.Tool{}, event.HasCost, event.ResultOf{}, ""
		m.Agent.Model, m.Cost.MicroUSD = "large", cost()
		l.observe(&m)
	}
	l.turn(l.day + 1)
	m := ModelOf(l.models["clerk"])
	of := &m.Of[CostSum]
	if of.Unit < 5000 || of.Unit > 15_000 {
		t.Errorf("a model call costs %v millionths on average, the model has %v", 8000*math.Exp(.125), of.Unit)
	}
	for w, h := range of.Hyper {
		if h.Fitted && (h.Factor < 0.5 || h.Factor > 2) {
			t.Errorf("window %d: what was expected has to be corrected by %v", w, h.Factor)
		}
	}
	last := events[len(events)-1]
	last.ID, last.Time, last.Session = "odd", last.Time+3_600_000, "odd"
	last.Kind, last.Tool, last.Has, last.Result = event.ModelCall, event.Tool{}, event.HasCost, event.ResultOf{}
	last.Agent.Model, last.Cost.MicroUSD = "large", 4_000_000
	n := len(l.found)
	l.observe(&last)
	for _, f := range l.found[n:] {
		if f.Detector == "volume" && strings.HasPrefix(f.Rule, "call/") {
			if !f.Alert || !strings.Contains(f.Why, `one call of model "large"`) || f.Anomaly.Observed != 4 ||
				f.Anomaly.Unit != "USD" {
				t.Errorf("%+v: %s", f.Alert, f.Why)
			}
			return
		}
	}
	t.Error("a model call that cost five hundred times as much as others was not found")
}

func TestASlowRampIsFoundBeforeItIsFourfold(t *testing.T) {
	const days, from = 85, 30
	rng := rand.New(rand.NewPCG(4, 4))
	l := newTestShard(t, `{"v":1}`)
	factor, foundAt := 1.0, 0.0
	for d := range days {
		if d >= from {
			factor *= 1.05
		}
		var events []event.Event
		for a := range 15 {
			name := "clerk-" + strconv.Itoa(a)
			mean := 60.0
			if a == 0 {
				mean *= factor
			}
			for i := range int(distuv.Poisson{Lambda: mean, Src: rng}.Rand()) {
				e := event.Event{ID: fmt.Sprint(name, d, i), Kind: event.ToolCall, Tenant: "acme", Persona: "clerk",
					Agent: event.Agent{ID: name}, Tool: event.Tool{Name: "read"}, Has: event.HasRecords,
					Time: simStart + int64(d)*baselines.DayMS + 7*3_600_000 + rng.Int64N(12*3_600_000)}
				e.Result.Records = int64(2 * math.Exp(rng.NormFloat64()))
				events = append(events, e)
			}
		}
		slices.SortFunc(events, func(a, b event.Event) int { return int(a.Time - b.Time) })
		for i := range events {
			l.observe(&events[i])
		}
		for _, f := range l.found {
			if f.Alert && f.ScopeID == "clerk-0" && foundAt == 0 {
				foundAt = factor
				t.Logf("day %d, %.2f-fold: %s", d-from, factor, f.Why)
			}
		}
		if foundAt > 0 {
			break
		}
		for _, f := range l.found {
			if f.Alert && f.ScopeID != "clerk-0" {
				t.Logf("falsely: %s", f.Why)
			}
		}
		l.found = nil
	}
	if foundAt == 0 || foundAt >= 4 {
		t.Errorf("a ramp of 5 %% a day is found at %.2f-fold", foundAt)
	}
}

func TestABudgetThatBurnsIsFoundBeforeItIsGone(t *testing.T) {
	l, events := trained(t,
		`{"v":1,"limits":[{"id":"purse","scope":"agent","measure":"cost","max":"10","window":"1d","kind":"calendar"}]}`,
		9)
	cost := func(each int64) func(int, *event.Event) {
		return func(_ int, e *event.Event) { e.Cost.MicroUSD = each }
	}
	burns := func() (out []string) {
		for _, f := range l.found {
			if strings.HasPrefix(f.Rule, "burn/") {
				out = append(out, f.Rule)
				t.Log(f.Alert, f.Severity, f.Why)
			}
		}
		return out
	}
	l.acts(aClerk(events, "clerk-3", noon(9)), 20, 60_000, cost(2000)) // 4 cents in twenty minutes
	if got := burns(); len(got) > 0 {
		t.Errorf("an ordinary morning burns: %v", got)
	}
	l.acts(aClerk(events, "clerk-4", noon(9)), 30, 60_000, cost(200_000)) // 6 dollars in half an hour
	if got := burns(); len(got) == 0 || got[len(got)-1] != "burn/fast/purse" {
		t.Errorf("got %v, want a fast burn", got)
	}
}

func TestAnAgentThatActsOnceCostsLittle(t *testing.T) {
	l, events := trained(t, `{"v":1}`, 8)
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // what the first one found dead in pools is freed by the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	const agents = 20_000
	all := make([]detectors.Memory, agents)
	e := aClerk(events, "once", noon(8))
	e.Session = ""
	before := heap()
	defer runtime.KeepAlive(events)
	act := func(n int, apart int64) {
		for i := range all {
			for j := range n {
				c := e
				c.Time += int64(j) * apart
				c.Resource.ID = "r" + strconv.Itoa(j)
				l.e = &c
				l.x = detectors.Scene{Host: l, Who: l.panel.Who("acme", "clerk", ""), Time: c.Time, Agent: &all[i], AgentID: 1,
					Delta: l.delta("clerk"), Eligible: true}
				l.volume.Observe(&l.x, &c)
			}
		}
	}
	act(1, 0)
	once := float64(heap()-before) / agents
	if once > 100 {
		t.Errorf("an agent with one event costs %.0f bytes", once)
	}
	encoded := len(all[0].Append(nil))
	runtime.KeepAlive(all)
	all = make([]detectors.Memory, 1)
	act(60, 30_000)
	p := all[0].Part(l.volume.slot).(*volumePart)
	active := int(unsafe.Sizeof(*p)+unsafe.Sizeof(*p.agent)) + 4*cap(p.agent.sliding.Slab) + p.agent.distinct[0].Size() +
		p.agent.distinct[1].Size() + 2*cap(p.agent.contacts)
	t.Logf(
		"one event: %.0f bytes, %d encoded; active with records, bytes, cost, subject and sixty resources: %d bytes, %d encoded",
		once, encoded, active, len(all[0].Append(nil)))
	if active > 2800 {
		t.Errorf("an active agent costs %d bytes", active)
	}
}

func BenchmarkBaselineVolumeAppend(b *testing.B) {
	l, events := trained(b, `{"v":1}`, 8)
	l.acts(aClerk(events, "clerk-3", noon(8)), 60, 30_000, nil)
	m := l.agents["clerk-3"]
	buf := m.Append(nil)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = m.Append(buf[:0])
	}
}

func TestTitlesOfVolumeFitATerminal(t *testing.T) {
	for test, title := range titles {
		if n := len([]rune(title)); n > 36 || n == 0 && baselines.Test(test).Family() == baselines.VolumeFamily {
			t.Errorf("%s: %q has %d characters", baselines.Test(test), title, n)
		}
	}
}

// A session that grows and grows, in every measure, is one finding and a few updates, each of twice
// as much or of a higher severity.
func TestASessionThatGrowsIsNotToldWithEveryStep(t *testing.T) {
	l, events := trained(t, `{"v":1}`, 12)
	records := int64(1)
	l.acts(aClerk(events, "clerk-3", noon(12)), 6000, 200, func(i int, e *event.Event) {
		if i%20 == 0 {
			records += records/10 + 1
		}
		e.Has |= event.HasRecords
		e.Result.Records = min(records, 1<<40)
	})
	type last struct {
		updates  int
		severity event.Severity
		observed float64
		measure  string
	}
	of := map[string]*last{}
	for _, f := range l.found {
		uid := event.TriggeredUID("acme", f.Detector+"/"+f.Rule, f.ScopeType, f.ScopeID, f.Refs[len(f.Refs)-1])
		k := of[uid]
		if k == nil {
			of[uid] = &last{0, f.Severity, f.Anomaly.Observed, f.Measure}
			continue
		}
		if k.updates++; k.updates > detectors.MaxUpdates {
			t.Fatalf("%s: %d updates", f.Rule, k.updates)
		}
		if f.Detector == "volume" && f.Severity <= k.severity &&
			!(f.Measure == k.measure && f.Anomaly.Observed >= 2*k.observed) {
			t.Errorf("%s: an update of %s from %g to %g %s", f.Rule, f.Severity, k.observed, f.Anomaly.Observed,
				f.Measure)
		}
		k.severity = max(k.severity, f.Severity)
		if f.Measure == k.measure {
			k.observed = f.Anomaly.Observed
		}
	}
	if len(of) == 0 {
		t.Error("nothing was found")
	}
}
