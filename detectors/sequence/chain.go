package sequence

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// Bounds of what a chain remembers of a session. What is beyond is scored and not learned.
const (
	maxSteps = 240 // from the first on
	newest   = 16  // besides, of a longer session
	maxKinds = 48  // different steps
)

// Chain is the calls of one session and how odd they are so far. The zero value is a session that
// has not begun. It needs nothing of the engine.
type Chain struct {
	kinds []Step // different ones
	// indices into kinds: the first maxSteps, then a ring of the newest; notKept if kinds was full
	steps []uint8
	history
	scored            uint32 // steps
	cusum, high, peak int32  // cumulative sum now, its highest, the most surprising step; in 1/1024 bits
	top               float32
	sum               int64       // of clipped bits
	strataBins        *strataBins // of a session that left the first stratum
	cost              int32       // of the last step
	over              bool        // the end was pushed
}

// strataBins are the bins that the statistics had come to at the end of each stratum.
type strataBins struct {
	of [strata - 1][seqStats]uint16
}

const notKept = 255

// Reset makes it a session that has not begun, in the memory that it has.
func (c *Chain) Reset() { *c = Chain{kinds: c.kinds[:0], steps: c.steps[:0]} }

// Push takes one more step and scores it against the model, which may be nil. It tells whether the
// session may be odder than it ever was before: only then need P be asked.
func (c *Chain) Push(m *Model, s Step) bool {
	odder := false
	if m.ready() {
		odder = c.score(m, s)
	}
	c.note(s)
	c.push(s)
	return odder
}

// End takes the end of the session.
func (c *Chain) End(m *Model) bool {
	if c.over || c.n == 0 {
		return false
	}
	c.over = true
	intent := uint32(0)
	if i := c.at(int(c.n) - 1); i != notKept {
		intent = c.kinds[i].Intent
	}
	return c.Push(m, Step{Call: endSymbol, Class: endSymbol, Intent: intent})
}

// Steps is how many calls the chain has, the end not counted.
func (c *Chain) Steps() int {
	if c.over {
		return int(c.n) - 1
	}
	return int(c.n)
}

func (c *Chain) score(m *Model, s Step) bool {
	b := m.cost(&c.history, s)
	c.cost = b
	c.scored++
	c.peak = max(c.peak, b)
	b = min(b, seqClip)
	c.sum += int64(b)
	c.cusum = min(max(0, c.cusum+b-m.mean-seqKappa), 1<<30)
	c.high = max(c.high, c.cusum)
	n := c.n + 1
	k := stratum(n)
	if k < strata-1 && n == strataEnds[k] {
		if c.strataBins == nil {
			c.strataBins = new(strataBins)
		}
		c.strataBins.of[k] = c.bins()
	}
	t := &m.terms[k]
	if t[peakStat] == nil {
		return false
	}
	sum := t[peakStat][peakBin(c.peak)] + t[cusumStat][cusumBin(c.high)]
	// A running mean starts from little: it is judged at the end of the session and of each stratum
	// alone, and in the last at each doubling.
	if c.over || n >= strataEnds[0] && n&(n-1) == 0 {
		sum += t[meanStat][meanBin(c.sum, c.scored)]
	}
	sum /= seqStats
	if sum <= c.top {
		return false
	}
	c.top = sum
	return sum >= m.screen
}

// passed is how many strata have been left or are about to be.
func passed(n uint32) int {
	k := stratum(n)
	if k < strata-1 && n == strataEnds[k] {
		k++
	}
	return k
}

// Where the statistics stand in their histograms: a bit of the peak is 20 bins, of the cumulative
// sum 5, of the mean 80.
func peakBin(v int32) int  { return min(int(v)*20/seqBit, baselines.MaxBins-1) }
func cusumBin(v int32) int { return min(int(v)*5/seqBit, baselines.MaxBins-1) }
func meanBin(sum int64, n uint32) int {
	return int(min(sum*80/int64(max(n, 1))/seqBit, baselines.MaxBins-1))
}

func (c *Chain) bins() [seqStats]uint16 {
	return [...]uint16{uint16(peakBin(c.peak)), uint16(cusumBin(c.high)), uint16(meanBin(c.sum, c.scored))}
}

// note remembers the step for learning and for explanations.
func (c *Chain) note(s Step) {
	i := slices.Index(c.kinds, s)
	switch {
	case i >= 0:
	case len(c.kinds) < maxKinds:
		i = len(c.kinds)
		if c.kinds == nil {
			c.kinds = make([]Step, 0, 4)
		}
		c.kinds = append(c.kinds, s)
	default:
		i = notKept
	}
	at := c.place(int(c.n))
	if at < len(c.steps) {
		c.steps[at] = uint8(i)
		return
	}
	if c.steps == nil {
		c.steps = make([]uint8, 0, 16)
	}
	c.steps = append(c.steps, uint8(i))
}

func (c *Chain) place(i int) int {
	if i < maxSteps {
		return i
	}
	return maxSteps + (i-maxSteps)%newest
}

// at is which of kinds step i was, or notKept.
func (c *Chain) at(i int) int {
	if i >= maxSteps && i < int(c.n)-newest {
		return notKept
	}
	return int(c.steps[c.place(i)])
}

// learnable is how many steps from the first on are remembered.
func (c *Chain) learnable() int {
	n := min(int(c.n), maxSteps)
	if i := slices.Index(c.steps[:n], notKept); i >= 0 {
		return i
	}
	return n
}

// OddBits is the surprise from which a step counts as odd: less likely than 1 in 64.
const OddBits = 6

// Odd tells whether the last step was odd.
func (c *Chain) Odd() bool { return c.cost >= OddBits*seqBit }

// Calm tells whether the cumulative sum is back at nothing.
func (c *Chain) Calm() bool { return c.cusum == 0 }

// Tested tells whether the chain has been a test: whether P says something.
func (c *Chain) Tested(m *Model) bool { return m.ready() && m.session.Ready() && c.scored > 0 }

// combined is the score of a chain's oddest moment: −log10 of the p-value that Cauchy's combination
// had then.
func combined(top float32) float64 {
	t := float64(top)
	if t > 1e9 {
		return -math.Log10(1 / (t * math.Pi))
	}
	return -math.Log10(0.5 - math.Atan(t)/math.Pi)
}

// P is how often a session of the persona ever comes to be as odd as this one has been so far; 1 if
// nothing is known.
func (c *Chain) P(m *Model) float64 {
	if !m.ready() || !m.session.Ready() {
		return 1
	}
	return m.session.P(combined(c.top))
}

// ChainScore is how odd a chain is: in bits, and as p-values of each statistic among chains of like
// length.
type ChainScore struct {
	Steps            int
	Max, Cusum, Mean float64
	// p-values of max, cusum, mean as they are now; 1 if nothing is known
	Each     [seqStats]float64
	Combined float64 // −log10 of their combination at the oddest moment
	P        float64 // of that, among sessions
}

// Score tells how odd the chain is.
func (c *Chain) Score(m *Model) ChainScore {
	r := ChainScore{Steps: c.Steps(), Max: float64(c.peak) / seqBit, Cusum: float64(c.high) / seqBit,
		Combined: combined(c.top), P: c.P(m), Each: [seqStats]float64{1, 1, 1}}
	if c.scored > 0 {
		r.Mean = float64(c.sum) / float64(c.scored) / seqBit
	}
	if m.ready() {
		if k := m.reference(stratum(c.n)); k >= 0 {
			for j, bin := range c.bins() {
				r.Each[j] = m.by[k][j].P((float64(bin) + 0.5) * baselines.BinWidth)
			}
		}
	}
	return r
}

// Append encodes the chain; one that has not begun takes nothing.
func (c *Chain) Append(b []byte) []byte {
	if c.n == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(c.n))
	b = binary.AppendUvarint(b, uint64(c.scored))
	for _, v := range [...]int32{c.cusum, c.high, c.peak, c.cost} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	b = binary.AppendUvarint(b, uint64(c.sum))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(c.top))
	b = binary.LittleEndian.AppendUint32(b, c.ended)
	b = binary.LittleEndian.AppendUint32(b, c.class)
	for _, v := range c.last {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	flags := c.sinks & (1<<seqOrder - 1) << 2
	if c.over {
		flags |= 1
	}
	if c.strataBins != nil {
		flags |= 2
	}
	b = append(b, flags)
	if c.strataBins != nil {
		for _, e := range c.strataBins.of {
			for _, v := range e {
				b = binary.LittleEndian.AppendUint16(b, v)
			}
		}
	}
	return appendSteps(b, c.kinds, c.steps)
}

func appendSteps(b []byte, kinds []Step, steps []uint8) []byte {
	b = append(b, byte(len(kinds)))
	for _, k := range kinds {
		b = binary.LittleEndian.AppendUint32(b, k.Call)
		b = binary.LittleEndian.AppendUint32(b, k.Class)
		b = binary.LittleEndian.AppendUint32(b, k.Intent)
		b = append(b, byte(k.Outcome))
	}
	b = binary.AppendUvarint(b, uint64(len(steps)))
	return append(b, steps...)
}

// Decode reads what Append wrote, all that is left of the reader's.
func (c *Chain) Decode(r *wire.Reader) {
	*c = Chain{}
	if len(r.B) == 0 {
		return
	}
	c.n, c.scored = r.Uvarint32(), r.Uvarint32()
	for _, v := range [...]*int32{&c.cusum, &c.high, &c.peak, &c.cost} {
		*v = int32(r.LittleUint32())
	}
	c.sum = int64(r.Uvarint())
	c.top = math.Float32frombits(r.LittleUint32())
	c.ended, c.class = r.LittleUint32(), r.LittleUint32()
	for i := range c.last {
		c.last[i] = r.LittleUint32()
	}
	flags := r.Byte()
	c.over, c.sinks = flags&1 != 0, flags>>2
	if flags&2 != 0 {
		c.strataBins = new(strataBins)
		for s := range c.strataBins.of {
			for j := range c.strataBins.of[s] {
				lo, hi := r.Byte(), r.Byte()
				if c.strataBins.of[s][j] = uint16(lo) | uint16(hi)<<8; c.strataBins.of[s][j] >= baselines.MaxBins {
					r.Fail()
				}
			}
		}
	}
	c.kinds, c.steps = readSteps(r)
	want := min(int(c.n), maxSteps+newest)
	// A sum that no chain comes to would be no number in the end.
	if flags >= 4<<seqOrder || c.n == 0 || c.strataBins == nil && c.scored == c.n && passed(c.n) > 0 ||
		len(c.steps) != want || c.scored > c.n || c.cusum < 0 || c.high < c.cusum || c.peak < 0 || c.peak > seqMost ||
		c.cost < 0 || c.cost > seqMost || c.sum < 0 || c.sum > int64(c.scored)*seqClip ||
		!(c.top >= 0 && c.top <= math.MaxFloat32) {
		r.Fail()
	}
	if r.Err != nil {
		*c = Chain{}
	}
}

func readSteps(r *wire.Reader) (kinds []Step, steps []uint8) {
	n := int(r.Byte())
	if n > maxKinds {
		r.Fail()
	}
	if r.Err != nil {
		return nil, nil
	}
	kinds = make([]Step, 0, max(n, 4))
	for range n {
		k := Step{r.LittleUint32(), r.LittleUint32(), r.LittleUint32(), event.Outcome(r.Byte())}
		if k.Call == beginSymbol || k.Class == beginSymbol || k.Outcome > event.NotFound {
			r.Fail()
		}
		kinds = append(kinds, k)
	}
	raw := r.Bytes()
	if len(raw) > maxSteps+newest {
		r.Fail()
		return nil, nil
	}
	steps = append(make([]uint8, 0, max(len(raw), 16)), raw...)
	for _, i := range steps {
		if int(i) >= len(kinds) && i != notKept {
			r.Fail()
		}
	}
	return kinds, steps
}

// ScoredStep is one step of a chain with its surprise.
type ScoredStep struct {
	At      int // from 0
	Step    Step
	Bits    float64
	Before  uint32 // the call before
	history history
}

// ScoreSteps scores the steps that are remembered anew: for explanations.
func (c *Chain) ScoreSteps(m *Model) []ScoredStep {
	var out []ScoredStep
	w := history{}
	for i := 0; i < int(c.n); i++ {
		if i == maxSteps {
			i = max(i, int(c.n)-newest) // what lies between is forgotten
		}
		k := c.at(i)
		if i > maxSteps && i == int(c.n)-newest {
			w.push(Step{})
		}
		if k == notKept {
			w.push(Step{})
			continue
		}
		t := ScoredStep{At: i, Step: c.kinds[k], Before: w.last[0], history: w}
		if m.ready() {
			t.Bits = float64(m.cost(&w, t.Step)) / seqBit
		}
		out = append(out, t)
		w.push(t.Step)
	}
	return out
}

// Usual are the steps that most probably come where the scored one came, most probable first, with
// their probabilities.
func (m *Model) Usual(t *ScoredStep, most int) (symbols []*Symbol, shares []float64) {
	ask := func(s *Symbol, class uint32) {
		p := m.p(&t.history, Step{Call: s.ID, Class: class, Intent: t.Step.Intent})
		i := len(shares)
		for i > 0 && shares[i-1] < p {
			i--
		}
		if i < most {
			symbols, shares = slices.Insert(symbols, i, s), slices.Insert(shares, i, p)
			symbols, shares = symbols[:min(len(symbols), most)], shares[:min(len(shares), most)]
		}
	}
	for i := range m.symbols {
		ask(&m.symbols[i], m.symbols[i].Class)
	}
	ask(m.Symbol(endSymbol), endSymbol)
	return symbols, shares
}

// Support is on how many agent-days the call came right after the one before it.
func (m *Model) Support(t *ScoredStep) int64 {
	if i, ok := m.at(after(orderSeed, t.history.ended)&upper | uint64(t.Step.Call)); ok {
		return int64(m.grams[i].u)
	}
	return 0
}
