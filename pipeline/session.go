package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/pipeline/broker"
)

// session joins the group and works until ctx is done or something goes wrong that a new session
// mends.
func (st *stage) session(ctx context.Context) error {
	// Before open: the group may give us partitions before open returns.
	st.assigned.Store(nil)
	st.stopping.Store(false)
	st.split.Store(false)
	s, err := st.open(ctx)
	if err != nil {
		return err
	}
	lastCtx, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer afterStop(ctx, func() { giveUp(); st.abort() })()
	st.lastCtx = lastCtx
	st.partitions = map[int32]*partition{}
	st.askedAt, st.housekeptAt = time.Time{}, time.Time{}
	st.saveErr.Store(nil)
	st.saved = make(chan struct{})
	close(st.saved)
	st.loaded = make(chan loaded, 4096)
	loadCtx, cancel := context.WithCancel(ctx)
	st.loadCtx = loadCtx
	// an error leaves memory that nobody has committed: told to stop or not, it must not reach the
	// disk
	clean := false
	defer func() { st.endSession(ctx, s, cancel, clean) }()
	for ctx.Err() == nil {
		if err := st.step(ctx, s); err != nil {
			return err
		}
	}
	clean = true
	return nil
}

// open joins the group and fences the transactions of a predecessor.
func (st *stage) open(ctx context.Context) (*kgo.GroupTransactSession, error) {
	base, abort := context.WithCancel(context.Background())
	st.abort = abort
	opts := append(st.options(base), kgo.ConsumeTopics(st.in...),
		kgo.Balancers(kgo.RangeBalancer()), // keeps p of both logs together
		kgo.FetchMaxBytes(16<<20), kgo.FetchMaxPartitionBytes(2<<20),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, a map[string][]int32) {
			first := slices.Sorted(slices.Values(a[st.in[0]])) // eager: the whole assignment, every time
			if !slices.Equal(first, slices.Sorted(slices.Values(a[st.in[len(st.in)-1]]))) {
				st.split.Store(true)
			}
			st.assigned.Store(&first)
		}))
	s, err := kgo.NewGroupTransactSession(opts...)
	if err != nil {
		abort()
		return nil, fmt.Errorf("%w%s stage: %w", errFatal, st.name, err)
	}
	if err := broker.WaitForBrokers(ctx, s.Client(), st.log, func(why string) {
		if why != "" {
			st.cfg.Health.set(StageHealth{Stage: st.name, Waiting: why})
		}
	}); err != nil {
		closeSession(s, abort)
		return nil, err
	}
	// Fences our dead predecessor and ends its transaction; else the group's offsets stay unstable
	// until it times out.
	c, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if _, _, err := s.Client().ProducerID(c); err != nil {
		closeSession(s, abort)
		return nil, fmt.Errorf("transactional id %s: %w", st.transactionalID(), err)
	}
	return s, nil
}

// options are those of every member's client. base ends its requests, whatever they wait for.
func (m *member) options(base context.Context) []kgo.Opt {
	c := m.cfg
	revoked := func(context.Context, *kgo.Client, map[string][]int32) { m.revoked.Store(true) }
	return append(slices.Clone(c.Options), kgo.WithContext(base),
		kgo.ConsumerGroup(m.group()), kgo.TransactionalID(m.transactionalID()), kgo.InstanceID(m.transactionalID()),
		kgo.BlockRebalanceOnPoll(), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(c.SessionTimeout), kgo.HeartbeatInterval(c.SessionTimeout/10),
		kgo.RebalanceTimeout(3*c.SessionTimeout),
		kgo.TransactionTimeout(c.TransactionTimeout), kgo.RetryTimeout(c.TransactionTimeout),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.BrokerMaxReadBytes(512<<20),
		kgo.ProducerBatchCompression(c.Topics.Codec()), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(200_000),
		kgo.RecordPartitioner(broker.Partitioner),
		kgo.OnPartitionsRevoked(revoked), kgo.OnPartitionsLost(revoked),
		kgo.WithHooks(c.Metrics.hooks(m.name)...))
}

// step is one turn of the loop: what loaders brought, one poll, one transaction, and what is due
// beside it.
func (st *stage) step(ctx context.Context, s *kgo.GroupTransactSession) error {
	st.takeLoaded()
	if err := st.saveErr.Load(); err != nil {
		return fmt.Errorf("checkpoint: %w", *err)
	}
	st.reportHealth()
	start := time.Now()
	st.takeBaselines()
	cl := s.Client()
	st.applyPauses(cl)
	f := st.poll(ctx, s)
	if err := st.checkPoll(ctx, f); err != nil {
		s.AllowRebalance()
		return err
	}
	in, polled := st.slices(f)
	ready := st.current(cl, polled)
	st.settle(ctx, cl) // while a rebalance must wait: what is set back is still ours
	if len(ready) > 0 {
		if err := st.transact(s, in, ready); err != nil {
			return err
		}
	} else {
		s.AllowRebalance()
	}
	if time.Since(st.housekeptAt) > time.Second {
		st.housekeptAt = time.Now()
		st.housekeeping(ctx, cl)
	}
	if err := st.relieveMemory(); err != nil {
		return err
	}
	if pt := st.dueForSave(); pt != nil && !st.cfg.Store.Short() {
		st.save(pt)
		st.collectChanges(pt)
	}
	// One transaction per interval, not per poll: each costs the broker the same whatever it
	// carries.
	if rest := st.cfg.TransactionEvery - time.Since(start); rest > 0 && len(ready) > 0 {
		broker.Pause(ctx, rest)
	}
	return nil
}

func (st *stage) poll(ctx context.Context, s *kgo.GroupTransactSession) kgo.Fetches {
	patience := 200 * time.Millisecond
	var nearing *partition
	for _, pt := range st.partitions {
		if pt.baseline != nil {
			patience = 20 * time.Millisecond // a baseline comes another way than by this poll
		}
		if pt.state() == nearingBaseline {
			nearing = pt
		}
	}
	c, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if nearing != nil {
		return st.pollBefore(c, s, nearing.p, nearing.baseline.before)
	}
	return s.PollRecords(c, st.cfg.MaxPoll)
}

// pollBefore takes of one partition's events alone, at most n: those before one that has to wait.
// franz-go commits all that it has polled, so that a slice cannot be cut once it is here.
func (st *stage) pollBefore(ctx context.Context, s *kgo.GroupTransactSession, p int32, n int) kgo.Fetches {
	cl := s.Client()
	paused := cl.PauseFetchPartitions(nil)
	others := map[string][]int32{}
	for _, t := range st.in {
		for _, o := range *st.assigned.Load() {
			if (o != p || st.logOf(t) != mainLog) && !slices.Contains(paused[t], o) {
				others[t] = append(others[t], o)
			}
		}
	}
	cl.PauseFetchPartitions(others)
	defer cl.ResumeFetchPartitions(others)
	return s.PollRecords(ctx, n)
}

// checkPoll returns what ends the session: a torn assignment, or an error of the client itself.
func (st *stage) checkPoll(ctx context.Context, f kgo.Fetches) error {
	if st.split.Load() {
		return fmt.Errorf(
			"%wthe group gave this instance partition p of %v without its pair: all instances must run the same stages and the range assignor, and the topics must have equal partition counts (wayward topics check)",
			errFatal, st.in)
	}
	if err := f.Err0(); err != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// slices sorts what was polled by partition: the control slice and the main slice of each.
func (st *stage) slices(f kgo.Fetches) (map[int32]*[2][]*kgo.Record, []int32) {
	in := map[int32]*[2][]*kgo.Record{}
	var order []int32
	f.EachPartition(func(fp kgo.FetchTopicPartition) {
		st.logFetchError(fp.Topic, fp.Partition, fp.Err)
		if len(fp.Records) == 0 {
			return
		}
		if in[fp.Partition] == nil {
			in[fp.Partition] = &[2][]*kgo.Record{}
			order = append(order, fp.Partition)
		}
		log := st.logOf(fp.Topic)
		in[fp.Partition][log] = append(in[fp.Partition][log], fp.Records...)
		if log == mainLog {
			pt := st.partition(fp.Partition)
			pt.polledAt = wall()
			pt.lag = fp.HighWatermark - fp.Records[len(fp.Records)-1].Offset - 1
		}
	})
	slices.Sort(order)
	return in, order
}

// current returns those partitions whose memory is at the group's position. What was polled of the
// others is set back, and they are loaded.
func (st *stage) current(cl *kgo.Client, polled []int32) (ready []*partition) {
	committed := cl.CommittedOffsets()
	for _, p := range polled {
		pt := st.partition(p)
		to := st.position(func(t string) int64 { return committed[t][p].Offset })
		if pt.shard != nil && pt.shard.next == to {
			ready = append(ready, pt)
			continue
		}
		st.setBack(cl, committed, p)
		if !pt.loading && (pt.failure == nil || time.Now().After(pt.failure.until)) {
			st.load(pt, to)
		}
	}
	return ready
}

// logFetchError logs an error of a fetch that does not mend itself, at most every ten seconds: a
// fetch is tried again many times a second.
func (m *member) logFetchError(topic string, p int32, err error) {
	if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		time.Since(m.fetchErrorAt) < 10*time.Second {
		return
	}
	if kerr.IsRetriable(err) && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return
	}
	m.fetchErrorAt = time.Now()
	m.log.Error("reading", "topic", topic, "partition", p, "err", broker.Explain(err))
}

// endSession leaves the group and, if clean, writes what the disk lacks.
func (st *stage) endSession(ctx context.Context, s *kgo.GroupTransactSession, stopLoaders func(), clean bool) {
	if ctx.Err() != nil {
		st.cfg.Health.set(StageHealth{Stage: st.name, Waiting: "it is stopping"})
	}
	st.stopping.Store(true)
	stopLoaders()
	st.loaders.Wait()
	<-st.saved
	closeSession(s, st.abort)
	if ctx.Err() != nil { // others may take over at once
		st.leave()
	}
	if !clean {
		return
	}
	if st.cfg.Store.Short() {
		st.log.Warn("no last checkpoint: the next start reads again what came since the one before", "err",
			st.cfg.Disk.Look().Problem())
		return
	}
	for pt := range st.shards { // the next start finds everything on disk
		st.save(pt)
	}
	<-st.saved
	if err := st.saveErr.Load(); err != nil {
		st.log.Error("last checkpoint", "err", *err)
	}
}

// closeSession ends a session's client. Closing waits for a JoinGroup under way, which the broker
// holds until the other members have joined too, and kfake for ever if the member has left
// meanwhile: patience ends after a while.
func closeSession(s *kgo.GroupTransactSession, abort func()) {
	t := time.AfterFunc(3*time.Second, abort)
	defer t.Stop()
	s.CloseAllowingRebalance()
	abort()
}

// leave tells the coordinator that this static member is gone for good, so that its partitions need
// not wait for the session's timeout. After close: a client that still runs joins again, and the
// group then waits for a member that is no more.
func (m *member) leave() {
	c, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err := kadm.NewClient(m.cfg.plain).LeaveGroup(c,
		kadm.LeaveGroup(m.group()).InstanceIDs(m.transactionalID()).Reason("stopped"))
	if err != nil {
		m.log.Debug("leaving the group", "err", err)
	}
}
