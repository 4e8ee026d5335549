package rules

import (
	"cmp"
	"slices"

	"github.com/wayward-sec/wayward/event"
)

// Mode says what a rule may do.
type Mode uint8

// Modes, each doing what the one before does and more.
const (
	Off     Mode = iota // nothing
	Shadow              // its matches are counted
	Signal              // they are findings that raise no alert
	Alert               // they are alerts
	Enforce             // they ask for what respond says
)

var modes = []string{"off", "shadow", "signal", "alert", "enforce"}

func (m Mode) String() string { return modes[m] }

// Modes are the words of Mode.
func Modes() []string { return modes }

// Statuses say how far the text of a rule can be trusted.
var Statuses = []string{"experimental", "test", "stable", "deprecated"}

// Key is a field by which a rule groups events: by: [agent, tool].
type Key uint8

// Keys. Agent and session belong to one agent; all others may be shared by agents.
const (
	AgentKey Key = iota
	SessionKey
	UserKey
	PersonaKey
	TenantKey
	OwnerKey
	CredentialKey
	ToolKey
	ServerKey
	ConversationKey
	ResourceKey
	DestinationKey
	SubjectKey
)

var keys = []string{"agent", "session", "user", "persona", "tenant", "owner", "credential", "tool", "server",
	"conversation", "resource", "destination", "subject"}

func (k Key) String() string { return keys[k] }

// Keys are the words of Key.
func Keys() []string { return keys }

// ParseKey returns the key that a word names.
func ParseKey(word string) (Key, bool) {
	i := slices.Index(keys, word)
	return Key(max(i, 0)), i >= 0
}

// Select says which sequences under one key stay when several are under way.
type Select uint8

// Selections.
const (
	Latest Select = iota // a newer start replaces an older one
	First                // the oldest stays until its time is over
	Each                 // all stay, up to MaxRuns
)

var selects = []string{"latest", "first", "each"}

func (s Select) String() string { return selects[s] }

// Selects are the words of Select.
func Selects() []string { return selects }

// keyText is the event's value of a key.
func keyText(k Key, e *event.Event, persona string) string {
	switch k {
	case PersonaKey:
		return persona
	case TenantKey:
		return e.Tenant
	case ResourceKey:
		return e.Resource.ID
	case DestinationKey:
		return cmp.Or(e.Destination.Value, e.Destination.Domain, e.Destination.Kind)
	}
	return map[Key]string{AgentKey: e.Agent.ID, SessionKey: e.Session, UserKey: e.User, OwnerKey: e.Agent.Owner,
		CredentialKey: e.Agent.Credential, ToolKey: e.Tool.Name,
		ServerKey: e.Tool.Server, ConversationKey: e.Conversation, SubjectKey: e.Subject}[k]
}
