package pipeline

import (
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// Deltas are what a behaviour shard learns, one for each baseline and day. Those of a slice are
// merged into the pages of the shard when the slice counts, so that an abort leaves no trace. They
// go to the relation stage every ten minutes of event time, and with the slice in which the shard's
// clock passes the end of a day by closeAfter: before the watermark that lets the relation stage
// close that day.

const (
	flushEvery = 600_000 // ms of event time between two flushes of the deltas
	// shadow is how long nothing is learned from an agent after an alert about it, event time.
	shadow = 30 * 60_000

	maxForkDeltas = 32   // forks of a persona and day in the deltas
	maxDeltas     = 1024 // baselines of a tenant in the deltas
	maxRoleName   = 128  // bytes of a persona that has a baseline
)

// gathered is a delta of the slice under way, or of a page.
type gathered struct {
	keyDay
	delta *baselines.Delta
}

// off tells that nothing is learned of a persona.
func off(w *detectors.Who) bool {
	return w.Terms.Off || w.Persona == baselines.TenantWide || len(w.Persona) > maxRoleName
}

// deltaOf is where what is learned of a persona on a day goes.
func (b *behaviour) deltaOf(w *detectors.Who, day int64) *baselines.Delta {
	if w.Delta == nil {
		b.holders = append(b.holders, w)
	}
	if w.Delta == nil || w.Day != day {
		w.Delta, w.Day = b.gather(w, day), day
	}
	return w.Delta
}

func (b *behaviour) gather(w *detectors.Who, day int64) *baselines.Delta {
	if off(w) {
		return &b.waste
	}
	k := keyDay{w.Key, day}
	if i, have := b.gatheredAt[k]; have {
		return b.gathered[i].delta
	}
	if b.deltas[k] == nil {
		baselinesOf, forks := 0, 0
		count := func(o keyDay) {
			if o.Tenant == k.Tenant {
				if baselinesOf++; o.Persona == k.Persona && o.day == day && o.Fork != "" {
					forks++
				}
			}
		}
		for i := range b.gathered {
			count(b.gathered[i].keyDay)
		}
		for o := range b.deltas {
			count(o)
		}
		switch {
		case k.Fork != "" && forks >= maxForkDeltas:
			k.Fork = otherFork
		case baselinesOf >= maxDeltas && w.Role == nil:
			// who makes up personas takes no room from those that are declared
			b.counts.dropped++
			return &b.waste
		}
		if i, have := b.gatheredAt[k]; have {
			return b.gathered[i].delta
		}
	}
	if b.volatile { // nothing is undone
		return b.deltaPageOf(k).delta
	}
	b.gatheredAt[k] = len(b.gathered)
	b.gathered = append(b.gathered, gathered{k, &baselines.Delta{}})
	return b.gathered[len(b.gathered)-1].delta
}

// deltaPageOf is the delta page of a baseline and day. It changes between slices alone, so
// there is nothing to undo.
func (b *behaviour) deltaPageOf(k keyDay) *deltaPage {
	d := b.deltas[k]
	if d == nil {
		pg := makePage(string(appendLearnedKey(nil, deltaKind, k.Key, k.day)))
		pg.tenant = tenantOf(k.Tenant, pg)
		b.put(pg)
		d = pg.content.(*deltaPage)
		b.deltas[k] = d
	}
	b.markDirty(&d.page)
	return d
}

// kept implements machine: what the slice gathered goes to the delta pages, or has gone to the
// relation stage with all that was there.
func (b *behaviour) kept() {
	if b.flushing {
		for _, pg := range b.deltas {
			b.markDirty(&pg.page)
			b.remove(&pg.page)
		}
		clear(b.deltas)
	} else {
		for i := range b.gathered {
			g := &b.gathered[i]
			b.deltaPageOf(g.keyDay).delta.Merge(g.delta)
		}
	}
	if b.flushing || !b.volatile {
		b.forgetSlice()
	}
}

// forgetSlice drops what the slice gathered.
func (b *behaviour) forgetSlice() {
	b.flushing = false
	for _, w := range b.holders {
		w.Delta = nil
	}
	clear(b.holders)
	clear(b.gathered)
	clear(b.gatheredAt)
	b.holders, b.gathered = b.holders[:0], b.gathered[:0]
}

// due tells whether it is time to send the deltas: ten minutes of event time have begun, or nobody
// waits for this shard any more.
func (b *behaviour) due() bool {
	if !b.clock.seen || b.fileTime != nil {
		return false
	}
	if m := wire.FloorDiv(b.clock.reached(), flushEvery); m > b.flushed {
		b.flushed = m
		return true
	}
	return b.idle && len(b.deltas)+len(b.gathered) > 0
}

// flush writes the deltas and what the slice has gathered to the relation stage, in records of
// their own that tell no time: the day must not be closed by the first of several records.
func (b *behaviour) flush() {
	var list []gathered
	for k, pg := range b.deltas {
		list = append(list, gathered{k, pg.delta})
	}
	list = append(list, b.gathered...)
	b.flushing = true
	if len(list) == 0 {
		return
	}
	slices.SortStableFunc(list, func(x, y gathered) int { return x.compare(y.keyDay) })
	// The tenant as a whole gets what is not about the order of calls, and the names of tools,
	// servers and domains.
	whole := map[keyDay]*baselines.Delta{}
	for _, g := range list {
		k := keyDay{baselines.Key{Tenant: g.Tenant, Persona: baselines.TenantWide}, g.day}
		if whole[k] == nil {
			whole[k] = &baselines.Delta{}
		}
		d := g.delta
		whole[k].MergeWide(d)
		if d.Events > 0 {
			whole[k].AddBaseline(xxhash.Sum64String(g.Persona + "\x00" + g.Fork))
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(whole), keyDay.compare) {
		list = append(list, gathered{k, whole[k]})
	}
	out := make([][]byte, b.rules.facts)
	send := func(q int32) {
		b.counts.facts++
		b.emit(output{to: toFacts, partition: q, value: out[q]})
		out[q] = nil
	}
	var scratch []byte
	for _, g := range list {
		q := b.rules.baselineOwner(g.Key)
		if out[q] == nil {
			out[q] = appendFactsHead(nil, factsHead{source: b.p, now: b.now, watermark: noTime, idle: b.idle,
				set: b.panel.Set.Hash()})
		}
		scratch = g.delta.Append(scratch[:0])
		out[q] = appendDelta(out[q], g.keyDay, scratch)
		if len(out[q]) > factsBytes {
			send(q)
		}
	}
	for q := range b.rules.facts {
		if out[q] != nil {
			send(q)
		}
	}
}

// eligible tells whether what an agent does may be learned: nothing is in force that covers it, and
// nobody has just been called because of it.
func (b *behaviour) eligible(w *detectors.Who, agent *agentPage, e *event.Event, t int64) bool {
	switch {
	case b.approved:
		return !off(w)
	case off(w), agent != nil && (t < agent.quarantined || agent.breaker.Open()):
		return false
	case agent != nil && agent.barred > 0 && e.Session != "":
		if s := b.breakerPage(event.Scope{Type: event.SessionScope, Tenant: e.Tenant, Agent: e.Agent.ID, ID: e.Session},
			false); s != nil && s.breaker.Open() {
			return false
		}
	}
	for _, k := range b.wide {
		if k.Open() && covers(&k.Scope, w.Persona, e) {
			return false
		}
	}
	return true
}

// learn fills in what detectors need to judge and to learn by.
func (x *eventContext) learn(pg *agentPage, e *event.Event, t int64) error {
	b := x.b
	if b.fileTime == nil {
		if err := b.endIdle(b.clock.watermark(), x.before); err != nil {
			return err
		}
	}
	now := x.reached
	if !b.begun {
		// The first event of a new installation need not wait: nobody can have closed a day before
		// it. Unless the relation stage has said that it has.
		if b.begun = true; !b.closing {
			b.origin = judgedBy(min(t, now))
		}
	}
	if err := x.endIdleSession(e, t); err != nil {
		return err
	}
	scene := &x.scene
	x.judgedBy = max(judgedBy(min(t, now)), judgedBy(now)-lookBack)
	if err := b.setBaseline(scene.Who, x.judgedBy, false); err != nil {
		return err
	}
	day := dayOf(t, now)
	if scene.AgentID = pg.hash; x.stateless {
		// nobody knows whether it is new, or acts for the hundredth time: nothing is learned from
		// it
		scene.Delta, scene.Eligible, scene.NewDay = &b.waste, false, false
		return nil
	}
	scene.Delta = b.deltaOf(scene.Who, day)
	scene.Eligible = b.eligible(scene.Who, pg, e, t) && scene.Delta != &b.waste
	if scene.NewDay = day > pg.baselineDay; scene.NewDay {
		pg.baselineDay = day
	}
	scene.Delta.Events++
	if scene.Eligible {
		scene.Delta.Learned++
		if scene.NewDay {
			scene.Delta.Acts(pg.hash)
		}
	}
	return nil
}
