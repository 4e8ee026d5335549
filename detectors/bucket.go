package detectors

import (
	"cmp"
	"slices"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/sketch"
)

// BucketMS is the grain of what is counted above one agent (DESIGN §1).
const BucketMS = policy.BucketMS

// Bucket is what all agents contributed to one scope within BucketMS of event time.
type Bucket struct {
	Slot    byte
	Scope   policy.Scope
	Tenant  string
	ID      string
	Index   int64     // of BucketMS
	Counted []Counted // ascending by meter
}

// Counted is what one meter counted in a bucket.
type Counted struct {
	Meter uint64
	Sums  Sums      // Sums[0] are the contributors
	First event.Ref // by (time, id), as Last
	Last  event.Ref
	Mixed bool // of more than one agent
	// hashes of what is distinct, ascending: the Keep smallest, so that the order of merging does
	// not show
	Seen sketch.Smallest
	Keep uint32
}

// Newest is the time of the newest contributor.
func (b *Bucket) Newest() int64 {
	t := b.Counted[0].Last.Time
	for i := range b.Counted {
		t = max(t, b.Counted[i].Last.Time)
	}
	return t
}

// Merge adds what another source contributed to the same bucket. Sums are integers, first and last
// are extremes, what is distinct is a union: the order does not show.
func (b *Bucket) Merge(o *Bucket) {
	for i := range o.Counted {
		k := &o.Counted[i]
		j, found := slices.BinarySearchFunc(b.Counted, k.Meter,
			func(c Counted, meter uint64) int { return cmp.Compare(c.Meter, meter) })
		if found {
			b.Counted[j].merge(k)
		} else {
			b.Counted = slices.Insert(b.Counted, j, *k)
		}
	}
}

func (c *Counted) merge(o *Counted) {
	for i := range c.Sums {
		c.Sums[i] = addSaturating(c.Sums[i], o.Sums[i])
	}
	c.Mixed = c.Mixed || o.Mixed || c.First.Agent != o.First.Agent
	if o.First.Before(c.First) {
		c.First = o.First
	}
	if c.Last.Before(o.Last) {
		c.Last = o.Last
	}
	c.Seen.Merge(o.Seen, int(c.Keep))
}

func addSaturating(a, b int64) int64 {
	if s := a + b; s >= a {
		return s
	}
	return 1<<63 - 1
}

// Contribution is what one event adds to one meter.
type Contribution struct {
	Meter uint64
	Sums  *Sums
	Mask  uint8  // columns of them that the meter keeps
	Keep  uint32 // how many different hashes it keeps of a bucket; 0: it does not ask what is distinct
	Seen  uint64
}

// Partials gathers over a slice of events what they contribute above their agents: one bucket for
// each scope and BucketMS. The zero value is empty. What it has allocated it uses again, so that a
// slice like the one before costs nothing.
type Partials struct {
	groups []group
	table  []int32     // places in groups + 1, by their hash
	refs   []event.Ref // of the events that contributed, in order
	text   []byte      // of ids
	sets   []sketch.Set
	used   int // of sets
	// places in groups + 1: the bucket that each scope last met, mostly met again
	last [policy.Scopes]int32
}

// group is a bucket in the making.
type group struct {
	hash   uint64
	slot   byte
	scope  policy.Scope
	tenant string
	id     string
	index  int64
	newest int32 // in refs: the last of its contributors by (time, id)
	cells  []cell
}

type cell struct {
	meter       uint64
	sums        Sums
	agent       uint64 // hash of the first contributor's
	first, last int32  // in refs
	set         int32  // in sets, + 1; 0: none
	keep        uint32
	mixed       bool
}

// Len is the number of buckets.
func (p *Partials) Len() int { return len(p.groups) }

// Add adds one event's contributions to one scope. who stands for the event's tenant and agent for
// its agent: hashes that only need to differ. What it is given must live until Reset, but for id.
func (p *Partials) Add(slot byte, scope policy.Scope, tenant string, who uint64, id string, agent uint64, ref event.Ref,
	index int64, list []Contribution) {
	at := len(p.refs) - 1
	if at < 0 || p.refs[at] != ref {
		at++
		p.refs = append(p.refs, ref)
	}
	g := p.group(slot, scope, tenant, who, id, index)
	// than all before it: the usual case, in which no meter need look for itself
	later := g.newest < 0 || p.refs[g.newest].Before(ref)
	if later {
		g.newest = int32(at)
	}
	next := 0
	for i := range list {
		k := &list[i]
		c := g.cell(k.Meter, &next)
		if c.sums[0] == 0 {
			c.agent, c.first, c.last, c.keep = agent, int32(at), int32(at), k.Keep
		} else if later {
			c.last = int32(at)
		} else {
			if ref.Before(p.refs[c.first]) {
				c.first = int32(at)
			}
			if p.refs[c.last].Before(ref) {
				c.last = int32(at)
			}
		}
		if c.agent != agent {
			c.mixed = true
		}
		c.sums[0]++
		if k.Keep > 0 {
			p.see(c, k.Seen)
			continue
		}
		for m := 1; m < len(c.sums); m++ {
			if k.Mask&(1<<m) != 0 {
				c.sums[m] = addSaturating(c.sums[m], k.Sums[m])
			}
		}
	}
}

// group finds a bucket or begins it.
func (p *Partials) group(slot byte, scope policy.Scope, tenant string, who uint64, id string, index int64) *group {
	if i := p.last[scope]; i > 0 {
		if g := &p.groups[i-1]; g.index == index && g.id == id && g.tenant == tenant && g.slot == slot {
			return g
		}
	}
	if 2*len(p.groups) >= len(p.table) {
		p.grow()
	}
	h := (xxhash.Sum64String(id) ^ who ^ uint64(scope)<<56 ^ uint64(slot)<<48 ^ uint64(index)) * 0x9e3779b97f4a7c15
	mask := len(p.table) - 1
	i := int(h>>32) & mask
	for ; p.table[i] != 0; i = (i + 1) & mask {
		g := &p.groups[p.table[i]-1]
		if g.hash == h && g.index == index && g.scope == scope && g.slot == slot && g.id == id && g.tenant == tenant {
			p.last[scope] = p.table[i]
			return g
		}
	}
	n := len(p.groups)
	if n == cap(p.groups) {
		p.groups = append(p.groups, group{})
	} else {
		p.groups = p.groups[:n+1]
	}
	p.table[i], p.last[scope] = int32(n+1), int32(n+1)
	from := len(p.text)
	p.text = append(p.text, id...)
	own := p.text[from:]
	g := &p.groups[n]
	*g = group{hash: h, slot: slot, scope: scope, tenant: tenant, id: unsafe.String(unsafe.SliceData(own), len(own)),
		index: index, newest: -1, cells: g.cells[:0]}
	return g
}

func (p *Partials) grow() {
	p.table = make([]int32, max(256, 2*len(p.table)))
	mask := len(p.table) - 1
	for k := range p.groups {
		i := int(p.groups[k].hash>>32) & mask
		for p.table[i] != 0 {
			i = (i + 1) & mask
		}
		p.table[i] = int32(k + 1)
	}
}

// cell finds what a meter has counted, from the one after the last that was found: events ask in
// much the same order.
func (g *group) cell(meter uint64, next *int) *cell {
	for i := *next; i < len(g.cells); i++ {
		if g.cells[i].meter == meter {
			*next = i + 1
			return &g.cells[i]
		}
	}
	for i := range min(*next, len(g.cells)) {
		if g.cells[i].meter == meter {
			*next = i + 1
			return &g.cells[i]
		}
	}
	g.cells = append(g.cells, cell{meter: meter})
	*next = len(g.cells)
	return &g.cells[*next-1]
}

// see notes a hash.
func (p *Partials) see(c *cell, hash uint64) {
	if c.set == 0 {
		if p.used == len(p.sets) {
			p.sets = append(p.sets, sketch.Set{})
		}
		p.used++
		c.set = int32(p.used)
	}
	p.sets[c.set-1].Add(hash)
}

// Each shows every bucket, in the order in which they began. What it shows lasts until the next.
func (p *Partials) Each(f func(b *Bucket)) {
	var b Bucket
	for i := range p.groups {
		g := &p.groups[i]
		slices.SortFunc(g.cells, func(a, b cell) int { return cmp.Compare(a.meter, b.meter) })
		b = Bucket{g.slot, g.scope, g.tenant, g.id, g.index, b.Counted[:0]}
		for j := range g.cells {
			c := &g.cells[j]
			k := Counted{Meter: c.meter, Sums: c.sums, First: p.refs[c.first], Last: p.refs[c.last], Mixed: c.mixed,
				Keep: c.keep}
			if c.set > 0 {
				k.Seen = p.sets[c.set-1].Smallest(int(c.keep))
			}
			b.Counted = append(b.Counted, k)
		}
		f(&b)
	}
}

// Reset forgets everything.
func (p *Partials) Reset() {
	for i := range p.groups {
		p.groups[i].tenant, p.groups[i].id = "", "" // they hold on to records
	}
	for i := range p.used {
		p.sets[i].Reset()
	}
	clear(p.table)
	clear(p.refs)
	p.groups, p.refs, p.text, p.used, p.last = p.groups[:0], p.refs[:0], p.text[:0], 0, [policy.Scopes]int32{}
}
