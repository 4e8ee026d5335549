package pipeline

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/response"
)

// pageFormat is the version of a page's encoding.
const pageFormat = 2

// page is one entity's state: an agent, a session, or a scope above agents. The first byte of its key says which.
type page struct {
	key    string
	tenant string
	seen   int64 // newest event time, Unix milliseconds
	memory detectors.Memory

	// Of an agent alone.
	ring     []uint64 // hashes of its newest event ids
	ringAt   int      // where the next one goes
	verdicts int64    // of the relation stage about this agent
	active   int64    // newest hour of event time in which it acted
	barred   int64    // sessions of it that are stopped

	// Of a scope alone: what is contributed but not closed, by bucket.
	pending []detectors.Bucket
	notes   []detectors.Note
	guard   *response.Guard // of a persona

	breaker *response.Breaker // of an agent, a session or a wider scope, once it was tripped

	// Not stored.
	hash  uint64         // of an agent's key
	wound int64          // wall clock at which the shard was last told what the clock says of its breaker
	txn   uint64         // transaction that last touched it
	dirty bool           // since the last checkpoint
	dead  bool           // dropped; the next checkpoint deletes it
	last  *page          // session of its newest event, if that is an agent's page: mostly the next event's, too
	who   *detectors.Who // tenant and persona
	set   *policy.Set    // under which who holds
	sent  string         // persona as sent when who was looked up
}

// Kinds of pages: the first byte of the key.
const (
	agentPage   = 'a' // a tenant|agent
	sessionPage = 's' // s tenant|agent|session
	scopePage   = 'x' // x slot meter scope tenant|id
	widePage    = 'w' // w tenant|type|id: the breaker of a scope above agents
)

// Ring sizes: an agent that acts once pays for one id, an active one is protected over ringMax events.
const ringMax = 32

// repeated notes an event id and tells whether it is among the agent's newest.
func (pg *page) repeated(id uint64) bool {
	if slices.Contains(pg.ring, id) {
		return true
	}
	if len(pg.ring) < ringMax {
		pg.ring = append(pg.ring, id)
	} else {
		pg.ring[pg.ringAt] = id
		pg.ringAt = (pg.ringAt + 1) % ringMax
	}
	return false
}

// appendTo encodes the page: for the disk, the changelog, and as before-image.
func (pg *page) appendTo(b []byte) []byte {
	b = append(b, pageFormat)
	b = baselines.AppendString(b, pg.tenant)
	b = binary.AppendVarint(b, pg.seen)
	switch pg.key[0] {
	case agentPage:
		b = binary.AppendVarint(b, pg.verdicts)
		b = binary.AppendVarint(b, pg.active)
		b = binary.AppendVarint(b, pg.barred)
		b = append(b, byte(len(pg.ring)), byte(pg.ringAt))
		for _, h := range pg.ring {
			b = binary.BigEndian.AppendUint64(b, h)
		}
	case scopePage:
		b = binary.AppendUvarint(b, uint64(len(pg.pending)))
		for i := range pg.pending {
			b = appendBucket(b, &pg.pending[i])
		}
		b = binary.AppendUvarint(b, uint64(len(pg.notes)))
		for i := range pg.notes {
			b = appendNote(b, &pg.notes[i])
		}
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
	r := baselines.Reader{B: b}
	if f := r.Byte(); f != pageFormat && r.Err == nil {
		return errFormat(f)
	}
	if t := r.Bytes(); pg.tenant != string(t) {
		pg.tenant = string(t)
	}
	pg.seen = r.Varint()
	switch pg.key[0] {
	case agentPage:
		pg.verdicts = r.Varint()
		pg.active = r.Varint()
		pg.barred = r.Varint()
		n, at := int(r.Byte()), int(r.Byte())
		if n > ringMax || at >= ringMax {
			return baselines.ErrShort
		}
		pg.ringAt = at
		pg.ring = pg.ring[:0]
		for range n {
			pg.ring = append(pg.ring, r.Uint64())
		}
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
		pg.notes = pg.notes[:0]
		for range r.Len() {
			k := readNote(&r)
			if r.Err != nil {
				return r.Err
			}
			pg.notes = append(pg.notes, k)
		}
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

// appendBucket encodes a bucket of a meter, in a facts record and in a page.
func appendBucket(b []byte, k *detectors.Bucket) []byte {
	b = append(b, k.Slot, byte(k.Scope))
	b = binary.BigEndian.AppendUint64(b, k.Meter)
	b = baselines.AppendString(baselines.AppendString(b, k.Tenant), k.ID)
	b = binary.AppendVarint(b, k.Index)
	b = binary.AppendUvarint(b, uint64(k.N))
	mask := byte(0)
	for i, s := range k.Sums {
		if s != 0 {
			mask |= 1 << i
		}
	}
	if k.Mixed {
		mask |= 0x80
	}
	b = append(b, mask)
	for _, s := range k.Sums {
		if s != 0 {
			b = binary.AppendUvarint(b, uint64(s))
		}
	}
	return baselines.AppendRef(baselines.AppendRef(b, k.First), k.Last)
}

// readBucket decodes what appendBucket wrote.
func readBucket(r *baselines.Reader, k *detectors.Bucket) {
	k.Slot, k.Scope = r.Byte(), policy.Scope(r.Byte())
	k.Meter = r.Uint64()
	k.Tenant, k.ID = r.String(), r.String()
	k.Index = r.Varint()
	k.N = int64(r.Uvarint())
	mask := r.Byte()
	for i := range k.Sums {
		k.Sums[i] = 0
		if mask&(1<<i) != 0 {
			k.Sums[i] = int64(r.Uvarint())
		}
	}
	k.Mixed = mask&0x80 != 0
	k.First, k.Last = baselines.ReadRef(r), baselines.ReadRef(r)
}

// noteTag stands before a note in a facts record, where a bucket begins with its slot.
const noteTag = 0xff

// maxNotes bounds the notes that wait on one page for the watermark.
const maxNotes = 4096

// appendNote encodes a note, in a facts record and in a page.
func appendNote(b []byte, k *detectors.Note) []byte {
	b = append(b, k.Slot, byte(k.Scope))
	b = baselines.AppendString(baselines.AppendString(b, k.Tenant), k.ID)
	b = baselines.AppendRef(b, k.Ref)
	return baselines.AppendString(b, string(k.Body))
}

// readNote decodes what appendNote wrote, into memory of its own.
func readNote(r *baselines.Reader) detectors.Note {
	k := detectors.Note{Slot: r.Byte(), Scope: policy.Scope(r.Byte())}
	k.Tenant, k.ID = strings.Clone(r.String()), strings.Clone(r.String())
	k.Ref = baselines.ReadRef(r).Clone()
	k.Body = bytes.Clone(r.Bytes())
	return k
}
