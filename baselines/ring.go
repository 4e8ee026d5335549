package baselines

import (
	"encoding/binary"
	"math"
	"unsafe"

	"github.com/wayward-sec/wayward/event/wire"
)

// Rings are sliding sums of one agent: a column for each feature that it shows, in the order in
// which they showed, and a row for each step of each window. All lies in one piece of memory, row
// by row, so that an event touches one line of it per window and a page is saved by copying it.
type Rings struct {
	Slab []float32
}

// Rows of the slab: of each window the sum, the largest sum in the block, the sum at which to look
// closely, and the steps; then what is kept of the agent.
const (
	sumRow    = 0
	topRow    = 1
	limitRow  = 2
	stepRow   = 3
	windowLen = stepRow + RingSteps

	// CountRow and AnchorRow are decayed counts with half-lives of 14 and 60 days, RateRow and
	// DoubtRow the rate that follows and its relative variance, and WeekRow is the first of the
	// last seven daily totals.
	CountRow  = Windows * windowLen
	AnchorRow = CountRow + 1
	RateRow   = CountRow + 2
	DoubtRow  = CountRow + 3
	WeekRow   = CountRow + 4
	WeekDays  = 7
	ringRows  = WeekRow + WeekDays
)

// Columns is how many features there are.
func (r *Rings) Columns() int { return len(r.Slab) / ringRows }

// Row is one row.
func (r *Rings) Row(i int) []float32 {
	n := r.Columns()
	return r.Slab[i*n : (i+1)*n : (i+1)*n]
}

// Sums, Tops and Limits of a window.
func (r *Rings) Sums(w int) []float32   { return r.Row(w*windowLen + sumRow) }
func (r *Rings) Tops(w int) []float32   { return r.Row(w*windowLen + topRow) }
func (r *Rings) Limits(w int) []float32 { return r.Row(w*windowLen + limitRow) }

// Grow adds a column of zeros.
func (r *Rings) Grow() {
	n := r.Columns()
	slab := make([]float32, (n+1)*ringRows)
	for i := range ringRows {
		copy(slab[i*(n+1):], r.Slab[i*n:(i+1)*n])
	}
	r.Slab = slab
}

// place is the row of a step.
func place(w int, index int64) int {
	i := int(index % RingSteps)
	if i < 0 {
		i += RingSteps
	}
	return w*windowLen + stepRow + i
}

// Steps is the row in which a step is counted.
func (r *Rings) Steps(w int, index int64) []float32 { return r.Row(place(w, index)) }

// Move lets a window go on from one step to a later one: what is older than its length goes.
func (r *Rings) Move(w int, from, to int64) {
	sums := r.Sums(w)
	if to-from >= RingSteps || to < from {
		n := r.Columns()
		clear(r.Slab[(w*windowLen+stepRow)*n : (w+1)*windowLen*n])
		clear(sums)
		return
	}
	for i := from + 1; i <= to; i++ {
		row := r.Row(place(w, i))
		for c, v := range row {
			if v != 0 {
				sums[c] = max(0, sums[c]-v)
				row[c] = 0
			}
		}
	}
}

// Begin begins a block: nothing was seen in it, and the sums are added up anew, so that what
// rounding left does not stay; empty says that there is nothing.
func (r *Rings) Begin(w int, empty bool) {
	clear(r.Tops(w))
	if empty {
		return
	}
	sums := r.Sums(w)
	clear(sums)
	for i := range RingSteps {
		for c, v := range r.Row(w*windowLen + stepRow + i) {
			sums[c] += v
		}
	}
}

// Block adds up what the steps of the block hold up to a step, into sums.
func (r *Rings) Block(w int, upTo int64, sums []float32) {
	clear(sums)
	for i := wire.FloorDiv(upTo, RingSteps) * RingSteps; i <= upTo; i++ {
		for c, v := range r.Row(place(w, i)) {
			sums[c] += v
		}
	}
}

// Reset forgets all windows.
func (r *Rings) Reset() { clear(r.Slab[:r.Columns()*CountRow]) }

// Append copies the slab.
func (r *Rings) Append(b []byte) []byte { return appendWords(b, r.Slab) }

// Decode reads a slab of so many columns. What is no number, or below zero, is refused.
func (r *Rings) Decode(d *wire.Reader, columns int) {
	r.Slab = readWords(d, columns*ringRows)
	for _, v := range r.Slab {
		if !(v >= 0) || math.IsInf(float64(v), 1) {
			d.Fail()
			r.Slab = nil
			return
		}
	}
}

// little tells whether words lie in memory as they are written.
var little = func() bool { one := uint16(1); return *(*byte)(unsafe.Pointer(&one)) == 1 }()

func appendWords(b []byte, words []float32) []byte {
	if little {
		return append(b, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 4*len(words))...)
	}
	for _, v := range words {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func readWords(r *wire.Reader, n int) []float32 {
	if n*4 > len(r.B) {
		r.Fail()
		return nil
	}
	words := make([]float32, n)
	for i := range words {
		words[i] = math.Float32frombits(binary.LittleEndian.Uint32(r.B[4*i:]))
	}
	r.B = r.B[4*n:]
	return words
}

// Different is what an agent touched within the last day, as far as it takes to count what is
// different in every window: the newest time of each thing, in steps of the shortest window. Up to
// smallSet things are told apart by 32 bits; more are counted by the slot that they fall into (a
// linear counter with times: Kim & O'Hallaron's timestamp vector).
// of a small set three for each: hash, hash, time + 1; else a slot's time + 1, 0 if empty
type Different struct{ words []uint16 }

const (
	smallSet = 16
	slots    = 256
)

// Exact tells whether things are told apart.
func (d *Different) Exact() bool { return len(d.words) < slots }

// Estimate is how many things there are if so many are counted.
func (d *Different) Estimate(counted float32) float64 {
	if d.Exact() {
		return float64(counted)
	}
	return -slots * math.Log(1-min(float64(counted), slots-1)/slots)
}

// See notes a thing in step now (of the shortest window), and tells rings: was is the step in which
// it was seen before, ok whether it was within a day.
func (d *Different) See(hash uint32, now int64, moved func(was int64, ok bool)) {
	stamp := stampOf(now)
	if len(d.words) >= slots {
		p := &d.words[hash%slots]
		was, ok := int64(0), *p != 0
		if ok {
			was = before(now, *p)
		}
		*p = stamp
		moved(was, ok)
		return
	}
	lo, hi := uint16(hash), uint16(hash>>16)
	for i := 0; i < len(d.words); i += 3 {
		if d.words[i] == lo && d.words[i+1] == hi {
			was := before(now, d.words[i+2])
			d.words[i+2] = stamp
			moved(was, true)
			return
		}
	}
	d.words = append(d.words, lo, hi, stamp)
	moved(0, false)
}

// A stamp is the step modulo 65,535, plus 1. Older ones than a day are dropped by Forget before
// they could be taken for new ones.
const stamps = 65_535

func stampOf(step int64) uint16 {
	s := step % stamps
	if s < 0 {
		s += stamps
	}
	return uint16(s) + 1
}

// before is the newest step up to now that has a stamp.
func before(now int64, stamp uint16) int64 {
	age := int64(stampOf(now)) - int64(stamp)
	if age < 0 {
		age += stamps
	}
	return now - age
}

// Full tells whether the next new thing does not fit into a small set.
func (d *Different) Full() bool { return d.Exact() && len(d.words) >= 3*smallSet }

// Spread goes over to slots. Of two things in one slot the older one is dropped, of which it tells.
func (d *Different) Spread(now int64, dropped func(was int64)) {
	old := d.words
	d.words = make([]uint16, slots)
	for i := 0; i < len(old); i += 3 {
		p := &d.words[old[i]%slots] // the low bits of the hash
		if *p == 0 {
			*p = old[i+2]
			continue
		}
		a, b := before(now, *p), before(now, old[i+2])
		if b > a {
			*p = old[i+2]
		}
		dropped(min(a, b))
	}
}

// Forget drops what is older than a day.
func (d *Different) Forget(now int64) {
	const day = DayMS / 5000
	if d.Exact() {
		kept := d.words[:0]
		for i := 0; i < len(d.words); i += 3 {
			if now-before(now, d.words[i+2]) < day {
				kept = append(kept, d.words[i:i+3]...)
			}
		}
		d.words = kept
		return
	}
	for i, s := range d.words {
		if s != 0 && now-before(now, s) >= day {
			d.words[i] = 0
		}
	}
}

// Size is how many bytes it holds.
func (d *Different) Size() int { return 2 * cap(d.words) }

// Reset forgets everything.
func (d *Different) Reset() { d.words = nil }

// Append encodes it.
func (d *Different) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(d.words)))
	if little {
		return append(b, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(d.words))), 2*len(d.words))...)
	}
	for _, w := range d.words {
		b = binary.LittleEndian.AppendUint16(b, w)
	}
	return b
}

// Decode reads what Append wrote.
func (d *Different) Decode(r *wire.Reader) {
	d.words = nil
	if len(r.B) < 2 {
		r.Fail()
		return
	}
	n := int(binary.LittleEndian.Uint16(r.B))
	r.B = r.B[2:]
	if n != slots && (n > 3*smallSet || n%3 != 0) || 2*n > len(r.B) {
		r.Fail()
		return
	}
	if n == 0 {
		return
	}
	d.words = make([]uint16, n)
	for i := range d.words {
		d.words[i] = binary.LittleEndian.Uint16(r.B[2*i:])
	}
	r.B = r.B[2*n:]
}

// Windows are the lengths over which an agent's features are added up: a ring of RingSteps steps
// each, so that one covers between 11/12 of its length and all of it.
const (
	Windows   = 4
	RingSteps = 12
)

// WindowMS and StepMS are the windows and their steps in milliseconds.
var (
	WindowMS = [Windows]int64{60_000, 600_000, 3_600_000, DayMS}
	StepMS   = [Windows]int64{WindowMS[0] / RingSteps, WindowMS[1] / RingSteps, WindowMS[2] / RingSteps,
		WindowMS[3] / RingSteps}
)
