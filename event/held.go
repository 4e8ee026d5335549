package event

// Held lists the fields that an event did not carry and that were taken from an earlier event of
// its agent or session: an absent field is not another value, so the last one holds until a new one
// comes.
type Held uint16

// Bits of Held: fields of an agent, then of a session.
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
