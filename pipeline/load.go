package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/state"
)

// How a partition's memory is brought to the group's position: the marker and its pages from the
// disk; without a disk the same from the changelog; then the logs from there, silently, through
// clients without a group, until the offsets equal the group's. Nothing else is the end: a journal
// that is shorter has a transaction marker on its way.

// errAhead: the disk knows more than the group. The group's offsets went back, or the directory
// belongs to another cluster.
var errAhead = errors.New(
	"the state on disk is ahead of the group's offsets; was the consumer group or a topic reset? Move the state directory away to rebuild from the changelog or the journal")

// readAndCatchUp makes the memory of a partition at a position of the group.
func (st *stage) readAndCatchUp(ctx context.Context, p int32, to [2]int64) (*shard, error) {
	select {
	case st.cfg.loads <- struct{}{}:
		defer func() { <-st.cfg.loads }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	start := time.Now()
	var sh *shard
	err := st.newShard(p).guarded(func() (err error) { sh, err = st.read(ctx, p, to); return err })
	if err == nil {
		err = sh.guarded(func() error { return st.catchUp(ctx, sh, to) })
	}
	if errors.Is(err, kerr.OffsetOutOfRange) && st.changelog != "" && !errors.Is(err, errAhead) {
		st.log.Warn("the journal no longer reaches back to this instance's checkpoint, taking the changelog",
			"partition", p)
		if err = st.cfg.Store.Forget(st.space(p)); err == nil {
			if sh, err = st.read(ctx, p, to); err == nil {
				err = sh.guarded(func() error { return st.catchUp(ctx, sh, to) })
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("loading %s partition %d: %w", st.name, p, err)
	}
	st.metrics.load.Observe(time.Since(start).Seconds())
	st.log.Info("shard loaded", "partition", p, "pages", sh.pageCount(), "offsets", sh.next, "took",
		time.Since(start).Round(time.Millisecond))
	return sh, nil
}

// read brings the newest checkpoint, of the disk or of the changelog, into memory. Damaged pages
// are thrown away with all others of the partition.
func (st *stage) read(ctx context.Context, p int32, to [2]int64) (*shard, error) {
	sp := st.space(p)
	for try := 0; ; try++ {
		sh := st.newShard(p)
		marker, err := st.cfg.Store.Load(sp, func(key string, value []byte) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if len(key) == 0 {
				return fmt.Errorf("%w: empty key", state.ErrCorrupt)
			}
			pg := makePage(key)
			if err := pg.decode(value); err != nil {
				return damaged(fmt.Sprintf("page %q", key), err)
			}
			sh.take(pg, value)
			return nil
		})
		if err == nil && marker != nil {
			if err = sh.decodeVars(marker); err != nil {
				err = damaged("marker", err)
			}
			sh.savedSeq = sh.seq
		}
		switch {
		case errors.Is(err, state.ErrCorrupt) && try == 0:
			st.log.Error("state is damaged, rebuilding the partition", "partition", p, "err", err)
			st.metrics.damaged.Inc()
			if err := st.cfg.Store.Forget(sp); err != nil {
				return nil, err
			}
			continue
		case err != nil:
			return nil, err
		case marker == nil && st.changelog != "" && to != [2]int64{} && try < 2:
			found, err := st.restore(ctx, p)
			if err != nil {
				return nil, fmt.Errorf("changelog: %w", err)
			}
			if found {
				try = 1
				continue
			}
		}
		return sh, nil
	}
}

// damaged marks state that is cut short or malformed. What another version wrote, or a set that
// cannot be found now, is no damage: it must not be thrown away.
func damaged(what string, err error) error {
	if errors.Is(err, wire.ErrShort) {
		return fmt.Errorf("%w: %s: %w", state.ErrCorrupt, what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// catchUp re-applies the logs, silently, to the group's position.
func (st *stage) catchUp(ctx context.Context, sh *shard, to [2]int64) error {
	if sh.next == to {
		return nil
	}
	if sh.next[0] > to[0] || sh.next[1] > to[1] {
		return fmt.Errorf("%w (disk %v, group %v)", errAhead, sh.next, to)
	}
	main := newReader(st.cfg.Options, st.in[len(st.in)-1], sh.p, sh.next[mainLog])
	defer main.close()
	savedAt := time.Now()
	between := func() error { // transactions
		st.crashPoint("catch-up")
		if err := ctx.Err(); err != nil { // what is buffered may be a minute's work
			return err
		}
		if time.Since(savedAt) < st.cfg.CheckpointEvery || st.cfg.Store.Short() {
			return nil
		}
		savedAt = time.Now()
		return st.saveOnTheWay(sh)
	}
	switch {
	case st.journal == "":
		return st.catchUpFacts(ctx, sh, main, to, between)
	case st.cfg.Hooks != nil && st.cfg.Hooks.NoJournal:
		return st.catchUpWithoutJournal(ctx, sh, main, to)
	}
	return st.catchUpJournal(ctx, sh, main, to, between)
}

// saveOnTheWay writes a checkpoint of a shard that still catches up, so that a stop does not lose
// all that was done.
func (st *stage) saveOnTheWay(sh *shard) error {
	pages, _ := sh.takeDirty()
	if err := st.cfg.Store.Checkpoint(st.space(sh.p), withDoomed(st.cfg.Store, st.space(sh.p), slices.Values(pages),
		sh.takeDoomed()), sh.appendVars(nil)); err != nil {
		return err
	}
	_, err := st.cfg.Budget.shed([]*shard{sh})
	return err
}

// catchUpFacts re-applies the one log of a relation shard.
func (st *stage) catchUpFacts(ctx context.Context, sh *shard, facts *reader, to [2]int64, between func() error) error {
	topic := st.in[0]
	if sh.next[mainLog] == 0 {
		// a reader from 0 begins where the log begins now, and no journal would tell
		starts, err := kadm.NewClient(st.cfg.plain).ListStartOffsets(ctx, topic)
		if err != nil {
			return fmt.Errorf("%s: %w", topic, err)
		}
		if start, _ := starts.Lookup(topic, sh.p); start.Offset > 0 {
			return fmt.Errorf(
				"%s no longer reaches back to its beginning but to offset %d, and there is no state on this disk: bring the state directory back, keep a changelog, or reset the consumer group to begin anew: %w",
				topic, start.Offset, kerr.OffsetOutOfRange)
		}
	}
	for sh.next != to {
		r, err := facts.next(ctx)
		if err != nil {
			return fmt.Errorf("%s from offset %d: %w", topic, sh.next[mainLog], err)
		}
		if r.Offset >= to[mainLog] {
			return fmt.Errorf("%s: the group is at %d, but the log goes on with %d", topic, to[mainLog], r.Offset)
		}
		sh.begin(sh.now, false)
		rec := asRecord(r)
		if err := sh.step(mainLog, &rec); err != nil {
			return err
		}
		sh.seq++
		// The group's position may lie behind the last record by a transaction's marker.
		if sh.next[mainLog] != to[mainLog] {
			if err := between(); err != nil {
				return err
			}
		}
	}
	return nil
}

// catchUpJournal re-applies the logs of a behaviour shard in the slices that its journal records.
func (st *stage) catchUpJournal(ctx context.Context, sh *shard, events *reader, to [2]int64,
	between func() error) error {
	log := newReader(st.cfg.Options, st.journal, sh.p, sh.joff)
	defer log.close()
	for sh.next != to {
		j, err := st.nextJournal(ctx, log, sh)
		if err != nil {
			return err
		}
		if err := st.repeat(ctx, sh, &j, events); err != nil {
			return err
		}
		if sh.next[0] > to[0] || sh.next[1] > to[1] {
			return fmt.Errorf("journal transaction %d is ahead of the group (%v, %v)", j.seq, sh.next, to)
		}
		if sh.next != to {
			if err := between(); err != nil {
				return err
			}
		}
	}
	return nil
}

// repeat re-applies one transaction of a behaviour shard. Every field of its journal record must
// agree with what comes of it.
func (st *stage) repeat(ctx context.Context, sh *shard, j *journal, events *reader) error {
	if j.seq != sh.seq {
		return fmt.Errorf("journal at offset %d has transaction %d, expected %d: the journal has a gap", sh.joff,
			j.seq, sh.seq)
	}
	sh.begin(j.now, false)
	for i := range j.control {
		if err := sh.step(controlLog, &j.control[i]); err != nil {
			return err
		}
	}
	for i := range j.events {
		r, err := events.next(ctx)
		if err != nil {
			return fmt.Errorf("%s from offset %d: %w", st.in[1], sh.next[mainLog], err)
		}
		if i == 0 && r.Offset != j.first || r.Offset >= j.next[mainLog] {
			return fmt.Errorf("journal transaction %d wants events from offset %d to %d, the log gives %d", j.seq,
				j.first, j.next[mainLog], r.Offset)
		}
		rec := asRecord(r)
		if err := sh.step(mainLog, &rec); err != nil {
			return err
		}
	}
	sh.machine.seal()
	watermark := sh.machine.(*behaviour).clock.watermark()
	if sh.next != j.next || watermark != j.watermark || sh.digest.Sum64() != j.digest {
		return fmt.Errorf(
			"journal transaction %d does not repeat: offsets %v, watermark %d, outputs %x; it says %v, %d, %x",
			j.seq, sh.next, watermark, sh.digest.Sum64(), j.next, j.watermark, j.digest)
	}
	sh.seq++
	sh.machine.kept()
	return nil
}

// nextJournal reads the records of one transaction.
func (st *stage) nextJournal(ctx context.Context, log *reader, sh *shard) (journal, error) {
	var control []record
	for {
		r, err := log.next(ctx)
		if err != nil {
			return journal{}, fmt.Errorf("%s from offset %d: %w", st.journal, sh.joff, err)
		}
		j, err := readJournal(r.Value)
		if err != nil {
			return j, fmt.Errorf("%s at offset %d: %w", st.journal, r.Offset, err)
		}
		control = append(control, j.control...)
		sh.joff = r.Offset + 1
		if !j.more {
			j.control = control
			return j, nil
		}
	}
}

// catchUpWithoutJournal applies all control first, then all events. It is wrong, and shows that the
// crash test notices (Hooks.NoJournal).
func (st *stage) catchUpWithoutJournal(ctx context.Context, sh *shard, events *reader, to [2]int64) error {
	sh.begin(wall(), false)
	c := newReader(st.cfg.Options, st.in[0], sh.p, sh.next[controlLog])
	defer c.close()
	for log, from := range []*reader{c, events} {
		for sh.next[log] < to[log] {
			r, err := from.next(ctx)
			if err != nil {
				return err
			}
			rec := asRecord(r)
			if err := sh.step(log, &rec); err != nil {
				return err
			}
		}
	}
	sh.machine.seal()
	sh.machine.kept()
	sh.next = to
	return nil
}
