package baselines

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/wayward-sec/wayward/event"
)

// Span is the shape of a window: n buckets of step milliseconds. A tumbling window is one bucket as long as itself; a session's is one without end.
type Span struct {
	StepMS int64 // 0: one bucket for ever
	N      int64
}

// Tumbling is a window that starts anew every length, at multiples of it since 1970.
func Tumbling(length int64) Span { return Span{length, 1} }

// Sliding is a window over the last length, which moves by step: it covers the last n = length/step buckets, the newest of them growing.
func Sliding(length, step int64) Span { return Span{step, max(1, length/step)} }

// Lifetime is a window that never ends.
func Lifetime() Span { return Span{0, 1} }

// Index is the bucket of a time.
func (s Span) Index(t int64) int64 {
	if s.StepMS == 0 {
		return 0
	}
	return FloorDiv(t, s.StepMS)
}

// FloorDiv is the quotient rounded towards minus infinity, so that buckets do not fold at 1970.
func FloorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// MaxRefs is how many first contributors a finding names besides its trigger (EVENTS §2).
const MaxRefs = 5

// keptRefs bounds the contributors that a window remembers. When they are more, every second one after the first MaxRefs is forgotten: a window of
// few contributors names its first ones exactly, one of many names early ones, and neither pays for an id in each bucket.
const keptRefs = 16

// Columns is how many numbers a window can sum; the first counts contributors, the last what is distinct among them.
const (
	Columns  = 6
	Distinct = Columns - 1
)

// Sums is one number for each column.
type Sums [Columns]int64

// Window sums several columns over a span of event time. The zero value is empty.
//
// The column Distinct counts different hashes. Each is remembered with the bucket in which it was last seen and counts there alone, so what leaves the
// window leaves the count, exactly.
type Window struct {
	Total   Sums // over the span; Total[0] are the contributors
	mask    uint8
	buckets []bucket // ascending, non-empty ones only
	sums    []int64  // of each bucket, one for each bit of mask
	refs    []event.Ref
	seen    []sight // ascending by hash; may also hold what has left the window
}

// sight is a hash and the bucket in which it was last seen.
type sight struct {
	hash uint64
	last int64
}

type bucket struct {
	index int64
	n     uint32
	agent uint32 // hash of the one agent that contributed, 0 if there are several
}

// Shape makes the window keep the columns of mask (bit i for column i; the count is always kept). What it kept before stays, what is new starts empty.
func (w *Window) Shape(mask uint8) {
	if mask &^= 1; mask != w.mask {
		w.reshape(mask)
	}
}

func (w *Window) reshape(mask uint8) {
	if mask&(1<<Distinct) == 0 {
		w.seen = nil
	}
	old, was := w.sums, w.mask
	w.mask = mask
	w.sums = make([]int64, 0, len(w.buckets)*w.width())
	w.Total = Sums{w.Total[0]}
	for i := range w.buckets {
		j := i * bits.OnesCount8(was)
		for m := 1; m < Columns; m++ {
			v := int64(0)
			if was&(1<<m) != 0 {
				v = old[j]
				j++
			}
			if mask&(1<<m) != 0 {
				w.sums = append(w.sums, v)
				w.Total[m] += v
			}
		}
	}
}

func (w *Window) width() int { return bits.OnesCount8(w.mask) }

// Move slides the window forward so that its newest bucket is index, and forgets what fell out. It never moves back.
func (w *Window) Move(s Span, index int64) {
	drop := 0
	for drop < len(w.buckets) && w.buckets[drop].index <= index-s.N {
		w.Total[0] -= int64(w.buckets[drop].n)
		drop++
	}
	if drop == 0 {
		return
	}
	k := w.width()
	j := 0
	for range drop {
		for m := 1; m < Columns; m++ {
			if w.mask&(1<<m) != 0 {
				w.Total[m] -= w.sums[j]
				j++
			}
		}
	}
	w.buckets = w.buckets[:copy(w.buckets, w.buckets[drop:])]
	w.sums = w.sums[:copy(w.sums, w.sums[drop*k:])]
	gone := 0
	for gone < len(w.refs) && s.Index(w.refs[gone].Time) <= index-s.N {
		gone++
	}
	w.refs = slices.Delete(w.refs, 0, gone)
}

// Bump is Move and Add for the usual case: one more contributor to the newest bucket, by the agent whose it is. False: nothing was done, go the longer
// way.
func (w *Window) Bump(s Span, index int64, v *Sums, agent uint32) bool {
	i := len(w.buckets) - 1
	if i < 0 {
		return false
	}
	b := &w.buckets[i]
	if b.index != index || b.agent != agent && b.agent != 0 || b.n == math.MaxUint32 || s.N == 1 && len(w.refs) < MaxRefs {
		return false
	}
	b.n++
	w.Total[0]++
	if w.mask == 0 {
		return true
	}
	j := i * w.width()
	for rest := w.mask; rest != 0; rest &= rest - 1 {
		m := bits.TrailingZeros8(rest)
		if x := v[m]; x > 0 {
			x = min(x, math.MaxInt64-w.Total[m])
			w.sums[j] += x
			w.Total[m] += x
		}
		j++
	}
	return true
}

// See notes hashes, ascending, in the bucket of index, to which Add has just said yes; the column Distinct counts them. The window remembers at least
// the keep newest of them: beyond a limit below that, only how far is forgotten, never whether.
func (w *Window) See(index int64, hashes []uint64, keep int) {
	if w.mask&(1<<Distinct) == 0 {
		return
	}
	known := len(w.seen)
	for _, h := range hashes {
		i, found := slices.BinarySearchFunc(w.seen[:known], h, func(s sight, h uint64) int { return cmp.Compare(s.hash, h) })
		switch {
		case !found && len(hashes) == 1:
			w.seen = slices.Insert(w.seen, i, sight{h, index})
		case !found:
			w.seen = append(w.seen, sight{h, index})
		case w.seen[i].last >= index:
			continue
		default:
			w.distinct(w.seen[i].last, -1)
			w.seen[i].last = index
		}
		w.distinct(index, 1)
	}
	if len(hashes) > 1 && len(w.seen) > known {
		slices.SortFunc(w.seen, byHash)
	}
	if len(w.seen) > 2*int(w.Total[Distinct])+16 {
		w.seen = slices.DeleteFunc(w.seen, func(s sight) bool { return w.bucketAt(s.last) < 0 })
	}
	if n := int(w.Total[Distinct]); n > keep+keep/4 {
		w.seen = slices.DeleteFunc(w.seen, func(s sight) bool { return w.bucketAt(s.last) < 0 })
		slices.SortFunc(w.seen, func(a, b sight) int { return cmp.Or(cmp.Compare(b.last, a.last), cmp.Compare(a.hash, b.hash)) })
		for _, s := range w.seen[keep:] {
			w.distinct(s.last, -1)
		}
		w.seen = w.seen[:keep]
		slices.SortFunc(w.seen, byHash)
	}
}

func byHash(a, b sight) int { return cmp.Compare(a.hash, b.hash) }

// distinct adds to the column Distinct of a bucket, if the window still holds it.
func (w *Window) distinct(index, n int64) {
	if i := w.bucketAt(index); i >= 0 {
		w.sums[(i+1)*w.width()-1] += n // the last column comes last
		w.Total[Distinct] += n
	}
}

// bucketAt returns the place of a bucket, or -1.
func (w *Window) bucketAt(index int64) int {
	if i := len(w.buckets) - 1; i >= 0 && w.buckets[i].index == index {
		return i
	}
	i, found := slices.BinarySearchFunc(w.buckets, index, func(b bucket, index int64) int { return cmp.Compare(b.index, index) })
	if !found {
		return -1
	}
	return i
}

// Add puts what n contributors measured into the bucket of index, after Move; false means that the window no longer holds that bucket. first is one of
// them, cloned unless owned; agent is a hash of theirs, 0 if they are several. Sums saturate: a window that overflowed is still over its limit.
func (w *Window) Add(s Span, index, n int64, v *Sums, first event.Ref, owned bool, agent uint32) bool {
	i := len(w.buckets)
	if i > 0 && w.buckets[i-1].index-s.N >= index {
		return false
	}
	for i > 0 && w.buckets[i-1].index > index {
		i--
	}
	k := w.width()
	fresh := i == 0 || w.buckets[i-1].index != index
	if fresh {
		w.buckets = append(w.buckets, bucket{})
		copy(w.buckets[i+1:], w.buckets[i:])
		w.buckets[i] = bucket{index: index, agent: agent}
		for range k {
			w.sums = append(w.sums, 0)
		}
		copy(w.sums[(i+1)*k:], w.sums[i*k:])
		clear(w.sums[i*k : (i+1)*k])
		i++
	}
	b := &w.buckets[i-1]
	n = min(n, int64(math.MaxUint32-b.n))
	b.n += uint32(n)
	w.Total[0] += n
	if b.agent != agent {
		b.agent = 0
	}
	j := (i - 1) * k
	for m := 1; m < Columns; m++ {
		if w.mask&(1<<m) != 0 {
			x := int64(0)
			if m != Distinct { // which See counts
				x = min(max(v[m], 0), math.MaxInt64-w.Total[m])
			}
			w.sums[j] += x
			w.Total[m] += x
			j++
		}
	}
	if s.N > 1 && fresh || s.N == 1 && len(w.refs) < MaxRefs {
		w.remember(s, first, owned)
	}
	return true
}

// remember keeps a contributor, in order of its bucket, and thins them out when they are too many.
func (w *Window) remember(s Span, r event.Ref, owned bool) {
	if !owned {
		r = r.Clone()
	}
	i := len(w.refs)
	for i > 0 && s.Index(w.refs[i-1].Time) > s.Index(r.Time) {
		i--
	}
	w.refs = slices.Insert(w.refs, i, r)
	if len(w.refs) <= keptRefs {
		return
	}
	k := MaxRefs
	for j := MaxRefs; j < len(w.refs); j += 2 {
		w.refs[k] = w.refs[j]
		k++
	}
	clear(w.refs[k:])
	w.refs = w.refs[:k]
}

// First returns the window's first contributors that are remembered, oldest first, at most MaxRefs. The slice is the caller's.
func (w *Window) First() []event.Ref {
	return slices.Clone(w.refs[:min(len(w.refs), MaxRefs)])
}

// Alone tells whether the agent of this hash is the only one that contributed.
func (w *Window) Alone(agent uint32) bool {
	for i := range w.buckets {
		if w.buckets[i].agent != agent {
			return false
		}
	}
	return agent != 0
}

// Append encodes the window.
func (w *Window) Append(b []byte) []byte {
	b = append(b, w.mask)
	b = binary.AppendUvarint(b, uint64(len(w.buckets)))
	last, agent, k := int64(0), uint32(0), w.width()
	for i := range w.buckets {
		x := &w.buckets[i]
		b = binary.AppendVarint(b, x.index-last)
		last = x.index
		if x.agent == agent {
			b = binary.AppendUvarint(b, uint64(x.n)<<1)
		} else {
			b = binary.AppendUvarint(b, uint64(x.n)<<1|1)
			b = binary.BigEndian.AppendUint32(b, x.agent)
			agent = x.agent
		}
		for _, v := range w.sums[i*k : (i+1)*k] {
			b = binary.AppendUvarint(b, uint64(v))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(w.refs)))
	for _, r := range w.refs {
		b = AppendRef(b, r)
	}
	if w.mask&(1<<Distinct) != 0 {
		b = binary.AppendUvarint(b, uint64(w.Total[Distinct]))
		for _, s := range w.seen {
			if i := w.bucketAt(s.last); i >= 0 {
				b = binary.BigEndian.AppendUint64(b, s.hash)
				b = binary.AppendUvarint(b, uint64(i))
			}
		}
	}
	return b
}

// Decode reads what Append wrote.
func (w *Window) Decode(r *Reader) {
	*w = Window{mask: r.Byte() & (1<<Columns - 1) &^ 1}
	n, k := r.Len(), w.width()
	if n > 0 {
		w.buckets = make([]bucket, 0, n)
		w.sums = make([]int64, 0, n*k)
	}
	last, agent := int64(0), uint32(0)
	for i := range n {
		step := r.Varint()
		x := r.Uvarint()
		if x&1 != 0 {
			agent = r.Uint32()
		}
		// Numbers that no window can have would only show later, as a limit that is never crossed.
		if i > 0 && (step <= 0 || last+step < last) || x>>1 > math.MaxUint32 {
			r.fail()
		}
		if r.Err != nil {
			*w = Window{}
			return
		}
		last += step
		w.buckets = append(w.buckets, bucket{last, uint32(x >> 1), agent})
		w.Total[0] += int64(x >> 1)
		for m := 1; m < Columns; m++ {
			if w.mask&(1<<m) != 0 {
				v := int64(r.Uvarint())
				if v < 0 || w.Total[m]+v < 0 {
					r.fail()
				}
				w.sums = append(w.sums, v)
				w.Total[m] += v
			}
		}
	}
	refs := r.Len()
	if refs > keptRefs {
		r.fail()
	}
	for range min(refs, keptRefs) {
		w.refs = append(w.refs, ReadRef(r))
	}
	if w.mask&(1<<Distinct) != 0 {
		w.decodeSeen(r)
	}
	if r.Err != nil {
		*w = Window{}
	}
}

// decodeSeen reads hashes and holds them against the sums.
func (w *Window) decodeSeen(r *Reader) {
	n := r.Len()
	left := make([]int64, len(w.buckets))
	for i := range left {
		left[i] = w.sums[(i+1)*w.width()-1]
	}
	if int64(n) != w.Total[Distinct] {
		r.fail()
	}
	for range n {
		hash, i := r.Uint64(), r.Uvarint()
		if i >= uint64(len(left)) || left[i] == 0 || len(w.seen) > 0 && w.seen[len(w.seen)-1].hash >= hash {
			r.fail()
			return
		}
		left[i]--
		w.seen = append(w.seen, sight{hash, w.buckets[i].index})
	}
}

// AppendRef encodes a reference to an event.
func AppendRef(b []byte, r event.Ref) []byte {
	return AppendString(AppendString(binary.AppendVarint(b, r.Time), r.ID), r.Agent)
}

// ReadRef decodes a reference to an event.
func ReadRef(r *Reader) event.Ref {
	return event.Ref{Time: r.Varint(), ID: r.String(), Agent: r.String()}
}
