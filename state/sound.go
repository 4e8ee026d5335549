package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2/z"
	"golang.org/x/sys/unix"
)

// What damage and a full disk do to Badger: it reads and writes its files by mmap, in goroutines of
// its own. Beyond the end of a file that was cut, or of a disk that is full, that is SIGBUS, and of
// a wrong length it is a panic: both end the process, and nobody can catch them there. So before
// Badger gets a directory its files are read here, where they can be caught; and before it writes,
// the file that it writes to has its blocks.

const whatToDo = "run wayward state rebuild, or move the directory away: the next start makes it anew from the changelog, or from the journal and events"

// Badger's memtable on a disk of ordinary size, and on one so small that a file of that size would
// fill it.
const (
	memtable      = 32 << 20
	smallMemtable = 4 << 20
	smallDisk     = 1 << 30
)

func layoutOf(dir string) badger.Options {
	return badger.DefaultOptions(dir).WithLogger(nil).WithDetectConflicts(false).WithCompression(0).
		WithMemTableSize(memtable).WithNumMemtables(2).WithBlockCacheSize(0).WithSyncWrites(true).WithMetricsEnabled(
		false).
		// a damaged table is an error of Open, not a panic of a compaction later
		WithChecksumVerificationMode(options.OnTableRead)
}

// sized fits Badger to the disk, and says how much room a write needs.
func sized(o badger.Options, dir string, disk *Disk) badger.Options {
	size := int64(memtable)
	if _, total, err := disk.Statfs(dir); err == nil && total < smallDisk {
		size = smallMemtable
		// What an instance on a larger disk left must fit into memory again.
		logs, _ := filepath.Glob(filepath.Join(dir, "*.mem"))
		for _, name := range logs {
			if info, err := os.Stat(name); err == nil {
				size = min(max(size, info.Size()), memtable)
			}
		}
		o = o.WithValueThreshold(256 << 10).WithValueLogFileSize(64 << 20).WithBaseTableSize(1 << 20).WithNumCompactors(
			2)
	}
	disk.mu.Lock()
	// A memtable that is full becomes a table, while the next one is filled: both, and a little.
	disk.need = max(disk.need, 5*size/2)
	disk.mu.Unlock()
	return o.WithMemTableSize(size)
}

// guarded makes an error of what a damaged file does to a goroutine of ours.
func guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			what := fmt.Sprint(r)
			if e, ok := r.(runtime.Error); ok {
				what = e.Error()
			}
			what, _, _ = strings.Cut(strings.TrimSpace(what), "\n")
			if strings.Contains(what, "Recovering from initIndex") {
				// Badger's own words for a table whose end is not what it should be
				what = "its index cannot be read"
			}
			err = because{fmt.Errorf("the file is cut or damaged (%.200s)", what), ErrCorrupt}
		}
	}()
	return do()
}

func openBadger(o badger.Options) (db *badger.DB, err error) {
	err = guarded(func() (err error) { db, err = badger.OpenManaged(o); return err })
	return db, err
}

// holder is the process that has a store open; "": none.
func holder(dir string) string {
	f, err := os.Open(dir)
	if err != nil {
		return ""
	}
	defer f.Close()
	// Badger's own lock: taken and given back at once, it will be asked for again.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		unix.Flock(int(f.Fd()), unix.LOCK_UN)
		return ""
	} else if !errors.Is(err, unix.EWOULDBLOCK) {
		return ""
	}
	pid, err := os.ReadFile(filepath.Join(dir, "LOCK"))
	if err != nil || len(trim(pid)) == 0 {
		return "unknown"
	}
	return string(trim(pid))
}

// sound reads the files of a store as Badger will, and finds those that are not what they should
// be.
func sound(o badger.Options) error {
	if !Exists(o.Dir) {
		return nil
	}
	f, err := os.Open(filepath.Join(o.Dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		// Badger would take the directory for a new one, and the logs that lie there for all there
		// is.
		return errors.New("the file MANIFEST is missing")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var manifest badger.Manifest
	var end int64
	if err := guarded(func() (err error) { manifest, end, err = badger.ReplayManifestFile(f, 0, o); return err }); err != nil {
		return fmt.Errorf("MANIFEST: %w", err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != end {
		return fmt.Errorf("MANIFEST is whole up to byte %d only, and what it says of tables behind that is lost", end)
	}
	ids := make([]uint64, 0, len(manifest.Tables))
	for id := range manifest.Tables {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		name := table.NewFilename(id, o.Dir)
		if err := guarded(func() error { return soundTable(o, name, manifest.Tables[id].Compression) }); err != nil {
			return fmt.Errorf("table %s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

// soundTable opens a table and reads all of it. Its compression is that of who wrote it.
func soundTable(o badger.Options, name string, c options.CompressionType) error {
	f, err := z.OpenMmapFile(name, os.O_RDWR, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fs.ErrNotExist
		}
		return err
	}
	if len(f.Data) < 16 {
		f.Close(-1)
		return fmt.Errorf("%d bytes are no table", len(f.Data))
	}
	closed := false
	defer func() {
		if !closed { // OpenTable panicked
			f.Close(-1)
		}
	}()
	t, err := table.OpenTable(f, table.Options{BlockSize: o.BlockSize, Compression: c,
		BloomFalsePositive: o.BloomFalsePositive, TableSize: uint64(o.BaseTableSize), ChkMode: options.OnTableRead})
	if err != nil {
		closed = strings.Contains(err.Error(), "checksum")
		return err
	}
	closed = true
	return t.Close(-1)
}

// reserve sees that there is room for a write before Badger begins it, and gives its newest log the
// blocks that it will write to.
func (s *Store) reserve() error {
	if s.disk == nil {
		return nil
	}
	if err := s.disk.Look().Problem(); err != nil {
		return err
	}
	logs, err := filepath.Glob(filepath.Join(s.dir, "*.mem"))
	if err != nil || len(logs) == 0 {
		return err
	}
	newest := slices.Max(logs) // numbers of five digits
	s.mu.Lock()
	defer s.mu.Unlock()
	if newest == s.reserved {
		return nil
	}
	f, err := os.OpenFile(newest, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // flushed meanwhile
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// Keeping its size, which is twice that of the memtable; it is full somewhat above once.
	err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, 5*s.memtable/4)
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%s cannot be given %s: %w (%w)", newest, mebibytes(5*s.memtable/4), ErrFull, err)
	case err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINTR):
		return fmt.Errorf("%s cannot be given its blocks: %w", newest, err)
	}
	s.reserved = newest
	return nil
}

// Short reports whether there is no room, or no directory, to save anything.
func (s *Store) Short() bool { return s.disk != nil && s.disk.Look().Problem() != nil }

// closing is how long Badger may take to write what it has in memory: where files are gone it tries
// for ever.
const closing = 6 * time.Second

// Close flushes and unlocks. Where there is no room for that it does not begin, since it would end
// the process: what is on disk is what a crash would leave, and the next Open goes on from it.
func (s *Store) Close() error {
	if s.scratch {
		return errors.Join(s.db.Close(), os.RemoveAll(s.dir))
	}
	if s.disk != nil {
		r := s.disk.Look()
		if r.Err != nil || r.Free < 3*s.memtable/2 {
			return fmt.Errorf("state is left as it is: %w", r.Problem())
		}
	}
	done := make(chan error, 1)
	go func() { done <- guarded(s.db.Close) }()
	t := time.NewTimer(closing)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return fmt.Errorf(
			"state in %s was not closed within %s and is left as it is: the next start goes on from the last checkpoint; see to the disk",
			s.dir, closing)
	}
}
