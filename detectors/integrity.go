package detectors

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// integrity says when what an agent's events say cannot be read, again and again: content that had
// to be mended, and records that did not decode at all though they name the agent. One of them is
// an accident of some producer; who tries what a reader takes does it more often.
//
// A finding is made by the third within ten minutes. It covers an agent's UTC day and is updated as
// the count doubles, so it is never more than a few records.
type integrity struct{ slot byte }

func newIntegrity(slot byte, _ *policy.Set) Detector { return &integrity{slot} }

// Of what repeats.
const (
	repeatsMS = 600_000
	repeatsN  = 3
)

// What is counted.
const (
	content = iota // could not be read whole
	dead           // did not decode
	damages
)

// damage is what could not be read of an agent.
type damage struct{ of [damages]repeats }

// repeats are events of one kind of damage: the last few, and the finding that may still grow.
type repeats struct {
	recent []event.Ref // the last, fewer than repeatsN, within repeatsMS
	marks  uint64      // what was wrong with them, and with all that the finding covers
	day    int64       // of the finding
	open   tally       // count 0: there is none
}

func (d *integrity) Observe(x *Scene, e *event.Event) {
	if e.Unreadable == 0 {
		return
	}
	r := &x.Agent.Ensure(d.slot).(*damage).of[content]
	if activity := r.add(x.Ref(e), uint64(e.Unreadable)); activity != event.Again {
		d.found(x, e, r, activity, event.Low, "content", "Events of an agent could not be read whole",
			count(r.open.count, "event", "events")+" said what could not be read as it was sent: "+
				strings.Join(event.Unreadable(r.marks).Words(), ", ")+"; the rest was judged")
	}
}

// Broken counts a record that did not decode and still names its agent. e holds that alone.
func (d *integrity) Broken(x *Scene, e *event.Event, reason string) {
	mark := uint64(0)
	for i, r := range event.Reasons {
		if r == reason {
			mark = 1 << i
		}
	}
	r := &x.Agent.Ensure(d.slot).(*damage).of[dead]
	activity := r.add(x.Ref(e), mark)
	if activity == event.Again {
		return
	}
	var why []string
	for i, reason := range event.Reasons {
		if r.marks>>i&1 != 0 {
			why = append(why, reason)
		}
	}
	d.found(x, e, r, activity, event.Medium, "dead-letters", "Records of an agent did not decode",
		count(r.open.count, "record", "records")+" that name the agent did not decode ("+strings.Join(why, ", ")+
			"), so what they report was not judged; they are among the dead letters")
}

func count(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(n, 10) + " " + more
}

func (d *integrity) found(x *Scene, e *event.Event, r *repeats, activity event.Activity, severity event.Severity, rule,
	title, why string) {
	o := &r.open
	x.Find(event.Finding{
		Activity: activity, Analytic: event.RuleAnalytic, Severity: severity, Risk: risk(severity), Alert: true,
		Detector: "integrity", Rule: rule, Title: title, Why: why, ScopeType: "agent", ScopeID: e.Agent.ID,
		Time: o.trigger.Time, First: o.first, Last: max(x.Time, o.trigger.Time), Count: o.count, Refs: o.all(),
	})
}

// add counts one more and says whether it is to be told.
func (r *repeats) add(ref event.Ref, marks uint64) event.Activity {
	day := wire.FloorDiv(ref.Time, 86_400_000)
	if r.open.count > 0 && day <= r.day {
		// a day before is no new one: whoever sends old stamps would be told of for ever
		r.marks |= marks
		if r.open.count++; r.open.count < r.open.next || !r.open.update() {
			return event.Again
		}
		r.open.next = double(r.open.count)
		return event.Update
	}
	if r.open.count > 0 {
		*r = repeats{}
	}
	kept := r.recent[:0]
	for _, old := range r.recent {
		if ref.Time-old.Time <= repeatsMS && old.Time-ref.Time <= repeatsMS {
			kept = append(kept, old)
		}
	}
	if r.recent = kept; len(kept) == 0 {
		r.marks = 0
	}
	if r.marks |= marks; len(kept) < repeatsN-1 {
		r.recent = append(kept, ref.Clone())
		return event.Again
	}
	first := ref.Time
	for _, old := range kept {
		first = min(first, old.Time)
	}
	r.day = day
	r.open = tally{count: repeatsN, first: first, open: open{trigger: ref.Clone(), refs: kept, next: double(repeatsN)}}
	r.recent = nil
	return event.Create
}

// Append encodes the damage.
func (p *damage) Append(b []byte) []byte {
	empty := true
	for i := range p.of {
		empty = empty && len(p.of[i].recent) == 0 && p.of[i].open.count == 0
	}
	if empty {
		return b
	}
	for i := range p.of {
		r := &p.of[i]
		b = binary.AppendUvarint(b, uint64(len(r.recent)))
		for _, ref := range r.recent {
			b = wire.AppendRef(b, ref)
		}
		b = binary.AppendVarint(binary.AppendUvarint(b, r.marks), r.day)
		var open tallies
		if r.open.count > 0 {
			open = tallies{r.open}
		}
		b = open.append(b)
	}
	return b
}

// Decode reads what Append wrote.
func (p *damage) Decode(rd *wire.Reader) {
	*p = damage{}
	for i := range p.of {
		r := &p.of[i]
		for range min(rd.Len(), repeatsN-1) {
			r.recent = append(r.recent, wire.ReadRef(rd))
		}
		r.marks, r.day = rd.Uvarint(), rd.Varint()
		var open tallies
		if open.decode(rd); len(open) > 0 {
			r.open = open[0]
		}
	}
}

// integrityKind registers the detector of records that are damaged or lost.
var integrityKind = Kind{Name: "integrity", Slot: 10, New: newIntegrity, Part: func() Part { return new(damage) }}
