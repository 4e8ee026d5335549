package pipeline

import (
	"bytes"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/history"
)

// Decoding of what a replay reads: blocks of a chunk in parallel, before the shards see them.

// block is a part of a chunk that one worker decodes.
type block struct {
	lines   []byte
	records []history.Record
	at      int64
	first   int64 // number of its first line; 0: these are records
	stamp   int64
	decoder event.Decoder
	items   []item
	bad     []history.Undecoded
}

// item is an event, or a record that did not decode.
type item struct {
	e    event.Event
	hash uint64
	// The stamp is the broker's; of a line: its own time, or that of the file where its own is not
	// believed.
	filePlace
	undecoded string // why it did not decode; then e holds nothing but whose it is
	sum       uint64 // of the bytes of one that did not
}

const blockBytes = 128 << 10

// decodedChunk is a chunk with its events.
type decodedChunk struct {
	*history.Chunk
	blocks []*block
}

func (x *replaying) decode(in *history.Chunk) *decodedChunk {
	c := &decodedChunk{Chunk: in}
	select {
	case c.blocks = <-x.free:
	default:
	}
	n := 0
	add := func() *block {
		if n == len(c.blocks) {
			c.blocks = append(c.blocks, &block{})
		}
		n++
		b := c.blocks[n-1]
		b.lines, b.records, b.stamp, b.first = nil, nil, c.Stamp, 0
		return b
	}
	at := c.At
	for rest := c.Lines; len(rest) > 0; {
		cut := len(rest)
		if cut > blockBytes {
			cut = blockBytes
			for cut < len(rest) && rest[cut-1] != '\n' {
				cut++
			}
		}
		b := add()
		b.lines, b.at = rest[:cut], -1
		rest = rest[cut:]
	}
	for rest := c.Records; len(rest) > 0; {
		cut := min(len(rest), 512)
		b := add()
		b.records = rest[:cut]
		rest = rest[cut:]
	}
	c.blocks = c.blocks[:n]
	x.parallel(n, func(i int) { c.blocks[i].decode() })
	if len(c.Undecoded) > 0 {
		b := &block{stamp: c.Stamp}
		if len(c.Records) == 0 {
			b.lines = []byte{} // these were lines, too
		}
		for _, bad := range c.Undecoded {
			b.addUndecoded(bad, c.Stamp, bad.Sum())
		}
		c.blocks = slices.Insert(c.blocks, 0, b)
	}
	for _, b := range c.blocks { // lines are numbered once all are counted
		if b.at < 0 {
			for i := range b.bad {
				b.bad[i].At += at
			}
			b.first = at
			at += b.lineCount()
		}
	}
	return c
}

// add makes room for an item, in memory that the chunk has used before.
func (b *block) add() *item {
	if len(b.items) < cap(b.items) {
		b.items = b.items[:len(b.items)+1]
	} else {
		b.items = append(b.items, item{})
	}
	return &b.items[len(b.items)-1]
}

// addUndecoded notes a record that did not decode; if it names an agent, that counts.
func (b *block) addUndecoded(bad history.Undecoded, stamp int64, content uint64) {
	b.bad = append(b.bad, bad)
	n := bad.Whose
	if n == nil {
		return
	}
	it := b.add()
	it.e = event.Event{ID: n.ID, Time: n.Time, Tenant: n.Tenant, Agent: event.Agent{ID: n.Agent}}
	it.undecoded, it.sum, it.stamp, it.order, it.content = bad.Reason, n.Sum, stamp, bad.At, content
	it.hash = xxhash.Sum64(event.AppendKey(nil, n.Tenant, n.Agent))
}

func (b *block) lineCount() int64 {
	return int64(bytes.Count(b.lines, []byte{'\n'}))
}

func (b *block) decode() {
	b.decoder.Reset()
	b.items, b.bad = b.items[:0], b.bad[:0]
	var key [256]byte
	one := func(recordKey, value []byte, stamp, at int64) {
		it := b.add()
		if err := b.decoder.Decode(value, &it.e); err != nil {
			b.items = b.items[:len(b.items)-1]
			bad := history.Undecoded{At: at, Reason: event.ReasonOf(err), Err: err,
				Whose: whose(&b.decoder, &record{key: recordKey, value: value})}
			b.addUndecoded(bad, stamp, xxhash.Sum64(value))
			return
		}
		it.undecoded = ""
		it.stamp, it.order, it.content = stamp, at, xxhash.Sum64(value)
		it.hash = xxhash.Sum64(event.AppendKey(key[:0], it.e.Tenant, it.e.Agent.ID))
	}
	line := int64(0)
	for rest := b.lines; len(rest) > 0; line++ {
		n := bytes.IndexByte(rest, '\n')
		if n < 0 {
			n = len(rest)
		}
		value := rest[:n]
		rest = rest[min(n+1, len(rest)):]
		if len(value) > 0 && value[len(value)-1] == '\r' {
			value = value[:len(value)-1]
		}
		if len(value) > 0 {
			one(nil, value, b.stamp, line)
		}
	}
	for i := range b.records {
		one(b.records[i].Key, b.records[i].Value, b.records[i].Stamp, b.records[i].Offset)
	}
}
