// Package memo remembers what was worked out from a key, so that it need not be worked out again for
// the next event. It may forget at any time, so whatever is put in must follow from its key alone:
// nothing that decides may depend on what happens to be remembered.
//
// It knows nothing of events. Begin reading at Cache, which forgets where two keys share a slot; Map
// is a map with such a cache in front.
package memo

// Cache is a direct-mapped cache: a key has one slot, and the newest of the keys that share it
// stays. It costs one comparison and no hashing of the key, which suits lookups made for each event.
// Slots hold keys and values themselves, so that a hit waits for memory once. One goroutine at a
// time.
type Cache[K comparable, V any] struct{ slots []slot[K, V] }

type slot[K comparable, V any] struct {
	key   K
	value V
	used  bool
}

// NewCache returns an empty cache of so many slots, a power of two.
func NewCache[K comparable, V any](slots int) Cache[K, V] {
	if slots <= 0 || slots&(slots-1) != 0 {
		panic("memo: the number of slots is no power of two")
	}
	return Cache[K, V]{make([]slot[K, V], slots)}
}

// Get returns the value of a key. hash says where it is: any number that follows from the key and
// whose lowest bits differ between keys that are in use together.
func (c *Cache[K, V]) Get(hash uint64, key K) (V, bool) {
	s := &c.slots[hash&uint64(len(c.slots)-1)]
	return s.value, s.used && s.key == key
}

// Put remembers the value of a key, by the hash that Get will be asked with. It keeps the key.
func (c *Cache[K, V]) Put(hash uint64, key K, value V) {
	c.slots[hash&uint64(len(c.slots)-1)] = slot[K, V]{key, value, true}
}

// Map is a map of bounded size behind a direct-mapped cache of its entries. One goroutine at a time.
type Map[K comparable, V any] struct {
	near [256]*entry[K, V]
	all  map[K]*entry[K, V]
	most int
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// NewMap returns an empty map of at most so many keys.
func NewMap[K comparable, V any](most int) Map[K, V] {
	return Map[K, V]{all: map[K]*entry[K, V]{}, most: most}
}

// Near returns the value of a key if the cache has it, by a hash as in Cache.Get. It is small enough
// to be inlined; ask Far only after it.
func (m *Map[K, V]) Near(hash uint64, key K) (v V, ok bool) {
	if e := m.near[hash%256]; e != nil && e.key == key {
		return e.value, true
	}
	return v, false
}

// Far returns the value of a key if the map has it. Then the cache has it, too.
func (m *Map[K, V]) Far(hash uint64, key K) (v V, ok bool) {
	e := m.all[key]
	if e == nil {
		return v, false
	}
	m.near[hash%256] = e
	return e.value, true
}

// Put remembers the value of a key, by the hash that Near will be asked with. It keeps the key. A
// map that is full forgets everything first.
func (m *Map[K, V]) Put(hash uint64, key K, value V) {
	if len(m.all) >= m.most {
		clear(m.all)
	}
	e := &entry[K, V]{key, value}
	m.all[key], m.near[hash%256] = e, e
}
