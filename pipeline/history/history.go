// Package history reads historical events for a replay: files of one event a line, and ranges of topics, in any
// input format. It must never know the engine that they are for. Begin reading at Source.
package history

import (
	"context"

	"github.com/wayward-sec/wayward/event"
)

// Source gives a replay its records, chunk by chunk.
type Source interface {
	// Next returns the next chunk, io.EOF at the end. The chunk is the caller's until Done.
	Next(ctx context.Context) (*Chunk, error)
	// Done gives a chunk back for reuse.
	Done(*Chunk)
}

// Chunk is a run of records.
type Chunk struct {
	Lines   []byte   // whole lines; or
	Records []Record // records
	At      int64    // number of the first line, from 1
	Stamp   int64    // of lines: an event time that the file is about, Unix ms; 0: not known
	Read    int64    // bytes of the source, or records of the topic, read so far, for progress

	Undecoded []Undecoded // what the source itself could make no event of
}

// Record is a record of a topic.
type Record struct {
	Offset     int64
	Stamp      int64 // of the broker, Unix ms
	Key, Value []byte
}

// Undecoded is a record of which no event could be made.
type Undecoded struct {
	At     int64 // number of its line, or offset
	Reason string
	Err    error
	Whose  *event.Named // nil: it names nobody
}

// Sum is the hash of what it was made of, if it names an agent.
func (u *Undecoded) Sum() uint64 {
	if u.Whose == nil {
		return 0
	}
	return u.Whose.Sum
}
