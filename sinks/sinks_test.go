package sinks

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

func TestFormats(t *testing.T) {
	for _, want := range Formats {
		f, err := FormatOf(want.Name)
		if err != nil || f.Help == "" || len(f.New(Settings{}).Append(nil, &export)) == 0 {
			t.Errorf("%s: %v", want.Name, err)
		}
	}
	if _, err := FormatOf("xml"); err == nil ||
		!strings.Contains(err.Error(), `"xml": unknown, use one of ocsf, text`) {
		t.Errorf("got %v", err)
	}
}

func TestJSONLWritesOneRecordPerLine(t *testing.T) {
	var out bytes.Buffer
	o := &OCSF{}
	j := NewJSONL(&out, o)
	for _, c := range cases {
		if err := j.Deliver(&c.f); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(out.Bytes(), []byte("\n")); got != len(cases) {
		t.Errorf("%d lines after Flush, want %d", got, len(cases))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for i, line := range bytes.SplitAfter(out.Bytes(), []byte("\n"))[:len(cases)] {
		if want := string(o.Append(nil, &cases[i].f)) + "\n"; string(line) != want {
			t.Errorf("%s: %s", cases[i].name, line)
		}
	}
}

// full takes so many bytes and no more.
type full int

var errFull = errors.New("disk full")

func (f *full) Write(b []byte) (int, error) {
	if len(b) > int(*f) {
		return 0, errFull
	}
	*f -= full(len(b))
	return len(b), nil
}

func TestErrorsNameWhatFailed(t *testing.T) {
	var none full
	j := NewJSONL(&none, &OCSF{})
	j.Deliver(&export)
	if err := j.Close(); !errors.Is(err, errFull) || !strings.Contains(err.Error(), "write findings") {
		t.Errorf("JSONL: %v", err)
	}
	s := NewSorted(&none, &OCSF{})
	if err := s.Deliver(&export); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); !errors.Is(err, errFull) || !strings.Contains(err.Error(), "write findings") {
		t.Errorf("Sorted: %v", err)
	}
	if err := NewTerminal(&none, false).Deliver(&export); !errors.Is(err, errFull) ||
		!strings.Contains(err.Error(), export.UID) {
		t.Errorf("Terminal: %v", err)
	}
	t.Setenv("TMPDIR", t.TempDir()+"/gone")
	if err := NewSorted(&none, &OCSF{}).Deliver(&export); !errors.Is(err, os.ErrNotExist) ||
		!strings.Contains(err.Error(), "sorting") {
		t.Errorf("Sorted without a place: %v", err)
	}
}

func TestSortedByTimeThenUIDThenArrival(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var out bytes.Buffer
	s := NewSorted(&out, &Text{})
	for _, f := range []event.Finding{
		{Time: 2000, UID: "a", Title: "four"}, {Time: 1000, UID: "b", Title: "two"},
		{Time: 1000, UID: "b", Title: "three"}, {Time: 3000, UID: "0", Title: "five"},
		{Time: 1000, UID: "a", Title: "one"},
	} {
		if err := s.Deliver(&f); err != nil {
			t.Fatal(err)
		}
	}
	if out.Len() > 0 {
		t.Errorf("written before Close: %s", out.String())
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	last := 0
	for _, title := range []string{"one", "two", "three", "four", "five"} {
		i := strings.Index(out.String(), title)
		if i < last || strings.Count(out.String(), title) != 1 {
			t.Errorf("%s is not in its place:\n%s", title, out.String())
		}
		last = i
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestSortedWithoutFindingsWritesNothing(t *testing.T) {
	var out bytes.Buffer
	if err := NewSorted(&out, &OCSF{}).Close(); err != nil || out.Len() > 0 {
		t.Errorf("%v %q", err, out.String())
	}
}
