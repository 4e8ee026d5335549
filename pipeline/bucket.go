package pipeline

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// Encoding of buckets and notes, which travel in facts records and wait on the pages of scopes.

// Flags of what one meter counted, beside the mask of its sums.
const (
	mixedFlag    = 0x80
	sameRefsFlag = 0x40 // first and last as of the meter before: most count the same events
)

// the flags are not in the mask
var _ [0]struct{} = [(1<<baselines.Columns - 1) & (mixedFlag | sameRefsFlag)]struct{}{}

// appendBucket encodes a bucket of a scope, in a facts record and in a page.
func appendBucket(b []byte, k *detectors.Bucket) []byte {
	b = append(b, k.Slot, byte(k.Scope))
	b = wire.AppendString(wire.AppendString(b, k.Tenant), k.ID)
	b = binary.AppendVarint(b, k.Index)
	b = binary.AppendUvarint(b, uint64(len(k.Counted)))
	for i := range k.Counted {
		c := &k.Counted[i]
		b = binary.BigEndian.AppendUint64(b, c.Meter)
		mask := byte(0)
		for m, s := range c.Sums {
			if s != 0 {
				mask |= 1 << m
			}
		}
		if c.Mixed {
			mask |= mixedFlag
		}
		if i > 0 && c.First == k.Counted[i-1].First && c.Last == k.Counted[i-1].Last {
			mask |= sameRefsFlag
		}
		b = append(b, mask)
		for _, s := range c.Sums {
			if s != 0 {
				b = binary.AppendUvarint(b, uint64(s))
			}
		}
		if mask&sameRefsFlag == 0 {
			b = wire.AppendRef(wire.AppendRef(b, c.First), c.Last)
		}
		b = binary.AppendUvarint(b, uint64(c.Keep))
		if c.Keep > 0 {
			b = binary.AppendUvarint(b, uint64(len(c.Seen)))
			for _, h := range c.Seen {
				b = binary.BigEndian.AppendUint64(b, h)
			}
		}
	}
	return b
}

// readBucket decodes what appendBucket wrote, into memory of its own and that of k.Counted.
func readBucket(r *wire.Reader, k *detectors.Bucket) {
	*k = detectors.Bucket{Slot: r.Byte(), Scope: policy.Scope(r.Byte()), Counted: k.Counted[:0]}
	k.Tenant, k.ID = r.String(), r.String()
	k.Index = r.Varint()
	n := r.Len()
	if n == 0 {
		r.Fail() // nobody sends a bucket of nothing
		return
	}
	if cap(k.Counted) == 0 {
		k.Counted = make([]detectors.Counted, 0, min(n, 64))
	}
	for i := range n {
		c := detectors.Counted{Meter: r.Uint64()}
		mask := r.Byte()
		for m := range c.Sums {
			if mask&(1<<m) != 0 {
				if c.Sums[m] = int64(r.Uvarint()); c.Sums[m] < 0 {
					r.Fail()
				}
			}
		}
		c.Mixed = mask&mixedFlag != 0
		switch {
		case mask&sameRefsFlag == 0:
			c.First, c.Last = wire.ReadRef(r), wire.ReadRef(r)
		case i > 0:
			c.First, c.Last = k.Counted[i-1].First, k.Counted[i-1].Last
		}
		if c.Keep = uint32(min(r.Uvarint(), math.MaxUint32)); c.Keep > 0 {
			seen := r.Len()
			if uint64(seen) > uint64(c.Keep) {
				r.Fail()
			}
			c.Seen = make([]uint64, 0, min(seen, len(r.B)/8))
			for range seen {
				if c.Seen = append(c.Seen, r.Uint64()); r.Err != nil {
					return
				}
			}
		}
		if r.Err == nil && (i > 0 && c.Meter <= k.Counted[i-1].Meter || !slices.IsSorted(c.Seen)) {
			r.Fail() // merging relies on the order
		}
		if r.Err != nil {
			return
		}
		k.Counted = append(k.Counted, c)
	}
}

// noteTag and deltaTag stand before a note and what is to be learned in a facts record, where a
// bucket begins with its slot.
const (
	noteTag  = 0xff
	deltaTag = 0xfd
)

// appendNote encodes a note, in a facts record and in a page.
func appendNote(b []byte, k *detectors.Note) []byte {
	b = append(b, k.Slot, byte(k.Scope))
	b = wire.AppendString(wire.AppendString(b, k.Tenant), k.ID)
	b = binary.AppendVarint(wire.AppendRef(b, k.Ref), k.Order)
	return wire.AppendString(b, string(k.Body))
}

// readNote decodes what appendNote wrote, into memory of its own. Facts of format 2 have notes that
// are not ordered.
func readNote(r *wire.Reader, ordered bool) detectors.Note {
	k := detectors.Note{Slot: r.Byte(), Scope: policy.Scope(r.Byte())}
	k.Tenant, k.ID = strings.Clone(r.String()), strings.Clone(r.String())
	k.Ref = wire.ReadRef(r).Clone()
	if ordered {
		k.Order = r.Varint()
	}
	k.Body = bytes.Clone(r.Bytes())
	return k
}
