package baselines

import (
	"encoding/binary"
	"math"

	"github.com/wayward-sec/wayward/event/wire"
)

// Histogram counts scores, of which larger is odder, in bins of BinWidth. Counts are integers, so
// histograms of many shards merge in any order. The zero value is empty; it grows to the highest
// bin that was hit.
type Histogram []uint32

// Bins of a histogram: scores are −log10 of a model's tail probability, or natural logarithms of
// sizes; beyond the last bin they are alike.
const (
	BinWidth = 0.05
	MaxBins  = 600
)

// BinOf is the bin of a score: 0 for what is below zero or no number.
func BinOf(score float64) int {
	if !(score > 0) {
		return 0
	}
	if score >= BinWidth*(MaxBins-1) {
		return MaxBins - 1
	}
	return int(score / BinWidth)
}

// Add counts a score n times.
func (h *Histogram) Add(score float64, n uint32) {
	i := BinOf(score)
	if i >= len(*h) {
		*h = append(*h, make([]uint32, i+1-len(*h))...)
	}
	(*h)[i] = AddSaturating32((*h)[i], n)
}

// AddBin counts one in a bin.
func (h *Histogram) AddBin(i int) {
	if i >= len(*h) {
		*h = append(*h, make([]uint32, i+1-len(*h))...)
	}
	(*h)[i] = AddSaturating32((*h)[i], 1)
}

// Merge adds what another counted.
func (h *Histogram) Merge(o Histogram) {
	if len(o) > len(*h) {
		*h = append(*h, make([]uint32, len(o)-len(*h))...)
	}
	for i, n := range o {
		(*h)[i] = AddSaturating32((*h)[i], n)
	}
}

// N is the number of scores.
func (h Histogram) N() (n uint64) {
	for _, c := range h {
		n += uint64(c)
	}
	return n
}

// Append encodes the histogram: runs of empty bins cost one number.
func (h Histogram) Append(b []byte) []byte {
	last := len(h)
	for last > 0 && h[last-1] == 0 {
		last--
	}
	b = binary.AppendUvarint(b, uint64(last))
	for i := 0; i < last; {
		run := i
		for h[run] == 0 {
			run++
		}
		b = binary.AppendUvarint(b, uint64(run-i))
		b = binary.AppendUvarint(b, uint64(h[run]))
		i = run + 1
	}
	return b
}

// Decode reads what Append wrote.
func (h *Histogram) Decode(r *wire.Reader) {
	n := r.Uvarint()
	if n > MaxBins {
		r.Fail()
		return
	}
	*h = nil
	if n > 0 {
		*h = make(Histogram, n)
	}
	for i := uint64(0); i < n && r.Err == nil; i++ {
		i += r.Uvarint()
		c := r.Uvarint()
		if i >= n || c > math.MaxUint32 {
			r.Fail()
			return
		}
		(*h)[i] = uint32(c)
	}
}
