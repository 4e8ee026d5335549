package baselines

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"math"
	"math/bits"
	"slices"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// Bounds of what one day may bring. Of too many, those with the smallest scrambled keys are kept:
// which ones these are does not depend on the order of merging, and their counts are exact.
const (
	maxDayGrams = 1 << 16
	maxHeld     = 1 << 14
	maxSamples  = 1024
	sampleBytes = 1 << 11
)

// SequenceDelta is what one day adds to a model.
type SequenceDelta struct {
	counts  []count // open addressing by key
	used    int
	shift   uint8
	limit   uint64 // of scrambled keys, once there were too many; 0: none
	stamp   uint32 // of the session that is being learned
	symbols map[uint32]Symbol
	held    map[uint64]*held
	barrier uint64 // as limit, of held

	bits, steps uint64
	by          [strata][seqStats]Histogram
	session     Histogram
	called      Histogram // of sessions that called somebody
	expected    uint64    // how many should have by chance, in billionths
	samples     []sample  // of the first day: what to reckon the first references from; ascending
}

type count struct {
	key         uint64
	n, u, stamp uint32
}

// held is an n-gram in quarantine: it came in sessions that were odd.
type held struct {
	gram
	prev, symbol uint32 // the step that brought it, and the one before
	sink         bool   // some call in it is one that cannot be taken back
	agents       uint64 // one bit for each of 64 shares of agents
	// Of a model alone.
	most        uint32 // agents on the day on which they were most
	first, last int64  // days on which it came
	days        uint32 // how many of them
	asked       bool   // a person was
	stamp       uint32 // of a delta: the session that was counted last; not stored
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
	LearnAll             // whatever it is: the persona is young, or the events are known to be good
	// it is ordinary; a sink that the persona never used waits for a person all the same
	LearnFrom
	Quarantine // it is odd: what is new in it waits for others to show it
	// so odd that somebody was called: likewise, and it is no reference beyond what chance explains
	Alerted
)

// chance is one session in the unit of expected.
const chance = 1e9

// Step is the step of a call, and notes its name if the model does not know it. When there are too
// many names, it is that of the call's class.
func (d *SequenceDelta) Step(m *SequenceModel, tool, resource string, class event.Class, outcome event.Outcome,
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
func (d *SequenceDelta) Symbol(call uint32) *Symbol {
	if s, ok := d.symbols[call]; ok {
		return &s
	}
	return nil
}

// Take learns a chain that is over: the end is pushed if nobody has. agent is a hash of whose it
// was, today what of the agent was counted already on the day, alpha the p-value below which it
// would have called somebody; 0: nothing could.
func (d *SequenceDelta) Take(m *SequenceModel, c *Chain, agent uint64, day int64, today *AgentDay, fate Fate,
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
			d.refer(m, c)
		}
	}
	if !m.ready() && fate <= LearnFrom {
		d.sample(c, agent)
	}
	d.stamp++
	var w walk
	n := c.learnable()
	today.Begin(day, n*perStep)
	fresh := uint8(0) // as walk.sinks, of sinks that the persona never used
	for i := range n {
		s := c.kinds[c.steps[i]]
		if fresh <<= 1; fate == LearnFrom && s.Sink() && m.ready() && !m.established(s.Call) {
			fresh |= 1
		}
		d.learn(m, &w, s, agent, today, fate <= LearnFrom, fresh)
		w.push(s)
	}
}

func (d *SequenceDelta) learn(m *SequenceModel, w *walk, s Step, agent uint64, today *AgentDay, ordinary bool,
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
				k.n = addSaturating32(k.n, 1)
				if today.First(agent, key) {
					k.u = addSaturating32(k.u, 1)
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
		h.n = addSaturating32(h.n, 1)
		if today.First(agent, key) {
			h.u = addSaturating32(h.u, 1)
		}
	}
}

// count is the entry of an n-gram, made if there is none; nil if there are too many.
func (d *SequenceDelta) count(key uint64) *count {
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
func (d *SequenceDelta) grow() {
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
func (d *SequenceDelta) thin(n int) uint64 {
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

// hold is the entry in quarantine of a step's n-gram in context i, made if there is none; nil if
// there are too many.
func (d *SequenceDelta) hold(key uint64, w *walk, s Step, i int) *held {
	h := d.held[key]
	if h == nil {
		if d.barrier != 0 && mix(key) > d.barrier {
			return nil
		}
		if d.held == nil {
			d.held = map[uint64]*held{}
		}
		if len(d.held) >= 2*maxHeld {
			d.thinHeld()
		}
		h = &held{gram: gram{key: key}, prev: math.MaxUint32, symbol: math.MaxUint32}
		d.held[key] = h
	}
	prev := w.last[0]
	if i >= outcomeAt {
		prev = outcomeSymbols + uint32(s.Outcome)
	}
	if prev < h.prev || prev == h.prev && s.Call < h.symbol {
		h.prev, h.symbol = prev, s.Call
	}
	h.sink = h.sink || s.Sink() || w.sinks&(1<<reach[i]-1) != 0
	return h
}

func (d *SequenceDelta) thinHeld() {
	keys := make([]uint64, 0, len(d.held))
	for k := range d.held {
		keys = append(keys, mix(k))
	}
	slices.Sort(keys)
	d.barrier = keys[maxHeld-1]
	for k := range d.held {
		if mix(k) > d.barrier {
			delete(d.held, k)
		}
	}
}

// refer counts what the chain came to. refer makes the session a reference: of its steps, and if
// these had references themselves also of sessions.
func (d *SequenceDelta) refer(m *SequenceModel, c *Chain) {
	for s := range strata {
		bins := c.bins()
		if s < passed(c.n) {
			bins = c.exits.of[s]
		}
		for j, b := range bins {
			d.by[s][j].at(int(b))
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

// at counts one in a bin.
func (h *Histogram) at(i int) {
	if i >= len(*h) {
		*h = append(*h, make([]uint32, i+1-len(*h))...)
	}
	(*h)[i] = addSaturating32((*h)[i], 1)
}

// sample keeps the session if its hash is among the smallest.
func (d *SequenceDelta) sample(c *Chain, agent uint64) {
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
func (d *SequenceDelta) MergeWide(DeltaPart) {}

// Merge adds another's.
func (d *SequenceDelta) Merge(from DeltaPart) {
	o := from.(*SequenceDelta)
	for _, k := range o.counts {
		if k.key == 0 {
			continue
		}
		if c := d.count(k.key); c != nil {
			c.n = addSaturating32(c.n, k.n)
			c.u = addSaturating32(c.u, k.u)
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
func (d *SequenceDelta) addSymbol(id uint32, s Symbol) {
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

func (d *SequenceDelta) addHeld(key uint64, o *held) {
	h := d.held[key]
	if h == nil {
		if d.barrier != 0 && mix(key) > d.barrier {
			return
		}
		if d.held == nil {
			d.held = map[uint64]*held{}
		}
		if len(d.held) >= 2*maxHeld {
			d.thinHeld()
		}
		own := *o
		d.held[key] = &own
		return
	}
	h.n = addSaturating32(h.n, o.n)
	h.u = addSaturating32(h.u, o.u)
	h.agents |= o.agents
	h.sink = h.sink || o.sink
	if o.prev < h.prev || o.prev == h.prev && o.symbol < h.symbol {
		h.prev, h.symbol = o.prev, o.symbol
	}
}

// grams are the counted n-grams, ascending, at most maxDayGrams.
func (d *SequenceDelta) grams() []gram {
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
func (d *SequenceDelta) names() []Symbol {
	out := make([]Symbol, 0, len(d.symbols))
	for _, s := range d.symbols {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Symbol) int { return cmp.Compare(a.ID, b.ID) })
	return out[:min(len(out), 2*maxSymbols)]
}

func (d *SequenceDelta) quarantine() []held {
	out := make([]held, 0, len(d.held))
	for _, h := range d.held {
		out = append(out, *h)
	}
	if len(out) > maxHeld {
		slices.SortFunc(out, func(a, b held) int { return cmp.Compare(mix(a.key), mix(b.key)) })
		out = out[:maxHeld]
	}
	slices.SortFunc(out, func(a, b held) int { return cmp.Compare(a.key, b.key) })
	return out
}

// Append encodes the delta.
func (d *SequenceDelta) Append(b []byte) []byte {
	b = appendSymbols(b, d.names())
	grams := d.grams()
	b = binary.AppendUvarint(b, uint64(len(grams)))
	last := uint64(0)
	for i := range grams {
		g := &grams[i]
		b = binary.AppendUvarint(b, g.key>>32-last)
		last = g.key >> 32
		b = binary.BigEndian.AppendUint32(b, uint32(g.key))
		b = binary.AppendUvarint(b, uint64(g.n))
		b = binary.AppendUvarint(b, uint64(g.u))
	}
	list := d.quarantine()
	b = binary.AppendUvarint(b, uint64(len(list)))
	for i := range list {
		b = list[i].append(b)
	}
	b = binary.AppendUvarint(b, d.bits)
	b = binary.AppendUvarint(b, d.steps)
	for s := range d.by {
		for j := range d.by[s] {
			b = d.by[s][j].Append(b)
		}
	}
	b = d.called.Append(d.session.Append(b))
	b = binary.AppendUvarint(b, d.expected)
	b = binary.AppendUvarint(b, uint64(len(d.samples)))
	for i := range d.samples {
		b = binary.BigEndian.AppendUint64(b, d.samples[i].key)
		b = binary.AppendUvarint(b, uint64(len(d.samples[i].body)))
		b = append(b, d.samples[i].body...)
	}
	return b
}

// Decode reads what Append wrote.
func (d *SequenceDelta) Decode(r *wire.Reader) {
	*d = SequenceDelta{}
	for _, s := range readSymbols(r, 2*maxSymbols) {
		d.addSymbol(s.ID, s)
	}
	n := r.Uvarint()
	if n > maxDayGrams || n > uint64(len(r.B))/7 {
		r.Fail()
		return
	}
	context, last := uint64(0), uint64(0)
	for range n {
		context += r.Uvarint()
		g := gram{key: context<<32 | uint64(r.Uint32()), n: r.Uvarint32(), u: r.Uvarint32()}
		if context > math.MaxUint32 || uint32(g.key) == beginSymbol || g.key <= last || g.n == 0 {
			r.Fail()
		}
		if r.Err != nil {
			return
		}
		last = g.key
		c := d.count(g.key)
		c.n, c.u = g.n, g.u
	}
	last = 0
	for i := range r.Len() {
		h := readHeld(r)
		if h.key <= last || i >= maxHeld {
			r.Fail()
		}
		if r.Err != nil {
			return
		}
		last = h.key
		d.addHeld(h.key, &h)
	}
	if d.bits, d.steps = r.Uvarint(), r.Uvarint(); d.bits > 1<<50 || d.steps > 1<<40 || d.bits > d.steps*seqMost {
		r.Fail()
	}
	for s := range d.by {
		for j := range d.by[s] {
			d.by[s][j].Decode(r)
		}
	}
	d.session.Decode(r)
	d.called.Decode(r)
	if d.expected = r.Uvarint(); d.expected > 1<<60 {
		r.Fail()
	}
	for i := range r.Len() {
		s := sample{r.Uint64(), bytes.Clone(r.Bytes())}
		if i >= maxSamples || len(s.body) > sampleBytes || i > 0 && compareSamples(d.samples[i-1], s) > 0 {
			r.Fail()
		}
		if r.Err != nil {
			return
		}
		d.samples = append(d.samples, s)
	}
}

func (h *held) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, h.key)
	b = binary.AppendUvarint(b, uint64(h.n))
	b = binary.AppendUvarint(b, uint64(h.u))
	b = binary.BigEndian.AppendUint32(b, h.prev)
	b = binary.BigEndian.AppendUint32(b, h.symbol)
	b = binary.BigEndian.AppendUint64(b, h.agents)
	flags := byte(0)
	if h.sink {
		flags |= 1
	}
	if h.asked {
		flags |= 2
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(h.most))
	b = binary.AppendVarint(b, h.first)
	b = binary.AppendVarint(b, h.last)
	return binary.AppendUvarint(b, uint64(h.days))
}

func readHeld(r *wire.Reader) (h held) {
	h.key = r.Uint64()
	h.n, h.u = r.Uvarint32(), r.Uvarint32()
	h.prev, h.symbol = r.Uint32(), r.Uint32()
	h.agents = r.Uint64()
	flags := r.Byte()
	h.sink, h.asked = flags&1 != 0, flags&2 != 0
	h.most = r.Uvarint32()
	h.first, h.last = r.Varint(), r.Varint()
	h.days = r.Uvarint32()
	if flags > 3 || uint32(h.key) == beginSymbol || h.n == 0 || h.symbol == beginSymbol {
		r.Fail()
	}
	return h
}

// AgentDay remembers which n-grams of an agent were counted today: a Bloom filter that errs towards
// "already counted", so that support is never too much. Its bits are salted by the agent, else
// agents alike would lose the same n-grams. The zero value is an agent of whom nothing was counted.
type AgentDay struct {
	day   int32
	used  uint16
	small uint64      // until they are many
	big   *[32]uint64 //
}

// smallest is how many n-grams the small filter takes: those of a session of one call and its end,
// of perStep each, about.
const (
	smallest = 16
	perStep  = 8
)

// Begin readies it for n more n-grams on a day.
func (a *AgentDay) Begin(day int64, n int) {
	if a.day != int32(day) {
		a.day, a.used, a.small = int32(day), 0, 0
		if a.big != nil {
			clear(a.big[:])
		}
	}
	if n += int(a.used); n > smallest && a.big == nil {
		// What is in the small filter is in every word of the big one: it never forgets.
		a.big = new([32]uint64)
		for i := range a.big {
			a.big[i] = a.small
		}
	}
	a.used = uint16(min(n, math.MaxUint16))
}

// First tells whether the n-gram comes for the first time today from the agent, whose hash is
// given, and notes it. Begin must have made room.
func (a *AgentDay) First(agent, key uint64) bool {
	h := mix(key + agent*0x9e3779b97f4a7c15)
	i, j := &a.small, &a.small
	if a.big != nil {
		i, j = &a.big[h>>20&31], &a.big[h>>28&31]
	}
	x, y := uint64(1)<<(h>>58), uint64(1)<<(h>>48&63)
	first := *i&x == 0 || *j&y == 0
	*i |= x
	*j |= y
	return first
}

// Append encodes it.
func (a *AgentDay) Append(b []byte) []byte {
	if a.used == 0 && a.big == nil {
		return b
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(a.day))
	b = binary.LittleEndian.AppendUint16(b, a.used)
	b = binary.LittleEndian.AppendUint64(b, a.small)
	if a.big != nil {
		for _, w := range a.big {
			b = binary.LittleEndian.AppendUint64(b, w)
		}
	}
	return b
}

// Decode reads what Append wrote, all that is left of the reader's.
func (a *AgentDay) Decode(r *wire.Reader) {
	*a = AgentDay{}
	if len(r.B) == 0 {
		return
	}
	if len(r.B) != 14 && len(r.B) != 14+256 {
		r.Fail()
		return
	}
	a.day = int32(binary.LittleEndian.Uint32(r.B))
	a.used = binary.LittleEndian.Uint16(r.B[4:])
	a.small = binary.LittleEndian.Uint64(r.B[6:])
	if r.B = r.B[14:]; len(r.B) > 0 {
		a.big = new([32]uint64)
		for i := range a.big {
			a.big[i] = binary.LittleEndian.Uint64(r.B[8*i:])
		}
		r.B = r.B[256:]
	}
}
