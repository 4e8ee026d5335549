package sequence

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// Append encodes the model.
func (m *Model) Append(b []byte) []byte {
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
	b = binary.AppendUvarint(b, uint64(len(m.decisions)))
	for _, w := range m.decisions {
		b = w.append(b)
	}
	return b
}

// Decode reads what Append wrote.
func (m *Model) Decode(r *wire.Reader) {
	*m = Model{symbols: readSymbols(r, maxSymbols)}
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
		w := readDecision(r)
		if k := len(m.decisions); k > 0 && m.decisions[k-1].item >= w.item || k >= maxDecisions {
			r.Fail()
		}
		if r.Err != nil {
			return
		}
		m.decisions = append(m.decisions, w)
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
		if k := len(out); k > 0 && out[k-1].ID >= s.ID ||
			len(s.Tool) > baselines.MaxName || len(s.Resource) > baselines.MaxName ||
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

// Append encodes the delta.
func (d *Delta) Append(b []byte) []byte {
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
func (d *Delta) Decode(r *wire.Reader) {
	*d = Delta{}
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
