package event

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
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

// Issuer says on whose word: a rule, a person or the clock.
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

// Breaker is the present state of a scope as agent.breakers tells it; when it closes, its key gets
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
	// what the last ack said: received, applied, rejected, failed, expired, missed; empty: none yet
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

// AckStatus is what a gateway says became of a command.
type AckStatus uint8

// Statuses of acks.
const (
	Received AckStatus = iota + 1
	Applied
	Rejected
	Failed
	Expired
)

var ackStatuses = []string{"", "received", "applied", "rejected", "failed", "expired"}

func (s AckStatus) String() string { return ackStatuses[s] }

// ParseAckStatus returns the status that a word names; 0: none.
func ParseAckStatus(word string) AckStatus { return AckStatus(max(0, slices.Index(ackStatuses, word))) }

// Ack is a record of agent.acks.
type Ack struct {
	CommandID string
	Tenant    string
	Scope     Scope
	Epoch     int64
	Time      int64 // of the gateway, Unix milliseconds
	Status    AckStatus
	By        string
	Detail    string
}

type wireAck struct {
	CommandID string    `json:"command_id"`
	Tenant    string    `json:"tenant,omitempty"`
	Scope     wireScope `json:"scope"`
	Epoch     int64     `json:"epoch"`
	Time      string    `json:"time"`
	Status    string    `json:"status"`
	By        string    `json:"by,omitempty"`
	Detail    string    `json:"detail,omitempty"`
}

// Append encodes the ack.
func (a *Ack) Append(b []byte) []byte {
	return appendJSON(b, wireAck{a.CommandID, a.Tenant, a.Scope.wire(), a.Epoch, stamp(a.Time), a.Status.String(), a.By,
		a.Detail})
}

// ParseAck reads a record of agent.acks. Gateways of others write it: every text is bounded, the
// tenant stands once or twice but alike.
func ParseAck(b []byte) (Ack, error) {
	var w wireAck
	p := parser{what: "ack"}
	if p.unmarshal(b, &w); p.err != nil {
		return Ack{}, p.err
	}
	if w.Scope.Tenant == "" && w.Scope.Type != "global" {
		w.Scope.Tenant = w.Tenant
	}
	a := Ack{CommandID: p.text("command_id", w.CommandID, 36), Tenant: w.Tenant, Scope: p.scope(w.Scope),
		Epoch: p.epoch(w.Epoch), Time: p.time("time", w.Time, true),
		By: p.text("by", w.By, MaxString), Detail: p.text("detail", w.Detail, MaxString)}
	for i, word := range ackStatuses[1:] {
		if word == w.Status {
			a.Status = AckStatus(i + 1)
		}
	}
	switch {
	case p.err != nil:
	case w.CommandID == "":
		p.fail("command_id is missing")
	case a.Status == 0:
		p.fail("status %s is unknown; use %s", Quote(w.Status), strings.Join(ackStatuses[1:], ", "))
	case w.Tenant != "" && w.Tenant != w.Scope.Tenant:
		p.fail("tenant %s is not that of the scope, %s", Quote(w.Tenant), Quote(w.Scope.Tenant))
	}
	return a, p.err
}

// FeedbackType is what a person wants.
type FeedbackType uint8

// Types of feedback. A verdict is an opinion on a finding; the others act and must be signed.
const (
	VerdictFeedback FeedbackType = iota + 1
	TripFeedback
	RestoreFeedback
	ApproveFeedback
	BaselineFeedback
)

var feedbackTypes = []string{"", "verdict", "trip", "restore", "approve", "baseline"}

func (t FeedbackType) String() string { return feedbackTypes[t] }

// Verdicts of analysts on findings.
var Verdicts = []string{"true_positive", "false_positive", "benign_true_positive", "unclear"}

// Feedback is a record of agent.feedback.
type Feedback struct {
	ID     string // unique: the same id is taken once
	Time   int64  // Unix milliseconds; feedback that acts is refused when it is old
	Tenant string
	Type   FeedbackType
	Scope  Scope
	// id of the scope as it was signed, where that is another spelling of a user or a persona
	SignedID   string
	FindingUID string
	Verdict    string
	Action     Action // of a trip
	DurationMS int64  // of a trip; 0: until restored
	Rate       Rate   // of a throttle
	Baseline   *BaselineOrder
	By         string // whose key signed it
	Reason     string
	Signature  []byte
}

// BaselineOrder is what a person wants done with the baseline of the persona that is the feedback's
// scope; "*" is the tenant as a whole.
type BaselineOrder struct {
	Op string // one of BaselineOps
	// Fork of the persona; "": the agents that tell no version.
	Fork string
	// Day, as 2006-01-02, is the UTC day of the snapshot to go back to, and Hash, which may be left
	// out, which one it must be. Of rollback alone.
	Day, Hash string
	// what waits for approval, as the finding or wayward baseline show names it. Of approve and
	// reject alone.
	Item string
	// an exported snapshot's model of the same persona and fork, and Hash its hash. Of import
	// alone.
	Model []byte
}

// BaselineOps are what can be done with a baseline: freeze and unfreeze what it learns; suspect: it
// may be poisoned, so it scores and calls nobody until it is unfrozen, reset or rolled back; reset
// forgets it; rollback goes back to an earlier snapshot; import puts one from elsewhere in its
// place; approve and reject decide what waits in quarantine.
var BaselineOps = []string{"freeze", "unfreeze", "suspect", "reset", "rollback", "import", "approve", "reject"}

// MaxImport bounds the model of an import, in bytes: in base64, twice over, it still fits the
// records of every topic on its way.
const MaxImport = 384 << 10

type wireBaseline struct {
	Op      string `json:"op"`
	Persona string `json:"persona"`
	Fork    string `json:"fork,omitempty"`
	Day     string `json:"day,omitempty"`
	Hash    string `json:"hash,omitempty"`
	Item    string `json:"item,omitempty"`
	Model   []byte `json:"model,omitempty"`
}

func (b *BaselineOrder) wire(persona string) *wireBaseline {
	if b == nil {
		return nil
	}
	return &wireBaseline{b.Op, persona, b.Fork, b.Day, b.Hash, b.Item, b.Model}
}

func (p *parser) baseline(w *wireBaseline, t FeedbackType, scope Scope) *BaselineOrder {
	if w == nil {
		if t == BaselineFeedback {
			p.fail("baseline is missing")
		}
		return nil
	}
	b := &BaselineOrder{w.Op, p.text("baseline.fork", w.Fork, 64), w.Day, p.text("baseline.hash", w.Hash, 64),
		p.text("baseline.item", w.Item, MaxString), w.Model}
	_, err := time.Parse(time.DateOnly, w.Day)
	switch {
	case t != BaselineFeedback:
		p.fail("baseline belongs to type baseline")
	case !slices.Contains(BaselineOps, w.Op):
		p.fail("baseline.op %s is unknown; use %s", Quote(w.Op), strings.Join(BaselineOps, ", "))
	case scope.Type != PersonaScope || scope.ID != Identity(w.Persona):
		p.fail("baseline.persona %s is not the persona that is the scope", Quote(w.Persona))
	case w.Op == "rollback" && err != nil:
		p.fail("baseline.day %s: want the day of the snapshot to go back to, such as 2026-11-20", Quote(w.Day))
	case w.Op != "rollback" && w.Day != "" || w.Op != "rollback" && w.Op != "import" && w.Hash != "":
		p.fail("baseline.day belongs to rollback, baseline.hash to rollback and import")
	case (w.Op == "import") != (len(w.Model) > 0):
		p.fail("baseline.model belongs to import")
	case w.Op == "import" && w.Hash == "":
		p.fail("baseline.hash is missing: that of the model")
	case len(w.Model) > MaxImport:
		p.fail("baseline.model: %d bytes, at most %d KiB", len(w.Model), MaxImport>>10)
	case (w.Op == "approve" || w.Op == "reject") != (w.Item != ""):
		p.fail("baseline.item belongs to approve and reject: what they decide on")
	}
	return b
}

type wireFeedback struct {
	V          int           `json:"v"`
	ID         string        `json:"id"`
	Time       string        `json:"time"`
	Tenant     string        `json:"tenant,omitempty"`
	Type       string        `json:"type"`
	Scope      wireScope     `json:"scope"`
	FindingUID string        `json:"finding_uid,omitempty"`
	Verdict    string        `json:"verdict,omitempty"`
	Action     string        `json:"action,omitempty"`
	Duration   string        `json:"duration,omitempty"`
	Limit      *wireRate     `json:"limit,omitempty"`
	Baseline   *wireBaseline `json:"baseline,omitempty"`
	By         string        `json:"by"`
	Reason     string        `json:"reason,omitempty"`
	Signature  string        `json:"signature,omitempty"`
}

func (f *Feedback) wire() wireFeedback {
	scope := f.Scope.wire()
	scope.ID = cmp.Or(f.SignedID, scope.ID)
	return wireFeedback{1, f.ID, stamp(f.Time), f.Tenant, f.Type.String(), scope, f.FindingUID, f.Verdict,
		f.Action.String(), isoDuration(f.DurationMS), f.Rate.wire(), f.Baseline.wire(scope.ID), f.By, f.Reason,
		base64.StdEncoding.EncodeToString(f.Signature)}
}

// Append encodes the feedback.
func (f *Feedback) Append(b []byte) []byte { return appendJSON(b, f.wire()) }

// signed is what the signature is over: a label, so that it fits nothing else, and the record
// without its signature, encoded as Append does. So the order of fields, spaces and escapes of the
// record that came do not count, what it says does (docs/commands.md has an example to sign
// against).
func (f *Feedback) signed() []byte {
	w := f.wire()
	w.Signature = ""
	return appendJSON([]byte("wayward.feedback/v1\n"), w)
}

// Sign signs the feedback with Ed25519 (RFC 8032).
func (f *Feedback) Sign(key ed25519.PrivateKey) { f.Signature = ed25519.Sign(key, f.signed()) }

// Verify tells whether the key signed exactly this.
func (f *Feedback) Verify(key ed25519.PublicKey) bool {
	return len(key) == ed25519.PublicKeySize && len(f.Signature) == ed25519.SignatureSize &&
		ed25519.Verify(key, f.signed(), f.Signature)
}

// ParseFeedback reads a record of agent.feedback. It does not look at the signature: Verify does.
func ParseFeedback(b []byte) (Feedback, error) {
	var w wireFeedback
	p := parser{what: "feedback", more: MaxImport / 3 * 4}
	if p.unmarshal(b, &w); p.err != nil {
		return Feedback{}, p.err
	}
	if len(b) > maxAnswer && (w.Baseline == nil || w.Baseline.Op != "import") {
		p.fail("%d bytes long, at most %d KiB", len(b), maxAnswer>>10)
		return Feedback{}, p.err
	}
	if w.Scope.Tenant == "" && w.Scope.Type != "global" {
		w.Scope.Tenant = w.Tenant
	}
	f := Feedback{ID: p.text("id", w.ID, 64), Time: p.time("time", w.Time, true), Tenant: w.Tenant,
		Scope: p.scope(w.Scope), FindingUID: p.text("finding_uid", w.FindingUID, 64),
		Verdict: p.text("verdict", w.Verdict, 64), DurationMS: p.duration(w.Duration), Rate: p.rate(w.Limit),
		By: p.text("by", w.By, 128), Reason: p.text("reason", w.Reason, MaxString)}
	if f.Scope.ID != w.Scope.ID {
		f.SignedID = w.Scope.ID
	}
	for i, word := range feedbackTypes[1:] {
		if word == w.Type {
			f.Type = FeedbackType(i + 1)
		}
	}
	if w.Action != "" {
		f.Action = p.action(w.Action)
	}
	f.Baseline = p.baseline(w.Baseline, f.Type, f.Scope)
	sig, err := base64.StdEncoding.DecodeString(w.Signature)
	f.Signature = sig
	switch {
	case p.err != nil:
	case w.V > 1:
		p.fail("version %d; this program reads version 1", w.V)
	case w.ID == "":
		p.fail("id is missing")
	case f.Type == 0:
		p.fail("type %s is unknown; use %s", Quote(w.Type), strings.Join(feedbackTypes[1:], ", "))
	case err != nil || len(sig) > ed25519.SignatureSize:
		p.fail("signature is not an Ed25519 signature in base64")
	case w.Tenant != w.Scope.Tenant:
		p.fail("tenant %s is not that of the scope, %s", Quote(w.Tenant), Quote(w.Scope.Tenant))
	case w.By == "":
		p.fail("by is missing: who says it?")
	case f.Type == VerdictFeedback && !slices.Contains(Verdicts, f.Verdict):
		p.fail("verdict %s is unknown; use %s", Quote(f.Verdict), strings.Join(Verdicts, ", "))
	case f.Type != VerdictFeedback && f.Verdict != "":
		p.fail("verdict belongs to type verdict")
	case f.Type != TripFeedback && (f.Action != 0 || f.DurationMS != 0 || f.Rate.Calls != 0):
		p.fail("action, duration and limit belong to type trip")
	case f.Type == TripFeedback && f.Action != Throttle && f.Rate.Calls != 0:
		p.fail("limit belongs to the action throttle")
	case f.Type == TripFeedback && (f.Action == 0 || f.Action == Restore):
		p.fail("a trip needs an action: %s", strings.Join(Actions(), ", "))
	case f.Type == TripFeedback && f.Action == Throttle && (f.Rate.Calls < 1 || f.Rate.PerSeconds < 1):
		p.fail("a throttle needs a limit of calls per_seconds")
	case f.Type == TripFeedback && f.Reason == "":
		p.fail("a trip needs a reason")
	}
	return f, p.err
}

// Identified is the scope with the one form of the name of a user or a persona (Identity).
func (s Scope) Identified() Scope {
	if s.Type == UserScope || s.Type == PersonaScope {
		s.ID = Identity(s.ID)
	}
	return s
}

func (s Scope) wire() wireScope { return wireScope{s.Type.String(), s.ID, s.Tenant, s.Agent} }

func (r Rate) wire() *wireRate {
	if r.Calls == 0 {
		return nil
	}
	w := &wireRate{Calls: r.Calls, PerSeconds: r.PerSeconds}
	for _, c := range r.Classes {
		w.Classes = append(w.Classes, c.String())
	}
	return w
}

// maxAnswer bounds records of commands, breakers, acks and feedback, in bytes.
const maxAnswer = 64 << 10

// parser gathers the first thing that is wrong with a record.
type parser struct {
	what string
	more int // bytes that a record may have above maxAnswer
	err  error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(p.what+": "+format, args...)
	}
}

func (p *parser) unmarshal(b []byte, into any) {
	if len(b) > maxAnswer+p.more {
		p.fail("%d bytes long, at most %d KiB", len(b), (maxAnswer+p.more)>>10)
	} else if !utf8.Valid(b) {
		p.fail("not UTF-8") // encoding/json would put U+FFFD in place of it and say nothing
	} else if err := json.Unmarshal(b, into); err != nil {
		p.fail("%w", err)
	}
}

func (p *parser) text(name, s string, most int) string {
	if len(s) > most {
		p.fail("%s is %d bytes long, at most %d", name, len(s), most)
	}
	return s
}

func (p *parser) epoch(n int64) int64 {
	if n < 1 {
		p.fail("epoch %d: want 1 or more", n)
	}
	return n
}

func (p *parser) mode(word string) string {
	if word != Enforce && word != DryRun {
		p.fail("mode %s is unknown; use %s or %s", Quote(word), Enforce, DryRun)
	}
	return word
}

func (p *parser) action(word string) Action {
	a, ok := ParseAction(word)
	if !ok {
		p.fail("action %s is unknown; use %s", Quote(word), strings.Join(actions[1:], ", "))
	}
	return a
}

// maxScopeID is the longest ToolID: two names of MaxString bytes, each of them percent-encoded.
const maxScopeID = 6*MaxString + 1

func (p *parser) scope(w wireScope) Scope {
	t, ok := ParseScopeType(w.Type)
	s := Scope{t, p.text("scope.id", w.ID, maxScopeID), w.Tenant,
		p.text("scope.agent", w.Agent, MaxString)}.Identified()
	switch {
	case !ok:
		p.fail("scope.type %s is unknown; use %s", Quote(w.Type), strings.Join(ScopeTypes(), ", "))
	case s.ID == "":
		p.fail("scope.id is missing")
	case t == GlobalScope && (w.ID != "*" || w.Tenant != ""):
		p.fail("a global scope has the id * and no tenant")
	case t != GlobalScope && !isTenant(w.Tenant):
		p.fail("tenant %s: want 1 to 64 letters, digits, dots, hyphens and underscores", Quote(w.Tenant))
	case t == TenantScope && w.ID != w.Tenant: // who may act on the one must not name the other
		p.fail("scope.id %s is not the tenant of the scope, %s", Quote(w.ID), Quote(w.Tenant))
	case t == SessionScope && w.Agent == "":
		p.fail("scope.agent is missing: a session belongs to an agent")
	case t != SessionScope && w.Agent != "":
		p.fail("scope.agent belongs to sessions alone")
	}
	return s
}

func (p *parser) rate(w *wireRate) Rate {
	if w == nil {
		return Rate{}
	}
	r := Rate{Calls: w.Calls, PerSeconds: w.PerSeconds}
	if w.Calls < 1 || w.PerSeconds < 1 || w.PerSeconds > 86_400 || len(w.Classes) > len(classes) {
		p.fail("limit: want at least 1 call per 1 to 86400 seconds")
		return r
	}
	for _, word := range w.Classes {
		c, ok := ParseClass(word)
		if !ok {
			p.fail("limit: class %s is unknown; use %s", Quote(word), strings.Join(Classes(), ", "))
		}
		r.Classes = append(r.Classes, c)
	}
	return r
}

func (p *parser) time(name, s string, required bool) int64 {
	if s == "" {
		if required {
			p.fail("%s is missing", name)
		}
		return 0
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	ms := t.UnixMilli()
	if err != nil || ms < firstDate || ms > lastTime {
		p.fail("%s %s is not RFC 3339 of the years 0001 to 9999", name, Quote(s))
	}
	return ms
}

// maxDuration of a command: longer is until somebody restores it.
const maxDuration = 366 * 24 * time.Hour

func (p *parser) duration(s string) int64 {
	if s == "" {
		return 0
	}
	ms, err := parseISODuration(s)
	if err != nil {
		p.fail("duration %s: %w", Quote(s), err)
	}
	return ms
}

// isoDuration writes milliseconds as ISO 8601: PT15M, P1DT12H.
func isoDuration(ms int64) string {
	if ms <= 0 {
		return ""
	}
	s := "P"
	if d := ms / 86_400_000; d > 0 {
		s += strconv.FormatInt(d, 10) + "D"
	}
	if ms %= 86_400_000; ms > 0 {
		s += "T"
	}
	if h := ms / 3_600_000; h > 0 {
		s += strconv.FormatInt(h, 10) + "H"
	}
	if m := ms / 60_000 % 60; m > 0 {
		s += strconv.FormatInt(m, 10) + "M"
	}
	if ms %= 60_000; ms > 0 {
		s += strconv.FormatInt(ms/1000, 10)
		if f := ms % 1000; f > 0 {
			s += strings.TrimRight("."+strconv.FormatInt(1000+f, 10)[1:], "0")
		}
		s += "S"
	}
	return s
}

var errDuration = errors.New(
	"want ISO 8601 of days, hours, minutes and seconds, such as PT15M or P1D, at most 366 days")

var isoForm = regexp.MustCompile(
	`^P(?:(\d{1,9})W)?(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})(?:\.(\d{1,9}))?S)?)?$`)

// parseISODuration reads ISO 8601 durations of weeks and smaller, whose length does not depend on a
// calendar. What is below a millisecond is cut off.
func parseISODuration(s string) (int64, error) {
	m := isoForm.FindStringSubmatch(s)
	if m == nil || strings.HasSuffix(s, "T") {
		return 0, errDuration
	}
	total := int64(0)
	for i, unit := range []int64{7 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1000} {
		n, _ := strconv.ParseInt("0"+m[i+1], 10, 64)
		total += n * unit // nine digits each: no overflow
	}
	n, _ := strconv.ParseInt((m[6] + "000")[:3], 10, 64)
	if total += n; total < 1 || total > maxDuration.Milliseconds() {
		return 0, errDuration
	}
	return total, nil
}

// stamp writes Unix milliseconds as RFC 3339.
func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

// maybe is stamp of a time that may be left out: 0 is nothing.
func maybe(ms int64) string {
	if ms == 0 {
		return ""
	}
	return stamp(ms)
}

// appendJSON encodes strings and integers, which always works. < and > stay as they are: people
// read it.
func appendJSON(b []byte, v any) []byte {
	w := bytes.NewBuffer(b)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(w.Bytes(), []byte("\n"))
}

func isTenant(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '.' && s[i] != '-' &&
			s[i] != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
