package baselines

import (
	"encoding/binary"
	"slices"

	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/sketch"
)

// Met are the agents that a baseline has met: they acted on a day that it has learned. Ascending by
// hash.
//
// How often a day brings something new was counted on days of agents that are known by now, and an
// agent's days resemble each other: it says little of what a stranger brings on its first. By the
// rank of an agent among n agents its p-value is 1/(n+1) at best, and nobody is called above 0.01.
type Met sketch.LastSeen // by the day on which each acted last

const (
	// MetEnough is from how many agents on how they differ is part of what was learned: then
	// strangers are judged like everybody.
	MetEnough = 100
	maxMet    = 256 // the newest; beyond MetEnough nobody asks
	metDays   = 60  // after which an agent that did not act is forgotten
)

// Knows tells whether the baseline can speak of an agent, by its hash.
func (m Met) Knows(agent uint64) bool {
	if len(m) >= MetEnough {
		return true
	}
	_, found := sketch.LastSeen(m).Find(agent)
	return found
}

// Learn takes the agents of one day.
func (m *Met) Learn(day int64, agents sketch.Smallest) {
	all := sketch.LastSeen(slices.Clone(*m))
	for _, h := range agents {
		if i, found := all.Find(h); found {
			all[i].Last = max(all[i].Last, day)
		} else {
			all = slices.Insert(all, i, sketch.Sighting{Hash: h, Last: day})
		}
	}
	all = slices.DeleteFunc(all, func(a sketch.Sighting) bool { return a.Last < day-metDays })
	all.Newest(maxMet, func(sketch.Sighting) {})
	*m = Met(all)
}

// Append encodes the agents.
func (m Met) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(m)))
	for _, a := range m {
		b = binary.AppendVarint(binary.BigEndian.AppendUint64(b, a.Hash), a.Last)
	}
	return b
}

// Decode reads what Append wrote.
func (m *Met) Decode(r *wire.Reader) {
	n := r.Len()
	if n > maxMet {
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
