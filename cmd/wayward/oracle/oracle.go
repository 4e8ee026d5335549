// Package oracle is the oracle of the crash test. It says from what was sent, and from nothing else,
// what must have been found, how often and about whom, and what commands, breakers, refusals and
// baselines must be. Compare weighs what is on the topics against that.
//
// It must never import anything of ours, or a mistake of the engine could be its own. It knows limits
// by the table below and the formats by the documentation, and keeps all in plain maps: no windows
// that move, no pages, no shards. Only tests import it. Begin reading at Compare in balance.go.
package oracle

import (
	"fmt"
	"strings"
	"time"
)

// Speed is event time per wall time: minutes must pass in seconds.
const Speed = 20

// limit is one limit as the documentation describes it.
type limit struct {
	id, scope, measure, currency, tool string // tool: prefix
	max                                int64  // amounts in cents
	window                             int64  // milliseconds; 0: the whole session
	tumbling                           bool
	asks                               response
}

// response is what whoever breaks a rule brings about: one step of the ladder, on one scope,
// for a while.
type response struct {
	action, scope string
	seconds       int // 0: until somebody restores it
	calls, per    int // of a throttle
}

var limits = []limit{
	{id: "agent-tumbling", scope: "agent", measure: "count", tool: "db.", max: 14, window: 60_000, tumbling: true,
		asks: response{"throttle", "agent", 1, 5, 1}},
	{id: "agent-sliding", scope: "agent", measure: "bytes", tool: "db.", max: 70_000, window: 90_000,
		asks: response{action: "escalate", scope: "agent", seconds: 2}},
	{id: "session-calls", scope: "session", measure: "count", max: 45,
		asks: response{action: "kill", scope: "session", seconds: 1}},
	{id: "user-tumbling", scope: "user", measure: "count", max: 25, window: 60_000, tumbling: true,
		asks: response{action: "block", scope: "user", seconds: 2}},
	{id: "user-sliding", scope: "user", measure: "records", max: 900, window: 60_000,
		asks: response{"throttle", "agent", 1, 3, 1}},
	{id: "persona-sliding", scope: "persona", measure: "count", tool: "mail.", max: 60, window: 30_000,
		asks: response{action: "escalate", scope: "persona", seconds: 1}},
	{id: "tenant-amount", scope: "tenant", measure: "amount", currency: "EUR", tool: "pay.", max: 400_00,
		window: 60_000, asks: response{action: "observe", scope: "tenant"}},
}

// Persona is a role that must not use some tools.
type Persona struct {
	Name, tool string // tool: prefix
	asks       response
}

var Personas = []Persona{
	{"clerk", "admin.", response{action: "block", scope: "session", seconds: 2}},
	{"helper", "db.export", response{action: "block", scope: "agent", seconds: 2}},
	{"temp", "pay.transfer", response{"throttle", "tool", 1, 7, 2}},
}

// yaml is `respond:` at a depth.
func (r response) yaml(indent string) string {
	s := indent + "respond:\n" + indent + "  action: " + r.action + "\n" + indent + "  scope: " + r.scope + "\n" +
		indent + "  duration: "
	if r.seconds > 0 {
		s += fmt.Sprintf("%ds\n", r.seconds)
	} else {
		s += "until_restored\n"
	}
	if r.calls > 0 {
		s += fmt.Sprintf("%s  calls: %d\n%s  per: %ds\n", indent, r.calls, indent, r.per)
	}
	return s
}

// AckWithin is how long the gateway may take.
const AckWithin = 2 * time.Second

// Policies is the same for the engine to read: files by name. The guard is so wide that it
// never shuts, and behaviour may be hours old: event time begins hours ago.
func Policies(keys string) map[string]string {
	var b, c strings.Builder
	c.WriteString("personas:\n")
	for _, p := range Personas {
		fmt.Fprintf(&c, "  - name: %s\n    default: allow\n    tools:\n      deny: [%q]\n    severity: high\n%s",
			p.Name, p.tool+"*", p.asks.yaml("    "))
	}
	b.WriteString("limits:\n")
	for _, l := range limits {
		fmt.Fprintf(&b, "  - id: %s\n    scope: %s\n    measure: %s\n", l.id, l.scope, l.measure)
		if l.currency != "" {
			fmt.Fprintf(&b, "    currency: %s\n    max: %q\n", l.currency, cents(l.max))
		} else {
			fmt.Fprintf(&b, "    max: %d\n", l.max)
		}
		if l.window > 0 {
			fmt.Fprintf(&b, "    window: %ds\n    kind: %s\n", l.window/1000,
				map[bool]string{true: "tumbling", false: "sliding"}[l.tumbling])
		}
		b.WriteString("    where:\n      tenants: [acme, globex, initech]\n")
		if l.tool != "" {
			fmt.Fprintf(&b, "      tools: [%q]\n", l.tool+"*")
		}
		b.WriteString(l.asks.yaml("    "))
	}
	return map[string]string{"limits/limits.yaml": b.String(), "personas/personas.yaml": c.String(),
		"response/response.yaml": fmt.Sprintf(
			"response:\n  enforce: true\n  guard: {least: 1000000}\n  stale_after: 30d\n  ack_within: %v\n  keys:\n%s",
			AckWithin, keys)}
}

func cents(v int64) string { return fmt.Sprintf("%d.%02d", v/100, v%100) }
