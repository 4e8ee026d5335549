package pipeline

import (
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// codecs counts the batches of a topic by their codec, as they lie on the broker: 0 none, 1 gzip, 2
// snappy, 3 lz4, 4 zstd.
func (s *liveEngine) codecs(topic string) map[int16]int {
	s.Helper()
	meta := kmsg.NewPtrMetadataRequest()
	of := kmsg.NewMetadataRequestTopic()
	of.Topic = &topic
	meta.Topics = append(meta.Topics, of)
	known, err := meta.RequestWith(s.Context(), s.cl)
	if err != nil {
		s.Fatal(err)
	}
	fetch := kmsg.NewPtrFetchRequest()
	fetch.MaxBytes = 64 << 20
	part := kmsg.NewFetchRequestTopic()
	part.Topic, part.TopicID = topic, known.Topics[0].TopicID
	for _, p := range known.Topics[0].Partitions {
		at := kmsg.NewFetchRequestTopicPartition()
		at.Partition, at.PartitionMaxBytes = p.Partition, 64<<20
		part.Partitions = append(part.Partitions, at)
	}
	fetch.Topics = append(fetch.Topics, part)
	answer, err := fetch.RequestWith(s.Context(), s.cl)
	if err != nil {
		s.Fatal(err)
	}
	found := map[int16]int{}
	for _, topic := range answer.Topics {
		for _, p := range topic.Partitions {
			for b := p.RecordBatches; len(b) > 12; {
				n := 12 + int(binary.BigEndian.Uint32(b[8:]))
				if n > len(b) {
					break
				}
				var batch kmsg.RecordBatch
				if err := batch.ReadFrom(b[:n]); err != nil {
					s.Fatal(err)
				}
				if batch.Attributes&0x20 == 0 { // no marker of a transaction
					found[batch.Attributes&7]++
				}
				b = b[n:]
			}
		}
	}
	return found
}

// Clients of others read gzip and no more, so what lies on the topics is what the config says,
// whichever broker.
func TestWhatOthersReadIsPackedAsTheConfigSays(t *testing.T) {
	const none, gzip, zstd = 0, 1, 4
	for name, want := range map[string]int16{"gzip": gzip, "": gzip, "zstd": zstd, "none": none} {
		t.Run("compression "+name, func(t *testing.T) {
			s := newLiveEngine(t, liveSet(t, "1m"))
			s.topics.Compression = name
			s.run()
			s.act("a1", "clerk", "rm", 0)
			s.put(s.topics.Events, []byte("acme|a1"),
				[]byte(
					"not an event, and long enough to be worth packing: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"))
			s.until("a violation blocks", func() bool {
				a, _, _ := s.state(agentScope("a1"))
				return a == "block" && len(s.commands(agentScope("a1"))) == 1 && s.alerted("clerk") > 0 &&
					s.dead("not_json") > 0
			})
			for _, topic := range []string{s.topics.Alerts, s.topics.Commands, s.topics.Breakers, s.topics.DLQ,
				s.topics.Journal} {
				got := s.codecs(topic)
				packed := 0
				for codec, n := range got {
					if codec != none && codec != want {
						t.Errorf("%s: %d batches with codec %d, want %d", topic, n, codec, want)
					}
					if codec == want {
						packed += n
					}
				}
				if packed == 0 && topic != s.topics.Journal {
					// what does not shrink is left plain: a record of the journal may be a dozen
					// bytes
					t.Errorf("%s: batches by codec %v, none has %d", topic, got, want)
				}
			}
		})
	}
}
