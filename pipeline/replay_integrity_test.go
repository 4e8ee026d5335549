package pipeline

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/history"
)

// integrityFindings is what was found by the integrity detector, one line each.
func integrityFindings(findings []*event.Finding) (out []string) {
	for _, f := range findings {
		if f.Detector == "integrity" {
			out = append(out, fmt.Sprintf("%s|%s %s %d %v: %s", f.Tenant, f.Agent, f.Rule, f.Count, f.Activity, f.Why))
		}
	}
	return out
}

// A replay counts them as the engine does, and neither workers nor chunks show.
func TestAReplayCountsWhatDidNotDecodeAgainstItsAgent(t *testing.T) {
	var file bytes.Buffer
	for i := range int64(400) {
		at := day0 + i*2000
		fmt.Fprintf(&file,
			`{"id":"g%d","time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":"agent-%d"},"tool":{"name":"search"},"result":{"content":"x%s"}}`+
				"\n", i, at, i%5, []string{"", `\ud800`}[i%5/4])
		if i%3 == 0 {
			fmt.Fprintf(&file,
				`{"time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":"agent-%d"},"tool":{"name":"rm"},"policy":{"verdict":"perhaps"}}`+
					"\n", at, i%2)
		}
		if i%7 == 0 {
			file.WriteString("nothing\n")
		}
	}
	path := write(t, "events.jsonl", file.Bytes())
	var want []string
	for i, x := range []struct{ workers, buffer int }{{1, 0}, {4, 0}, {1, 700}, {4, 5000}} {
		src, err := history.OpenLines(path)
		if err != nil {
			t.Fatal(err)
		}
		if x.buffer > 0 {
			src.Buffer = x.buffer
		}
		var all []*event.Finding
		r := Replay{Policy: none, Workers: x.workers, Flush: true,
			Deliver: func(f *event.Finding) error { all = append(all, f); return nil }}
		sum, err := r.Run(t.Context(), src)
		if src.Close(); err != nil {
			t.Fatal(err)
		}
		if sum.Events != 400 || sum.Dead["unknown_word"] != 134 || sum.Dead["not_json"] != 58 {
			t.Fatalf("%+v", sum)
		}
		got := integrityFindings(all)
		if i == 0 {
			want = got
			text := strings.Join(got, "\n")
			for _, s := range []string{"t1|agent-0 dead-letters 3", "t1|agent-1 dead-letters 48",
				"t1|agent-4 content 3"} {
				if !strings.Contains(text, s) {
					t.Errorf("no %q in\n%s", s, text)
				}
			}
			if strings.Contains(text, "agent-2") || len(got) > 20 {
				t.Errorf("%d findings and updates:\n%s", len(got), text)
			}
			continue
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%d workers, chunks of %d:\n%s", x.workers, x.buffer, diff)
		}
	}
}
