package detectors

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// inventory keeps what was seen: agents, tools and servers. It says when one is not registered, is
// retired and acts all the same, comes in a new version, or has another definition than before (a
// tool that changes what it is under the same name: MITRE ATLAS AML.T0109, peers' "rug pull").
//
// Each agent tells of itself, of its tools and of their servers: when what it says is new, and
// again every retell of event time, so that a thing that was retired meanwhile is noticed. A new
// hash under a new hash_version is a change of the hash's form, not of the tool.
type inventory struct {
	slot byte
	reg  *policy.Inventory
	body []byte
}

func newInventory(slot byte, set *policy.Set) Detector {
	return &inventory{slot: slot, reg: set.Inventory()}
}

// inventoryPart is what an agent has told of, on an agent's page, and what is known of a thing, on
// the thing's.
type inventoryPart struct {
	told []sighting
	*entry
}

// sighting is a thing that an agent has told of, as a hash of all that was said of it.
type sighting struct {
	hash uint64
	span int64 // number of the retell in which it was last told
}

const (
	// retell is how often, in milliseconds, an agent tells of what it has told before.
	retell = 5 * 60_000
	// maxSightings bounds what is remembered of one agent; what falls out is told again.
	maxSightings = 32
)

// tells notes a thing, by a hash of what is said of it, and says whether it is to be told of.
func (p *inventoryPart) tells(hash uint64, span int64) bool {
	for i := range p.told {
		if t := &p.told[i]; t.hash == hash {
			due := t.span < span
			t.span = max(t.span, span)
			return due
		}
	}
	if len(p.told) < maxSightings {
		p.told = append(p.told, sighting{hash, span})
	} else {
		// not the oldest: of an agent that goes round and round, most would fall out before they
		// come again
		p.told[hash%maxSightings] = sighting{hash, span}
	}
	return true
}

func (d *inventory) Observe(x *Scene, e *event.Event) {
	if e.Kind == event.Audit {
		d.audited(x, e)
		return
	}
	span := wire.FloorDiv(x.Time, retell)
	p := x.Agent.Ensure(d.slot).(*inventoryPart)
	a := &e.Agent
	said := byte(a.Tier)
	if e.Kind == event.ToolCall && e.Phase != event.Attempt && e.Result.Outcome != event.Denied &&
		e.Policy.Verdict != "deny" {
		said |= acted
	}
	if p.tells(hashed(uint64(policy.AgentScope)<<8|uint64(said), x.Persona, a.Owner, a.Model, a.Version), span) {
		d.say("", x.Persona, a.Owner, a.Model, a.Version)
		x.Tell(d.slot, policy.AgentScope, a.ID, append(d.body, said))
	}
	if e.Kind != event.ToolCall {
		return
	}
	t := &e.Tool
	if !p.tells(hashed(uint64(policy.ToolScope)<<8|uint64(t.Class), t.Name, t.Server, t.DefinitionHash, t.HashVersion),
		span) {
		return
	}
	d.say("", t.Name, t.Server, t.DefinitionHash, t.HashVersion)
	x.Tell(d.slot, policy.ToolScope, event.ToolID(t.Server, t.Name), append(d.body, byte(t.Class)))
	if t.Server != "" {
		d.say("")
		x.Tell(d.slot, policy.ServerScope, t.Server, d.body)
	}
}

// acted, beside the tier in a note of an agent, says that a call of it went through.
const acted = 0x10

// say writes the body of a note: what an audit event said, then what the event itself says.
func (d *inventory) say(audit string, said ...string) {
	d.body = wire.AppendString(d.body[:0], audit)
	for _, s := range said {
		d.body = wire.AppendString(d.body, s)
	}
}

// audited hears of registrations and retirements. A source that the agent can spoof registers
// nobody. The target of a tool is its name, with the server in tool.server, or both as server|name.
func (d *inventory) audited(x *Scene, e *event.Event) {
	if e.Source.Trusted == event.No {
		return
	}
	scope, what := policy.Scope(0), ""
	switch e.Audit.Action {
	case "agent_registered", "agent_retired", "agent_blocked", "agent_unblocked":
		scope, what = policy.AgentScope, strings.TrimPrefix(e.Audit.Action, "agent_")
	case "tool_registered", "tool_retired":
		scope, what = policy.ToolScope, strings.TrimPrefix(e.Audit.Action, "tool_")
	case "server_registered", "server_retired":
		scope, what = policy.ServerScope, strings.TrimPrefix(e.Audit.Action, "server_")
	case "config_change", "policy_change", "permission_change", "agent_updated", "tool_updated":
		what = "changed"
	default:
		return
	}
	before, after := announcement(e.Audit.Before), announcement(e.Audit.After)
	if what == "changed" { // of what it is told says what it is about
		switch {
		case after.DefinitionHash != "":
			scope = policy.ToolScope
		case after.Version != "":
			scope = policy.AgentScope
		default:
			return
		}
	}
	id, server := e.Audit.Target, ""
	if id == "" && scope == policy.ToolScope {
		id = e.Tool.Name
	}
	if id == "" && scope == policy.AgentScope {
		id = e.Agent.ID
	}
	if id == "" || scope == policy.AgentScope && what != "retired" && what != "blocked" && !mayAnnounce(e, id) {
		return
	}
	if what == "blocked" && id == e.Agent.ID { // its next call is told at once, not on the next day
		x.Agent.Ensure(d.slot).(*inventoryPart).told = nil
	}
	name := id
	if scope == policy.ToolScope {
		if server = e.Tool.Server; server == "" {
			if s, n, both := strings.Cut(id, "|"); both {
				server, name = s, n
			}
		}
		if s, n, full := event.SplitTool(name); full {
			server, name = cmp.Or(server, s), n
		}
		id = event.ToolID(server, name)
	}
	d.say(what, name, server, before.Version, after.Version, before.DefinitionHash, before.HashVersion,
		after.DefinitionHash, after.HashVersion)
	x.Tell(d.slot, scope, id, d.body)
}

// entry is what the relation stage knows of one thing.
type entry struct {
	thing   event.Thing
	hashes  []definition // that were seen, at most maxHashes
	audited byte         // 0 nothing, 1 registered, 2 retired: by an audit event
	before  byte         // what it was before that
	since   int64        // event time of that audit event
	// of an agent: event time at which an audit event said that it is blocked; 0: it is not
	blocked int64
	hour    int64    // in which it was last published
	open    []opened // oldest first, at most maxOpened
}

// definition is a definition of a tool: hashes of the hash's form and of itself.
type definition struct{ form, hash uint64 }

// opened is a finding on a thing that may still grow.
type opened struct {
	kind  byte
	count int64
	value string // the version or definition that it is about
	open
}

const (
	maxHashes = 8
	maxOpened = 12
)

// Kinds of findings.
const (
	unregistered byte = iota
	retired
	newVersion
	newDefinition
	blocked
)

// Note implements Noter.
func (d *inventory) Note(x *Closing, n *Note) {
	p := x.Memory.Ensure(d.slot).(*inventoryPart)
	if p.entry == nil {
		p.entry = &entry{thing: event.Thing{Kind: n.Scope.String(), Tenant: strings.Clone(n.Tenant),
			ID: strings.Clone(n.ID), First: n.Ref.Time, Last: n.Ref.Time}}
	}
	k := p.entry
	t := &k.thing
	t.First, t.Last = min(t.First, n.Ref.Time), max(t.Last, n.Ref.Time)
	before := *t
	r := wire.Reader{B: n.Body}
	audit := r.String()
	version, hash := "", "" // that this note says
	through := false        // a call went through
	text := func(to *string) string {
		s := r.String()
		if s != "" && s != *to {
			*to = strings.Clone(s)
		}
		return s
	}
	switch {
	case audit != "":
		state := byte(1)
		if audit == "retired" {
			state = 2
		}
		switch audit {
		case "blocked":
			k.blocked = max(k.blocked, n.Ref.Time)
		case "registered", "unblocked":
			if k.blocked <= n.Ref.Time {
				k.blocked = 0
			}
		}
		if audit != "registered" && audit != "retired" { // neither registered nor retired by that
		} else if k.audited != 0 && n.Ref.Time < k.since {
			k.before = state // what came after it is known already
		} else {
			k.audited, k.before, k.since = state, k.audited, n.Ref.Time
		}
		if n.Scope == policy.ToolScope {
			text(&t.ID)
			text(&t.Server)
		} else {
			_ = r.String()
			_ = r.String()
		}
		k.announce(n.Scope, &r)
	case n.Scope == policy.AgentScope:
		text(&t.Persona)
		text(&t.Owner)
		text(&t.Model)
		version = text(&t.Version)
		said := r.Byte()
		if tier := said &^ acted; tier != 0 {
			t.Tier = int64(tier)
		}
		through = said&acted != 0
	case n.Scope == policy.ToolScope:
		text(&t.ID)
		text(&t.Server)
		hash = text(&t.DefinitionHash)
		if form := r.String(); hash != "" && form != t.HashVersion {
			t.HashVersion = strings.Clone(form)
		}
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
		// What counts is what it was when it acted: a note may come late.
		then := k.audited
		if n.Ref.Time < k.since {
			then = k.before
		}
		if reg.Kept && !reg.Known && then == 0 {
			d.found(x, n, k, unregistered, "is not in the inventory", "")
		}
		if reg.Retired || then == 2 {
			d.found(x, n, k, retired, "is retired and acts all the same", "")
		}
		if through && k.blocked != 0 && n.Ref.Time >= k.blocked {
			d.found(x, n, k, blocked, "is blocked and a call of it went through all the same", "")
		}
		if version != "" {
			d.version(x, n, k, version, before.Version, reg.Version)
		}
		if hash != "" {
			d.definition(x, n, k, hash, reg.Hash)
		}
	}
	if hour := wire.FloorDiv(t.Last, 3_600_000); hour != k.hour || changed(&before, t) {
		k.hour = hour
		if x.Keep != nil {
			x.Keep(t)
		}
	}
}

// version looks whether an agent comes in a version that nobody knows. accepted is that of the
// inventory, if it pins one.
func (d *inventory) version(x *Closing, n *Note, k *entry, v, before, accepted string) {
	t := &k.thing
	known := slices.Contains(t.Versions, v)
	switch {
	case accepted != "" && accepted != v:
		d.found(x, n, k, newVersion, "comes in version "+quoted(v)+", the inventory has "+quoted(accepted), v)
	case accepted == "" && !known && len(t.Versions) > 0:
		d.found(x, n, k, newVersion, "comes in a new version: "+quoted(v)+" after "+quoted(before), v)
	}
	if !known {
		t.Versions = append(t.Versions, t.Version)
		if len(t.Versions) > event.MaxVersions {
			t.Versions = slices.Delete(t.Versions, 0, 1)
		}
	}
}

// definition looks whether a tool is still what it was. accepted is the hash of the inventory, if
// it pins one.
func (d *inventory) definition(x *Closing, n *Note, k *entry, hash, accepted string) {
	now := definition{xxhash.Sum64String(k.thing.HashVersion), xxhash.Sum64String(hash)}
	known := slices.Contains(k.hashes, now)
	// Gateways of two generations may send hashes of two forms at a time: each is compared with its
	// own kind.
	same := slices.ContainsFunc(k.hashes, func(h definition) bool { return h.form == now.form })
	switch {
	case accepted != "" && accepted != hash:
		d.found(x, n, k, newDefinition, "comes with a definition that is not the one in the inventory", hash)
	case accepted == "" && !known && same:
		d.found(x, n, k, newDefinition, "comes with another definition than before", hash)
	}
	if !known {
		k.hashes = append(k.hashes, now)
		if len(k.hashes) > maxHashes {
			k.hashes = slices.Delete(k.hashes, 0, 1)
		}
	}
}

// announce takes the versions or definitions that an audit event has announced, the one before the
// change first: none of them is new to anybody when it comes.
func (k *entry) announce(scope policy.Scope, r *wire.Reader) {
	for range 2 {
		if v := r.String(); v != "" && scope == policy.AgentScope && !slices.Contains(k.thing.Versions, v) {
			if k.thing.Versions = append(k.thing.Versions,
				strings.Clone(v)); len(k.thing.Versions) > event.MaxVersions {
				k.thing.Versions = slices.Delete(k.thing.Versions, 0, 1)
			}
		}
	}
	for range 2 {
		hash, form := r.String(), r.String()
		if hash == "" || scope != policy.ToolScope {
			continue
		}
		if d := (definition{xxhash.Sum64String(form), xxhash.Sum64String(hash)}); !slices.Contains(k.hashes, d) {
			if k.hashes = append(k.hashes, d); len(k.hashes) > maxHashes {
				k.hashes = slices.Delete(k.hashes, 0, 1)
			}
		}
	}
}

func changed(a, b *event.Thing) bool {
	return a.Persona != b.Persona || a.Owner != b.Owner || a.Model != b.Model || a.Version != b.Version ||
		a.Tier != b.Tier || a.DefinitionHash != b.DefinitionHash ||
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
	{"blocked", "Blocked and acts all the same", []string{"ASI10"}},
}

// found makes one finding for each thing, kind and value (a version, a definition), updated as it
// is seen again and again. More than maxOpened within a day go on with the last one: whoever makes
// up versions must not make a storm.
func (d *inventory) found(x *Closing, n *Note, k *entry, kind byte, what, value string) {
	t := &k.thing
	var o, last *opened
	for i := range k.open {
		if k.open[i].kind == kind {
			if last = &k.open[i]; last.value == value {
				o = last
			}
		}
	}
	if full := len(k.open) == maxOpened; o == nil && full && last != nil &&
		n.Ref.Time-k.open[0].trigger.Time < 86_400_000 {
		o = last
	} else if o == nil {
		if full {
			k.open = slices.Delete(k.open, 0, 1)
		}
		k.open = append(k.open, opened{kind: kind, value: strings.Clone(value),
			open: open{trigger: n.Ref.Clone(), next: 1}})
		o = &k.open[len(k.open)-1]
	}
	activity := event.Create
	if o.count > 0 {
		activity = event.Update
	}
	if o.count++; o.count < o.next || activity == event.Update && !o.update() {
		if d.reg.Response == nil {
			return
		}
		activity = event.Again
	} else {
		o.next = double(o.count)
	}
	r := &inventoryRules[kind]
	f := event.Finding{
		Activity: activity, Analytic: event.RuleAnalytic, Severity: d.reg.Severity, Risk: risk(d.reg.Severity),
		Alert:    d.reg.Severity > event.Signal,
		Detector: "inventory", Rule: r.rule, RuleVersion: "1", Title: r.title,
		Why: t.Kind + " " + strconv.Quote(short(t.ID)) + " " + what, Tags: r.tags,
		ScopeType: t.Kind, ScopeID: n.ID, Target: o.value, Time: o.trigger.Time, First: o.trigger.Time,
		Last: max(n.Ref.Time, o.trigger.Time), Count: o.count, Refs: o.all(),
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
		b = binary.AppendVarint(binary.BigEndian.AppendUint64(b, s.hash), s.span)
	}
	k := p.entry
	if k == nil {
		return append(b, 0)
	}
	b = append(b, 1)
	t := &k.thing
	for _, s := range []string{t.Kind, t.Tenant, t.ID, t.Server, t.Persona, t.Owner, t.Model, t.Version,
		t.DefinitionHash, t.HashVersion, t.Registered} {
		b = wire.AppendString(b, s)
	}
	for _, v := range []int64{t.First, t.Last, t.Tier, k.hour} {
		b = binary.AppendVarint(b, v)
	}
	flags := byte(0)
	if t.Retired {
		flags = 1
	}
	b = binary.AppendVarint(append(b, byte(t.Class), flags, k.audited, k.before), k.since)
	b = binary.AppendVarint(b, k.blocked)
	b = binary.AppendUvarint(b, uint64(len(t.Versions)))
	for _, v := range t.Versions {
		b = wire.AppendString(b, v)
	}
	b = binary.AppendUvarint(b, uint64(len(k.hashes)))
	for _, h := range k.hashes {
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, h.form), h.hash)
	}
	b = binary.AppendUvarint(b, uint64(len(k.open)))
	for i := range k.open {
		o := &k.open[i]
		b = binary.AppendVarint(append(b, o.kind), o.count)
		b = o.open.append(wire.AppendString(b, o.value))
	}
	return b
}

// Decode reads what Append wrote.
func (p *inventoryPart) Decode(r *wire.Reader) {
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
	for _, s := range []*string{&t.Kind, &t.Tenant, &t.ID, &t.Server, &t.Persona, &t.Owner, &t.Model, &t.Version,
		&t.DefinitionHash, &t.HashVersion, &t.Registered} {
		*s = r.String()
	}
	for _, v := range []*int64{&t.First, &t.Last, &t.Tier, &k.hour} {
		*v = r.Varint()
	}
	t.Class, t.Retired, k.audited, k.before, k.since = event.Class(
		r.Byte()), r.Byte() == 1, r.Byte(), r.Byte(), r.Varint()
	k.blocked = r.Varint()
	for range min(r.Len(), event.MaxVersions) {
		t.Versions = append(t.Versions, r.String())
	}
	for range min(r.Len(), maxHashes) {
		k.hashes = append(k.hashes, definition{r.Uint64(), r.Uint64()})
	}
	for range min(r.Len(), maxOpened) {
		o := opened{kind: r.Byte(), count: r.Varint(), value: r.String()}
		if o.open.decode(r); o.kind > blocked {
			r.Err = wire.ErrShort
		}
		k.open = append(k.open, o)
	}
	if t.Class > event.Delegate {
		r.Err = wire.ErrShort
	}
}

// inventoryKind registers the detector of what is not in the inventory.
var inventoryKind = Kind{Name: "inventory", Slot: 5, New: newInventory,
	Part: func() Part { return new(inventoryPart) }}
