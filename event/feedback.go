package event

import (
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"slices"
	"strings"
	"time"
)

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
	By         string // the person or key that signed it
	Reason     string
	Signature  []byte
}

// BaselineOrder is what a person wants done with the baseline of the persona that is the feedback's
// scope; "*" is the tenant as a whole.
type BaselineOrder struct {
	Op string // one of BaselineOps
	// Fork of the persona; "": agents without a version.
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
// may be poisoned, so it scores and raises no alert until it is unfrozen, reset or rolled back; reset
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

// Verify reports whether the key signed exactly this.
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
