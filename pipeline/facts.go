package pipeline

import (
	"encoding/binary"
	"fmt"

	"github.com/wayward-sec/wayward/event/wire"
)

// factsHead begins a facts record; buckets follow until its end.
type factsHead struct {
	source    int32
	now       int64  // wall clock of the transaction that wrote it
	watermark int64  // of the source
	idle      bool   // the source has no event waiting
	out       bool   // a decision of the relation shard itself: the source is silent, do not wait for it
	activate  bool   // the set takes effect
	control   bool   // a control record follows, in JSON, and no buckets
	set       string // under which the buckets were counted
	format    byte   // as read
}

const (
	factsFormat  = 3 // 2: notes had no order
	factsControl = 8 // flag
)

func appendFactsHead(b []byte, h factsHead) []byte {
	flags := byte(0)
	if h.idle {
		flags |= 1
	}
	if h.out {
		flags |= 2
	}
	if h.activate {
		flags |= 4
	}
	if h.control {
		flags |= factsControl
	}
	b = append(b, factsFormat, flags)
	b = binary.AppendVarint(b, int64(h.source))
	b = binary.AppendVarint(b, h.now)
	b = binary.AppendVarint(b, h.watermark)
	return wire.AppendString(b, h.set)
}

func readFactsHead(b []byte) (h factsHead, body wire.Reader, err error) {
	r := wire.Reader{B: b, Alias: true}
	format := r.Byte()
	if format != factsFormat && format != factsFormat-1 {
		return h, r, fmt.Errorf("facts record of format %d, this binary knows %d", format, factsFormat)
	}
	flags := r.Byte()
	h = factsHead{format: format, idle: flags&1 != 0, out: flags&2 != 0, activate: flags&4 != 0,
		control: flags&factsControl != 0, source: int32(r.Varint()), now: r.Varint(), watermark: r.Varint(),
		set: r.String()}
	return h, r, r.Err
}

// controlFacts is a facts record that is a control record. set is that under which it was decided,
// "" if none was needed: people and gateways do not wait for the first one.
func controlFacts(source int32, now int64, set string, c control) []byte {
	return append(appendFactsHead(nil, factsHead{source: source, now: now, control: true, set: set}), c.encode()...)
}

func isControlFacts(value []byte) bool { return len(value) > 1 && value[1]&factsControl != 0 }
