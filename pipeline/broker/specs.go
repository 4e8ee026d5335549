package broker

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// TopicSpec is what one topic must look like.
type TopicSpec struct {
	Name        string
	Partitions  int32
	Replication int16             // 0: whatever it is
	Configs     map[string]string // what wayward cares about; all other settings are the operator's
	// Exact says that state is cut by the number of partitions. Where it is false,
	// a topic that has another number than it would have been given is fine.
	Exact bool
	Why   string // what the topic is for and why it is set up like this
}

const (
	plainRecords = 1 << 20 // and a little, as Kafka's own default is
	// One journal or facts record holds what a whole transaction did.
	largeRecords = 8 << 20
)

// Specs returns what every topic must look like. For the embedded broker they
// are bounded by size, as it reads all of it into memory after a crash (breakers
// alone are not: one that is forgotten lets its agent act), and nothing is
// compacted: its compaction loses records (research/engine.md, K4, K5).
func (t *Topics) Specs(embedded bool, brokers int) []TopicSpec {
	f := t.Full()
	copies, insync := int16(cmp.Or(t.Replication, 1)), "1"
	if t.Replication == 0 && brokers >= 3 {
		copies = 3
	}
	if copies >= 3 {
		insync = "2" // a record survives the loss of a broker, and writing goes on without it
	}
	if embedded {
		copies = 1
	}
	main, facts := int32(t.Partitions), int32(t.FactsPartitions)
	keep := t.Retention
	var specs []TopicSpec
	for _, r := range []struct {
		name       string
		partitions int32
		exact      bool
		keep       time.Duration // 0: compacted
		byBroker   bool          // stamped by the broker, not by the producer
		largest    int           // record
		mib        int           // on the embedded broker's disk, all partitions together; 0: no bound
		why        string
	}{
		{f.Events, main, true, keep.Events, true, plainRecords, 1024,
			"what agents do, keyed tenant|agent.id; LogAppendTime bounds how far ahead an event may claim to be; " +
				"state is rebuilt from it, so it must be kept at least twice the changelog's interval, and as long as the engine may be away"},
		{f.Alerts, main, false, keep.Alerts, false, plainRecords, 256, "findings, for the SIEM"},
		{f.DLQ, main, false, keep.DLQ, false, plainRecords, 128, "what could not be decoded, with the reason"},
		{f.Commands, main, false, keep.Commands, false, plainRecords, 128,
			"what gateways and playbooks are told to do, keyed by scope, so that the commands about one keep their order"},
		{f.Breakers, main, false, 0, false, plainRecords, 0,
			"the present state of every scope that is not free, keyed by scope, a tombstone when it is: a gateway that starts late reads the truth, " +
				"so nothing may be dropped"},
		{f.Acks, main, false, keep.Commands, true, plainRecords, 64,
			"what gateways say became of the commands; kept like them"},
		{f.Feedback, main, false, keep.Feedback, true, plainRecords, 64,
			"what people say: verdicts, and signed trips and restores; who may write here is told by the key that signed"},
		{f.Inventory, main, false, 0, false, plainRecords, 64,
			"agents, tools and servers as seen, keyed tenant|kind|id"},
		{f.Control, main, true, keep.Internal, true, plainRecords, 128,
			"what the behaviour shard of the same number of events is told; kept like the journal, which refers to it"},
		{f.Journal, main, true, keep.Internal, true, largeRecords, 256,
			"which events and which control records each transaction took: with events the state of a behaviour shard; " +
				"must be kept at least twice the changelog's interval"},
		{f.Facts, facts, true, keep.Internal, true, largeRecords, 256,
			"what behaviour shards tell relation shards, whose state it is; must be kept at least twice the changelog's interval"},
		{f.Sets, 1, true, 0, false, plainRecords, 64,
			"policies and rule sets by their hash, which state and logs refer to; one partition, so that all is read in order"},
		{f.Baselines, 1, true, 0, false, plainRecords, 1024,
			"what was learned of each persona by the end of each day, and a record for each day that lists it; every instance reads all of it, " +
				"and needs the last eight days to bring state back; one partition, so that a list comes after what it lists"},
		{f.ChangelogBehaviour, main, true, 0, false, plainRecords, 64,
			"pages of behaviour shards at each checkpoint, for an instance on a new machine"},
		{f.ChangelogRelation, facts, true, 0, false, plainRecords, 64,
			"pages of relation shards at each checkpoint, for an instance on a new machine"},
	} {
		// 12: what Kafka adds to a round number
		c := map[string]string{"max.message.bytes": strconv.Itoa(r.largest + 12)}
		switch {
		case embedded:
			// It keeps the producer's time stamps whatever the topic says. Events of last
			// month, sent today as a demo does, would be deleted within the minute, so time
			// counts only where nobody but wayward writes.
			c["cleanup.policy"], c["retention.ms"] = "delete", "-1"
			if r.keep > 0 && r.byBroker && !slices.Contains([]string{f.Events, f.Acks, f.Feedback}, r.name) {
				c["retention.ms"] = retentionMillis(r.keep)
			}
			if r.keep == 0 {
				// its default is delete, and on Apache Kafka these specs must not undo compact
				delete(c, "cleanup.policy")
			}
			each := max(int64(r.mib)<<20/int64(max(r.partitions, 1)), 4<<20)
			c["retention.bytes"] = strconv.FormatInt(each, 10)
			if r.mib == 0 {
				c["retention.bytes"] = "-1"
			}
			c["segment.bytes"] = strconv.FormatInt(min(each/4, 16<<20), 10) // whole segments are deleted
		case r.keep == 0:
			c["cleanup.policy"] = "compact"
			// the newest segment is never compacted, and a restore reads all of it
			c["segment.bytes"] = strconv.Itoa(32 << 20)
		default:
			c["cleanup.policy"], c["retention.ms"] = "delete", retentionMillis(r.keep)
			if r.byBroker {
				// For retention too: a producer's clock that is a week off must not delete what
				// came today.
				c["message.timestamp.type"] = "LogAppendTime"
			}
		}
		if !embedded {
			c["min.insync.replicas"] = insync
			if slices.Contains([]string{f.Alerts, f.DLQ, f.Commands, f.Breakers, f.Inventory}, r.name) {
				// What others read lies as topics.compression says, whatever the broker's default
				// or an older wayward made of the topic. It is what we write, so nothing is packed
				// anew.
				c["compression.type"] = f.brokerCompression()
			}
		}
		specs = append(specs, TopicSpec{Name: r.name, Partitions: r.partitions, Replication: copies, Configs: c,
			Exact: r.exact, Why: r.why})
	}
	return specs
}

func retentionMillis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
