package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/history"
)

// eventsOf reads a file of events.
func eventsOf(ctx context.Context, input string, do func(*event.Event) error) error {
	lines, err := history.OpenLines(input)
	if err != nil {
		return err
	}
	defer lines.Close()
	records := json.NewDecoder(&linesReader{ctx: ctx, lines: lines})
	var decoder event.Decoder
	for n := 1; ; n++ {
		var record json.RawMessage // an event may be spread over lines by whoever wants to read it
		if err := records.Decode(&record); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s, event %d: %w", input, n, err)
		}
		var e event.Event
		if err := decoder.Decode(record, &e); err != nil {
			if len(record) > 0 && record[0] == '[' {
				err = fmt.Errorf("%w; %s", err, lines.Hint())
			}
			return fmt.Errorf("%s, event %d: %w", input, n, err)
		}
		if err := do(&e); err != nil {
			return err
		}
	}
}

// linesReader reads what a source of lines brings.
type linesReader struct {
	ctx   context.Context
	lines *history.Lines
	chunk *history.Chunk
	rest  []byte
}

func (r *linesReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.chunk != nil {
			r.lines.Done(r.chunk)
		}
		var err error
		if r.chunk, err = r.lines.Next(r.ctx); err != nil {
			r.chunk = nil
			return 0, err
		}
		r.rest = r.chunk.Lines
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
