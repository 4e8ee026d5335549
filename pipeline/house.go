package pipeline

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/state"
)

// house is done once a second: ticks of idle partitions, sources that fell silent, gauges.
func (st *stage) house(ctx context.Context, cl *kgo.Client) {
	st.metrics.gauges(st)
	if st.snapshotCache != nil {
		st.metrics.age(st.snapshotCache.newest())
	} else if st.journal == "" && time.Since(st.summed) > 30*time.Second {
		st.summed = time.Now()
		st.metrics.baselines(st)
	}
	if wanted := *st.cfg.wanted.Load(); wanted != st.own {
		st.own = wanted
		st.log.Info("another set of policies takes effect", "policies", wanted[:12])
	}
	for p := range st.waiting {
		st.activate(p) // again: the record may not have been written
	}
	for p, sh := range st.shards {
		if !st.waiting[p] && sh.policies().Hash() != st.own {
			st.activate(p)
		}
	}
	st.wind(ctx)
	if st.snapshotCache != nil && len(st.loading)+len(st.awaited) == 0 {
		st.snapshotCache.forgetWanted()
	}
	if st.journal != "" {
		st.ticks(ctx, cl)
	} else {
		st.silent(ctx)
	}
}

// ticks moves the time of idle partitions on. What a tick tells follows from the last event and its
// stamp alone (clock.due), never from the tick before it.
func (st *stage) ticks(ctx context.Context, cl *kgo.Client) {
	now := wall()
	type idle struct {
		next int64
		c    control
	}
	want := map[int32]idle{}
	for p, sh := range st.shards {
		b := sh.machine.(*behaviour)
		since := now - max(b.clock.stamp, sh.loadedAt)
		if !b.clock.seen && !b.idle { // a partition without a record: all others wait to hear that
			since = max(since, 1000)
		}
		if since < 1000 || sh.ticked != 0 && now-sh.ticked < tickEvery(since) {
			continue
		}
		// Not idle: it does not read what is there, or has just read it and did not commit.
		if st.waiting[p] || st.failed[p] != nil || now-st.polled[p] < 3000 {
			continue
		}
		if w := st.awaited[p]; w != nil {
			if w.before > 0 {
				continue // what comes before the event that waits must not be late because of it
			}
			// Again: the record may not have been written, and what it tells must be told on.
			sh.ticked = now
			st.tellControl(ctx, p, control{Kind: controlWait, Time: w.at, Hash: w.agent})
			continue
		}
		if st.held[p] {
			// Its time stands, but the relation stage must hear of it: if all are held, nothing
			// else would move that one on.
			sh.ticked = now
			st.tellControl(ctx, p, control{Kind: controlTick, Time: b.clock.reached()})
			continue
		}
		if b.clock.seen {
			want[p] = idle{sh.next[mainLog], control{Kind: controlTick, Time: b.clock.due(now), IdleMS: since}}
		} else if !b.idle {
			want[p] = idle{sh.next[mainLog], control{Kind: controlIdle}}
		}
	}
	if len(want) == 0 {
		return
	}
	c, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(c, st.in[1])
	if err != nil {
		st.log.Debug("end offsets", "err", err)
		return
	}
	for p, w := range want {
		end, ok := ends.Lookup(st.in[1], p)
		sh := st.shards[p]
		if !ok || end.Err != nil {
			continue
		}
		// Transaction markers of producers have offsets too, so next may stay below the end for
		// ever. If the end stands still, somebody looks what lies there: it may as well be records
		// that a slow broker has not brought yet.
		if end.Offset > w.next && sh.bare != end.Offset {
			if sh.end != end.Offset {
				sh.end, sh.endAt = end.Offset, now
			}
			if now-sh.endAt < 3000 {
				continue
			}
			bare, err := st.onlyMarkers(c, p, w.next, end.Offset)
			if err != nil {
				st.log.Debug("what lies before the end", "partition", p, "err", err)
			}
			if !bare {
				sh.endAt = now
				continue
			}
			sh.bare = end.Offset
		}
		sh.ticked = now
		st.tellControl(ctx, p, w.c)
	}
}

// onlyMarkers tells whether nothing but markers of transactions lies in a partition of the main
// log.
func (st *stage) onlyMarkers(ctx context.Context, p int32, from, to int64) (bool, error) {
	r := st.reader(st.in[1], p, from)
	defer r.close()
	for {
		kr, err := r.any(ctx)
		switch {
		case err != nil:
			return false, err
		case kr.Offset >= to:
			return true, nil
		case !kr.Attrs.IsControl():
			return false, nil
		case kr.Offset == to-1:
			return true, nil
		}
	}
}

// tickEvery spaces the ticks of a partition that has been idle for long.
func tickEvery(idle int64) int64 {
	if idle > 60_000 {
		return 10_000
	}
	return 1000
}

// tellControl writes a record that the shard of p will read in its own log.
func (st *stage) tellControl(ctx context.Context, p int32, c control) {
	st.cfg.plain.Produce(context.WithoutCancel(ctx), &kgo.Record{Topic: st.topics[toControl], Partition: p,
		Value: c.encode()}, func(_ *kgo.Record, err error) {
		if err != nil {
			st.log.Warn("control record not written", "partition", p, "kind", c.Kind, "err", broker.Explain(err))
		}
	})
}

// wind writes what the wall clock decides about breakers into the logs of their shards, where it
// takes effect: a duration that is over, an ack that did not come. Again and again until the shard
// has read it; a record too many does no harm.
func (st *stage) wind(ctx context.Context) {
	now := wall()
	for p, sh := range st.shards {
		if st.waiting[p] || st.failed[p] != nil {
			continue
		}
		for pg := range sh.open {
			k := pg.breaker
			switch {
			case pg.dead || k == nil || !k.Open() && k.AckBy == 0:
				delete(sh.open, pg)
			case now-pg.wound < 3000:
			case k.Open() && k.Until != 0 && now >= k.Until:
				pg.wound = now
				st.tell(ctx, p, control{Kind: controlExpire, Scope: k.Scope, Epoch: k.Epoch, Time: now})
			case k.AckBy != 0 && now >= k.AckBy:
				pg.wound = now
				st.tell(ctx, p, control{Kind: controlMissed, Scope: k.Scope, Epoch: k.Epoch, Time: now})
			}
		}
	}
}

// tell writes a control record into the own log of a shard of this stage.
func (st *stage) tell(ctx context.Context, p int32, c control) {
	if st.journal != "" {
		st.tellControl(ctx, p, c)
		return
	}
	st.cfg.plain.Produce(context.WithoutCancel(ctx),
		&kgo.Record{Topic: st.in[0], Partition: p, Value: controlFacts(0, wall(), "", c)}, func(_ *kgo.Record,
			err error) {
			if err != nil {
				st.log.Warn("control record not written", "partition", p, "kind", c.Kind, "err", broker.Explain(err))
			}
		})
}

// silentAfter is how long a source may say nothing before the relation stage no longer waits for
// it.
const silentAfter = 60_000

// hear notes when a source was last heard of.
func (st *stage) hear(r *kgo.Record) {
	if st.journal != "" {
		return
	}
	if h, _, err := readFactsHead(r.Value); err == nil && !h.out && !h.control {
		st.heard[r.Partition<<16|h.source] = wall()
	}
}

// silent writes the decision not to wait for a source into the relation shard's own log, where it
// takes effect.
func (st *stage) silent(ctx context.Context) {
	now := wall()
	for q, sh := range st.shards {
		b := sh.machine.(*relation)
		for p := range b.sources {
			k := q<<16 | int32(p)
			if _, ok := st.heard[k]; !ok {
				st.heard[k] = now
			}
			if s := b.sources[p]; s.out || s.heard && s.idle || now-st.heard[k] < silentAfter {
				continue
			}
			st.heard[k] = now
			st.log.Warn(
				"source silent for a minute: no longer waited for, findings made without it are marked incomplete",
				"source", p, "facts", q)
			value := appendFactsHead(nil, factsHead{source: int32(p), now: now, out: true, set: b.panel.Set.Hash()})
			st.cfg.plain.Produce(context.WithoutCancel(ctx), &kgo.Record{Topic: st.in[0], Partition: q, Value: value},
				nil)
		}
	}
}

// dueForSave picks the shard whose checkpoint is most overdue, one at a time: encoding all at once
// would hold up the loop.
func (st *stage) dueForSave() (int32, bool) {
	select {
	case <-st.saved:
	default:
		return 0, false // the disk is still busy
	}
	oldest, found := int64(never), int32(-1)
	for p, sh := range st.shards {
		if sh.savedAt < oldest || sh.savedAt == oldest && p < found {
			oldest, found = sh.savedAt, p
		}
	}
	return found, found >= 0 && wall()-oldest > st.cfg.CheckpointEvery.Milliseconds()
}

// save checkpoints a shard. Its pages are encoded here, between transactions; the disk works beside
// the loop.
func (st *stage) save(p int32) {
	<-st.saved
	sh := st.shards[p]
	sh.savedAt = wall()
	pages, changed := sh.takeDirty()
	if !changed || st.saveErr.Load() != nil {
		return
	}
	marker, doomed := sh.appendVars(nil), sh.takeDoomed()
	start, done := time.Now(), make(chan struct{})
	st.saved = done
	go func() {
		defer close(done)
		if err := st.cfg.Store.Checkpoint(st.space(p), withDoomed(st.cfg.Store, st.space(p), st.paced(pages), doomed),
			marker); err != nil {
			st.saveErr.Store(&err)
		}
		st.metrics.checkpoint.Observe(time.Since(start).Seconds())
	}()
}

// paced gives the disk its pages a little at a time: tens of thousands at once would take a
// processor away from the loop for half a second. At a stop nobody waits for the loop.
func (st *stage) paced(pages []state.Page) func(yield func(state.Page) bool) {
	return func(yield func(state.Page) bool) {
		for i, pg := range pages {
			if i%256 == 255 && !st.stopping.Load() {
				time.Sleep(2 * time.Millisecond)
			}
			if !yield(pg) {
				return
			}
		}
	}
}

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

// relieve puts pages on disk if memory is short. What is on its way there is not there yet.
func (st *stage) relieve() error {
	select {
	case <-st.saved:
	default:
		return nil
	}
	shards := make([]*shard, 0, len(st.shards))
	for _, sh := range st.shards {
		shards = append(shards, sh)
	}
	freed, err := st.cfg.Budget.shed(shards)
	if freed > 0 {
		st.metrics.shed.Add(float64(freed))
	}
	return err
}
