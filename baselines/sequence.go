package baselines

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// Sequences: which call comes after which. The model is an interpolated Witten-Bell chain of order
// 3 (PPM-C blending; science §3.1) whose counts carry a floor: what fewer than three agent-days
// support is no support at all, so that one agent cannot teach the persona a habit by repeating it.
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

// Symbols that are no calls. Those of calls and classes are hashes.
const (
	// what comes before the first; as the last of an n-gram it stands for the context itself
	beginSymbol    = 0
	endSymbol      = 1
	newSymbol      = 2 // in items: a call that is new
	outcomeSymbols = 3 // and one more for each outcome
	symbolHashes   = 16
)

// Step is one call as a sequence sees it. How it ended is told apart from what it was: an error
// where any call may err is no new call.
type Step struct {
	Call uint32 // tool, class and resource type
	// class and resource type: what a call is, whatever does it. The lowest bit is set if it sends,
	// pays, deletes, approves or grants
	Class   uint32
	Intent  uint32 // 0: none is known
	Outcome event.Outcome
}

// Sink tells whether the call moves something that cannot be taken back.
func (s Step) Sink() bool { return s.Class&1 != 0 && s.Class >= symbolHashes }

// Symbol is what the hash of a call stands for.
type Symbol struct {
	ID, Class      uint32 // as in Step
	Tool, Resource string // at most maxName bytes of each; no tool: all calls of the class
	Action         event.Class
}

const sinks = 1<<event.Send | 1<<event.Pay | 1<<event.Delete | 1<<event.Approve | 1<<event.Grant

// StepOf is the step of a call.
func StepOf(tool, resource string, class event.Class, outcome event.Outcome, intent string) Step {
	kind := mix(xxhash.Sum64String(resource) + uint64(class)*0x9e3779b97f4a7c15)
	s := Step{Class: uint32(kind)&^1 | uint32(sinks>>class&1), Outcome: outcome}
	s.Class = max(s.Class, symbolHashes)
	s.Call = max(uint32(mix(kind^xxhash.Sum64String(tool)*0xff51afd7ed558ccd)>>32), symbolHashes)
	if intent != "" {
		s.Intent = max(uint32(xxhash.Sum64String(intent)>>32), 1)
	}
	return s
}

// ended is the call as what comes next remembers it: with how it ended, if it did not end well.
func (s Step) ended() uint32 {
	if s.Outcome <= event.OK {
		return s.Call
	}
	return s.Call ^ uint32(s.Outcome)*0x9e3779b9
}

// symbolOf is what stands behind a call, in memory of its own.
func symbolOf(s Step, tool, resource string, class event.Class) Symbol {
	return Symbol{s.Call, s.Class, Name(tool), Name(resource), class}
}

// String says what the call is.
func (s *Symbol) String() string {
	switch s.ID {
	case beginSymbol:
		return "the start"
	case endSymbol:
		return "the end"
	}
	what := s.Tool
	if what == "" {
		what = "another tool"
		if s.Action != event.NoClass {
			what += " of class " + s.Action.String()
		}
	}
	if s.Resource != "" {
		what += " on " + s.Resource
	}
	return what
}

// mix spreads 64 bits over 64 bits.
func mix(x uint64) uint64 {
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}

// An n-gram is its context's hash in the upper half of a word and its last symbol in the lower, so
// that in order the successors of a context lie together. The symbol 0 stands for the context
// itself.
const (
	orderSeed   = 0x51afd7ed558ccd01
	skipSeed    = 0xd6e8feb86659fd93
	intentSeed  = 0x9e3779b97f4a7c15
	classSeed   = 0xbf58476d1ce4e5b9
	outcomeSeed = 0xa0761d6478bd642f
	sizeSeed    = 0x94d049bb133111eb
	upper       = 0xffffffff_00000000
)

var (
	noContext      = mix(orderSeed) & upper
	classContext   = mix(classSeed) & upper
	outcomeContext = mix(outcomeSeed) & upper
	sizeContext    = mix(sizeSeed) & upper // of no n-gram: how many calls a class has
)

func after(context uint64, symbol uint32) uint64 {
	return mix(context ^ (uint64(symbol)+1)*0xff51afd7ed558ccd)
}

// contexts of a step, in the order in which they refine each other: none; what came last but one,
// whatever came last, so that one odd call is not paid for twice; what came last, and up to three
// calls; the intent after one and after two. Then of the step's class, and of its outcome. 0: there
// is none.
type contexts [11]uint64

const (
	noneAt = iota
	skipAt
	firstAt
	secondAt
	thirdAt
	intentAt
	intentSecondAt
	classAt
	classAfterAt
	outcomeAt
	outcomeOfAt
)

// reach is how many of the calls before a context looks at.
var reach = [len(contexts{})]int{0, 2, 1, 2, 3, 1, 2, 0, 1, 0, 0}

// walk is where a chain stands: what came last.
type walk struct {
	n     uint32
	ended uint32           // the last call, and how it ended
	last  [seqOrder]uint32 // calls, newest first; before the first, beginSymbol
	class uint32           // of the last
	sinks uint8            // bit i: what came i calls before the last was a sink
}

func (w *walk) contexts(s Step) (c contexts) {
	c[noneAt] = noContext
	c[firstAt] = after(orderSeed, w.ended)
	if w.n > 0 {
		c[skipAt] = after(skipSeed, w.last[1])
		c[secondAt] = after(c[firstAt], w.last[1])
		if w.n > 1 {
			c[thirdAt] = after(c[secondAt], w.last[2])
		}
	}
	if s.Intent != 0 {
		c[intentAt] = after(intentSeed+uint64(s.Intent)<<16, w.ended)
		if w.n > 0 {
			c[intentSecondAt] = after(c[intentAt], w.last[1])
		}
	}
	c[classAt], c[classAfterAt] = classContext, after(classSeed, w.class)
	if s.Call != endSymbol {
		c[outcomeAt], c[outcomeOfAt] = outcomeContext, after(outcomeSeed, s.Call)
	}
	return c
}

// gram of a step in context i.
func (c *contexts) gram(i int, s Step) uint64 {
	switch {
	case i >= outcomeAt:
		return c[i]&upper | outcomeSymbols + uint64(s.Outcome)
	case i >= classAt:
		return c[i]&upper | uint64(s.Class)
	}
	return c[i]&upper | uint64(s.Call)
}

func (w *walk) push(s Step) {
	w.ended = s.ended()
	w.last = [...]uint32{s.Call, w.last[0], w.last[1]}
	w.class = s.Class
	if w.sinks <<= 1; s.Sink() {
		w.sinks |= 1
	}
	w.n++
}

// gram is an n-gram and its support: sessions and agent-days in which it came.
type gram struct {
	key  uint64
	n, u uint32
}

func (g *gram) support() uint32 {
	if g.u < seqFloor {
		return g.u
	}
	return max(g.n, seqFloor)
}

// Statistics of a chain and the lengths that they are compared by (science §3.2).
const (
	peakStat = iota // the most surprising step
	cusumStat
	meanStat
	seqStats
	strata = 5
)

// SequenceStatistics are the names of a chain's statistics.
var SequenceStatistics = [seqStats]string{"max", "cusum", "mean"}

// strataEnds are the lengths up to which a stratum goes, powers of two; the last has no end. Each
// stratum is one more look at the same session, which the calibration of sessions pays for: with
// ends at 4, 8, 16 and 32 six inserted calls were found in 67 of 100 sessions, with these in 76.
var strataEnds = [strata - 1]uint32{16, 32, 64, 128}

var strataOf = func() (of [129]uint8) {
	for n := range of {
		for s, end := range strataEnds {
			if uint32(n) > end {
				of[n] = uint8(s + 1)
			}
		}
	}
	return of
}()

func stratum(n uint32) int {
	if n < uint32(len(strataOf)) {
		return int(strataOf[n])
	}
	return strata - 1
}

// SequenceModel is what was learned about in which order agents of a persona call their tools.
type SequenceModel struct {
	grams   []gram   // ascending
	symbols []Symbol // ascending by ID
	// bits of steps, in 1/1024 and clipped, and their number: sums that decay with 14 days, in
	// Units. The mean is what a persona's work usually costs.
	bits, steps uint64
	by          [strata][seqStats]Calibrator // of what sessions came to by the end of each stratum
	session     Calibrator                   // of the oddest moment of each session
	// sessions that should have called somebody by chance and did not, in billionths; and of a
	// tenth the chance, …
	credit [called]uint64
	held   []held // quarantine, ascending
	words  []word // what people said of held items, ascending

	// Derived.
	index []slot
	shift uint8
	back  float64 // of the empty context
	// classBack and outcomeBack are the probabilities of a class and of an outcome that were never
	// seen.
	classBack, outcomeBack float64
	mean                   int32
	terms                  [strata][seqStats][]float32 // of Cauchy's sum, by bin
	screen                 float32                     // sum above which a session may be odd
}

// slot is an entry of the derived table. The value of a context is what it leaves for what it
// refines, of an n-gram its own share. N-grams without a context, or of one that refines only
// these, have all of their probability: almost every step asks for them.
type slot struct {
	tag   uint32 // of the key; the rest is in the place. 0: empty
	value float32
}

// home is the place of a key in the table, and its tag.
func (m *SequenceModel) home(key uint64) (i uint64, tag uint32) {
	h := key * 0x9e3779b97f4a7c15
	return h >> m.shift, uint32(h>>8) | 1
}

func (m *SequenceModel) find(key uint64) (float64, bool) {
	index := m.index
	mask := uint64(len(index) - 1)
	for i, tag := m.home(key); ; i++ {
		s := &index[i&mask]
		if s.tag == tag {
			return float64(s.value), true
		}
		if s.tag == 0 {
			return 0, false
		}
	}
}

// ready tells whether chains can be scored.
func (m *SequenceModel) ready() bool { return m != nil && m.steps > 0 && len(m.index) > 0 }

// judges tells whether there are references for steps: at least those of short sessions, by which
// longer ones are judged, too.
func (m *SequenceModel) judges() bool { return m.ready() && m.terms[0][peakStat] != nil }

// knows tells whether the symbol was ever learned.
func (m *SequenceModel) knows(symbol uint32) bool {
	if m == nil || len(m.index) == 0 {
		return false
	}
	_, ok := m.find(noContext | uint64(symbol))
	return ok
}

// p is the probability of a call where the walk stands, however it ends. Products are rounded
// before they are added, so that machines that fuse both agree.
func (m *SequenceModel) p(w *walk, s Step) float64 {
	p, ok := 0.0, false
	if w.n > 0 {
		skip := after(skipSeed, w.last[1])
		if p, ok = m.find(skip&upper | uint64(s.Call)); !ok {
			p = m.plain(w, s)
			if back, known := m.find(skip & upper); known {
				p *= back
			}
		}
	} else {
		p = m.plain(w, s)
	}
	c := after(orderSeed, w.ended)
	p = m.refine(p, c, s.Call)
	if w.n > 0 {
		c = after(c, w.last[1])
		if p = m.refine(p, c, s.Call); w.n > 1 {
			p = m.refine(p, after(c, w.last[2]), s.Call)
		}
	}
	if s.Intent != 0 {
		c = after(intentSeed+uint64(s.Intent)<<16, w.ended)
		if p = m.refine(p, c, s.Call); w.n > 0 {
			p = m.refine(p, after(c, w.last[1]), s.Call)
		}
	}
	return p
}

// outcome is the probability of how a call ended.
func (m *SequenceModel) outcome(s Step) float64 {
	if s.Call == endSymbol {
		return 1
	}
	c, o := after(outcomeSeed, s.Call)&upper, outcomeSymbols+uint64(s.Outcome)
	q, ok := m.find(c | o)
	if !ok {
		if q, ok = m.find(outcomeContext | o); !ok {
			q = m.outcomeBack
		}
		if back, known := m.find(c); known {
			q *= back
		}
	}
	return q
}

// plain is the probability of a call whatever came before. A new tool of a familiar class is no
// great surprise.
func (m *SequenceModel) plain(w *walk, s Step) float64 {
	if p, ok := m.find(noContext | uint64(s.Call)); ok {
		return p
	}
	p, ok := m.find(classContext | uint64(s.Class))
	if !ok {
		p = m.classBack
	}
	p = m.refine(p, after(classSeed, w.class), s.Class)
	if share, ok := m.find(sizeContext | uint64(s.Class)); ok {
		p *= share
	}
	return p * m.back
}

// refine is one step of Witten-Bell: the share that the symbol has in the context, and what the
// context leaves for p.
func (m *SequenceModel) refine(p float64, context uint64, symbol uint32) float64 {
	back, ok := m.find(context & upper)
	if !ok {
		return p
	}
	own, _ := m.find(context&upper | uint64(symbol))
	return own + float64(back*p)
}

// cost is the surprise of a step in 1/1024 bits.
func (m *SequenceModel) cost(w *walk, s Step) int32 {
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

// derive makes what is not stored.
func (m *SequenceModel) derive() {
	classes := map[uint32]uint32{} // how many symbols each has
	for i := range m.symbols {
		classes[m.symbols[i].Class]++
	}
	contexts := 0
	for i := range m.grams {
		if i == 0 || m.grams[i].key>>32 != m.grams[i-1].key>>32 {
			contexts++
		}
	}
	size := 64
	m.shift = 64 - 6
	for size < 2*(len(m.grams)+contexts+len(classes)) {
		size *= 2
		m.shift--
	}
	m.index = make([]slot, size)
	put := func(key uint64, v float64) {
		i, tag := m.home(key)
		for m.index[i].tag != 0 {
			i = (i + 1) & uint64(size-1)
		}
		m.index[i] = slot{tag, float32(v)}
	}
	group := func(i int) (end int, back, of float64) {
		n, low := uint64(0), uint64(0)
		for end = i; end < len(m.grams) && m.grams[end].key>>32 == m.grams[i].key>>32; end++ {
			c := m.grams[end].support()
			n += uint64(c)
			low += uint64(min(c, seqFloor))
		}
		return end, (float64(low) + 0.5) / (float64(n) + 0.5), 1 / (float64(n) + 0.5)
	}
	own := func(g *gram, of float64) float64 { return float64(g.support()-min(g.support(), seqFloor)) * of }

	// What has no context at all has all of its probability in the table, since almost every step
	// asks for it.
	flat := func(context uint64, uniform float64) (of map[uint32]float64, none float64) {
		of, none = map[uint32]float64{}, uniform
		if i, _ := m.at(context); i < len(m.grams) && m.grams[i].key&upper == context {
			end, back, share := group(i)
			none *= back
			for ; i < end; i++ {
				of[uint32(m.grams[i].key)] = own(&m.grams[i], share) + none
			}
		}
		return of, none
	}
	m.back = 1
	byClass, classBack := flat(classContext, 1/float64(len(classes)+2))
	byOutcome, outcomeBack := flat(outcomeContext, 1/float64(event.NotFound+1))
	m.classBack, m.outcomeBack = classBack, outcomeBack
	byCall := map[uint32]float64{}
	if i, _ := m.at(noContext); i < len(m.grams) && m.grams[i].key&upper == noContext {
		end, back, of := group(i)
		m.back = back
		for ; i < end; i++ {
			call := uint32(m.grams[i].key)
			class := m.classOf(call)
			p, ok := byClass[class]
			if !ok {
				p = classBack
			}
			byCall[call] = own(&m.grams[i], of) + back*p/float64(classes[class]+1)
		}
	}
	skips, outcomes := map[uint64]bool{after(skipSeed, beginSymbol) & upper: true}, map[uint64]bool{}
	for i := range m.symbols {
		skips[after(skipSeed, m.symbols[i].ID)&upper] = true
		outcomes[after(outcomeSeed, m.symbols[i].ID)&upper] = true
	}
	for i := 0; i < len(m.grams); {
		c := m.grams[i].key & upper
		end, back, of := group(i)
		put(c, back)
		skip, outcome := skips[c], outcomes[c]
		for ; i < end; i++ {
			g := &m.grams[i]
			v, last := own(g, of), uint32(g.key)
			switch {
			case c == classContext:
				v = byClass[last]
			case c == outcomeContext:
				v = byOutcome[last]
			case c == noContext:
				v = byCall[last]
			case skip:
				v += back * byCall[last]
			case outcome:
				v += back * byOutcome[last]
			}
			put(g.key, v)
		}
	}
	for i := range m.symbols { // not by the map: the order of the table would follow
		if c := m.symbols[i].Class; classes[c] > 0 {
			put(sizeContext|uint64(c), 1/float64(classes[c]+1))
			classes[c] = 0
		}
	}
	m.calibrate()
}

// calibrate derives what follows from the references.
func (m *SequenceModel) calibrate() {
	m.mean = 0
	if m.steps > 0 {
		m.mean = int32(m.bits / m.steps)
	}
	m.terms = [strata][seqStats][]float32{}
	for s := range m.terms {
		switch k := m.reference(s); {
		case k == s:
			for j := range m.terms[s] {
				m.terms[s][j] = cauchyTerms(&m.by[s][j])
			}
		case k >= 0:
			m.terms[s] = m.terms[k]
		}
	}
	m.screen = math.MaxFloat32
	if m.session.Ready() {
		for i := MaxBins - 1; i >= 0 && m.session.P(float64(i)*BinWidth) < 0.0101; i-- {
			m.screen = float32(math.Tan((0.5 - math.Pow(10, -float64(i)*BinWidth)) * math.Pi))
		}
	}
}

// reference is the stratum by whose references one is judged: its own, or where too few were ever
// so long the longest before it that has enough of all three statistics; -1: there is none. Each
// decays by itself, and near the bound what is lost to rounding leaves one of them with enough and
// another without.
func (m *SequenceModel) reference(s int) int {
	for s >= 0 && slices.ContainsFunc(m.by[s][:], func(c Calibrator) bool { return !c.Ready() }) {
		s--
	}
	return s
}

// cauchyTerms are the summands of Cauchy's combination for scores in each bin: a step then costs
// three look-ups instead of three tangents.
func cauchyTerms(c *Calibrator) []float32 {
	out := make([]float32, MaxBins)
	for i := range out {
		p := min(c.P((float64(i)+0.5)*BinWidth), maxCauchy)
		if p < 1e-15 {
			out[i] = float32(1 / (p * math.Pi))
			continue
		}
		out[i] = float32(math.Tan((0.5 - p) * math.Pi))
	}
	return out
}

// at is where an n-gram is, or would be.
func (m *SequenceModel) at(key uint64) (int, bool) {
	return slices.BinarySearchFunc(m.grams, key, func(g gram, key uint64) int { return cmp.Compare(g.key, key) })
}

// Symbol is what a symbol stands for; nil: nobody knows.
func (m *SequenceModel) Symbol(id uint32) *Symbol {
	switch id {
	case beginSymbol, endSymbol:
		return &Symbol{ID: id}
	}
	return symbolIn(m.symbols, id)
}

func symbolIn(in []Symbol, id uint32) *Symbol {
	if i, ok := slices.BinarySearchFunc(in, id, func(s Symbol, id uint32) int { return cmp.Compare(s.ID, id) }); ok {
		return &in[i]
	}
	return nil
}

func (m *SequenceModel) classOf(symbol uint32) uint32 {
	if s := symbolIn(m.symbols, symbol); s != nil {
		return s.Class
	}
	return symbol // the end is a class of its own
}

// Size is how many symbols and n-grams the model has, and how many n-grams are in quarantine.
func (m *SequenceModel) Size() (symbols, grams, held int) {
	return len(m.symbols), len(m.grams), len(m.held)
}

// Append encodes the model.
func (m *SequenceModel) Append(b []byte) []byte {
	b = appendSymbols(b, m.symbols)
	b = binary.AppendUvarint(b, uint64(len(m.grams)))
	last := uint64(0)
	for i := range m.grams {
		g := &m.grams[i]
		// The context but once: its n-grams follow each other.
		b = binary.AppendUvarint(b, g.key>>32-last)
		last = g.key >> 32
		b = binary.BigEndian.AppendUint32(b, uint32(g.key))
		b = binary.AppendUvarint(b, uint64(g.n))
		b = binary.AppendUvarint(b, uint64(g.u))
	}
	b = binary.AppendUvarint(b, m.bits)
	b = binary.AppendUvarint(b, m.steps)
	for s := range m.by {
		for j := range m.by[s] {
			b = m.by[s][j].Append(b)
		}
	}
	b = m.session.Append(b)
	for _, c := range m.credit {
		b = binary.AppendUvarint(b, c)
	}
	b = binary.AppendUvarint(b, uint64(len(m.held)))
	for i := range m.held {
		b = m.held[i].append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(m.words)))
	for _, w := range m.words {
		b = w.append(b)
	}
	return b
}

// Decode reads what Append wrote.
func (m *SequenceModel) Decode(r *wire.Reader) {
	*m = SequenceModel{symbols: readSymbols(r, maxSymbols)}
	n := r.Uvarint()
	if n > maxGrams || n > uint64(len(r.B))/7 {
		r.Fail()
		return
	}
	m.grams = make([]gram, 0, n)
	last := uint64(0)
	for range n {
		last += r.Uvarint()
		g := gram{key: last<<32 | uint64(r.Uint32()), n: r.Uvarint32(), u: r.Uvarint32()}
		if k := len(m.grams); last > math.MaxUint32 || uint32(g.key) == beginSymbol || k > 0 &&
			m.grams[k-1].key >= g.key || g.n == 0 {
			r.Fail()
		}
		if r.Err != nil {
			return
		}
		m.grams = append(m.grams, g)
	}
	m.bits, m.steps = r.Uvarint(), r.Uvarint()
	for s := range m.by {
		for j := range m.by[s] {
			m.by[s][j].Decode(r)
		}
	}
	m.session.Decode(r)
	for i := range m.credit {
		if m.credit[i] = r.Uvarint(); m.credit[i] > maxCredit {
			r.Fail()
		}
	}
	for range r.Len() {
		h := readHeld(r)
		if k := len(m.held); k > 0 && m.held[k-1].key >= h.key || k >= maxHeld {
			r.Fail()
		}
		if r.Err != nil {
			return
		}
		m.held = append(m.held, h)
	}
	for range r.Len() {
		w := readWord(r)
		if k := len(m.words); k > 0 && m.words[k-1].item >= w.item || k >= maxWords {
			r.Fail()
		}
		if r.Err != nil {
			return
		}
		m.words = append(m.words, w)
	}
	if m.bits > 1<<60 || m.steps > 1<<50 || m.steps > 0 && m.bits/m.steps > seqMost {
		r.Fail()
	}
	if r.Err == nil {
		m.derive()
	}
}

func appendSymbols(b []byte, list []Symbol) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for i := range list {
		s := &list[i]
		b = binary.BigEndian.AppendUint32(b, s.ID)
		b = binary.BigEndian.AppendUint32(b, s.Class)
		b = wire.AppendString(wire.AppendString(b, s.Tool), s.Resource)
		b = append(b, byte(s.Action))
	}
	return b
}

func readSymbols(r *wire.Reader, most int) []Symbol {
	n := r.Len()
	if n == 0 {
		return nil
	}
	if n > most || n > len(r.B)/11 {
		r.Fail()
		return nil
	}
	out := make([]Symbol, 0, n)
	for range n {
		s := Symbol{ID: r.Uint32(), Class: r.Uint32(), Tool: r.String(), Resource: r.String(),
			Action: event.Class(r.Byte())}
		if k := len(out); k > 0 && out[k-1].ID >= s.ID || len(s.Tool) > maxName || len(s.Resource) > maxName ||
			s.Action > event.Delegate || s.ID < symbolHashes || s.Class < symbolHashes {
			r.Fail()
		}
		if r.Err != nil {
			return nil
		}
		out = append(out, s)
	}
	return out
}

// SequenceSlot is the slot of the parts.
const SequenceSlot = 7

var emptySequence SequenceModel

// SequenceOf is the part of a model; never nil, and not to be changed.
func SequenceOf(m *Model) *SequenceModel {
	if p, ok := m.parts[SequenceSlot].(*SequenceModel); ok {
		return p
	}
	return &emptySequence
}

// SequenceDeltaOf is the part of a delta.
func SequenceDeltaOf(d *Delta) *SequenceDelta {
	if p, ok := d.parts[SequenceSlot].(*SequenceDelta); ok {
		return p
	}
	return d.Ensure(SequenceSlot).(*SequenceDelta)
}
