package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/broker"
)

// misroutedRemedy says for each reason what to do at the producer.
var misroutedRemedy = [...]string{
	"write events under the key tenant|agent.id",
	"write events under the key tenant|agent.id",
	"use Kafka's default partitioner, murmur2; librdkafka and what is built on it (confluent-kafka for Python, Go, .NET): partitioner=murmur2_random; others are in docs/producers.md",
}

// ingressRemedy helps where the producer cannot be changed.
const ingressRemedy = "or let it write to a topic of its own and name that under ingress, which writes each event where it belongs"

// byKey is the partition of a key by Kafka's default partitioner (murmur2).
func byKey(key []byte, n int32) int32 { return broker.KeyPartition(&kgo.Record{Key: key}, n) }

// Misrouted is what a look at the newest records of a topic of events found.
type Misrouted struct {
	Looked  int            // events
	Reasons map[string]int // how many lie in another partition than their key's, by reason
	Example string         // where one of them lies
	Remedy  []string
}

// SampleRouting looks at the newest records of each partition of a topic of events, most of them at
// the most, whether they lie in the partition of their agent's key. It joins no group.
func SampleRouting(ctx context.Context, opts []kgo.Opt, topic string, most int64) (m Misrouted, err error) {
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return m, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return m, err
	}
	ends, err := adm.ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return m, err
	}
	n := int32(len(ends[topic]))
	m.Reasons = map[string]int{}
	remedies := map[string]bool{}
	var d event.Decoder
	var e event.Event
	for _, p := range slices.Sorted(maps.Keys(ends[topic])) {
		end := ends[topic][p].Offset
		from := max(starts[topic][p].Offset, end-most)
		r := newReader(opts, topic, p, from)
		for at := from; at < end; {
			wait, cancel := context.WithTimeout(ctx, 2*time.Second)
			kr, err := r.any(wait)
			cancel()
			if err != nil { // what is left holds no records that count
				break
			}
			if at = kr.Offset + 1; kr.Attrs.IsControl() || d.Decode(kr.Value, &e) != nil {
				continue
			}
			m.Looked++
			key := event.AppendKey(nil, e.Tenant, e.Agent.ID)
			if byKey(key, n) == p {
				continue
			}
			why := wrongPartitioner
			switch {
			case len(kr.Key) == 0:
				why = noKey
			case string(kr.Key) != string(key):
				why = otherKey
			}
			m.Reasons[misroutedWhy[why]]++
			if !remedies[misroutedRemedy[why]] {
				remedies[misroutedRemedy[why]] = true
				m.Remedy = append(m.Remedy, misroutedRemedy[why])
			}
			if m.Example == "" {
				m.Example = fmt.Sprintf("%s partition %d offset %d belongs in partition %d", topic, p, kr.Offset,
					byKey(key, n))
			}
		}
		r.close()
	}
	if len(m.Remedy) > 0 {
		m.Remedy = append(m.Remedy, ingressRemedy)
	}
	return m, nil
}

// String says what was found in one sentence.
func (m Misrouted) String() string {
	var parts []string
	total := 0
	for _, why := range misroutedWhy {
		if n := m.Reasons[why]; n > 0 {
			total += n
			parts = append(parts, fmt.Sprintf("%d %s", n, why))
		}
	}
	return fmt.Sprintf("%d of the newest %d events lie in a partition that is not their key's (%s; %s)", total,
		m.Looked, strings.Join(parts, ", "), m.Example)
}

// Ahead looks at the newest journal record of each partition and returns by how much the watermark
// of the fastest was ahead of the clock of the instance that wrote it; ok: there is one.
func Ahead(ctx context.Context, opts []kgo.Opt, journalTopic string) (ahead time.Duration, p int32, ok bool,
	err error) {
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return 0, 0, false, err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, journalTopic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, 0, false, err
	}
	ahead = -1 << 63
	for _, q := range slices.Sorted(maps.Keys(ends[journalTopic])) {
		end := ends[journalTopic][q].Offset
		// Behind each record of a transaction lies its marker.
		r := newReader(opts, journalTopic, q, max(0, end-20))
		for at := max(0, end-20); at < end; {
			wait, cancel := context.WithTimeout(ctx, 2*time.Second)
			kr, err := r.any(wait)
			cancel()
			if err != nil {
				break
			}
			if at = kr.Offset + 1; kr.Attrs.IsControl() {
				continue
			}
			if j, err := readJournal(kr.Value); err == nil && j.watermark != noTime {
				if by := time.Duration(j.watermark-j.now) * time.Millisecond; by > ahead {
					ahead, p, ok = by, q, true
				}
			}
		}
		r.close()
	}
	return ahead, p, ok, nil
}
