// Package response turns violations into commands: the circuit breaker of one scope, and the guard
// that keeps a persona from being switched off.
//
// Everything here is a function of its arguments. The wall clock comes in as `now`, which the
// engine takes from its logs, so that a shard that reads them again decides the same. The package
// knows no topic and no clock; it writes no command anywhere.
//
// Begin reading at Breaker.Trip, which carries out an order; then TakeAck and Defied, which hold what
// gateways do against it; then Guard.
package response

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// Order is what a rule, a limit or a person wants done with a scope.
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

	calls     int64 // that went through after Applied
	reportAt  int64 // calls at which they are reported next
	firstCall event.Ref
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
// read so in its log.
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

func short(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return event.Clip(s, maxReason-len("…")) + "…"
}
