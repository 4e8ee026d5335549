package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/instance"
	"github.com/wayward-sec/wayward/pipeline"
)

// TestMain lets the test binary play other roles: a crash test needs processes that can be killed.
func TestMain(m *testing.M) {
	switch os.Getenv("WAYWARD_ROLE") {
	case "engine":
		os.Exit(engineRole())
	case "wayward":
		main()
	case "broker":
		os.Exit(brokerRole())
	}
	os.Exit(m.Run())
}

// engineSpec is how a test wants its engine.
type engineSpec struct {
	Brokers   []string
	Proxy     string // all connections go through it
	Prefix    string // of topics and group
	Instance  string
	State     string
	Policies  string
	Facts     int    // partitions; 0: as by default
	Listen    string // address of /readyz; none without
	Session   time.Duration
	Txn       time.Duration
	Changelog bool
	NoUndo    bool
	NoJournal bool

	Point  string // where to die: a point of pipeline.Config.At, or "checkpoint"
	Nth    int64  // at which time
	Freeze bool   // stop there instead, until somebody continues the process

	Verbose     bool          // log what the Kafka clients do
	SlowCatchUp time.Duration // per transaction
	// directory; a finding on an event that has a file there makes the encoder panic, once for each
	// byte
	Poison string
}

// engineRole is `wayward run`, and dies where it is told to.
func engineRole() int {
	var spec engineSpec
	if err := json.Unmarshal([]byte(os.Getenv("WAYWARD_SPEC")), &spec); err != nil {
		panic(err)
	}
	go func() { // do not outlive the test
		os.Stdin.Read(make([]byte, 1))
		os.Exit(9)
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	c := config.Default()
	c.Brokers, c.State, c.Policies, c.Listen = spec.Brokers, spec.State, spec.Policies, cmp.Or(spec.Listen, "off")
	c.Group, c.Instance = spec.Prefix+"wayward", spec.Instance
	c.Stages = pipeline.Stages
	c.Topics.Prefix = spec.Prefix
	c.Topics.FactsPartitions = cmp.Or(spec.Facts, c.Topics.FactsPartitions)
	c.Topics = c.Topics.Full()
	c.Engine.MaxPoll = 400
	c.Engine.SessionTimeout, c.Engine.TransactionTimeout = spec.Session, spec.Txn
	c.Engine.CheckpointEvery, c.Engine.ChangelogEvery = 300*time.Millisecond, time.Second
	c.Engine.MaxAhead = time.Hour // so that events run into days that are not closed yet, and have to wait
	i, err := instance.Open(ctx, c, instance.Options{Version: versionOf()}, log)
	if err != nil {
		log.Error("assemble", "err", err)
		return 2
	}
	i.Config.Changelog = spec.Changelog
	if spec.Proxy != "" {
		i.Config.Options = append(i.Config.Options,
			kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, spec.Proxy)
			}))
	}
	if spec.Verbose {
		i.Config.Options = append(i.Config.Options, kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelInfo, nil)))
	}
	var reached atomic.Int64
	die := func(point string) {
		if point != spec.Point || reached.Add(1) != spec.Nth {
			return
		}
		if spec.Freeze {
			os.Stdout.WriteString("FREEZE " + point + "\n")
			syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			return
		}
		os.Stdout.WriteString("KILL " + point + "\n")
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	i.Config.Hooks = &pipeline.Hooks{NoUndo: spec.NoUndo, NoJournal: spec.NoJournal}
	i.Config.Hooks.CrashPoint = func(point string) {
		if spec.SlowCatchUp > 0 && strings.HasSuffix(point, ": catch-up") {
			time.Sleep(spec.SlowCatchUp)
		}
		die(point)
	}
	i.Config.Store.Between = func() { die("checkpoint") }
	if spec.Poison != "" {
		i.Config.Encoder = &poisoned{i.Config.Encoder, spec.Poison}
	}
	go func() {
		for range time.Tick(200 * time.Millisecond) {
			fmt.Println("STAT", outcomes(i.Registry))
		}
	}()
	go i.Reloader.Run(ctx, false)
	err = pipeline.Run(ctx, i.Config)
	if err != nil {
		log.Error("run", "err", err)
	}
	fmt.Println("STAT", outcomes(i.Registry))
	if cerr := i.Close(); cerr != nil {
		log.Error("close", "err", cerr)
		return 2
	}
	if err != nil {
		return 2
	}
	return 0
}

// outcomes are the transactions so far: committed, aborted, unknown.
func outcomes(reg *prometheus.Registry) string {
	n := map[string]int{}
	families, _ := reg.Gather()
	for _, f := range families {
		if f.GetName() == "wayward_transactions_total" {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() == "outcome" {
						n[l.GetValue()] += int(m.GetCounter().GetValue())
					}
				}
			}
		}
	}
	return fmt.Sprintf("%d %d %d", n["committed"], n["aborted"], n["unknown"])
}

// poisoned panics on the findings of some events, as a bug of ours would.
type poisoned struct {
	pipeline.Encoder
	dir string
}

func (p *poisoned) Record(f *event.Finding) (key, value []byte, headers []pipeline.Header) {
	name := filepath.Join(p.dir, f.Refs[len(f.Refs)-1].ID)
	if b, _ := os.ReadFile(name); len(b) > 0 {
		os.WriteFile(name, b[1:], 0o600)
		panic("poisoned by " + name)
	}
	return p.Encoder.Record(f)
}

// brokerRole is a kfake in its own process, which obeys words on its standard input: "on SEED KEY…"
// injects errors into requests, "off" stops that.
func brokerRole() int {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(500*time.Millisecond))
	if err != nil {
		panic(err)
	}
	fmt.Println("ADDR", c.ListenAddrs()[0])
	stop := make(chan struct{})
	var w sync.WaitGroup
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		words := strings.Fields(in.Text())
		close(stop)
		w.Wait()
		stop = make(chan struct{})
		if words[0] == "on" {
			rng := rand.New(rand.NewPCG(uint64(len(words[1])), 1))
			w.Go(func() { inject(c, rng, words[2:], stop) })
		}
	}
	return 0
}

// inject fails a request now and then. What kfake answers in spite of having done the work
// (REQUEST_TIMED_OUT) it does only where Kafka may.
func inject(c *kfake.Cluster, rng *rand.Rand, only []string, stop chan struct{}) {
	errs := map[kmsg.Key][]*kerr.Error{
		kmsg.EndTxn: {kerr.UnknownServerError, kerr.RequestTimedOut, kerr.NotCoordinator,
			kerr.CoordinatorNotAvailable},
		kmsg.TxnOffsetCommit: {kerr.CoordinatorLoadInProgress, kerr.RebalanceInProgress, kerr.IllegalGeneration,
			kerr.RequestTimedOut},
		kmsg.Produce:     {kerr.NotLeaderForPartition, kerr.RequestTimedOut},
		kmsg.Heartbeat:   {kerr.RebalanceInProgress, kerr.UnknownMemberID},
		kmsg.OffsetFetch: {kerr.UnstableOffsetCommit, kerr.NotCoordinator},
	}
	keys := []kmsg.Key{kmsg.EndTxn, kmsg.EndTxn, kmsg.TxnOffsetCommit, kmsg.TxnOffsetCommit, kmsg.Produce,
		kmsg.Heartbeat, kmsg.OffsetFetch}
	every := 400
	if len(only) > 0 {
		every = 100
	}
	var armed []*kfake.FaultHandle
	for {
		select {
		case <-stop:
			for _, h := range armed {
				h.Remove()
			}
			return
		case <-time.After(time.Duration(every/4+rng.IntN(every)) * time.Millisecond):
		}
		k := keys[rng.IntN(len(keys))]
		if len(only) > 0 {
			k = kmsg.TxnOffsetCommit // the one word there is
		}
		armed = append(armed,
			c.Fault(kfake.Fault{Keys: []kmsg.Key{k}, Err: errs[k][rng.IntN(len(errs[k]))], TopLevel: rng.IntN(2) == 0,
				Count: 1, When: func(r kmsg.Request) bool {
					p, ok := r.(*kmsg.ProduceRequest)
					return !ok || p.TransactionID != nil // not the test's own
				}}))
	}
}

// eventually asks until something is so, at most for a while, and tells whether it is. What other
// processes do, nobody can be told of: the pause between two questions is the only wait on the wall
// clock that a test has, but for what is itself an experiment in time.
func eventually(most time.Duration, ok func() bool) bool {
	for deadline := time.Now().Add(most); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}
