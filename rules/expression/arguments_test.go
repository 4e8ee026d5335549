package expression

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wayward-sec/wayward/event"
)

// lookup is what encoding/json finds under a path.
func lookup(raw []byte, path string) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return ""
	}
	parts, ok := partsOf(path)
	if !ok {
		return ""
	}
	m, ok := v.(map[string]any)
	if !ok {
		return ""
	}
	return follow(m[parts[0]], parts[1:])
}

// pathForm is what a path may look like, but for bounds.
var (
	pathForm = regexp.MustCompile(`^[^.\[\]]*(\[(\*|[0-9]{1,4})\]|\.[^.\[\]]*)*$`)
	pathPart = regexp.MustCompile(`\[[^\]]*\]|\.[^.\[]*`)
)

// partsOf cuts a path into a name and steps: .name, [0], [*].
func partsOf(path string) ([]string, bool) {
	if !pathForm.MatchString(path) {
		return nil, false
	}
	name, _ := cutKey(path)
	return append([]string{name}, pathPart.FindAllString(path[len(name):], -1)...), true
}

// follow goes on from a value.
func follow(v any, parts []string) string {
	if len(parts) == 0 {
		return scalarText(v)
	}
	p := parts[0]
	list, _ := v.([]any)
	switch {
	case p == "[*]" || p[0] == '.' && list != nil:
		if p == "[*]" {
			parts = parts[1:]
		}
		for _, e := range list {
			if s := follow(e, parts); s != "" {
				return s
			}
		}
		return ""
	case p[0] == '[':
		n, _ := strconv.Atoi(p[1 : len(p)-1])
		if n >= len(list) {
			return ""
		}
		return follow(list[n], parts[1:])
	}
	m, ok := v.(map[string]any)
	if !ok {
		return ""
	}
	return follow(m[p[1:]], parts[1:])
}

func scalarText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return map[bool]string{true: "true", false: "false"}[v]
	}
	return ""
}

// What an argument says is what any reader of JSON finds: keys with escapes are no way round a
// rule, and of two of one name the last counts, as it does for the tool.
func TestArguments(t *testing.T) {
	for _, c := range []struct{ raw, path, want string }{
		{`{"path": "/etc/passwd"}`, "path", "/etc/passwd"},
		{`{"p\u0061th": "/etc/passwd"}`, "path", "/etc/passwd"},
		{`{"path": "/tmp", "path": "/etc/passwd"}`, "path", "/etc/passwd"},
		{`{"path": {"to": 1}, "path": "x"}`, "path.to", ""},
		{`{"a": {"b": {"c": "\u00e9\n"}}}`, "a.b.c", "é\n"},
		{`{"a": [1, {"b": 2}], "b": -1.5e3}`, "b", "-1.5e3"},
		{`{"a": true, "b": null}`, "a", "true"},
		{`{"a": null}`, "a", ""},
		{`[{"a": 1}]`, "a", ""},
		{`{"items": [{"id": 7}, {"id": "8", "to": [1, {"x": "y"}]}]}`, "items[0].id", "7"},
		{`{"items": [{"id": 7}, {"id": "8", "to": [1, {"x": "y"}]}]}`, "items[1].id", "8"},
		{`{"items": [{"id": 7}, {"id": "8", "to": [1, {"x": "y"}]}]}`, "items[2].id", ""},
		{`{"items": [{"id": 7}, {"id": "8", "to": [1, {"x": "y"}]}]}`, "items[*].to[1].x", "y"},
		{`{"items": [{"id": 7}, {"id": "8", "to": [1, {"x": "y"}]}]}`, "items.to.x", "y"},
		{`{"items": [{"id": 7}, {"id": "8", "to": [1, {"x": "y"}]}]}`, "items[*].id", "7"},
		{`{"items": [ 1 , [ 2 , 3 ] , "]" , "x" ]}`, "items[1][1]", "3"},
		{`{"items": [ 1 , [ 2 , 3 ] , "]" , "x" ]}`, "items[3]", "x"},
		{`{"items": [ 1 , [ 2 , 3 ] , "]" , "x" ]}`, "items", ""},
		{`{"items": {"0": 1}}`, "items[0]", ""},
		{`{"items": []}`, "items[*]", ""},
		{`{"": {"": "x"}}`, ".", "x"},
	} {
		if got := argumentOf([]byte(c.raw), c.path); got != c.want || got != lookup([]byte(c.raw), c.path) {
			t.Errorf("%s of %s: %q, want %q (encoding/json: %q)", c.path, c.raw, got, c.want,
				lookup([]byte(c.raw), c.path))
		}
	}
}

func FuzzArguments(f *testing.F) {
	f.Add([]byte(`{"path": "/etc/passwd", "a": {"b": [1, 2, {"c": "x"}], "c": "\u0041"}, "n": 1.5}`), "a.c")
	f.Add([]byte(`{"p\u0061th": 1}`), "path")
	f.Add([]byte(`{"a": [{"b": [[1], 2]}, {"c": 3}]}`), "a[*].b[0][0]")
	f.Fuzz(func(t *testing.T, raw []byte, path string) {
		// The decoder lets nothing else through. Halves of surrogates readers of JSON take for
		// different things.
		if !json.Valid(raw) || !utf8.Valid(raw) || !utf8.ValidString(path) ||
			bytes.Contains(bytes.ToLower(raw), []byte(`\ud`)) {
			return
		}
		if got, want := argumentOf(raw, path), lookup(raw, path); got != want {
			t.Fatalf("%q of %s: %q, encoding/json finds %q", path, raw, got, want)
		}
	})
}

// The worst that passes lint runs over the worst that passes the decoder in memory that is bounded
// by the event: no expression grows what it is given.
func TestTheWorstExpressionsStayBounded(t *testing.T) {
	long := strings.Repeat("xa", 60_000)
	labels := make([]string, event.MaxLabels)
	for i := range labels {
		labels[i] = strings.Repeat("a", event.MaxString-1) + "b"
	}
	raw, err := json.Marshal(map[string]string{"q": long})
	if err != nil {
		t.Fatal(err)
	}
	c := refund()
	c.E.Args, c.E.Resource.Labels = raw, labels
	for _, src := range []string{
		`arg("q") matches "(x+x+)+y"`,
		`arg("q") matches "^(([a-z])+.)+[A-Z]([a-z])+$"`,
		`arg("q") matches "(.*)*(.*)*(.*)*z"`,
		`glob(arg("q"), "*a*a*a*a*a*a*a*a*a*b")`,
		`any(resource.labels, any(resource.labels, # endsWith "ab" and glob(#, "*a*a*a*a*c")))`,
		`distance(arg("q"), arg("q") + arg("q")) > 5`,
		`entropy(arg("q") + arg("q") + arg("q")) > 9`,
		strings.Repeat(`arg("q") contains "y" or `, 60) + `false`,
		`len(lower(upper(arg("q") + arg("q")))) == 3`,
	} {
		x, err := Compile(src, scope(), Bool)
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 3 {
			c.args = c.args[:0]
			if _, err := x.IsTrue(c); err != nil {
				t.Fatalf("%s: %v", src, err)
			}
		}
		runtime.ReadMemStats(&after)
		if grown := (after.TotalAlloc - before.TotalAlloc) / 3; grown > 16*uint64(len(raw)) {
			t.Errorf("%s: takes %d bytes for an event of %d", src, grown, len(raw))
		}
	}
}

func TestNumbersInTexts(t *testing.T) {
	for text, want := range map[string]float64{"12": 12, " 12.5 ": 12.5, "-3": -3, "+3": 3, "1e6": 1e6, "1E+2": 100,
		"1.00000000000000000000000000000000000000001": 1, "1e999": math.MaxFloat64, "-1e999": -math.MaxFloat64,
		"": 0, "x": 0, "0x10": 0, "NaN": 0, "inf": 0, "1_000": 0, "1.2.3": 0, "--1": 0, "e": 0} {
		if got := ParseNumber(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { ParseNumber("1234.5") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPathsOfArguments(t *testing.T) {
	for p, want := range map[string]string{
		"id": "", "order.items[0].id": "", "items[*].to[1]": "", "a[0][1]": "", "id_2-x": "", "größe": "",
		"items[9999]": "",
		"":            "empty name", ".a": "empty name", "a.": "empty name", "a..b": "empty name", "[0]": "empty name",
		"items[0": "not closed", "items0]": "not opened",
		"items[x].id": "in brackets", "items[].id": "in brackets", "items[-1]": "in brackets",
		"items[01]": "in brackets", "items[10000]": "in brackets",
		"items[0]id": "next dot", `a"b`: "quote", "a\x00b": "cannot be seen", strings.Repeat("a.", 40) + "a": "deeper",
	} {
		got := CheckPath(p, event.MaxDepth, maxIndex, maxPathKey)
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", p, got, want)
		}
		_, err := Compile(`user == "x" and arg("`+strings.NewReplacer(`"`, `\"`, "\x00", `\x00`).Replace(p)+`") == "y"`,
			scope(), Bool)
		var f *Fault
		if is := errors.As(err, &f); is != (want != "") || is && (f.Code != "R109" || f.Column != 21) {
			t.Errorf("%q: the rule says %v", p, err)
		}
	}
}

// Whoever sends the same again in another spelling sends the same.
func TestArgsDigestIsOfTheArguments(t *testing.T) {
	var c Context
	of := func(args, digest string) string {
		c = Context{E: &event.Event{Args: []byte(args), ArgsDigest: digest}, digest: c.digest[:0]}
		return strings.Clone(argsDigest(&c))
	}
	want := of(`{"a":1,"b":"x"}`, "")
	for _, args := range []string{`{"b":"x","a":1}`, ` { "a" : 1.0, "b" : "\u0078" } `, "{\"b\":\"x\",\n\"a\":1e0}"} {
		if got := of(args, "sha256:other"); got != want {
			t.Errorf("%s has %s, want %s", args, got, want)
		}
	}
	if got := of(`{"a":2,"b":"x"}`, want); got == want {
		t.Error("other arguments are believed to be what stands beside them")
	}
	if got := of("", "as sent"); got != "as sent" {
		t.Errorf("without arguments %q", got)
	}
	e := &event.Event{Args: []byte(`{"b":"x","a":[1,{"d":2,"c":3}]}`)}
	c = Context{E: e}
	argsDigest(&c)
	if n := testing.AllocsPerRun(50, func() { c.digest = c.digest[:0]; argsDigest(&c) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
