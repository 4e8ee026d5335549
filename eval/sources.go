package eval

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"

	"github.com/wayward-sec/wayward/fleet"
	"github.com/wayward-sec/wayward/pipeline/history"
)

// generated is a source that makes a stream while it is read.
type generated struct {
	stream *fleet.Weeks
	free   chan *history.Chunk
	at     int64
	over   bool
	// warm is how many events there were when warmAfter of the stream had passed; 0: not yet.
	warm      atomic.Int64
	warmAfter int64 // ms
}

const chunkBytes = 1 << 20

func newGenerated(o fleet.WeeksOptions) *generated {
	// the first snapshot is in force
	return &generated{stream: fleet.NewWeeks(o), free: make(chan *history.Chunk, 4), at: 1, warmAfter: 25 * 3_600_000}
}

// Next implements history.Source.
func (m *generated) Next(ctx context.Context) (*history.Chunk, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if m.over {
		return nil, io.EOF
	}
	var c *history.Chunk
	select {
	case c = <-m.free:
	default:
		c = &history.Chunk{Lines: make([]byte, 0, chunkBytes+4096)}
	}
	before := m.stream.Events
	b, ok := c.Lines[:0], true
	for ok && len(b) < chunkBytes {
		b, ok = m.stream.Next(b)
	}
	if m.warm.Load() == 0 && m.stream.Now() >= fleet.Start+m.warmAfter {
		m.warm.Store(m.stream.Events)
	}
	m.over = !ok
	c.Lines, c.At, c.Read = b, m.at, m.stream.Events
	m.at += m.stream.Events - before
	if len(b) == 0 {
		return nil, io.EOF
	}
	return c, nil
}

// Done implements history.Source.
func (m *generated) Done(c *history.Chunk) {
	select {
	case m.free <- c:
	default:
	}
}

// inMemory is a source of lines that are at hand.
type inMemory struct {
	rest []byte
	at   int64
}

// Next implements history.Source.
func (m *inMemory) Next(ctx context.Context) (*history.Chunk, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(m.rest) == 0 {
		return nil, io.EOF
	}
	cut := len(m.rest)
	if cut > chunkBytes {
		cut = chunkBytes + bytes.IndexByte(m.rest[chunkBytes:], '\n') + 1
	}
	c := &history.Chunk{Lines: m.rest[:cut:cut], At: m.at + 1}
	m.at += int64(bytes.Count(c.Lines, []byte{'\n'}))
	m.rest = m.rest[cut:]
	return c, nil
}

// Done implements history.Source.
func (m *inMemory) Done(*history.Chunk) {}
