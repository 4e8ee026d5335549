package rarity

import (
	"encoding/binary"
	"math/bits"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event/wire"
)

// acquaintance is what an agent has shown on its day, so that a value counts once, and the findings
// that may still grow.
type acquaintance struct {
	day   uint16
	marks uint16         // bit per field that has brought something new; and
	few   [Fields]uint16 // the newest value of each field: mostly the next event's, too
	more  *acquaintances // nil until a field shows a second one
}

const (
	countedMark      = 1 << (Fields + iota) // the day is counted
	testedMark                              // its tests are
	circumstanceMark                        // and what was worse than new
)

var _ uint16 = circumstanceMark << (Circumstances - 1) // all marks fit

type acquaintances struct {
	shapes [32]uint8 // bits of hashes of shapes all of which have been counted, by other bits
	seen   [buckets][2]uint64
	open   detectors.Tallies
	told   *[]announcedValue // oldest first, at most maxAnnounced; nil: nothing, as for nearly all
}

// A table of 96 values, by 16 bits of their hash, eight in a bucket: one value in a thousand is
// taken for one that was seen, so it counts a day later. Whether a value is known is never asked
// here, but of the baseline, by its whole hash.
const (
	buckets = 12
	lanes   = 0x0001_0001_0001_0001 // a 1 in each 16 bits
)

// begin forgets what was shown on a day before.
func (p *acquaintance) begin(t int64) {
	day := uint16(wire.FloorDiv(t, baselines.DayMS))
	if int16(day-p.day) <= 0 && p.marks != 0 {
		return
	}
	p.day, p.marks, p.few = day, 0, [Fields]uint16{}
	if p.more != nil {
		if len(p.more.open) == 0 && p.more.told == nil {
			p.more = nil
		} else {
			*p.more = acquaintances{open: p.more.open, told: p.more.told}
		}
	}
}

// meets notes a value and tells whether it is the agent's first of that kind on the day, and
// whether the field's.
func (p *acquaintance) meets(f Field, hash uint64) (first, of bool) {
	k := max(uint16(mixed(hash, uint64(f))>>48), 1)
	last := p.few[f]
	if last == k {
		return false, false
	}
	p.few[f] = k
	if p.more == nil {
		if last == 0 {
			return true, true
		}
		p.more = &acquaintances{}
		for i, k := range p.few {
			if Field(i) == f {
				k = last
			}
			if k != 0 {
				p.more.note(k)
			}
		}
	}
	return p.more.note(k), last == 0
}

// note puts a value into the table and tells whether it was not there.
func (m *acquaintances) note(k uint16) bool {
	b := &m.seen[uint(k)*buckets>>16]
	if empty16(b[0]^uint64(k)*lanes)|empty16(b[1]^uint64(k)*lanes) != 0 {
		return false
	}
	for i := range b {
		if e := empty16(b[i]); e != 0 {
			b[i] |= uint64(k) << (bits.TrailingZeros64(e) &^ 15)
			return true
		}
	}
	// Full: the one that came first would count again.
	b[0] = b[0]>>16 | b[1]<<48
	b[1] = b[1]>>16 | uint64(k)<<48
	return true
}

// empty16 is not 0 if one of the four 16-bit numbers in x is; the lowest bit that is set is the
// highest of the first such number (Mycroft's test).
func empty16(x uint64) uint64 { return (x - lanes) &^ x & (lanes << 15) }

// showed tells whether all of a shape has been counted today, nearly for certain. shows notes that
// it has.
func (p *acquaintance) showed(all uint64) bool {
	return p.more != nil && p.more.shapes[all>>59] == uint8(all>>51)|1
}

func (p *acquaintance) shows(all uint64) {
	if p.more != nil {
		p.more.shapes[all>>59] = uint8(all>>51) | 1
	}
}

// Append encodes the part.
func (p *acquaintance) Append(b []byte) []byte {
	if p.marks == 0 && p.more == nil {
		return b
	}
	flags := byte(0)
	if p.more != nil {
		flags = 1
		if len(p.more.open) > 0 {
			flags = 3
		}
		if p.more.told != nil {
			flags |= 4
		}
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, p.day), p.marks)
	for _, k := range p.few {
		b = binary.BigEndian.AppendUint16(b, k)
	}
	if p.more == nil {
		return b
	}
	b = append(b, p.more.shapes[:]...)
	for i := range p.more.seen {
		k := &p.more.seen[i]
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, k[0]), k[1])
	}
	if flags&2 != 0 {
		b = p.more.open.Append(b)
	}
	if flags&4 != 0 {
		b = append(b, byte(len(*p.more.told)))
		for _, v := range *p.more.told {
			b = binary.AppendVarint(binary.BigEndian.AppendUint64(b, v.key), v.until)
		}
	}
	return b
}

// Decode reads what Append wrote.
func (p *acquaintance) Decode(r *wire.Reader) {
	*p = acquaintance{}
	flags := r.Byte()
	two := func() uint16 { return uint16(r.Byte())<<8 | uint16(r.Byte()) }
	p.day, p.marks = two(), two()
	for f := range p.few {
		p.few[f] = two()
	}
	if flags > 7 || flags&1 == 0 && flags != 0 {
		r.Fail()
	}
	if flags&1 == 0 || r.Err != nil {
		return
	}
	p.more = &acquaintances{}
	if len(r.B) < len(p.more.shapes) {
		r.Fail()
		return
	}
	r.B = r.B[copy(p.more.shapes[:], r.B):]
	for i := range p.more.seen {
		p.more.seen[i] = [2]uint64{r.Uint64(), r.Uint64()}
	}
	if flags&2 != 0 {
		p.more.open.Decode(r)
	}
	if flags&4 != 0 {
		n := r.Byte()
		if n == 0 || n > maxAnnounced {
			r.Fail()
		}
		p.more.told = &[]announcedValue{}
		for range n {
			if r.Err != nil {
				return
			}
			*p.more.told = append(*p.more.told, announcedValue{r.Uint64(), r.Varint()})
		}
	}
}
