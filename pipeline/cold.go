package pipeline

import (
	"math"
	"slices"
)

// coldAfter is for how long, in milliseconds of event time, nobody must have asked for a page for it to be put by.
const coldAfter = 3_600_000

// cold is a page that nobody has asked for of late, as it would be written to disk: with its parts laid out it takes some five times that, and of a million agents
// that are known few are at work. When a page is put by is no state: nothing that is found depends on it.
type cold struct {
	until int64 // event time after which the page is forgotten
	idle  int64 // since when nobody has asked for it, event time
	body  []byte
}

// forever is until when a page is kept that must not be forgotten by its age.
const forever = math.MaxInt64

// plain tells whether nothing in the shard points to the page for what it holds: only then may it be put by.
func (pg *page) plain() bool {
	switch pg.key[0] {
	case agentPage, sessionPage, scopePage:
		return pg.breaker == nil && pg.guard == nil && pg.barred == 0 && !pg.going && len(pg.pending)+pg.notes.n == 0
	}
	return false
}

// sweep forgets the pages that are past their time by t, and puts those by that have been idle for a while. Event time decides, so every run forgets the same.
func (s *shard) sweep(t int64) {
	for _, pg := range s.pages {
		if pg.last != nil && pg.last.dead {
			pg.last = nil // an agent would else keep its last session for ever
		}
		switch until := s.machine.until(pg); {
		case until < t:
			s.drop(pg)
		case until != forever && pg.idleSince() < t-coldAfter && !pg.dirty && !(s.undoable && pg.txn == s.txn) && pg.plain():
			s.putBy(pg, until)
		}
	}
	for key, c := range s.cold {
		if c.until < t {
			s.drop(s.thaw([]byte(key)))
		}
	}
}

func (s *shard) putBy(pg *page, until int64) {
	s.packed = pg.appendTo(s.packed[:0])
	s.cold[pg.key] = cold{until, pg.idleSince(), slices.Clip(slices.Clone(s.packed))}
	pg.dead = true // who still points to it must ask anew
	delete(s.pages, pg.key)
}

// thaw brings back a page that was put by; nil: there is none.
func (s *shard) thaw(key []byte) *page {
	c, ok := s.cold[string(key)]
	if !ok {
		return nil
	}
	pg := &page{key: string(key)}
	if err := pg.decode(c.body); err != nil {
		panic(err) // our bug: we wrote it
	}
	pg.tenant = tenantOf(pg.tenant, pg)
	delete(s.cold, pg.key)
	s.pages[pg.key] = pg
	return pg
}

// take files a page that comes from disk. Most will not be asked for soon.
func (s *shard) take(pg *page, body []byte) {
	pg.tenant = tenantOf(pg.tenant, pg)
	s.enter(pg)
	if until := s.machine.until(pg); until != forever && pg.plain() {
		s.cold[pg.key] = cold{until, pg.idleSince(), slices.Clip(slices.Clone(body))}
		return
	}
	s.pages[pg.key] = pg
	s.indexed(pg)
}

// pageCount is how many pages there are.
func (s *shard) pageCount() int { return len(s.pages) + len(s.cold) }
