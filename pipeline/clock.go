package pipeline

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/wayward-sec/wayward/event/wire"
)

// Event time (DESIGN §4), all in milliseconds.
const (
	lateness  = 10_000    // L: a partition's watermark is its newest sane time less this
	futureTol = 60_000    // a stamp may be this far ahead of the broker's
	jump      = 3_600_000 // a jump beyond this moves the watermark only once confirmed
	// events in a row by which an agent that nobody else interrupts confirms its own jump
	loneRun = 16
	noTime  = math.MinInt64
)

// MostAhead is by how much a watermark may be ahead of the wall clock: an event may be as far ahead
// of its stamp, and the clocks of broker and engine may differ a little.
const MostAhead = (futureTol-lateness)*time.Millisecond + 5*time.Second

// clock is the event time of a partition. Its zero value has seen nothing.
//
// Two times are kept apart: newest is what events say, ticked is what ticks made of it while no
// event came. A tick is reckoned from newest and stamp alone, never from an earlier tick: a clock
// that feeds on its own ticks runs away.
//
// One agent with a wrong clock must not make everybody else late, so a jump of more than an hour
// waits for a second agent beyond it. An agent that goes on alone for loneRun events confirms
// itself: there is nobody else to ask.
type clock struct {
	seen     bool
	newest   int64  // newest sane time of an event
	ticked   int64  // time that ticks have reached; below newest it means nothing
	risen    int64  // broker's stamp of the event that set newest; 0: no record did
	stamp    int64  // broker's stamp of the newest event that counts for ticks; 0: none
	first    uint64 // hash of the first agent
	many     bool   // more than one agent has been seen
	jumpTo   int64  // newest time beyond the hour that waits; 0: none
	jumper   uint64
	jumpSeen int64 // events in a row of the jumper
}

// see takes the sane time of one agent's event, and the broker's stamp of its record; 0: it is not
// in a log.
func (c *clock) see(t, stamp int64, agent uint64) {
	was := c.newest
	fresh := !c.seen
	c.move(t, agent)
	switch {
	case stamp == 0:
	case fresh || c.newest > was || c.risen == 0:
		c.risen, c.stamp = stamp, stamp
	case t >= c.newest-futureTol:
		// An agent whose clock is fast has set newest: while the others catch up, time stands.
		// Not for longer than a clock may be fast, and not for old events: nobody holds time up.
		c.stamp = max(c.stamp, min(stamp, c.risen+futureTol))
	}
}

// move takes the sane time of one agent's event.
func (c *clock) move(t int64, agent uint64) {
	if !c.seen {
		*c = clock{seen: true, newest: t, ticked: c.ticked, first: agent}
		return
	}
	if agent != c.first {
		c.many = true
	}
	reached := c.reached() // hours without an event are no jump
	switch {
	case t <= c.newest:
		if c.jumpTo != 0 && agent != c.jumper {
			c.jumpSeen = 0
		}
		return
	case t-reached <= jump:
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
	if c.seen {
		c.ticked = max(c.ticked, t)
	}
}

// reached is the event time that events and ticks have come to.
func (c *clock) reached() int64 { return max(c.newest, c.ticked) }

// due is the time that a tick at a wall clock would tell: what events say, and what has passed
// since the broker stamped the last of them. So it is ahead of the wall clock by no more than an
// event may be ahead of its stamp.
func (c *clock) due(now int64) int64 {
	if c.stamp == 0 {
		return c.newest
	}
	return c.newest + max(0, now-c.stamp)
}

// watermark: no event before it is expected any more; noTime while nothing has been seen.
func (c *clock) watermark() int64 {
	if !c.seen {
		return noTime
	}
	return c.reached() - lateness
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
	b = binary.AppendVarint(binary.AppendVarint(b, c.newest), c.ticked)
	b = binary.AppendVarint(binary.AppendVarint(b, c.risen), c.stamp)
	b = binary.BigEndian.AppendUint64(b, c.first)
	b = binary.AppendVarint(b, c.jumpTo)
	b = binary.BigEndian.AppendUint64(b, c.jumper)
	return binary.AppendVarint(b, c.jumpSeen)
}

func (c *clock) decode(r *wire.Reader) {
	flags := r.Byte()
	*c = clock{seen: flags&1 != 0, many: flags&2 != 0, newest: r.Varint(), ticked: r.Varint(),
		risen: r.Varint(), stamp: r.Varint(), first: r.Uint64(), jumpTo: r.Varint(), jumper: r.Uint64(),
		jumpSeen: r.Varint()}
}

const never = int64(1<<63 - 1)
