package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	badger "github.com/dgraph-io/badger/v4"
)

// Errors that Open wraps when it refuses a directory; damage is ErrCorrupt.
var (
	ErrInUse = errors.New("another process has it open")
	ErrNewer = errors.New("a newer binary wrote it")
)

// causedBy is an error whose message does not name its cause; errors.Is finds it.
type causedBy struct {
	error
	why error
}

func (b causedBy) Unwrap() error { return b.why }

// Exists reports whether a directory holds a store, or what is left of one.
func Exists(dir string) bool {
	for _, pattern := range []string{"MANIFEST", "KEYREGISTRY", "*.sst", "*.mem", "*.vlog"} {
		if found, _ := filepath.Glob(filepath.Join(dir, pattern)); len(found) > 0 {
			return true
		}
	}
	return false
}

// Open opens or creates the store in a directory, which it locks. An empty dir keeps everything in
// memory.
func Open(dir string) (*Store, error) {
	if dir == "" {
		return OpenOn("", nil)
	}
	return OpenOn(dir, NewDisk(1, dir)) // what opening and a write need, and no more
}

// OpenOn opens a store on a watched disk.
func OpenOn(dir string, disk *Disk) (*Store, error) {
	o := badgerOptions(dir)
	if dir == "" {
		o = o.WithInMemory(true).WithSyncWrites(false)
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w; give --state a directory that this user may write", err)
	} else if f, err := os.CreateTemp(dir, ".writable-*"); err != nil {
		return nil, fmt.Errorf(
			"state directory %s cannot be written: %w; check its owner, the mount and the free space", dir, err)
	} else {
		f.Close()
		os.Remove(f.Name())
	}
	if dir != "" {
		disk.watchAnew(dir)
		o = fitToDisk(o, dir, disk)
		if pid := lockHolder(dir); pid != "" { // before files are read, which would change meanwhile
			return nil, causedBy{
				fmt.Errorf("state directory %s is in use by process %s; every instance needs a directory of its own",
					dir, pid), ErrInUse}
		}
		if err := disk.Look().Problem(); err != nil {
			return nil, fmt.Errorf("state directory: %w", err)
		}
		if err := verifyFiles(o); err != nil {
			return nil, causedBy{fmt.Errorf("state in %s is damaged: %w; %s", dir, err, rebuildHint), ErrCorrupt}
		}
	}
	db, err := openBadger(o)
	if err != nil {
		if pid, e := os.ReadFile(filepath.Join(dir, "LOCK")); e == nil && len(pid) > 0 && isLocked(err) {
			return nil, causedBy{
				fmt.Errorf("state directory %s is in use by process %s; every instance needs a directory of its own",
					dir, string(trim(pid))), ErrInUse}
		}
		if dir != "" && disk.Look().Problem() != nil {
			return nil, fmt.Errorf("state directory: %w", disk.Look().Problem())
		}
		return nil, causedBy{fmt.Errorf("state in %s does not open: %w; %s", dir, err, rebuildHint), ErrCorrupt}
	}
	s := &Store{db: db, dir: dir, disk: disk, memtable: o.MemTableSize, version: db.MaxVersion(),
		markers: map[Space]uint64{}, copied: map[Space]uint64{}}
	if dir != "" {
		err = s.reserve()
	}
	if err == nil {
		err = catchFaults(s.start)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func isLocked(err error) bool { return strings.Contains(err.Error(), "Cannot acquire directory lock") }

func trim(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == ' ') {
		b = b[:len(b)-1]
	}
	return b
}

// start checks the format and reads the versions of the markers and of the changelog.
func (s *Store) start() error {
	b, err := s.Meta("format")
	if err != nil {
		return err
	}
	if b == nil {
		if err := s.SetMeta("format", []byte{Format}); err != nil {
			return err
		}
	} else if len(b) != 1 {
		return fmt.Errorf("format of the state in %s: %w", s.dir, ErrCorrupt)
	} else if b[0] > Format {
		return causedBy{
			fmt.Errorf(
				"state in %s has format %d, this binary knows up to %d; run the newer binary, or move the directory away to rebuild",
				s.dir, b[0], Format), ErrNewer}
	}
	tx := s.db.NewTransactionAt(math.MaxUint64, false)
	defer tx.Discard()
	it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte{kindMarker}})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if sp, ok := spaceOf(it.Item().Key()); ok {
			s.markers[sp] = it.Item().Version()
		}
	}
	copies := tx.NewIterator(badger.IteratorOptions{Prefix: []byte{kindCopied}})
	defer copies.Close()
	for copies.Rewind(); copies.Valid(); copies.Next() {
		sp, ok := spaceOf(copies.Item().Key())
		if !ok {
			continue
		}
		if b, err = unsealed(copies.Item()); err != nil || len(b) != 8 {
			return fmt.Errorf("changelog position of partition %d: %w", sp.Partition, ErrCorrupt)
		}
		s.copied[sp] = binary.BigEndian.Uint64(b)
	}
	return nil
}

// Scratch opens an empty store in a new directory below dir ("": the system's temporary directory),
// for pages that need not outlive the process. Close removes it.
func Scratch(dir string) (*Store, error) {
	dir, err := os.MkdirTemp(dir, "wayward-scratch-*")
	if err != nil {
		return nil, fmt.Errorf("directory for what does not fit into memory: %w; set TMPDIR to one with room", err)
	}
	const memtable = 16 << 20
	disk := NewDisk(1, dir)
	disk.watchAnew(dir)
	disk.need = max(disk.need, 5*memtable/2)
	db, err := badger.OpenManaged(badgerOptions(dir).WithSyncWrites(false).WithMemTableSize(memtable).WithNumCompactors(2))
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf(
			"store for what does not fit into memory, in %s: %w; set TMPDIR to a directory with room", dir, err)
	}
	return &Store{db: db, dir: dir, disk: disk, memtable: memtable, scratch: true, markers: map[Space]uint64{},
		copied: map[Space]uint64{}}, nil
}

// closeTimeout is how long Badger may take to write what it has in memory: where files are gone it
// tries for ever.
const closeTimeout = 6 * time.Second

// Close flushes and unlocks. Without room for that it does not begin, since Badger would end the
// process: the disk is left as after a crash, and the next Open goes on from it.
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
	go func() { done <- catchFaults(s.db.Close) }()
	t := time.NewTimer(closeTimeout)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return fmt.Errorf(
			"state in %s was not closed within %s and is left as it is: the next start goes on from the last checkpoint; see to the disk",
			s.dir, closeTimeout)
	}
}
