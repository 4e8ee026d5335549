package pipeline

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wayward-sec/wayward/pipeline/broker"
)

// Why a transaction did not commit: the label "reason" of transactions_total. A committed one has
// none.
const (
	forBaseline    = "baseline"                // an event waits for a day of baselines to be closed
	forShard       = "shard"                   // a shard failed on its slice and is paused
	forRecord      = "record"                  // the broker refuses a record
	forRebalance   = "rebalance"               // the group gave partitions away meanwhile
	forConcurrent  = "concurrent_transactions" // the one before is still not finished
	forOffsets     = "offsets_refused"         // the group's coordinator did not take the offsets
	forFenced      = "fenced"                  // another process has our transactional id
	forCoordinator = "coordinator"             // the broker that coordinates is starting or moving
	forTimeout     = "timeout"                 // nobody answered in time
	forRefused     = "not_authorized"          // the user may not
	forOther       = "other"
)

var whyNot = []string{forBaseline, forShard, forRecord, forRebalance, forConcurrent, forOffsets, forFenced,
	forCoordinator, forTimeout, forRefused, forOther}

// whyOf is the reason that an error of the Kafka client stands for.
func whyOf(err error) string {
	is := func(all ...*kerr.Error) bool {
		for _, e := range all {
			if errors.Is(err, e) {
				return true
			}
		}
		return false
	}
	switch {
	case is(kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.FencedInstanceID, kerr.TransactionCoordinatorFenced):
		return forFenced
	case is(kerr.ConcurrentTransactions):
		return forConcurrent
	case is(kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.RebalanceInProgress, kerr.StaleMemberEpoch):
		return forRebalance
	case is(kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator):
		return forCoordinator
	case is(kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed,
		kerr.ClusterAuthorizationFailed):
		return forRefused
	case is(kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.UnknownTopicOrPartition,
		kerr.UnknownTopicID, kerr.InvalidTimestamp, kerr.PolicyViolation):
		return forRecord
	case is(kerr.RequestTimedOut), errors.Is(err, kgo.ErrRecordTimeout), errors.Is(err, kgo.ErrRecordRetries),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return forTimeout
	}
	return forOther
}

// throttle lets through the first warning of each kind, and then one a minute at most: an abort by
// itself is ordinary, a hundred of a kind are not.
type throttle map[string]*throttled

type throttled struct {
	last  time.Time // let through
	since int       // counted since then
}

// allow counts one more of a kind. It tells whether to log it, and how many there were since the
// last that was logged.
func (t throttle) allow(kind string) (since int, ok bool) {
	x := t[kind]
	if x == nil {
		x = &throttled{}
		t[kind] = x
	}
	x.since++
	if !x.last.IsZero() && time.Since(x.last) < time.Minute {
		return 0, false
	}
	since, x.since, x.last = x.since, 0, time.Now()
	return since, true
}

// aborted counts a transaction that was aborted, and logs it unless its cause is logged elsewhere.
func (m *member) aborted(why string, logged bool) {
	m.metrics.transactions("aborted", why).Inc()
	if logged {
		return
	}
	if n, ok := m.aborts.allow(why); ok {
		m.log.Warn("transaction aborted, its slice is applied again", "reason", why, "times", n)
	}
}

// previousEnded waits until the transaction before this one is over on the broker, too. Since Kafka
// 4 (KIP-890) the answer to EndTxn comes before the markers are written, and the next transaction's
// first request is refused with CONCURRENT_TRANSACTIONS until they are. The client tries again
// where that request writes records. Where it commits offsets, because nothing was written, the
// client aborts instead: so a relation shard with nothing to say was loaded anew three times in
// ten. Asking changes nothing, while an attempt of our own to commit would leave a transaction open
// that the client does not know of. It tells whether the transaction can go on.
func (m *member) previousEnded(ctx context.Context, cl *kgo.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.TransactionTimeout)
	defer cancel()
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{m.transactionalID()}
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		resp, err := req.RequestWith(ctx, cl)
		if ctx.Err() != nil {
			return false
		}
		if err != nil || len(resp.TransactionStates) != 1 || resp.TransactionStates[0].ErrorCode != 0 {
			return true // older than Kafka 3.0, or not allowed: the commit itself will tell
		}
		if s := resp.TransactionStates[0].State; s != "PrepareCommit" && s != "PrepareAbort" {
			return true
		}
		broker.Pause(ctx, wait)
	}
}

// whyAborted is the reason of an abort: of what is known here the first that would have been
// enough, since the client does not say why a commit came to an abort. And whether it is logged
// elsewhere.
func (m *member) whyAborted(all []slice, lost *error, inTime bool) (why string, logged bool) {
	waits := false
	for _, sl := range all {
		if sl.err != nil && sl.awaits == nil {
			return forShard, true
		}
		waits = waits || sl.err != nil
	}
	switch {
	case waits:
		return forBaseline, true
	case lost != nil:
		return whyOf(*lost), true
	case !inTime:
		return forConcurrent, false
	case m.revoked.Load():
		return forRebalance, false
	}
	return forOffsets, false
}
