package sketch

import "slices"

// Recent are the newest of many hashes, in a ring. The ring grows up to its bound, so that few hashes
// take little memory.
type Recent[T uint16 | uint32 | uint64] struct {
	Ring []T
	Next int // where the next one goes once the ring has its bound; else 0
}

// Has tells whether a hash is among them.
func (r *Recent[T]) Has(hash T) bool { return slices.Contains(r.Ring, hash) }

// Add adds a hash to a ring of at most so many; the oldest goes.
func (r *Recent[T]) Add(hash T, most int) { r.Ring, r.Next = AddRecent(r.Ring, r.Next, hash, most) }

// AddRecent is Recent.Add for a ring whose next place is kept somewhere else.
func AddRecent[T uint16 | uint32 | uint64](ring []T, next int, hash T, most int) ([]T, int) {
	if len(ring) < most {
		return append(ring, hash), next
	}
	ring[next] = hash
	return ring, (next + 1) % most
}
