package sequence

import (
	"encoding/binary"
	"math"

	"github.com/wayward-sec/wayward/event/wire"
)

// AgentDay remembers which n-grams of an agent were counted today: a Bloom filter that errs towards
// "already counted", so that support is never too much. Its bits are salted by the agent, else
// agents alike would lose the same n-grams. The zero value is an agent of whom nothing was counted.
type AgentDay struct {
	day   int32
	used  uint16
	small uint64      // until they are many
	big   *[32]uint64 //
}

// smallest is how many n-grams the small filter takes: those of a session of one call and its end,
// of perStep each, about.
const (
	smallest = 16
	perStep  = 8
)

// Begin readies it for n more n-grams on a day.
func (a *AgentDay) Begin(day int64, n int) {
	if a.day != int32(day) {
		a.day, a.used, a.small = int32(day), 0, 0
		if a.big != nil {
			clear(a.big[:])
		}
	}
	if n += int(a.used); n > smallest && a.big == nil {
		// What is in the small filter is in every word of the big one: it never forgets.
		a.big = new([32]uint64)
		for i := range a.big {
			a.big[i] = a.small
		}
	}
	a.used = uint16(min(n, math.MaxUint16))
}

// First tells whether the n-gram comes for the first time today from the agent, whose hash is
// given, and notes it. Begin must have made room.
func (a *AgentDay) First(agent, key uint64) bool {
	h := mix(key + agent*0x9e3779b97f4a7c15)
	i, j := &a.small, &a.small
	if a.big != nil {
		i, j = &a.big[h>>20&31], &a.big[h>>28&31]
	}
	x, y := uint64(1)<<(h>>58), uint64(1)<<(h>>48&63)
	first := *i&x == 0 || *j&y == 0
	*i |= x
	*j |= y
	return first
}

// Append encodes it.
func (a *AgentDay) Append(b []byte) []byte {
	if a.used == 0 && a.big == nil {
		return b
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(a.day))
	b = binary.LittleEndian.AppendUint16(b, a.used)
	b = binary.LittleEndian.AppendUint64(b, a.small)
	if a.big != nil {
		for _, w := range a.big {
			b = binary.LittleEndian.AppendUint64(b, w)
		}
	}
	return b
}

// Decode reads what Append wrote, all that is left of the reader's.
func (a *AgentDay) Decode(r *wire.Reader) {
	*a = AgentDay{}
	if len(r.B) == 0 {
		return
	}
	if len(r.B) != 14 && len(r.B) != 14+256 {
		r.Fail()
		return
	}
	a.day = int32(binary.LittleEndian.Uint32(r.B))
	a.used = binary.LittleEndian.Uint16(r.B[4:])
	a.small = binary.LittleEndian.Uint64(r.B[6:])
	if r.B = r.B[14:]; len(r.B) > 0 {
		a.big = new([32]uint64)
		for i := range a.big {
			a.big[i] = binary.LittleEndian.Uint64(r.B[8*i:])
		}
		r.B = r.B[256:]
	}
}
