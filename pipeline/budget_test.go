package pipeline

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/sinks"
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
					chunks, onDisk := 0, false
					r := Replay{Policy: setOf(t, strict), PageCap: cap, Flush: true, Workers: workers, Budget: budget,
						Scratch: t.TempDir()}
					if budget != nil {
						r.Progress = func(_, _ int64) {
							if chunks++; chunks%4 == 0 {
								runtime.GC()
							}
							files, _ := os.ReadDir(r.Scratch)
							onDisk = onDisk || len(files) > 0
						}
					}
					r.Deliver = func(f *event.Finding) error {
						found = append(found, string((&sinks.OCSF{}).Append(nil, f)))
						return nil
					}
					if sum, err = r.Run(t.Context(), src); err != nil {
						t.Fatal(err)
					}
					if budget != nil && !onDisk {
						t.Error("nothing was put on disk: the test proves nothing")
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
					t.Fatalf("only %d findings: the test proves nothing", len(want))
				}
				got, sum := run(leastBudget(), 3000, 2)
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Fatalf("(-all in memory +next to nothing):\n%.3000s", diff)
				}
				if diff := gocmp.Diff(all, sum); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}
