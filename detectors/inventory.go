package detectors

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// inventory keeps what was seen: agents, tools and servers. It says when one is not registered, is retired and acts all the same, comes in a new
// version, or has another definition than before (a tool that changes what it is under the same name: MITRE ATLAS AML.T0109, peers' "rug pull").
//
// An agent is told of when its record changes and once an hour of event time, a tool and a server once an hour by each agent that uses them. A new
// hash under a new hash_version is a change of the hash's form, not of the tool.
type inventory struct {
	slot byte
	reg  *policy.Inventory
	body []byte
}

func newInventory(slot byte, set *policy.Set) Detector {
	return &inventory{slot: slot, reg: set.Inventory()}
}

// inventoryPart is what an agent has told of, on an agent's page, and what is known of a thing, on the thing's.
type inventoryPart struct {
	told []sighting
	*entry
}

// sighting is a thing that an agent has told of, as a hash of all that was said of it.
type sighting struct {
	hash uint64
	hour int64
}

// maxSightings bounds what is remembered of one agent; what falls out is told again.
const maxSightings = 32

// tells notes a thing and says whether it is to be told of: it was not in this hour.
func (p *inventoryPart) tells(hash uint64, hour int64) bool {
	for i := range p.told {
		if t := &p.told[i]; t.hash == hash {
			due := t.hour < hour
			t.hour = max(t.hour, hour)
			return due
		}
	}
	if len(p.told) == maxSightings {
		p.told = append(p.told[:0], p.told[1:]...)
	}
	p.told = append(p.told, sighting{hash, hour})
	return true
}

func (d *inventory) Observe(x *Scene, e *event.Event) {
	if e.Kind == event.Audit {
		d.audited(x, e)
		return
	}
	hour := baselines.FloorDiv(x.Time, 3_600_000)
	p := x.Agent.Ensure(d.slot).(*inventoryPart)
	a := &e.Agent
	d.say("", x.Persona, a.Owner, a.Model, a.Version)
	if d.body = append(d.body, byte(a.Tier)); p.tells(xxhash.Sum64(d.body), hour) {
		x.Tell(d.slot, policy.AgentScope, a.ID, d.body)
	}
	if e.Kind != event.ToolCall {
		return
	}
	t := &e.Tool
	d.say("", t.Name, t.Server, t.DefinitionHash, t.HashVersion)
	if d.body = append(d.body, byte(t.Class)); !p.tells(xxhash.Sum64(d.body), hour) {
		return
	}
	id := t.Name
	if t.Server != "" {
		id = t.Server + "|" + t.Name
	}
	x.Tell(d.slot, policy.ToolScope, id, d.body)
	if t.Server != "" {
		d.say("")
		x.Tell(d.slot, policy.ServerScope, t.Server, d.body)
	}
}

// say writes the body of a note: what an audit event said, then what the event itself says.
func (d *inventory) say(audit string, said ...string) {
	d.body = baselines.AppendString(d.body[:0], audit)
	for _, s := range said {
		d.body = baselines.AppendString(d.body, s)
	}
}

// audited hears of registrations and retirements. A source that the agent can spoof registers nobody.
func (d *inventory) audited(x *Scene, e *event.Event) {
	if e.Source.Trusted == event.No {
		return
	}
	scope, what := policy.Scope(0), ""
	switch e.Audit.Action {
	case "agent_registered", "agent_retired":
		scope, what = policy.AgentScope, strings.TrimPrefix(e.Audit.Action, "agent_")
	case "tool_registered", "tool_retired":
		scope, what = policy.ToolScope, strings.TrimPrefix(e.Audit.Action, "tool_")
	case "server_registered", "server_retired":
		scope, what = policy.ServerScope, strings.TrimPrefix(e.Audit.Action, "server_")
	default:
		return
	}
	id := e.Audit.Target
	if id == "" && scope == policy.AgentScope {
		id = e.Agent.ID
	}
	if id != "" {
		d.say(what)
		x.Tell(d.slot, scope, id, d.body)
	}
}

// entry is what the relation stage knows of one thing.
type entry struct {
	thing   event.Thing
	hashes  []uint64 // of definitions that were seen, at most maxHashes
	audited byte     // 0 nothing, 1 registered, 2 retired: by an audit event
	hour    int64    // in which it was last published
	open    [4]opened
}

const maxHashes = 8

// opened is a finding on a thing that may still grow.
type opened struct {
	count int64
	value string // the version or definition that it is about
	open
}

// Kinds of findings: places in entry.open.
const (
	unregistered = iota
	retired
	newVersion
	newDefinition
)

// Note implements Noter.
func (d *inventory) Note(x *Closing, n *Note) {
	p := x.Memory.Ensure(d.slot).(*inventoryPart)
	if p.entry == nil {
		p.entry = &entry{thing: event.Thing{Kind: n.Scope.String(), Tenant: strings.Clone(n.Tenant), ID: strings.Clone(n.ID), First: n.Ref.Time, Last: n.Ref.Time}}
	}
	k := p.entry
	t := &k.thing
	t.First, t.Last = min(t.First, n.Ref.Time), max(t.Last, n.Ref.Time)
	before := *t
	r := baselines.Reader{B: n.Body}
	audit := r.String()
	text := func(to *string) {
		if s := r.String(); s != "" && s != *to {
			*to = strings.Clone(s)
		}
	}
	switch {
	case audit == "registered":
		k.audited = 1
	case audit == "retired":
		k.audited = 2
	case n.Scope == policy.AgentScope:
		text(&t.Persona)
		text(&t.Owner)
		text(&t.Model)
		text(&t.Version)
		if tier := r.Byte(); tier != 0 {
			t.Tier = int64(tier)
		}
	case n.Scope == policy.ToolScope:
		text(&t.ID)
		text(&t.Server)
		text(&t.DefinitionHash)
		text(&t.HashVersion)
		if c := event.Class(r.Byte()); c != event.NoClass && c <= event.Delegate {
			t.Class = c
		}
	}
	kind, _ := policy.ParseThingKind(t.Kind)
	reg := d.reg.Find(kind, n.Tenant, t.ID, t.Server)
	t.Registered, t.Retired = event.Unkept, reg.Retired || k.audited == 2
	switch {
	case reg.Known || k.audited != 0:
		t.Registered = event.Registered
	case reg.Kept:
		t.Registered = event.Unregistered
	}
	if audit == "" {
		if t.Registered == event.Unregistered {
			d.found(x, n, k, unregistered, "not in the inventory", "")
		}
		if t.Retired {
			d.found(x, n, k, retired, "retired and acts all the same", "")
		}
		if v := t.Version; v != "" && !slices.Contains(t.Versions, v) {
			if len(t.Versions) > 0 && reg.Version != v {
				d.found(x, n, k, newVersion, "in a new version: "+quoted(v)+" after "+quoted(before.Version), v)
			}
			t.Versions = append(t.Versions, v)
			if len(t.Versions) > event.MaxVersions {
				t.Versions = t.Versions[1:]
			}
		}
		if reg.Version != "" && t.Version != reg.Version {
			d.found(x, n, k, newVersion, "in version "+quoted(t.Version)+", the inventory has "+quoted(reg.Version), t.Version)
		}
		d.definition(x, n, k, before, reg)
	}
	if hour := baselines.FloorDiv(t.Last, 3_600_000); hour != k.hour || changed(&before, t) {
		k.hour = hour
		if x.Keep != nil {
			x.Keep(t)
		}
	}
}

// definition looks whether a tool is still what it was.
func (d *inventory) definition(x *Closing, n *Note, k *entry, before event.Thing, reg policy.Registered) {
	t := &k.thing
	if t.DefinitionHash == "" {
		return
	}
	h := xxhash.Sum64String(t.HashVersion + "\x00" + t.DefinitionHash)
	if !slices.Contains(k.hashes, h) {
		rebased := t.HashVersion != before.HashVersion // the form of the hash is new: nothing is known of the tool
		if len(k.hashes) > 0 && !rebased && reg.Hash != t.DefinitionHash {
			d.found(x, n, k, newDefinition, "with another definition than before", t.DefinitionHash)
		}
		k.hashes = append(k.hashes, h)
		if len(k.hashes) > maxHashes {
			k.hashes = k.hashes[1:]
		}
	}
	if reg.Hash != "" && reg.Hash != t.DefinitionHash {
		d.found(x, n, k, newDefinition, "with a definition that is not the one in the inventory", t.DefinitionHash)
	}
}

func changed(a, b *event.Thing) bool {
	return a.Persona != b.Persona || a.Owner != b.Owner || a.Model != b.Model || a.Version != b.Version || a.Tier != b.Tier || a.DefinitionHash != b.DefinitionHash ||
		a.Class != b.Class || a.Registered != b.Registered || a.Retired != b.Retired || a.HashVersion != b.HashVersion
}

func quoted(s string) string {
	if s == "" {
		return "none"
	}
	return strconv.Quote(short(s))
}

// rules of the findings, their titles and tags, by kind.
var inventoryRules = [...]struct {
	rule, title string
	tags        []string
}{
	{"unregistered", "Not in the inventory", []string{"ASI04", "AML.T0103"}},
	{"retired", "Retired and acts all the same", []string{"ASI10"}},
	{"new-version", "New version of an agent", []string{"ASI04"}},
	{"definition-changed", "A tool's definition has changed", []string{"ASI04", "AML.T0109", "AML.T0110"}},
}

// found makes one finding for each thing and kind, updated as it is seen again and again; another version or definition is a finding of its own.
func (d *inventory) found(x *Closing, n *Note, k *entry, kind int, what, value string) {
	t := &k.thing
	o := &k.open[kind]
	activity := event.Update
	if o.count == 0 || value != "" && o.value != value {
		*o = opened{open: open{trigger: n.Ref.Clone(), next: 1}, value: strings.Clone(value)}
		activity = event.Create
	}
	if o.count++; o.count < o.next {
		if d.reg.Response == nil {
			return
		}
		activity = event.Again
	} else {
		o.next = double(o.count)
	}
	r := &inventoryRules[kind]
	f := event.Finding{
		Activity: activity, Analytic: event.RuleAnalytic, Severity: d.reg.Severity, Risk: risk(d.reg.Severity), Alert: d.reg.Severity > event.Signal,
		Detector: "inventory", Rule: r.rule, RuleVersion: "1", Title: r.title, Why: t.Kind + " " + strconv.Quote(short(t.ID)) + " was seen " + what, Tags: r.tags,
		ScopeType: t.Kind, ScopeID: n.ID, Target: value, Time: o.trigger.Time, First: o.trigger.Time, Last: max(n.Ref.Time, o.trigger.Time), Count: o.count, Refs: o.all(),
		Agent: n.Ref.Agent, Persona: t.Persona, Response: d.reg.Response,
	}
	if t.Kind == "tool" {
		f.Tool, f.Server = t.ID, t.Server
	} else if t.Kind == "server" {
		f.Server = t.ID
	}
	x.Find(f)
}

// Append encodes the part.
func (p *inventoryPart) Append(b []byte) []byte {
	if len(p.told) == 0 && p.entry == nil {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(p.told)))
	for _, s := range p.told {
		b = binary.AppendVarint(binary.BigEndian.AppendUint64(b, s.hash), s.hour)
	}
	k := p.entry
	if k == nil {
		return append(b, 0)
	}
	b = append(b, 1)
	t := &k.thing
	for _, s := range []string{t.Kind, t.Tenant, t.ID, t.Server, t.Persona, t.Owner, t.Model, t.Version, t.DefinitionHash, t.HashVersion, t.Registered} {
		b = baselines.AppendString(b, s)
	}
	for _, v := range []int64{t.First, t.Last, t.Tier, k.hour} {
		b = binary.AppendVarint(b, v)
	}
	flags := byte(0)
	if t.Retired {
		flags = 1
	}
	b = append(b, byte(t.Class), flags, k.audited)
	b = binary.AppendUvarint(b, uint64(len(t.Versions)))
	for _, v := range t.Versions {
		b = baselines.AppendString(b, v)
	}
	b = binary.AppendUvarint(b, uint64(len(k.hashes)))
	for _, h := range k.hashes {
		b = binary.BigEndian.AppendUint64(b, h)
	}
	for i := range k.open {
		o := &k.open[i]
		b = binary.AppendVarint(b, o.count)
		if o.count > 0 {
			b = o.open.append(baselines.AppendString(b, o.value))
		}
	}
	return b
}

// Decode reads what Append wrote.
func (p *inventoryPart) Decode(r *baselines.Reader) {
	*p = inventoryPart{}
	for range min(r.Len(), maxSightings) {
		p.told = append(p.told, sighting{r.Uint64(), r.Varint()})
	}
	if r.Byte() == 0 {
		return
	}
	k := &entry{}
	p.entry = k
	t := &k.thing
	for _, s := range []*string{&t.Kind, &t.Tenant, &t.ID, &t.Server, &t.Persona, &t.Owner, &t.Model, &t.Version, &t.DefinitionHash, &t.HashVersion, &t.Registered} {
		*s = r.String()
	}
	for _, v := range []*int64{&t.First, &t.Last, &t.Tier, &k.hour} {
		*v = r.Varint()
	}
	t.Class, t.Retired, k.audited = event.Class(r.Byte()), r.Byte() == 1, r.Byte()
	for range min(r.Len(), event.MaxVersions) {
		t.Versions = append(t.Versions, r.String())
	}
	for range min(r.Len(), maxHashes) {
		k.hashes = append(k.hashes, r.Uint64())
	}
	for i := range k.open {
		o := &k.open[i]
		if o.count = r.Varint(); o.count > 0 {
			o.value = r.String()
			o.open.decode(r)
		}
	}
	if t.Class > event.Delegate {
		r.Err = baselines.ErrShort
	}
}
