package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/formats"
	"github.com/wayward-sec/wayward/pipeline/history"
)

// eachEvent calls f for every event of a file, one a line; event and line hold until f returns.
// Lines that do not decode are counted and reported on standard error.
func eachEvent(cmd *cobra.Command, input, format string, quiet bool,
	f func(line []byte, e *event.Event) error) (bad undecoded, err error) {
	lines, err := history.OpenLines(input)
	if err != nil {
		return bad, err
	}
	defer lines.Close()
	src := history.Converted(lines, formats.New(format))
	stderr := cmd.ErrOrStderr()
	report, finish := progress(stderr, quiet || lines.Size == 0, lines.Size, "bytes")
	finish = sync.OnceFunc(finish)
	defer finish()
	var decoder event.Decoder
	events, read, reported := int64(0), int64(0), time.Now()
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
			if time.Since(reported) > 100*time.Millisecond { // f may take its time
				report(read+(chunk.Read-read)*passed/int64(len(chunk.Lines)), events)
				reported = time.Now()
			}
		}
		decoder.Reset()
		read = chunk.Read
		report(read, events)
		src.Done(chunk)
	}
	finish()
	if !quiet {
		bad.report(stderr, func(at int64) string { return fmt.Sprintf("%s line %d", input, at) }, lines.Hint())
	}
	return bad, nil
}
