package pipeline

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// someDay is the time of the first notes of these tests.
const someDay = 1_700_000_000_000

func noteBy(agent, body string, t int64) *detectors.Note {
	return &detectors.Note{Slot: 9, Scope: policy.TenantScope, Tenant: "acme", ID: "acme",
		Ref: event.Ref{Time: t, ID: fmt.Sprint("e-", body), Agent: agent}, Body: []byte(body)}
}

// fileAll files notes, at most so many at a time, as the relation stage does.
func fileAll(list []*detectors.Note, most int) (w notes, gone int) {
	for _, k := range list {
		if w.file(wire.FloorDiv(k.Ref.Time, detectors.BucketMS), k); w.n > most {
			gone += w.lose(most - most/8)
		}
	}
	return w, gone
}

// timesBy are the times of the notes that are there, by agent.
func timesBy(w *notes) map[string][]int64 {
	of := map[string][]int64{}
	for _, k := range w.buckets {
		for i := range k.list {
			of[k.list[i].Ref.Agent] = append(of[k.list[i].Ref.Agent], k.list[i].Ref.Time)
		}
	}
	return of
}

// Who floods a scope with notes pushes out its own, the oldest first, whatever the order in which
// they come.
func TestAFloodOfNotesPushesOutItsOwn(t *testing.T) {
	const most = 16_384
	r := rand.New(rand.NewPCG(1, 1))
	var all []*detectors.Note
	for i := range 3 * most {
		all = append(all, noteBy(fmt.Sprint("flood-", i%3), fmt.Sprint("x", i), someDay+int64(i)))
	}
	for i := range 50 {
		for n := range noteLeast {
			all = append(all, noteBy(fmt.Sprint("quiet-", i), fmt.Sprintf("q%d-%d", i, n), someDay+int64(n*100)))
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	w, gone := fileAll(all, most)
	of := timesBy(&w)
	for i := range 50 {
		if got := len(of[fmt.Sprint("quiet-", i)]); got != noteLeast {
			t.Fatalf("quiet-%d has %d notes of %d", i, got, noteLeast)
		}
	}
	sum := 0
	for i := range 3 {
		times := of[fmt.Sprint("flood-", i)]
		sum += len(times)
		if slices.Max(times) < someDay+3*most-10_000 {
			t.Errorf("the newest of a flood is %d ms after its beginning", slices.Max(times)-someDay)
		}
	}
	if w.n > most || sum != w.n-50*noteLeast || gone != len(all)-w.n || w.lost != int64(gone) {
		t.Errorf("%d notes wait (%d of the flood), %d fell out, %d were counted", w.n, sum, gone, w.lost)
	}
	f := event.Finding{Why: "why", Last: w.lostAt + 1000}
	if w.without(&f); !f.Incomplete || f.Why != "why; "+f.Full || f.Full == "" {
		t.Errorf("a finding of the scope says %q", f.Why)
	}
	f = event.Finding{Why: "why", Last: w.lostAt + 2*notesLost}
	if w.without(&f); f.Incomplete || f.Why != "why" {
		t.Errorf("two days later it says %q", f.Why)
	}
}

// Of more agents than there is room for the oldest notes go, whoever sent them.
func TestASwarmOfAgentsPushesOutTheOldest(t *testing.T) {
	const most = 16_384
	var all []*detectors.Note
	for i := range 2 * most {
		all = append(all, noteBy(fmt.Sprint("a", i), fmt.Sprint("x", i), someDay+int64(i)))
	}
	w, _ := fileAll(all, most)
	for agent, times := range timesBy(&w) {
		if times[0] < someDay+int64(2*most-w.n) {
			t.Fatalf("%s, which is %d ms old, is still there, of %d", agent, times[0]-someDay, w.n)
		}
	}
}

// What is said twice is one note, at the earlier time, and notes come back from their encoding.
func TestANoteIsFiledOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var w notes
	times := map[string]int64{}
	for range 30_000 {
		k := noteBy(fmt.Sprint("a", r.IntN(40)), fmt.Sprint("x", r.IntN(5000)), someDay+r.Int64N(60_000))
		index := wire.FloorDiv(k.Ref.Time, detectors.BucketMS)
		key := fmt.Sprint(index, " ", string(k.Body))
		at, have := times[key]
		if _, added := w.file(index, k); added == have {
			t.Fatalf("note %s: filed before: %v, added: %v", key, have, added)
		}
		if !have || k.Ref.Time < at {
			times[key] = k.Ref.Time
		}
	}
	if w.n != len(times) {
		t.Errorf("%d notes wait, want %d", w.n, len(times))
	}
	for _, k := range w.buckets {
		for i := range k.list {
			n := &k.list[i]
			if want := times[fmt.Sprint(k.index, " ", string(n.Body))]; n.Ref.Time != want || k.find(n.Body) != n {
				t.Fatalf("bucket %d: a note of %d, first said at %d, or it is not found", k.index, n.Ref.Time, want)
			}
		}
	}
	var back notes
	encoded := w.append(nil)
	rd := wire.Reader{B: encoded}
	if back.decode(&rd); rd.Err != nil || !bytes.Equal(back.append(nil), encoded) {
		t.Errorf("notes come back as others, %v", rd.Err)
	}
}
