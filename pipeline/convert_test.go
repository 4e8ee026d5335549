package pipeline

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/formats"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/policy"
)

// A format that a test adds is read by a replay like any other: many events of a line, or none, and
// what is bad is told by its line and hides nothing beside it.
func TestAReplayReadsAnAddedFormat(t *testing.T) {
	addFormat(t, formats.Kind{Name: "pairs", About: "for a test", New: func() formats.Format { return pairs{} }})
	path := write(t, "pairs.txt", []byte("acme a: read write read\n\nacme b:\nnonsense\nacme c: read ? delete\n"))
	src, err := history.OpenLines(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var bad []int64
	r := Replay{Policy: policy.Default(), Workers: 2, Flush: true, Deliver: func(*event.Finding) error { return nil },
		Bad: func(at int64, reason string, err error) { bad = append(bad, at) }}
	sum, err := r.Run(t.Context(), history.Converted(src, formats.New("pairs")))
	if err != nil {
		t.Fatal(err)
	}
	if sum.Events != 5 || sum.Dead["not_json"] != 2 || !slices.Equal(bad, []int64{4, 5}) {
		t.Errorf("%d events, dead %v, bad lines %v; want 5, 2 and lines 4 and 5", sum.Events, sum.Dead, bad)
	}
}

// What comes out of a conversion is judged as if it had been written natively.
func TestConvertedEventsAreJudgedAsNativeOnes(t *testing.T) {
	var lines, native [][]byte
	for i := range 60 {
		lines = append(lines, fmt.Appendf(nil, "acme a%d: %s", i%3, strings.Repeat("export ", 40)))
	}
	for _, l := range lines {
		pairs{}.Convert(nil, l, func(e formats.Event) { native = append(native, bytes.Clone(e.Value)) })
	}
	run := func(lines [][]byte, f formats.Format) (findings []string) {
		src, err := history.OpenLines(write(t, "in.jsonl", bytes.Join(lines, []byte("\n"))))
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		r := Replay{Policy: policy.Default(), Workers: 1, Flush: true, Deliver: func(f *event.Finding) error {
			findings = append(findings, f.UID+f.Why)
			return nil
		}}
		if _, err := r.Run(t.Context(), history.Converted(src, f)); err != nil {
			t.Fatal(err)
		}
		return findings
	}
	want, got := run(native, formats.NewNative()), run(lines, pairs{})
	if slices.Sort(want); len(want) == 0 {
		t.Fatal("no findings: the stream is too tame")
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("findings of converted events %v, of native ones %v", got, want)
	}
}
