package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/state"
)

// Keys of the changelog: one letter, then the page's key. The marker is written last.
const (
	changelogPage   = 'p'
	changelogMarker = 'm'
)

// collectChanges gathers what the changelog lacks of a partition, for its next transaction: only
// those are fenced.
func (st *stage) collectChanges(pt *partition) {
	if st.changelog == "" || wall()-pt.changesAt < st.cfg.ChangelogEvery.Milliseconds() {
		return
	}
	pt.changesAt = wall()
	pages, marker, version, err := st.cfg.Store.Changes(st.space(pt.p))
	if err != nil {
		st.log.Error("changelog", "partition", pt.p, "err", err)
		return
	}
	if marker != nil {
		pt.copied = &copied{pages, marker, version}
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
	r := newReader(st.cfg.Options, st.changelog, p, 0)
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
