// Package sketch counts hashes and numbers in bounded memory: what is distinct, what came last,
// quantiles. Results depend on what was counted, not on its order, except where a type says so. It
// must never know what was hashed, and never looks at a clock. Begin reading at Smallest, the
// simplest.
//
// The counters differ on purpose. Smallest merges in any order. LastSeen and Sample forget what leaves
// a window, exactly and by samples. Timestamps and Bitmap are small enough for hundreds of thousands
// of agents and sessions. Their encodings are state on disk: they do not change.
package sketch

import (
	"encoding/binary"
	"slices"

	"github.com/wayward-sec/wayward/event/wire"
)

// Smallest is a set of hashes, ascending. Beyond a bound the smallest are kept, so sets merge to the
// same one in any order.
type Smallest []uint64

// Add adds a hash to a set of at most so many hashes.
func (s *Smallest) Add(hash uint64, most int) {
	if i, found := slices.BinarySearch(*s, hash); !found && i < most {
		*s = slices.Insert(*s, i, hash)
		*s = (*s)[:min(len(*s), most)]
	}
}

// Merge adds all of another. It leaves the memory of both alone.
func (s *Smallest) Merge(o Smallest, most int) {
	if len(o) == 0 {
		return
	}
	all := slices.Concat(*s, o)
	slices.Sort(all)
	all = slices.Compact(all)
	*s = all[:min(len(all), most)]
}

// Append encodes the set.
func (s Smallest) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	for _, h := range s {
		b = binary.BigEndian.AppendUint64(b, h)
	}
	return b
}

// Decode reads what Append wrote, of a set of at most so many.
func (s *Smallest) Decode(r *wire.Reader, most int) {
	n := r.Len()
	if n > most {
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

// Set collects hashes quickly, by open addressing; Smallest makes a set that can be saved and merged.
// The zero value is empty.
type Set struct {
	list  []uint64 // in order of arrival; ascending once it was sorted
	table []uint64 // 0: free
}

// Add adds a hash.
func (s *Set) Add(hash uint64) {
	hash = max(hash, 1) // 0 is a free place
	if 2*len(s.list) >= len(s.table) {
		s.table = make([]uint64, max(8, 2*len(s.table)))
		for _, h := range s.list {
			s.put(h)
		}
	}
	if s.put(hash) {
		s.list = append(s.list, hash)
	}
}

// put puts a hash into the table, which has room; true: it was not there.
func (s *Set) put(hash uint64) bool {
	mask := uint64(len(s.table) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		switch s.table[i] {
		case hash:
			return false
		case 0:
			s.table[i] = hash
			return true
		}
	}
}

// Smallest are the n smallest, until the next call of Add or Reset.
func (s *Set) Smallest(n int) Smallest {
	slices.Sort(s.list)
	return s.list[:min(n, len(s.list))]
}

// maxSetTable bounds the table that Reset keeps, so that one large batch of hashes does not make every
// later Reset slow.
const maxSetTable = 1 << 12

// Reset forgets everything, and keeps the memory if it is not much.
func (s *Set) Reset() {
	if s.list = s.list[:0]; len(s.table) <= maxSetTable {
		clear(s.table)
	} else {
		s.table = nil
	}
}
