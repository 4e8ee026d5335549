package pipeline

import (
	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// owners says in which partition what is decided about a scope is.
type owners struct {
	sources   int32 // partitions of events and control
	facts     int32 // partitions of facts
	partition func(key []byte, n int32) int32
}

// owner is the facts partition of a scope above agents.
func (r *owners) owner(tenant string, scope policy.Scope, id string) int32 {
	k := append(append(append(make([]byte, 0, 64), tenant...), '|', byte(scope), '|'), id...)
	return int32(xxhash.Sum64(k) % uint64(r.facts))
}

// wideOwner is the facts partition of a breaker's scope above agents: that of what is counted for
// the same scope.
func (r *owners) wideOwner(s event.Scope) int32 {
	kinds := map[event.ScopeType]policy.Scope{event.PersonaScope: policy.PersonaScope,
		event.UserScope: policy.UserScope, event.TenantScope: policy.TenantScope,
		event.ToolScope: policy.ToolScope, event.ServerScope: policy.ServerScope}
	return r.owner(s.Tenant, kinds[s.Type], s.ID)
}

// baselineOwner is the facts partition, of so many, that closes the days of a persona, all forks of
// it.
func baselineOwner(k baselines.Key, facts int32) int32 {
	return (&owners{facts: facts}).owner(k.Tenant, policy.PersonaScope, k.Persona)
}

func (r *owners) baselineOwner(k baselines.Key) int32 { return baselineOwner(k, r.facts) }

// route brings a control record to the shard that owns a scope. set is as controlFacts has it.
func (r *owners) route(s event.Scope, now int64, set string, c control) output {
	if !s.Type.Narrow() {
		return output{to: toFacts, partition: r.wideOwner(s), value: controlFacts(0, now, set, c)}
	}
	agent := s.Agent
	if s.Type == event.AgentScope {
		agent = s.ID
	}
	return output{to: toControl, partition: r.partition(event.AppendKey(nil, s.Tenant, agent), r.sources),
		value: c.encode()}
}
