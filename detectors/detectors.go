// Package detectors decides what strays. A detector is one file and one line in the registry below.
//
// The behaviour stage shows every detector every event of an agent; what is counted above one agent a detector contributes to a meter, and the
// relation stage shows it the meter's buckets once no event can come before them. The key decides the stage, the detector need not care:
// it holds no state of its own, only parts of pages, which the engine saves, undoes and brings back.
package detectors

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// Detector watches events. Observe must depend on nothing but its arguments: no clock, no random, no map order, no memory of its own.
type Detector interface {
	Observe(x *Scene, e *event.Event)
}

// Relater is a detector that also counts above one agent.
type Relater interface {
	// Relate sees one bucket of one scope that Observe contributed to, in order of time, when the relation stage closes it.
	Relate(x *Closing, b *Bucket)
}

// Noter is a detector that tells the relation stage of single events, in a form of its own.
type Noter interface {
	// Note sees what Observe told about a scope, in order of (time, id), once the watermark has passed it.
	Note(x *Closing, n *Note)
}

// kind describes a detector to the engine.
type kind struct {
	name string
	slot byte // names its part on disk: never changed, never reused
	new  func(slot byte, set *policy.Set) Detector
	part func() Part // an empty part
}

// registry lists the detectors in the order in which they see an event.
var registry = []kind{
	{"policy", 1, newPersonaPolicy, func() Part { return new(conduct) }},
	{"limit", 2, newVolume, func() Part { return new(meterPart) }},
	{"declaration", 3, newDeclaration, func() Part { return new(contradictions) }},
	{"separation", 4, newSeparation, func() Part { return new(duties) }},
	{"inventory", 5, newInventory, func() Part { return new(inventoryPart) }},
}

// Names are the detectors' names, as findings and metrics carry them.
func Names() []string {
	out := make([]string, len(registry))
	for i, k := range registry {
		out[i] = k.name
	}
	return out
}

// Panel is the detectors compiled for one set of policies. A shard has one of its own, so what it remembers needs no lock; it remembers only
// what follows from the set.
type Panel struct {
	Set     *policy.Set
	list    []Detector
	who     map[[2]string]*Who
	tools   map[toolKey]*knownTool
	recent  [256]*knownTool // of tools, by a few bytes of the name: hashing three names costs more than all that the catalogue does with most calls
	scratch policy.Scratch
}

type knownTool struct {
	toolKey
	*policy.Tool
}

// Who is a tenant and a persona that its agents play: one for each pair, so that its address serves as a key.
type Who struct {
	Tenant, Persona string
	Role            *policy.Persona // nil: the set says nothing of the persona
	Judge           *policy.Judge   // of Role
	Hash            uint64          // of the tenant
}

type toolKey struct {
	tenant, name, server string
	readOnly, openWorld  event.Tri
	class                event.Class
}

// Bounds of what a panel remembers by names that events bring; beyond, it starts anew.
const (
	maxNames = 20_000
	maxTools = 5_000 // each with the names of its arguments
)

// New compiles every detector for a set.
func New(set *policy.Set) *Panel {
	p := &Panel{Set: set, who: map[[2]string]*Who{}, tools: map[toolKey]*knownTool{}}
	for _, k := range registry {
		p.list = append(p.list, k.new(k.slot, set))
	}
	return p
}

// Who returns the one Who of a tenant and a persona, which may be "".
func (p *Panel) Who(tenant, persona string) *Who {
	if w := p.who[[2]string{tenant, persona}]; w != nil {
		return w
	}
	if len(p.who) >= maxNames {
		clear(p.who)
	}
	w := &Who{Tenant: strings.Clone(tenant), Persona: strings.Clone(persona), Role: p.Set.Persona(tenant, persona), Judge: p.Set.Judge(tenant, persona), Hash: xxhash.Sum64String(tenant)}
	p.who[[2]string{w.Tenant, w.Persona}] = w
	return w
}

// tool returns what the catalogue knows of the event's tool.
func (p *Panel) tool(tenant string, t *event.Tool) *policy.Tool {
	k := toolKey{tenant, t.Name, t.Server, t.ReadOnlyHint, t.OpenWorldHint, t.Class}
	n := len(t.Name)
	slot := byte(n) + byte(t.Class)
	if n > 0 {
		slot += 31*t.Name[n-1] + 7*t.Name[n/2] + 3*t.Name[0]
	}
	if r := p.recent[slot]; r != nil && r.toolKey == k {
		return r.Tool
	}
	known := p.tools[k]
	if known == nil {
		if len(p.tools) >= maxTools {
			clear(p.tools)
		}
		k.tenant, k.name, k.server = strings.Clone(tenant), strings.Clone(t.Name), strings.Clone(t.Server)
		own := *t
		own.Name, own.Server = k.name, k.server
		own.DefinitionHash, own.HashVersion = "", ""
		known = &knownTool{k, p.Set.Catalogue().Tool(k.tenant, &own)}
		p.tools[k] = known
	}
	p.recent[slot] = known
	return known.Tool
}

// Reset gives back the memory of texts that the catalogue took out of arguments. What was observed before must be done with.
func (p *Panel) Reset() { p.scratch.Reset() }

// Observe completes an event from the tool catalogue and shows it to every detector.
func (p *Panel) Observe(x *Scene, e *event.Event) {
	x.Tool = nil
	if e.Kind == event.ToolCall {
		x.Tool = p.tool(e.Tenant, &e.Tool)
		x.Tool.Complete(e, &p.scratch)
	}
	for _, d := range p.list {
		d.Observe(x, e)
	}
}

// Relate shows a closed bucket to the detector that contributed to it.
func (p *Panel) Relate(x *Closing, b *Bucket) {
	for i, k := range registry {
		if k.slot == b.Slot {
			if r, ok := p.list[i].(Relater); ok {
				r.Relate(x, b)
			}
			return
		}
	}
}

// Note shows a note to the detector that told it.
func (p *Panel) Note(x *Closing, n *Note) {
	for i, k := range registry {
		if k.slot == n.Slot {
			if r, ok := p.list[i].(Noter); ok {
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
	Decode(r *baselines.Reader)
}

// Memory is what the detectors remember of one entity: an agent, a session, or a scope above agents. The zero value is empty.
type Memory struct {
	parts [slots]Part // by slot: an array, since a slice would be one more cold line of memory for each event
}

// slots bounds the slots of the registry; slot 0 ends an encoded memory.
const slots = 6

// Part returns the part of a slot, or nil.
func (m *Memory) Part(slot byte) Part { return m.parts[slot] }

// Ensure returns the part of a slot, making an empty one if there is none.
func (m *Memory) Ensure(slot byte) Part {
	if m.parts[slot] == nil {
		m.parts[slot] = partOf(slot)
	}
	return m.parts[slot]
}

func partOf(slot byte) Part {
	for _, k := range registry {
		if k.slot == slot {
			return k.part()
		}
	}
	panic(fmt.Sprintf("detectors: no detector has slot %d", slot))
}

func known(slot byte) bool {
	for _, k := range registry {
		if k.slot == slot {
			return true
		}
	}
	return false
}

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

// Decode reads what Append wrote. The part of a detector that this binary does not have is left out.
func (m *Memory) Decode(r *baselines.Reader) {
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
		sub := baselines.Reader{B: r.B[4 : 4+n]}
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
	// Session returns the memory of the event's session; nil if it has none, or the tenant's cap is reached.
	Session() *Memory
	// Find records a finding. The shard fills in what it knows: tenant, agent, persona, session, user and tool of the event.
	Find(f event.Finding)
	// Settled tells whether what a violation of this event asks for is in force, or was ended by a person: a finding that merely goes on need not be made.
	// own is the scope of the finding.
	Settled(r *event.Response, own event.ScopeType) bool
	// Contribute adds the event to meters of one scope above its agent. Nothing of what it is given is kept.
	Contribute(slot byte, scope policy.Scope, id string, list []Contribution)
	// Tell sends a note about a scope of the event's tenant to the relation stage. The body is copied. Notes on one scope that say the same within
	// BucketMS of event time are one, the earliest.
	Tell(slot byte, scope policy.Scope, id string, body []byte)
}

// Note is what one event has to say about a scope above its agent.
type Note struct {
	Slot   byte
	Scope  policy.Scope
	Tenant string
	ID     string
	Ref    event.Ref
	Body   []byte // the detector's own form
}

// Sums is one number for each column of a window.
type Sums = baselines.Sums

// Scene is one event as the detectors see it.
type Scene struct {
	Host
	*Who          // tenant, and persona as sent or looked up ("" if unknown)
	Time  int64   // event time made sane, Unix milliseconds
	Agent *Memory // of the event's agent
	Tool  *policy.Tool
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
	// Keep writes what is known of a thing to the topic of the inventory; nil: nobody asks.
	Keep func(t *event.Thing)
}

// risk is the risk score of a finding by severity, until detectors weigh their own.
func risk(s event.Severity) int {
	return [...]int{0, 10, 25, 50, 75, 95}[s]
}
