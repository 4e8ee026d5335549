package event

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func canonicalOf(t *testing.T, s string) string {
	t.Helper()
	var c Canonical
	b, ok := c.Form([]byte(s))
	if !ok {
		return "none"
	}
	return string(b)
}

func TestCanonicalForm(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)
	for claim, c := range map[string][2]string{
		"keys stand in order": {`{"to":"DE1","amount":100}`, `{"amount":100,"to":"DE1"}`},
		"at every level, lists as they are": {`{"b":[{"y":1,"x":2},3,1],"a":{}}`,
			`{"a":{},"b":[{"x":2,"y":1},3,1]}`},
		"white space goes": {
			" {\n\t\"a\" : [ 1 , true ,\r null , false ] , \"b\" : [ ] , \"c\" : { } } ",
			`{"a":[1,true,null,false],"b":[],"c":{}}`},
		"the order is that of UTF-16 (RFC 8785 §3.2.3)": {
			`{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}`,
			"{\"\\r\":2,\"1\":4,\"\u0080\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\ufb33\":3}"},
		"a prefix comes first":                 {`{"ab":1,"a":2,"":3}`, `{"":3,"a":2,"ab":1}`},
		"an escape in a name is its character": {`{"b":1,"\u0061":2}`, `{"a":2,"b":1}`},
		"one character has one spelling": {
			`["\u0041\/\u00e9\u001F\u0008\u000a\t\"\\\u0022\u005c\u007f"]`,
			`["A/é\u001f\b\n\t\"\\\"\\` + "\x7f" + `"]`},
		// its first says more than a double holds
		"the numbers of RFC 8785 §3.2.4": {
			`[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001]`, `none`},
		"the others of them": {`[1E30,4.50,2e-3,0.000000000000000000000000001]`,
			`[1e+30,4.5,0.002,1e-27]`},
		"zero is zero": {`[-0,0.0,-0.0e5,0e99999]`, `[0,0,0,0]`},
		"where exponents begin": {`[1e20,1e21,0.000001,0.0000001,-1e-7,123456789012345680000]`,
			`[100000000000000000000,1e+21,0.000001,1e-7,-1e-7,123456789012345680000]`},
		"one number, many spellings": {`[100,100.0,1e2,1.00E+2,1000e-1]`, `[100,100,100,100,100]`},
		"seventeen digits that a double has": {`[0.30000000000000004,9007199254740994]`,
			`[0.30000000000000004,9007199254740994]`},
		"an account number beyond 2^53 would be another": {`{"to":9007199254740993}`, `none`},
		"whatever its spelling":                          {`{"to":9007199254740993.0}`, `none`},
		"or with an exponent":                            {`{"to":900719925474099.3e1}`, `none`},
		"too large for a double":                         {`[1e400]`, `none`},
		"too small":                                      {`[1e-400]`, `none`},
		"a name twice":                                   {`{"a":1,"b":2,"a":1}`, `none`},
		"a name twice in two spellings":                  {`{"a":1,"\u0061":2}`, `none`},
		"half a surrogate stays an escape": {`["\uD83d","\udE00x","\ud83d\ud83d\ude00"]`,
			`["\ud83d","\ude00x","\ud83d😀"]`},
		"bytes that are no UTF-8 stay":   {"[\"\xff\xfe\"]", "[\"\xff\xfe\"]"},
		"so deep and no deeper":          {deep, `none`},
		"no JSON":                        {`{"a":1,}`, `none`},
		"nor is this":                    {`{"a" 1}`, `none`},
		"nor something behind it":        {`{} {}`, `none`},
		"nor a number of another kind":   {`[01]`, `none`},
		"nor a string that does not end": {`["a\`, `none`},
		"nor nothing":                    {``, `none`},
	} {
		if got := canonicalOf(t, c[0]); got != c[1] {
			t.Errorf("%s: %s gives %q, want %q", claim, c[0], got, c[1])
		}
	}
}

// The doubles of RFC 8785 appendix B.
func TestCanonicalNumbers(t *testing.T) {
	for bits, want := range map[uint64]string{
		0: "0", 0x8000000000000000: "0", 1: "5e-324", 0x8000000000000001: "-5e-324",
		0x7fefffffffffffff: "1.7976931348623157e+308",
		0x4340000000000000: "9007199254740992", 0xc340000000000000: "-9007199254740992",
		0x4430000000000000: "295147905179352830000",
		0x44b52d02c7e14af5: "9.999999999999997e+22", 0x44b52d02c7e14af6: "1e+23",
		0x44b52d02c7e14af7: "1.0000000000000001e+23",
		0x444b1ae4d6e2ef4e: "999999999999999700000", 0x444b1ae4d6e2ef4f: "999999999999999900000",
		0x444b1ae4d6e2ef50: "1e+21",
		0x3eb0c6f7a0b5ed8c: "9.999999999999997e-7", 0x3eb0c6f7a0b5ed8d: "0.000001",
		0x41b3de4355555553: "333333333.3333332",
		0x41b3de4355555557: "333333333.33333343", 0xbecbf647612f3696: "-0.0000033333333333333333",
		0x43143ff3c1cb0959: "1424953923781206.2",
	} {
		if got := canonicalOf(t, strconv.FormatFloat(math.Float64frombits(bits), 'g', -1, 64)); got != want {
			t.Errorf("%x gives %s, want %s", bits, got, want)
		}
	}
}

func TestCanonicalAllocatesNothing(t *testing.T) {
	var c Canonical
	p := []byte(`{"to":"DE1","amount":100.50,"items":[{"z":1,"a":"x\n"},{"k":[1,2,3]}],"note":"a\u00e9"}`)
	c.Form(p)
	if n := testing.AllocsPerRun(100, func() { c.Form(p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What the form is of, it says; and it is its own form.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{`{"b":[1.50,"\u0041"],"a":{"\ud83d\ude00":null}}`, `{"a":"\ud800"}`, `[1e21,1e-7,0.1]`,
		"[\"\xff\"]", `{"a\u0000":1,"a":2}`, `{"\"":1,"\\":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var c Canonical
		b, ok := c.Form(p)
		if !ok {
			return
		}
		b = bytes.Clone(b)
		var x, y any
		if json.Unmarshal(p, &x) != nil || json.Unmarshal(b, &y) != nil {
			t.Fatalf("%q or its form %q is no JSON", p, b)
		}
		if !reflect.DeepEqual(x, y) {
			t.Fatalf("%q says %v, its form %q says %v", p, x, b, y)
		}
		if again, ok := c.Form(b); !ok || !bytes.Equal(again, b) {
			t.Fatalf("the form of %q is %q, %v", b, again, ok)
		}
	})
}

func BenchmarkCanonical(b *testing.B) {
	var c Canonical
	p := []byte(
		`{"to":"DE89370400440532013000","amount":{"value":100.50,"currency":"EUR"},"items":[{"z":1,"a":"x"},{"k":[1,2,3]}],"note":"invoice 17"}`)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		c.Form(p)
	}
}
