package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/instance"
	"github.com/wayward-sec/wayward/pipeline/broker"
)

// The crash test: engines as processes that are killed where it hurts, frozen past their session,
// robbed of their disks and of the broker's answers, while events flow, a gateway answers commands
// and people send feedback (crash_gateway_test.go); then what is on the topics is compared with
// oracles that know nothing of the engine (crash_oracle_test.go for findings,
// crash_commands_test.go for commands and breakers).

const (
	crashInstances = 3
	crashSpeed     = 20 // event time per wall time: minutes must pass in seconds
)

// storm is one run of the crash test.
type storm struct {
	brokers []string // none: kfake in a process of its own
	copies  int      // of each record; 0: one
	mortal  *mortals // brokers that die, too
	words   string   // to that broker: which requests to fail
	attack  time.Duration
	most    time.Duration // of the attack, if it takes longer to do what must be done
	drain   time.Duration
	rate    int // events per second
	session time.Duration
	txn     time.Duration
	// share of EndTxn requests after which the proxy cuts the connection until the client gives up
	cut       float64
	losses    float64 // share of restarts without the disk
	ways      []string
	noUndo    bool
	noJournal bool
	enough    func(t *toll) bool
}

// toll is what was done to the engines.
type toll struct {
	kills, freezes, stops, losses       int
	committed, aborted, unknown, loaded int
	cuts                                int
	by                                  map[string]int
}

func (t *toll) String() string {
	return fmt.Sprintf("kills=%d freezes=%d stops=%d diskloss=%d cuts=%d committed=%d aborted=%d unknown=%d", t.kills,
		t.freezes, t.stops, t.losses, t.cuts, t.committed, t.aborted, t.unknown)
}

// arena is where a storm rages: broker, topics, policies, processes.
type arena struct {
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
	through  int64        // newest day of baselines that must be closed in the end; 0: none must
	say      func(string) // to kfake
	mortal   *mortals     // brokers that die, too

	slowest atomic.Int64 // ns that an event took to be written

	mu      sync.Mutex
	running []*engine
	log     bytes.Buffer
	guards  []string // what the engine says when its own checks find something
	errors  []string
	tally   toll
}

func newArena(t testing.TB, brokers []string) *arena { return newArenaOf(t, brokers, 1) }

func newArenaOf(t testing.TB, brokers []string, copies int) *arena {
	a := &arena{t: t, dir: t.TempDir(), brokers: brokers, prefix: fmt.Sprintf("crash-%d-%d.", os.Getpid(),
		time.Now().UnixMilli()%1_000_000_000), say: func(string) {}}
	a.tally.by = map[string]int{}
	if len(brokers) == 0 {
		a.startBroker()
	}
	a.policies = filepath.Join(a.dir, "policies")
	for name, text := range oraclePolicies(signers()) {
		name = filepath.Join(a.policies, name)
		must(t, os.MkdirAll(filepath.Dir(name), 0o700))
		must(t, os.WriteFile(name, []byte(text), 0o600))
	}
	writeRules(t, a.policies, beforeReload)
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

func (a *arena) startBroker() {
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

// spec is an engine of this arena.
func (a *arena) spec(s *storm, name string) engineSpec {
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
	heard  int    // stages that have taken over another set of policies; under the arena's lock
	code   int
}

// guardWords are what the engine says when one of its own checks has found state or logs to be
// wrong.
var guardWords = []string{"does not repeat", "journal has a gap", "ahead of the group", "went back", "is damaged",
	"panic", "wants events", "but the log goes on", "before joff"}

// run starts an engine. mark is called with every line of its log.
func (a *arena) run(spec engineSpec, mark func(line string)) *engine {
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
func (a *arena) live(s *storm, name string, rng *rand.Rand, over func() bool) {
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
			a.count(func(t *toll) { t.freezes++; t.by["frozen"]++ })
			time.Sleep(s.session + 500*time.Millisecond + time.Duration(rng.IntN(1000))*time.Millisecond)
			e.signal(syscall.SIGCONT)
			select { // it goes on to End, and then dies all the same
			case <-e.done:
			case <-time.After(500*time.Millisecond + time.Duration(rng.IntN(2000))*time.Millisecond):
			}
			e.kill()
			a.count(func(t *toll) { t.kills++; t.by["thawed"]++ })
		case <-time.After(limit):
			if way == "stop" {
				e.stop(a.t)
				a.count(func(t *toll) { t.stops++ })
				break
			}
			e.kill()
			a.count(func(t *toll) { t.kills++; t.by["anywhere"]++ })
		}
		if e.point != "" {
			a.count(func(t *toll) {
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
			a.count(func(t *toll) { t.losses++ })
		}
		// A member that dies sooner than a rebalance takes makes no progress, nor do the others.
		time.Sleep(time.Duration(200+rng.IntN(500)) * time.Millisecond)
	}
}

func (a *arena) count(f func(t *toll)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(&a.tally)
}

func (a *arena) now() toll {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tally
	t.cuts = int(a.proxy.cuts.Load())
	return t
}

// traffic makes events at an even pace until over says so, and returns what it sent. Event time
// runs crashSpeed times as fast as the wall clock and starts hours ago: the engine does not believe
// a stamp from the future.
type traffic struct {
	a     *arena
	rng   *rand.Rand
	began time.Time
	start int64
	n     int
	sent  [][]byte
	last  map[string]int64 // newest time of each agent
	calls map[string]int   // of each agent, for its session
	leaps bool             // event time leaps over the ends of days
	again [][]byte         // to be sent once more, with their keys
	keys  [][]byte
}

var (
	crashTenants = []string{"acme", "globex", "initech"}
	crashTools   = []string{"db.query", "db.export", "mail.send", "mail.read", "pay.refund", "pay.transfer",
		"admin.drop", "admin.grant", "search"}
)

const crashAgents = 40 // of each tenant

// liveAgents are one for each partition of events, of a tenant of their own. Their events have the
// wall clock's time, so that they can act against what is in force now. Of two in one partition the
// engine would believe that hours have passed.
var liveAgents = func() []string {
	out := make([]string, 6)
	by := kgo.StickyKeyPartitioner(nil).ForTopic("")
	for i, left := 0, len(out); left > 0; i++ {
		id := fmt.Sprintf("live-%d", i)
		if p := by.Partition(&kgo.Record{Key: []byte("live|" + id)}, len(out)); out[p] == "" {
			out[p] = id
			left--
		}
	}
	return out
}()

func newTraffic(a *arena, seed uint64) *traffic {
	now := time.Now()
	return &traffic{a: a, rng: rand.New(rand.NewPCG(seed, 2)), began: now, start: now.Add(-3 * time.Hour).UnixMilli(),
		last: map[string]int64{}, calls: map[string]int{}}
}

func (s *traffic) time() int64 {
	if s.leaps {
		return s.start + leap(time.Since(s.began).Seconds())
	}
	return s.start + time.Since(s.began).Milliseconds()*crashSpeed
}

// overDays makes event time leap over the ends of two days. It begins so long ago that it stays
// behind the wall clock.
func (s *traffic) overDays() *traffic {
	s.leaps = true
	s.start = (s.began.UnixMilli()/dayMS - 3) * dayMS
	return s
}

func (s *traffic) send(key, value []byte) {
	s.sent = append(s.sent, value)
	began := time.Now()
	s.a.cl.Produce(context.Background(), &kgo.Record{Topic: s.a.topics.Events, Key: key, Value: value},
		func(_ *kgo.Record, err error) {
			s.a.written(time.Since(began))
			if err != nil {
				s.a.t.Errorf("event not produced: %v", err)
			}
		})
}

// event makes one event of a random agent: a few are busy, most are not.
func (s *traffic) event() {
	rng := s.rng
	if now := time.Now(); now.Sub(s.began) > 3*time.Second && rng.IntN(40) == 0 {
		// not first: nobody else's time is known then
		s.n++
		id := liveAgents[rng.IntN(len(liveAgents))]
		s.send([]byte("live|"+id),
			fmt.Appendf(nil,
				`{"id":"e%d","time":%d,"kind":"tool_call","tenant":"live","agent":{"id":%q},"session":"s1","user":"user-1","tool":{"name":"search"}}`,
				s.n, now.UnixMilli(), id))
		return
	}
	tenant := crashTenants[rng.IntN(len(crashTenants))]
	agent := min(rng.IntN(crashAgents), rng.IntN(crashAgents))
	id := fmt.Sprintf("agent-%d", agent)
	key := []byte(tenant + "|" + id)
	if rng.IntN(400) == 0 {
		s.n++
		s.send(key, fmt.Appendf(nil, `{"id":"broken-%d","time":`, s.n))
		return
	}
	t := max(s.time()-rng.Int64N(4000), s.last[string(key)]+1)
	if last := s.last[string(key)]; last != 0 && t-last > dayMS/2 {
		// who was idle over a leap begins another session: the engine forgets one after a day
		s.calls[string(key)] = (s.calls[string(key)]/70 + 1) * 70
	}
	s.last[string(key)] = t
	s.calls[string(key)]++
	s.n++
	// Sessions of two agents share names, users are shared by agents, but every fourth agent has
	// one of its own.
	user := fmt.Sprintf("user-%d", agent%9)
	if agent%4 == 2 {
		user = fmt.Sprintf("lone-%d", agent)
	}
	e := map[string]any{"v": 1, "id": fmt.Sprintf("e%d", s.n), "time": t, "kind": "tool_call", "tenant": tenant,
		"agent":   map[string]any{"id": id},
		"session": fmt.Sprintf("s%d", s.calls[string(key)]/70),
		"tool":    map[string]any{"name": crashTools[min(rng.IntN(len(crashTools)), rng.IntN(len(crashTools)))]},
		"result": map[string]any{"outcome": []string{"ok", "ok", "ok", "error"}[rng.IntN(4)], "records": rng.IntN(60),
			"bytes": rng.IntN(9000)}}
	switch rng.IntN(12) {
	case 0:
		e["kind"] = "model_call"
	case 1:
		e["phase"] = "attempt"
	}
	if rng.IntN(5) > 0 {
		e["user"] = user
	}
	if agent%3 == 0 {
		e["persona"] = "clerk"
	} else if agent%3 == 1 {
		e["persona"] = "helper"
	} else if agent%6 == 5 {
		e["persona"] = "temp"
	}
	if strings.HasPrefix(e["tool"].(map[string]any)["name"].(string), "pay.") {
		e["amount"] = map[string]any{"value": fmt.Sprintf("%d.%02d", rng.IntN(40), rng.IntN(100)),
			"currency": []string{"EUR", "EUR", "USD"}[rng.IntN(3)]}
	}
	b, err := json.Marshal(e)
	must(s.a.t, err)
	s.send(key, b)
	if rng.IntN(100) == 0 {
		s.again, s.keys = append(s.again, b), append(s.keys, key)
	} else if len(s.again) > 0 && rng.IntN(50) == 0 { // the same id again, some events later
		for i := range s.again {
			s.send(s.keys[i], s.again[i])
		}
		s.again, s.keys = nil, nil
	}
}

// run sends events until over.
func (s *traffic) run(rate int, over func() bool) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for from := s.n; !over(); <-tick.C {
		for due := int(time.Since(began).Seconds() * float64(rate)); s.n-from < due; {
			s.event()
		}
	}
	s.again, s.keys = nil, nil
}

// finish sends an event far ahead to every partition, so that all windows close at once instead of
// when idle partitions tick.
func (s *traffic) finish() {
	t := s.time() + 10*60_000
	have := map[int32]bool{}
	by := kgo.StickyKeyPartitioner(nil).ForTopic("")
	for i := 0; len(have) < 6; i++ {
		key := fmt.Appendf(nil, "nobody|last-%d", i)
		if p := int32(by.Partition(&kgo.Record{Key: key}, 6)); !have[p] {
			have[p] = true
			s.send(key,
				fmt.Appendf(nil,
					`{"id":"last-%d","time":%d,"kind":"session","tenant":"nobody","agent":{"id":"last-%d"}}`, i, t, i))
		}
	}
	must(s.a.t, s.a.cl.Flush(context.Background()))
}

// read returns all committed records of a topic as it is now.
func (a *arena) read(topic string) (out []*kgo.Record) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ends, err := a.adm.ListCommittedOffsets(ctx, topic)
	must(a.t, err)
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		must(a.t, o.Err)
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	cl, err := kgo.NewClient(kgo.SeedBrokers(a.brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords())
	must(a.t, err)
	defer cl.Close()
	for len(left) > 0 {
		f := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			a.t.Fatalf("reading %s: stuck before %v", topic, left)
		}
		f.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
			if end, ok := left[r.Partition]; ok && r.Offset >= end-1 {
				delete(left, r.Partition)
			}
		})
	}
	return out
}

func (a *arena) compare(sent [][]byte) balance {
	l := &left{alerts: a.read(a.topics.Alerts), dlq: a.read(a.topics.DLQ), control: a.read(a.topics.Control),
		commands: a.read(a.topics.Commands),
		breakers: a.read(a.topics.Breakers), acks: a.read(a.topics.Acks), feedback: a.read(a.topics.Feedback)}
	b := compare(sent, a.aside, l)
	weighCommands(&b, l)
	weighBaselines(&b, sent, a.aside, a.through, a.read(a.topics.Baselines))
	return b
}

// written notes how long an event took to be written.
func (a *arena) written(d time.Duration) {
	for old := a.slowest.Load(); int64(d) > old && !a.slowest.CompareAndSwap(old, int64(d)); {
		old = a.slowest.Load()
	}
}

// tooLate tells whether some event was so long on its way to the log that the engine may have taken
// its partition for idle and gone on without it: then what it finds depends on the machine.
func (a *arena) tooLate() bool { return time.Duration(a.slowest.Load()) > 7*time.Second }

// settle waits until nothing is lost any more, or nothing has come for a while.
func (a *arena) settle(sent [][]byte, most time.Duration) balance {
	deadline, least := time.Now().Add(most), math.MaxInt
	for {
		b := a.compare(sent)
		if b.lost == 0 || time.Now().After(deadline) {
			return b
		}
		if b.lost < least {
			least, deadline = b.lost, time.Now().Add(most)
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// rage runs the storm and returns what the oracle says and what was done.
func (s *storm) rage(t *testing.T) (*arena, balance, []string) {
	seed := uint64(1)
	if n, err := strconv.ParseUint(os.Getenv("WAYWARD_CRASH_SEED"), 10, 64); err == nil {
		seed = n
	}
	a := newArenaOf(t, s.brokers, max(1, s.copies))
	a.mortal = s.mortal
	a.proxy.share = s.cut
	a.proxy.until = s.txn * 3 / 2
	began := time.Now()
	over := func() bool {
		past := time.Since(began)
		now := a.now()
		return past > s.attack && (past > s.most || s.enough == nil || s.enough(&now))
	}
	str := newTraffic(a, seed).overDays()
	gate := newGateway(a, seed)
	a.say("on 1 " + s.words)
	a.proxy.on.Store(s.cut > 0)
	var lives sync.WaitGroup
	for i := range crashInstances {
		rng := rand.New(rand.NewPCG(seed, uint64(10+i)))
		lives.Go(func() { a.live(s, fmt.Sprint(i), rng, over) })
	}
	if s.mortal != nil {
		lives.Go(func() { s.mortal.die(rand.New(rand.NewPCG(seed, 99)), over) })
	}
	half := began.Add(s.attack / 2)
	str.run(s.rate, func() bool { return time.Now().After(half) })
	heard := a.reload(str, func(over func() bool) { str.run(s.rate, over) })
	str.run(s.rate, over)
	str.finish()
	a.sent, a.through = str.sent, closedAfter(str.time())
	lives.Wait()
	a.say("off")
	a.proxy.on.Store(false)
	// Nobody is there: durations run out, deadlines pass, people and gateways go on talking.
	time.Sleep(1500 * time.Millisecond)
	gate.people.Store(false)
	t.Logf("attack over after %v: %v", time.Since(began).Round(time.Millisecond), a.now().by)
	var last []*engine
	for i := range crashInstances {
		spec := a.spec(s, fmt.Sprint(i))
		spec.Verbose = true // if it does not come to rest, that says why
		last = append(last, a.run(spec, nil))
	}
	quiet := a.settle(str.sent, s.drain).lost == 0
	gate.close()
	if quiet || s.mortal != nil {
		// what the gateway had not yet said; where a look takes long it is never seen to be quiet
		// before
		a.settle(str.sent, s.drain)
	}
	for _, e := range last {
		e.signal(syscall.SIGTERM)
	}
	for _, e := range last {
		e.stop(t)
	}
	b := a.compare(str.sent)
	a.inForce(&b, str.sent, heard)
	gaps := journalGaps(a.read(a.topics.Journal))
	now := a.now()
	t.Logf(
		"crash: %v events=%d findings=%d verdicts=%d baselines=%d days=%d lost=%d doubled=%d wrong=%d gaps=%d guards=%d %v took=%v",
		&now, len(str.sent), b.findings, b.verdicts, b.baselines, b.days, b.lost, b.doubled, b.wrong, len(gaps),
		len(a.guards), &b.responses, time.Since(began).Round(time.Second))
	return a, b, gaps
}

// fresh starts an engine without a disk, which must be able to build every shard from the logs, and
// says what it logged as wrong.
func (a *arena) fresh(s *storm, changelog bool) {
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

// verify demands that nothing is wrong.
func (a *arena) verify(t *testing.T, b balance, gaps []string) {
	for _, s := range b.samples {
		t.Error(s)
	}
	if b.bad() > 0 {
		t.Errorf("lost=%d doubled=%d wrong=%d", b.lost, b.doubled, b.wrong)
	}
	if b.findings < 100 || b.verdicts < 5 {
		t.Errorf("only %d findings and %d verdicts were expected: the stream is too tame", b.findings, b.verdicts)
	}
	if a.through > 0 && (b.baselines < 12 || b.days < 8) {
		t.Errorf("only %d baselines on %d days of relation shards: the stream is too tame", b.baselines, b.days)
	}
	if n := strings.Count(a.log.String(), "events wait for a baseline"); a.through > 0 && n == 0 {
		t.Error("no event had to wait for a baseline: the stream is too tame")
	}
	if r := a.reloads; a.through > 0 && (r.before < 5 || r.after < 5 || r.partitions < 6) {
		t.Errorf("%+v of the rule that was replaced: the stream is too tame", r)
	}
	// Where a gateway answers and people act, all that comes of it must have come. Whether an agent
	// goes on after an applied command depends on how soon its next events are judged: while
	// brokers are down that may be after the command has run out, so there it is not demanded.
	r := &b.responses
	tame := r.commands < 100 || r.ruled == 0 || r.written < 10 || r.expired == 0
	if r.acks > 0 {
		tame = tame || r.open == 0 || r.human == 0 || r.unenforced == 0 || r.refused == 0
		tame = tame || r.defied == 0 && a.mortal == nil
	}
	if tame {
		t.Errorf("too tame: %v", r)
	}
	for _, g := range gaps[:min(5, len(gaps))] {
		t.Error("journal: " + g)
	}
	for _, g := range a.guards[:min(5, len(a.guards))] {
		t.Error("engine: " + g)
	}
	for _, e := range a.errors[:min(20, len(a.errors))] {
		t.Log("engine: " + e)
	}
	if name := os.Getenv("WAYWARD_CRASH_LOG"); name != "" {
		os.WriteFile(name, a.log.Bytes(), 0o600)
	}
}

var crashWays = []string{"open transaction", "before End", "after End", "checkpoint", "catch-up", "anywhere", "freeze",
	"freeze", "stop"}

func TestCrashKfake(t *testing.T) {
	s := &storm{attack: 24 * time.Second, most: 40 * time.Second, drain: 20 * time.Second, rate: 1200,
		session: 1500 * time.Millisecond, txn: 2 * time.Second,
		cut: 0.004, losses: 0.2, ways: crashWays,
		enough: func(n *toll) bool {
			return n.kills >= 12 && n.freezes >= 1 && n.losses >= 1 && n.aborted+n.unknown >= 3
		}}
	a, b, gaps := s.rage(t)
	a.fresh(s, false)
	a.fresh(s, true)
	if b.bad() == 0 { // whoever builds state from the logs must not say again what they say
		b = a.compare(a.sent)
	}
	a.verify(t, b, gaps)
	if n := a.now(); !s.enough(&n) {
		t.Errorf("not enough was done to the engines: %v", &n)
	}
}

func TestKafkaCrash(t *testing.T) {
	s := &storm{brokers: strings.Split(kafkaAddress(t), ","), attack: 110 * time.Second, most: 180 * time.Second,
		drain: 45 * time.Second, rate: 600, session: 6 * time.Second, txn: 4 * time.Second,
		cut: 0.004, losses: 0.2, ways: crashWays,
		enough: func(n *toll) bool {
			return n.kills >= 25 && n.freezes >= 2 && n.losses >= 2 && n.unknown >= 5
		}}
	a, b, gaps := s.rage(t)
	a.fresh(s, false)
	a.fresh(s, true)
	if b.bad() == 0 { // whoever builds state from the logs must not say again what they say
		b = a.compare(a.sent)
	}
	a.verify(t, b, gaps)
	if n := a.now(); !s.enough(&n) {
		t.Errorf("not enough was done to the engines: %v", &n)
	}
}

// The crash test has teeth: an engine that does not undo what an aborted transaction did must not
// pass it.
func TestCrashTeethUndo(t *testing.T) {
	s := &storm{words: "aborts", attack: 6 * time.Second, drain: 4 * time.Second, rate: 1000,
		session: 1500 * time.Millisecond, txn: 2 * time.Second, ways: []string{"stop"}, noUndo: true}
	a, b, gaps := s.rage(t)
	if a.now().aborted == 0 {
		t.Fatal("no transaction was aborted: nothing to be undone")
	}
	// Not what is lost: the drain is short, and an engine that is merely slow must not pass for one
	// that was caught.
	if b.doubled+b.wrong == 0 && len(a.guards) == 0 {
		t.Errorf("pages were left as aborted transactions had made them, and nobody saw it (journal gaps %d)",
			len(gaps))
	}
}

// Nor may one that catches up by the logs alone, without the journal that says what was applied
// between what.
func TestCrashTeethJournal(t *testing.T) {
	s := &storm{attack: 6 * time.Second, drain: 4 * time.Second, rate: 1000, session: 1500 * time.Millisecond,
		txn: 2 * time.Second, losses: 0.5, ways: []string{"anywhere", "after End"}, noJournal: true}
	a, b, gaps := s.rage(t)
	if b.doubled+b.wrong == 0 && len(gaps) == 0 && len(a.guards) == 0 {
		t.Error("shards caught up without the journal, and nobody saw it")
	}
}

// A shard with a damaged page, or with an event that makes it panic, pauses while the others
// commit, and then recovers with nothing lost.
func TestPoisonedPage(t *testing.T) {
	a := newArena(t, nil)
	a.aside = map[string]bool{"poison-2": true}
	s := &storm{rate: 800, session: 1500 * time.Millisecond, txn: 2 * time.Second}
	spec := a.spec(s, "0")
	spec.Changelog, spec.Proxy = false, "" // rebuilt from the journal, which takes a while
	str := newTraffic(a, 1)
	wait := func(d time.Duration) func() bool {
		until := time.Now().Add(d)
		return func() bool { return time.Now().After(until) }
	}

	str.run(s.rate, wait(time.Second)) // no partition is idle at the start
	e := a.run(spec, nil)
	str.run(s.rate, wait(4*time.Second))
	e.stop(t)
	dir := filepath.Join(spec.State, "store")
	damage(t, dir, 'b', 2)
	damage(t, dir, 'r', 1)

	spec.SlowCatchUp = 25 * time.Millisecond
	spec.Poison = t.TempDir()
	must(t, os.WriteFile(filepath.Join(spec.Poison, "poison-1"), make([]byte, 2), 0o600))
	must(t, os.WriteFile(filepath.Join(spec.Poison, "poison-2"), make([]byte, 99), 0o600))
	var mu sync.Mutex
	events := map[string]time.Time{} // log lines, first and last time
	e = a.run(spec, func(line string) {
		at := func(what string) {
			if _, ok := events[what]; !ok {
				events[what] = time.Now()
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for _, w := range []string{"state is damaged", "shard loaded", "shard paused", "shard recovered", "set aside"} {
			if strings.Contains(line, w) {
				_, rest, _ := strings.Cut(line, " stage=")
				stage, rest, _ := strings.Cut(rest, " ")
				_, p, _ := strings.Cut(rest, "partition=")
				p, _, _ = strings.Cut(p, " ")
				at(w + " " + stage + " " + p)
			}
		}
	})
	// What the group has committed of each partition of events, as time goes by.
	type sample struct {
		at   time.Time
		next map[int32]int64
	}
	var samples []sample
	stop := make(chan struct{})
	var sampler sync.WaitGroup
	sampler.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(40 * time.Millisecond):
			}
			at := time.Now()
			offsets, err := a.adm.FetchOffsets(context.Background(), a.prefix+"wayward-behaviour")
			if err != nil {
				continue
			}
			next := map[int32]int64{}
			offsets.Each(func(o kadm.OffsetResponse) {
				if o.Topic == a.topics.Events {
					next[o.Partition] = o.At
				}
			})
			samples = append(samples, sample{at, next})
		}
	})
	// stood demands that p stood still between two log lines while the others went on.
	stood := func(p int32, from, to string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		lo, ok1 := events[from]
		hi, ok2 := events[to]
		if !ok1 || !ok2 {
			t.Errorf("%q and %q were not both logged: %v", from, to, events)
			return
		}
		var in []sample
		for _, x := range samples {
			if x.at.After(lo.Add(20*time.Millisecond)) && x.at.Before(hi.Add(-80*time.Millisecond)) {
				in = append(in, x)
			}
		}
		if len(in) < 2 {
			t.Errorf("%v between %q and %q: too short to see anything", hi.Sub(lo), from, to)
			return
		}
		first, last := in[0], in[len(in)-1]
		moved := 0
		for q, o := range last.next {
			if q != p && o > first.next[q] {
				moved++
			}
		}
		t.Logf("partition %d paused for %v, %d of 5 others went on", p, hi.Sub(lo).Round(time.Millisecond), moved)
		if first.next[p] != last.next[p] {
			t.Errorf("partition %d committed from %d to %d although it should have paused", p, first.next[p],
				last.next[p])
		}
		if moved < 4 {
			t.Errorf("only %d other partitions went on while %d was paused", moved, p)
		}
	}
	str.run(s.rate, wait(4*time.Second))
	send := func(id string) (p int32) {
		tm := str.time()
		str.send([]byte("acme|"+id),
			fmt.Appendf(nil,
				`{"id":%q,"time":%d,"kind":"tool_call","tenant":"acme","persona":"clerk","session":"s","agent":{"id":%q},"tool":{"name":"admin.drop"}}`,
				id, tm, id))
		return int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte("acme|" + id)}, 6))
	}
	p1, p2 := send("poison-1"), send("poison-2")
	str.run(s.rate, wait(5*time.Second))
	str.finish()
	b := a.settle(str.sent, 20*time.Second)
	close(stop)
	sampler.Wait()
	e.stop(t)
	stood(2, "state is damaged behaviour 2", "shard loaded behaviour 2")
	stood(p1, fmt.Sprint("shard paused behaviour ", p1), fmt.Sprint("shard recovered behaviour ", p1))
	stood(p2, fmt.Sprint("shard paused behaviour ", p2), fmt.Sprint("shard recovered behaviour ", p2))
	if _, ok := events["state is damaged relation 1"]; !ok {
		t.Error("the damaged page of the relation stage was not noticed")
	}
	b = a.compare(str.sent)
	t.Logf("poison: events=%d findings=%d lost=%d doubled=%d wrong=%d", len(str.sent), b.findings, b.lost, b.doubled,
		b.wrong)
	a.guards = nil // it must complain
	a.verify(t, b, journalGaps(a.read(a.topics.Journal)))
}

// damage flips a bit in a page of one partition, at the page's own version: what a bad disk does.
func damage(t *testing.T, dir string, stage byte, p byte) {
	db, err := badger.OpenManaged(badger.DefaultOptions(dir).WithLogger(nil))
	must(t, err)
	defer db.Close()
	tx := db.NewTransactionAt(1<<63, false)
	defer tx.Discard()
	it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte{'p', stage, 0, 0, 0, p}})
	defer it.Close()
	it.Rewind()
	if !it.Valid() {
		t.Fatalf("no page of %c %d on disk", stage, p)
	}
	v, err := it.Item().ValueCopy(nil)
	must(t, err)
	v[len(v)/2] ^= 4
	w := db.NewTransactionAt(1<<63, true)
	must(t, w.Set(it.Item().KeyCopy(nil), v))
	must(t, w.CommitAt(it.Item().Version(), nil))
}

// proxy stands between engines and broker. It reads requests, and after an EndTxn it cuts the
// connection, so that the engine cannot know whether its transaction has been committed; and again
// at each retry, until the engine gives up.
type proxy struct {
	addr, to string
	share    float64       // of EndTxn requests
	until    time.Duration // as long as a client retries
	on       atomic.Bool
	cuts     atomic.Int64

	mu  sync.Mutex
	rng *rand.Rand
	cut map[string]time.Time // by transactional id: until when
}

const endTxn = 26

func newProxy(t testing.TB, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{addr: l.Addr().String(), to: to, rng: rand.New(rand.NewPCG(uint64(os.Getpid()), 3)),
		cut: map[string]time.Time{}}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	broker, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer broker.Close()
	done := make(chan struct{})
	var mute atomic.Bool
	go func() { // answers
		defer close(done)
		buf := make([]byte, 64<<10)
		for {
			n, err := broker.Read(buf)
			if n > 0 && !mute.Load() {
				if _, err := client.Write(buf[:n]); err != nil {
					break
				}
			}
			if err != nil {
				break
			}
		}
		client.Close()
	}()
	in := bufio.NewReaderSize(client, 64<<10)
	var head [4]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			break
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(in, frame); err != nil {
			break
		}
		cut := p.on.Load() && len(frame) > 2 && binary.BigEndian.Uint16(frame) == endTxn && p.chosen(frame)
		if cut {
			mute.Store(true)
		}
		if _, err := broker.Write(append(head[:], frame...)); err != nil {
			break
		}
		if cut {
			p.cuts.Add(1)
			client.Close()
			time.Sleep(200 * time.Millisecond) // the broker does what it was asked
			break
		}
	}
	broker.Close()
	<-done
}

// chosen says whether this EndTxn is one to cut.
func (p *proxy) chosen(frame []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := bytes.Index(frame, []byte("wayward-"))
	if i < 0 {
		return false
	}
	id := string(frame[i:min(len(frame), i+len("wayward-behaviour-0"))])
	if time.Now().Before(p.cut[id]) {
		return true
	}
	if p.rng.Float64() >= p.share {
		return false
	}
	p.cut[id] = time.Now().Add(p.until)
	return true
}
