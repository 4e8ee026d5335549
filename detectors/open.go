package detectors

import (
	"encoding/binary"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// open is a finding that may still grow: an update keeps uid, trigger and time (EVENTS §2).
type OpenFinding struct {
	Trigger event.Ref
	Refs    []event.Ref // first contributors, without the trigger
	Next    int64       // value at which the next update is due
	updates byte        // so far
	Grade   event.Severity
}

// maxUpdates bounds the updates of a finding, whatever it grows to: whoever reads findings must not
// be buried by one of them. The last one is kept for a severity that rises, if it can. What comes
// beyond goes on untold (event.Again): what the finding asks for is still done.
const MaxUpdates = 8

// update tells whether a finding that has grown to twice what it was may say so, and counts it.
func (o *OpenFinding) Update() bool {
	if o.updates >= MaxUpdates {
		return false
	}
	o.updates++
	return true
}

// regrade tells whether a finding whose severity may rise is to be told again: the severity has
// risen, or what was observed has doubled.
func (o *OpenFinding) Regrade(now event.Severity, doubled bool) bool {
	if now <= o.Grade && (!doubled || o.updates >= MaxUpdates-1) {
		return false
	}
	o.Grade = max(o.Grade, now)
	return o.Update()
}

func (o *OpenFinding) All() []event.Ref { return append(o.Refs[:len(o.Refs):len(o.Refs)], o.Trigger) }

func (o *OpenFinding) Append(b []byte) []byte {
	b = wire.AppendRef(b, o.Trigger)
	b = binary.AppendUvarint(b, uint64(len(o.Refs)))
	for _, r := range o.Refs {
		b = wire.AppendRef(b, r)
	}
	return append(binary.AppendVarint(b, o.Next), o.updates, byte(o.Grade))
}

func (o *OpenFinding) Decode(r *wire.Reader) {
	o.Trigger = wire.ReadRef(r)
	for range min(r.Len(), event.MaxRefs) {
		o.Refs = append(o.Refs, wire.ReadRef(r))
	}
	o.Next, o.updates, o.Grade = r.Varint(), r.Byte(), event.Severity(r.Byte())
}

// double is the value at which a finding that stands at v is next updated: twice as much.
func Double(v int64) int64 { return max(2, AddSaturating(v, v)) }

// tally is an open finding that is told when its count doubles.
type Tally struct {
	What  uint64 // hash of what it is about
	Count int64
	First int64 // event time of the first
	OpenFinding
}

// tallies are the open findings of one entity, oldest first.
type Tallies []Tally

// maxTallies bounds them; the oldest goes first and would be found anew: who does many different
// things hides none of them, and is told of more often.
const MaxTallies = 32

// add counts one more of something and says whether it is to be told: as a new finding, as an
// update, or, if it merely goes on, not at all.
func (l *Tallies) Add(what uint64, ref event.Ref) (*Tally, event.Activity) {
	var t *Tally
	for i := range *l {
		if (*l)[i].What == what {
			t = &(*l)[i]
		}
	}
	activity := event.Update
	if t == nil {
		if len(*l) == MaxTallies {
			*l = append((*l)[:0], (*l)[1:]...)
		}
		*l = append(*l, Tally{What: what, First: ref.Time, OpenFinding: OpenFinding{Trigger: ref.Clone(), Next: 1}})
		t = &(*l)[len(*l)-1]
		activity = event.Create
	}
	if t.Count++; t.Count < t.Next || activity == event.Update && !t.Update() {
		return t, event.Again
	}
	t.Next = Double(t.Count)
	return t, activity
}

func (l Tallies) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(l)))
	for i := range l {
		t := &l[i]
		b = binary.BigEndian.AppendUint64(b, t.What)
		b = binary.AppendVarint(b, t.Count)
		b = binary.AppendVarint(b, t.First)
		b = t.OpenFinding.Append(b)
	}
	return b
}

func (l *Tallies) Decode(r *wire.Reader) {
	*l = nil
	for range min(r.Len(), MaxTallies) {
		t := Tally{What: r.Uint64(), Count: r.Varint(), First: r.Varint()}
		t.OpenFinding.Decode(r)
		*l = append(*l, t)
	}
}
