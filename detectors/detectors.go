// Package detectors decides what strays. A detector is one file and one line in the registry below.
//
// The behaviour stage shows every detector every event of an agent; what is counted above one agent
// a detector contributes to a meter, and the relation stage shows it the meter's buckets once no
// event can come before them. The key decides the stage, the detector need not care: it holds no
// state of its own, only parts of pages, which the engine saves, undoes and brings back.
package detectors

import (
	"encoding/binary"
	"math"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/localtime"
	"github.com/wayward-sec/wayward/event/memo"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// Detector watches events. Observe must depend on nothing but its arguments: no clock, no random,
// no map order, no memory of its own.
type Detector interface {
	Observe(x *Scene, e *event.Event)
}

// Relater is a detector that also counts above one agent.
type Relater interface {
	// Relate sees one bucket of one scope that Observe contributed to, in order of time, when the
	// relation stage closes it.
	Relate(x *Closing, b *Bucket)
}

// Follower is a detector that looks at what another one counts above one agent.
type Follower interface {
	// Follow sees each bucket after the detector that contributed to it.
	Follow(x *Closing, b *Bucket)
}

// Noter is a detector that tells the relation stage of single events, in a form of its own.
type Noter interface {
	// Note sees what Observe told about a scope, in order of (time, id), once the watermark has
	// passed it.
	Note(x *Closing, n *Note)
}

// Waiter is a detector that waits for what may not come.
type Waiter interface {
	// Due is when it next has something to say about a scope if nothing comes, event time;
	// math.MaxInt64: never.
	Due(m *Memory) int64
	// Ring says it, once the watermark has passed the time.
	Ring(x *Closing, t int64)
}

// Ender is a detector that keeps something of a session until it is over.
type Ender interface {
	// End sees a session that has ended: said to be, or idle for SessionIdleMS. It drops the part
	// that it kept of it.
	End(x *Ending)
}

// RuleCounter is a detector that runs rules, whose work is measured.
type RuleCounter interface {
	// Looked reports for each rule how many of its conditions were looked at since the last call.
	Looked(report func(rule string, n int64))
	// Unseen reports fields that rules ask for and no event carried; it returns how many events
	// there were.
	Unseen(report func(rule, field string)) (events int64)
}

// SessionIdleMS is how long a session may be idle before it counts as over (docs/statistics.md,
// Order of calls); what comes later under its name is another one.
const SessionIdleMS = 30 * 60_000

// Ending is a session that is over.
type Ending struct {
	*Who
	Time     int64 // of its newest event, Unix milliseconds
	AgentID  uint64
	Memory   *Memory // of the session
	Agent    *Memory // of its agent; nil: it is not to be had
	Delta    *baselines.Delta
	Eligible bool // whether what it shows may be learned
}

// Panel is the detectors compiled for one set of policies. A shard has one of its own, so what it
// remembers needs no lock; it remembers only what follows from the set.
type Panel struct {
	Set     *policy.Set
	List    []Detector
	waiters []Waiter // of them
	who     map[baselines.Key]*Who
	// by a few bytes of the name: hashing three names costs more than all that the catalogue does
	// with most calls
	tools   memo.Map[toolKey, *catalogue.Tool]
	scratch catalogue.Scratch
}

// Who is a tenant and a persona that its agents play, in one fork: one for each, so that its
// address serves as a key.
type Who struct {
	baselines.Key
	Role  *policy.Persona // nil: the set says nothing of the persona
	Judge *policy.Judge   // of Role
	Hash  uint64          // of the tenant
	Terms *policy.Baseline
	Zone  *localtime.Clock

	// Base is what was learned of the persona by the day in force; nil: nothing. Since and Until
	// are the event times for which it is in force, so that it need not be asked for with each
	// event: the shard keeps them.
	Base         *baselines.Model
	Since, Until int64
	alpha        [baselines.Tests]float64 // thresholds on p-values that follow from Base and Terms
	// Approved says that what is seen is known to be good: it calls nobody, and all of it is
	// learned, be it ever so odd.
	Approved bool

	// Delta is what the shard gathers for the baseline on Day; nil: nothing yet. It lies here so
	// that an event need not look for it.
	Delta *baselines.Delta
	Day   int64
}

// Rest sets the baseline that is in force from since to until.
func (w *Who) Rest(base *baselines.Model, since, until int64) {
	w.Base, w.Since, w.Until = base, since, until
	w.alpha = [baselines.Tests]float64{}
	if base == nil || w.Approved {
		return
	}
	budget := Budget(base, w.Terms)
	for t := range w.alpha {
		w.alpha[t] = base.Audit.Alpha(baselines.Test(t), budget)
	}
}

// Budget is how many false alerts a baseline may cause on a day: the persona's own number, or less
// if all baselines of the tenant would together go beyond what the tenant may.
func Budget(base *baselines.Model, terms *policy.Baseline) float64 {
	budget := terms.AlertsPerDay
	if base.Prior != nil && base.Prior.Baselines > 0 {
		budget = min(budget, terms.TenantAlertsPerDay/float64(base.Prior.Baselines))
	}
	return budget
}

// Alpha is the p-value below which a test calls somebody: its share of the persona's alert budget
// over how many are made on a day. 0: nothing does.
func (w *Who) Alpha(t baselines.Test) float64 { return w.alpha[t] }

// OfAge tells whether a baseline in force is old enough to call somebody, so that what is unusual
// is known and need not be guessed by a number that holds for everybody.
func (w *Who) OfAge() bool { return w.Base != nil && w.Base.State == baselines.Active }

// signalFactor says how much more often a signal may be false than an alert.
const signalFactor = 10

// Weigh tells what a p-value is worth: an alert if it is within the test's share of the budget and
// the baseline is of age and can speak of the agent, else perhaps a signal, which is recorded and
// calls nobody.
func (x *Scene) Weigh(t baselines.Test, p float64) (tell, alert bool) {
	a := x.alpha[t]
	switch {
	case p >= min(signalFactor*a, 0.01):
		return false, false
	case x.Base.State != baselines.Active && x.Base.State != baselines.Stale, x.stranger(t):
		return true, false
	}
	return true, p < a
}

// stranger tells whether the agent may bring things anew because it is new itself.
func (x *Scene) stranger(t baselines.Test) bool {
	return t.Family() == baselines.RarityFamily && !x.Base.KnownAgents.Knows(x.AgentID)
}

// Local is a time on the persona's own clock: Unix milliseconds plus the offset of its zone then.
func (w *Who) Local(t int64) int64 { return w.Zone.Local(t) }

type toolKey struct {
	tenant, name, server string
	readOnly, openWorld  event.Tri
	class                event.Class
	sent                 string
}

// Bounds of what a panel remembers by names that events bring; beyond, it starts anew.
const (
	MaxNames = 20_000
	maxTools = 5_000 // each with the names of its arguments
)

// New compiles every detector for a set.
func New(set *policy.Set) *Panel {
	p := &Panel{Set: set, who: map[baselines.Key]*Who{}, tools: memo.NewMap[toolKey, *catalogue.Tool](maxTools)}
	for i := range registered {
		d := registered[i].New(registered[i].Slot, set)
		p.List = append(p.List, d)
		if w, ok := d.(Waiter); ok {
			p.waiters = append(p.waiters, w)
		}
	}
	return p
}

// Who returns the one Who of a tenant and a persona, which may be "", in a fork.
func (p *Panel) Who(tenant, persona, fork string) *Who {
	if w := p.who[baselines.Key{Tenant: tenant, Persona: persona, Fork: fork}]; w != nil {
		return w
	}
	if len(p.who) >= MaxNames {
		clear(p.who)
	}
	key := baselines.Key{Tenant: strings.Clone(tenant), Persona: strings.Clone(persona), Fork: strings.Clone(fork)}
	w := &Who{Key: key, Role: p.Set.Persona(tenant, persona), Judge: p.Set.Judge(tenant, persona),
		Hash:  xxhash.Sum64String(tenant),
		Terms: p.Set.Baseline(tenant, persona), Zone: localtime.In(p.Set.ZoneOf(tenant, persona))}
	p.who[key] = w
	return w
}

// Detector returns the detector of a slot, or nil.
func (p *Panel) Detector(slot byte) Detector {
	for i := range registered {
		if registered[i].Slot == slot {
			return p.List[i]
		}
	}
	return nil
}

// Each shows every Who.
func (p *Panel) Each(f func(*Who)) {
	for _, w := range p.who {
		f(w)
	}
}

// tool returns what the catalogue knows of the event's tool.
func (p *Panel) Tool(tenant string, t *event.Tool) *catalogue.Tool {
	k := toolKey{tenant, t.Name, t.Server, t.ReadOnlyHint, t.OpenWorldHint, t.Class, t.Sent}
	n := len(t.Name)
	slot := byte(n) + byte(t.Class)
	if n > 0 {
		slot += 31*t.Name[n-1] + 7*t.Name[n/2] + 3*t.Name[0]
	}
	if known, ok := p.tools.Near(uint64(slot), k); ok {
		return known
	}
	known, ok := p.tools.Far(uint64(slot), k)
	if !ok {
		k.tenant, k.name, k.server, k.sent = strings.Clone(tenant), strings.Clone(t.Name), strings.Clone(
			t.Server), strings.Clone(t.Sent)
		own := *t
		own.Name, own.Server, own.Sent = k.name, k.server, k.sent
		own.DefinitionHash, own.HashVersion = "", ""
		known = p.Set.Catalogue().Tool(k.tenant, &own)
		p.tools.Put(uint64(slot), k, known)
	}
	return known
}

// End shows a session that is over to the detectors that keep something of sessions.
func (p *Panel) End(x *Ending) {
	for _, d := range p.List {
		if e, ok := d.(Ender); ok {
			e.End(x)
		}
	}
}

// Reset gives back the memory of texts that the catalogue took out of arguments. What was observed
// before must be done with.
func (p *Panel) Reset() { p.scratch.Reset() }

// Complete begins a scene: it fills in what the tool catalogue knows, and clears what detectors
// found.
func (p *Panel) Complete(x *Scene, e *event.Event) {
	x.Tool, x.Violations, x.Odd = nil, nil, nothingOdd
	if e.Kind == event.ToolCall {
		x.Tool = p.Tool(e.Tenant, &e.Tool)
		x.Tool.Complete(e, &p.scratch)
	}
}

// Observe completes an event from the tool catalogue and shows it to every detector.
func (p *Panel) Observe(x *Scene, e *event.Event) {
	p.Complete(x, e)
	for _, d := range p.List {
		d.Observe(x, e)
	}
}

// Broken shows a record that did not decode to the detectors that count such: e says whose it is,
// and nothing else.
func (p *Panel) Broken(x *Scene, e *event.Event, reason string) {
	x.Tool, x.Violations, x.Odd = nil, nil, nothingOdd
	for _, d := range p.List {
		if b, ok := d.(interface {
			Broken(x *Scene, e *event.Event, reason string)
		}); ok {
			b.Broken(x, e, reason)
		}
	}
}

// Looked reports for each rule how many of its conditions were looked at since the last call, where
// there were any.
func (p *Panel) Looked(report func(rule string, n int64)) {
	for _, d := range p.List {
		if d, ok := d.(RuleCounter); ok {
			d.Looked(report)
		}
	}
}

// Unseen reports which fields some rule asks for that no event carried so far, of one in 32 events;
// it returns how many events there were in all.
func (p *Panel) Unseen(report func(rule, field string)) (events int64) {
	for _, d := range p.List {
		if d, ok := d.(RuleCounter); ok {
			events += d.Unseen(report)
		}
	}
	return events
}

// Relate shows a closed bucket to the detector that contributed to it.
func (p *Panel) Relate(x *Closing, b *Bucket) {
	for i := range registered {
		if registered[i].Slot == b.Slot {
			if r, ok := p.List[i].(Relater); ok {
				r.Relate(x, b)
			}
			break
		}
	}
	for _, d := range p.List {
		if f, ok := d.(Follower); ok {
			f.Follow(x, b)
		}
	}
}

// Due is when some detector next has something to say about a scope if nothing comes.
func (p *Panel) Due(m *Memory) int64 {
	due := int64(math.MaxInt64)
	for _, w := range p.waiters {
		due = min(due, w.Due(m))
	}
	return due
}

// Ring lets those speak whose time has come.
func (p *Panel) Ring(x *Closing, t int64) {
	for _, w := range p.waiters {
		w.Ring(x, t)
	}
}

// Note shows a note to the detector that told it.
func (p *Panel) Note(x *Closing, n *Note) {
	for i := range registered {
		if registered[i].Slot == n.Slot {
			if r, ok := p.List[i].(Noter); ok {
				r.Note(x, n)
			}
			return
		}
	}
}

// Part is what one detector remembers of one entity.
type Part interface {
	// Append encodes the part; an empty part may append nothing and is then forgotten.
	Append(b []byte) []byte
	// Decode reads what Append wrote.
	Decode(r *wire.Reader)
}

// Memory is what the detectors remember of one entity: an agent, a session, or a scope above
// agents. The zero value is empty.
type Memory struct {
	// by slot: an array, since a slice would be one more cold line of memory for each event
	parts [Slots]Part
}

// Part returns the part of a slot, or nil.
func (m *Memory) Part(slot byte) Part { return m.parts[slot] }

// Ensure returns the part of a slot, making an empty one if there is none.
func (m *Memory) Ensure(slot byte) Part {
	if m.parts[slot] == nil {
		m.parts[slot] = kindOf(slot).Part()
	}
	return m.parts[slot]
}

// Begin forgets what is remembered of a session, since another one of its name begins. Parts that
// their detectors keep stay: see Kind.Keeps.
func (m *Memory) Begin(ended, started bool) {
	for i := range registered {
		k := &registered[i]
		if m.parts[k.Slot] != nil && (k.Keeps == nil || !k.Keeps(ended, started)) {
			m.parts[k.Slot] = nil
		}
	}
}

// Set puts a part in its slot.
func (m *Memory) Set(slot byte, p Part) { m.parts[slot] = p }

// Drop forgets the part of a slot.
func (m *Memory) Drop(slot byte) { m.parts[slot] = nil }

// Append encodes the memory.
func (m *Memory) Append(b []byte) []byte {
	for slot, part := range m.parts {
		if part == nil {
			continue
		}
		at := len(b)
		b = append(b, byte(slot), 0, 0, 0, 0)
		body := len(b)
		if b = part.Append(b); len(b) == body {
			b = b[:at]
			continue
		}
		binary.BigEndian.PutUint32(b[at+1:], uint32(len(b)-body))
	}
	return append(b, 0)
}

// Decode reads what Append wrote. The part of a detector that this binary does not have is left
// out.
func (m *Memory) Decode(r *wire.Reader) {
	*m = Memory{}
	for {
		slot := r.Byte()
		if slot == 0 {
			return
		}
		if len(r.B) < 4 {
			r.Byte()
			r.Uint64() // too short on purpose: sets Err
			return
		}
		n := binary.BigEndian.Uint32(r.B)
		if uint64(n) > uint64(len(r.B)-4) {
			r.B = r.B[:0]
			r.Byte()
			return
		}
		sub := wire.Reader{B: r.B[4 : 4+n]}
		r.B = r.B[4+n:]
		if !known(slot) {
			continue
		}
		m.Ensure(slot).Decode(&sub)
		if sub.Err != nil && r.Err == nil {
			r.Err = sub.Err
		}
	}
}

// Host is what a detector may ask of the shard that runs it.
type Host interface {
	// Session returns the memory of the event's session; nil if it has none, or the tenant's cap is
	// reached.
	Session() *Memory
	// Find records a finding. The shard fills in what it knows: tenant, agent, persona, session,
	// user and tool of the event.
	Find(f event.Finding)
	// Settled tells whether what a violation of this event asks for is in force, or was ended by a
	// person: a finding that merely goes on need not be made. own is the scope of the finding.
	Settled(r *event.Response, own event.ScopeType) bool
	// Contribute adds the event to meters of one scope above its agent. Nothing of what it is given
	// is kept.
	Contribute(slot byte, scope policy.Scope, id string, list []Contribution)
	// Tell sends a note about a scope of the event's tenant to the relation stage. The body is
	// copied. Notes on one scope that say the same within BucketMS of event time are one, the
	// earliest.
	Tell(slot byte, scope policy.Scope, id string, body []byte)
	// Count counts something that a rule has come to: match, excepted, error (an expression
	// failed), failing (it did so too often in a row), dropped (something was forgotten for want of
	// room); or of a limit: unmeasured (it is about the call and cannot measure it).
	Count(what, rule string)
}

// Note is what one event has to say about a scope above its agent.
type Note struct {
	Slot   byte
	Scope  policy.Scope
	Tenant string
	ID     string
	Ref    event.Ref
	// of its event in the log that it came in: of two in one millisecond the log's order counts
	Order int64
	Body  []byte // the detector's own form
}

// Before is the order in which notes are told: by time, then as their events lie in their logs.
// Events of two logs have no order of their own; ids give them one.
func (n *Note) Before(o *Note) bool {
	if n.Ref.Time != o.Ref.Time {
		return n.Ref.Time < o.Ref.Time
	}
	if n.Order != o.Order {
		return n.Order < o.Order
	}
	return n.Ref.Before(o.Ref)
}

// Sums is one number for each column of a window.
type Sums = baselines.Sums

// Scene is one event as the detectors see it.
type Scene struct {
	Host
	*Who // tenant, and persona as sent or looked up ("" if unknown)
	// Mismatch is how the persona that the event says, or its agent said last, disagrees with the
	// registry.
	Mismatch policy.Mismatch
	Time     int64   // event time made sane, Unix milliseconds
	Agent    *Memory // of the event's agent
	// event time at which the event's session began; 0: not known. With its name it tells a session
	// from others that had the name
	Began int64
	Tool  *catalogue.Tool

	AgentID uint64 // hash of the tenant and the agent's id
	// Delta gathers what the day adds to the persona's baseline. Counts of tests go there always,
	// what is learned if Eligible.
	Delta    *baselines.Delta
	Eligible bool // what the event shows may be learned: no breaker is open, nobody looks into the agent
	NewDay   bool // the agent's first event on this UTC day

	// What detectors have said of the event so far, for those behind them.
	Violations []policy.Violation // of its persona's policy; they live as long as the event is looked at
	// Odd is, by slot, the smallest p-value that a detector came to with the event; 1: nothing is
	// odd.
	Odd [Slots]float64
}

// Ref points at the event under observation. Its agent is left out: it is the page's own.
func (x *Scene) Ref(e *event.Event) event.Ref { return event.Ref{Time: x.Time, ID: e.ID} }

// Closing is what a detector sees when the relation stage closes a bucket.
type Closing struct {
	Tenant string
	ID     string  // of the scope
	Memory *Memory // of the scope
	// Find records a finding about the scope; the shard fills in tenant and scope.
	Find func(f event.Finding)
	// Base is what was learned of the persona that the scope is, as it is in force at a time; it
	// returns nil if the scope is none or nothing is known.
	Base func(t int64) *baselines.Model
	// Count counts something that a rule has come to.
	Count func(what, rule string)
	// Keep writes what is known of a thing to the topic of the inventory; nil: nobody asks.
	Keep func(t *event.Thing)
}

// risk is the risk score of a finding by severity, until detectors weigh their own.
func Risk(s event.Severity) int {
	return [...]int{0, 10, 25, 50, 75, 95}[s]
}
