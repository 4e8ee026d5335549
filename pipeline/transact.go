package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/wayward-sec/wayward/pipeline/broker"
)

// slice is the part of a transaction that one partition has.
type slice struct {
	*partition
	in      *[2][]*kgo.Record // control and main records, as they were polled
	from    [2]int64          // the group's position before
	journal journal
	last    *kgo.Record // of the journal's records
	copying *copied     // is written to the changelog
	err     error       // the shard did not apply it
	awaits  *awaited    // because of this, then; nil: another cause
}

// transact applies the slices of the partitions in one transaction.
func (st *stage) transact(s *kgo.GroupTransactSession, in map[int32]*[2][]*kgo.Record, ready []*partition) error {
	start := time.Now()
	if err := s.Begin(); err != nil {
		s.AllowRebalance()
		st.metrics.transactions("unknown", whyOf(err)).Inc()
		return err
	}
	st.revoked.Store(false)
	// Stopping must not tear a transaction: it gets its own deadline, which is also the watchdog
	// against an End that never returns.
	ctx, cancel := context.WithTimeout(st.lastCtx, 2*st.cfg.TransactionTimeout)
	defer cancel()
	all := make([]slice, len(ready))
	for i, pt := range ready {
		all[i] = slice{partition: pt, in: in[pt.p], from: pt.shard.next}
	}
	broken := st.applyAll(all)
	st.crashPoint("open transaction")

	cl := s.Client()
	var lost lostRecord
	inTime := true
	if !broken {
		written := st.produce(ctx, cl, all, lost.promise)
		if err := cl.Flush(ctx); err != nil {
			s.AllowRebalance()
			st.metrics.transactions("unknown", whyOf(err)).Inc()
			return fmt.Errorf("flush: %w", err)
		}
		inTime = written || st.previousEnded(ctx, cl)
	}
	st.crashPoint("before End")
	s.AllowRebalance()
	ok, err := s.End(ctx, kgo.TransactionEndTry(!broken && lost.Load() == nil && inTime))
	if err != nil {
		st.metrics.transactions("unknown", whyOf(err)).Inc()
		return fmt.Errorf("the transaction's outcome is unknown: %w", err)
	}
	st.unwritten = lost.Load() != nil
	if ok {
		st.crashPoint("after End")
		st.metrics.transactions("committed", "").Inc()
		st.metrics.duration.Observe(time.Since(start).Seconds())
		return st.committed(ctx, all)
	}
	st.aborted(st.whyAborted(all, lost.Load(), inTime))
	if err := lost.Load(); err != nil {
		st.log.Warn("a record could not be written, the transaction is aborted", "err", broker.Explain(*err))
	}
	return st.undo(ctx, cl, all)
}

// lostRecord is the first error of a transaction's records. Without a promise for each of them a
// lost record would be committed.
type lostRecord struct{ atomic.Pointer[error] }

func (l *lostRecord) promise(_ *kgo.Record, err error) {
	if err != nil {
		l.CompareAndSwap(nil, &err)
	}
}

// applyAll applies the slices, several at once. It tells whether one could not be applied.
func (st *stage) applyAll(all []slice) (broken bool) {
	now := wall()
	// The longest slice first, so that no worker is left alone with it at the end.
	slices.SortStableFunc(all, func(a, b slice) int { return len(b.in[mainLog]) - len(a.in[mainLog]) })
	var workers errgroup.Group
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for i := range all {
		workers.Go(func() error {
			sl := &all[i]
			sl.journal, sl.err = st.apply(sl.shard, sl.in, now)
			return nil // all are applied, and all errors are looked at below
		})
	}
	workers.Wait()
	for i := range all {
		if sl := &all[i]; sl.err != nil {
			broken = true
			sl.awaits = awaitsBaseline(sl.shard, sl.err)
		}
	}
	return broken
}

// apply runs one slice on a shard and returns its journal.
func (st *stage) apply(sh *shard, slice *[2][]*kgo.Record, now int64) (j journal, err error) {
	sh.begin(now, true)
	j = journal{seq: sh.seq, now: now, first: -1, events: int64(len(slice[mainLog]))}
	at := &stepError{}
	err = sh.guarded(func() error {
		for log, records := range slice {
			for i, kr := range records {
				r := asRecord(kr)
				at.log, at.offset, at.index = log, r.offset, i
				if log == controlLog {
					j.control = append(j.control, r)
				} else if i == 0 {
					j.first = r.offset
				}
				if err := sh.step(log, &r); err != nil {
					return err
				}
			}
		}
		at.offset = -1
		sh.machine.seal()
		return nil
	})
	if err != nil {
		at.err = err
		return j, at
	}
	sh.seq++
	j.next, j.digest = sh.next, sh.digest.Sum64()
	if b, ok := sh.machine.(*behaviour); ok {
		j.watermark = b.clock.watermark()
	}
	return j, nil
}

// stepError says on which record a shard failed.
type stepError struct {
	log    int
	index  int // of it in its slice
	offset int64
	err    error
}

func (e *stepError) Error() string { return fmt.Sprintf("at offset %d: %v", e.offset, e.err) }

func (e *stepError) Unwrap() error { return e.err }

// produce writes what follows from the slices. It tells whether that was anything.
func (st *stage) produce(ctx context.Context, cl *kgo.Client, all []slice,
	promise func(*kgo.Record, error)) (written bool) {
	for i := range all {
		sl := &all[i]
		sl.copying = sl.partition.copied
		written = written || len(sl.shard.out) > 0 || st.journal != "" || sl.copying != nil
		for _, o := range sl.shard.out {
			cl.Produce(ctx, st.record(o), promise)
		}
		if st.journal != "" {
			for _, b := range sl.journal.encode() {
				sl.last = &kgo.Record{Topic: st.journal, Partition: sl.p, Value: b}
				cl.Produce(ctx, sl.last, promise)
			}
		}
		if sl.copying != nil {
			st.produceChangelog(ctx, cl, sl.p, sl.copying, promise)
		}
	}
	return written
}

func (m *member) record(o output) *kgo.Record {
	r := &kgo.Record{Topic: m.topics[o.to], Partition: o.partition, Key: o.key, Value: o.value}
	for _, h := range o.headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r
}

// committed does what follows a commit beside the logs.
func (st *stage) committed(ctx context.Context, all []slice) error {
	for i := range all {
		sl := &all[i]
		sh := sl.shard
		if sl.last != nil {
			sh.joff = sl.last.Offset + 1
		}
		sh.undo = sh.undo[:0]
		sh.machine.kept()
		sl.polledAt = 0
		st.metrics.add(sh)
		st.warnOnce(sh)
		if len(sh.findings) > 0 && st.cfg.Found != nil {
			st.cfg.Found(sh.findings)
		}
		if len(sh.commands) > 0 && st.cfg.Issued != nil {
			st.cfg.Issued(sh.commands)
		}
		st.moveOn(ctx, sl.partition, len(sl.in[mainLog]))
		st.noteSources(sl)
	}
	for i := range all {
		sl := &all[i]
		if sl.copying == nil {
			continue
		}
		sl.partition.copied = nil
		if err := st.cfg.Store.Copied(st.space(sl.p), sl.copying.version); err != nil && !diskTrouble(err) {
			// else it is copied once more
			return err
		}
	}
	return nil
}

// moveOn ends what held a partition back, and holds it back where it runs ahead, now that it has
// taken so many records more.
func (st *stage) moveOn(ctx context.Context, pt *partition, taken int) {
	sh := pt.shard
	if fl := pt.failure; fl != nil && (fl.offset < 0 || sh.next[mainLog] > fl.offset) {
		pt.failure = nil
		st.log.Info("shard recovered", "partition", pt.p)
	}
	if pt.policies && sh.policies().Hash() == st.own {
		pt.policies = false
	}
	if w := pt.baseline; w != nil && w.before > 0 {
		if w.before -= taken; w.before <= 0 { // it is the next one now
			w.before = 0
			st.awaitBaseline(ctx, pt, w)
		}
	}
	b, ok := sh.machine.(*behaviour)
	if !ok {
		return
	}
	switch ahead := b.ahead(); {
	case ahead > st.cfg.MaxAhead.Milliseconds() && !pt.ahead:
		pt.ahead = true
		st.log.Info("events paused: too far ahead of the relation stage", "partition", pt.p, "ahead",
			time.Duration(ahead)*time.Millisecond)
	case ahead < st.cfg.MaxAhead.Milliseconds()*9/10:
		pt.ahead = false
	}
}

// undo brings memory back to what it was before an aborted transaction, and asks whether it was
// one.
func (st *stage) undo(ctx context.Context, cl *kgo.Client, all []slice) error {
	for i := range all {
		if err := st.undoSlice(ctx, &all[i]); err != nil {
			return err
		}
	}
	// (false, nil) is not "aborted": franz-go says it also of an unknown outcome that it then tried
	// to abort. Ask.
	at, err := st.brokerPosition(ctx, cl)
	if err != nil {
		return fmt.Errorf("asking for the group's offsets after an abort: %w", err)
	}
	mine := cl.CommittedOffsets()
	for _, sl := range all {
		if _, have := mine[st.in[0]][sl.p]; have && at[sl.p] != sl.from {
			return fmt.Errorf(
				"the transaction was said to be aborted, but the group is at %v of partition %d instead of %v",
				at[sl.p], sl.p, sl.from)
		}
	}
	return nil
}

// undoSlice undoes the slice of one partition. The abort has set the client back already.
func (st *stage) undoSlice(ctx context.Context, sl *slice) error {
	pt := sl.partition
	switch {
	case sl.awaits != nil:
		if err := pt.shard.rollback(); err != nil {
			return err
		}
		st.awaitBaseline(ctx, pt, sl.awaits)
	case sl.err != nil:
		offset := int64(-1)
		if se := (*stepError)(nil); errors.As(sl.err, &se) && se.log == mainLog {
			offset = se.offset
		}
		st.fail(pt, sl.err, offset)
		if fl := pt.failure; fl.same >= 3 && !fl.skip && len(st.in) == 2 {
			st.setAside(ctx, pt)
		}
	case pt.shard.undoable || st.rules.noUndo:
		return pt.shard.rollback()
	default:
		pt.forget() // loaded anew at the next poll
	}
	return nil
}
