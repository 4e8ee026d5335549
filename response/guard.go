package response

import (
	"encoding/binary"
	"slices"

	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// Guard keeps a persona from being switched off by making its agents misbehave: only so many of
// them may be blocked automatically at a time. It lives with the persona's relation shard, which
// alone sees all of them. A behaviour shard reports each block and adds no other until that one has
// been answered, so the bound is exceeded by at most one for each further shard.
type Guard struct {
	open   []uint64 // hashes of the scopes that are blocked
	active [2]int64 // agents that acted in the newest hour, and in the one before
	hour   int64    // of event time
	full   bool     // the last answer to the shards: no further block
}

// Acted adds agents that acted for the first time in an hour of event time.
func (g *Guard) Acted(hour, agents int64) {
	switch {
	case hour > g.hour:
		if hour == g.hour+1 {
			g.active[1] = g.active[0]
		} else {
			g.active[1] = 0
		}
		g.active[0], g.hour = agents, hour
	case hour == g.hour:
		g.active[0] += agents
	case hour == g.hour-1:
		g.active[1] += agents
	}
}

// Allowed is how many automatic blocks the persona may have: the larger of the least number and a
// share of its active agents.
func (g *Guard) Allowed(set *policy.Settings) int64 {
	return max(set.GuardLeast, max(g.active[0], g.active[1])*set.GuardShare/100)
}

// Blocked notes that a scope was blocked. A scope counts once.
func (g *Guard) Blocked(scope uint64) {
	if !slices.Contains(g.open, scope) {
		g.open = append(g.open, scope)
	}
}

// Freed notes that a block ended.
func (g *Guard) Freed(scope uint64) {
	g.open = slices.DeleteFunc(g.open, func(o uint64) bool { return o == scope })
}

// Room tells whether another block may be added, and whether the answer differs from the last one:
// then the shards must learn it.
func (g *Guard) Room(set *policy.Settings) (room, changed bool) {
	room = int64(len(g.open)) < g.Allowed(set)
	changed = room == g.full
	g.full = !room
	return room, changed
}

// Full tells whether Room last answered that there is none.
func (g *Guard) Full() bool { return g.full }

// Idle tells whether the guard holds nothing but how many agents act, and may be forgotten.
func (g *Guard) Idle() bool { return g == nil || len(g.open) == 0 && !g.full }

// Append encodes the guard.
func (g *Guard) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(g.open)))
	for _, o := range g.open {
		b = binary.BigEndian.AppendUint64(b, o)
	}
	b = binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(b, g.active[0]), g.active[1]), g.hour)
	if g.full {
		return append(b, 1)
	}
	return append(b, 0)
}

// Decode reads what Append wrote.
func (g *Guard) Decode(r *wire.Reader) {
	*g = Guard{}
	for range r.Len() {
		g.open = append(g.open, r.Uint64())
	}
	g.active = [2]int64{r.Varint(), r.Varint()}
	g.hour = r.Varint()
	g.full = r.Byte() == 1
}
