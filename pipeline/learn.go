package pipeline

import (
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
)

// What is learned from an event: of whom, for which day, and when nothing is.

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
		scene.Delta, scene.Eligible, scene.NewDay = &b.deltas.discarded, false, false
		return nil
	}
	scene.Delta = b.deltas.of(scene.Who, day)
	scene.Eligible = b.eligible(scene.Who, pg, e, t) && !b.deltas.discards(scene.Delta)
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
