package sequence

import (
	"cmp"
	"math"
	"slices"

	"github.com/wayward-sec/wayward/baselines"
)

// held is an n-gram in quarantine: it came in sessions that were odd.
type held struct {
	gram
	prev, symbol uint32 // the step before the one that brought it, and that step
	sink         bool   // some call in it is one that cannot be taken back
	agents       uint64 // one bit for each of 64 shares of agents
	// In a model alone:
	most        uint32 // agents on the day on which they were most
	first, last int64  // days on which it came
	days        uint32 // how many of them
	asked       bool   // a person was asked about it
	stamp       uint32 // in a delta: the session that was counted last; not stored
}

// hold is the entry in quarantine of a step's n-gram in context i, made if there is none; nil if
// there are too many.
func (d *Delta) hold(key uint64, w *history, s Step, i int) *held {
	h := d.held[key]
	if h == nil {
		if d.heldLimit != 0 && mix(key) > d.heldLimit {
			return nil
		}
		if d.held == nil {
			d.held = map[uint64]*held{}
		}
		if len(d.held) >= 2*maxHeld {
			d.thinHeld()
		}
		h = &held{gram: gram{key: key}, prev: math.MaxUint32, symbol: math.MaxUint32}
		d.held[key] = h
	}
	prev := w.last[0]
	if i >= outcomeAt {
		prev = outcomeSymbols + uint32(s.Outcome)
	}
	if prev < h.prev || prev == h.prev && s.Call < h.symbol {
		h.prev, h.symbol = prev, s.Call
	}
	h.sink = h.sink || s.Sink() || w.sinks&(1<<reach[i]-1) != 0
	return h
}

func (d *Delta) thinHeld() {
	keys := make([]uint64, 0, len(d.held))
	for k := range d.held {
		keys = append(keys, mix(k))
	}
	slices.Sort(keys)
	d.heldLimit = keys[maxHeld-1]
	for k := range d.held {
		if mix(k) > d.heldLimit {
			delete(d.held, k)
		}
	}
}

func (d *Delta) addHeld(key uint64, o *held) {
	h := d.held[key]
	if h == nil {
		if d.heldLimit != 0 && mix(key) > d.heldLimit {
			return
		}
		if d.held == nil {
			d.held = map[uint64]*held{}
		}
		if len(d.held) >= 2*maxHeld {
			d.thinHeld()
		}
		own := *o
		d.held[key] = &own
		return
	}
	h.n = baselines.AddSaturating32(h.n, o.n)
	h.u = baselines.AddSaturating32(h.u, o.u)
	h.agents |= o.agents
	h.sink = h.sink || o.sink
	if o.prev < h.prev || o.prev == h.prev && o.symbol < h.symbol {
		h.prev, h.symbol = o.prev, o.symbol
	}
}

func (d *Delta) quarantine() []held {
	out := make([]held, 0, len(d.held))
	for _, h := range d.held {
		out = append(out, *h)
	}
	if len(out) > maxHeld {
		slices.SortFunc(out, func(a, b held) int { return cmp.Compare(mix(a.key), mix(b.key)) })
		out = out[:maxHeld]
	}
	slices.SortFunc(out, func(a, b held) int { return cmp.Compare(a.key, b.key) })
	return out
}
