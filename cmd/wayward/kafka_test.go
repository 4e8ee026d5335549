package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
)

// kafkaAddress is the real broker that make test-kafka starts. Under make test there is none; under
// make test-kafka its absence is a failure.
func kafkaAddress(t *testing.T) string {
	t.Helper()
	a := os.Getenv("WAYWARD_KAFKA")
	if a == "" {
		t.Skip("needs a real Kafka: make test-kafka")
	}
	return a
}

// built is the binary as users have it.
func built(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "wayward")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

func command(t *testing.T, bin string, args ...string) string {
	t.Helper()
	c := exec.Command(bin, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		t.Fatalf("wayward %s: %v\n%s%s", strings.Join(args, " "), err, &out, &errs)
	}
	return out.String()
}

// A stream consumed live by three processes and the same stream replayed from its file tell the
// same findings.
func TestKafkaThreeProcessesEqualReplay(t *testing.T) {
	broker := kafkaAddress(t)
	bin, dir := built(t), t.TempDir()
	stream := filepath.Join(dir, "stream.jsonl")
	command(t, bin, "generate", "--events", "60000", "--seed", "7", "--rate", "500", "--agents", "120", "--disorder",
		"2s", "--attacks=true", "--output", stream)
	prefix := fmt.Sprintf("three-%d.", time.Now().UnixNano())
	config := func(i int) string {
		name := filepath.Join(dir, fmt.Sprintf("wayward-%d.yaml", i))
		policies, err := filepath.Abs("../../configs")
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf(
			"brokers: [%q]\ngroup: %sgroup\ninstance: i%d\nstate: state-%d\npolicies: %s\nlisten: \"off\"\ntopics: {prefix: %q}\nengine: {session_timeout: 6s, checkpoint_every: 1s, changelog_every: 2s}\n",
			broker, prefix, i, i, policies, prefix)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	command(t, bin, "topics", "apply", "--config", config(0))
	if out := command(t, bin, "topics", "check", "--config", config(0)); !strings.Contains(out, "as they should be") {
		t.Errorf("topics check after apply: %s", out)
	}
	t.Cleanup(func() { deletePrefix(t, broker, prefix) })
	n := produceFile(t, broker, prefix+"agent.events", stream)

	for i := range 3 {
		c := exec.Command(bin, "run", "--config", config(i), "--log-level", "warn")
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			c.Process.Signal(os.Interrupt)
			if err := c.Wait(); err != nil {
				t.Errorf("instance %d: %v", i, err)
			}
		})
	}
	replayed := filepath.Join(dir, "replayed.jsonl")
	command(t, bin, "replay", "--input", stream, "--flush", "--policies", "../../configs", "--output", replayed)
	f, err := os.Open(replayed)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := map[string]string{}
	for d := json.NewDecoder(f); ; {
		var finding map[string]any
		if err := d.Decode(&finding); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		keepLast(t, want, finding)
	}
	stages := map[string]int{}
	for _, w := range want {
		for _, s := range []string{"behaviour", "relation"} {
			if strings.Contains(w, `"stage":"`+s+`"`) {
				stages[s]++
			}
		}
	}
	if stages["behaviour"] == 0 || stages["relation"] == 0 {
		t.Fatalf("the stream must make findings of both stages, has %v", stages)
	}

	got := map[string]string{}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(prefix+"agent.alerts"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for !maps.Equal(got, want) && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			var finding map[string]any
			if err := json.Unmarshal(r.Value, &finding); err != nil {
				t.Errorf("alert at %d/%d: %v", r.Partition, r.Offset, err)
			}
			keepLast(t, got, finding)
		})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("last state of each finding, replay against live (-replay +live):\n%s", diff)
	}
	t.Logf("%d events, %d findings (%v), live with three processes equal to replay --flush", n, len(want), stages)
}

// keepLast keeps the newest state of a finding without what the wall clock says.
func keepLast(t *testing.T, m map[string]string, finding map[string]any) {
	t.Helper()
	info, _ := finding["finding_info"].(map[string]any)
	uid, _ := info["uid"].(string)
	if uid == "" {
		t.Fatalf("a finding without uid: %v", finding)
	}
	if meta, _ := finding["metadata"].(map[string]any); meta != nil {
		delete(meta, "processed_time")
	}
	b, err := json.Marshal(finding)
	if err != nil {
		t.Fatal(err)
	}
	m[uid] = string(b)
}

// produceFile sends each line to a topic under the key tenant|agent.id, in order.
func produceFile(t *testing.T, broker, topic, name string) int {
	return produceInStep(t, broker, topic, name, 0)
}

// produceInStep likewise, and after so many events each time waits until the broker has them: so
// the partitions stay in step, and a replay of the topic, which puts them together by the broker's
// stamps, sees about what a replay of the file does. 0: no steps.
func produceInStep(t *testing.T, broker, topic, name string, step int) int {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var d event.Decoder
	var e event.Event
	n := 0
	for line := range bytes.Lines(b) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		d.Reset()
		if err := d.Decode(line, &e); err != nil {
			t.Fatalf("line %d: %v", n+1, err)
		}
		cl.Produce(t.Context(), &kgo.Record{Key: event.AppendKey(nil, e.Tenant, e.Agent.ID), Value: line},
			func(_ *kgo.Record, err error) {
				if err != nil {
					t.Errorf("produce: %v", err)
				}
			})
		if n++; step > 0 && n%step == 0 {
			if err := cl.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

func deletePrefix(t *testing.T, broker, prefix string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	adm := kadm.NewClient(cl)
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	names := slices.DeleteFunc(topics.Names(), func(n string) bool { return !strings.HasPrefix(n, prefix) })
	if _, err := adm.DeleteTopics(ctx, names...); err != nil {
		t.Error(err)
	}
}
