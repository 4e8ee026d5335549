package baselines

import (
	"math"

	"github.com/wayward-sec/wayward/event/wire"
)

// SlidingSums are the sums of one agent over sliding windows: a column for each feature that it
// shows, in the order in which they showed, and a row for each step of each window. All lies in one
// piece of memory, row by row, so that an event touches one line of it per window and a page is
// saved by copying it.
type SlidingSums struct {
	Slab []float32
}

// Rows of the slab: of each window the sum, the largest sum in the block, the sum at which to look
// closely, and the steps; then what is kept of the agent.
const (
	sumRow    = 0
	topRow    = 1
	limitRow  = 2
	stepRow   = 3
	windowLen = stepRow + WindowSteps

	// CountRow and AnchorRow are decayed counts with half-lives of 14 and 60 days, RateRow and
	// DoubtRow the rate that follows and its relative variance, and WeekRow is the first of the
	// last seven daily totals.
	CountRow    = Windows * windowLen
	AnchorRow   = CountRow + 1
	RateRow     = CountRow + 2
	DoubtRow    = CountRow + 3
	WeekRow     = CountRow + 4
	WeekDays    = 7
	slidingRows = WeekRow + WeekDays
)

// Columns is how many features there are.
func (r *SlidingSums) Columns() int { return len(r.Slab) / slidingRows }

// Row is one row.
func (r *SlidingSums) Row(i int) []float32 {
	n := r.Columns()
	return r.Slab[i*n : (i+1)*n : (i+1)*n]
}

// Sums is the row of a window's sums now, Tops that of its largest sums in the block, and Limits
// that of the sums from which on to look closely.
func (r *SlidingSums) Sums(w int) []float32   { return r.Row(w*windowLen + sumRow) }
func (r *SlidingSums) Tops(w int) []float32   { return r.Row(w*windowLen + topRow) }
func (r *SlidingSums) Limits(w int) []float32 { return r.Row(w*windowLen + limitRow) }

// Grow adds a column of zeros.
func (r *SlidingSums) Grow() {
	n := r.Columns()
	slab := make([]float32, (n+1)*slidingRows)
	for i := range slidingRows {
		copy(slab[i*(n+1):], r.Slab[i*n:(i+1)*n])
	}
	r.Slab = slab
}

// place is the row of a step.
func place(w int, index int64) int {
	i := int(index % WindowSteps)
	if i < 0 {
		i += WindowSteps
	}
	return w*windowLen + stepRow + i
}

// Steps is the row in which a step is counted.
func (r *SlidingSums) Steps(w int, index int64) []float32 { return r.Row(place(w, index)) }

// Move lets a window go on from one step to a later one: what is older than its length goes.
func (r *SlidingSums) Move(w int, from, to int64) {
	sums := r.Sums(w)
	if to-from >= WindowSteps || to < from {
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
func (r *SlidingSums) Begin(w int, empty bool) {
	clear(r.Tops(w))
	if empty {
		return
	}
	sums := r.Sums(w)
	clear(sums)
	for i := range WindowSteps {
		for c, v := range r.Row(w*windowLen + stepRow + i) {
			sums[c] += v
		}
	}
}

// Block adds up what the steps of the block hold up to a step, into sums.
func (r *SlidingSums) Block(w int, upTo int64, sums []float32) {
	clear(sums)
	for i := wire.FloorDiv(upTo, WindowSteps) * WindowSteps; i <= upTo; i++ {
		for c, v := range r.Row(place(w, i)) {
			sums[c] += v
		}
	}
}

// Reset forgets all windows.
func (r *SlidingSums) Reset() { clear(r.Slab[:r.Columns()*CountRow]) }

// Append copies the slab.
func (r *SlidingSums) Append(b []byte) []byte { return wire.AppendNumbers(b, r.Slab) }

// Decode reads a slab of so many columns. What is no number, or below zero, is refused.
func (r *SlidingSums) Decode(d *wire.Reader, columns int) {
	r.Slab = wire.ReadNumbers[float32](d, columns*slidingRows)
	for _, v := range r.Slab {
		if !(v >= 0) || math.IsInf(float64(v), 1) {
			d.Fail()
			r.Slab = nil
			return
		}
	}
}

// Windows are the lengths over which an agent's features are added up: a ring of WindowSteps steps
// each, so that one covers between 11/12 of its length and all of it.
const (
	Windows     = 4
	WindowSteps = 12
)

// WindowMS and StepMS are the windows and their steps in milliseconds.
var (
	WindowMS = [Windows]int64{60_000, 600_000, 3_600_000, DayMS}
	StepMS   = [Windows]int64{WindowMS[0] / WindowSteps, WindowMS[1] / WindowSteps, WindowMS[2] / WindowSteps,
		WindowMS[3] / WindowSteps}
)
