package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// How long a stop may take. A transaction under way is given a while, so that it need not be
// aborted by its timeout; then it is given up, as if the process had died in it, which loses
// nothing. A stage that does not end even so is left standing: the caller must end the process.
const (
	stopTransaction = 8 * time.Second
	StopWithin      = 20 * time.Second
)

// ErrStuck is wrapped by the error of Run that says what did not end in time: it is still at work
// on what Config gave it, so that must not be closed.
var ErrStuck = errors.New("did not end")

// afterStop calls giveUp when ctx has been done for a while, unless the returned function was
// called.
func afterStop(ctx context.Context, giveUp func()) (stop func()) {
	over := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		select {
		case <-ctx.Done():
		case <-over:
			return
		}
		t := time.NewTimer(stopTransaction)
		defer t.Stop()
		select {
		case <-t.C:
			giveUp()
		case <-over:
		}
	})
	return func() {
		close(over)
		done.Wait()
	}
}

// atWork knows what runs.
type atWork struct {
	mu   sync.Mutex
	what []string
}

// do runs a part of the engine under its name.
func (a *atWork) do(name string, part func() error) func() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.what = append(a.what, name)
	return func() error {
		defer func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			i := slices.Index(a.what, name)
			a.what = slices.Delete(a.what, i, i+1)
		}()
		return part()
	}
}

// wait waits for all parts, but after ctx is done not for ever.
func (a *atWork) wait(ctx context.Context, all func() error) error {
	done := make(chan error, 1)
	go func() { done <- all() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	t := time.NewTimer(StopWithin)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	stuck := fmt.Errorf("%s %w within %s; nothing is lost, the next start goes on from the last checkpoint",
		strings.Join(a.what, ", "), ErrStuck, StopWithin)
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return fmt.Errorf("%w; and on the way out %w", cause, stuck)
	}
	return stuck
}
