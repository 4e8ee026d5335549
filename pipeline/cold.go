package pipeline

import (
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/state"
)

// coldAfter is for how long, in milliseconds of event time, nobody must have asked for a page for
// it to be put by.
const coldAfter = 3_600_000

// cold is a page that nobody has asked for of late, as it would be written to disk: with its parts
// laid out it takes some five times that, and of a million agents that are known few are at work.
// When a page is put by is no state: nothing that is found depends on it.
type cold struct {
	until  int64  // event time after which the page is forgotten
	idle   int64  // since when nobody has asked for it, event time
	going  bool   // a session that has not ended
	stored bool   // the disk has it as it is
	body   []byte // nil: on disk alone; of a session that has not ended, since it must be found when it has
}

// away is a page that is on disk alone, known by a hash of its key: some 40 bytes of memory in the
// map. That is no state either.
type away struct {
	word  uint64 // since when it is idle, the number of its tenant in the shard's names, its kind
	agent uint64 // of a session: agentOf its key
}

// Bits of away.word. What does not fit stays in memory.
const (
	idleBits   = 44 // until the year 2527
	tenantBits = 18
)

func (a away) idle() int64 { return int64(a.word & (1<<idleBits - 1)) }

func (a away) tenant() uint32 { return uint32(a.word >> idleBits & (1<<tenantBits - 1)) }

func (a away) kind() byte {
	return [...]byte{agentKind, sessionKind, scopeKind, 0}[a.word>>(idleBits+tenantBits)]
}

// forever is until when a page is kept that must not be forgotten by its age.
const forever = math.MaxInt64

// sweep forgets the pages that are past their time by t, and puts those by that have been idle for
// a while. Event time decides, so every run forgets the same.
func (s *shard) sweep(t int64) {
	for _, pg := range s.pages {
		if a, ok := pg.content.(*agentPage); ok && a.last != nil && a.last.dead {
			a.last = nil // an agent would else keep its last session for ever
		}
		switch until := s.machine.until(pg); {
		case until < t:
			s.drop(pg)
		case until != forever && pg.idleSince() < t-coldAfter && !pg.dirty && !(s.undoable && pg.txn == s.txn) &&
			pg.content.evictable():
			s.putBy(pg, until)
		}
	}
	for key, c := range s.cold {
		if c.until < t {
			s.drop(s.thaw([]byte(key)))
		}
	}
	for h, a := range s.away {
		if s.machine.untilOf(a.kind(), a.idle()) < t {
			s.dropAway(h, a)
		}
	}
}

func (s *shard) putBy(pg *page, until int64) {
	s.packed = pg.appendTo(s.packed[:0])
	s.cold[pg.key] = cold{until, pg.idleSince(), pg.going(), pg.stored, slices.Clip(slices.Clone(s.packed))}
	s.lay(pg)
}

// lay takes a page out of memory whose content is elsewhere.
func (s *shard) lay(pg *page) {
	pg.dead = true // who still points to it must ask anew
	delete(s.pages, pg.key)
	s.machine.laid(pg)
}

// lostPage is the panic of a page that the disk does not give back. Who asks for a page has no way
// on without it: a live shard is loaded anew, which rebuilds what is damaged, and a replay ends.
type lostPage struct{ error }

func (l lostPage) Unwrap() error { return l.error }

// thaw brings back a page that was put by; nil: there is none.
func (s *shard) thaw(key []byte) *page {
	c, ok := s.cold[string(key)]
	stored, body := c.stored, c.body
	if body == nil {
		h := uint64(0)
		if !ok {
			if len(s.away) == 0 {
				return nil
			}
			h = xxhash.Sum64(key)
			if _, ok := s.away[h]; !ok {
				return nil
			}
		}
		var err error
		if body, err = s.rules.store.Get(s.space, key); err != nil {
			panic(lostPage{fmt.Errorf("page %q: %w", key, err)})
		}
		switch {
		case body == nil && ok:
			panic(lostPage{fmt.Errorf("page %q is not on disk", key)})
		case body == nil: // it is another page, whose key has the same hash
			return nil
		case !ok:
			delete(s.away, h)
		}
		stored = true
	}
	pg := makePage(string(key))
	pg.stored = stored
	if err := pg.decode(body); err != nil {
		panic(fmt.Errorf("page %q: %w", key, err)) // our bug: we wrote it
	}
	pg.tenant = tenantOf(pg.tenant, pg)
	delete(s.cold, pg.key)
	s.pages[pg.key] = pg
	s.indexed(pg)
	return pg
}

// take files a page that comes from disk. Most will not be asked for soon.
func (s *shard) take(pg *page, body []byte) {
	pg.tenant = tenantOf(pg.tenant, pg)
	pg.stored = true
	s.enter(pg)
	if until := s.machine.until(pg); until != forever && pg.content.evictable() {
		if s.rules.store != nil && s.rules.budget.tight() && s.putAway(pg) {
			return
		}
		s.cold[pg.key] = cold{until, pg.idleSince(), pg.going(), true, slices.Clip(slices.Clone(body))}
		return
	}
	s.pages[pg.key] = pg
	s.indexed(pg)
}

// pageCount is how many pages there are.
func (s *shard) pageCount() int { return len(s.pages) + len(s.cold) + len(s.away) }

// putAway notes that a page is on disk alone; false: it must stay.
func (s *shard) putAway(pg *page) bool {
	if pg.going() {
		s.cold[pg.key] = cold{until: s.machine.until(pg), idle: pg.idleSince(), going: true, stored: true}
		return true
	}
	return s.sendAway(pg.key, pg.tenant, pg.idleSince(), s.machine.until(pg))
}

func (s *shard) sendAway(key, tenant string, idle, until int64) bool {
	h := xxhash.Sum64String(key)
	id, known := s.ids[tenant]
	if _, taken := s.away[h]; taken || s.machine.untilOf(key[0], idle) != until || idle < 0 || idle >= 1<<idleBits ||
		!known && len(s.names) >= 1<<tenantBits {
		return false
	}
	if !known {
		id = uint32(len(s.names))
		tenant = string([]byte(tenant)) // not a piece of a page's key
		s.names = append(s.names, tenant)
		s.ids[tenant] = id
	}
	a := away{}
	kind := uint64(0)
	switch key[0] {
	case sessionKind:
		kind, a.agent = 1, agentOf(key)
	case scopeKind:
		kind = 2
	}
	a.word = uint64(idle) | uint64(id)<<idleBits | kind<<(idleBits+tenantBits)
	s.away[h] = a
	return true
}

// dropAway forgets a page that is on disk alone. The next checkpoint deletes it there.
func (s *shard) dropAway(h uint64, a away) {
	if s.undoable {
		s.undo = append(s.undo, before{gone: h, away: a, from: -2})
	}
	delete(s.away, h)
	s.count1(s.names[a.tenant()], a, -1)
	if !s.volatile {
		s.doomed[h] = true
	}
}

// count1 counts a page on disk in or out.
func (s *shard) count1(tenant string, a away, by int) {
	if s.tenants[tenant] += by; s.tenants[tenant] == 0 {
		delete(s.tenants, tenant)
	}
	if a.kind() == sessionKind {
		if s.crowd[a.agent] += by; s.crowd[a.agent] == 0 {
			delete(s.crowd, a.agent)
		}
	}
}

// PageBytes is about what a page takes in memory while it is at work: of agents and sessions of
// made-up fleets 2,000 bytes were measured.
const PageBytes = 2000

// What pages take in memory, roughly: laid out, and put by, beside their encoding.
const (
	laidOut  = PageBytes
	coldOver = 150
)

// shed puts pages on disk, those first that have been idle longest, until about so many bytes are
// free, and returns how many are. Between transactions alone. Those that have changed since the
// last checkpoint stay, unless nothing is ever saved: then they are written now.
func (s *shard) shed(want int64) (freed int64, err error) {
	type idle struct {
		since int64
		key   string
		size  int64
	}
	var list []idle
	for key, c := range s.cold {
		if c.body == nil {
			continue
		}
		list = append(list, idle{c.idle, key, int64(len(c.body)) + coldOver})
	}
	for key, pg := range s.pages {
		if !pg.dirty && (pg.stored || s.volatile) && pg.content.evictable() && s.machine.until(pg) != forever {
			list = append(list, idle{pg.idleSince(), key, laidOut})
		}
	}
	slices.SortFunc(list, func(x, y idle) int {
		switch {
		case x.since < y.since:
			return -1
		case x.since > y.since:
			return 1
		}
		return 0
	})
	n := 0
	for ; n < len(list) && freed < want; n++ {
		freed += list[n].size
	}
	list = list[:n]
	if s.volatile {
		err = s.rules.store.Put(s.space, func(yield func(state.Page) bool) {
			for i := range list {
				key := list[i].key
				if c, ok := s.cold[key]; ok {
					if !c.stored && !yield(state.Page{Key: key, Value: c.body}) {
						return
					}
				} else if pg := s.pages[key]; !pg.stored && !yield(state.Page{Key: key, Value: pg.appendTo(nil)}) {
					return
				}
			}
		})
		if err != nil {
			return 0, err
		}
	}
	for i := range list {
		key := list[i].key
		if c, ok := s.cold[key]; ok {
			if c.going {
				c.body, c.stored = nil, true
				s.cold[key] = c
			} else if s.sendAway(key, ownerOf(key), c.idle, c.until) {
				delete(s.cold, key)
			}
		} else if pg := s.pages[key]; s.putAway(pg) {
			s.lay(pg)
		}
	}
	return freed, nil
}

// withDoomed adds to the pages of a checkpoint the deletion of those that were on disk alone when
// they were forgotten, whose keys only the disk knows.
func withDoomed(store *state.Store, sp state.Space, pages iter.Seq[state.Page],
	doomed map[uint64]bool) iter.Seq[state.Page] {
	if len(doomed) == 0 {
		return pages
	}
	return func(yield func(state.Page) bool) {
		for pg := range pages {
			delete(doomed, xxhash.Sum64String(pg.Key)) // it has come to be again
			if !yield(pg) {
				return
			}
		}
		store.Keys(sp, func(key string) bool {
			return !doomed[xxhash.Sum64String(key)] || yield(state.Page{Key: key})
		})
	}
}
