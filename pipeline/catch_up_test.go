package pipeline

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/state"
)

// A shard that is loaded from a checkpoint and re-applies the logs is the shard that never stopped.

// loadFrom reads a shard from a store as load.go does.
func loadFrom(t *testing.T, s *state.Store, sp state.Space, sh *shard) {
	t.Helper()
	st := &stage{member: member{cfg: &Config{Store: s}, log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		metrics: NewMetrics(prometheus.NewRegistry()).stage("behaviour")}, kind: sp.Stage, newShard: func(int32) *shard {
		return sh
	}}
	if _, err := st.read(t.Context(), sp.Partition, [2]int64{}); err != nil {
		t.Fatal(err)
	}
}

func TestCatchUpFromAnyMarkerEqualsTheLiveShard(t *testing.T) {
	sets := []*policy.Set{setOf(t, strict), setOf(t, other)}
	for seed := range uint64(12) {
		shared := small(engine(t, 3, 2, sets...), seed)
		r := rand.New(rand.NewPCG(seed, 3))
		l := busy(seed, 500, 20_000, sets)
		store, err := state.Open("")
		if err != nil {
			t.Fatal(err)
		}
		sp := state.Space{Stage: 'b', Partition: 1}
		live := newBehaviour(1, shared, none, "events")
		st := &stage{member: member{cfg: &Config{Store: store}}}
		var journal [][]byte // the topic
		var at [2]int
		now, saves := int64(day0), 0
		for at[mainLog] < len(l.records[mainLog]) {
			now += r.Int64N(2000)
			before := at
			n, m := r.IntN(8), r.IntN(60)
			j, err := st.apply(live.shard, l.take(&at, n, m), now)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if r.IntN(5) == 0 { // aborted
				if err := live.rollback(); err != nil {
					t.Fatal(err)
				}
				at = before
				continue
			}
			live.kept()
			journal = append(journal, j.encode()...)
			live.joff = int64(len(journal))
			if r.IntN(12) == 0 && at[mainLog] < len(l.records[mainLog]) {
				// the last checkpoint is never of the end
				saves++
				pages, _ := live.takeDirty()
				if err := store.Checkpoint(sp, slices.Values(pages), live.shard.appendVars(nil)); err != nil {
					t.Fatal(err)
				}
			}
		}
		back := newBehaviour(1, shared, none, "events")
		loadFrom(t, store, sp, back.shard)
		behind := live.seq - back.seq
		event := slices.IndexFunc(l.records[mainLog],
			func(k *kgo.Record) bool { return k.Offset >= back.next[mainLog] })
		for back.joff < int64(len(journal)) {
			j, err := readJournal(journal[back.joff])
			if err != nil || j.seq != back.seq {
				t.Fatalf("seed %d: journal %d of transaction %d at %d: %v", seed, back.joff, j.seq, back.seq, err)
			}
			back.begin(j.now, false)
			for i := range j.control {
				if err := back.step(controlLog, &j.control[i]); err != nil {
					t.Fatal(err)
				}
			}
			for i := range j.events {
				rec := asRecord(l.records[mainLog][event])
				if event++; i == 0 && rec.offset != j.first {
					t.Fatalf("seed %d: transaction %d begins at %d, the journal says %d", seed, j.seq, rec.offset,
						j.first)
				}
				if err := back.step(mainLog, &rec); err != nil {
					t.Fatal(err)
				}
			}
			back.machine.seal()
			if back.next != j.next || back.clock.watermark() != j.watermark || back.digest.Sum64() != j.digest {
				t.Fatalf("seed %d: transaction %d does not repeat: offsets %v, want %v; outputs %x, want %x", seed,
					j.seq, back.next, j.next, back.digest.Sum64(), j.digest)
			}
			if len(back.out)+len(back.findings) != 0 {
				t.Fatalf("seed %d: catching up is not silent: %d outputs", seed, len(back.out))
			}
			back.kept()
			back.seq++
			back.joff++
		}
		if behind == 0 || seed == 0 && saves == 0 {
			t.Errorf("seed %d: %d checkpoints, %d transactions behind: the test proves nothing", seed, saves,
				behind)
		}
		sameState(t, fmt.Sprintf("seed %d", seed), live.image(), back.image())
		store.Close()
	}
}

func TestOnlyDamagedStateIsThrownAway(t *testing.T) {
	set := setOf(t, strict)
	shared := engine(t, 1, 1, set)
	sp := state.Space{Stage: 'b', Partition: 1}
	for name, c := range map[string]struct {
		spoil func(page, marker []byte) ([]byte, []byte)
		load  string // error; "": it is rebuilt
	}{
		"a page cut short":   {func(p, m []byte) ([]byte, []byte) { return p[:len(p)-3], m }, ""},
		"a marker cut short": {func(p, m []byte) ([]byte, []byte) { return p, m[:len(m)-3] }, ""},
		"a page of a newer": {func(p, m []byte) ([]byte, []byte) { p[0]++; return p, m },
			"run the binary that wrote it"},
		"a marker of a newer": {func(p, m []byte) ([]byte, []byte) { m[0]++; return p, m },
			"run the binary that wrote it"},
		"a set not found (yet)": {func(p, m []byte) ([]byte, []byte) { m[len(m)-1] ^= 1; return p, m }, "is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := state.Open("")
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			b := newBehaviour(1, shared, set, "events")
			l := busy(1, 20, 0, nil)
			if _, err := (&stage{}).apply(b.shard, l.take(new([2]int), 0, 20), day0); err != nil {
				t.Fatal(err)
			}
			pages, _ := b.takeDirty()
			marker := b.shard.appendVars(nil)
			pages[0].Value, marker = c.spoil(pages[0].Value, marker)
			if err := store.Checkpoint(sp, slices.Values(pages), marker); err != nil {
				t.Fatal(err)
			}
			st := &stage{member: member{cfg: &Config{Store: store}, log: slog.New(slog.DiscardHandler),
				metrics: NewMetrics(prometheus.NewRegistry()).stage("behaviour")}, kind: 'b',
				newShard: func(p int32) *shard { return newBehaviour(p, shared, none, "events").shard }}
			sh, err := st.read(t.Context(), 1, [2]int64{})
			if c.load == "" {
				if err != nil || sh.pageCount() != 0 || sh.seq != 0 || len(store.Spaces()) != 0 {
					t.Errorf("it is not begun anew: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.load) || len(store.Spaces()) != 1 {
				t.Errorf("got %v, want one that says %q; partitions left: %v", err, c.load, store.Spaces())
			}
		})
	}
}

func TestTheRelationStageCatchesUpFromAnyMarker(t *testing.T) {
	set := setOf(t, strict)
	shared := engine(t, 3, 1, set)
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 4))
		store, err := state.Open("")
		if err != nil {
			t.Fatal(err)
		}
		sp := state.Space{Stage: 'r', Partition: 0}
		log := interleave(r, factsOf(t, shared, set, seed, 400))
		cut := r.IntN(len(log))
		live := newRelation(0, shared, none)
		var ends []int // of slices
		for i := 0; i < len(log); {
			live.begin(1, true)
			for n := 1 + r.IntN(5); n > 0 && i < len(log); n-- {
				if err := live.step(mainLog, &log[i]); err != nil {
					t.Fatal(err)
				}
				i++
			}
			ends = append(ends, i)
			if live.seq++; i >= cut && live.savedSeq == 0 {
				pages, _ := live.takeDirty()
				if err := store.Checkpoint(sp, slices.Values(pages), live.shard.appendVars(nil)); err != nil {
					t.Fatal(err)
				}
			}
		}
		back := newRelation(0, shared, none)
		loadFrom(t, store, sp, back.shard)
		i := slices.IndexFunc(log, func(r record) bool { return r.offset >= back.next[mainLog] })
		if i < 1 || i == len(log) {
			t.Errorf("seed %d: the checkpoint is of record %d of %d: the test proves nothing", seed, i, len(log))
		}
		for _, end := range ends {
			if end <= i {
				continue
			}
			back.begin(back.now, false)
			for ; i < end; i++ {
				if err := back.step(mainLog, &log[i]); err != nil {
					t.Fatal(err)
				}
			}
			back.seq++
		}
		sameState(t, fmt.Sprintf("seed %d", seed), live.image(), back.image())
		store.Close()
	}
}
