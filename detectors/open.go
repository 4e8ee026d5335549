package detectors

import (
	"encoding/binary"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// open is a finding that may still grow: an update keeps uid, trigger and time (EVENTS §2).
type open struct {
	trigger event.Ref
	refs    []event.Ref // first contributors, without the trigger
	next    int64       // value at which the next update is due
	updates byte        // so far
	grade   event.Severity
}

// maxUpdates bounds the updates of a finding, whatever it grows to: whoever reads findings must not
// be buried by one of them. The last one is kept for a severity that rises, if it can. What comes
// beyond goes on untold (event.Again): what the finding asks for is still done.
const maxUpdates = 8

// update tells whether a finding that has grown to twice what it was may say so, and counts it.
func (o *open) update() bool {
	if o.updates >= maxUpdates {
		return false
	}
	o.updates++
	return true
}

// regrade tells whether a finding whose severity may rise is to be told again: the severity has
// risen, or what was observed has doubled.
func (o *open) regrade(now event.Severity, doubled bool) bool {
	if now <= o.grade && (!doubled || o.updates >= maxUpdates-1) {
		return false
	}
	o.grade = max(o.grade, now)
	return o.update()
}

func (o *open) all() []event.Ref { return append(o.refs[:len(o.refs):len(o.refs)], o.trigger) }

func (o *open) append(b []byte) []byte {
	b = wire.AppendRef(b, o.trigger)
	b = binary.AppendUvarint(b, uint64(len(o.refs)))
	for _, r := range o.refs {
		b = wire.AppendRef(b, r)
	}
	return append(binary.AppendVarint(b, o.next), o.updates, byte(o.grade))
}

func (o *open) decode(r *wire.Reader) {
	o.trigger = wire.ReadRef(r)
	for range min(r.Len(), event.MaxRefs) {
		o.refs = append(o.refs, wire.ReadRef(r))
	}
	o.next, o.updates, o.grade = r.Varint(), r.Byte(), event.Severity(r.Byte())
}

// double is the value at which a finding that stands at v is next updated: twice as much.
func double(v int64) int64 { return max(2, addSaturating(v, v)) }

// tally is an open finding that is told when its count doubles.
type tally struct {
	what  uint64 // hash of what it is about
	count int64
	first int64 // event time of the first
	open
}

// tallies are the open findings of one entity, oldest first.
type tallies []tally

// maxTallies bounds them; the oldest goes first and would be found anew: who does many different
// things hides none of them, and is told of more often.
const maxTallies = 32

// add counts one more of something and says whether it is to be told: as a new finding, as an
// update, or, if it merely goes on, not at all.
func (l *tallies) add(what uint64, ref event.Ref) (*tally, event.Activity) {
	var t *tally
	for i := range *l {
		if (*l)[i].what == what {
			t = &(*l)[i]
		}
	}
	activity := event.Update
	if t == nil {
		if len(*l) == maxTallies {
			*l = append((*l)[:0], (*l)[1:]...)
		}
		*l = append(*l, tally{what: what, first: ref.Time, open: open{trigger: ref.Clone(), next: 1}})
		t = &(*l)[len(*l)-1]
		activity = event.Create
	}
	if t.count++; t.count < t.next || activity == event.Update && !t.update() {
		return t, event.Again
	}
	t.next = double(t.count)
	return t, activity
}

func (l tallies) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(l)))
	for i := range l {
		t := &l[i]
		b = binary.BigEndian.AppendUint64(b, t.what)
		b = binary.AppendVarint(b, t.count)
		b = binary.AppendVarint(b, t.first)
		b = t.open.append(b)
	}
	return b
}

func (l *tallies) decode(r *wire.Reader) {
	*l = nil
	for range min(r.Len(), maxTallies) {
		t := tally{what: r.Uint64(), count: r.Varint(), first: r.Varint()}
		t.open.decode(r)
		*l = append(*l, t)
	}
}
