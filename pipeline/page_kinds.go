package pipeline

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/response"
	"github.com/wayward-sec/wayward/sketch"
)

// The kinds of pages. A behaviour shard has those of agents and sessions and, until the relation
// stage has them, deltas; a relation shard those of scopes, wide breakers, deltas and snapshots.

// agentPage is what is known of an agent.
type agentPage struct {
	page
	hour        int64 // newest hour of event time in which it acted
	baselineDay int64 // newest day of a baseline that it contributed to
	// until when nothing is learned from it, event time: something was found about it
	quarantined int64

	// Not stored.
	last     *sessionPage    // session of its newest event, mostly the next event's, too
	who      *detectors.Who  // tenant, persona and fork
	set      *policy.Set     // under which who holds
	sent     string          // persona as sent when who was looked up
	mismatch policy.Mismatch // of sent
	fork     uint64          // hash of version, model and charter when who was looked up; 0: none sent
	hash     uint64          // of its key

	heldAttributes
	barred   int64                 // sessions of it that are stopped
	verdicts int64                 // of the relation stage about it
	recent   sketch.Recent[uint64] // hashes of its newest events, see repeated
	memory   detectors.Memory
}

// maxRecent bounds them: an agent that acts once pays for one id, an active one is protected over
// maxRecent events.
const maxRecent = 32

// repeated notes an event, by hashes of its id and of its record, and tells whether it is among the
// agent's newest. Another record under an id is another event: agents count from 1 after a restart,
// and an attempt and its result may share the id of their call. Half of either hash is enough, for
// both must be those of one of a few events; and the page stays as small.
func (a *agentPage) repeated(id, record uint64) bool {
	id = id&^math.MaxUint32 | record>>32
	if a.recent.Has(id) {
		return true
	}
	a.recent.Add(id, maxRecent)
	return false
}

// quarantineMS is how long nothing is learned from an agent after an alert about it, event time.
const quarantineMS = 30 * 60_000

// quarantine lets nothing be learned from the agent for a while, since there was an alert about it.
func (a *agentPage) quarantine(t int64) { a.quarantined = max(a.quarantined, t+quarantineMS) }

func (a *agentPage) appendContent(b []byte) []byte {
	b = binary.AppendVarint(b, a.verdicts)
	b = binary.AppendVarint(b, a.hour)
	b = binary.AppendVarint(b, a.barred)
	b = binary.AppendVarint(b, a.baselineDay)
	b = binary.AppendVarint(b, a.quarantined)
	b = append(b, byte(len(a.recent.Ring)), byte(a.recent.Next))
	for _, h := range a.recent.Ring {
		b = binary.BigEndian.AppendUint64(b, h)
	}
	b = a.heldAttributes.append(b)
	return a.appendRest(b, nil, &a.memory)
}

func (a *agentPage) decodeContent(r *wire.Reader) {
	a.verdicts = r.Varint()
	a.hour = r.Varint()
	a.barred = r.Varint()
	a.baselineDay, a.quarantined = r.Varint(), r.Varint()
	n, at := int(r.Byte()), int(r.Byte())
	if n > maxRecent || at >= maxRecent {
		r.Fail()
		return
	}
	a.recent.Next = at
	a.recent.Ring = a.recent.Ring[:0]
	for range n {
		a.recent.Ring = append(a.recent.Ring, r.Uint64())
	}
	a.heldAttributes.decode(r)
	a.decodeRest(r, &a.memory)
	a.set, a.who = nil, nil
}

func (a *agentPage) evictable() bool { return a.breaker == nil && a.barred == 0 }

// sessionPage is what is known of a session.
type sessionPage struct {
	page
	// event time that the shard, or the session itself, had reached with its newest event
	reached  int64
	judgedBy int64          // day of the snapshots by which its newest event was judged
	who      *detectors.Who // that of its agent at its newest event; not stored
	set      *policy.Set    // under which who holds; not stored
	// persona and fork, apart by a zero, as the disk has them; who goes before it
	role   string
	going  bool // it has begun and has not ended; what comes under its name later is another one
	closed bool // it said that it ended
	asked  bool // a detector has asked for it, so it counts as one

	heldAttributes
	began  int64 // event time of the event that began it; noTime: none yet
	memory detectors.Memory
}

// Flags of a session.
const (
	goingFlag  = 1
	askedFlag  = 2
	closedFlag = 4
)

func (s *sessionPage) appendContent(b []byte) []byte {
	b = binary.AppendVarint(binary.AppendVarint(b, s.reached), s.judgedBy)
	flags := byte(0)
	if s.going {
		flags = goingFlag
	}
	if s.asked {
		flags |= askedFlag
	}
	if s.closed {
		flags |= closedFlag
	}
	b = binary.AppendVarint(append(b, flags), s.began)
	b = s.heldAttributes.append(b)
	if s.who != nil {
		b = binary.AppendUvarint(b, uint64(len(s.who.Persona)+1+len(s.who.Fork)))
		b = append(append(append(b, s.who.Persona...), 0), s.who.Fork...)
	} else {
		b = wire.AppendString(b, s.role)
	}
	return s.appendRest(b, nil, &s.memory)
}

func (s *sessionPage) decodeContent(r *wire.Reader) {
	s.reached, s.judgedBy = r.Varint(), r.Varint()
	flags := r.Byte()
	s.going, s.asked, s.closed = flags&goingFlag != 0, flags&askedFlag != 0, flags&closedFlag != 0
	s.began = r.Varint()
	s.heldAttributes.decode(r)
	s.role = r.String()
	s.decodeRest(r, &s.memory)
	s.set, s.who = nil, nil
}

// lastUse is by the time that the shard had reached, too: where somebody's clock is days ahead, a
// session in use is not idle.
func (s *sessionPage) lastUse() int64 { return max(s.page.lastUse(), s.reached) }

func (s *sessionPage) evictable() bool { return s.breaker == nil && (!s.going || s.reached >= s.seen) }

// scopePage is what is known of a scope above agents by one detector's slot, or the guard of a
// persona.
type scopePage struct {
	page
	pending []detectors.Bucket // what is contributed but not closed, by bucket
	notes   notes
	guard   *response.Guard // of a persona
	memory  detectors.Memory
}

func (s *scopePage) appendContent(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.pending)))
	for i := range s.pending {
		b = appendBucket(b, &s.pending[i])
	}
	b = s.notes.append(b)
	return s.appendRest(b, s.guard, &s.memory)
}

func (s *scopePage) decodeContent(r *wire.Reader) {
	s.pending = s.pending[:0]
	for range r.Len() {
		var k detectors.Bucket
		readBucket(r, &k)
		if r.Err != nil {
			return
		}
		s.pending = append(s.pending, k)
	}
	s.notes = notes{}
	s.notes.decode(r)
	s.guard = s.decodeRest(r, &s.memory)
}

// waits tells whether something on the page waits for the watermark.
func (s *scopePage) waits() bool { return len(s.pending)+s.notes.n > 0 }

func (s *scopePage) evictable() bool { return s.breaker == nil && s.guard == nil && !s.waits() }

// widePage is the breaker of a scope above agents, and no more.
type widePage struct{ page }

func (w *widePage) appendContent(b []byte) []byte { return w.appendRest(b, nil, &detectors.Memory{}) }

func (w *widePage) decodeContent(r *wire.Reader) { w.decodeRest(r, &detectors.Memory{}) }

func (w *widePage) evictable() bool { return false }

// deltaPage is what a day adds to a baseline.
type deltaPage struct {
	page
	baseline baselines.Key // and day: from the page's key
	day      int64
	delta    *baselines.Delta // never nil
	from     []share          // in the relation stage: what each source gave, ascending by source
}

// Tags of the pages of baselines.
const (
	modelPageTag = 0
	deltaPageTag = 1
)

func (d *deltaPage) appendContent(b []byte) []byte {
	b = binary.AppendUvarint(append(b, deltaPageTag), uint64(len(d.from)))
	for _, s := range d.from {
		b = binary.AppendUvarint(binary.AppendVarint(binary.AppendVarint(b, int64(s.Source)), s.Deltas), s.Events)
	}
	return d.delta.Append(b)
}

func (d *deltaPage) decodeContent(r *wire.Reader) {
	if r.Byte() != deltaPageTag {
		r.Fail()
		return
	}
	d.from = nil
	for range r.Len() {
		d.from = append(d.from, share{int32(r.Varint()), r.Varint(), r.Uvarint()})
	}
	d.delta = &baselines.Delta{}
	d.delta.Decode(r)
}

func (d *deltaPage) evictable() bool { return false }

// modelPage is a snapshot of a baseline.
type modelPage struct {
	page
	baseline  baselines.Key // and day: from the page's key
	day       int64
	model     []byte // encoded
	hash      string // of it
	newest    int64  // the newest day that brought a delta
	agentDays uint64
	events    uint64 // on its own day
	figures   modelFigures
	// those of the same day that stood in its place before a person changed it
	replaced []version
	made     *baselines.Model // in place of model on a page that is never saved
}

// snapshot is what says which of two forks was more active.
func (m *modelPage) snapshot() *Snapshot {
	return &Snapshot{Fork: m.baseline.Fork, Seen: m.newest, AgentDays: m.agentDays}
}

func (m *modelPage) appendContent(b []byte) []byte {
	b = binary.AppendVarint(append(b, modelPageTag), m.newest)
	b = binary.AppendUvarint(binary.AppendUvarint(b, m.agentDays), m.events)
	b = wire.AppendString(b, m.hash)
	b = append(b, byte(m.figures.state))
	for _, r := range m.figures.realised {
		b = binary.BigEndian.AppendUint32(b, r)
	}
	b = binary.AppendUvarint(b, uint64(len(m.replaced)))
	for _, v := range m.replaced {
		b = binary.AppendUvarint(wire.AppendString(b, v.hash), uint64(v.pieces))
	}
	return wire.AppendString(b, string(m.model))
}

func (m *modelPage) decodeContent(r *wire.Reader) {
	if r.Byte() != modelPageTag {
		r.Fail()
		return
	}
	m.newest, m.agentDays, m.events, m.hash = r.Varint(), r.Uvarint(), r.Uvarint(), r.String()
	m.figures.state = baselines.State(r.Byte())
	for f := range m.figures.realised {
		m.figures.realised[f] = r.Uint32()
	}
	m.replaced = nil
	for range r.Len() {
		m.replaced = append(m.replaced, version{strings.Clone(r.String()), int(min(r.Uvarint(), mostPieces))})
	}
	m.model = slices.Clone(r.Bytes())
	m.made = nil
}

func (m *modelPage) evictable() bool { return false }

// continues tells whether an event at t goes on with a session. After its end, and after it was
// idle for long by its own clock, what comes under its name is another one; what comes late is
// still its own.
func (pg *sessionPage) continues(t int64) bool {
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
func (pg *sessionPage) begin(t int64, started bool) {
	pg.memory.Begin(pg.closed, started)
	pg.held, pg.errand, pg.heldAt = nil, nil, 0
	pg.began, pg.asked, pg.closed = t, false, false
}
