package rules

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
)

func hashValue(v Value) uint64 {
	return xxhash.Sum64String(v.S) ^ math.Float64bits(v.N)*0x9e3779b97f4a7c15
}

// appendValues and readValues write what is remembered of events without its types: a text's length tells, and of a number its bits.
func appendValues(b []byte, vs []Value) []byte {
	b = binary.AppendUvarint(b, uint64(len(vs)))
	for _, v := range vs {
		b = baselines.AppendString(b, v.S)
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

func readValues(r *baselines.Reader, most int) []Value {
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
func ReadTaken(r *baselines.Reader, rule *Rule) (Taken, bool) {
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
		b = baselines.AppendRef(b, r)
	}
	return b
}

func readRefs(r *baselines.Reader) (refs []event.Ref) {
	for range min(r.Len(), 6) {
		refs = append(refs, baselines.ReadRef(r))
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
	if slices.ContainsFunc(k.runs, func(x run) bool { return len(x.samples) > 0 }) {
		flags |= 4
	}
	b = appendSamples(append(b, flags), k.samples)
	b = binary.AppendUvarint(b, uint64(len(k.runs)))
	for i := range k.runs {
		x := &k.runs[i]
		b = append(b, byte(x.stage))
		for _, v := range []int64{x.start, x.deadline, int64(x.count)} {
			b = binary.AppendVarint(b, v)
		}
		b = appendRefs(appendValues(b, x.caps), x.refs)
		b = binary.AppendUvarint(b, uint64(len(x.seen)))
		for _, h := range x.seen {
			b = binary.BigEndian.AppendUint64(b, h)
		}
		if flags&4 != 0 {
			b = appendSamples(b, x.samples)
		}
	}
	return b
}

func appendSamples(b []byte, list []sample) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for i := range list {
		b = appendValues(baselines.AppendRef(b, list[i].ref), list[i].row)
	}
	return b
}

func readSamples(r *baselines.Reader, most int) (list []sample) {
	for range min(r.Len(), most) {
		list = append(list, sample{baselines.ReadRef(r), readValues(r, rowRoom)})
		if r.Err != nil {
			return nil
		}
	}
	return list
}

// Decode reads what Append wrote.
func (k *State) Decode(r *baselines.Reader) {
	*k = State{Rule: r.Uint64(), Sub: r.Uint64(), Newest: r.Varint()}
	flags := r.Byte()
	k.holds, k.Dropped = flags&1 != 0, flags&2 != 0
	if k.samples = readSamples(r, MaxSamples); r.Err != nil {
		return
	}
	for range min(r.Len(), (MaxSteps+1)*MaxRuns) {
		x := run{stage: int(r.Byte()), start: r.Varint(), deadline: r.Varint(), count: int(r.Varint()), caps: readValues(r, MaxCaptures), refs: readRefs(r)}
		for range min(r.Len(), 2*MaxTimes+2) {
			x.seen = append(x.seen, r.Uint64())
		}
		if flags&4 != 0 {
			x.samples = readSamples(r, MaxTimes)
		}
		k.runs = append(k.runs, x)
		if r.Err != nil {
			return
		}
	}
}

// Fits tells whether the state is one that the rule may have: it comes from disk.
func (k *State) Fits(r *Rule) bool {
	if k.Rule != r.Hash {
		return false
	}
	for i := range k.samples {
		if len(r.Steps) == 0 || len(k.samples[i].row) != len(r.Steps[0].row) {
			return false
		}
	}
	for i := range k.runs {
		x := &k.runs[i]
		if x.stage > len(r.Steps) || x.stage == len(r.Steps) && r.Absent == nil || len(x.caps) > r.captures {
			return false
		}
		for j := range x.samples {
			if x.stage == len(r.Steps) || len(x.samples[j].row) != len(r.Steps[x.stage].row) {
				return false
			}
		}
	}
	return true
}

// Empty tells whether nothing worth keeping is remembered at a time.
func (k *State) Empty(r *Rule, now int64) bool {
	for i := range k.runs {
		if x := &k.runs[i]; x.stage == len(r.Steps) || now-x.start <= r.Within {
			return false
		}
	}
	return len(k.samples) == 0 || k.samples[len(k.samples)-1].ref.Time <= now-r.Window
}
