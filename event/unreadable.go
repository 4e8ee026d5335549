package event

// Unreadable lists which fields of an event could not be read as they were sent: damaged, too long,
// of another type, out of range, or sent twice. An agent, or a page that it reads, chooses what
// stands there, so it must not hide the event: what can be kept is kept, and the rest is unknown.
// Lists of policies treat a marked field as unknown, never as allowed.
type Unreadable uint64

// Bits of Unreadable. A group of fields on which no decision depends has one bit.
const (
	UnreadableID Unreadable = 1 << iota
	UnreadableCall
	UnreadablePersona
	UnreadableAgent // instance, version, model, owner, charter hash
	UnreadableTier
	UnreadableCredential
	UnreadableUser
	UnreadableSession
	UnreadableConversation
	UnreadableIntent
	UnreadableTrace
	UnreadableDelegation
	UnreadableDelegationLimit
	UnreadableOrigin
	UnreadableTool // the name where it is no call's, hashes and hints
	UnreadableServer
	UnreadableClass
	UnreadableArgs
	UnreadableArgsDigest
	UnreadableProvenance
	UnreadableResourceType
	UnreadableResourceID
	UnreadableResourceTenant
	UnreadableResourceOwner
	UnreadableLabels
	UnreadableClassification
	UnreadableVisibility
	UnreadableEnvironment
	UnreadableSubject
	UnreadableDestinationKind
	UnreadableDestination
	UnreadableDomain
	UnreadableExternal
	UnreadableOutcome
	UnreadableRecords
	UnreadableBytes
	UnreadableError
	UnreadableContent
	UnreadableUntrusted
	UnreadableEffect
	UnreadableAmount
	UnreadableCurrency
	UnreadableCost
	UnreadableDuration
	UnreadablePolicy
	UnreadableApproval
	UnreadableExpires
	UnreadableMessage
	UnreadableAudit
	UnreadableSource
	UnreadableAttrs
	UnreadablePath  // a long URL was cut behind its host
	UnreadableOther // a field that nobody knows
	unreadableEnd
)

// unreadableWords are the words for the bits: the paths of fields, or of their group.
var unreadableWords = []string{
	"id", "call", "persona", "agent", "agent.tier", "agent.credential", "user", "session", "conversation", "intent",
	"trace", "delegation",
	"delegation.limit", "origin", "tool", "tool.server", "tool.class", "args", "args_digest", "provenance",
	"resource.type", "resource.id",
	"resource.tenant", "resource.owner", "resource.labels", "resource.classification", "resource.visibility",
	"resource.environment", "subject",
	"destination.kind", "destination.value", "destination.domain", "destination.external", "result.outcome",
	"result.records", "result.bytes",
	"result.error", "result.content", "result.untrusted", "result.effect", "amount.value", "amount.currency", "cost",
	"duration_ms", "policy",
	"approval", "approval.expires", "message", "audit", "source", "attrs", "destination.path", "other",
}

// Words are the fields, in a fixed order; nil if all could be read.
func (u Unreadable) Words() []string {
	if u == 0 {
		return nil
	}
	var out []string
	for i, w := range unreadableWords {
		if u>>i&1 != 0 {
			out = append(out, w)
		}
	}
	return out
}

// UnreadableWords are all words of Unreadable.
func UnreadableWords() []string { return unreadableWords }
