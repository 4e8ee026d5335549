package pipeline

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event/wire"
)

// How much of the state a tenant may have, and who makes room.
//
// A tenant has engine.page_cap pages in a stage, its shards an equal part each, so what is
// remembered follows from the log of a shard alone. Beyond it the pages make room that have been
// idle longest, and for an hour at least: whoever invents agents pushes out those that nobody has
// heard of for an hour, and then none at all, but never one that is at work. Who finds no room is
// judged without memory. A page with an open decision (a breaker, a session that goes on, something
// awaited or not yet closed) stays.

// DefaultPageCap is how many pages a tenant may have in each stage if nobody says otherwise. Of
// agents and sessions at work a page takes some 2 KB laid out, 600 bytes put by and 40 bytes of
// memory on disk: a million are 2 GB at worst, 40 MB of memory and 1 GB of disk once they are idle.
const DefaultPageCap = 1_000_000

const (
	roomIdle  = 3_600_000 // ms of event time for which a page must have been idle to make room
	roomEvery = 600_000   // ms of event time between two looks for room where the last one found too little
	// roomShare is the part of a share that one look frees: looking costs a pass over all pages.
	roomShare = 64
	// crowdShare is the part of a tenant's share that sessions of one agent may take: who invents
	// sessions uses up no more.
	crowdShare = 8
	leastCrowd = 4
	// reserve is the part of a share that is kept for breakers beyond it: what is to be stopped is
	// stopped, be the tenant ever so full.
	reserve = 8
	// maxPassed bounds what is remembered of findings about agents without memory.
	maxPassed = 256
)

// share is how many pages a tenant may have in this shard.
func (s *shard) share(tenant string) int {
	total := s.rules.pageCap
	if t := s.policies().Tenant(tenant); t != nil && t.Pages > 0 {
		total = t.Pages
	}
	n := max(1, s.machine.partitions())
	return (total + n - 1) / n
}

// full tells whether a tenant has used up its share, so that what it does may go unseen.
func (s *shard) full(tenant string) bool { return s.tenants[tenant] >= s.share(tenant) }

// crowded is how many sessions of one agent are remembered at most.
func (s *shard) crowded(tenant string) int { return max(leastCrowd, s.share(tenant)/crowdShare) }

// hasRoom tells whether there is room for another page, and makes some if need be.
func (s *shard) hasRoom(key []byte, tenant string) bool {
	if key[0] == sessionKind {
		agent := agentOf(key)
		if of := s.crowd[agent]; of >= s.crowded(tenant) {
			name := string(binary.BigEndian.AppendUint64([]byte{sessionKind}, agent))
			if !s.makeRoom(name, max(1, of/roomShare), func(k string, _ string) bool {
				return k[0] == sessionKind &&
					agentOf(k) == agent
			}, func(a *away) bool { return a.kind() == sessionKind && a.agent == agent }) {
				return false
			}
		}
	}
	if !s.full(tenant) {
		return true
	}
	name := string(append([]byte{agentKind}, tenant...))
	return s.makeRoom(name, max(1, s.share(tenant)/roomShare),
		func(_ string, owner string) bool { return owner == tenant }, func(a *away) bool {
			return s.names[a.tenant()] == tenant
		})
}

// reserved is a page for a breaker: it has room beyond the tenant's share. nil: that is used up,
// too.
func (s *shard) reserved(key []byte, tenant string) *page {
	share := s.share(tenant)
	if s.tenants[tenant] < share+share/reserve+1 {
		return s.newPage(key, tenant)
	}
	return s.page(key, tenant)
}

// idler is a page that may make room.
type idler struct {
	since int64
	// of the key: between two that are idle since the same moment the order must not be anybody's
	// choice of names
	hash uint64
	key  string // "": on disk alone
}

// makeRoom forgets the pages that have been idle longest, n at most, among those that mine names.
// What is found too little for n waits until event time has gone on: else each new page would cost
// a pass over all of them. That it waits is state, for what is forgotten depends on it.
func (s *shard) makeRoom(name string, n int, mine func(key, tenant string) bool, mineAway func(*away) bool) bool {
	now := s.machine.present()
	if now == noTime {
		return false
	}
	window := wire.FloorDiv(now, roomEvery)
	if tried, ok := s.room[name]; ok && tried >= window {
		return false
	}
	var list []idler
	for key, pg := range s.pages {
		if pg != s.holding && pg.idleSince() <= now-roomIdle && mine(key, pg.tenant) && pg.content.evictable() &&
			!pg.going() &&
			s.machine.until(pg) != forever {
			list = append(list, idler{pg.idleSince(), xxhash.Sum64String(key), key})
		}
	}
	for key, c := range s.cold {
		if c.idle <= now-roomIdle && !c.going && mine(key, ownerOf(key)) {
			list = append(list, idler{c.idle, xxhash.Sum64String(key), key})
		}
	}
	for h, a := range s.away {
		if a.idle() <= now-roomIdle && mineAway(&a) {
			list = append(list, idler{a.idle(), h, ""})
		}
	}
	slices.SortFunc(list, func(x, y idler) int {
		return cmp.Or(cmp.Compare(x.since, y.since), cmp.Compare(x.hash, y.hash))
	})
	if len(list) < n {
		maps.DeleteFunc(s.room, func(_ string, tried int64) bool { return tried < window })
		s.room[name] = window
	}
	for n < len(list) && n > 0 && list[n].since == list[n-1].since && list[n].hash == list[n-1].hash {
		n++ // two keys with one hash go together: the disk does not say which is which
	}
	list = list[:min(n, len(list))]
	for i := range list {
		if a, ok := s.away[list[i].hash]; ok && list[i].key == "" {
			s.dropAway(list[i].hash, a)
		} else if pg := s.pageIf([]byte(list[i].key)); pg != nil {
			s.drop(pg)
		}
		s.counts.evicted++
	}
	return len(list) > 0
}

func (s *shard) appendRoom(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.room)))
	for _, name := range slices.Sorted(maps.Keys(s.room)) {
		b = binary.AppendVarint(wire.AppendString(b, name), s.room[name])
	}
	return b
}

func (s *shard) decodeRoom(r *wire.Reader) {
	clear(s.room)
	for range r.Len() {
		name := strings.Clone(r.String())
		s.room[name] = r.Varint()
	}
}

// enter counts a page that has come to be, leave one that has gone.
func (s *shard) enter(pg *page) {
	s.tenants[pg.tenant]++
	if pg.key[0] == sessionKind {
		s.crowd[agentOf(pg.key)]++
	}
}

func (s *shard) leave(pg *page) {
	if s.tenants[pg.tenant]--; s.tenants[pg.tenant] == 0 {
		delete(s.tenants, pg.tenant)
	}
	if pg.key[0] == sessionKind {
		agent := agentOf(pg.key)
		if s.crowd[agent]--; s.crowd[agent] == 0 {
			delete(s.crowd, agent)
		}
	}
}

// agentOf is a hash of the agent in the key of a session's page.
func agentOf[K string | []byte](key K) uint64 {
	n := len(key) - 1
	for key[n] != '|' {
		n--
	}
	var d xxhash.Digest
	d.Reset()
	switch k := any(key[1:n]).(type) {
	case string:
		d.WriteString(k)
	case []byte:
		d.Write(k)
	}
	return d.Sum64()
}

// ownerOf is the tenant in the key of a page that may be put by.
func ownerOf(key string) string {
	from := 1
	if key[0] == scopeKind {
		from = 3
	}
	tenant, _, _ := strings.Cut(key[from:], "|")
	return tenant
}
