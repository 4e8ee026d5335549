package pipeline

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/state"
)

// Two shards see the same; one of them puts everything by that it may between any two slices,
// encoded or on disk, also between one that is undone and the next. It saves its state now and
// then, and is loaded anew from it.
func TestWhatIsPutByDoesNotShow(t *testing.T) {
	sets := []*policy.Set{setOf(t, strict), setOf(t, other)}
	thawed, gone, evicted, stateless, loads := 0, 0, int64(0), int64(0), 0
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		l := busy(seed, 500, 20_000, sets)
		warm := newBehaviour(1, small(engine(t, 3, 2, sets...), seed), sets[0], "events")
		store, err := state.Open("")
		if err != nil {
			t.Fatal(err)
		}
		shared := small(engine(t, 3, 2, sets...), seed)
		shared.store = store
		cold := newBehaviour(1, shared, sets[0], "events")
		st := &stage{}
		var at [2]int
		now := int64(day0)
		for at[mainLog] < len(l.records[mainLog]) {
			now += r.Int64N(3000)
			if r.IntN(3) == 0 {
				pages, _ := cold.takeDirty()
				if err := store.Checkpoint(cold.space, withDoomed(store, cold.space, slices.Values(pages),
					cold.takeDoomed()), cold.shard.appendVars(nil)); err != nil {
					t.Fatal(err)
				}
				if r.IntN(4) == 0 {
					loads++
					cold = newBehaviour(1, shared, none, "events")
					marker, err := store.Load(cold.space, func(key string, value []byte) error {
						pg := makePage(key)
						if err := pg.decode(value); err != nil {
							return err
						}
						cold.shard.take(pg, value)
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
					if err := cold.shard.decodeVars(marker); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, pg := range cold.pages {
				if until := cold.until(pg); until != forever && pg.content.evictable() && r.IntN(2) == 0 && !pg.dirty {
					cold.putBy(pg, until)
				}
			}
			if r.IntN(2) == 0 {
				if _, err := cold.shed(int64(r.IntN(4)) * 200_000); err != nil {
					t.Fatal(err)
				}
			}
			by := len(cold.cold) + len(cold.away)
			gone += len(cold.away)
			slice := l.take(&at, r.IntN(10), 1+r.IntN(80))
			j1, err1 := st.apply(warm.shard, slice, now)
			j2, err2 := st.apply(cold.shard, slice, now)
			what := fmt.Sprintf("seed %d, records to %v", seed, at)
			if err1 != nil || err2 != nil || j1.digest != j2.digest {
				t.Fatalf("%s: a shard that puts pages by gives %x (%v), another %x (%v)", what, j2.digest, err2,
					j1.digest, err1)
			}
			sameState(t, what, imageOf(warm.shard), imageOf(cold.shard))
			thawed += max(0, by-len(cold.cold)-len(cold.away))
			evicted, stateless = evicted+cold.counts.evicted, stateless+cold.counts.stateless
			if r.IntN(3) == 0 {
				for _, b := range []*behaviour{warm, cold} {
					if err := b.rollback(); err != nil {
						t.Fatal(what, err)
					}
				}
				what += ", undone"
				sameState(t, what, imageOf(warm.shard), imageOf(cold.shard))
			} else {
				warm.kept()
				cold.kept()
			}
			if !maps.Equal(warm.tenants, cold.tenants) || !maps.Equal(warm.crowd, cold.crowd) {
				t.Fatalf("%s: pages by tenant %v and agent %v, want %v, %v", what, cold.tenants, cold.crowd,
					warm.tenants, warm.crowd)
			}
		}
		store.Close()
	}
	if thawed < 500 || gone < 200 || evicted < 20 || stateless < 100 || loads < 20 {
		t.Errorf(
			"only %d pages came back, %d were on disk, %d made room, %d events found none, %d loads: the test has lost its teeth",
			thawed, gone, evicted, stateless, loads)
	}
}

// An agent holds no session that has been forgotten, and who comes back after a day finds what was
// known of it.
func TestOldPagesArePutBy(t *testing.T) {
	set := setOf(t, strict)
	b := newBehaviour(0, engine(t, 1, 1, set), set, "events")
	b.volatile = true
	events := crowd(4000, 40)
	b.begin(day0, false)
	for i := range events {
		b.observe(&events[i], day0+86_400_000)
	}
	before := pagesOf(b.shard)
	again := events[0]
	for h := range int64(50) { // one goes on, without a session
		again.ID, again.Time, again.Session = fmt.Sprint("later-", h), day0+(h+1)*3_600_000, ""
		b.observe(&again, day0+100*3_600_000)
	}
	if b.cold[string(appendAgentKey(nil, &events[1]))].body == nil || len(b.pages) > 8 {
		t.Fatalf("%d pages are at hand after two days of one agent, %d put by", len(b.pages), len(b.cold))
	}
	after := pagesOf(b.shard)
	for i := range events {
		if key := string(appendAgentKey(nil, &events[i])); key != string(appendAgentKey(nil, &again)) &&
			after[key] != before[key] {
			t.Fatalf("page %q has changed while it was put by", key)
		}
	}
	if pg := b.pages[string(appendAgentKey(nil, &again))]; pg == nil || pg.agent().last != nil {
		t.Error("an agent holds a session that is not there any more")
	}
}

// The relation stage, too, finds the same with its pages on disk.
func TestScopesOnDiskDoNotShow(t *testing.T) {
	set := setOf(t, strict)
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 2))
		shared := engine(t, 2, 1, set)
		order := interleave(r, factsOf(t, shared, set, seed, 400))
		warm := newRelation(0, shared, none)
		disk := *shared
		disk.store = scratch(t)
		cold := newRelation(0, &disk, none)
		cold.volatile = true
		cold.begin(1, false)
		warm.begin(1, false)
		laid := 0
		for i := range order {
			for _, b := range []*relation{warm, cold} {
				if err := b.step(mainLog, &order[i]); err != nil {
					t.Fatal(err)
				}
			}
			if warm.digest.Sum64() != cold.digest.Sum64() {
				t.Fatalf("seed %d, record %d: outputs differ", seed, i)
			}
			if r.IntN(3) == 0 {
				if _, err := cold.shed(1 << 40); err != nil {
					t.Fatal(err)
				}
				laid += len(cold.away)
			}
		}
		sameState(t, fmt.Sprint("seed ", seed), pagesOf(warm.shard), pagesOf(cold.shard))
		if laid == 0 {
			t.Error("nothing was put on disk: the test has lost its teeth")
		}
	}
}

func scratch(t *testing.T) *state.Store {
	t.Helper()
	s, err := state.Scratch(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
