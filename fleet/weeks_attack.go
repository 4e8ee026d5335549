package fleet

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
)

// Kind is what an attack does.
type Kind uint8

// Kinds of attacks (docs/statistics.md, Made-up weeks; without those that concern how agents stand
// to each other).
const (
	Burst50     Kind = iota // reads in 5 min, in the middle of a task
	Burst200                // in 10 min
	Burst1000               // in 30 min
	Mark20                  // five reads that return twenty times as much as usual
	Slow20                  // 20 more calls an hour for 24 hours, in sessions of their own
	Ramp2                   // an agent does 2 % more each day
	Ramp5                   //
	Ramp10                  //
	Enumerate30             // 80 reads of consecutive ids, of which 30 % do not exist
	Enumerate50             //
	Enumerate70             //
	Enumerate90             //
	Denials                 // denied, tried again with another resource or tool, 20 times
	Insert1                 // random calls of the persona's own tools in the middle of a task
	Insert2                 //
	Insert3                 //
	Insert4                 //
	Insert6                 //
	Insert10                //
	Tail                    // a task that goes on as one of another persona: 8 calls
	// the same six calls, inserted into two tasks a day by one agent, so that they become usual
	Repeat1
	Repeat3         // by three agents
	Repeat6         // by six
	NewTool         // one call of a tool that nobody has
	NewDestination  // one send to where nobody of the persona has sent
	ToolDestination // the same, and the address came out of a tool's result
	Redefined       // three calls of a tool whose definition is another than usual
	Runaway         // 60 calls in half an hour that each cost 25 times as much as usual
	CrossTenant     // three reads of another tenant's resources
	Kinds
)

var kinds = [Kinds]string{"burst-50", "burst-200", "burst-1000", "mark-x20", "slow-20/h", "ramp-2%", "ramp-5%",
	"ramp-10%", "enumerate-30", "enumerate-50", "enumerate-70",
	"enumerate-90", "denials", "insert-1", "insert-2", "insert-3", "insert-4", "insert-6", "insert-10", "tail",
	"repeat-1", "repeat-3", "repeat-6", "new-tool",
	"new-destination", "tool-destination", "redefined", "runaway", "cross-tenant"}

func (k Kind) String() string { return kinds[k] }

// rampTop is where a ramp ends.
const rampTop = 8

// Growth is that of a ramp a day; 0: the kind is no ramp.
func (k Kind) Growth() float64 {
	switch k {
	case Ramp2:
		return .02
	case Ramp5:
		return .05
	case Ramp10:
		return .10
	}
	return 0
}

// repeaters is how many agents repeat the same; 0: the kind is no repetition.
func (k Kind) repeaters() int {
	switch k {
	case Repeat1:
		return 1
	case Repeat3:
		return 3
	case Repeat6:
		return 6
	}
	return 0
}

// Incident is the truth about one attack.
type Incident struct {
	Kind    Kind
	Persona string
	Agent   string
	Day     int // of the stream
	// Sessions that it took part in, and its events in order. A ramp has neither: all that the
	// agent does is part of it.
	Sessions, Events []string
	// Times are those of the events; First and Last bound them, in Unix milliseconds.
	Times       []int64
	First, Last int64
}

// Multiple is by how much an agent of a ramp does more than at its beginning, at a time.
func (i *Incident) Multiple(t int64) float64 {
	day := (t - Start) / dayMS
	return min(math.Pow(1+i.Kind.Growth(), float64(day-TestDay)), rampTop)
}

// attack is an incident that waits for a session, or goes on in one.
type attack struct {
	inc         *Incident
	kind        Kind
	hour        int // of the day, before which it does not begin
	after       int // calls of the session that come first
	on          bool
	total, left int
	gap         float64 // mean milliseconds between calls; 0: as the persona's own
	rng         rand.PCG
	chain       []int // tools in order
	other       *role // whose
	tool        int
	thing       uint64
}

type planned struct {
	agent *worker
	day   int
}

// planAttacks draws when, by whom and after how much honest work each attack happens.
func (s *Weeks) planAttacks() {
	for _, r := range s.roles {
		for _, f := range r.flows {
			for _, st := range f {
				t := &r.tools[st.tool]
				if t.class == "read" && !slices.Contains(r.reads, st.tool) {
					r.reads = append(r.reads, st.tool)
				}
				if t.sends() && !slices.Contains(r.sinks, st.tool) {
					r.sinks = append(r.sinks, st.tool)
				}
			}
		}
	}
	s.plan = map[planned][]*attack{}
	if len(s.o.Attacks) == 0 {
		return
	}
	own := PCG(s.o.Seed, 20)
	s.src.at = &own
	var single, ramps, repeated []Kind
	for _, k := range s.o.Attacks {
		switch {
		case k.Growth() > 0:
			ramps = append(ramps, k)
		case k.repeaters() > 0:
			repeated = append(repeated, k)
		default:
			single = append(single, k)
		}
	}
	n := uint64(0)
	plan := func(k Kind, w *worker, day, hour int, chain []int) {
		n++
		p := planned{w, day}
		s.plan[p] = append(s.plan[p], &attack{kind: k, hour: hour, after: 1 + s.rng.IntN(4), rng: PCG(s.o.Seed, 21, n),
			chain: chain,
			inc:   &Incident{Kind: k, Persona: w.role.name, Agent: w.id, Day: day}})
	}
	for i, r := range s.roles {
		free := slices.Clone(r.agents)
		s.rng.Shuffle(len(free), func(a, b int) { free[a], free[b] = free[b], free[a] })
		for _, k := range ramps[:min(len(ramps), len(free)-1)] { // somebody stays honest
			w := free[0]
			free = free[1:]
			w.ramp = k.Growth()
			s.Incidents = append(s.Incidents, &Incident{Kind: k, Persona: r.name, Agent: w.id, Day: TestDay,
				First: Start + TestDay*dayMS, Last: Start + int64(s.o.Days)*dayMS})
		}
		if len(repeated) > 0 {
			k := repeated[(uint64(i)+s.o.Seed)%uint64(len(repeated))]
			chain := make([]int, 6)
			for j := range chain {
				chain[j] = s.rng.IntN(r.known)
			}
			// Those who work little would repeat little.
			slices.SortStableFunc(free, func(a, b *worker) int {
				return cmp.Compare(b.activity, a.activity)
			})
			group := free[:min(k.repeaters(), len(free)-1)]
			for _, w := range group {
				for day := TestDay; day < s.o.Days; day++ {
					plan(k, w, day, 8, chain)
					plan(k, w, day, 12, chain)
				}
			}
			free = free[len(group):]
		}
		var deck []Kind
		for day := TestDay; day < s.o.Days && len(single) > 0; day++ {
			if len(deck) == 0 {
				deck = slices.Clone(single)
				s.rng.Shuffle(len(deck), func(a, b int) { deck[a], deck[b] = deck[b], deck[a] })
			}
			plan(deck[0], free[s.rng.IntN(len(free))], day, 8+s.rng.IntN(6), nil)
			deck = deck[1:]
		}
	}
}

// assignAttack lets a session that begins carry the attack that waits for one.
func (s *Weeks) assignAttack(x *session) {
	day := int((x.at - Start) / dayMS)
	p := planned{x.agent, day}
	list := s.plan[p]
	if len(list) == 0 || x.at < Start+int64(day)*dayMS+int64(list[0].hour)*hourMS {
		return
	}
	a := list[0]
	if s.plan[p] = list[1:]; len(list) == 1 {
		delete(s.plan, p)
	}
	if a.kind != Slow20 {
		x.attack = a
		return
	}
	lone := s.newSession(x.agent, x.at)
	lone.attack, lone.lone = a, true
	lone.intent, lone.user, lone.who = x.intent, x.user, x.who
	a.on = true
	a.inc.First = x.at // it names the sessions
	a.begin(s, lone)
	s.push(lone)
}

// begin decides what an attack is made of.
func (a *attack) begin(s *Weeks, x *session) {
	s.src.at = &a.rng
	r := x.agent.role
	pick := func(list []int) int { return list[s.rng.IntN(len(list))] }
	a.tool = 1
	if len(r.reads) > 0 {
		a.tool = pick(r.reads)
	}
	switch a.kind {
	case Burst50:
		a.total, a.gap = 50, 5*minuteMS/50
	case Burst200:
		a.total, a.gap = 200, 10*minuteMS/200
	case Burst1000:
		a.total, a.gap = 1000, 30*minuteMS/1000
	case Mark20:
		a.total = 5
	case Slow20:
		a.total, a.gap = 20*24, hourMS/20
	case Enumerate30, Enumerate50, Enumerate70, Enumerate90:
		a.total, a.gap, a.thing = 80, 1500, 10_000_000+s.rng.Uint64N(80_000_000)
	case Denials:
		a.total, a.gap = 20, 4000
		a.tool = s.rng.IntN(r.known)
	case Insert1, Insert2, Insert3, Insert4, Insert6, Insert10:
		a.total = map[Kind]int{Insert1: 1, Insert2: 2, Insert3: 3, Insert4: 4, Insert6: 6, Insert10: 10}[a.kind]
		for range a.total {
			a.chain = append(a.chain, s.rng.IntN(r.known))
		}
	case Repeat1, Repeat3, Repeat6:
		a.total = len(a.chain)
	case Tail:
		for a.other == nil || a.other == r {
			a.other = s.roles[s.rng.IntN(len(s.roles))]
		}
		for len(a.chain) < 8 {
			for _, st := range a.other.flows[s.rng.IntN(len(a.other.flows))] {
				a.chain = append(a.chain, st.tool)
			}
		}
		a.total = 8
	case NewTool:
		a.total = 1
	case NewDestination, ToolDestination:
		a.total, a.tool = 1, pick(r.sinks)
	case Redefined:
		a.total = 3
	case Runaway:
		a.total, a.gap = 60, 30_000
	case CrossTenant:
		a.total = 3
	}
	a.left = a.total
	s.Incidents = append(s.Incidents, a.inc)
}

// fill draws the attack's next call.
func (a *attack) fill(s *Weeks, c *call, x *session) {
	r := x.agent.role
	if a.other != nil {
		r = a.other
	}
	done := a.total - a.left
	if len(a.chain) > 0 {
		s.fill(c, x, r, a.chain[done])
		return
	}
	if a.kind == Denials && done > 0 {
		if s.rng.Float64() < .4 {
			a.tool = s.rng.IntN(r.known)
		}
	}
	s.fill(c, x, r, a.tool)
	switch a.kind {
	case Burst50, Burst200, Burst1000: // of other customers, other things
		c.resource = scattered(s.rng.Uint64N(uint64(r.things)))
		if r.subjects {
			c.subject = scattered(s.rng.Uint64N(uint64(r.things)))
		}
	case Mark20:
		c.outcome, c.records = "ok", int64(20*(1+s.read(r)))
		c.bytes = 120 + 200*c.records
	case Enumerate30, Enumerate50, Enumerate70, Enumerate90:
		c.resource = a.thing + uint64(done)
		c.subject = 0
		misses := map[Kind]float64{Enumerate30: .3, Enumerate50: .5, Enumerate70: .7, Enumerate90: .9}[a.kind]
		if c.outcome = "ok"; c.records < 0 {
			c.records = 1
		}
		if s.rng.Float64() < misses {
			c.outcome, c.records, c.bytes = "not_found", -1, 120
		}
	case Denials:
		if s.rng.Float64() < .6 {
			c.resource = scattered(s.rng.Uint64N(uint64(r.things)))
		}
		if s.rng.Float64() < .9 {
			c.outcome, c.records, c.bytes = "denied", -1, 120
		}
	case NewTool:
		c.name = "tool_" + strconv.FormatUint(hash(s.o.Seed, HashText(a.inc.Agent), uint64(x.at)), 36)
		c.outcome = "ok"
	case NewDestination, ToolDestination:
		c.outcome, c.external = "ok", true
		c.domain = "host-" + strconv.FormatUint(hash(s.o.Seed, HashText(a.inc.Agent), uint64(x.at)), 36) + ".example"
		c.address = "inbox"
		if c.provenance = "user"; a.kind == ToolDestination {
			c.provenance = "tool"
		}
	case Redefined:
		c.redefined = true
	case Runaway:
		c.cost *= 25
	case CrossTenant:
		c.tenant = "globex"
	}
}

// note keeps what was written.
func (a *attack) note(at int64, session, id string) {
	i := a.inc
	if len(i.Events) == 0 {
		i.First = at
	}
	i.Last = at
	i.Events, i.Times = append(i.Events, id), append(i.Times, at)
	if !slices.Contains(i.Sessions, session) {
		i.Sessions = append(i.Sessions, session)
	}
}

// next brings the session to the attack's next call, or to what comes after the last.
func (a *attack) next(s *Weeks, x *session) {
	s.src.at = &a.rng
	a.left--
	if a.gap > 0 {
		x.at += max(1, int64(a.gap*s.rng.ExpFloat64()))
	} else {
		x.at += s.pause(x.agent.role)
	}
	if x.lone {
		x.serial = (a.total - a.left) / 20
	}
	if a.left == 0 && a.kind == Tail {
		x.step = len(x.flow)
	}
}
