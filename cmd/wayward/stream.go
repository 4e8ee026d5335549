package main

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// streamOptions says what the made-up fleet looks like. The zero value of every field but Disorder,
// Attacks and Plain means its default.
type streamOptions struct {
	Seed    int64
	Start   int64   // Unix ms of the first event; default 2026-01-05T08:00:00Z, a Monday
	Rate    float64 // events per second of event time; default 2000
	Tenants int     // default 3
	Agents  int     // over all tenants; default 60
	Size    int     // average bytes per record, at least minStreamSize; default 640
	// ms: how far records may arrive out of event-time order across agents; each agent's own order
	// is kept
	Disorder int64
	Attacks  bool // weave in attacks
	// Plain makes a fixed workload for benchmarks: tool calls alone, each exactly Size bytes, one
	// agent drawn per event by Zipf 1.1, no attacks.
	Plain bool
}

const (
	// minStreamSize is what the longest tool call needs when everything optional is left out: below
	// it Plain could not keep its size.
	minStreamSize = 640
	maxStreamSize = 256 << 10 // one record reaches twice the average, and 1 MiB is the limit of the wire
	maxStreamRate = 5e6

	defaultStreamStart = 1767600000000 // 2026-01-05T08:00:00Z

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

// attackKind is the truth about a record, which the record itself does not tell.
type attackKind uint8

const (
	noAttack attackKind = iota
	// a support agent exports far more customers than its task needs: records per user and hour
	export
	looping   // an agent that goes round in circles: calls per session
	tampering // a read-only analyst deletes and writes: policy
	// a payments agent pays to an unlisted destination that it read in an invoice: policy,
	// provenance
	diversion
	fanOut // many agents, each modest, work for the same user: calls per user and hour
)

func (k attackKind) String() string {
	return [...]string{"", "export", "looping", "tampering", "diversion", "fan-out"}[k]
}

// streamAgent is one agent. lag is how far its gateway is behind, on its way to goal: it moves by
// at most half of the time that passed, so that event time (arrival less lag) never runs backwards
// for one agent and is never more than Disorder behind.
type streamAgent struct {
	lag, goal int64 // µs
	seen      int64 // µs after the start, at which lag was true
	key       int32 // where its key ends in stream.keys
	idAt      int32 // where its id starts there
	group     int32
	count     uint32 // events so far, for Plain
}

// streamGroup is a persona within a tenant: the agents that share a pool of users.
type streamGroup struct {
	tenant, persona int
	head            []byte // of a record, from the tenant to the agent's id
	users, base     uint32 // size of the pool, and the number of its first user within the tenant
	next            uint32
	ring            [16]visit // the users who are at work now
	ringed          uint32
}

type visit struct{ user, left uint32 }

// streamSession is one agent's task.
type streamSession struct {
	id      uint64
	flow    *streamFlow
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

// lane is where one kind of attack runs, one at a time.
type lane struct {
	due  int64 // µs after the start, of the next one
	crew []streamSession
	user uint32
	left int // calls to make over the whole crew
}

// stream makes a deterministic, endless sequence of agent events.
type stream struct {
	key    []byte     // of the last record, tenant|agent.id; it stays valid and unchanged
	time   int64      // of the last record, event time in Unix ms
	attack attackKind // what the last record is part of

	o       streamOptions
	rng     rand.PCG
	idSalt  uint64
	runSalt uint64 // of sessions
	made    uint64 // records
	begun   uint64 // sessions
	clock   int64  // ns after the start, of the next record's arrival
	gap     uint64 // ns between two records on average
	debt    int    // bytes by which the records so far fell short of their average
	tenants []string
	named   []uint32 // users with a number, per tenant
	keys    []byte
	agents  []streamAgent
	groups  []streamGroup
	pick    alias
	open    []streamSession
	lanes   [fanOut + 1]lane
	period  int64  // µs between two attacks of one kind
	price   uint64 // of 2^20, the part of the list price that a call of the model costs
	share   uint32 // of 65536 records, how many the lanes are asked for
	text    string
	calm    uint32 // 0xff with Plain, where all calls succeed: equal sizes leave no room for errors
	day     int64  // that dayText is
	dayText [10]byte
}

// newStream returns a stream; what is out of range in o is moved into it. Two streams with equal
// options give equal bytes.
func newStream(o streamOptions) *stream {
	o.Start = or(o.Start, defaultStreamStart)
	o.Rate = min(max(or(o.Rate, 2000), 0.01), maxStreamRate)
	o.Tenants = max(or(o.Tenants, 3), 1)
	o.Agents = max(or(o.Agents, 60), o.Tenants)
	o.Size = min(max(or(o.Size, 640), minStreamSize), maxStreamSize)
	o.Disorder = max(o.Disorder, 0)
	s := &stream{o: o, gap: uint64(math.Round(1e9 / o.Rate)), text: fillerText(), day: -1}
	s.rng.Seed(uint64(o.Seed), 0x77617977617264)
	s.idSalt, s.runSalt = s.rng.Uint64(), s.rng.Uint64()
	s.people()

	if o.Plain {
		s.calm = 0xff
		return s
	}
	s.open = make([]streamSession, int(min(max(o.Rate*thinkTime, 4), maxOpen)))

	// A cycle of all attacks is some 1,100 events. Below 2,000 events/s a cycle takes 12,000
	// events, so that attacks stay rare; above, 6 s, so that a short demo sees each several times,
	// while the lanes never ask for more than 250 events/s.
	s.period = max(6e6, int64(12000/o.Rate*1e6))
	s.share = uint32(math.Round(65536 * min(0.125, 250/o.Rate)))
	for k := range s.lanes {
		s.lanes[k].due = s.period * int64(k) / 12
	}
	s.lanes[fanOut].due = s.period / 24 // it takes longest
	return s
}

func or[T comparable](value, otherwise T) T {
	if value == *new(T) {
		return otherwise
	}
	return value
}

// people sets up tenants, agents and pools of users.
func (s *stream) people() {
	for t := range s.o.Tenants {
		name := "tenant-" + strconv.Itoa(t+1)
		if t < len(streamTenants) {
			name = streamTenants[t]
		}
		s.tenants = append(s.tenants, name)
	}
	for t, tenant := range s.tenants {
		for p := range streamPersonas {
			persona := &streamPersonas[p]
			s.groups = append(s.groups, streamGroup{tenant: t, persona: p,
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
	s.agents = make([]streamAgent, s.o.Agents)
	for i := range s.agents {
		tenant, nth := i%s.o.Tenants, i/s.o.Tenants
		group := tenant*len(streamPersonas) + nth%len(streamPersonas)
		a := &s.agents[i]
		a.group = int32(group)
		s.keys = append(append(s.keys, s.tenants[tenant]...), '|')
		a.idAt = int32(len(s.keys))
		s.keys = append(append(s.keys, streamPersonas[s.groups[group].persona].name...), '-')
		s.keys = appendPadded(s.keys, uint64(nth/len(streamPersonas)+1), 4)
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
		g.ringed = min(uint32(len(g.ring)), g.users/2)
		s.named[g.tenant] += g.users
	}
}

// next appends one JSON record to dst and tells its key, time and truth in s.key, s.time and
// s.attack. It allocates nothing if dst has room.
func (s *stream) next(dst []byte) []byte {
	start := len(dst)
	if s.o.Plain {
		dst = s.plain(dst)
	} else {
		session, kind := s.turn()
		s.attack = kind
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
func (s *stream) turn() (*streamSession, attackKind) {
	if s.o.Attacks && uint32(uint16(s.rng.Uint64())) < s.share {
		// Long attacks get more turns: looping and fan-out need some 5 s at their full share.
		kind := [16]attackKind{export, tampering, diversion, looping, looping, looping, looping, looping,
			fanOut, fanOut, fanOut, fanOut, fanOut, fanOut, fanOut, fanOut}[s.below(16)]
		l := &s.lanes[kind]
		if l.left == 0 && s.clock/1000 >= l.due {
			s.strike(kind, l)
		}
		if l.left > 0 {
			// A session of the fan-out that is over is followed by another one of the same agent
			// for the same user.
			c := &l.crew[s.below(uint32(len(l.crew)))]
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
		s.begin(c, agent, s.caller(g), nil)
	}
	return c, noAttack
}

// strike starts an attack. Each works for a user of its own, outside the pools, so that no benign
// user is drawn in.
func (s *stream) strike(kind attackKind, l *lane) {
	l.due += s.period
	if late := s.clock / 1000; l.due < late {
		l.due = late + s.period/2
	}
	persona := [...]int{export: supportPersona, looping: devopsPersona, tampering: analystPersona,
		diversion: paymentsPersona, fanOut: supportPersona}[kind]
	if kind == looping && s.below(2) == 0 {
		persona = supportPersona
	}
	agent, ok := s.someone(persona)
	if !ok {
		return // a fleet so small that nobody plays this persona
	}
	tenant := s.groups[s.agents[agent].group].tenant
	l.user = s.named[tenant]
	s.named[tenant]++
	l.crew = l.crew[:0]
	switch kind {
	case export:
		// The customer wants another address; the agent pulls the customer base, 800 to 1,600
		// records a time.
		l.crew = append(l.crew, streamSession{})
		s.begin(&l.crew[0], agent, l.user, &exportFlow)
		l.left = 8 + int(s.below(6))
	case looping:
		// A search that fails or finds nothing is tried again, hundreds of times, in one session.
		l.crew = append(l.crew, streamSession{})
		flow := &supportLoop
		if persona == devopsPersona {
			flow = &devopsLoop
		}
		s.begin(&l.crew[0], agent, l.user, flow)
		l.left = 280 + int(s.below(160))
	case tampering:
		// A monthly report, and then deletions and writes by a persona that may only read.
		l.crew = append(l.crew, streamSession{})
		s.begin(&l.crew[0], agent, l.user, &tamperFlow)
		l.left = 5 + int(s.below(5))
	case diversion:
		// An invoice from outside names another account; the agent pays there.
		l.crew = append(l.crew, streamSession{})
		s.begin(&l.crew[0], agent, l.user, &divertFlow)
		l.crew[0].iban = uint32(s.rng.Uint64())
		l.left = 4 + int(s.below(3))
	case fanOut:
		// Up to twelve agents of one tenant do ordinary sessions, all for the same user: only the
		// user's sum gives it away.
		members := s.o.Agents / s.o.Tenants // every tenant has at least so many
		for i := range min(members, 12) {
			nth := (agent/s.o.Tenants + i) % members
			l.crew = append(l.crew, streamSession{})
			s.begin(&l.crew[i], nth*s.o.Tenants+tenant, l.user, nil)
		}
		l.left = 620 + int(s.below(60))
	}
	if kind != fanOut {
		l.crew[0].calls = uint16(l.left)
		l.crew[0].budget = math.MaxInt32
	}
}

// someone returns an agent of a persona, of any tenant.
func (s *stream) someone(persona int) (int, bool) {
	n := len(streamPersonas)
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

// caller returns a user of a pool: one of the few at work now, who come back once or twice, then
// the next in line.
func (s *stream) caller(g *streamGroup) uint32 {
	v := &g.ring[s.below(g.ringed)]
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
func (s *stream) begin(c *streamSession, agent int, user uint32, flow *streamFlow) {
	if flow == nil {
		flows := streamPersonas[s.groups[s.agents[agent].group].persona].flows
		// the first are the most common
		flow = &flows[min(s.below(uint32(len(flows))), s.below(uint32(len(flows))))]
	}
	s.begun++
	*c = streamSession{
		id: mix(s.runSalt + s.begun), flow: flow, agent: int32(agent), user: user,
		subject: s.below(10_000_000),
		// 5 to 40 calls, most of them short.
		calls:  uint16(5 + s.below(36)*s.below(37)/36),
		budget: recordsPerSession,
		opened: s.below(3) == 0, // of three sessions one starts without a word: a timer, a webhook
	}
}

// event appends the next event of a session.
func (s *stream) event(dst []byte, c *streamSession) []byte {
	a := &s.agents[c.agent]
	s.now(a)
	size := s.o.Size/2 + int(s.below(uint32(s.o.Size))) + min(max(s.debt, -s.o.Size), s.o.Size/2)
	lean := s.debt < -s.o.Size/4
	start := len(dst)
	draw := s.rng.Uint64()
	if !c.opened {
		c.opened = true
		dst = s.opening(dst, "message", a, c)
		return s.message(dst, c, start+size)
	}
	if c.step > 0 && draw&7 == 0 && s.attack == noAttack {
		dst = s.opening(dst, "model_call", a, c)
		return s.thought(dst, draw>>3)
	}
	t := c.flow.tool(c, draw>>3)
	c.step++
	if s.attack != noAttack {
		s.lanes[s.attack].left--
	}
	dst = s.opening(dst, "tool_call", a, c)
	return s.call(dst, a, c, t, lean, start+size)
}

// plain appends a record of the fixed workload: 20 calls make a session, and each session has the
// next user.
func (s *stream) plain(dst []byte) []byte {
	start := len(dst)
	i := s.pick.draw(s.rng.Uint64())
	a := &s.agents[i]
	s.now(a)
	n := a.count
	a.count++
	g := &s.groups[a.group]
	flow := &streamPersonas[g.persona].flows[n/20%2]
	number := uint32(i)*2654435761 + n/20
	c := streamSession{id: mix(s.runSalt + uint64(i)<<32 + uint64(n/20)), flow: flow, agent: int32(i),
		user: g.base + number%g.users, subject: number % 10_000_000, budget: recordsPerSession}
	t := flow.body[int(n%20)%len(flow.body)]
	dst = s.opening(dst, "tool_call", a, &c)
	return s.call(dst, a, &c, t, true, start+s.o.Size)
}

// now sets s.time and s.key for the next record of an agent.
func (s *stream) now(a *streamAgent) {
	at := s.clock / 1000
	if s.o.Disorder > 0 {
		step := (at - a.seen) / 2
		a.lag += min(max(a.goal-a.lag, -step), step)
		if a.lag == a.goal && s.below(16) == 0 {
			a.goal = int64(s.rng.Uint64() % uint64(s.o.Disorder*1000+1))
		}
		a.seen = at
		at -= a.lag
	}
	s.time = s.o.Start + at/1000
	from := a.idAt - int32(len(s.tenants[s.groups[a.group].tenant])) - 1
	s.key = s.keys[from:a.key:a.key]
}

// opening appends what all kinds of events have in common.
func (s *stream) opening(dst []byte, kind string, a *streamAgent, c *streamSession) []byte {
	g := &s.groups[a.group]
	p := &streamPersonas[g.persona]
	dst = append(dst, `{"v":1,"id":"e`...)
	dst = appendHex(dst, mix(s.idSalt+s.made)) // mix is a bijection: ids never repeat within a stream
	dst = append(dst, `","time":`...)
	if g.tenant%3 == 1 && !s.o.Plain {
		dst = strconv.AppendInt(dst, s.time, 10) // the second tenant's gateway writes epoch milliseconds
	} else {
		dst = s.appendTime(dst)
	}
	dst = append(dst, `,"kind":"`...)
	dst = append(dst, kind...)
	dst = append(dst, '"')
	dst = append(dst, g.head...)
	dst = append(dst, s.keys[a.idAt:a.key]...)
	dst = append(dst, p.agent...)
	dst = appendPerson(dst, c.user)
	dst = append(dst, `","session":"s`...)
	dst = appendHex(dst, c.id)
	dst = append(dst, `","intent":"`...)
	dst = append(dst, c.flow.intent...)
	return append(dst, '"')
}

// message appends what the user asked for. It names what the session is about, so that the values
// in later calls come from somewhere.
func (s *stream) message(dst []byte, c *streamSession, end int) []byte {
	dst = append(dst, `,"message":{"role":"user","text":"`...)
	dst = append(dst, c.flow.says...)
	dst = append(dst, ' ')
	dst = appendID(dst, c.flow.body[0], c.subject)
	dst = append(dst, ". "...)
	dst = s.fill(dst, end-len(dst)-len(`"}}`))
	return append(dst, `"}}`...)
}

// thought appends a call of the model, with what it cost.
func (s *stream) thought(dst []byte, draw uint64) []byte {
	in, out := 900+draw&0xfff, 60+draw>>12&0x1ff
	dst = append(dst, `,"cost":{"usd":"`...)
	dst = appendMicro(dst, (in*3+out*15)*s.price>>20)
	dst = append(dst, `","input_tokens":`...)
	dst = strconv.AppendUint(dst, in, 10)
	dst = append(dst, `,"output_tokens":`...)
	dst = strconv.AppendUint(dst, out, 10)
	dst = append(dst, `,"cached_tokens":`...)
	dst = strconv.AppendUint(dst, in/2, 10)
	dst = append(dst, `},"duration_ms":`...)
	dst = strconv.AppendUint(dst, 300+out*8, 10)
	return append(dst, '}')
}

// call appends a tool call, filled up to end if it is shorter.
func (s *stream) call(dst []byte, a *streamAgent, c *streamSession, t *streamTool, lean bool, end int) []byte {
	draw := s.rng.Uint64()
	tenant := s.tenants[s.groups[a.group].tenant]
	if !lean {
		dst = append(dst, `,"trace":{"id":"`...)
		dst = appendHex(dst, c.id)
		dst = appendHex(dst, mix(c.id))
		dst = append(dst, `"},"source":{"name":"gateway-1","trusted":true}`...)
	}
	dst = append(dst, t.head...)
	dst = appendID(dst, t, c.subject)
	dst = append(dst, t.labels...)
	if t.customer {
		dst = append(dst, `,"subject":"cus_`...)
		dst = appendPadded(dst, uint64(c.subject), 8)
		dst = append(dst, '"')
	}
	dst = t.appendDestination(dst, c, tenant)
	if t.cents > 0 {
		cents := t.centsFrom + draw&0xffff*t.cents>>16
		dst = append(dst, `,"amount":{"value":"`...)
		dst = strconv.AppendUint(dst, cents/100, 10)
		dst = append(dst, '.')
		dst = appendPadded(dst, cents%100, 2)
		dst = append(dst, `","currency":"EUR"}`...)
	}
	draw >>= 16

	// One call in 64 fails, one in 128 finds nothing, one in 256 is denied by the gateway; tools of
	// attacks have their own odds.
	records := int32(0)
	switch chance := uint32(draw&0xff) | s.calm; {
	case chance < t.fails:
		dst = append(dst, `,"result":{"outcome":"error","error":"upstream timeout"}`...)
	case chance < t.misses:
		dst = append(dst, `,"result":{"outcome":"not_found","records":0,"bytes":0}`...)
	case chance < t.denied:
		dst = append(dst,
			`,"result":{"outcome":"denied","error":"scope missing"},"policy":{"verdict":"deny","id":"gw-scope"}`...)
	default:
		dst = append(dst, `,"result":{"outcome":"ok"`...)
		if t.most > 0 {
			records = min(t.least+int32((draw>>8&0xfff)*uint64(t.most-t.least+1)>>12), c.budget)
			c.budget -= records
			dst = append(dst, `,"records":`...)
			dst = strconv.AppendInt(dst, int64(records), 10)
		}
		dst = append(dst, `,"bytes":`...)
		dst = strconv.AppendUint(dst, 120+uint64(records)*310+draw>>20&0xff, 10)
		if !lean || t.tells == foreignIBAN { // an attack stays whole
			dst = t.appendContent(dst, c, tenant)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `,"duration_ms":`...)
	dst = strconv.AppendUint(dst, t.millis+draw>>28&0xff*t.millis>>8, 10)
	dst = append(dst, t.args...)
	dst = appendID(dst, t, c.subject)
	if c.step > 1 && t.class == "read" && s.attack == noAttack {
		// who works does not ask the very same again and again
		dst = append(dst, `","page":"`...)
		dst = strconv.AppendUint(dst, uint64(c.step), 10)
	}
	if t.to != nowhere {
		dst = append(dst, `","to":"`...)
		dst = t.to.append(dst, c, tenant)
	}
	dst = append(dst, t.filler...)
	dst = s.fill(dst, end-len(dst)-len(`"}}`))
	return append(dst, `"}}`...)
}

// fill appends n bytes of plain words.
func (s *stream) fill(dst []byte, n int) []byte {
	for n > 0 {
		at := 1 + int(s.below(uint32(len(s.text)-1024)))
		for s.text[at-1] != ' ' {
			at++
		}
		part := s.text[at:min(at+n, len(s.text))]
		dst = append(dst, part...)
		n -= len(part)
	}
	return dst
}

// appendTime appends s.time as RFC 3339, in quotes. A day's date is kept: it changes seldom and is
// dear to make.
func (s *stream) appendTime(dst []byte) []byte {
	const dayMS = 24 * 60 * 60 * 1000
	day := s.time / dayMS
	if day != s.day {
		s.day = day
		// The civil date of a day number, after Howard Hinnant, "chrono-compatible low-level date
		// algorithms".
		z := day + 719468
		era := z / 146097
		doe := z - era*146097
		yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
		doy := doe - (365*yoe + yoe/4 - yoe/100)
		mp := (5*doy + 2) / 153
		month, year := mp+3, yoe+era*400
		if month > 12 {
			month, year = month-12, year+1
		}
		text := appendPadded(s.dayText[:0], uint64(year), 4)
		text = appendPadded(append(text, '-'), uint64(month), 2)
		appendPadded(append(text, '-'), uint64(doy-(153*mp+2)/5+1), 2)
	}
	ms := uint32(s.time - day*dayMS)
	sec := ms / 1000
	ms -= sec * 1000
	h, m := sec/3600, sec/60%60
	sec %= 60
	dst = append(dst, '"')
	dst = append(dst, s.dayText[:]...)
	return append(dst, 'T', '0'+byte(h/10), '0'+byte(h%10), ':', '0'+byte(m/10), '0'+byte(m%10), ':',
		'0'+byte(sec/10), '0'+byte(sec%10), '.', '0'+byte(ms/100), '0'+byte(ms/10%10), '0'+byte(ms%10), 'Z', '"')
}

// below returns a number from 0 to n-1.
func (s *stream) below(n uint32) uint32 {
	return uint32(s.rng.Uint64() >> 32 * uint64(n) >> 32)
}

// between returns a number from low to high-1.
func (s *stream) between(low, high uint32) uint32 { return low + s.below(high-low) }

// mix is the finaliser of splitmix64: a bijection, so that a counter gives numbers that look drawn
// and never repeat.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func appendHex(dst []byte, x uint64) []byte {
	const digits = "0123456789abcdef"
	var text [16]byte
	for i := 15; i >= 0; i-- {
		text[i] = digits[x&15]
		x >>= 4
	}
	return append(dst, text[:]...)
}

// appendPadded appends x with at least width digits, at most 20.
func appendPadded(dst []byte, x uint64, width int) []byte {
	var text [20]byte
	i := len(text)
	for x > 0 || i > len(text)-width {
		i--
		text[i] = '0' + byte(x%10)
		x /= 10
	}
	return append(dst, text[i:]...)
}

// appendMicro appends millionths as a decimal.
func appendMicro(dst []byte, x uint64) []byte {
	dst = strconv.AppendUint(dst, x/1e6, 10)
	dst = append(dst, '.')
	return appendPadded(dst, x%1e6, 6)
}

// appendPerson appends the name of the n-th person: different for each n.
func appendPerson(dst []byte, n uint32) []byte {
	first, rest := n%uint32(len(firstNames)), n/uint32(len(firstNames))
	last, more := rest%uint32(len(lastNames)), rest/uint32(len(lastNames))
	dst = append(dst, firstNames[first]...)
	dst = append(dst, '.')
	dst = append(dst, lastNames[last]...)
	if more > 0 {
		dst = strconv.AppendUint(dst, uint64(more), 10)
	}
	return dst
}

// alias draws an index by weight in constant time (Vose 1991).
type alias struct {
	keep  []uint32 // chance to stay, of 2^32
	other []uint32
}

func newAlias(weights []uint64) alias {
	n := len(weights)
	a := alias{keep: make([]uint32, n), other: make([]uint32, n)}
	total := 0.0
	for _, w := range weights {
		total += float64(w)
	}
	scaled := make([]float64, n)
	var small, large []int
	for i, w := range weights {
		a.keep[i], a.other[i] = math.MaxUint32, uint32(i)
		scaled[i] = float64(w) / total * float64(n)
		if scaled[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		low, high := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a.keep[low] = uint32(scaled[low] * math.MaxUint32)
		a.other[low] = uint32(high)
		scaled[high] -= 1 - scaled[low]
		if scaled[high] < 1 {
			large = large[:len(large)-1]
			small = append(small, high)
		}
	}
	return a
}

func (a *alias) draw(random uint64) int {
	i := int(random >> 32 * uint64(len(a.keep)) >> 32)
	if uint32(random) > a.keep[i] {
		return int(a.other[i])
	}
	return i
}

// fillerText is the words that stand for what people and models write. None needs escaping.
var fillerText = sync.OnceValue(func() string {
	words := [...]string{"account", "after", "again", "agreed", "amount", "and", "answer", "at", "before", "best",
		"call", "check", "confirmed",
		"contract", "customer", "date", "delivery", "details", "for", "from", "has", "in", "invoice", "is", "last",
		"line", "month", "next",
		"note", "of", "on", "open", "order", "our", "please", "previous", "price", "region", "reply", "report",
		"request", "review", "sent",
		"service", "status", "sum", "team", "thanks", "the", "to", "total", "update", "was", "week", "with", "year"}
	rng := rand.NewPCG(1, 2)
	var text []byte
	for len(text) < 32<<10 {
		text = append(append(text, words[rng.Uint64()%uint64(len(words))]...), ' ')
	}
	return string(text)
})

// What follows is the vocabulary: who works in the fleet, with which tools, to what end.

var (
	streamTenants = [...]string{"acme", "globex", "initech", "umbra", "stark-retail", "wonka", "hooli", "vandelay"}

	firstNames = [...]string{"ana", "ben", "carla", "dmitri", "elena", "farid", "grace", "hugo", "ines", "jonas",
		"keiko", "liam", "maria", "noor",
		"olga", "paul", "quinn", "rosa", "sven", "tara", "umar", "vera", "wei", "yusuf"}
	lastNames = [...]string{"adler", "bauer", "costa", "dubois", "eriksen", "fischer", "garcia", "haas", "ito",
		"jansen", "kaya", "lopez", "meyer",
		"novak", "okafor", "petit", "quist", "rossi", "silva", "tanaka", "urban", "vidal", "weber", "yilmaz", "zhang"}
)

const (
	supportPersona = iota
	paymentsPersona
	devopsPersona
	analystPersona
)

// streamPersona is a role. Its flows are in order of how common they are.
type streamPersona struct {
	name  string
	agent []byte // of a record, from the end of the agent's id to the user
	flows []streamFlow
}

// streamFlow is how a task runs: open, then body round and round with small variations, then close.
type streamFlow struct {
	intent, says      string
	open, body, close []*streamTool
}

// tool returns the next call of a session and moves on.
func (f *streamFlow) tool(c *streamSession, draw uint64) *streamTool {
	step, left := int(c.step), int(c.calls-c.step)
	switch {
	case step < len(f.open):
		return f.open[step]
	case left <= len(f.close):
		return f.close[len(f.close)-left]
	}
	t := f.body[c.at]
	// Mostly the next tool of the body, now and then the same again or the next but one.
	move := uint16(1)
	if draw &= 15; draw < 2 {
		move = 0
	} else if draw < 5 {
		move = 2
	}
	c.at = (c.at + move) % uint16(len(f.body))
	return t
}

// streamTool is one tool as a persona uses it.
type streamTool struct {
	name, class, server string
	resource            string // the prefix of its ids, a colon, its type
	label               string
	ids                 uint32 // how many of the resource there are; 0: as many as customers
	customer            bool   // the call is about a customer: its id is the event's subject
	least, most         int32  // records
	to                  streamDestination
	centsFrom           uint64
	cents               uint64 // amounts lie so far above centsFrom; 0: no amount
	millis              uint64
	arg, text           string // names of the argument with the id and of the one that takes up the size
	lead                string // how that one begins
	tells               streamContent
	fails               uint32 // of 256 calls, those that fail; misses and denied count on from it
	misses, denied      uint32
	prefix              string // from here on, what ready makes of the above
	head, labels        []byte // of a record, around the resource's id
	args, filler        []byte // of a record, around the argument with the id
	destinationHead     []byte
	destinationTail     []byte
}

// streamDestination is where a tool sends things.
type streamDestination uint8

const (
	nowhere     streamDestination = iota
	toCustomer                    // the customer's own mailbox
	toChannel                     // the company's chat
	toVendor                      // one of the tenant's 40 listed suppliers
	toStranger                    // an account that nobody listed
	vendorCount = 40
)

// streamContent is what a result tells that later calls use.
type streamContent uint8

const (
	nothing     streamContent = iota
	mailbox                   // the customer's address
	vendorIBAN                // the supplier's account, from the company's own books
	foreignIBAN               // another account, in a document from outside
)

// ready renders what all calls of a tool share and fills in its defaults.
func (t streamTool) ready() *streamTool {
	prefix, kind, _ := strings.Cut(t.resource, ":")
	t.prefix = prefix
	t.head = []byte(`,"tool":{"name":"` + t.name + `","server":"` + t.server + `","class":"` + t.class +
		`"},"resource":{"type":"` + kind + `","id":"`)
	t.labels = []byte(`"}`)
	if t.label != "" {
		t.labels = []byte(`","labels":["` + t.label + `"],"classification":"confidential"}`)
	}
	t.args = []byte(`,"args":{"` + or(t.arg, "id") + `":"`)
	t.filler = []byte(`","` + or(t.text, "note") + `":"` + t.lead)
	t.millis = or(t.millis, 40)
	if t.denied == 0 {
		t.fails, t.misses, t.denied = 4, 6, 7
	}
	if t.class == "pay" || t.class == "send" {
		// what moves money or leaves the house is not looked up: it is there or fails
		t.misses = t.fails
	}
	switch t.to {
	case toCustomer:
		t.destinationHead, t.destinationTail = []byte(`,"destination":{"kind":"email","value":"`), []byte(
			`","domain":"mailbox.example","external":true}`)
	case toChannel:
		t.destinationHead, t.destinationTail = []byte(`,"destination":{"kind":"channel","value":"`), []byte(
			`","external":false}`)
	case toVendor:
		t.destinationHead, t.destinationTail = []byte(`,"destination":{"kind":"iban","value":"`), []byte(
			`","domain":"payouts.psp.example","external":true}`)
	case toStranger:
		t.destinationHead, t.destinationTail = []byte(`,"destination":{"kind":"iban","value":"`), []byte(
			`","domain":"quickpay.example","external":true}`)
	}
	return &t
}

// appendID appends the id of the resource that a session about subject meets with a tool.
func appendID(dst []byte, t *streamTool, subject uint32) []byte {
	dst = append(dst, t.prefix...)
	if t.ids > 0 {
		return appendPadded(dst, uint64(subject%t.ids), 3)
	}
	return appendPadded(dst, uint64(subject), 8)
}

func (t *streamTool) appendDestination(dst []byte, c *streamSession, tenant string) []byte {
	if t.to == nowhere {
		return dst
	}
	dst = append(dst, t.destinationHead...)
	dst = t.to.append(dst, c, tenant)
	return append(dst, t.destinationTail...)
}

func (to streamDestination) append(dst []byte, c *streamSession, tenant string) []byte {
	switch to {
	case toCustomer:
		return append(appendPerson(dst, c.subject), "@mailbox.example"...)
	case toChannel:
		return append(append(dst, "#ops-"...), tenant...)
	case toVendor:
		return appendIBAN(dst, "DE", uint64(len(tenant))<<32|uint64(tenant[0])<<16|uint64(c.subject%vendorCount))
	}
	return appendIBAN(dst, "LT", uint64(c.iban)|1<<48)
}

func appendIBAN(dst []byte, country string, n uint64) []byte {
	return appendPadded(append(dst, country...), mix(n), 20)
}

// appendContent appends what a result tells.
func (t *streamTool) appendContent(dst []byte, c *streamSession, tenant string) []byte {
	switch t.tells {
	case mailbox:
		dst = append(dst, `,"content":{"email":"`...)
		dst = toCustomer.append(dst, c, tenant)
	case vendorIBAN:
		dst = append(dst, `,"content":{"iban":"`...)
		dst = toVendor.append(dst, c, tenant)
	case foreignIBAN:
		dst = append(dst, `,"untrusted":true,"content":{"text":"our account has changed, pay to `...)
		dst = toStranger.append(dst, c, tenant)
	default:
		return dst
	}
	return append(dst, `"}`...)
}

// The names fit the personas in configs/personas: benign work violates none of them.
var (
	ticketRead = streamTool{name: "ticket.read", class: "read", server: "helpdesk", resource: "tic_:ticket",
		customer: true, least: 1, most: 1}.ready()
	ticketUpdate = streamTool{name: "ticket.update", class: "write", server: "helpdesk", resource: "tic_:ticket",
		customer: true, text: "comment"}.ready()
	ticketClose = streamTool{name: "ticket.close", class: "write", server: "helpdesk", resource: "tic_:ticket",
		customer: true, text: "reason"}.ready()
	searchCustomers = streamTool{name: "search_customers", class: "read", server: "crm", resource: "cus_:customer",
		label: "pii", customer: true, least: 1, most: 8, millis: 90, text: "query"}.ready()
	getCustomer = streamTool{name: "get_customer", class: "read", server: "crm", resource: "cus_:customer",
		label: "pii", customer: true, least: 1, most: 1, tells: mailbox}.ready()
	listCustomers = streamTool{name: "list_customers", class: "read", server: "crm", resource: "cus_:customer",
		label: "pii", customer: true, least: 1, most: 20, millis: 200, text: "filter"}.ready()
	listOrders = streamTool{name: "list_orders", class: "read", server: "shop", resource: "ord_:order",
		customer: true, least: 1, most: 12, text: "query"}.ready()
	getOrder = streamTool{name: "get_order", class: "read", server: "shop", resource: "ord_:order",
		customer: true, least: 1, most: 1}.ready()
	searchArticles = streamTool{name: "search_articles", class: "read", server: "wiki", resource: "kb_:article",
		ids: 300, least: 1, most: 6, millis: 60, arg: "section", text: "query"}.ready()
	sendReply = streamTool{name: "send_reply", class: "send", server: "mail", resource: "tic_:ticket",
		customer: true, to: toCustomer, millis: 120, text: "body"}.ready()

	searchOrders = streamTool{name: "search_orders", class: "read", server: "shop", resource: "ord_:order",
		customer: true, least: 1, most: 12, text: "query"}.ready()
	getInvoice = streamTool{name: "get_invoice", class: "read", server: "ledger", resource: "inv_:invoice",
		label: "financial", least: 1, most: 1, tells: vendorIBAN}.ready()
	payInvoice = streamTool{name: "pay_invoice", class: "pay", server: "bank", resource: "inv_:invoice",
		label: "financial", to: toVendor, centsFrom: 2000, cents: 45000, millis: 300, text: "memo"}.ready()
	// 5 to 65 euros: a user's refunds of a day stay below the 5000 of configs/limits.
	createRefund = streamTool{name: "create_refund", class: "pay", server: "bank", resource: "ord_:order",
		label: "financial", customer: true, centsFrom: 500, cents: 6000, millis: 250, text: "reason"}.ready()

	alertsGet = streamTool{name: "alerts.get", class: "read", server: "pager", resource: "alr_:alert", least: 1,
		most: 1}.ready()
	metricsQuery = streamTool{name: "metrics.query", class: "read", server: "metrics", resource: "svc-:service",
		ids: 30, least: 1, most: 30, millis: 70, arg: "service", text: "query"}.ready()
	k8sPods = streamTool{name: "k8s.get_pods", class: "read", server: "k8s", resource: "svc-:service", ids: 30,
		least: 1, most: 8, arg: "service"}.ready()
	k8sLogs = streamTool{name: "k8s.logs", class: "read", server: "k8s", resource: "svc-:service", ids: 30,
		least: 1, most: 40, millis: 80, arg: "service", text: "grep"}.ready()
	k8sRestart = streamTool{name: "k8s.restart", class: "exec", server: "k8s", resource: "svc-:service", ids: 30,
		millis: 900, arg: "service", text: "reason"}.ready()
	ciRun = streamTool{name: "ci.run", class: "exec", server: "ci", resource: "svc-:service", ids: 30,
		millis: 4000, arg: "service"}.ready()
	ciStatus = streamTool{name: "ci.status", class: "read", server: "ci", resource: "svc-:service", ids: 30,
		least: 1, most: 1, arg: "service"}.ready()
	gitDiff = streamTool{name: "git.diff", class: "read", server: "git", resource: "repo-:repo", ids: 30, least: 1,
		most: 15, arg: "repo", text: "paths"}.ready()
	gitMerge = streamTool{name: "git.merge", class: "write", server: "git", resource: "repo-:repo", ids: 30,
		millis: 200, arg: "repo", text: "message"}.ready()
	chatPost = streamTool{name: "chat.post", class: "send", server: "chat", resource: "alr_:alert", to: toChannel,
		text: "body"}.ready()

	listTables = streamTool{name: "list_tables", class: "read", server: "warehouse", resource: "schema_:schema",
		ids: 5, least: 5, most: 25, arg: "schema"}.ready()
	sqlQuery = streamTool{name: "sql.query", class: "read", server: "warehouse", resource: "tbl_:table", ids: 60,
		least: 1, most: 40, millis: 350, arg: "table", text: "sql", lead: "select sum(total) from t -- "}.ready()
	describeTable = streamTool{name: "describe_table", class: "read", server: "warehouse", resource: "tbl_:table",
		ids: 60, least: 1, most: 1, arg: "table"}.ready()
	getDashboard = streamTool{name: "get_dashboard", class: "read", server: "dashboards", resource: "dash_:dashboard",
		ids: 25, least: 1, most: 1}.ready()

	// Tools as attackers use them. denied 1 with fails 0 means: next to never refused.
	listEverybody = streamTool{name: "list_customers", class: "read", server: "crm", resource: "cus_:customer",
		label: "pii", customer: true, least: 800, most: 1600, millis: 2500, text: "filter", denied: 1}.ready()
	retrySearch = streamTool{name: "search_customers", class: "read", server: "crm", resource: "cus_:customer",
		label: "pii", customer: true, least: 1, most: 1, text: "query", fails: 80, misses: 200, denied: 201}.ready()
	retryRestart = streamTool{name: "k8s.restart", class: "exec", server: "k8s", resource: "svc-:service", ids: 30,
		arg: "service", text: "reason", fails: 150, misses: 151, denied: 152}.ready()
	sqlDelete = streamTool{name: "sql.query", class: "delete", server: "warehouse", resource: "tbl_:table", ids: 60,
		millis: 350, arg: "table", text: "sql", lead: "delete from t where true -- ", denied: 1}.ready()
	sqlWrite = streamTool{name: "sql.execute", class: "write", server: "warehouse", resource: "tbl_:table",
		ids: 60, millis: 350, arg: "table", text: "sql", lead: "update t set total = 0 -- ", denied: 1}.ready()
	forgedInvoice = streamTool{name: "get_invoice", class: "read", server: "ledger", resource: "inv_:invoice",
		label: "financial", least: 1, most: 1, tells: foreignIBAN, denied: 1}.ready()
	payStranger = streamTool{name: "pay_invoice", class: "pay", server: "bank", resource: "inv_:invoice",
		label: "financial", to: toStranger, centsFrom: 490000, cents: 4000000, millis: 300, text: "memo",
		denied: 1}.ready()

	exportFlow = streamFlow{intent: "address_change", says: "A customer has moved, please change the address of",
		open: []*streamTool{getCustomer}, body: []*streamTool{listEverybody}}
	supportLoop = streamFlow{intent: "order_status", says: "Where is the parcel of",
		open: []*streamTool{ticketRead}, body: []*streamTool{retrySearch, retrySearch, ticketUpdate}}
	devopsLoop = streamFlow{intent: "incident", says: "The alert came back on",
		open: []*streamTool{alertsGet}, body: []*streamTool{retryRestart, k8sPods, k8sLogs}}
	tamperFlow = streamFlow{intent: "monthly_report", says: "Please make the monthly figures from",
		open: []*streamTool{listTables, sqlQuery}, body: []*streamTool{sqlDelete, sqlWrite}}
	divertFlow = streamFlow{intent: "invoice_payment", says: "Please pay what is due on",
		open: []*streamTool{forgedInvoice}, body: []*streamTool{payStranger}}

	streamPersonas = [...]streamPersona{
		supportPersona: {name: "support",
			agent: []byte(`","version":"3.2.0","model":"gen-large-2","owner":"customer-care","tier":2},"user":"`),
			flows: []streamFlow{
				{intent: "order_status", says: "A customer asks where the parcel is, see",
					open:  []*streamTool{ticketRead, searchCustomers},
					body:  []*streamTool{listOrders, getOrder, getCustomer, searchArticles, ticketUpdate},
					close: []*streamTool{sendReply, ticketClose}},
				{intent: "complaint", says: "Please look into the complaint about",
					open:  []*streamTool{ticketRead, getCustomer},
					body:  []*streamTool{getOrder, searchArticles, listOrders, ticketUpdate},
					close: []*streamTool{sendReply}},
				{intent: "address_change", says: "A customer has moved, please change the address of",
					open:  []*streamTool{ticketRead, getCustomer},
					body:  []*streamTool{searchCustomers, getCustomer, searchArticles, ticketUpdate},
					close: []*streamTool{sendReply, ticketClose}},
				{intent: "duplicate_accounts", says: "Somebody has several accounts, please find them, first",
					open:  []*streamTool{ticketRead, getCustomer},
					body:  []*streamTool{listCustomers, getCustomer, listOrders, ticketUpdate},
					close: []*streamTool{sendReply}},
			}},
		paymentsPersona: {name: "payments",
			agent: []byte(`","version":"1.9.4","model":"gen-large-2","owner":"treasury","tier":1},"user":"`),
			flows: []streamFlow{
				{intent: "invoice_payment", says: "Please pay what is due on", open: []*streamTool{getInvoice},
					body:  []*streamTool{getInvoice, searchOrders, getOrder},
					close: []*streamTool{getInvoice, payInvoice}},
				{intent: "reconciliation", says: "Please bring the books in line, starting at",
					open: []*streamTool{searchOrders},
					body: []*streamTool{getOrder, getInvoice, getOrder, searchOrders}},
				{intent: "refund_review", says: "Please go over the refunds that wait, first",
					open: []*streamTool{searchOrders},
					body: []*streamTool{getOrder, getCustomer, getInvoice}, close: []*streamTool{createRefund}},
			}},
		devopsPersona: {name: "devops",
			agent: []byte(`","version":"0.14.1","model":"gen-code-1","owner":"platform","tier":2},"user":"`),
			flows: []streamFlow{
				{intent: "incident", says: "Something is slow, please look at",
					open: []*streamTool{alertsGet, metricsQuery},
					body: []*streamTool{k8sLogs, k8sPods, metricsQuery, k8sRestart}, close: []*streamTool{chatPost}},
				{intent: "deploy", says: "Please bring out the new version of", open: []*streamTool{gitDiff, ciRun},
					body:  []*streamTool{ciStatus, gitDiff, metricsQuery, k8sPods},
					close: []*streamTool{gitMerge, chatPost}},
			}},
		analystPersona: {name: "analyst",
			agent: []byte(`","version":"2.0.7","model":"gen-large-2","owner":"insights","tier":3},"user":"`),
			flows: []streamFlow{
				{intent: "ad_hoc_question", says: "How did the figures move last week in",
					open: []*streamTool{listTables},
					body: []*streamTool{sqlQuery, describeTable, sqlQuery, getDashboard}},
				{intent: "monthly_report", says: "Please make the monthly figures from",
					open: []*streamTool{listTables, getDashboard},
					body: []*streamTool{sqlQuery, sqlQuery, describeTable}},
			}},
	}
)
