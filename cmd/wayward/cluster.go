package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/terminal"
)

// lookup are the flags of commands that look at the topics of a running wayward.
type lookup struct {
	config, tenant, output string
}

func (o *lookup) flags(cmd *cobra.Command) {
	configFlag(cmd, &o.config)
	cmd.Flags().StringVar(&o.tenant, "tenant", "", "of this `tenant`")
	outputFlag(cmd, &o.output, "table", "json")
}

// cluster is a running wayward as its topics show it.
type cluster struct {
	config.Config
	options []kgo.Opt
	client  *kgo.Client
	admin   *kadm.Client
}

// open finds the brokers, the embedded one if the config names none.
func (o *lookup) open(ctx context.Context) (*cluster, error) {
	c, err := config.Load(o.config)
	if err != nil {
		return nil, err
	}
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
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	ping, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := client.Ping(ping); err != nil {
		client.Close()
		if embedded {
			return nil, fmt.Errorf(
				"no embedded broker: %s; start wayward run, or name the brokers of your Kafka in a file for --config",
				broker.Explain(err))
		}
		return nil, errors.New(broker.Explain(err))
	}
	return &cluster{c, options, client, kadm.NewClient(client)}, nil
}

// read gives every committed record that a topic has by now, from a time of the broker on (zero:
// the beginning). Of one key the order is that of the log.
func (c *cluster) read(ctx context.Context, topic string, since time.Time, each func(*kgo.Record)) error {
	first, err := c.admin.ListStartOffsets(ctx, topic)
	if !since.IsZero() && err == nil && first.Error() == nil {
		first, err = c.admin.ListOffsetsAfterMilli(ctx, since.UnixMilli(), topic)
	}
	ends, enderr := c.admin.ListCommittedOffsets(ctx, topic)
	if err = errors.Join(err, enderr); err == nil {
		err = errors.Join(first.Error(), ends.Error())
	}
	if err != nil {
		return missing(topic, err)
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
	cl, err := kgo.NewClient(append(slices.Clone(c.options),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: at}), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.FetchMaxWait(200*time.Millisecond))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	for len(end) > 0 {
		poll, cancel := context.WithTimeout(ctx, 10*time.Second)
		f := cl.PollFetches(poll)
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
		if errors.Is(f.Err0(), context.DeadlineExceeded) {
			return nil // what is left holds no records: aborted, or compacted away
		}
		for _, e := range f.Errors() {
			return missing(topic, e.Err)
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

func missing(topic string, err error) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf(
			"topic %s is missing: run wayward topics apply (the embedded broker makes it when wayward run starts), or correct topics in the config",
			topic)
	}
	return fmt.Errorf("topic %s: %s", topic, broker.Explain(err))
}

// unread counts records that cannot be read and says so once: they may be of a newer wayward.
type unread struct {
	topic string
	n     int
	first error
}

func (u *unread) add(err error) {
	if u.n++; u.n == 1 {
		u.first = err
	}
}

func (u *unread) tell(w io.Writer) {
	if u.n > 0 {
		fmt.Fprintf(w, "records of %s that cannot be read, and are left out: %d; the first: %s\n", u.topic, u.n,
			terminal.Visible(u.first.Error(), 300))
	}
}
