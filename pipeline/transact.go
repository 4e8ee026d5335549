package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wayward-sec/wayward/pipeline/broker"
)

// transact applies the slices of the partitions in one transaction.
func (st *stage) transact(ctx context.Context, s *kgo.GroupTransactSession, in map[int32]*[2][]*kgo.Record,
	order []int32) error {
	cl := s.Client()
	start := time.Now()
	now := wall()
	if err := s.Begin(); err != nil {
		s.AllowRebalance()
		st.metrics.transactions("unknown", whyOf(err)).Inc()
		return err
	}
	st.revoked.Store(false)
	// Stopping must not tear a transaction: it gets its own deadline, which is also the watchdog
	// against an End that never returns.
	ctx, cancel := context.WithTimeout(st.last, 2*st.cfg.TransactionTimeout)
	defer cancel()
	// The longest slice first, so that no worker is left alone with it at the end.
	slices.SortStableFunc(order, func(a, b int32) int { return len(in[b][mainLog]) - len(in[a][mainLog]) })
	was := make([][2]int64, len(order))
	for i, p := range order {
		was[i] = st.shards[p].next
	}
	journals := make([]journal, len(order))
	errs := make([]error, len(order))
	var next atomic.Int32
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(order)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(order); i = int(next.Add(1)) - 1 {
				journals[i], errs[i] = st.apply(st.shards[order[i]], in[order[i]], now)
			}
		})
	}
	workers.Wait()
	st.at("open transaction")

	// the first promise that failed; a nil promise would let a lost record commit
	var lost atomic.Pointer[error]
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			lost.CompareAndSwap(nil, &err)
		}
	}
	broken := errors.Join(errs...)
	last := make([]*kgo.Record, len(order)) // of each journal
	copying := map[int32]*copied{}
	inTime := true
	if broken == nil {
		written := false
		for i, p := range order {
			sh := st.shards[p]
			written = written || len(sh.out) > 0 || st.journal != "" || st.copies[p] != nil
			for _, o := range sh.out {
				cl.Produce(ctx, st.record(o), promise)
			}
			if st.journal != "" {
				for _, b := range journals[i].encode() {
					last[i] = &kgo.Record{Topic: st.journal, Partition: p, Value: b}
					cl.Produce(ctx, last[i], promise)
				}
			}
			if c := st.copies[p]; c != nil {
				copying[p] = c
				st.produceChangelog(ctx, cl, p, c, promise)
			}
		}
		if err := cl.Flush(ctx); err != nil {
			s.AllowRebalance()
			st.metrics.transactions("unknown", whyOf(err)).Inc()
			return fmt.Errorf("flush: %w", err)
		}
		inTime = written || st.finished(ctx, cl)
	}
	st.at("before End")
	s.AllowRebalance()
	ok, err := s.End(ctx, kgo.TransactionEndTry(broken == nil && lost.Load() == nil && inTime))
	if err != nil {
		st.metrics.transactions("unknown", whyOf(err)).Inc()
		return fmt.Errorf("the transaction's outcome is unknown: %w", err)
	}
	st.unwritten = lost.Load() != nil
	if ok {
		st.at("after End")
		st.metrics.transactions("committed", "").Inc()
		st.metrics.duration.Observe(time.Since(start).Seconds())
		for i, p := range order {
			sh := st.shards[p]
			if last[i] != nil {
				sh.joff = last[i].Offset + 1
			}
			sh.undo = sh.undo[:0]
			sh.machine.kept()
			delete(st.polled, p)
			st.metrics.add(sh)
			st.committed(ctx, cl, p, sh, len(in[p][mainLog]))
			for _, r := range in[p][mainLog] {
				st.hear(r)
			}
		}
		for p, c := range copying {
			delete(st.copies, p)
			if err := st.cfg.Store.Copied(st.space(p), c.version); err != nil && !diskTrouble(err) {
				// else it is copied once more
				return err
			}
		}
		return nil
	}
	st.aborted(st.whyAborted(order, errs, lost.Load(), inTime))
	if perr := lost.Load(); perr != nil {
		st.log.Warn("a record could not be written, the transaction is aborted", "err", broker.Explain(*perr))
	}
	for i, p := range order {
		if w := st.awaits(p, errs[i]); w != nil {
			if err := st.shards[p].rollback(); err != nil {
				return err
			}
			st.wait(ctx, cl, p, w)
			continue
		}
		if errs[i] != nil {
			offset := int64(-1)
			if se := (*stepError)(nil); errors.As(errs[i], &se) && se.log == mainLog {
				offset = se.offset
			}
			st.fail(p, errs[i], offset)
			cl.PauseFetchPartitions(st.both(p)) // the abort has set it back already
			if fl := st.failed[p]; fl.same >= 3 && !fl.skip && len(st.in) == 2 {
				fl.skip = true
				st.tellControl(ctx, p, control{Kind: controlSkip, Offset: offset})
				st.log.Error("event set aside after three failures", "topic", st.in[1], "partition", p, "offset",
					offset)
			}
			continue
		}
		if sh := st.shards[p]; sh.undoable || st.cfg.NoUndo {
			if err := sh.rollback(); err != nil {
				return err
			}
		} else {
			delete(st.shards, p) // loaded anew at the next poll
			delete(st.copies, p)
		}
	}
	// (false, nil) is not "aborted": franz-go says it also of an unknown outcome that it then tried
	// to abort. Ask.
	at, err := st.brokerPosition(ctx, cl)
	if err != nil {
		return fmt.Errorf("asking for the group's offsets after an abort: %w", err)
	}
	mine := cl.CommittedOffsets()
	for i, p := range order {
		if _, have := mine[st.in[0]][p]; have && at[p] != was[i] {
			return fmt.Errorf(
				"the transaction was said to be aborted, but the group is at %v of partition %d instead of %v", at[p],
				p, was[i])
		}
	}
	return nil
}

// awaits tells what a shard waits for, if that is why it did not apply its slice; and how far its
// time has to go on for that to come.
func (st *stage) awaits(p int32, err error) *awaited {
	gap, at := (*missing)(nil), (*stepError)(nil)
	b, ok := st.shards[p].machineOf().(*behaviour)
	if !ok || !errors.As(err, &gap) || !errors.As(err, &at) || at.log != mainLog {
		return nil
	}
	return &awaited{missing: *gap, before: at.index, at: b.reached(), agent: b.agent.hash}
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

// committed does what follows a commit of a shard beside the log: it ends a failure, and holds back
// a shard that runs ahead.
func (st *stage) committed(ctx context.Context, cl *kgo.Client, p int32, sh *shard, taken int) {
	if fl := st.failed[p]; fl != nil {
		b, ok := sh.machine.(*behaviour)
		switch {
		case ok && fl.skip && slices.Contains(b.skip, fl.offset) && sh.next[mainLog] <= fl.offset:
			cl.ResumeFetchPartitions(map[string][]int32{st.in[1]: {p}})
		case fl.offset < 0 || sh.next[mainLog] > fl.offset:
			delete(st.failed, p)
			st.metrics.paused.Set(float64(len(st.failed)))
			st.log.Info("shard recovered", "partition", p)
		}
	}
	st.rulesThatFail(sh)
	st.misroutes(sh)
	st.unmeasured(sh)
	if len(sh.findings) > 0 && st.cfg.Found != nil {
		st.cfg.Found(sh.findings)
	}
	if len(sh.commands) > 0 && st.cfg.Issued != nil {
		st.cfg.Issued(sh.commands)
	}
	if st.waiting[p] && sh.policies().Hash() == st.own {
		delete(st.waiting, p)
		cl.ResumeFetchPartitions(st.both(p))
	}
	if w := st.awaited[p]; w != nil && w.before > 0 {
		if w.before -= taken; w.before <= 0 { // it is the next one now
			w.before = 0
			st.wait(ctx, cl, p, w)
		}
	}
	b, ok := sh.machine.(*behaviour)
	if !ok {
		return
	}
	switch ahead := b.ahead(); {
	case ahead > st.cfg.MaxAhead.Milliseconds() && !st.held[p]:
		st.held[p] = true
		cl.PauseFetchPartitions(map[string][]int32{st.in[1]: {p}})
		st.log.Info("events paused: too far ahead of the relation stage", "partition", p, "ahead",
			time.Duration(ahead)*time.Millisecond)
	case ahead < st.cfg.MaxAhead.Milliseconds()*9/10 && st.held[p]:
		delete(st.held, p)
		if w := st.awaited[p]; w == nil || w.before > 0 {
			cl.ResumeFetchPartitions(map[string][]int32{st.in[1]: {p}})
		}
	}
}

func (st *stage) record(o output) *kgo.Record {
	r := &kgo.Record{Topic: st.topics[o.to], Partition: o.partition, Key: o.key, Value: o.value}
	for _, h := range o.headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r
}

// brokerPosition is what the coordinator holds, once no transaction is open on it.
func (st *stage) brokerPosition(ctx context.Context, cl *kgo.Client) (map[int32][2]int64, error) {
	n := st.rules.sources
	if len(st.in) == 1 {
		n = st.rules.facts
	}
	// By name: of a group's offsets "all" leaves out a partition whose first commit is still
	// undecided, and what may not be read.
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.RequireStable = st.cfg.Group+"-"+st.name, true
	for _, name := range st.in {
		t := kmsg.NewOffsetFetchRequestTopic()
		t.Topic = name
		for p := range n {
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	for {
		at, err := st.offsets(ctx, cl, req, n)
		if !errors.Is(err, kerr.UnstableOffsetCommit) || ctx.Err() != nil {
			return at, err
		}
		broker.Pause(ctx, 20*time.Millisecond)
	}
}
