package fleet

import (
	"math"
	"math/rand/v2"
)

// The days of a stream: what is learned first, what thresholds rest on, and from TestDay on what is
// measured.
const (
	CalibrationDay = 7
	TestDay        = 21
	Days           = 42
)

// Start is the time of the first day, in Unix milliseconds: Monday 2026-01-05, 00:00 UTC.
const Start = 1767571200000

const (
	minuteMS = 60_000
	hourMS   = 60 * minuteMS
	dayMS    = 24 * hourMS
)

// Tenant is the tenant of all events.
const Tenant = "acme"

// Drift says what changes honestly while the stream runs.
type Drift uint8

// Drifts, each on a day of the test.
const (
	// from WorkflowDay on, a fifth of each persona's sessions follow a new workflow
	Workflow Drift = 1 << iota
	Growth         // everybody does 1 % more each day, from the first
	// from WorkflowDay on each persona has a new tool; a third of the agents have it on the first
	// day, all on the third
	Rollout
	Holiday // on HolidayDay hardly anybody works
	Outage  // from 11:00 to 12:00 on OutageDay nine calls of ten fail
	Busy    // on BusyDay everybody has three times the work
)

// Days of drifts. All are weekdays.
const (
	WorkflowDay = 28
	OutageDay   = 29
	HolidayDay  = 30
	BusyDay     = 32
)

// Drifts are the words for them.
var Drifts = []struct {
	Name  string
	Drift Drift
}{{"workflow", Workflow}, {"growth", Growth}, {"rollout", Rollout}, {"holiday", Holiday}, {"outage", Outage},
	{"busy", Busy}}

// WeeksOptions say what a stream is made of. The zero value is 42 quiet days of 200 agents.
type WeeksOptions struct {
	Seed  uint64
	Days  int     // 0: Days
	Scale float64 // of the number of agents; 0: 1
	Drift Drift
	// Attacks are woven in from TestDay on: on each day one agent of each persona meets the next of
	// them, if it has a session to carry it. Repetitions and ramps are kept up by the same agents,
	// one group of each persona.
	Attacks []Kind
}

// Weeks is a stream under way. It holds the sessions that are open and the truth so far, whatever
// its length.
type Weeks struct {
	// Sessions are the sessions begun on each day, attacks' own left out; Events the events so far.
	Sessions []int
	Events   int64
	// Incidents is the truth about what was woven in: complete at the end of the stream.
	Incidents []*Incident

	o      WeeksOptions
	src    switchedSource
	rng    *rand.Rand // draws from src
	roles  []*role
	agents []*worker
	hour   int // hours begun
	open   []*session
	free   []*session
	begun  int64
	plan   map[planned][]*attack
	call   call // being written
}

// switchedSource is a source that draws from the generator it is pointed at, so that each session
// has one of its own and what happens to one changes no other.
type switchedSource struct{ at *rand.PCG }

func (p *switchedSource) Uint64() uint64 { return p.at.Uint64() }

// role is a persona in a stream.
type role struct {
	persona
	known   int // tools without the one of a roll-out, which is the last
	flows   [][]step
	weights []float64 // of flows, by the harmonic series
	sum     float64
	fresh   []step // the workflow that comes with Workflow
	hours   [168]float64
	days    []float64 // how busy each is
	zipf    *rand.Zipf
	domains *rand.Zipf
	heads   [][]byte // of each tool, ready to be written
	reads   []int    // tools of its workflows that read
	sinks   []int    // and that have a destination
	agents  []*worker
}

// worker is an agent.
type worker struct {
	role         *role
	id           string
	head         []byte
	activity     float64
	ramp         float64 // growth a day from TestDay on
	rng          rand.PCG
	serial       int
	rolloutOrder float64 // 0–1: who is low gets a roll-out's tool early
}

// session is a task under way, with the time of its next call.
type session struct {
	at     int64
	order  int64
	rng    rand.PCG
	agent  *worker
	flow   []step
	intent int
	step   int
	phase  phase
	made   int // calls of its own
	serial int
	user   int
	who    uint64 // subject
	attack *attack
	lone   bool // the attack's own
}

// phase is where a session stands within a step of its workflow.
type phase uint8

const (
	entering  phase = iota // the step may be left out
	wandering              // a call of any tool comes first
	acting                 // the step's own call
	leaving                // once more, back to an earlier step, or on to the next
)

// longest is how many calls a session makes at most.
const longest = 400

// NewWeeks returns a stream at its beginning.
func NewWeeks(o WeeksOptions) *Weeks {
	if o.Days == 0 {
		o.Days = Days
	}
	if o.Scale == 0 {
		o.Scale = 1
	}
	s := &Weeks{o: o, Sessions: make([]int, o.Days)}
	s.rng = rand.New(&s.src)
	for i, p := range personas() {
		own := PCG(o.Seed, 11, uint64(i))
		rng := rand.New(&own)
		r := &role{persona: p, known: len(p.tools), hours: p.hours()}
		for k := range p.intents {
			r.flows = append(r.flows, workflow(rng, len(p.tools), k == 0))
			r.weights = append(r.weights, 1/float64(k+1))
			r.sum += r.weights[k]
		}
		r.fresh = workflow(rng, len(p.tools), false)
		n := max(2, int(math.Round(float64(p.agents)*o.Scale)))
		for k := range n {
			w := &worker{role: r, id: p.name + "-" + string(appendPadded(nil, uint64(k+1), 3)),
				activity:     math.Exp(p.spread * rng.NormFloat64()),
				rolloutOrder: rng.Float64()}
			w.rng = PCG(o.Seed, 12, uint64(i), uint64(k))
			w.head = []byte(`,"kind":"tool_call","tenant":"` + Tenant + `","persona":"` + p.name + `","agent":{"id":"` +
				w.id + `"},"user":"` + p.name + `-user-`)
			r.agents = append(r.agents, w)
			s.agents = append(s.agents, w)
		}
		own = PCG(o.Seed, 13, uint64(i)) // so that the length of the stream changes no agent
		for range o.Days {
			k := 1 / (p.busy * p.busy)
			r.days = append(r.days, gamma(rng, k)/k)
		}
		r.zipf = rand.NewZipf(s.rng, p.zipf, 8, uint64(p.things-1))
		r.domains = rand.NewZipf(s.rng, 1.3, 4, 39)
		if p.open {
			r.domains = rand.NewZipf(s.rng, 1.25, 20, 1<<40)
		}
		if o.Drift&Rollout != 0 {
			r.tools = append(r.tools, tool{"assist_" + p.name, p.tools[1].server, "write", p.tools[1].resource})
		}
		for t := range r.tools {
			r.render(t)
		}
		s.roles = append(s.roles, r)
	}
	s.planAttacks()
	return s
}

// Next appends the next event as a line of JSON, and tells whether there was one.
func (s *Weeks) Next(b []byte) ([]byte, bool) {
	for len(s.open) == 0 || s.open[0].at >= Start+int64(s.hour)*hourMS {
		if s.hour == s.o.Days*24 {
			if len(s.open) == 0 {
				return b, false
			}
			break
		}
		s.begin()
	}
	x := s.open[0]
	s.src.at = &x.rng
	b = s.write(b, x)
	s.Events++
	if s.proceed(x) {
		s.sink()
		return b, true
	}
	last := len(s.open) - 1
	s.open[0] = s.open[last]
	s.open = s.open[:last]
	s.sink()
	s.free = append(s.free, x)
	return b, true
}

// begin opens the sessions of the next hour.
func (s *Weeks) begin() {
	h := s.hour
	s.hour++
	day := h / 24
	for _, w := range s.agents {
		s.src.at = &w.rng
		r := w.role
		mean := r.sessions / 24 * w.activity * r.hours[h%168] * r.days[day] * s.pace(w, day)
		for range poisson(s.rng, mean) {
			at := Start + int64(h)*hourMS + int64(s.rng.Float64()*hourMS)
			s.start(w, at)
			s.src.at = &w.rng
		}
	}
}

// pace is by how much a day has more of an agent's work than others.
func (s *Weeks) pace(w *worker, day int) float64 {
	f := 1.0
	if s.o.Drift&Growth != 0 {
		f = math.Pow(1.01, float64(day))
	}
	if s.o.Drift&Busy != 0 && day == BusyDay {
		f *= 3
	}
	if s.o.Drift&Holiday != 0 && day == HolidayDay {
		if w.role.always {
			f *= .8
		} else {
			f *= .1
		}
	}
	if w.ramp > 0 && day >= TestDay {
		f *= min(math.Pow(1+w.ramp, float64(day-TestDay)), rampTop)
	}
	return f
}

// newSession returns a session to fill.
func (s *Weeks) newSession(w *worker, at int64) *session {
	x := &session{}
	if n := len(s.free); n > 0 {
		x = s.free[n-1]
		s.free = s.free[:n-1]
	}
	s.begun++
	*x = session{at: at, order: s.begun, agent: w}
	return x
}

// start opens a session.
func (s *Weeks) start(w *worker, at int64) {
	r := w.role
	x := s.newSession(w, at)
	w.serial++
	x.serial = w.serial
	x.rng = PCG(s.o.Seed, 14, HashText(w.id), uint64(x.serial))
	s.src.at = &x.rng
	day := int((at - Start) / dayMS)
	u := s.rng.Float64() * r.sum
	for x.intent < len(r.weights)-1 && u > r.weights[x.intent] {
		u -= r.weights[x.intent]
		x.intent++
	}
	x.flow = r.flows[x.intent]
	if s.o.Drift&Workflow != 0 && day >= WorkflowDay && s.rng.Float64() < .2 {
		x.intent, x.flow = len(r.flows), r.fresh
	}
	// The people for whom a persona works: some much more often than others, and a new one every
	// week.
	people := float64(len(r.agents)/2 + 5 + day/7)
	x.user = int(people * math.Pow(s.rng.Float64(), 2))
	if r.subjects {
		x.who = r.zipf.Uint64()
	}
	if !s.resolve(x) {
		s.free = append(s.free, x)
		return
	}
	s.Sessions[day]++
	s.push(x)
	s.assignAttack(x)
}

// resolve brings a session to its next call, and tells whether there is one: x.phase is then
// acting, or wandering for a call of any tool.
func (s *Weeks) resolve(x *session) bool {
	for x.step < len(x.flow) && x.made < longest {
		st := &x.flow[x.step]
		switch x.phase {
		case entering:
			if s.rng.Float64() > st.do {
				x.step++
				continue
			}
			x.phase = acting
			if s.rng.Float64() < x.agent.role.noise {
				x.phase = wandering
			}
			return true
		case wandering: // the call of any tool is made; now the step's own
			x.phase = acting
			return true
		case acting:
			x.phase = leaving
			if s.rng.Float64() < st.again {
				x.phase = acting
				if s.rng.Float64() < x.agent.role.noise {
					x.phase = wandering
				}
				return true
			}
		case leaving:
			if st.back > 0 && s.rng.Float64() < st.back {
				x.step = st.backTo
			} else {
				x.step++
			}
			x.phase = entering
		}
	}
	return false
}

// proceed moves a session to its next call, its own or an attack's, and tells whether there is one.
func (s *Weeks) proceed(x *session) bool {
	a := x.attack
	if a != nil && a.on {
		a.next(s, x)
		if a.left > 0 {
			return true
		}
		a.on = false
		x.attack = nil
		if x.lone {
			return false
		}
		s.src.at = &x.rng
	} else {
		x.made++
		if !s.resolve(x) {
			if a == nil {
				return false
			}
			x.step = len(x.flow) // the session is over but for what is woven in
		}
		x.at += s.pause(x.agent.role)
		if a != nil && (x.made >= a.after || x.step >= len(x.flow)) {
			a.on = true
			a.begin(s, x)
		}
		return true
	}
	return x.step < len(x.flow) && x.made < longest
}

// pause is the time to the next call, at least a millisecond.
func (s *Weeks) pause(r *role) int64 {
	return max(1, int64(1000*math.Exp(r.think[0]+r.think[1]*s.rng.NormFloat64())))
}

func (s *Weeks) before(a, b *session) bool {
	return a.at < b.at || a.at == b.at && a.order < b.order
}

func (s *Weeks) push(x *session) {
	s.open = append(s.open, x)
	for i := len(s.open) - 1; i > 0; {
		up := (i - 1) / 2
		if !s.before(s.open[i], s.open[up]) {
			return
		}
		s.open[i], s.open[up] = s.open[up], s.open[i]
		i = up
	}
}

// sink restores the order of the heap after its first has changed.
func (s *Weeks) sink() {
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(s.open); c++ {
			if s.before(s.open[c], s.open[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		s.open[i], s.open[least] = s.open[least], s.open[i]
		i = least
	}
}

// Agents is how many agents there are.
func (s *Weeks) Agents() int { return len(s.agents) }

// Now is the time up to which sessions have begun, in Unix milliseconds.
func (s *Weeks) Now() int64 { return Start + int64(s.hour)*hourMS }
