package sequence

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

// contexts are those of one step, in the order of interpolation: none; the last call but one,
// whatever came last, so that one odd call is not paid for twice; the last call, and up to three
// calls; the intent with one call and with two. Then those of the step's class, and of its outcome.
// 0 means that there is none.
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

// history is what came last in a session: what the probability of the next call depends on.
type history struct {
	n     uint32
	ended uint32           // the last call, and how it ended
	last  [seqOrder]uint32 // calls, newest first; before the first, beginSymbol
	class uint32           // of the last
	sinks uint8            // bit i: what came i calls before the last was a sink
}

func (w *history) contexts(s Step) (c contexts) {
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

// gram is the n-gram of a step in context i.
func (c *contexts) gram(i int, s Step) uint64 {
	switch {
	case i >= outcomeAt:
		return c[i]&upper | outcomeSymbols + uint64(s.Outcome)
	case i >= classAt:
		return c[i]&upper | uint64(s.Class)
	}
	return c[i]&upper | uint64(s.Call)
}

func (w *history) push(s Step) {
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
