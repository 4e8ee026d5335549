package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/cmd/wayward/oracle"
	"github.com/wayward-sec/wayward/instance"
	"github.com/wayward-sec/wayward/pipeline/broker"
)

// testbed is what a crash test runs on: broker, topics, policies, processes.
type testbed struct {
	t        testing.TB
	dir      string
	brokers  []string
	prefix   string
	topics   broker.Topics
	policies string
	cl       *kgo.Client
	adm      *kadm.Client
	proxy    *proxy
	broker   *exec.Cmd
	sent     [][]byte        // events, once the attack is over
	aside    map[string]bool // ids of events that an engine was made to fail on for ever
	reloads  reloads
	through  int64         // newest day of baselines that must be closed in the end; 0: none must
	say      func(string)  // to kfake
	mortal   *dyingBrokers // brokers that die, too

	slowest atomic.Int64 // ns that an event took to be written

	mu      sync.Mutex
	running []*engine
	log     bytes.Buffer
	guards  []string // what the engine says when its own checks find something
	errors  []string
	tally   faults
}

func newTestbed(t testing.TB, brokers []string) *testbed { return newTestbedOf(t, brokers, 1) }

func newTestbedOf(t testing.TB, brokers []string, copies int) *testbed {
	a := &testbed{t: t, dir: t.TempDir(), brokers: brokers, prefix: fmt.Sprintf("crash-%d-%d.", os.Getpid(),
		time.Now().UnixMilli()%1_000_000_000), say: func(string) {}}
	a.tally.by = map[string]int{}
	if len(brokers) == 0 {
		a.startBroker()
	}
	a.policies = filepath.Join(a.dir, "policies")
	for name, text := range oracle.Policies(signers()) {
		name = filepath.Join(a.policies, name)
		must(t, os.MkdirAll(filepath.Dir(name), 0o700))
		must(t, os.WriteFile(name, []byte(text), 0o600))
	}
	must(t, oracle.WriteRules(a.policies, oracle.BeforeReload))
	var err error
	a.cl, err = kgo.NewClient(kgo.SeedBrokers(a.brokers...), kgo.ProducerLinger(0))
	must(t, err)
	t.Cleanup(a.cl.Close)
	a.adm = kadm.NewClient(a.cl)
	a.topics = broker.DefaultTopics()
	a.topics.Prefix, a.topics.Partitions, a.topics.FactsPartitions = a.prefix, 6, 4
	a.topics = a.topics.Full()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	changes, err := broker.PlanTopics(ctx, a.adm, a.topics.Specs(false, copies))
	must(t, err)
	must(t, broker.ApplyTopics(ctx, a.adm, changes, nil))
	if len(brokers) > 0 {
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			var names []string
			for _, s := range a.topics.Specs(false, 1) {
				names = append(names, s.Name)
			}
			a.adm.DeleteTopics(ctx, names...)
		})
	}
	a.proxy = newProxy(t, a.brokers[0])
	return a
}

func must(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

func role(name string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(append(os.Environ(), "WAYWARD_ROLE="+name), env...)
	return cmd
}

func (a *testbed) startBroker() {
	a.broker = role("broker")
	a.broker.Stderr = os.Stderr
	in, err := a.broker.StdinPipe()
	must(a.t, err)
	out, err := a.broker.StdoutPipe()
	must(a.t, err)
	must(a.t, a.broker.Start())
	a.t.Cleanup(func() {
		in.Close()
		a.broker.Process.Kill()
		a.broker.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	must(a.t, err)
	a.brokers = []string{strings.TrimSpace(strings.TrimPrefix(line, "ADDR "))}
	a.say = func(s string) { io.WriteString(in, s+"\n") }
}

// spec is an engine of this testbed.
func (a *testbed) spec(s *crashRun, name string) engineSpec {
	through := a.proxy.addr
	if len(a.brokers) > 1 {
		through = "" // it stands before one broker
	}
	return engineSpec{Brokers: a.brokers, Proxy: through, Prefix: a.prefix, Instance: name,
		State: filepath.Join(a.dir, "state-"+name), Policies: a.policies,
		Session: s.session, Txn: s.txn, Changelog: true, NoUndo: s.noUndo, NoJournal: s.noJournal}
}

// engine is an engine process.
type engine struct {
	cmd    *exec.Cmd
	frozen chan string
	done   chan struct{}
	point  string // where it killed itself
	heard  int    // stages that have taken over another set of policies; under the testbed's lock
	code   int
}

// guardWords are what the engine says when one of its own checks has found state or logs to be
// wrong.
var guardWords = []string{"does not repeat", "journal has a gap", "ahead of the group", "went back", "is damaged",
	"panic", "wants events", "but the log goes on", "before joff"}

// run starts an engine. mark is called with every line of its log.
func (a *testbed) run(spec engineSpec, mark func(line string)) *engine {
	b, err := json.Marshal(spec)
	must(a.t, err)
	e := &engine{cmd: role("engine", "WAYWARD_SPEC="+string(b), "GOMAXPROCS=2"), frozen: make(chan string, 1),
		done: make(chan struct{})}
	in, err := e.cmd.StdinPipe()
	must(a.t, err)
	out, err := e.cmd.StdoutPipe()
	must(a.t, err)
	errs, err := e.cmd.StderrPipe()
	must(a.t, err)
	must(a.t, e.cmd.Start())
	a.t.Cleanup(func() { e.kill() })
	a.mu.Lock()
	a.running = append(a.running, e)
	a.mu.Unlock()
	var readers sync.WaitGroup
	readers.Go(func() {
		var committed, aborted, unknown int
		for s := bufio.NewScanner(out); s.Scan(); {
			word, rest, _ := strings.Cut(s.Text(), " ")
			switch word {
			case "STAT":
				fmt.Sscan(rest, &committed, &aborted, &unknown)
			case "KILL":
				e.point = rest
			case "FREEZE":
				e.frozen <- rest
			}
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.tally.committed += committed
		a.tally.aborted += aborted
		a.tally.unknown += unknown
	})
	readers.Go(func() {
		s := bufio.NewScanner(errs)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			line := s.Text()
			a.mu.Lock()
			fmt.Fprintf(&a.log, "%s %s\n", spec.Instance, line)
			for _, w := range guardWords {
				if strings.Contains(line, w) {
					a.guards = append(a.guards, line)
					break
				}
			}
			if strings.Contains(line, "level=ERROR") {
				a.errors = append(a.errors, line)
			}
			switch {
			case strings.Contains(line, "shard loaded"):
				a.tally.loaded++
			case strings.Contains(line, "another set of policies takes effect"):
				e.heard++
			case strings.Contains(line, instance.ErrUnchanged.Error()):
				e.heard = 2
			}
			a.mu.Unlock()
			if mark != nil {
				mark(line)
			}
		}
		io.Copy(io.Discard, errs)
	})
	go func() {
		readers.Wait()
		e.cmd.Wait()
		e.code = e.cmd.ProcessState.ExitCode()
		in.Close()
		a.mu.Lock()
		a.running = slices.DeleteFunc(a.running, func(x *engine) bool { return x == e })
		a.mu.Unlock()
		close(e.done)
	}()
	return e
}

func (e *engine) signal(s os.Signal) { e.cmd.Process.Signal(s) }

func (e *engine) kill() {
	e.signal(syscall.SIGKILL)
	<-e.done
}

// stop ends an engine cleanly.
func (e *engine) stop(t testing.TB) {
	e.signal(syscall.SIGTERM)
	select {
	case <-e.done:
	case <-time.After(30 * time.Second):
		e.signal(syscall.SIGQUIT)
		<-e.done
		t.Error("an engine did not stop within 30 s of SIGTERM")
	}
}

// live lets one instance live and die, again and again, until the attack is over.
func (a *testbed) live(s *crashRun, name string, rng *rand.Rand, over func() bool) {
	stages := []string{"behaviour: ", "relation: ", "ingress: "}
	for !over() {
		spec := a.spec(s, name)
		way := s.ways[rng.IntN(len(s.ways))]
		limit := s.session + time.Duration(500+rng.IntN(2500))*time.Millisecond
		spec.Nth = 1 + rng.Int64N(12)
		switch way {
		case "anywhere", "stop":
		case "checkpoint":
			spec.Point = way
		case "catch-up":
			spec.Point, spec.Nth = stages[rng.IntN(2)]+way, 1+rng.Int64N(5)
		case "freeze":
			spec.Point, spec.Freeze = stages[rng.IntN(3)]+[]string{"before End", "open transaction"}[rng.IntN(2)], true
		default:
			spec.Point = stages[rng.IntN(3)] + way
		}
		e := a.run(spec, nil)
		select {
		case <-e.done:
		case <-e.frozen:
			a.count(func(t *faults) { t.freezes++; t.by["frozen"]++ })
			time.Sleep(s.session + 500*time.Millisecond + time.Duration(rng.IntN(1000))*time.Millisecond)
			e.signal(syscall.SIGCONT)
			select { // it goes on to End, and then dies all the same
			case <-e.done:
			case <-time.After(500*time.Millisecond + time.Duration(rng.IntN(2000))*time.Millisecond):
			}
			e.kill()
			a.count(func(t *faults) { t.kills++; t.by["thawed"]++ })
		case <-time.After(limit):
			if way == "stop" {
				e.stop(a.t)
				a.count(func(t *faults) { t.stops++ })
				break
			}
			e.kill()
			a.count(func(t *faults) { t.kills++; t.by["anywhere"]++ })
		}
		if e.point != "" {
			a.count(func(t *faults) {
				t.kills++
				_, short, ok := strings.Cut(e.point, ": ")
				if !ok {
					short = e.point
				}
				t.by[short]++
			})
		}
		if rng.Float64() < s.losses {
			must(a.t, os.RemoveAll(spec.State))
			a.count(func(t *faults) { t.losses++ })
		}
		// A member that dies sooner than a rebalance takes makes no progress, nor do the others.
		time.Sleep(time.Duration(200+rng.IntN(500)) * time.Millisecond)
	}
}

func (a *testbed) count(f func(t *faults)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(&a.tally)
}

func (a *testbed) now() faults {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tally
	t.cuts = int(a.proxy.cuts.Load())
	return t
}

// fresh starts an engine without a disk, which must be able to build every shard from the logs, and
// says what it logged as wrong.
func (a *testbed) fresh(s *crashRun, changelog bool) {
	spec := a.spec(s, fmt.Sprintf("fresh-%v", changelog))
	spec.Changelog, spec.Proxy, spec.Verbose = changelog, "", true
	var mu sync.Mutex
	loaded := map[string]bool{}
	all := make(chan struct{})
	before := len(a.errors)
	e := a.run(spec, func(line string) {
		if strings.Contains(line, "shard loaded") {
			mu.Lock()
			defer mu.Unlock()
			_, what, _ := strings.Cut(line, "stage=")
			what, _, _ = strings.Cut(what, " pages")
			if loaded[what] = true; len(loaded) == 10 {
				select {
				case <-all:
				default:
					close(all)
				}
			}
		}
	})
	select {
	case <-all:
	case <-e.done:
	case <-time.After(15 * time.Second):
		e.signal(syscall.SIGQUIT) // where does it hang?
		<-e.done
	}
	e.stop(a.t)
	mu.Lock()
	defer mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(loaded) != 10 || e.code != 0 {
		a.t.Errorf("an engine with an empty disk (changelog %v) built %d of 10 shards, exit code %d", changelog,
			len(loaded), e.code)
	}
	for _, line := range a.errors[before:] {
		a.t.Errorf("an engine with an empty disk (changelog %v): %s", changelog, line)
	}
}
