package pipeline

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/sinks"
)

// replayed is what a replay of a file said.
type replayed struct {
	findings string
	bad      []string
	sum      Summary
	err      error
}

func replayFile(t testing.TB, name string, set *policy.Set, workers, buffer int, flush bool) (out replayed) {
	t.Helper()
	src, err := history.OpenLines(name)
	if err != nil {
		return replayed{err: err}
	}
	defer src.Close()
	if buffer > 0 {
		src.Buffer = buffer
	}
	var b []byte
	enc := &sinks.OCSF{}
	r := Replay{Policy: set, Workers: workers, Flush: flush,
		Deliver: func(f *event.Finding) error { b = append(enc.Append(b, f), '\n'); return nil },
		Bad: func(at int64, reason string, err error) {
			out.bad = append(out.bad, fmt.Sprintf("%d %s", at, reason))
		}}
	out.sum, out.err = r.Run(t.Context(), src)
	out.findings = string(b)
	return out
}

func TestNeitherWorkersNorChunksShowInAReplay(t *testing.T) {
	set := setOf(t, strict)
	for name, behind := range map[string]int{"disorder within L": 8000, "disorder beyond L": 60_000} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "events.jsonl", file(17, 6000, behind, 8))
			for _, flush := range []bool{false, true} {
				var want replayed
				for i, c := range []struct{ workers, buffer int }{{1, 0}, {2, 0}, {8, 0}, {1, 300}, {2, 5000},
					{8, 40_000}, {2, 700_000}} {
					got := replayFile(t, path, set, c.workers, c.buffer, flush)
					if got.err != nil {
						t.Fatal(got.err)
					}
					if i == 0 {
						want = got
						if got.sum.Findings < 200 || got.sum.Repeated == 0 || got.sum.Verdicts == 0 {
							t.Fatalf("%+v: the test proves nothing", got.sum)
						}
						continue
					}
					if got.findings != want.findings {
						a, b := strings.Split(want.findings, "\n"), strings.Split(got.findings, "\n")
						n := 0
						for n < min(len(a), len(b)) && a[n] == b[n] {
							n++
						}
						t.Errorf(
							"flush %v, %d workers, chunks of %d: finding %d of %d (%d) is another:\n%.600s\n%.600s",
							flush, c.workers, c.buffer, n, len(a), len(b), a[n], b[n])
					}
					if diff := gocmp.Diff(want.sum, got.sum); diff != "" {
						t.Errorf("flush %v, %d workers, chunks of %d (-want +got):\n%s", flush, c.workers, c.buffer,
							diff)
					}
				}
			}
		})
	}
}

func TestAnEventFromTheFutureDoesNotMakeAllOthersLate(t *testing.T) {
	set := setOf(t, strict)
	plain := file(5, 2000, 5000, 20)
	var want replayed
	for i, where := range []string{"nowhere", "first", "in the middle"} {
		t.Run(where, func(t *testing.T) {
			future := []byte(
				`{"id":"future","time":"2099-01-01T00:00:00Z","kind":"message","tenant":"acme","agent":{"id":"wrong-clock"}}` +
					"\n")
			b := plain
			switch where {
			case "first":
				b = slices.Concat(future, plain)
			case "in the middle":
				cut := bytes.LastIndexByte(plain[:len(plain)/2], '\n') + 1
				b = slices.Concat(plain[:cut], future, plain[cut:])
			}
			got := replayFile(t, write(t, "events.jsonl", b), set, 2, 0, false)
			if got.err != nil {
				t.Fatal(got.err)
			}
			if i == 0 {
				want = got
				return
			}
			if got.sum.Future != 1 || got.sum.Watermark != want.sum.Watermark || got.findings != want.findings {
				t.Errorf("future %d, watermark %d; without the event it is %d; %d findings, want %d", got.sum.Future,
					got.sum.Watermark, want.sum.Watermark, got.sum.Findings, want.sum.Findings)
			}
		})
	}
}

func TestAReplaySaysWhichLineIsBad(t *testing.T) {
	good := func(i int) string {
		return fmt.Sprintf(
			`{"id":"e%d","time":%d,"kind":"tool_call","tenant":"acme","agent":{"id":"a"},"tool":{"name":"x"}}`, i,
			day0+i*1000)
	}
	long := `{"id":"` + strings.Repeat("x", 3<<20) + `"}`
	for name, c := range map[string]struct {
		input  string
		events int64
		bad    []string
	}{
		"nothing":                          {"", 0, nil},
		"empty lines are not records":      {"\n\n" + good(1) + "\n\n{\n" + good(2) + "\n", 2, []string{"5 not_json"}},
		"an unterminated last line counts": {good(1) + "\n" + good(2), 2, nil},
		"and is numbered":                  {good(1) + "\n{", 1, []string{"2 not_json"}},
		"lines end with CRLF, too":         {good(1) + "\r\n\r\n" + good(2) + "\r\nx\r\n", 2, []string{"4 not_json"}},
		"a line of 3 MB is one bad record": {good(1) + "\n" + long + "\n" + good(2) + "\nx\n" + good(3) + "\n", 3,
			[]string{"2 too_large", "4 not_json"}},
		"two of them are two": {long + "\n" + long + "\n" + good(1) + "\nx", 1,
			[]string{"1 too_large", "2 too_large", "4 not_json"}},
		"also at the end": {good(1) + "\n" + long, 1, []string{"2 too_large"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "events", []byte(c.input))
			for _, buffer := range []int{0, 100_000, 1 << 20, event.MaxSize + 1} {
				got := replayFile(t, path, none, 2, buffer, false)
				if got.err != nil || got.sum.Events != c.events {
					t.Errorf("chunks of %d: %d events, want %d; %v", buffer, got.sum.Events, c.events, got.err)
				}
				if diff := gocmp.Diff(c.bad, got.bad); diff != "" {
					t.Errorf("chunks of %d (-want +got):\n%s", buffer, diff)
				}
			}
		})
	}
}

func TestCompressedInputIsReadToItsEndOrIsAnError(t *testing.T) {
	plain := file(23, 3000, 5000, 20)
	set := setOf(t, strict)
	want := replayFile(t, write(t, "events.jsonl", plain), set, 2, 0, false)
	pack := func(open func(io.Writer) io.WriteCloser, parts ...[]byte) []byte {
		var b bytes.Buffer
		for _, p := range parts {
			w := open(&b)
			if _, err := w.Write(p); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		return b.Bytes()
	}
	for name, open := range map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"zstd": func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z },
		"xz":   func(w io.Writer) io.WriteCloser { z, _ := xz.NewWriter(w); return z },
	} {
		t.Run(name, func(t *testing.T) {
			whole := pack(open, plain)
			if got := replayFile(t, write(t, "events", whole), set, 2, 0, false); got.err != nil ||
				got.findings != want.findings {
				t.Errorf("%d events, %v", got.sum.Events, got.err)
			}
			half := len(plain) / 3
			if got := replayFile(t, write(t, "events", pack(open, plain[:half], plain[half:])), set, 2, 0,
				false); got.err != nil || got.findings != want.findings {
				t.Errorf("in two pieces, one after the other: %d events, %v", got.sum.Events, got.err)
			}
			for _, cut := range []int{len(whole) - 3, len(whole) / 2, 20, 7} {
				got := replayFile(t, write(t, "events", whole[:cut]), set, 2, 0, false)
				if got.err == nil {
					t.Errorf("%d of %d bytes are taken for the whole", cut, len(whole))
				} else if !strings.Contains(got.err.Error(), "input:") {
					t.Errorf("%v does not say what is wrong", got.err)
				}
			}
		})
	}
}

func TestAReplayStopsWithItsContextOrItsDelivery(t *testing.T) {
	path := write(t, "events.jsonl", file(1, 5000, 0, 10))
	src, err := history.OpenLines(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	src.Buffer = 1000
	ctx, cancel := context.WithCancel(t.Context())
	r := Replay{Policy: setOf(t, strict), Workers: 2, Deliver: func(*event.Finding) error { cancel(); return nil }}
	if _, err := r.Run(ctx, src); err == nil || ctx.Err() == nil {
		t.Errorf("got %v", err)
	}
	src2, err := history.OpenLines(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src2.Close()
	r.Deliver = func(*event.Finding) error { return io.ErrClosedPipe }
	if _, err := r.Run(t.Context(), src2); err != io.ErrClosedPipe {
		t.Errorf("got %v, want what Deliver said", err)
	}
}

// What a file says of time is measured by the file: when it is replayed does not show.
func TestTheClockOfAFileIsItsOwn(t *testing.T) {
	set := setOf(t, strict)
	shifted := func(by time.Duration) replayed {
		g := stream(5, 5000, 20)
		g.now = day0 + by.Milliseconds()
		r := replayFile(t, write(t, "events.jsonl", fileOf(g, 1000)), set, 2, 0, true)
		if r.err != nil {
			t.Fatal(r.err)
		}
		return r
	}
	const year = 365 * 24 * time.Hour
	want := shifted(0)
	for _, by := range []time.Duration{-50 * year, 20 * year, 200 * year} {
		got := shifted(by)
		if got.sum.Findings != want.sum.Findings || got.sum.Updates != want.sum.Updates || got.sum.Future != 0 ||
			got.sum.First-want.sum.First != by.Milliseconds() || got.sum.Last-want.sum.Last != by.Milliseconds() {
			t.Errorf("%v later: %+v, want %+v", by, got.sum, want.sum)
		}
	}
}
