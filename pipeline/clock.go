package pipeline

import (
	"encoding/binary"
	"math"

	"github.com/wayward-sec/wayward/baselines"
)

// Event time (DESIGN §4), all in milliseconds.
const (
	lateness  = 10_000    // L: a partition's watermark is its newest sane time less this
	futureTol = 60_000    // a stamp may be this far ahead of the broker's
	jump      = 3_600_000 // a jump beyond this moves the watermark only once confirmed
	loneRun   = 16        // events in a row by which an agent that nobody else interrupts confirms its own jump
	noTime    = math.MinInt64
)

// clock is the event time of a partition. Its zero value has seen nothing.
//
// One agent with a wrong clock must not make everybody else late, so a jump of more than an hour waits for a second agent beyond it. An agent that
// goes on alone for loneRun events confirms itself: there is nobody else to ask.
type clock struct {
	seen     bool
	newest   int64  // newest sane time
	first    uint64 // hash of the first agent
	many     bool   // more than one agent has been seen
	jumpTo   int64  // newest time beyond the hour that waits; 0: none
	jumper   uint64
	jumpSeen int64 // events in a row of the jumper
}

// see takes the sane time of one agent's event.
func (c *clock) see(t int64, agent uint64) {
	if !c.seen {
		*c = clock{seen: true, newest: t, first: agent}
		return
	}
	if agent != c.first {
		c.many = true
	}
	switch {
	case t <= c.newest:
		if c.jumpTo != 0 && agent != c.jumper {
			c.jumpSeen = 0
		}
		return
	case t-c.newest <= jump:
		c.newest = t
		if c.jumpTo != 0 && agent != c.jumper {
			c.jumpSeen = 0
		}
		if c.jumpTo != 0 && c.jumpTo-c.newest <= jump {
			c.newest = max(c.newest, c.jumpTo)
			c.jumpTo = 0
		}
		return
	}
	switch {
	case !c.many:
		c.newest, c.jumpTo = t, 0
	case c.jumpTo == 0:
		c.jumpTo, c.jumper, c.jumpSeen = t, agent, 1
	case agent != c.jumper:
		// Two agents are beyond the hour: what both have reached is real.
		c.newest = min(t, c.jumpTo)
		if hi := max(t, c.jumpTo); hi-c.newest <= jump {
			c.newest = hi
			c.jumpTo = 0
		} else {
			c.jumpTo = hi
			if hi == t {
				c.jumper = agent
			}
			c.jumpSeen = 1
		}
	default:
		c.jumpTo = max(c.jumpTo, t)
		if c.jumpSeen++; c.jumpSeen >= loneRun {
			c.newest, c.jumpTo = c.jumpTo, 0
		}
	}
}

// tick moves an idle partition on. Ticks are a maximum, so one that comes twice does no harm.
func (c *clock) tick(t int64) {
	if c.seen && t > c.newest {
		c.newest = t
	}
}

// watermark: no event before it is expected any more; noTime while nothing has been seen.
func (c *clock) watermark() int64 {
	if !c.seen {
		return noTime
	}
	return c.newest - lateness
}

func (c *clock) append(b []byte) []byte {
	flags := byte(0)
	if c.seen {
		flags |= 1
	}
	if c.many {
		flags |= 2
	}
	b = append(b, flags)
	b = binary.AppendVarint(b, c.newest)
	b = binary.BigEndian.AppendUint64(b, c.first)
	b = binary.AppendVarint(b, c.jumpTo)
	b = binary.BigEndian.AppendUint64(b, c.jumper)
	return binary.AppendVarint(b, c.jumpSeen)
}

func (c *clock) decode(r *baselines.Reader) {
	flags := r.Byte()
	*c = clock{seen: flags&1 != 0, many: flags&2 != 0, newest: r.Varint(), first: r.Uint64(), jumpTo: r.Varint(), jumper: r.Uint64(), jumpSeen: r.Varint()}
}
