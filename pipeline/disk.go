package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wayward-sec/wayward/state"
)

// How the disk is watched. What is short gets a while, since somebody may be about to make room,
// and /readyz says meanwhile why the instance is not ready; what is critical or gone does not.
const (
	diskEvery = 200 * time.Millisecond
	diskGrace = 10 * time.Second
	diskAgain = 10 * time.Minute // between two warnings that room is low
)

// watchDisk looks at the disk until ctx is done. It returns why the instance must stop: while
// nothing can be saved it would only read more that a restart must read again, and before the last
// byte is written it can still end as it should.
func (c *Config) watchDisk(ctx context.Context) error {
	var since, warned time.Time
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	for {
		if c.Broken != nil {
			if err := c.Broken(); err != nil {
				c.Health.setDisk(err)
				return fmt.Errorf("stopped: %w", err)
			}
		}
		r := c.Disk.Look()
		problem := r.Problem()
		c.Health.setDisk(problem)
		c.Metrics.diskFree.WithLabelValues().Set(float64(r.Free))
		c.Metrics.diskMin.WithLabelValues().Set(float64(r.Min))
		switch {
		case problem != nil && (r.Err != nil || r.Critical):
			return fmt.Errorf("stopped: %w", problem)
		case problem != nil && since.IsZero():
			since = time.Now()
			c.Log.Error("nothing is saved any more, and this instance stops after a while unless there is room",
				"after", diskGrace, "err", problem)
		case problem != nil && time.Since(since) >= diskGrace:
			return fmt.Errorf("stopped: %w", problem)
		case problem == nil && !since.IsZero():
			since = time.Time{}
			c.Log.Info("there is room on the disk again", "dir", r.Dir, "free", r.Free, "disk_free_min", r.Min)
		case r.Low && (warned.IsZero() || time.Since(warned) >= diskAgain):
			warned = time.Now()
			c.Log.Warn("little room on the disk: below disk_free_min this instance stops. Make room", "dir", r.Dir,
				"free", r.Free, "disk_free_min", r.Min)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// diskTrouble tells an error about the disk that a new session does not mend.
func diskTrouble(err error) bool {
	return errors.Is(err, state.ErrFull) || errors.Is(err, state.ErrGone)
}
