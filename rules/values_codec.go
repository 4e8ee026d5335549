package rules

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/rules/expression"
)

// hashValue is the hash by which values are distinguished; 0 and -0 have one.
func hashValue(v expression.Value) uint64 {
	if v.N == 0 {
		v.N = 0
	}
	return xxhash.Sum64String(v.S) ^ math.Float64bits(v.N)*0x9e3779b97f4a7c15
}

// appendValues encodes values without their types: each as a text, mostly empty, and a number.
func appendValues(b []byte, vs []expression.Value) []byte {
	b = binary.AppendUvarint(b, uint64(len(vs)))
	for _, v := range vs {
		b = wire.AppendString(b, v.S)
		b = binary.AppendUvarint(b, bitsOf(v.N))
	}
	return b
}

// bitsOf reverses the bytes of a number, so that the varint of a small whole number is short.
func bitsOf(n float64) uint64 { return bits.ReverseBytes64(math.Float64bits(n)) }

// numberOfBits reverses bitsOf.
func numberOfBits(r uint64) float64 { return math.Float64frombits(bits.ReverseBytes64(r)) }

// readValues reads what appendValues wrote, of at most so many values.
func readValues(r *wire.Reader, most int) []expression.Value {
	n := r.Len()
	if n > most {
		r.Fail()
		return nil
	}
	if n == 0 {
		return nil
	}
	vs := make([]expression.Value, 0, n)
	for range n {
		vs = append(vs, expression.Value{S: r.String(), N: numberOfBits(r.Uvarint())})
	}
	return vs
}

// Append encodes what was taken, for a stage elsewhere.
func (t *Taken) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(t.Mask))
	for i := range t.Rows {
		if t.Mask&(1<<i) != 0 {
			b = appendValues(b, t.Rows[i])
		}
	}
	return b
}

// ReadTaken reads what Append wrote; false: it does not fit the rule.
func ReadTaken(r *wire.Reader, rule *Rule) (Taken, bool) {
	parts := rule.Parts()
	t := Taken{Mask: uint32(r.Uvarint()), Rows: make([][]expression.Value, len(parts))}
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
