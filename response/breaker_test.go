package response

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

const (
	t0     = int64(1_800_000_000_000)
	minute = int64(60_000)
)

var (
	enforced = &policy.Settings{Enforce: true, StaleMS: 10 * minute, AckMS: minute / 2, StartMS: minute}
	dry      = &policy.Settings{StaleMS: 10 * minute, AckMS: minute / 2, StartMS: minute}
)

func agent(id string) event.Scope { return event.Scope{Type: event.AgentScope, Tenant: "acme", ID: id} }

func order(a event.Action, at, duration int64) Order {
	return Order{Action: a, DurationMS: duration, Time: at, FindingUID: "f", Reason: "why",
		Issuer: event.Issuer{Type: "rule", Rule: "r"}, Trigger: event.Ref{Time: at, ID: "e1", Agent: "a"}}
}

func byHand(o Order) Order {
	o.Issuer = event.Issuer{Type: "human", By: "alice"}
	return o
}

func ack(b *Breaker, s event.AckStatus, at int64) *event.Ack {
	return &event.Ack{CommandID: b.Command, Scope: b.Scope, Tenant: "acme", Epoch: b.Epoch, Time: at, Status: s}
}

// blocked is a breaker that has just been opened at t0.
func blocked(t testing.TB, duration int64) *Breaker {
	t.Helper()
	b := &Breaker{Scope: agent("a")}
	if _, ok := b.Trip(order(event.Block, t0, duration), enforced, t0); !ok {
		t.Fatal("a closed breaker does not open")
	}
	return b
}

func TestTheLadderOnlyRises(t *testing.T) {
	for _, c := range []struct {
		name     string
		have     Order
		haveIn   *policy.Settings
		then     Order
		in       *policy.Settings
		after    int64
		want     event.Action // 0: nothing happens
		duration int64
	}{
		{"a stronger order is carried out", order(event.Throttle, t0, minute), enforced,
			order(event.Block, t0, 5*minute), enforced, 0, event.Block, 5 * minute},
		{"a weaker one is not", order(event.Block, t0, minute), enforced, order(event.Throttle, t0, 5*minute), enforced,
			0, 0, 0},
		{"nor is an equal one", order(event.Block, t0, minute), enforced, order(event.Block, t0, 5*minute), enforced, 0,
			0, 0},
		{"nor is a weaker one of a person", order(event.Kill, t0, minute), enforced, byHand(order(event.Block, t0, 0)),
			enforced, 0, 0, 0},
		{"a person may prolong what is in force", order(event.Block, t0, minute), enforced,
			byHand(order(event.Block, t0, 0)), enforced, 0, event.Block, 0},
		{"but not shorten it", order(event.Block, t0, 0), enforced, byHand(order(event.Block, t0, minute)), enforced, 0,
			0, 0},
		{"nor repeat it", order(event.Block, t0, minute), enforced, byHand(order(event.Block, t0, minute)), enforced, 0,
			0, 0},
		{"a short kill does not end a long block early", order(event.Block, t0, 60*minute), enforced,
			order(event.Kill, t0, minute), enforced, 10 * minute, event.Kill, 50 * minute},
		{"nor one that waits for a person", order(event.Block, t0, 0), enforced, order(event.Kill, t0, minute),
			enforced, 0, event.Kill, 0},
		{"after its end a weaker one is carried out, expired by command or not", order(event.Kill, t0, minute), enforced,
			order(event.Throttle, t0, minute), enforced, minute, event.Throttle, minute},
		{"and not a moment before", order(event.Kill, t0, minute), enforced, order(event.Throttle, t0, minute),
			enforced, minute - 1, 0, 0},
		{"what was a dry run is issued anew when it is meant", order(event.Block, t0, 60*minute), dry,
			order(event.Block, t0, minute), enforced, 0, event.Block, minute},
		{"also if it is weaker: nothing was in force", order(event.Kill, t0, 0), dry, order(event.Throttle, t0, minute),
			enforced, 0, event.Throttle, minute},
		{"a dry run does not replace what is enforced", order(event.Throttle, t0, minute), enforced,
			order(event.Kill, t0, minute), dry, 0, 0, 0},
		{"a dry run rises, too", order(event.Throttle, t0, minute), dry, order(event.Kill, t0, 2*minute), dry, 0,
			event.Kill, 2 * minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &Breaker{Scope: agent("a")}
			first, ok := b.Trip(c.have, c.haveIn, t0)
			if !ok || first.Epoch != 1 {
				t.Fatalf("the first order: %+v %v", first, ok)
			}
			before := *b
			got, ok := b.Trip(c.then, c.in, t0+c.after)
			if ok != (c.want != 0) || ok && (got.Action != c.want || got.DurationMS != c.duration || got.Epoch != 2 ||
				got.Mode != c.in.Mode()) {
				t.Errorf("got %+v, %v", got, ok)
			}
			if !ok && !reflect.DeepEqual(before, *b) {
				t.Errorf("an order that is not carried out changed %+v to %+v", before, *b)
			}
		})
	}
}

func TestAnOrderOutOfABacklogAsksAHuman(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Order
		age  int64
		want event.Action
	}{
		{"a fresh block blocks", order(event.Block, t0, minute), 0, event.Block},
		{"one of just the age allowed, too", order(event.Block, t0, minute), 10 * minute, event.Block},
		{"an older one escalates", order(event.Block, t0, minute), 10*minute + 1, event.Escalate},
		{"so does an older kill", order(event.Kill, t0, 0), 11 * minute, event.Escalate},
		{"a throttle harms nobody much", order(event.Throttle, t0, minute), 60 * minute, event.Throttle},
		{"a person knows what he does", byHand(order(event.Kill, t0, 0)), 60 * minute, event.Kill},
		{"behaviour of the future is not old", order(event.Kill, t0, 0), -60 * minute, event.Kill},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &Breaker{Scope: agent("a")}
			got, ok := b.Trip(c.o, enforced, t0+c.age)
			if !ok || got.Action != c.want || b.Action != c.want ||
				strings.HasPrefix(got.Reason, "stale: ") != (c.want != c.o.Action) {
				t.Errorf("got %s %q, want %s", got.Action, got.Reason, c.want)
			}
		})
	}
}

func TestEpochsAndIdsNeverRepeat(t *testing.T) {
	b := &Breaker{Scope: agent("a")}
	seen := map[string]bool{}
	now, epoch := t0, int64(0)
	issued := func(c event.Command, ok bool) {
		t.Helper()
		if epoch++; !ok || c.Epoch != epoch {
			t.Fatalf("%s has epoch %d, want %d", c.Action, c.Epoch, epoch)
		}
		if len(c.ID) > 36 || seen[c.ID] || seen[c.IdempotencyKey()] {
			t.Fatalf("id %q, key %q: too long or seen before", c.ID, c.IdempotencyKey())
		}
		seen[c.ID], seen[c.IdempotencyKey()] = true, true
		other := &Breaker{Scope: b.Scope, Epoch: c.Epoch - 1, Action: event.Observe, Mode: event.DryRun}
		if again, _ := other.Restore(event.Issuer{}, "", 0, dry, 0); again.ID != c.ID {
			t.Fatalf("epoch %d has the id %q here and %q there", c.Epoch, c.ID, again.ID)
		}
	}
	for range 50 {
		issued(b.Trip(order(event.Throttle, now, minute), enforced, now))
		issued(b.Trip(order(event.Kill, now, minute), enforced, now))
		if now += minute; epoch%3 == 0 {
			issued(b.Restore(event.Issuer{Type: "human"}, "", now, enforced, now))
		} else {
			issued(b.Expire(b.Epoch, enforced, now))
		}
	}
	ids := map[string]string{}
	for _, s := range []event.Scope{agent("a"), agent("A"), {Type: event.UserScope, Tenant: "acme", ID: "a"},
		{Type: event.AgentScope, Tenant: "other", ID: "a"}, agent("a|1"), agent("a%7C1"),
		{Type: event.SessionScope, Tenant: "acme", Agent: "a", ID: "s"},
		{Type: event.SessionScope, Tenant: "acme", Agent: "b", ID: "s"},
		{Type: event.SessionScope, Tenant: "acme", Agent: "a|s", ID: ""},
		{Type: event.GlobalScope, ID: "*"}} {
		for epoch := range int64(30) {
			id := commandID(s, epoch)
			if other := ids[id]; other != "" {
				t.Errorf("%s epoch %d has the id of %s", s.Key(), epoch, other)
			}
			ids[id] = s.Key()
		}
	}
}

func TestABreakerExpiresOnlyWhenItsOwnTimeIsOver(t *testing.T) {
	for _, c := range []struct {
		name     string
		duration int64
		epoch    int64
		now      int64
		want     bool
	}{
		{"at its end", minute, 1, t0 + minute, true},
		{"long after", minute, 1, t0 + 99*minute, true},
		{"not before", minute, 1, t0 + minute - 1, false},
		{"not for an epoch that is over", minute, 0, t0 + minute, false},
		{"not for one to come", minute, 2, t0 + minute, false},
		{"never, if a person must restore it", 0, 1, t0 + 999*minute, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := blocked(t, c.duration)
			got, ok := b.Expire(c.epoch, enforced, c.now)
			if ok != c.want || b.Open() == c.want {
				t.Fatalf("got %v", ok)
			}
			if ok && (got.Action != event.Restore || got.Epoch != 2 || got.Time != t0+c.duration ||
				got.Issuer.Type != "expiry" || got.Mode != event.Enforce || b.State() != nil) {
				t.Errorf("got %+v", got)
			}
			if _, again := b.Expire(c.epoch, enforced, c.now); again {
				t.Error("it expires twice")
			}
		})
	}
	b := blocked(t, minute)
	b.Trip(byHand(order(event.Block, t0, 5*minute)), enforced, t0)
	if _, ok := b.Expire(1, enforced, t0+minute); ok || !b.Open() {
		t.Error("what was prolonged ends when it first should have")
	}
	var none *Breaker
	if none.Open() || none.State() != nil || none.Miss(0, t0) || none.TakeAck(&event.Ack{Epoch: 1}, t0) != AckUnknown {
		t.Error("a breaker that is not there does something")
	}
}

func TestAReasonIsCutBetweenLetters(t *testing.T) {
	for _, s := range []string{"", strings.Repeat("x", maxReason), strings.Repeat("x", maxReason+1),
		strings.Repeat("é", 300), "x" + strings.Repeat("é", 300), strings.Repeat("語", 300)} {
		got := short(s)
		if len(got) > maxReason || !utf8.ValidString(got) || (got == s) != (len(s) <= maxReason) {
			t.Errorf("%.10s… of %d bytes becomes %d bytes", s, len(s), len(got))
		}
	}
	if got := short(strings.Repeat("\x80", 400)); len(got) > maxReason { // not UTF-8 at all
		t.Errorf("%d bytes", len(got))
	}
}
