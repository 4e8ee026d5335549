package rarity

import (
	"cmp"
	"encoding/binary"
	"math"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event/wire"
)

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Append encodes the model.
func (v *Model) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, v.Days)
	b = binary.AppendUvarint(b, v.Total)
	for _, n := range v.Worse {
		b = binary.AppendUvarint(b, n)
	}
	b = binary.AppendVarint(b, v.day)
	for f := range Fields {
		o := &v.Of[f]
		b = binary.AppendUvarint(b, o.Days)
		b = binary.AppendUvarint(b, uint64(o.Recent))
		b = binary.AppendUvarint(b, uint64(o.Last))
		flags := byte(b2i(o.Open)) | byte(b2i(o.prunedDays != nil))<<1
		b = append(b, flags)
		b = binary.AppendUvarint(b, o.prunedSingles)
		if o.prunedDays != nil {
			for _, d := range o.prunedDays {
				b = binary.AppendUvarint(b, uint64(d))
			}
		}
		b = binary.AppendUvarint(b, uint64(len(o.Values)))
		for i := range o.Values {
			b = o.Values[i].append(b, f)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(v.Quarantine)))
	for i := range v.Quarantine {
		q := &v.Quarantine[i]
		b = append(b, byte(q.Field), byte(b2i(q.Sink))|byte(b2i(q.Rejected))<<1|byte(b2i(q.counted))<<2, q.Judged)
		b = q.Value.append(b, q.Field)
		b = binary.BigEndian.AppendUint64(b, q.Agents)
		b = binary.AppendUvarint(b, uint64(q.Most))
		b = binary.AppendUvarint(b, uint64(q.Days))
	}
	return b
}

func (x *Value) append(b []byte, f Field) []byte {
	b = binary.BigEndian.AppendUint64(b, x.Hash)
	b = binary.AppendUvarint(b, uint64(x.Count))
	b = binary.AppendVarint(b, int64(x.First))
	b = binary.AppendVarint(b, int64(x.Last-x.First))
	b = append(b, byte(x.Via))
	switch f {
	case ToolField:
		b = binary.AppendUvarint(b, uint64(x.Classes))
	case DefinitionField:
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, x.Of), x.Form)
	}
	if fieldDefs[f].named {
		b = wire.AppendString(b, x.Name)
	}
	return b
}

// Decode reads what Append wrote and derives the rest.
func (v *Model) Decode(r *wire.Reader) {
	*v = Model{Days: readCount(r), Total: readCount(r)}
	for c := range v.Worse {
		v.Worse[c] = readCount(r)
	}
	day := r.Varint()
	for f := range Fields {
		o := &v.Of[f]
		o.Days, o.Recent, o.Last = readCount(r), r.Uvarint32(), r.Uvarint32()
		flags := r.Byte()
		if flags > 3 {
			r.Fail()
		}
		o.Open, o.prunedSingles = flags&1 != 0, readCount(r)
		if flags&2 != 0 && r.Err == nil {
			o.prunedDays = make([]uint16, maxValues)
			for i := range o.prunedDays {
				d := r.Uvarint()
				if d > math.MaxUint16 {
					r.Fail()
				}
				o.prunedDays[i] = uint16(d)
			}
		}
		n := r.Len()
		if n > maxValues {
			r.Fail()
			return
		}
		if n > 0 {
			o.Values = make([]Value, n)
		}
		for i := range o.Values {
			o.Values[i].decode(r, f)
			if i > 0 && o.Values[i].Hash <= o.Values[i-1].Hash {
				r.Fail()
			}
			if r.Err != nil {
				return
			}
		}
	}
	n := r.Len()
	if n > maxQuarantine {
		r.Fail()
		return
	}
	for range n {
		q := Quarantined{Field: Field(r.Byte())}
		flags := r.Byte()
		if q.Field >= Fields || flags > 7 {
			r.Fail()
			return
		}
		q.Sink, q.Rejected, q.counted, q.Judged = flags&1 != 0, flags&2 != 0, flags&4 != 0, r.Byte()
		q.Value.decode(r, q.Field)
		q.Agents, q.Most, q.Days = r.Uint64(), r.Uvarint32(), r.Uvarint32()
		if k := len(v.Quarantine); k > 0 && cmp.Or(cmp.Compare(v.Quarantine[k-1].Field, q.Field),
			cmp.Compare(v.Quarantine[k-1].Hash, q.Hash)) >= 0 {
			r.Fail()
		}
		if r.Err != nil {
			return
		}
		v.Quarantine = append(v.Quarantine, q)
	}
	v.derive(day)
}

func (x *Value) decode(r *wire.Reader, f Field) {
	x.Hash, x.Count = r.Uint64(), r.Uvarint32()
	first, span := r.Varint(), r.Varint()
	x.First, x.Last, x.Via = int32(first), int32(first+span), Via(r.Byte())
	if int64(x.First) != first || int64(x.Last) != first+span || span < 0 || int(x.Via) >= len(vias) {
		r.Fail()
	}
	switch f {
	case ToolField:
		c := r.Uvarint()
		if c > math.MaxUint16 {
			r.Fail()
		}
		x.Classes = uint16(c)
	case DefinitionField:
		x.Of, x.Form = r.Uint64(), r.Uint64()
	}
	if fieldDefs[f].named {
		if x.Name = r.String(); len(x.Name) > baselines.MaxName {
			r.Fail()
		}
	}
}

// readCount reads a count in Units: what no honest sum can reach is malformed, so that sums do not
// overflow.
func readCount(r *wire.Reader) uint64 {
	n := r.Uvarint()
	if n > 1<<56 {
		r.Fail()
		return 0
	}
	return n
}

// Append encodes the delta.
func (d *Delta) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, d.Days)
	for _, n := range d.Worse {
		b = binary.AppendUvarint(b, n)
	}
	for f := range Fields {
		o := &d.of[f]
		b = binary.AppendUvarint(b, o.Days)
		b = binary.AppendUvarint(b, o.New)
		b = binary.AppendUvarint(b, o.Sum)
		list := o.sorted()
		b = binary.AppendUvarint(b, uint64(len(list)))
		for i := range list {
			s := &list[i]
			b = binary.BigEndian.AppendUint64(b, s.Hash)
			flags := byte(b2i(s.Sink)) | byte(b2i(s.Declared))<<1 | byte(b2i(s.Held > 0))<<2 | byte(
				b2i(s.Name != ""))<<3
			b = append(b, flags)
			b = binary.AppendUvarint(b, uint64(s.Count))
			if s.Held > 0 {
				b = append(binary.AppendUvarint(b, uint64(s.Held)), s.Judged)
			}
			b = binary.AppendUvarint(b, s.Agents)
			switch f {
			case ToolField:
				b = binary.AppendUvarint(b, uint64(s.Classes))
			case DefinitionField:
				b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, s.Of), s.Form)
			}
			if s.Name != "" {
				b = wire.AppendString(b, s.Name)
			}
		}
	}
	return b
}

// Decode reads what Append wrote.
func (d *Delta) Decode(r *wire.Reader) {
	*d = Delta{Days: readDay(r)}
	for c := range d.Worse {
		d.Worse[c] = readDay(r)
	}
	for f := range Fields {
		o := &d.of[f]
		o.Days, o.New, o.Sum = readDay(r), readDay(r), readDay(r)
		n := r.Len()
		if n > maxSeen {
			r.Fail()
			return
		}
		if n > 0 {
			o.list, o.at = make([]Sighting, 0, n), make(map[uint64]int32, n)
		}
		for i := range n {
			s := Sighting{Hash: r.Uint64()}
			flags := r.Byte()
			s.Sink, s.Declared, s.Count = flags&1 != 0, flags&2 != 0, r.Uvarint32()
			if flags&4 != 0 {
				s.Held, s.Judged = r.Uvarint32(), r.Byte()
			}
			s.Agents = r.Uvarint()
			switch f {
			case ToolField:
				c := r.Uvarint()
				if c > math.MaxUint16 {
					r.Fail()
				}
				s.Classes = uint16(c)
			case DefinitionField:
				s.Of, s.Form = r.Uint64(), r.Uint64()
			}
			if flags&8 != 0 {
				s.Name = r.String()
			}
			if flags > 15 || len(s.Name) > baselines.MaxName || flags&8 != 0 && s.Name == "" || flags&4 != 0 && s.Held == 0 ||
				s.Name != "" && !fieldDefs[f].named || i > 0 && s.Hash <= o.list[i-1].Hash {
				r.Fail()
			}
			if r.Err != nil {
				return
			}
			o.at[s.Hash] = int32(i)
			o.list = append(o.list, s)
		}
	}
}

// readDay reads a count of agents: what no day can have is malformed, so that sums do not overflow.
func readDay(r *wire.Reader) uint64 {
	n := r.Uvarint()
	if n > maxDay {
		r.Fail()
		return 0
	}
	return n
}
