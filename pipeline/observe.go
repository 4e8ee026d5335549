package pipeline

import (
	"bytes"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/policy"
)

// eventContext is one event while its behaviour shard looks at it: the event, what is known of its
// agent and its session, and by what it is judged. It is the detectors' Host. A shard reuses one
// for all its events, and nothing of it outlives the event but the time that a file has reached.
type eventContext struct {
	b     *behaviour
	event *event.Event
	scene detectors.Scene // what detectors are shown

	order   int64  // of its record: offset in its log, or number of the line
	content uint64 // hash of its record
	home    int32  // partition of its agent's key: where the agent's breaker is
	// Event time that the shard, or the whole file, had reached before the event, and with it.
	before, reached int64
	judgedBy        int64 // day of the snapshots that it is judged by

	agent   *agentPage
	session *sessionPage
	looked  bool // session was looked for
	// the session's page as the event found it; nil: there was none, or nobody has looked
	found *sessionPage
	// What it is judged without, since there is no room for it: all memory of its agent, or that of
	// its session.
	stateless, sessionless bool

	declared attributes // said by the event itself
	errand   errand     // likewise
}

// place sees where the record should lie: in the partition of its agent's key. Elsewhere it is
// judged all the same, but what one agent does is seen in pieces, and its breaker is not here.
func (x *eventContext) place(r *record) {
	b := x.b
	b.key = event.AppendKey(b.key[:0], b.e.Tenant, b.e.Agent.ID)
	b.keyed.Key = b.key
	if x.home = broker.KeyPartition(&b.keyed, b.rules.sources); x.home == b.p {
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
		b.counts.misplaced[why] = misplaced{offset: r.offset, home: x.home,
			source: strings.Clone(source[:min(len(source), 64)])}
	}
}

// observe is the path of one decoded event: what is known of its agent, its session and its persona
// is brought up to its time, then the detectors look at it.
func (x *eventContext) observe(stamp int64) error {
	b, e := x.b, x.event
	b.counts.events++
	agent := appendAgentKey(b.key[:0], e)
	b.key = agent
	pg := b.agentPage(agent, e.Tenant)
	if x.stateless = pg == nil; x.stateless {
		pg = b.passing(agent, e.Tenant)
	}
	b.holding = &pg.page
	if pg.hash == 0 {
		pg.hash = xxhash.Sum64(agent)
	}
	if pg.repeated(xxhash.Sum64String(e.ID), x.content) {
		b.counts.repeated++
		return nil
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
	if b.fileTime == nil {
		if x.before = t; b.clock.seen {
			x.before = b.clock.reached()
		}
	}
	b.clock.see(t, stamp, pg.hash)
	if b.fileTime == nil {
		x.reached = b.clock.reached()
	}

	x.scene.Time = t
	x.scene.Agent = &pg.memory
	x.agent, x.session, x.looked, x.found, x.sessionless = pg, nil, false, nil, false
	x.hold(pg, e, t)
	x.role(pg, e)
	if err := x.learn(pg, e, t); err != nil { // all that was done is undone: this event waits
		return err
	}
	x.keep(e, t)
	if hour := wire.FloorDiv(t, 3_600_000); hour > pg.hour && !x.stateless {
		// else it would count as one more agent with each event
		pg.hour = hour
		persona := x.scene.Persona
		if x.scene.Role == nil {
			persona = "" // as guardOf has it
		}
		x.Contribute(guardSlot, policy.PersonaScope, persona, acted)
	}
	b.panel.Observe(&x.scene, e)
	if err := x.endSaid(e); err != nil {
		return err
	}
	if pg.breaker != nil || pg.barred > 0 || len(b.wide) > 0 {
		x.defied(pg, e)
	}

	if h := wire.FloorDiv(b.clock.reached(), 3_600_000); h > b.sweptHour {
		b.sweptHour = h
		b.sweep(b.clock.watermark())
	}
	return nil
}

// undecoded counts a record that did not decode against the agent that it names. It tells no time
// and no persona: nothing but its name could be read.
func (x *eventContext) undecoded(n *event.Named, stamp int64, reason string) {
	b := x.b
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
	pg := b.agentPage(b.key, e.Tenant)
	if pg == nil { // no room for it; that is counted
		return
	}
	b.holding = &pg.page
	if pg.hash == 0 {
		pg.hash = xxhash.Sum64(b.key)
	}
	if pg.repeated(n.Sum, n.Sum) {
		b.counts.repeated++
		return
	}
	pg.seen = max(pg.seen, t)
	x.home = b.rules.partition(event.AppendKey(nil, n.Tenant, n.Agent), b.rules.sources)
	x.event = e
	x.agent, x.session, x.looked, x.found, x.stateless, x.sessionless = pg, nil, true, nil, false, false
	// what the page has of it is a cache, which a restart empties
	persona := b.panel.Set.PersonaOf(n.Tenant, n.Agent)
	x.scene.Time, x.scene.Agent, x.scene.Who = t, &pg.memory, b.panel.Who(n.Tenant, persona, "")
	b.panel.Broken(&x.scene, e, reason)
}

// appendAgentKey is the key of the page of an event's agent.
func appendAgentKey(k []byte, e *event.Event) []byte {
	k = append(append(append(k, agentKind), e.Tenant...), '|')
	return event.AppendKeyPart(k, e.Agent.ID)
}

// agentPage is the page of an agent, touched; nil: there is none and no room for one.
func (b *behaviour) agentPage(key []byte, tenant string) *agentPage {
	pg := b.page(key, tenant)
	if pg == nil {
		return nil
	}
	return pg.agent()
}

// role finds who the agent is: the persona it says, unless the registry knows otherwise. An agent
// keeps it until it says another or the set changes.
func (x *eventContext) role(pg *agentPage, e *event.Event) {
	b := x.b
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
	x.scene.Who, x.scene.Mismatch = pg.who, pg.mismatch
}

// Session implements detectors.Host.
func (x *eventContext) Session() *detectors.Memory {
	s := x.openSession()
	if s == nil {
		return nil
	}
	s.asked = true
	return &s.memory
}

// openSession is the page of the event's session, which the event goes on with or begins; nil: it
// has none, or there is no room.
func (x *eventContext) openSession() *sessionPage {
	b := x.b
	if x.looked {
		return x.session
	}
	x.looked = true
	if x.event.Session != "" && !x.stateless {
		x.session = x.sessionPage(x.event.Session)
		x.sessionless = x.session == nil
	}
	if s := x.session; s != nil {
		t := x.scene.Time
		if !s.continues(t) {
			s.begin(t, x.event.Kind == event.Session && x.event.Phase == event.Start)
		}
		if !s.going && !s.closed {
			// else it is there: with each event that would cost as much as a detector
			b.alive[s], s.going = true, true
		}
		s.seen, s.reached, s.judgedBy = max(s.seen, t), max(x.reached, t), x.judgedBy
		s.who, s.set = x.agent.who, x.agent.set
	}
	return x.session
}

func (x *eventContext) sessionPage(session string) *sessionPage {
	b := x.b
	pg := x.found
	if pg == nil {
		pg = x.sessionIf(session)
	}
	if pg != nil {
		b.touch(&pg.page)
		return pg
	}
	made := b.page(b.key, x.agent.tenant)
	if made == nil {
		return nil
	}
	x.agent.last = made.session()
	return x.agent.last
}

// sessionIf is the page of a session of the agent, if there is one; its key is in b.key else.
func (x *eventContext) sessionIf(session string) *sessionPage {
	b := x.b
	n := len(x.agent.key) + 1 // of agent and separator
	if pg := x.agent.last; pg != nil && !pg.dead && len(pg.key) == n+len(session) && pg.key[n:] == session &&
		event.Plain(session) {
		return pg
	}
	k := append(b.key[:0], sessionKind)
	k = append(k, x.agent.key[1:]...)
	k = append(k, '|')
	k = event.AppendKeyPart(k, session)
	b.key = k
	pg := b.pageIf(k)
	if pg == nil {
		return nil
	}
	x.agent.last = pg.session()
	return x.agent.last
}

// Find implements detectors.Host.
func (x *eventContext) Find(f event.Finding) {
	b := x.b
	e := x.event
	f.Stage = "behaviour"
	f.Tenant = x.agent.tenant
	f.Incomplete = b.full(f.Tenant)
	f.Agent = strings.Clone(e.Agent.ID)
	f.ScopeID, f.Target = strings.Clone(f.ScopeID), strings.Clone(f.Target)
	f.Persona, f.Session, f.User = x.scene.Persona, strings.Clone(e.Session), strings.Clone(e.User)
	f.Tool, f.Server, f.Class = strings.Clone(e.Tool.Name), strings.Clone(e.Tool.Server), e.Tool.Class
	id := f.ScopeID
	if f.ScopeType == "session" {
		id = f.Agent + "|" + id // sessions of two agents may share a name
	}
	f.UID = event.TriggeredUID(f.Tenant, f.Detector+"/"+f.Rule, f.ScopeType, id, f.Refs[len(f.Refs)-1])
	if f.Alert && !x.stateless {
		x.agent.quarantine(x.scene.Time)
		x.scene.Eligible = b.approved
	}
	if e.Unreadable != 0 {
		f.Unreadable = strings.Join(e.Unreadable.Words(), ", ")
		if f.Detector != "integrity" { // which says it itself
			f.Why += "; of the event could not be read: " + f.Unreadable
		}
	}
	x.without(&f)
	b.find(&f)
	x.respond(&f)
}

// Contribute implements detectors.Host.
func (x *eventContext) Contribute(slot byte, scope policy.Scope, id string, list []detectors.Contribution) {
	b := x.b
	e := x.event
	ref := event.Ref{Time: x.scene.Time, ID: e.ID, Agent: e.Agent.ID}
	b.partials.Add(slot, scope, e.Tenant, x.scene.Who.Hash, id, x.agent.hash, ref,
		wire.FloorDiv(ref.Time, detectors.BucketMS), list)
}

// Count implements detectors.Host.
func (x *eventContext) Count(what, rule string) { x.b.count(ruleMetric+what, rule) }

// Tell implements detectors.Host.
func (x *eventContext) Tell(slot byte, scope policy.Scope, id string, body []byte) {
	b := x.b
	e := x.event
	h := xxhash.Sum64(body) ^ xxhash.Sum64String(id)*0x9e3779b97f4a7c15 ^ uint64(slot)<<56 ^ uint64(scope)<<48 ^ uint64(
		wire.FloorDiv(x.scene.Time, detectors.BucketMS))
	if i, told := b.noteAt[h]; told {
		n := &b.notes[i]
		ref := event.Ref{Time: x.scene.Time, ID: e.ID, Agent: e.Agent.ID}
		if n.Tenant == e.Tenant && n.ID == id && n.Scope == scope && n.Slot == slot && bytes.Equal(n.Body, body) {
			if told := (detectors.Note{Ref: ref, Order: x.order}); told.Before(n) {
				n.Ref, n.Order = ref, x.order
			}
			return
		}
	}
	b.noteAt[h] = int32(len(b.notes))
	b.notes = append(b.notes, detectors.Note{Slot: slot, Scope: scope, Tenant: e.Tenant, ID: id,
		Ref: event.Ref{Time: x.scene.Time, ID: e.ID, Agent: e.Agent.ID}, Order: x.order, Body: bytes.Clone(body)})
}
