package sketch

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/wayward-sec/wayward/event/wire"
)

// Sample counts the different hashes that were seen in a sliding window, each with when it was last
// seen. The zero value is not ready: see NewSample.
//
// All are kept up to a bound. Beyond it the newest are, and of those that a coin lets through (one
// in two, in four, …, by the hash's own bits) the newest as well: the finest such sample that
// reaches back over the whole window tells how many there are (Gibbons and Tirthapura, Distributed
// Streams Algorithms for Sliding Windows, 2002). Of 1,024 in a sample the error is 3 in 100. When
// the flood has left the window all are kept again.
type Sample struct {
	last  map[uint64]int64
	queue []seenAt     // by time; those are stale that last has another time for
	of    [coins]int   // how many there are of each level
	gone  [coins]int64 // the newest that was forgotten of a sample; noneGone: none
}

type seenAt struct {
	at   int64
	hash uint64
}

const (
	coins      = 11
	keptNewest = 4096 // as they were last seen
	keptSample = 1024 // of each sample
	spare      = 1024 // how many more may gather before they are thinned out
	noneGone   = math.MinInt64
)

// NewSample returns a sample that has seen nothing.
func NewSample() *Sample {
	s := &Sample{last: map[uint64]int64{}}
	for i := range s.gone {
		s.gone[i] = noneGone
	}
	return s
}

// level is how many coins in a row let a hash through.
func level(h uint64) int {
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return min(bits.LeadingZeros64(h), coins-1)
}

// See notes a hash at a time.
func (s *Sample) See(h uint64, t int64) {
	was, known := s.last[h]
	if known && was >= t {
		return
	}
	if !known {
		s.of[level(h)]++
	}
	s.last[h] = t
	i := len(s.queue)
	if i > 0 && s.queue[i-1].at > t {
		i, _ = slices.BinarySearchFunc(s.queue, t, func(x seenAt, t int64) int {
			if x.at <= t {
				return -1
			}
			return 1
		})
	}
	if s.queue = slices.Insert(s.queue, i, seenAt{t, h}); len(s.queue) > 2*len(s.last)+16 {
		s.queue = slices.DeleteFunc(s.queue, s.stale)
	}
}

func (s *Sample) stale(x seenAt) bool {
	t, ok := s.last[x.hash]
	return !ok || t != x.at
}

func (s *Sample) drop(h uint64) {
	delete(s.last, h)
	s.of[level(h)]--
}

// Expire lets go of what was last seen at the edge or before it.
func (s *Sample) Expire(edge int64) {
	i := 0
	for ; i < len(s.queue) && s.queue[i].at <= edge; i++ {
		if !s.stale(s.queue[i]) {
			s.drop(s.queue[i].hash)
		}
	}
	s.queue = s.queue[i:]
}

// Thin thins out what is too much: halved, the bounds are shifted by halvings.
func (s *Sample) Thin(halvings byte) {
	if len(s.last) <= (keptNewest+(coins-1)*keptSample+spare)>>halvings {
		return
	}
	list := s.sorted()
	var newer [coins]int
	for i := len(list) - 1; i >= 0; i-- {
		keep := false
		for l := range level(list[i].hash) + 1 {
			most := keptSample >> halvings
			if l == 0 {
				most = keptNewest >> halvings
			}
			switch {
			case list[i].at <= s.gone[l]:
			case newer[l] < most:
				keep = true
			default:
				s.gone[l] = list[i].at
			}
			newer[l]++
		}
		if !keep {
			s.drop(list[i].hash)
		}
	}
	s.queue = slices.DeleteFunc(list, s.stale)
}

// sorted are those that are kept, by time and hash.
func (s *Sample) sorted() []seenAt {
	list := make([]seenAt, 0, len(s.last))
	for _, x := range s.queue {
		if !s.stale(x) {
			list = append(list, x)
		}
	}
	slices.SortFunc(list, func(a, b seenAt) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.hash, b.hash)) })
	return list
}

// Count is how many different ones there are behind the edge, by the finest sample that reaches
// back to it.
func (s *Sample) Count(edge int64) (n int64, exact bool) {
	for l := range coins {
		if s.gone[l] <= edge || l == coins-1 {
			for _, m := range s.of[l:] {
				n += int64(m)
			}
			return n << l, l == 0
		}
	}
	return 0, false
}

// Len is how many hashes it keeps.
func (s *Sample) Len() int { return len(s.last) }

// Append encodes it.
func (s *Sample) Append(b []byte) []byte {
	for _, t := range s.gone {
		b = binary.AppendVarint(b, t)
	}
	b = binary.AppendUvarint(b, uint64(len(s.last)))
	at := int64(0)
	for _, x := range s.sorted() {
		b = binary.BigEndian.AppendUint64(binary.AppendVarint(b, x.at-at), x.hash)
		at = x.at
	}
	return b
}

// ReadSample reads what Append wrote, of at most so many hashes.
func ReadSample(r *wire.Reader, most int) *Sample {
	s := NewSample()
	for i := range s.gone {
		s.gone[i] = r.Varint()
	}
	at := int64(0)
	for i := range min(r.Len(), most) {
		later := r.Varint()
		at += later
		h := r.Uint64()
		if _, twice := s.last[h]; twice || i > 0 && later < 0 {
			r.Fail()
		}
		if r.Err != nil {
			return s
		}
		s.See(h, at)
	}
	return s
}
