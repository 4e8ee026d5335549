package rules

import (
	"testing"

	"github.com/wayward-sec/wayward/rules/expression"
)

func build(t testing.TB, s *Source) *Rule {
	t.Helper()
	r := &Rule{ID: "r"}
	for range s.When {
		r.Exceptions = append(r.Exceptions, &Exception{})
	}
	Build(r, s, func(at string, err error) { t.Fatalf("%s: %v", at, err) })
	return r
}

func TestWhatMustNotBeBuilt(t *testing.T) {
	fault := func(s *Source) (code string) {
		r := &Rule{ID: "r"}
		Build(r, s, func(_ string, err error) {
			if f, ok := err.(*expression.Fault); ok && code == "" {
				code = f.Code
			}
		})
		return code
	}
	step := func(where string) []StepSource {
		return []StepSource{{Name: "a", Where: `tool.class == "read"`, Capture: []Pair{{"x", "subject"}}},
			{Name: "b", Where: where}}
	}
	for name, c := range map[string]struct {
		code string
		s    *Source
	}{
		"a step that is of nothing but what was captured": {"R141", &Source{Within: 1, Steps: step("a.x == subject")}},
		"a capture that is not there": {"R101",
			&Source{Within: 1, Steps: step(`tool.class == "send" and a.y == subject`)}},
		"a helper of the event together with a capture": {"R130",
			&Source{Within: 1, Steps: step(`tool.class == "send" and a.x == arg("to")`)}},
		"a capture of what an argument says": {"R135",
			&Source{Within: 1,
				Steps: []StepSource{{Name: "a", Where: `tool.class == "read"`,
					Capture: []Pair{{"x", `"<" + arg("to")`}}}, {Name: "b", Where: `tool.class == "send"`}}}},
		"a hash of it": {"",
			&Source{Within: 1,
				Steps: []StepSource{{Name: "a", Where: `tool.class == "read"`,
					Capture: []Pair{{"x", `hash(arg("to"))`}}}, {Name: "b", Where: `tool.class == "send"`}}}},
		"different things that arguments say": {"R135",
			&Source{Where: "true", Window: 1, Lets: []Pair{{"n", `distinct(arg("q"))`}}, Having: "n > 3"}},
		"a sentence of one event": {"",
			&Source{Where: "true", Lets: []Pair{{"p", `arg("path")`}}, Explain: "p"}},
		"after a step that is not there": {"R140",
			&Source{Within: 1, Steps: step(`tool.class == "send"`),
				Nots: []StepSource{{Name: "n", Where: `tool.class == "pay"`, After: "zz"}}}},
		"a sum without a window": {"R132",
			&Source{Where: "true", Lets: []Pair{{"n", "count()"}}}},
		"a quantile without a share": {"R133",
			&Source{Where: "true", Window: 1, Lets: []Pair{{"n", "quantile(result.bytes)"}}}},
		"times and having": {"R144",
			&Source{Within: 1,
				Steps: []StepSource{{Name: "a", Where: `tool.class == "read"`, Times: 2, Lets: []Pair{{"n", "count()"}},
					Having: "n > 3"}}}},
		"let without having in a step": {"R144",
			&Source{Within: 1,
				Steps: []StepSource{{Name: "a", Where: `tool.class == "read"`, Lets: []Pair{{"n", "count()"}}}}}},
		"one name twice": {"R145",
			&Source{Within: 1,
				Steps: []StepSource{{Name: "a", Where: `tool.class == "read"`, Lets: []Pair{{"n", "count()"}},
					Having: "n > 3", Capture: []Pair{{"n", "subject"}}}}}},
		"times of a not": {"R143",
			&Source{Within: 1, Steps: step(`tool.class == "send"`),
				Nots: []StepSource{{Name: "n", Where: `tool.class == "pay"`, Times: 2}}}},
		"a sum of texts": {"R102",
			&Source{Where: "true", Window: 1, Lets: []Pair{{"n", "sum(subject)"}}}},
		"having that is no condition": {"R102",
			&Source{Where: "true", Window: 1, Lets: []Pair{{"n", "count()"}}, Having: "n"}},
	} {
		if got := fault(c.s); got != c.code {
			t.Errorf("%s: %q, want %s", name, got, c.code)
		}
	}
}
