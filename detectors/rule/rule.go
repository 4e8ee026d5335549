package rule

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/rules"
	"github.com/wayward-sec/wayward/rules/expression"
)

// ruleRunner runs the rules that people write. What is keyed by an agent or a session is kept where
// the agent is; of everything else, and of what waits for something that may not come, the events
// that pass a rule's own conditions are told to the relation stage, with what the rule remembers of
// them, and windows and sequences are kept there, in order of time.
//
// A call that comes as an attempt and a result is one event, its result, unless the rule asks for
// the phase.
type ruleRunner struct {
	slot   byte
	rules  []*rules.Rule
	byHash map[uint64]int // place in rules
	// by condition, and by rule for what comes behind conditions: how often it failed in a row
	failed []int32
	kinds  [8]probes
	class  [16]probes
	tools  map[string]*probes
	runner rules.Runner
	events int64 // that were seen
	unseen []unseen
	around around

	hits    []hit
	taken   rules.Taken
	rows    [rules.MaxParts][]expression.Value
	key     []byte
	body    []byte
	matches []rules.Match
	came    []came
}

// unseen is a field that some rule asks for and no event has carried so far.
type unseen struct {
	*expression.Field
	rules []int
}

// lookEvery so many events somebody looks which fields they carry.
const lookEvery = 32

// probe is a condition that an event of some kind, class or tool may meet.
type probe struct {
	rule, part int
	at         int // place in failed
	where      *expression.Expr
	rest       func(*expression.Context) bool // of where; nil: it may fail
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

func newRules(slot byte, set *policy.Set) detectors.Detector {
	d := &ruleRunner{slot: slot, around: around{test: set.Supposed()}, byHash: map[uint64]int{},
		tools: map[string]*probes{}}
	for _, r := range set.Rules() {
		if r.Mode == rules.Off {
			continue
		}
		i := len(d.rules)
		d.rules = append(d.rules, r)
		d.byHash[r.Hash] = i
		for j, part := range r.Parts() {
			p := probe{i, j, len(d.failed), part.Where, part.Where.Residual(), slices.Contains(part.Where.Uses, "phase")}
			d.failed = append(d.failed, 0)
			g := &part.Where.Prefilter
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

// behind notes what came of the expressions of a rule behind its conditions, and what was forgotten
// for want of room.
func (d *ruleRunner) behind(rule int, count func(what, rule string)) {
	at := len(d.failed) - len(d.rules) + rule
	failures, drops := d.runner.TakeCounts()
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

	// Derived.
	held   int   // numbers in windows
	weight int   // bytes of sequences and absences
	due    int64 // when the first of them has something to say
	stale  bool  // due must be looked for
}

func newRulePart() *rulePart { return &rulePart{due: math.MaxInt64} }

// remove forgets a state.
func (p *rulePart) remove(i int) {
	k := p.states[i]
	p.held, p.weight, p.stale = p.held-k.Numbers(), p.weight-k.Size(), true
	p.states = slices.Delete(p.states, i, i+1)
}

// ruleTold is a finding that may still grow.
type ruleTold struct {
	key   uint64
	last  int64
	count int64
	first int64
	detectors.OpenFinding
}

// maxRuleTold bounds the open findings of one entity: the oldest goes first and would be found
// anew.
const maxRuleTold = 64

func (d *ruleRunner) Observe(x *detectors.Scene, e *event.Event) {
	if len(d.rules) == 0 {
		return
	}
	d.around.show(x, e)
	d.runner.Begin(e, x.Persona, x.Local(x.Time), &d.around)
	if d.events++; d.events%lookEvery == 1 && len(d.unseen) > 0 {
		c := d.runner.Context()
		d.unseen = slices.DeleteFunc(d.unseen, func(u unseen) bool { return u.Present(c) })
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

// sortHits sorts by rule and part. They come in at most three runs that are sorted, so inserting is
// all there is to do.
func sortHits(hits []hit) {
	for i := 1; i < len(hits); i++ {
		h, j := hits[i], i
		for ; j > 0 && (hits[j-1].rule > h.rule || hits[j-1].rule == h.rule && hits[j-1].part > h.part); j-- {
			hits[j] = hits[j-1]
		}
		hits[j] = h
	}
}

func (d *ruleRunner) probe(x *detectors.Scene, e *event.Event, of *probes) {
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

// Looked implements detectors.RuleCounter.
func (d *ruleRunner) Looked(tell func(rule string, n int64)) {
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
func (d *ruleRunner) took(x *detectors.Scene, e *event.Event, i int, hits []hit) {
	r := d.rules[i]
	later := hits[0].part != 0 && !r.ForRelationStage()
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
	if !ok || hits[0].part != 0 && !r.ForRelationStage() && !d.under(x, r, sub) {
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
	if !r.ForRelationStage() {
		mem := memoryOf(x, r)
		if mem == nil {
			return
		}
		part := mem.Ensure(d.slot).(*rulePart)
		d.advance(part, i, sub, event.Ref{Time: x.Time, ID: e.ID}, &d.taken)
		for j := range d.came {
			c := &d.came[j]
			f := part.found(c.rule, c.sub, &c.Match, x.Count)
			if f == nil {
				continue
			}
			switch page := pageOf(c.rule); {
			case c.rule == r && c.sub == sub:
				f.ScopeType, f.ScopeID = r.By[0].String(), id
			case page == rules.SessionKey:
				f.ScopeType, f.ScopeID = page.String(), e.Session
			default:
				f.ScopeType, f.ScopeID = page.String(), e.Agent.ID
			}
			x.Find(*f)
		}
		return
	}
	b := binary.BigEndian.AppendUint64(d.body[:0], r.Hash)
	b = binary.BigEndian.AppendUint64(b, sub)
	// else two events that say the same would be one
	b = binary.BigEndian.AppendUint64(b, xxhash.Sum64String(e.ID))
	for _, s := range []string{x.Persona, e.Session, e.User, e.Tool.Name, e.Tool.Server} {
		b = wire.AppendString(b, s)
	}
	d.body = d.taken.Append(b)
	x.Tell(d.slot, scopeOf(r.By[0]), id, d.body)
}

// under tells whether a sequence of the rule is under way: else an event that is not its first step
// means nothing.
func (d *ruleRunner) under(x *detectors.Scene, r *rules.Rule, sub uint64) bool {
	mem := memoryOf(x, r)
	if mem == nil {
		return false
	}
	part, ok := mem.Part(d.slot).(*rulePart)
	if !ok {
		return false
	}
	i, found := part.find(r.Hash, sub)
	return found && part.states[i].Pending()
}

// pageOf is the part of a rule's key whose page its state lies on: in the behaviour stage a
// session's or an agent's.
func pageOf(r *rules.Rule) rules.Key {
	if r.ForRelationStage() || r.By[0] == rules.SessionKey {
		return r.By[0]
	}
	return rules.AgentKey
}

// memoryOf is that page in the behaviour stage; nil: the tenant's cap is reached.
func memoryOf(x *detectors.Scene, r *rules.Rule) *detectors.Memory {
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

// came is a match, and of what: of the rule and key under observation, or of others on the page
// that had to make room.
type came struct {
	rule *rules.Rule
	sub  uint64
	rules.Match
}

// advance shows the rule's state under a key what was taken of an event; d.came is what comes of
// it.
func (d *ruleRunner) advance(part *rulePart, place int, sub uint64, ref event.Ref, t *rules.Taken) {
	r := d.rules[place]
	d.came = d.came[:0]
	if !r.Stateful() {
		d.came = append(d.came, came{r, sub, d.runner.SingleMatch(r, ref, t)})
		return
	}
	k := d.state(part, r, sub, ref.Time)
	held, weight, due := k.Numbers(), k.Size(), k.Due()
	d.matches = d.runner.Advance(r, k, ref, t, d.matches[:0])
	for i := range d.matches {
		d.came = append(d.came, came{r, sub, d.matches[i]})
	}
	part.ripens(due, k.Due())
	if part.held += k.Numbers() - held; part.held > rules.MaxPageNumbers {
		d.tighten(part, ref.Time)
	}
	if part.weight += k.Size() - weight; part.weight > rules.MaxPageBytes {
		d.lighten(part, ref.Time)
	}
}

// ripens notes that what a state awaits is due at another time than before.
func (p *rulePart) ripens(was, is int64) {
	switch {
	case is <= p.due:
		p.due = is
	case was == p.due && was != is:
		p.stale = true
	}
}

// lighten lets go of sequences and absences until the page holds no more than it may, of the state
// that holds most, and says so in findings: whoever brings many of a kind cannot silence another.
func (d *ruleRunner) lighten(p *rulePart, now int64) {
	for p.weight > rules.MaxPageBytes {
		largest, most := 0, 0
		for i, k := range p.states {
			if n := k.Size(); n > most {
				largest, most = i, n
			}
		}
		k := p.states[largest]
		if most == 0 {
			p.weight = 0
			return
		}
		if _, known := d.byHash[k.Rule]; !known {
			p.stale = true
			k.Clear()
			p.weight -= most
			continue
		}
		held := k.Numbers()
		d.release(p, k, now, func() bool { return k.Size() < most/2 })
		p.held += k.Numbers() - held
		p.weight += k.Size() - most
	}
}

// tighten makes the windows of a page hold less of events one by one, the largest first: no sum is
// left out, so nobody who fills one window hides what another one adds up to.
func (d *ruleRunner) tighten(p *rulePart, now int64) {
	for p.held > rules.MaxPageNumbers {
		var k *rules.State
		most := 0
		for _, o := range p.states {
			if n := o.Numbers(); n > most {
				k, most = o, n
			}
		}
		if k == nil {
			p.held = 0
			return
		}
		weight := k.Size()
		if place, known := d.byHash[k.Rule]; !known { // it is no more
			i, _ := p.find(k.Rule, k.Sub)
			p.remove(i)
			continue
		} else if k.Shrink(d.rules[place]); k.Numbers() >= most && k.Pending() {
			d.release(p, k, now, func() bool { return k.Numbers() < most/2 })
		}
		p.held, p.weight = p.held+k.Numbers()-most, p.weight+k.Size()-weight
		if k.Numbers() >= most { // it is as small as it gets: there are too many
			d.evict(p, now)
		}
	}
}

// release lets go of what is under way or awaited in a state, the oldest first, until it is enough.
func (d *ruleRunner) release(p *rulePart, k *rules.State, now int64, enough func() bool) {
	r := d.rules[d.byHash[k.Rule]]
	for p.stale = true; k.Pending() && !enough(); {
		d.matches = d.runner.Evict(r, k, now, d.matches[:0])
		for i := range d.matches {
			d.came = append(d.came, came{r, k.Sub, d.matches[i]})
		}
	}
}

// scopeOf is the scope whose page a key belongs to.
func scopeOf(k rules.Key) policy.Scope {
	return [...]policy.Scope{rules.AgentKey: policy.AgentScope, rules.SessionKey: policy.SessionScope,
		rules.UserKey: policy.UserScope, rules.PersonaKey: policy.PersonaScope,
		rules.TenantKey: policy.TenantScope, rules.OwnerKey: policy.OwnerScope,
		rules.CredentialKey: policy.CredentialScope, rules.ToolKey: policy.ToolScope,
		rules.ServerKey: policy.ServerScope, rules.ConversationKey: policy.ConversationScope,
		rules.ResourceKey:    policy.ResourceScope,
		rules.DestinationKey: policy.DestinationScope, rules.SubjectKey: policy.SubjectScope}[k]
}

// keyOf is whose page the rule's state lies on, and a hash of the rest of its key; false: the event
// lacks a part of it.
func (d *ruleRunner) keyOf(x *detectors.Scene, e *event.Event, r *rules.Rule) (id string, sub uint64, ok bool) {
	page := pageOf(r)
	for i, k := range r.By {
		s := d.partOfKey(x, e, k)
		if s == "" {
			return "", 0, false
		}
		if k == rules.SessionKey && r.ForRelationStage() {
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

func (d *ruleRunner) partOfKey(x *detectors.Scene, e *event.Event, k rules.Key) string {
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
func (d *ruleRunner) Note(x *detectors.Closing, n *detectors.Note) {
	r := wire.Reader{B: n.Body}
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
	d.advance(part, place, sub, n.Ref, &t)
	for i := range d.came {
		c := &d.came[i]
		if f := part.found(c.rule, c.sub, &c.Match, x.Count); f != nil {
			if c.Deadline == 0 && !c.Evicted { // what did not come was not this event's doing
				f.Persona, f.Session, f.User, f.Tool, f.Server = persona, session, user, tool, server
			}
			d.find(x, c.rule, f)
		}
	}
	d.behind(place, x.Count)
}

// find says of which scope a finding of the relation stage is.
func (d *ruleRunner) find(x *detectors.Closing, r *rules.Rule, f *event.Finding) {
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
func (d *ruleRunner) Due(m *detectors.Memory) int64 {
	due := int64(math.MaxInt64)
	if part, ok := m.Part(d.slot).(*rulePart); ok {
		if part.stale {
			for _, k := range part.states {
				due = min(due, k.Due())
			}
			part.due, part.stale = due, false
		}
		due = part.due
	}
	return due
}

// Ring implements Waiter.
func (d *ruleRunner) Ring(x *detectors.Closing, t int64) {
	part, ok := x.Memory.Part(d.slot).(*rulePart)
	if !ok {
		return
	}
	for _, k := range part.states {
		if k.Due() > t {
			continue
		}
		place, known := d.byHash[k.Rule]
		part.stale = true
		weight := k.Size()
		if !known { // it is no more, or off
			k.Clear()
			part.weight -= weight
			continue
		}
		rule := d.rules[place]
		d.matches = d.runner.Expire(rule, k, t, d.matches[:0])
		part.weight += k.Size() - weight
		for i := range d.matches {
			if f := part.found(rule, k.Sub, &d.matches[i], x.Count); f != nil {
				d.find(x, rule, f)
			}
		}
		d.behind(place, x.Count)
	}
}

// spareStates is how many states are forgotten at a time where a page has too many.
const spareStates = 64

// state is the rule's state under a key, made if there is none.
func (d *ruleRunner) state(p *rulePart, r *rules.Rule, sub uint64, now int64) *rules.State {
	id := r.Hash
	i, found := p.find(id, sub)
	if found && p.states[i].Fits(r) {
		return p.states[i]
	}
	k := &rules.State{Rule: id, Sub: sub, Dropped: p.dropped}
	if found {
		p.remove(i)
	} else if len(p.states) >= rules.MaxStates {
		d.makeRoom(p, now)
		k.Dropped = p.dropped
	}
	i, _ = p.find(id, sub)
	p.states = slices.Insert(p.states, i, k)
	return k
}

// makeRoom forgets states of a page: those in which nothing is left, else those that hold least,
// the longest unseen of them first. What adds up or is awaited under one key stays, however many
// keys somebody makes up beside it; what was under way or awaited under a key that goes is told.
func (d *ruleRunner) makeRoom(p *rulePart, now int64) {
	empty := func(k *rules.State) bool {
		place, known := d.byHash[k.Rule]
		return !known || k.Empty(d.rules[place], now)
	}
	for i := len(p.states) - 1; i >= 0; i-- {
		if empty(p.states[i]) {
			p.remove(i)
		}
	}
	if len(p.states) >= rules.MaxStates {
		d.evict(p, now)
	}
}

// evict forgets those states that hold least.
func (d *ruleRunner) evict(p *rulePart, now int64) {
	least := slices.Clone(p.states)
	slices.SortStableFunc(least, func(a, b *rules.State) int {
		return cmp.Or(cmp.Compare(a.Absences(), b.Absences()), cmp.Compare(a.Progress(), b.Progress()),
			cmp.Compare(a.Newest, b.Newest))
	})
	for _, k := range least[:min(spareStates, len(least))] {
		i, _ := p.find(k.Rule, k.Sub)
		p.remove(i)
		if _, known := d.byHash[k.Rule]; known {
			d.release(p, k, now, func() bool { return false })
		}
		d.runner.CountDrops(1)
	}
	p.dropped = true
}

// found makes a finding of a match: a new one, or one that has grown; nil if there is nothing to
// tell.
func (p *rulePart) found(r *rules.Rule, sub uint64, m *rules.Match, count func(what, rule string)) *event.Finding {
	if !m.Evicted {
		count("match", r.ID)
	}
	if r.Mode == rules.Shadow {
		return nil
	}
	key := r.Hash ^ sub*0x9e3779b97f4a7c15
	if m.Evicted { // one for the page: it must not stand for a match that comes later
		key = ^r.Hash
	}
	i := slices.IndexFunc(p.told, func(t ruleTold) bool { return t.key == key })
	if i >= 0 && m.Time-p.told[i].last > r.Suppress && !m.Continues {
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
		t := ruleTold{key: key, first: m.Refs[0].Time, OpenFinding: detectors.OpenFinding{Trigger: trigger.Clone(), Next: 1}}
		for _, x := range refs[:min(len(refs), event.MaxRefs)] {
			t.Refs = append(t.Refs, x.Clone())
		}
		p.told = append(p.told, t)
		i, activity = len(p.told)-1, event.Create
	}
	t := &p.told[i]
	t.last = max(t.last, m.Time)
	if t.count++; t.count >= t.Next && (activity == event.Create || t.Update()) {
		t.Next = detectors.Double(t.count)
	} else if r.Respond == nil || r.Mode < rules.Enforce || m.Evicted {
		return nil
	} else {
		activity = event.Again
	}
	why := m.Why
	if why == "" {
		why = say(r, m)
	}
	id := r.ID
	switch {
	case m.Deadline != 0:
		why += "; nothing came until " + time.UnixMilli(m.Deadline).UTC().Format("15:04:05")
	case m.Evicted && m.Until != 0:
		why += "; too much is awaited at once, so nobody sees whether something comes until " +
			time.UnixMilli(m.Until).UTC().Format("15:04:05")
	case m.Evicted:
		id += "/unfollowed"
		why = "too many sequences are under way at once, so nobody sees whether this one goes on: " + why
	}
	if t.count > 1 {
		why += detectors.Times(t.count)
	}
	if m.Approx != "" {
		why += "; " + m.Approx
	}
	f := &event.Finding{
		Activity: activity, Analytic: event.RuleAnalytic, Severity: r.Severity, Risk: cmp.Or(r.Risk, detectors.Risk(r.Severity)),
		Alert:    r.Severity > event.Signal && r.Mode >= rules.Alert,
		Detector: "rule", Rule: id, RuleVersion: r.Version, Title: r.Title, Why: why, Tags: r.Tags,
		Time: t.Trigger.Time, First: t.first, Last: max(t.last, t.Trigger.Time), Count: m.Count + t.count - 1,
		Refs: t.All(), WindowMS: max(r.Window, r.Within), Incomplete: m.Partial,
	}
	if r.Mode == rules.Enforce && !m.Evicted {
		f.Response = r.Respond
	}
	return f
}

// say tells in words what a rule without a sentence of its own has seen.
func say(r *rules.Rule, m *rules.Match) string {
	var b strings.Builder
	switch {
	case r.Having != nil:
		b.WriteString(strconv.FormatInt(m.Count, 10) + " events of one " + r.By[0].String() + " within " +
			policy.FormatSpan(r.Window) + ": " + r.Having.Source)
	case len(r.Steps) == 1 && r.Absent == nil && r.Steps[0].Times == 1:
		b.WriteString(r.Steps[0].Where.Source)
	default:
		for i, s := range r.Steps {
			if i > 0 {
				b.WriteString(", then ")
			}
			b.WriteString(s.Name)
			if s.Times > 1 {
				b.WriteString(detectors.Times(int64(s.Times)))
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
		b = t.OpenFinding.Append(b)
	}
	return b
}

// Decode reads what Append wrote.
func (p *rulePart) Decode(r *wire.Reader) {
	*p = rulePart{dropped: r.Byte()&1 != 0, due: math.MaxInt64, stale: true}
	for range min(r.Len(), rules.MaxStates) {
		k := &rules.State{}
		k.Decode(r)
		p.states, p.held, p.weight = append(p.states, k), p.held+k.Numbers(), p.weight+k.Size()
		if r.Err != nil {
			return
		}
	}
	for range min(r.Len(), maxRuleTold) {
		t := ruleTold{key: r.Uint64(), last: r.Varint(), count: r.Varint(), first: r.Varint()}
		t.OpenFinding.Decode(r)
		p.told = append(p.told, t)
	}
}

// Unseen implements detectors.RuleCounter.
func (d *ruleRunner) Unseen(report func(rule, field string)) (events int64) {
	for _, u := range d.unseen {
		for _, i := range u.rules {
			report(d.rules[i].ID, u.Name)
		}
	}
	return d.events
}

// ruleKind registers the detector that runs rules. What rules remember of a session stays where it
// ended and the new one did not say that it starts: that a session goes on after its end is what
// some of them look for.
var Kind = detectors.Kind{Name: "rule", Slot: 9, New: newRules, Part: func() detectors.Part { return newRulePart() },
	Keeps: func(ended, started bool) bool { return ended && !started }}
