package pipeline

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// reader is a read_committed cursor on one partition, without a group. What retention has deleted
// is an error, not a jump.
type reader struct {
	cl  *kgo.Client
	buf []*kgo.Record
}

// newReader begins at an offset; 0 is where the log begins now.
func newReader(opts []kgo.Opt, topic string, p int32, from int64) *reader {
	o := kgo.NewOffset().At(from)
	if from == 0 {
		o = kgo.NewOffset().AtStart()
	}
	cl, err := kgo.NewClient(append(slices.Clone(opts), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
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
func (r *reader) next(ctx context.Context) (*kgo.Record, error) {
	for {
		kr, err := r.any(ctx)
		if err != nil {
			return nil, err
		}
		if !kr.Attrs.IsControl() {
			return kr, nil
		}
	}
}

// buffered tells whether the next record is here already.
func (r *reader) buffered() bool { return len(r.buf) > 0 }

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
