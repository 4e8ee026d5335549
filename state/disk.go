package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Errors that Room.Problem wraps.
var (
	ErrFull = errors.New("too little room on the disk")
	ErrGone = errors.New("files of a running instance were removed")
)

// Bounds of the room that is kept free on a file system for writes that are under way when it becomes
// short: one sixteenth of it, if the config does not say.
const (
	leastRoom = 16 << 20
	mostRoom  = 256 << 20
)

// Disk watches directories of a running instance: that there is room on their file systems, and
// that they are still the same. Badger writes by mmap, where a full disk is no error but SIGBUS,
// which ends the process in the middle of whatever it does: so there must be room before it writes.
type Disk struct {
	// Statfs returns how many bytes of a directory's file system are free for this user, and how many
	// there are. Tests replace it.
	Statfs func(dir string) (free, total int64, err error)

	min  int64 // 0: by the size of the file system
	dirs []string

	mu   sync.Mutex
	seen map[string]os.FileInfo
	need int64 // what one write may take
	room Room
}

// Room is what a look at the disk found: of several directories the one with the least to spare.
type Room struct {
	Dir             string
	Free, Min       int64
	Short, Critical bool  // less than Min; so little that even what is under way may not fit
	Low             bool  // not short, but less than twice Min
	Err             error // of a directory that is gone, or of asking
}

// NewDisk watches directories; one that does not exist yet from when it does. min is the room to keep
// free, in bytes; 0: a sixteenth of the file system, from 16 to 256 MiB.
func NewDisk(min int64, dirs ...string) *Disk {
	return &Disk{Statfs: statfs, min: min, dirs: dirs, seen: map[string]os.FileInfo{}}
}

func statfs(dir string) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, nil
}

// Look measures the disk now. A nil Disk, that of a store in memory, has room.
func (d *Disk) Look() Room {
	if d == nil {
		return Room{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = Room{}
	first := true
	for _, dir := range d.dirs {
		r := d.look(dir)
		if first || r.Err != nil && d.room.Err == nil || d.room.Err == nil && r.Free-r.Min < d.room.Free-d.room.Min {
			d.room, first = r, false
		}
	}
	return d.room
}

// watchAnew forgets which directory was there: whoever opens a store may have replaced it.
func (d *Disk) watchAnew(dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.seen, dir)
}

func (d *Disk) look(dir string) Room {
	r := Room{Dir: dir}
	info, err := os.Stat(dir)
	switch was := d.seen[dir]; {
	case err == nil && was == nil:
		if !empty(dir) {
			d.seen[dir] = info
		}
	case errors.Is(err, fs.ErrNotExist) && was == nil:
	case errors.Is(err, fs.ErrNotExist), err == nil && (!os.SameFile(was, info) || empty(dir)):
		r.Err = fmt.Errorf(
			"%s was removed or replaced while this instance runs: %w; nothing more can be saved there. Stop what removes it, and start wayward again: "+
				"state is made anew from Kafka; what an embedded broker held is lost", dir, ErrGone)
		return r
	case err != nil:
		r.Err = fmt.Errorf("%s cannot be looked at: %w; see to its permissions and the mount", dir, err)
		return r
	}
	at := dir
	for errors.Is(err, fs.ErrNotExist) && filepath.Dir(at) != at {
		at = filepath.Dir(at)
		_, err = os.Stat(at)
	}
	free, total, err := d.Statfs(at)
	if err != nil {
		r.Err = fmt.Errorf("free space of %s cannot be told: %w", at, err)
		return r
	}
	r.Free = free
	r.Min = d.min
	if r.Min == 0 {
		r.Min = min(max(total/16, leastRoom), mostRoom)
	}
	r.Min = max(r.Min, d.need)
	r.Short, r.Critical, r.Low = free < r.Min, free < r.Min/4, free >= r.Min && free < 2*r.Min
	return r
}

// empty reports whether a directory is empty: removing a mount point leaves it so.
func empty(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	return errors.Is(err, io.EOF)
}

// Problem is why nothing can be saved, and what to do; nil: all is well.
func (r Room) Problem() error {
	switch {
	case r.Err != nil:
		return r.Err
	case r.Short:
		return fmt.Errorf(
			"%s has %s free and needs %s (disk_free_min): %w. Make room there, or set state to a larger disk; nothing is lost, the next start goes on from the last checkpoint and Kafka",
			r.Dir, mebibytes(r.Free), mebibytes(r.Min), ErrFull)
	}
	return nil
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// OnDisk is how many bytes a directory takes on disk, by allocated blocks: open files of Badger are
// longer than what is in them, and its own count lags.
func OnDisk(dir string) (n int64) {
	filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile
		}
		if info, err := e.Info(); err == nil {
			if s, ok := info.Sys().(*syscall.Stat_t); ok {
				n += s.Blocks * 512
			}
		}
		return nil
	})
	return n
}

// reserve checks that there is room before Badger begins a write, and allocates the blocks of its
// newest log.
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
	// The file keeps its size, twice that of the memtable. Badger fills a little more than one memtable.
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
