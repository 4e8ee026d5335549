package pipeline

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/response"
	"github.com/wayward-sec/wayward/state"
)

// behaviour is the machine of the first stage: everything whose key is one agent, or a session of
// one agent. It works in offset order, without waiting, and gathers what is counted above one agent
// for the relation stage.
type behaviour struct {
	*shard
	panel   *detectors.Panel
	decoder event.Decoder
	e       event.Event
	scene   detectors.Scene
	topic   string // of events, for dead letters

	clock     clock
	idle      bool  // no event for idleAfter and none waiting: the relation stage need not wait for us
	stamp     int64 // broker's timestamp of the newest event
	order     int64 // of the event under observation in its log
	told      int64 // now when the watermark last went to every facts partition
	toldIdle  bool
	relation  []int64             // watermark of each relation shard, as last heard
	gates     map[string]gate     // by tenant|persona: whose guard was last shut, or has a block to answer
	wide      []*response.Breaker // of scopes above agents, as last heard
	skip      []int64             // offsets that the shard was told to set aside
	sweptHour int64

	current  *event.Event // under observation
	content  uint64       // hash of its record
	home     int32        // partition of its agent's key: where the agent's breaker is
	keyed    kgo.Record   // scratch: what the partitioner looks at
	key      []byte       // scratch
	agent    *page
	session  *page
	sessions bool // session was looked for in this event
	// What the event under observation is judged without, since there is no room for it: all memory
	// of its agent, or that of its session.
	stateless, sessionless bool
	passer                 *page // stands for the agent meanwhile
	// what was found about such agents of late: without memory each event would be a finding of its
	// own
	passed []uint64
	// the session's page as this event found it; nil: there was none, or nobody has looked
	met *page

	declared   attributes                 // by the event under observation itself
	errand     errand                     // likewise
	attributes map[attributes]*attributes // shared by pages. Derived

	forks   forks  // of agents seen of late
	models  models // in force; nil: none ever
	rulings map[baselines.Key]ruling
	begun   bool // there was an event
	closing bool // a relation shard has said that it closes days
	// the day by which the first event was judged, if nobody had closed any before; nothing is
	// known of it and what was before
	origin     int64
	err        error // what stops the record that is being applied
	newest     int64 // in a replay: the event time that the whole file has reached
	judged     int64 // day of the snapshots by which the event under observation is judged
	was        int64 // event time that the shard had reached before what it is applying
	approved   bool  // in a replay: all of it is known to be good
	gathered   []gathered
	gatheredAt map[keyDay]int
	holders    []*detectors.Who // that have a delta at hand
	deltas     map[keyDay]*page // what the relation stage has not been told. Derived: these are pages
	flushing   bool             // the slice under way tells it
	flushed    int64            // ten minutes of event time for which it was last told
	ended      int64            // ten minutes of event time in which idle sessions were last looked for
	alive      map[*page]bool   // sessions that have not ended. Derived
	waste      baselines.Delta  // of personas of which nothing is learned

	partials detectors.Partials
	notes    []detectors.Note
	said     map[uint64]int32 // into notes, by a hash of what they say
	facts    [][]byte         // one record under construction per facts partition
	hint     []int            // how long the last one was
	replay   *int64           // in a file replay: the watermark of the whole file
}

const (
	idleAfter  = 10_000          // ms without an event after which an idle source is not waited for
	tellEvery  = 1000            // ms of wall clock between watermarks to every facts partition
	agentIdle  = 32 * 86_400_000 // longer than any window
	sessionEnd = 86_400_000      // ms of event time after which an idle session is forgotten
	factsBytes = 512 << 10       // a facts record is split above this
	// breakerIdle is how long the page of a scope that was once stopped is kept, for its epoch:
	// consumers must have forgotten the old one by then.
	breakerIdle = 90 * 86_400_000
)

func newBehaviour(p int32, r *rules, set *policy.Set, topic string) *behaviour {
	b := &behaviour{shard: newShard(p, r), home: p, panel: detectors.New(set), topic: topic, gates: map[string]gate{},
		said: map[uint64]int32{}, origin: noTime, rulings: map[baselines.Key]ruling{}, deltas: map[keyDay]*page{},
		gatheredAt: map[keyDay]int{}, alive: map[*page]bool{}, attributes: map[attributes]*attributes{},
		relation: make([]int64, r.facts), facts: make([][]byte, r.facts), hint: make([]int, r.facts)}
	for i := range b.relation {
		b.relation[i] = noTime
	}
	b.shard.machine, b.space = b, state.Space{Stage: 'b', Partition: p}
	b.scene.Host = b
	return b
}

func (b *behaviour) apply(log int, r *record) error {
	b.err = nil
	if log == controlLog {
		return cmp.Or(b.control(r), b.err)
	}
	b.stamp, b.order = r.stamp, r.offset
	for _, o := range b.skip {
		if o == r.offset {
			b.deadLetter(b.topic, b.p, r, "failed", "the shard failed on this event several times; see its log", nil)
			return nil
		}
	}
	if err := b.decoder.Decode(r.value, &b.e); err != nil {
		n := whose(&b.decoder, r)
		b.deadLetter(b.topic, b.p, r, reasonOf(err), err.Error(), n)
		if n != nil {
			b.broken(n, r.stamp, reasonOf(err))
		}
		return b.err
	}
	b.idle = false // what is no event does not hold up anybody
	b.place(r)
	b.content = xxhash.Sum64(r.value)
	b.observe(&b.e, r.stamp)
	return b.err
}

// place sees where the record should lie: in the partition of its agent's key. Elsewhere it is
// judged all the same, but what one agent does is seen in pieces, and its breaker is not here.
func (b *behaviour) place(r *record) {
	b.key = event.AppendKey(b.key[:0], b.e.Tenant, b.e.Agent.ID)
	b.keyed.Key = b.key
	if b.home = broker.KeyPartition(&b.keyed, b.rules.sources); b.home == b.p {
		return
	}
	why := wrongPartitioner
	switch {
	case len(r.key) == 0:
		why = noKey
	case string(r.key) != string(b.key):
		why = otherKey
	}
	if b.counts.misrouted[why]++; b.counts.misrouted[why] == 1 {
		source := b.e.Source.Name
		b.counts.misplaced[why] = misplaced{offset: r.offset, home: b.home,
			source: strings.Clone(source[:min(len(source), 64)])}
	}
}

// observe is the path of one decoded event.
func (b *behaviour) observe(e *event.Event, stamp int64) {
	b.counts.events++
	b.current = e
	agent := appendAgentKey(b.key[:0], e)
	b.key = agent
	pg := b.page(agent, e.Tenant)
	if b.stateless = pg == nil; b.stateless {
		pg = b.passing(agent, e.Tenant)
	}
	b.holding = pg
	if pg.hash == 0 {
		pg.hash = xxhash.Sum64(agent)
	}
	if pg.repeated(xxhash.Sum64String(e.ID), b.content) {
		b.counts.repeated++
		return
	}
	t := e.Time
	if t > stamp+futureTol {
		b.counts.future++
		// What the partition has reached, so that no stamp takes a call out of the windows of
		// today; not beyond the broker's stamp, since ticks are part of it.
		t = stamp
		if b.clock.seen {
			t = min(t, b.clock.reached())
		}
	}
	if pg.seen != 0 && t < pg.seen-lateness {
		b.counts.late++
	}
	pg.seen = max(pg.seen, t)
	if b.replay == nil {
		if b.was = t; b.clock.seen {
			b.was = b.clock.reached()
		}
	}
	b.clock.see(t, stamp, pg.hash)

	b.scene.Time = t
	b.scene.Agent = &pg.memory
	b.agent, b.session, b.sessions, b.met, b.sessionless = pg, nil, false, nil, false
	b.hold(pg, e, t)
	b.role(pg, e)
	if b.learn(pg, e, t); b.err != nil { // all that was done is undone: this event waits
		return
	}
	b.keep(e, t)
	if hour := wire.FloorDiv(t, 3_600_000); hour > pg.active && !b.stateless {
		// else it would count as one more agent with each event
		pg.active = hour
		persona := b.scene.Persona
		if b.scene.Role == nil {
			persona = "" // as guardOf has it
		}
		b.Contribute(guardSlot, policy.PersonaScope, persona, acted)
	}
	b.panel.Observe(&b.scene, e)
	b.after(e)
	if pg.breaker != nil || pg.barred > 0 || len(b.wide) > 0 {
		b.defied(pg, e)
	}

	if h := wire.FloorDiv(b.clock.reached(), 3_600_000); h > b.sweptHour {
		b.sweptHour = h
		b.sweep(b.clock.watermark())
	}
}

// broken counts a record that did not decode against the agent that it names. It tells no time and
// no persona: nothing but its name could be read.
func (b *behaviour) broken(n *event.Named, stamp int64, reason string) {
	b.e = event.Event{ID: n.ID, Tenant: n.Tenant, Agent: event.Agent{ID: n.Agent}, Time: n.Time}
	e := &b.e
	t := n.Time
	if t == 0 || t > stamp+futureTol {
		t = stamp
		if b.clock.seen {
			t = min(t, b.clock.reached())
		}
	}
	b.key = appendAgentKey(b.key[:0], e)
	pg := b.page(b.key, e.Tenant)
	if pg == nil { // no room for it; that is counted
		return
	}
	b.holding = pg
	if pg.hash == 0 {
		pg.hash = xxhash.Sum64(b.key)
	}
	if pg.repeated(n.Sum, n.Sum) {
		b.counts.repeated++
		return
	}
	pg.seen = max(pg.seen, t)
	b.home = b.p
	if b.replay == nil {
		b.keyed.Key = event.AppendKey(nil, n.Tenant, n.Agent)
		b.home = broker.KeyPartition(&b.keyed, b.rules.sources)
	}
	b.current = e
	b.agent, b.session, b.sessions, b.met, b.stateless, b.sessionless = pg, nil, true, nil, false, false
	// what the page has of it is a cache, which a restart empties
	persona := b.panel.Set.PersonaOf(n.Tenant, n.Agent)
	b.scene.Time, b.scene.Agent, b.scene.Who = t, &pg.memory, b.panel.Who(n.Tenant, persona, "")
	b.panel.Broken(&b.scene, e, reason)
}

// appendAgentKey is the key of the page of an event's agent.
func appendAgentKey(k []byte, e *event.Event) []byte {
	k = append(append(append(k, agentPage), e.Tenant...), '|')
	return event.AppendKeyPart(k, e.Agent.ID)
}

// role finds who the agent is: the persona it says, unless the registry knows otherwise. An agent
// keeps it until it says another or the set changes.
func (b *behaviour) role(pg *page, e *event.Event) {
	if fork := b.forks.of(&e.Agent); pg.set != b.panel.Set || pg.sent != e.Persona || pg.fork != fork {
		pg.set, pg.fork = b.panel.Set, fork
		persona, mismatch := b.panel.Set.Role(e.Tenant, e.Agent.ID, e.Persona)
		pg.mismatch = mismatch
		pg.who = b.panel.Who(e.Tenant, persona, forkName(fork))
		if pg.sent = pg.who.Persona; pg.sent != e.Persona {
			// mostly all agents of a persona share one string
			pg.sent = strings.Clone(e.Persona)
		}
	}
	b.scene.Who, b.scene.Mismatch = pg.who, pg.mismatch
}

// until implements machine.
func (b *behaviour) until(pg *page) int64 {
	switch {
	case pg.breaker.Open(), pg.barred > 0, pg.key[0] == deltaPage:
		return forever
	case pg.breaker != nil:
		return pg.idleSince() + breakerIdle
	case pg.key[0] == sessionPage:
		return pg.idleSince() + sessionEnd
	}
	return pg.idleSince() + agentIdle
}

func (b *behaviour) untilOf(kind byte, idle int64) int64 {
	if kind == sessionPage {
		return idle + sessionEnd
	}
	return idle + agentIdle
}

func (b *behaviour) laid(pg *page) { delete(b.alive, pg) }

// Session implements detectors.Host.
func (b *behaviour) Session() *detectors.Memory {
	s := b.openSession()
	if s == nil {
		return nil
	}
	s.asked = true
	return &s.memory
}

// openSession is the page of the event's session, which the event goes on with or begins; nil: it
// has none, or there is no room.
func (b *behaviour) openSession() *page {
	if b.sessions {
		return b.session
	}
	b.sessions = true
	if b.current.Session != "" && !b.stateless {
		b.session = b.sessionPage(b.current.Session)
		b.sessionless = b.session == nil
	}
	if s := b.session; s != nil {
		t := b.scene.Time
		if !s.continues(t) {
			s.begin(t, b.current.Kind == event.Session && b.current.Phase == event.Start)
		}
		if !s.going && !s.closed {
			// else it is there: with each event that would cost as much as a detector
			b.alive[s], s.going = true, true
		}
		s.seen, s.active, s.day = max(s.seen, t), max(b.reached(), t), b.judged
		s.who, s.set = b.agent.who, b.agent.set
	}
	return b.session
}

// continues tells whether an event at t goes on with a session. After its end, and after it was
// idle for long by its own clock, what comes under its name is another one; what comes late is
// still its own.
func (pg *page) continues(t int64) bool {
	switch {
	case pg.began == noTime:
		return false
	case pg.closed:
		return t < pg.seen
	}
	return t-pg.seen < detectors.SessionIdleMS
}

// begin makes the page that of a session that begins. Of one that had its name the breaker is left,
// which is that of the name, and what Memory.Begin leaves.
func (pg *page) begin(t int64, started bool) {
	pg.memory.Begin(pg.closed, started)
	pg.held, pg.errand, pg.heldAt = nil, nil, 0
	pg.began, pg.asked, pg.closed = t, false, false
}

func (b *behaviour) sessionPage(session string) *page {
	pg := b.met
	if pg == nil {
		pg = b.sessionIf(session)
	}
	if pg != nil {
		b.touch(pg)
		return pg
	}
	if pg = b.page(b.key, b.agent.tenant); pg != nil {
		b.agent.last = pg
	}
	return pg
}

// sessionIf is the page of a session of the agent, if there is one; its key is in b.key else.
func (b *behaviour) sessionIf(session string) *page {
	n := len(b.agent.key) + 1 // of agent and separator
	if pg := b.agent.last; pg != nil && !pg.dead && len(pg.key) == n+len(session) && pg.key[n:] == session &&
		event.Plain(session) {
		return pg
	}
	k := append(b.key[:0], sessionPage)
	k = append(k, b.agent.key[1:]...)
	k = append(k, '|')
	k = event.AppendKeyPart(k, session)
	b.key = k
	pg := b.pageIf(k)
	if pg != nil {
		b.agent.last = pg
	}
	return pg
}

// Find implements detectors.Host.
func (b *behaviour) Find(f event.Finding) {
	e := b.current
	f.Stage = "behaviour"
	f.Tenant = b.agent.tenant
	f.Incomplete = b.full(f.Tenant)
	f.Agent = strings.Clone(e.Agent.ID)
	f.ScopeID, f.Target = strings.Clone(f.ScopeID), strings.Clone(f.Target)
	f.Persona, f.Session, f.User = b.scene.Persona, strings.Clone(e.Session), strings.Clone(e.User)
	f.Tool, f.Server, f.Class = strings.Clone(e.Tool.Name), strings.Clone(e.Tool.Server), e.Tool.Class
	id := f.ScopeID
	if f.ScopeType == "session" {
		id = f.Agent + "|" + id // sessions of two agents may share a name
	}
	f.UID = event.TriggeredUID(f.Tenant, f.Detector+"/"+f.Rule, f.ScopeType, id, f.Refs[len(f.Refs)-1])
	if f.Alert && !b.stateless {
		shade(b.agent, b.scene.Time)
		b.scene.Eligible = b.approved
	}
	if e.Unreadable != 0 {
		f.Unreadable = strings.Join(e.Unreadable.Words(), ", ")
		if f.Detector != "integrity" { // which says it itself
			f.Why += "; of the event could not be read: " + f.Unreadable
		}
	}
	b.without(&f)
	b.find(&f)
	b.respond(&f)
}

// Contribute implements detectors.Host.
func (b *behaviour) Contribute(slot byte, scope policy.Scope, id string, list []detectors.Contribution) {
	e := b.current
	ref := event.Ref{Time: b.scene.Time, ID: e.ID, Agent: e.Agent.ID}
	b.partials.Add(slot, scope, e.Tenant, b.scene.Who.Hash, id, b.agent.hash, ref,
		wire.FloorDiv(ref.Time, detectors.BucketMS), list)
}

// Count implements detectors.Host.
func (b *behaviour) Count(what, rule string) { b.count(ruleMetric+what, rule) }

// Tell implements detectors.Host.
func (b *behaviour) Tell(slot byte, scope policy.Scope, id string, body []byte) {
	e := b.current
	h := xxhash.Sum64(body) ^ xxhash.Sum64String(id)*0x9e3779b97f4a7c15 ^ uint64(slot)<<56 ^ uint64(scope)<<48 ^ uint64(
		wire.FloorDiv(b.scene.Time, detectors.BucketMS))
	if i, told := b.said[h]; told {
		n := &b.notes[i]
		ref := event.Ref{Time: b.scene.Time, ID: e.ID, Agent: e.Agent.ID}
		if n.Tenant == e.Tenant && n.ID == id && n.Scope == scope && n.Slot == slot && bytes.Equal(n.Body, body) {
			if told := (detectors.Note{Ref: ref, Order: b.order}); told.Before(n) {
				n.Ref, n.Order = ref, b.order
			}
			return
		}
	}
	b.said[h] = int32(len(b.notes))
	b.notes = append(b.notes, detectors.Note{Slot: slot, Scope: scope, Tenant: e.Tenant, ID: id,
		Ref: event.Ref{Time: b.scene.Time, ID: e.ID, Agent: e.Agent.ID}, Order: b.order, Body: bytes.Clone(body)})
}

// control applies what others have decided: the relation stage, other instances, operators. What
// cannot be read is set aside, never guessed.
func (b *behaviour) control(r *record) error {
	b.holding = nil
	c, err := readControl(r.value)
	if err != nil {
		b.counts.badControl++
		return nil
	}
	switch c.Kind {
	case controlTick:
		b.was = b.clock.reached()
		b.clock.tick(c.Time)
		b.idle = c.IdleMS >= idleAfter
		b.endIdle(b.clock.watermark())
	case controlWait:
		// The event that waits for a day to be closed is the one that says it is over.
		b.was = b.clock.reached()
		if b.clock.seen {
			b.clock.tick(c.Time)
		} else {
			b.was = c.Time
			b.clock.see(c.Time, 0, c.Hash)
		}
		b.idle, b.told = false, 0
		b.endIdle(b.clock.watermark())
	case controlBaseline:
		if c.Ruling == nil {
			b.counts.badControl++
			return nil
		}
		b.rule(baselines.Key{Tenant: c.Tenant, Persona: c.Persona, Fork: c.Fork}, *c.Ruling)
	case controlIdle:
		b.idle = true
	case controlBroken:
		b.broken(&event.Named{Tenant: c.Tenant, Agent: c.Agent, ID: c.Finding, Time: c.Time, Sum: c.Sum}, r.stamp,
			c.Reason)
	case controlVerdict:
		k := append(b.key[:0], agentPage)
		b.key = event.AppendKey(k, c.Tenant, c.Agent)
		if pg := b.page(b.key, c.Tenant); pg != nil {
			pg.verdicts++
			pg.kept = max(pg.kept, c.Time)
			if c.Severity > int(event.Signal) {
				shade(pg, c.Time)
			}
			b.counts.verdicts++
		}
	case controlRelation:
		if c.Source >= 0 && int(c.Source) < len(b.relation) {
			b.relation[c.Source] = max(b.relation[c.Source], c.Time)
			b.closing = true
		}
	case controlSkip:
		b.skip = append(b.skip, c.Offset)
		if len(b.skip) > 16 {
			b.skip = b.skip[1:]
		}
	case controlTrip:
		if c.Trip == nil || !c.Trip.Scope.Type.Narrow() {
			b.counts.badControl++
			return nil
		}
		b.tripAgent(*c.Trip)
	case controlGate:
		b.opened(&c)
	case controlWide:
		b.heardWide(&c)
	case controlAck, controlFeedback, controlExpire, controlMissed:
		b.answer(&c, r)
	case controlResume:
		if c.Closing {
			b.closing = true // of what was closed before the logs were made anew
		}
		if pg := b.resume(&c, r); pg != nil && pg.breaker.Persona != "" {
			b.tellGuard(controlBlocked, pg.breaker)
		}
	case controlActivate:
		if c.Set == b.panel.Set.Hash() {
			return nil
		}
		set, err := b.rules.set(c.Set)
		if err != nil {
			return err
		}
		b.panel = detectors.New(set)
	default:
		b.counts.badControl++
	}
	return nil
}

// seal writes what the slice gathered to the relation stage: at most one facts record per
// transaction and facts partition (split above factsBytes), and at least once a second the
// watermark to every facts partition.
func (b *behaviour) seal() {
	if b.due() {
		b.flush()
	}
	n := b.rules.facts
	tell := b.replay == nil && (b.now-b.told >= tellEvery || b.idle != b.toldIdle)
	if tell {
		b.told, b.toldIdle = b.now, b.idle
	}
	watermark := b.clock.watermark()
	if b.replay != nil {
		watermark = *b.replay
	}
	head := func(q int32) {
		b.facts[q] = appendFactsHead(make([]byte, 0, b.hint[q]+256),
			factsHead{source: b.p, now: b.now, watermark: watermark, idle: b.idle, set: b.panel.Set.Hash()})
	}
	to := func(tenant string, scope policy.Scope, id string) int32 {
		q := b.rules.owner(tenant, scope, id)
		if len(b.facts[q]) > factsBytes {
			b.sendFacts(q)
		}
		if b.facts[q] == nil {
			head(q)
		}
		return q
	}
	b.partials.Each(func(k *detectors.Bucket) {
		q := to(k.Tenant, k.Scope, k.ID)
		b.facts[q] = appendBucket(b.facts[q], k)
	})
	for i := range b.notes {
		k := &b.notes[i]
		q := to(k.Tenant, k.Scope, k.ID)
		b.facts[q] = appendNote(append(b.facts[q], noteTag), k)
	}
	for q := range n {
		if b.facts[q] == nil && tell {
			head(q)
		}
		if b.facts[q] != nil {
			b.sendFacts(q)
		}
	}
	b.drain()
}

// drain forgets what the slice gathered. Its strings alias the slice's records and the scratch of
// decoder and catalogue, which end with it.
func (b *behaviour) drain() {
	b.partials.Reset()
	clear(b.notes)
	b.notes = b.notes[:0]
	clear(b.said)
	b.decoder.Reset()
	b.panel.Reset()
}

func (b *behaviour) sendFacts(q int32) {
	b.counts.facts++
	b.emit(output{to: toFacts, partition: q, value: b.facts[q]})
	b.hint[q] = min(len(b.facts[q]), factsBytes)
	b.facts[q] = nil
}

// ahead tells by how much this shard's event time is ahead of the slowest relation shard that has
// been heard of.
func (b *behaviour) ahead() int64 {
	low := int64(math.MaxInt64)
	for _, t := range b.relation {
		if t != noTime {
			low = min(low, t)
		}
	}
	if low == math.MaxInt64 || !b.clock.seen {
		return 0
	}
	return b.clock.watermark() - low
}

func (b *behaviour) appendVars(v []byte) []byte {
	v = b.clock.append(v)
	flags := byte(0)
	if b.idle {
		flags |= 1
	}
	if b.toldIdle {
		flags |= 2
	}
	if b.begun {
		flags |= 4
	}
	if b.closing {
		flags |= 8
	}
	v = append(v, flags)
	v = binary.AppendVarint(v, b.stamp)
	v = binary.AppendVarint(v, b.told)
	v = binary.AppendVarint(v, b.sweptHour)
	v = binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(v, b.flushed), b.ended), b.origin)
	v = binary.AppendUvarint(v, uint64(len(b.relation)))
	for _, t := range b.relation {
		v = binary.AppendVarint(v, t)
	}
	v = binary.AppendUvarint(v, uint64(len(b.skip)))
	for _, o := range b.skip {
		v = binary.AppendVarint(v, o)
	}
	v = binary.AppendUvarint(v, uint64(len(b.gates)))
	for _, name := range slices.Sorted(maps.Keys(b.gates)) {
		shut := byte(0)
		if b.gates[name].shut {
			shut = 1
		}
		v = binary.BigEndian.AppendUint64(append(wire.AppendString(v, name), shut), b.gates[name].waits)
	}
	v = binary.AppendUvarint(v, uint64(len(b.wide)))
	for _, k := range b.wide {
		v = k.Append(v)
	}
	v = binary.AppendUvarint(v, uint64(len(b.passed)))
	for _, h := range b.passed {
		v = binary.BigEndian.AppendUint64(v, h)
	}
	v = binary.AppendUvarint(v, uint64(len(b.rulings)))
	for _, k := range slices.SortedFunc(maps.Keys(b.rulings), compareKeys) {
		r := b.rulings[k]
		v = wire.AppendString(wire.AppendString(wire.AppendString(v, k.Tenant), k.Persona), k.Fork)
		v = wire.AppendString(binary.AppendVarint(binary.AppendVarint(v, r.Day), r.Of), r.Hash)
	}
	return wire.AppendString(v, b.panel.Set.Hash())
}

func (b *behaviour) decodeVars(r *wire.Reader) {
	b.clock.decode(r)
	flags := r.Byte()
	b.idle, b.toldIdle, b.begun, b.closing = flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0
	b.stamp = r.Varint()
	b.told = r.Varint()
	b.sweptHour = r.Varint()
	b.flushed, b.ended, b.origin = r.Varint(), r.Varint(), r.Varint()
	for i := range r.Len() {
		if t := r.Varint(); i < len(b.relation) {
			b.relation[i] = t
		}
	}
	b.skip = b.skip[:0]
	for range r.Len() {
		b.skip = append(b.skip, r.Varint())
	}
	b.gates = map[string]gate{}
	for range r.Len() {
		name := r.String()
		b.gates[name] = gate{shut: r.Byte() == 1, waits: r.Uint64()}
	}
	b.wide = nil
	for range r.Len() {
		k := &response.Breaker{}
		k.Decode(r)
		b.wide = append(b.wide, k)
	}
	b.passed = b.passed[:0]
	for range r.Len() {
		b.passed = append(b.passed, r.Uint64())
	}
	was := b.rulings
	b.rulings = map[baselines.Key]ruling{}
	for range r.Len() {
		k := baselines.Key{Tenant: r.String(), Persona: r.String(), Fork: r.String()}
		b.rulings[k] = ruling{r.Varint(), r.Varint(), r.String()}
	}
	b.panel = b.panelOf(r, b.panel)
	if !maps.Equal(was, b.rulings) {
		b.panel.Each(func(w *detectors.Who) { w.Rest(nil, 0, 0) })
	}
	b.drain() // what an aborted slice gathered is gone with it
	b.forgetSlice()
}

// indexed files a page that came from disk or was put back.
func (b *behaviour) indexed(pg *page) {
	switch pg.key[0] {
	case deltaPage:
		b.deltas[keyDay{pg.learned.key, pg.learned.day}] = pg
	case sessionPage:
		if pg.going {
			b.alive[pg] = true
		} else {
			delete(b.alive, pg)
		}
	}
}

func (b *behaviour) watchers() *detectors.Panel { return b.panel }

func (b *behaviour) stage() string { return "behaviour" }

func (b *behaviour) undoes() bool { return true }

func (b *behaviour) present() int64 {
	if !b.clock.seen {
		return noTime
	}
	return b.clock.watermark()
}

func (b *behaviour) partitions() int { return int(b.rules.sources) }
