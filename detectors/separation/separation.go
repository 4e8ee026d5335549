package separation

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// separation says when one session, agent, owner or credential did both of two things that its
// persona keeps apart. Calls count that were carried out: what failed or was refused did not
// combine anything.
//
// A finding covers one pair, and with same: resource one resource; it is updated as the number of
// calls that complete it doubles, and is another one after the pair's window has passed without
// any.
type separation struct {
	slot    byte
	set     *policy.Set
	any     bool
	tenants map[string][]*policy.Separation
	body    []byte // of what must be the same
	note    []byte
}

func newSeparation(slot byte, set *policy.Set) detectors.Detector {
	d := &separation{slot: slot, set: set, tenants: map[string][]*policy.Separation{}}
	for _, p := range set.Personas() {
		d.any = d.any || len(p.Separate) > 0
	}
	return d
}

const (
	// maxDeeds bounds the deeds remembered of each side of a pair, one for each resource. The
	// longest untouched falls out, so an entity that first does one side on so many others hides
	// one: hence so many more than anybody needs between two deeds that belong together.
	maxDeeds  = 1024
	maxBroken = 8  // open findings of a pair: the oldest falls out, and what it was about is found anew
	maxPairs  = 64 // of one entity: those of rules that are no more
)

// duties is what an entity did of each pair of duties.
type duties struct{ pairs []pair }

type pair struct {
	rule   uint64
	sides  [2][]deed // oldest first
	broken []broken
}

// deed is the newest call of a side, on one resource if the pair asks for that.
type deed struct {
	what uint64 // hash of what must be the same; 0 if the pair does not ask
	own  bool   // the agent played the pair's persona
	ref  event.Ref
}

// broken is a finding that may still grow.
type broken struct {
	what        uint64
	count       int64
	first, last int64
	detectors.OpenFinding
}

func (d *separation) of(tenant string) []*policy.Separation {
	list, known := d.tenants[tenant]
	if !known {
		if len(d.tenants) >= detectors.MaxNames {
			clear(d.tenants)
		}
		list = d.set.Separations(tenant)
		d.tenants[strings.Clone(tenant)] = list
	}
	return list
}

func (d *separation) Observe(x *detectors.Scene, e *event.Event) {
	if !d.any || e.Kind != event.ToolCall || e.Phase == event.Attempt || e.Result.Outcome != event.OK &&
		e.Result.Outcome != event.NoOutcome {
		return
	}
	for _, s := range d.of(e.Tenant) {
		is := s.Sides(e)
		if !is[0] && !is[1] {
			continue
		}
		own := s.Persona == x.Role
		by := act{is: is, deed: deed{own: own, ref: x.Ref(e)}}
		if s.ComparesFields() && !d.same(s, e, &by) {
			continue
		}
		switch s.Within {
		case policy.SessionScope, policy.AgentScope:
			m, scope, id := x.Agent, "agent", e.Agent.ID
			if s.Within == policy.SessionScope {
				m, scope, id = x.Session(), "session", e.Session
			}
			if !own || m == nil {
				continue
			}
			if f := d.weigh(m, s, &by, id); f != nil {
				f.ScopeType, f.ScopeID, f.Target = scope, id, d.target(s, e, &by)
				x.Find(*f)
			}
		case policy.OwnerScope:
			d.tell(x, e, s, &by, e.Agent.Owner)
		case policy.CredentialScope:
			d.tell(x, e, s, &by, e.Agent.Credential)
		}
	}
}

// act is a call as one side of a pair, or as both.
type act struct {
	deed // with the hash of the side that is looked at
	is   [2]bool
	what [2]uint64 // of each side, hash of what must be the same
}

// same notes what must be the same. A side of which it is not known was not done.
func (d *separation) same(s *policy.Separation, e *event.Event, by *act) bool {
	for i := range by.is {
		if !by.is[i] {
			continue
		}
		if d.body = s.Key(d.body[:0], i, e); len(d.body) == 0 {
			by.is[i] = false
			continue
		}
		by.what[i] = xxhash.Sum64(d.body)
	}
	return by.is[0] || by.is[1]
}

// target is what a finding names: what must be the same, else the resource.
func (d *separation) target(s *policy.Separation, e *event.Event, by *act) string {
	if !s.ComparesFields() {
		return e.Resource.ID
	}
	side := 0
	if !by.is[0] {
		side = 1
	}
	return string(s.Same[side].Of(nil, e))
}

// tell sends what the agent did to where all agents of an owner or a credential come together.
func (d *separation) tell(x *detectors.Scene, e *event.Event, s *policy.Separation, by *act, id string) {
	if id == "" {
		return
	}
	flags := byte(0)
	for i, f := range [...]bool{by.is[0], by.is[1], by.own} {
		if f {
			flags |= 1 << i
		}
	}
	b := append(binary.BigEndian.AppendUint64(d.note[:0], s.Hash), flags)
	b = binary.BigEndian.AppendUint64(b, by.what[0])
	for _, text := range [...]string{e.Persona, e.Session, e.User, e.Tool.Name, e.Tool.Server, d.target(s, e, by)} {
		b = wire.AppendString(b, text)
	}
	b = binary.BigEndian.AppendUint64(b, by.what[1])
	d.note = b
	x.Tell(d.slot, s.Within, id, b)
}

// Note implements Noter.
func (d *separation) Note(x *detectors.Closing, n *detectors.Note) {
	r := wire.Reader{B: n.Body}
	rule := r.Uint64()
	flags := r.Byte()
	by := act{is: [2]bool{flags&1 != 0, flags&2 != 0}, deed: deed{own: flags&4 != 0, ref: n.Ref}}
	by.what[0] = r.Uint64()
	persona, session, user, tool, server, resource := r.String(), r.String(), r.String(), r.String(), r.String(),
		r.String()
	if by.what[1] = by.what[0]; len(r.B) > 0 { // what earlier versions told has one for both sides
		by.what[1] = r.Uint64()
	}
	if r.Err != nil {
		return
	}
	for _, s := range d.of(n.Tenant) {
		if s.Hash != rule || s.Within != n.Scope {
			continue
		}
		if f := d.weigh(x.Memory, s, &by, n.ID); f != nil {
			f.ScopeType, f.ScopeID, f.Target = s.Within.String(), n.ID, resource
			// Whoever completed the pair is whom a response can stop.
			f.Agent, f.Persona, f.Session, f.User, f.Tool, f.Server = n.Ref.Agent, persona, session, user, tool, server
			x.Find(*f)
		}
	}
}

// weigh remembers what was done, and returns a finding if the other side was done too.
func (d *separation) weigh(m *detectors.Memory, s *policy.Separation, by *act, id string) *event.Finding {
	part := m.Ensure(d.slot).(*duties)
	p := part.pair(s.Hash)
	var other *deed
	for i := range by.is {
		if by.is[i] && other == nil {
			by.deed.what = by.what[i]
			other = p.find(1-i, s, &by.deed)
		}
	}
	if other == nil && by.is[0] && by.is[1] && by.own && by.what[0] == by.what[1] {
		other = &by.deed // one call was both
	}
	var f *event.Finding
	if other != nil {
		f = p.breach(s, other, &by.deed, id)
	}
	for i := range by.is {
		if by.is[i] {
			by.deed.what = by.what[i]
			p.remember(i, by.deed)
		}
	}
	return f
}

// find returns what was done of a side, on the same resource if that is asked for, within the
// window, and with a hand of the persona's in one of the two.
func (p *pair) find(side int, s *policy.Separation, by *deed) *deed {
	for i := range p.sides[side] {
		o := &p.sides[side][i]
		apart := max(o.ref.Time, by.ref.Time) - min(o.ref.Time, by.ref.Time)
		if o.what == by.what && (o.own || by.own) && (s.WindowMS == 0 || apart <= s.WindowMS) {
			return o
		}
	}
	return nil
}

// breach opens a finding or lets it grow.
func (p *pair) breach(s *policy.Separation, other, by *deed, id string) *event.Finding {
	var o *broken
	for i := range p.broken {
		if b := &p.broken[i]; b.what == by.what && (s.WindowMS == 0 || by.ref.Time-b.last <= s.WindowMS) {
			o = b
		}
	}
	activity := event.Update
	if o == nil {
		if len(p.broken) == maxBroken {
			p.broken = append(p.broken[:0], p.broken[1:]...)
		}
		p.broken = append(p.broken, broken{what: by.what, first: by.ref.Time, last: by.ref.Time})
		o = &p.broken[len(p.broken)-1]
		o.Trigger, o.Next = by.ref.Clone(), 1
		if other != by {
			o.Refs = []event.Ref{other.ref.Clone()}
			o.first = min(o.first, other.ref.Time)
		}
		activity = event.Create
	}
	o.last = max(o.last, by.ref.Time)
	role := s.Persona
	if o.count++; o.count >= o.Next && (activity == event.Create || o.Update()) {
		o.Next = detectors.Double(o.count)
	} else if role.Respond == nil {
		return nil
	} else {
		activity = event.Again
	}
	why := s.Within.String() + " " + strconv.Quote(detectors.Short(id)) + " did both sides of " + s.Name + ": " + s.Side(0) +
		", and " + s.Side(1)
	if s.ComparesFields() {
		why += ", " + s.Sameness()
	}
	if o.count > 1 {
		why += detectors.Times(o.count)
	}
	why += "; persona " + role.Name + " keeps them apart"
	response := role.Respond
	if response != nil && response.Scope == 0 && s.Within != policy.SessionScope && s.Within != policy.AgentScope {
		agent := *response
		agent.Scope = event.AgentScope // an owner and a credential have no breaker of their own
		response = &agent
	}
	return &event.Finding{
		Activity: activity, Analytic: event.RuleAnalytic, Severity: role.Severity, Risk: detectors.Risk(role.Severity),
		Alert:    role.Severity > event.Signal,
		Detector: "separation", Rule: "persona/" + role.Name + "/separation/" + s.Name, RuleVersion: role.Version,
		Title: "Duties that persona " + role.Name + " keeps apart were combined", Why: why, Tags: role.Tags,
		Time: o.Trigger.Time, First: o.first, Last: max(o.last, o.Trigger.Time), Count: o.count + int64(len(o.Refs)),
		Refs: o.All(), WindowMS: s.WindowMS, Response: response,
	}
}

// remember keeps the newest call on each resource, of the persona's agents and of others apart.
func (p *pair) remember(side int, by deed) {
	deeds := p.sides[side]
	for i := range deeds {
		if o := &deeds[i]; o.what == by.what && o.own == by.own {
			if o.ref.Time > by.ref.Time {
				return
			}
			deeds = append(deeds[:i], deeds[i+1:]...)
			break
		}
	}
	if len(deeds) == maxDeeds {
		deeds = append(deeds[:0], deeds[1:]...)
	}
	by.ref = by.ref.Clone()
	p.sides[side] = append(deeds, by)
}

func (d *duties) pair(rule uint64) *pair {
	for i := range d.pairs {
		if d.pairs[i].rule == rule {
			return &d.pairs[i]
		}
	}
	if len(d.pairs) == maxPairs { // of rules that are no more
		d.pairs = append(d.pairs[:0], d.pairs[1:]...)
	}
	d.pairs = append(d.pairs, pair{rule: rule})
	return &d.pairs[len(d.pairs)-1]
}

// Append encodes the duties.
func (d *duties) Append(b []byte) []byte {
	if len(d.pairs) == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(d.pairs)))
	for i := range d.pairs {
		p := &d.pairs[i]
		b = binary.BigEndian.AppendUint64(b, p.rule)
		for _, deeds := range p.sides {
			b = binary.AppendUvarint(b, uint64(len(deeds)))
			for _, o := range deeds {
				b = binary.BigEndian.AppendUint64(b, o.what)
				own := byte(0)
				if o.own {
					own = 1
				}
				b = wire.AppendRef(append(b, own), o.ref)
			}
		}
		b = binary.AppendUvarint(b, uint64(len(p.broken)))
		for k := range p.broken {
			o := &p.broken[k]
			b = binary.BigEndian.AppendUint64(b, o.what)
			b = binary.AppendVarint(b, o.count)
			b = binary.AppendVarint(b, o.first)
			b = binary.AppendVarint(b, o.last)
			b = o.OpenFinding.Append(b)
		}
	}
	return b
}

// Decode reads what Append wrote.
func (d *duties) Decode(r *wire.Reader) {
	d.pairs = nil
	for range min(r.Len(), maxPairs) {
		p := pair{rule: r.Uint64()}
		for i := range p.sides {
			for range min(r.Len(), maxDeeds) {
				p.sides[i] = append(p.sides[i], deed{what: r.Uint64(), own: r.Byte() == 1, ref: wire.ReadRef(r)})
			}
		}
		for range min(r.Len(), maxBroken) {
			o := broken{what: r.Uint64(), count: r.Varint(), first: r.Varint(), last: r.Varint()}
			o.OpenFinding.Decode(r)
			p.broken = append(p.broken, o)
		}
		d.pairs = append(d.pairs, p)
	}
}

// separationKind registers the detector of separated duties. The duties of a session stay unless it
// said that it ended: who releases what it merged may wait an hour, and must not be rid of it by
// waiting.
var Kind = detectors.Kind{Name: "separation", Slot: 4, New: newSeparation, Part: func() detectors.Part { return new(duties) },
	Keeps: func(ended, _ bool) bool { return !ended }}
