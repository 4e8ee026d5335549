package pipeline

import (
	"encoding/binary"
	"fmt"

	"github.com/wayward-sec/wayward/event/wire"
)

// journal is what a behaviour shard's transaction did: enough to do it again. Long control slices
// are split: all but the last record of a transaction carry nothing but control records.
type journal struct {
	seq       uint64
	now       int64
	next      [2]int64 // offsets of control and events after it
	first     int64    // offset of the first event, if there is one
	events    int64    // how many
	watermark int64
	digest    uint64 // of the outputs
	control   []record
	more      bool // another record of the same transaction follows
}

const (
	journalFormat = 1
	journalBytes  = 512 << 10 // control records in one journal record
)

// encode writes the journal of one transaction as one record or, if its control slice is long,
// several.
func (j *journal) encode() [][]byte {
	var out [][]byte
	rest := j.control
	for {
		n, size := 0, 0
		for n < len(rest) && (n == 0 || size < journalBytes) {
			size += len(rest[n].key) + len(rest[n].value) + 16
			n++
		}
		part := *j
		part.control, rest = rest[:n], rest[n:]
		part.more = len(rest) > 0
		out = append(out, part.append(nil))
		if len(rest) == 0 {
			return out
		}
	}
}

func (j *journal) append(b []byte) []byte {
	more := byte(0)
	if j.more {
		more = 1
	}
	b = append(b, journalFormat, more)
	b = binary.AppendUvarint(b, j.seq)
	b = binary.AppendVarint(b, j.now)
	b = binary.AppendVarint(b, j.next[0])
	b = binary.AppendVarint(b, j.next[1])
	b = binary.AppendVarint(b, j.first)
	b = binary.AppendVarint(b, j.events)
	b = binary.AppendVarint(b, j.watermark)
	b = binary.BigEndian.AppendUint64(b, j.digest)
	b = binary.AppendUvarint(b, uint64(len(j.control)))
	for i := range j.control {
		r := &j.control[i]
		b = binary.AppendVarint(b, r.offset)
		b = binary.AppendVarint(b, r.stamp)
		b = wire.AppendString(b, string(r.key))
		b = wire.AppendString(b, string(r.value))
	}
	return b
}

func readJournal(b []byte) (j journal, err error) {
	r := wire.Reader{B: b}
	if f := r.Byte(); f != journalFormat {
		return j, fmt.Errorf("journal record of format %d, this binary knows %d", f, journalFormat)
	}
	j.more = r.Byte() == 1
	j.seq = r.Uvarint()
	j.now = r.Varint()
	j.next = [2]int64{r.Varint(), r.Varint()}
	j.first = r.Varint()
	j.events = r.Varint()
	j.watermark = r.Varint()
	j.digest = r.Uint64()
	for range r.Len() {
		j.control = append(j.control, record{offset: r.Varint(), stamp: r.Varint(), key: r.Bytes(), value: r.Bytes()})
	}
	return j, r.Err
}
