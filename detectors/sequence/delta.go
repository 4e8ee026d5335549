package sequence

import (
	"bytes"
	"cmp"
	"maps"
	"math"
	"math/bits"
	"slices"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
)

// Bounds of what one day may bring. Of too many, those with the smallest scrambled keys are kept:
// which ones these are does not depend on the order of merging, and their counts are exact.
const (
	maxDayGrams = 1 << 16
	maxHeld     = 1 << 14
	maxSamples  = 1024
	sampleBytes = 1 << 11
)

// Delta is what one day adds to a model.
type Delta struct {
	counts    []count // open addressing by key
	used      int
	shift     uint8
	limit     uint64 // of scrambled keys, once there were too many; 0: none
	stamp     uint32 // of the session that is being learned
	symbols   map[uint32]Symbol
	held      map[uint64]*held
	heldLimit uint64 // as limit, of held

	bits, steps uint64
	by          [strata][seqStats]baselines.Histogram
	session     baselines.Histogram
	called      baselines.Histogram // of sessions that called somebody
	expected    uint64              // how many should have by chance, in billionths
	samples     []sample            // of the first day: what to reckon the first references from; ascending
}

type count struct {
	key         uint64
	n, u, stamp uint32
}

// sample is one session of the first day.
type sample struct {
	key  uint64
	body []byte // as appendSteps writes it
}

// Fate is what becomes of a session that is over.
type Fate uint8

// Fates.
const (
	Forget   Fate = iota // it may not be learned
	LearnAll             // all of it: the persona is young, or the events are known to be good
	// it is ordinary: learned, but for a sink that the persona never used, which waits for a person
	LearnFrom
	Quarantine // it is odd: what is new in it waits for others to show it
	// so odd that it raised an alert: as Quarantine, and it is a reference only as far as chance
	// explains it
	Alerted
)

// chance is one session in the unit of expected.
const chance = 1e9

// Step is the step of a call, and notes its name if the model does not know it. When there are too
// many names, it is that of the call's class.
func (d *Delta) Step(m *Model, tool, resource string, class event.Class, outcome event.Outcome,
	intent string) Step {
	s := StepOf(tool, resource, class, outcome, intent)
	if m.knows(s.Call) {
		return s
	}
	if _, ok := d.symbols[s.Call]; ok {
		return s
	}
	if len(d.symbols) >= maxSymbols || m != nil && len(m.symbols) >= maxSymbols {
		tool, resource = "", ""
		s = StepOf(tool, resource, class, outcome, intent)
		if _, ok := d.symbols[s.Call]; ok {
			return s
		}
	}
	if d.symbols == nil {
		d.symbols = map[uint32]Symbol{}
	}
	d.symbols[s.Call] = symbolOf(s, tool, resource, class)
	return s
}

// Symbol is what stands behind a call that is new today; nil: nobody knows.
func (d *Delta) Symbol(call uint32) *Symbol {
	if s, ok := d.symbols[call]; ok {
		return &s
	}
	return nil
}

// Take learns a chain that is over: the end is pushed if nobody has. agent is a hash of whose it
// was, today what of the agent was counted already on the day, alpha the p-value below which it
// would have called somebody; 0: nothing could.
func (d *Delta) Take(m *Model, c *Chain, agent uint64, day int64, today *AgentDay, fate Fate,
	alpha float64) {
	c.End(m)
	if fate == Forget || c.n == 0 {
		return
	}
	if m.ready() && c.scored == c.n {
		d.expected += uint64(alpha*chance + 0.5)
		if fate == Alerted {
			d.called.Add(combined(c.top), 1)
		} else {
			d.addReference(m, c)
		}
	}
	if !m.ready() && fate <= LearnFrom {
		d.sample(c, agent)
	}
	d.stamp++
	var w history
	n := c.learnable()
	today.Begin(day, n*perStep)
	fresh := uint8(0) // as history.sinks, of sinks that the persona never used
	for i := range n {
		s := c.kinds[c.steps[i]]
		if fresh <<= 1; fate == LearnFrom && s.Sink() && m.ready() && !m.established(s.Call) {
			fresh |= 1
		}
		d.learn(m, &w, s, agent, today, fate <= LearnFrom, fresh)
		w.push(s)
	}
}

func (d *Delta) learn(m *Model, w *history, s Step, agent uint64, today *AgentDay, ordinary bool,
	fresh uint8) {
	cs := w.contexts(s)
	for i, c := range cs {
		if c == 0 {
			continue
		}
		key := cs.gram(i, s)
		if ordinary && fresh&(2<<reach[i]-1) == 0 {
			if k := d.count(key); k != nil && k.stamp != d.stamp {
				k.stamp = d.stamp
				k.n = baselines.AddSaturating32(k.n, 1)
				if today.First(agent, key) {
					k.u = baselines.AddSaturating32(k.u, 1)
				}
			}
			continue
		}
		if m == nil {
			continue
		}
		if j, ok := m.at(key); ok && m.grams[j].u >= seqFloor {
			continue
		}
		h := d.hold(key, w, s, i)
		if h == nil || h.stamp == d.stamp {
			continue
		}
		h.stamp = d.stamp
		h.agents |= 1 << (mix(agent) >> 58)
		h.n = baselines.AddSaturating32(h.n, 1)
		if today.First(agent, key) {
			h.u = baselines.AddSaturating32(h.u, 1)
		}
	}
}

// count is the entry of an n-gram, made if there is none; nil if there are too many.
func (d *Delta) count(key uint64) *count {
	if 4*d.used >= 3*len(d.counts) {
		d.grow()
	}
	mask := uint64(len(d.counts) - 1)
	for i := key * 0x9e3779b97f4a7c15 >> d.shift; ; i = (i + 1) & mask {
		k := &d.counts[i]
		if k.key == key {
			return k
		}
		if k.key != 0 {
			continue
		}
		if d.limit != 0 && mix(key) > d.limit {
			return nil
		}
		k.key = key
		d.used++
		return k
	}
}

// grow makes room, or thins out.
func (d *Delta) grow() {
	old := d.counts
	size := max(64, 2*len(old))
	if d.used > 2*maxDayGrams {
		d.limit = d.thin(maxDayGrams)
		size = len(old)
	}
	d.counts, d.used, d.shift = make([]count, size), 0, uint8(64-bits.TrailingZeros(uint(size)))
	mask := uint64(size - 1)
	for _, k := range old {
		if k.key == 0 || d.limit != 0 && mix(k.key) > d.limit {
			continue
		}
		i := k.key * 0x9e3779b97f4a7c15 >> d.shift
		for d.counts[i].key != 0 {
			i = (i + 1) & mask
		}
		d.counts[i] = k
		d.used++
	}
}

// thin is the scrambled key of the last of the n that are kept.
func (d *Delta) thin(n int) uint64 {
	keys := make([]uint64, 0, d.used)
	for _, k := range d.counts {
		if k.key != 0 {
			keys = append(keys, mix(k.key))
		}
	}
	if len(keys) <= n {
		return math.MaxUint64
	}
	slices.Sort(keys)
	return keys[n-1]
}

// addReference makes the session a reference: for steps, and for whole sessions if there were
// references for its steps already.
func (d *Delta) addReference(m *Model, c *Chain) {
	for s := range strata {
		bins := c.bins()
		if s < passed(c.n) {
			bins = c.strataBins.of[s]
		}
		for j, b := range bins {
			d.by[s][j].AddBin(int(b))
		}
		if s == stratum(c.n) {
			break
		}
	}
	if m.judges() {
		d.session.Add(combined(c.top), 1)
	}
	d.bits += uint64(c.sum)
	d.steps += uint64(c.scored)
}

// sample keeps the session if its hash is among the smallest.
func (d *Delta) sample(c *Chain, agent uint64) {
	n := c.learnable()
	body := appendSteps(nil, c.kinds, c.steps[:n])
	h := agent
	for i := range n {
		h = mix(h + uint64(c.kinds[c.steps[i]].ended()))
	}
	if len(body) <= sampleBytes {
		d.samples = insertSample(d.samples, sample{h, body})
	}
}

func compareSamples(a, b sample) int {
	return cmp.Or(cmp.Compare(a.key, b.key), bytes.Compare(a.body, b.body))
}

// insertSample keeps the smallest. Sessions alike of one agent are kept as often as they came.
func insertSample(list []sample, s sample) []sample {
	i, _ := slices.BinarySearchFunc(list, s, compareSamples)
	if i >= maxSamples {
		return list
	}
	list = slices.Insert(list, i, s)
	return list[:min(len(list), maxSamples)]
}

// MergeWide adds nothing: the order of calls is a persona's own.
func (d *Delta) MergeWide(baselines.DeltaPart) {}

// Merge adds another's.
func (d *Delta) Merge(from baselines.DeltaPart) {
	o := from.(*Delta)
	for _, k := range o.counts {
		if k.key == 0 {
			continue
		}
		if c := d.count(k.key); c != nil {
			c.n = baselines.AddSaturating32(c.n, k.n)
			c.u = baselines.AddSaturating32(c.u, k.u)
		}
	}
	for id, s := range o.symbols {
		d.addSymbol(id, s)
	}
	for key, h := range o.held {
		d.addHeld(key, h)
	}
	d.bits += o.bits
	d.steps += o.steps
	for s := range d.by {
		for j := range d.by[s] {
			d.by[s][j].Merge(o.by[s][j])
		}
	}
	d.session.Merge(o.session)
	d.called.Merge(o.called)
	d.expected += o.expected
	for _, s := range o.samples {
		d.samples = insertSample(d.samples, s)
	}
}

// addSymbol notes a name. Two of one hash give the smaller.
func (d *Delta) addSymbol(id uint32, s Symbol) {
	last := uint32(0)
	if d.symbols == nil {
		d.symbols = map[uint32]Symbol{}
	}
	if was, ok := d.symbols[id]; !ok || compareSymbols(&s, &was) < 0 {
		d.symbols[id] = s
	}
	if len(d.symbols) > 4*maxSymbols {
		for _, s := range d.names() {
			last = s.ID
		}
		maps.DeleteFunc(d.symbols, func(id uint32, _ Symbol) bool { return id > last })
	}
}

func compareSymbols(a, b *Symbol) int {
	return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Tool, b.Tool),
		cmp.Compare(a.Resource, b.Resource),
		cmp.Compare(a.Action, b.Action))
}

// grams are the counted n-grams, ascending, at most maxDayGrams.
func (d *Delta) grams() []gram {
	limit := uint64(math.MaxUint64)
	if d.used > maxDayGrams {
		limit = d.thin(maxDayGrams)
	}
	out := make([]gram, 0, d.used)
	for _, k := range d.counts {
		if k.key != 0 && mix(k.key) <= limit {
			out = append(out, gram{k.key, k.n, k.u})
		}
	}
	slices.SortFunc(out, func(a, b gram) int { return cmp.Compare(a.key, b.key) })
	return out
}

// names are the symbols, ascending, at most twice maxSymbols: a day of several shards may bring
// more than a model keeps.
func (d *Delta) names() []Symbol {
	out := make([]Symbol, 0, len(d.symbols))
	for _, s := range d.symbols {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Symbol) int { return cmp.Compare(a.ID, b.ID) })
	return out[:min(len(out), 2*maxSymbols)]
}
