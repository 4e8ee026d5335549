package baselines

import (
	"math"

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
func (r *Rings) Append(b []byte) []byte { return wire.AppendNumbers(b, r.Slab) }

// Decode reads a slab of so many columns. What is no number, or below zero, is refused.
func (r *Rings) Decode(d *wire.Reader, columns int) {
	r.Slab = wire.ReadNumbers[float32](d, columns*ringRows)
	for _, v := range r.Slab {
		if !(v >= 0) || math.IsInf(float64(v), 1) {
			d.Fail()
			r.Slab = nil
			return
		}
	}
}
