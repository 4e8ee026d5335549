package history

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/pipeline/broker"
)

// Range is a source of the records of a topic between two times of the broker. Partitions are
// merged by the broker's stamps, so that the stream comes as it was.
type Range struct {
	cl    *kgo.Client
	topic string
	parts []*rangePart
	Total int64 // records, roughly: markers of transactions count
	read  int64
}

type rangePart struct {
	p      int32
	end    int64 // first offset not wanted
	at     int64 // next offset
	buf    []*kgo.Record
	paused bool
}

// OpenRange finds the offsets of a topic's records from one time up to another, both of the broker;
// zero times are the ends of the log.
func OpenRange(ctx context.Context, opts []kgo.Opt, topic string, from, to time.Time) (*Range, error) {
	probe, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	defer probe.Close()
	adm := kadm.NewClient(probe)
	offsets := func(t time.Time, start bool) (kadm.ListedOffsets, error) {
		switch {
		case !t.IsZero():
			return adm.ListOffsetsAfterMilli(ctx, t.UnixMilli(), topic)
		case start:
			return adm.ListStartOffsets(ctx, topic)
		}
		return adm.ListCommittedOffsets(ctx, topic)
	}
	first, err := offsets(from, true)
	if err == nil {
		err = first.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("topic %s: %s", topic, broker.Explain(err))
	}
	last, err := offsets(to, false)
	if err == nil {
		err = last.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("topic %s: %s", topic, broker.Explain(err))
	}
	r := &Range{topic: topic}
	assign := map[int32]kgo.Offset{}
	first.Each(func(o kadm.ListedOffset) {
		end, ok := last.Lookup(topic, o.Partition)
		if ok && end.Offset > o.Offset {
			r.parts = append(r.parts, &rangePart{p: o.Partition, at: o.Offset, end: end.Offset})
			assign[o.Partition] = kgo.NewOffset().At(o.Offset)
			r.Total += end.Offset - o.Offset
		}
	})
	slices.SortFunc(r.parts, func(a, b *rangePart) int { return int(a.p - b.p) })
	r.cl, err = kgo.NewClient(append(slices.Clone(opts),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: assign}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(200*time.Millisecond),
		kgo.BrokerMaxReadBytes(512<<20))...)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Close ends the client.
func (r *Range) Close() { r.cl.Close() }

// Done implements Source.
func (r *Range) Done(*Chunk) {}

const (
	rangeChunk = 8192  // records in a chunk
	rangeAhead = 50000 // records buffered of a partition before it is paused
)

// Next implements Source.
func (r *Range) Next(ctx context.Context) (*Chunk, error) {
	c := &Chunk{}
	for len(c.Records) < rangeChunk {
		var next *rangePart
		waiting := false
		for _, p := range r.parts {
			if len(p.buf) == 0 {
				waiting = waiting || p.at < p.end
				continue
			}
			if next == nil || p.buf[0].Timestamp.Before(next.buf[0].Timestamp) {
				next = p
			}
		}
		switch {
		case waiting: // the next record may be in a partition whose buffer is empty
			if err := r.fill(ctx); err != nil {
				return nil, err
			}
			continue
		case next == nil:
			if len(c.Records) == 0 {
				return nil, io.EOF
			}
			c.Read = r.read
			return c, nil
		}
		c.Records = append(c.Records, recordOf(next.buf[0]))
		next.buf = next.buf[1:]
		if next.paused && len(next.buf) < rangeAhead/2 {
			next.paused = false
			r.cl.ResumeFetchPartitions(map[string][]int32{r.topic: {next.p}})
		}
	}
	c.Read = r.read
	return c, nil
}

func (r *Range) fill(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	f := r.cl.PollRecords(wait, rangeChunk)
	if err := ctx.Err(); err != nil {
		return err
	}
	if wait.Err() != nil {
		// What is left of the range holds no records, aborted or compacted away; or the broker is
		// not there: then it must not look as if this were all.
		alive, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		ends, err := kadm.NewClient(r.cl).ListCommittedOffsets(alive, r.topic)
		if err == nil {
			err = ends.Error()
		}
		if err != nil {
			return fmt.Errorf("topic %s: the brokers bring no more records and do not answer, %d were read: %s",
				r.topic, r.read, broker.Explain(err))
		}
		for _, p := range r.parts {
			p.at = p.end
		}
		return nil
	}
	var err error
	f.EachPartition(func(fp kgo.FetchTopicPartition) {
		if fp.Err != nil && err == nil {
			err = fmt.Errorf("topic %s partition %d: %s", r.topic, fp.Partition, broker.Explain(fp.Err))
		}
		i := slices.IndexFunc(r.parts, func(p *rangePart) bool { return p.p == fp.Partition })
		if i < 0 {
			return
		}
		p := r.parts[i]
		for _, kr := range fp.Records {
			if kr.Offset >= p.end {
				p.at = p.end
				break
			}
			p.at = kr.Offset + 1
			r.read++
			if !kr.Attrs.IsControl() {
				p.buf = append(p.buf, kr)
			}
		}
		if p.at >= p.end || len(p.buf) > rangeAhead {
			p.paused = true
			r.cl.PauseFetchPartitions(map[string][]int32{r.topic: {p.p}})
		}
	})
	return err
}

func recordOf(r *kgo.Record) Record {
	return Record{Offset: r.Offset, Stamp: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
}
