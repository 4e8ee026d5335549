package sketch

import "slices"

// Recent are the newest of many hashes, in a ring that grows to its bound first: who shows little
// pays for little.
type Recent[T uint16 | uint32 | uint64] struct {
	Ring []T
	Next int // where the next one goes once the ring has its bound; else 0
}

// Has tells whether a hash is among them.
func (r *Recent[T]) Has(hash T) bool { return slices.Contains(r.Ring, hash) }

// Add adds a hash to a ring of at most so many; the oldest goes.
func (r *Recent[T]) Add(hash T, most int) {
	if len(r.Ring) < most {
		r.Ring = append(r.Ring, hash)
		return
	}
	r.Ring[r.Next] = hash
	r.Next = (r.Next + 1) % most
}
