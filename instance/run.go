package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wayward-sec/wayward/pipeline"
)

// StopWithin is how long a stop may take in all. Service managers mostly kill after 30 s.
const StopWithin = 28 * time.Second

// Run runs the engine until the context ends or it fails, and then closes the instance. Policies are
// read again on SIGHUP and, with watch, when a file in their folder changes. A stop takes StopWithin
// at most.
func (i *Instance) Run(ctx context.Context, watch bool, log *slog.Logger) error {
	reloading, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { i.Reloader.Run(reloading, watch) })
	defer done.Wait()
	defer stop()
	notified := notify(ctx, i.Config.Health, log)
	var since atomic.Pointer[time.Time] // when the stop began
	defer context.AfterFunc(ctx, func() { now := time.Now(); since.Store(&now) })()
	err := pipeline.Run(ctx, i.Config)
	notified()
	left := StopWithin
	if t := since.Load(); t != nil {
		left = max(StopWithin-time.Since(*t), StopWithin-pipeline.StopWithin)
	}
	return i.end(err, left, log)
}

// end closes what the engine worked with, within what is left of the time that a stop may take.
// What does not end is left standing: the process ends, and that is no worse than a crash.
func (i *Instance) end(err error, left time.Duration, log *slog.Logger) error {
	if errors.Is(err, pipeline.ErrStuck) {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- i.Close() }()
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case cerr := <-done:
		log.Info("stopped")
		if err == nil {
			err = cerr
		}
		return err
	case <-t.C:
	}
	stuck := fmt.Errorf("%s %w closing within %s; nothing is lost, the next start goes on from the last checkpoint",
		i.closing.Load(), pipeline.ErrStuck, left.Round(time.Second))
	if err != nil {
		return fmt.Errorf("%w; and on the way out %w", err, stuck)
	}
	return stuck
}
