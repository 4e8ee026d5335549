package limit

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event/wire"
)

// The built-in limits of a user are what one person does in an hour. The user of a service stands
// for a whole fleet of agents, and would cross them every hour. Who is one is learned from the log
// alone: so many agents acted for the user on each of several days before. It is then held to the
// limit of as many people as agents shared it on the quietest of those days.
//
// Whoever wants to spread one user's work over many agents must do so for days below the limit of
// one person first, and gains what those agents did anyway. Today's agents count for nothing, so a
// fan-out over agents is found as it was.
const (
	fleetAgents = 10  // at least, on a day
	fleetDays   = 3   // of the last
	fleetSpan   = 7   // days before today
	maxFleet    = 256 // agents counted on a day; more are as many
	fleetMark   = 0xff
)

// fleet is which agents act for a user.
type fleet struct {
	day    int64
	agents []uint32   // hashes, of the day
	past   []fleetDay // on which there were enough, oldest first
}

type fleetDay struct {
	day    int64
	agents int64
}

// shared notes that agents acted for the user and returns by how many agents it is known to be
// shared; 1: it is a person, as far as anybody knows.
func (p *meterPart) shared(t int64, agents ...string) int64 {
	f := p.fleet
	if f == nil {
		f = &fleet{day: math.MinInt64}
		p.fleet = f
	}
	switch day := wire.FloorDiv(t, 86_400_000); {
	case day > f.day:
		if len(f.agents) >= fleetAgents {
			f.past = append(f.past, fleetDay{f.day, int64(len(f.agents))})
		}
		f.day, f.agents = day, f.agents[:0]
		f.past = slices.DeleteFunc(f.past, func(d fleetDay) bool { return d.day < day-fleetSpan })
	case day < f.day: // buckets close in order of time; one that does not is of another day
		return f.share()
	}
	for _, a := range agents {
		if h := uint32(xxhash.Sum64String(a)); len(f.agents) < maxFleet && !slices.Contains(f.agents, h) {
			f.agents = append(f.agents, h)
		}
	}
	return f.share()
}

func (f *fleet) share() int64 {
	if len(f.past) < fleetDays {
		return 1
	}
	least := f.past[0].agents
	for _, d := range f.past {
		least = min(least, d.agents)
	}
	return least
}

// times is the window with the limits of so many.
func (s *span) times(share int64) *span {
	if share == 1 {
		return s
	}
	many := *s
	many.lines = slices.Clone(s.lines)
	for i := range many.lines {
		k := &many.lines[i]
		limit := *k.limit
		limit.Max = timesSaturating(limit.Max, share)
		k.limit, k.max = &limit, timesSaturating(k.max, share)
	}
	return &many
}

func timesSaturating(a, b int64) int64 {
	if a > math.MaxInt64/b {
		return math.MaxInt64
	}
	return a * b
}

func (f *fleet) append(b []byte) []byte {
	b = binary.AppendVarint(b, f.day)
	b = binary.AppendUvarint(b, uint64(len(f.agents)))
	for _, a := range f.agents {
		b = binary.BigEndian.AppendUint32(b, a)
	}
	b = binary.AppendUvarint(b, uint64(len(f.past)))
	for _, d := range f.past {
		b = binary.AppendVarint(binary.AppendVarint(b, d.day), d.agents)
	}
	return b
}

func (f *fleet) decode(r *wire.Reader) {
	f.day = r.Varint()
	for range min(r.Len(), maxFleet) {
		f.agents = append(f.agents, r.Uint32())
	}
	for range min(r.Len(), fleetSpan+1) {
		f.past = append(f.past, fleetDay{r.Varint(), max(1, r.Varint())})
	}
}
