package pipeline

import (
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
)

// passing is a page for an agent that there is no room for: empty for each event, and nobody's
// afterwards.
func (b *behaviour) passing(key []byte, tenant string) *agentPage {
	b.counts.stateless++
	if b.passer == nil {
		b.passer = &agentPage{}
	}
	name := b.passer.key
	if name != string(key) {
		name = string(key)
	}
	*b.passer = agentPage{page: page{content: b.passer, key: name, dead: true, txn: b.txn}}
	b.passer.tenant = tenantOf(tenant, &b.passer.page)
	return b.passer
}

// without says on a finding what it was made without. Of an agent without memory the same is told
// once, not with every event.
func (x *eventContext) without(f *event.Finding) {
	b := x.b
	switch {
	case x.stateless:
		h := xxhash.Sum64String(fmt.Sprintf("%q %q %q %q %q %q", f.Tenant, f.Agent, f.Detector, f.Rule, f.ScopeType,
			f.Why))
		switch {
		case f.ScopeType == "call": // each is another one
		case slices.Contains(b.passed, h):
			f.Activity = event.Again
		default:
			if len(b.passed) >= maxPassed {
				b.passed = slices.Delete(b.passed, 0, 1)
			}
			b.passed = append(b.passed, h)
		}
		f.Full = fmt.Sprintf(
			"state is full: tenant %s remembers %d agents, sessions and scopes here, its share, and nothing of this agent; it was judged by single events alone",
			f.Tenant, b.tenants[f.Tenant])
	case x.sessionless && b.full(f.Tenant):
		f.Full = fmt.Sprintf(
			"state is full: tenant %s remembers %d agents, sessions and scopes here, its share, and nothing of this session",
			f.Tenant, b.tenants[f.Tenant])
	case x.sessionless:
		f.Full = fmt.Sprintf(
			"state is full: %d sessions of this agent are remembered, its share, and nothing of this one",
			b.crowded(f.Tenant))
	default:
		return
	}
	f.Incomplete = true
	f.Why += "; " + f.Full
}
