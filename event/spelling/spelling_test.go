package spelling

import (
	"strings"
	"testing"
	"testing/quick"
)

func TestNearest(t *testing.T) {
	words := []string{"agents", "tools", "limits", "severity"}
	for _, c := range []struct{ claim, word, want string }{
		{"a letter too many", "agentss", "agents"},
		{"two swapped letters are one edit", "tolos", "tools"},
		{"its case does not matter", "LIMITS", "limits"},
		{"a third of a word may differ, and one edit more", "severty", "severity"},
		{"something else is nothing", "banana", ""},
		{"nor is a text that goes on and on", strings.Repeat("agents", 30), ""},
	} {
		if got := Nearest(c.word, words); got != c.want {
			t.Errorf("%s: %q gives %q, want %q", c.claim, c.word, got, c.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"kitten", "sitting", 3}, {"", "abc", 3}, {"abc", "", 3}, {"ab", "ba", 2}, {"same", "same", 0},
		{strings.Repeat("x", 100), strings.Repeat("y", 100), MaxCompared},
		{strings.Repeat("x", MaxCompared) + "a", strings.Repeat("x", MaxCompared) + "b", 0},
	} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestDistanceDoesNotAllocate(t *testing.T) {
	a, b := strings.Repeat("ab", 40), strings.Repeat("ba", 40)
	if n := testing.AllocsPerRun(100, func() { Distance(a, b) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestEditsAreWhatTheRecursionSays(t *testing.T) {
	// Texts of three letters, so that they have much in common.
	text := func(n uint32) string {
		b := []byte{}
		for ; n > 0 && len(b) < 6; n /= 4 {
			if c := n % 4; c < 3 {
				b = append(b, 'a'+byte(c))
			}
		}
		return string(b)
	}
	holds := func(m, n uint32) bool {
		a, b := text(m), text(n)
		return edits(a, b, false) == recursion(a, b, false) && edits(a, b, true) == recursion(a, b, true) &&
			edits(a, b, true) == edits(b, a, true)
	}
	if err := quick.Check(holds, nil); err != nil {
		t.Error(err)
	}
}

func recursion(a, b string, swaps bool) int {
	if a == "" || b == "" {
		return len(a) + len(b)
	}
	d := 1
	if a[len(a)-1] == b[len(b)-1] {
		d = 0
	}
	x, y := a[:len(a)-1], b[:len(b)-1]
	d = min(d+recursion(x, y, swaps), 1+recursion(x, b, swaps), 1+recursion(a, y, swaps))
	if swaps && x != "" && y != "" && a[len(a)-1] == y[len(y)-1] && x[len(x)-1] == b[len(b)-1] {
		d = min(d, 1+recursion(x[:len(x)-1], y[:len(y)-1], swaps))
	}
	return d
}
