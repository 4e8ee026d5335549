package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Faults that a test puts between the engine and its broker: a frozen network, lies about the end of
// a transaction, and a broker that has not finished the transaction before.

// network can be frozen, and can lie about how a transaction ended.
type network struct {
	gate sync.RWMutex
	// answers to EndTxn still to be falsified: it was done, the client gets UNKNOWN_SERVER_ERROR
	lies atomic.Int32
	told atomic.Int32
}

func (w *network) dial(ctx context.Context, network, host string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, host)
	return &wireConn{Conn: c, w: w}, err
}

type wireConn struct {
	net.Conn
	w   *network
	end sync.Map // correlation ids of EndTxn
	buf bytes.Buffer
}

func (c *wireConn) Write(b []byte) (int, error) {
	c.w.gate.RLock()
	defer c.w.gate.RUnlock()
	if len(b) >= 12 && binary.BigEndian.Uint16(b[4:]) == uint16(kmsg.EndTxn) {
		c.end.Store(binary.BigEndian.Uint32(b[8:]), true)
	}
	return c.Conn.Write(b)
}

func (c *wireConn) Read(b []byte) (int, error) {
	if c.buf.Len() == 0 {
		full := func(p []byte) error {
			for len(p) > 0 {
				n, err := c.Conn.Read(p)
				if p = p[n:]; err != nil {
					return err
				}
			}
			return nil
		}
		head := make([]byte, 4)
		if err := full(head); err != nil {
			return 0, err
		}
		body := make([]byte, binary.BigEndian.Uint32(head))
		if err := full(body); err != nil {
			return 0, err
		}
		if _, ok := c.end.LoadAndDelete(binary.BigEndian.Uint32(body)); ok && c.w.lies.Load() > 0 &&
			c.w.lies.Add(-1) >= 0 {
			// behind correlation id, tags and throttle: the error
			binary.BigEndian.PutUint16(body[9:], 0xffff)
			c.w.told.Add(1)
		}
		c.buf.Write(head)
		c.buf.Write(body)
	}
	c.w.gate.RLock()
	defer c.w.gate.RUnlock()
	return c.buf.Read(b)
}

// unfinished makes a kfake answer as Kafka 4 does until the markers of a transaction are written:
// EndTxn is answered at once, and a transaction that begins meanwhile with offsets is refused with
// CONCURRENT_TRANSACTIONS. They are written once the state was asked for so many times, or a while
// later. Below zero nobody may ask.
func (l *lab) unfinished(stage string, asks int) (refused *atomic.Int32) {
	refused = &atomic.Int32{}
	var mu sync.Mutex
	id := "lab-" + stage + "-a"
	left, until := 0, time.Time{}
	open := func() bool { return left != 0 && time.Now().Before(until) }
	l.cluster.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		if r := req.(*kmsg.EndTxnRequest); r.TransactionalID == id && r.Commit {
			mu.Lock()
			defer mu.Unlock()
			left, until = asks, time.Now().Add(500*time.Millisecond)
		}
		return nil, nil, false
	})
	l.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		// here Kafka and the client wait by themselves
		l.cluster.KeepControl()
		if r := req.(*kmsg.ProduceRequest); r.TransactionID != nil && *r.TransactionID == id {
			mu.Lock()
			defer mu.Unlock()
			left = 0
		}
		return nil, nil, false
	})
	l.cluster.ControlKey(int16(kmsg.DescribeTransactions), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		r := req.(*kmsg.DescribeTransactionsRequest)
		mu.Lock()
		defer mu.Unlock()
		if !slices.Contains(r.TransactionalIDs, id) || !open() {
			return nil, nil, false
		}
		resp := r.ResponseKind().(*kmsg.DescribeTransactionsResponse)
		s := kmsg.NewDescribeTransactionsResponseTransactionState()
		s.TransactionalID, s.State = id, "PrepareCommit"
		if asks < 0 {
			s.ErrorCode, s.State = kerr.TransactionalIDAuthorizationFailed.Code, ""
		} else {
			left--
		}
		resp.TransactionStates = append(resp.TransactionStates, s)
		return resp, nil, true
	})
	l.cluster.ControlKey(int16(kmsg.TxnOffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		r := req.(*kmsg.TxnOffsetCommitRequest)
		mu.Lock()
		defer mu.Unlock()
		if r.TransactionalID != id || !open() {
			return nil, nil, false
		}
		refused.Add(1)
		resp := r.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
		for _, t := range r.Topics {
			x := kmsg.NewTxnOffsetCommitResponseTopic()
			x.Topic, x.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				y := kmsg.NewTxnOffsetCommitResponseTopicPartition()
				y.Partition, y.ErrorCode = p.Partition, kerr.ConcurrentTransactions.Code
				x.Partitions = append(x.Partitions, y)
			}
			resp.Topics = append(resp.Topics, x)
		}
		return resp, nil, true
	})
	return refused
}
