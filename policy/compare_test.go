package policy

import "testing"

func TestWhatAPersonaDeclares(t *testing.T) {
	set := parse(t, `
personas:
  - name: p
    default: deny
    tools: {allow: [get_*, "*"], needs_approval: [pay], deny: [drop]}
    destinations: {allow: [external, Acme.example, "*.b.example"]}
`, "")
	p := set.Persona("", "p")
	for s, want := range map[string]bool{"get_x": true, "pay": true, "drop": false, "other": false} {
		if p.Declares(Tools, s) != want {
			t.Errorf("tool %s: %v", s, !want)
		}
	}
	for s, want := range map[string]bool{"ACME.example": true, "x.b.example": true, "evil.example": false,
		"external": false} {
		if p.Declares(Destinations, s) != want {
			t.Errorf("destination %s: %v", s, !want)
		}
	}
}
