package rarity

import (
	"cmp"
	"slices"

	"github.com/wayward-sec/wayward/baselines"
)

// Delta is what one day adds to a Model. Each agent counts a value once a day.
type Delta struct {
	Days  uint64                // agents that made any call
	Worse [Circumstances]uint64 // agents to whom it happened
	of    [Fields]daySeen
}

// daySeen is what was seen of one field.
type daySeen struct {
	Days uint64 // agents with the field
	New  uint64 // … of them with a value that was new and raised no alert
	Sum  uint64 // agents, summed over values
	list []Sighting
	at   map[uint64]int32 // by hash, into list
}

// Sighting is a value that was seen.
type Sighting struct {
	Hash     uint64
	Count    uint32 // agents that showed it in what may be learned
	Held     uint32 // … in what raised an alert
	Agents   uint64 // bit per hash of an agent, of those that showed it while it was new
	Sink     bool   // a person must say that it is fine
	Declared bool
	Judged   uint8 // of what is held: 1 it was new by itself, 2<<c in the circumstance
	Classes  uint16
	Of, Form uint64
	Name     string // unless it is known already
}

// maxSeen bounds the values of a field that one day remembers: those with the smallest hashes, so
// that neither order nor number of shards shows.
const maxSeen = maxValues

// maxDay bounds the agents of one day, so that sums do not overflow.
const maxDay = 1 << 40

// Appear counts an agent that had the field.
func (d *Delta) Appear(f Field) { d.of[f].Days++ }

// Novel counts an agent-day to which the field brought something new that raised no alert.
func (d *Delta) Novel(f Field) { d.of[f].New++ }

// See counts an agent that showed a value, held if that raised an alert; the caller may add
// what else is known of it. The pointer is good until the next call.
func (d *Delta) See(f Field, hash uint64, held bool) *Sighting {
	o := &d.of[f]
	o.Sum++
	s := o.see(hash)
	if held {
		s.Held = baselines.AddSaturating32(s.Held, 1)
	} else {
		s.Count = baselines.AddSaturating32(s.Count, 1)
	}
	return s
}

// Declare notes that somebody registered a value.
func (d *Delta) Declare(f Field, hash uint64, name string) {
	s := d.of[f].see(hash)
	s.Declared, s.Name = true, baselines.Name(name)
}

func (o *daySeen) see(hash uint64) *Sighting {
	i, known := o.at[hash]
	if !known {
		if len(o.list) >= 2*maxSeen {
			o.trim()
		}
		if o.at == nil {
			o.at = map[uint64]int32{}
		}
		i = int32(len(o.list))
		o.at[hash] = i
		o.list = append(o.list, Sighting{Hash: hash})
	}
	return &o.list[i]
}

// trim keeps the smallest hashes. A value among them in the end has been among them all the time,
// so its counts are whole.
func (o *daySeen) trim() {
	slices.SortFunc(o.list, func(a, b Sighting) int { return cmp.Compare(a.Hash, b.Hash) })
	if len(o.list) > maxSeen {
		clear(o.list[maxSeen:])
		o.list = o.list[:maxSeen]
	}
	clear(o.at)
	for i := range o.list {
		o.at[o.list[i].Hash] = int32(i)
	}
}

// sorted are the values by hash, at most maxSeen. The delta itself stays as it is.
func (o *daySeen) sorted() []Sighting {
	list := slices.Clone(o.list)
	slices.SortFunc(list, func(a, b Sighting) int { return cmp.Compare(a.Hash, b.Hash) })
	return list[:min(len(list), maxSeen)]
}

// over tells whether there was more than is remembered.
func (o *daySeen) over() bool {
	n := uint64(0)
	list := o.sorted()
	for i := range list {
		n += uint64(list[i].Count) + uint64(list[i].Held)
	}
	return len(list) == maxSeen && n < o.Sum
}

func (s *Sighting) merge(o *Sighting) {
	s.Count = baselines.AddSaturating32(s.Count, o.Count)
	s.Held = baselines.AddSaturating32(s.Held, o.Held)
	s.Agents |= o.Agents
	s.Sink = s.Sink || o.Sink
	s.Declared = s.Declared || o.Declared
	s.Judged |= o.Judged
	s.Classes |= o.Classes
	s.Of, s.Form, s.Name = max(s.Of, o.Of), max(s.Form, o.Form), max(s.Name, o.Name)
}

// Merge adds another's.
func (d *Delta) Merge(from baselines.DeltaPart) {
	o := from.(*Delta)
	d.Days += o.Days
	for c := range d.Worse {
		d.Worse[c] += o.Worse[c]
	}
	for f := range d.of {
		a, b := &d.of[f], &o.of[f]
		a.Days += b.Days
		a.New += b.New
		a.Sum += b.Sum
		for i := range b.list {
			a.see(b.list[i].Hash).merge(&b.list[i])
		}
	}
}

// MergeWide adds what a persona's day adds to the tenant's vocabulary: tools, servers and domains
// that may be learned. A young persona is judged by it, and what is new to the whole tenant is
// worth more than what is new to a persona.
func (d *Delta) MergeWide(from baselines.DeltaPart) {
	o := from.(*Delta)
	d.Days += o.Days
	for f := range d.of {
		if !fieldDefs[f].wide {
			continue
		}
		a, b := &d.of[f], &o.of[f]
		a.Days += b.Days
		for i := range b.list {
			if s := &b.list[i]; s.Count > 0 || s.Declared {
				a.Sum += uint64(s.Count)
				a.see(s.Hash).merge(&Sighting{Count: s.Count, Declared: s.Declared, Name: s.Name})
			}
		}
	}
}
