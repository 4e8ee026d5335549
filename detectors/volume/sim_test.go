package volume

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"testing"

	"github.com/cespare/xxhash/v2"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// The workload of docs/statistics.md in small: personas whose agents differ, with hours, shared
// busy days, bursty sessions and heavy tails.

type simPersona struct {
	name              string
	agents            int
	sessions          float64 // a day, in the middle
	spread            float64 // of agents, ln
	night             bool
	weekend           float64
	thinkMu, thinkSig float64
	recMu, recSig     float64
	pareto            float64
	steps             [2]int
	errors            float64
	busy              float64
	resources         uint64
}

var simPersonas = []simPersona{
	{"support", 30, 30, .7, false, .3, 1.5, .8, .3, .7, 0, [2]int{5, 12}, .02, .25, 50000},
	{"analyst", 25, 6, 1.0, false, .1, 2.3, 1.1, 3.5, 1.8, 1.4, [2]int{4, 20}, .06, .4, 4000},
	{"ops", 20, 20, .5, true, .9, .2, 1.3, 1.0, 1.4, 1.8, [2]int{3, 10}, .08, .5, 3000},
}

// simStart is a Monday.
const simStart = 20_409 * baselines.DayMS

// simulate makes the events of so many days, in order of time.
func simulate(seed uint64, personas []simPersona, days int) []event.Event {
	var out []event.Event
	for pi, p := range personas {
		rng := rand.New(rand.NewPCG(seed, uint64(100+pi)))
		zipf := rand.NewZipf(rng, 1.1, 8, p.resources-1)
		var week [168]float64
		sum := 0.0
		for h := range week {
			hour := float64(h % 24)
			if p.night {
				week[h] = 1 + .5*math.Sin((hour-9)/24*2*math.Pi)
			} else {
				week[h] = .02 + math.Exp(-.5*math.Pow((hour-11)/2.2, 2)) + .9*math.Exp(-.5*math.Pow((hour-15.5)/2, 2))
			}
			if h/24 >= 5 {
				week[h] *= p.weekend
			}
			sum += week[h]
		}
		busy := make([]float64, days)
		for d := range busy {
			k := 1 / (p.busy * p.busy)
			busy[d] = distuv.Gamma{Alpha: k, Beta: k, Src: rng}.Rand()
		}
		for a := range p.agents {
			mul := math.Exp(p.spread * rng.NormFloat64())
			name := p.name + "-" + strconv.Itoa(a)
			for h := range days * 24 {
				begun := distuv.Poisson{Lambda: p.sessions / 24 * mul * week[h%168] * 168 / sum * busy[h/24], Src: rng}
				for range int(begun.Rand()) {
					t := simStart + int64(h)*3_600_000 + rng.Int64N(3_600_000)
					session := fmt.Sprintf("%s-%d-%d", name, h, rng.Uint32())
					subject := "u" + strconv.Itoa(rng.IntN(5000))
					n := p.steps[0] + rng.IntN(p.steps[1])
					n = max(1, int(float64(n)*math.Exp(.5*rng.NormFloat64()))) // loops
					for i := range n {
						rec := math.Exp(p.recMu + p.recSig*rng.NormFloat64())
						if p.pareto > 0 && rng.Float64() < .03 {
							rec = 50 * math.Pow(rng.Float64(), -1/p.pareto)
						}
						rec = min(rec, 1e6)
						e := event.Event{ID: session + "-" + strconv.Itoa(i), Time: t, Kind: event.ToolCall,
							Tenant: "acme", Persona: p.name, Agent: event.Agent{ID: name}, Session: session,
							Tool: event.Tool{Name: "tool" + strconv.Itoa(rng.IntN(4))},
							Has:  event.HasRecords | event.HasBytes | event.HasCost, Subject: subject}
						e.Resource.ID = "r" + strconv.FormatUint(zipf.Uint64(), 10)
						e.Result.Records, e.Result.Bytes = int64(rec), int64(rec*200*math.Exp(.3*rng.NormFloat64()))+100
						e.Cost.MicroUSD = int64(2000 * math.Exp(.6*rng.NormFloat64()))
						e.Result.Outcome = event.OK
						if rng.Float64() < p.errors {
							e.Result.Outcome = event.Error
						}
						out = append(out, e)
						t += int64(1000 * math.Exp(p.thinkMu+p.thinkSig*rng.NormFloat64()))
					}
				}
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Time < out[j].Time })
	return out
}

// testShard is a shard of the test's own that keeps baselines: pages are maps, and the day closes
// when the first event of the next one comes.
type testShard struct {
	panel    *detectors.Panel
	volume   *volume
	agents   map[string]*detectors.Memory
	sessions map[string]*testSession
	deltas   map[string]*baselines.Delta
	models   map[string]*baselines.Model
	days     map[string]int64 // of agents: last day seen
	day      int64
	swept    int64
	frozen   bool
	e        *event.Event
	x        detectors.Scene
	found    []event.Finding
	ended    func(persona string, s *sessionVolume)
	closed   func(day int64, persona string, d *baselines.Delta)
	eligible bool
	copied   bool // each memory goes through its encoding
}

type testSession struct {
	memory detectors.Memory
	who    *detectors.Who
	agent  string
	seen   int64
}

func newTestShard(t testing.TB, set string) *testShard {
	h := detectorstest.NewHost(t, set)
	l := &testShard{panel: h.Panel, agents: map[string]*detectors.Memory{}, sessions: map[string]*testSession{},
		deltas: map[string]*baselines.Delta{}, models: map[string]*baselines.Model{}, days: map[string]int64{},
		eligible: true}
	l.volume = l.panel.Detector(Slot).(*volume)
	return l
}

func (l *testShard) delta(persona string) *baselines.Delta {
	d := l.deltas[persona]
	if d == nil {
		d = &baselines.Delta{}
		l.deltas[persona] = d
	}
	return d
}

// turn closes the day.
func (l *testShard) turn(day int64) {
	if l.day != 0 && !l.frozen {
		tenant := &baselines.Delta{}
		for _, p := range sortedKeys(l.deltas) {
			if l.closed != nil {
				l.closed(l.day, p, l.deltas[p])
			}
			tenant.Merge(l.deltas[p])
		}
		l.deltas[baselines.TenantWide] = tenant
		for d := l.day; d < min(day, l.day+1); d++ {
			for _, p := range sortedKeys(l.deltas) {
				l.models[p] = baselines.Learn(l.models[p], baselines.Key{Tenant: "acme", Persona: p}, d, l.deltas[p],
					baselines.Terms{Approved: true})
			}
		}
	}
	for p, m := range l.models {
		m.Prior = nil
		if p != baselines.TenantWide {
			m.Prior = l.models[baselines.TenantWide]
		}
	}
	l.deltas = map[string]*baselines.Delta{}
	l.panel.Each(func(w *detectors.Who) { w.Rest(l.models[w.Persona], 0, math.MaxInt64) })
	l.day = day
}

func sortedKeys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func (l *testShard) sweep(t int64) {
	for _, k := range sortedKeys(l.sessions) {
		s := l.sessions[k]
		if s.seen < t-detectors.SessionIdleMS {
			if l.ended != nil {
				if p, _ := s.memory.Part(l.volume.slot).(*volumePart); p != nil {
					l.volume.reference = l.volume.referenceOfWho(s.who)
					l.ended(s.who.Persona, p.session)
				}
			}
			l.volume.End(&detectors.Ending{Who: s.who, Time: s.seen, AgentID: 1, Memory: &s.memory, Delta: l.delta(s.who.Persona),
				Eligible: l.eligible})
			delete(l.sessions, k)
		}
	}
}

func (l *testShard) Session() *detectors.Memory {
	if l.e.Session == "" {
		return nil
	}
	k := l.e.Agent.ID + "|" + l.e.Session
	s := l.sessions[k]
	if s == nil {
		s = &testSession{who: l.x.Who, agent: l.e.Agent.ID}
		l.sessions[k] = s
	}
	s.seen = l.x.Time
	if l.copied {
		s.memory = copied(&s.memory)
	}
	return &s.memory
}

func copied(m *detectors.Memory) detectors.Memory {
	r := wire.Reader{B: m.Append(nil)}
	out := detectors.Memory{}
	if out.Decode(&r); r.Err != nil || len(r.B) > 0 {
		panic(fmt.Sprint(r.Err, len(r.B)))
	}
	return out
}

func (l *testShard) Find(f event.Finding)                                            { l.found = append(l.found, f) }
func (l *testShard) Settled(*event.Response, event.ScopeType) bool                   { return false }
func (l *testShard) Tell(byte, policy.Scope, string, []byte)                         {}
func (*testShard) Count(string, string)                                              {}
func (l *testShard) Contribute(byte, policy.Scope, string, []detectors.Contribution) {}

func (l *testShard) observe(e *event.Event) {
	if day := wire.FloorDiv(e.Time, baselines.DayMS); day > l.day {
		l.turn(day)
	}
	if h := wire.FloorDiv(e.Time, 600_000); h > l.swept {
		l.swept = h
		l.sweep(e.Time)
	}
	m := l.agents[e.Agent.ID]
	if m == nil {
		m = &detectors.Memory{}
		l.agents[e.Agent.ID] = m
	}
	if l.copied {
		*m = copied(m)
	}
	who := l.panel.Who(e.Tenant, e.Persona, "")
	if who.Base != l.models[e.Persona] {
		who.Rest(l.models[e.Persona], 0, math.MaxInt64)
	}
	l.e = e
	d := l.delta(e.Persona)
	d.Events++
	newDay := l.days[e.Agent.ID] != l.day
	if newDay {
		l.days[e.Agent.ID] = l.day
		d.Acts(xxhash.Sum64String(e.Agent.ID))
	}
	l.x = detectors.Scene{Host: l, Who: who, Time: e.Time, Agent: m, AgentID: xxhash.Sum64String(e.Agent.ID), Delta: d,
		Eligible: l.eligible, NewDay: newDay}
	l.volume.Observe(&l.x, e)
}

// month is five weeks of three personas, of which the last two are judged: what the tests came to,
// and how many alerts there were.
type month struct {
	testShard *testShard
	tallies   [baselines.Tests]baselines.Tally
	sessions  int
	alerts    int
	attacks   int
	found     int
	events    []int // of each attack that was found, up to the alert
}

// live plays the weeks of a seed. On the last day, in copies that do not come back, every so often
// an agent begins to read as attack says.
func live(t testing.TB, seed uint64, attack func(l *testShard, like []event.Event, n int) []event.Event) *month {
	const days, judged = 28, 14
	events := simulate(seed, simPersonas, days)
	m := &month{testShard: newTestShard(t, `{"v":1}`)}
	l := m.testShard
	l.closed = func(day int64, _ string, d *baselines.Delta) {
		if day < simStart/baselines.DayMS+judged {
			return
		}
		for i, k := range d.Audit.Of {
			s := &m.tallies[i]
			*s = baselines.Tally{Made: s.Made + k.Made, Below2: s.Below2 + k.Below2, Below3: s.Below3 + k.Below3,
				Below4: s.Below4 + k.Below4, Alerts: s.Alerts + k.Alerts}
		}
		m.sessions += int(d.Audit.Of[baselines.SessionTest].Made)
	}
	last := map[string][]event.Event{}
	for i := range events {
		e := &events[i]
		l.observe(e)
		if like := append(last[e.Persona], *e); attack != nil {
			last[e.Persona] = like[max(0, len(like)-300):]
			if e.Time > simStart+(days-1)*baselines.DayMS+7*3_600_000 && i%50 == 0 && len(like) >= 300 {
				m.attack(e, attack(l, like, m.attacks))
			}
		}
	}
	l.turn(l.day + 1)
	for i := range l.found {
		if f := &l.found[i]; f.Alert && f.Activity == event.Create && f.Time >= simStart+judged*baselines.DayMS {
			m.alerts++
		}
	}
	return m
}

// attack lets a copy of the agent of an event act, and sees whether it is found.
func (m *month) attack(e *event.Event, acts []event.Event) {
	l := m.testShard
	agent := copied(l.agents[e.Agent.ID])
	was, x, found := l.e, l.x, l.found
	l.found = nil
	m.attacks++
	for i := range acts {
		a := &acts[i]
		a.Agent.ID, a.Session, a.ID = e.Agent.ID, "attack", "attack-"+strconv.Itoa(m.attacks)+"-"+strconv.Itoa(i)
		l.e = a
		l.x = detectors.Scene{Host: l, Who: x.Who, Time: a.Time, Agent: &agent, AgentID: xxhash.Sum64String(e.Agent.ID),
			Delta: &baselines.Delta{}, Eligible: true}
		l.volume.Observe(&l.x, a)
		if n := len(l.found); n > 0 && l.found[n-1].Alert {
			m.found++
			m.events = append(m.events, i+1)
			break
		}
	}
	delete(l.sessions, e.Agent.ID+"|attack")
	l.e, l.x, l.found = was, x, found
}

// burst are n calls like the persona's own within so many milliseconds.
func burst(n int, within int64) func(*testShard, []event.Event, int) []event.Event {
	return func(_ *testShard, like []event.Event, k int) []event.Event {
		rng := rand.New(rand.NewPCG(7, uint64(k)))
		start := like[len(like)-1].Time + 1
		out := make([]event.Event, n)
		for i := range out {
			out[i] = like[rng.IntN(len(like))]
			out[i].Subject = like[len(like)-1].Subject // a single one, as sessions of theirs have
			out[i].Time = start + int64(i)*within/int64(n)
		}
		return out
	}
}

func seeds(most uint64) uint64 {
	if testing.Short() {
		return 1
	}
	return most
}

func TestVolumeTestsComeOutAsOftenAsTheySay(t *testing.T) {
	var all [baselines.Tests]baselines.Tally
	sessions, alerts, attacks, found := 0, 0, 0, 0
	for seed := uint64(1); seed <= seeds(2); seed++ {
		m := live(t, seed, burst(200, 600_000))
		for i, k := range m.tallies {
			s := &all[i]
			*s = baselines.Tally{Made: s.Made + k.Made, Below2: s.Below2 + k.Below2, Below3: s.Below3 + k.Below3,
				Below4: s.Below4 + k.Below4, Alerts: s.Alerts + k.Alerts}
		}
		sessions, alerts, attacks, found = sessions+m.sessions, alerts+m.alerts, attacks+m.attacks, found+m.found
		slices.Sort(m.events)
		t.Logf("seed %d: %d of %d bursts found, half of them by event %d; %d alerts in %d sessions", seed, m.found,
			m.attacks, m.events[len(m.events)/2], m.alerts, m.sessions)
	}
	for i := range baselines.Tests {
		k := all[i]
		if k.Made == 0 {
			continue
		}
		n := float64(k.Made)
		r2, r3 := float64(k.Below2)/n/1e-2, float64(k.Below3)/n/1e-3
		t.Logf("%-8s %8d tests, realised/nominal 1e-2 %.2f  1e-3 %.2f  1e-4 %.2f", i, k.Made, r2, r3,
			float64(k.Below4)/n/1e-4)
		// A count may exceed twice the nominal by what chance gives it.
		if over := float64(k.Below3) - 2*n*1e-3; over > 3*math.Sqrt(2*n*1e-3) {
			t.Errorf("%s: %d of %d tests came out below 1e-3", i, k.Below3, k.Made)
		}
		if i <= baselines.HourTest && (r2 < 0.3 || r2 > 2) {
			t.Errorf("%s: realised over nominal at 1e-2 is %.2f", i, r2)
		}
	}
	if per := 1000 * float64(alerts) / float64(sessions); per > 2 {
		t.Errorf("%.2f alerts for 1,000 sessions", per)
	}
	if attacks < 100 || float64(found) < 0.98*float64(attacks) {
		t.Errorf("%d of %d bursts of 200 were found", found, attacks)
	}
}
