// Package baselines holds the numbers that detectors keep: sums over windows, and what is learned
// of a persona day by day. What is merged between shards is integers, so that no order shows.
//
// It must never know a detector, a policy or Kafka. What a detector learns is a part that it
// registers (parts.go). The one table that names the detectors' tests is in audit.go, since their
// shares must add up to one alert budget. Begin with window.go for what is counted now, and with
// Learn in this file for what is learned.
package baselines

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/sketch"
)

// DayMS is the length of the period that a snapshot closes: one UTC day.
const DayMS = 86_400_000

// State says how far a persona's baseline can be trusted.
type State uint8

// States of a baseline.
const (
	Learning State = iota // too young to raise an alert: statistical findings are signals
	Active
	Stale // nothing was learned of late
	// somebody or something said that it may be poisoned: it scores, learns nothing and calls
	// nobody
	Suspect
)

var states = [...]string{"learning", "active", "stale", "suspect"}

func (s State) String() string {
	if int(s) < len(states) {
		return states[s]
	}
	return "unknown"
}

// Bounds of a baseline's states, in days (docs/statistics.md, Growth).
const (
	learnDays     = 7
	learnSessions = 200
	staleDays     = 14
	// that a fork learns, and a quarter of the sessions, but never longer than a persona that began
	// by itself
	forkDays = 2
)

// Key names a baseline: a persona of a tenant, in one fork. A fork are the agents of one version,
// model and charter; "" if they say none. The persona "*" is the tenant as a whole, from which
// young personas borrow.
type Key struct{ Tenant, Persona, Fork string }

// TenantWide is the persona that stands for the whole tenant.
const TenantWide = "*"

// Model is what was learned of one persona up to the end of a UTC day: a snapshot, never changed
// once made. All that is stored are integers; what is derived from them is made by Learn and
// Decode.
type Model struct {
	Key
	Day      int64 // the last day that it includes, since 1970-01-01
	First    int64 // the first
	Seen     int64 // the newest on which something was learned
	State    State
	Frozen   bool // by a person: it is published but learns nothing
	Sessions uint64
	// Parent is the fork that this one began as, on the day Forked, when Sessions were Inherited;
	// Forked is 0 if it began by itself.
	Parent    string
	Forked    int64
	Inherited uint64
	// AgentDays and Agents are the support: agents that acted, summed over days (decaying with 14
	// days, in Units), and on Seen alone.
	AgentDays, Agents uint64
	// Baselines is, for the tenant as a whole, how many baselines had events on Seen; else 0.
	Baselines   uint64
	KnownAgents KnownAgents
	Audit       Audit
	parts       parts[ModelPart] // what each detector learned

	// Prior is the tenant's own model of the same day, from which this one borrows while it is
	// young; nil: none. Not stored.
	Prior *Model
	// Shifts are what closing the day took into the baseline, or asks a person to. Not stored.
	Shifts []Shift
	hash   string
}

// maxHashes bounds the hashes of agents and baselines that a day keeps.
const maxHashes = 1024

// Delta is what the events of one day add to a baseline: integers that merge in any order, from any
// number of shards. The zero value is empty.
type Delta struct {
	Events    uint64 // of all agents
	Learned   uint64 // of them, those that may be learned; the counts below are of these, too
	Sessions  uint64 // that ended
	AgentDays uint64 // agents that acted on the day, each counted once by the shard that has it
	// Baselines are, for the tenant as a whole, the hashes of the baselines that had events: what
	// its alert budget is shared out over.
	Baselines sketch.Smallest
	Acted     sketch.Smallest // agents that acted, of the baseline itself
	Audit     AuditDelta
	parts     parts[DeltaPart] // what each detector gathers
}

// AddBaseline notes, in the delta of a tenant as a whole, that a baseline had events.
func (d *Delta) AddBaseline(hash uint64) { d.Baselines.Add(hash, maxHashes) }

// Acts counts an agent, by its hash, on the first event of its day.
func (d *Delta) Acts(agent uint64) {
	d.AgentDays++
	d.Acted.Add(agent, maxHashes)
}

// Merge adds another delta of the same key. What it is given is not kept.
func (d *Delta) Merge(o *Delta) {
	d.Events += o.Events
	d.Learned += o.Learned
	d.Sessions += o.Sessions
	d.AgentDays += o.AgentDays
	d.Baselines.Merge(o.Baselines, maxHashes)
	d.Acted.Merge(o.Acted, maxHashes)
	d.Audit.Merge(&o.Audit)
	d.mergeParts(o, DeltaPart.Merge)
}

// MergeWide adds what a persona's delta adds to that of the tenant as a whole.
func (d *Delta) MergeWide(o *Delta) {
	d.Events += o.Events
	d.Learned += o.Learned
	d.Sessions += o.Sessions
	d.AgentDays += o.AgentDays
	d.Audit.Merge(&o.Audit)
	d.mergeParts(o, DeltaPart.MergeWide)
}

// Append encodes the delta: the same content gives the same bytes.
func (d *Delta) Append(b []byte) []byte {
	b = append(b, d.parts.format())
	b = binary.AppendUvarint(b, d.Events)
	b = binary.AppendUvarint(b, d.Learned)
	b = binary.AppendUvarint(b, d.Sessions)
	b = binary.AppendUvarint(b, d.AgentDays)
	b = d.Acted.Append(d.Baselines.Append(b))
	b = d.parts.appendUnframed(b, emptyDelta)
	return d.parts.appendFramed(d.Audit.Append(b))
}

// Decode reads what Append wrote, into memory of its own.
func (d *Delta) Decode(r *wire.Reader) {
	framed := readFormat(r)
	d.Events, d.Learned, d.Sessions, d.AgentDays = r.Uvarint(), r.Uvarint(), r.Uvarint(), r.Uvarint()
	d.Baselines.Decode(r, maxHashes)
	d.Acted.Decode(r, maxHashes)
	d.parts.readUnframed(r, emptyDelta)
	d.Audit.Decode(r)
	if framed {
		d.parts.readFramed(r, emptyDelta)
	}
}

// Terms are what an operator says about learning, as far as closing a day needs it.
type Terms struct {
	Approved      bool   // the events are known to be good: no quarantine, no waiting
	LearnDays     int64  // 0: the defaults
	LearnSessions uint64 //
	AcceptAgents  uint64 // least agents that must show something new …
	AcceptPercent uint64 // … or this share of the active ones, whichever is more
	AcceptDays    uint64 // … on so many days
}

// Defaults fills in what is zero.
func (t Terms) Defaults() Terms {
	def := func(v *uint64, d uint64) {
		if *v == 0 {
			*v = d
		}
	}
	if t.LearnDays == 0 {
		t.LearnDays = learnDays
	}
	def(&t.LearnSessions, learnSessions)
	def(&t.AcceptAgents, 5)
	def(&t.AcceptPercent, 10)
	def(&t.AcceptDays, 2)
	return t
}

// Learn closes a day: it makes the model of that day from the one before (nil: this is the first)
// and what the day added. The model before is not changed. Days between them on which nothing was
// closed decay as days without events.
func Learn(before *Model, key Key, day int64, d *Delta, terms Terms) *Model {
	terms = terms.Defaults()
	m := before.clone(key, day)
	m.Day = day
	if d.Learned > 0 {
		m.Seen = max(m.Seen, day)
		m.Agents = d.AgentDays
		m.Baselines = uint64(len(d.Baselines))
	}
	m.Audit.Learn(&d.Audit)
	if !m.Frozen && m.State != Suspect {
		m.Sessions += d.Sessions
		m.AgentDays = Decayed(m.AgentDays, HalfLife14) + d.AgentDays*Unit
		m.KnownAgents.Learn(day, d.Acted)
		m.learnParts(d, terms)
	}
	if m.State != Suspect {
		m.updateState(terms)
	}
	m.setHash()
	return m
}

// updateState finds out how far the baseline can be trusted.
func (m *Model) updateState(terms Terms) {
	day := m.Day
	switch {
	case terms.Approved:
		m.State = Active
	case m.Forked != 0 && m.forkTooYoung(day, terms):
		m.State = Learning
	case day-m.First+1 < terms.LearnDays || m.Sessions < terms.LearnSessions && m.AgentDays < terms.LearnSessions*Unit:
		m.State = Learning
	case day-m.Seen > staleDays:
		m.State = Stale
	default:
		m.State = Active
	}
}

// forkTooYoung tells whether a fork is still too young to raise an alert.
func (m *Model) forkTooYoung(day int64, terms Terms) bool {
	age := day - m.Forked + 1
	return age < forkDays || age < terms.LearnDays && m.Sessions-min(m.Sessions, m.Inherited) < terms.LearnSessions/4
}

// Fork begins a fork from what its parent knows by a day: agents of another version mostly do the
// same work, but until they have shown it nothing is an alert.
func Fork(parent *Model, key Key, day int64) *Model {
	m := parent.clone(key, day)
	m.Parent, m.Forked, m.Inherited = parent.Fork, day, m.Sessions
	if m.State != Suspect {
		m.State = Learning
	}
	m.setHash()
	return m
}

// Rebase returns the model as if it had been closed on another day: for events that are replayed
// long before or after those that it was learned from.
func Rebase(m *Model, day int64) *Model {
	n := m.clone(m.Key, day)
	by := day - m.Day
	n.Day, n.First, n.Seen = m.Day+by, m.First+by, m.Seen+by
	if n.Forked != 0 {
		n.Forked += by
	}
	for i := range n.KnownAgents {
		n.KnownAgents[i].Last += by
	}
	n.setHash()
	return n
}

// Changed returns a copy that a person's word has changed. State is found anew unless change makes
// it Suspect.
func Changed(m *Model, terms Terms, change func(*Model)) *Model {
	n := m.clone(m.Key, m.Day)
	n.State = Learning
	if change(n); n.State != Suspect {
		n.updateState(terms.Defaults())
	}
	n.setHash()
	return n
}

// Decide takes a person's word on what waits for it in quarantine: item is a name as Shift has it.
// False: nothing of that name waits.
func (m *Model) Decide(item string, accept bool) (found bool) {
	for _, p := range m.parts {
		if p != nil && p.Decide(item, accept, m.Day) {
			found = true
		}
	}
	return found
}

// clone is a deep copy by way of the encoding, or a new model.
func (m *Model) clone(key Key, day int64) *Model {
	if m == nil {
		return &Model{Key: key, First: day, Seen: day}
	}
	n := &Model{}
	r := wire.Reader{B: m.Append(nil)}
	n.Decode(&r)
	if r.Err != nil {
		panic("baselines: a model does not read what it wrote") // our bug
	}
	n.Key = key
	return n
}

// Append encodes the model: the same content gives the same bytes.
func (m *Model) Append(b []byte) []byte {
	b = append(b, m.parts.format())
	b = wire.AppendString(wire.AppendString(wire.AppendString(b, m.Tenant), m.Persona), m.Fork)
	b = binary.AppendVarint(b, m.Day)
	b = binary.AppendVarint(b, m.First)
	b = binary.AppendVarint(b, m.Seen)
	flags := byte(0)
	if m.Frozen {
		flags = 1
	}
	b = append(b, byte(m.State), flags)
	b = binary.AppendUvarint(b, m.Sessions)
	b = wire.AppendString(b, m.Parent)
	b = binary.AppendVarint(b, m.Forked)
	b = binary.AppendUvarint(b, m.Inherited)
	b = binary.AppendUvarint(b, m.AgentDays)
	b = binary.AppendUvarint(b, m.Agents)
	b = binary.AppendUvarint(b, m.Baselines)
	b = m.KnownAgents.Append(b)
	b = m.parts.appendUnframed(b, emptyModel)
	return m.parts.appendFramed(m.Audit.Append(b))
}

// Decode reads what Append wrote, into memory of its own, and derives the rest.
func (m *Model) Decode(r *wire.Reader) {
	framed := readFormat(r)
	m.Tenant, m.Persona, m.Fork = r.String(), r.String(), r.String()
	m.Day, m.First, m.Seen = r.Varint(), r.Varint(), r.Varint()
	m.State = State(r.Byte())
	if int(m.State) >= len(states) {
		r.Fail()
	}
	m.Frozen = r.Byte()&1 != 0
	m.Sessions = r.Uvarint()
	m.Parent, m.Forked, m.Inherited = r.String(), r.Varint(), r.Uvarint()
	m.AgentDays, m.Agents, m.Baselines = r.Uvarint(), r.Uvarint(), r.Uvarint()
	m.KnownAgents.Decode(r)
	m.parts.readUnframed(r, emptyModel)
	m.Audit.Decode(r)
	if framed {
		m.parts.readFramed(r, emptyModel)
	}
	if r.Err == nil {
		m.setHash()
	}
}

// Hash is the first 64 bits of the SHA-256 of the encoded model, in hex: what findings cite as
// their snapshot.
func (m *Model) Hash() string { return m.hash }

// Snapshot names the model in findings: its day and its hash.
func (m *Model) Snapshot() string {
	return time.UnixMilli(m.Day*DayMS).UTC().Format(time.DateOnly) + "/" + m.hash
}

// setHash sets the hash: models are shared, so nothing is left to be done later.
func (m *Model) setHash() {
	sum := sha256.Sum256(m.Append(nil))
	m.hash = hex.EncodeToString(sum[:8])
}
