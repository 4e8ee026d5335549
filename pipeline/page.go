package pipeline

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/response"
	"github.com/wayward-sec/wayward/sketch"
)

// pageFormat is the version of a page's encoding.
const pageFormat = 5

// page is one entity's state: an agent, a session, or a scope above agents. The first byte of its
// key says which.
//
// Among ten thousand agents hardly any page is in the processor's cache when its event comes, so
// what each event needs stands first and together.
type page struct {
	key  string
	seen int64 // newest event time, Unix milliseconds
	// when something that is no event of it last changed it: a verdict, its breaker. Wall clock,
	// too, so it tells nothing but how long the page is kept
	kept int64
	txn  uint64 // transaction that last touched it; not stored
	// of an agent: newest hour of event time in which it acted; of a session: event time that the
	// shard, or the session itself, had reached with its newest event
	active int64
	// of an agent: newest day of a baseline that it contributed to; of a session: of the snapshots
	// by which its newest event was judged
	day int64
	// of an agent: until when nothing is learned from it, event time: something was found about it
	shady int64

	// Not stored.
	last *page // of an agent: session of its newest event, mostly the next event's, too
	// tenant, persona and fork; of a session: those of its agent at its newest event
	who *detectors.Who
	set *policy.Set // under which who holds
	// persona as sent when who was looked up; of a session that comes from disk: persona and fork,
	// apart by a zero
	sent     string
	mismatch policy.Mismatch // of sent
	fork     uint64          // hash of version, model and charter when who was looked up; 0: none sent
	hash     uint64          // of an agent's key
	dirty    bool            // since the last checkpoint
	stored   bool            // the disk has it as it is
	dead     bool            // dropped: no longer among the shard's pages; the next checkpoint deletes it
	// stored, of a session: it has begun and has not ended; what comes under its name later is
	// another one
	going  bool
	closed bool // stored, of a session: it said that it ended
	asked  bool // stored, of a session: a detector has asked for it, so it counts as one

	held   *attributes // what an agent, or a session of it, has said of itself; nil: nothing
	errand *errand     // likewise of a session
	heldAt int64       // event time at which it last said something else
	began  int64       // of a session: event time of the event that began it; noTime: none yet

	recent sketch.Recent[uint64] // of an agent: hashes of its newest events, see repeated
	memory detectors.Memory

	breaker  *response.Breaker // of an agent, a session or a wider scope, once it was tripped
	barred   int64             // of an agent: sessions of it that are stopped
	verdicts int64             // of the relation stage about an agent
	tenant   string

	// Of a scope alone: what is contributed but not closed, by bucket.
	pending []detectors.Bucket
	notes   notes
	guard   *response.Guard // of a persona

	learned *learned // of a baseline: what waits to be learned, or a snapshot
	// wall clock at which the shard was last told what the clock says of its breaker; not stored
	wound int64
}

// Kinds of pages: the first byte of the key.
const (
	agentPage   = 'a' // a tenant|agent
	sessionPage = 's' // s tenant|agent|session
	scopePage   = 'x' // x slot scope tenant|id
	widePage    = 'w' // w tenant|type|id: the breaker of a scope above agents
	deltaPage   = 'd' // d tenant|persona|fork|day: what a day adds to a baseline
	modelPage   = 'm' // m tenant|persona|fork|day: a snapshot
)

// maxRecent bounds them: an agent that acts once pays for one id, an active one is protected over
// maxRecent events.
const maxRecent = 32

// repeated notes an event, by hashes of its id and of its record, and tells whether it is among the
// agent's newest. Another record under an id is another event: agents count from 1 after a restart,
// and an attempt and its result may share the id of their call. Half of either hash is enough, for
// both must be those of one of a few events; and the page stays as small.
func (pg *page) repeated(id, record uint64) bool {
	id = id&^math.MaxUint32 | record>>32
	if pg.recent.Has(id) {
		return true
	}
	pg.recent.Add(id, maxRecent)
	return false
}

// appendTo encodes the page: for the disk, the changelog, and as before-image.
func (pg *page) appendTo(b []byte) []byte {
	b = append(b, pageFormat)
	b = wire.AppendString(b, pg.tenant)
	b = binary.AppendVarint(binary.AppendVarint(b, pg.seen), pg.kept)
	switch pg.key[0] {
	case agentPage:
		b = binary.AppendVarint(b, pg.verdicts)
		b = binary.AppendVarint(b, pg.active)
		b = binary.AppendVarint(b, pg.barred)
		b = binary.AppendVarint(b, pg.day)
		b = binary.AppendVarint(b, pg.shady)
		b = append(b, byte(len(pg.recent.Ring)), byte(pg.recent.Next))
		for _, h := range pg.recent.Ring {
			b = binary.BigEndian.AppendUint64(b, h)
		}
		b = pg.appendHeld(b)
	case sessionPage:
		b = binary.AppendVarint(binary.AppendVarint(b, pg.active), pg.day)
		going := byte(0)
		if pg.going {
			going = 1
		}
		if pg.asked {
			going |= 2
		}
		if pg.closed {
			going |= 4
		}
		b = binary.AppendVarint(append(b, going), pg.began)
		b = pg.appendHeld(b)
		if pg.who != nil {
			b = binary.AppendUvarint(b, uint64(len(pg.who.Persona)+1+len(pg.who.Fork)))
			b = append(append(append(b, pg.who.Persona...), 0), pg.who.Fork...)
		} else {
			b = wire.AppendString(b, pg.sent)
		}
	case deltaPage, modelPage:
		return pg.learned.append(b)
	case scopePage:
		b = binary.AppendUvarint(b, uint64(len(pg.pending)))
		for i := range pg.pending {
			b = appendBucket(b, &pg.pending[i])
		}
		b = pg.notes.append(b)
	}
	flags := byte(0)
	if pg.breaker != nil {
		flags |= 1
	}
	if pg.guard != nil {
		flags |= 2
	}
	b = append(b, flags)
	if pg.breaker != nil {
		b = pg.breaker.Append(b)
	}
	if pg.guard != nil {
		b = pg.guard.Append(b)
	}
	return pg.memory.Append(b)
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
	switch pg.key[0] {
	case agentPage:
		pg.verdicts = r.Varint()
		pg.active = r.Varint()
		pg.barred = r.Varint()
		pg.day, pg.shady = r.Varint(), r.Varint()
		n, at := int(r.Byte()), int(r.Byte())
		if n > maxRecent || at >= maxRecent {
			return wire.ErrShort
		}
		pg.recent.Next = at
		pg.recent.Ring = pg.recent.Ring[:0]
		for range n {
			pg.recent.Ring = append(pg.recent.Ring, r.Uint64())
		}
		pg.decodeHeld(&r)
	case sessionPage:
		pg.active, pg.day = r.Varint(), r.Varint()
		flags := r.Byte()
		pg.going, pg.asked, pg.closed = flags&1 != 0, flags&2 != 0, flags&4 != 0
		pg.began = r.Varint()
		pg.decodeHeld(&r)
		pg.sent = r.String()
	case deltaPage, modelPage:
		pg.learned = &learned{}
		pg.learned.decode(pg.key, &r)
		return r.Err
	case scopePage:
		pg.pending = pg.pending[:0]
		for range r.Len() {
			var k detectors.Bucket
			readBucket(&r, &k)
			if r.Err != nil {
				return r.Err
			}
			pg.pending = append(pg.pending, k)
		}
		pg.notes = notes{}
		pg.notes.decode(&r)
	}
	pg.breaker, pg.guard = nil, nil
	flags := r.Byte()
	if flags&1 != 0 {
		pg.breaker = &response.Breaker{}
		pg.breaker.Decode(&r)
	}
	if flags&2 != 0 {
		pg.guard = &response.Guard{}
		pg.guard.Decode(&r)
	}
	pg.memory.Decode(&r)
	pg.set, pg.who = nil, nil
	return r.Err
}

// Flags of what one meter counted, beside the mask of its sums.
const (
	mixedFlag    = 0x80
	sameRefsFlag = 0x40 // first and last as of the meter before: most count the same events
)

// the flags are not in the mask
var _ [0]struct{} = [(1<<baselines.Columns - 1) & (mixedFlag | sameRefsFlag)]struct{}{}

// appendBucket encodes a bucket of a scope, in a facts record and in a page.
func appendBucket(b []byte, k *detectors.Bucket) []byte {
	b = append(b, k.Slot, byte(k.Scope))
	b = wire.AppendString(wire.AppendString(b, k.Tenant), k.ID)
	b = binary.AppendVarint(b, k.Index)
	b = binary.AppendUvarint(b, uint64(len(k.Counted)))
	for i := range k.Counted {
		c := &k.Counted[i]
		b = binary.BigEndian.AppendUint64(b, c.Meter)
		mask := byte(0)
		for m, s := range c.Sums {
			if s != 0 {
				mask |= 1 << m
			}
		}
		if c.Mixed {
			mask |= mixedFlag
		}
		if i > 0 && c.First == k.Counted[i-1].First && c.Last == k.Counted[i-1].Last {
			mask |= sameRefsFlag
		}
		b = append(b, mask)
		for _, s := range c.Sums {
			if s != 0 {
				b = binary.AppendUvarint(b, uint64(s))
			}
		}
		if mask&sameRefsFlag == 0 {
			b = wire.AppendRef(wire.AppendRef(b, c.First), c.Last)
		}
		b = binary.AppendUvarint(b, uint64(c.Keep))
		if c.Keep > 0 {
			b = binary.AppendUvarint(b, uint64(len(c.Seen)))
			for _, h := range c.Seen {
				b = binary.BigEndian.AppendUint64(b, h)
			}
		}
	}
	return b
}

// readBucket decodes what appendBucket wrote, into memory of its own and that of k.Counted.
func readBucket(r *wire.Reader, k *detectors.Bucket) {
	*k = detectors.Bucket{Slot: r.Byte(), Scope: policy.Scope(r.Byte()), Counted: k.Counted[:0]}
	k.Tenant, k.ID = r.String(), r.String()
	k.Index = r.Varint()
	n := r.Len()
	if n == 0 {
		r.Fail() // nobody sends a bucket of nothing
		return
	}
	if cap(k.Counted) == 0 {
		k.Counted = make([]detectors.Counted, 0, min(n, 64))
	}
	for i := range n {
		c := detectors.Counted{Meter: r.Uint64()}
		mask := r.Byte()
		for m := range c.Sums {
			if mask&(1<<m) != 0 {
				if c.Sums[m] = int64(r.Uvarint()); c.Sums[m] < 0 {
					r.Fail()
				}
			}
		}
		c.Mixed = mask&mixedFlag != 0
		switch {
		case mask&sameRefsFlag == 0:
			c.First, c.Last = wire.ReadRef(r), wire.ReadRef(r)
		case i > 0:
			c.First, c.Last = k.Counted[i-1].First, k.Counted[i-1].Last
		}
		if c.Keep = uint32(min(r.Uvarint(), math.MaxUint32)); c.Keep > 0 {
			seen := r.Len()
			if uint64(seen) > uint64(c.Keep) {
				r.Fail()
			}
			c.Seen = make([]uint64, 0, min(seen, len(r.B)/8))
			for range seen {
				if c.Seen = append(c.Seen, r.Uint64()); r.Err != nil {
					return
				}
			}
		}
		if r.Err == nil && (i > 0 && c.Meter <= k.Counted[i-1].Meter || !slices.IsSorted(c.Seen)) {
			r.Fail() // merging relies on the order
		}
		if r.Err != nil {
			return
		}
		k.Counted = append(k.Counted, c)
	}
}

// noteTag and deltaTag stand before a note and what is to be learned in a facts record, where a
// bucket begins with its slot.
const (
	noteTag  = 0xff
	deltaTag = 0xfd
)

// appendNote encodes a note, in a facts record and in a page.
func appendNote(b []byte, k *detectors.Note) []byte {
	b = append(b, k.Slot, byte(k.Scope))
	b = wire.AppendString(wire.AppendString(b, k.Tenant), k.ID)
	b = binary.AppendVarint(wire.AppendRef(b, k.Ref), k.Order)
	return wire.AppendString(b, string(k.Body))
}

// readNote decodes what appendNote wrote, into memory of its own. Facts of format 2 have notes that
// are not ordered.
func readNote(r *wire.Reader, ordered bool) detectors.Note {
	k := detectors.Note{Slot: r.Byte(), Scope: policy.Scope(r.Byte())}
	k.Tenant, k.ID = strings.Clone(r.String()), strings.Clone(r.String())
	k.Ref = wire.ReadRef(r).Clone()
	if ordered {
		k.Order = r.Varint()
	}
	k.Body = bytes.Clone(r.Bytes())
	return k
}
