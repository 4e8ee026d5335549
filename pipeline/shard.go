package pipeline

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/state"
)

// machine is what differs between the stages: how a record changes state and what follows from it.
// It depends on records alone.
type machine interface {
	// apply changes state by one record of one log.
	apply(log int, r *record) error
	// seal ends a slice: what was gathered over it becomes output. kept hears that the slice
	// counts: its transaction has committed, or had when it was first applied.
	seal()
	kept()
	// appendVars and decodeVars are everything that is not in a page.
	appendVars(b []byte) []byte
	decodeVars(r *wire.Reader)
	// undoes tells whether before-images of pages are cheaper than loading the shard anew after an
	// abort.
	undoes() bool
	// until is the event time after which a page is forgotten, by what it holds alone.
	until(pg *page) int64
	// untilOf is the same for one that nothing holds, by its kind and since when it is idle.
	untilOf(kind byte, idle int64) int64
	// laid hears that a page is no longer in memory, though it is still there.
	laid(pg *page)
	// present is the event time that the shard has reached, noTime before there is any; partitions
	// is over how many shards the stage is spread.
	present() int64
	partitions() int
	// watchers are the detectors, under the set in force.
	watchers() *detectors.Panel
	stage() string
	// turned hears that a breaker opened or closed, stated that its state changed in any way.
	turned(pg *page, open bool)
	stated(pg *page)
	// indexed tells the machine that a page came from disk or was put back by an undo.
	indexed(pg *page)
}

// Encoder turns findings into records of the alert topic; package sinks has it.
type Encoder interface {
	Record(f *event.Finding) (key, value []byte, headers []Header)
}

// shard is the state of one partition of one stage, and the transaction under way on it. One
// goroutine at a time.
type shard struct {
	p       int32
	machine machine
	rules   *rules // of the stage: what all its shards share

	pages map[string]*page
	cold  map[string]cold // those that were put by
	// those that are on disk alone, by a hash of the key: a page is in one of the three
	away   map[uint64]away
	doomed map[uint64]bool // of these: forgotten since the last checkpoint
	ids    map[string]uint32
	names  []string // tenants in away, by number
	space  state.Space
	packed []byte // scratch
	// those that were last asked for, by a hash of the key: what is not there is in pages. Derived
	near    []*page
	tenants map[string]int // pages by tenant, for the cap
	crowd   map[uint64]int // sessions by a hash of their agent's key, likewise. Derived
	// ten minutes of event time in which a look for room found too little, by whose room it was
	room    map[string]int64
	holding *page // of the agent whose event is under way: it makes no room
	dirty   []*page
	next    [2]int64 // next offset of control and of the main log, as the group commits them; 0: none yet
	seq     uint64   // of the next transaction
	joff    int64    // offset in the journal behind the last transaction's record
	// wall clock of the transaction, from the journal or the facts record: for stamps alone
	now int64

	live     bool // outputs count; false while catching up
	volatile bool // nothing is ever saved or undone
	undoable bool // before-images are kept; else an abort means to load anew
	txn      uint64
	undo     []before
	images   []byte
	vars     []byte // before-image of all that is not in a page
	out      []output
	findings []*event.Finding // behind out, for sinks of this process
	commands []event.Command  // likewise
	taken    []taken          // feedback of late
	// event time up to which behaviour was judged before the logs were made anew; 0: never
	judged   int64
	resumed  int64          // wall clock at which they were
	open     map[*page]bool // pages whose breaker may wait for the clock; derived, never state
	digest   *xxhash.Digest
	counts   counts
	savedSeq uint64 // seq at the last checkpoint
}

// breakerIdle is how long the page of a scope that was once stopped is kept, for its epoch: consumers
// must have forgotten the old one by then.
const breakerIdle = 90 * 86_400_000

// rules is what the shards of a stage share and never change: an activation gives a shard another
// one.
type rules struct {
	owners
	encoder  Encoder
	budget   *Budget
	store    *state.Store                           // where pages are that are not in memory; nil: all are
	pageCap  int                                    // pages of a tenant in all partitions of a stage together
	set      func(hash string) (*policy.Set, error) // by hash, for activations
	acks     string                                 // topic
	feedback string                                 // topic
	// test of the crash test: an abort leaves pages as they are
	noUndo bool
}

// before is the image of a page at its first touch in a transaction.
type before struct {
	pg       *page
	from, to int // in images; -1: there was no page; -2: it was on disk alone
	dead     bool
	gone     uint64
	away     away
}

func newShard(p int32, r *rules) *shard {
	return &shard{p: p, rules: r, pages: map[string]*page{}, cold: map[string]cold{}, away: map[uint64]away{},
		doomed: map[uint64]bool{}, ids: map[string]uint32{}, near: make([]*page, nearby), tenants: map[string]int{},
		crowd: map[uint64]int{}, room: map[string]int64{}, open: map[*page]bool{}, digest: xxhash.New()}
}

// begin starts a slice: a transaction if live, else a silent re-application of one.
func (s *shard) begin(now int64, live bool) {
	if live {
		s.vars = s.appendVars(s.vars[:0])
	}
	s.now, s.live = now, live
	s.undoable = live && s.machine.undoes()
	s.txn++
	clear(s.out)
	clear(s.findings)
	clear(s.commands)
	s.commands = s.commands[:0]
	s.out, s.findings, s.undo, s.images = s.out[:0], s.findings[:0], s.undo[:0], s.images[:0]
	s.counts = counts{}
	s.digest.Reset()
}

// beginUnsaved starts the one slice of a shard of which nothing is ever saved or undone.
func (s *shard) beginUnsaved() {
	s.begin(0, true)
	s.undoable, s.volatile = false, true
}

// find returns a page, touched: with a before-image if this is the first time in a live
// transaction. tenant names the owner of a page to be made. nil: there is no such page and no room
// for one, see room.go.
func (s *shard) page(key []byte, tenant string) *page {
	if pg := s.pageIf(key); pg != nil {
		s.touch(pg)
		return pg
	}
	if !s.hasRoom(key, tenant) {
		s.counts.dropped++
		return nil
	}
	return s.newPage(key, tenant)
}

// newPage makes a page that there is not.
func (s *shard) newPage(key []byte, tenant string) *page {
	pg := makePage(string(key))
	pg.tenant = tenantOf(tenant, pg)
	s.add(pg)
	return pg
}

// add files a page that the transaction under way has made.
func (s *shard) add(pg *page) {
	pg.txn = s.txn
	s.markDirty(pg)
	s.put(pg)
	if s.undoable {
		s.undo = append(s.undo, before{pg: pg, from: -1})
	}
}

// put files a page; between transactions, when there is nothing to undo, it is all that is needed.
func (s *shard) put(pg *page) {
	s.pages[pg.key] = pg
	s.enter(pg)
}

// remove takes a page out of the shard; likewise.
func (s *shard) remove(pg *page) {
	pg.dead = true
	delete(s.pages, pg.key)
	s.leave(pg)
}

// nearby is how many pages a shard finds without its map, which is large and costs two more waits
// for memory. This is no memo.Cache: a page dies by itself, and a key is looked up as bytes.
const nearby = 1 << 12

// nearSeed differs from run to run: nobody can choose keys that keep each other out, and what is
// found does not depend on it.
var nearSeed = maphash.MakeSeed()

// pageIf returns a page, untouched, or nil if there is none.
func (s *shard) pageIf(key []byte) *page {
	at := &s.near[maphash.Bytes(nearSeed, key)%nearby]
	if pg := *at; pg != nil && !pg.dead && pg.key == string(key) {
		return pg
	}
	pg := s.pages[string(key)]
	if pg == nil {
		pg = s.thaw(key)
	}
	if pg != nil {
		*at = pg
	}
	return pg
}

// tenantOf cuts the tenant out of a page's own key where it stands there, to hold one string
// instead of two.
func tenantOf(tenant string, pg *page) string {
	if pg.key[0] != scopeKind && len(pg.key) > len(tenant) && pg.key[1:1+len(tenant)] == tenant {
		return pg.key[1 : 1+len(tenant)]
	}
	return string([]byte(tenant))
}

func (s *shard) touch(pg *page) {
	if pg.txn == s.txn {
		return
	}
	pg.txn = s.txn
	if s.undoable {
		from := len(s.images)
		s.images = pg.appendTo(s.images)
		s.undo = append(s.undo, before{pg: pg, from: from, to: len(s.images)})
	}
	s.markDirty(pg)
}

// markDirty notes that the page must be saved.
func (s *shard) markDirty(pg *page) {
	pg.stored = false
	if !pg.dirty && !s.volatile {
		pg.dirty = true
		s.dirty = append(s.dirty, pg)
	}
}

// drop forgets a page; the next checkpoint deletes it.
func (s *shard) drop(pg *page) {
	s.touch(pg)
	if s.undoable {
		s.undo = append(s.undo, before{pg: pg, dead: true})
	}
	s.remove(pg)
}

// rollback undoes the transaction under way: before-images back, newest first.
func (s *shard) rollback() error {
	if s.rules.noUndo {
		return s.decodeVars(s.vars)
	}
	for i := len(s.undo) - 1; i >= 0; i-- {
		b := s.undo[i]
		switch {
		case b.from == -2:
			s.away[b.gone] = b.away
			s.count1(s.names[b.away.tenant()], b.away, 1)
			delete(s.doomed, b.gone)
		case b.dead:
			b.pg.dead = false
			s.put(b.pg)
		case b.from < 0:
			s.remove(b.pg)
		default:
			if err := b.pg.decode(s.images[b.from:b.to]); err != nil {
				return fmt.Errorf("undo of page %q: %w", b.pg.key, err)
			}
			s.indexed(b.pg)
		}
	}
	s.undo = s.undo[:0]
	return s.decodeVars(s.vars)
}

// indexed files a page that came from disk or was put back.
func (s *shard) indexed(pg *page) {
	if pg.breaker != nil {
		s.open[pg] = true
	}
	s.machine.indexed(pg)
}

// appendVars encodes all that is not in a page: the marker of a checkpoint, and the before-image of
// the variables.
func (s *shard) appendVars(b []byte) []byte {
	b = append(b, pageFormat)
	b = binary.AppendUvarint(b, s.seq)
	b = binary.AppendVarint(b, s.joff)
	b = binary.AppendVarint(b, s.next[0])
	b = binary.AppendVarint(b, s.next[1])
	b = binary.AppendVarint(b, s.now)
	b = binary.AppendUvarint(b, uint64(len(s.taken)))
	for _, t := range s.taken {
		b = binary.AppendVarint(binary.BigEndian.AppendUint64(b, t.id), t.stamp)
	}
	b = binary.AppendVarint(binary.AppendVarint(b, s.judged), s.resumed)
	b = s.appendRoom(b)
	return s.machine.appendVars(b)
}

func (s *shard) decodeVars(b []byte) error {
	r := wire.Reader{B: b}
	if f := r.Byte(); f != pageFormat && r.Err == nil {
		return errFormat(f)
	}
	s.seq = r.Uvarint()
	s.joff = r.Varint()
	s.next = [2]int64{r.Varint(), r.Varint()}
	s.now = r.Varint()
	s.taken = nil
	for range r.Len() {
		s.taken = append(s.taken, taken{r.Uint64(), r.Varint()})
	}
	s.judged, s.resumed = r.Varint(), r.Varint()
	s.decodeRoom(&r)
	s.machine.decodeVars(&r)
	return r.Err
}

// panelOf reads which set state was made under and returns its panel: the one at hand if it is that
// set's.
func (s *shard) panelOf(r *wire.Reader, have *detectors.Panel) *detectors.Panel {
	hash := r.String()
	if r.Err != nil || hash == have.Set.Hash() {
		return have
	}
	set, err := s.rules.set(hash)
	if err != nil {
		r.Err = err
		return have
	}
	return detectors.New(set)
}

func errFormat(f byte) error {
	return fmt.Errorf(
		"state has format %d, this binary knows %d; run the binary that wrote it, or begin anew with wayward state rebuild --all",
		f, pageFormat)
}

// step applies one record. Offsets may only grow: a log that went back under us (lost by the
// broker, another topic) must stop the shard.
func (s *shard) step(log int, r *record) error {
	if r.offset < s.next[log] {
		return fmt.Errorf(
			"log went back: record at offset %d, but everything before %d is applied; has the topic been deleted or restored?",
			r.offset, s.next[log])
	}
	s.counts.records++
	if err := s.machine.apply(log, r); err != nil {
		return err
	}
	s.next[log] = r.offset + 1
	return nil
}

// errPanic marks a panic inside a step: the state may be half changed and must be thrown away.
var errPanic = errors.New("panic")

// guarded runs f and turns a panic, which is a bug of ours, into the failure of this shard alone.
func (s *shard) guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return f()
}

func (s *shard) emit(o output) {
	var b [5]byte
	b[0] = byte(o.to)
	binary.BigEndian.PutUint32(b[1:], uint32(o.partition))
	s.digest.Write(b[:])
	s.digest.Write(o.key)
	s.digest.Write(o.value)
	if s.live {
		s.out = append(s.out, o)
	}
}

// drainOutput hands over what was emitted, and forgets it.
func (s *shard) drainOutput(each func(o *output)) {
	for i := range s.out {
		each(&s.out[i])
	}
	clear(s.out)
	s.out = s.out[:0]
}

// drainResults appends what was found and ordered, and forgets it.
func (s *shard) drainResults(findings []*event.Finding, commands []event.Command) ([]*event.Finding, []event.Command) {
	findings, commands = append(findings, s.findings...), append(commands, s.commands...)
	clear(s.findings)
	clear(s.commands)
	s.findings, s.commands = s.findings[:0], s.commands[:0]
	return findings, commands
}

// overAt lists, by scope, the breakers whose duration is over at a time, as control records.
func (s *shard) overAt(t int64) (out []control) {
	for pg := range s.open {
		k := pg.breaker
		if pg.dead || !k.Open() {
			delete(s.open, pg)
		} else if k.Until != 0 && k.Until <= t {
			out = append(out, control{Kind: controlExpire, Scope: k.Scope, Epoch: k.Epoch, Time: t})
		}
	}
	slices.SortFunc(out, func(a, b control) int { return cmp.Compare(a.Scope.Key(), b.Scope.Key()) })
	return out
}

// find records a finding. One that only goes on (event.Again) is not told again.
func (s *shard) find(f *event.Finding) {
	if f.Activity == event.Again {
		return
	}
	f.Now = s.now
	if f.Activity == event.Create {
		s.counts.findings++
	} else {
		s.counts.updates++
	}
	if s.counts.byDetector == nil {
		s.counts.byDetector = map[string]int64{}
	}
	s.counts.byDetector[f.Detector]++
	if s.live {
		s.findings = append(s.findings, f)
	}
	if s.rules.encoder != nil {
		key, value, headers := s.rules.encoder.Record(f)
		s.emit(output{toAlerts, -1, key, value, headers})
	}
}

// policies is the set in force.
func (s *shard) policies() *policy.Set { return s.machine.watchers().Set }

// count counts for a metric of its own name and one label.
func (s *shard) count(metric, label string) {
	if s.counts.other == nil {
		s.counts.other = map[[2]string]int64{}
	}
	s.counts.other[[2]string{metric, label}]++
}

// deadLetter sets a record aside with its reason and origin.
func (s *shard) deadLetter(topic string, p int32, r *record, reason, detail string, whose *event.Named) {
	if s.counts.dead == nil {
		s.counts.dead = map[string]int64{}
	}
	s.counts.dead[reason]++
	s.emit(deadLetter(topic, p, r, reason, detail, whose))
}

// wall is the wall clock at the edge.
func wall() int64 { return time.Now().UnixMilli() }

// takeDirty encodes what changed since the last checkpoint.
func (s *shard) takeDirty() (pages []state.Page, changed bool) {
	if len(s.dirty) == 0 && s.seq == s.savedSeq {
		return nil, false
	}
	s.savedSeq = s.seq
	for _, pg := range s.dirty {
		pg.dirty = false
		switch now := s.pages[pg.key]; {
		case now == pg:
			pages = append(pages, state.Page{Key: pg.key, Value: pg.appendTo(nil)})
			pg.stored = true // once the checkpoint is done: until then nothing is put on disk
		case now == nil:
			pages = append(pages, state.Page{Key: pg.key})
		}
	}
	clear(s.dirty)
	s.dirty = s.dirty[:0]
	return pages, true
}

// takeDoomed hands over the pages on disk that were forgotten since the last checkpoint.
func (s *shard) takeDoomed() map[uint64]bool {
	doomed := s.doomed
	s.doomed = map[uint64]bool{}
	return doomed
}

// none is the set of a shard that has not been given one: no persona, no limit. Shards start with
// it, so that the first set, too, takes effect by a record in their log.
var none = func() *policy.Set {
	s, err := policy.Parse([]byte(`{"v":1}`))
	if err != nil {
		panic(err)
	}
	return s
}()
