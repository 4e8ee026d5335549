package pipeline

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What the broker leaves out of its answer must not be taken for "nothing committed": an aborted
// transaction would then pass for undone.
func TestWhatTheBrokerLeavesOutIsNotTakenForNothingCommitted(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "facts"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.TransactionalID("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx := context.Background()
	st := &stage{member: member{cfg: &Config{Group: "g"}, name: "relation"}, in: []string{"facts"},
		rules: &rules{owners: owners{facts: 2}}}
	ask := func() (map[int32][2]int64, error) {
		wait, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		return st.brokerPosition(wait, cl)
	}
	offsets := kadm.Offsets{}
	offsets.AddOffset("facts", 0, 7, -1)
	if err := kadm.NewClient(cl).CommitAllOffsets(ctx, "g-relation", offsets); err != nil {
		t.Fatal(err)
	}
	if at, err := ask(); err != nil || at[0][mainLog] != 7 || at[1][mainLog] != 0 {
		t.Errorf("one partition committed: %v, %v", at, err)
	}
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Topic: "facts", Err: kerr.TopicAuthorizationFailed,
		Count: 1})
	if at, err := ask(); err == nil {
		t.Errorf("the broker left the topic out, and that was read as %v", at)
	}

	// The first commit of a partition, in a transaction that is still open.
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "facts", Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	id, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = "x", id, epoch, "g-relation"
	if resp, err := add.RequestWith(ctx, cl); err != nil || resp.ErrorCode != 0 {
		t.Fatal(err, kerr.ErrorForCode(resp.ErrorCode))
	}
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.ProducerID, commit.ProducerEpoch, commit.Group, commit.Generation = "x", id, epoch,
		"g-relation", -1
	topic, p := kmsg.NewTxnOffsetCommitRequestTopic(), kmsg.NewTxnOffsetCommitRequestTopicPartition()
	listed, err := kadm.NewClient(cl).ListTopics(ctx, "facts")
	if err != nil {
		t.Fatal(err)
	}
	topic.Topic, topic.TopicID, p.Partition, p.Offset = "facts", listed["facts"].ID, 1, 9
	topic.Partitions = append(topic.Partitions, p)
	commit.Topics = append(commit.Topics, topic)
	if resp, err := commit.RequestWith(ctx, cl); err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatal(err, resp)
	}
	if at, err := ask(); err == nil {
		t.Errorf("a first commit that is not yet decided was read as %v", at)
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if at, err := ask(); err != nil || at[1][mainLog] != 9 {
		t.Errorf("decided: %v, %v", at, err)
	}
}
