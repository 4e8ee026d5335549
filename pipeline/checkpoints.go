package pipeline

import (
	"time"

	"github.com/wayward-sec/wayward/state"
)

// dueForSave returns the partition whose checkpoint is most overdue; nil: none is, or the disk is
// still busy. One at a time: encoding all at once would hold up the loop.
func (st *stage) dueForSave() (oldest *partition) {
	select {
	case <-st.saved:
	default:
		return nil
	}
	for pt := range st.shards {
		if oldest == nil || pt.savedAt < oldest.savedAt || pt.savedAt == oldest.savedAt && pt.p < oldest.p {
			oldest = pt
		}
	}
	if oldest == nil || wall()-oldest.savedAt <= st.cfg.CheckpointEvery.Milliseconds() {
		return nil
	}
	return oldest
}

// save writes a checkpoint of a shard. Its pages are encoded here, between transactions; the disk
// works beside the loop.
func (st *stage) save(pt *partition) {
	<-st.saved
	sh := pt.shard
	pt.savedAt = wall()
	pages, changed := sh.takeDirty()
	if !changed || st.saveErr.Load() != nil {
		return
	}
	marker, doomed := sh.appendVars(nil), sh.takeDoomed()
	start, done, space := time.Now(), make(chan struct{}), st.space(pt.p)
	st.saved = done
	go func() {
		defer close(done)
		if err := st.cfg.Store.Checkpoint(space, withDoomed(st.cfg.Store, space, st.paced(pages), doomed),
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

// relieveMemory puts pages on disk if memory is short. Not while a checkpoint is under way: what is
// on its way to the disk is not there yet.
func (st *stage) relieveMemory() error {
	select {
	case <-st.saved:
	default:
		return nil
	}
	shards := make([]*shard, 0, len(st.partitions))
	for _, sh := range st.shards {
		shards = append(shards, sh)
	}
	freed, err := st.cfg.Budget.shed(shards)
	if freed > 0 {
		st.metrics.shed.Add(float64(freed))
	}
	return err
}
