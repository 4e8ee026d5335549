package policy

import (
	"slices"

	"github.com/wayward-sec/wayward/event"
)

// Scope says whose events a limit adds up.
type Scope uint8

// Scopes of limits, narrowest first.
const (
	AgentScope Scope = iota + 1
	SessionScope
	PersonaScope
	UserScope
	TenantScope
	CallScope            // each call by itself
	BeneficiaryScope     // who is paid, or written to
	UserBeneficiaryScope // one user and one beneficiary
	OwnerScope           // of the agent
	CredentialScope      // of the agent
	ToolScope
	ServerScope
	// Of rules only.
	ConversationScope
	ResourceScope
	DestinationScope
	SubjectScope
)

var (
	allScopes = []string{"", "agent", "session", "persona", "user", "tenant", "call", "beneficiary", "user+beneficiary",
		"owner", "credential", "tool", "server", "conversation", "resource", "destination", "subject"}
	scopes = allScopes[:Scopes] // of limits
)

func (s Scope) String() string { return allScopes[s] }

// Scopes is how many scopes limits may have, for tables indexed by Scope.
const Scopes = int(ServerScope) + 1

// ParseScope returns the scope that a word names.
func ParseScope(word string) (Scope, bool) {
	i := slices.Index(scopes[1:], word)
	return Scope(i + 1), i >= 0
}

// stoppable are the scopes whose breaker a limit of scope s may open: its own scope, if it has a
// breaker, and those that the call names. The first is the default.
func stoppable(s Scope) []event.ScopeType {
	switch s {
	case AgentScope, CallScope:
		return []event.ScopeType{event.AgentScope, event.SessionScope, event.UserScope, event.ToolScope}
	case SessionScope:
		return []event.ScopeType{event.SessionScope, event.AgentScope, event.UserScope, event.ToolScope}
	case PersonaScope:
		return []event.ScopeType{event.PersonaScope, event.AgentScope}
	case UserScope:
		return []event.ScopeType{event.UserScope, event.AgentScope}
	case TenantScope:
		return []event.ScopeType{event.TenantScope, event.AgentScope}
	case ToolScope:
		return []event.ScopeType{event.ToolScope, event.AgentScope}
	case ServerScope:
		return []event.ScopeType{event.ServerScope, event.AgentScope}
	case UserBeneficiaryScope:
		return []event.ScopeType{event.AgentScope, event.UserScope}
	default: // beneficiary, owner and credential have no breaker
		return []event.ScopeType{event.AgentScope}
	}
}
