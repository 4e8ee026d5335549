package sinks

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wayward-sec/wayward/event"
)

func TestGoldenText(t *testing.T) {
	for name, colour := range map[string]bool{"terminal.txt": false, "terminal-colour.txt": true} {
		var out bytes.Buffer
		term := NewTerminal(&out, colour)
		for _, c := range cases {
			if err := term.Deliver(&c.f); err != nil {
				t.Fatal(err)
			}
		}
		if err := term.Close(); err != nil {
			t.Fatal(err)
		}
		golden(t, name, out.Bytes())
	}
}

func TestTextIsReadableAt100Columns(t *testing.T) {
	for _, c := range cases[:len(cases)-1] {
		for _, line := range strings.Split(string((&Text{}).Append(nil, &c.f)), "\n") {
			if n := utf8.RuneCountInString(line); n > textWidth {
				t.Errorf("%s: %d columns: %s", c.name, n, line)
			}
		}
	}
}

// ansi are the sequences that we send ourselves.
var ansi = regexp.MustCompile(`\x1b\[(0|1|2|31|33|36|1;97;41)?m`)

func TestNoEscapeSequenceGetsThrough(t *testing.T) {
	for _, bad := range []string{"\x1b[2J", "\x1b]0;title\x07", "\x1b]52;c;aGk=\x07", "\u009b2J", "\x9b2J", "\rfake",
		"\b\b\b", "\nfake line", "\u202egnp", "\u2028", "\U000e0041", "\x00", "\x7f"} {
		f := export
		f.Tags = nil
		for _, s := range texts(&f) {
			*s = "x" + bad + "y"
		}
		for _, activity := range []event.Activity{event.Create, event.Update} {
			f.Activity = activity
			var out bytes.Buffer
			if err := NewTerminal(&out, true).Deliver(&f); err != nil {
				t.Fatal(err)
			}
			left := strings.ReplaceAll(ansi.ReplaceAllString(out.String(), ""), "\n", "")
			if !utf8.ValidString(left) || strings.ContainsFunc(left, hidden) {
				t.Errorf("%q: %q", bad, left)
			}
			if strings.Contains(out.String(), "\nfake") {
				t.Errorf("%q begins a line of its own:\n%s", bad, out.String())
			}
		}
	}
}

func TestPutCutsAtColumns(t *testing.T) {
	for _, c := range []struct {
		in   string
		max  int
		want string
	}{
		{"abc", 3, "abc"},
		{"abcd", 3, "ab…"},
		{"äöüß", 3, "äö…"},
		{"\x1b", 1, "…"},
		{"a\x1bb", 4, "a…"},
		{"a\x1bb", 5, "a…"},
		{"a\x1bb", 6, `a\x1bb`},
		{"a\xffb", 6, `a\xffb`},
		{"\u202e", 6, `\u202e`},
		{"", 1, ""},
	} {
		p := page{b: []byte("before "), col: 7}
		p.put(c.in, c.max)
		if got := string(p.b[7:]); got != c.want || p.col != 7+utf8.RuneCountInString(got) {
			t.Errorf("put(%q, %d) = %q at column %d, want %q", c.in, c.max, got, p.col, c.want)
		}
	}
}

func TestStatusStaysBelowFindings(t *testing.T) {
	var out bytes.Buffer
	term := NewTerminal(&out, false)
	term.width = func() int { return 20 }
	term.Status("12 events\x1b[2J and much more than fits")
	term.Deliver(&export)
	term.Status("13 events")
	term.Close()
	lines := string((&Text{}).Append(nil, &export)) + "\n"
	first := `12 events\x1b[2J a…`
	want := clearLine + first + clearLine + lines + first + clearLine + "13 events" + clearLine
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestNoStatusAndNoColourUnlessOnATerminal(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if Colour(file) || Colour(&bytes.Buffer{}) {
		t.Error("a file wants colour")
	}
	term := NewTerminal(file, false)
	term.Status("12 events")
	if err := term.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := file.Stat(); err != nil || s.Size() > 0 {
		t.Errorf("a file got a status line: %v", err)
	}
}
