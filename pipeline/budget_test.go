package pipeline

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/sinks"
	"github.com/wayward-sec/wayward/state"
)

// A replay in which next to nothing may stay in memory finds what it finds with all of it, byte by
// byte, and learns the same; and it leaves nothing behind.
func TestABudgetOfMemoryShowsInNothing(t *testing.T) {
	paths := map[string]string{"work of nine days": write(t, "work.jsonl", work(1, 9))}
	for seed := range uint64(3) {
		g := stream(seed, 20_000, 40)
		g.step = 60_000 // hours of it
		var b bytes.Buffer
		for range 6000 {
			if g.IntN(400) == 0 {
				g.now += 7 * 3_600_000
			}
			line, _ := g.event()
			b.Write(append(line, '\n'))
		}
		paths[fmt.Sprint("traffic ", seed)] = write(t, "traffic.jsonl", b.Bytes())
	}
	for name, path := range paths {
		for _, cap := range []int{0, 16 * 6} {
			t.Run(fmt.Sprintf("%s, %d pages", name, cap), func(t *testing.T) {
				run := func(budget *Budget, buffer, workers int) (found []string, sum Summary) {
					src, err := history.OpenLines(path)
					if err != nil {
						t.Fatal(err)
					}
					defer src.Close()
					src.Buffer = buffer
					r := Replay{Policy: setOf(t, strict), PageCap: cap, Flush: true, Workers: workers, Budget: budget,
						Scratch: t.TempDir()}
					r.Deliver = func(f *event.Finding) error {
						found = append(found, string((&sinks.OCSF{}).Append(nil, f)))
						return nil
					}
					if sum, err = r.Run(t.Context(), src); err != nil {
						t.Fatal(err)
					}
					if left, err := os.ReadDir(r.Scratch); err != nil || len(left) > 0 {
						t.Errorf("it leaves %v behind (%v)", left, err)
					}
					for _, m := range r.Snapshots {
						found = append(found, m.Snapshot())
					}
					return found, sum
				}
				want, all := run(nil, 3000, 1)
				if len(want) < 20 {
					t.Fatalf("only %d findings: the test has lost its teeth", len(want))
				}
				for _, want1 := range []int64{1, 1 << 40} {
					got, sum := run(&Budget{limit: 1, always: want1}, 3000, 2)
					if diff := gocmp.Diff(want, got); diff != "" {
						t.Fatalf("with %d bytes too many at any time (-all in memory +next to nothing):\n%.3000s",
							want1, diff)
					}
					if diff := gocmp.Diff(all, sum); diff != "" {
						t.Error(diff)
					}
				}
			})
		}
	}
}

// The relation stage, too, finds the same with its pages on disk.
func TestScopesOnDiskDoNotShow(t *testing.T) {
	set := setOf(t, strict)
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 2))
		shared := engine(t, 2, 1, set)
		order := interleave(r, factsOf(t, shared, set, seed, 400))
		warm := newRelation(0, shared, none)
		disk := *shared
		disk.store = scratch(t)
		cold := newRelation(0, &disk, none)
		cold.volatile = true
		cold.begin(1, false)
		warm.begin(1, false)
		laid := 0
		for i := range order {
			for _, b := range []*relation{warm, cold} {
				if err := b.step(mainLog, &order[i]); err != nil {
					t.Fatal(err)
				}
			}
			if warm.digest.Sum64() != cold.digest.Sum64() {
				t.Fatalf("seed %d, record %d: outputs differ", seed, i)
			}
			if r.IntN(3) == 0 {
				if _, err := cold.shed(1 << 40); err != nil {
					t.Fatal(err)
				}
				laid += len(cold.away)
			}
		}
		sameState(t, fmt.Sprint("seed ", seed), pagesOf(warm.shard), pagesOf(cold.shard))
		if laid == 0 {
			t.Error("nothing was put on disk: the test has lost its teeth")
		}
	}
}

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

func scratch(t *testing.T) *state.Store {
	t.Helper()
	s, err := state.Scratch(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// A page that the disk does not give back ends a replay with an error, whichever worker asked for
// it; a fault of ours stays a panic.
func TestALostPageEndsAReplayWithAnError(t *testing.T) {
	for _, workers := range []int{1, 4} {
		x := &replaying{Replay: &Replay{Workers: workers}}
		s := newShard(0, &rules{store: lostStore(t)})
		s.away[xxhash.Sum64String("at|a")] = away{}
		err := orLost(func() error {
			x.parallel(8, func(i int) {
				if i == 5 {
					s.thaw([]byte("at|a"))
				}
			})
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), "cannot be read back") ||
			!strings.Contains(err.Error(), "TMPDIR") {
			t.Errorf("%d workers: %v", workers, err)
		}
		func() {
			defer func() {
				if p := recover(); p != "ours" {
					t.Errorf("%d workers: %v", workers, p)
				}
			}()
			_ = orLost(func() error { x.parallel(8, func(int) { panic("ours") }); return nil })
		}()
	}
}

// lostStore is a store that was closed.
func lostStore(t *testing.T) *state.Store {
	s, err := state.Scratch(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}
