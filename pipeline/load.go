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

func (st *stage) load(ctx context.Context, p int32, to [2]int64) (*shard, error) {
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
	sh.loadedAt = wall()
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

// catchUp re-applies the logs, silently, to the group's position. Every field of the journal must
// agree on the way.
func (st *stage) catchUp(ctx context.Context, sh *shard, to [2]int64) error {
	if sh.next == to {
		return nil
	}
	if sh.next[0] > to[0] || sh.next[1] > to[1] {
		return fmt.Errorf("%w (disk %v, group %v)", errAhead, sh.next, to)
	}
	main := st.in[len(st.in)-1]
	events := st.reader(main, sh.p, sh.next[mainLog])
	defer events.close()
	saved := time.Now()
	between := func() error {
		st.at("catch-up")
		if err := ctx.Err(); err != nil { // what is buffered may be a minute's work
			return err
		}
		if time.Since(saved) < st.cfg.CheckpointEvery || st.cfg.Store.Short() {
			return nil
		}
		saved = time.Now()
		pages, _ := sh.takeDirty()
		if err := st.cfg.Store.Checkpoint(st.space(sh.p), withDoomed(st.cfg.Store, st.space(sh.p), slices.Values(pages),
			sh.takeDoomed()), sh.appendVars(nil)); err != nil {
			return err
		}
		_, err := st.cfg.Budget.shed([]*shard{sh})
		return err
	}
	if st.journal == "" {
		if sh.next[mainLog] == 0 {
			// a reader from 0 begins where the log begins now, and no journal would tell
			starts, err := kadm.NewClient(st.cfg.plain).ListStartOffsets(ctx, main)
			if err != nil {
				return fmt.Errorf("%s: %w", main, err)
			}
			if start, _ := starts.Lookup(main, sh.p); start.Offset > 0 {
				return fmt.Errorf(
					"%s no longer reaches back to its beginning but to offset %d, and there is no state on this disk: bring the state directory back, keep a changelog, or reset the consumer group to begin anew: %w",
					main, start.Offset, kerr.OffsetOutOfRange)
			}
		}
		for sh.next != to {
			r, err := events.next(ctx)
			if err != nil {
				return fmt.Errorf("%s from offset %d: %w", main, sh.next[mainLog], err)
			}
			if r.offset >= to[mainLog] {
				return fmt.Errorf("%s: the group is at %d, but the log goes on with %d", main, to[mainLog], r.offset)
			}
			sh.begin(sh.now, false)
			if err := sh.step(mainLog, &r); err != nil {
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
	if st.cfg.NoJournal {
		return st.catchUpWithout(ctx, sh, events, to)
	}
	log := st.reader(st.journal, sh.p, sh.joff)
	defer log.close()
	for sh.next != to {
		j, err := st.nextJournal(ctx, log, sh)
		if err != nil {
			return err
		}
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
				return fmt.Errorf("%s from offset %d: %w", main, sh.next[mainLog], err)
			}
			if i == 0 && r.offset != j.first || r.offset >= j.next[mainLog] {
				return fmt.Errorf("journal transaction %d wants events from offset %d to %d, the log gives %d", j.seq,
					j.first, j.next[mainLog], r.offset)
			}
			if err := sh.step(mainLog, &r); err != nil {
				return err
			}
		}
		sh.machine.seal()
		b := sh.machine.(*behaviour)
		if sh.next != j.next || b.clock.watermark() != j.watermark || sh.digest.Sum64() != j.digest {
			return fmt.Errorf(
				"journal transaction %d does not repeat: offsets %v, watermark %d, outputs %x; it says %v, %d, %x",
				j.seq, sh.next, b.clock.watermark(), sh.digest.Sum64(), j.next, j.watermark, j.digest)
		}
		sh.seq++
		sh.machine.kept()
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

// nextJournal reads the records of one transaction.
func (st *stage) nextJournal(ctx context.Context, log *reader, sh *shard) (journal, error) {
	var control []record
	for {
		r, err := log.next(ctx)
		if err != nil {
			return journal{}, fmt.Errorf("%s from offset %d: %w", st.journal, sh.joff, err)
		}
		j, err := readJournal(r.value)
		if err != nil {
			return j, fmt.Errorf("%s at offset %d: %w", st.journal, r.offset, err)
		}
		control = append(control, j.control...)
		sh.joff = r.offset + 1
		if !j.more {
			j.control = control
			return j, nil
		}
	}
}

// catchUpWithout leaves the journal out, as a test of the crash test: all control first, then all
// events.
func (st *stage) catchUpWithout(ctx context.Context, sh *shard, events *reader, to [2]int64) error {
	sh.begin(wall(), false)
	c := st.reader(st.in[0], sh.p, sh.next[controlLog])
	defer c.close()
	for log, from := range []*reader{c, events} {
		for sh.next[log] < to[log] {
			r, err := from.next(ctx)
			if err != nil {
				return err
			}
			if err := sh.step(log, &r); err != nil {
				return err
			}
		}
	}
	sh.machine.seal()
	sh.machine.kept()
	sh.next = to
	return nil
}

// reader is a read_committed cursor on one partition, without a group. What retention has deleted
// is an error, not a jump.
type reader struct {
	cl  *kgo.Client
	buf []*kgo.Record
}

func (st *stage) reader(topic string, p int32, from int64) *reader {
	o := kgo.NewOffset().At(from)
	if from == 0 {
		o = kgo.NewOffset().AtStart()
	}
	cl, err := kgo.NewClient(append(slices.Clone(st.cfg.Options), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.BrokerMaxReadBytes(512<<20),
		kgo.FetchMaxPartitionBytes(4<<20), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {p: o}}))...)
	if err != nil {
		panic(err) // the same options made a client before
	}
	return &reader{cl: cl}
}

func (r *reader) close() { r.cl.Close() }

// next waits for a record of data. Only a transaction that is still open can make it wait for long,
// at most the transaction timeout.
func (r *reader) next(ctx context.Context) (record, error) {
	for {
		kr, err := r.any(ctx)
		if err != nil {
			return record{}, err
		}
		if !kr.Attrs.IsControl() {
			return asRecord(kr), nil
		}
	}
}

// any waits for a record of data or a transaction's marker.
func (r *reader) any(ctx context.Context) (*kgo.Record, error) {
	for len(r.buf) == 0 {
		f := r.cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, e := range f.Errors() {
			if !kerr.IsRetriable(e.Err) {
				return nil, e.Err
			}
		}
		r.buf = f.Records()
	}
	kr := r.buf[0]
	r.buf = r.buf[1:]
	return kr, nil
}

// Keys of the changelog: one letter, then the page's key. The marker is written last.
const (
	changelogPage   = 'p'
	changelogMarker = 'm'
)

// collect gathers what the changelog lacks of a partition, for its next transaction: only those are
// fenced.
func (st *stage) collect(p int32) {
	sh := st.shards[p]
	if st.changelog == "" || wall()-sh.copiedAt < st.cfg.ChangelogEvery.Milliseconds() {
		return
	}
	sh.copiedAt = wall()
	pages, marker, version, err := st.cfg.Store.Changes(st.space(p))
	if err != nil {
		st.log.Error("changelog", "partition", p, "err", err)
		return
	}
	if marker != nil {
		st.copies[p] = &copied{pages, marker, version}
	}
}

func (st *stage) produceChangelog(ctx context.Context, cl *kgo.Client, p int32, c *copied,
	promise func(*kgo.Record, error)) {
	for _, pg := range c.pages {
		cl.Produce(ctx, &kgo.Record{Topic: st.changelog, Partition: p, Key: append([]byte{changelogPage}, pg.Key...),
			Value: pg.Value}, promise)
	}
	cl.Produce(ctx, &kgo.Record{Topic: st.changelog, Partition: p, Key: []byte{changelogMarker}, Value: c.marker},
		promise)
}

// restore fills an empty partition from the changelog; false: it has nothing. The whole log is
// read, to the end as it is now: in a compacted log only the end is a state.
func (st *stage) restore(ctx context.Context, p int32) (bool, error) {
	ends, err := kadm.NewClient(st.cfg.plain).ListCommittedOffsets(ctx, st.changelog)
	if err != nil {
		return false, err
	}
	starts, err := kadm.NewClient(st.cfg.plain).ListStartOffsets(ctx, st.changelog)
	if err != nil {
		return false, err
	}
	end, ok := ends.Lookup(st.changelog, p)
	start, _ := starts.Lookup(st.changelog, p)
	if !ok || end.Err != nil || end.Offset <= start.Offset {
		return false, end.Err
	}
	pages, marker := map[string][]byte{}, []byte(nil)
	r := st.reader(st.changelog, p, 0)
	defer r.close()
	for at := int64(0); at < end.Offset-1; {
		// A record per offset up to the end is not promised (aborted transactions, compaction):
		// quiet for long is the end, too.
		c, cancel := context.WithTimeout(ctx, 5*time.Second)
		kr, err := r.any(c)
		cancel()
		if err != nil {
			if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
				break
			}
			return false, err
		}
		at = kr.Offset
		switch {
		case kr.Attrs.IsControl() || len(kr.Key) == 0:
		case kr.Key[0] == changelogMarker:
			marker = kr.Value
		case kr.Value == nil:
			delete(pages, string(kr.Key[1:]))
		default:
			pages[string(kr.Key[1:])] = kr.Value
		}
	}
	if marker == nil {
		return false, nil
	}
	st.log.Info("state restored from the changelog", "partition", p, "pages", len(pages))
	return true, st.cfg.Store.Restore(st.space(p), func(yield func(state.Page) bool) {
		for k, v := range pages {
			if !yield(state.Page{Key: k, Value: v}) {
				return
			}
		}
	}, marker)
}
