package baselines

import (
	"encoding/binary"
	"fmt"

	"github.com/wayward-sec/wayward/event/wire"
)

// PartKind says what one detector learns: a part of each Delta and one of each Model.
type PartKind struct {
	// Slot is the detector's slot: it names the parts in state, so it is never changed or reused.
	Slot  byte
	Delta func() DeltaPart // an empty one
	Model func() ModelPart // an empty one
	// Unframed parts are encoded without slot and length, as all were before others could be added.
	// Their order is that of their slots.
	Unframed bool
}

// DeltaPart is what the events of one day add to what a detector learns. Parts merge in any order.
type DeltaPart interface {
	// Merge adds another part of the same kind, which is not kept.
	Merge(o DeltaPart)
	// MergeWide adds what a persona's part adds to that of the tenant as a whole, from which young
	// personas borrow.
	MergeWide(o DeltaPart)
	// Append encodes the part: the same content gives the same bytes.
	Append(b []byte) []byte
	// Decode reads what Append wrote, into memory of its own.
	Decode(r *wire.Reader)
}

// ModelPart is what one detector has learned of a persona. It never changes once the model is made.
type ModelPart interface {
	// Learn closes the day m.Day. What is given is not kept.
	Learn(m *Model, d DeltaPart, terms Terms)
	// Decide takes a person's decision about an item in quarantine; false: no item has that name.
	Decide(item string, accept bool, day int64) bool
	Append(b []byte) []byte
	Decode(r *wire.Reader)
}

// Slots bounds the slots of parts; slot 0 is not used.
const Slots = 12

// kinds are what is learned, in the order of slots.
var kinds []PartKind

// Register says which parts deltas and models have. It replaces what was registered before, and is
// called before the first delta or model is made.
func Register(list []PartKind) {
	for i, k := range list {
		if k.Slot == 0 || k.Slot >= Slots || i > 0 && k.Slot <= list[i-1].Slot {
			panic(fmt.Sprintf("baselines: slot %d is out of range or out of order", k.Slot))
		}
	}
	kinds = list
}

// parts are the parts of a Delta or a Model by slot; nil: empty.
type parts[T part] [Slots]T

type part interface {
	comparable
	Append(b []byte) []byte
	Decode(r *wire.Reader)
}

// Part returns the part of a slot, or nil.
func (m *Model) Part(slot byte) ModelPart { return m.parts[slot] }

// SetPart puts a part in its slot.
func (m *Model) SetPart(slot byte, p ModelPart) { m.parts[slot] = p }

// Part returns the part of a slot, or nil.
func (d *Delta) Part(slot byte) DeltaPart { return d.parts[slot] }

// Ensure returns the part of a slot, and makes an empty one if there is none.
func (d *Delta) Ensure(slot byte) DeltaPart {
	if d.parts[slot] == nil {
		d.parts[slot] = kindOf(slot).Delta()
	}
	return d.parts[slot]
}

// SetPart puts a part in its slot.
func (d *Delta) SetPart(slot byte, p DeltaPart) { d.parts[slot] = p }

func kindOf(slot byte) *PartKind {
	for i := range kinds {
		if kinds[i].Slot == slot {
			return &kinds[i]
		}
	}
	panic(fmt.Sprintf("baselines: no detector learns in slot %d; is it registered?", slot))
}

// Formats of an encoded delta or model. The first has unframed parts alone and is written as long
// as there are no others; the second has framed parts at its end.
const (
	unframedFormat = 2
	framedFormat   = 3
)

func (l *parts[T]) format() byte {
	var none T
	for i := range kinds {
		if k := &kinds[i]; !k.Unframed && l[k.Slot] != none {
			return framedFormat
		}
	}
	return unframedFormat
}

// readFormat tells whether framed parts follow at the end.
func readFormat(r *wire.Reader) (framed bool) {
	f := r.Byte()
	if f != unframedFormat && f != framedFormat && r.Err == nil {
		r.Fail()
	}
	return f == framedFormat
}

// appendUnframed encodes the unframed parts; one that is nil is written as an empty one.
func (l *parts[T]) appendUnframed(b []byte, empty func(*PartKind) T) []byte {
	var none T
	for i := range kinds {
		k := &kinds[i]
		if !k.Unframed {
			continue
		}
		p := l[k.Slot]
		if p == none {
			p = empty(k)
		}
		b = p.Append(b)
	}
	return b
}

func (l *parts[T]) readUnframed(r *wire.Reader, empty func(*PartKind) T) {
	*l = parts[T]{}
	for i := range kinds {
		if k := &kinds[i]; k.Unframed {
			l[k.Slot] = empty(k)
			l[k.Slot].Decode(r)
		}
	}
}

// appendFramed encodes the other parts, each as slot, length and bytes, and a 0 at the end.
func (l *parts[T]) appendFramed(b []byte) []byte {
	if l.format() == unframedFormat {
		return b
	}
	var none T
	for i := range kinds {
		k := &kinds[i]
		if k.Unframed || l[k.Slot] == none {
			continue
		}
		b = append(b, k.Slot, 0, 0, 0, 0)
		at := len(b)
		b = l[k.Slot].Append(b)
		binary.BigEndian.PutUint32(b[at-4:], uint32(len(b)-at))
	}
	return append(b, 0)
}

// readFramed reads what appendFramed wrote. A part that nobody registered is left out.
func (l *parts[T]) readFramed(r *wire.Reader, empty func(*PartKind) T) {
	for slot := r.Byte(); slot != 0 && r.Err == nil; slot = r.Byte() {
		if len(r.B) < 4 || uint64(binary.BigEndian.Uint32(r.B)) > uint64(len(r.B)-4) {
			r.Fail()
			return
		}
		n := binary.BigEndian.Uint32(r.B)
		own := wire.Reader{B: r.B[4 : 4+n]}
		r.B = r.B[4+n:]
		for i := range kinds {
			if k := &kinds[i]; k.Slot == slot && !k.Unframed {
				l[slot] = empty(k)
				l[slot].Decode(&own)
			}
		}
		if own.Err != nil && r.Err == nil {
			r.Err = own.Err
		}
	}
}

func emptyDelta(k *PartKind) DeltaPart { return k.Delta() }
func emptyModel(k *PartKind) ModelPart { return k.Model() }

func (d *Delta) mergeParts(o *Delta, merge func(into, from DeltaPart)) {
	for i := range kinds {
		if slot := kinds[i].Slot; o.parts[slot] != nil {
			merge(d.Ensure(slot), o.parts[slot])
		}
	}
}

// learnParts closes a day for all parts, each of which sees what the day added to it.
func (m *Model) learnParts(d *Delta, terms Terms) {
	for i := range kinds {
		k := &kinds[i]
		p, day := m.parts[k.Slot], d.parts[k.Slot]
		if day == nil {
			day = k.Delta()
		}
		if p == nil {
			p = k.Model()
			m.parts[k.Slot] = p
		}
		p.Learn(m, day, terms)
	}
}
