package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The chaos tests: three brokers of a real Kafka, three copies of everything, and while engines die
// as in the crash test brokers are killed and come back, too.

// dyingBrokers are the brokers of deploy/kafka.sh.
type dyingBrokers struct {
	t       testing.TB
	addrs   []string
	kills   atomic.Int32
	freezes atomic.Int32
}

// threeBrokers are those that make test-kafka starts for these tests.
func threeBrokers(t *testing.T) *dyingBrokers {
	t.Helper()
	a := os.Getenv("WAYWARD_KAFKA3")
	if a == "" {
		t.Skip("needs three brokers of a real Kafka, which it kills: make test-kafka")
	}
	m := &dyingBrokers{t: t, addrs: strings.Split(a, ",")}
	if len(m.addrs) != 3 {
		t.Fatalf("WAYWARD_KAFKA3 names %d brokers, not three", len(m.addrs))
	}
	m.kafka("up", "3")
	t.Cleanup(func() { m.kafka("up", "3") })
	return m
}

func (m *dyingBrokers) kafka(args ...string) {
	if out, err := exec.Command("../../deploy/kafka.sh", args...).CombinedOutput(); err != nil {
		m.t.Errorf("kafka.sh %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// die kills or freezes one broker after the other and brings it back, until over: one at a time,
// since with two of three gone nobody could go on.
func (m *dyingBrokers) die(rng *rand.Rand, over func() bool) {
	rest := func(least, more int) {
		for until := time.Now().Add(time.Duration(least+rng.IntN(more)) * time.Millisecond); time.Now().Before(until) &&
			!over(); {
			time.Sleep(50 * time.Millisecond)
		}
	}
	for n := rng.IntN(3); !over(); n = (n + 1 + rng.IntN(2)) % 3 {
		rest(1000, 1000)
		name := fmt.Sprint(n + 1)
		if rng.IntN(4) == 0 {
			m.kafka("freeze", name)
			m.freezes.Add(1)
			rest(3000, 5000)
			m.kafka("thaw", name)
		} else {
			m.kafka("kill", name)
			m.kills.Add(1)
			rest(1000, 4000)
			m.kafka("start", name)
		}
		rest(1500, 2000) // its copies catch up, else two would be out of step
	}
}

func TestKafkaCrashWhileBrokersDie(t *testing.T) {
	m := threeBrokers(t)
	for range 2 {
		if m.crash(t) {
			return
		}
	}
	if !m.crash(t) {
		t.Error("three times an event took more than 7 s to be written: the machine is too slow for this test")
	}
}

// crash is false if what came of it is not right, and the brokers were away for longer than the
// engine waits for a partition: with a fast machine it is not.
func (m *dyingBrokers) crash(t *testing.T) bool {
	m.kills.Store(0)
	m.freezes.Store(0)
	s := &crashRun{brokers: m.addrs, copies: 3, mortal: m, attack: 35 * time.Second, most: 120 * time.Second,
		drain: 15 * time.Second, rate: 500, session: 6 * time.Second, txn: 6 * time.Second,
		losses: 0.2, ways: crashWays,
		enough: func(n *faults) bool {
			return n.kills >= 8 && n.losses >= 1 && m.kills.Load() >= 2 && m.kills.Load()+m.freezes.Load() >= 3
		}}
	a, b, gaps := s.run(t)
	if b.Bad() > 0 && a.tooLate() {
		t.Logf("an event took %v to be written: once more", time.Duration(a.slowest.Load()))
		return false
	}
	a.verify(t, b, gaps)
	n := a.now()
	t.Logf("brokers killed %d, frozen %d", m.kills.Load(), m.freezes.Load())
	if !s.enough(&n) {
		t.Errorf("not enough was done: %v, %d brokers killed", &n, m.kills.Load())
	}
	return true
}

// A stream that was consumed by three processes that die, from three brokers that die, tells what a
// replay of the topic tells: nothing lost, doubled or wrong.
func TestKafkaChaosEqualsAReplayOfTheTopic(t *testing.T) {
	m := threeBrokers(t)
	bin, dir := built(t), t.TempDir()
	stream := filepath.Join(dir, "stream.jsonl")
	command(t, bin, "generate", "--events", "40000", "--seed", "11", "--rate", "400", "--agents", "120", "--disorder",
		"2s", "--attacks=true", "--output", stream)
	prefix := fmt.Sprintf("chaos-%d.", time.Now().UnixNano())
	policies, err := filepath.Abs("../../configs")
	must(t, err)
	config := func(i int) string {
		return writeFile(t, filepath.Join(dir, fmt.Sprintf("wayward-%d.yaml", i)), fmt.Sprintf(
			"brokers: [%s]\ngroup: %sgroup\ninstance: i%d\nstate: state-%d\npolicies: %s\nlisten: \"off\"\ntopics: {prefix: %q, replication: 3}\n"+
				"engine: {session_timeout: 6s, transaction_timeout: 8s, checkpoint_every: 1s, changelog_every: 2s, max_poll: 60, transaction_every: 40ms}\n",
			strings.Join(m.addrs, ", "), prefix, i, i, policies, prefix))
	}
	var configs []string
	for i := range 3 {
		configs = append(configs, config(i))
	}
	command(t, bin, "topics", "apply", "--config", configs[0])
	t.Cleanup(func() { deletePrefix(t, m.addrs[0], prefix) })
	// All of it before the first engine: what was sent when, and how late, must not depend on which
	// broker was down.
	n := produceInStep(t, m.addrs[0], prefix+"agent.events", stream, 400)

	const attack = 30 * time.Second
	began := time.Now()
	over := func() bool { return time.Since(began) > attack }
	var kills atomic.Int32
	var lives sync.WaitGroup
	var logs logBuffer
	start := func(i int) *exec.Cmd {
		c := exec.Command(bin, "run", "--config", configs[i], "--log-level", "warn", "--log-format", "text")
		c.Stderr = &logs
		must(t, c.Start())
		return c
	}
	for i := range configs {
		lives.Go(func() {
			rng := rand.New(rand.NewPCG(11, uint64(i)))
			for !over() {
				c := start(i)
				time.Sleep(7*time.Second + time.Duration(rng.IntN(6000))*time.Millisecond)
				c.Process.Signal(syscall.SIGKILL)
				c.Wait()
				kills.Add(1)
				if rng.IntN(5) == 0 {
					must(t, os.RemoveAll(filepath.Join(dir, fmt.Sprintf("state-%d", i))))
				}
			}
		})
	}
	lives.Go(func() { m.die(rand.New(rand.NewPCG(11, 99)), over) })
	lives.Wait()
	t.Logf("attack over: %d engines and %d brokers killed, %d frozen", kills.Load(), m.kills.Load(), m.freezes.Load())
	for i := range configs {
		c := start(i)
		t.Cleanup(func() {
			c.Process.Signal(os.Interrupt)
			if err := c.Wait(); err != nil {
				t.Errorf("instance %d: %v", i, err)
			}
		})
	}
	last := func(input io.Reader) map[string]string {
		out := map[string]string{}
		for d := json.NewDecoder(input); ; {
			var finding map[string]any
			if err := d.Decode(&finding); err == io.EOF {
				return out
			} else if err != nil {
				t.Fatal(err)
			}
			keepLast(t, out, finding)
		}
	}
	replayed := filepath.Join(dir, "replayed.jsonl")
	command(t, bin, "replay", "--config", configs[0], "--from-topic", prefix+"agent.events", "--flush", "--policies",
		policies, "--output", replayed)
	f, err := os.Open(replayed)
	must(t, err)
	defer f.Close()
	want := last(f)

	got, seen, doubled := map[string]string{}, map[string]bool{}, 0
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(m.addrs...), kgo.ConsumeTopics(prefix+"agent.alerts"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	must(t, err)
	defer cl.Close()
	for !maps.Equal(got, want) && ctx.Err() == nil {
		poll, stop := context.WithTimeout(ctx, time.Second)
		cl.PollFetches(poll).EachRecord(func(r *kgo.Record) {
			var finding map[string]any
			must(t, json.Unmarshal(r.Value, &finding))
			one := map[string]string{}
			keepLast(t, one, finding)
			for uid, b := range one {
				if seen[b] {
					doubled++
				}
				seen[b], got[uid] = true, b
			}
		})
		stop()
	}
	lost, wrong := 0, 0
	for uid, w := range want {
		switch g, ok := got[uid]; {
		case !ok:
			lost++
		case g != w:
			wrong++
		}
	}
	for uid := range got {
		if _, ok := want[uid]; !ok {
			wrong++
		}
	}
	t.Logf("%d events, %d findings, lost %d, doubled %d, wrong %d, %d engines and %d brokers killed", n, len(want),
		lost, doubled, wrong, kills.Load(), m.kills.Load())
	if lost+doubled+wrong > 0 {
		t.Errorf(
			"last state of each finding, replay of the topic against live (-replay +live):\n%.4000s\nlog:\n%.6000s",
			cmp.Diff(want, got), logs.String())
	}
	if len(want) < 25 || kills.Load() < 6 || m.kills.Load() < 1 || m.kills.Load()+m.freezes.Load() < 3 {
		t.Errorf("%d findings, %d engines and %d brokers killed: too tame", len(want), kills.Load(), m.kills.Load())
	}
}

// logBuffer takes what several processes log.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
