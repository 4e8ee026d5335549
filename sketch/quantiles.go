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
	width int64
	list  []bin // by time and place
	all   []bin // by place alone; derived
	n     int64
}

type bin struct {
	at    int64
	place int32
	n     uint32
}

// NewQuantiles returns a count of no numbers, in steps of time of one millisecond.
func NewQuantiles() *Quantiles { return &Quantiles{width: 1} }

// Len is how many bins it keeps.
func (h *Quantiles) Len() int { return len(h.list) }

// Add adds a number at a time.
func (h *Quantiles) Add(at int64, v float64) { h.add(at, binOf(v), 1) }

// binOf is the place of a number, in the order of numbers.
func binOf(v float64) int32 {
	p := int32(math.Float64bits(math.Abs(v)) >> 46)
	if v < 0 {
		return -p
	}
	return p
}

// middle is the number that stands for those of a place.
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

func (h *Quantiles) change(place int32, by int64) {
	h.n += by
	i, found := slices.BinarySearchFunc(h.all, place, func(b bin, p int32) int { return cmp.Compare(b.place, p) })
	if !found {
		h.all = slices.Insert(h.all, i, bin{place: place})
	}
	h.all[i].at += by // the number of all may be larger than that of one step
	if h.all[i].at == 0 {
		h.all = slices.Delete(h.all, i, i+1)
	}
}

// Expire lets go of steps of time that end at the edge or before it.
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
	for _, b := range h.all {
		if rank -= b.at; rank < 0 {
			return middle(b.place)
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
