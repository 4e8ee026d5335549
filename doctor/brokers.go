package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/broker"
)

// checkBroker sees whether a broker answers. Without one in the config it is the embedded one.
func (x *examination) checkBroker(ctx context.Context) {
	if x.config.Kafka.Embedded() {
		x.checkEmbedded()
		return
	}
	options, err := x.config.Kafka.Options()
	for _, e := range config.Flatten(err) {
		x.problem("%v", e)
	}
	if err != nil {
		return
	}
	if x.client, err = kgo.NewClient(append(options, kgo.RetryTimeout(10*time.Second))...); err != nil {
		x.problem("%v", err)
		return
	}
	x.deadline = time.Now().Add(time.Minute)
	ping, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	if err := x.client.Ping(ping); err != nil {
		x.problem("%s", broker.Explain(err))
		return
	}
	x.options, x.admin = options, kadm.NewClient(x.client)
}

func (x *examination) checkEmbedded() {
	addr := net.JoinHostPort("127.0.0.1", fmt.Sprint(x.config.Embedded.Port))
	l, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		l.Close()
		x.fine("the embedded one, on %s: for laptops and tests", addr)
	case x.running:
		x.fine("the embedded one, at work on %s", addr)
	default:
		x.problem("the embedded one cannot listen on %s (%v): set embedded.port, or name a Kafka in brokers", addr, err)
	}
}

// needed are the requests, and their versions, without which exactly-once does not work.
var needed = []struct {
	key     kmsg.Key
	version int16
	what    string
}{
	{kmsg.Metadata, 10, "topic ids"}, {kmsg.JoinGroup, 5, "static membership"}, {kmsg.OffsetFetch, 7, "stable offsets"},
	{kmsg.InitProducerID, 1, "transactions"},
	{kmsg.AddPartitionsToTxn, 0, "transactions"}, {kmsg.EndTxn, 0, "transactions"},
	{kmsg.TxnOffsetCommit, 3, "transactions fenced by the group's generation"},
	{kmsg.Produce, 7, "zstd and lz4 batches"},
}

// checkVersions sees whether the brokers speak enough of the protocol.
func (x *examination) checkVersions(ctx context.Context) {
	all, err := x.admin.ApiVersions(ctx)
	if err != nil {
		x.add("broker", Problem, "%s", broker.Explain(err))
		x.admin = nil // the others that ask the brokers would learn no more
		return
	}
	x.specs = x.config.Topics.Specs(false, len(all))
	guesses, lacking := map[string]bool{}, map[string]bool{}
	for _, b := range all.Sorted() {
		if b.Err != nil {
			x.add("broker", Warning, "broker %d: %s", b.NodeID, broker.Explain(b.Err))
			continue
		}
		guess := b.VersionGuess()
		if !strings.HasPrefix(guess, "v") {
			guess = "no release of Apache Kafka that is known" // another implementation, mostly
		}
		guesses[guess] = true
		for _, n := range needed {
			if have, ok := b.KeyMaxVersion(n.key.Int16()); !ok || have < n.version {
				lacking[fmt.Sprintf("broker %d lacks %s", b.NodeID, n.what)] = true
			}
		}
	}
	if len(lacking) > 0 {
		x.problem("%s: wayward needs Apache Kafka 2.8 or newer, or what speaks its protocol as fully",
			strings.Join(slices.Sorted(maps.Keys(lacking)), ", "))
	} else {
		x.fine("%d brokers with all that is needed: %s", len(all),
			strings.Join(slices.Sorted(maps.Keys(guesses)), ", "))
	}
}

// checkTopics judges the topics as a start does.
func (x *examination) checkTopics(ctx context.Context) {
	changes, err := broker.ReviewTopics(ctx, x.admin, x.specs)
	for _, e := range config.Flatten(err) {
		x.problem("%v", e)
	}
	for _, c := range changes {
		status := Warning
		if c.Fatal {
			status = Problem
		}
		x.add(x.current, status, "%s", c.What)
		if c.Setting == "message.timestamp.type" {
			x.foreign = append(x.foreign, c.Topic)
		}
	}
	if err == nil && len(changes) == 0 {
		x.fine("%d, as they should be", len(x.specs))
	}
	if err != nil {
		x.layout = nil // there is nothing to compare it with
	}
}

// checkLayout sees whether the state on disk was made with these topics.
func (x *examination) checkLayout(ctx context.Context) {
	if x.layout == nil {
		return
	}
	td, err := x.admin.ListTopics(ctx, x.config.Topics.Events, x.config.Topics.Control, x.config.Topics.Journal,
		x.config.Topics.Facts)
	if err != nil {
		x.unknown("%s", broker.Explain(err))
		return
	}
	now := pipeline.LayoutOf(x.config.Topics, td)
	switch remade := now.Remade(*x.layout); {
	case now.Events == 0 || now.Facts == 0: // missing, which has been said
	case now.Events != x.layout.Events || now.Facts != x.layout.Facts:
		x.problem(
			"the state was made with %d and %d partitions of events and facts, there are %d and %d: stop all instances and run wayward state rebuild for each",
			x.layout.Events, x.layout.Facts, now.Events, now.Facts)
	case len(remade) > 0:
		x.problem("the topics of %v were deleted and made anew since the state was made: run wayward state rebuild",
			remade)
	default:
		x.fine("%d partitions of events and %d of facts, as the state was made with", now.Events,
			now.Facts)
	}
}

// checkClock compares the brokers' clocks with this machine's. Kafka does not tell the time; it
// stamps records of some topics, so the newest of them is a time that its clock has reached.
func (x *examination) checkClock(ctx context.Context) {
	t := x.config.Topics
	newest := int64(0)
	for _, topic := range []string{t.Control, t.Journal, t.Facts, t.Events} {
		if slices.Contains(x.foreign, topic) {
			continue
		}
		stamps, err := x.admin.ListMaxTimestampOffsets(ctx, topic)
		if err != nil {
			x.unknown("the brokers do not say when their newest records came: %s",
				broker.Explain(err))
			return
		}
		stamps.Each(func(o kadm.ListedOffset) {
			if o.Err == nil {
				newest = max(newest, o.Timestamp)
			}
		})
	}
	if newest == 0 {
		x.unknown("cannot be compared yet: the brokers have stamped no record; ask again while an instance runs")
		return
	}
	behind := time.Since(time.UnixMilli(newest)).Round(100 * time.Millisecond)
	switch {
	case behind < -time.Minute:
		x.problem(
			"a broker's clock is at least %s ahead of this machine's: let both follow one time service (chrony, systemd-timesyncd)",
			config.FormatDuration(-behind))
	case behind < -time.Second:
		x.warning(
			"a broker's clock is at least %s ahead of this machine's: let both follow one time service (chrony, systemd-timesyncd)",
			config.FormatDuration(-behind))
	case behind < 5*time.Second:
		x.fine("the brokers' newest record was stamped %s ago by their clock",
			config.FormatDuration(max(0, behind)))
	default:
		x.unknown(
			"the brokers' newest record was stamped %s ago, so their clocks are not ahead; whether they are behind shows while an instance runs",
			config.FormatDuration(behind.Round(time.Second)))
	}
}

// newestEvents is how many events of each partition checkRouting looks at.
const newestEvents = 200

// checkRouting sees whether events lie in the partitions of their keys.
func (x *examination) checkRouting(ctx context.Context) {
	m, err := pipeline.SampleRouting(ctx, x.options, x.config.Topics.Events, newestEvents)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition): // checkTopics has said so
	case err != nil:
		x.unknown("the newest events cannot be read: %s", broker.Explain(err))
	case m.Looked == 0:
		x.unknown("there is no event yet: ask again once producers write")
	case len(m.Reasons) > 0:
		x.problem("%s: what one agent does is seen in pieces. At the producer:\n%s", m,
			strings.Join(m.Remedy, "\n"))
	default:
		x.fine("the newest %d events lie in the partitions of their keys", m.Looked)
	}
}

// checkEventTime sees whether a watermark is ahead of the wall clock.
func (x *examination) checkEventTime(ctx context.Context) {
	ahead, p, ok, err := pipeline.Ahead(ctx, x.options, x.config.Topics.Journal)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition): // checkTopics has said so
	case err != nil:
		x.unknown("the journal cannot be read: %s", broker.Explain(err))
	case !ok:
		x.unknown("no instance has judged an event yet")
	case ahead > pipeline.MostAhead:
		x.problem(
			"the watermark of partition %d is %s ahead of the wall clock: windows and days close before their events come. A producer's or an instance's clock is wrong, or %s keeps its producers' stamps (message.timestamp.type must be LogAppendTime)",
			p, config.FormatDuration(ahead.Round(time.Second)), x.config.Topics.Events)
	default:
		x.fine("no watermark is ahead of the wall clock by more than %s",
			config.FormatDuration(pipeline.MostAhead))
	}
}
