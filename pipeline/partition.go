package pipeline

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/state"
)

// partition is the life of one partition in this instance, from when the group assigns it until it
// is gone. The stage's loop alone reads and changes it.
type partition struct {
	p        int32
	shard    *shard   // its memory; nil: not loaded
	loading  bool     // a loader is at work beside the loop
	leaving  bool     // the group took it away while it was being loaded
	failure  *failure // the last one, until the record it failed on is behind the shard
	policies bool     // events wait until the shard has read in its own log which set is in force
	baseline *awaited // what events wait for; nil: for no baseline
	ahead    bool     // too far ahead of the relation stage

	copied   *copied         // goes to the changelog with the next transaction
	lag      int64           // records of the main log that lie behind what was polled
	polledAt int64           // when records were last polled that are not committed yet; 0: none
	heardAt  map[int32]int64 // when each source was last heard of (relation)

	// Wall clocks of housekeeping.
	loadedAt  int64
	savedAt   int64
	changesAt int64 // when the store was last asked what the changelog lacks
	tickAt    int64 // of the last control record that moved its time on
	// What lies before the end of the main log: up to markersTo nothing but markers of
	// transactions.
	markersTo, end, endAt int64
}

// failure is an error that took a shard's memory away.
type failure struct {
	tries  int
	until  time.Time // when it is loaded again
	offset int64     // of the event that it failed on; -1: another cause
	same   int       // times in a row on this event
	skip   bool      // a record that tells the shard to set the event aside is on its way
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

// partitionState is what a partition is at. It decides what is paused and what Health and the
// metric wayward_partitions say.
type partitionState uint8

const (
	assigned           partitionState = iota // its load has not begun
	loading                                  // its memory is brought to the group's position
	failed                                   // it has no memory after an error, and is loaded again later
	waitingForSkip                           // the record that sets an event aside has to be read first
	waitingForPolicies                       // the record that puts this instance's set in force, likewise
	waitingForBaseline                       // its next event is judged by a day that is not closed yet
	waitingForRelation                       // it is too far ahead of the relation stage
	nearingBaseline                          // there are events to take before the one that has to wait
	retrying                                 // it is back, and the event that it failed on not behind it
	live
	leaving // the group took it away; it goes once its loader has ended
)

// partitionStates says of each state what it is called, whether a partition in it is ready, and
// which logs of it are paused. A stage with one log has the main log alone.
var partitionStates = [...]struct {
	words         string
	ready         bool
	control, main bool // paused
}{
	assigned:           {"the group's offsets are not known yet", false, true, true},
	loading:            {"its state is being loaded", false, true, true},
	failed:             {"paused after an error, which is in the log", false, true, true},
	waitingForSkip:     {"paused after an error, which is in the log", false, false, true},
	waitingForPolicies: {"this instance's policies are not in force yet", false, false, true},
	waitingForBaseline: {"ready; events wait for a baseline", true, false, true},
	waitingForRelation: {"ready; events wait until the relation stage is near", true, false, true},
	nearingBaseline:    {"ready; events wait for a baseline", true, false, false},
	retrying:           {"paused after an error, which is in the log", false, false, false},
	live:               {"ready", true, false, false},
	leaving:            {"given away while its state is being loaded", false, true, true},
}

// state is the one place that says what the partition is at, and by partitionStates what of it is
// paused. Of several things that hold it back it is the one that pauses most.
func (pt *partition) state() partitionState {
	switch {
	case pt.loading && pt.leaving:
		return leaving
	case pt.loading:
		return loading
	case pt.shard == nil && pt.failure != nil:
		return failed
	case pt.shard == nil:
		return assigned
	case pt.failure != nil && pt.failure.skip && !pt.shard.skips(pt.failure.offset):
		return waitingForSkip
	case pt.policies:
		return waitingForPolicies
	case pt.baseline != nil && pt.baseline.before == 0:
		return waitingForBaseline
	case pt.ahead:
		return waitingForRelation
	case pt.failure != nil:
		return retrying
	case pt.baseline != nil:
		return nearingBaseline
	}
	return live
}

// forget drops the shard and what was only true of its memory.
func (pt *partition) forget() { pt.shard, pt.baseline, pt.copied = nil, nil, nil }

// skips tells whether the shard has read that an event is to be set aside.
func (s *shard) skips(offset int64) bool {
	b, ok := s.machine.(*behaviour)
	return ok && slices.Contains(b.skip, offset)
}

// partition returns that of a number, and begins its life if it has none.
func (st *stage) partition(p int32) *partition {
	pt := st.partitions[p]
	if pt == nil {
		pt = &partition{p: p, heardAt: map[int32]int64{}}
		st.partitions[p] = pt
	}
	return pt
}

// shards are the shards in memory, by partition.
func (st *stage) shards(yield func(*partition, *shard) bool) {
	for _, pt := range st.partitions {
		if pt.shard != nil && !yield(pt, pt.shard) {
			return
		}
	}
}

// applyPauses has the client leave out of the next poll what the partitions' states say. It runs
// right before each poll, so nothing else needs to pause or resume.
func (st *stage) applyPauses(cl *kgo.Client) {
	paused := cl.PauseFetchPartitions(nil)
	pause, resume := map[string][]int32{}, map[string][]int32{}
	for p, pt := range st.partitions {
		of := partitionStates[pt.state()]
		for _, topic := range st.in {
			want, is := of.main, slices.Contains(paused[topic], p)
			if st.logOf(topic) == controlLog {
				want = of.control
			}
			if want && !is {
				pause[topic] = append(pause[topic], p)
			}
			if !want && is {
				resume[topic] = append(resume[topic], p)
			}
		}
	}
	if len(pause) > 0 {
		cl.PauseFetchPartitions(pause)
	}
	if len(resume) > 0 {
		cl.ResumeFetchPartitions(resume)
	}
}

// settle drops what is no longer assigned and loads what is, so that a partition without records
// has a shard too: its time must go on.
func (st *stage) settle(ctx context.Context, cl *kgo.Client) {
	a := st.assigned.Load()
	if a == nil {
		return
	}
	for p, pt := range st.partitions {
		if pt.leaving = !slices.Contains(*a, p); pt.leaving && !pt.loading {
			delete(st.partitions, p)
		}
	}
	at := cl.CommittedOffsets()
	var unknown []*partition
	for _, p := range *a {
		pt := st.partition(p)
		if pt.shard != nil || pt.loading || pt.failure != nil && time.Now().Before(pt.failure.until) {
			continue
		}
		to := st.position(func(t string) int64 { return at[t][p].Offset })
		if to == [2]int64{} { // nothing committed yet, or the offsets are still on their way to the client
			unknown = append(unknown, pt)
			continue
		}
		st.setBack(cl, at, p)
		st.load(pt, to)
	}
	if len(unknown) == 0 || time.Since(st.askedAt) < time.Second {
		return
	}
	st.askedAt = time.Now()
	c, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	committed, err := st.brokerPosition(c, cl)
	if err != nil {
		st.log.Debug("asking for the group's offsets", "err", err)
		return
	}
	for _, pt := range unknown {
		if committed[pt.p] == [2]int64{} {
			st.load(pt, [2]int64{})
		}
	}
}

// setBack puts what was polled of a partition back, to exactly the committed offsets: anything else
// would be committed with the others. Its state says that it is paused.
func (st *stage) setBack(cl *kgo.Client, committed map[string]map[int32]kgo.EpochOffset, p int32) {
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

// loaded is what a loader brought.
type loaded struct {
	pt    *partition
	shard *shard
	err   error
}

// load brings a partition's memory to a position, beside the loop.
func (st *stage) load(pt *partition, to [2]int64) {
	pt.loading = true
	pt.forget() // at once: its next checkpoint would mix with the loader's
	saved := st.saved
	st.loaders.Go(func() {
		<-saved // pages of p may be on their way to the disk
		sh, err := st.readAndCatchUp(st.loadCtx, pt.p, to)
		st.loaded <- loaded{pt, sh, err}
	})
}

// takeLoaded takes what loaders brought.
func (st *stage) takeLoaded() {
	for len(st.loaded) > 0 {
		l := <-st.loaded
		l.pt.loading = false
		switch {
		case l.err == nil:
			st.begin(l.pt, l.shard)
		case !errors.Is(l.err, context.Canceled):
			st.fail(l.pt, l.err, -1)
		}
	}
}

// begin gives a partition the shard that was loaded for it.
func (st *stage) begin(pt *partition, sh *shard) {
	now := wall()
	pt.shard, pt.baseline, pt.ahead, pt.policies = sh, nil, false, false
	pt.loadedAt, pt.changesAt, pt.tickAt, pt.endAt, pt.end, pt.markersTo = now, now, 0, 0, 0, 0
	// so that they do not all fall due at once
	pt.savedAt = now - st.cfg.CheckpointEvery.Milliseconds()*int64(pt.p%8)/8
	clear(pt.heardAt)
	if fl := pt.failure; fl != nil {
		if fl.offset < 0 {
			pt.failure = nil
		}
		st.log.Info("shard is back", "partition", pt.p, "after", fl.tries)
	}
	if sh.policies().Hash() != st.own {
		st.activate(pt)
		// Control first, so that no event is judged by a set that is no longer, or not yet, in
		// force.
		pt.policies = len(st.in) == 2
	}
}

// activate writes into a shard's own log that this instance's set takes effect.
func (st *stage) activate(pt *partition) {
	if len(st.in) == 2 {
		st.writeControl(context.Background(), pt.p, control{Kind: controlActivate, Set: st.own})
		return
	}
	value := appendFactsHead(nil, factsHead{source: 0, now: wall(), activate: true, set: st.own})
	st.cfg.plain.Produce(context.Background(), &kgo.Record{Topic: st.in[0], Partition: pt.p, Value: value}, nil)
}

// fail takes a shard's memory away. It is loaded anew after a while, again and again; an event that
// it fails on three times in a row is set aside by a record in its own log, so that every later
// reading of the log sets it aside too.
func (st *stage) fail(pt *partition, err error, offset int64) {
	fl := pt.failure
	if fl == nil {
		fl = &failure{offset: -1}
		pt.failure = fl
	}
	fl.tries++
	if offset >= 0 && offset == fl.offset {
		fl.same++
	} else {
		fl.offset, fl.same, fl.skip = offset, 1, false
	}
	wait := min(250*time.Millisecond<<min(fl.tries-1, 8), time.Minute)
	fl.until = time.Now().Add(wait)
	pt.forget()
	st.metrics.failures.Inc()
	st.log.Error("shard paused, the others go on", "partition", pt.p, "err", err, "offset", offset, "tries", fl.tries,
		"retry_in", wait)
}

// setAside writes into a shard's own log that an event is to be left out.
func (st *stage) setAside(ctx context.Context, pt *partition) {
	fl := pt.failure
	fl.skip = true
	st.writeControl(ctx, pt.p, control{Kind: controlSkip, Offset: fl.offset})
	st.log.Error("event set aside after three failures", "topic", st.in[1], "partition", pt.p, "offset", fl.offset)
}

// awaitBaseline makes the events of a partition wait for what one of them misses, once those before
// it are done. The control record brings the relation stage to the time of that event, so that the
// day can be closed.
func (st *stage) awaitBaseline(ctx context.Context, pt *partition, w *awaited) {
	w.since = time.Now()
	if old := pt.baseline; old != nil && old.missing.day == w.missing.day && old.key == w.key {
		w.since = old.since
	} else {
		st.metrics.m.waits.WithLabelValues(st.name).Inc()
		st.log.Info("events wait for a baseline", "partition", pt.p, "cause", w.what, "records", w.before)
	}
	pt.baseline = w
	if w.before == 0 {
		st.writeControl(ctx, pt.p, control{Kind: controlWait, Time: w.at, Hash: w.agent})
	}
}

// takeBaselines lets events go on whose baseline has come.
func (st *stage) takeBaselines() {
	for pt, sh := range st.shards {
		w := pt.baseline
		if w == nil || w.before > 0 {
			continue
		}
		b := sh.machine.(*behaviour)
		gap := (*missing)(nil)
		if _, err := st.snapshotCache.find(w.key, w.day, b.ruling); errors.As(err, &gap) {
			continue
		}
		pt.baseline = nil
		st.log.Info("the baseline has come", "partition", pt.p, "after", time.Since(w.since).Round(time.Millisecond))
	}
}

// awaitsBaseline tells what a shard waits for, if that is why it did not apply its slice, and how
// far its time has to go on for that to come.
func awaitsBaseline(sh *shard, err error) *awaited {
	gap, at := (*missing)(nil), (*stepError)(nil)
	b, ok := sh.machine.(*behaviour)
	if !ok || !errors.As(err, &gap) || !errors.As(err, &at) || at.log != mainLog {
		return nil
	}
	return &awaited{missing: *gap, before: at.index, at: b.clock.reached(), agent: b.event.agent.hash}
}

// health is what Health says of the partition.
func (pt *partition) health() PartitionHealth {
	state := pt.state()
	h := PartitionHealth{pt.p, partitionStates[state].ready, partitionStates[state].words}
	if state == waitingForBaseline || state == nearingBaseline {
		h.Doing += ": " + pt.baseline.what
	}
	return h
}
