package pipeline

import (
	"math/rand/v2"
	"runtime"
	"testing"
)

// What a page on disk costs in memory.
func TestAPageOnDiskIsCheap(t *testing.T) {
	m := map[uint64]away{}
	r := rand.New(rand.NewPCG(1, 1))
	before := liveHeap()
	const n = 1 << 20
	for range n {
		m[r.Uint64()] = away{}
	}
	if each := (liveHeap() - before) / n; each > 64 {
		t.Errorf("%d bytes for each", each)
	}
	if len(m) != n {
		t.Fatal(len(m))
	}
}

func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
