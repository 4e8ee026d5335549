package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"golang.org/x/sys/unix"
)

// Badger reads and writes its files by mmap, in goroutines of its own. Beyond the end of a file that
// was cut, or on a disk that is full, that is SIGBUS; a wrong length in a file is a panic. Both end
// the process, and nobody can catch them there. So the files of a directory are read in a goroutine
// of ours before Badger gets them (verify.go), and before Badger writes, the file that it writes to
// has its blocks (Store.reserve).

const rebuildHint = "run wayward state rebuild, or move the directory away: the next start makes it anew from the changelog, or from the journal and events"

// Badger's memtable on a disk of ordinary size, and on one so small that a file of that size would
// fill it.
const (
	memtable      = 32 << 20
	smallMemtable = 4 << 20
	smallDisk     = 1 << 30
)

// badgerOptions are the options for every store of ours.
func badgerOptions(dir string) badger.Options {
	return badger.DefaultOptions(dir).WithLogger(nil).WithDetectConflicts(false).WithCompression(0).
		WithMemTableSize(memtable).WithNumMemtables(2).WithBlockCacheSize(0).WithSyncWrites(true).WithMetricsEnabled(
		false).
		// a damaged table is an error of Open, not a panic of a compaction later
		WithChecksumVerificationMode(options.OnTableRead)
}

// fitToDisk sets Badger's sizes by the size of the disk, and the disk's need by what a write can take.
func fitToDisk(o badger.Options, dir string, disk *Disk) badger.Options {
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

// catchFaults runs do and turns a panic or a fault of memory, as by a damaged file, into an error.
func catchFaults(do func() error) (err error) {
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
			err = causedBy{fmt.Errorf("the file is cut or damaged (%.200s)", what), ErrCorrupt}
		}
	}()
	return do()
}

// openBadger opens Badger; a damaged file is an error.
func openBadger(o badger.Options) (db *badger.DB, err error) {
	err = catchFaults(func() (err error) { db, err = badger.OpenManaged(o); return err })
	return db, err
}

// lockHolder is the process that has a store open; "": none.
func lockHolder(dir string) string {
	f, err := os.Open(dir)
	if err != nil {
		return ""
	}
	defer f.Close()
	// This is Badger's own lock: it is released at once, and Badger will take it again.
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
