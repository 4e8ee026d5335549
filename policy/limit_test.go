package policy

import (
	"math"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

func limit(t testing.TB, yaml string) *Limit {
	t.Helper()
	return parse(t, "", "limits:\n- {id: a, "+yaml+"}\n").Limits()[0]
}

// counts tells whether the limit counts the call, as detectors ask it in three steps.
func counts(l *Limit, persona string, e *event.Event) bool {
	return l.Covers(e.Tenant, persona, e.Tool.Name, e.Tool.Server) && (l.Classes() == 0 || l.Classes()&ClassBits(e) != 0) &&
		(l.Outcomes() == 0 || l.Outcomes()&(1<<e.Result.Outcome) != 0) && (!l.Asks() || l.Suits(e))
}

func TestLimitSaysItself(t *testing.T) {
	for yaml, want := range map[string]string{
		`scope: user, measure: records, max: 1000, window: 1h`:                                "more than 1000 records per user in 1h (sliding)",
		`scope: session, measure: count, max: 1`:                                              "more than 1 call per session",
		`scope: session, measure: bytes, max: 0, window: 90s`:                                 "more than 0 bytes per session in 1m30s (sliding)",
		`scope: tenant, measure: amount, currency: EUR, max: "5000.50", window: 31d`:          "more than 5000.5 EUR per tenant in 31d (sliding)",
		`scope: persona, measure: cost, max: 0.000001, window: 1d12h, kind: tumbling`:         "more than 0.000001 USD per persona in 1d12h (tumbling)",
		`scope: agent, measure: amount, currency: JPY, max: 9223372036854.775807, window: 1s`: "more than 9223372036854.775807 JPY per agent in 1s (sliding)",
	} {
		if got := limit(t, yaml).String(); got != want {
			t.Errorf("%s: %s", yaml, got)
		}
	}
}

func TestLimitReadsNumbersExactly(t *testing.T) {
	for text, want := range map[string]int64{"5000.00": 5000e6, "0": 0, "0.1": 100_000, "007": 7e6, "1.100000000": 1_100_000, "9223372036854.775807": math.MaxInt64} {
		if got, what := parseMicro(text); got != want || what != "" {
			t.Errorf("%s: got %d %s", text, got, what)
		}
	}
	for micro, want := range map[int64]string{0: "0", 1: "0.000001", 1_500_000: "1.5", 25e6: "25"} {
		if got := formatMicro(micro); got != want {
			t.Errorf("%d: got %s", micro, got)
		}
	}
	for text, want := range map[string]int64{"1s": 1e3, "90s": 90e3, "1h30m": 5400e3, "1d": 86400e3, "1d12h": 129600e3, "1500ms": 1500, "31d": 31 * 86400e3} {
		d, what := parseWindow(text)
		if d.Milliseconds() != want || what != "" {
			t.Errorf("%s: got %v %s", text, d, what)
		}
		if again, what := parseWindow(formatWindow(want)); again != d || what != "" {
			t.Errorf("%s: written as %s, read as %v %s", text, formatWindow(want), again, what)
		}
	}
}

func TestLimitMatches(t *testing.T) {
	where := func(w string) *Limit { return limit(t, "scope: session, measure: count, max: 1, where: {"+w+"}") }
	e := event.Event{Kind: event.ToolCall, Tenant: "acme", Tool: event.Tool{Name: "refund_order", Server: "shop", Class: event.Pay}}
	for _, c := range []struct {
		claim, where string
		want         bool
	}{
		{"no condition counts everything", "", true},
		{"a tool by pattern", `tools: ["*refund*"]`, true},
		{"another tool", "tools: [pay_*]", false},
		{"one of several", "tools: [pay_*, refund_order]", true},
		{"all conditions must hold", "tools: [refund_*], servers: [crm]", false},
		{"all do", `tools: [refund_*], servers: ["sh?p"], tenants: [acme], personas: [pay*], classes: [pay, write]`, true},
		{"another persona", "personas: [support]", false},
		{"another tenant", "tenants: [ACME]", false},
		{"another class", "classes: [read]", false},
	} {
		if got := counts(where(c.where), "payments", &e); got != c.want {
			t.Errorf("%s: got %t", c.claim, got)
		}
	}
	pays := where("classes: [pay]")
	hidden := e
	hidden.Tool.Class, hidden.Result.Effect = event.Read, event.Pay
	if !counts(pays, "", &hidden) {
		t.Error("a payment behind a tool that calls itself a read is not counted")
	}
	hidden.Tool.Class, hidden.Result.Effect = event.NoClass, event.NoClass
	if counts(pays, "", &hidden) {
		t.Error("an unknown class is counted as a payment")
	}
}

func TestLimitHashNamesWhatIsCounted(t *testing.T) {
	base := `scope: user, measure: amount, currency: EUR, max: "5", window: 1h, where: {tools: [a, b], classes: [pay, send]}`
	same := limit(t, base)
	for claim, yaml := range map[string]string{
		"a title":              base + ", title: x",
		"a severity":           base + ", severity: critical, tags: [x]",
		"the default kind":     base + ", kind: sliding",
		"the order of lists":   `where: {classes: [send, pay, send], tools: [b, a]}, scope: user, measure: amount, currency: EUR, max: "5", window: 1h`,
		"the number's writing": `scope: user, measure: amount, currency: EUR, max: 5.00, window: 60m, where: {tools: [a, b], classes: [pay, send]}`,
	} {
		if got := limit(t, yaml); got.Hash != same.Hash {
			t.Errorf("%s makes another state", claim)
		}
	}
	if limit(t, base+", title: x").Version == same.Version {
		t.Error("a new title keeps the version")
	}
	seen := map[uint64]string{same.Hash: base}
	for _, yaml := range []string{
		`scope: agent, measure: amount, currency: EUR, max: "5", window: 1h, where: {tools: [a, b], classes: [pay, send]}`,
		`scope: user, measure: cost, max: "5", window: 1h, where: {tools: [a, b], classes: [pay, send]}`,
		`scope: user, measure: amount, currency: USD, max: "5", window: 1h, where: {tools: [a, b], classes: [pay, send]}`,
		`scope: user, measure: amount, currency: EUR, max: "6", window: 1h, where: {tools: [a, b], classes: [pay, send]}`,
		`scope: user, measure: amount, currency: EUR, max: "5", window: 2h, where: {tools: [a, b], classes: [pay, send]}`,
		base + ", kind: tumbling",
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1h, where: {tools: [ab], classes: [pay, send]}`,
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1h, where: {servers: [a, b], classes: [pay, send]}`,
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1h, where: {tools: [a, b], classes: [pay]}`,
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1h`,
	} {
		h := limit(t, yaml).Hash
		if other, dup := seen[h]; dup {
			t.Errorf("%s\nhas the state of\n%s", yaml, other)
		}
		seen[h] = yaml
	}
}

func TestLimitHashIsForever(t *testing.T) {
	// The hash names state on disk. If this changes, every limit of every installation starts to count anew.
	if got := limit(t, `scope: user, measure: records, max: 1000, window: 1h, where: {tools: ["*.read"], classes: [read]}`).Hash; got != 0x9ac24ccbc33b59d9 {
		t.Errorf("got %#x", got)
	}
}

func TestWordsOfScopesAndMeasures(t *testing.T) {
	for s := AgentScope; s <= TenantScope; s++ {
		if got, ok := ParseScope(s.String()); got != s || !ok {
			t.Errorf("%v is read as %v", s, got)
		}
	}
	for _, word := range []string{"", "Agent", "global"} {
		if s, ok := ParseScope(word); ok || s != 0 {
			t.Errorf("%q is a scope", word)
		}
	}
	if len(measures) != int(DistinctDestinations)+1 || Cost.String() != "cost" || len(scopes) != Scopes {
		t.Error("measures or scopes and their words differ")
	}
}

func BenchmarkMatches(b *testing.B) {
	e := event.Event{Kind: event.ToolCall, Tenant: "acme", Tool: event.Tool{Name: "crm.read_customer", Server: "crm", Class: event.Read}}
	for _, c := range []struct{ name, where string }{
		{"everything", ""},
		{"class-fails", "classes: [pay], tools: [\"*refund*\"]"},
		{"persona-fails", "personas: [payments]"},
		{"tool-prefix-fails", "tools: [refund_*]"},
		{"tool-inside-fails", "tools: [\"*refund*\"]"},
		{"all-hold", "classes: [read], personas: [support], servers: [crm], tools: [crm.*]"},
	} {
		l := limit(b, "scope: session, measure: count, max: 1, where: {"+c.where+"}")
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				counts(l, "support", &e)
			}
		})
	}
}
