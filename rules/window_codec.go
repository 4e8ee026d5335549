package rules

import (
	"encoding/binary"

	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/sketch"
)

// Forms of an encoded window.
const (
	noWindow = iota
	wholeWindow
	foldedWindow
	largeWindow // with numbers of more than 64 bits
)

// append encodes the window, which may be nil.
func (w *window) append(b []byte) []byte {
	if w == nil {
		return append(b, noWindow)
	}
	form := byte(wholeWindow)
	if w.folded {
		form = foldedWindow
		for i := range w.sums {
			if _, ok := w.sums[i].short(); !ok {
				form = largeWindow
				break
			}
		}
	}
	b = binary.AppendUvarint(append(b, form), uint64(len(w.samples)))
	for i := range w.samples {
		b = appendValues(wire.AppendRef(b, w.samples[i].ref), w.samples[i].row)
	}
	if !w.folded {
		return b
	}
	b = binary.AppendUvarint(append(b, w.shrinks, byte(len(w.distinct)), byte(len(w.peaks)), byte(len(w.quantiles))),
		uint64(w.width))
	b = binary.AppendUvarint(b, uint64(len(w.buckets)))
	k, at := 0, int64(0)
	if len(w.buckets) > 0 {
		k = len(w.sums) / len(w.buckets)
	}
	b = append(b, byte(k))
	for i := range w.buckets {
		b = binary.AppendUvarint(binary.AppendVarint(b, w.buckets[i].at-at), uint64(w.buckets[i].n))
		at = w.buckets[i].at
		for _, v := range w.sums[i*k : (i+1)*k] {
			if form == largeWindow {
				b = binary.AppendVarint(b, v.hi)
			}
			b = binary.AppendVarint(b, int64(v.lo))
		}
	}
	b = appendRefs(b, w.earlyRefs)
	for _, s := range w.distinct {
		b = s.Append(b)
	}
	for _, list := range w.peaks {
		at = 0
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, x := range list {
			b = binary.AppendUvarint(binary.AppendVarint(b, x.at-at), bitsOf(x.v))
			at = x.at
		}
	}
	for _, h := range w.quantiles {
		b = h.Append(b)
	}
	return b
}

// readWindow reads what append wrote. A window with more samples than keep is refused.
func readWindow(r *wire.Reader, keep int) *window {
	form := r.Byte()
	if form == noWindow {
		return nil
	}
	w := &window{folded: form >= foldedWindow}
	n := r.Len()
	if n > keep || form > largeWindow {
		r.Fail()
	}
	for range n {
		w.samples = append(w.samples, sample{wire.ReadRef(r), readValues(r, rowRoom)})
		if i := len(w.samples); r.Err != nil || i > 1 && w.samples[i-2].ref.Time > w.samples[i-1].ref.Time {
			r.Fail()
			return nil
		}
	}
	if !w.folded {
		return w
	}
	w.shrinks = r.Byte()
	seen, peaks, hists := r.Byte(), r.Byte(), r.Byte()
	w.width = int64(r.Uvarint())
	n = r.Len()
	k := int(r.Byte())
	if w.shrinks > maxShrinks || w.width <= 0 || w.width&(w.width-1) != 0 || n == 0 || n*(k+1) > MaxNumbers ||
		max(k, int(seen), int(peaks), int(hists)) > maxLets {
		r.Fail()
		return nil
	}
	at := int64(0)
	ascending := func(first bool, least int64) {
		d := r.Varint()
		if at += d; !first && d < least {
			r.Fail()
		}
	}
	for i := range n {
		ascending(i == 0, 1)
		w.buckets = append(w.buckets, bucket{at, uint32(r.Uvarint())})
		for range k {
			v := wide{}
			if form == largeWindow {
				v.hi = r.Varint()
			}
			x := r.Varint()
			if v.lo = uint64(x); form != largeWindow {
				v.hi = x >> 63
			}
			w.sums = append(w.sums, v)
		}
		if r.Err != nil {
			return nil
		}
	}
	for range min(r.Len(), maxEarlyRefs) {
		w.earlyRefs = append(w.earlyRefs, wire.ReadRef(r))
	}
	for range seen {
		if w.distinct = append(w.distinct, sketch.ReadSample(r, MaxNumbers)); r.Err != nil {
			return nil
		}
	}
	for range peaks {
		at = 0
		var list []peak
		for i := range min(r.Len(), MaxNumbers) {
			ascending(i == 0, 1)
			if list = append(list, peak{at, numberOfBits(r.Uvarint())}); r.Err != nil || i > 0 &&
				!(list[i-1].v > list[i].v) {
				r.Fail()
				return nil
			}
		}
		w.peaks = append(w.peaks, list)
	}
	for range hists {
		if w.quantiles = append(w.quantiles, sketch.ReadQuantiles(r, MaxNumbers)); r.Err != nil {
			return nil
		}
	}
	return w
}

// fits tells whether the window can be one of these lets, over rows of a length.
func (w *window) fits(lets []*Let, row int) bool {
	if w == nil {
		return true
	}
	for i := range w.samples {
		if len(w.samples[i].row) != row {
			return false
		}
	}
	var of [quantileKind + 1]int
	if len(lets) > 0 {
		of = lets[0].shape
	}
	return !w.folded || len(w.sums) == len(w.buckets)*of[sumKind] && len(w.distinct) == of[distinctKind] &&
		len(w.peaks) == of[extremeKind] && len(w.quantiles) == of[quantileKind]
}
