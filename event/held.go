package event

// Held tells which fields an event did not carry and its agent or session had said before: what is
// absent is not another value, so what only some events carry holds until another value is said.
type Held uint16

// Bits of Held: what an agent holds, then what a session holds.
const (
	HeldPersona Held = 1 << iota
	HeldOwner
	HeldCredential
	HeldVersion
	HeldModel
	HeldCharter
	HeldTier
	HeldUser
	HeldIntent
	HeldConversation
)

// heldNames are the fields, in the order of the bits.
var heldNames = [...]string{"persona", "agent.owner", "agent.credential", "agent.version", "agent.model",
	"agent.charter_hash", "agent.tier", "user", "intent", "conversation"}

// Names are the fields, as events carry them.
func (h Held) Names() []string {
	var out []string
	for i, n := range heldNames {
		if h&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}
