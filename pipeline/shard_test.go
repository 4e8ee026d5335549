package pipeline

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/state"
)

// toy is a machine that only uses pages: it counts on the page of an agent and of a session what
// its records name, and forgets pages after a day.
type toy struct {
	*shard
	now   int64 // newest time of a record
	panel *detectors.Panel
}

func newToy(shared *rules) *toy {
	m := &toy{shard: newShard(0, shared), panel: detectors.New(none), now: noTime}
	m.machine = m
	return m
}

const toyDay = 86_400_000

// What a record of a toy does with the page that it names.
const (
	toyUse = iota
	toyDrop
	toyLook
	toyReserve
	toySweep
)

// toyRecord names an agent of a tenant, and a session of it if that is not 0.
func toyRecord(op, tenant, agent, session int, t int64) *record {
	return &record{offset: t, value: binary.AppendVarint([]byte{byte(op), byte(tenant), byte(agent), byte(session)}, t)}
}

func (m *toy) apply(_ int, r *record) error {
	op, tenant := r.value[0], fmt.Sprint("t", r.value[1])
	at := wire.Reader{B: r.value[4:]}
	m.now = max(m.now, at.Varint())
	key := fmt.Appendf(nil, "%c%s|a%d", agentKind, tenant, r.value[2])
	if r.value[3] > 0 {
		key = fmt.Appendf(nil, "%c%s|a%d|s%d", sessionKind, tenant, r.value[2], r.value[3])
	}
	switch op {
	case toyUse, toyReserve:
		pg := m.page(key, tenant)
		if pg == nil && op == toyReserve {
			pg = m.reserved(key, tenant)
		}
		if pg == nil {
			return nil
		}
		pg.seen = max(pg.seen, m.now)
		if a, ok := pg.content.(*agentPage); ok {
			a.verdicts++
		}
	case toyDrop:
		if pg := m.pageIf(key); pg != nil {
			m.drop(pg)
		}
	case toyLook:
		m.pageIf(key)
	case toySweep:
		m.sweep(m.now)
	}
	return nil
}

func (m *toy) seal()                            {}
func (m *toy) kept()                            {}
func (m *toy) appendVars(b []byte) []byte       { return binary.AppendVarint(b, m.now) }
func (m *toy) decodeVars(r *wire.Reader)        { m.now = r.Varint() }
func (m *toy) undoes() bool                     { return true }
func (m *toy) until(pg *page) int64             { return pg.idleSince() + toyDay }
func (m *toy) untilOf(_ byte, idle int64) int64 { return idle + toyDay }
func (m *toy) laid(*page)                       {}
func (m *toy) present() int64                   { return m.now }
func (m *toy) partitions() int                  { return 1 }
func (m *toy) watchers() *detectors.Panel       { return m.panel }
func (m *toy) stage() string                    { return "toy" }
func (m *toy) turned(*page, bool)               {}
func (m *toy) stated(*page)                     {}
func (m *toy) indexed(*page)                    {}

// consistent fails unless each page of a shard is in one place, and is counted for its tenant and
// for its agent.
func consistent(t *testing.T, what string, s *shard) {
	t.Helper()
	image := s.image()
	delete(image, "")
	if n := len(s.pages) + len(s.cold) + len(s.away); len(image) != n {
		t.Fatalf("%s: %d pages are in %d places", what, len(image), n)
	}
	tenants, crowd := map[string]int{}, map[uint64]int{}
	for key := range image {
		tenants[ownerOf(key)]++
		if key[0] == sessionKind {
			crowd[agentOf(key)]++
		}
	}
	if !maps.Equal(tenants, s.tenants) || !maps.Equal(crowd, s.crowd) {
		t.Fatalf("%s: counted %v by tenant and %v by agent, there are %v and %v", what, s.tenants, s.crowd, tenants,
			crowd)
	}
}

// Two shards apply the same records. One of them keeps all in memory. The other undoes slices and
// applies them again, packs pages or puts them on disk, saves checkpoints and is loaded from them.
func TestWhereAPageIsDoesNotShow(t *testing.T) {
	onDisk, packed, undone, loads, evicted := 0, 0, 0, 0, int64(0)
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		store := openScratch(t)
		simple, other := newToy(&rules{pageCap: 20}), newToy(&rules{pageCap: 20, store: store})
		now, saved := int64(toyDay), map[string]string(nil)
		for range 200 {
			var slice []*record
			for range 1 + r.IntN(20) {
				now += 1 + r.Int64N(20*60_000)
				op := []int{toyUse, toyUse, toyUse, toyUse, toyDrop, toyLook, toyReserve, toySweep}[r.IntN(8)]
				slice = append(slice, toyRecord(op, r.IntN(2), r.IntN(30), r.IntN(3), now))
			}
			run := func(m *toy) {
				m.begin(now, true)
				for _, rec := range slice {
					if err := m.step(mainLog, rec); err != nil {
						t.Fatal(err)
					}
				}
			}
			run(simple)
			evicted += simple.counts.evicted
			for r.IntN(3) == 0 {
				undone++
				want := other.image()
				run(other)
				if err := other.rollback(); err != nil {
					t.Fatal(err)
				}
				if got := other.image(); !maps.Equal(want, got) {
					t.Fatalf("seed %d: undone, the shard differs in %q", seed, differs(want, got))
				}
				consistent(t, fmt.Sprint("seed ", seed, ", undone"), other.shard)
			}
			run(other)
			what := fmt.Sprintf("seed %d, at %d", seed, now)
			if want, got := simple.image(), other.image(); !maps.Equal(want, got) {
				t.Fatalf("%s: the shards differ in %q", what, differs(want, got))
			}
			consistent(t, what, simple.shard)
			consistent(t, what, other.shard)
			switch r.IntN(4) {
			case 0:
				for _, pg := range other.pages {
					if r.IntN(2) == 0 && !pg.dirty {
						other.putBy(pg, other.until(pg))
						packed++
					}
				}
			case 1:
				if _, err := other.shed(r.Int64N(100_000)); err != nil {
					t.Fatal(err)
				}
				onDisk += len(other.away)
			case 2:
				pages, _ := other.takeDirty()
				marker := other.shard.appendVars(nil)
				saved = other.image()
				if err := store.Checkpoint(other.space, withDoomed(store, other.space, slices.Values(pages),
					other.takeDoomed()), marker); err != nil {
					t.Fatal(err)
				}
				if r.IntN(2) == 0 {
					continue
				}
				loads++
				other = newToy(other.rules)
				marker, err := store.Load(other.space, func(key string, body []byte) error {
					pg := makePage(key)
					if err := pg.decode(body); err != nil {
						return err
					}
					other.take(pg, body)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := other.shard.decodeVars(marker); err != nil {
					t.Fatal(err)
				}
				if got := other.image(); !maps.Equal(saved, got) {
					t.Fatalf("%s: loaded, the shard differs in %q", what, differs(saved, got))
				}
				consistent(t, what+", loaded", other.shard)
			}
		}
	}
	if onDisk < 500 || packed < 500 || undone < 500 || loads < 100 || evicted < 100 {
		t.Errorf("%d pages on disk, %d packed, %d slices undone, %d loads, %d made room: the test proves nothing",
			onDisk, packed, undone, loads, evicted)
	}
}

// differs are the keys under which two images differ.
func differs(want, got map[string]string) (keys []string) {
	for key := range want {
		if other, ok := got[key]; !ok || other != want[key] {
			keys = append(keys, key)
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// A page that nobody has asked for in an hour is packed, and comes back as it was.
func TestIdlePagesArePacked(t *testing.T) {
	m := newToy(&rules{pageCap: 1000})
	m.begin(0, false)
	m.volatile = true
	for i := range 50 {
		if err := m.step(mainLog, toyRecord(toyUse, 0, i, 0, int64(toyDay+i))); err != nil {
			t.Fatal(err)
		}
	}
	want := m.image()
	if err := m.step(mainLog, toyRecord(toySweep, 0, 0, 0, toyDay+coldAfter+25)); err != nil {
		t.Fatal(err)
	}
	if len(m.pages) != 25 || len(m.cold) != 25 {
		t.Errorf("%d pages are laid out, %d packed, want 25 each", len(m.pages), len(m.cold))
	}
	for key := range want {
		if key != "" && m.pageIf([]byte(key)) == nil {
			t.Errorf("page %q is gone", key)
		}
	}
	want[""] = string(m.shard.appendVars(nil))
	if got := m.image(); !maps.Equal(want, got) {
		t.Errorf("they come back as others: %q", differs(want, got))
	}
}

// A page that the disk does not give back is a panic of its own type, which says what is lost.
func TestALostPageIsAPanic(t *testing.T) {
	store := openScratch(t)
	m := newToy(&rules{pageCap: 1000, store: store})
	m.volatile = true
	m.begin(0, false)
	if err := m.step(mainLog, toyRecord(toyUse, 0, 7, 0, toyDay)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.shed(1 << 40); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if p, ok := recover().(lostPage); !ok || p.Error() == "" {
			t.Errorf("got %v, want a lostPage", p)
		}
	}()
	m.pageIf([]byte("at0|a7"))
	t.Error("a page that cannot be read is taken for none")
}

func openScratch(t *testing.T) *state.Store {
	t.Helper()
	s, err := state.Scratch(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
