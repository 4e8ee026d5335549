package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/history"
)

// Snapshots: when days close, what they hold, and who is judged by them.

// learning is what a replay did with baselines, one line each.
func learning(t testing.TB, r Replay, path string, buffer int) (closed, last []string, models []*baselines.Model) {
	t.Helper()
	src, err := history.OpenLines(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if buffer > 0 {
		src.Buffer = buffer
	}
	if r.Policy == nil {
		r.Policy = none
	}
	if r.Deliver == nil {
		r.Deliver = func(*event.Finding) error { return nil }
	}
	r.Closed = func(m *baselines.Model, d *baselines.Delta) {
		closed = append(closed, fmt.Sprintf("%d %s/%s/%s %s %d events %d sessions %d agents %s %x",
			m.Day-midnight/baselines.DayMS, m.Tenant, m.Persona, m.Fork, m.State, d.Events, d.Sessions, d.AgentDays,
			m.Hash(), d.Append(nil)))
	}
	if _, err := r.Run(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	for _, m := range r.Snapshots {
		last = append(last, fmt.Sprintf("%s %s/%s/%s %s", m.Snapshot(), m.Tenant, m.Persona, m.Fork, m.State))
	}
	return closed, last, r.Snapshots
}

func TestNeitherWorkersNorChunksShowInSnapshots(t *testing.T) {
	path := write(t, "events.jsonl", work(1, 9))
	_, _, learned := learning(t, Replay{Approved: true}, path, 0)
	for name, r := range map[string]Replay{"learning": {}, "of what is approved": {Approved: true},
		"on what was learned": {Learn: learned}, "on what is frozen": {Learn: learned, Freeze: true}} {
		t.Run(name, func(t *testing.T) {
			var want, last []string
			for i, x := range []struct{ workers, buffer int }{{1, 0}, {8, 0}, {1, 500}, {2, 5000}, {8, 40_000}} {
				r.Workers = x.workers
				got, end, _ := learning(t, r, path, x.buffer)
				if i == 0 {
					if want, last = got, end; len(want) < 40 {
						t.Fatalf("only %d closed: the test proves nothing", len(want))
					}
					continue
				}
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Fatalf("%d workers, chunks of %d (-one +another):\n%.3000s", x.workers, x.buffer, diff)
				}
				if diff := gocmp.Diff(last, end); diff != "" {
					t.Fatalf("%d workers, chunks of %d, last snapshots (-one +another):\n%.3000s", x.workers, x.buffer,
						diff)
				}
			}
		})
	}
}

// at is one event of an agent of persona clerk, at hours after midnight.
func at(id int, hours float64, agent string) string {
	return fmt.Sprintf(
		`{"id":"e%03d","time":%d,"kind":"tool_call","tenant":"t","agent":{"id":%q},"persona":"clerk","session":"s","tool":{"name":"search"}}`+
			"\n", id, midnight+int64(hours*hour), agent)
}

func fileWith(t testing.TB, list ...string) string {
	return write(t, "events.jsonl", []byte(strings.Join(list, "")))
}

// judged runs events and tells the day of the snapshot that each was judged by, from midnight on; -
// if there was none.
func judged(t testing.TB, r Replay, path string) (out []string) {
	t.Helper()
	r.Workers = 1
	r.observed = func(x *detectors.Scene, e *event.Event) {
		day := "-"
		if x.Base != nil {
			day = fmt.Sprint(x.Base.Day - midnight/baselines.DayMS)
		}
		out = append(out, e.ID+" "+day)
	}
	learning(t, r, path, 0)
	slices.Sort(out)
	return out
}

func TestWhenASnapshotIsInForce(t *testing.T) {
	path := fileWith(t, at(1, 10, "a"), at(2, 23.9, "b"), at(3, 24.9, "a"), at(4, 24.99, "b"), at(5, 25, "a"),
		at(6, 25.1, "b"), at(7, 48.5, "a"), at(8, 49.5, "b"))
	if got, want := judged(t, Replay{}, path), []string{"e001 -", "e002 -", "e003 -", "e004 -", "e005 0", "e006 0",
		"e007 0", "e008 1"}; !slices.Equal(got, want) {
		t.Errorf("an hour after the end of its day, as a function of the event's time alone:\ngot  %v\nwant %v", got,
			want)
	}
	_, _, learned := learning(t, Replay{Approved: true}, path, 0)
	got := judged(t, Replay{Learn: learned}, path)
	for _, g := range got {
		if strings.HasSuffix(g, "-") {
			t.Errorf("what was learned is not in force from the first event on: %v", got)
		}
	}
	if want := []string{"e005 0", "e008 1"}; got[4] != want[0] || got[7] != want[1] {
		t.Errorf("the replay's own snapshots do not take over: %v", got)
	}
	frozen := judged(t, Replay{Learn: learned, Freeze: true}, path)
	for _, g := range frozen {
		if !strings.HasSuffix(g, fmt.Sprint(" ", learned[0].Day-midnight/baselines.DayMS)) {
			t.Errorf("frozen, it is replaced: %v", frozen)
		}
	}
}

func TestWhichDayAnEventCountsFor(t *testing.T) {
	for name, c := range map[string]struct {
		path string
		want map[int64]uint64 // events by day
	}{
		"its own": {fileWith(t, at(1, 10, "a"), at(2, 25, "a"), at(3, 49.5, "a")),
			map[int64]uint64{0: 1, 1: 1, 2: 1}},
		"late, up to 50 minutes after the end": {fileWith(t, at(1, 10, "a"), at(2, 24.8, "b"), at(3, 23.5, "a"),
			at(4, 49, "b")), map[int64]uint64{0: 2, 1: 1, 2: 1}},
		"later, the day that is open": {fileWith(t, at(1, 10, "a"), at(2, 24.9, "a"), at(3, 23.5, "a"),
			at(4, 49, "a")), map[int64]uint64{0: 1, 1: 2, 2: 1}},
		"its own, though a jump that nobody confirms closes nothing": {fileWith(t, at(1, 10, "a"), at(2, 10.1, "b"),
			at(3, 100, "a"), at(4, 10.2, "b"), at(5, 10.3, "a")), map[int64]uint64{0: 4, 4: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[int64]uint64{}
			src, err := history.OpenLines(c.path)
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			r := Replay{Policy: none, Deliver: func(*event.Finding) error { return nil },
				Closed: func(m *baselines.Model, d *baselines.Delta) {
					if m.Persona == "clerk" && d.Events > 0 {
						got[m.Day-midnight/baselines.DayMS] += d.Events
					}
				}}
			if _, err := r.Run(t.Context(), src); err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(c.want, got); diff != "" {
				t.Errorf("events by day (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheTenantLearnsWhatItsPersonasDo(t *testing.T) {
	closed, _, _ := learning(t, Replay{Approved: true}, write(t, "events.jsonl", work(2, 3)), 0)
	sum, whole := map[string]uint64{}, map[string]uint64{}
	for _, line := range closed {
		var day, key, state string
		var events uint64
		fmt.Sscan(line, &day, &key, &state, &events)
		tenant, persona, _ := strings.Cut(key, "/")
		if strings.HasPrefix(persona, baselines.TenantWide+"/") {
			whole[day+tenant] += events
		} else {
			sum[day+tenant] += events
		}
	}
	if diff := gocmp.Diff(sum, whole); diff != "" || len(sum) < 4 {
		t.Errorf("(-personas +tenant):\n%s", diff)
	}
}
