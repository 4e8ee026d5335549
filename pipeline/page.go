package pipeline

import (
	"encoding/binary"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/response"
)

// pageFormat is the version of a page's encoding.
const pageFormat = 5

// page is what all kinds of pages have: the state of one entity, by its key. The first byte of the
// key says of which kind it is; content is the page of that kind, which begins with this header, so
// that both are one piece of memory.
//
// Among ten thousand agents hardly any page is in the processor's cache when its event comes, so
// what each event needs stands first and together.
type page struct {
	content content
	key     string
	seen    int64 // newest event time, Unix milliseconds
	// when something that is no event of it last changed it: a verdict, its breaker. Wall clock,
	// too, so it tells nothing but how long the page is kept
	kept   int64
	txn    uint64 // transaction that last touched it; not stored
	dirty  bool   // since the last checkpoint; not stored
	stored bool   // the disk has it as it is; not stored
	// no longer among the shard's pages; the next checkpoint deletes it. Not stored
	dead    bool
	breaker *response.Breaker // of an agent, a session or a wider scope, once it was tripped
	tenant  string
	// wall clock at which the shard was last told what the clock says of its breaker; not stored
	wound int64
}

// content is what a page has by its kind.
type content interface {
	appendContent(b []byte) []byte
	// decodeContent reads what appendContent wrote into the page in place: pointers to it stay
	// good.
	decodeContent(r *wire.Reader)
	// lastUse is the newest event time at which somebody had to do with the page.
	lastUse() int64
	// evictable tells whether nothing in the shard points to the page for what it holds: only then
	// may it leave memory, or its parts be packed.
	evictable() bool
}

// Kinds of pages: the first byte of the key.
const (
	agentKind   = 'a' // a tenant|agent
	sessionKind = 's' // s tenant|agent|session
	scopeKind   = 'x' // x slot scope tenant|id
	wideKind    = 'w' // w tenant|type|id: the breaker of a scope above agents
	deltaKind   = 'd' // d tenant|persona|fork|day: what a day adds to a baseline
	modelKind   = 'm' // m tenant|persona|fork|day: a snapshot
)

// makePage makes the page of a key, which is not empty.
func makePage(key string) (pg *page) {
	switch key[0] {
	case agentKind:
		c := &agentPage{}
		pg, c.content = &c.page, c
	case sessionKind:
		c := &sessionPage{began: noTime}
		pg, c.content = &c.page, c
	case scopeKind:
		c := &scopePage{}
		pg, c.content = &c.page, c
	case deltaKind:
		c := &deltaPage{delta: &baselines.Delta{}}
		c.baseline, c.day = learnedKey(key)
		pg, c.content = &c.page, c
	case modelKind:
		c := &modelPage{}
		c.baseline, c.day = learnedKey(key)
		pg, c.content = &c.page, c
	default: // of a scope above agents
		c := &widePage{}
		pg, c.content = &c.page, c
	}
	pg.key = key
	return pg
}

// agent is the page as that of an agent, which its key says it is; likewise session and scope.
func (pg *page) agent() *agentPage { return pg.content.(*agentPage) }

func (pg *page) session() *sessionPage { return pg.content.(*sessionPage) }

func (pg *page) scope() *scopePage { return pg.content.(*scopePage) }

// going tells whether it is the page of a session that has not ended.
func (pg *page) going() bool {
	s, ok := pg.content.(*sessionPage)
	return ok && s.going
}

// lastUse is that of most kinds.
func (pg *page) lastUse() int64 { return max(pg.seen, pg.kept) }

// idleSince is the newest event time at which somebody had to do with the page.
func (pg *page) idleSince() int64 { return pg.content.lastUse() }

// appendTo encodes the page: for the disk, the changelog, and as before-image.
func (pg *page) appendTo(b []byte) []byte {
	b = append(b, pageFormat)
	b = wire.AppendString(b, pg.tenant)
	b = binary.AppendVarint(binary.AppendVarint(b, pg.seen), pg.kept)
	return pg.content.appendContent(b)
}

// decode reads what appendTo wrote into the page in place: pointers to it stay good.
func (pg *page) decode(b []byte) error {
	r := wire.Reader{B: b}
	if f := r.Byte(); f != pageFormat && r.Err == nil {
		return errFormat(f)
	}
	if t := r.Bytes(); pg.tenant != string(t) {
		pg.tenant = string(t)
	}
	pg.seen, pg.kept = r.Varint(), r.Varint()
	pg.content.decodeContent(&r)
	return r.Err
}

// Flags before what hangs on a page.
const (
	breakerFlag = 1
	guardFlag   = 2
)

// appendRest encodes what ends each page but those of baselines: its breaker, its guard, its
// memory.
func (pg *page) appendRest(b []byte, guard *response.Guard, memory *detectors.Memory) []byte {
	flags := byte(0)
	if pg.breaker != nil {
		flags |= breakerFlag
	}
	if guard != nil {
		flags |= guardFlag
	}
	b = append(b, flags)
	if pg.breaker != nil {
		b = pg.breaker.Append(b)
	}
	if guard != nil {
		b = guard.Append(b)
	}
	return memory.Append(b)
}

// decodeRest reads what appendRest wrote.
func (pg *page) decodeRest(r *wire.Reader, memory *detectors.Memory) (guard *response.Guard) {
	pg.breaker = nil
	flags := r.Byte()
	if flags&breakerFlag != 0 {
		pg.breaker = &response.Breaker{}
		pg.breaker.Decode(r)
	}
	if flags&guardFlag != 0 {
		guard = &response.Guard{}
		guard.Decode(r)
	}
	memory.Decode(r)
	return guard
}

// appendLearnedKey is the key of a page of a baseline.
func appendLearnedKey(b []byte, kind byte, k baselines.Key, day int64) []byte {
	b = append(append(append(b, kind), k.Tenant...), '|')
	b = append(event.AppendKeyPart(b, k.Persona), '|')
	b = append(event.AppendKeyPart(b, k.Fork), '|')
	return binary.BigEndian.AppendUint64(b, uint64(day)^1<<63) // ascending, whatever the sign
}

// learnedKey takes the key of such a page apart.
func learnedKey(page string) (k baselines.Key, day int64) {
	if len(page) < 1+8 {
		return k, 0
	}
	names, number := page[1:len(page)-8], page[len(page)-8:]
	k.Tenant, names, _ = strings.Cut(names, "|")
	persona, fork, _ := strings.Cut(names, "|")
	k.Persona, k.Fork = event.KeyPart(persona), event.KeyPart(strings.TrimSuffix(fork, "|"))
	return k, int64(binary.BigEndian.Uint64([]byte(number)) ^ 1<<63)
}
