package sketch

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/wayward-sec/wayward/event/wire"
)

// Quantiles counts numbers by how large they are, in bins a sixty-fourth of a power of two wide,
// and by step of time. Such sketches merge, and their quantiles are right to 1 in 100.
type Quantiles struct {
	width  int64   // of a step of time, ms
	list   []bin   // by time and place
	totals []total // over all steps, by place; derived
	n      int64   // numbers in all; derived
}

// bin counts the numbers of one place in one step of time.
type bin struct {
	at    int64
	place int32
	n     uint32
}

// total counts the numbers of one place.
type total struct {
	place int32
	n     int64
}

// NewQuantiles returns a count of no numbers, in steps of time of one millisecond.
func NewQuantiles() *Quantiles { return &Quantiles{width: 1} }

// Len is how many bins it keeps.
func (h *Quantiles) Len() int { return len(h.list) }

// Add adds a number at a time.
func (h *Quantiles) Add(at int64, v float64) { h.add(at, binOf(v), 1) }

// binOf is the place of a number. Places are in the order of the numbers.
func binOf(v float64) int32 {
	p := int32(math.Float64bits(math.Abs(v)) >> 46)
	if v < 0 {
		return -p
	}
	return p
}

// middle is the number in the middle of a place.
func middle(place int32) float64 {
	p := uint64(max(place, -place))
	if p == 0 {
		return 0
	}
	lo, hi := math.Float64frombits(p<<46), math.Float64frombits((p+1)<<46)
	v := lo
	if !math.IsInf(lo, 0) && !math.IsInf(hi, 0) && !math.IsNaN(hi) {
		v = lo + (hi-lo)/2
	}
	if place < 0 {
		return -v
	}
	return v
}

// add counts n numbers of a place at a time.
func (h *Quantiles) add(at int64, place int32, n uint32) {
	at = wire.FloorDiv(at, h.width) * h.width
	i, found := len(h.list), false
	if i > 0 && h.list[i-1].at >= at {
		i, found = slices.BinarySearchFunc(h.list, bin{at: at, place: place},
			func(a, b bin) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.place, b.place)) })
	}
	if found {
		h.list[i].n += n
	} else {
		h.list = slices.Insert(h.list, i, bin{at, place, n})
	}
	h.change(place, int64(n))
}

// change adds to the total of a place.
func (h *Quantiles) change(place int32, by int64) {
	h.n += by
	i, found := slices.BinarySearchFunc(h.totals, place, func(t total, p int32) int { return cmp.Compare(t.place, p) })
	if !found {
		h.totals = slices.Insert(h.totals, i, total{place: place})
	}
	if h.totals[i].n += by; h.totals[i].n == 0 {
		h.totals = slices.Delete(h.totals, i, i+1)
	}
}

// Expire drops steps of time that end at the edge or before it.
func (h *Quantiles) Expire(edge int64) {
	i := 0
	for ; i < len(h.list) && h.list[i].at+h.width-1 <= edge; i++ {
		h.change(h.list[i].place, -int64(h.list[i].n))
	}
	h.list = h.list[i:]
}

// Widen makes its steps of time twice as wide.
func (h *Quantiles) Widen() {
	h.width *= 2
	for i := range h.list {
		h.list[i].at = wire.FloorDiv(h.list[i].at, h.width) * h.width
	}
	slices.SortFunc(h.list,
		func(a, b bin) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.place, b.place)) })
	n := 0
	for _, b := range h.list {
		if n > 0 && h.list[n-1].at == b.at && h.list[n-1].place == b.place {
			h.list[n-1].n += b.n
			continue
		}
		h.list[n] = b
		n++
	}
	h.list = h.list[:n]
}

// Quantile is the number below which a share q of all lies, or 0 if there are none.
func (h *Quantiles) Quantile(q float64) float64 {
	if h.n == 0 {
		return 0
	}
	rank := min(int64(q*float64(h.n)), h.n-1)
	for _, t := range h.totals {
		if rank -= t.n; rank < 0 {
			return middle(t.place)
		}
	}
	return 0
}

// Append encodes it.
func (h *Quantiles) Append(b []byte) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(h.width)), uint64(len(h.list)))
	at := int64(0)
	for _, x := range h.list {
		b = binary.AppendUvarint(binary.AppendVarint(binary.AppendVarint(b, x.at-at), int64(x.place)), uint64(x.n))
		at = x.at
	}
	return b
}

// ReadQuantiles reads what Append wrote, of at most so many bins.
func ReadQuantiles(r *wire.Reader, most int) *Quantiles {
	h := &Quantiles{width: int64(r.Uvarint())}
	if h.width <= 0 || h.width&(h.width-1) != 0 {
		r.Fail()
		return h
	}
	at := int64(0)
	for i := range min(r.Len(), most) {
		later, place, n := r.Varint(), r.Varint(), r.Uvarint()
		if at += later; i > 0 && later < 0 || place != int64(int32(place)) || n == 0 || n > math.MaxUint32 {
			r.Fail()
		}
		if r.Err != nil {
			return h
		}
		h.add(at, int32(place), uint32(n))
	}
	return h
}
