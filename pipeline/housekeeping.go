package pipeline

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/pipeline/broker"
)

// What the wall clock decides. None of it changes a shard: it becomes a record in the shard's own
// log, and takes effect when the shard reads it, so that a later reading of the log decides the
// same. Each is written again until the shard has read it; a record too many does no harm.

const (
	// silentAfter is how long a source may say nothing before the relation stage no longer waits
	// for it, in milliseconds.
	silentAfter = 60_000
	// repeatAfter is how long a shard may take to read a record, in milliseconds, before it is
	// written again; and how long a poll may take to show in a commit.
	repeatAfter = 3000
)

// housekeeping is done once a second.
func (st *stage) housekeeping(ctx context.Context, cl *kgo.Client) {
	st.gauges()
	if wanted := *st.cfg.wanted.Load(); wanted != st.own {
		st.own = wanted
		st.log.Info("another set of policies takes effect", "policies", wanted[:12])
	}
	for pt, sh := range st.shards {
		if pt.policies || sh.policies().Hash() != st.own {
			st.activate(pt)
		}
	}
	st.expireBreakers(ctx)
	if st.snapshotCache != nil && !st.wantsBaselines() {
		st.snapshotCache.forgetWanted()
	}
	if st.journal != "" {
		st.advanceIdlePartitions(ctx, cl)
	} else {
		st.leaveOutSilentSources(ctx)
	}
}

// wantsBaselines tells whether a partition may still ask for an old snapshot again.
func (st *stage) wantsBaselines() bool {
	for _, pt := range st.partitions {
		if pt.loading || pt.baseline != nil {
			return true
		}
	}
	return false
}

// expireBreakers writes expired durations and missed acks to the logs of their shards.
func (st *stage) expireBreakers(ctx context.Context) {
	now := wall()
	for pt, sh := range st.shards {
		if pt.policies || pt.failure != nil {
			continue
		}
		for pg := range sh.open {
			k := pg.breaker
			switch {
			case pg.dead || k == nil || !k.Open() && k.AckBy == 0:
				delete(sh.open, pg)
			case now-pg.wound < repeatAfter:
			case k.Open() && k.Until != 0 && now >= k.Until:
				pg.wound = now
				st.writeOwnLog(ctx, pt.p, control{Kind: controlExpire, Scope: k.Scope, Epoch: k.Epoch, Time: now})
			case k.AckBy != 0 && now >= k.AckBy:
				pg.wound = now
				st.writeOwnLog(ctx, pt.p, control{Kind: controlMissed, Scope: k.Scope, Epoch: k.Epoch, Time: now})
			}
		}
	}
}

// advanceIdlePartitions moves the time of idle partitions on, by ticks. What a tick says follows
// from the last event and its stamp alone (clock.due), never from the tick before it.
func (st *stage) advanceIdlePartitions(ctx context.Context, cl *kgo.Client) {
	now := wall()
	idle := map[*partition]control{}
	for pt, sh := range st.shards {
		b := sh.machine.(*behaviour)
		since := now - max(b.clock.stamp, pt.loadedAt)
		if !b.clock.seen && !b.idle { // a partition without a record: all others wait to hear that
			since = max(since, 1000)
		}
		if since < 1000 || pt.tickAt != 0 && now-pt.tickAt < tickEvery(since) {
			continue
		}
		if now-pt.polledAt < repeatAfter { // not idle: it has just read something and did not commit
			continue
		}
		switch pt.state() {
		case waitingForBaseline:
			// Again: the record may not have been written, and the relation stage must hear the
			// time.
			pt.tickAt = now
			st.writeControl(ctx, pt.p, control{Kind: controlWait, Time: pt.baseline.at, Hash: pt.baseline.agent})
		case waitingForRelation:
			// Its time stands, but the relation stage must hear of it: if all are held, nothing
			// else would move that one on.
			pt.tickAt = now
			st.writeControl(ctx, pt.p, control{Kind: controlTick, Time: b.clock.reached()})
		case live:
			if b.clock.seen {
				idle[pt] = control{Kind: controlTick, Time: b.clock.due(now), IdleMS: since}
			} else if !b.idle {
				idle[pt] = control{Kind: controlIdle}
			}
		}
		// In every other state it does not read what is there. nearingBaseline: what comes before
		// the event that waits must not be late because of a tick.
	}
	if len(idle) == 0 {
		return
	}
	c, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(c, st.in[1])
	if err != nil {
		st.log.Debug("end offsets", "err", err)
		return
	}
	for pt, tick := range idle {
		end, ok := ends.Lookup(st.in[1], pt.p)
		if !ok || end.Err != nil || !st.nothingLeft(c, pt, end.Offset) {
			continue
		}
		pt.tickAt = now
		st.writeControl(ctx, pt.p, tick)
	}
}

// tickEvery spaces the ticks of a partition that has been idle for long.
func tickEvery(idle int64) int64 {
	if idle > 60_000 {
		return 10_000
	}
	return 1000
}

// nothingLeft tells whether a shard has read all events of its partition up to its end. Transaction
// markers of producers have offsets too, so the shard may stay below the end for ever. If the end
// stands still, nothingLeft looks what lies there: it may as well be records that a slow broker has
// not brought yet.
func (st *stage) nothingLeft(ctx context.Context, pt *partition, end int64) bool {
	from := pt.shard.next[mainLog]
	if end <= from || pt.markersTo == end {
		return true
	}
	now := wall()
	if pt.end != end {
		pt.end, pt.endAt = end, now
	}
	if now-pt.endAt < repeatAfter {
		return false
	}
	only, err := onlyMarkers(ctx, newReader(st.cfg.Options, st.in[1], pt.p, from), end)
	if err != nil {
		st.log.Debug("what lies before the end", "partition", pt.p, "err", err)
	}
	if !only {
		pt.endAt = now
		return false
	}
	pt.markersTo = end
	return true
}

// onlyMarkers tells whether nothing but markers of transactions lies before an offset. It closes r.
func onlyMarkers(ctx context.Context, r *reader, to int64) (bool, error) {
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

// noteSources notes when the sources of a relation shard were last heard of.
func (st *stage) noteSources(sl *slice) {
	if st.journal != "" {
		return
	}
	for _, r := range sl.in[mainLog] {
		if h, _, err := readFactsHead(r.Value); err == nil && !h.out && !h.control {
			sl.heardAt[h.source] = wall()
		}
	}
}

// leaveOutSilentSources writes the decision not to wait for a source to the relation shard's log.
func (st *stage) leaveOutSilentSources(ctx context.Context) {
	now := wall()
	for pt, sh := range st.shards {
		b := sh.machine.(*relation)
		for source := range int32(len(b.sources)) {
			if _, ok := pt.heardAt[source]; !ok {
				pt.heardAt[source] = now
			}
			if s := b.sources[source]; s.out || s.heard && s.idle || now-pt.heardAt[source] < silentAfter {
				continue
			}
			pt.heardAt[source] = now
			st.log.Warn(
				"source silent for a minute: no longer waited for, findings made without it are marked incomplete",
				"source", source, "facts", pt.p)
			value := appendFactsHead(nil, factsHead{source: source, now: now, out: true, set: b.panel.Set.Hash()})
			st.cfg.plain.Produce(context.WithoutCancel(ctx), &kgo.Record{Topic: st.in[0], Partition: pt.p,
				Value: value},
				nil)
		}
	}
}

// writeControl writes a record that the behaviour shard of p will read in its own log.
func (st *stage) writeControl(ctx context.Context, p int32, c control) {
	st.write(ctx, st.topics[toControl], p, c.Kind, c.encode())
}

// writeOwnLog writes a control record into the own log of a shard of this stage.
func (st *stage) writeOwnLog(ctx context.Context, p int32, c control) {
	if st.journal != "" {
		st.writeControl(ctx, p, c)
		return
	}
	st.write(ctx, st.in[0], p, c.Kind, controlFacts(0, wall(), "", c))
}

func (st *stage) write(ctx context.Context, topic string, p int32, kind string, value []byte) {
	st.cfg.plain.Produce(context.WithoutCancel(ctx), &kgo.Record{Topic: topic, Partition: p, Value: value},
		func(_ *kgo.Record, err error) {
			if err != nil {
				st.log.Warn("control record not written", "partition", p, "kind", kind, "err", broker.Explain(err))
			}
		})
}
