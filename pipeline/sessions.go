package pipeline

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// Sessions of a behaviour shard: when one is over, and what its detectors are shown then.

// endIdleSession ends the session that an event goes by the name of, if that has been idle for so
// long that the event begins another one.
func (x *eventContext) endIdleSession(e *event.Event, t int64) error {
	if e.Session == "" {
		return nil
	}
	x.found = x.sessionIf(e.Session)
	if s := x.found; s != nil && s.going && t-s.seen >= detectors.SessionIdleMS {
		return x.b.endSession(s, x.before)
	}
	return nil
}

// endSaid ends the session of an event that says so.
func (x *eventContext) endSaid(e *event.Event) error {
	if e.Kind != event.Session || e.Phase != event.End || e.Session == "" {
		return nil
	}
	s := x.sessionIf(e.Session)
	if s == nil || s.closed {
		return nil
	}
	if s.going {
		if err := x.b.endSession(s, x.before); err != nil {
			return err
		}
	}
	x.b.touch(&s.page)
	s.closed = true
	return nil
}

// endSession shows a session that is over to the detectors. reached is the event time that the
// shard had reached before what ends it.
func (b *behaviour) endSession(s *sessionPage, reached int64) error {
	b.touch(&s.page)
	s.going = false
	delete(b.alive, s)
	agentKey := s.key[:strings.LastIndexByte(s.key, '|')]
	name := append(append(b.key[:0], agentKind), agentKey[1:]...)
	b.key = name
	hash := xxhash.Sum64(name)
	var agent *agentPage
	if pg := b.pageIf(name); pg != nil {
		agent = pg.agent()
	}
	who, t := b.whoOf(s), s.seen
	if err := b.setBaseline(who, s.judgedBy, true); err != nil { // by what its last event was judged by
		return err
	}
	x := detectors.Ending{Who: who, Time: s.seen, AgentID: hash, Memory: &s.memory,
		Delta: b.deltas.of(who, dayOf(t, max(t, reached)))}
	if agent != nil {
		b.touch(&agent.page)
		x.Agent = &agent.memory
	}
	x.Eligible = !b.deltas.discards(x.Delta) && !s.breaker.Open() && b.eligible(who, agent, &event.Event{Tenant: s.tenant},
		s.seen)
	if x.Eligible && s.asked {
		x.Delta.Sessions++
	}
	b.panel.End(&x)
	return nil
}

// whoOf is who had the session, as of its newest event.
func (b *behaviour) whoOf(s *sessionPage) *detectors.Who {
	if s.who == nil || s.set != b.panel.Set {
		persona, fork, _ := strings.Cut(s.role, "\x00")
		if s.who != nil {
			persona, fork = s.who.Persona, s.who.Fork
		}
		s.who, s.set = b.panel.Who(s.tenant, persona, fork), b.panel.Set
	}
	return s.who
}

// endIdle ends the sessions that have been idle for long at a time, once in ten minutes of it: at
// the event that brings the time, wherever slices are cut.
func (b *behaviour) endIdle(now, reached int64) error {
	m := wire.FloorDiv(now, flushEvery)
	if m <= b.ended {
		return nil
	}
	b.ended = m
	return b.endAll(func(active int64) bool { return now-active >= detectors.SessionIdleMS }, reached)
}

// endAll ends sessions, in the order of their names. Of those that are put by it is known since
// when they are idle: the newest time at which they were active.
func (b *behaviour) endAll(ended func(active int64) bool, reached int64) error {
	for key, c := range b.cold {
		if c.going && ended(c.idle) {
			b.thaw([]byte(key))
		}
	}
	var list []*sessionPage
	for s := range b.alive {
		if s.dead || !s.going {
			delete(b.alive, s)
		} else if ended(s.reached) {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(x, y *sessionPage) int { return strings.Compare(x.key, y.key) })
	for _, s := range list {
		if err := b.endSession(s, reached); err != nil {
			return err
		}
	}
	return nil
}
