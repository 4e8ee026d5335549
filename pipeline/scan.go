package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/pipeline/broker"
)

// quiet is how long a broker that answers may give no record before what a log still lacks is taken
// for places without one.
const quiet = time.Second

// span is a run of offsets.
type span struct{ from, to int64 }

// closedOffsets lists where topics begin and end, once no transaction is open on them: what lies
// behind an open one cannot be read.
func closedOffsets(ctx context.Context, adm *kadm.Client, topics ...string) (starts, ends kadm.ListedOffsets,
	err error) {
	if starts, err = adm.ListStartOffsets(ctx, topics...); err == nil {
		err = present(starts)
	}
	deadline := time.Now().Add(time.Minute)
	for err == nil {
		var high kadm.ListedOffsets
		if high, err = adm.ListEndOffsets(ctx, topics...); err != nil {
			break
		}
		if ends, err = adm.ListCommittedOffsets(ctx, topics...); err != nil {
			break
		}
		if err = errors.Join(present(high), present(ends)); err != nil {
			break
		}
		open := ""
		high.Each(func(o kadm.ListedOffset) {
			if end, _ := ends.Lookup(o.Topic, o.Partition); end.Offset < o.Offset {
				open = fmt.Sprintf("%s partition %d", o.Topic, o.Partition)
			}
		})
		if open == "" {
			return starts, ends, nil
		}
		if time.Now().After(deadline) {
			return nil, nil, fmt.Errorf("a transaction has been open on %s for a minute: stop who writes there", open)
		}
		broker.Pause(ctx, 100*time.Millisecond)
		err = ctx.Err()
	}
	return nil, nil, fmt.Errorf("offsets of %v: %w", topics, broker.Explained(err))
}

// scan reads runs of committed records, those of a partition in order.
func scan(ctx context.Context, options []kgo.Opt, want map[string]map[int32]span, each func(*kgo.Record)) error {
	from, left := map[string]map[int32]kgo.Offset{}, 0
	for topic, parts := range want {
		from[topic] = map[int32]kgo.Offset{}
		for p, s := range parts {
			if s.from < s.to {
				from[topic][p] = kgo.NewOffset().At(s.from)
				left++
			}
		}
	}
	if left == 0 {
		return nil
	}
	cl, err := kgo.NewClient(append(slices.Clone(options), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.BrokerMaxReadBytes(512<<20), kgo.ConsumePartitions(from))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	for still := 0; left > 0; {
		c, cancel := context.WithTimeout(ctx, quiet)
		f := cl.PollFetches(c)
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, e := range f.Errors() {
			if !kerr.IsRetriable(e.Err) && !errors.Is(e.Err, context.DeadlineExceeded) {
				return broker.Explained(e.Err)
			}
		}
		if f.NumRecords() == 0 {
			if still++; still == 3 {
				return nil // records at the end that were aborted or compacted away
			}
			if err := cl.Ping(ctx); err != nil {
				return broker.Explained(err)
			}
			continue
		}
		still = 0
		f.EachRecord(func(kr *kgo.Record) {
			end := want[kr.Topic][kr.Partition].to
			if kr.Offset < end && !kr.Attrs.IsControl() {
				each(kr)
			}
			if kr.Offset == end-1 {
				left--
			}
		})
	}
	return nil
}

// present leaves out what is not there: an installation may be older than a topic.
func present(list kadm.ListedOffsets) error {
	for _, parts := range list {
		maps.DeleteFunc(parts, func(_ int32, o kadm.ListedOffset) bool {
			return errors.Is(o.Err, kerr.UnknownTopicOrPartition)
		})
	}
	return list.Error()
}
