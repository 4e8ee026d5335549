package event

import "slices"

// Action is what a circuit breaker does to its scope: a ladder, weakest first, that only rises
// until it expires or somebody restores it (docs/commands.md).
type Action uint8

// Actions. Restore closes the breaker and is no step of the ladder.
const (
	Observe  Action = iota + 1 // recorded, nothing is done
	Throttle                   // at most so many calls in a time
	Escalate                   // pause until a human answers
	Block                      // no more calls
	Kill                       // end the run
	Restore
)

var actions = []string{"", "observe", "throttle", "escalate", "block", "kill", "restore"}

func (a Action) String() string { return actions[a] }

// Actions are the words of the ladder, weakest first; restore is not among them.
func Actions() []string { return actions[1:Restore] }

// ParseAction returns the action that a word names, restore included.
func ParseAction(word string) (Action, bool) {
	i := slices.Index(actions[1:], word)
	return Action(i + 1), i >= 0
}

// ScopeType says what a breaker or a finding is about. A consumer that does not know a type must
// refuse, not pass.
type ScopeType uint8

// Types of scopes. Session and agent belong to one agent and are kept by its behaviour shard, all
// others by a relation shard.
const (
	SessionScope ScopeType = iota + 1
	AgentScope
	PersonaScope
	ToolScope
	ServerScope
	UserScope
	TenantScope
	GlobalScope
)

var scopeTypes = []string{"", "session", "agent", "persona", "tool", "server", "user", "tenant", "global"}

func (s ScopeType) String() string { return scopeTypes[s] }

// ScopeTypes are the words of ScopeType.
func ScopeTypes() []string { return scopeTypes[1:] }

// ParseScopeType returns the type that a word names.
func ParseScopeType(word string) (ScopeType, bool) {
	i := slices.Index(scopeTypes[1:], word)
	return ScopeType(i + 1), i >= 0
}

// Known reports whether the type has a name.
func (s ScopeType) Known() bool { return s >= SessionScope && s <= GlobalScope }

// Narrow reports whether the scope belongs to one agent.
func (s ScopeType) Narrow() bool { return s == SessionScope || s == AgentScope }

// Rate is what a throttle lets through.
type Rate struct {
	Calls      int64
	PerSeconds int64
	Classes    []Class // empty: calls of every class
}

// Response is what a violation asks for: `respond:` of a persona, a limit or an inventory setting,
// compiled and never changed.
type Response struct {
	Action     Action
	Scope      ScopeType // 0: the finding's own
	DurationMS int64     // 0: until somebody restores it
	Rate       Rate      // of Throttle
}

// Scope names what a command or a breaker is about.
type Scope struct {
	Type   ScopeType
	ID     string // of a tool as ToolID says; "*" if global
	Tenant string // empty if global
	Agent  string // whose session it is
}

// ToolID is the id of a tool's scope: server|name, each with | and % percent-encoded, so that no
// two tools share one; the name alone if no server is known.
func ToolID(server, name string) string {
	var b []byte
	if server != "" {
		b = append(AppendKeyPart(b, server), '|')
	}
	return string(AppendKeyPart(b, name))
}

// AppendKey appends the record key of commands and breakers, tenant|type|id, with | and % inside
// ids percent-encoded. The session of an agent is tenant|session|agent|id, since sessions of two
// agents may share a name.
func (s Scope) AppendKey(b []byte) []byte {
	b = append(b, s.Tenant...)
	b = append(b, '|')
	b = append(b, s.Type.String()...)
	b = append(b, '|')
	if s.Type == SessionScope {
		b = AppendKeyPart(b, s.Agent)
		b = append(b, '|')
	}
	return AppendKeyPart(b, s.ID)
}

// Key is the record key as a string.
func (s Scope) Key() string { return string(s.AppendKey(nil)) }
