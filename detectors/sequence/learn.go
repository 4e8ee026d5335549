package sequence

import (
	"cmp"
	"encoding/binary"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/sketch"
)

// Of quarantine (docs/statistics.md, Quarantine).
const (
	heldDays = 14 // without being seen, after which what is held is forgotten
	// activeShare is how many days' agents the decaying sum of agent-days comes to: 1/(1 −
	// 2^(−1/14)).
	activeShare  = 21
	maxDecisions = 1024
)

// decision is what a person said of an item.
type decision struct {
	item uint64
	ok   bool
	day  int64
}

func (w decision) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, w.item)
	ok := byte(0)
	if w.ok {
		ok = 1
	}
	return binary.AppendVarint(append(b, ok), w.day)
}

func readDecision(r *wire.Reader) decision {
	w := decision{item: r.Uint64()}
	ok := r.Byte()
	if ok > 1 {
		r.Fail()
	}
	w.ok, w.day = ok == 1, r.Varint()
	return w
}

// Learn closes a day.
func (m *Model) Learn(of *baselines.Model, day baselines.DeltaPart, terms baselines.Terms) {
	d := day.(*Delta)
	scored := m.ready()
	m.grams = mergeGrams(m.grams, d.grams())
	m.addNames(d.names())
	m.mergeHeld(d.quarantine(), of.Day)
	if terms.Approved {
		m.admit(func(h *held) bool { return h.last == of.Day && m.decided(h) >= 0 })
	} else {
		m.accept(of, terms)
	}
	m.age()
	m.bits = baselines.Decayed(m.bits, baselines.HalfLife14) + d.bits*baselines.Unit
	m.steps = baselines.Decayed(m.steps, baselines.HalfLife14) + d.steps*baselines.Unit
	for s := range m.by {
		for j := range m.by[s] {
			m.by[s][j].Learn(d.by[s][j])
		}
	}
	m.session.Learn(m.referenceSessions(d))
	if !scored && len(d.samples) > 0 {
		m.bootstrap(d.samples)
	}
	m.derive()
}

// maxCredit bounds what quiet days leave for busier ones; creditLevels is how many levels of
// oddness are told apart.
const (
	maxCredit    = 8 * chance
	creditLevels = 4
)

// referenceSessions are the scores of the day's sessions that become references. Of the sessions
// that called somebody it takes as many as do so by chance, and of the odder ones as many as are
// that odd by chance. Without them the tail would be cut off where alerts begin: each next
// threshold would lie lower, and after some weeks twice as many sessions would call as should. With
// all of them, an agent that strays every day would become usual in the end.
func (m *Model) referenceSessions(d *Delta) baselines.Histogram {
	day := slices.Clone(d.session)
	made := d.session.N() + d.called.N()
	if made == 0 || d.expected == 0 {
		return day
	}
	var from [creditLevels + 1]float64 // scores at which the levels begin
	alpha, expected := float64(d.expected)/chance/float64(made), d.expected
	for j := range m.credit {
		from[j] = m.session.Quantile(1 - alpha)
		m.credit[j] = min(m.credit[j]+expected, maxCredit)
		alpha /= 10
		expected /= 10
	}
	from[creditLevels] = math.Inf(1)
	for i, n := range d.called {
		score := (float64(i) + 0.5) * baselines.BinWidth
		for range min(n, maxCredit/chance) {
			level := -1
			for j := 0; j < creditLevels && m.credit[j] >= chance && (j == 0 || score >= from[j]); j++ {
				m.credit[j] -= chance
				level = j
			}
			if level >= 0 {
				day.Add(min(score, from[level+1]), 1)
			}
		}
	}
	return day
}

// mergeGrams adds up two ascending lists.
func mergeGrams(a, b []gram) []gram {
	if len(b) == 0 {
		return a
	}
	out := make([]gram, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].key < b[0].key:
			out, a = append(out, a[0]), a[1:]
		case a[0].key > b[0].key:
			out, b = append(out, b[0]), b[1:]
		default:
			out = append(out, gram{a[0].key, baselines.AddSaturating32(a[0].n, b[0].n),
				baselines.AddSaturating32(a[0].u, b[0].u)})
			a, b = a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// addNames takes new symbols' names.
func (m *Model) addNames(names []Symbol) {
	for _, s := range names {
		if i, ok := slices.BinarySearchFunc(m.symbols, s.ID,
			func(s Symbol, id uint32) int { return cmp.Compare(s.ID, id) }); !ok {
			m.symbols = slices.Insert(m.symbols, i, s)
		}
	}
}

// mergeHeld adds a day's quarantine, and forgets what has not come for long.
func (m *Model) mergeHeld(day []held, today int64) {
	out := make([]held, 0, len(m.held)+len(day))
	for _, h := range m.held {
		for len(day) > 0 && day[0].key < h.key {
			out, day = append(out, heldSince(day[0], today)), day[1:]
		}
		if len(day) > 0 && day[0].key == h.key {
			o := day[0]
			day = day[1:]
			h.n, h.u = baselines.AddSaturating32(h.n, o.n), baselines.AddSaturating32(h.u, o.u)
			h.agents |= o.agents
			h.sink = h.sink || o.sink
			h.most = max(h.most, o.u)
			h.last = today
			h.days++
		}
		if h.last >= today-heldDays {
			out = append(out, h)
		}
	}
	for _, h := range day {
		out = append(out, heldSince(h, today))
	}
	if len(out) > maxHeld {
		slices.SortFunc(out, func(a, b held) int {
			return cmp.Or(cmp.Compare(b.last, a.last), cmp.Compare(b.agentCount(), a.agentCount()),
				cmp.Compare(a.key, b.key))
		})
		out = out[:maxHeld]
		slices.SortFunc(out, func(a, b held) int { return cmp.Compare(a.key, b.key) })
	}
	m.held = out
}

func heldSince(h held, today int64) held {
	h.most, h.first, h.last, h.days, h.asked, h.stamp = h.u, today, today, 1, false, 0
	return h
}

// agentCount is how many agents showed it, by its bitmap, and no fewer than were counted on the
// best day. A full bitmap says nothing.
func (h *held) agentCount() uint64 {
	n := uint64(h.most)
	if taken := bits.OnesCount64(h.agents); taken < 64 {
		n = max(n, uint64(math.Round(sketch.LinearCount(64, float64(taken)))))
	}
	return n
}

// item names what a person decides on: a call that is new, or one call after another.
func item(prev, symbol uint32) uint64 { return uint64(prev)<<32 | uint64(symbol) }

func (m *Model) item(h *held) uint64 {
	for _, s := range [...]uint32{h.symbol, h.prev} {
		if s >= symbolHashes && !m.established(s) {
			return item(newSymbol, s)
		}
	}
	return item(h.prev, h.symbol)
}

// established tells whether the persona has used a call often enough for it to count.
func (m *Model) established(call uint32) bool {
	i, ok := m.at(noContext | uint64(call))
	return ok && m.grams[i].u >= seqFloor
}

// decided is what a person said of an item or of what it is part of: 1 yes, −1 no, 0 nothing.
func (m *Model) decided(h *held) (r int) {
	for _, it := range [...]uint64{item(h.prev, h.symbol), item(newSymbol, h.symbol), item(newSymbol, h.prev)} {
		if i, ok := slices.BinarySearchFunc(m.decisions, it,
			func(w decision, it uint64) int { return cmp.Compare(w.item, it) }); ok {
			if !m.decisions[i].ok {
				return -1
			}
			r = 1
		}
	}
	return r
}

// accept takes out of quarantine what enough agents showed on enough days; what nobody can take
// back waits for a person.
func (m *Model) accept(of *baselines.Model, terms baselines.Terms) {
	active := max(of.Agents, of.AgentDays/activeShare/baselines.Unit)
	need := max(terms.AcceptAgents, (active*terms.AcceptPercent+99)/100)
	enough := func(h *held) bool {
		if active < terms.AcceptAgents { // they can never be so many: days instead
			return uint64(h.days) >= max(terms.AcceptDays, terms.AcceptAgents)
		}
		return h.agentCount() >= need && uint64(h.days) >= terms.AcceptDays
	}
	shifts := map[uint64]*baselines.Shift{}
	tell := func(h *held) {
		it := m.item(h)
		s := shifts[it]
		if s == nil {
			s = m.describe(it)
			shifts[it] = s
		}
		s.Agents = max(s.Agents, int(h.agentCount()))
		s.Days = max(s.Days, int(h.days))
	}
	flush := func(waits bool) {
		for _, it := range slices.Sorted(maps.Keys(shifts)) {
			shifts[it].Waits = waits
			of.Shifts = append(of.Shifts, *shifts[it])
		}
		clear(shifts)
	}
	taken := func(h *held) bool {
		decided := m.decided(h)
		return enough(h) && (decided > 0 || decided == 0 && !h.sink)
	}
	for i := range m.held {
		if h := &m.held[i]; taken(h) {
			tell(h)
		}
	}
	flush(false)
	m.admit(taken)
	for i := range m.held { // after what was taken: that decides what is new about the rest
		if h := &m.held[i]; enough(h) && m.decided(h) == 0 && !h.asked {
			h.asked = true
			tell(h)
		}
	}
	flush(true)
}

// admit moves what is held into the counts.
func (m *Model) admit(which func(*held) bool) {
	var in []gram
	left := m.held[:0:0]
	for i := range m.held {
		if which(&m.held[i]) {
			in = append(in, m.held[i].gram)
			continue
		}
		left = append(left, m.held[i])
	}
	m.grams, m.held = mergeGrams(m.grams, in), left
}

// Waiting are the items that wait for a person's word, or could be given one: all in quarantine
// that came on as many days, from as many agents, as asked for.
func (m *Model) Waiting() (out []baselines.Shift) {
	at := map[uint64]int{}
	for i := range m.held {
		h := &m.held[i]
		if !h.asked || m.decided(h) != 0 {
			continue
		}
		it := m.item(h)
		j, ok := at[it]
		if !ok {
			j = len(out)
			at[it] = j
			out = append(out, *m.describe(it))
			out[j].Waits = true
		}
		out[j].Agents = max(out[j].Agents, int(h.agentCount()))
		out[j].Days = max(out[j].Days, int(h.days))
	}
	slices.SortFunc(out, func(a, b baselines.Shift) int { return strings.Compare(a.Item, b.Item) })
	return out
}

// Approve takes an item into the counts, and what belongs to it later as soon as enough agents show
// it. False: nothing is known of the item.
func (m *Model) Approve(name string, day int64) bool { return m.Decide(name, true, day) }

// Reject keeps an item in quarantine for good.
func (m *Model) Reject(name string, day int64) bool { return m.Decide(name, false, day) }

// Decide takes a person's decision about an item; see Approve and Reject.
func (m *Model) Decide(name string, ok bool, day int64) bool {
	it, valid := parseItem(name)
	if !valid || !slices.ContainsFunc(m.held, func(h held) bool { return m.item(&h) == it }) {
		return false
	}
	mine := map[uint64]bool{}
	for i := range m.held {
		if m.item(&m.held[i]) == it {
			mine[m.held[i].key] = true
		}
	}
	w := decision{it, ok, day}
	if i, found := slices.BinarySearchFunc(m.decisions, it,
		func(w decision, it uint64) int { return cmp.Compare(w.item, it) }); found {
		m.decisions[i] = w
	} else {
		m.decisions = slices.Insert(m.decisions, i, w)
	}
	if len(m.decisions) > maxDecisions {
		oldest := 0
		for i := range m.decisions {
			if m.decisions[i].day < m.decisions[oldest].day {
				oldest = i
			}
		}
		m.decisions = slices.Delete(m.decisions, oldest, oldest+1)
	}
	if ok {
		m.admit(func(h *held) bool { return mine[h.key] })
		m.derive()
	}
	return true
}

const itemPrefix = "seq-"

func itemName(it uint64) string {
	s := strconv.FormatUint(it, 16)
	return itemPrefix + strings.Repeat("0", 16-len(s)) + s
}

func parseItem(name string) (uint64, bool) {
	hex, ok := strings.CutPrefix(name, itemPrefix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	it, err := strconv.ParseUint(hex, 16, 64)
	return it, err == nil
}

// describe is what people read of an item.
func (m *Model) describe(it uint64) *baselines.Shift {
	say := func(id uint32) string {
		if s := m.Symbol(id); s != nil {
			return s.String()
		}
		return "a call that was forgotten"
	}
	what := say(uint32(it))
	switch prev := uint32(it >> 32); {
	case prev == newSymbol:
		return &baselines.Shift{What: what, Kind: "call", Item: itemName(it)}
	case prev >= outcomeSymbols && prev < symbolHashes:
		return &baselines.Shift{What: what + " (" + event.Outcome(prev-outcomeSymbols).String() + ")", Kind: "outcome",
			Item: itemName(it)}
	default:
		return &baselines.Shift{What: what + " after " + say(prev), Kind: "order", Item: itemName(it)}
	}
}

// age keeps the model within its bounds: what lacks support goes first, then all counts halve.
// Names go with what they name.
func (m *Model) age() {
	entries := func() int {
		n := len(m.grams)
		for i := range m.grams {
			if i == 0 || m.grams[i].key>>32 != m.grams[i-1].key>>32 {
				n++
			}
		}
		return n
	}
	for least := uint32(2); entries() > maxGrams; least++ {
		if least <= seqFloor {
			m.grams = slices.DeleteFunc(m.grams, func(g gram) bool { return g.u < least })
			continue
		}
		for i := range m.grams {
			g := &m.grams[i]
			g.n /= 2
			if g.u >= 2*seqFloor {
				g.u /= 2
			}
			g.u = min(g.u, g.n)
		}
		m.grams = slices.DeleteFunc(m.grams, func(g gram) bool { return g.n == 0 })
	}
	used := map[uint32]uint32{}
	for i, _ := m.at(noContext); i < len(m.grams) && m.grams[i].key&upper == noContext; i++ {
		used[uint32(m.grams[i].key)] = m.grams[i].support()
	}
	for i := range m.held {
		for _, s := range [...]uint32{m.held[i].prev, m.held[i].symbol} {
			if _, ok := used[s]; !ok {
				used[s] = 0
			}
		}
	}
	m.symbols = slices.DeleteFunc(m.symbols, func(s Symbol) bool { _, ok := used[s.ID]; return !ok })
	if len(m.symbols) > maxSymbols {
		slices.SortFunc(m.symbols,
			func(a, b Symbol) int { return cmp.Or(cmp.Compare(used[b.ID], used[a.ID]), cmp.Compare(a.ID, b.ID)) })
		gone := map[uint32]bool{}
		for _, s := range m.symbols[maxSymbols:] {
			gone[s.ID] = true
		}
		m.symbols = m.symbols[:maxSymbols]
		slices.SortFunc(m.symbols, func(a, b Symbol) int { return cmp.Compare(a.ID, b.ID) })
		m.grams = slices.DeleteFunc(m.grams, func(g gram) bool { return gone[uint32(g.key)] })
		m.held = slices.DeleteFunc(m.held, func(h held) bool { return gone[h.prev] || gone[h.symbol] })
	}
}

// folds is into how many parts the first day's sessions are cut.
const folds = 8

// bootstrap computes the first references from the first day itself: each session is scored by a
// model that has not seen it, nor the eighth of the day that it lies in. From the second day on,
// references are made of sessions scored before they were learned.
func (m *Model) bootstrap(samples []sample) {
	var chains []Chain
	for _, s := range samples {
		r := wire.Reader{B: s.body}
		c := Chain{}
		if c.kinds, c.steps = readSteps(&r); r.Err == nil && !slices.Contains(c.steps, notKept) {
			chains = append(chains, c)
		}
	}
	without := make([]*Model, folds)
	for f := range without {
		var d Delta
		for i := f; i < len(chains); i += folds {
			d.stamp++
			var w history
			for _, k := range chains[i].steps {
				s := chains[i].kinds[k]
				cs := w.contexts(s)
				for j, c := range cs {
					if c == 0 {
						continue
					}
					if e := d.count(cs.gram(j, s)); e != nil && e.stamp != d.stamp {
						e.stamp = d.stamp
						e.n++
					}
				}
				w.push(s)
			}
		}
		without[f] = &Model{grams: subtractGrams(m.grams, d.grams()), symbols: m.symbols, steps: 1}
		without[f].derive()
	}
	run := func(each func(m *Model, c *Chain)) {
		for i := range chains {
			var c Chain
			for _, k := range chains[i].steps {
				c.Push(without[i%folds], chains[i].kinds[k])
			}
			each(without[i%folds], &c)
		}
	}
	var d Delta
	run(func(_ *Model, c *Chain) {
		d.bits += uint64(c.sum)
		d.steps += uint64(c.scored)
	})
	if d.steps == 0 {
		return
	}
	for _, w := range without {
		w.mean = int32(d.bits / d.steps)
	}
	var first Delta
	run(first.addReference)
	for s := range m.by {
		for j := range m.by[s] {
			m.by[s][j] = baselines.Calibrator{}
			m.by[s][j].Learn(first.by[s][j])
		}
	}
	m.bits, m.steps = d.bits*baselines.Unit, d.steps*baselines.Unit
	m.calibrate()
	for _, w := range without {
		w.terms = m.terms
	}
	var second Delta
	run(second.addReference)
	m.session = baselines.Calibrator{}
	m.session.Learn(second.session)
}

// subtractGrams takes sessions away again; agent-days in proportion, since nobody knows whose they
// were.
func subtractGrams(a, b []gram) []gram {
	out := make([]gram, 0, len(a))
	for _, g := range a {
		for len(b) > 0 && b[0].key < g.key {
			b = b[1:]
		}
		if len(b) > 0 && b[0].key == g.key {
			n := g.n - min(b[0].n, g.n)
			g.u = uint32((uint64(g.u)*uint64(n) + uint64(g.n) - 1) / uint64(g.n))
			g.n = n
		}
		if g.n > 0 {
			out = append(out, g)
		}
	}
	return out
}
