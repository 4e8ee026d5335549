package sketch

import (
	"cmp"
	"slices"
)

// LastSeen are hashes, ascending, each with when it was last seen.
type LastSeen []Sighting

// Sighting is a hash and when it was last seen.
type Sighting struct {
	Hash uint64
	Last int64
}

// Find returns the index of a hash, or where it would be inserted.
func (s LastSeen) Find(hash uint64) (at int, found bool) {
	return slices.BinarySearchFunc(s, hash, func(x Sighting, h uint64) int { return cmp.Compare(x.Hash, h) })
}

// Sort restores the order after hashes were appended.
func (s LastSeen) Sort() {
	slices.SortFunc(s, func(a, b Sighting) int { return cmp.Compare(a.Hash, b.Hash) })
}

// Newest keeps the n that were seen last, of one time those with the smaller hashes, and calls dropped
// with each of the others.
func (s *LastSeen) Newest(n int, dropped func(Sighting)) {
	if len(*s) <= n {
		return
	}
	slices.SortFunc(*s,
		func(a, b Sighting) int { return cmp.Or(cmp.Compare(b.Last, a.Last), cmp.Compare(a.Hash, b.Hash)) })
	for _, x := range (*s)[n:] {
		dropped(x)
	}
	*s = (*s)[:n]
	s.Sort()
}
