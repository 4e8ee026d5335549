package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/errgroup"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/state"
)

// Replay runs historical events through the same engine as live, both stages in one process, in
// memory. It publishes nothing.
//
// The stream is cut by key into virtual partitions, whatever the number of workers, and proceeds in
// slices of sliceMS of the stream's own watermark: the verdicts of one slice apply at the start of
// the next. So the number of workers does not show in the output.
type Replay struct {
	Policy  *policy.Set
	Workers int
	Flush   bool // at the end, close what still waits for the watermark
	PageCap int  // pages of a tenant in all partitions of a stage together
	// Budget bounds the memory of the process; nil: nothing does. What does not fit goes to a
	// directory of its own below Scratch, which the end removes; "" is where the system keeps what
	// is temporary.
	Budget  *Budget
	Scratch string
	// Since leaves out findings whose trigger is earlier (Unix milliseconds): what comes before it
	// only fills the windows.
	Since int64
	// Deliver is given the findings of each slice, sorted by (time, uid).
	Deliver func(*event.Finding) error
	// Command, if not nil, is given the commands that a live engine would issue in each slice,
	// sorted by (time, scope), those of a scope by epoch. Expiry runs on the watermark.
	Command func(*event.Command) error
	// Learn are baselines that are in force from the first event on, whatever their day, until the
	// replay has closed days of its own.
	Learn []*baselines.Model
	// Freeze leaves them in force: what the events add is reported and not learned.
	Freeze bool
	// Daily, if not nil, is asked for the snapshots of each day that is closed, which then are in
	// force instead of what is closed here: what was woven into a stream is so judged by what was
	// learned without it.
	Daily func(day int64) []*baselines.Model
	// Approved says that the events are known to be good: they are learned without quarantine,
	// nothing is found, and at the end the last day is closed.
	Approved bool
	// Closed, if not nil, is given each baseline of each day that is closed, sorted by day and key,
	// and what the day added; at the end also the days that were not over, with the model in force
	// then. A baseline that was not learned has a model of its key and day with nothing in it.
	Closed func(m *baselines.Model, d *baselines.Delta)
	// Snapshots are, after Run, the baselines as last closed, sorted by key.
	Snapshots []*baselines.Model
	// Bad is told of each record that did not decode.
	Bad      func(at int64, reason string, err error)
	observed func(x *detectors.Scene, e *event.Event) // of tests
	// Progress is told, after each chunk, how much of the source is done.
	Progress func(done, events int64)
}

const (
	virtual  = 16   // virtual partitions of a replay
	sliceMS  = 5000 // of watermark in a slice
	smallRun = 512  // events below which handing out work costs more than doing it
)

// Summary is what a replay did.
type Summary struct {
	Events, Findings, Updates, Commands, Repeated, Late, Future, Dropped, Evicted, Stateless, Verdicts int64
	// by reason
	Dead map[string]int64
	// by rule: expressions that failed
	RuleErrors map[string]int64
	// by limit: calls that it is about and cannot measure
	Unmeasured map[string]int64
	// event times, Unix milliseconds
	First, Last int64
	Watermark   int64
	// buckets that the watermark has not passed
	Pending int
	Pages   int
}

// block is a part of a chunk that one worker decodes.
type block struct {
	lines   []byte
	records []history.Record
	at      int64
	first   int64 // number of its first line; 0: these are records
	stamp   int64
	decoder event.Decoder
	items   []item
	bad     []history.Undecoded
}

type item struct {
	e       event.Event
	hash    uint64
	stamp   int64  // broker's; of a line: its own time, or that of the file where its own is not believed
	content uint64 // hash of its record
	order   int64  // in its log: number of the line, or offset
	newest  int64  // event time that the whole file has reached with it
	broken  string // why it did not decode; then e holds nothing but whose it is
	sum     uint64 // of the bytes of one that did not
}

const blockBytes = 128 << 10

// decodedChunk is a chunk with its events.
type decodedChunk struct {
	*history.Chunk
	blocks []*block
}

// replaying is a replay under way.
type replaying struct {
	*Replay
	free       chan []*block // blocks of chunks that are done, for reuse
	behaviours [virtual]*behaviour
	relations  [virtual]*relation
	shared     *rules
	shards     []*shard
	clock      clock
	watermark  int64 // of the stream; given to the behaviours' facts
	slice      int64 // number of the slice under way
	cutAt      int64 // events before it
	queues     [virtual][]*item
	queued     int
	facts      [virtual][]record // for each relation shard
	// likewise, control records: applied at the end of the slice, sorted, so that where chunks end
	// does not show
	told      [virtual][]record
	verdicts  [virtual][]record // for the next slice
	snapshots replaySnapshots
	ended     int64 // ten minutes of the watermark in which idle sessions were last looked for
	closed    int64 // newest day that may be closed
	given     int64 // and up to which Daily was asked
	sum       Summary
}

// Run replays a source to its end, or until ctx is done.
func (r *Replay) Run(ctx context.Context, src history.Source) (_ Summary, err error) {
	if r.Workers <= 0 {
		r.Workers = runtime.GOMAXPROCS(0)
	}
	if r.PageCap == 0 {
		r.PageCap = DefaultPageCap
	}
	known, err := newSets(r.Policy, nil, "")
	if err != nil {
		return Summary{}, err
	}
	shared := &rules{pageCap: r.PageCap, set: known.get, owners: owners{sources: virtual, facts: virtual,
		partition: func(key []byte, n int32) int32 { return int32(xxhash.Sum64(key) % uint64(n)) }}}
	x := &replaying{Replay: r, watermark: noTime, slice: noTime, closed: noTime, given: noTime, shared: shared}
	defer func() {
		if shared.store != nil {
			err = errors.Join(err, shared.store.Close())
		}
	}()
	x.snapshots = replaySnapshots{owner: shared.baselineOwner}
	switch {
	case r.Daily != nil:
		x.snapshots.given = []Closing{}
	case r.Freeze:
		x.snapshots.given = []Closing{*closingOf(r.Learn)}
	}
	x.sum.Dead = map[string]int64{}
	for p := range x.behaviours {
		x.behaviours[p] = newBehaviour(int32(p), shared, r.Policy, "")
		x.behaviours[p].replay = &x.watermark
		x.relations[p] = newRelation(int32(p), shared, r.Policy)
		x.behaviours[p].models, x.behaviours[p].begun = &x.snapshots, true
		x.behaviours[p].approved, x.relations[p].approved = r.Approved, r.Approved
		x.relations[p].replay, x.relations[p].freeze = true, x.snapshots.given != nil
		x.behaviours[p].begin(0, true)
		x.relations[p].begin(0, true)
		x.behaviours[p].undoable, x.relations[p].undoable = false, false
		x.behaviours[p].volatile, x.relations[p].volatile = true, true
		x.shards = append(x.shards, x.behaviours[p].shard, x.relations[p].shard)
	}
	// One chunk is decoded while the one before it is applied: no worker waits for the other kind
	// of work.
	decoded := make(chan *decodedChunk, 1)
	failed := make(chan error, 1)
	x.free = make(chan []*block, 4)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer close(decoded)
		for {
			c, err := src.Next(ctx)
			if err != nil {
				failed <- err
				return
			}
			select {
			case decoded <- x.decode(c):
			case <-ctx.Done():
				failed <- ctx.Err()
				return
			}
		}
	}()
	for c := range decoded {
		if err := orLost(func() error { return x.chunk(c) }); err != nil {
			cancel()
			for range decoded { // the source is the caller's again only when nobody reads it
			}
			return x.summary(), err
		}
		if r.Progress != nil {
			r.Progress(c.Read, x.sum.Events)
		}
		src.Done(c.Chunk)
		x.free <- c.blocks
	}
	if err := <-failed; !errors.Is(err, io.EOF) {
		return x.summary(), err
	}
	if err := orLost(x.end); err != nil {
		return x.summary(), err
	}
	r.Snapshots = x.last()
	return x.summary(), nil
}

// orLost makes an error of a page that the disk does not give back.
func orLost(do func() error) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case lostPage:
			err = fmt.Errorf(
				"what did not fit into memory cannot be read back: %w; see to the disk of TMPDIR, or give --memory more",
				p)
		default:
			panic(p)
		}
	}()
	return do()
}

// parallel calls f for 0 … n-1 on the workers. A panic in one of them is one of the caller.
func (x *replaying) parallel(n int, f func(i int)) {
	if x.Workers == 1 || n == 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var workers errgroup.Group
	var broken atomic.Pointer[any]
	workers.SetLimit(x.Workers)
	for i := range n {
		workers.Go(func() error {
			defer func() {
				if p := recover(); p != nil {
					broken.CompareAndSwap(nil, &p)
				}
			}()
			f(i)
			return nil
		})
	}
	workers.Wait()
	if p := broken.Load(); p != nil {
		panic(*p)
	}
}

// chunk applies the events of a chunk in order, cutting slices where the watermark crosses them.
func (x *replaying) chunk(c *decodedChunk) error {
	for _, b := range c.blocks {
		for _, bad := range b.bad {
			x.sum.Dead[bad.Reason]++
			if x.Bad != nil {
				x.Bad(bad.At, bad.Reason, bad.Err)
			}
		}
		for i := range b.items {
			it := &b.items[i]
			it.order += b.first
			if it.broken != "" {
				if b.lines != nil {
					x.stampBroken(it)
				}
				if it.stamp != 0 {
					p := it.hash % virtual
					x.queues[p] = append(x.queues[p], it)
					x.queued++
				}
				continue
			}
			if b.lines != nil {
				x.stamp(it)
			}
			t := it.e.Time
			// An event from the future tells no time. The first of a file must not make all that
			// follow late.
			future := t > it.stamp+futureTol
			if future && x.clock.seen {
				t = x.clock.newest
			}
			if !future || x.clock.seen {
				if !x.clock.seen || t < x.sum.First {
					x.sum.First = t
				}
				x.sum.Last = max(x.sum.Last, t)
			}
			x.sum.Events++
			if !future || x.clock.seen {
				x.clock.see(t, 0, it.hash)
			}
			it.newest = t
			if x.clock.seen {
				it.newest = x.clock.newest
			}
			// Before the event that moves the watermark on: what ended in a long quiet has ended
			// when that event comes.
			if s := wire.FloorDiv(x.clock.watermark(), sliceMS); x.clock.seen && s > x.slice {
				x.slice = s
				if err := x.cut(); err != nil {
					return err
				}
			}
			p := it.hash % virtual
			x.queues[p] = append(x.queues[p], it)
			x.queued++
		}
	}
	if err := x.apply(); err != nil { // partial sums alias the chunk: they become facts before it is reused
		return err
	}
	return x.relieve()
}

// relieve puts pages on disk if memory is short.
func (x *replaying) relieve() (err error) {
	want := x.Budget.wanted(x.shards)
	if want == nil {
		return nil
	}
	if x.shared.store == nil {
		if x.shared.store, err = state.Scratch(x.Scratch); err != nil {
			return err
		}
	}
	errs := make([]error, len(x.shards))
	x.parallel(len(x.shards), func(i int) {
		_, errs[i] = x.shards[i].shed(want[i])
	})
	return errors.Join(errs...)
}

// farAhead is how far, in milliseconds, an event of a file may be ahead of all before it and be
// believed by itself.
const farAhead = 30 * 86_400_000

// stamp gives an event of a file what a broker's stamp is to one of a topic: a time beyond which
// its own is not believed. The clock of a file is the file's own: when it is replayed must not
// show.
func (x *replaying) stamp(it *item) {
	base := it.stamp // of the file
	if x.clock.seen {
		base = x.clock.newest
	}
	it.stamp = it.e.Time
	if base == 0 || it.e.Time-base <= farAhead {
		return
	}
	if x.clock.seen { // a second agent, or many events of one, are believed
		ahead := x.clock
		if ahead.see(it.e.Time, 0, it.hash); ahead.newest >= it.e.Time-farAhead {
			return
		}
		x.clock = ahead
	}
	it.stamp = base
}

// stampBroken does it for a record that did not decode: it moves no clock.
func (x *replaying) stampBroken(it *item) {
	base := it.stamp
	if x.clock.seen {
		base = x.clock.newest
	}
	if it.stamp = it.e.Time; it.stamp == 0 || base != 0 && it.stamp-base > farAhead {
		it.stamp = base
	}
}

// apply runs what is queued through the behaviour stage and files its facts with the relation
// stage.
func (x *replaying) apply() error {
	if x.queued == 0 {
		return nil
	}
	return x.run()
}

// run does it, and applies what the relation stage has told the behaviour stage, in any case.
func (x *replaying) run() error {
	run := func(p int) error {
		b := x.behaviours[p]
		if len(x.queues[p]) == 0 && len(x.verdicts[p]) == 0 {
			return nil
		}
		for i := range x.verdicts[p] {
			if err := b.control(&x.verdicts[p][i]); err != nil {
				return err
			}
		}
		for _, it := range x.queues[p] {
			if it.broken != "" {
				b.event.undecoded(&event.Named{Tenant: it.e.Tenant, Agent: it.e.Agent.ID, ID: it.e.ID, Time: it.e.Time,
					Sum: it.sum}, it.stamp, it.broken)
				continue
			}
			e := &b.event
			e.before, e.reached, e.order, e.content = e.reached, it.newest, it.order, it.content
			if err := b.observe(&it.e, it.stamp); err != nil {
				return err
			}
			if x.observed != nil {
				x.observed(&e.scene, &it.e)
			}
		}
		b.seal()
		b.kept()
		clear(x.queues[p])
		x.queues[p], x.verdicts[p] = x.queues[p][:0], x.verdicts[p][:0]
		return nil
	}
	var errs [virtual]error
	if x.queued < smallRun {
		for p := range virtual {
			errs[p] = run(p)
		}
	} else {
		x.parallel(virtual, func(p int) { errs[p] = run(p) })
	}
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	x.file(x.queued)
	x.queued = 0
	return nil
}

// file brings what the behaviour stage has written to the relation stage.
func (x *replaying) file(events int) {
	for _, b := range x.behaviours {
		for i := range b.out {
			if o := &b.out[i]; o.to == toFacts && isControlFacts(o.value) {
				x.told[o.partition] = append(x.told[o.partition], record{value: o.value})
			} else if o.to == toFacts {
				x.facts[o.partition] = append(x.facts[o.partition], record{value: o.value})
			}
		}
		clear(b.out)
		b.out = b.out[:0]
	}
	take := func(q int) {
		for i := range x.facts[q] {
			x.relations[q].apply(mainLog, &x.facts[q][i])
		}
		clear(x.facts[q])
		x.facts[q] = x.facts[q][:0]
	}
	if events < smallRun {
		for q := range virtual {
			take(q)
		}
	} else {
		x.parallel(virtual, take)
	}
}

// cut ends a slice: the relation stage closes what the watermark has passed, and its verdicts wait
// for the next slice.
func (x *replaying) cut() error {
	if err := x.apply(); err != nil {
		return err
	}
	if err := x.relieve(); err != nil {
		return err
	}
	was := x.watermark
	x.watermark = x.slice * sliceMS
	if err := x.learned(was); err != nil {
		return err
	}
	x.hear()
	x.expire() // also what was ordered late enough to be over already
	x.hear()
	advance := func(q int) { x.relations[q].advanceTo(x.watermark) }
	if x.sum.Events-x.cutAt < smallRun {
		for q := range virtual {
			advance(q)
		}
	} else {
		x.parallel(virtual, advance)
	}
	x.cutAt = x.sum.Events
	x.shelve()
	return x.deliver()
}

// hear applies what behaviour shards told relation shards in the slice, and what these tell each
// other because of it.
func (x *replaying) hear() {
	for some := true; some; {
		some = false
		for q, told := range x.told {
			some = some || len(told) > 0
			slices.SortFunc(told, func(a, b record) int {
				return cmp.Or(cmp.Compare(tripTime(a.value), tripTime(b.value)), bytes.Compare(a.value, b.value))
			})
			x.told[q] = nil
			for i := range told {
				x.relations[q].apply(mainLog, &told[i])
			}
		}
		x.pass()
	}
}

// pass files what the relation stage has written for both stages.
func (x *replaying) pass() {
	for _, b := range x.relations {
		for _, o := range b.out {
			switch o.to {
			case toControl:
				x.verdicts[o.partition] = append(x.verdicts[o.partition], record{value: o.value})
			case toFacts:
				x.told[o.partition] = append(x.told[o.partition], record{value: o.value})
			}
		}
		clear(b.out)
		b.out = b.out[:0]
	}
}

// tripTime is the event time of the order in a control record among facts; 0 if there is none.
func tripTime(value []byte) int64 {
	_, body, _ := readFactsHead(value)
	if c, err := readControl(body.B); err == nil && c.Trip != nil {
		return c.Trip.Order.Time
	}
	return 0
}

// expire ends what is over by the watermark, which is a replay's wall clock: at the start of the
// next slice, as verdicts are.
func (x *replaying) expire() {
	over := func(s *shard) (out []control) {
		for pg := range s.open {
			k := pg.breaker
			if pg.dead || !k.Open() {
				delete(s.open, pg)
			} else if k.Until != 0 && k.Until <= x.watermark {
				out = append(out, control{Kind: controlExpire, Scope: k.Scope, Epoch: k.Epoch, Time: x.watermark})
			}
		}
		slices.SortFunc(out, func(a, b control) int { return cmp.Compare(a.Scope.Key(), b.Scope.Key()) })
		return out
	}
	for p := range virtual {
		for _, c := range over(x.behaviours[p].shard) {
			x.verdicts[p] = append(x.verdicts[p], record{value: c.encode()})
		}
		for _, c := range over(x.relations[p].shard) {
			x.told[p] = append(x.told[p], record{value: controlFacts(0, 0, "", c)})
		}
	}
}

func (x *replaying) end() error {
	if err := x.apply(); err != nil {
		return err
	}
	if err := x.learnRest(); err != nil {
		return err
	}
	x.hear()
	x.expire()
	x.hear()
	for _, b := range x.relations {
		b.closePassed() // what came late in the last slice
		if x.Flush {
			b.flush()
		}
	}
	if err := x.deliver(); err != nil {
		return err
	}
	// What the relation stage has said last, and what follows from it, until nobody has anything to
	// say.
	waits := func(told [virtual][]record) bool {
		return slices.ContainsFunc(told[:], func(r []record) bool { return len(r) > 0 })
	}
	for waits(x.verdicts) || waits(x.told) {
		if err := x.run(); err != nil {
			return err
		}
		x.hear()
		if err := x.deliver(); err != nil {
			return err
		}
	}
	return nil
}

func (x *replaying) summary() Summary {
	s := x.sum
	s.Watermark = x.clock.watermark()
	for p := range virtual {
		b, r := x.behaviours[p], x.relations[p]
		s.Repeated += b.counts.repeated
		s.Late += b.counts.late
		s.Future += b.counts.future
		s.Verdicts += b.counts.verdicts
		s.Dropped += b.counts.dropped + r.counts.dropped
		s.Evicted += b.counts.evicted + r.counts.evicted
		s.Stateless += b.counts.stateless
		s.Pages += b.pageCount() + r.pageCount()
		for _, c := range []*counts{&b.counts, &r.counts} {
			for k, n := range c.other {
				if k[0] == ruleMetric+unmeasured {
					if s.Unmeasured == nil {
						s.Unmeasured = map[string]int64{}
					}
					s.Unmeasured[k[1]] += n
				}
				if k[0] == ruleMetric+"error" {
					if s.RuleErrors == nil {
						s.RuleErrors = map[string]int64{}
					}
					s.RuleErrors[k[1]] += n
				}
			}
		}
		for _, pages := range r.due {
			s.Pending += len(pages)
		}
	}
	return s
}
