package history

import (
	"bytes"
	"context"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/formats"
)

// Converted is a source whose records are of another format than the native one. Events are
// numbered as they come out of it, what could not be converted by its place in the source.
func Converted(src Source, f formats.Format) Source {
	if _, native := f.(*formats.Native); native {
		return src
	}
	return &converting{Source: src, format: f, line: 1}
}

type converting struct {
	Source
	format formats.Format
	line   int64 // number of the next event that comes out
	stamp  int64 // see Chunk.Stamp: of the first chunk's events, since the source itself cannot tell
}

// Next implements Source.
func (c *converting) Next(ctx context.Context) (*Chunk, error) {
	in, err := c.Source.Next(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Source.Done(in)
	out := &Chunk{At: c.line, Read: in.Read}
	one := func(key, value []byte, at int64, emit func(formats.Event)) {
		if err := c.format.Convert(key, value, emit); err != nil {
			bad := Undecoded{At: at, Reason: event.ReasonOf(err), Err: err}
			if n, ok := c.format.Salvage(key, value); ok {
				bad.Whose = &n
			}
			out.Undecoded = append(out.Undecoded, bad)
		}
	}
	at := in.At
	for line := range bytes.Lines(in.Lines) {
		if value := bytes.TrimRight(line, "\r\n"); len(value) > 0 {
			one(nil, value, at, func(e formats.Event) {
				out.Lines = append(append(out.Lines, e.Value...), '\n')
				c.line++
			})
		}
		at++
	}
	for i := range in.Records {
		r := &in.Records[i]
		one(r.Key, r.Value, r.Offset, func(e formats.Event) {
			out.Records = append(out.Records, Record{Offset: c.line, Stamp: r.Stamp,
				Key: event.AppendKey(nil, e.Tenant, e.Agent), Value: bytes.Clone(e.Value)})
			c.line++
		})
	}
	if c.stamp == 0 {
		c.stamp = middleOf(out.Lines[:min(len(out.Lines), headBytes)])
	}
	out.Stamp = c.stamp
	return out, nil
}

// Done implements Source.
func (c *converting) Done(*Chunk) {}
