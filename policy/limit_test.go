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

// counts reports whether the limit counts the call, as detectors ask it in three steps.
func counts(l *Limit, persona string, e *event.Event) bool {
	return l.Covers(e.Tenant, persona, &e.Tool) && (l.Classes() == 0 || l.Classes()&ClassBits(e) != 0) &&
		(l.Outcomes() == 0 || l.Outcomes()&(1<<e.Result.Outcome) != 0) && (!l.HasConditions() || l.Matches(e))
}

func TestLimitSaysItself(t *testing.T) {
	for yaml, want := range map[string]string{
		`scope: user, measure: records, max: 1000, window: 1h`:                                                   "more than 1000 records per user in 1h (sliding)",
		`scope: session, measure: count, max: 1`:                                                                 "more than 1 call per session",
		`scope: session, measure: bytes, max: 0, window: 90s`:                                                    "more than 0 bytes per session in 1m30s (sliding)",
		`scope: tenant, measure: amount, currency: EUR, max: "5000.50", window: 31d`:                             "more than 5000.5 EUR per tenant in 31d (sliding)",
		`scope: persona, measure: cost, max: 0.000001, window: 1d12h, kind: tumbling`:                            "more than 0.000001 USD per persona in 1d12h (tumbling)",
		`scope: agent, measure: amount, currency: JPY, max: 9223372036854.775807, window: 1s`:                    "more than 9223372036854.775807 JPY per agent in 1s (sliding)",
		`scope: user, measure: amount, currency: EUR, max: 500, window: 1d, kind: calendar, zone: Europe/Berlin`: "more than 500 EUR per user in a calendar day (Europe/Berlin)",
		`scope: agent, measure: errors, max: 1, window: 1mo, kind: calendar`:                                     "more than 1 error per agent in a calendar month",
		`scope: session, measure: retries, max: 5`:                                                               "more than 5 retries per session",
		`scope: session, measure: retries, max: 1`:                                                               "more than 1 retry per session",
		`scope: session, measure: denials, max: 0`:                                                               "more than 0 denials per session",
		`scope: user+beneficiary, measure: distinct_resources, max: 10000, window: 1h`:                           "more than 10000 distinct resources per user+beneficiary in 1h (sliding)",
		`scope: call, measure: bytes, max: 5`:                                                                    "more than 5 bytes per call",
	} {
		if got := limit(t, yaml).String(); got != want {
			t.Errorf("%s: %s", yaml, got)
		}
	}
}

func TestLimitReadsNumbersExactly(t *testing.T) {
	for text, want := range map[string]int64{"5000.00": 5000e6, "0": 0, "0.1": 100_000, "007": 7e6,
		"1.100000000": 1_100_000, "9223372036854.775807": math.MaxInt64} {
		if got, what := parseMicro(text); got != want || what != "" {
			t.Errorf("%s: got %d %s", text, got, what)
		}
	}
	for micro, want := range map[int64]string{0: "0", 1: "0.000001", 1_500_000: "1.5", 25e6: "25"} {
		if got := formatMicro(micro); got != want {
			t.Errorf("%d: got %s", micro, got)
		}
	}
	for text, want := range map[string]int64{"1s": 1e3, "90s": 90e3, "1h30m": 5400e3, "1d": 86400e3, "1d12h": 129600e3,
		"1500ms": 1500, "31d": 31 * 86400e3} {
		d, what := parseWindow(text)
		if d.Milliseconds() != want || what != "" {
			t.Errorf("%s: got %v %s", text, d, what)
		}
		if again, what := parseWindow(FormatSpan(want)); again != d || what != "" {
			t.Errorf("%s: written as %s, read as %v %s", text, FormatSpan(want), again, what)
		}
	}
}

func TestLimitMatches(t *testing.T) {
	where := func(w string) *Limit { return limit(t, "scope: session, measure: count, max: 1, where: {"+w+"}") }
	e := event.Event{Kind: event.ToolCall, Tenant: "acme", Tool: event.Tool{Name: "refund_order", Server: "shop",
		Class: event.Pay}}
	for _, c := range []struct {
		claim, where string
		want         bool
	}{
		{"no condition counts everything", "", true},
		{"a tool by pattern", `tools: ["*refund*"]`, true},
		{"another tool", "tools: [pay_*]", false},
		{"one of several", "tools: [pay_*, refund_order]", true},
		{"all conditions must hold", "tools: [refund_*], servers: [crm]", false},
		{"all do", `tools: [refund_*], servers: ["sh?p"], tenants: [acme], personas: [pay*], classes: [pay, write]`,
			true},
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
		"a warn level":         base + `, warn: "80%"`,
		"what is done":         base + ", respond: {action: block}",
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
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1d, kind: calendar, where: {tools: [a, b], classes: [pay, send]}`,
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1d, kind: calendar, zone: UTC, where: {tools: [a, b], classes: [pay, send]}`,
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1d, kind: calendar, zone: Europe/Berlin, where: {tools: [a, b], classes: [pay, send]}`,
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1w, kind: calendar, where: {tools: [a, b], classes: [pay, send]}`,
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1d, where: {tools: [a, b], classes: [pay, send]}`,
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1h, where: {tools: [a, b], classes: [pay, send], users: [a]}`,
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1h, where: {tools: [a, b], classes: [pay, send], labels: [a]}`,
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1h, where: {tools: [a, b], classes: [pay, send], resource_types: [a]}`,
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1h, where: {tools: [a, b], classes: [pay, send], environments: [a]}`,
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1h, where: {tools: [a, b], classes: [pay, send], intents: [a]}`,
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1h, where: {tools: [a, b], classes: [pay, send], outcomes: [ok]}`,
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1h, where: {tools: [a, b], classes: [pay, send], external: true}`,
		`scope: user, measure: amount, currency: EUR, max: "5", window: 1h, where: {tools: [a, b], classes: [pay, send], external: false}`,
		`scope: user, measure: errors, max: "5", window: 1h, where: {tools: [a, b], classes: [pay, send]}`,
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

func TestWarnIsAShareOfMaxOrANumberBelowIt(t *testing.T) {
	for yaml, want := range map[string]int64{
		`measure: count, max: 50, warn: 80%`: 40, `measure: count, max: 1, warn: 80%`: 0,
		`measure: count, max: 9223372036854775807, warn: 99%`:     9131138316486228048,
		`measure: count, max: 50, warn: 49`:                       49,
		`measure: amount, currency: EUR, max: "50.01", warn: 50%`: 25_005_000,
		`measure: cost, max: 1, warn: "0.5"`:                      500_000,
	} {
		if l := limit(t, "scope: session, "+yaml); !l.Warns || l.Warn != want {
			t.Errorf("%s: %d", yaml, l.Warn)
		}
	}
	if l := limit(t, "scope: session, measure: count, max: 5"); l.Warns {
		t.Error("it warns without being asked to")
	}
}

func TestWhatALimitMayStop(t *testing.T) {
	for yaml, want := range map[string]event.ScopeType{
		// the finding's own
		"scope: agent, measure: count, max: 1, window: 1h, respond: {action: block}":                         0,
		"scope: agent, measure: count, max: 1, window: 1h, respond: {action: block, scope: tool}":            event.ToolScope,
		"scope: tenant, measure: count, max: 1, window: 1h, respond: {action: escalate}":                     0,
		"scope: call, measure: bytes, max: 1, respond: {action: block}":                                      event.AgentScope,
		"scope: user+beneficiary, measure: count, max: 1, window: 1h, respond: {action: block}":              event.AgentScope,
		"scope: user+beneficiary, measure: count, max: 1, window: 1h, respond: {action: block, scope: user}": event.UserScope,
		"scope: credential, measure: count, max: 1, window: 1h, respond: {action: kill}":                     event.AgentScope,
	} {
		if r := limit(t, yaml).Respond; r == nil || r.Scope != want {
			t.Errorf("%s: %+v", yaml, r)
		}
	}
}

func TestABeneficiaryIsOneHoweverItIsWritten(t *testing.T) {
	for _, c := range []struct {
		claim, kind, value, want string
		class                    event.Class
		has                      event.Has
	}{
		{"an IBAN", "iban", "DE89370400440532013000", "de89370400440532013000", event.Pay, 0},
		{"with spaces", "iban", " DE89 3704 0044 0532 0130 00\t", "de89370400440532013000", event.Pay, 0},
		{"that nobody calls one", "", "DE89-3704-0044-0532-0130-00", "de89370400440532013000", event.Pay, 0},
		{"with what cannot be seen", "iban", "DE89\u200b3704\u00a0004405320130 00", "de89370400440532013000", event.Pay,
			0},
		{"an address", "email", "Jane.Doe@X.example ", "jane.doe@x.example", event.NoClass, event.HasAmount},
		{"a name keeps its spaces", "", "Jane Doe", "jane doe", event.Pay, 0},
		{"other letters", "", "ÄÖ-Haus", "äö-haus", event.Pay, 0},
		{"nobody is paid by a read", "iban", "DE89370400440532013000", "", event.Read, 0},
		{"nor by a payment to nobody", "", "", "", event.Pay, event.HasAmount},
	} {
		e := event.Event{Has: c.has, Tool: event.Tool{Class: c.class},
			Destination: event.Destination{Kind: c.kind, Value: c.value}}
		if got := string(AppendBeneficiary([]byte("x"), &e)); got != "x"+c.want {
			t.Errorf("%s: got %q", c.claim, got)
		}
	}
	for _, c := range []struct{ kind, value, domain, want string }{
		{"url", "https://X.example/a?b", "", "x.example"}, {"url", "https://x.example/a", "Y.example", "y.example"},
		{"url", "not a url", "", "not a url"}, {"email", "A@x.example", "x.example", "a@x.example"},
		{"", "", "x.example", "x.example"}, {"", "", "", ""},
	} {
		if got := string(AppendDestination(nil, &event.Destination{Kind: c.kind, Value: c.value, Domain: c.domain})); got != c.want {
			t.Errorf("%v: got %q", c, got)
		}
	}
}

func TestLimitHashIsForever(t *testing.T) {
	// The hash names state on disk. If this changes, every limit of every installation starts to
	// count anew.
	if got := limit(t,
		`scope: user, measure: records, max: 1000, window: 1h, where: {tools: ["*.read"], classes: [read]}`).Hash; got != 0x9ac24ccbc33b59d9 {
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
	e := event.Event{Kind: event.ToolCall, Tenant: "acme", Tool: event.Tool{Name: "crm.read_customer", Server: "crm",
		Class: event.Read}}
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
