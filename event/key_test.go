package event

import "testing"

func TestAppendKeyKeepsPartsApart(t *testing.T) {
	for _, c := range [][3]string{
		{"acme", "agt-7731", "acme|agt-7731"}, {"a|b", "c", "a%7Cb|c"}, {"a", "b|c", "a|b%7Cc"},
		{"a%7Cb", "c", "a%257Cb|c"}, {"", "", "|"}, {"a", "ü/ ", "a|ü/ "},
	} {
		if got := string(AppendKey([]byte(">"), c[0], c[1])); got != ">"+c[2] {
			t.Errorf("%q %q: got %q, want %q", c[0], c[1], got, c[2])
		}
	}
}
