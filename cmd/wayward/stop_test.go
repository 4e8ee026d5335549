package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/fleet"
)

// fakeBroker is a kfake in a process of its own, that can be frozen and killed.
func fakeBroker(t *testing.T) (addr string, process *os.Process) {
	t.Helper()
	b := role("broker")
	b.Stderr = os.Stderr
	in, err := b.StdinPipe()
	must(t, err)
	out, err := b.StdoutPipe()
	must(t, err)
	must(t, b.Start())
	t.Cleanup(func() {
		in.Close()
		b.Process.Kill()
		b.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	return strings.TrimSpace(strings.TrimPrefix(line, "ADDR ")), b.Process
}

// silentBroker listens, takes connections and never answers, as a broker that hangs and a firewall that
// swallows do.
func silentBroker(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
		}
	}()
	return l.Addr().String()
}

func onBrokers(t *testing.T, addr, listen string, more ...string) string {
	t.Helper()
	return writeFile(t, "c.yaml", fmt.Sprintf("brokers: [%q]\nstate: %s\nlisten: %q\n%s", addr,
		filepath.Join(t.TempDir(), "state"), listen, strings.Join(more, "\n")))
}

// most is how long a stop may take, and a little for a machine that is busy.
const most = 30 * time.Second

func TestAStopAtTheStartWhileTheBrokerIsAwaited(t *testing.T) {
	for name, addr := range map[string]string{"nothing listens": freePort(t), "never answers": silentBroker(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listen := freePort(t)
			p := runWayward(t, "run", "-c", onBrokers(t, addr, listen))
			untilSaid(t, listen, http.StatusServiceUnavailable, addr)
			resp, err := http.Get("http://" + listen + "/healthz")
			must(t, err)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("/healthz says %d", resp.StatusCode)
			}
			p.signal(syscall.SIGTERM)
			p.ends(most, 0)
			if p.took > 5*time.Second {
				t.Errorf("it took %s", p.took)
			}
		})
	}
}

func TestAStopWhileTheBrokerIsAwayEndsInTime(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute")
	}
	for name, away := range map[string]os.Signal{"killed": syscall.SIGKILL, "frozen": syscall.SIGSTOP} {
		for _, twice := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, told twice %v", name, twice), func(t *testing.T) {
				t.Parallel()
				addr, broker := fakeBroker(t)
				listen := freePort(t)
				// A timeout of transactions of a minute must not make the stop as long.
				config := onBrokers(t, addr, listen, "engine: {transaction_timeout: 1m, checkpoint_every: 500ms}")
				if code, out, errs := wayward(t, "topics", "apply", "-c", config); code != 0 {
					t.Fatalf("topics apply: %d\n%s%s", code, out, errs)
				}
				p := runWayward(t, "run", "-c", config)
				p.ready(listen)
				cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("agent.events"),
					kgo.ProducerLinger(0))
				must(t, err)
				defer cl.Close()
				s := fleet.NewTraffic(fleet.TrafficOptions{Seed: 4, Start: time.Now().UnixMilli(), Rate: 1000,
					Agents: 50})
				feeding, enough := context.WithCancel(t.Context())
				defer enough()
				go func() {
					for feeding.Err() == nil {
						for range 20 {
							value := s.Next(nil)
							cl.Produce(feeding, &kgo.Record{Key: append([]byte(nil), s.Key...), Value: value}, nil)
						}
						time.Sleep(10 * time.Millisecond) // the broker's clock runs, too
					}
				}()
				eventually(10*time.Second,
					func() bool { return p.metric(listen, `wayward_records_total{stage="behaviour"}`) > 300 })
				must(t, broker.Signal(away))
				time.Sleep(time.Second)
				p.signal(syscall.SIGTERM)
				if twice {
					time.Sleep(200 * time.Millisecond)
					p.signal(syscall.SIGTERM)
					p.ends(2*time.Second, -1) // by the signal
					return
				}
				p.ends(most, 0)
				t.Logf("it took %s", p.took.Round(100*time.Millisecond))
			})
		}
	}
}

// The broker comes later than the engine: the engine says what it waits for and then works.
func TestABrokerThatIsDownAtTheStartIsWaitedFor(t *testing.T) {
	addr, listen := freePort(t), freePort(t)
	config := onBrokers(t, addr, listen)
	p := runWayward(t, "run", "-c", config)
	untilSaid(t, listen, http.StatusServiceUnavailable, "nothing listens at "+addr)
	if code, _, errs := wayward(t, "breaker", "list", "-c", config); code != 2 ||
		!strings.Contains(errs, "nothing listens") {
		t.Errorf("a command that somebody waits for: exit code %d, %s", code, errs)
	}
	_, port, err := net.SplitHostPort(addr)
	must(t, err)
	n, err := strconv.Atoi(port)
	must(t, err)
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(n))
	must(t, err)
	defer c.Close()
	if code, out, errs := wayward(t, "topics", "apply", "-c", config); code != 0 {
		t.Fatalf("topics apply: %d\n%s%s", code, out, errs)
	}
	select {
	case <-p.over: // it met the broker before its topics
		p.ends(time.Second, 2, "is missing: run wayward topics apply")
		p = runWayward(t, "run", "-c", config)
	case <-time.After(time.Second):
	}
	p.ready(listen)
	p.signal(syscall.SIGTERM)
	p.ends(most, 0)
}

// A stop does not wait until a shard has been loaded.
func TestAStopInTheMiddleOfACatchUp(t *testing.T) {
	a := newTestbed(t, nil)
	s := &crashRun{rate: 800, session: 1500 * time.Millisecond, txn: 2 * time.Second}
	spec := a.spec(s, "0")
	spec.Changelog, spec.Proxy = false, ""
	str := newTraffic(a, 1)
	began := time.Now()
	e := a.run(spec, nil)
	str.run(s.rate, func() bool { return time.Since(began) > 6*time.Second })
	e.stop(t)
	must(t, os.RemoveAll(spec.State))
	spec.SlowCatchUp = time.Second // for each transaction: it would take minutes
	e = a.run(spec, nil)
	time.Sleep(4 * time.Second)
	told := time.Now()
	e.stop(t)
	if took := time.Since(told); took > 8*time.Second || e.code != 0 {
		t.Errorf("exit code %d after %s", e.code, took)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := strings.Count(a.log.String(), "shard loaded"); n >= 20 {
		t.Errorf("%d shards were loaded: there was nothing to wait for", n)
	}
}
