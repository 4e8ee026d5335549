package baselines

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/wayward-sec/wayward/event/wire"
)

// RarityDelta is what one day adds to a RarityModel. Each agent counts a value once a day.
type RarityDelta struct {
	Days  uint64                // agents that made any call
	Worse [Circumstances]uint64 // agents to whom it happened
	of    [Fields]daySeen
}

// daySeen is what was seen of one field.
type daySeen struct {
	Days uint64 // agents with the field
	New  uint64 // … of them with a value that was new and called nobody
	Sum  uint64 // agents, summed over values
	list []Sighting
	at   map[uint64]int32 // by hash, into list
}

// Sighting is a value that was seen.
type Sighting struct {
	Hash     uint64
	Count    uint32 // agents that showed it in what may be learned
	Held     uint32 // … in what somebody was called for
	Agents   uint64 // bit per hash of an agent, of those that showed it while it was new
	Sink     bool   // a person must say that it is fine
	Declared bool
	Judged   uint8 // of what is held: 1 it was new by itself, 2<<c in the circumstance
	Classes  uint16
	Of, Form uint64
	Name     string // unless it is known already
}

// maxSeen bounds the values of a field that one day remembers: those with the smallest hashes, so
// that neither order nor number of shards shows.
const maxSeen = maxValues

// maxDay bounds the agents of one day, so that sums do not overflow.
const maxDay = 1 << 40

// Appear counts an agent that had the field.
func (d *RarityDelta) Appear(f Field) { d.of[f].Days++ }

// Novel counts an agent-day to which the field brought something new that called nobody.
func (d *RarityDelta) Novel(f Field) { d.of[f].New++ }

// See counts an agent that showed a value, held if somebody was called for that; the caller may add
// what else is known of it. The pointer is good until the next call.
func (d *RarityDelta) See(f Field, hash uint64, held bool) *Sighting {
	o := &d.of[f]
	o.Sum++
	s := o.see(hash)
	if held {
		s.Held = addSaturating32(s.Held, 1)
	} else {
		s.Count = addSaturating32(s.Count, 1)
	}
	return s
}

// Declare notes that somebody registered a value.
func (d *RarityDelta) Declare(f Field, hash uint64, name string) {
	s := d.of[f].see(hash)
	s.Declared, s.Name = true, Name(name)
}

func (o *daySeen) see(hash uint64) *Sighting {
	i, known := o.at[hash]
	if !known {
		if len(o.list) >= 2*maxSeen {
			o.trim()
		}
		if o.at == nil {
			o.at = map[uint64]int32{}
		}
		i = int32(len(o.list))
		o.at[hash] = i
		o.list = append(o.list, Sighting{Hash: hash})
	}
	return &o.list[i]
}

// trim keeps the smallest hashes. A value among them in the end has been among them all the time,
// so its counts are whole.
func (o *daySeen) trim() {
	slices.SortFunc(o.list, func(a, b Sighting) int { return cmp.Compare(a.Hash, b.Hash) })
	if len(o.list) > maxSeen {
		clear(o.list[maxSeen:])
		o.list = o.list[:maxSeen]
	}
	clear(o.at)
	for i := range o.list {
		o.at[o.list[i].Hash] = int32(i)
	}
}

// sorted are the values by hash, at most maxSeen. The delta itself stays as it is.
func (o *daySeen) sorted() []Sighting {
	list := slices.Clone(o.list)
	slices.SortFunc(list, func(a, b Sighting) int { return cmp.Compare(a.Hash, b.Hash) })
	return list[:min(len(list), maxSeen)]
}

// over tells whether there was more than is remembered.
func (o *daySeen) over() bool {
	n := uint64(0)
	list := o.sorted()
	for i := range list {
		n += uint64(list[i].Count) + uint64(list[i].Held)
	}
	return len(list) == maxSeen && n < o.Sum
}

func (s *Sighting) merge(o *Sighting) {
	s.Count = addSaturating32(s.Count, o.Count)
	s.Held = addSaturating32(s.Held, o.Held)
	s.Agents |= o.Agents
	s.Sink = s.Sink || o.Sink
	s.Declared = s.Declared || o.Declared
	s.Judged |= o.Judged
	s.Classes |= o.Classes
	s.Of, s.Form, s.Name = max(s.Of, o.Of), max(s.Form, o.Form), max(s.Name, o.Name)
}

// Merge adds another's.
func (d *RarityDelta) Merge(from DeltaPart) {
	o := from.(*RarityDelta)
	d.Days += o.Days
	for c := range d.Worse {
		d.Worse[c] += o.Worse[c]
	}
	for f := range d.of {
		a, b := &d.of[f], &o.of[f]
		a.Days += b.Days
		a.New += b.New
		a.Sum += b.Sum
		for i := range b.list {
			a.see(b.list[i].Hash).merge(&b.list[i])
		}
	}
}

// MergeWide adds what a persona's day adds to the tenant's vocabulary: tools, servers and domains
// that may be learned. A young persona is judged by it, and what is new to the whole tenant is
// worth more than what is new to a persona.
func (d *RarityDelta) MergeWide(from DeltaPart) {
	o := from.(*RarityDelta)
	d.Days += o.Days
	for f := range d.of {
		if !fieldDefs[f].wide {
			continue
		}
		a, b := &d.of[f], &o.of[f]
		a.Days += b.Days
		for i := range b.list {
			if s := &b.list[i]; s.Count > 0 || s.Declared {
				a.Sum += uint64(s.Count)
				a.see(s.Hash).merge(&Sighting{Count: s.Count, Declared: s.Declared, Name: s.Name})
			}
		}
	}
}

// Append encodes the delta.
func (d *RarityDelta) Append(b []byte) []byte {
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
func (d *RarityDelta) Decode(r *wire.Reader) {
	*d = RarityDelta{Days: readDay(r)}
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
			if flags > 15 || len(s.Name) > maxName || flags&8 != 0 && s.Name == "" || flags&4 != 0 && s.Held == 0 ||
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

// day reads a count of agents: what no day can have is malformed, so that sums do not overflow.
func readDay(r *wire.Reader) uint64 {
	n := r.Uvarint()
	if n > maxDay {
		r.Fail()
		return 0
	}
	return n
}
