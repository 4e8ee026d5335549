package pipeline

import (
	"errors"
	"strings"
	"testing"
)

// A page that the disk does not give back ends a replay with an error, whichever worker asked for
// it; a fault of ours stays a panic.
func TestALostPageEndsAReplayWithAnError(t *testing.T) {
	for _, workers := range []int{1, 4} {
		x := &replaying{Replay: &Replay{Workers: workers}}
		err := recoverLostPage(func() error {
			x.parallel(8, func(i int) {
				if i == 5 {
					panic(lostPage{errors.New("page 5")})
				}
			})
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), "cannot be read back: page 5") ||
			!strings.Contains(err.Error(), "TMPDIR") {
			t.Errorf("%d workers: %v", workers, err)
		}
		func() {
			defer func() {
				if p := recover(); p != "ours" {
					t.Errorf("%d workers: %v", workers, p)
				}
			}()
			_ = recoverLostPage(func() error { x.parallel(8, func(int) { panic("ours") }); return nil })
		}()
	}
}
