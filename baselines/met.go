package baselines

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/wayward-sec/wayward/event/wire"
)

// Met are the agents that a baseline has met: they acted on a day that it has learned. Ascending by
// hash.
//
// How often a day brings something new was counted on days of agents that are known by now, and an
// agent's days resemble each other: it says little of what a stranger brings on its first. By the
// rank of an agent among n agents its p-value is 1/(n+1) at best, and nobody is called above 0.01.
type Met []metAgent

type metAgent struct {
	hash uint64
	day  int64 // on which it acted last
}

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
	_, found := m.find(agent)
	return found
}

func (m Met) find(agent uint64) (int, bool) {
	return slices.BinarySearchFunc(m, agent, func(a metAgent, h uint64) int { return cmp.Compare(a.hash, h) })
}

// Learn takes the agents of one day.
func (m *Met) Learn(day int64, agents HashSet) {
	all := slices.Clone(*m)
	for _, h := range agents {
		if i, found := all.find(h); found {
			all[i].day = max(all[i].day, day)
		} else {
			all = slices.Insert(all, i, metAgent{h, day})
		}
	}
	all = slices.DeleteFunc(all, func(a metAgent) bool { return a.day < day-metDays })
	if len(all) > maxMet {
		slices.SortFunc(all,
			func(a, b metAgent) int { return cmp.Or(cmp.Compare(b.day, a.day), cmp.Compare(a.hash, b.hash)) })
		all = all[:maxMet]
		slices.SortFunc(all, func(a, b metAgent) int { return cmp.Compare(a.hash, b.hash) })
	}
	*m = all
}

// Append encodes the agents.
func (m Met) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(m)))
	for _, a := range m {
		b = binary.AppendVarint(binary.BigEndian.AppendUint64(b, a.hash), a.day)
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
		a := metAgent{r.Uint64(), r.Varint()}
		if k := len(*m); r.Err != nil || k > 0 && (*m)[k-1].hash >= a.hash {
			r.Fail()
			return
		}
		*m = append(*m, a)
	}
}
