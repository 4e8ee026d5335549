package rarity

import (
	"encoding/binary"
	"math/bits"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event/wire"
)

// agentDay is what the detector remembers of one agent: which values it has shown today, so that
// each counts once, and its open findings.
type agentDay struct {
	day uint16
	// marks has a bit per field that has brought something new today, and above them the bits
	// below.
	marks  uint16
	newest [Fields]uint16  // by 16 bits of its hash, of each field: mostly the next event's, too
	detail *agentDayDetail // nil until a field shows a second value
}

const (
	countedMark      = 1 << (Fields + iota) // the agent's day is counted in the delta
	testedMark                              // its tests are counted in the audit
	circumstanceMark                        // the first circumstance happened; the others follow
)

var _ uint16 = circumstanceMark << (Circumstances - 1) // all marks fit

// agentDayDetail is what only an agent with several values in a field needs.
type agentDayDetail struct {
	shapes    [32]uint8 // of shapes all counted: 7 bits of the hash, by 5 others
	seen      [buckets][2]uint64
	open      detectors.Tallies
	announced *[]announcedValue // oldest first, at most maxAnnounced; nil for nearly all agents
}

// The table of values seen today holds 96 of them, by 16 bits of their hash, eight in a bucket. One
// new value in a thousand is taken for one that was seen, so it counts a day later. Whether a value
// is known is never asked here: the baseline answers that by the whole hash.
const (
	buckets = 12
	lanes   = 0x0001_0001_0001_0001 // a 1 in each 16 bits
)

// begin starts a new day if the time lies in one: it forgets what was shown on the day before.
func (p *agentDay) begin(t int64) {
	day := uint16(wire.FloorDiv(t, baselines.DayMS))
	if int16(day-p.day) <= 0 && p.marks != 0 {
		return
	}
	p.day, p.marks, p.newest = day, 0, [Fields]uint16{}
	if p.detail != nil {
		if len(p.detail.open) == 0 && p.detail.announced == nil {
			p.detail = nil
		} else {
			*p.detail = agentDayDetail{open: p.detail.open, announced: p.detail.announced}
		}
	}
}

// firstToday notes a value. first tells whether the agent shows this value for the first time
// today, of whether it shows any value of the field for the first time.
func (p *agentDay) firstToday(f Field, hash uint64) (first, of bool) {
	k := max(uint16(mixed(hash, uint64(f))>>48), 1)
	last := p.newest[f]
	if last == k {
		return false, false
	}
	p.newest[f] = k
	if p.detail == nil {
		if last == 0 {
			return true, true
		}
		p.detail = &agentDayDetail{}
		for i, k := range p.newest {
			if Field(i) == f {
				k = last
			}
			if k != 0 {
				p.detail.add(k)
			}
		}
	}
	return p.detail.add(k), last == 0
}

// add puts a value into the table and tells whether it was not there.
func (m *agentDayDetail) add(k uint16) bool {
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
	// Full: the value that came first makes room, and would count again.
	b[0] = b[0]>>16 | b[1]<<48
	b[1] = b[1]>>16 | uint64(k)<<48
	return true
}

// empty16 is not 0 if one of the four 16-bit numbers in x is 0. The lowest bit that is set is then
// the highest bit of the first such number (Mycroft's test, as in Warren, Hacker's Delight, 6-1).
func empty16(x uint64) uint64 { return (x - lanes) &^ x & (lanes << 15) }

// shapeCounted tells whether all values of a shape have been counted today. Shapes are told apart
// by 12 bits of their hash, so the answer is wrong in one case of a few thousand: the value then
// counts a day later.
func (p *agentDay) shapeCounted(all uint64) bool {
	return p.detail != nil && p.detail.shapes[all>>59] == uint8(all>>51)|1
}

// markShapeCounted notes that all values of a shape have been counted today.
func (p *agentDay) markShapeCounted(all uint64) {
	if p.detail != nil {
		p.detail.shapes[all>>59] = uint8(all>>51) | 1
	}
}

// Append encodes the part.
func (p *agentDay) Append(b []byte) []byte {
	if p.marks == 0 && p.detail == nil {
		return b
	}
	flags := byte(0)
	if p.detail != nil {
		flags = 1
		if len(p.detail.open) > 0 {
			flags = 3
		}
		if p.detail.announced != nil {
			flags |= 4
		}
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, p.day), p.marks)
	for _, k := range p.newest {
		b = binary.BigEndian.AppendUint16(b, k)
	}
	if p.detail == nil {
		return b
	}
	b = append(b, p.detail.shapes[:]...)
	for i := range p.detail.seen {
		k := &p.detail.seen[i]
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, k[0]), k[1])
	}
	if flags&2 != 0 {
		b = p.detail.open.Append(b)
	}
	if flags&4 != 0 {
		b = append(b, byte(len(*p.detail.announced)))
		for _, v := range *p.detail.announced {
			b = binary.AppendVarint(binary.BigEndian.AppendUint64(b, v.key), v.until)
		}
	}
	return b
}

// Decode reads what Append wrote.
func (p *agentDay) Decode(r *wire.Reader) {
	*p = agentDay{}
	flags := r.Byte()
	two := func() uint16 { return uint16(r.Byte())<<8 | uint16(r.Byte()) }
	p.day, p.marks = two(), two()
	for f := range p.newest {
		p.newest[f] = two()
	}
	if flags > 7 || flags&1 == 0 && flags != 0 {
		r.Fail()
	}
	if flags&1 == 0 || r.Err != nil {
		return
	}
	p.detail = &agentDayDetail{}
	if len(r.B) < len(p.detail.shapes) {
		r.Fail()
		return
	}
	r.B = r.B[copy(p.detail.shapes[:], r.B):]
	for i := range p.detail.seen {
		p.detail.seen[i] = [2]uint64{r.Uint64(), r.Uint64()}
	}
	if flags&2 != 0 {
		p.detail.open.Decode(r)
	}
	if flags&4 != 0 {
		n := r.Byte()
		if n == 0 || n > maxAnnounced {
			r.Fail()
		}
		p.detail.announced = &[]announcedValue{}
		for range n {
			if r.Err != nil {
				return
			}
			*p.detail.announced = append(*p.detail.announced, announcedValue{r.Uint64(), r.Varint()})
		}
	}
}
