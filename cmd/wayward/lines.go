package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/formats"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/terminal"
)

// eachEvent calls f for every event of a file, one a line; event and line hold until f returns.
// Lines that do not decode are told on standard error and counted.
func eachEvent(cmd *cobra.Command, input, format string, quiet bool,
	f func(line []byte, e *event.Event) error) (bad undecoded, err error) {
	lines, err := history.OpenLines(input)
	if err != nil {
		return bad, err
	}
	defer lines.Close()
	src := history.Converted(lines, formats.New(format))
	stderr := cmd.ErrOrStderr()
	tell, finish := progress(stderr, quiet || lines.Size == 0, lines.Size, "bytes")
	finish = sync.OnceFunc(finish)
	defer finish()
	var decoder event.Decoder
	events, read, told := int64(0), int64(0), time.Now()
	for {
		chunk, err := src.Next(cmd.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return bad, err
		}
		for _, u := range chunk.Undecoded {
			bad.add(u.At, u.Err)
		}
		at, passed := chunk.At-1, int64(0)
		for line := range bytes.Lines(chunk.Lines) {
			at++
			passed += int64(len(line))
			if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
				continue
			}
			var e event.Event
			if err := decoder.Decode(line, &e); err != nil {
				bad.add(at, err)
				continue
			}
			events++
			if err := f(line, &e); err != nil {
				return bad, err
			}
			if time.Since(told) > 100*time.Millisecond { // f may take its time
				tell(read+(chunk.Read-read)*passed/int64(len(chunk.Lines)), events)
				told = time.Now()
			}
		}
		decoder.Reset()
		read = chunk.Read
		tell(read, events)
		src.Done(chunk)
	}
	finish()
	if !quiet {
		bad.tell(stderr, func(at int64) string { return fmt.Sprintf("%s line %d", input, at) }, lines.Hint())
	}
	return bad, nil
}

// progress draws how far a long reading is, if somebody watches.
func progress(w io.Writer, quiet bool, total int64, unit string) (tell func(done, events int64), finish func()) {
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
