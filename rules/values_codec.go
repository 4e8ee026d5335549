package rules

import (
	"encoding/binary"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/rules/expression"
)

func hashValue(v expression.Value) uint64 {
	if v.N == 0 {
		v.N = 0 // that below zero, too
	}
	return xxhash.Sum64String(v.S) ^ math.Float64bits(v.N)*0x9e3779b97f4a7c15
}

// appendValues and readValues write what is remembered of events without its types: a text's length
// tells, and of a number its bits.
func appendValues(b []byte, vs []expression.Value) []byte {
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
