package main

import (
	"fmt"
	"io"
	"time"
)

// bar shows on a terminal how far a long run is; without one it is silent.
type bar struct {
	w           io.Writer
	total       int64
	start, last time.Time
}

func (b *bar) say(format string, args ...any) {
	fmt.Fprintf(b.w, "\r\x1b[K"+format, args...)
}

func (b *bar) at(n int64) {
	if b.w == nil || time.Since(b.last) < 200*time.Millisecond {
		return
	}
	b.last = time.Now()
	took := time.Since(b.start)
	left := time.Duration(float64(took) / float64(n) * float64(b.total-n))
	b.say("%3d %%  %d events  %.0f/s  %v left", n*100/b.total, n, float64(n)/took.Seconds(), left.Round(time.Second))
}

func (b *bar) end(n int64) {
	if b.w == nil {
		return
	}
	took := time.Since(b.start)
	b.say("%d events in %v (%.0f/s)\n", n, took.Round(time.Millisecond), float64(n)/took.Seconds())
}

func bytesOf(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
}
