// Package client looks at a running wayward from outside and gives it orders, both through its
// topics: the breakers that are open, their history, the inventory and the snapshots of baselines,
// and the signed feedback by which people trip, restore and manage baselines.
//
// It knows the topics and what stands in them. It must never know commands, flags or output, nor the
// machines that decide: an order is a record, and the answer to it is another one.
// Begin with Open, then Client.Send.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/terminal"
)

// Client is connected to the brokers of a running wayward.
type Client struct {
	config.Config
	options  []kgo.Opt
	kafka    *kgo.Client
	admin    *kadm.Client
	warnings io.Writer
}

// Open connects to the brokers of a config, or to the embedded broker on this machine if it names
// none. Records that cannot be read are reported on warnings.
func Open(ctx context.Context, c config.Config, warnings io.Writer) (*Client, error) {
	embedded := c.Kafka.Embedded()
	if embedded {
		c.Kafka = broker.Kafka{Brokers: []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(c.Embedded.Port))}}
	}
	options, err := c.Kafka.Options()
	if err != nil {
		return nil, err
	}
	options = append(options, kgo.RequestRetries(2), // somebody is waiting
		kgo.ProducerBatchCompression(c.Topics.Codec()))
	kafka, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	ping, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := kafka.Ping(ping); err != nil {
		kafka.Close()
		if embedded {
			return nil, fmt.Errorf(
				"no embedded broker: %s; start wayward run, or name the brokers of your Kafka in a file for --config",
				broker.Explain(err))
		}
		return nil, errors.New(broker.Explain(err))
	}
	return &Client{c, options, kafka, kadm.NewClient(kafka), warnings}, nil
}

// Close ends the connection.
func (c *Client) Close() { c.kafka.Close() }

// read calls each for every committed record that a topic has by now, from a time of the broker on
// (zero: the beginning). Records of one key come in the order of the log.
func (c *Client) read(ctx context.Context, topic string, since time.Time, each func(*kgo.Record)) error {
	first, err := c.admin.ListStartOffsets(ctx, topic)
	if !since.IsZero() && err == nil && first.Error() == nil {
		first, err = c.admin.ListOffsetsAfterMilli(ctx, since.UnixMilli(), topic)
	}
	ends, enderr := c.admin.ListCommittedOffsets(ctx, topic)
	if err = errors.Join(err, enderr); err == nil {
		err = errors.Join(first.Error(), ends.Error())
	}
	if err != nil {
		return topicError(topic, err)
	}
	at, end := map[int32]kgo.Offset{}, map[int32]int64{}
	first.Each(func(o kadm.ListedOffset) {
		if e, ok := ends.Lookup(topic, o.Partition); ok && e.Offset > o.Offset {
			at[o.Partition], end[o.Partition] = kgo.NewOffset().At(o.Offset), e.Offset
		}
	})
	if len(at) == 0 {
		return nil
	}
	// Markers of transactions are kept, since the last record before the end mostly is one.
	kafka, err := kgo.NewClient(append(slices.Clone(c.options),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: at}), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.FetchMaxWait(200*time.Millisecond))...)
	if err != nil {
		return err
	}
	defer kafka.Close()
	for len(end) > 0 {
		poll, cancel := context.WithTimeout(ctx, 10*time.Second)
		f := kafka.PollFetches(poll)
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
		if errors.Is(f.Err0(), context.DeadlineExceeded) {
			return nil // what is left holds no records: aborted, or compacted away
		}
		for _, e := range f.Errors() {
			return topicError(topic, e.Err)
		}
		f.EachRecord(func(r *kgo.Record) {
			last, ok := end[r.Partition]
			if ok && r.Offset >= last-1 {
				delete(end, r.Partition)
			}
			if ok && r.Offset < last && !r.Attrs.IsControl() {
				each(r)
			}
		})
	}
	return nil
}

// Values calls each with the value of every committed record that a topic has by now, from a time of
// the broker on (zero: the beginning).
func (c *Client) Values(ctx context.Context, topic string, since time.Time, each func([]byte)) error {
	return c.read(ctx, topic, since, func(r *kgo.Record) { each(r.Value) })
}

// tail is a consumer that reads topics from their present end on.
func (c *Client) tail(ctx context.Context, topics ...string) (*kgo.Client, error) {
	at := map[string]map[int32]kgo.Offset{}
	for _, topic := range topics { // one by one, to say which is missing
		ends, err := c.admin.ListEndOffsets(ctx, topic)
		if err == nil {
			err = ends.Error()
		}
		if err != nil {
			return nil, topicError(topic, err)
		}
		at[topic] = map[int32]kgo.Offset{}
		ends.Each(func(o kadm.ListedOffset) { at[topic][o.Partition] = kgo.NewOffset().At(o.Offset) })
	}
	return kgo.NewClient(append(slices.Clone(c.options), kgo.ConsumePartitions(at),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))...)
}

// Produce hands a record to the producer. done is called once the broker has taken or refused it.
func (c *Client) Produce(ctx context.Context, topic string, key, value []byte, done func(error)) {
	c.kafka.Produce(ctx, &kgo.Record{Topic: topic, Key: key, Value: value}, func(_ *kgo.Record, err error) {
		if err != nil {
			err = topicError(topic, err)
		}
		done(err)
	})
}

// Flush waits until the broker has answered for all that was produced.
func (c *Client) Flush(ctx context.Context) error { return c.kafka.Flush(ctx) }

// topicError says what is wrong with a topic, and what to do if it is missing.
func topicError(topic string, err error) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf(
			"topic %s is missing: run wayward topics apply (the embedded broker makes it when wayward run starts), or correct topics in the config",
			topic)
	}
	return fmt.Errorf("topic %s: %s", topic, broker.Explain(err))
}

// Unread counts records that cannot be read: they may have been written by a newer wayward.
type Unread struct {
	From  string // topic or file
	n     int
	first error
}

// Add counts one more.
func (u *Unread) Add(err error) {
	if u.n++; u.n == 1 {
		u.first = err
	}
}

// Report writes how many there are and what the first is, if there are any.
func (u *Unread) Report(w io.Writer) {
	if u.n > 0 {
		fmt.Fprintf(w, "records of %s that cannot be read, and are left out: %d; the first: %s\n", u.From, u.n,
			terminal.Visible(u.first.Error(), 300))
	}
}
