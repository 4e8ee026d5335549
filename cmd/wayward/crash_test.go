package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wayward-sec/wayward/cmd/wayward/oracle"
)

// The crash test: engines as processes that are killed where it hurts, frozen past their session,
// robbed of their disks and of the broker's answers, while events flow, a gateway answers commands
// and people send feedback. Then what is on the topics is compared with an oracle that knows nothing of
// the engine. crash_engines_test.go drives the processes, crash_proxy_test.go cuts connections,
// crash_traffic_test.go makes events, crash_gateway_test.go is the gateway and the people, and
// package oracle is the oracle.

const crashInstances = 3

// crashRun is one run of the crash test.
type crashRun struct {
	brokers []string      // none: kfake in a process of its own
	copies  int           // of each record; 0: one
	mortal  *dyingBrokers // brokers that die, too
	words   string        // to that broker: which requests to fail
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
	enough    func(t *faults) bool
}

// faults is what was done to the engines.
type faults struct {
	kills, freezes, stops, losses       int
	committed, aborted, unknown, loaded int
	cuts                                int
	by                                  map[string]int
}

func (t *faults) String() string {
	return fmt.Sprintf("kills=%d freezes=%d stops=%d diskloss=%d cuts=%d committed=%d aborted=%d unknown=%d", t.kills,
		t.freezes, t.stops, t.losses, t.cuts, t.committed, t.aborted, t.unknown)
}

// run runs the crash test and returns what the oracle says and which records the journal lacks.
func (s *crashRun) run(t *testing.T) (*testbed, oracle.Balance, []string) {
	seed := uint64(1)
	if n, err := strconv.ParseUint(os.Getenv("WAYWARD_CRASH_SEED"), 10, 64); err == nil {
		seed = n
	}
	a := newTestbedOf(t, s.brokers, max(1, s.copies))
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
	a.sent, a.through = str.sent, oracle.ClosedAfter(str.time())
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
	quiet := a.settle(str.sent, s.drain).Lost == 0
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
	gaps := oracle.JournalGaps(a.read(a.topics.Journal))
	now := a.now()
	t.Logf(
		"crash: %v events=%d findings=%d verdicts=%d baselines=%d days=%d lost=%d doubled=%d wrong=%d gaps=%d guards=%d %v took=%v",
		&now, len(str.sent), b.Findings, b.Verdicts, b.Baselines, b.Days, b.Lost, b.Doubled, b.Wrong, len(gaps),
		len(a.guards), &b.Responses, time.Since(began).Round(time.Second))
	return a, b, gaps
}

// verify demands that nothing is wrong.
func (a *testbed) verify(t *testing.T, b oracle.Balance, gaps []string) {
	for _, s := range b.Samples {
		t.Error(s)
	}
	if b.Bad() > 0 {
		t.Errorf("lost=%d doubled=%d wrong=%d", b.Lost, b.Doubled, b.Wrong)
	}
	if b.Findings < 100 || b.Verdicts < 5 {
		t.Errorf("only %d findings and %d verdicts were expected: the stream is too tame", b.Findings, b.Verdicts)
	}
	if a.through > 0 && (b.Baselines < 12 || b.Days < 8) {
		t.Errorf("only %d baselines on %d days of relation shards: the stream is too tame", b.Baselines, b.Days)
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
	r := &b.Responses
	tame := r.Commands < 100 || r.Ruled == 0 || r.Written < 10 || r.Expired == 0
	if r.Acks > 0 {
		tame = tame || r.Open == 0 || r.Human == 0 || r.Unenforced == 0 || r.Refused == 0
		tame = tame || r.Defied == 0 && a.mortal == nil
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
	s := &crashRun{attack: 24 * time.Second, most: 40 * time.Second, drain: 20 * time.Second, rate: 1200,
		session: 1500 * time.Millisecond, txn: 2 * time.Second,
		cut: 0.004, losses: 0.2, ways: crashWays,
		enough: func(n *faults) bool {
			return n.kills >= 12 && n.freezes >= 1 && n.losses >= 1 && n.aborted+n.unknown >= 3
		}}
	a, b, gaps := s.run(t)
	a.fresh(s, false)
	a.fresh(s, true)
	if b.Bad() == 0 { // whoever builds state from the logs must not say again what they say
		b = a.compare(a.sent)
	}
	a.verify(t, b, gaps)
	if n := a.now(); !s.enough(&n) {
		t.Errorf("not enough was done to the engines: %v", &n)
	}
}

func TestKafkaCrash(t *testing.T) {
	s := &crashRun{brokers: strings.Split(kafkaAddress(t), ","), attack: 110 * time.Second, most: 180 * time.Second,
		drain: 45 * time.Second, rate: 600, session: 6 * time.Second, txn: 4 * time.Second,
		cut: 0.004, losses: 0.2, ways: crashWays,
		enough: func(n *faults) bool {
			return n.kills >= 25 && n.freezes >= 2 && n.losses >= 2 && n.unknown >= 5
		}}
	a, b, gaps := s.run(t)
	a.fresh(s, false)
	a.fresh(s, true)
	if b.Bad() == 0 { // whoever builds state from the logs must not say again what they say
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
	s := &crashRun{words: "aborts", attack: 6 * time.Second, drain: 4 * time.Second, rate: 1000,
		session: 1500 * time.Millisecond, txn: 2 * time.Second, ways: []string{"stop"}, noUndo: true}
	a, b, gaps := s.run(t)
	if a.now().aborted == 0 {
		t.Fatal("no transaction was aborted: nothing to be undone")
	}
	// Not what is lost: the drain is short, and an engine that is merely slow must not pass for one
	// that was caught.
	if b.Doubled+b.Wrong == 0 && len(a.guards) == 0 {
		t.Errorf("pages were left as aborted transactions had made them, and nobody saw it (journal gaps %d)",
			len(gaps))
	}
}

// Nor may one that catches up by the logs alone, without the journal that says what was applied
// between what.
func TestCrashTeethJournal(t *testing.T) {
	s := &crashRun{attack: 6 * time.Second, drain: 4 * time.Second, rate: 1000, session: 1500 * time.Millisecond,
		txn: 2 * time.Second, losses: 0.5, ways: []string{"anywhere", "after End"}, noJournal: true}
	a, b, gaps := s.run(t)
	if b.Doubled+b.Wrong == 0 && len(gaps) == 0 && len(a.guards) == 0 {
		t.Error("shards caught up without the journal, and nobody saw it")
	}
}
