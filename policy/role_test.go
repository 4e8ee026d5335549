package policy

import "testing"

func TestAnAgentIsJudgedByTheRegistrysPersona(t *testing.T) {
	s := parse(t, `
personas:
- {name: helper, agents: ["helper-*", "both-*"], default: allow}
- {name: Auditor, agents: [helper-7, "*-both-*"], default: allow}
- {name: anybody, agents: ["*"], default: allow}
- {name: free, default: allow}
- {name: theirs, tenant: other, agents: ["x-*"], default: allow}
`, "")
	empty := Default()
	for name, c := range map[string]struct {
		set                    *Set
		tenant, agent, claimed string
		want                   string
		mismatch               Mismatch
	}{
		"as the registry has it":                  {s, "acme", "helper-1", "helper", "helper", Agreed},
		"in other letters":                        {s, "acme", "helper-1", " Helper", "helper", Agreed},
		"it claims nothing":                       {s, "acme", "helper-1", "", "helper", Agreed},
		"another that is declared":                {s, "acme", "helper-1", "free", "helper", Otherwise},
		"one that nobody declared":                {s, "acme", "helper-1", "root", "helper", Otherwise},
		"one of another tenant":                   {s, "acme", "helper-1", "theirs", "helper", Otherwise},
		"a name goes before a pattern":            {s, "acme", "helper-7", "helper", "auditor", Otherwise},
		"two patterns have it, either":            {s, "acme", "both-both-1", "auditor", "auditor", Agreed},
		"two patterns have it, other":             {s, "acme", "both-both-1", "helper", "helper", Agreed},
		"a star is for agents that claim nothing": {s, "acme", "stranger", "free", "free", Agreed},
		"an agent that claims nothing":            {s, "acme", "stranger", "", "anybody", Agreed},
		"a star for what nobody declared":         {s, "acme", "stranger", "root", "anybody", Otherwise},
		"no persona is declared":                  {empty, "acme", "a", "root", "root", Agreed},
		"no persona, and no claim":                {empty, "acme", "a", "", "", Agreed},
		"an agent is compared as sent":            {s, "acme", "HELPER-1", "helper", "helper", Agreed},
		"the tenant's own, others have it":        {s, "other", "x-1", "anybody", "theirs", Otherwise},
	} {
		if got, m := c.set.Role(c.tenant, c.agent, c.claimed); got != c.want || m != c.mismatch {
			t.Errorf("%s: judged as %q, mismatch %d; want %q, %d", name, got, m, c.want, c.mismatch)
		}
	}
	few := parse(t,
		"personas:\n- {name: clerk, agents: [\"clerk-*\"], default: allow}\n- {name: theirs, tenant: other, default: allow}\n",
		"")
	if got, m := few.Role("acme", "a", "root"); got != "root" || m != Unlisted {
		t.Errorf("a persona that nobody declared, of an agent that no list has: %q, %d", got, m)
	}
	if got, m := few.Role("acme", "a", ""); got != "" || m != Agreed {
		t.Errorf("an agent that says nothing and that no list has: %q, %d", got, m)
	}
}
