package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wayward-sec/wayward/state"
)

// onDisk is a config that watches a disk of which the test says what is free.
func onDisk(t *testing.T, free *atomic.Int64, log *logLines) (Config, <-chan error, context.CancelFunc) {
	disk := state.NewDisk(100, t.TempDir())
	disk.Statfs = func(string) (int64, int64, error) { return free.Load(), 1000, nil }
	c := Config{Disk: disk, Health: &Health{}, Metrics: NewMetrics(prometheus.NewRegistry()),
		Log: slog.New(slog.NewTextHandler(log, nil))}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.watchDisk(ctx) }()
	return c, done, cancel
}

func TestADiskThatFillsUpStopsTheInstanceInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Int64
		var log logLines
		said := func(what string) int { return strings.Count(log.buf.String(), what) }
		free.Store(500)
		c, done, cancel := onDisk(t, &free, &log)
		defer cancel()
		wait := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		wait(time.Minute)
		if log.buf.Len() > 0 || c.Health.Disk() != nil {
			t.Fatalf("with room: %s, %v", &log.buf, c.Health.Disk())
		}
		free.Store(150)
		wait(9 * time.Minute)
		if said("little room") != 1 || c.Health.Disk() != nil {
			t.Errorf("low: %s, %v", &log.buf, c.Health.Disk())
		}
		wait(2 * time.Minute)
		if said("little room") != 2 {
			t.Errorf("low for eleven minutes: %s", &log.buf)
		}
		free.Store(99)
		wait(9 * time.Second)
		if !errors.Is(c.Health.Disk(), state.ErrFull) || said("stops after a while unless there is room") != 1 {
			t.Errorf("short: %v, %s", c.Health.Disk(), &log.buf)
		}
		free.Store(400)
		wait(time.Second)
		if c.Health.Disk() != nil || said("there is room on the disk again") != 1 {
			t.Errorf("after room was made: %v, %s", c.Health.Disk(), &log.buf)
		}
		free.Store(80)
		since := time.Now()
		if err := <-done; !errors.Is(err, state.ErrFull) || time.Since(since) < 9*time.Second ||
			time.Since(since) > 12*time.Second {
			t.Errorf("after %s: %v", time.Since(since), err)
		}
	})
}

func TestADiskThatIsNearlyFullOrABrokerThatCannotWriteWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Int64
		var log logLines
		free.Store(20)
		since := time.Now()
		_, done, cancel := onDisk(t, &free, &log)
		if err := <-done; !errors.Is(err, state.ErrFull) || time.Since(since) > time.Second {
			t.Errorf("after %s: %v", time.Since(since), err)
		}
		cancel()
		broken := errors.New("batch not written")
		c := Config{Broken: func() error { return broken }, Health: &Health{},
			Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler)}
		if err := c.watchDisk(t.Context()); !errors.Is(err, broken) || !errors.Is(c.Health.Disk(), broken) {
			t.Errorf("%v, %v", err, c.Health.Disk())
		}
	})
}

// An engine whose disk is short goes on, saves nothing, and what it found before and after is what
// a straight run finds.
func TestAShortDiskLosesNothing(t *testing.T) {
	l := newLab(t)
	dir := t.TempDir()
	var free atomic.Int64
	free.Store(1 << 40)
	disk := state.NewDisk(1<<30, dir)
	disk.Statfs = func(string) (int64, int64, error) { return free.Load(), 1 << 41, nil }
	store, err := state.OpenOn(dir, disk)
	if err != nil {
		t.Fatal(err)
	}
	c := l.config("a", store)
	c.Disk, c.Health = disk, &Health{}
	e := l.start(c)
	l.produce(300)
	l.drained()
	free.Store(1<<30 - 1)
	l.until("it is noticed", func() bool { return c.Health.Disk() != nil })
	l.produce(200)
	l.drained()
	if ready, _, _ := c.Health.Check(t.Context()); ready {
		t.Error("it is ready, though it cannot save anything")
	}
	free.Store(1 << 20)
	select {
	case err := <-e.done:
		e.done <- err
		if !errors.Is(err, state.ErrFull) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not stop")
	}
	if err := store.Close(); !errors.Is(err, state.ErrFull) {
		t.Errorf("closing: %v", err)
	}
	free.Store(1 << 40)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := state.OpenOn(dir, disk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	c = l.config("a", again)
	c.Disk = disk
	l.start(c)
	l.produce(300)
	l.drained()
	l.exact()
	l.journals()
}
