package rules

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/sketch"
)

func hashValue(v Value) uint64 {
	if v.N == 0 {
		v.N = 0 // that below zero, too
	}
	return xxhash.Sum64String(v.S) ^ math.Float64bits(v.N)*0x9e3779b97f4a7c15
}

// appendValues and readValues write what is remembered of events without its types: a text's length
// tells, and of a number its bits.
func appendValues(b []byte, vs []Value) []byte {
	b = binary.AppendUvarint(b, uint64(len(vs)))
	for _, v := range vs {
		b = wire.AppendString(b, v.S)
		b = binary.AppendUvarint(b, bitsOf(v.N))
	}
	return b
}

// bitsOf turns the bits of a number round, so that small whole numbers are short.
func bitsOf(n float64) uint64 {
	b, r := math.Float64bits(n), uint64(0)
	for range 8 {
		r, b = r<<8|b&0xff, b>>8
	}
	return r
}

func numberOfBits(r uint64) float64 {
	b := uint64(0)
	for range 8 {
		b, r = b<<8|r&0xff, r>>8
	}
	return math.Float64frombits(b)
}

func readValues(r *wire.Reader, most int) []Value {
	n := r.Len()
	if n > most {
		r.Fail()
		return nil
	}
	if n == 0 {
		return nil
	}
	vs := make([]Value, 0, n)
	for range n {
		vs = append(vs, Value{S: r.String(), N: numberOfBits(r.Uvarint())})
	}
	return vs
}

// Append encodes what was taken, for the relation stage.
func (t *Taken) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(t.Mask))
	for i := range t.Rows {
		if t.Mask&(1<<i) != 0 {
			b = appendValues(b, t.Rows[i])
		}
	}
	return b
}

// ReadTaken reads what Append wrote, for a rule; false: it does not fit the rule.
func ReadTaken(r *wire.Reader, rule *Rule) (Taken, bool) {
	parts := rule.Parts()
	t := Taken{Mask: uint32(r.Uvarint()), Rows: make([][]Value, len(parts))}
	for i, p := range parts {
		if t.Mask&(1<<i) != 0 {
			if t.Rows[i] = readValues(r, rowRoom); len(t.Rows[i]) != len(p.row) {
				return t, false
			}
		}
	}
	return t, r.Err == nil && t.Mask>>len(parts) == 0
}

func appendRefs(b []byte, refs []event.Ref) []byte {
	b = binary.AppendUvarint(b, uint64(len(refs)))
	for _, r := range refs {
		b = wire.AppendRef(b, r)
	}
	return b
}

func readRefs(r *wire.Reader) (refs []event.Ref) {
	for range min(r.Len(), 6) {
		refs = append(refs, wire.ReadRef(r))
	}
	return refs
}

// Append encodes the state.
func (k *State) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, k.Rule), k.Sub)
	b = binary.AppendVarint(b, k.Newest)
	flags := byte(0)
	if k.holds {
		flags |= 1
	}
	if k.Dropped {
		flags |= 2
	}
	if slices.ContainsFunc(k.runs, func(x run) bool { return x.win != nil }) {
		flags |= 4
	}
	b = k.win.append(append(b, flags))
	b = binary.AppendUvarint(b, uint64(len(k.runs)))
	for i := range k.runs {
		x := &k.runs[i]
		b = append(b, byte(x.stage))
		b = binary.AppendVarint(b, x.start)
		b = binary.AppendVarint(b, x.newest-x.start)
		b = binary.AppendUvarint(b, uint64(x.count))
		for _, t := range x.done {
			b = binary.AppendVarint(b, t-x.start)
		}
		b = appendRefs(appendValues(b, x.caps), x.refs)
		b = binary.AppendUvarint(b, uint64(len(x.seen)))
		for _, h := range x.seen {
			b = binary.BigEndian.AppendUint64(b, h)
		}
		if flags&4 != 0 {
			b = x.win.append(b)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(k.open)-k.answered))
	at := int64(0)
	for _, w := range k.open {
		if w.answered {
			continue
		}
		b = binary.AppendVarint(binary.AppendVarint(b, w.until-at), w.until-w.since)
		b = appendRefs(appendValues(b, w.caps), w.refs)
		at = w.until
	}
	return b
}

// Forms of an encoded window.
const (
	noWindow = iota
	wholeWindow
	foldedWindow
	largeWindow // with numbers of more than 64 bits
)

// append encodes the window; nil is one, too.
func (w *window) append(b []byte) []byte {
	if w == nil {
		return append(b, noWindow)
	}
	form := byte(wholeWindow)
	if w.folded {
		form = foldedWindow
		for i := range w.sums {
			if _, ok := w.sums[i].short(); !ok {
				form = largeWindow
				break
			}
		}
	}
	b = binary.AppendUvarint(append(b, form), uint64(len(w.samples)))
	for i := range w.samples {
		b = appendValues(wire.AppendRef(b, w.samples[i].ref), w.samples[i].row)
	}
	if !w.folded {
		return b
	}
	b = binary.AppendUvarint(append(b, w.tight, byte(len(w.seen)), byte(len(w.peaks)), byte(len(w.hists))),
		uint64(w.width))
	b = binary.AppendUvarint(b, uint64(len(w.steps)))
	k, at := 0, int64(0)
	if len(w.steps) > 0 {
		k = len(w.sums) / len(w.steps)
	}
	b = append(b, byte(k))
	for i := range w.steps {
		b = binary.AppendUvarint(binary.AppendVarint(b, w.steps[i].at-at), uint64(w.steps[i].n))
		at = w.steps[i].at
		for _, v := range w.sums[i*k : (i+1)*k] {
			if form == largeWindow {
				b = binary.AppendVarint(b, v.hi)
			}
			b = binary.AppendVarint(b, int64(v.lo))
		}
	}
	b = appendRefs(b, w.early)
	for _, s := range w.seen {
		b = s.Append(b)
	}
	for _, list := range w.peaks {
		at = 0
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, x := range list {
			b = binary.AppendUvarint(binary.AppendVarint(b, x.at-at), bitsOf(x.v))
			at = x.at
		}
	}
	for _, h := range w.hists {
		b = h.Append(b)
	}
	return b
}

// readWindow reads what append wrote: a window that holds no more events one by one than it may.
func readWindow(r *wire.Reader, keep int) *window {
	form := r.Byte()
	if form == noWindow {
		return nil
	}
	w := &window{folded: form >= foldedWindow}
	n := r.Len()
	if n > keep || form > largeWindow {
		r.Fail()
	}
	for range n {
		w.samples = append(w.samples, sample{wire.ReadRef(r), readValues(r, rowRoom)})
		if i := len(w.samples); r.Err != nil || i > 1 && w.samples[i-2].ref.Time > w.samples[i-1].ref.Time {
			r.Fail()
			return nil
		}
	}
	if !w.folded {
		return w
	}
	w.tight = r.Byte()
	seen, peaks, hists := r.Byte(), r.Byte(), r.Byte()
	w.width = int64(r.Uvarint())
	n = r.Len()
	k := int(r.Byte())
	if w.tight > maxTight || w.width <= 0 || w.width&(w.width-1) != 0 || n == 0 || n*(k+1) > MaxNumbers ||
		max(k, int(seen), int(peaks), int(hists)) > maxLets {
		r.Fail()
		return nil
	}
	at := int64(0)
	ascending := func(first bool, least int64) {
		d := r.Varint()
		if at += d; !first && d < least {
			r.Fail()
		}
	}
	for i := range n {
		ascending(i == 0, 1)
		w.steps = append(w.steps, step{at, uint32(r.Uvarint())})
		for range k {
			v := wide{}
			if form == largeWindow {
				v.hi = r.Varint()
			}
			x := r.Varint()
			if v.lo = uint64(x); form != largeWindow {
				v.hi = x >> 63
			}
			w.sums = append(w.sums, v)
		}
		if r.Err != nil {
			return nil
		}
	}
	for range min(r.Len(), keptEarly) {
		w.early = append(w.early, wire.ReadRef(r))
	}
	for range seen {
		if w.seen = append(w.seen, sketch.ReadSample(r, MaxNumbers)); r.Err != nil {
			return nil
		}
	}
	for range peaks {
		at = 0
		var list []peak
		for i := range min(r.Len(), MaxNumbers) {
			ascending(i == 0, 1)
			if list = append(list, peak{at, numberOfBits(r.Uvarint())}); r.Err != nil || i > 0 &&
				!(list[i-1].v > list[i].v) {
				r.Fail()
				return nil
			}
		}
		w.peaks = append(w.peaks, list)
	}
	for range hists {
		if w.hists = append(w.hists, sketch.ReadQuantiles(r, MaxNumbers)); r.Err != nil {
			return nil
		}
	}
	return w
}

// fits tells whether the window is one that lets may have over rows of a length.
func (w *window) fits(lets []*Let, row int) bool {
	if w == nil {
		return true
	}
	for i := range w.samples {
		if len(w.samples[i].row) != row {
			return false
		}
	}
	var of [histKind + 1]int
	if len(lets) > 0 {
		of = lets[0].shape
	}
	return !w.folded || len(w.sums) == len(w.steps)*of[sumKind] && len(w.seen) == of[seenKind] &&
		len(w.peaks) == of[peakKind] && len(w.hists) == of[histKind]
}

// Decode reads what Append wrote.
func (k *State) Decode(r *wire.Reader) {
	*k = State{Rule: r.Uint64(), Sub: r.Uint64(), Newest: r.Varint()}
	flags := r.Byte()
	k.holds, k.Dropped = flags&1 != 0, flags&2 != 0
	if k.win = readWindow(r, MaxSamples); r.Err != nil {
		return
	}
	for range min(r.Len(), MaxSteps*MaxRuns) {
		x := run{stage: int(r.Byte()), start: r.Varint()}
		x.newest, x.count = x.start+r.Varint(), int(min(r.Uvarint(), math.MaxInt32))
		if x.stage >= MaxSteps {
			r.Fail()
		}
		for range min(x.stage, MaxSteps) {
			x.done = append(x.done, x.start+r.Varint())
		}
		x.caps, x.refs = readValues(r, MaxCaptures), readRefs(r)
		for range min(r.Len(), 2*MaxTimes+2) {
			x.seen = append(x.seen, r.Uint64())
		}
		if flags&4 != 0 {
			x.win = readWindow(r, MaxTimes)
		}
		k.runs = append(k.runs, x)
		if r.Err != nil {
			return
		}
	}
	at := int64(0)
	for range min(r.Len(), MaxOpen) {
		at += r.Varint()
		w := &wait{until: at, since: at - r.Varint(), caps: readValues(r, MaxCaptures), refs: readRefs(r)}
		if n := len(k.open); r.Err != nil || n > 0 && k.open[n-1].until > at || len(w.refs) == 0 {
			r.Fail()
			return
		}
		k.open = append(k.open, w)
		k.weight += w.weight()
	}
}

// Fits tells whether the state is one that the rule may have: it comes from disk.
func (k *State) Fits(r *Rule) bool {
	if k.Rule != r.Hash {
		return false
	}
	if k.win != nil && (len(r.Steps) == 0 || !k.win.fits(r.Lets, len(r.Steps[0].row))) {
		return false
	}
	for i := range k.runs {
		x := &k.runs[i]
		if x.stage >= len(r.Steps) || len(x.caps) != r.capturedBy(x.stage) || x.stage > 0 && len(x.refs) == 0 {
			return false
		}
		if x.win != nil && (!x.win.fits(r.Steps[x.stage].Lets, len(r.Steps[x.stage].row))) {
			return false
		}
	}
	for _, w := range k.open {
		if r.Absent == nil || len(w.caps) != r.capturedBy(len(r.Steps)) {
			return false
		}
	}
	return true
}

// capturedBy is how many things were captured when so many steps are done.
func (r *Rule) capturedBy(steps int) (n int) {
	for _, s := range r.Steps[:steps] {
		for _, c := range s.captures {
			n = max(n, c.slot+1)
		}
	}
	return n
}

// Empty tells whether nothing worth keeping is remembered at a time.
func (k *State) Empty(r *Rule, now int64) bool {
	if len(k.open) > 0 {
		return false
	}
	for i := range k.runs {
		if now-k.runs[i].start <= r.Within {
			return false
		}
	}
	return k.win == nil || k.Newest <= now-r.Window
}
