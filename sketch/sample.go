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
// All hashes are kept up to a bound. Beyond it the newest are kept, and of every second, fourth, …
// hash (chosen by its own bits: its level) the newest as well. The finest of these samples that
// reaches back over the whole window tells how many there are (Gibbons and Tirthapura, Distributed
// Streams Algorithms for Sliding Windows, 2002). With 1,024 in a sample the error is 3 in 100. When
// the flood has left the window all are kept again.
type Sample struct {
	last    map[uint64]int64
	queue   []seenAt      // by time; an entry is stale if last has another time for its hash
	count   [levels]int   // how many hashes there are of each level
	dropped [levels]int64 // time of the newest that was dropped from a level's sample; noneDropped: none
}

type seenAt struct {
	at   int64
	hash uint64
}

const (
	levels      = 11
	keptNewest  = 4096 // as they were last seen
	keptSample  = 1024 // of each sample
	spare       = 1024 // how many more may gather before they are thinned out
	noneDropped = math.MinInt64
)

// NewSample returns a sample that has seen nothing.
func NewSample() *Sample {
	s := &Sample{last: map[uint64]int64{}}
	for i := range s.dropped {
		s.dropped[i] = noneDropped
	}
	return s
}

// level is the number of samples, besides that of all hashes, to which a hash belongs: at least l with
// probability 2^-l.
func level(h uint64) int {
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return min(bits.LeadingZeros64(h), levels-1)
}

// See notes that a hash was seen at a time.
func (s *Sample) See(h uint64, t int64) {
	was, known := s.last[h]
	if known && was >= t {
		return
	}
	if !known {
		s.count[level(h)]++
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
	s.count[level(h)]--
}

// Expire drops what was last seen at the edge or before it.
func (s *Sample) Expire(edge int64) {
	i := 0
	for ; i < len(s.queue) && s.queue[i].at <= edge; i++ {
		if !s.stale(s.queue[i]) {
			s.drop(s.queue[i].hash)
		}
	}
	s.queue = s.queue[i:]
}

// Thin drops hashes beyond the bounds, which are halved so many times.
func (s *Sample) Thin(halvings byte) {
	if len(s.last) <= (keptNewest+(levels-1)*keptSample+spare)>>halvings {
		return
	}
	list := s.sorted()
	var newer [levels]int
	for i := len(list) - 1; i >= 0; i-- {
		keep := false
		for l := range level(list[i].hash) + 1 {
			most := keptSample >> halvings
			if l == 0 {
				most = keptNewest >> halvings
			}
			switch {
			case list[i].at <= s.dropped[l]:
			case newer[l] < most:
				keep = true
			default:
				s.dropped[l] = list[i].at
			}
			newer[l]++
		}
		if !keep {
			s.drop(list[i].hash)
		}
	}
	s.queue = slices.DeleteFunc(list, s.stale)
}

// sorted are the hashes that are kept, by time and hash.
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

// Count is how many different hashes were seen after the edge, by the finest sample that reaches back
// to it; exact: that is all of them.
func (s *Sample) Count(edge int64) (n int64, exact bool) {
	for l := range levels {
		if s.dropped[l] <= edge || l == levels-1 {
			for _, m := range s.count[l:] {
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
	for _, t := range s.dropped {
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
	for i := range s.dropped {
		s.dropped[i] = r.Varint()
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
