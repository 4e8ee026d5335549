package baselines

import (
	"encoding/binary"
	"slices"

	"github.com/wayward-sec/wayward/event/wire"
)

// maxHashes bounds a set of hashes: beyond, the smallest are kept, whatever the order in which they
// came.
const maxHashes = 1024

// HashSet is a small set of hashes, ascending, that merges in any order.
type HashSet []uint64

// Add adds a hash.
func (s *HashSet) Add(h uint64) {
	if i, found := slices.BinarySearch(*s, h); !found && i < maxHashes {
		*s = slices.Insert(*s, i, h)
		*s = (*s)[:min(len(*s), maxHashes)]
	}
}

// Merge adds all of another.
func (s *HashSet) Merge(o HashSet) {
	for _, h := range o {
		s.Add(h)
	}
}

// Append encodes the set.
func (s HashSet) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	for _, h := range s {
		b = binary.BigEndian.AppendUint64(b, h)
	}
	return b
}

// Decode reads what Append wrote.
func (s *HashSet) Decode(r *wire.Reader) {
	n := r.Len()
	if n > maxHashes {
		r.Fail()
		return
	}
	*s = nil
	for range n {
		h := r.Uint64()
		if k := len(*s); r.Err != nil || k > 0 && (*s)[k-1] >= h {
			r.Fail()
			return
		}
		*s = append(*s, h)
	}
}
