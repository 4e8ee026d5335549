package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/google/go-cmp/cmp"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// op is a step of a log. It reads one page to write another, which is what breaks state whose pages
// are not all of one moment.
type op struct {
	from, to string
	add      uint64
	forget   bool
}

// world is a state that is a function of a log alone, as a shard's is.
type world struct {
	pages map[string]uint64
	dirty map[string]bool
	seq   int // of the next step
}

func (w *world) run(log []op, to int) {
	for ; w.seq < to; w.seq++ {
		o := log[w.seq]
		w.dirty[o.to] = true
		if o.forget && w.pages[o.from]%2 == 0 {
			delete(w.pages, o.to)
		} else {
			w.pages[o.to] = w.pages[o.to]*31 + w.pages[o.from] + o.add
		}
	}
}

// checkpoint is what the engine does after a commit. Cut: the process dies at the n-th place where
// it may.
func (w *world) checkpoint(s *Store, sp Space, cut int) (err error) {
	var pages []Page
	for k := range w.dirty {
		if v, ok := w.pages[k]; ok {
			pages = append(pages, Page{k, binary.BigEndian.AppendUint64(nil, v)})
		} else {
			pages = append(pages, Page{Key: k})
		}
	}
	slices.SortFunc(pages, func(a, b Page) int { return strings.Compare(a.Key, b.Key) })
	type died struct{}
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(died); !ok {
				panic(p)
			}
			err = errors.New("died")
		}
		s.Between = nil
	}()
	if cut > 0 {
		s.Between = func() {
			if cut--; cut == 0 {
				panic(died{})
			}
		}
	}
	if err := s.Checkpoint(sp, slices.Values(pages), []byte(strconv.Itoa(w.seq))); err != nil {
		return err
	}
	clear(w.dirty)
	return nil
}

// loader reads a partition; the Store's own, or one that has left something out.
type loader func(s *Store, sp Space, page func(key string, value []byte) error) ([]byte, error)

func load(t *testing.T, read loader, s *Store, sp Space) *world {
	t.Helper()
	w := &world{pages: map[string]uint64{}, dirty: map[string]bool{}}
	marker, err := read(s, sp, func(k string, v []byte) error { w.pages[k] = binary.BigEndian.Uint64(v); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if marker != nil {
		w.seq, err = strconv.Atoi(string(marker))
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// at reads the partition's pages at a version, without any roll-back.
func at(version func(marker uint64) uint64) loader {
	return func(s *Store, sp Space, page func(key string, value []byte) error) ([]byte, error) {
		now := s.db.NewTransactionAt(math.MaxUint64, false)
		defer now.Discard()
		var marker []byte
		ts := uint64(0)
		if it, err := now.Get(sp.prefix(kindMarker)); err == nil {
			b, _ := it.ValueCopy(nil)
			marker, ts = b[4:], it.Version()
		}
		tx := s.db.NewTransactionAt(version(ts), false)
		defer tx.Discard()
		o := badger.DefaultIteratorOptions
		o.Prefix = sp.prefix(kindPage)
		it := tx.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			b, _ := it.Item().ValueCopy(nil)
			if err := page(string(it.Item().Key()[len(o.Prefix):]), b[4:]); err != nil {
				return nil, err
			}
		}
		return marker, nil
	}
}

// attack runs random logs with checkpoints that are cut anywhere, and tells how many end with
// another state than a straight run.
func attack(t *testing.T, read loader, logs int) (wrong, tears int) {
	const seed = 7
	s := open(t, "")
	for round := range logs {
		r := rand.New(rand.NewPCG(seed, uint64(round)))
		log := make([]op, 400)
		pages := 8 + r.IntN(150) // some checkpoints take several batches
		for i := range log {
			log[i] = op{fmt.Sprint("page-", r.IntN(pages)), fmt.Sprint("page-", r.IntN(pages)), r.Uint64N(1000),
				r.IntN(6) == 0}
		}
		want := &world{pages: map[string]uint64{}, dirty: map[string]bool{}}
		want.run(log, len(log))

		sp := Space{'b', int32(round)}
		w := load(t, read, s, sp)
		for w.seq < len(log) {
			w.run(log, min(len(log), w.seq+1+r.IntN(40)))
			if r.IntN(2) == 0 {
				if err := w.checkpoint(s, sp, 0); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if w.checkpoint(s, sp, 1+r.IntN(3)) == nil {
				continue // there were not so many batches
			}
			tears++
			if r.IntN(10) > 0 { // else it lives on, as after a disk that failed for a moment
				w = load(t, read, s, sp)
			}
		}
		w = load(t, read, s, sp)
		w.run(log, len(log))
		if !maps.Equal(want.pages, w.pages) {
			wrong++
		}
	}
	return wrong, tears
}

func TestTornCheckpointsNeverHappened(t *testing.T) {
	wrong, tears := attack(t, (*Store).Load, 300)
	if tears < 300 {
		t.Errorf("only %d checkpoints were torn: the test has lost its teeth", tears)
	}
	if wrong != 0 {
		t.Errorf("%d of 300 logs end with another state than a straight run (%d checkpoints torn)", wrong, tears)
	}
}

func TestTornCheckpointsShowWithoutVersions(t *testing.T) { // trap J1: positions by page, or none
	if wrong, tears := attack(t, at(func(uint64) uint64 { return math.MaxUint64 }), 100); wrong < 30 {
		t.Errorf(
			"the newest value of each page is wrong in %d of 100 logs only (%d checkpoints torn): the attack is too weak to prove anything",
			wrong, tears)
	}
}

func TestTornCheckpointsShowWithoutTheRollBack(t *testing.T) {
	// trap J2: the next marker makes them visible
	if wrong, tears := attack(t, at(func(marker uint64) uint64 { return marker }), 100); wrong < 30 {
		t.Errorf(
			"without the roll-back %d of 100 logs are wrong only (%d checkpoints torn): the attack is too weak to prove anything",
			wrong, tears)
	}
}

// put checkpoints pages; an empty value deletes.
func put(t *testing.T, s *Store, sp Space, marker string, pages map[string]string) {
	t.Helper()
	var list []Page
	for k, v := range pages {
		p := Page{Key: k}
		if v != "" {
			p.Value = []byte(v)
		}
		list = append(list, p)
	}
	if err := s.Checkpoint(sp, slices.Values(list), []byte(marker)); err != nil {
		t.Fatal(err)
	}
}

// get loads everything; the marker comes under the empty key.
func get(t *testing.T, s *Store, sp Space) map[string]string {
	t.Helper()
	out := map[string]string{}
	marker, err := s.Load(sp, func(k string, v []byte) error { out[k] = string(v); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if marker != nil {
		out[""] = string(marker)
	}
	return out
}

func numbered(n int, v string) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprintf("page-%03d", i)] = v
	}
	return m
}

// reopen closes the store and opens it anew with everything compacted that may be.
func reopen(t *testing.T, s *Store, compact bool) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, s.dir)
	if compact {
		s.allowDiscard()
		if err := s.db.Flatten(1); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// away makes a partition whose newest checkpoint is torn and which then goes away, while another
// one goes on.
func away(t *testing.T) (*Store, Space) {
	s := open(t, t.TempDir())
	gone, stays := Space{'b', 1}, Space{'b', 2}
	put(t, s, gone, "1", numbered(40, "good"))
	func() {
		defer func() { recover(); s.Between = nil }()
		s.Between = func() { panic("died") }
		put(t, s, gone, "2", numbered(40, "torn"))
	}()
	for i := range 8 {
		put(t, s, stays, strconv.Itoa(i), numbered(40, strconv.Itoa(i)))
		s = reopen(t, s, i == 7)
	}
	return s, gone
}

func TestNothingIsDiscardedAtOrAboveAMarker(t *testing.T) {
	// trap J9: a partition that went away and comes back
	s, gone := away(t)
	want := numbered(40, "good")
	want[""] = "1"
	if diff := cmp.Diff(want, get(t, s, gone)); diff != "" {
		t.Errorf("the partition that came back (-want +got):\n%s", diff)
	}
}

func TestDiscardingAboveAMarkerLosesPages(t *testing.T) { // the control of the test above
	s, gone := away(t)
	for i := range 8 { // so that there is something to compact
		put(t, s, Space{'b', 2}, strconv.Itoa(i), numbered(40, strconv.Itoa(i)))
		s = reopen(t, s, false)
	}
	delete(s.markers, gone)
	s.allowDiscard()
	if err := s.db.Flatten(1); err != nil {
		t.Fatal(err)
	}
	n := 0
	tx := s.db.NewTransactionAt(math.MaxUint64, false)
	defer tx.Discard()
	it, err := tx.Get(gone.prefix(kindMarker))
	if err != nil {
		t.Fatal(err)
	}
	old := s.db.NewTransactionAt(it.Version(), false)
	defer old.Discard()
	for k := range numbered(40, "") {
		if _, err := old.Get(append(gone.prefix(kindPage), k...)); err == nil {
			n++
		}
	}
	if n == 40 {
		t.Error("all pages are still there: the attack is too weak to prove anything")
	}
}

func TestForgetLeavesNothingOfThePartitionAndAllOfTheOthers(t *testing.T) {
	s := open(t, t.TempDir())
	a, b := Space{'b', 1}, Space{'b', 256} // one byte of the prefix apart
	put(t, s, a, "a", numbered(200, "a"))
	put(t, s, b, "b", numbered(10, "b"))
	(&changelog{pages: map[string][]byte{}}).take(t, s, a)
	if err := s.Forget(a); err != nil {
		t.Fatal(err)
	}
	for range 2 { // also after a restart
		if got := get(t, s, a); len(got) != 0 {
			t.Errorf("left: %v", got)
		}
		if got := get(t, s, b); len(got) != 11 {
			t.Errorf("of the other partition %d are left, want 10 pages and a marker", len(got))
		}
		if got := s.Spaces(); len(got) != 1 || got[0] != b {
			t.Errorf("spaces %v, want %v", got, b)
		}
		s = reopen(t, s, true)
	}
	put(t, s, a, "new", map[string]string{"page-000": "new"})
	if diff := cmp.Diff(map[string]string{"": "new", "page-000": "new"}, get(t, s, a)); diff != "" {
		t.Errorf("begun anew (-want +got):\n%s", diff)
	}
}

func TestStateSurvivesARestart(t *testing.T) {
	s := open(t, t.TempDir())
	sp := Space{'r', 3}
	put(t, s, sp, "1", numbered(300, "v"))
	put(t, s, sp, "2", map[string]string{"page-000": "", "page-001": "w"})
	if err := s.SetMeta("layout", []byte("6 and 4")); err != nil {
		t.Fatal(err)
	}
	want := get(t, s, sp)
	s = reopen(t, s, false)
	if diff := cmp.Diff(want, get(t, s, sp)); diff != "" || len(want) != 300 {
		t.Errorf("%d pages (-before +after):\n%s", len(want), diff)
	}
	if b, err := s.Meta("layout"); string(b) != "6 and 4" || err != nil {
		t.Errorf("meta %q, %v", b, err)
	}
	if b, err := s.Meta("nothing"); b != nil || err != nil {
		t.Errorf("meta that is not there: %q, %v", b, err)
	}
}

func TestPartitionsAreSavedAndLoadedAtOnce(t *testing.T) { // with -race
	s := open(t, t.TempDir())
	var g sync.WaitGroup
	for p := range int32(4) {
		g.Go(func() {
			sp := Space{'b', p}
			for i := range 30 {
				put(t, s, sp, strconv.Itoa(i), numbered(100, fmt.Sprint(p, " ", i)))
				if err := s.SetMeta(fmt.Sprint("meta", p), []byte("x")); err != nil {
					t.Error(err)
				}
				if got := get(t, s, sp); got["page-042"] != fmt.Sprint(p, " ", i) || got[""] != strconv.Itoa(i) {
					t.Errorf("partition %d after checkpoint %d: %q at %q", p, i, got["page-042"], got[""])
				}
			}
		})
	}
	g.Wait()
}

func TestANewerFormatIsRefused(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.SetMeta("format", []byte{Format + 1}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if s, err := Open(s.dir); err == nil {
		s.Close()
		t.Error("opened")
	} else if !strings.Contains(err.Error(), "format") || !strings.Contains(err.Error(), "newer binary") {
		t.Errorf("%v does not say what to do", err)
	}
}

func TestADirectoryInUseNamesItsUser(t *testing.T) {
	s := open(t, t.TempDir())
	if _, err := Open(s.dir); err == nil ||
		!strings.Contains(err.Error(), "in use by process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("%v does not name process %d", err, os.Getpid())
	}
	put(t, s, Space{'b', 1}, "1", numbered(3, "v")) // and the owner goes on
}

func TestADamagedDirectoryIsNotSaidToBeInUse(t *testing.T) {
	s := open(t, t.TempDir())
	put(t, s, Space{'b', 1}, "1", numbered(300, strings.Repeat("v", 1000)))
	s.Close()
	// Of a damaged table Badger panics in a goroutine of its own; of a damaged manifest it says so.
	if err := os.WriteFile(filepath.Join(s.dir, "MANIFEST"), []byte("a block of something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "LOCK"), []byte("12345\n"), 0o600); err != nil {
		// as a killed process leaves it
		t.Fatal(err)
	}
	s, err := Open(s.dir)
	if err == nil {
		s.Close()
		t.Fatal("opened")
	}
	if strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), "move the directory away") {
		t.Errorf("%v", err)
	}
}

func TestADirectoryThatCannotBeWrittenIsSaidToBe(t *testing.T) {
	if os.Getuid() == 0 {
		// Root may write anywhere but into a file.
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(file); err == nil || !strings.Contains(err.Error(), "state directory") ||
			!strings.Contains(err.Error(), file) {
			t.Errorf("%v does not say what is wrong with %s", err, file)
		}
		return
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "cannot be written") ||
		!strings.Contains(err.Error(), dir) {
		t.Errorf("%v does not say what is wrong with %s", err, dir)
	}
}

func TestAFlippedBitIsAnError(t *testing.T) {
	for name, kind := range map[string]byte{"page": kindPage, "marker": kindMarker} {
		t.Run(name, func(t *testing.T) {
			s := open(t, "")
			sp := Space{'b', 1}
			put(t, s, sp, "marker", map[string]string{"page": "value"})
			key := sp.prefix(kind)
			if kind == kindPage {
				key = append(key, "page"...)
			}
			// Under the version of the marker, as a disk would do it.
			tx := s.db.NewTransactionAt(math.MaxUint64, true)
			it, err := tx.Get(key)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := it.ValueCopy(nil)
			b[len(b)-1] ^= 1
			if err := tx.Set(bytes.Clone(key), b); err != nil {
				t.Fatal(err)
			}
			if err := tx.CommitAt(it.Version(), nil); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Load(sp, func(string, []byte) error { return nil }); !errors.Is(err, ErrCorrupt) {
				t.Errorf("Load says %v, want ErrCorrupt", err)
			}
			if _, _, _, err := s.Changes(sp); !errors.Is(err, ErrCorrupt) {
				t.Errorf("Changes says %v, want ErrCorrupt", err)
			}
			if err := s.Forget(sp); err != nil {
				t.Errorf("and cannot be forgotten: %v", err)
			}
			if got := get(t, s, sp); len(got) != 0 {
				t.Errorf("after Forget there are %v", got)
			}
		})
	}
}

func BenchmarkCheckpoint(b *testing.B) {
	s := open(b, b.TempDir())
	var pages []Page
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 4000 {
		v := make([]byte, 1024)
		for j := range v {
			v[j] = byte(r.Uint32())
		}
		pages = append(pages, Page{fmt.Sprintf("atenant|agent-%05d", i), v})
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if err := s.Checkpoint(Space{'b', 1}, slices.Values(pages), []byte(strconv.Itoa(i))); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(pages))/b.Elapsed().Seconds(), "pages/s")
}

func BenchmarkLoad(b *testing.B) {
	s := open(b, b.TempDir())
	var pages []Page
	for i := range 10_000 {
		pages = append(pages, Page{fmt.Sprintf("atenant|agent-%05d", i), bytes.Repeat([]byte{byte(i)}, 1024)})
	}
	if err := s.Checkpoint(Space{'b', 1}, slices.Values(pages), []byte("1")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if _, err := s.Load(Space{'b', 1}, func(string, []byte) error { n++; return nil }); err != nil || n != 10_000 {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(b.N*len(pages))/b.Elapsed().Seconds(), "pages/s")
}
