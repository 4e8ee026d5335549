package glob

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		claim, pattern, text string
		want                 bool
	}{
		{"a plain name is itself", "get_order", "get_order", true},
		{"and nothing longer", "get_order", "get_orders", false},
		{"and has its case", "get_order", "Get_order", false},
		{"a star may be empty", "get_*", "get_", true},
		{"a star takes dots and slashes too", "*.read*", "crm/v2.orders.read_all", true},
		{"prefix and suffix may not overlap", "ab*ba", "aba", false},
		{"prefix and suffix may touch", "ab*ba", "abba", true},
		{"what is inside comes in order", "*a*b*", "ba", false},
		{"a star is not greedy beyond its end", "*ab", "abab", true},
		{"a question mark is one character", "a?c", "abc", true},
		{"not none", "a?c", "ac", false},
		{"and a character may be several bytes", "a?c", "aéc", true},
		{"also at the end", "*?é", "xüé", true},
		{"two need two", "??", "é", false},
		{"question marks between stars", "*a?c*", "xabxaxcx", true},
		{"the star alone matches nothing at all", "*", "", true},
		{"many stars are one", "a***b", "ab", true},
		{"brackets are themselves", "[ab]", "a", false},
		{"a byte that is no character counts as one", "a?b", "a\xffb", true},
	} {
		g := Compile(c.pattern)
		if got := g.Match(c.text); got != c.want {
			t.Errorf("%s: %q on %q: got %t", c.claim, c.pattern, c.text, got)
		}
		if got := Match(c.text, c.pattern); got != c.want {
			t.Errorf("%s: %q on %q, not compiled: got %t", c.claim, c.pattern, c.text, got)
		}
	}
}

func TestMatchIsLinearOnHostileText(t *testing.T) {
	text := strings.Repeat("a", 1<<20)
	start := time.Now()
	for _, p := range []string{"*a*a*a*b", strings.Repeat("*a", 100) + "*b", strings.Repeat("*?a", 80) + "*b",
		"*" + strings.Repeat("a?", 100) + "b*"} {
		g := Compile(p)
		if g.Match(text) {
			t.Errorf("%q matches", p)
		}
	}
	// Exponential or even quadratic matching would take minutes.
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

func FuzzMatch(f *testing.F) {
	for _, s := range [][2]string{{"a*b", "axb"}, {"*a*a*a*b", "aaaaab"}, {"?é*", "xéy"}, {"*?*", ""},
		{"a?*?b", "a\xe2\x82b"}, {"*€?", "\xe2€\xac"}, {"*??.d", "€.d"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if !utf8.ValidString(pattern) || len(pattern) > 64 || len(text) > 128 {
			t.Skip()
		}
		g := Compile(pattern)
		if got, want := g.Match(text), naive(characters(pattern), characters(text), map[[2]int]bool{}); got != want {
			t.Errorf("%q on %q: got %t, want %t", pattern, text, got, want)
		} else if got := Match(text, pattern); got != want {
			t.Errorf("%q on %q, not compiled: got %t, want %t", pattern, text, got, want)
		}
	})
}

// naive is what a glob means, one character at a time; it remembers what failed so that the fuzzer
// does not wait.
func naive(pattern, text []string, failed map[[2]int]bool) bool {
	at := [2]int{len(pattern), len(text)}
	switch {
	case failed[at]:
		return false
	case len(pattern) == 0:
		return len(text) == 0
	case pattern[0] == "*" && (naive(pattern[1:], text, failed) || len(text) > 0 && naive(pattern, text[1:], failed)):
		return true
	case pattern[0] != "*" && len(text) > 0 && (pattern[0] == "?" || pattern[0] == text[0]) &&
		naive(pattern[1:], text[1:], failed):
		return true
	}
	failed[at] = true
	return false
}

func characters(s string) []string {
	var cs []string
	for s != "" {
		_, n := utf8.DecodeRuneInString(s)
		cs, s = append(cs, s[:n]), s[n:]
	}
	return cs
}

func TestListsPreferPlainNamesThenTheOrderOfTheList(t *testing.T) {
	g := NewList([]string{"get_*", "*", "get_order"}, false)
	for text, want := range map[string]int{"get_order": 2, "get_x": 0, "x": 1} {
		if got := g.Find(text); got != want {
			t.Errorf("%s: entry %d, want %d", text, got, want)
		}
	}
	if NewList(nil, false).Find("x") != -1 {
		t.Error("an empty list holds something")
	}
}
