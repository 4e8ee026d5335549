package detectors

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/rules"
)

// ruleRunner runs the rules that people write. What is keyed by an agent or a session is kept where the agent is; of everything else, and of what waits for
// something that may not come, the events that pass a rule's own conditions are told to the relation stage, with what the rule remembers of them, and windows and sequences
// are kept there, in order of time.
//
// A call that comes as an attempt and a result is one event, its result, unless the rule asks for the phase.
type ruleRunner struct {
	slot   byte
	rules  []*rules.Rule
	byHash map[uint64]int // place in rules
	failed []int32        // by condition, and by rule for what comes behind conditions: how often it failed in a row
	kinds  [8]probes
	class  [16]probes
	tools  map[string]*probes
	runner rules.Runner
	events int64 // that were seen
	unseen []unseen
	around around

	hits    []hit
	taken   rules.Taken
	rows    [rules.MaxParts][]rules.Value
	key     []byte
	body    []byte
	matches []rules.Match
}

// unseen is a field that some rule asks for and no event has carried so far.
type unseen struct {
	*rules.Field
	rules []int
}

// lookEvery so many events somebody looks which fields they carry.
const lookEvery = 32

// probe is a condition that an event of some kind, class or tool may meet.
type probe struct {
	rule, part int
	at         int // place in failed
	where      *rules.Expr
	rest       func(*rules.Context) bool // of where; nil: it may fail
	attempts   bool
}

// probes are the conditions that events of one kind, class or tool may meet.
type probes struct {
	list    []probe
	results int64 // events that were not attempts, since somebody asked; all of the list is looked at then
	tries   int64 // and attempts
}

// maxFailures in a row turn a rule off.
const maxFailures = 100

type hit struct{ rule, part int }

func newRules(slot byte, set *policy.Set) Detector {
	d := &ruleRunner{slot: slot, around: around{test: set.Supposed()}, byHash: map[uint64]int{}, tools: map[string]*probes{}}
	for _, r := range set.Rules() {
		if r.Mode == rules.Off {
			continue
		}
		i := len(d.rules)
		d.rules = append(d.rules, r)
		d.byHash[r.Hash] = i
		for j, part := range r.Parts() {
			p := probe{i, j, len(d.failed), part.Where, part.Where.Rest(), slices.Contains(part.Where.Uses, "phase")}
			d.failed = append(d.failed, 0)
			g := &part.Where.Guard
			switch {
			case g.Tools != nil:
				for _, t := range g.Tools {
					if d.tools[t] == nil {
						d.tools[t] = &probes{}
					}
					d.tools[t].list = append(d.tools[t].list, p)
				}
			case g.Classes != 0:
				for c := range d.class {
					if g.Classes>>c&1 != 0 {
						d.class[c].list = append(d.class[c].list, p)
					}
				}
			default:
				for k := range d.kinds {
					if g.Kinds == 0 || g.Kinds>>k&1 != 0 {
						d.kinds[k].list = append(d.kinds[k].list, p)
					}
				}
			}
		}
	}
	d.failed = append(d.failed, make([]int32, len(d.rules))...)
	for i, r := range d.rules {
		for _, f := range r.Fields() {
			j := slices.IndexFunc(d.unseen, func(u unseen) bool { return u.Field == f })
			if j < 0 {
				j = len(d.unseen)
				d.unseen = append(d.unseen, unseen{Field: f})
			}
			d.unseen[j].rules = append(d.unseen[j].rules, i)
		}
	}
	return d
}

// fails counts a failure of an expression: no match, and not the end of anything else.
func (d *ruleRunner) fails(at, rule int, count func(what, rule string)) {
	id := d.rules[rule].ID
	count("error", id)
	if d.failed[at]++; d.failed[at]%maxFailures == 0 { // again and again: this transaction may not count
		count("failing", id)
	}
}

// behind notes what came of the expressions of a rule behind its conditions, and what was forgotten for want of room.
func (d *ruleRunner) behind(rule int, count func(what, rule string)) {
	at := len(d.failed) - len(d.rules) + rule
	failures, drops := d.runner.Tell()
	if failures == 0 {
		d.failed[at] = 0
	}
	for range failures {
		d.fails(at, rule, count)
	}
	for range drops {
		count("dropped", d.rules[rule].ID)
	}
}

// rulePart is what is remembered of rules on one page.
type rulePart struct {
	states  []*rules.State // by rule and the rest of the key
	told    []ruleTold     // by key
	dropped bool           // a state was forgotten for want of room
}

// ruleTold is a finding that may still grow.
type ruleTold struct {
	key   uint64
	last  int64
	count int64
	first int64
	open
}

// maxRuleTold bounds the open findings of one entity: the oldest goes first and would be found anew.
const maxRuleTold = 64

func (d *ruleRunner) Observe(x *Scene, e *event.Event) {
	if len(d.rules) == 0 {
		return
	}
	d.around.show(x, e)
	d.runner.Begin(e, x.Persona, x.Local(x.Time), &d.around)
	if d.events++; d.events%lookEvery == 1 && len(d.unseen) > 0 {
		c := d.runner.Context()
		d.unseen = slices.DeleteFunc(d.unseen, func(u unseen) bool { return u.Carried(c) })
	}
	d.hits = d.hits[:0]
	d.probe(x, e, &d.kinds[e.Kind])
	d.probe(x, e, &d.class[e.Tool.Class])
	if len(d.tools) > 0 && e.Tool.Name != "" {
		if of := d.tools[e.Tool.Name]; of != nil {
			d.probe(x, e, of)
		}
	}
	if len(d.hits) == 0 {
		return
	}
	sortHits(d.hits)
	for i := 0; i < len(d.hits); {
		j := i + 1
		for j < len(d.hits) && d.hits[j].rule == d.hits[i].rule {
			j++
		}
		d.took(x, e, d.hits[i].rule, d.hits[i:j])
		d.behind(d.hits[i].rule, x.Count)
		i = j
	}
}

// sortHits sorts by rule and part. They come in at most three runs that are sorted, so inserting is all there is to do.
func sortHits(hits []hit) {
	for i := 1; i < len(hits); i++ {
		h, j := hits[i], i
		for ; j > 0 && (hits[j-1].rule > h.rule || hits[j-1].rule == h.rule && hits[j-1].part > h.part); j-- {
			hits[j] = hits[j-1]
		}
		hits[j] = h
	}
}

func (d *ruleRunner) probe(x *Scene, e *event.Event, of *probes) {
	attempt := e.Phase == event.Attempt
	if attempt {
		of.tries++
	} else {
		of.results++
	}
	c := d.runner.Context()
	for i := range of.list {
		switch p := &of.list[i]; {
		case attempt && !p.attempts:
		case p.rest == nil:
			ok, err := p.where.IsTrue(c)
			if err != nil {
				d.fails(p.at, p.rule, x.Count)
				continue
			}
			d.failed[p.at] = 0
			if ok {
				d.hits = append(d.hits, hit{p.rule, p.part})
			}
		case p.rest(c):
			d.hits = append(d.hits, hit{p.rule, p.part})
		}
	}
}

// lookedAt tells of each rule how many of its conditions were looked at since it was last asked, where there were any.
func (d *ruleRunner) lookedAt(tell func(rule string, n int64)) {
	n := make([]int64, len(d.rules))
	take := func(of *probes) {
		for i := range of.list {
			p := &of.list[i]
			if n[p.rule] += of.results; p.attempts {
				n[p.rule] += of.tries
			}
		}
		of.results, of.tries = 0, 0
	}
	for i := range d.kinds {
		take(&d.kinds[i])
	}
	for i := range d.class {
		take(&d.class[i])
	}
	for _, of := range d.tools {
		take(of)
	}
	for i, n := range n {
		if n > 0 {
			tell(d.rules[i].ID, n)
		}
	}
}

// took goes on with a rule some of whose conditions the event meets.
func (d *ruleRunner) took(x *Scene, e *event.Event, i int, hits []hit) {
	r := d.rules[i]
	later := hits[0].part != 0 && !r.Above()
	if later && r.By[0] != rules.SessionKey && x.Agent.Part(d.slot) == nil {
		return // nothing is under way, for any rule
	}
	for _, o := range r.Exceptions {
		if o.Expires != 0 && x.Time >= o.Expires {
			continue
		}
		if d.runner.Passes(o.When) {
			x.Count("excepted", r.ID)
			// It is no step of a match; what ends a sequence, or was awaited, it may well be.
			for len(hits) > 0 && hits[0].part < len(r.Steps) {
				hits = hits[1:]
			}
			break
		}
	}
	if len(hits) == 0 {
		return
	}
	id, sub, ok := d.keyOf(x, e, r)
	if !ok || hits[0].part != 0 && !r.Above() && !d.under(x, r, sub) {
		return
	}
	parts := r.Parts()
	d.taken.Mask, d.taken.Rows = 0, d.rows[:len(parts)]
	for _, h := range hits {
		d.taken.Mask |= 1 << h.part
		row, ok := d.runner.Row(d.rows[h.part][:0], parts[h.part])
		if !ok {
			return
		}
		d.rows[h.part] = row
	}
	if !r.Above() {
		mem := memoryOf(x, r)
		if mem == nil {
			return
		}
		part := mem.Ensure(d.slot).(*rulePart)
		d.matches = d.advance(part, r, sub, event.Ref{Time: x.Time, ID: e.ID}, &d.taken, d.matches[:0])
		for i := range d.matches {
			if f := part.found(r, sub, &d.matches[i], x.Count); f != nil {
				f.ScopeType, f.ScopeID = r.By[0].String(), id
				x.Find(*f)
			}
		}
		return
	}
	b := binary.BigEndian.AppendUint64(d.body[:0], r.Hash)
	b = binary.BigEndian.AppendUint64(b, sub)
	b = binary.BigEndian.AppendUint64(b, xxhash.Sum64String(e.ID)) // else two events that say the same would be one
	for _, s := range []string{x.Persona, e.Session, e.User, e.Tool.Name, e.Tool.Server} {
		b = baselines.AppendString(b, s)
	}
	d.body = d.taken.Append(b)
	x.Tell(d.slot, scopeOf(r.By[0]), id, d.body)
}

// under tells whether a sequence of the rule is under way: else an event that is not its first step means nothing.
func (d *ruleRunner) under(x *Scene, r *rules.Rule, sub uint64) bool {
	mem := memoryOf(x, r)
	if mem == nil {
		return false
	}
	part, ok := mem.Part(d.slot).(*rulePart)
	if !ok {
		return false
	}
	i, found := part.find(r.Hash, sub)
	return found && part.states[i].Runs()
}

// pageOf is the part of a rule's key whose page its state lies on: in the behaviour stage a session's or an agent's.
func pageOf(r *rules.Rule) rules.Key {
	if r.Above() || r.By[0] == rules.SessionKey {
		return r.By[0]
	}
	return rules.AgentKey
}

// memoryOf is that page in the behaviour stage; nil: the tenant's cap is reached.
func memoryOf(x *Scene, r *rules.Rule) *Memory {
	if pageOf(r) == rules.SessionKey {
		return x.Session()
	}
	return x.Agent
}

func (p *rulePart) find(rule, sub uint64) (int, bool) {
	return slices.BinarySearchFunc(p.states, rule, func(k *rules.State, rule uint64) int {
		return cmp.Or(cmp.Compare(k.Rule, rule), cmp.Compare(k.Sub, sub))
	})
}

// advance shows the rule's state under a key what was taken of an event.
func (d *ruleRunner) advance(part *rulePart, r *rules.Rule, sub uint64, ref event.Ref, t *rules.Taken, out []rules.Match) []rules.Match {
	if !r.Kept() {
		return append(out, d.runner.Single(r, ref, t))
	}
	k, evicted := part.state(r, sub, ref.Time)
	out = d.runner.Advance(r, k, ref, t, out)
	if n := k.Held(); n > 0 && n%64 == 0 {
		evicted += part.bound(k)
	}
	d.runner.Drop(evicted)
	return out
}

// bound forgets the windows that were longest not seen until all of the page's hold no more than they may, and returns how many.
func (p *rulePart) bound(but *rules.State) (n int) {
	for ; ; n++ {
		held, oldest := 0, -1
		for i, k := range p.states {
			held += k.Held()
			if k != but && k.Held() > 0 && (oldest < 0 || k.Newest < p.states[oldest].Newest) {
				oldest = i
			}
		}
		if held <= rules.MaxKept || oldest < 0 {
			return n
		}
		p.states, p.dropped = slices.Delete(p.states, oldest, oldest+1), true
	}
}

// scopeOf is the scope whose page a key belongs to.
func scopeOf(k rules.Key) policy.Scope {
	return [...]policy.Scope{rules.AgentKey: policy.AgentScope, rules.SessionKey: policy.SessionScope, rules.UserKey: policy.UserScope, rules.PersonaKey: policy.PersonaScope,
		rules.TenantKey: policy.TenantScope, rules.OwnerKey: policy.OwnerScope, rules.CredentialKey: policy.CredentialScope, rules.ToolKey: policy.ToolScope,
		rules.ServerKey: policy.ServerScope, rules.ConversationKey: policy.ConversationScope, rules.ResourceKey: policy.ResourceScope,
		rules.DestinationKey: policy.DestinationScope, rules.SubjectKey: policy.SubjectScope}[k]
}

// keyOf is whose page the rule's state lies on, and a hash of the rest of its key; false: the event lacks a part of it.
func (d *ruleRunner) keyOf(x *Scene, e *event.Event, r *rules.Rule) (id string, sub uint64, ok bool) {
	page := pageOf(r)
	for i, k := range r.By {
		s := d.partOfKey(x, e, k)
		if s == "" {
			return "", 0, false
		}
		if k == rules.SessionKey && r.Above() {
			d.key = append(event.AppendKeyPart(d.key[:0], e.Agent.ID), '|')
			s = string(event.AppendKeyPart(d.key, s)) // sessions of two agents may share a name
		}
		if i == 0 {
			id = s
		}
		if k == page {
			continue
		}
		sub = sub*0x9e3779b97f4a7c15 + xxhash.Sum64String(s) + uint64(k) + 1
	}
	return id, sub, true
}

func (d *ruleRunner) partOfKey(x *Scene, e *event.Event, k rules.Key) string {
	switch k {
	case rules.AgentKey:
		return e.Agent.ID
	case rules.SessionKey:
		return e.Session
	case rules.UserKey:
		return e.User
	case rules.PersonaKey:
		return x.Persona
	case rules.TenantKey:
		return e.Tenant
	case rules.OwnerKey:
		return e.Agent.Owner
	case rules.CredentialKey:
		return e.Agent.Credential
	case rules.ToolKey:
		return e.Tool.Name
	case rules.ServerKey:
		return e.Tool.Server
	case rules.ConversationKey:
		return e.Conversation
	case rules.SubjectKey:
		return e.Subject
	case rules.ResourceKey:
		if e.Resource.ID == "" {
			return ""
		}
		d.key = append(append(append(d.key[:0], e.Resource.Type...), ':'), e.Resource.ID...)
		return string(d.key)
	case rules.DestinationKey:
		d.key = policy.AppendDestination(d.key[:0], &e.Destination)
		return string(d.key)
	}
	return ""
}

// Note implements Noter.
func (d *ruleRunner) Note(x *Closing, n *Note) {
	r := baselines.Reader{B: n.Body}
	place, known := d.byHash[r.Uint64()]
	sub := r.Uint64()
	r.Uint64()
	persona, session, user, tool, server := r.String(), r.String(), r.String(), r.String(), r.String()
	if r.Err != nil || !known || scopeOf(d.rules[place].By[0]) != n.Scope {
		return
	}
	rule := d.rules[place]
	t, ok := rules.ReadTaken(&r, rule)
	if !ok {
		return
	}
	part := x.Memory.Ensure(d.slot).(*rulePart)
	d.matches = d.advance(part, rule, sub, n.Ref, &t, d.matches[:0])
	for i := range d.matches {
		if f := part.found(rule, sub, &d.matches[i], x.Count); f != nil {
			if d.matches[i].Awaited == 0 { // what did not come was not this event's doing
				f.Persona, f.Session, f.User, f.Tool, f.Server = persona, session, user, tool, server
			}
			d.find(x, rule, f)
		}
	}
	d.behind(place, x.Count)
}

// find says of which scope a finding of the relation stage is.
func (d *ruleRunner) find(x *Closing, r *rules.Rule, f *event.Finding) {
	f.ScopeType, f.ScopeID = r.By[0].String(), x.ID
	f.Agent = f.Refs[len(f.Refs)-1].Agent
	if r.By[0] == rules.SessionKey {
		if _, s, ok := strings.Cut(x.ID, "|"); ok {
			f.ScopeID = event.KeyPart(s)
		}
	}
	x.Find(*f)
}

// Due implements Waiter.
func (d *ruleRunner) Due(m *Memory) int64 {
	due := int64(math.MaxInt64)
	if part, ok := m.Part(d.slot).(*rulePart); ok {
		for _, k := range part.states {
			due = min(due, k.Due())
		}
	}
	return due
}

// Ring implements Waiter.
func (d *ruleRunner) Ring(x *Closing, t int64) {
	part, ok := x.Memory.Part(d.slot).(*rulePart)
	if !ok {
		return
	}
	for _, k := range part.states {
		if k.Due() > t {
			continue
		}
		place, known := d.byHash[k.Rule]
		if !known { // it is no more, or off
			k.Forget()
			continue
		}
		rule := d.rules[place]
		d.matches = d.runner.Expire(rule, k, t, d.matches[:0])
		for i := range d.matches {
			if f := part.found(rule, k.Sub, &d.matches[i], x.Count); f != nil {
				d.find(x, rule, f)
			}
		}
		d.behind(place, x.Count)
	}
}

// state is the rule's state under a key, made if there is none, and how many others were forgotten to make room for it.
func (p *rulePart) state(r *rules.Rule, sub uint64, now int64) (*rules.State, int) {
	id := r.Hash
	i, found := p.find(id, sub)
	if found && p.states[i].Fits(r) {
		return p.states[i], 0
	}
	k := &rules.State{Rule: id, Sub: sub, Dropped: p.dropped}
	if found {
		p.states[i] = k
		return k, 0
	}
	evicted := 0
	if len(p.states) >= rules.MaxStates {
		p.states = slices.DeleteFunc(p.states, func(k *rules.State) bool { return k.Rule == id && k.Empty(r, now) })
	}
	if len(p.states) >= rules.MaxStates {
		oldest := 0
		for j, k := range p.states {
			if k.Newest < p.states[oldest].Newest {
				oldest = j
			}
		}
		p.states = slices.Delete(p.states, oldest, oldest+1)
		p.dropped, k.Dropped = true, true
		evicted++
	}
	i, _ = p.find(id, sub)
	p.states = slices.Insert(p.states, i, k)
	return k, evicted
}

// found makes a finding of a match: a new one, or one that has grown; nil if there is nothing to tell.
func (p *rulePart) found(r *rules.Rule, sub uint64, m *rules.Match, count func(what, rule string)) *event.Finding {
	count("match", r.ID)
	if r.Mode == rules.Shadow {
		return nil
	}
	key := r.Hash ^ sub*0x9e3779b97f4a7c15
	i := slices.IndexFunc(p.told, func(t ruleTold) bool { return t.key == key })
	if i >= 0 && m.Time-p.told[i].last > r.Suppress && !m.Goes {
		p.told = slices.Delete(p.told, i, i+1)
		i = -1
	}
	activity := event.Update
	if i < 0 {
		if len(p.told) == maxRuleTold {
			p.told = slices.Delete(p.told, 0, 1)
		}
		trigger := m.Refs[len(m.Refs)-1]
		refs := m.Refs[:len(m.Refs)-1]
		t := ruleTold{key: key, first: m.Refs[0].Time, open: open{trigger: trigger.Clone(), next: 1}}
		for _, x := range refs[:min(len(refs), baselines.MaxRefs)] {
			t.refs = append(t.refs, x.Clone())
		}
		p.told = append(p.told, t)
		i, activity = len(p.told)-1, event.Create
	}
	t := &p.told[i]
	t.last = max(t.last, m.Time)
	if t.count++; t.count >= t.next && (activity == event.Create || t.update()) {
		t.next = double(t.count)
	} else if r.Respond == nil || r.Mode < rules.Enforce {
		return nil
	} else {
		activity = event.Again
	}
	why := m.Why
	if why == "" {
		why = say(r, m)
	}
	if m.Awaited != 0 {
		why += "; nothing came until " + time.UnixMilli(m.Awaited).UTC().Format("15:04:05")
	}
	if t.count > 1 {
		why += times(t.count)
	}
	f := &event.Finding{
		Activity: activity, Analytic: event.RuleAnalytic, Severity: r.Severity, Risk: cmp.Or(r.Risk, risk(r.Severity)), Alert: r.Severity > event.Signal && r.Mode >= rules.Alert,
		Detector: "rule", Rule: r.ID, RuleVersion: r.Version, Title: r.Title, Why: why, Tags: r.Tags,
		Time: t.trigger.Time, First: t.first, Last: max(t.last, t.trigger.Time), Count: m.Count + t.count - 1, Refs: t.all(), WindowMS: max(r.Window, r.Within), Incomplete: m.Partial,
	}
	if r.Mode == rules.Enforce {
		f.Response = r.Respond
	}
	return f
}

// say tells in words what a rule without a sentence of its own has seen.
func say(r *rules.Rule, m *rules.Match) string {
	var b strings.Builder
	switch {
	case r.Having != nil:
		b.WriteString(strconv.FormatInt(m.Count, 10) + " events of one " + r.By[0].String() + " within " + policy.FormatSpan(r.Window) + ": " + r.Having.Source)
	case len(r.Steps) == 1 && r.Absent == nil && r.Steps[0].Times == 1:
		b.WriteString(r.Steps[0].Where.Source)
	default:
		for i, s := range r.Steps {
			if i > 0 {
				b.WriteString(", then ")
			}
			b.WriteString(s.Name)
			if s.Times > 1 {
				b.WriteString(times(int64(s.Times)))
			}
			if s.Having != nil {
				b.WriteString(" until " + s.Having.Source)
			}
		}
		if r.Within > 0 {
			b.WriteString(" within " + policy.FormatSpan(r.Within))
		}
		if r.Absent != nil {
			b.WriteString(", and not within " + policy.FormatSpan(r.AbsentFor) + ": " + r.Absent.Where.Source)
		}
	}
	return b.String()
}

// Append encodes the part.
func (p *rulePart) Append(b []byte) []byte {
	if len(p.states) == 0 && len(p.told) == 0 && !p.dropped {
		return b
	}
	flags := byte(0)
	if p.dropped {
		flags = 1
	}
	b = binary.AppendUvarint(append(b, flags), uint64(len(p.states)))
	for _, k := range p.states {
		b = k.Append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(p.told)))
	for i := range p.told {
		t := &p.told[i]
		b = binary.BigEndian.AppendUint64(b, t.key)
		for _, v := range []int64{t.last, t.count, t.first} {
			b = binary.AppendVarint(b, v)
		}
		b = t.open.append(b)
	}
	return b
}

// Decode reads what Append wrote.
func (p *rulePart) Decode(r *baselines.Reader) {
	*p = rulePart{dropped: r.Byte()&1 != 0}
	for range min(r.Len(), rules.MaxStates) {
		k := &rules.State{}
		k.Decode(r)
		p.states = append(p.states, k)
		if r.Err != nil {
			return
		}
	}
	for range min(r.Len(), maxRuleTold) {
		t := ruleTold{key: r.Uint64(), last: r.Varint(), count: r.Varint(), first: r.Varint()}
		t.open.decode(r)
		p.told = append(p.told, t)
	}
}
