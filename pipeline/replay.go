package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
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
	// Daily, if not nil, is asked for the snapshots of each day that is closed. They are in force
	// instead of what is closed here, so that what was woven into a stream is judged by what was
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
	// Bad, if not nil, is called for each record that did not decode.
	Bad      func(at int64, reason string, err error)
	observed func(x *detectors.Scene, e *event.Event) // of tests
	// Progress, if not nil, is called after each chunk: how much of the source is done.
	Progress func(done, events int64)
}

const (
	virtual  = 16   // virtual partitions of a replay
	sliceMS  = 5000 // of watermark in a slice
	smallRun = 512  // events below which handing out work costs more than doing it
)

// replaying is a replay under way.
type replaying struct {
	*Replay
	free       chan []*block // blocks of chunks that are done, for reuse
	behaviours [virtual]*behaviour
	relations  [virtual]*relation
	shared     *rules
	shards     []*shard
	clock      clock
	watermark  int64 // of the stream, as of the last slice; behaviour shards write it into facts
	slice      int64 // number of the slice under way
	before     int64 // events before it
	queues     [virtual][]*item
	queued     int
	facts      [virtual][]record // for each relation shard
	// Control records for each relation shard. They are applied at the end of the slice, sorted, so
	// that where chunks end does not show.
	relationControl  [virtual][]record
	behaviourControl [virtual][]record // for each behaviour shard, in the next slice
	snapshots        replaySnapshots
	ended            int64 // ten minutes of the watermark in which idle sessions were last looked for
	over             int64 // newest day that is over
	asked            int64 // day up to which Daily was asked
	sum              Summary
}

// Run replays a source to its end, or until ctx is done.
func (r *Replay) Run(ctx context.Context, src history.Source) (_ Summary, err error) {
	x := r.start()
	defer func() {
		if closed := x.close(); closed != nil {
			err = errors.Join(err, closed)
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	decoded, failed := x.decodeAhead(ctx, src)
	for c := range decoded {
		if err := recoverLostPage(func() error { return x.applyChunk(c) }); err != nil {
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
	if err := recoverLostPage(x.end); err != nil {
		return x.summary(), err
	}
	r.Snapshots = x.presentModels()
	return x.summary(), nil
}

// start makes the shards of both stages.
func (r *Replay) start() *replaying {
	if r.Workers <= 0 {
		r.Workers = runtime.GOMAXPROCS(0)
	}
	if r.PageCap == 0 {
		r.PageCap = DefaultPageCap
	}
	shared := &rules{pageCap: r.PageCap, set: r.theSet, owners: owners{sources: virtual, facts: virtual,
		partition: func(key []byte, n int32) int32 { return int32(xxhash.Sum64(key) % uint64(n)) }}}
	x := &replaying{Replay: r, watermark: noTime, slice: noTime, over: noTime, asked: noTime, shared: shared,
		free: make(chan []*block, 4), snapshots: replaySnapshots{owner: shared.baselineOwner}}
	switch {
	case r.Daily != nil:
		x.snapshots.fixed = []Closing{}
	case r.Freeze:
		x.snapshots.fixed = []Closing{*closingOf(r.Learn)}
	}
	x.sum.Dead = map[string]int64{}
	for p := range x.behaviours {
		x.behaviours[p] = newFileBehaviour(int32(p), shared, r.Policy, &x.snapshots, &x.watermark, r.Approved)
		x.relations[p] = newFileRelation(int32(p), shared, r.Policy, r.Approved, x.snapshots.fixed != nil)
		x.shards = append(x.shards, x.behaviours[p].shard, x.relations[p].shard)
	}
	return x
}

// theSet is the one set of policies that there is in a replay.
func (r *Replay) theSet(hash string) (*policy.Set, error) {
	if hash != r.Policy.Hash() {
		return nil, fmt.Errorf("a replay has the set of policies %.12s and no other, not %.12s", r.Policy.Hash(), hash)
	}
	return r.Policy, nil
}

// close removes what did not fit into memory.
func (x *replaying) close() error {
	if x.shared.store == nil {
		return nil
	}
	return x.shared.store.Close()
}

// decodeAhead decodes a chunk while the one before it is applied, so that no worker waits for the
// other kind of work. failed has why it ends, at the latest when decoded is closed.
func (x *replaying) decodeAhead(ctx context.Context, src history.Source) (<-chan *decodedChunk, <-chan error) {
	decoded := make(chan *decodedChunk, 1)
	failed := make(chan error, 1)
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
	return decoded, failed
}

// recoverLostPage makes an error of a page that the disk does not give back.
func recoverLostPage(do func() error) (err error) {
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
	var panicked atomic.Pointer[any]
	workers.SetLimit(x.Workers)
	for i := range n {
		workers.Go(func() error {
			defer func() {
				if p := recover(); p != nil {
					panicked.CompareAndSwap(nil, &p)
				}
			}()
			f(i)
			return nil
		})
	}
	workers.Wait()
	if p := panicked.Load(); p != nil {
		panic(*p)
	}
}

// applyChunk applies the events of a chunk in order, ending slices where the watermark crosses them.
func (x *replaying) applyChunk(c *decodedChunk) error {
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
			if it.undecoded != "" {
				if b.lines != nil {
					x.stampUndecoded(it)
				}
				if it.stamp != 0 {
					x.queue(it)
				}
				continue
			}
			if b.lines != nil {
				x.stamp(it)
			}
			x.advanceClock(it)
			// Before the event that moves the watermark on: what ended in a long quiet has ended
			// when that event comes.
			if s := wire.FloorDiv(x.clock.watermark(), sliceMS); x.clock.seen && s > x.slice {
				x.slice = s
				if err := x.endSlice(); err != nil {
					return err
				}
			}
			x.queue(it)
		}
	}
	if err := x.applyQueued(); err != nil { // partial sums alias the chunk: they become facts before it is reused
		return err
	}
	return x.spill()
}

// queue lets an event wait for its behaviour shard.
func (x *replaying) queue(it *item) {
	p := it.hash % virtual
	x.queues[p] = append(x.queues[p], it)
	x.queued++
}

// spill puts pages on disk if memory is short.
func (x *replaying) spill() (err error) {
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
