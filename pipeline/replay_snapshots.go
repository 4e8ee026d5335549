package pipeline

import (
	"cmp"
	"errors"
	"slices"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event/wire"
)

// replaySnapshots keeps the baseline snapshots of a replay. It changes between slices alone, so
// that all behaviour shards may read it at once.
type replaySnapshots struct {
	owner func(baselines.Key) int32
	// ascending: these are in force, whatever the replay closes; nil: what it closes is
	fixed    []Closing
	closings [virtual][]Closing // of each relation shard, ascending
}

// closingOf lists models that were learned elsewhere.
func closingOf(list []*baselines.Model) *Closing {
	c := &Closing{From: noTime}
	for _, m := range list {
		c.Entries = append(c.Entries, Snapshot{Tenant: m.Tenant, Persona: m.Persona, Fork: m.Fork, Day: m.Day,
			Hash: m.Hash(), Seen: m.Seen, AgentDays: m.AgentDays, model: m})
	}
	slices.SortFunc(c.Entries, func(a, b Snapshot) int { return compareKeys(a.Key(), b.Key()) })
	return c
}

// find implements models. The relation stage is never behind in a replay.
func (s *replaySnapshots) find(k baselines.Key, day int64, _ rulingFunc) (*baselines.Model, error) {
	base := s.of(k, day)
	if base == nil {
		return nil, nil
	}
	m := *base // the same snapshot may be in force on several days, beside others of the tenant
	m.Prior = s.of(baselines.Key{Tenant: k.Tenant, Persona: baselines.TenantWide}, day)
	return &m, nil
}

// must implements models.
func (s *replaySnapshots) must(k baselines.Key, day int64, ruled rulingFunc) (*baselines.Model, error) {
	return s.find(k, day, ruled)
}

func (s *replaySnapshots) of(k baselines.Key, day int64) *baselines.Model {
	list := s.fixed
	if list == nil {
		list = s.closings[s.owner(k)]
	}
	i := len(list) - 1
	for i >= 0 && list[i].From > day {
		i--
	}
	if i < 0 {
		return nil
	}
	e, fresh := list[i].For(k)
	switch {
	case e == nil:
		return nil
	case fresh:
		return baselines.Fork(e.model, k, day)
	}
	return e.model
}

// add takes what relation shards have closed.
func (s *replaySnapshots) add(q int32, list []*Closing) {
	for _, c := range list {
		s.closings[q] = append(s.closings[q], *c)
	}
	s.closings[q] = newestOf(s.closings[q])
}

// addFixed takes what somebody else has closed.
func (s *replaySnapshots) addFixed(c Closing) { s.fixed = newestOf(append(s.fixed, c)) }

func newestOf(list []Closing) []Closing {
	return slices.Delete(list, 0, max(0, len(list)-2*keptDays))
}

// endDays does for baselines what a slice's end asks for, before the relation stage goes on to the
// watermark: sessions that have been idle for long end, and if a day is over everything learned goes
// to the relation stage. was is the watermark before.
func (x *replaying) endDays(was int64) error {
	if was == noTime {
		x.over = lastOver(x.watermark)
		x.asked = x.over - keptDays
		x.seed()
		return nil
	}
	if m := wire.FloorDiv(x.watermark, flushEvery); m > x.ended {
		x.ended = m
		errs := make([]error, virtual)
		x.parallel(virtual, func(p int) { errs[p] = x.behaviours[p].endIdle(x.watermark, was) })
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	if day := lastOver(x.watermark); day > x.over {
		x.over = day
		x.flushDeltas()
	}
	return nil
}

// seed puts what was learned elsewhere in force.
func (x *replaying) seed() {
	if len(x.Learn) == 0 {
		return
	}
	var by [virtual][]*baselines.Model
	for _, m := range x.Learn {
		q := x.snapshots.owner(m.Key)
		by[q] = append(by[q], m)
	}
	for q, b := range x.relations {
		b.seed(by[q], x.over)
	}
	x.putInForce()
}

func (x *replaying) flushDeltas() {
	x.parallel(virtual, func(p int) {
		b := x.behaviours[p]
		b.flush()
		b.kept()
	})
	x.passFacts(smallRun)
}

// putInForce puts the snapshots of the days that were closed in force, and reports them.
func (x *replaying) putInForce() {
	if x.Daily != nil {
		for ; x.asked < x.over; x.asked++ {
			if c := closingOf(x.Daily(x.asked + 1)); len(c.Entries) > 0 {
				c.From = x.asked + 1
				x.snapshots.addFixed(*c)
			}
		}
	}
	var closed []closedBaseline
	for q, b := range x.relations {
		days := b.takeClosed()
		x.snapshots.add(int32(q), days.closings)
		closed = append(closed, days.baselines...)
	}
	if len(closed) == 0 || x.Closed == nil {
		return
	}
	slices.SortFunc(closed, func(a, b closedBaseline) int {
		return cmp.Or(cmp.Compare(a.day, b.day), compareKeys(a.Key, b.Key))
	})
	for _, c := range closed {
		x.Closed(c.model, c.delta)
	}
}

// closeLastDays ends the sessions that are not over at the end of the events, and closes the last
// days if these are approved.
func (x *replaying) closeLastDays() error {
	for _, b := range x.behaviours {
		if err := b.endAll(func(int64) bool { return true }, x.watermark); err != nil {
			return err
		}
	}
	x.flushDeltas()
	last := int64(noTime)
	for _, b := range x.relations {
		last = max(last, b.newestPending())
	}
	if last == noTime {
		return nil
	}
	last = min(last, wire.FloorDiv(x.clock.newest, baselines.DayMS)) // not what one wrong clock says
	for _, b := range x.relations {
		if x.Approved {
			b.closeTo(last)
		} else {
			b.showPending()
		}
	}
	x.putInForce()
	return nil
}

// presentModels are the baselines as last closed, sorted by key.
func (x *replaying) presentModels() (out []*baselines.Model) {
	for _, b := range x.relations {
		out = append(out, b.presentModels()...)
	}
	slices.SortFunc(out, func(a, b *baselines.Model) int { return compareKeys(a.Key, b.Key) })
	return out
}
