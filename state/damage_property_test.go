package state

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallOn is a disk of which a test says how large it is and what is free.
func smallOn(dir string, free func() int64) *Disk {
	d := NewDisk(1, dir)
	d.Statfs = func(string) (int64, int64, error) { return free(), 512 << 20, nil }
	return d
}

func plenty() int64 { return 256 << 20 }

// generations fills a store with checkpoints, each of which writes every page anew, so that what
// was loaded tells of which one it is.
func generations(t *testing.T, dir string, n int, closed bool) {
	t.Helper()
	s, err := OpenOn(dir, smallOn(dir, plenty))
	if err != nil {
		t.Fatal(err)
	}
	for g := range n {
		for p := range int32(3) {
			if err := s.Checkpoint(Space{'b', p}, generation(g), fmt.Appendf(nil, "%d", g)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if closed {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Cleanup(func() { s.Close() })
}

func generation(g int) func(yield func(Page) bool) {
	return func(yield func(Page) bool) {
		r := rand.New(rand.NewPCG(uint64(g), 7))
		for i := range 60 {
			value := fmt.Appendf(nil, "%d|", g)
			for range 700 {
				value = append(value, byte(r.Uint32()))
			}
			if !yield(Page{fmt.Sprintf("page-%03d", i), value}) {
				return
			}
		}
	}
}

// copyStore copies a store's files, holes and all, as a crash would leave them if it is open.
func copyStore(t *testing.T, from, to string) {
	t.Helper()
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(from, f.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		n := len(bytes.TrimRight(b, "\x00"))
		name := filepath.Join(to, f.Name())
		if err := os.WriteFile(name, b[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, int64(len(b))); err != nil {
			t.Fatal(err)
		}
	}
}

// damage does to one file of a store what disks, file systems and people do.
func damage(t *testing.T, r *rand.Rand, dir string) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	f := files[r.IntN(len(files))]
	name := filepath.Join(dir, f.Name())
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	full := len(bytes.TrimRight(b, "\x00"))
	what := ""
	switch at := r.IntN(full + 1); r.IntN(6) {
	case 0:
		what, b = fmt.Sprintf("cut at %d of %d", at, len(b)), b[:at]
	case 1:
		what, b = "emptied", nil
	case 2:
		what = "removed"
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		return f.Name() + " " + what
	case 3:
		n := min(4096, len(b)-at)
		what = fmt.Sprintf("%d bytes zeroed at %d of %d", n, at, len(b))
		clear(b[at : at+n])
	case 4:
		n := min(512, len(b)-at)
		what = fmt.Sprintf("%d bytes of noise at %d of %d", n, at, len(b))
		for i := range n {
			b[at+i] = byte(r.Uint32())
		}
	default:
		if at >= len(b) {
			return f.Name() + " untouched"
		}
		what = fmt.Sprintf("a bit flipped at %d of %d", at, len(b))
		b[at] ^= 1 << r.IntN(8)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return f.Name() + " " + what
}

// Whatever happens to a file of a store, opening it is an error that says what to do, or what it
// holds is a checkpoint: all of it, and of one moment. Nothing ends the process.
func TestDamageIsAnErrorOrNoDamage(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds")
	}
	const last = 60
	var stores [2]string
	for i := range stores {
		live := t.TempDir()
		generations(t, live, last+1, i == 0)
		stores[i] = t.TempDir()
		copyStore(t, live, stores[i])
		for _, pattern := range []string{"*.sst", "*.vlog"} {
			if found, _ := filepath.Glob(filepath.Join(stores[i], pattern)); len(found) == 0 {
				t.Fatalf("store %d has no %s to damage", i, pattern)
			}
		}
	}
	refused, older, whole := 0, 0, 0
	for seed := range uint64(90) {
		r := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		copyStore(t, stores[seed%2], dir)
		var done []string
		for range 1 + r.IntN(2) {
			done = append(done, damage(t, r, dir))
		}
		what := fmt.Sprintf("seed %d: %s", seed, strings.Join(done, ", "))
		s, err := OpenOn(dir, smallOn(dir, plenty))
		if err != nil {
			refused++
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), dir) ||
				!strings.Contains(err.Error(), "state rebuild") {
				t.Errorf("%s: the error does not say where and what to do: %v", what, err)
			}
		} else {
			for p := range int32(3) {
				pages := map[string]string{}
				marker, err := s.Load(Space{'b', p}, func(key string, value []byte) error {
					pages[key] = string(value)
					return nil
				})
				if err != nil {
					if refused++; !errors.Is(err, ErrCorrupt) {
						t.Errorf("%s: %v", what, err)
					}
					continue
				}
				switch g := -1; {
				case marker == nil && len(pages) == 0:
					older++
				default:
					fmt.Sscan(string(marker), &g)
					if g == last {
						whole++
					} else {
						older++
					}
					want := map[string]string{}
					for pg := range generation(g) {
						want[pg.Key] = string(pg.Value)
					}
					if len(want) != len(pages) {
						t.Errorf("%s: partition %d has %d pages at checkpoint %q", what, p, len(pages), marker)
					}
					for k, v := range want {
						if pages[k] != v {
							t.Errorf("%s: partition %d: %s is not that of checkpoint %q", what, p, k, marker)
							break
						}
					}
				}
			}
			if err := s.Close(); err != nil {
				t.Errorf("%s: closing: %v", what, err)
			}
		}
		if err := os.RemoveAll(dir); err != nil { // what rebuild does
			t.Fatal(err)
		}
		if s, err = OpenOn(dir, smallOn(dir, plenty)); err != nil {
			t.Fatalf("%s: after rebuild: %v", what, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: after rebuild: %v", what, err)
		}
	}
	t.Logf("%d refused, %d partitions older, %d whole", refused, older, whole)
	if refused < 30 || whole < 10 {
		t.Errorf("%d refused, %d whole: the test has lost its teeth", refused, whole)
	}
}

func TestWhatIsLeftOfAStoreIsNoNewOne(t *testing.T) {
	dir := t.TempDir()
	generations(t, dir, 60, true)
	if err := os.Remove(filepath.Join(dir, "MANIFEST")); err != nil {
		t.Fatal(err)
	}
	if !Exists(dir) {
		t.Error("tables without a MANIFEST are taken for no state")
	}
	if s, err := OpenOn(dir, smallOn(dir, plenty)); err == nil {
		s.Close()
		t.Error("it was opened as an empty one")
	} else if !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}

func TestNothingIsWrittenWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	free := int64(200 << 20)
	s, err := OpenOn(dir, smallOn(dir, func() int64 { return free }))
	if err != nil {
		t.Fatal(err)
	}
	sp := Space{'r', 1}
	if err := s.Checkpoint(sp, generation(1), []byte("1")); err != nil {
		t.Fatal(err)
	}
	free = 3 << 20
	for name, write := range map[string]func() error{
		"checkpoint": func() error { return s.Checkpoint(sp, generation(2), []byte("2")) },
		"meta":       func() error { return s.SetMeta("layout", []byte("x")) },
		"copied":     func() error { return s.Copied(sp, 1) },
		"forget":     func() error { return s.Forget(sp) },
		"close":      s.Close,
	} {
		if err := write(); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), dir) ||
			!strings.Contains(err.Error(), "3.0 MiB free") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !s.Short() {
		t.Error("it is not short")
	}
	if _, err := OpenOn(t.TempDir(), smallOn(dir, func() int64 { return free })); !errors.Is(err, ErrFull) {
		t.Errorf("a store was opened without room: %v", err)
	}
	// The copy is what the next start finds.
	after := t.TempDir()
	copyStore(t, dir, after)
	free = 200 << 20
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	next, err := OpenOn(after, smallOn(after, plenty))
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	n := 0
	marker, err := next.Load(sp, func(string, []byte) error { n++; return nil })
	if err != nil || string(marker) != "1" || n != 60 {
		t.Errorf("after the disk was full: marker %q, %d pages, %v", marker, n, err)
	}
}

func TestRemovedFilesAreNoticed(t *testing.T) {
	for name, remove := range map[string]func(dir string) error{
		"the directory": os.RemoveAll,
		"its contents": func(dir string) error {
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			for _, f := range files {
				err = errors.Join(err, os.Remove(f))
			}
			return err
		},
		"replaced by another": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			s, err := OpenOn(dir, smallOn(dir, plenty))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Checkpoint(Space{'b', 0}, generation(1), []byte("1")); err != nil {
				t.Fatal(err)
			}
			if err := remove(dir); err != nil {
				t.Fatal(err)
			}
			for what, err := range map[string]error{"checkpoint": s.Checkpoint(Space{'b', 0}, generation(2),
				[]byte("2")), "close": s.Close()} {
				if !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), dir) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

func TestTheRoomToKeepFollowsTheDisk(t *testing.T) {
	for _, c := range []struct {
		min, free, total, want int64
		short, low             bool
	}{
		{0, 60 << 20, 64 << 20, 16 << 20, false, false},
		{0, 20 << 20, 64 << 20, 16 << 20, false, true},
		{0, 15 << 20, 64 << 20, 16 << 20, true, false},
		{0, 1 << 40, 1 << 40, 256 << 20, false, false},
		{0, 200 << 20, 1 << 40, 256 << 20, true, false},
		{0, 100 << 20, 2 << 30, 128 << 20, true, false},
		{1 << 30, 2 << 30, 1 << 40, 1 << 30, false, false},
		{1 << 30, 1<<30 - 1, 1 << 40, 1 << 30, true, false},
	} {
		d := NewDisk(c.min, t.TempDir())
		d.Statfs = func(string) (int64, int64, error) { return c.free, c.total, nil }
		r := d.Look()
		if r.Min != c.want || r.Short != c.short || r.Low != c.low || (r.Problem() != nil) != c.short {
			t.Errorf("%+v: %+v, %v", c, r, r.Problem())
		}
	}
}

func TestTheNewestLogHasItsBlocks(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenOn(dir, smallOn(dir, plenty))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	check := func() {
		t.Helper()
		logs, _ := filepath.Glob(filepath.Join(dir, "*.mem"))
		info, err := os.Stat(slices.Max(logs))
		if err != nil {
			t.Fatal(err)
		}
		if got := blocks(info); got < s.memtable {
			t.Errorf("%s has %d bytes on disk, want at least %d: writing beyond them on a full disk is SIGBUS",
				info.Name(), got, s.memtable)
		}
	}
	check()
	for g := range 90 { // through several memtables
		if err := s.Checkpoint(Space{'b', 0}, generation(g), []byte("x")); err != nil {
			t.Fatal(err)
		}
		if g%30 == 29 {
			if err := s.SetMeta("x", nil); err != nil {
				t.Fatal(err)
			}
			check()
		}
	}
}

func blocks(info os.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Blocks * 512
	}
	return 0
}

// A real file system that is full, where it may be mounted: nothing here may end the process.
// filesOf are the files of a directory with their sizes and times.
func filesOf(dir string) string {
	var b strings.Builder
	list, _ := os.ReadDir(dir)
	for _, f := range list {
		if info, err := f.Info(); err == nil {
			fmt.Fprintln(&b, f.Name(), info.Size(), info.ModTime())
		}
	}
	return b.String()
}

func TestAFullDiskIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	store := filepath.Join(dir, "store")
	disk := NewDisk(0, store)
	s, err := OpenOn(store, disk)
	if err != nil {
		t.Fatal(err)
	}
	filled := 0
	for err == nil && filled < 1000 {
		// Random pages of one checkpoint after the other, and somebody else's file that grows.
		for p := range int32(3) {
			if err = s.Checkpoint(Space{'b', p}, generation(filled), fmt.Appendf(nil, "%d", filled)); err != nil {
				break
			}
		}
		f, e := os.OpenFile(filepath.Join(dir, "other"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if e == nil {
			f.Write(make([]byte, 512<<10))
			f.Close()
		}
		filled++
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("after %d checkpoints: %v", filled, err)
	}
	t.Log(filled, err)
	// What Badger flushes or compacts at this moment would meet a SIGBUS that nobody can catch:
	// only when its files stand still is all that is left taken away.
	for still, was := 0, ""; still < 20; time.Sleep(50 * time.Millisecond) {
		now := filesOf(store)
		if still++; now != was {
			still, was = 0, now
		}
	}
	for { // and now to the last byte
		f, err := os.OpenFile(filepath.Join(dir, "other"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write(make([]byte, 64<<10))
		f.Close()
		if err != nil {
			break
		}
	}
	if err := s.SetMeta("x", []byte("y")); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	if err := s.Close(); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	if s2, err := Open(store); err == nil {
		s2.Close()
		t.Error("opened on a full disk, and twice")
	}
	after := t.TempDir()
	copyStore(t, store, after)
	next, err := Open(after)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	marker, err := next.Load(Space{'b', 0}, func(string, []byte) error { return nil })
	if err != nil || len(marker) == 0 {
		t.Errorf("marker %q, %v", marker, err)
	}
}
