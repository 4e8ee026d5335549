package pipeline

import (
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/state"
)

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
