package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/state"
)

// stage runs the shards of one stage that the consumer group gives to this instance, in
// exactly-once:
//
//	poll      p's memory is current if and only if its next offsets equal the group's committed ones of both logs; if not, p is paused, set back to
//	          exactly these, and loaded beside the loop. No rebalance callback is needed, and franz-go does not promise one for every revoke
//	apply     the control slice, then the event slice, with before-images of pages and variables
//	commit    outputs, facts and a journal record in the same transaction as the consumed offsets, which alone are fenced by the group's generation.
//	          Flush, look at every promise, AllowRebalance (End can deadlock without), End
//	undo      aborted: before-images back, then ask the broker whether it agrees. Unknown: throw memory away, new session
//	checkpoint  only what a commit has made true, later
type stage struct {
	cfg       *Config
	name      string
	kind      byte     // of its space in the store
	in        []string // main log last; control first if there are two
	journal   string
	changelog string
	newShard  func(p int32) *shard
	own       string // hash of the set that this instance is configured with
	topics    [toBaselines + 1]string
	rules     *rules
	log       *slog.Logger
	metrics   *stageMetrics

	stopping atomic.Bool // the session ends
	revoked  atomic.Bool // the group took partitions away since the last Begin
	split    atomic.Bool // the assignment tears the logs of a partition apart
	assigned atomic.Pointer[[]int32]

	// Of one session; the loop's own.
	shards  map[int32]*shard
	loading map[int32]bool
	failed  map[int32]*failure
	wanting map[[2]string]bool // rules and fields of which it was said that no event carries them
	failing map[string]bool    // rules of which it was said that they fail
	held    map[int32]bool     // events paused: too far ahead of the relation stage
	// events paused until the shard has read in its own log which set is in force
	waiting       map[int32]bool
	awaited       map[int32]*awaited // events that wait for a day to be closed
	snapshotCache *snapshotCache
	lag           map[int32]int64
	polled        map[int32]int64 // wall clock at which records of the main log were last polled
	heard         map[int32]int64 // wall clock at which each source was last heard (relation)
	copies        map[int32]*copied
	abort         func() // ends the client's requests, whatever they wait for
	// of transactions: done some time after the session's, so that a stop tears none that can end
	last       context.Context
	reported   time.Time               // to Health
	summed     time.Time               // metrics of baselines
	unwritten  bool                    // the last transaction
	complaints complaints              // transactions that were aborted
	complained time.Time               // last error of a fetch that was logged
	misrouted  [len(misroutedWhy)]bool // of which it was said
	bare       map[string]bool         // limits of which it was said that calls cannot be measured
	aheadSaid  time.Time               // when it was last said that event time is ahead of the wall clock
	asked      time.Time               // when the broker was last asked about partitions without an offset
	saved      chan struct{}           // closed when the checkpoint under way is done
	saveErr    atomic.Pointer[error]
}

// failure is a shard that is paused after an error.
type failure struct {
	err    error
	tries  int
	until  time.Time
	offset int64 // of the event that it failed on; -1: another cause
	same   int   // times in a row on this event
	skip   bool  // a record that tells the shard to set the event aside is on its way
}

// awaited is a baseline that an event waits for.
type awaited struct {
	missing
	before int   // records of the main log that come before that event and can be taken
	at     int64 // event time of it
	agent  uint64
	since  time.Time
}

// copied is what goes to the changelog with the next transaction of its partition.
type copied struct {
	pages   []state.Page
	marker  []byte
	version uint64
}

type loaded struct {
	p   int32
	s   *shard
	err error
}

// errFatal marks what a new session cannot mend.
var errFatal = errors.New("")

// run holds a session, and another one after each that ends with an error, until ctx is done.
func (st *stage) run(ctx context.Context) error {
	wait := 100 * time.Millisecond
	for {
		start := time.Now()
		err := st.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errFatal) {
			return err
		}
		st.metrics.sessions.Inc()
		st.cfg.Health.set(StageHealth{Stage: st.name, Waiting: "its session ended, another one begins: " +
			broker.Explain(err)})
		if time.Since(start) > time.Minute {
			wait = 100 * time.Millisecond
		}
		st.log.Warn("session ended, state is loaded anew", "err", broker.Explain(err), "retry_in", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, 10*time.Second)
	}
}

func (st *stage) open(ctx context.Context) (*kgo.GroupTransactSession, error) {
	c := st.cfg
	id := st.transactionalID()
	base, abort := context.WithCancel(context.Background())
	st.abort = abort
	opts := append(slices.Clone(c.Options), kgo.WithContext(base),
		kgo.ConsumerGroup(c.Group+"-"+st.name), kgo.ConsumeTopics(st.in...), kgo.TransactionalID(id),
		kgo.InstanceID(id),
		kgo.Balancers(kgo.RangeBalancer()), // keeps p of both logs together
		kgo.BlockRebalanceOnPoll(), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(c.SessionTimeout), kgo.HeartbeatInterval(c.SessionTimeout/10),
		kgo.RebalanceTimeout(3*c.SessionTimeout),
		kgo.TransactionTimeout(c.TransactionTimeout), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.FetchMaxBytes(16<<20), kgo.FetchMaxPartitionBytes(2<<20), kgo.BrokerMaxReadBytes(512<<20),
		kgo.ProducerBatchCompression(c.Topics.Codec()), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(200_000),
		kgo.RecordPartitioner(broker.Partitioner), kgo.RetryTimeout(c.TransactionTimeout),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, a map[string][]int32) {
			first := slices.Sorted(slices.Values(a[st.in[0]])) // eager: the whole assignment, every time
			if !slices.Equal(first, slices.Sorted(slices.Values(a[st.in[len(st.in)-1]]))) {
				st.split.Store(true)
			}
			st.assigned.Store(&first)
		}),
		kgo.OnPartitionsRevoked(func(context.Context, *kgo.Client, map[string][]int32) { st.revoked.Store(true) }),
		kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) { st.revoked.Store(true) }),
		kgo.WithHooks(c.Metrics.hooks(st.name)...),
	)
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
		st.close(s)
		return nil, err
	}
	// Fences our dead predecessor and ends its transaction; else the group's offsets stay unstable
	// until it times out.
	c2, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if _, _, err := s.Client().ProducerID(c2); err != nil {
		st.close(s)
		return nil, fmt.Errorf("transactional id %s: %w", id, err)
	}
	return s, nil
}

func (st *stage) session(ctx context.Context) error {
	// Before open: the group may give us partitions before open returns.
	st.assigned.Store(nil)
	st.stopping.Store(false)
	st.split.Store(false)
	s, err := st.open(ctx)
	if err != nil {
		return err
	}
	last, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer afterStop(ctx, func() { giveUp(); st.abort() })()
	st.last = last
	st.shards, st.loading, st.failed = map[int32]*shard{}, map[int32]bool{}, map[int32]*failure{}
	st.asked = time.Time{}
	st.saveErr.Store(nil)
	st.saved = make(chan struct{})
	close(st.saved)
	st.waiting, st.polled, st.awaited = map[int32]bool{}, map[int32]int64{}, map[int32]*awaited{}
	st.held, st.lag, st.heard, st.copies = map[int32]bool{}, map[int32]int64{}, map[int32]int64{}, map[int32]*copied{}
	done := make(chan loaded, 4096)
	lctx, cancel := context.WithCancel(ctx)
	var loaders sync.WaitGroup
	// an error leaves memory that nobody has committed: told to stop or not, it must not reach the
	// disk
	clean := false
	defer func() {
		if ctx.Err() != nil {
			st.cfg.Health.set(StageHealth{Stage: st.name, Waiting: "it is stopping"})
		}
		st.stopping.Store(true)
		cancel()
		loaders.Wait()
		<-st.saved
		st.close(s)
		if ctx.Err() != nil { // others may take over at once
			st.leave()
		}
		if clean && st.cfg.Store.Short() {
			st.log.Warn("no last checkpoint: the next start reads again what came since the one before", "err",
				st.cfg.Disk.Look().Problem())
		} else if clean { // the next start finds everything on disk
			for p := range st.shards {
				st.save(p)
			}
			<-st.saved
			if err := st.saveErr.Load(); err != nil {
				st.log.Error("last checkpoint", "err", *err)
			}
		}
	}()
	load := func(p int32, to [2]int64) {
		st.loading[p] = true
		delete(st.shards, p) // at once: its next checkpoint would mix with the loader's
		delete(st.awaited, p)
		delete(st.copies, p)
		saved := st.saved
		loaders.Go(func() {
			<-saved // pages of p may be on their way to the disk
			sh, err := st.load(lctx, p, to)
			done <- loaded{p, sh, err}
		})
	}
	lastHouse := time.Time{}
	cl := s.Client()
	for ctx.Err() == nil {
		for len(done) > 0 {
			st.finish(cl, <-done)
		}
		if err := st.saveErr.Load(); err != nil {
			return fmt.Errorf("checkpoint: %w", *err)
		}
		st.report()
		began := time.Now()
		st.arrived(cl)
		f := st.poll(ctx, s)
		if st.split.Load() {
			s.AllowRebalance()
			return fmt.Errorf(
				"%wthe group gave this instance partition p of %v without its pair: all instances must run the same stages and the range assignor, and the topics must have equal partition counts (wayward topics check)",
				errFatal, st.in)
		}
		if err := f.Err0(); err != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
			s.AllowRebalance()
			return err
		}
		in, order := st.slices(f)
		committed := cl.CommittedOffsets()
		ready := order[:0]
		for _, p := range order {
			to := st.position(func(t string) int64 { return committed[t][p].Offset })
			if sh := st.shards[p]; sh != nil && sh.next == to && !st.loading[p] {
				ready = append(ready, p)
				continue
			}
			st.setBack(cl, committed, p)
			if !st.loading[p] && (st.failed[p] == nil || time.Now().After(st.failed[p].until)) {
				load(p, to)
			}
		}
		st.settle(ctx, cl, load) // while a rebalance must wait: what is set back is still ours
		if len(ready) > 0 {
			if err := st.transact(ctx, s, in, ready); err != nil {
				return err
			}
		} else {
			s.AllowRebalance()
		}
		if time.Since(lastHouse) > time.Second {
			lastHouse = time.Now()
			st.house(ctx, cl)
		}
		if err := st.relieve(); err != nil {
			return err
		}
		if p, due := st.dueForSave(); due && !st.cfg.Store.Short() {
			st.save(p)
			st.collect(p)
		}
		// One transaction per interval, not per poll: each costs the broker the same whatever it
		// carries.
		if rest := st.cfg.TransactionEvery - time.Since(began); rest > 0 && len(ready) > 0 {
			broker.Pause(ctx, rest)
		}
	}
	clean = true
	return nil
}

// settle drops what is no longer assigned and loads what is, so that a partition without records
// has a shard too: its time must go on.
func (st *stage) settle(ctx context.Context, cl *kgo.Client, load func(p int32, to [2]int64)) {
	a := st.assigned.Load()
	if a == nil {
		return
	}
	for p := range st.shards {
		if !slices.Contains(*a, p) {
			delete(st.shards, p)
			delete(st.copies, p)
			delete(st.failed, p)
			delete(st.held, p)
			delete(st.waiting, p)
			delete(st.awaited, p)
			cl.ResumeFetchPartitions(st.both(p)) // should it come back
		}
	}
	committed := cl.CommittedOffsets()
	var never []int32
	for _, p := range *a {
		if fl := st.failed[p]; st.shards[p] != nil || st.loading[p] || fl != nil && time.Now().Before(fl.until) {
			continue
		}
		to := st.position(func(t string) int64 { return committed[t][p].Offset })
		if to == [2]int64{} { // nothing committed yet, or the offsets are still on their way to the client
			never = append(never, p)
			continue
		}
		st.setBack(cl, committed, p)
		load(p, to)
	}
	if len(never) == 0 || time.Since(st.asked) < time.Second {
		return
	}
	st.asked = time.Now()
	c, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	at, err := st.brokerPosition(c, cl)
	if err != nil {
		st.log.Debug("asking for the group's offsets", "err", err)
		return
	}
	for _, p := range never {
		if at[p] == [2]int64{} {
			cl.PauseFetchPartitions(st.both(p))
			load(p, [2]int64{})
		}
	}
}

func (st *stage) poll(ctx context.Context, s *kgo.GroupTransactSession) kgo.Fetches {
	patience := 200 * time.Millisecond
	if len(st.awaited) > 0 {
		patience = 20 * time.Millisecond // what is awaited comes another way
	}
	c, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	paused := s.Client().PauseFetchPartitions(nil)
	for p, w := range st.awaited {
		if w.before > 0 && !slices.Contains(paused[st.in[1]], p) {
			return st.pollBefore(c, s, p, w.before)
		}
	}
	return s.PollRecords(c, st.cfg.MaxPoll)
}

// pollBefore takes of one partition's events alone, at most n: those before one that has to wait.
// franz-go commits all that it has polled, so that a slice cannot be cut once it is here.
func (st *stage) pollBefore(ctx context.Context, s *kgo.GroupTransactSession, p int32, n int) kgo.Fetches {
	cl := s.Client()
	was := cl.PauseFetchPartitions(nil)
	others := map[string][]int32{}
	for _, t := range st.in {
		for _, o := range *st.assigned.Load() {
			if (o != p || t != st.in[len(st.in)-1]) && !slices.Contains(was[t], o) {
				others[t] = append(others[t], o)
			}
		}
	}
	cl.PauseFetchPartitions(others)
	defer cl.ResumeFetchPartitions(others)
	return s.PollRecords(ctx, n)
}

// wait makes the events of a partition wait for what one of them misses, once those before it are
// done.
func (st *stage) wait(ctx context.Context, cl *kgo.Client, p int32, w *awaited) {
	w.since = time.Now()
	if old := st.awaited[p]; old != nil && old.missing.day == w.missing.day && old.key == w.key {
		w.since = old.since
	} else {
		st.metrics.m.waits.WithLabelValues(st.name).Inc()
		st.log.Info("events wait for a baseline", "partition", p, "cause", w.what, "records", w.before)
	}
	st.awaited[p] = w
	if w.before > 0 {
		return
	}
	cl.PauseFetchPartitions(map[string][]int32{st.in[1]: {p}})
	st.tellControl(ctx, p, control{Kind: controlWait, Time: w.at, Hash: w.agent})
}

// arrived lets events go on whose baseline has come.
func (st *stage) arrived(cl *kgo.Client) {
	for p, w := range st.awaited {
		if w.before > 0 {
			continue
		}
		b, ok := st.shards[p].machineOf().(*behaviour)
		if !ok {
			continue
		}
		gap := (*missing)(nil)
		if _, err := st.snapshotCache.find(w.key, w.day, b.ruling); errors.As(err, &gap) {
			continue
		}
		delete(st.awaited, p)
		st.log.Info("the baseline has come", "partition", p, "after", time.Since(w.since).Round(time.Millisecond))
		if !st.held[p] && !st.waiting[p] && st.failed[p] == nil {
			cl.ResumeFetchPartitions(map[string][]int32{st.in[1]: {p}})
		}
	}
}

// slices sorts what was polled by partition: the control slice and the main slice of each.
func (st *stage) slices(f kgo.Fetches) (map[int32]*[2][]*kgo.Record, []int32) {
	in := map[int32]*[2][]*kgo.Record{}
	var order []int32
	f.EachPartition(func(fp kgo.FetchTopicPartition) {
		complain(st.log, &st.complained, fp.Topic, fp.Partition, fp.Err)
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
			st.polled[fp.Partition] = wall()
			st.lag[fp.Partition] = fp.HighWatermark - fp.Records[len(fp.Records)-1].Offset - 1
		}
	})
	slices.Sort(order)
	return in, order
}

// complain logs an error of a fetch that does not mend itself, at most every ten seconds: a fetch
// is tried again many times a second.
func complain(log *slog.Logger, last *time.Time, topic string, p int32, err error) {
	if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		time.Since(*last) < 10*time.Second {
		return
	}
	if kerr.IsRetriable(err) && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return
	}
	*last = time.Now()
	log.Error("reading", "topic", topic, "partition", p, "err", broker.Explain(err))
}

func (st *stage) logOf(topic string) int {
	if len(st.in) == 2 && topic == st.in[0] {
		return controlLog
	}
	return mainLog
}

// position is the group's place in both logs of a partition; 0: nothing committed.
func (st *stage) position(get func(topic string) int64) (o [2]int64) {
	for _, t := range st.in {
		if at := get(t); at > 0 {
			o[st.logOf(t)] = at
		}
	}
	return o
}

func (st *stage) both(p int32) map[string][]int32 {
	m := map[string][]int32{}
	for _, t := range st.in {
		m[t] = []int32{p}
	}
	return m
}

// setBack pauses a partition and puts what was polled of it back, at exactly the committed offsets:
// anything else would be committed with the others.
func (st *stage) setBack(cl *kgo.Client, committed map[string]map[int32]kgo.EpochOffset, p int32) {
	cl.PauseFetchPartitions(st.both(p))
	back := map[string]map[int32]kgo.EpochOffset{}
	for _, t := range st.in {
		o, ok := committed[t][p]
		if !ok || o.Offset < 0 {
			o = kgo.EpochOffset{Epoch: -1}
		}
		back[t] = map[int32]kgo.EpochOffset{p: o}
	}
	cl.SetOffsets(back)
}

// finish takes what a loader brought.
func (st *stage) finish(cl *kgo.Client, l loaded) {
	delete(st.loading, l.p)
	if l.err != nil {
		if errors.Is(l.err, context.Canceled) {
			return
		}
		st.fail(l.p, l.err, -1)
		return
	}
	st.shards[l.p] = l.s
	delete(st.awaited, l.p)
	// so that they do not all fall due at once
	l.s.savedAt = wall() - st.cfg.CheckpointEvery.Milliseconds()*int64(l.p%8)/8
	l.s.copiedAt = wall()
	st.heard = map[int32]int64{}
	if fl := st.failed[l.p]; fl != nil {
		if fl.skip && !st.skips(l.s, fl.offset) {
			// Control first: the record that sets the event aside must be read before the event.
			cl.ResumeFetchPartitions(map[string][]int32{st.in[0]: {l.p}})
			return
		}
		if fl.offset < 0 {
			delete(st.failed, l.p)
			st.metrics.paused.Set(float64(len(st.failed)))
		}
		st.log.Info("shard is back", "partition", l.p, "after", fl.tries)
	}
	delete(st.held, l.p)
	delete(st.waiting, l.p)
	if l.s.policies().Hash() != st.own {
		st.activate(l.p)
		if len(st.in) == 2 {
			// Control first, so that no event is judged by a set that is no longer, or not yet, in
			// force.
			st.waiting[l.p] = true
			cl.ResumeFetchPartitions(map[string][]int32{st.in[0]: {l.p}})
			return
		}
	}
	cl.ResumeFetchPartitions(st.both(l.p))
}

// activate writes into a shard's own log that this instance's set takes effect.
func (st *stage) activate(p int32) {
	if len(st.in) == 2 {
		st.tellControl(context.Background(), p, control{Kind: controlActivate, Set: st.own})
		return
	}
	value := appendFactsHead(nil, factsHead{source: 0, now: wall(), activate: true, set: st.own})
	st.cfg.plain.Produce(context.Background(), &kgo.Record{Topic: st.in[0], Partition: p, Value: value}, nil)
}

func (st *stage) skips(s *shard, offset int64) bool {
	b, ok := s.machine.(*behaviour)
	return ok && slices.Contains(b.skip, offset)
}

// fail pauses a shard alone. It is loaded anew after a while, again and again; an event that it
// fails on three times in a row is set aside by a record in its own log, so that every later
// reading of the log sets it aside too.
func (st *stage) fail(p int32, err error, offset int64) {
	fl := st.failed[p]
	if fl == nil {
		fl = &failure{offset: -1}
		st.failed[p] = fl
	}
	fl.tries++
	if offset >= 0 && offset == fl.offset {
		fl.same++
	} else {
		fl.offset, fl.same, fl.skip = offset, 1, false
	}
	fl.err = err
	wait := min(250*time.Millisecond<<min(fl.tries-1, 8), time.Minute)
	fl.until = time.Now().Add(wait)
	delete(st.shards, p)
	delete(st.awaited, p)
	delete(st.copies, p)
	st.metrics.paused.Set(float64(len(st.failed)))
	st.metrics.failures.Inc()
	st.log.Error("shard paused, the others go on", "partition", p, "err", err, "offset", offset, "tries", fl.tries,
		"retry_in", wait)
}

func asRecord(r *kgo.Record) record {
	return record{offset: r.Offset, stamp: r.Timestamp.UnixMilli(), key: r.Key, value: r.Value}
}

func (st *stage) offsets(ctx context.Context, cl *kgo.Client, req *kmsg.OffsetFetchRequest,
	n int32) (map[int32][2]int64, error) {
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, err
	}
	have := map[string]map[int32]int64{}
	for _, t := range resp.Topics {
		have[t.Topic] = map[int32]int64{}
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("%s partition %d: %w", t.Topic, p.Partition, err)
			}
			have[t.Topic][p.Partition] = p.Offset
		}
	}
	out := map[int32][2]int64{}
	for p := range n {
		for _, name := range st.in {
			if _, ok := have[name][p]; !ok {
				return nil, fmt.Errorf("the broker did not say where the group is in %s partition %d", name, p)
			}
		}
		out[p] = st.position(func(t string) int64 { return have[t][p] })
	}
	return out, nil
}

// at is where a crash test dies.
func (st *stage) at(point string) {
	if st.cfg.At != nil {
		st.cfg.At(st.name + ": " + point)
	}
}

func (st *stage) space(p int32) state.Space { return state.Space{Stage: st.kind, Partition: p} }

// close ends a session's client. Closing waits for a JoinGroup under way, which the broker holds
// until the other members have joined too, and kfake for ever if the member has left meanwhile:
// patience ends after a while.
func (st *stage) close(s *kgo.GroupTransactSession) { closeSession(s, st.abort) }

func closeSession(s *kgo.GroupTransactSession, abort func()) {
	t := time.AfterFunc(3*time.Second, abort)
	defer t.Stop()
	s.CloseAllowingRebalance()
	abort()
}

// leave tells the coordinator that this static member is gone for good, so that its partitions need
// not wait for the session's timeout. After close: a client that still runs joins again, and the
// group then waits for a member that is no more.
func (st *stage) leave() {
	c, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	id := st.transactionalID()
	_, err := kadm.NewClient(st.cfg.plain).LeaveGroup(c,
		kadm.LeaveGroup(st.cfg.Group+"-"+st.name).InstanceIDs(id).Reason("stopped"))
	if err != nil {
		st.log.Debug("leaving the group", "err", err)
	}
}
