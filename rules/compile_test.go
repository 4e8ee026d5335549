package rules

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/expr-lang/expr/vm"

	"github.com/wayward-sec/wayward/event"
)

var admins = []string{"iam.grant", "iam.revoke", "vault.read"}

func scope() *Scope {
	limit := Value{N: 500}
	return &Scope{Event: true, Names: map[string]Name{
		"params.max": {Type: Number, Const: &limit}, "lists.admin": {Type: Texts, List: &admins},
		"total": {Type: Number, Slot: 0}, "who": {Type: Text, Slot: 1}, "first.agent": {Type: Text, Slot: 2},
		"calm": {Type: Bool, Slot: 3}}}
}

func refund() *Context {
	e := &event.Event{Kind: event.ToolCall, Tenant: "acme", User: "u-1", Session: "s",
		Tool:        event.Tool{Name: "pay.refund", Server: "mcp-pay", Class: event.Pay},
		Resource:    event.Resource{Type: "order", ID: "o-1", Labels: []string{"pii", "eu"}},
		Destination: event.Destination{Value: "a@evil.example", Domain: "mail.evil.example", External: event.Yes},
		Result:      event.ResultOf{Outcome: event.OK, Records: 12}, Has: event.HasRecords | event.HasAmount,
		Amount: event.Amount{Micro: 750_500_000, Currency: "EUR"},
		Origin: event.Origin{IP: "10.1.2.3"}, Agent: event.Agent{ID: "a-7"},
		Args: []byte(
			`{"path": "/etc/passwd", "deep": {"n": 12.5, "t": true}, "q": "say \"hi\"", "list": [1, {"x": 2}], "z": null}`)}
	return &Context{E: e, Persona: "clerk", Local: 1_767_600_000_000 + 14*hourMS,
		Vars: []Value{{N: 620}, {S: "bob"}, {S: "a-1"}, {N: 1}}}
}

// hearsay is what a test wants to be known beside the event.
type hearsay struct {
	seen bool
	n    float64
	role Role
}

func (h *hearsay) Seen(word string) bool                { return h.seen || word == "tool" }
func (h *hearsay) Quantile(_ string, q float64) float64 { return h.n * q }
func (h *hearsay) Expected(measure string) float64      { return h.n + float64(len(measure)) }
func (h *hearsay) P(string) float64                     { return h.n / 1000 }
func (h *hearsay) Role() *Role                          { return &h.role }

func TestWhatIsKnownBesideTheEvent(t *testing.T) {
	c := refund()
	c.Around = &hearsay{n: 40, role: Role{Known: true, Default: "deny", Tags: []string{"kyc"},
		Forbids: []string{"tool", "destination"}, NeedsApproval: true}}
	for src, want := range map[string]any{
		`baseline.seen("tool") and not baseline.seen("user")`:  true,
		`baseline.quantile("records", 0.5)`:                    20.0,
		`baseline.expected("bytes")`:                           45.0,
		`baseline.p("rarity") < 0.05 and destination.external`: true,
		`role.default`: "deny",
		`role.known and role.needs_approval and "kyc" in role.tags and len(role.forbids) == 2`: true,
		`any(role.forbids, # startsWith "dest")`:                                               true,
	} {
		x, err := Compile(src, scope(), 0)
		if err != nil || x.VM != "" {
			t.Fatalf("%s: %v, needs the machine: %s", src, err, x.VM)
		}
		v, _ := x.Value(c)
		got := map[Type]any{Bool: v.N != 0, Number: v.N, Text: v.S}[x.Type]
		if got != want {
			t.Errorf("%s = %v, want %v", src, got, want)
		}
		same(t, x, c)
		if _, err := x.Value(refund()); err != nil { // nothing is known
			t.Errorf("%s: %v", src, err)
		}
	}
}

func TestExpressions(t *testing.T) {
	for src, want := range map[string]any{
		`tool.class == "pay" and amount.value > params.max`:     true,
		`kind == "tool_call" && !(tool.name startsWith "crm.")`: true,
		`tool.name in lists.admin`:                              false,
		`tool.name in ["pay.refund", "pay.send"]`:               true,
		`"pii" in resource.labels`:                              true,
		`any(resource.labels, # startsWith "e")`:                true,
		`all(resource.labels, len(#) == 2)`:                     false,
		`none(resource.labels, # in lists.admin)`:               true,
		`one(resource.labels, # == "eu")`:                       true,
		`count(resource.labels, # != "x")`:                      2.0,
		`amount.value`:                                          750.5,
		`amount.value * 2 - 1 / 4`:                              1500.75,
		`-total`:                                                -620.0,
		`has.records and not has.bytes and result.bytes == 0`:   true,
		`first.agent != agent.id and who == "bob" and calm`:     true,
		`hour`:                   22.0,
		`weekday`:                1.0,
		`hour < 6 or hour >= 20`: true,
		`persona`:                "clerk",
		`domain(destination.domain, "evil.example") and not domain("notevil.example", "evil.example")`: true,
		`cidr(origin.ip, "10.0.0.0/8")`: true,
		`domain("https://a.EVIL。example/x y", "evil.example.") and domain("bu\u0308cher.example", "xn--bcher-kva.example")`:                                           true,
		`domain("https://evil.example\\@shop.example", "shop.example") or domain("https://a@evil.example@shop.example/", "shop.example")`:                             false,
		`cidr("0x7f.1", "127.0.0.0/8") and cidr("::ffff:10.1.2.3", "10.0.0.0/8") and cidr("http://2130706433/x", "::ffff:127.0.0.0/104")`:                             true,
		`cidr("64:ff9b::10.1.2.3", "10.0.0.0/8") and cidr("2002:a01:203::", "10.0.0.0/8") and cidr("::a01:203", "10.0.0.0/8") and cidr("64:ff9b::1", "64:ff9b::/96")`: true,
		`cidr("2001:a01:203::1", "10.0.0.0/8") or cidr("::1", "0.0.0.0/8")`:                                                                                           false,
		`args.incomplete`: false,
		`cidr(origin.ip, "fe80::/10") or cidr("nonsense", "10.0.0.0/8")`: false,
		`glob(tool.name, "pay.*") and glob(tool.server, "mcp-???")`:      true,
		`arg("path")`: "/etc/passwd",
		`arg("deep.n") + "/" + arg("deep.t") + "/" + arg("q") + "/" + arg("list") + arg("z") + arg("none")`: `12.5/true/say "hi"/`,
		`hash("") + hash("x")`:                                            "5c80c09683041123",
		`number(arg("deep.n")) + 1`:                                       13.5,
		`arg("path") matches "^/etc/(passwd|shadow)"`:                     true,
		`entropy("aaaa") == 0 and entropy("abcd") == 2`:                   true,
		`distance("kitten", "sitting")`:                                   3.0,
		`"moved " + string(total) + " of " + string(0.125) + upper(user)`: "moved 620 of 0.125U-1",
		`total > 600 ? "much" : "little"`:                                 "much",
		`max(total, 1, 700)`:                                              700.0,
		`len("äö") + len(resource.labels)`:                                4.0,
		`baseline.seen("destination")`:                                    true,
		`result.records > baseline.quantile("records", 0.99) or result.records > baseline.expected("records")`: false,
		`baseline.quantile("records", 0.99)`:            math.Inf(1),
		`trim("  a ") + trimPrefix("mcp-x", "mcp-")`:    "ax",
		`result.records in [1, 12]`:                     true,
		`round(2.5) + floor(2.9) + ceil(2.1) + abs(-1)`: 9.0,
	} {
		x, err := Compile(src, scope(), 0)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if x.VM != "" {
			t.Errorf("%s needs the machine: %s", src, x.VM)
		}
		v, err := x.Value(refund())
		var got any = v.N
		switch x.Type {
		case Text:
			got = v.S
		case Bool:
			got = v.N != 0
		}
		if err != nil || got != want {
			t.Errorf("%s = %v (%v), want %v", src, got, err, want)
		}
		same(t, x, refund())
	}
}

// same compares the closures with expr's own machine.
func same(t *testing.T, x *Expr, c *Context) {
	t.Helper()
	a, err := x.Value(c)
	if err != nil {
		t.Fatalf("%s: %v", x.Source, err)
	}
	if x.Type == Bool && x.found(c.E) && x.rest(c) != (a.N != 0) {
		t.Fatalf("%s: what the index leaves of it says %v", x.Source, x.rest(c))
	}
	out, err := vm.Run(x.program, x.scope.env(c))
	if err != nil && strings.Contains(err.Error(), "interface conversion") {
		return // expr 1.17.8 takes max(0, 2.5) for an int, and fails on it
	}
	if err != nil {
		t.Fatalf("%s: the machine says %v", x.Source, err)
	}
	if b := valueOf(out); a != b && !(math.IsNaN(a.N) && math.IsNaN(b.N)) {
		t.Fatalf("%s: closures say %v, the machine %v (%T)", x.Source, a, b, out)
	}
}

func TestFaultsSayWhereAndWhatToDo(t *testing.T) {
	deep := `any(resource.labels, any(resource.labels, any(resource.labels, # == "a")))`
	for src, want := range map[string]string{
		``:                                     "R100 0:0 empty",
		`tool.nmae == "x"`:                     "R101 1:6 did you mean tool.name?",
		`approval.ide == ""`:                   "R101 1:10 did you mean approval.id?",
		`tol.name == "x"`:                      "R101 1:1 did you mean tool?",
		`records > 5`:                          "R101 1:1 did you mean result.records?",
		`tool.name > 5`:                        "R102 1:11 compare things of one type",
		"tool.name == \"a\"\nand user = 1":     "R104 2:",
		`amount.value`:                         "R102 0:0 a bool is wanted",
		`resource.labels`:                      "R103 0:0",
		`now().Hour() > 5`:                     "R101 1:1",
		`len(repeat("a", 1000000)) > 5`:        "R101 1:5",
		`reduce(1..9, #acc + #acc, "a") == ""`: "R122 1:",
		`any(1..100000, # > 5)`:                "R122",
		deep:                                   "R121 1:",
		`tool.name matches user`:               "R123 1:",
		`tool.name matches "` + strings.Repeat("a", 600) + `"`: "R123 1:",
		`tool.name matches "("`:                                "R104 1:",
		`any(resource.labels, # + # == "a")`:                   "R124 1:",
		`let x = user; x == "a"`:                               "R125 1:",
		`cidr(origin.ip, "10.0.0.0/33")`:                       "R108 1:17 write it as",
		`baseline.quantile("bytes", 99) > 1`:                   "R133 1: between 0 and 1",
		`kind == "toolcall"`:                                   "R107 1:9 use one of tool_call",
		`tool.class in ["pay", "wire"]`:                        `R107 1: no event has tool.class "wire"`,
		`result.outcome != "failed"`:                           "R107 1:19 use one of ok, error, denied, not_found",
		`not baseline.seen("domian")`:                          "R106 1:19 use one of tool, server",
		`baseline.p(user) < 0.1`:                               "R106 1:12 written out",
		`baseline.quantile("events", 0.9) > 1`:                 "R106 1:19 use one of records",
		`{"a": 1}.a == 1`:                                      "R125",
		strings.Repeat("!", 5000) + "calm":                     "R120",
		strings.Repeat("calm and ", 400) + "calm":              "R120",
		strings.Repeat("(", 2000) + "calm":                     "R1",
	} {
		_, err := Compile(src, scope(), Bool)
		var f *Fault
		if !errors.As(err, &f) {
			t.Errorf("%.60s: %v, want a fault", src, err)
			continue
		}
		if got := fmt.Sprintf("%s %d:%d %s", f.Code, f.Line, f.Column, f.What); !strings.HasPrefix(got,
			strings.Join(strings.Fields(want)[:1], " ")) || !follows(got, want) {
			t.Errorf("%.60s: %s, want %s", src, got, want)
		}
		if !strings.Contains(f.What, "; ") && f.Code != "R100" {
			t.Errorf("%.60s: %q does not say what to do", src, f.What)
		}
	}
}

// follows tells whether a message has the place and the words that are wanted.
func follows(got, want string) bool {
	parts := strings.SplitN(want, " ", 3)
	if len(parts) > 1 && !strings.HasPrefix(strings.SplitN(got, " ", 3)[1], parts[1]) {
		return false
	}
	return len(parts) < 3 || strings.Contains(got, parts[2])
}

func TestGuards(t *testing.T) {
	class := func(cs ...event.Class) (bits uint16) {
		for _, c := range cs {
			bits |= 1 << c
		}
		return bits
	}
	for src, want := range map[string]Guard{
		`tool.class == "pay"`: {Classes: class(event.Pay)},
		`kind == "tool_call" and tool.class in ["send", "pay"] and total > 1`: {Kinds: 1 << event.ToolCall,
			Classes: class(event.Send, event.Pay)},
		`tool.class == "pay" or tool.class == "send"`:  {Classes: class(event.Send, event.Pay)},
		`tool.class == "pay" or total > 5`:             {},
		`tool.name in ["b", "a"] and tool.name != "c"`: {Tools: []string{"a", "b"}},
		`tool.name == "a" and tool.name == "b"`:        {Tools: []string{}},
		`not (tool.class == "pay")`:                    {},
		`tool.class == "pay" and tool.class == "send"`: {Classes: 1 << 15},
	} {
		x, err := Compile(src, scope(), Bool)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(x.Guard, want) {
			t.Errorf("%s: guard %+v, want %+v", src, x.Guard, want)
		}
	}
}

// maker writes random expressions of a type.
type maker struct{ *rand.Rand }

func (m maker) one(list ...string) string { return list[m.IntN(len(list))] }

func (m maker) text(d int) string {
	if d <= 0 {
		return m.one(`tool.name`, `user`, `persona`, `destination.domain`, `"a"`, `"pay.refund"`, `"Ä b "`, `who`,
			`first.agent`, `arg("path")`, `arg("deep.n")`, `role.default`)
	}
	switch m.IntN(5) {
	case 0:
		return m.text(d-1) + " + " + m.text(d-1)
	case 1:
		return m.one("lower", "upper", "trim", "hash") + "(" + m.text(d-1) + ")"
	case 2:
		return m.one("trimPrefix", "trimSuffix") + "(" + m.text(d-1) + ", " + m.text(d-1) + ")"
	case 3:
		return "(" + m.bool(d-1) + " ? " + m.text(d-1) + " : " + m.text(d-1) + ")"
	}
	return "string(" + m.number(d-1) + " * 1.0)"
}

func (m maker) number(d int) string {
	if d <= 0 {
		return m.one(`1`, `0`, `2.5`, `1000000`, `total`, `amount.value`, `result.records`, `hour`, `weekday`,
			`params.max`, `duration_ms`, `baseline.p("rarity")`, `baseline.quantile("bytes", 0.99)`,
			`baseline.expected("events")`)
	}
	switch m.IntN(7) {
	case 0, 1:
		return "(" + m.number(d-1) + m.one(" + ", " - ", " * ", " / ") + m.number(d-1) + ")"
	case 2:
		return m.one("abs", "floor", "ceil", "round") + "(" + m.number(d-1) + ")"
	case 3:
		return m.one("max", "min") + "(" + m.number(d-1) + ", " + m.number(d-1) + ")"
	case 4:
		return "len(" + m.one("resource.labels", m.text(d-1)) + ")"
	case 5:
		return m.one("entropy(", "number(") + m.text(d-1) + ")"
	}
	return "-" + m.number(d-1)
}

func (m maker) bool(d int) string {
	if d <= 0 {
		return m.one(`(tool.name in ["vault.read", "x"] and calm)`,
			`(tool.class == "pay" and kind == "tool_call" and has.records)`, `calm`, `destination.external`,
			`has.records`, `true`, `false`, `(tool.name in lists.admin)`, `("pii" in resource.labels)`,
			`(tool.class in ["pay", "send"])`, `(result.records in [1, 2, 12])`, `role.known`,
			`("tool" in role.forbids)`, `baseline.seen("user")`)
	}
	switch m.IntN(9) {
	case 0:
		return "(" + m.bool(d-1) + m.one(" and ", " or ", " == ", " != ") + m.bool(d-1) + ")"
	case 1:
		return "not " + m.bool(d-1)
	case 2, 3:
		return "(" + m.number(d-1) + m.one(" < ", " <= ", " > ", " >= ", " == ", " != ") + m.number(d-1) + ")"
	case 4:
		return "(" + m.text(d-1) + m.one(" < ", " >= ", " == ", " != ", " contains ", " startsWith ", " endsWith ") +
			m.text(d-1) + ")"
	case 5:
		return m.one("any", "all", "none", "one") + `(resource.labels, ` + m.one(`# == "pii"`,
			`# startsWith `+m.text(0), `len(#) > 2`, `# in lists.admin`) + ")"
	case 6:
		return m.one("glob", "domain", "cidr") + "(" + m.text(d-1) + ", " + m.one(`"a*"`, `"10.0.0.0/8"`, `"example"`) +
			")"
	case 7:
		return "(" + m.text(d-1) + ` matches "^[a-z]+\\.")`
	}
	return "(" + m.bool(d-1) + " ? " + m.bool(d-1) + " : " + m.bool(d-1) + ")"
}

func FuzzClosuresAgreeWithTheMachine(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		m := maker{rand.New(rand.NewPCG(seed, 3))}
		src := []func(int) string{m.bool, m.number, m.text}[m.IntN(3)](m.IntN(5))
		x, err := Compile(src, scope(), 0)
		if err != nil {
			if f := (*Fault)(nil); errors.As(err, &f) && (f.Code == "R120" || f.Code == "R108" || f.Code == "R104" &&
				strings.Contains(f.What, "zero")) {
				return
			}
			t.Fatalf("%s: %v", src, err)
		}
		if x.VM != "" {
			t.Fatalf("%s needs the machine: %s", src, x.VM)
		}
		c := refund()
		for range 4 {
			c.E.Result.Records, c.E.Amount.Micro, c.Vars[0].N = int64(m.IntN(15)), m.Int64N(2e9), float64(
				m.IntN(2000))/2
			c.E.Resource.Labels = [][]string{nil, {"pii"}, {"a", "pii", "pii"}}[m.IntN(3)]
			c.E.Tool.Name, c.E.Args = m.one("vault.read", "pay.refund", ""), [][]byte{nil, []byte(`{}`),
				[]byte(`{"path":"10.0.0.1"}`)}[m.IntN(3)]
			c.Around = []Around{nil, &hearsay{seen: m.IntN(2) == 0, n: float64(m.IntN(300)),
				role: Role{Known: true, Default: "allow", Forbids: []string{"tool"}}}}[m.IntN(2)]
			same(t, x, c)
		}
	})
}

func FuzzCompile(f *testing.F) {
	f.Add(`tool.name == "x" and any(resource.labels, # == "a")`)
	f.Add(`((((`)
	f.Add(`a ?: b ?? c | d`)
	f.Fuzz(func(t *testing.T, src string) {
		x, err := Compile(src, scope(), 0)
		if err != nil {
			return
		}
		if _, err := x.Value(refund()); err != nil && x.VM == "" {
			t.Fatalf("closures failed: %v", err)
		}
	})
}

func TestClosuresDoNotAllocate(t *testing.T) {
	x, err := Compile(
		`kind == "tool_call" and tool.name in lists.admin or arg("path") startsWith "/etc" and amount.value > params.max and any(resource.labels, # == "eu")`,
		scope(), Bool)
	if err != nil {
		t.Fatal(err)
	}
	c := refund()
	if n := testing.AllocsPerRun(100, func() { x.IsTrue(c) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// found tells whether the index finds the condition for an event.
func (x *Expr) found(e *event.Event) bool {
	g := &x.Guard
	switch {
	case g.Tools != nil:
		return slices.Contains(g.Tools, e.Tool.Name)
	case g.Classes != 0:
		return g.Classes>>e.Tool.Class&1 != 0
	}
	return g.Kinds == 0 || g.Kinds>>e.Kind&1 != 0
}

func TestAnchored(t *testing.T) {
	for pattern, want := range map[string]string{"^/etc/(a|b)": "/etc/", "^/etc": "/etc", "^abc*": "ab",
		"(?i)^/etc": "", "/etc": "", "^(a|b)": "", "(?m)^x": "", "^a|b": "", "^": "", "^\\.x": ".x"} {
		if got := anchored(pattern); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
}

func TestNamesOfToolsWithTheirServer(t *testing.T) {
	decoded := func(tool string) *Context {
		var d event.Decoder
		e := &event.Event{}
		if err := d.Decode([]byte(`{"time":1767600000000,"kind":"tool_call","tenant":"acme","agent":{"id":"a"},"tool":`+
			tool+`}`), e); err != nil {
			t.Fatal(err)
		}
		return &Context{E: e}
	}
	calls := map[string]*Context{
		"prefixed":      decoded(`{"name":"mcp__crm__delete_user"}`),
		"apart":         decoded(`{"name":"delete_user","server":"crm"}`),
		"another of it": decoded(`{"name":"mcp__crm__get_user"}`),
		"another's":     decoded(`{"name":"mcp__hr__delete_user"}`),
		"plain":         decoded(`{"name":"delete_user"}`),
	}
	listed := []string{"x", "mcp__crm__delete_user"}
	names := &Scope{Event: true, Names: map[string]Name{"lists.full": {Type: Texts, List: &listed}}}
	plain, full := "prefixed apart another's plain", "prefixed apart"
	for src, want := range map[string]string{
		`tool.name == "delete_user"`:                               plain,
		`tool.name in ["delete_user", "y"]`:                        plain,
		`tool.name startsWith "delete_"`:                           plain,
		`tool.name == "delete_user" and tool.server == "crm"`:      full,
		`tool.name == "mcp__crm__delete_user"`:                     full,
		`"mcp__crm__delete_user" == tool.name`:                     full,
		`tool.name in ["y", "mcp__crm__delete_user"]`:              full,
		`tool.name in lists.full`:                                  full,
		`tool.name matches "^mcp__crm__delete"`:                    full,
		`glob(tool.name, "mcp__crm__del*")`:                        full,
		`tool.full == "mcp__crm__delete_user"`:                     full,
		`tool.name startsWith "mcp__crm__"`:                        full + " another of it",
		`tool.name != "mcp__crm__delete_user"`:                     "another of it another's plain",
		`not (tool.name in ["mcp__crm__delete_user"])`:             "another of it another's plain",
		`tool.name in ["mcp__crm__get_user", "delete_user"]`:       plain + " another of it",
		`tool.class == "" and tool.name == "mcp__hr__delete_user"`: "another's",
	} {
		x, err := Compile(src, names, Bool)
		if err != nil || x.VM != "" {
			t.Fatalf("%s: %v, needs the machine: %s", src, err, x.VM)
		}
		for name, c := range calls {
			got, err := x.IsTrue(c)
			if is := strings.Contains(" "+want+" ", " "+name+" "); err != nil || got != is {
				t.Errorf("%s of %s: %v, %v, want %v", src, name, got, err, is)
			}
			if g := x.Guard.Tools; got && g != nil && !slices.Contains(g, c.E.Tool.Name) {
				t.Errorf("%s of %s: the index has %v", src, name, g)
			}
			same(t, x, c)
		}
	}
}
