package pipeline

import (
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
)

// Budget bounds the memory of a process. Under it pages are put on disk earlier than they would be,
// which shows in nothing but speed.
//
// Of the limit two fifths may be live: the garbage collector needs the rest to work in, and Badger,
// the Kafka client and the embedded broker have buffers that nobody counts. The runtime is told the
// limit, too, so that garbage does not go beyond it.
type Budget struct {
	limit int64

	mu     sync.Mutex
	cycle  uint64 // of the garbage collector, at which memory was last freed
	sample []metrics.Sample
}

const (
	// LeastMemory is the smallest budget with which an instance can work.
	LeastMemory = 512 << 20
	pagesShare  = 8 // part of it that pages may have in any case
)

// NewBudget is a budget of so many bytes for this process; 0: none.
func NewBudget(limit int64) *Budget {
	if limit <= 0 {
		return nil
	}
	debug.SetMemoryLimit(limit)
	return &Budget{limit: limit, sample: []metrics.Sample{{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"}}}
}

// Limit is the limit in bytes; 0: none.
func (b *Budget) Limit() int64 {
	if b == nil {
		return 0
	}
	return b.limit
}

func (b *Budget) read() (live int64, cycle uint64) {
	metrics.Read(b.sample)
	return int64(b.sample[0].Value.Uint64()), b.sample[1].Value.Uint64()
}

// over is by how many bytes what lives is beyond what may, as of the last garbage collection. Once
// it was told it is 0 until there was another one.
func (b *Budget) over() int64 {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	live, cycle := b.read()
	if cycle <= b.cycle || live <= b.limit/5*2 {
		return 0
	}
	b.cycle = cycle
	return live - b.limit/5*2 + b.limit/16
}

// tight tells whether memory is short, or soon will be.
func (b *Budget) tight() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	live, _ := b.read()
	return live > b.limit/10*3
}

// wanted is by how many bytes each of the shards is to shed pages: of the whole as much as it has
// of all. Some part of the limit pages may have in any case, however much all else takes: to read
// each page from the disk for each of its events would help nobody.
func (b *Budget) wanted(shards []*shard) []int64 {
	want := b.over()
	if want == 0 {
		return nil
	}
	of, all := make([]int64, len(shards)), int64(0)
	for i, s := range shards {
		of[i] = int64(len(s.pages))*laidOut + int64(len(s.cold))*(laidOut/5+coldOver)
		all += of[i]
	}
	if want = min(want, all-b.limit/pagesShare); want <= 0 {
		return nil
	}
	for i := range of {
		of[i] = int64(float64(want) * float64(of[i]) / float64(all))
	}
	return of
}

// shed puts pages of shards on disk if there is too much in memory, and returns how many bytes that
// frees, roughly.
func (b *Budget) shed(shards []*shard) (freed int64, err error) {
	for i, want := range b.wanted(shards) {
		n, e := shards[i].shed(want)
		if freed += n; e != nil {
			return freed, e
		}
	}
	return freed, nil
}

// DefaultMemory is the budget of a process that was not given one: what GOMEMLIMIT says, else seven
// tenths of what its cgroup may have, else half of the machine. from says which.
func DefaultMemory() (limit int64, from string) {
	if givenLimit != math.MaxInt64 {
		return givenLimit, "GOMEMLIMIT"
	}
	machine := machineMemory()
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 &&
			(machine == 0 || n < machine) {
			return n / 10 * 7, "seven tenths of the cgroup's limit"
		}
	}
	if machine > 0 {
		return machine / 2, "half of the machine's memory"
	}
	return 0, "none: how much memory there is could not be found out"
}

// givenLimit is GOMEMLIMIT, before anybody has changed it.
var givenLimit = debug.SetMemoryLimit(-1)

// machineMemory is the physical memory; 0: unknown.
func machineMemory() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}
