package jsonscan

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

var texts = []string{
	`{"a":1,"b":[true,{"c":"d\"e"}],"a":"\u00e9\ud83d\ude80"}`, `[]`, `{}`, ` { "a" : [ 1 , -2.5e-3 , null ] } `,
	`"plain text of more than eight bytes"`, `"日本語\t\\"`, `-0`, `0.5`, `1e9`, `[[[[]]],{"x":{}}]`,
	`"\ud800"`, "\"\xff\"", "\"\n\"", `{"a":`, `[1,2`, `nullx`, `00`, `1.`, `1e`, `-`, `{'a':NaN}`, `]`, ``,
}

// right tells whether encoding/json takes it, and it holds nothing that readers read differently:
// half a pair of surrogates or bytes that are no UTF-8.
func right(p []byte) bool {
	return json.Valid(p) && utf8.Valid(p) && !bytes.Contains(bytes.ToLower(p), []byte(`\ud`))
}

func FuzzTokensAreThoseOfEncodingJSON(f *testing.F) {
	for _, s := range texts {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if got, ok := Unquote(nil, p); ok {
			var want string
			if err := json.Unmarshal(p, &want); err != nil || string(got) != want {
				t.Errorf("%q: got %q, want %q, %v", p, got, want, err)
			}
		} else if right(p) && p[0] == '"' && p[len(p)-1] == '"' {
			t.Errorf("%q is refused", p)
		}
		end, plain := Number(p, 0)
		if end > len(p) || end == len(p) && !json.Valid(p) {
			t.Fatalf("%q: a number up to %d", p, end)
		}
		if right(p) && len(p) > 0 && (p[0] == '-' || p[0]-'0' <= 9) {
			if number := bytes.TrimRight(p, " \t\r\n"); end != len(number) ||
				plain == bytes.ContainsAny(number, ".eE") {
				t.Errorf("%q: a number up to %d, plain %t", p, end, plain)
			}
		}
		if i := Space(p, 0); i < len(p) && bytes.IndexByte([]byte(" \t\r\n"), p[i]) >= 0 {
			t.Errorf("%q: white space goes on at %d", p, i)
		}
	})
}

func FuzzWalking(f *testing.F) {
	for _, s := range texts {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if p = bytes.TrimSpace(p); !right(p) {
			Member(p, "a") // and no panic
			Element(p, 1)
			return
		}
		if end := EndOfValue(p, 0); end != len(p) {
			t.Errorf("%q: ends at %d", p, end)
		}
		var brackets Brackets
		if end := brackets.EndOfValue(p, 0); end != len(p) {
			t.Errorf("%q: ends at %d by its brackets", p, end)
		}
		var object map[string]json.RawMessage
		if p[0] == '{' && json.Unmarshal(p, &object) == nil {
			for key, want := range object {
				if got := Member(p, key); !bytes.Equal(got, want) {
					t.Errorf("%q: %q is %q, want %q", p, key, got, want)
				}
			}
		}
		var list []json.RawMessage
		if p[0] == '[' && json.Unmarshal(p, &list) == nil {
			i := 1
			for n, want := range list {
				var got []byte
				if got, i = Element(p, i); !bytes.Equal(got, want) {
					t.Errorf("%q: element %d is %q, want %q", p, n, got, want)
				}
			}
			if got, _ := Element(p, i); got != nil {
				t.Errorf("%q: %q behind the last element", p, got)
			}
		}
	})
}

func FuzzWhatIsRewrittenIsJSON(f *testing.F) {
	for _, s := range texts {
		f.Add([]byte(s))
	}
	f.Add([]byte(strings.Repeat("[", 40) + strings.Repeat("]", 40)))
	f.Fuzz(func(t *testing.T, p []byte) {
		var brackets Brackets
		if brackets.EndOfValue(p, 0) != len(p) {
			return
		}
		out := Rewrite(nil, p, 8)
		if !json.Valid(out) || !utf8.Valid(out) {
			t.Fatalf("%q became %q", p, out)
		}
		var was, is any
		if !right(p) || json.Unmarshal(p, &was) != nil || json.Unmarshal(out, &is) != nil || deep(was) > 8 {
			return
		}
		a, _ := json.Marshal(was)
		if b, _ := json.Marshal(is); !bytes.Equal(a, b) {
			t.Errorf("%q became %q", p, out)
		}
	})
}

// deep is how many containers lie inside each other.
func deep(v any) (n int) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			n = max(n, deep(e))
		}
	case map[string]any:
		for _, e := range v {
			n = max(n, deep(e))
		}
	default:
		return 0
	}
	return n + 1
}
