package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Why nothing can be saved any more; wrapped by what Disk says.
var (
	ErrFull = errors.New("too little room on the disk")
	ErrGone = errors.New("files of a running instance were removed")
)

// Room on a file system is kept for what is under way when it becomes short. By itself it is one
// sixteenth of it, within these bounds.
const (
	leastRoom = 16 << 20
	mostRoom  = 256 << 20
)

// Disk watches directories of a running instance: that there is room on their file systems, and
// that they are still the same. Badger writes by mmap, where a full disk is no error but SIGBUS,
// which ends the process in the middle of whatever it does: so there must be room before it writes.
type Disk struct {
	// Statfs tells how many bytes of a directory's file system are free for this user, and how many
	// there are. A test has its own.
	Statfs func(dir string) (free, total int64, err error)

	min  int64 // 0: by the size of the file system
	dirs []string

	mu    sync.Mutex
	known map[string]os.FileInfo
	need  int64 // what one write may take
	room  Room
}

// Room is what a look at the disk found: of several directories the one with the least to spare.
type Room struct {
	Dir             string
	Free, Min       int64
	Short, Critical bool  // less than Min; so little that even what is under way may not fit
	Low             bool  // not short, but less than twice Min
	Err             error // of a directory that is gone, or of asking
}

// NewDisk watches directories, those that are not there yet from when they are. min is the room to
// be kept free; 0 takes a sixteenth of the file system, from 16 to 256 MiB.
func NewDisk(min int64, dirs ...string) *Disk {
	return &Disk{Statfs: statfs, min: min, dirs: dirs, known: map[string]os.FileInfo{}}
}

func statfs(dir string) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, nil
}

// Look looks at the disk now. A nil Disk, that of a store in memory, has room.
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

// begin takes a directory as it is now: what stood there before may have been thrown away by who
// opens it.
func (d *Disk) begin(dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.known, dir)
}

func (d *Disk) look(dir string) Room {
	r := Room{Dir: dir}
	info, err := os.Stat(dir)
	switch was := d.known[dir]; {
	case err == nil && was == nil:
		if !empty(dir) {
			d.known[dir] = info
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

// empty reports whether there is nothing in a directory: that is how a removal leaves one that is a
// mount point.
func empty(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	return errors.Is(err, io.EOF)
}

// Problem is why nothing can be saved, with what to do; nil: it can.
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

// OnDisk is what a directory takes on disk. Badger's files are longer than what is in them while it
// has them open, and its own count comes late.
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
