package main

import (
	"fmt"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/wayward-sec/wayward/terminal"
)

// progress draws on a terminal how much of a long input is read, until finish is called. Elsewhere it
// is silent.
func progress(w io.Writer, quiet bool, total int64, unit string) (report func(done, events int64), finish func()) {
	if quiet || !terminal.Is(w) {
		return func(int64, int64) {}, func() {}
	}
	p := mpb.New(mpb.WithOutput(terminal.Raw(w)), mpb.WithWidth(40))
	var events int64
	rate := decor.Any(func(s decor.Statistics) string { return fmt.Sprintf("  %d events", events) })
	counters := decor.CountersNoUnit("%d / %d")
	if unit == "bytes" {
		counters = decor.CountersKibiByte("% .1f / % .1f")
	}
	bar := p.AddBar(total, mpb.PrependDecorators(counters), mpb.AppendDecorators(decor.Percentage(), rate,
		decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO), "")))
	return func(done, n int64) {
			events = n
			bar.SetCurrent(done)
		}, func() {
			bar.SetTotal(-1, true)
			p.Wait()
		}
}

// bar draws on a terminal how much of a long output is written; without one it is silent.
type bar struct {
	w           io.Writer
	total       int64
	start, last time.Time
}

func (b *bar) draw(format string, args ...any) {
	fmt.Fprintf(b.w, "\r\x1b[K"+format, args...)
}

func (b *bar) at(n int64) {
	if b.w == nil || time.Since(b.last) < 200*time.Millisecond {
		return
	}
	b.last = time.Now()
	took := time.Since(b.start)
	left := time.Duration(float64(took) / float64(n) * float64(b.total-n))
	b.draw("%3d %%  %d events  %.0f/s  %v left", n*100/b.total, n, float64(n)/took.Seconds(), left.Round(time.Second))
}

func (b *bar) end(n int64) {
	if b.w == nil {
		return
	}
	took := time.Since(b.start)
	b.draw("%d events in %v (%.0f/s)\n", n, took.Round(time.Millisecond), float64(n)/took.Seconds())
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
