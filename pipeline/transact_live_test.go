package pipeline

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wayward-sec/wayward/state"
)

// Transactions of a running engine against all that can go wrong with them.

func TestATransactionSaidToBeAbortedMayStand(t *testing.T) {
	l := newLab(t)
	w := &network{}
	c := l.config("a", l.store(""))
	c.Options = append(c.Options, kgo.Dialer(w.dial))
	l.start(c)
	l.produce(300)
	l.until("the engine is at work", func() bool { at := l.position(); return at[0]+at[1] > 0 })
	for range 3 {
		before := w.told.Load()
		w.lies.Store(1)
		l.produce(200)
		l.until("a lie is told", func() bool { return w.told.Load() > before })
	}
	l.drained()
	l.until("the engine notices", l.says("the transaction was said to be aborted, but the group is at"))
	l.exact()
	l.journals()
}

func TestAnUnknownOutcomeIsNotTakenForAnAbort(t *testing.T) {
	// Here the answer to EndTxn itself says that the outcome is not known.
	l := newLab(t)
	c := l.config("a", l.store(""))
	l.start(c)
	for range 3 {
		l.produce(200)
		h := l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.RequestTimedOut, TopLevel: true})
		l.produce(100)
		l.until("the fault is met", func() bool { return h.Hits() > 0 })
	}
	l.drained()
	l.exact()
	l.journals()
}

func TestARecordThatCannotBeWrittenAbortsTheWholeTransaction(t *testing.T) {
	l := newLab(t)
	c := l.config("a", l.store(""))
	enc := &shortEncoder{}
	enc.tooLarge.Store(true)
	c.Encoder = enc
	l.produce(400)
	l.start(c)
	l.until("a transaction is aborted", l.says("a record could not be written, the transaction is aborted"))
	stuck := l.position()
	l.until("and again", func() bool { return strings.Count(l.text(), "could not be written") > 2 })
	if at := l.position(); at != stuck {
		t.Errorf("the group went on from %v to %v over a finding that is not written", stuck, at)
	}
	enc.tooLarge.Store(false)
	l.drained()
	l.exact()
	l.journals()
}

func TestAZombieCannotCommit(t *testing.T) {
	l := newLab(t)
	w := &network{}
	a := l.config("a", l.store(""))
	a.Options = append(a.Options, kgo.Dialer(w.dial))
	a.TransactionTimeout = 60 * time.Second // so that nothing but the group's generation can fence it
	var freeze atomic.Bool
	var frozen sync.WaitGroup
	frozen.Add(1)
	a.Hooks = &Hooks{CrashPoint: func(point string) {
		if point == "behaviour: before End" && freeze.CompareAndSwap(true, false) {
			w.gate.Lock()
			time.Sleep(2 * labSession) // the broker's clock, not ours, must run out
			w.gate.Unlock()
			frozen.Done()
		}
	}}
	l.start(a)
	l.produce(300)
	l.drained()
	freeze.Store(true)
	l.produce(100)
	l.until("a is frozen inside its transaction", func() bool { return !freeze.Load() })
	l.start(l.config("b", l.store("")))
	l.produce(200)
	frozen.Wait()
	l.produce(100)
	l.drained()
	l.exact()
	l.journals()
}

func TestAnAssignmentThatSplitsAPartitionsLogsStopsTheEngine(t *testing.T) {
	l := newLab(t)
	l.produce(50)
	other, err := kgo.NewClient(kgo.SeedBrokers(l.cluster.ListenAddrs()...), kgo.ConsumerGroup("lab-behaviour"),
		kgo.ConsumeTopics(l.topics.Events), kgo.Balancers(kgo.RangeBalancer()),
		kgo.DisableAutoCommit(), kgo.HeartbeatInterval(100*time.Millisecond), kgo.SessionTimeout(labSession))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	var polls sync.WaitGroup
	polls.Go(func() { // a member that has events alone
		for ctx.Err() == nil {
			other.PollFetches(ctx)
		}
	})
	e := l.start(l.config("a", l.store("")))
	select {
	case err := <-e.done:
		e.done <- err
		if err == nil || !strings.Contains(err.Error(), "without its pair") ||
			!strings.Contains(err.Error(), l.topics.Control) {
			t.Errorf("%v does not say what is wrong", err)
		}
	case <-time.After(15 * time.Second):
		t.Error("the engine goes on with events[p] here and control[p] elsewhere")
	}
	cancel()
	polls.Wait()
	if n := len(l.read(l.topics.Journal, 0)) + len(l.read(l.topics.Journal, 1)); n > 0 {
		l.journals() // what it did before it knew must be right
	}
}

func TestAHeartbeatThatFailsBetweenPollAndEndDoesNotHang(t *testing.T) {
	l := newLab(t)
	c := l.config("a", l.store(""))
	var left atomic.Int32
	left.Store(3)
	c.Hooks = &Hooks{CrashPoint: func(point string) {
		if point == "behaviour: open transaction" && left.Add(-1) >= 0 {
			h := l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID,
				TopLevel: true})
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := h.Wait(ctx, 1); err != nil {
				t.Errorf("no heartbeat came: %v", err)
			}
		}
	}}
	l.start(c)
	for range 4 {
		l.produce(150)
		l.drained()
	}
	if left.Load() >= 0 {
		t.Error("the fault was never set: the test proves nothing")
	}
	l.exact()
	l.journals()
}

func TestTwoInstancesThatComeAndGoLoseNothing(t *testing.T) {
	l := newLab(t)
	stores := map[string]*state.Store{"a": l.store(""), "b": l.store("")}
	a := l.start(l.config("a", stores["a"]))
	l.produce(300)
	b := l.start(l.config("b", stores["b"]))
	l.produce(300)
	l.drained()
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	l.produce(300)
	l.drained()
	l.start(l.config("a", stores["a"]))
	l.produce(100)
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	l.produce(100)
	l.drained()
	l.exact()
	l.journals()
}

func TestATransactionWithoutRecordsWaitsForTheOneBefore(t *testing.T) {
	l := newLab(t)
	refused := l.unfinished("relation", 2)
	c := l.config("a", l.store(""))
	c.Stages = []string{"behaviour", "relation"}
	l.start(c)
	for range 15 {
		l.produce(40)
		l.drained()
	}
	l.until("the relation stage is at work", func() bool { return outcomes(t, c, "relation")["committed"] >= 10 })
	got := outcomes(t, c, "relation")
	t.Log(got, "offsets refused:", refused.Load())
	delete(got, "committed")
	delete(got, "aborted rebalance") // none is wanted, and one may come while the group forms
	if len(got) > 0 || refused.Load() > 0 {
		t.Errorf("%v of a broker that only needs a moment, %d times refused", got, refused.Load())
	}
}

func TestAnAbortSaysWhy(t *testing.T) {
	l := newLab(t)
	// a broker that does not say how a transaction is, as before Kafka 3.0
	refused := l.unfinished("relation", -1)
	c := l.config("a", l.store(""))
	c.Stages = []string{"behaviour", "relation"}
	l.start(c)
	l.until("offsets are refused again and again", func() bool {
		l.produce(10)
		return refused.Load() > 3
	})
	l.until("it is counted", func() bool { return outcomes(t, c, "relation")["aborted offsets_refused"] >= 3 })
	if n := strings.Count(l.text(), "transaction aborted, its slice is applied again"); n != 1 {
		t.Errorf("said %d times within a minute, want once", n)
	}
	if !strings.Contains(l.text(), "reason=offsets_refused") {
		t.Error("the log does not say why")
	}
}
