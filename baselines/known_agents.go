package baselines

import (
	"encoding/binary"
	"slices"

	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/sketch"
)

// KnownAgents are the agents that acted on a day that a baseline has learned, ascending by hash.
//
// How often a day brings something new was counted on the days of known agents. The days of one
// agent resemble each other, so this says little of what an unknown agent brings on its first day.
// Its p-value is that of its rank among n known agents, 1/(n+1) at best, and nothing is an alert
// above 0.01.
type KnownAgents sketch.LastSeen // by the day on which each acted last

const (
	// EnoughAgents is how many agents must be known before their differences are part of what was
	// learned. From then on unknown agents are judged like all others.
	EnoughAgents   = 100
	maxKnownAgents = 256 // the newest; beyond EnoughAgents nobody asks
	knownAgentDays = 60  // after which an agent that did not act is forgotten
)

// Knows tells whether the baseline can speak of an agent, by its hash.
func (m KnownAgents) Knows(agent uint64) bool {
	if len(m) >= EnoughAgents {
		return true
	}
	_, found := sketch.LastSeen(m).Find(agent)
	return found
}

// Learn takes the agents of one day.
func (m *KnownAgents) Learn(day int64, agents sketch.Smallest) {
	all := sketch.LastSeen(slices.Clone(*m))
	for _, h := range agents {
		if i, found := all.Find(h); found {
			all[i].Last = max(all[i].Last, day)
		} else {
			all = slices.Insert(all, i, sketch.Sighting{Hash: h, Last: day})
		}
	}
	all = slices.DeleteFunc(all, func(a sketch.Sighting) bool { return a.Last < day-knownAgentDays })
	all.Newest(maxKnownAgents, func(sketch.Sighting) {})
	*m = KnownAgents(all)
}

// Append encodes the agents.
func (m KnownAgents) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(m)))
	for _, a := range m {
		b = binary.AppendVarint(binary.BigEndian.AppendUint64(b, a.Hash), a.Last)
	}
	return b
}

// Decode reads what Append wrote.
func (m *KnownAgents) Decode(r *wire.Reader) {
	n := r.Len()
	if n > maxKnownAgents {
		r.Fail()
		return
	}
	*m = nil
	for range n {
		a := sketch.Sighting{Hash: r.Uint64(), Last: r.Varint()}
		if k := len(*m); r.Err != nil || k > 0 && (*m)[k-1].Hash >= a.Hash {
			r.Fail()
			return
		}
		*m = append(*m, a)
	}
}
