package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/state"
)

// member is a stage of this instance as a member of its consumer group: what the stages with state
// and the ingress share.
type member struct {
	cfg     *Config
	name    string
	topics  [toBaselines + 1]string // by Destination
	log     *slog.Logger
	metrics *stageMetrics
	revoked atomic.Bool // the group took partitions away since the last Begin
	aborts  throttle    // of warnings about aborted transactions

	fetchErrorAt time.Time // when an error of a fetch was last logged
}

func (m *member) group() string { return m.cfg.Group + "-" + m.name }

func (m *member) transactionalID() string { return m.group() + "-" + m.cfg.Instance }

// stage runs the shards of one stage that the consumer group gives to this instance, in
// exactly-once:
//
//   - poll: p's memory is current if and only if its next offsets equal the group's committed ones
//     of both logs. If not, p is paused, set back to exactly these, and loaded beside the loop. No
//     rebalance callback is needed, and franz-go does not promise one for every revoke.
//   - apply: the control slice, then the event slice, with before-images of pages and variables.
//   - commit: outputs, facts and a journal record in the same transaction as the consumed offsets,
//     which alone are fenced by the group's generation. Flush, look at every promise,
//     AllowRebalance (End can deadlock without), End.
//   - undo: aborted: before-images back, then ask the broker whether it agrees. If the outcome is
//     unknown, throw memory away and begin a new session.
//   - checkpoint: only what a commit has made true, later.
type stage struct {
	member
	kind          byte     // of its space in the store
	in            []string // main log last; control first if there are two
	journal       string
	changelog     string
	newShard      func(p int32) *shard
	rules         *rules
	snapshotCache *snapshotCache // of the behaviour stage

	// What the consumer group says.
	split    atomic.Bool // the assignment tears the logs of a partition apart
	assigned atomic.Pointer[[]int32]

	// Of one session; the loop's own.
	partitions map[int32]*partition
	own        string      // hash of the set that this instance is configured with
	loaded     chan loaded // what loaders brought
	loadCtx    context.Context
	loaders    sync.WaitGroup
	abort      func() // ends the client's requests, whatever they wait for
	// of transactions: done some time after the session's, so that a stop tears none that can end
	lastCtx   context.Context
	unwritten bool          // the last transaction could not be written
	askedAt   time.Time     // when the broker was last asked about partitions without an offset
	saved     chan struct{} // closed when the checkpoint under way is done
	saveErr   atomic.Pointer[error]
	stopping  atomic.Bool // the session ends

	housekeptAt  time.Time
	reportedAt   time.Time // to Health
	summarizedAt time.Time // metrics of baselines

	warned warned
}

func (c *Config) stage(name string, kind byte, r *rules) *stage {
	return &stage{kind: kind, rules: r, own: c.Policy.Hash(), member: c.member(name)}
}

func (c *Config) member(name string) member {
	return member{cfg: c, name: name, topics: topicsOf(c.Topics), log: c.Log.With("stage", name),
		metrics: c.Metrics.stage(name), aborts: throttle{}}
}

// errFatal marks what a new session cannot mend.
var errFatal = errors.New("")

// run holds a session, and another one after each that ends with an error, until ctx is done.
func (st *stage) run(ctx context.Context) error {
	wait := 100 * time.Millisecond
	for {
		start := time.Now()
		err := st.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errFatal) {
			return err
		}
		st.metrics.sessions.Inc()
		st.cfg.Health.set(StageHealth{Stage: st.name, Waiting: "its session ended, another one begins: " +
			broker.Explain(err)})
		if time.Since(start) > time.Minute {
			wait = 100 * time.Millisecond
		}
		st.log.Warn("session ended, state is loaded anew", "err", broker.Explain(err), "retry_in", wait)
		broker.Pause(ctx, wait)
		if ctx.Err() != nil {
			return nil
		}
		wait = min(2*wait, 10*time.Second)
	}
}

// space is where the pages of a partition are in the store.
func (st *stage) space(p int32) state.Space { return state.Space{Stage: st.kind, Partition: p} }

// crashPoint is where a crash test may end the process.
func (m *member) crashPoint(name string) {
	if h := m.cfg.Hooks; h != nil && h.CrashPoint != nil {
		h.CrashPoint(m.name + ": " + name)
	}
}

func asRecord(r *kgo.Record) record {
	return record{offset: r.Offset, stamp: r.Timestamp.UnixMilli(), key: r.Key, value: r.Value}
}
