package sequence

import (
	"cmp"
	"math"
	"slices"

	"github.com/wayward-sec/wayward/baselines"
)

// The model of the order of calls is a Markov chain of order 3 with interpolated Witten-Bell
// smoothing (Witten and Bell 1991; the blending of PPM-C). Its counts have a floor:
// fewer than three agent-days are no support, so that one agent cannot teach the persona a habit by
// repeating it.
const (
	seqOrder   = 3 // calls that a context remembers
	seqFloor   = 3 // support units, below which an n-gram counts agent-days and above which sessions
	seqBit     = 1024
	seqClip    = 12 * seqBit // what one step adds to the cumulative sum at most
	seqKappa   = 1 * seqBit  // slack of the cumulative sum above the persona's mean
	seqMost    = 30 * seqBit // bits of one step at most: the end of a histogram
	maxSymbols = 4096
	// maxGrams bounds contexts and n-grams of a model: three quarters of a table of 2^16. Beyond, a
	// model ages at the close of a day.
	maxGrams = 3 << 14
)

// Model is what was learned about in which order agents of a persona call their tools.
type Model struct {
	grams   []gram   // ascending
	symbols []Symbol // ascending by ID
	// bits of steps, in 1/1024 and clipped, and their number: sums that decay with 14 days, in
	// Units. The mean is what a persona's work usually costs.
	bits, steps uint64
	// of what sessions came to by the end of each stratum
	by      [strata][seqStats]baselines.Calibrator
	session baselines.Calibrator // of the oddest moment of each session
	// credit is how many sessions should have called somebody by chance and did not, in billionths;
	// the next level those of a tenth of that chance, and so on.
	credit    [creditLevels]uint64
	held      []held     // quarantine, ascending
	decisions []decision // what people said of held items, ascending

	// Derived.
	index   []entry
	shift   uint8
	backoff float64 // of the empty context
	// classBackoff and outcomeBackoff are the probabilities of a class and of an outcome that were
	// never seen.
	classBackoff, outcomeBackoff float64
	mean                         int32
	terms                        [strata][seqStats][]float32 // of Cauchy's sum, by bin
	screen                       float32                     // sum above which a session may be odd
}

// ready tells whether chains can be scored.
func (m *Model) ready() bool { return m != nil && m.steps > 0 && len(m.index) > 0 }

// judges tells whether there are references for steps: at least those of short sessions, by which
// longer ones are judged, too.
func (m *Model) judges() bool { return m.ready() && m.terms[0][peakStat] != nil }

// knows tells whether the symbol was ever learned.
func (m *Model) knows(symbol uint32) bool {
	if m == nil || len(m.index) == 0 {
		return false
	}
	_, ok := m.find(noContext | uint64(symbol))
	return ok
}

// p is the probability of a call where the history stands, however it ends. Products are rounded
// before they are added, so that machines that fuse both agree.
func (m *Model) p(w *history, s Step) float64 {
	p, ok := 0.0, false
	if w.n > 0 {
		skip := after(skipSeed, w.last[1])
		if p, ok = m.find(skip&upper | uint64(s.Call)); !ok {
			p = m.unconditional(w, s)
			if backoff, known := m.find(skip & upper); known {
				p *= backoff
			}
		}
	} else {
		p = m.unconditional(w, s)
	}
	c := after(orderSeed, w.ended)
	p = m.interpolate(p, c, s.Call)
	if w.n > 0 {
		c = after(c, w.last[1])
		if p = m.interpolate(p, c, s.Call); w.n > 1 {
			p = m.interpolate(p, after(c, w.last[2]), s.Call)
		}
	}
	if s.Intent != 0 {
		c = after(intentSeed+uint64(s.Intent)<<16, w.ended)
		if p = m.interpolate(p, c, s.Call); w.n > 0 {
			p = m.interpolate(p, after(c, w.last[1]), s.Call)
		}
	}
	return p
}

// outcome is the probability of how a call ended.
func (m *Model) outcome(s Step) float64 {
	if s.Call == endSymbol {
		return 1
	}
	c, o := after(outcomeSeed, s.Call)&upper, outcomeSymbols+uint64(s.Outcome)
	q, ok := m.find(c | o)
	if !ok {
		if q, ok = m.find(outcomeContext | o); !ok {
			q = m.outcomeBackoff
		}
		if backoff, known := m.find(c); known {
			q *= backoff
		}
	}
	return q
}

// unconditional is the probability of a call whatever came before. A new tool of a familiar class
// is no great surprise.
func (m *Model) unconditional(w *history, s Step) float64 {
	if p, ok := m.find(noContext | uint64(s.Call)); ok {
		return p
	}
	p, ok := m.find(classContext | uint64(s.Class))
	if !ok {
		p = m.classBackoff
	}
	p = m.interpolate(p, after(classSeed, w.class), s.Class)
	if share, ok := m.find(sizeContext | uint64(s.Class)); ok {
		p *= share
	}
	return p * m.backoff
}

// interpolate is one step of Witten-Bell: the share that the symbol has in the context, and what
// the context leaves for p.
func (m *Model) interpolate(p float64, context uint64, symbol uint32) float64 {
	backoff, ok := m.find(context & upper)
	if !ok {
		return p
	}
	own, _ := m.find(context&upper | uint64(symbol))
	return own + float64(backoff*p)
}

// cost is the surprise of a step in 1/1024 bits.
func (m *Model) cost(w *history, s Step) int32 {
	f := math.Float64bits(m.p(w, s) * m.outcome(s))
	return min(max((1023-int32(f>>52))*seqBit-int32(log2Of[f>>42&1023]), 0), seqMost)
}

// log2Of is the logarithm of a mantissa, in 1/1024 bits: as fine as a cost is.
var log2Of = func() (of [1024]int16) {
	for i := range of {
		of[i] = int16(math.Round(math.Log2(1+(float64(i)+0.5)/1024) * seqBit))
	}
	return of
}()

// at is where an n-gram is, or would be.
func (m *Model) at(key uint64) (int, bool) {
	return slices.BinarySearchFunc(m.grams, key, func(g gram, key uint64) int { return cmp.Compare(g.key, key) })
}

// Symbol is what a symbol stands for; nil: nobody knows.
func (m *Model) Symbol(id uint32) *Symbol {
	switch id {
	case beginSymbol, endSymbol:
		return &Symbol{ID: id}
	}
	return symbolIn(m.symbols, id)
}

func (m *Model) classOf(symbol uint32) uint32 {
	if s := symbolIn(m.symbols, symbol); s != nil {
		return s.Class
	}
	return symbol // the end is a class of its own
}

// Size is how many symbols and n-grams the model has, and how many n-grams are in quarantine.
func (m *Model) Size() (symbols, grams, held int) {
	return len(m.symbols), len(m.grams), len(m.held)
}

// Slot is the slot of the detector's parts in state.
const Slot = 7

var emptyModel Model

// ModelOf is what a baseline has learned for this detector. It is never nil and must not be
// changed.
func ModelOf(m *baselines.Model) *Model {
	if p, ok := m.Part(Slot).(*Model); ok {
		return p
	}
	return &emptyModel
}

// DeltaOf is what a day adds for this detector; it is made if there is none.
func DeltaOf(d *baselines.Delta) *Delta {
	if p, ok := d.Part(Slot).(*Delta); ok {
		return p
	}
	return d.Ensure(Slot).(*Delta)
}
