package baselines

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/sketch"
)

// Span is the shape of a window: n buckets of step milliseconds. A tumbling window is one bucket as
// long as itself; a session's is one without end.
type Span struct {
	StepMS int64 // 0: one bucket for ever
	N      int64
}

// Tumbling is a window that starts anew every length, at multiples of it since 1970.
func Tumbling(length int64) Span { return Span{length, 1} }

// Sliding is a window over the last length, which moves by step: it covers the last n = length/step
// buckets, the newest of them growing.
func Sliding(length, step int64) Span { return Span{step, max(1, length/step)} }

// Lifetime is a window that never ends.
func Lifetime() Span { return Span{0, 1} }

// Index is the bucket of a time.
func (s Span) Index(t int64) int64 {
	if s.StepMS == 0 {
		return 0
	}
	return wire.FloorDiv(t, s.StepMS)
}

// keptRefs bounds the contributors that a window remembers. When they are more, every second one
// after the first event.MaxRefs is forgotten: a window of few contributors names its first ones
// exactly, one of many names early ones, and neither pays for an id in each bucket.
const keptRefs = 16

// Columns is how many numbers a window can sum; the first counts contributors, the last may count
// what is distinct among them.
const (
	Columns  = 4
	Distinct = Columns - 1
)

// Sums is one number for each column.
type Sums [Columns]int64

// Window sums several columns over a span of event time. The zero value is empty.
//
// It may count different hashes in the column Distinct, see See. Each is remembered with the bucket
// in which it was last seen and counts there alone, so what leaves the window leaves the count,
// exactly.
type Window struct {
	Total  Sums   // over the span; Total[0] are the contributors
	newest bucket // lies here since almost all that comes goes here; n is 0 if there is none
	sums   Sums   // of the newest; the first is its n
	mask   uint8
	named  bool  // the first event.MaxRefs contributors are remembered
	oldest int64 // index of the first bucket, so that most steps need not look into the past
	past   *past
}

// past is what a window seldom looks at.
type past struct {
	buckets []bucket // before the newest, ascending, non-empty ones only
	sums    []int64  // of each of them, one for each bit of mask
	refs    []event.Ref
	seen    sketch.LastSeen // by bucket; may also hold what has left the window
}

type bucket struct {
	index int64
	n     uint32
	agent uint32 // hash of the one agent that contributed, 0 if there are several
}

// CountDistinct is the mask of a window that counts different hashes.
const CountDistinct = 1<<Distinct | distinctBit

const distinctBit = 1 << 7

// Shape makes the window keep the columns of mask (bit i for column i; the count is always kept).
// What it kept before stays, what is new starts empty.
func (w *Window) Shape(mask uint8) {
	if mask &^= 1; mask != w.mask {
		w.reshape(mask)
	}
}

func (w *Window) reshape(mask uint8) {
	was := w.mask
	w.mask = mask
	total := Sums{w.Total[0]}
	if w.past != nil {
		p := w.past
		if mask != CountDistinct {
			p.seen = nil
		}
		old, k := p.sums, 0
		p.sums = make([]int64, 0, len(p.buckets)*w.width())
		for range p.buckets {
			for m := 1; m < Columns; m++ {
				v := int64(0)
				if was&(1<<m) != 0 {
					v = old[k]
					k++
				}
				if (was^mask)&distinctBit != 0 {
					v = 0
				}
				if mask&(1<<m) != 0 {
					p.sums = append(p.sums, v)
					total[m] += v
				}
			}
		}
	}
	for m := 1; m < Columns; m++ {
		if mask&was&(1<<m) == 0 || (was^mask)&distinctBit != 0 {
			w.sums[m] = 0
		}
		total[m] += w.sums[m]
	}
	w.Total = total
}

// width is how many numbers each older bucket has.
func (w *Window) width() int { return bits.OnesCount8(w.mask &^ distinctBit) }

// Move slides the window forward so that its newest bucket is index, and forgets what fell out. It
// never moves back.
func (w *Window) Move(s Span, index int64) {
	if w.newest.n == 0 || w.oldest > index-s.N || index <= w.newest.index {
		return
	}
	p := w.past
	if w.newest.index <= index-s.N {
		w.Total, w.newest, w.sums = Sums{}, bucket{}, Sums{}
		p.buckets, p.sums = p.buckets[:0], p.sums[:0]
	} else {
		drop, k := w.before(index-s.N+1), w.width()
		for i := range drop {
			w.Total[0] -= int64(p.buckets[i].n)
			w.each(i, func(m int, v *int64) { w.Total[m] -= *v })
		}
		p.buckets = p.buckets[:copy(p.buckets, p.buckets[drop:])]
		p.sums = p.sums[:copy(p.sums, p.sums[drop*k:])]
		if w.oldest = w.newest.index; len(p.buckets) > 0 {
			w.oldest = p.buckets[0].index
		}
	}
	gone := 0
	for gone < len(p.refs) && s.Index(p.refs[gone].Time) <= index-s.N {
		gone++
	}
	if gone > 0 {
		p.refs = slices.Delete(p.refs, 0, gone)
		w.named = len(p.refs) >= event.MaxRefs
	}
}

// before is how many older buckets there are before index.
func (w *Window) before(index int64) int {
	b := w.past.buckets
	if len(b) == 0 || b[0].index >= index {
		return 0
	}
	i, _ := slices.BinarySearchFunc(b, index, func(b bucket, index int64) int { return cmp.Compare(b.index, index) })
	return i
}

// each visits the sums of an older bucket.
func (w *Window) each(i int, f func(m int, v *int64)) {
	j := i * w.width()
	for m := 1; m < Columns; m++ {
		if w.mask&(1<<m) != 0 {
			f(m, &w.past.sums[j])
			j++
		}
	}
}

// Bump is Move and Add for the usual case: one more contributor to the newest bucket, by the agent
// whose it is. False: nothing was done, go the longer way.
func (w *Window) Bump(s Span, index int64, v *Sums, agent uint32) bool {
	b := &w.newest
	if b.index != index || b.n == 0 || b.agent != agent && b.agent != 0 || b.n == math.MaxUint32 || s.N == 1 &&
		!w.named {
		return false
	}
	b.n++
	w.Total[0]++
	w.sum(v)
	return true
}

// sum adds to the newest bucket. What See counts is not summed.
func (w *Window) sum(v *Sums) {
	if w.mask >= distinctBit {
		return
	}
	for m := 1; m < Columns; m++ {
		if w.mask&(1<<m) != 0 && v[m] > 0 {
			x := min(v[m], math.MaxInt64-w.Total[m])
			w.sums[m] += x
			w.Total[m] += x
		}
	}
}

// Contributor is one of those who contribute, for several windows to remember.
type Contributor struct {
	event.Ref
	Owned bool // its memory is not the record's; else the first window that remembers it clones it
}

// Add puts what n contributors measured into the bucket of index, after Move; false means that the
// window no longer holds that bucket. first is one of them; agent is a hash of theirs, 0 if they
// are several. Sums saturate: a window that overflowed is still over its limit.
func (w *Window) Add(s Span, index, n int64, v *Sums, first *Contributor, agent uint32) bool {
	if w.past == nil {
		w.past = &past{}
	}
	p := w.past
	b, fresh := &w.newest, false
	switch {
	case b.n == 0:
		*b, fresh = bucket{index: index, agent: agent}, true
		w.oldest = index
	case index > b.index: // it is the newest now
		p.buckets = append(p.buckets, *b)
		for m := 1; m < Columns; m++ {
			if w.mask&(1<<m) != 0 {
				p.sums = append(p.sums, w.sums[m])
			}
		}
		*b, w.sums, fresh = bucket{index: index, agent: agent}, Sums{}, true
	case index <= b.index-s.N:
		return false
	case index < b.index: // late
		i := w.before(index)
		if fresh = i == len(p.buckets) || p.buckets[i].index != index; fresh {
			p.buckets = slices.Insert(p.buckets, i, bucket{index: index, agent: agent})
			p.sums = slices.Insert(p.sums, i*w.width(), make([]int64, w.width())...)
			w.oldest = p.buckets[0].index
		}
		b = &p.buckets[i]
		if w.mask < distinctBit {
			w.each(i, func(m int, sum *int64) {
				x := min(max(v[m], 0), math.MaxInt64-w.Total[m])
				*sum += x
				w.Total[m] += x
			})
		}
	}
	n = min(n, int64(math.MaxUint32-b.n))
	b.n += uint32(n)
	w.Total[0] += n
	if b.agent != agent {
		b.agent = 0
	}
	if b == &w.newest {
		w.sum(v)
	}
	if s.N == 1 && !w.named || s.N > 1 && fresh &&
		(s.N <= keptRefs || !w.named || s.Index(p.refs[len(p.refs)-1].Time) <= index-s.N/(keptRefs-event.MaxRefs)) {
		w.remember(s, first)
	}
	return true
}

// remember keeps a contributor, in order of its bucket, and thins them out when they are too many.
func (w *Window) remember(s Span, first *Contributor) {
	if !first.Owned {
		*first = Contributor{first.Clone(), true}
	}
	p, r := w.past, first.Ref
	i := len(p.refs)
	for i > 0 && s.Index(p.refs[i-1].Time) > s.Index(r.Time) {
		i--
	}
	p.refs = slices.Insert(p.refs, i, r)
	if len(p.refs) > keptRefs {
		k := event.MaxRefs
		for j := event.MaxRefs; j < len(p.refs); j += 2 {
			p.refs[k] = p.refs[j]
			k++
		}
		clear(p.refs[k:])
		p.refs = p.refs[:k]
	}
	w.named = len(p.refs) >= event.MaxRefs
}

// See notes hashes, ascending, in the bucket of index, to which Add or Bump has just said yes; the
// column Distinct of a window shaped by CountDistinct counts them. The window remembers at least
// the keep newest: beyond a limit below that, only how far is forgotten, never whether.
func (w *Window) See(index int64, hashes []uint64, keep int) {
	if w.mask != CountDistinct {
		return
	}
	p := w.past
	known := len(p.seen)
	for _, h := range hashes {
		i, found := p.seen[:known].Find(h)
		switch {
		case !found && len(hashes) == 1:
			p.seen = slices.Insert(p.seen, i, sketch.Sighting{Hash: h, Last: index})
		case !found:
			p.seen = append(p.seen, sketch.Sighting{Hash: h, Last: index})
		case p.seen[i].Last >= index:
			continue
		default:
			w.distinct(p.seen[i].Last, -1)
			p.seen[i].Last = index
		}
		w.distinct(index, 1)
	}
	if len(hashes) > 1 && len(p.seen) > known {
		p.seen.Sort()
	}
	n := int(w.Total[Distinct])
	if len(p.seen) > 2*n+16 || n > keep+keep/4 {
		p.seen = slices.DeleteFunc(p.seen, func(s sketch.Sighting) bool { return !w.holds(s.Last) })
	}
	if n > keep+keep/4 {
		p.seen.Newest(keep, func(s sketch.Sighting) { w.distinct(s.Last, -1) })
	}
}

// distinct adds to the column Distinct of a bucket, if the window still holds it.
func (w *Window) distinct(index, n int64) {
	switch i := w.place(index); {
	case i < 0:
		return
	case i == len(w.past.buckets):
		w.sums[Distinct] += n
	default:
		w.past.sums[i] += n // their only column
	}
	w.Total[Distinct] += n
}

// place is where among all buckets one is, or -1.
func (w *Window) place(index int64) int {
	if w.newest.index == index && w.newest.n > 0 {
		return len(w.past.buckets)
	}
	if i := w.before(index); i < len(w.past.buckets) && w.past.buckets[i].index == index {
		return i
	}
	return -1
}

// holds tells whether there is a bucket of an index.
func (w *Window) holds(index int64) bool { return w.place(index) >= 0 }

// First returns the window's first contributors that are remembered, oldest first, at most
// event.MaxRefs. The slice is the caller's.
func (w *Window) First() []event.Ref {
	if w.past == nil {
		return nil
	}
	return slices.Clone(w.past.refs[:min(len(w.past.refs), event.MaxRefs)])
}

// Alone tells whether the agent of this hash is the only one that contributed.
func (w *Window) Alone(agent uint32) bool {
	if w.past != nil {
		for i := range w.past.buckets {
			if w.past.buckets[i].agent != agent {
				return false
			}
		}
	}
	return agent != 0 && (w.newest.n == 0 || w.newest.agent == agent)
}

// Append encodes the window.
func (w *Window) Append(b []byte) []byte {
	b = append(b, w.mask)
	if w.newest.n == 0 {
		return append(b, 0, 0)
	}
	p := w.past
	b = binary.AppendUvarint(b, uint64(len(p.buckets)+1))
	last, agent := int64(0), uint32(0)
	head := func(x *bucket) {
		b = binary.AppendVarint(b, x.index-last)
		last = x.index
		if x.agent == agent {
			b = binary.AppendUvarint(b, uint64(x.n)<<1)
			return
		}
		b = binary.AppendUvarint(b, uint64(x.n)<<1|1)
		b = binary.BigEndian.AppendUint32(b, x.agent)
		agent = x.agent
	}
	k := w.width()
	for i := range p.buckets {
		head(&p.buckets[i])
		for _, v := range p.sums[i*k : (i+1)*k] {
			b = binary.AppendUvarint(b, uint64(v))
		}
	}
	head(&w.newest)
	for m := 1; m < Columns; m++ {
		if w.mask&(1<<m) != 0 {
			b = binary.AppendUvarint(b, uint64(w.sums[m]))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(p.refs)))
	for _, r := range p.refs {
		b = wire.AppendRef(b, r)
	}
	if w.mask == CountDistinct {
		b = binary.AppendUvarint(b, uint64(w.Total[Distinct]))
		for _, s := range p.seen {
			if i := w.place(s.Last); i >= 0 {
				b = binary.BigEndian.AppendUint64(b, s.Hash)
				b = binary.AppendUvarint(b, uint64(i))
			}
		}
	}
	return b
}

// Decode reads what Append wrote.
func (w *Window) Decode(r *wire.Reader) {
	*w = Window{}
	if w.mask = r.Byte(); w.mask&^(1<<Columns-1) != 0 && w.mask != CountDistinct || w.mask&1 != 0 {
		r.Fail()
	}
	n, k := r.Len(), w.width()
	if n > 0 {
		w.past = &past{}
	}
	if n > 1 {
		w.past.buckets = make([]bucket, 0, n-1)
		w.past.sums = make([]int64, 0, (n-1)*k)
	}
	last, agent := int64(0), uint32(0)
	for i := range n {
		step := r.Varint()
		x := r.Uvarint()
		if x&1 != 0 {
			agent = r.Uint32()
		}
		// Numbers that no window can have would only show later, as a limit that is never crossed.
		if i > 0 && (step <= 0 || last+step < last) || x>>1 > math.MaxUint32 || x>>1 == 0 {
			r.Fail()
		}
		if r.Err != nil {
			*w = Window{}
			return
		}
		last += step
		b := bucket{last, uint32(x >> 1), agent}
		if i == 0 {
			w.oldest = last
		}
		if i == n-1 {
			w.newest = b
		} else {
			w.past.buckets = append(w.past.buckets, b)
		}
		w.Total[0] += int64(x >> 1)
		for m := 1; m < Columns; m++ {
			if w.mask&(1<<m) == 0 {
				continue
			}
			v := int64(r.Uvarint())
			if v < 0 || w.Total[m]+v < 0 {
				r.Fail()
			}
			if w.Total[m] += v; i == n-1 {
				w.sums[m] = v
			} else {
				w.past.sums = append(w.past.sums, v)
			}
		}
	}
	refs := r.Len()
	if refs > keptRefs || n == 0 && refs > 0 {
		r.Fail()
	}
	if n > 0 && r.Err == nil {
		for range refs {
			w.past.refs = append(w.past.refs, wire.ReadRef(r))
		}
		w.named = refs >= event.MaxRefs
		if w.mask == CountDistinct {
			w.decodeSeen(r)
		}
	}
	if r.Err != nil {
		*w = Window{}
	}
}

// decodeSeen reads hashes and holds them against the sums.
func (w *Window) decodeSeen(r *wire.Reader) {
	left := append(slices.Clone(w.past.sums), w.sums[Distinct])
	n := r.Len()
	if int64(n) != w.Total[Distinct] {
		r.Fail()
	}
	for range n {
		hash, i := r.Uint64(), r.Uvarint()
		if i >= uint64(len(left)) || left[i] == 0 || len(w.past.seen) > 0 &&
			w.past.seen[len(w.past.seen)-1].Hash >= hash {
			r.Fail()
			return
		}
		left[i]--
		at := w.newest.index
		if i < uint64(len(w.past.buckets)) {
			at = w.past.buckets[i].index
		}
		w.past.seen = append(w.past.seen, sketch.Sighting{Hash: hash, Last: at})
	}
}
