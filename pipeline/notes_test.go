package pipeline

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

func noteOf(agent, body string, t int64) *detectors.Note {
	return &detectors.Note{Slot: 9, Scope: policy.TenantScope, Tenant: "acme", ID: "acme",
		Ref: event.Ref{Time: t, ID: fmt.Sprint("e-", body), Agent: agent}, Body: []byte(body)}
}

func watching(t *testing.T) *relation {
	set := setOf(t, `{"v":1,"rules":[{"id":"odd-hour","title":"x","where":"tool.name == \"odd\""}]}`)
	b := newRelation(0, engine(t, 1, 1, set), set)
	b.begin(1, true)
	return b
}

// No more notes wait on a page than may, and what falls out is counted.
func TestNotesOfAScopeAreBounded(t *testing.T) {
	b := watching(t)
	const n = 3 * maxNotes
	for i := range n {
		b.takeNote(noteOf(fmt.Sprint("a", i%3), fmt.Sprint("x", i), day0+int64(i)))
	}
	if b.noted > maxNotes || b.noted < maxNotes/2 || b.counts.dropped != int64(n-b.noted) {
		t.Errorf("%d notes of %d wait, %d were dropped", b.noted, n, b.counts.dropped)
	}
}

// What waits is the same after a restart, and nothing waits once the watermark has passed it.
func TestNotesThatWaitAreState(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		live, back := watching(t), watching(t)
		for range 30_000 {
			k := noteOf(fmt.Sprint("a", r.IntN(40)), fmt.Sprint("x", r.IntN(5000)), day0+r.Int64N(60_000))
			live.takeNote(k)
			back.takeNote(k)
			if r.IntN(2000) == 0 {
				image := back.image()
				back = watching(t)
				restore(t, back.shard, image)
				back.begin(1, true)
			}
		}
		sameState(t, fmt.Sprint("seed ", seed), pagesOf(live.shard), pagesOf(back.shard))
		if live.noted != back.noted || live.noted < maxNotes/2 {
			t.Errorf("seed %d: %d notes wait, after a restart %d", seed, live.noted, back.noted)
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
	for _, pg := range every(t, b.shard) {
		n[pg.tenant] += pg.scope().notes.n
	}
	if n["modest"] != 300 || n["greedy"]+300 != b.noted || b.noted > maxWaiting || b.noted < maxWaiting/2 {
		t.Errorf("%v wait, %d counted", n, b.noted)
	}
}
