package expression

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

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
			c.Enrichment = []Enrichment{nil, &fakeEnrichment{seen: m.IntN(2) == 0, n: float64(m.IntN(300)),
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
