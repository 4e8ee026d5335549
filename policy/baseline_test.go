package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBaselineOfAPersonaIsTheNearestEntry(t *testing.T) {
	s := loaded(t, map[string]string{"baselines/a.yaml": `
baselines:
  - {tenant: acme, persona: payments, alerts_per_day: 0.1}
  - {persona: payments, alerts_per_day: 0.5, learn_days: 30}
  - {tenant: acme, alerts_per_day: 3, accept_agents: 9}
  - {tenant_alerts_per_day: 7, learn_sessions: 11}
  - {persona: batch, off: true}
`})
	base := Baseline{AlertsPerDay: 1, TenantAlertsPerDay: 7, LearnDays: 7, LearnSessions: 11, AcceptAgents: 5,
		AcceptPercent: 10, AcceptDays: 2}
	with := func(tenant, persona string, change func(*Baseline)) Baseline {
		b := base
		b.Tenant, b.Persona = tenant, persona
		change(&b)
		return b
	}
	for _, want := range []Baseline{
		with("globex", "support", func(*Baseline) {}),
		with("globex", "payments", func(b *Baseline) { b.AlertsPerDay, b.LearnDays = 0.5, 30 }),
		with("acme", "support", func(b *Baseline) { b.AlertsPerDay, b.AcceptAgents = 3, 9 }),
		with("acme", "payments", func(b *Baseline) { b.AlertsPerDay, b.AcceptAgents, b.LearnDays = 0.1, 9, 30 }),
		with("acme", "batch", func(b *Baseline) { b.AlertsPerDay, b.AcceptAgents, b.Off = 3, 9, true }),
	} {
		if diff := cmp.Diff(want, *s.Baseline(want.Tenant, want.Persona)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	again, err := Parse(s.Bytes())
	if err != nil || again.Hash() != s.Hash() {
		t.Fatalf("the set does not survive its own JSON: %v", err)
	}
	if diff := cmp.Diff(s.Baseline("acme", "payments"), again.Baseline("acme", "payments")); diff != "" {
		t.Errorf("after JSON (-before +after):\n%s", diff)
	}
}

func TestWithoutEntriesBaselinesHaveTheirDefaults(t *testing.T) {
	want := defaultBaseline()
	want.Tenant, want.Persona = "acme", "support"
	if diff := cmp.Diff(want, *Default().Baseline("acme", "support")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
