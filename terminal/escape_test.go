package terminal

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"testing"
)

// hostile is a text that clears lines, sets titles, turns text around, and begins a line of its
// own.
const hostile = "x\x1b[2K\x1b]0;t\x07\u009b1m\x7f\b\r\nforged: ok\u202e\u2066\u2028y"

// Wherever writes are cut, the same comes out; what is plain comes out as it went in, and JSON says
// the same as before.
func TestWhatIsEscaped(t *testing.T) {
	through := func(s string, cut func() int) string {
		var b bytes.Buffer
		w := &Writer{w: &b}
		for s != "" {
			n := min(len(s), cut())
			if got, err := w.Write([]byte(s[:n])); got != n || err != nil {
				t.Fatalf("%d of %d, %v", got, n, err)
			}
			s = s[n:]
		}
		w.Close()
		return b.String()
	}
	whole := func() int { return 1 << 20 }
	for in, want := range map[string]string{
		"plain text\n\tof ours – ▶ 日本 😀\n": "plain text\n\tof ours – ▶ 日本 😀\n",
		"a\x1b[2Kb\rc\x00\x7f":             `a\u001b[2Kb\u000dc\u0000\u007f`,
		"\u009b \x9b \xff \u202e\u2066":    `\u009b \u009b \u00ff \u202e\u2066`,
		"half a character \xe2\x80":        `half a character \u00e2\u0080`,
		"\u2028\u2029\u200e\u061c":         `\u2028\u2029\u200e\u061c`,
	} {
		if got := through(in, whole); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		for seed := range uint64(50) {
			r := rand.New(rand.NewPCG(seed, 1))
			if got := through(in, func() int { return 1 + r.IntN(4) }); got != want {
				t.Errorf("%q in pieces: got %q, want %q", in, got, want)
			}
		}
	}
	record, _ := json.Marshal(hostile)
	var back string
	if err := json.Unmarshal([]byte(through(string(record), whole)), &back); err != nil || back != hostile {
		t.Errorf("%v: %q", err, back)
	}
	if _, err := (&Writer{w: failing{}}).Write([]byte("x")); err == nil {
		t.Error("an error of the file is lost")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, os.ErrClosed }
