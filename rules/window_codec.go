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

// append encodes the window; nil is one, too.
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
	b = binary.AppendUvarint(append(b, w.tight, byte(len(w.seen)), byte(len(w.peaks)), byte(len(w.hists))),
		uint64(w.width))
	b = binary.AppendUvarint(b, uint64(len(w.steps)))
	k, at := 0, int64(0)
	if len(w.steps) > 0 {
		k = len(w.sums) / len(w.steps)
	}
	b = append(b, byte(k))
	for i := range w.steps {
		b = binary.AppendUvarint(binary.AppendVarint(b, w.steps[i].at-at), uint64(w.steps[i].n))
		at = w.steps[i].at
		for _, v := range w.sums[i*k : (i+1)*k] {
			if form == largeWindow {
				b = binary.AppendVarint(b, v.hi)
			}
			b = binary.AppendVarint(b, int64(v.lo))
		}
	}
	b = appendRefs(b, w.early)
	for _, s := range w.seen {
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
	for _, h := range w.hists {
		b = h.Append(b)
	}
	return b
}

// readWindow reads what append wrote: a window that holds no more events one by one than it may.
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
	w.tight = r.Byte()
	seen, peaks, hists := r.Byte(), r.Byte(), r.Byte()
	w.width = int64(r.Uvarint())
	n = r.Len()
	k := int(r.Byte())
	if w.tight > maxTight || w.width <= 0 || w.width&(w.width-1) != 0 || n == 0 || n*(k+1) > MaxNumbers ||
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
		w.steps = append(w.steps, step{at, uint32(r.Uvarint())})
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
	for range min(r.Len(), keptEarly) {
		w.early = append(w.early, wire.ReadRef(r))
	}
	for range seen {
		if w.seen = append(w.seen, sketch.ReadSample(r, MaxNumbers)); r.Err != nil {
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
		if w.hists = append(w.hists, sketch.ReadQuantiles(r, MaxNumbers)); r.Err != nil {
			return nil
		}
	}
	return w
}

// fits tells whether the window is one that lets may have over rows of a length.
func (w *window) fits(lets []*Let, row int) bool {
	if w == nil {
		return true
	}
	for i := range w.samples {
		if len(w.samples[i].row) != row {
			return false
		}
	}
	var of [histKind + 1]int
	if len(lets) > 0 {
		of = lets[0].shape
	}
	return !w.folded || len(w.sums) == len(w.steps)*of[sumKind] && len(w.seen) == of[seenKind] &&
		len(w.peaks) == of[peakKind] && len(w.hists) == of[histKind]
}
