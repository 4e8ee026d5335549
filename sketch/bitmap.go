package sketch

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/wayward-sec/wayward/event/wire"
)

// LinearCount estimates how many things were hashed into so many slots of which some are taken (Whang
// et al., A Linear-Time Probabilistic Counting Algorithm, 1990). If all are taken it counts as if one
// were free: there is no better estimate.
func LinearCount(slots int, taken float64) float64 {
	n := float64(slots)
	return -n * math.Log(1-min(taken, n-1)/n)
}

// Bitmap counts different hashes of 32 bits: up to 32 of them exactly, more by LinearCount over
// 2,048 slots. The zero value is empty.
type Bitmap struct{ words []uint32 } // few: the hashes; else the slots

const (
	bitmapExact = 32
	bitmapSlots = 2048
)

// Add adds a hash. If that is new, fresh is true and n how many there are then.
func (d *Bitmap) Add(hash uint32) (n float64, fresh bool) {
	if len(d.words) <= bitmapExact {
		for _, h := range d.words {
			if h == hash {
				return 0, false
			}
		}
		if len(d.words) < bitmapExact {
			d.words = append(d.words, hash)
			return float64(len(d.words)), true
		}
		old := d.words
		d.words = make([]uint32, bitmapSlots/32)
		for _, h := range old {
			d.words[h%bitmapSlots/32] |= 1 << (h % 32)
		}
	}
	word := &d.words[hash%bitmapSlots/32]
	if *word&(1<<(hash%32)) != 0 {
		return 0, false
	}
	*word |= 1 << (hash % 32)
	taken := 0
	for _, w := range d.words {
		taken += bits.OnesCount32(w)
	}
	return LinearCount(bitmapSlots, float64(taken)), true
}

// Append encodes it.
func (d *Bitmap) Append(b []byte) []byte {
	return wire.AppendNumbers(binary.AppendUvarint(b, uint64(len(d.words))), d.words)
}

// Decode reads what Append wrote.
func (d *Bitmap) Decode(r *wire.Reader) {
	n := r.Uvarint()
	if n > bitmapExact && n != bitmapSlots/32 {
		r.Fail()
		return
	}
	d.words = wire.ReadNumbers[uint32](r, int(n))
}
