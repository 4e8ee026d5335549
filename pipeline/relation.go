package pipeline

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/response"
	"github.com/wayward-sec/wayward/state"
)

// relation is the machine of the second stage: everything whose key is wider than one agent. It
// reads one log, facts, and needs no journal.
//
// A bucket is pending in the page of its scope until the watermark, the minimum over all sources,
// has passed it; then it is closed, once, whatever the order in which its parts came. Pending
// buckets are part of the page, so a checkpoint holds them and a marker is one offset.
type relation struct {
	*shard
	panel   *detectors.Panel
	sources []source
	mark    int64 // watermark of this shard: never falls
	told    int64 // the watermark that the behaviour shards were last told
	swept   int64 // hour of the last sweep

	closed int64 // the newest day of baselines that is closed
	// the newest day that was learned before the logs were made anew; noTime: they never were
	learnedTo int64

	// Facts alone move no watermark: whoever reads the file that the events are of does it.
	fileTime bool
	approved bool        // all events are known to be good
	frozen   bool        // nothing new is learned
	results  *closedDays // where closed days go; nil: to the topic of baselines, encoded

	due     map[int64][]*scopePage // pages with a pending bucket, by its index. Derived: rebuilt from pages
	waiting map[*scopePage]int64   // pages on which something is awaited, and until when. Derived
	alarms  alarms                 // likewise, the soonest first
	noted   int                    // notes that wait, on all pages. Derived
	on      *scopePage             // of the scope that is being looked at
	key     []byte
	closing detectors.Closing
	scope   policy.Scope    // of what is being closed
	round   []event.Finding // of the buckets that are being closed
	// of personas, by the day whose snapshot is in force, as last asked for. Derived
	bases map[keyDay]*baselines.Model
	read  detectors.Bucket      // scratch: the one that is read from facts
	shut  detectors.Bucket      // scratch: the one that is being closed
	spare [][]detectors.Counted // memory of buckets that are closed, for those to come
}

// source is one behaviour shard as its facts tell.
type source struct {
	heard     bool
	idle      bool // has no event waiting: not waited for
	out       bool // silent for too long: not waited for, and findings made without it are incomplete
	watermark int64
}

// ms of event time between two words to the behaviour shards on how far this stage is
const tellAhead = 120_000

func newRelation(p int32, r *rules, set *policy.Set) *relation {
	b := &relation{shard: newShard(p, r), panel: detectors.New(set), sources: make([]source, r.sources), mark: noTime,
		told: noTime, closed: noTime, learnedTo: noTime, due: map[int64][]*scopePage{}, waiting: map[*scopePage]int64{}}
	for i := range b.sources {
		b.sources[i].watermark = noTime
	}
	b.shard.machine, b.space = b, state.Space{Stage: 'r', Partition: p}
	b.closing.Find = b.relationFinding
	b.closing.Count = func(what, rule string) { b.count(ruleMetric+what, rule) }
	b.closing.Base = b.baselineOf
	b.closing.Keep = func(t *event.Thing) {
		b.emit(output{to: toInventory, partition: -1, key: t.AppendKey(nil), value: t.Append(nil)})
	}
	return b
}

// newFileRelation makes a shard for facts about events of a file: nothing of it is ever saved or
// undone, and what it closes waits to be taken.
func newFileRelation(p int32, r *rules, set *policy.Set, approved, frozen bool) *relation {
	b := newRelation(p, r, set)
	b.fileTime, b.approved, b.frozen, b.results = true, approved, frozen, &closedDays{}
	b.beginUnsaved()
	return b
}

func (b *relation) apply(_ int, r *record) error {
	h, body, err := readFactsHead(r.value)
	if err != nil || h.source < 0 || int(h.source) >= len(b.sources) {
		b.counts.badControl++
		return nil
	}
	b.now = h.now
	src := &b.sources[h.source]
	if h.out {
		src.out = true
		b.advance()
		return nil
	}
	// A shard that has no set yet takes that of the first facts, so that nothing is counted by
	// nobody; later ones take effect by a record of their own.
	if h.set != "" && h.set != b.panel.Set.Hash() && (h.activate || b.panel.Set == none) {
		set, err := b.rules.set(h.set)
		if err != nil {
			return err
		}
		b.panel = detectors.New(set)
	}
	if h.activate {
		return nil
	}
	if h.control {
		c, err := readControl(body.B)
		if err != nil {
			b.counts.badControl++
			return nil
		}
		b.control(&c, r)
		return nil
	}
	for len(body.B) > 0 {
		if body.B[0] == noteTag {
			body.Byte()
			if k := readNote(&body, h.format >= 3); body.Err == nil {
				b.takeNote(&k)
				continue
			}
			b.counts.badControl++
			return nil
		}
		if body.B[0] == deltaTag {
			body.Byte()
			if b.takeDelta(h.source, &body); body.Err != nil {
				b.counts.badControl++
				return nil
			}
			continue
		}
		if n := len(b.spare); cap(b.read.Counted) == 0 && n > 0 {
			b.read.Counted, b.spare = b.spare[n-1], b.spare[:n-1]
		}
		readBucket(&body, &b.read)
		if body.Err != nil {
			b.counts.badControl++
			return nil
		}
		b.take(&b.read)
	}
	if b.fileTime {
		return nil
	}
	src.heard, src.out, src.idle = true, false, h.idle
	src.watermark = max(src.watermark, h.watermark)
	b.advance()
	return nil
}

func (b *relation) scopePage(slot byte, scope policy.Scope, tenant, id string) *scopePage {
	key := append(b.key[:0], scopeKind, slot, byte(scope))
	key = append(key, tenant...)
	key = append(key, '|')
	key = append(key, id...)
	b.key = key
	pg := b.page(key, tenant)
	if pg == nil {
		return nil
	}
	return pg.scope()
}

// takeNote files a note with the page of its scope, or tells it at once if its time is past.
func (b *relation) takeNote(k *detectors.Note) {
	b.counts.notes++
	pg := b.scopePage(k.Slot, k.Scope, k.Tenant, k.ID)
	if pg == nil {
		return
	}
	pg.seen = max(pg.seen, k.Ref.Time)
	index := wire.FloorDiv(k.Ref.Time, detectors.BucketMS)
	if b.mark != noTime && (index+1)*detectors.BucketMS <= b.mark {
		b.counts.lateBuckets++
		if !b.fileTime {
			b.note(pg, k)
			b.report()
			return
		}
	}
	if b.fileNote(pg, index, k) {
		b.due[index] = append(b.due[index], pg)
	}
}

func (b *relation) note(pg *scopePage, k *detectors.Note) {
	b.on = pg
	b.closing.Tenant, b.closing.ID, b.closing.Memory, b.scope = k.Tenant, k.ID, &pg.memory, k.Scope
	b.panel.Note(&b.closing, k)
	b.awaits(pg)
}

// awaits notes until when something is awaited on a page.
func (b *relation) awaits(pg *scopePage) {
	due := b.panel.Due(&pg.memory)
	if was, waits := b.waiting[pg]; due == never {
		if waits {
			delete(b.waiting, pg)
		}
		return
	} else if waits && was == due {
		return
	}
	b.waiting[pg] = due
	b.alarms.set(due, pg)
	if len(b.alarms) > 2*len(b.waiting)+64 { // most are of waits that are no more
		b.alarms = b.alarms[:0]
		for pg, due := range b.waiting {
			b.alarms.set(due, pg)
		}
	}
}

// ring lets those speak that have waited for something until t: all that came up to then has been
// applied. Bucket by bucket, so that it does not show by how much the watermark moves at once.
func (b *relation) ring(t int64) {
	for len(b.alarms) > 0 && b.alarms[0].due <= t {
		end := min(t, (wire.FloorDiv(b.alarms[0].due, detectors.BucketMS)+1)*detectors.BucketMS-1)
		var list []*scopePage
		for len(b.alarms) > 0 && b.alarms[0].due <= end {
			a := b.alarms.take()
			due, waits := b.waiting[a.pg]
			switch {
			case !waits || due != a.due: // it has another one, or waits no more
			case a.pg.dead:
				delete(b.waiting, a.pg)
			default:
				delete(b.waiting, a.pg) // else an alarm that was set twice would ring twice
				list = append(list, a.pg)
			}
		}
		slices.SortFunc(list, func(x, y *scopePage) int { return strings.Compare(x.key, y.key) })
		for _, pg := range list {
			b.touch(&pg.page)
			scope, id := scopeOf(pg)
			b.on = pg
			b.closing.Tenant, b.closing.ID, b.closing.Memory, b.scope = pg.tenant, id, &pg.memory, scope
			b.panel.Ring(&b.closing, end)
			b.awaits(pg)
		}
		b.report()
	}
}

// alarms are when something on a page is due, the soonest first: a heap, since a pass over all that
// wait would cost a hot tenant one with every bucket. Those that are no more stay until they come
// up.
type alarms []alarm

type alarm struct {
	due int64
	pg  *scopePage
}

func (a *alarms) set(due int64, pg *scopePage) {
	h := append(*a, alarm{due, pg})
	for i := len(h) - 1; i > 0 && h[(i-1)/2].due > h[i].due; i = (i - 1) / 2 {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
	}
	*a = h
}

// take removes the soonest.
func (a *alarms) take() alarm {
	h, n := *a, len(*a)-1
	first := h[0]
	h[0], h[n] = h[n], alarm{}
	h = h[:n]
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < n; c++ {
			if h[c].due < h[least].due {
				least = c
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	*a = h
	return first
}

// scopeOf reads the scope off a page's key.
func scopeOf(pg *scopePage) (policy.Scope, string) {
	return policy.Scope(pg.key[2]), pg.key[3+len(pg.tenant)+1:]
}

// take files a bucket's part with the page of its scope, or closes it at once if its time is past.
func (b *relation) take(k *detectors.Bucket) {
	b.counts.buckets++
	pg := b.scopePage(k.Slot, k.Scope, k.Tenant, k.ID)
	if pg == nil {
		return
	}
	pg.seen = max(pg.seen, k.Newest())
	if b.mark != noTime && (k.Index+1)*detectors.BucketMS <= b.mark {
		b.counts.lateBuckets++
		if !b.fileTime { // else it is closed with the slice: where chunks of the file end must not show
			b.close(pg, k)
			b.report()
			return
		}
	}
	for i := range pg.pending {
		if pg.pending[i].Index == k.Index {
			pg.pending[i].Merge(k)
			return
		}
	}
	pg.pending = append(pg.pending, *k)
	k.Counted = nil // the page's now
	b.due[k.Index] = append(b.due[k.Index], pg)
}

// advance moves the watermark to the minimum over the sources that are waited for, and closes what
// it has passed.
func (b *relation) advance() {
	low, high, all := int64(noTime), int64(noTime), true
	for i := range b.sources {
		s := &b.sources[i]
		switch {
		case s.out || s.heard && s.idle:
			if s.heard {
				high = max(high, s.watermark)
			}
		case !s.heard || s.watermark == noTime:
			return // nothing is known yet of a source that counts
		case all:
			low, all = s.watermark, false
		default:
			low = min(low, s.watermark)
		}
	}
	if all {
		low = high // everybody is idle: the newest that anybody has seen
	}
	b.advanceTo(low)
}

// advanceTo closes every pending bucket that ends by t, in order of time.
func (b *relation) advanceTo(t int64) {
	if t == noTime || b.mark != noTime && t <= b.mark {
		return
	}
	b.mark = t
	// first: by what is in force at its time a bucket is judged, however far the watermark moves at
	// once
	b.closeDays()
	b.closePassed()
	b.ring(wire.FloorDiv(t, detectors.BucketMS)*detectors.BucketMS - 1)
	if !b.fileTime && (b.told == noTime || t-b.told >= tellAhead) {
		b.told = t
		for p := range b.rules.sources {
			b.emit(output{to: toControl, partition: p, value: control{Kind: controlRelation, Source: b.p,
				Time: t}.encode()})
		}
	}
	if h := wire.FloorDiv(t, 3_600_000); h > b.swept {
		b.swept = h
		b.sweep(t)
	}
}

// until implements machine.
func (b *relation) until(pg *page) int64 {
	switch c := pg.content.(type) {
	case *deltaPage, *modelPage:
		return forever
	case *widePage:
		if pg.breaker.Open() {
			return forever
		}
		return pg.idleSince() + breakerIdle
	case *scopePage:
		if c.waits() || !c.guard.Idle() || b.panel.Due(&c.memory) != never {
			return forever
		}
	}
	return pg.idleSince() + scopeIdle
}

// closePassed closes what ends by the watermark.
func (b *relation) closePassed() {
	var ready []int64
	for index := range b.due {
		if (index+1)*detectors.BucketMS <= b.mark {
			ready = append(ready, index)
		}
	}
	slices.Sort(ready)
	for _, index := range ready {
		b.ring(index*detectors.BucketMS - 1)
		b.closeAll(index)
	}
}

// scopeIdle is how long the page of a scope outlives its last event: longer than any window.
const scopeIdle = 32 * 86_400_000

func (b *relation) closeAll(index int64) {
	pages := b.due[index]
	delete(b.due, index)
	for _, pg := range pages {
		if pg.dead {
			continue
		}
		for i := range pg.pending {
			if pg.pending[i].Index == index {
				b.touch(&pg.page)
				b.shut = pg.pending[i]
				pg.pending = slices.Delete(pg.pending, i, i+1)
				b.close(pg, &b.shut)
				b.reuse(&b.shut)
				break
			}
		}
		if !pg.notes.has(index) {
			continue
		}
		b.touch(&pg.page)
		now := pg.notes.takeBucket(index)
		b.noted -= len(now)
		slices.SortFunc(now, func(x, y detectors.Note) int {
			switch {
			case x.Before(&y):
				return -1
			case y.Before(&x):
				return 1
			}
			return 0
		})
		for i := range now {
			b.note(pg, &now[i])
		}
	}
	b.report()
}

// maxSpare bounds the memory that is kept for buckets to come.
const maxSpare = 4096

// reuse keeps the memory of a bucket that nobody needs any more.
func (b *relation) reuse(k *detectors.Bucket) {
	if clear(k.Counted); len(b.spare) < maxSpare {
		b.spare = append(b.spare, k.Counted[:0])
	}
	*k = detectors.Bucket{}
}

// report records what was found, in an order that does not depend on that in which pages came into
// memory.
func (b *relation) report() {
	slices.SortStableFunc(b.round, func(x, y event.Finding) int {
		return cmp.Or(strings.Compare(x.Tenant, y.Tenant), strings.Compare(x.Rule, y.Rule),
			strings.Compare(x.ScopeID, y.ScopeID))
	})
	for i := range b.round {
		f := b.round[i]
		b.find(&f)
		b.respond(&f)
		if f.Activity != event.Again && f.Agent != "" {
			c := control{Kind: controlVerdict, Source: b.p, Tenant: f.Tenant, Agent: f.Agent, Finding: f.UID,
				Severity: int(f.Severity), Risk: f.Risk, Time: f.Last}
			key := event.AppendKey(nil, f.Tenant, f.Agent)
			b.emit(output{to: toControl, partition: b.rules.partition(key, b.rules.sources), key: key,
				value: c.encode()})
		}
	}
	clear(b.round)
	b.round = b.round[:0]
}

// pending counts the buckets that wait for the watermark.
func (b *relation) pending() (n int) {
	for _, pages := range b.due {
		n += len(pages)
	}
	return n
}

// flush closes everything that is pending.
func (b *relation) flush() {
	for _, index := range slices.Sorted(maps.Keys(b.due)) {
		b.ring(index*detectors.BucketMS - 1)
		b.closeAll(index)
	}
	b.ring(never - 1)
}

func (b *relation) close(pg *scopePage, k *detectors.Bucket) {
	if k.Slot == guardSlot {
		b.guarded(k.Tenant, k.ID, func(g *response.Guard) {
			g.Acted(wire.FloorDiv(k.Index*detectors.BucketMS, 3_600_000), k.Counted[0].Sums[0])
		})
		return
	}
	b.on = pg
	b.closing.Tenant, b.closing.ID, b.closing.Memory, b.scope = k.Tenant, k.ID, &pg.memory, k.Scope
	b.panel.Relate(&b.closing, k)
}

func (b *relation) relationFinding(f event.Finding) {
	f.Stage = "relation"
	f.Tenant = b.closing.Tenant
	switch b.scope {
	case policy.UserScope:
		f.User = b.closing.ID
	case policy.PersonaScope:
		f.Persona = b.closing.ID
	}
	f.Incomplete = b.full(f.Tenant)
	for i := range b.sources {
		f.Incomplete = f.Incomplete || b.sources[i].out
	}
	if b.on != nil {
		b.on.notes.without(&f)
	}
	f.UID = event.TriggeredUID(f.Tenant, f.Detector+"/"+f.Rule, f.ScopeType, f.ScopeID, f.Refs[len(f.Refs)-1])
	b.round = append(b.round, f)
}

func (b *relation) seal() {}

func (b *relation) kept() {}

func (b *relation) appendVars(v []byte) []byte {
	v = binary.AppendVarint(v, b.mark)
	v = binary.AppendVarint(v, b.told)
	v = binary.AppendVarint(v, b.swept)
	v = binary.AppendVarint(binary.AppendVarint(v, b.closed), b.learnedTo)
	v = binary.AppendUvarint(v, uint64(len(b.sources)))
	for _, s := range b.sources {
		flags := byte(0)
		if s.heard {
			flags |= 1
		}
		if s.idle {
			flags |= 2
		}
		if s.out {
			flags |= 4
		}
		v = binary.AppendVarint(append(v, flags), s.watermark)
	}
	return wire.AppendString(v, b.panel.Set.Hash())
}

func (b *relation) decodeVars(r *wire.Reader) {
	b.mark = r.Varint()
	b.told = r.Varint()
	b.swept = r.Varint()
	b.closed, b.learnedTo = r.Varint(), r.Varint()
	for i := range r.Len() {
		flags := r.Byte()
		s := source{heard: flags&1 != 0, idle: flags&2 != 0, out: flags&4 != 0, watermark: r.Varint()}
		if i < len(b.sources) {
			b.sources[i] = s
		}
	}
	b.panel = b.panelOf(r, b.panel)
	b.bases = nil
}

// indexed files the pending buckets of a page that came from disk or was put back.
func (b *relation) indexed(pg *page) {
	s, ok := pg.content.(*scopePage)
	if !ok {
		return
	}
	b.awaits(s)
	for i := range s.pending {
		b.due[s.pending[i].Index] = append(b.due[s.pending[i].Index], s)
	}
	for index := range s.notes.indices {
		b.due[index] = append(b.due[index], s) // more than once does no harm
	}
	b.noted += s.notes.n
}

func (b *relation) watchers() *detectors.Panel { return b.panel }

func (b *relation) stage() string { return "relation" }

// undoes is false: a scope's page holds hundreds of buckets and is touched by almost every
// transaction, an abort comes with a rebalance.
func (b *relation) undoes() bool { return false }

func (b *relation) present() int64 { return b.mark }

func (b *relation) partitions() int { return int(b.rules.facts) }

func (b *relation) untilOf(_ byte, idle int64) int64 { return idle + scopeIdle }

func (b *relation) laid(*page) {}
