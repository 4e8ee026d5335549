package fleet

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strconv"
)

// TrafficOptions says what the made-up fleet looks like. The zero value of every field but
// Disorder, Attacks and Plain means its default.
type TrafficOptions struct {
	Seed    int64
	Start   int64   // Unix ms of the first event; default 2026-01-05T08:00:00Z, a Monday
	Rate    float64 // events per second of event time; default 2000
	Tenants int     // default 3
	Agents  int     // over all tenants; default 60
	Size    int     // average bytes per record, at least MinSize; default 640
	// ms: how far records may arrive out of event-time order across agents; each agent's own order
	// is kept
	Disorder int64
	Attacks  bool // weave in attacks
	// Plain makes a fixed workload for benchmarks: tool calls alone, each exactly Size bytes, one
	// agent drawn per event by Zipf 1.1, no attacks.
	Plain bool
}

const (
	// MinSize is what the longest tool call needs when everything optional is left out: below
	// it Plain could not keep its size.
	MinSize = 640
	MaxSize = 256 << 10 // one record reaches twice the average, and 1 MiB is the limit of the wire
	MaxRate = 5e6

	defaultStart = 1767600000000 // 2026-01-05T08:00:00Z

	zipfExponent = 1.1
	// s between two events of one session; with Rate it gives how many sessions are open at once
	thinkTime = 0.8
	maxOpen   = 1 << 15

	// The default limits of wayward are 50 calls per session, 450 calls and 5000 records per user
	// and sliding hour. callsPerUser is what one benign user causes in an hour on average. Users
	// come back for 1 to maxVisit sessions in a row and then wait for their whole pool to pass, so
	// that a busy hour has at most some 18 sessions of 14 calls; the busiest user-hour seen over
	// many seeds had 421. recordsPerSession bounds the other limit: 18 sessions of it stay below
	// 5000.
	callsPerUser      = 200
	maxVisit          = 3
	recordsPerSession = 220
)

// Attack is the truth about a record, which the record itself does not tell.
type Attack uint8

const (
	NoAttack Attack = iota
	// a support agent exports far more customers than its task needs: records per user and hour
	export
	looping   // an agent that goes round in circles: calls per session
	tampering // a read-only analyst deletes and writes: policy
	// a payments agent pays to an unlisted destination that it read in an invoice: policy,
	// provenance
	diversion
	fanOut // many agents, each modest, work for the same user: calls per user and hour
)

func (k Attack) String() string {
	return [...]string{"", "export", "looping", "tampering", "diversion", "fan-out"}[k]
}

// trafficAgent is one agent. lag is how far its gateway is behind, on its way to goal: it moves by
// at most half of the time that passed, so that event time (arrival less lag) never runs backwards
// for one agent and is never more than Disorder behind.
type trafficAgent struct {
	lag, goal int64 // µs
	seen      int64 // µs after the start, at which lag was true
	key       int32 // where its key ends in stream.keys
	idAt      int32 // where its id starts there
	group     int32
	count     uint32 // events so far, for Plain
}

// trafficGroup is a persona within a tenant: the agents that share a pool of users.
type trafficGroup struct {
	tenant, persona int
	head            []byte // of a record, from the tenant to the agent's id
	users, base     uint32 // size of the pool, and the number of its first user within the tenant
	next            uint32
	active          [16]visit // the users who are at work now
	activeUsers     uint32
}

type visit struct{ user, left uint32 }

// trafficSession is one agent's task.
type trafficSession struct {
	id      uint64
	flow    *taskFlow
	agent   int32
	user    uint32 // number within the tenant
	subject uint32 // the customer, invoice or service that it is about
	iban    uint32 // of a diversion: the account that the invoice names
	step    uint16 // calls made
	calls   uint16 // calls to make
	at      uint16 // place in flow.body
	budget  int32  // records left to read
	opened  bool   // the message is out
}

// runningAttack is the attack of one kind that is under way: there is one at a time of each.
type runningAttack struct {
	due      int64 // µs after the start, of the next one
	sessions []trafficSession
	user     uint32
	left     int // calls to make over all its sessions
}

// Traffic makes a deterministic, endless sequence of agent events.
type Traffic struct {
	Key    []byte // of the last record, tenant|agent.id; it stays valid and unchanged
	Time   int64  // of the last record, event time in Unix ms
	Attack Attack // what the last record is part of

	o        TrafficOptions
	rng      rand.PCG
	idSalt   uint64
	runSalt  uint64 // of sessions
	made     uint64 // records
	begun    uint64 // sessions
	clock    int64  // ns after the start, of the next record's arrival
	gap      uint64 // ns between two records on average
	debt     int    // bytes by which the records so far fell short of their average
	tenants  []string
	named    []uint32 // users with a number, per tenant
	keys     []byte
	agents   []trafficAgent
	groups   []trafficGroup
	pick     alias
	open     []trafficSession
	running  [fanOut + 1]runningAttack
	period   int64  // µs between two attacks of one kind
	price    uint64 // of 2^20, the part of the list price that a call of the model costs
	share    uint32 // of 65536 records, how many are offered to attacks
	text     string
	noErrors uint32 // 0xff with Plain, where all calls succeed: equal sizes leave no room for errors
	day      int64  // that dayText is
	dayText  [10]byte
}

// NewTraffic returns a stream; what is out of range in o is moved into it. Two streams with equal
// options give equal bytes.
func NewTraffic(o TrafficOptions) *Traffic {
	o.Start = or(o.Start, defaultStart)
	o.Rate = min(max(or(o.Rate, 2000), 0.01), MaxRate)
	o.Tenants = max(or(o.Tenants, 3), 1)
	o.Agents = max(or(o.Agents, 60), o.Tenants)
	o.Size = min(max(or(o.Size, 640), MinSize), MaxSize)
	o.Disorder = max(o.Disorder, 0)
	s := &Traffic{o: o, gap: uint64(math.Round(1e9 / o.Rate)), text: fillerText(), day: -1}
	s.rng.Seed(uint64(o.Seed), 0x77617977617264)
	s.idSalt, s.runSalt = s.rng.Uint64(), s.rng.Uint64()
	s.populate()

	if o.Plain {
		s.noErrors = 0xff
		return s
	}
	s.open = make([]trafficSession, int(min(max(o.Rate*thinkTime, 4), maxOpen)))

	// A cycle of all attacks is some 1,100 events. Below 2,000 events/s a cycle takes 12,000
	// events, so that attacks stay rare; above, 6 s, so that a short demo sees each several times,
	// while attacks never take more than 250 events/s.
	s.period = max(6e6, int64(12000/o.Rate*1e6))
	s.share = uint32(math.Round(65536 * min(0.125, 250/o.Rate)))
	for k := range s.running {
		s.running[k].due = s.period * int64(k) / 12
	}
	s.running[fanOut].due = s.period / 24 // it takes longest
	return s
}

func or[T comparable](value, otherwise T) T {
	if value == *new(T) {
		return otherwise
	}
	return value
}

// populate sets up tenants, agents and pools of users.
func (s *Traffic) populate() {
	for t := range s.o.Tenants {
		name := "tenant-" + strconv.Itoa(t+1)
		if t < len(trafficTenants) {
			name = trafficTenants[t]
		}
		s.tenants = append(s.tenants, name)
	}
	for t, tenant := range s.tenants {
		for p := range trafficPersonas {
			persona := &trafficPersonas[p]
			s.groups = append(s.groups, trafficGroup{tenant: t, persona: p,
				head: []byte(`,"tenant":"` + tenant + `","persona":"` + persona.name + `","agent":{"id":"`)})
		}
	}

	// Integer weights, so that machines whose math.Pow differs in the last bit agree. Who is busy
	// is drawn, so that it is not always the first tenant's support.
	rank := make([]int, s.o.Agents)
	for i := range rank {
		rank[i] = i
		j := s.below(uint32(i + 1))
		rank[i], rank[j] = rank[j], rank[i]
	}
	weights := make([]uint64, s.o.Agents)
	total := 0.0
	for i, r := range rank {
		weights[i] = max(uint64(math.Round(1e12*math.Pow(float64(r+1), -zipfExponent))), 1)
		total += float64(weights[i])
	}
	s.pick = newAlias(weights)

	busy := make([]float64, len(s.groups)) // share of all events
	s.agents = make([]trafficAgent, s.o.Agents)
	for i := range s.agents {
		tenant, nth := i%s.o.Tenants, i/s.o.Tenants
		group := tenant*len(trafficPersonas) + nth%len(trafficPersonas)
		a := &s.agents[i]
		a.group = int32(group)
		s.keys = append(append(s.keys, s.tenants[tenant]...), '|')
		a.idAt = int32(len(s.keys))
		s.keys = append(append(s.keys, trafficPersonas[s.groups[group].persona].name...), '-')
		s.keys = appendPadded(s.keys, uint64(nth/len(trafficPersonas)+1), 4)
		a.key = int32(len(s.keys))
		busy[group] += float64(weights[i]) / total
	}

	// configs/limits lets a persona spend 25 dollars an hour. A fleet of thousands of calls a
	// second has its own, cheap models: 3,300 tokens cost 13 thousandths of a dollar, or so much
	// less that the busiest persona stays at 12 dollars.
	hourly := s.o.Rate * slices.Max(busy) / 8 * 3600 * 0.0136
	s.price = uint64(math.Round(min(1, 12/hourly) * (1 << 20)))

	s.named = make([]uint32, s.o.Tenants)
	for i := range s.groups {
		g := &s.groups[i]
		rate := s.o.Rate
		if s.o.Plain {
			// a fixed fleet, however fast the benchmark sends it: millions of users would be
			// another workload
			rate = min(rate, 2000)
		}
		g.users = max(uint32(math.Ceil(rate*busy[i]*3600/callsPerUser)), 6)
		g.base = s.named[g.tenant]
		g.activeUsers = min(uint32(len(g.active)), g.users/2)
		s.named[g.tenant] += g.users
	}
}

// Next appends one JSON record to dst and sets its key, time and truth in s.Key, s.Time and
// s.Attack. It allocates nothing if dst has room.
func (s *Traffic) Next(dst []byte) []byte {
	start := len(dst)
	if s.o.Plain {
		dst = s.plain(dst)
	} else {
		session, kind := s.turn()
		s.Attack = kind
		dst = s.event(dst, session)
		s.debt += s.o.Size - (len(dst) - start)
	}
	s.made++
	// Even gaps would look made; whole numbers are the same on every machine.
	wait, _ := bits.Mul64(s.rng.Uint64(), 2*s.gap+1)
	s.clock += int64(wait)
	return dst
}

// turn says which session acts now: one of an attack, or any of the open ones.
func (s *Traffic) turn() (*trafficSession, Attack) {
	if s.o.Attacks && uint32(uint16(s.rng.Uint64())) < s.share {
		// Long attacks get more turns: looping and fan-out need some 5 s at their full share.
		kind := [16]Attack{export, tampering, diversion, looping, looping, looping, looping, looping,
			fanOut, fanOut, fanOut, fanOut, fanOut, fanOut, fanOut, fanOut}[s.below(16)]
		l := &s.running[kind]
		if l.left == 0 && s.clock/1000 >= l.due {
			s.startAttack(kind, l)
		}
		if l.left > 0 {
			// A session of the fan-out that is over is followed by another one of the same agent
			// for the same user.
			c := &l.sessions[s.below(uint32(len(l.sessions)))]
			if c.step == c.calls {
				s.begin(c, int(c.agent), l.user, nil)
			}
			return c, kind
		}
	}
	c := &s.open[s.below(uint32(len(s.open)))]
	if c.step == c.calls {
		agent := s.pick.draw(s.rng.Uint64())
		g := &s.groups[s.agents[agent].group]
		s.begin(c, agent, s.nextUser(g), nil)
	}
	return c, NoAttack
}

// startAttack starts an attack. Each works for a user of its own, outside the pools, so that no
// benign user is drawn in.
func (s *Traffic) startAttack(kind Attack, l *runningAttack) {
	l.due += s.period
	if late := s.clock / 1000; l.due < late {
		l.due = late + s.period/2
	}
	persona := [...]int{export: supportPersona, looping: devopsPersona, tampering: analystPersona,
		diversion: paymentsPersona, fanOut: supportPersona}[kind]
	if kind == looping && s.below(2) == 0 {
		persona = supportPersona
	}
	agent, ok := s.agentPlaying(persona)
	if !ok {
		return // a fleet so small that nobody plays this persona
	}
	tenant := s.groups[s.agents[agent].group].tenant
	l.user = s.named[tenant]
	s.named[tenant]++
	l.sessions = l.sessions[:0]
	switch kind {
	case export:
		// The customer wants another address; the agent pulls the customer base, 800 to 1,600
		// records a time.
		l.sessions = append(l.sessions, trafficSession{})
		s.begin(&l.sessions[0], agent, l.user, &exportFlow)
		l.left = 8 + int(s.below(6))
	case looping:
		// A search that fails or finds nothing is tried again, hundreds of times, in one session.
		l.sessions = append(l.sessions, trafficSession{})
		flow := &supportLoop
		if persona == devopsPersona {
			flow = &devopsLoop
		}
		s.begin(&l.sessions[0], agent, l.user, flow)
		l.left = 280 + int(s.below(160))
	case tampering:
		// A monthly report, and then deletions and writes by a persona that may only read.
		l.sessions = append(l.sessions, trafficSession{})
		s.begin(&l.sessions[0], agent, l.user, &tamperFlow)
		l.left = 5 + int(s.below(5))
	case diversion:
		// An invoice from outside names another account; the agent pays there.
		l.sessions = append(l.sessions, trafficSession{})
		s.begin(&l.sessions[0], agent, l.user, &divertFlow)
		l.sessions[0].iban = uint32(s.rng.Uint64())
		l.left = 4 + int(s.below(3))
	case fanOut:
		// Up to twelve agents of one tenant do ordinary sessions, all for the same user: only the
		// user's sum gives it away.
		members := s.o.Agents / s.o.Tenants // every tenant has at least so many
		for i := range min(members, 12) {
			nth := (agent/s.o.Tenants + i) % members
			l.sessions = append(l.sessions, trafficSession{})
			s.begin(&l.sessions[i], nth*s.o.Tenants+tenant, l.user, nil)
		}
		l.left = 620 + int(s.below(60))
	}
	if kind != fanOut {
		l.sessions[0].calls = uint16(l.left)
		l.sessions[0].budget = math.MaxInt32
	}
}

// agentPlaying returns an agent of a persona, of any tenant.
func (s *Traffic) agentPlaying(persona int) (int, bool) {
	n := len(trafficPersonas)
	first := int(s.below(uint32(s.o.Tenants)))
	for i := range s.o.Tenants {
		tenant := (first + i) % s.o.Tenants
		members := (s.o.Agents - tenant + s.o.Tenants - 1) / s.o.Tenants
		if players := (members - persona + n - 1) / n; players > 0 {
			nth := persona + n*int(s.below(uint32(players)))
			return nth*s.o.Tenants + tenant, true
		}
	}
	return 0, false
}

// nextUser returns a user of a pool: one of the few at work now, who come back once or twice, then
// the next in line.
func (s *Traffic) nextUser(g *trafficGroup) uint32 {
	v := &g.active[s.below(g.activeUsers)]
	if v.left == 0 {
		v.user, v.left = g.base+g.next, s.between(1, maxVisit+1)
		if g.next++; g.next == g.users {
			g.next = 0
		}
	}
	v.left--
	return v.user
}

// begin opens a session; without a flow, one that the agent's persona often does.
func (s *Traffic) begin(c *trafficSession, agent int, user uint32, flow *taskFlow) {
	if flow == nil {
		flows := trafficPersonas[s.groups[s.agents[agent].group].persona].flows
		// the first are the most common
		flow = &flows[min(s.below(uint32(len(flows))), s.below(uint32(len(flows))))]
	}
	s.begun++
	*c = trafficSession{
		id: mix(s.runSalt + s.begun), flow: flow, agent: int32(agent), user: user,
		subject: s.below(10_000_000),
		// 5 to 40 calls, most of them short.
		calls:  uint16(5 + s.below(36)*s.below(37)/36),
		budget: recordsPerSession,
		opened: s.below(3) == 0, // of three sessions one starts without a word: a timer, a webhook
	}
}

// below returns a number from 0 to n-1.
func (s *Traffic) below(n uint32) uint32 {
	return uint32(s.rng.Uint64() >> 32 * uint64(n) >> 32)
}

// between returns a number from low to high-1.
func (s *Traffic) between(low, high uint32) uint32 { return low + s.below(high-low) }

// TrafficPersonas is how many personas there are: attacks need an agent of each.
const TrafficPersonas = len(trafficPersonas)
