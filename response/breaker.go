// Package response turns violations into commands: the circuit breaker of one scope, and the guard
// that keeps a persona from being switched off.
//
// Everything here is a function of its arguments. The wall clock comes in as `now`, which the
// engine takes from its logs, so that a shard that reads them again decides the same.
package response

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// Order is what somebody wants done with a scope.
type Order struct {
	Action     event.Action
	DurationMS int64 // 0: until restored
	Rate       event.Rate
	Time       int64 // event time of what it is about
	FindingUID string
	Reason     string
	Issuer     event.Issuer
	Trigger    event.Ref
	// Guarded orders count against the persona's guard: automatic blocks and kills of an agent or a
	// session.
	Guarded bool
	// Again marks an order about a finding that merely goes on. After an expiry it is carried out;
	// after a person's restore it is not: who restored has seen it. A new finding, or one that has
	// doubled, is.
	Again bool
}

// maxReason bounds the sentence that travels with a command and is kept with its breaker.
const maxReason = 256

// Breaker is the circuit breaker of one scope. The zero value is closed and was never tripped.
//
// The ladder observe < throttle < escalate < block < kill only rises, until the breaker expires or
// somebody restores it; what rises never ends before that over which it rose. What is enforced
// stands above all that is dry_run. Every command takes the next epoch. A breaker that closed keeps
// its epoch: consumers drop lower ones.
type Breaker struct {
	Scope  event.Scope
	Epoch  int64
	Action event.Action // 0: closed
	Mode   string
	Since  int64 // event time of what opened it first
	At     int64 // event time of what the last command is about
	Until  int64 // wall clock at which it expires; 0: when restored
	Length int64 // of its duration, milliseconds
	Rate   event.Rate
	Finding,
	Reason string
	Issuer  event.Issuer
	Persona string // whose guard counts it; "" : none

	Command string // id of the last command: what acks refer to
	Issued  int64  // wall clock of the last command
	AckBy   int64  // wall clock by which it must be applied; 0: nothing is awaited
	Ack     event.AckStatus
	Missed  bool  // the ack did not come in time
	Applied int64 // wall clock at which a gateway stopped the scope; 0: not known to be
	trigger event.Ref
	acts    int64 // calls that went through after Applied
	told    int64 // acts at which that is next told
	first   event.Ref
}

// Open tells whether anything is in force.
func (b *Breaker) Open() bool { return b != nil && b.Action != 0 }

// Trip carries out an order, unless as much is in force already. An order about behaviour that is
// older than the settings allow asks a human instead of blocking: it comes out of a backlog, and
// the agent may long do something else. A person may also prolong what is in force.
func (b *Breaker) Trip(o Order, set *policy.Settings, now int64) (event.Command, bool) {
	human := o.Issuer.Type == "human"
	if o.Again && !b.Open() && b.Issuer.Type == "human" {
		return event.Command{}, false
	}
	if o.Action > event.Escalate && now-o.Time > set.StaleMS && !human {
		o.Action = event.Escalate
		o.Reason = "stale: " + o.Reason
	}
	mode, since, until := set.Mode(), o.Time, int64(0)
	if o.DurationMS > 0 {
		until = now + o.DurationMS
	}
	if b.Holds(now) && b.Mode != event.DryRun && mode == event.DryRun {
		return event.Command{}, false
	}
	if b.Holds(now) && b.Mode == mode {
		if o.Action <= b.Action && !(human && o.Action == b.Action && outlasts(until, b.Until)) {
			return event.Command{}, false
		}
		if outlasts(b.Until, until) {
			until = b.Until
		}
		since = b.Since
	}
	*b = Breaker{Scope: b.Scope, Epoch: b.Epoch + 1, Action: o.Action, Mode: mode, Since: since, At: o.Time,
		Until: until, Rate: o.Rate, Finding: o.FindingUID, Reason: short(o.Reason),
		Issuer: o.Issuer, Persona: b.Persona, trigger: o.Trigger.Clone()}
	if until != 0 {
		b.Length = until - now
	}
	return b.command(o.Action, set, now), true
}

// Holds tells whether something is in force at a time: a duration may be over before the shard has
// been told so.
func (b *Breaker) Holds(now int64) bool { return b.Open() && (b.Until == 0 || now < b.Until) }

// Settled tells whether an order that merely goes on (Order.Again) would change nothing: as much is
// in force, or a person has restored the scope.
func (b *Breaker) Settled(a event.Action, set *policy.Settings, now int64) bool {
	if b == nil || b.Epoch == 0 {
		return false
	}
	if !b.Open() {
		return b.Issuer.Type == "human"
	}
	return b.Holds(now) && b.Action >= a && (b.Mode == event.Enforce || !set.Enforce)
}

// outlasts compares ends; 0 is for ever.
func outlasts(a, b int64) bool { return b != 0 && (a == 0 || a > b) }

// Expire closes the breaker of an epoch whose duration is over by now; false: it is not so (any
// more).
func (b *Breaker) Expire(epoch int64, set *policy.Settings, now int64) (event.Command, bool) {
	if !b.Open() || b.Epoch != epoch || b.Until == 0 || now < b.Until {
		return event.Command{}, false
	}
	return b.Restore(event.Issuer{Type: "expiry"}, "its duration is over", b.At+b.Length, set, now)
}

// Restore closes the breaker.
func (b *Breaker) Restore(issuer event.Issuer, reason string, time int64, set *policy.Settings,
	now int64) (event.Command, bool) {
	if !b.Open() {
		return event.Command{}, false
	}
	*b = Breaker{Scope: b.Scope, Epoch: b.Epoch + 1, Mode: b.Mode, At: time, Finding: b.Finding, Reason: short(reason),
		Issuer: issuer, Persona: b.Persona, trigger: b.trigger}
	return b.command(event.Restore, set, now), true
}

func (b *Breaker) command(a event.Action, set *policy.Settings, now int64) event.Command {
	b.Command, b.Issued = commandID(b.Scope, b.Epoch), now
	if b.Mode == event.Enforce && a != event.Observe {
		b.AckBy = now + set.AckMS
	}
	return event.Command{ID: b.Command, Action: a, Scope: b.Scope, Epoch: b.Epoch, Time: b.At, IssuedAt: now,
		NotAfter: now + set.StartMS, DurationMS: b.Length,
		Rate: b.Rate, Mode: b.Mode, Issuer: b.Issuer, Reason: b.Reason, FindingUID: b.Finding}
}

// commandID names a command by scope and epoch: the same after a restart. 128 bits of SHA-256 in
// hex, 32 characters.
func commandID(scope event.Scope, epoch int64) string {
	sum := sha256.Sum256(strconv.AppendInt(append(scope.AppendKey(nil), '|'), epoch, 10))
	return hex.EncodeToString(sum[:16])
}

// AckResult is what became of an ack.
type AckResult uint8

// Results of acks.
const (
	AckTaken   AckResult = iota // it says something new
	AckKnown                    // as much was said before
	AckUnknown                  // no command of this scope has that id
	AckStale                    // of an epoch that is over
	AckRefused                  // taken, and it is news that the gateway did not do it: NotEnforced
)

// weight orders statuses: a lighter one takes nothing back, however late it comes.
func weight(s event.AckStatus) int {
	switch s {
	case 0:
		return 0
	case event.Received:
		return 1
	case event.Applied:
		return 3
	}
	return 2
}

// TakeAck notes what a gateway said of the last command. stamp is the broker's time of the ack: no
// gateway applied anything later than that, or before it was asked to, whatever its own clock says.
func (b *Breaker) TakeAck(a *event.Ack, stamp int64) AckResult {
	switch {
	case b == nil || a.Epoch < 1 || a.Epoch > b.Epoch || a.CommandID != commandID(b.Scope, a.Epoch):
		return AckUnknown
	case a.Epoch < b.Epoch:
		return AckStale
	case weight(a.Status) <= weight(b.Ack):
		return AckKnown
	}
	b.Ack = a.Status
	switch weight(a.Status) {
	case 3:
		b.AckBy = 0
		b.Applied = max(min(a.Time, stamp), b.Issued)
	case 2:
		b.AckBy = 0
		if b.Open() && !b.Missed {
			return AckRefused
		}
	}
	return AckTaken
}

// Miss notes that the ack of an epoch did not come by the deadline; false: it is not so (any more).
func (b *Breaker) Miss(epoch, now int64) bool {
	if b == nil || b.Epoch != epoch || b.AckBy == 0 || now < b.AckBy {
		return false
	}
	b.AckBy, b.Missed = 0, true
	return b.Open() // that a restore was not heard harms nobody but the agent; the breakers' topic has it
}

// State is what agent.breakers says; nil: closed.
func (b *Breaker) State() *event.Breaker {
	if !b.Open() {
		return nil
	}
	s := &event.Breaker{Scope: b.Scope, State: "open", Action: b.Action, Epoch: b.Epoch, Since: b.Since, Until: b.Until,
		Rate: b.Rate, Mode: b.Mode, CommandID: b.Command, FindingUID: b.Finding,
		Reason: b.Reason, Issuer: b.Issuer, Enforced: b.Ack.String()}
	switch {
	case b.Action == event.Observe:
		s.State = "observed"
	case b.Action == event.Throttle:
		s.State = "throttled"
	}
	if b.Missed && b.Ack < event.Applied {
		s.Enforced = "missed"
	}
	return s
}

// Findings of this package: their detector in findings and metrics, and their rules.
const (
	Detector       = "response"
	ruleUnenforced = "not-enforced"
	ruleDefied     = "acts-after-applied"
)

// NotEnforced is the finding that a command was refused, failed or not answered.
func (b *Breaker) NotEnforced() event.Finding {
	what := "was not acknowledged in time"
	if !b.Missed {
		what = "was answered with " + b.Ack.String()
	}
	scope := b.Scope
	f := b.finding(ruleUnenforced, b.Command, b.At)
	f.Title = "A command was not enforced"
	f.Why = b.Action.String() + " of " + scope.Type.String() + " " + strconv.Quote(short(scope.ID)) + " (epoch " +
		strconv.FormatInt(b.Epoch, 10) + ") " + what
	if b.trigger.ID != "" { // a person's order has none
		f.Refs = []event.Ref{b.trigger}
	}
	return f
}

// grace lets calls end that were under way when the gateway stopped the scope, and lets it go a
// little early.
const grace = 2000

// maxUpdates bounds the updates of a finding, of which each tells of twice as many calls.
const maxUpdates = 8

// Defied tells whether a call of an agent that went through goes against what is in force, and what
// to say of it; Activity 0 is nothing.
func (b *Breaker) Defied(ref event.Ref) (f event.Finding) {
	if b.Action < event.Escalate || b.Mode != event.Enforce || b.Applied == 0 || ref.Time <= b.Applied+grace ||
		b.Until != 0 && ref.Time >= b.Until-grace {
		return f
	}
	b.acts++
	if b.acts == 1 {
		b.first, b.told = ref.Clone(), 1
	}
	if b.acts < b.told || b.acts > 1<<maxUpdates {
		return f
	}
	b.told = 2 * b.acts
	scope := b.Scope
	// Of a wide scope each shard sees its own agents, of the global one those of several tenants,
	// which may share a name.
	f = b.finding(ruleDefied, b.Command+"|"+b.first.Agent+"|"+b.first.ID, b.first.Time)
	if b.acts > 1 {
		f.Activity = event.Update
	}
	f.Severity, f.Risk = event.Critical, 95
	f.Title = "Acts after an applied " + b.Action.String()
	f.Why = scope.Type.String() + " " + strconv.Quote(short(scope.ID)) + " made " + strconv.FormatInt(b.acts, 10) +
		" calls after the gateway had applied " + b.Action.String() + " (epoch " + strconv.FormatInt(b.Epoch, 10) + ")"
	f.Last, f.Count, f.Refs = ref.Time, b.acts, []event.Ref{b.first}
	return f
}

// KeepActs takes over what was counted against an older state of the same epoch.
func (b *Breaker) KeepActs(old *Breaker) {
	if old.Epoch == b.Epoch {
		b.acts, b.told, b.first = old.acts, old.told, old.first
	}
}

func (b *Breaker) finding(rule, trigger string, at int64) event.Finding {
	scope := b.Scope
	f := event.Finding{Activity: event.Create, Analytic: event.RuleAnalytic, Severity: event.High, Risk: 75,
		Alert: true, Tenant: scope.Tenant, Detector: Detector, Rule: rule, RuleVersion: "1",
		Tags: []string{"ASI10"}, ScopeType: scope.Type.String(), ScopeID: scope.ID, Agent: scope.Agent, Time: at,
		First: at, Last: at, Count: 1, Target: b.Command,
		UID: event.UID(scope.Tenant, Detector+"/"+rule, scope.Type.String(), scope.Agent+"|"+scope.ID, trigger)}
	if scope.Type == event.AgentScope {
		f.Agent = scope.ID
	}
	return f
}

// Resumed is a breaker made anew from what the world was told: the last command, the state if there
// is one (of the same epoch), and whose guard counts it. now is when: an ack that is missing is
// waited for from then on, and only what happens later goes against one that was applied.
func Resumed(c *event.Command, s *event.Breaker, persona string, set *policy.Settings, now int64) *Breaker {
	b := &Breaker{Scope: c.Scope, Epoch: c.Epoch, Mode: c.Mode, At: c.Time, Finding: c.FindingUID,
		Reason: short(c.Reason), Issuer: c.Issuer, Command: c.ID, Issued: c.IssuedAt}
	if c.Action == event.Restore {
		return b
	}
	b.Action, b.Since, b.Length, b.Rate = c.Action, c.Time, c.DurationMS, c.Rate
	if b.Length > 0 {
		b.Until = b.Issued + b.Length
	}
	if b.Action >= event.Block && b.Scope.Type.Narrow() {
		b.Persona = persona
	}
	enforced := ""
	if s != nil && s.CommandID == c.ID {
		b.Since, enforced = s.Since, s.Enforced
	}
	b.Ack = event.ParseAckStatus(enforced)
	b.Missed = enforced == "missed"
	switch {
	case b.Ack == event.Applied:
		b.Applied = now
	case b.Mode == event.Enforce && b.Action != event.Observe && weight(b.Ack) < 2 && !b.Missed:
		b.AckBy = now + set.AckMS
	}
	return b
}

// CommandOf is the command that led to a state: for when the command itself was lost.
func CommandOf(s *event.Breaker, set *policy.Settings, now int64) event.Command {
	c := event.Command{ID: s.CommandID, Action: s.Action, Scope: s.Scope, Epoch: s.Epoch, Time: s.Since, IssuedAt: now,
		NotAfter: now + set.StartMS, Rate: s.Rate, Mode: s.Mode, Issuer: s.Issuer, Reason: s.Reason,
		FindingUID: s.FindingUID}
	if s.Until != 0 {
		c.DurationMS = max(1, s.Until-now)
	}
	return c
}

func short(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return event.Clip(s, maxReason-len("…")) + "…"
}

// Append encodes the breaker.
func (b *Breaker) Append(d []byte) []byte {
	d = append(d, byte(b.Scope.Type))
	d = binary.AppendUvarint(d, uint64(b.Epoch))
	flags := byte(0)
	if b.Mode == event.Enforce {
		flags |= 1
	}
	if b.Missed {
		flags |= 2
	}
	d = append(d, byte(b.Action), flags, byte(b.Ack))
	for _, v := range []int64{b.Since, b.At, b.Until, b.Length, b.Rate.Calls, b.Rate.PerSeconds, b.Issued, b.AckBy,
		b.Applied, b.acts, b.told} {
		d = binary.AppendVarint(d, v)
	}
	d = binary.AppendUvarint(d, uint64(len(b.Rate.Classes)))
	for _, c := range b.Rate.Classes {
		d = append(d, byte(c))
	}
	for _, s := range []string{b.Scope.ID, b.Scope.Tenant, b.Scope.Agent, b.Finding, b.Reason, b.Issuer.Type,
		b.Issuer.Rule, b.Issuer.Version, b.Issuer.By, b.Persona, b.Command} {
		d = wire.AppendString(d, s)
	}
	return wire.AppendRef(wire.AppendRef(d, b.trigger), b.first)
}

// Decode reads what Append wrote.
func (b *Breaker) Decode(r *wire.Reader) {
	*b = Breaker{Scope: event.Scope{Type: event.ScopeType(r.Byte())}, Epoch: int64(r.Uvarint()),
		Action: event.Action(r.Byte()), Mode: event.DryRun}
	flags := r.Byte()
	if flags&1 != 0 {
		b.Mode = event.Enforce
	}
	b.Missed = flags&2 != 0
	b.Ack = event.AckStatus(r.Byte())
	for _, v := range []*int64{&b.Since, &b.At, &b.Until, &b.Length, &b.Rate.Calls, &b.Rate.PerSeconds, &b.Issued,
		&b.AckBy, &b.Applied, &b.acts, &b.told} {
		*v = r.Varint()
	}
	unknown := false
	for range r.Len() {
		c := event.Class(r.Byte())
		unknown = unknown || c > event.Delegate
		b.Rate.Classes = append(b.Rate.Classes, c)
	}
	for _, s := range []*string{&b.Scope.ID, &b.Scope.Tenant, &b.Scope.Agent, &b.Finding, &b.Reason, &b.Issuer.Type,
		&b.Issuer.Rule, &b.Issuer.Version, &b.Issuer.By, &b.Persona, &b.Command} {
		*s = r.String()
	}
	b.trigger, b.first = wire.ReadRef(r), wire.ReadRef(r)
	if r.Err == nil && (unknown || !b.Scope.Type.Known() || b.Action > event.Kill || b.Ack > event.Expired) {
		r.Err = wire.ErrShort
	}
}
