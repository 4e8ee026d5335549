// Package event is what is on the wire: Event comes in, Finding and Command go out, Ack and
// Feedback come back. The decoder makes an Event of a record without allocating. The package knows
// no policy, no state and no Kafka, and imports nothing of ours but packages below itself, so that
// every other package, and a gateway written in Go, can use it. Begin reading at Event, then
// Decoder.Decode; the schema of every form is in forms.go.
package event

// MaxSize is how many bytes a record may have. A larger one does not decode and goes to the
// dead-letter topic.
const MaxSize = 1 << 20

// Limits of what stands in a record. Beyond them it is cut and marked (Unreadable); where it names
// the event (time, kind, tenant, agent, the tool of a call) the record does not decode.
const (
	MaxDepth  = 32   // nesting of objects and arrays
	MaxString = 1024 // bytes of an identifier or any other short text, after unescaping
	MaxLabels = 32   // resource.labels
)

// Kind says what an event reports.
type Kind uint8

// The kinds of wayward.event/v1.
const (
	ToolCall Kind = iota + 1
	ModelCall
	Message
	Handoff
	Approval
	Audit
	Session
)

// Class is what a call does to the world: the word in tool.class and result.effect.
type Class uint8

// Classes of calls; NoClass is "not known", never "harmless".
const (
	NoClass Class = iota
	Read
	Write
	Delete
	Send
	Exec
	Pay
	Approve
	Grant
	Delegate
)

// Outcome is how a call ended.
type Outcome uint8

// Outcomes of calls.
const (
	NoOutcome Outcome = iota
	OK
	Error
	Denied
	NotFound
)

// Phase distinguishes an attempt from a result; NoPhase is the whole call at once (for kind
// session: Start or End).
type Phase uint8

// Phases of calls and sessions.
const (
	NoPhase Phase = iota
	Attempt
	Result
	Start
	End
)

// Tri is a truth value that may be absent.
type Tri uint8

// Values of Tri.
const (
	Unknown Tri = iota
	No
	Yes
)

var (
	kinds    = []string{"", "tool_call", "model_call", "message", "handoff", "approval", "audit", "session"}
	classes  = []string{"", "read", "write", "delete", "send", "exec", "pay", "approve", "grant", "delegate"}
	outcomes = []string{"", "ok", "error", "denied", "not_found"}
	phases   = []string{"", "attempt", "result", "start", "end"}
)

func (k Kind) String() string    { return kinds[k] }
func (c Class) String() string   { return classes[c] }
func (o Outcome) String() string { return outcomes[o] }
func (p Phase) String() string   { return phases[p] }

// ParseClass returns the class that a word names.
func ParseClass(word string) (Class, bool) {
	for i, w := range classes[1:] {
		if w == word {
			return Class(i + 1), true
		}
	}
	return NoClass, false
}

// ParseOutcome returns the outcome that a word names.
func ParseOutcome(word string) (Outcome, bool) {
	for i, w := range outcomes[1:] {
		if w == word {
			return Outcome(i + 1), true
		}
	}
	return NoOutcome, false
}

// Outcomes are the words of Outcome.
func Outcomes() []string { return outcomes[1:] }

// Classes are the words of Class, weakest claim first.
func Classes() []string { return classes[1:] }

// Has lists which optional numbers an event carries, since zero is a value: a detector whose field
// is missing stays off.
type Has uint16

// Bits of Has.
const (
	HasRecords Has = 1 << iota
	HasBytes
	HasAmount
	HasCost
	HasDuration
	HasTier
	HasSeq
	HasSampleRate
	HasLimit
	HasExpires
	HasTokens
)

// Inferred lists which fields the tool catalogue filled in, since the producer did not declare
// them.
type Inferred uint16

// Bits of Inferred.
const (
	InferredClass Inferred = 1 << iota
	InferredResource
	InferredSubject
	InferredDestination
	InferredAmount
	InferredLabels
	// ArgsIncomplete: the arguments were not read to their end: where the call goes, and
	// for how much, may stand in the rest.
	ArgsIncomplete
)

// SideEffect is what a call leaves behind in the world, as far as the catalogue knows.
type SideEffect uint8

// Side effects; UnknownEffect is not "none".
const (
	UnknownEffect SideEffect = iota
	NoSideEffect
	Reversible
	Irreversible
)

var sideEffects = []string{"", "none", "reversible", "irreversible"}

func (s SideEffect) String() string { return sideEffects[s] }

// ParseSideEffect returns the side effect that a word names.
func ParseSideEffect(word string) (SideEffect, bool) {
	for i, w := range sideEffects[1:] {
		if w == word {
			return SideEffect(i + 1), true
		}
	}
	return UnknownEffect, false
}

// SideEffects are the words of SideEffect.
func SideEffects() []string { return sideEffects[1:] }

// Event is one record of wayward.event/v1. Its strings and byte slices alias the record or the
// decoder's scratch: clone what enters state.
type Event struct {
	// What every detector reads comes first and lies together.
	ID      string // unique per event; absent on the wire: a hash of the record's bytes and its agent
	Time    int64  // event time, Unix milliseconds, as sent; the shard decides whether it is sane
	Kind    Kind
	Phase   Phase
	Has     Has
	Call    string
	Tenant  string
	Persona string // as sent; the shard looks an absent one up
	Agent   Agent
	User    string
	Session string
	// Conversation is the task across agents; absent on the wire: trace.id.
	Conversation string
	Intent       string
	Tool         Tool
	Args         []byte // raw JSON object
	ArgsDigest   string
	Provenance   []byte // raw JSON object: argument path to user, tool, model or unknown
	Resource     Resource
	Subject      string
	Destination  Destination
	Result       ResultOf
	Amount       Amount
	OtherAmounts []Amount // of other currencies, which the arguments name beside Amount; see HasAmount
	Cost         Cost
	DurationMS   float64
	Policy       Verdict
	Approval     ApprovalOf
	Message      MessageOf
	Audit        AuditOf
	Source       Source
	// Inferred and SideEffect are not on the wire: the tool catalogue fills in what the producer
	// left out.
	Inferred   Inferred
	SideEffect SideEffect
	// Held is not on the wire: the shard fills in what earlier events of the agent or session
	// carried.
	Held Held
	// Unreadable lists the fields that could not be read as they were sent.
	Unreadable Unreadable
	Attrs      []byte // raw JSON object
	Trace      Trace
	Delegation Delegation
	Origin     Origin
}

// Agent is who acts.
type Agent struct {
	ID, Instance, Version, Model, Owner string
	CharterHash, Credential             string
	Tier                                int64 // 1 most trusted … 3 least; see HasTier
}

// Trace holds W3C ids.
type Trace struct{ ID, Span, Parent string }

// Delegation is authority passed on.
type Delegation struct {
	ID, Parent, From, To string
	Limit                Amount // see HasLimit
}

// Origin is where the request came from.
type Origin struct{ IP, Host, Region string }

// Tool is what was called.
type Tool struct {
	// Name is without the server that an MCP client puts in front (mcp__crm__delete_user), Server
	// that one if none is declared. Sent is then the name as sent, else "": for what names tools
	// that way.
	Name, Server, Sent          string
	DefinitionHash, HashVersion string
	Class                       Class
	ReadOnlyHint, OpenWorldHint Tri
}

// Resource is what the call touched.
type Resource struct {
	Type, ID, Tenant, Owner                 string
	Classification, Visibility, Environment string
	Labels                                  []string
}

// Destination is where something goes.
type Destination struct {
	Kind, Value, Domain string
	External            Tri
}

// ResultOf is how a call ended and what came back.
type ResultOf struct {
	Error, ContentHash string
	Content            []byte // raw JSON value, never stored
	Records, Bytes     int64  // see HasRecords, HasBytes
	Outcome            Outcome
	Untrusted          Tri
	Effect             Class
}

// Amount is money in millionths of the currency's unit, so that sums are exact.
type Amount struct {
	Micro    int64
	Currency string
}

// Cost is what a call cost to make.
type Cost struct {
	MicroUSD                                int64 // see HasCost
	InputTokens, OutputTokens, CachedTokens int64 // see HasTokens
}

// Verdict is what the gateway's own policy decided, before wayward saw the event.
type Verdict struct{ Verdict, ID string }

// ApprovalOf is a step of an approval; the event's agent is the one whose call is approved.
type ApprovalOf struct {
	ID, State, By, RequestedBy, Digest string
	Expires                            int64 // Unix milliseconds; see HasExpires
	Bypass                             Tri
}

// MessageOf is a message to or from an agent.
type MessageOf struct {
	Role, TextHash, To string
	Text               []byte // raw JSON string with its quotes, never stored
}

// AuditOf is an administrative act.
type AuditOf struct {
	Action, Target string
	Before, After  []byte // raw JSON values
}

// Source is the gateway that sent the event.
type Source struct {
	Name       string
	Trusted    Tri
	Seq        int64 // see HasSeq
	SampleRate float64
}
