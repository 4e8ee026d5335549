package pipeline

import (
	"cmp"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/response"
)

// What follows from a finding beyond its alert. The breaker of an agent or a session hangs on its
// page and belongs to its behaviour shard, so that a plain violation is one hop from event to
// command; every wider scope has a page with a relation shard. What others have to say of a breaker
// (acks, feedback, the clock) comes as a control record in the log of the shard that owns it.

// orderOf is what a finding asks for; ok is false if it asks for nothing, or not of anything that
// is known. at is the event time of what led to it.
func orderOf(f *event.Finding, at int64) (o order, ok bool) {
	r := f.Response
	if r == nil {
		return o, false
	}
	t := r.Scope
	if t == 0 {
		t, _ = event.ParseScopeType(f.ScopeType)
	}
	trigger := event.Ref{Time: f.Time}
	if n := len(f.Refs); n > 0 {
		trigger = f.Refs[n-1]
	}
	agent := cmp.Or(f.Agent, trigger.Agent) // of several, the one that crossed the line
	s := event.Scope{Type: t, Tenant: f.Tenant}
	switch {
	case t == event.SessionScope && f.Session != "":
		s.ID, s.Agent = f.Session, agent
	case t.String() == f.ScopeType && t != event.SessionScope:
		s.ID = f.ScopeID
	case t == event.PersonaScope:
		s.ID = f.Persona
	case t == event.UserScope:
		s.ID = f.User
	case t == event.ToolScope && f.Tool != "":
		s.ID = event.ToolID(f.Server, f.Tool)
	case t == event.ServerScope:
		s.ID = f.Server
	case t == event.TenantScope:
		s.ID = f.Tenant
	case t != event.ToolScope:
		// what has no breaker of its own (a beneficiary, say), or is not known (a session), is
		// stopped where it acts
		s.Type, s.ID = event.AgentScope, agent
	}
	if s.ID == "" {
		return o, false
	}
	return order{Scope: s, Persona: f.Persona, Order: response.Order{Action: r.Action, DurationMS: r.DurationMS,
		Rate: r.Rate, Time: at, FindingUID: f.UID, Reason: f.Why,
		Issuer: event.Issuer{Type: "rule", Rule: f.Rule, Version: f.RuleVersion}, Trigger: trigger,
		Guarded: r.Action >= event.Block && s.Type.Narrow(), Again: f.Activity == event.Again}}, true
}

// wallNow is the wall clock as the logs tell it; in a replay the event time takes its place.
func (s *shard) wallNow(at int64) int64 {
	if s.now == 0 {
		return at
	}
	return s.now
}

// breakerPage is the page on which the breaker of a scope hangs; nil: there is none, and none is to
// be made, or the tenant's share is used up.
func (s *shard) breakerPage(scope event.Scope, make bool) *page {
	var key []byte
	switch scope.Type {
	case event.AgentScope:
		key = event.AppendKey([]byte{agentKind}, scope.Tenant, scope.ID)
	case event.SessionScope:
		key = append(event.AppendKey([]byte{sessionKind}, scope.Tenant, scope.Agent), '|')
		key = event.AppendKeyPart(key, scope.ID)
	default:
		key = scope.AppendKey([]byte{wideKind})
	}
	if pg := s.pageIf(key); pg != nil {
		s.touch(pg)
		return pg
	}
	if !make {
		return nil
	}
	return s.reserved(key, scope.Tenant)
}

// trip carries out an order on a page.
func (s *shard) trip(pg *page, o order) bool {
	b := pg.breaker
	if b == nil {
		b = &response.Breaker{Scope: o.Scope}
		pg.breaker = b
	}
	pg.kept = max(pg.kept, o.Order.Time)
	was := b.Open()
	c, done := b.Trip(o.Order, s.settings(), s.wallNow(o.Order.Time))
	if !done {
		if b.Epoch == 0 {
			pg.breaker = nil
		}
		return false
	}
	if b.Action >= event.Block && b.Persona == "" {
		b.Persona = o.guard
	}
	s.command(pg, &c)
	if !was {
		s.machine.turned(pg, true)
	}
	return true
}

// shut issues the command that closed a breaker. Its page lives on for its epoch, from now.
func (s *shard) shut(pg *page, c *event.Command) {
	pg.kept = max(pg.kept, c.Time)
	s.command(pg, c)
	s.machine.turned(pg, false)
}

// command writes a command and the new state of its breaker.
func (s *shard) command(pg *page, c *event.Command) {
	if s.now == 0 { // a replay has no wall clock
		c.IssuedAt, c.NotAfter = 0, 0
	}
	c.ReplyTo = s.rules.acks
	if s.live {
		s.commands = append(s.commands, *c)
	}
	s.count("commands", c.Action.String()+" "+c.Mode+" "+c.Issuer.Type)
	s.emit(output{to: toCommands, partition: -1, key: c.Scope.AppendKey(nil), value: c.Append(nil)})
	s.publish(pg)
}

// publish writes the state of a breaker for those who come later: a tombstone if it is closed.
func (s *shard) publish(pg *page) {
	b := pg.breaker
	s.open[pg] = true
	var value []byte
	if st := b.State(); st != nil {
		value = st.Append(nil)
	}
	var headers []Header
	if b.Persona != "" && value != nil {
		headers = []Header{{guardHeader, []byte(b.Persona)}}
	}
	s.emit(output{to: toBreakers, partition: -1, key: b.Scope.AppendKey(nil), value: value, headers: headers})
	s.machine.stated(pg)
}

// guardHeader says on agent.breakers whose guard counts a block, for Resume.
const guardHeader = "guard"

// settings are those of the set in force.
func (s *shard) settings() *policy.Settings { return s.policies().Response() }

// answer is what a control record about a breaker leads to; it is the same in both stages.
func (s *shard) answer(c *control, r *record) {
	switch c.Kind {
	case controlAck:
		a, err := event.ParseAck(c.Body)
		if err != nil {
			s.counts.badControl++
			return
		}
		pg := s.breakerPage(a.Scope, false)
		if pg == nil || pg.breaker == nil {
			s.count("acks", "unknown")
			return
		}
		switch pg.breaker.TakeAck(&a, r.stamp) {
		case response.AckUnknown:
			s.count("acks", "unknown")
		case response.AckStale:
			s.count("acks", "stale")
		case response.AckKnown:
			s.count("acks", "repeated")
		case response.AckRefused:
			s.noted(pg.breaker.NotEnforced())
			fallthrough
		case response.AckTaken:
			s.count("acks", a.Status.String())
			if pg.breaker.Open() {
				s.publish(pg)
			}
		}
	case controlExpire:
		pg := s.breakerPage(c.Scope, false)
		if pg == nil || pg.breaker == nil || s.hasty(pg.breaker.Until, r) {
			return
		}
		if cmd, ok := pg.breaker.Expire(c.Epoch, s.settings(), c.Time); ok {
			s.shut(pg, &cmd)
		}
	case controlMissed:
		pg := s.breakerPage(c.Scope, false)
		if pg == nil || pg.breaker == nil || s.hasty(pg.breaker.AckBy, r) || !pg.breaker.Miss(c.Epoch, c.Time) {
			return
		}
		s.count("acks", "missed")
		s.noted(pg.breaker.NotEnforced())
		s.publish(pg)
	case controlFeedback:
		if reason, detail := s.feedback(c, r); reason != "" {
			s.count("refused", reason)
			s.deadLetter(s.rules.feedback, c.Source, &record{offset: c.Offset, stamp: r.stamp, value: c.Body}, reason,
				detail, nil)
		}
	case controlResume:
		s.resume(c, r)
	default:
		s.counts.badControl++
	}
}

// hasty tells whether a record of what the wall clock says was written long before that time, by
// the broker's clock: an instance whose own is ahead must not let somebody go, or report a gateway
// that has time left.
func (s *shard) hasty(due int64, r *record) bool {
	if s.now == 0 || r.stamp >= due-clockSkew {
		return false
	}
	s.count("refused", "clock")
	return true
}

// clockSkew is how far an instance's clock may be ahead of the broker's before it is not believed.
const clockSkew = 30_000

// Feedback that acts is taken within feedbackTol of its time, and its id is remembered for twice as
// long: so nothing can be sent again later.
const (
	feedbackTol = 10 * 60_000
	maxTaken    = 4096
)

// taken is a feedback that was well signed.
type taken struct {
	id    uint64
	stamp int64
}

// feedback acts on what a person wants. It returns why not, as a word and a sentence.
func (s *shard) feedback(c *control, r *record) (reason, detail string) {
	f, err := event.ParseFeedback(c.Body)
	if err != nil {
		return "bad_feedback", err.Error()
	}
	if f.Type == event.VerdictFeedback {
		s.count("feedback", "verdict")
		return "", ""
	}
	key := s.settings().Key(f.By)
	id := signedID(f.By, f.ID)
	for len(s.taken) > 0 && s.taken[0].stamp < r.stamp-2*feedbackTol {
		s.taken = s.taken[1:]
	}
	switch {
	case len(f.Signature) == 0:
		return "unsigned", "feedback that acts must be signed; wayward breaker does it"
	case key == nil:
		return "unknown_key", "no key of this name in the response settings"
	case !key.Serves(f.Scope.Tenant):
		return "wrong_tenant", "the key may not act on this tenant"
	case !f.Verify(key.Public):
		return "bad_signature", "the signature is not that of the key over this record"
	case s.resumed != 0 && f.Time <= s.resumed:
		return "before_resume",
			"it was signed before state was made anew, so nobody knows whether it was taken: sign it again"
	case f.Time < r.stamp-feedbackTol || f.Time > r.stamp+feedbackTol:
		return "stale_feedback",
			"its time and the broker's differ by more than ten minutes: it is old, or a clock is wrong"
	case len(s.taken) >= maxTaken:
		return "too_much_feedback", "more than 4096 records in twenty minutes"
	}
	for _, t := range s.taken {
		if t.id == id {
			return "replayed", "feedback with this id was taken before"
		}
	}
	// Whatever becomes of it: what is refused now must not act later because somebody sends it
	// again.
	s.taken = append(s.taken, taken{id, r.stamp})
	issuer := event.Issuer{Type: "human", By: f.By, Rule: f.ID}
	switch f.Type {
	case event.TripFeedback:
		pg := s.breakerPage(f.Scope, true)
		if pg == nil {
			return "no_room", "the tenant has used up its share of the state"
		}
		o := order{Scope: f.Scope, Order: response.Order{Action: f.Action, DurationMS: f.DurationMS, Rate: f.Rate,
			Time: f.Time, FindingUID: f.FindingUID, Reason: f.Reason, Issuer: issuer}}
		if !s.trip(pg, o) {
			return "not_stronger", "as much is in force already"
		}
	case event.RestoreFeedback:
		pg := s.breakerPage(f.Scope, false)
		if pg == nil || !pg.breaker.Open() {
			return "not_open", "nothing is in force on this scope"
		}
		cmd, _ := pg.breaker.Restore(issuer, f.Reason, f.Time, s.settings(), s.wallNow(f.Time))
		s.shut(pg, &cmd)
	case event.BaselineFeedback:
		b, ok := s.machine.(*relation)
		if !ok {
			return "unknown_type", "a baseline is that of a persona"
		}
		if reason, detail := b.changeBaseline(&f); reason != "" {
			return reason, detail
		}
	default:
		return "unknown_type", "approve has nothing to approve yet"
	}
	s.count("feedback", f.Type.String())
	return "", ""
}

// noted records a finding about a command.
func (s *shard) noted(f event.Finding) {
	f.Stage = s.machine.stage()
	s.find(&f)
}

// gate is whether a shard may block agents of a persona on its own.
type gate struct {
	shut  bool   // the persona's relation shard said no
	waits uint64 // hash of a block that it has not answered yet; 0: none
}

// guardOf is the tenant and the persona whose guard counts an agent. Personas that nobody has
// declared share one: whoever makes up personas must not get a share for each.
func guardOf(set *policy.Set, tenant, persona string) string {
	if set.Persona(tenant, persona) == nil {
		persona = ""
	}
	return tenant + "|" + persona
}

// tripAgent carries out an order on an agent or one of its sessions, if the persona's guard lets
// it: a shard may add one block, and the next when the persona's relation shard has counted that
// one and says so.
func (b *behaviour) tripAgent(o order) {
	pg := b.breakerPage(o.Scope, true)
	if pg == nil {
		b.count("refused", "no_room")
		return
	}
	name := guardOf(b.panel.Set, o.Scope.Tenant, o.Persona)
	g, known := b.gates[name]
	counted := pg.breaker.Open() && pg.breaker.Persona != ""
	if o.Order.Guarded && !counted && (g.shut || g.waits != 0 || !known && len(b.gates) >= maxGates) {
		if !pg.breaker.Open() || pg.breaker.Action < event.Escalate {
			b.count("guarded", o.Order.Action.String())
		}
		o.Order.Action, o.Order.Guarded = event.Escalate, false
		o.Order.Reason = "guard: " + o.Order.Reason
	}
	if o.Order.Guarded && !counted {
		o.guard = name
	}
	if b.trip(pg, o) && !counted && pg.breaker.Persona != "" {
		c := b.tellGuard(controlBlocked, pg.breaker)
		g.waits = c.Hash
		b.gates[name] = g
	}
}

// maxGates bounds the personas that a shard waits for.
const maxGates = 10_000

// tellGuard tells the persona's relation shard of a block or its end.
func (b *behaviour) tellGuard(kind string, k *response.Breaker) control {
	tenant, persona, _ := strings.Cut(k.Persona, "|")
	c := control{Kind: kind, Source: b.p, Tenant: tenant, Persona: persona, Hash: xxhash.Sum64String(k.Scope.Key()) | 1}
	b.tellRelation(b.rules.owner(tenant, policy.PersonaScope, persona), c)
	return c
}

// opened hears from a persona's guard: the answer to a block if it names one, else news for all.
func (b *behaviour) opened(c *control) {
	name := c.Tenant + "|" + c.Persona
	g, known := b.gates[name]
	if c.Hash == g.waits {
		g.waits = 0
	}
	g.shut = !c.Open
	switch {
	case g == gate{}:
		delete(b.gates, name)
	case known || len(b.gates) < maxGates:
		b.gates[name] = g
	}
}

// tellRelation writes a control record into a relation shard's log: it is not held until the
// watermark.
func (b *behaviour) tellRelation(q int32, c control) {
	b.emit(output{to: toFacts, partition: q, value: controlFacts(b.p, b.now, b.panel.Set.Hash(), c)})
}

// respond does what a finding of this stage asks for.
func (x *eventContext) respond(f *event.Finding) {
	b := x.b
	o, ok := orderOf(f, x.scene.Time)
	switch {
	case !ok:
	case b.known(&o):
	case o.Scope.Type.Narrow() && x.home != b.p:
		// The event lies in the wrong partition. The breaker of its agent is where its key belongs,
		// or there would be two, with the same epochs. What goes on is not asked for again: whether
		// it is in force is not known here, and the log must not fill with questions.
		if o.Order.Again {
			return
		}
		b.emit(b.rules.route(o.Scope, b.now, "", control{Kind: controlTrip, Source: b.p, Trip: &o}))
	case o.Scope.Type.Narrow():
		b.tripAgent(o)
	case b.inForce(&o):
		// as far as this shard has heard: who goes on and on must not fill the log with questions
	default:
		b.tellRelation(b.rules.wideOwner(o.Scope), control{Kind: controlAsk, Source: b.p, Trip: &o})
	}
}

// Settled implements detectors.Host.
func (x *eventContext) Settled(r *event.Response, own event.ScopeType) bool {
	b := x.b
	e := x.event
	switch cmp.Or(r.Scope, own) {
	case event.SessionScope:
		if x.Session() != nil {
			return x.session.breaker.Settled(r.Action, b.settings(), b.wallNow(x.scene.Time))
		}
		fallthrough // stopped where it acts
	case event.AgentScope:
		return x.agent.breaker.Settled(r.Action, b.settings(), b.wallNow(x.scene.Time))
	}
	for _, k := range b.wide {
		if k.Scope.Type == r.Scope && covers(&k.Scope, x.scene.Persona, e) {
			return k.Settled(r.Action, b.settings(), b.wallNow(x.scene.Time))
		}
	}
	return false
}

// inForce tells whether the breaker of a wide scope does what an order asks for.
func (b *behaviour) inForce(o *order) bool {
	for _, k := range b.wide {
		if k.Scope == o.Scope {
			return k.Open() && k.Settled(o.Order.Action, b.settings(), b.wallNow(o.Order.Time))
		}
	}
	return false
}

// turned implements machine: a breaker opened or closed.
func (b *behaviour) turned(pg *page, open bool) {
	k := pg.breaker
	if !open && k.Persona != "" {
		b.tellGuard(controlFreed, k)
		k.Persona = ""
	}
	if k.Scope.Type != event.SessionScope {
		return
	}
	// The agent's page says how many of its sessions are stopped, so that an event need not look
	// for its session otherwise.
	if agent := b.breakerPage(event.Scope{Type: event.AgentScope, Tenant: k.Scope.Tenant, ID: k.Scope.Agent},
		true); agent != nil {
		if open {
			agent.agent().barred++
		} else {
			agent.agent().barred = max(0, agent.agent().barred-1)
		}
	}
}

// stated implements machine.
func (b *behaviour) stated(*page) {}

// defied looks whether a call that went through goes against what is in force on its agent, its
// session, or a wider scope.
func (x *eventContext) defied(pg *agentPage, e *event.Event) {
	b := x.b
	if e.Kind != event.ToolCall || e.Phase == event.Attempt || e.Result.Outcome == event.Denied ||
		e.Result.Outcome == event.NoOutcome && (e.Policy.Verdict == "deny" || e.Policy.Verdict == "escalate") {
		return
	}
	ref := event.Ref{Time: x.scene.Time, ID: e.ID, Agent: e.Agent.ID}
	look := func(k *response.Breaker) {
		if f := k.Defied(ref); f.Activity != 0 {
			f.Agent, f.Persona, f.Session, f.User = strings.Clone(e.Agent.ID), x.scene.Persona, strings.Clone(
				e.Session), strings.Clone(e.User)
			f.Tool, f.Server, f.Class = strings.Clone(e.Tool.Name), strings.Clone(e.Tool.Server), e.Tool.Class
			b.noted(f)
		}
	}
	if pg.breaker.Open() {
		look(pg.breaker)
	}
	if pg.barred > 0 && e.Session != "" {
		if s := b.breakerPage(event.Scope{Type: event.SessionScope, Tenant: e.Tenant, Agent: e.Agent.ID, ID: e.Session},
			false); s != nil && s.breaker.Open() {
			look(s.breaker)
		}
	}
	for _, k := range b.wide {
		if covers(&k.Scope, x.scene.Persona, e) {
			look(k)
		}
	}
}

// covers tells whether a wide scope is that of an event.
func covers(s *event.Scope, persona string, e *event.Event) bool {
	if s.Type != event.GlobalScope && s.Tenant != e.Tenant {
		return false
	}
	switch s.Type {
	case event.PersonaScope:
		return s.ID == persona
	case event.UserScope:
		return s.ID == e.User
	case event.ServerScope:
		return s.ID == e.Tool.Server
	case event.ToolScope:
		return s.ID == event.ToolID("", e.Tool.Name) || e.Tool.Sent != "" && s.ID == event.ToolID("", e.Tool.Sent) ||
			e.Tool.Server != "" && s.ID == event.ToolID(e.Tool.Server, e.Tool.Name)
	}
	return true
}

// maxWide bounds the breakers of wider scopes that a behaviour shard watches; the others hold all
// the same, at the gateway.
const maxWide = 256

// heardWide takes the state of a wider scope's breaker from the relation stage.
func (b *behaviour) heardWide(c *control) {
	k := &response.Breaker{}
	r := wire.Reader{B: c.State}
	if k.Decode(&r); r.Err != nil {
		b.counts.badControl++
		return
	}
	i := slices.IndexFunc(b.wide, func(have *response.Breaker) bool { return have.Scope == k.Scope })
	switch {
	case i >= 0 && k.Epoch < b.wide[i].Epoch:
	case i >= 0 && !k.Open():
		b.wide = slices.Delete(b.wide, i, i+1)
	case i >= 0:
		k.KeepCalls(b.wide[i])
		b.wide[i] = k
	case k.Open() && len(b.wide) < maxWide:
		b.wide = append(b.wide, k)
	case k.Open():
		b.count("refused", "unwatched")
	}
}

// tripWide carries out an order on a scope above agents.
func (b *relation) tripWide(o order) {
	pg := b.breakerPage(o.Scope, true)
	if pg == nil {
		b.count("refused", "no_room")
		return
	}
	b.trip(pg, o)
}

// ask passes an order on to the shard that owns its scope, which may be this one.
func (b *relation) ask(kind string, o order) {
	b.emit(b.rules.route(o.Scope, b.now, b.panel.Set.Hash(), control{Kind: kind, Source: b.p, Trip: &o}))
}

// respond does what a finding of this stage asks for: a scope above agents is here, an agent's
// shard is told.
func (b *relation) respond(f *event.Finding) {
	o, ok := orderOf(f, f.Last)
	switch {
	case !ok:
	case b.known(&o):
	case !o.Scope.Type.Narrow():
		b.ask(controlAsk, o)
	default:
		b.emit(b.rules.route(o.Scope, b.now, b.panel.Set.Hash(), control{Kind: controlTrip, Source: b.p, Trip: &o}))
	}
}

// turned implements machine.
func (b *relation) turned(*page, bool) {}

// stated implements machine: every behaviour shard watches for agents that act against a wide
// breaker.
func (b *relation) stated(pg *page) {
	state := pg.breaker.Append(nil)
	for p := range b.rules.sources {
		b.emit(output{to: toControl, partition: p, value: control{Kind: controlWide, Source: b.p,
			State: state}.encode()})
	}
}

// guardSlot is the slot of what behaviour shards contribute to a persona's guard: how many of its
// agents act.
const guardSlot = 0xfe

// acted is what one agent contributes in an hour.
var acted = []detectors.Contribution{{Sums: &detectors.Sums{1}, Mask: 1}}

// guarded changes the guard of a persona and tells the shards what follows.
func (b *relation) guarded(tenant, persona string, change func(*response.Guard)) (g *response.Guard) {
	pg := b.scopePage(guardSlot, policy.PersonaScope, tenant, persona)
	if pg == nil {
		return nil
	}
	if pg.guard == nil {
		pg.guard = &response.Guard{}
	}
	change(pg.guard)
	if room, changed := pg.guard.Room(b.settings()); changed {
		if !room {
			b.count("guarded", "shut")
		}
		for p := range b.rules.sources {
			b.emit(output{to: toControl, partition: p, value: control{Kind: controlGate, Source: b.p, Tenant: tenant,
				Persona: persona, Open: room}.encode()})
		}
	}
	return pg.guard
}

// control applies what is told to this shard alone, without waiting for the watermark.
func (b *relation) control(c *control, r *record) {
	switch c.Kind {
	case controlBlocked:
		if c.Source < 0 || c.Source >= b.rules.sources {
			b.counts.badControl++
			return
		}
		if g := b.guarded(c.Tenant, c.Persona, func(g *response.Guard) { g.Blocked(c.Hash) }); g != nil {
			b.emit(output{to: toControl, partition: c.Source,
				value: control{Kind: controlGate, Source: b.p, Tenant: c.Tenant, Persona: c.Persona, Hash: c.Hash,
					Open: !g.Full()}.encode()})
		}
	case controlFreed:
		b.guarded(c.Tenant, c.Persona, func(g *response.Guard) { g.Freed(c.Hash) })
	case controlAsk, controlTrip:
		if c.Trip == nil || c.Trip.Scope.Type.Narrow() || b.rules.wideOwner(c.Trip.Scope) != b.p {
			b.counts.badControl++
			return
		}
		if c.Kind == controlAsk {
			// Whether it is stale the wall clock decides, and a relation shard has none but the
			// stamps of what it writes itself: what came with the question is the time of whoever
			// asked, perhaps long ago.
			b.ask(controlTrip, *c.Trip)
			return
		}
		if b.now != 0 {
			b.now = max(b.now, r.stamp)
		}
		b.tripWide(*c.Trip)
	default:
		b.answer(c, r)
	}
}
