package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/formats"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/policy"
)

// pairs is a format of this test: a line is "tenant agent: tool tool …", an event for each tool.
type pairs struct{}

func (pairs) Convert(_, value []byte, emit func(formats.Event)) error {
	who, tools, ok := strings.Cut(string(value), ":")
	tenant, agent, named := strings.Cut(who, " ")
	if !ok || !named {
		return &event.DecodeError{Reason: "not_json", Want: "tenant agent: tools"}
	}
	var err error
	for i, tool := range strings.Fields(tools) {
		if tool == "?" {
			err = &event.DecodeError{Reason: "not_json", Want: "a tool"}
			continue
		}
		b, _ := json.Marshal(map[string]any{"id": fmt.Sprint(tool, i), "time": 1767600000000 + 1000*i,
			"kind": "tool_call", "session": "s", "user": "u",
			"tenant": tenant, "agent": map[string]string{"id": agent}, "tool": map[string]string{"name": tool}})
		emit(formats.Event{Tenant: tenant, Agent: agent, Value: b})
	}
	return err
}

func (pairs) Salvage(_, value []byte) (event.Named, bool) {
	who, _, _ := strings.Cut(string(value), ":")
	tenant, agent, ok := strings.Cut(who, " ")
	return event.Named{Tenant: tenant, Agent: agent, ID: who}, ok
}

// addFormat adds a format for the length of a test: one line, as in formats.All.
func addFormat(t *testing.T, k formats.Kind) {
	all := formats.All
	formats.All = append(slices.Clone(all), k)
	t.Cleanup(func() { formats.All = all })
}

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
