package broker

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func fakeCluster(t *testing.T, opts ...kfake.Opt) (*kfake.Cluster, *kadm.Client) {
	t.Helper()
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	_, adm := adminOf(t, c.ListenAddrs()[0])
	return c, adm
}

func planned(t *testing.T, adm *kadm.Client, specs []TopicSpec) []Change {
	t.Helper()
	changes, err := PlanTopics(t.Context(), adm, specs)
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

func TestPlanThenApplyThenNothingIsLeft(t *testing.T) {
	_, adm := fakeCluster(t, kfake.NumBrokers(3))
	topics := DefaultTopics()
	topics.Prefix = "acme."
	specs := topics.Specs(false, 3)

	changes := planned(t, adm, specs)
	var got []string
	for _, c := range changes {
		got = append(got, c.Kind+" "+c.Topic)
	}
	want := []string{
		"create acme.agent.events", "create acme.agent.alerts", "create acme.agent.events.dlq",
		"create acme.agent.commands", "create acme.agent.breakers", "create acme.agent.acks",
		"create acme.agent.feedback", "create acme.wayward.inventory",
		"create acme.wayward.control", "create acme.wayward.journal",
		"create acme.wayward.facts", "create acme.wayward.sets", "create acme.wayward.baselines",
		"create acme.wayward.changelog.behaviour", "create acme.wayward.changelog.relation",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("plan on an empty cluster (-want +got):\n%s", diff)
	}
	err := CheckTopics(t.Context(), adm, specs)
	if err == nil || strings.Count(err.Error(), "run wayward topics apply") != len(specs) {
		t.Errorf("check on an empty cluster: %v", err)
	}

	var done []string
	if err := ApplyTopics(t.Context(), adm, changes, func(c Change) { done = append(done, c.Kind+" "+c.Topic) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, done); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if again := planned(t, adm, specs); len(again) > 0 {
		t.Errorf("plan after apply: %v", again)
	}
	if err := CheckTopics(t.Context(), adm, specs); err != nil {
		t.Errorf("check after apply: %v", err)
	}
	if err := ApplyTopics(t.Context(), adm, changes, nil); err != nil {
		t.Errorf("applying what another instance has applied: %v", err)
	}
}

func TestAWrongNumberOfPartitionsIsForPeople(t *testing.T) {
	_, adm := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(12, "agent.events"),
		kfake.SeedTopics(1, "agent.alerts"))
	topics := DefaultTopics()
	specs := topics.Specs(false, 1)
	changes := planned(t, adm, specs)
	err := ApplyTopics(t.Context(), adm, changes, func(c Change) { t.Errorf("applied %v beside a fatal change", c) })
	if err == nil || !strings.Contains(err.Error(), "topic agent.events has 12 partitions, the config says 6") ||
		strings.Contains(err.Error(), "agent.alerts") {
		t.Errorf("apply: %v", err)
	}

	topics.Partitions = 12 // as the message says; alerts may have any number
	specs = topics.Specs(false, 1)
	if err := ApplyTopics(t.Context(), adm, planned(t, adm, specs), nil); err != nil {
		t.Fatal(err)
	}
	if again := planned(t, adm, specs); len(again) > 0 {
		t.Errorf("plan after apply: %v", again)
	}
}

func TestASettingThatDiffersIsSetAndOthersStay(t *testing.T) {
	_, adm := fakeCluster(t, kfake.NumBrokers(1))
	topics := DefaultTopics()
	if err := applyTopics(t.Context(), adm, topics.Specs(false, 1)); err != nil {
		t.Fatal(err)
	}
	set := func(topic, key, value string) {
		if _, err := adm.AlterTopicConfigs(t.Context(),
			[]kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic); err != nil {
			t.Fatal(err)
		}
	}
	set("agent.events", "compression.type", "zstd")      // not ours
	set("agent.events", "max.message.bytes", "10485760") // more than we need
	topics.Retention.Events = 72 * time.Hour
	specs := topics.Specs(false, 1)

	changes := planned(t, adm, specs)
	if len(changes) != 1 || changes[0].What != "set retention.ms of topic agent.events to 3 days, it is 7 days" {
		t.Fatalf("plan: %v", changes)
	}
	if err := ApplyTopics(t.Context(), adm, changes, nil); err != nil {
		t.Fatal(err)
	}
	if again := planned(t, adm, specs); len(again) > 0 {
		t.Errorf("plan after apply: %v", again)
	}
	found, err := describeTopics(t.Context(), adm, specs)
	if err != nil {
		t.Fatal(err)
	}
	got := found["agent.events"].configs
	maps.DeleteFunc(got, func(k, _ string) bool {
		return !slices.Contains([]string{"compression.type", "max.message.bytes", "retention.ms"}, k)
	})
	if diff := cmp.Diff(map[string]string{"compression.type": "zstd", "max.message.bytes": "10485760",
		"retention.ms": "259200000"}, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestCheckSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	_, adm := fakeCluster(t, kfake.NumBrokers(1))
	topics := DefaultTopics()
	specs := topics.Specs(false, 1)
	if err := applyTopics(t.Context(), adm, specs); err != nil {
		t.Fatal(err)
	}
	set := func(topic, key, value string) {
		if _, err := adm.AlterTopicConfigs(t.Context(),
			[]kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic); err != nil {
			t.Fatal(err)
		}
	}
	set("agent.events", "message.timestamp.type", "CreateTime")
	set("wayward.journal", "retention.ms", "3600000")
	if err := CheckTopics(t.Context(), adm, specs); err != nil {
		t.Errorf("warnings stop the start: %v", err)
	}
	warnings, err := ReviewTopics(t.Context(), adm, specs)
	if err != nil || len(warnings) != 2 || warnings[0].Fatal || warnings[1].Fatal {
		t.Errorf("warnings: %v %v", warnings, err)
	}

	set("wayward.sets", "cleanup.policy", "delete")
	if _, err := adm.DeleteTopic(t.Context(), "agent.alerts"); err != nil {
		t.Fatal(err)
	}
	specs[slices.IndexFunc(specs, func(s TopicSpec) bool { return s.Name == "wayward.facts" })].Partitions = 8
	err = CheckTopics(t.Context(), adm, specs)
	if err == nil {
		t.Fatal("nothing found")
	}
	want := `5 problems with the topics:
  (warning) topic agent.events has message.timestamp.type CreateTime and should have LogAppendTime, else a producer's wrong clock is believed: run wayward topics apply
  topic agent.alerts is missing: run wayward topics apply, or correct topics in the config
  (warning) topic wayward.journal keeps records for 1h0m0s, the config says 2 days: run wayward topics apply
  topic wayward.facts has 4 partitions, the config says 8, and state is cut by them: change topics.partitions or topics.facts_partitions to fit; if nothing in the topic is needed, delete it and run wayward topics apply; if wayward has run with another number before, stop all instances and delete the internal topics, the consumer groups and the state directories too
  topic wayward.sets has cleanup.policy delete and needs compact, else records that state depends on are deleted: run wayward topics apply`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("check (-want +got):\n%s", diff)
	}
}

func TestTooFewCopiesAreToldAndDoNotBlockWriting(t *testing.T) {
	_, adm := fakeCluster(t, kfake.NumBrokers(3))
	topics := DefaultTopics()
	if err := applyTopics(t.Context(), adm, topics.Specs(false, 1)); err != nil {
		// made when there was one broker
		t.Fatal(err)
	}
	specs := topics.Specs(false, 3)
	for _, c := range planned(t, adm, specs) {
		if c.Kind != ChangeWrong || c.Fatal || !strings.Contains(c.What, "has 1 copy, the config says 3") {
			t.Errorf("min.insync.replicas of 2 with one copy takes no record: %v", c)
		}
	}
	if err := CheckTopics(t.Context(), adm, specs); err != nil {
		t.Error(err)
	}
}

func TestARefusedTopicIsNamed(t *testing.T) {
	acl := func(topic string) kfake.ACL {
		return kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: topic, Pattern: kmsg.ACLResourcePatternTypeLiteral,
			Operation: kmsg.ACLOperationAll, Allow: true}
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.SeedTopics(6, "agent.events", "agent.alerts"),
		kfake.User("PLAIN", "wayward", "secret", acl("agent.alerts")), kfake.Superuser("PLAIN", "admin", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	t.Setenv("WAYWARD_TEST_PASSWORD", "secret")
	k := Kafka{Brokers: c.ListenAddrs(), SASL: &SASL{Mechanism: "plain", Username: "wayward",
		PasswordEnv: "WAYWARD_TEST_PASSWORD"}}
	opts, err := k.Options()
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	topics := DefaultTopics()
	err = CheckTopics(t.Context(), kadm.NewClient(cl), topics.Specs(true, 1)[:2])
	if err == nil || !strings.Contains(err.Error(), "topic agent.events: the user may not use this topic") ||
		strings.Contains(err.Error(), "agent.alerts") {
		t.Errorf("check: %v", err)
	}
}

func TestSpecsForTheEmbeddedBroker(t *testing.T) {
	topics := DefaultTopics()
	topics.Replication = 3
	for _, s := range topics.Specs(true, 1) {
		if s.Configs["cleanup.policy"] == "compact" || s.Configs["retention.bytes"] == "" ||
			s.Configs["retention.ms"] == "" || s.Replication != 1 || s.Why == "" {
			t.Errorf("%+v: kfake's compaction loses records, and only size bounds its memory", s)
		}
		if s.Configs["retention.bytes"] == "-1" != (s.Name == "agent.breakers") {
			t.Errorf("%s keeps %s bytes: breakers alone are kept whole", s.Name, s.Configs["retention.bytes"])
		}
		if who := s.Name == "agent.acks" || s.Name == "agent.feedback"; who && s.Configs["retention.ms"] != "-1" {
			t.Errorf("%s is kept for %s: others write it, and their clocks must not delete it", s.Name,
				s.Configs["retention.ms"])
		}
	}
}

func TestWhatOthersReadIsNotDiscarded(t *testing.T) {
	topics := DefaultTopics()
	for _, name := range []string{topics.Commands, topics.Breakers, topics.Acks, topics.Feedback, topics.Inventory} {
		if slices.Contains(topics.Discardable(), name) {
			t.Errorf("%s is thrown away after a crash of the embedded broker", name)
		}
	}
	for _, s := range topics.Specs(false, 1) {
		if s.Name == topics.Breakers && (s.Configs["cleanup.policy"] != "compact" || s.Exact) {
			t.Errorf("%+v: a gateway reads the present state from it, with any number of partitions", s)
		}
	}
	read := []string{topics.Alerts, topics.DLQ, topics.Commands, topics.Breakers, topics.Inventory}
	for codec, want := range map[string]string{"": "gzip", "gzip": "gzip", "zstd": "zstd", "snappy": "snappy",
		"lz4": "lz4", "none": "uncompressed"} {
		topics := DefaultTopics()
		topics.Compression = codec
		for _, s := range topics.Specs(false, 1) {
			if got := s.Configs["compression.type"]; slices.Contains(read, s.Name) && got != want ||
				!slices.Contains(read, s.Name) && got != "" {
				t.Errorf("compression %q: %s has compression.type %q, and others read %v", codec, s.Name, got, read)
			}
		}
	}
}

func TestTopicsCheck(t *testing.T) {
	topics := DefaultTopics()
	if err := topics.Check(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	topics.Prefix = "a/"
	topics.DLQ = ""
	topics.Sets = "wayward_facts"
	topics.FactsPartitions = 0
	topics.Retention.Internal = time.Minute
	err := topics.Check()
	for _, want := range []string{`topics.events: "a/agent.events" is no name`, "topics.dlq: the name is missing",
		"topics.facts_partitions: 0", "topics.retention.internal: 1m0s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	topics.Prefix = ""
	if err := topics.Check(); err == nil ||
		!strings.Contains(err.Error(), `topics.sets: "wayward_facts" is also the name of topics.facts`) {
		t.Errorf("names that Kafka takes for the same: %v", err)
	}
}

// Apache Kafka says yes before its brokers know a topic, normalises settings and
// refuses what kfake takes. Runs with WAYWARD_KAFKA=host:port,… (make test-kafka).
func TestTopicsOnApacheKafka(t *testing.T) {
	brokers := os.Getenv("WAYWARD_KAFKA")
	if brokers == "" {
		t.Skip("WAYWARD_KAFKA is not set")
	}
	k := Kafka{Brokers: strings.Split(brokers, ",")}
	opts, err := k.Options()
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(append(opts, kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := WaitForBrokers(t.Context(), cl, slog.New(slog.DiscardHandler), nil); err != nil {
		t.Fatal(err)
	}
	adm := kadm.NewClient(cl)
	nodes, err := adm.ListBrokers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	topics := DefaultTopics()
	topics.Prefix = fmt.Sprintf("test%d.", time.Now().UnixNano())
	specs := topics.Specs(false, len(nodes))
	var names []string
	for _, s := range specs {
		names = append(names, s.Name)
	}
	defer adm.DeleteTopics(context.WithoutCancel(t.Context()), names...)
	if err := applyTopics(t.Context(), adm, specs); err != nil {
		t.Fatal(err)
	}
	if again := planned(t, adm, specs); len(again) > 0 {
		t.Errorf("plan after apply: %v", again)
	}
	if err := CheckTopics(t.Context(), adm, specs); err != nil {
		t.Error(err)
	}
	topics.Retention.Events = 24 * time.Hour
	specs = topics.Specs(false, len(nodes))
	if changes := planned(t, adm, specs); len(changes) != 1 {
		t.Errorf("plan after another retention: %v", changes)
	}
	if err := applyTopics(t.Context(), adm, specs); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: specs[0].Name, Timestamp: time.Unix(0, 0),
		Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	cl.AddConsumeTopics(specs[0].Name)
	cl.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
		if time.Since(r.Timestamp).Abs() > time.Minute {
			t.Errorf("a record from 1970 is stamped %v, want the broker's time", r.Timestamp)
		}
	})
}
