package sketch

import (
	"encoding/binary"

	"github.com/wayward-sec/wayward/event/wire"
)

// Timestamps remembers when each of many things was last seen, to count distinct things in sliding
// windows: the caller keeps the counts and learns from See in which step a thing was counted before.
// Times are numbers of steps; Forget must be called at least once in 65,535 of them. Up to
// exactThings are kept apart by 32 bits of hash. More are counted by the slot that they fall into, a
// linear counter with times (Kim and O'Hallaron's timestamp vector).
type Timestamps struct {
	words []uint16 // while exact three for each thing: hash, hash, stamp; else the stamps of slots, 0 if free
}

const (
	exactThings = 16
	timeSlots   = 256
)

// Exact tells whether things are kept apart, and not yet counted by slots.
func (d *Timestamps) Exact() bool { return len(d.words) < timeSlots }

// Estimate is how many things there are if the caller's count is counted.
func (d *Timestamps) Estimate(counted float32) float64 {
	if d.Exact() {
		return float64(counted)
	}
	return LinearCount(timeSlots, float64(counted))
}

// See notes that a thing was seen in step now, and calls moved with the step in which it was seen
// before; ok is false if it was not.
func (d *Timestamps) See(hash uint32, now int64, moved func(was int64, ok bool)) {
	stamp := stampOf(now)
	if len(d.words) >= timeSlots {
		p := &d.words[hash%timeSlots]
		was, ok := int64(0), *p != 0
		if ok {
			was = before(now, *p)
		}
		*p = stamp
		moved(was, ok)
		return
	}
	lo, hi := uint16(hash), uint16(hash>>16)
	for i := 0; i < len(d.words); i += 3 {
		if d.words[i] == lo && d.words[i+1] == hi {
			was := before(now, d.words[i+2])
			d.words[i+2] = stamp
			moved(was, true)
			return
		}
	}
	d.words = append(d.words, lo, hi, stamp)
	moved(0, false)
}

// A stamp is a step modulo 65,535, plus 1. Forget drops old stamps before they could be mistaken for
// new ones.
const stamps = 65_535

func stampOf(step int64) uint16 {
	s := step % stamps
	if s < 0 {
		s += stamps
	}
	return uint16(s) + 1
}

// before is the newest step up to now that has a stamp.
func before(now int64, stamp uint16) int64 {
	age := int64(stampOf(now)) - int64(stamp)
	if age < 0 {
		age += stamps
	}
	return now - age
}

// Full tells whether there is no room for another thing: the next one needs Spread first.
func (d *Timestamps) Full() bool { return d.Exact() && len(d.words) >= 3*exactThings }

// Spread changes from things to slots. Of two things in one slot the older one is dropped, and dropped
// is called with its step.
func (d *Timestamps) Spread(now int64, dropped func(was int64)) {
	old := d.words
	d.words = make([]uint16, timeSlots)
	for i := 0; i < len(old); i += 3 {
		p := &d.words[old[i]%timeSlots] // the low bits of the hash
		if *p == 0 {
			*p = old[i+2]
			continue
		}
		a, b := before(now, *p), before(now, old[i+2])
		if b > a {
			*p = old[i+2]
		}
		dropped(min(a, b))
	}
}

// Forget drops what was last seen so many steps before now, or earlier.
func (d *Timestamps) Forget(now, steps int64) {
	if d.Exact() {
		kept := d.words[:0]
		for i := 0; i < len(d.words); i += 3 {
			if now-before(now, d.words[i+2]) < steps {
				kept = append(kept, d.words[i:i+3]...)
			}
		}
		d.words = kept
		return
	}
	for i, s := range d.words {
		if s != 0 && now-before(now, s) >= steps {
			d.words[i] = 0
		}
	}
}

// Size is how many bytes it holds.
func (d *Timestamps) Size() int { return 2 * cap(d.words) }

// Reset forgets everything.
func (d *Timestamps) Reset() { d.words = nil }

// Append encodes it.
func (d *Timestamps) Append(b []byte) []byte {
	return wire.AppendNumbers(binary.LittleEndian.AppendUint16(b, uint16(len(d.words))), d.words)
}

// Decode reads what Append wrote.
func (d *Timestamps) Decode(r *wire.Reader) {
	d.words = nil
	if len(r.B) < 2 {
		r.Fail()
		return
	}
	n := int(binary.LittleEndian.Uint16(r.B))
	r.B = r.B[2:]
	if n != timeSlots && (n > 3*exactThings || n%3 != 0) {
		r.Fail()
		return
	}
	d.words = wire.ReadNumbers[uint16](r, n)
}
