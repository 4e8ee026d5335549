package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/wayward-sec/wayward/event"
)

// maxPretty bounds an object that stands on several lines.
const maxPretty = 1 << 20

// EachObject calls f for each JSON object of a file: one a line, or, as jq prints them, one from a
// line that is { to a line that is }.
func EachObject(ctx context.Context, input string, f func([]byte)) error {
	src, err := OpenLines(input)
	if err != nil {
		return err
	}
	defer src.Close()
	var pretty []byte
	for {
		chunk, err := src.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for line := range bytes.Lines(chunk.Lines) {
			line = bytes.TrimRight(line, "\r\n")
			switch {
			case len(line) == 0:
			case len(pretty) == 0 && string(line) != "{":
				f(line)
			default:
				pretty = append(pretty, line...)
				if string(line) == "}" || len(pretty) > maxPretty {
					f(pretty)
					pretty = pretty[:0]
				}
			}
		}
		src.Done(chunk)
	}
}

// EachEvent calls do for each event of a file, whose objects may be spread over lines. The first that
// does not decode ends the reading.
func EachEvent(ctx context.Context, input string, do func(*event.Event) error) error {
	lines, err := OpenLines(input)
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

// linesReader reads the bytes of a source of lines.
type linesReader struct {
	ctx   context.Context
	lines *Lines
	chunk *Chunk
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
