package pipeline

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

func noteOf(agent, body string, t int64) *detectors.Note {
	return &detectors.Note{Slot: 9, Scope: policy.TenantScope, Tenant: "acme", ID: "acme",
		Ref: event.Ref{Time: t, ID: fmt.Sprint("e-", body), Agent: agent}, Body: []byte(body)}
}

func waitingOf(b *relation) (pg *scopePage, of map[string][]int64) {
	pg, of = b.scopePage(9, policy.TenantScope, "acme", "acme"), map[string][]int64{}
	for _, k := range pg.notes.buckets {
		for i := range k.list {
			of[k.list[i].Ref.Agent] = append(of[k.list[i].Ref.Agent], k.list[i].Ref.Time)
		}
	}
	return pg, of
}

func watching(t *testing.T) *relation {
	set := setOf(t, forbids)
	b := newRelation(0, engine(t, 1, 1, set), set)
	b.begin(1, true)
	return b
}

// Who floods a scope with notes pushes out its own, the oldest first, whatever the order in which
// they come.
func TestAFloodOfNotesPushesOutItsOwn(t *testing.T) {
	b, r := watching(t), rand.New(rand.NewPCG(1, 1))
	var all []*detectors.Note
	for i := range 3 * maxNotes {
		all = append(all, noteOf(fmt.Sprint("flood-", i%3), fmt.Sprint("x", i), day0+int64(i)))
	}
	for i := range 50 {
		for n := range noteLeast {
			all = append(all, noteOf(fmt.Sprint("quiet-", i), fmt.Sprintf("q%d-%d", i, n), day0+int64(n*100)))
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, k := range all {
		b.takeNote(k)
	}
	pg, of := waitingOf(b)
	for i := range 50 {
		if got := len(of[fmt.Sprint("quiet-", i)]); got != noteLeast {
			t.Fatalf("quiet-%d has %d notes of %d", i, got, noteLeast)
		}
	}
	sum := 0
	for i := range 3 {
		times := of[fmt.Sprint("flood-", i)]
		sum += len(times)
		if slices.Max(times) < day0+3*maxNotes-10_000 {
			t.Errorf("the newest of a flood is %d ms after its beginning", slices.Max(times)-day0)
		}
	}
	if pg.notes.n > maxNotes || pg.notes.n != b.noted || sum != pg.notes.n-50*noteLeast ||
		pg.notes.lost != int64(len(all)-pg.notes.n) || b.counts.dropped != pg.notes.lost {
		t.Errorf("%d notes wait (%d counted, %d of the flood), %d fell out, %d were dropped", pg.notes.n, b.noted, sum,
			pg.notes.lost, b.counts.dropped)
	}
	// It is told on what is found about the scope, and forgotten after a day.
	f := event.Finding{Why: "why", Last: pg.notes.lostAt + 1000}
	if pg.notes.without(&f); !f.Incomplete || f.Why != "why; "+f.Full || f.Full == "" {
		t.Errorf("a finding of the scope says %q", f.Why)
	}
	f = event.Finding{Why: "why", Last: pg.notes.lostAt + 2*notesLost}
	if pg.notes.without(&f); f.Incomplete || f.Why != "why" {
		t.Errorf("two days later it says %q", f.Why)
	}
}

// Of more agents than there is room for the oldest notes go, whoever sent them.
func TestASwarmOfAgentsPushesOutTheOldest(t *testing.T) {
	b := watching(t)
	for i := range 2 * maxNotes {
		b.takeNote(noteOf(fmt.Sprint("a", i), fmt.Sprint("x", i), day0+int64(i)))
	}
	pg, of := waitingOf(b)
	for agent, times := range of {
		if times[0] < day0+int64(2*maxNotes-pg.notes.n) {
			t.Fatalf("%s, which is %d ms old, is still there, of %d", agent, times[0]-day0, pg.notes.n)
		}
	}
}

// What waits is the same after a restart, and says the same twice as once, be it ever so much.
func TestNotesAreStateAndSaidOnce(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		live, back := watching(t), watching(t)
		times := map[string]int64{}
		for range 30_000 {
			k := noteOf(fmt.Sprint("a", r.IntN(40)), fmt.Sprint("x", r.IntN(5000)), day0+r.Int64N(60_000))
			live.takeNote(k)
			back.takeNote(k)
			key := fmt.Sprint(k.Ref.Time/detectors.BucketMS, string(k.Body))
			if at, have := times[key]; !have || k.Ref.Time < at {
				times[key] = k.Ref.Time
			}
			if r.IntN(2000) == 0 {
				image := imageOf(back.shard)
				back = watching(t)
				for key, v := range image {
					if key == "" {
						continue
					}
					pg := makePage(key)
					if err := pg.decode([]byte(v)); err != nil {
						t.Fatal(err)
					}
					back.shard.take(pg, []byte(v))
				}
				back.begin(1, true)
			}
		}
		pg, _ := waitingOf(live)
		sameState(t, fmt.Sprint("seed ", seed), pagesOf(live.shard), pagesOf(back.shard))
		if live.noted != back.noted || pg.notes.n != live.noted {
			t.Errorf("seed %d: %d notes wait, after a restart %d", seed, live.noted, back.noted)
		}
		if pg.notes.lost == 0 && pg.notes.n != len(times) {
			t.Errorf("seed %d: %d notes wait, want %d", seed, pg.notes.n, len(times))
		}
		for _, k := range pg.notes.buckets {
			for i := range k.list {
				if o := k.find(k.list[i].Body); o != &k.list[i] {
					t.Fatalf("seed %d: a note of bucket %d is not found", seed, k.index)
				}
			}
		}
		live.advanceTo(day0 + 120_000)
		if live.noted != 0 {
			t.Errorf("seed %d: %d notes wait after the watermark has passed them", seed, live.noted)
		}
	}
}

// All that waits in a shard is bounded, too: who has most gives.
func TestNotesOfAllScopesAreBounded(t *testing.T) {
	b := watching(t)
	b.rules.pageCap = 1 << 30
	add := func(tenant, id, agent string, i int) {
		k := noteOf(agent, fmt.Sprint("x", i), day0+int64(i)%5000)
		k.Tenant, k.ID, k.Scope = tenant, id, policy.UserScope
		b.takeNote(k)
	}
	for i := range 300 {
		add("modest", fmt.Sprint("u", i), "a", i)
	}
	for i := range maxWaiting + 1000 {
		add("greedy", fmt.Sprint("u", i%1000), fmt.Sprint("a", i%50_000), i)
	}
	n := map[string]int{}
	for _, pg := range b.pages {
		n[pg.tenant] += pg.scope().notes.n
	}
	if n["modest"] != 300 || n["greedy"]+300 != b.noted || b.noted > maxWaiting || b.noted < maxWaiting/2 {
		t.Errorf("%v wait, %d counted", n, b.noted)
	}
}
