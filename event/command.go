package event

import (
	"fmt"
	"strconv"
)

// Modes of commands and breakers: a gateway acts on Enforce alone.
const (
	Enforce = "enforce"
	DryRun  = "dry_run"
)

// Names of the forms on the wire.
const (
	CommandSchema = "wayward.command/v1"
	BreakerSchema = "wayward.breaker/v1"
)

// Command tells gateways and playbooks what to do with a scope. Time is event time and the same in
// every replay; IssuedAt and NotAfter are wall clock, outside identity and comparison. All times
// are Unix milliseconds here and RFC 3339 on the wire.
type Command struct {
	ID         string // at most 36 characters, a hash of scope and epoch: the same after a restart
	Action     Action
	Scope      Scope
	Epoch      int64 // grows by one per scope: lower epochs are stale
	Time       int64
	IssuedAt   int64 // 0 in a replay
	NotAfter   int64 // do not start later
	DurationMS int64 // how long it holds; 0: until restored. Its end is sent too
	Rate       Rate
	Mode       string
	Issuer     Issuer
	Reason     string
	FindingUID string
	ReplyTo    string // topic for acks
}

// Issuer is who gave the command: a rule, a person or the clock.
type Issuer struct {
	Type    string `json:"type"` // rule, human or expiry
	Rule    string `json:"rule,omitempty"`
	Version string `json:"version,omitempty"`
	By      string `json:"by,omitempty"`
}

// IdempotencyKey is the same however often the command is sent.
func (c *Command) IdempotencyKey() string {
	return c.Scope.Key() + "|" + c.Action.String() + "|" + strconv.FormatInt(c.Epoch, 10)
}

type wireScope struct {
	Type   string `json:"type"`
	ID     string `json:"id"`
	Tenant string `json:"tenant,omitempty"`
	Agent  string `json:"agent,omitempty"`
}

type wireRate struct {
	Calls      int64    `json:"calls"`
	PerSeconds int64    `json:"per_seconds"`
	Classes    []string `json:"classes,omitempty"`
}

type wireCommand struct {
	Schema         string    `json:"schema"`
	CommandID      string    `json:"command_id"`
	IdempotencyKey string    `json:"idempotency_key"`
	Action         string    `json:"action"`
	Scope          wireScope `json:"scope"`
	Epoch          int64     `json:"epoch"`
	Time           string    `json:"time"`
	IssuedAt       string    `json:"issued_at,omitempty"`
	NotAfter       string    `json:"not_after,omitempty"`
	Duration       string    `json:"duration,omitempty"`
	Limit          *wireRate `json:"limit,omitempty"`
	Mode           string    `json:"mode"`
	Retryable      bool      `json:"retryable"`
	Issuer         Issuer    `json:"issuer"`
	Reason         string    `json:"reason"`
	FindingUID     string    `json:"finding_uid,omitempty"`
	ReplyTo        string    `json:"reply_to,omitempty"`
}

// Append encodes the command as wayward.command/v1.
func (c *Command) Append(b []byte) []byte {
	return appendJSON(b, wireCommand{
		Schema: CommandSchema, CommandID: c.ID, IdempotencyKey: c.IdempotencyKey(), Action: c.Action.String(),
		Scope: c.Scope.wire(), Epoch: c.Epoch,
		Time: stamp(c.Time), IssuedAt: maybe(c.IssuedAt), NotAfter: maybe(c.NotAfter),
		Duration: isoDuration(c.DurationMS), Limit: c.Rate.wire(),
		Mode: c.Mode, Issuer: c.Issuer, Reason: c.Reason, FindingUID: c.FindingUID, ReplyTo: c.ReplyTo,
	})
}

// ParseCommand reads what Append wrote: for the command line, gateways in Go and tests. A type of
// scope, an action or a mode that it does not know is an error: a gateway must refuse, not pass.
func ParseCommand(b []byte) (Command, error) {
	var w wireCommand
	p := parser{what: "command"}
	if p.unmarshal(b, &w); p.err != nil {
		return Command{}, p.err
	}
	if w.Schema != CommandSchema {
		return Command{}, fmt.Errorf("command: schema %s, this program reads %q", Quote(w.Schema), CommandSchema)
	}
	c := Command{ID: w.CommandID, Action: p.action(w.Action), Scope: p.scope(w.Scope), Epoch: p.epoch(w.Epoch),
		Time:     p.time("time", w.Time, true),
		IssuedAt: p.time("issued_at", w.IssuedAt, false), NotAfter: p.time("not_after", w.NotAfter, false),
		DurationMS: p.duration(w.Duration), Rate: p.rate(w.Limit),
		Mode: p.mode(w.Mode), Issuer: w.Issuer, Reason: w.Reason, FindingUID: w.FindingUID, ReplyTo: w.ReplyTo}
	return c, p.err
}

// Breaker is the present state of a scope, as on agent.breakers; when it closes, its key gets
// a tombstone.
type Breaker struct {
	Scope  Scope
	State  string // throttled (throttle), open (escalate, block, kill) or observed (observe)
	Action Action
	Epoch  int64
	Since  int64 // event time of what opened it first
	Until  int64 // wall clock at which it expires; 0: when somebody restores it
	Rate   Rate
	Mode   string
	// status of the last ack: received, applied, rejected, failed, expired, missed; empty: none yet
	Enforced   string
	CommandID  string
	FindingUID string
	Reason     string
	Issuer     Issuer
}

type wireBreaker struct {
	Schema     string    `json:"schema"`
	Scope      wireScope `json:"scope"`
	State      string    `json:"state"`
	Action     string    `json:"action"`
	Epoch      int64     `json:"epoch"`
	Since      string    `json:"since"`
	Until      string    `json:"until,omitempty"`
	Limit      *wireRate `json:"limit,omitempty"`
	Mode       string    `json:"mode"`
	Enforced   string    `json:"enforced,omitempty"`
	CommandID  string    `json:"command_id"`
	FindingUID string    `json:"finding_uid,omitempty"`
	Reason     string    `json:"reason"`
	Issuer     Issuer    `json:"issuer"`
}

// Append encodes the breaker as wayward.breaker/v1.
func (s *Breaker) Append(b []byte) []byte {
	return appendJSON(b, wireBreaker{Schema: BreakerSchema, Scope: s.Scope.wire(), State: s.State,
		Action: s.Action.String(), Epoch: s.Epoch, Since: stamp(s.Since),
		Until: maybe(s.Until), Limit: s.Rate.wire(), Mode: s.Mode, Enforced: s.Enforced, CommandID: s.CommandID,
		FindingUID: s.FindingUID, Reason: s.Reason, Issuer: s.Issuer})
}

// ParseBreaker reads what Append wrote.
func ParseBreaker(b []byte) (Breaker, error) {
	var w wireBreaker
	p := parser{what: "breaker"}
	if p.unmarshal(b, &w); p.err != nil {
		return Breaker{}, p.err
	}
	if w.Schema != BreakerSchema {
		return Breaker{}, fmt.Errorf("breaker: schema %s, this program reads %q", Quote(w.Schema), BreakerSchema)
	}
	s := Breaker{Scope: p.scope(w.Scope), State: w.State, Action: p.action(w.Action), Epoch: p.epoch(w.Epoch),
		Since: p.time("since", w.Since, true), Until: p.time("until", w.Until, false),
		Rate: p.rate(w.Limit), Mode: p.mode(w.Mode), Enforced: w.Enforced, CommandID: w.CommandID,
		FindingUID: w.FindingUID, Reason: w.Reason, Issuer: w.Issuer}
	return s, p.err
}
