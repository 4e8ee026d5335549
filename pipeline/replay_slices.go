package pipeline

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"github.com/wayward-sec/wayward/event"
)

// Slices of a replay: what the two stages write to each other, and when they read it.

// applyQueued runs the events that are queued through the behaviour stage, if there are any, and
// brings what follows from them to the relation stage.
func (x *replaying) applyQueued() error {
	if x.queued == 0 {
		return nil
	}
	return x.runBehaviours()
}

// runBehaviours applies the control records and the events that wait for behaviour shards.
func (x *replaying) runBehaviours() error {
	var errs [virtual]error
	x.spread(x.queued, func(p int) { errs[p] = x.runBehaviour(p) })
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	x.passFacts(x.queued)
	x.queued = 0
	return nil
}

// spread calls f for each virtual partition: on the workers if the events are worth it.
func (x *replaying) spread(events int, f func(p int)) {
	if events >= smallRun {
		x.parallel(virtual, f)
		return
	}
	for p := range virtual {
		f(p)
	}
}

func (x *replaying) runBehaviour(p int) error {
	b := x.behaviours[p]
	if len(x.queues[p]) == 0 && len(x.behaviourControl[p]) == 0 {
		return nil
	}
	for i := range x.behaviourControl[p] {
		if err := b.control(&x.behaviourControl[p][i]); err != nil {
			return err
		}
	}
	for _, it := range x.queues[p] {
		if it.undecoded != "" {
			b.undecoded(&event.Named{Tenant: it.e.Tenant, Agent: it.e.Agent.ID, ID: it.e.ID, Time: it.e.Time, Sum: it.sum},
				it.stamp, it.undecoded)
			continue
		}
		if err := b.observeOfFile(&it.e, &it.filePlace); err != nil {
			return err
		}
		if x.observed != nil {
			x.observed(b.scene(), &it.e)
		}
	}
	b.seal()
	b.kept()
	clear(x.queues[p])
	x.queues[p], x.behaviourControl[p] = x.queues[p][:0], x.behaviourControl[p][:0]
	return nil
}

// passFacts brings what the behaviour stage has written to the relation stage. events is how many
// it is about.
func (x *replaying) passFacts(events int) {
	for _, b := range x.behaviours {
		b.drainOutput(func(o *output) {
			if o.to == toFacts && isControlFacts(o.value) {
				x.relationControl[o.partition] = append(x.relationControl[o.partition], record{value: o.value})
			} else if o.to == toFacts {
				x.facts[o.partition] = append(x.facts[o.partition], record{value: o.value})
			}
		})
	}
	x.spread(events, func(q int) {
		for i := range x.facts[q] {
			x.relations[q].apply(mainLog, &x.facts[q][i])
		}
		clear(x.facts[q])
		x.facts[q] = x.facts[q][:0]
	})
}

// endSlice lets the relation stage close what the watermark has passed. Its verdicts wait for the
// next slice.
func (x *replaying) endSlice() error {
	if err := x.applyQueued(); err != nil {
		return err
	}
	if err := x.spill(); err != nil {
		return err
	}
	was := x.watermark
	x.watermark = x.slice * sliceMS
	if err := x.endDays(was); err != nil {
		return err
	}
	x.applyRelationControl()
	x.expire() // also what was ordered late enough to be over already
	x.applyRelationControl()
	x.spread(int(x.sum.Events-x.before), func(q int) { x.relations[q].advanceTo(x.watermark) })
	x.before = x.sum.Events
	x.putInForce()
	return x.deliver()
}

// applyRelationControl applies what behaviour shards have asked of relation shards in the slice, and
// what these ask of each other because of it.
func (x *replaying) applyRelationControl() {
	for some := true; some; {
		some = false
		for q, list := range x.relationControl {
			some = some || len(list) > 0
			slices.SortFunc(list, func(a, b record) int {
				return cmp.Or(cmp.Compare(tripTime(a.value), tripTime(b.value)), bytes.Compare(a.value, b.value))
			})
			x.relationControl[q] = nil
			for i := range list {
				x.relations[q].apply(mainLog, &list[i])
			}
		}
		x.passControl()
	}
}

// passControl files the control records that the relation stage has written for both stages.
func (x *replaying) passControl() {
	for _, b := range x.relations {
		b.drainOutput(func(o *output) {
			switch o.to {
			case toControl:
				x.behaviourControl[o.partition] = append(x.behaviourControl[o.partition], record{value: o.value})
			case toFacts:
				x.relationControl[o.partition] = append(x.relationControl[o.partition], record{value: o.value})
			}
		})
	}
}

// tripTime is the event time of the order in a control record among facts; 0 if there is none.
func tripTime(value []byte) int64 {
	_, body, _ := readFactsHead(value)
	if c, err := readControl(body.B); err == nil && c.Trip != nil {
		return c.Trip.Order.Time
	}
	return 0
}

// expire ends breakers whose duration is over by the watermark, which is a replay's wall clock. It
// takes effect at the start of the next slice, as verdicts do.
func (x *replaying) expire() {
	for p := range virtual {
		for _, c := range x.behaviours[p].overAt(x.watermark) {
			x.behaviourControl[p] = append(x.behaviourControl[p], record{value: c.encode()})
		}
		for _, c := range x.relations[p].overAt(x.watermark) {
			x.relationControl[p] = append(x.relationControl[p], record{value: controlFacts(0, 0, "", c)})
		}
	}
}

func (x *replaying) end() error {
	if err := x.applyQueued(); err != nil {
		return err
	}
	if err := x.closeLastDays(); err != nil {
		return err
	}
	x.applyRelationControl()
	x.expire()
	x.applyRelationControl()
	for _, b := range x.relations {
		b.closePassed() // what came late in the last slice
		if x.Flush {
			b.flush()
		}
	}
	if err := x.deliver(); err != nil {
		return err
	}
	// What the relation stage has written last, and what follows from it, until nothing waits any more.
	waits := func(lists [virtual][]record) bool {
		return slices.ContainsFunc(lists[:], func(r []record) bool { return len(r) > 0 })
	}
	for waits(x.behaviourControl) || waits(x.relationControl) {
		if err := x.runBehaviours(); err != nil {
			return err
		}
		x.applyRelationControl()
		if err := x.deliver(); err != nil {
			return err
		}
	}
	return nil
}
