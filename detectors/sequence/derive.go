package sequence

import (
	"github.com/wayward-sec/wayward/event"
)

// entry is one place of the hash table that is derived from the n-grams. The value of a context is
// its back-off weight: the share that it leaves to the shorter context. The value of an n-gram is
// its own share. N-grams without a context, or of one whose shorter context is the empty one, have
// their whole probability here, since almost every step asks for them.
type entry struct {
	tag   uint32 // of the key; the rest is in the place. 0: empty
	value float32
}

// place is the place of a key in the table, and its tag.
func (m *Model) place(key uint64) (i uint64, tag uint32) {
	h := key * 0x9e3779b97f4a7c15
	return h >> m.shift, uint32(h>>8) | 1
}

// find is the value of a context or an n-gram, and whether the table has it.
func (m *Model) find(key uint64) (float64, bool) {
	index := m.index
	mask := uint64(len(index) - 1)
	for i, tag := m.place(key); ; i++ {
		s := &index[i&mask]
		if s.tag == tag {
			return float64(s.value), true
		}
		if s.tag == 0 {
			return 0, false
		}
	}
}

// derive makes what is not stored.
func (m *Model) derive() {
	classes := map[uint32]uint32{} // how many symbols each has
	for i := range m.symbols {
		classes[m.symbols[i].Class]++
	}
	contexts := 0
	for i := range m.grams {
		if i == 0 || m.grams[i].key>>32 != m.grams[i-1].key>>32 {
			contexts++
		}
	}
	size := 64
	m.shift = 64 - 6
	for size < 2*(len(m.grams)+contexts+len(classes)) {
		size *= 2
		m.shift--
	}
	m.index = make([]entry, size)
	put := func(key uint64, v float64) {
		i, tag := m.place(key)
		for m.index[i].tag != 0 {
			i = (i + 1) & uint64(size-1)
		}
		m.index[i] = entry{tag, float32(v)}
	}
	group := func(i int) (end int, backoff, of float64) {
		n, low := uint64(0), uint64(0)
		for end = i; end < len(m.grams) && m.grams[end].key>>32 == m.grams[i].key>>32; end++ {
			c := m.grams[end].support()
			n += uint64(c)
			low += uint64(min(c, seqFloor))
		}
		return end, (float64(low) + 0.5) / (float64(n) + 0.5), 1 / (float64(n) + 0.5)
	}
	own := func(g *gram, of float64) float64 { return float64(g.support()-min(g.support(), seqFloor)) * of }

	// What has no context at all has all of its probability in the table, since almost every step
	// asks for it.
	withoutContext := func(context uint64, uniform float64) (of map[uint32]float64, none float64) {
		of, none = map[uint32]float64{}, uniform
		if i, _ := m.at(context); i < len(m.grams) && m.grams[i].key&upper == context {
			end, backoff, share := group(i)
			none *= backoff
			for ; i < end; i++ {
				of[uint32(m.grams[i].key)] = own(&m.grams[i], share) + none
			}
		}
		return of, none
	}
	m.backoff = 1
	byClass, classBackoff := withoutContext(classContext, 1/float64(len(classes)+2))
	byOutcome, outcomeBackoff := withoutContext(outcomeContext, 1/float64(event.NotFound+1))
	m.classBackoff, m.outcomeBackoff = classBackoff, outcomeBackoff
	byCall := map[uint32]float64{}
	if i, _ := m.at(noContext); i < len(m.grams) && m.grams[i].key&upper == noContext {
		end, backoff, of := group(i)
		m.backoff = backoff
		for ; i < end; i++ {
			call := uint32(m.grams[i].key)
			class := m.classOf(call)
			p, ok := byClass[class]
			if !ok {
				p = classBackoff
			}
			byCall[call] = own(&m.grams[i], of) + backoff*p/float64(classes[class]+1)
		}
	}
	skips, outcomes := map[uint64]bool{after(skipSeed, beginSymbol) & upper: true}, map[uint64]bool{}
	for i := range m.symbols {
		skips[after(skipSeed, m.symbols[i].ID)&upper] = true
		outcomes[after(outcomeSeed, m.symbols[i].ID)&upper] = true
	}
	for i := 0; i < len(m.grams); {
		c := m.grams[i].key & upper
		end, backoff, of := group(i)
		put(c, backoff)
		skip, outcome := skips[c], outcomes[c]
		for ; i < end; i++ {
			g := &m.grams[i]
			v, last := own(g, of), uint32(g.key)
			switch {
			case c == classContext:
				v = byClass[last]
			case c == outcomeContext:
				v = byOutcome[last]
			case c == noContext:
				v = byCall[last]
			case skip:
				v += backoff * byCall[last]
			case outcome:
				v += backoff * byOutcome[last]
			}
			put(g.key, v)
		}
	}
	for i := range m.symbols { // not by the map: the order of the table would follow
		if c := m.symbols[i].Class; classes[c] > 0 {
			put(sizeContext|uint64(c), 1/float64(classes[c]+1))
			classes[c] = 0
		}
	}
	m.calibrate()
}
