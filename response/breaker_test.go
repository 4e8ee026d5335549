package response

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
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
		{"after its end a weaker one is carried out, told of the end or not", order(event.Kill, t0, minute), enforced,
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

func TestAcks(t *testing.T) {
	type said struct {
		status event.AckStatus
		want   AckResult
	}
	for name, c := range map[string]struct {
		said    []said
		state   string
		applied bool
	}{
		"applied": {[]said{{event.Received, AckTaken}, {event.Applied, AckTaken}},
			"applied", true},
		"a late received takes nothing back": {[]said{{event.Applied, AckTaken}, {event.Received, AckKnown}},
			"applied", true},
		"applied twice is once": {[]said{{event.Applied, AckTaken}, {event.Applied, AckKnown}},
			"applied", true},
		"one gateway's no after another's yes": {[]said{{event.Applied, AckTaken}, {event.Failed, AckKnown}},
			"applied", true},
		"rejected is not enforced": {[]said{{event.Rejected, AckRefused}}, "rejected", false},
		"so is failed": {[]said{{event.Received, AckTaken}, {event.Failed, AckRefused}},
			"failed", false},
		"so is expired": {[]said{{event.Expired, AckRefused}}, "expired", false},
		"that is news once": {[]said{{event.Rejected, AckRefused}, {event.Rejected, AckKnown},
			{event.Failed, AckKnown}}, "rejected", false},
		"a late received does not hide a rejection": {[]said{{event.Rejected, AckRefused}, {event.Received, AckKnown}},
			"rejected", false},
		"it may work in the end": {[]said{{event.Failed, AckRefused}, {event.Applied, AckTaken}},
			"applied", true},
	} {
		t.Run(name, func(t *testing.T) {
			b := blocked(t, 0)
			for i, s := range c.said {
				if got := b.TakeAck(ack(b, s.status, t0+5), t0+9); got != s.want {
					t.Errorf("ack %d, %s: got %d, want %d", i, s.status, got, s.want)
				}
			}
			if got := b.State().Enforced; got != c.state || (b.Applied != 0) != c.applied {
				t.Errorf("the state says %q, applied %v", got, b.Applied != 0)
			}
			if settled := c.said[len(c.said)-1].status != event.Received || len(c.said) > 1; settled == (b.AckBy != 0) {
				t.Errorf("an ack is awaited by %d", b.AckBy)
			}
		})
	}
}

func TestAcksThatAreNotAboutTheLastCommand(t *testing.T) {
	b := blocked(t, minute)
	old := ack(b, event.Applied, t0)
	b.Trip(order(event.Kill, t0, minute), enforced, t0)
	for name, c := range map[string]struct {
		change func(*event.Ack)
		want   AckResult
	}{
		"an epoch that is over":    {func(a *event.Ack) { *a = *old }, AckStale},
		"an epoch from the future": {func(a *event.Ack) { a.Epoch = 3 }, AckUnknown},
		"its id, and the id is right": {func(a *event.Ack) { a.Epoch, a.CommandID = 3, commandID(b.Scope, 3) },
			AckUnknown},
		"another command's id": {func(a *event.Ack) { a.CommandID = commandID(agent("b"), a.Epoch) },
			AckUnknown},
		"an old epoch with a wrong id": {func(a *event.Ack) { a.Epoch = 1 }, AckUnknown},
		"the epoch before the first": {func(a *event.Ack) { a.Epoch, a.CommandID = 0, commandID(b.Scope, 0) },
			AckUnknown},
		"no epoch at all, and no id": {func(a *event.Ack) { a.Epoch, a.CommandID = 0, "" }, AckUnknown},
		"a negative epoch": {func(a *event.Ack) { a.Epoch, a.CommandID = -1, commandID(b.Scope, -1) },
			AckUnknown},
		"the last command, for comparison": {func(*event.Ack) {}, AckTaken},
	} {
		t.Run(name, func(t *testing.T) {
			c2 := *b
			a := ack(&c2, event.Applied, t0)
			c.change(a)
			if got := c2.TakeAck(a, t0); got != c.want || (c2.State().Enforced != "") != (c.want == AckTaken) {
				t.Errorf("got %d, and the state says %q", got, c2.State().Enforced)
			}
		})
	}
}

func TestNoGatewayAppliesACommandBeforeItWasIssuedOrAfterItSaidSo(t *testing.T) {
	const issued = t0 + minute // of behaviour at t0
	for name, c := range map[string]struct{ clock, stamp, want int64 }{
		"the gateway's own time":                 {issued + 50, issued + 80, issued + 50},
		"a clock that is ahead":                  {issued + 99*minute, issued + 80, issued + 80},
		"a clock that is behind":                 {issued - 99*minute, issued + 80, issued},
		"a clock that was never set":             {0, issued + 80, issued},
		"a broker whose clock is behind our own": {issued + 50, issued - minute, issued},
	} {
		t.Run(name, func(t *testing.T) {
			b := &Breaker{Scope: agent("a")}
			b.Trip(order(event.Block, t0, 0), enforced, issued)
			if b.TakeAck(ack(b, event.Applied, c.clock), c.stamp); b.Applied != c.want {
				t.Errorf("applied %d ms after it was issued, want %d", b.Applied-issued, c.want-issued)
			}
		})
	}
}

func TestAMissedDeadline(t *testing.T) {
	by := t0 + enforced.AckMS
	b := blocked(t, 0)
	if b.Miss(1, by-1) || b.Miss(0, by) || b.Miss(2, by) {
		t.Error("missed too early, or of another epoch")
	}
	b.TakeAck(ack(b, event.Received, t0), t0) // received is not applied
	if !b.Miss(1, by) || b.State().Enforced != "missed" {
		t.Errorf("not missed, the state says %q", b.State().Enforced)
	}
	if f := b.NotEnforced(); !strings.Contains(f.Why, "not acknowledged in time") || f.ScopeID != "a" ||
		f.Agent != "a" || f.Severity != event.High || f.Refs[0].ID != "e1" {
		t.Errorf("%+v", f)
	}
	if b.Miss(1, by+minute) {
		t.Error("missed twice")
	}
	if got := b.TakeAck(ack(b, event.Rejected, t0), t0); got != AckTaken {
		t.Errorf("a rejection after that is news again: %d", got)
	}
	if b.TakeAck(ack(b, event.Applied, t0), t0); b.State().Enforced != "applied" {
		t.Errorf("applied late: the state says %q", b.State().Enforced)
	}

	for name, b := range map[string]*Breaker{"applied": blocked(t, 0), "rejected": blocked(t, 0)} {
		s := map[string]event.AckStatus{"applied": event.Applied, "rejected": event.Rejected}[name]
		if b.TakeAck(ack(b, s, t0), t0); b.Miss(1, by+minute) {
			t.Errorf("%s in time, and missed all the same", name)
		}
	}
	for name, c := range map[string]struct {
		set *policy.Settings
		o   Order
	}{"a dry run": {dry, order(event.Kill, t0, 0)}, "an observation": {enforced, order(event.Observe, t0, 0)}} {
		b := &Breaker{Scope: agent("a")}
		if b.Trip(c.o, c.set, t0); b.Miss(1, by+minute) {
			t.Errorf("%s waits for an ack", name)
		}
	}
	b = blocked(t, 0)
	b.Restore(event.Issuer{}, "", t0, enforced, t0)
	if b.AckBy == 0 || b.Miss(2, by) || b.AckBy != 0 {
		t.Error("a restore that is not acknowledged is either not awaited, or a finding, or awaited for ever")
	}
	b.Trip(byHand(order(event.Block, t0, 0)), enforced, t0)
	b.trigger = event.Ref{}
	if f := b.NotEnforced(); len(f.Refs) != 0 {
		t.Errorf("a person's order has no trigger, the finding has %v", f.Refs)
	}
}

func TestActingAfterAnAppliedBlockIsFound(t *testing.T) {
	applied := t0 + 1000
	at := func(i, ms int64) event.Ref { return event.Ref{Time: ms, ID: fmt.Sprint("e", i), Agent: "a"} }
	b := blocked(t, 10*minute)
	if f := b.Defied(at(0, t0+5*minute)); f.Activity != 0 {
		t.Error("nobody has said that it is applied")
	}
	b.TakeAck(ack(b, event.Applied, applied), applied+50)
	for _, ms := range []int64{applied - minute, applied, applied + grace} {
		if f := b.Defied(at(0, ms)); f.Activity != 0 {
			t.Errorf("%d ms after it was applied a call may still end", ms-applied)
		}
	}
	if f := b.Defied(at(0, t0+10*minute-grace)); f.Activity != 0 {
		t.Error("the gateway's clock may let it go a little early")
	}
	var told []int64
	var uid string
	for i := range int64(100) {
		f := b.Defied(at(i, applied+grace+1+i))
		if f.Activity == 0 {
			continue
		}
		if want := map[bool]event.Activity{true: event.Create, false: event.Update}[len(told) == 0]; f.Activity != want || f.Count != i+1 || uid != "" && f.UID != uid {
			t.Errorf("act %d: %+v", i+1, f)
		}
		uid = f.UID
		if f.Time != applied+grace+1 || f.Last != applied+grace+1+i || f.Severity != event.Critical || f.Agent != "a" {
			t.Errorf("act %d: %+v", i+1, f)
		}
		told = append(told, f.Count)
	}
	if diff := cmp.Diff([]int64{1, 2, 4, 8, 16, 32, 64}, told); diff != "" {
		t.Errorf("told at (-want +got):\n%s", diff)
	}

	for name, c := range map[string]struct {
		o   Order
		set *policy.Settings
	}{"a throttle": {order(event.Throttle, t0, 0), enforced}, "an observation": {order(event.Observe, t0, 0), enforced},
		"a dry run": {order(event.Kill, t0, 0), dry}} {
		b := &Breaker{Scope: agent("a")}
		b.Trip(c.o, c.set, t0)
		b.TakeAck(ack(b, event.Applied, t0), t0)
		if f := b.Defied(at(1, t0+minute)); f.Activity != 0 {
			t.Errorf("%s forbids no call", name)
		}
	}
	b.Restore(event.Issuer{}, "", t0+minute, enforced, t0+minute)
	if f := b.Defied(at(1, t0+2*minute)); f.Activity != 0 {
		t.Error("a restored agent may act")
	}
}

func TestWhatIsCountedAgainstAnEpochOutlivesItsNews(t *testing.T) {
	one := blocked(t, 0)
	one.TakeAck(ack(one, event.Applied, t0), t0)
	for i := range int64(3) {
		one.Defied(event.Ref{Time: t0 + minute + i, ID: fmt.Sprint(i), Agent: "x"})
	}
	news := reload(t, one)
	news.acts, news.told, news.first = 0, 0, event.Ref{}
	if news.KeepActs(one); news.acts != 3 || news.first.ID != "0" {
		t.Errorf("the same epoch: %d acts, first %v", news.acts, news.first)
	}
	later := &Breaker{Scope: one.Scope, Epoch: 2}
	if later.KeepActs(one); later.acts != 0 {
		t.Error("another epoch begins with acts of the one before")
	}
}

// gateway is an oracle: what is in force, told from the commands alone, as a gateway would.
type gateway struct {
	commands []event.Command
	since    int64
	weight   int
	status   event.AckStatus
	missed   bool
}

func (w *gateway) last() *event.Command {
	if len(w.commands) == 0 {
		return &event.Command{Action: event.Restore}
	}
	return &w.commands[len(w.commands)-1]
}

func (w *gateway) open() bool { return w.last().Action != event.Restore }

func end(c *event.Command) int64 {
	if c.DurationMS == 0 {
		return 1 << 62
	}
	return c.IssuedAt + c.DurationMS
}

func (w *gateway) take(c event.Command) {
	w.commands = append(w.commands, c)
	w.weight, w.status, w.missed = 0, 0, false
}

func rank(mode string, a event.Action) int {
	if mode == event.Enforce {
		return 10 + int(a)
	}
	return int(a)
}

// wants is the command that an order should lead to.
func (w *gateway) wants(o Order, set *policy.Settings, now int64) (event.Command, bool) {
	if o.Issuer.Type != "human" && o.Action >= event.Block && o.Time < now-set.StaleMS {
		o.Action, o.Reason = event.Escalate, "stale: "+o.Reason
	}
	l, c := w.last(), event.Command{Action: o.Action, Epoch: w.last().Epoch + 1, Time: o.Time, IssuedAt: now,
		NotAfter: now + set.StartMS, DurationMS: o.DurationMS, Rate: o.Rate, Mode: set.Mode(), Issuer: o.Issuer,
		Reason:     o.Reason,
		FindingUID: o.FindingUID}
	live := w.open() && now < end(l)
	switch have, got := rank(l.Mode, l.Action), rank(c.Mode, c.Action); {
	case !live || c.Mode != l.Mode && got > have:
		return c, true
	case got < have, got == have && (o.Issuer.Type != "human" || end(&c) <= end(l)):
		return c, false
	}
	if end(l) > end(&c) {
		c.DurationMS = end(l) - now
		if end(l) == 1<<62 {
			c.DurationMS = 0
		}
	}
	return c, true
}

func reload(t testing.TB, b *Breaker) *Breaker {
	t.Helper()
	d := b.Append(nil)
	back := &Breaker{}
	r := wire.Reader{B: d}
	if back.Decode(&r); r.Err != nil || len(r.B) != 0 {
		t.Fatalf("%+v does not come back: %v, %d bytes left", b, r.Err, len(r.B))
	}
	if again := back.Append(nil); !bytes.Equal(d, again) {
		t.Fatalf("%x comes back as %x", d, again)
	}
	return back
}

// Random orders, ends, acks and acts, with a reload between any two: what a breaker does is what
// the commands on the wire say.
func TestABreakerDoesWhatItsCommandsSay(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 7))
		b := &Breaker{Scope: []event.Scope{agent("a|%é"), {Type: event.SessionScope, Tenant: "acme", Agent: "a",
			ID: "s"}, {Type: event.GlobalScope, ID: "*"}}[r.IntN(3)]}
		w := &gateway{}
		now := t0
		for step := range 120 {
			if now += r.Int64N(2 * minute); r.IntN(20) == 0 {
				now += 20 * minute
			}
			set := enforced
			if r.IntN(4) == 0 && seed%2 == 0 {
				set = dry
			}
			if r.IntN(3) > 0 {
				b = reload(t, b)
			}
			at := fmt.Sprintf("seed %d, step %d", seed, step)
			check := func(what string, got event.Command, did bool, want event.Command, should bool) {
				t.Helper()
				seen[fmt.Sprint(what, did)]++
				if did != should {
					t.Fatalf("%s: %s: a command %v, want %v; in force %+v", at, what, did, should, w.last())
				}
				if !did {
					return
				}
				want.ID, want.Scope = commandID(b.Scope, want.Epoch), b.Scope
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s: %s (-want +got):\n%s", at, what, diff)
				}
				if got.Action == event.Restore || !w.open() || now >= end(w.last()) || w.last().Mode != got.Mode {
					w.since = got.Time
				}
				w.take(got)
			}
			switch r.IntN(8) {
			case 0, 1, 2:
				o := order(event.Action(1+r.IntN(5)), now-r.Int64N(12*minute),
					[]int64{0, minute, 5 * minute, 30 * minute}[r.IntN(4)])
				if o.Action == event.Throttle {
					o.Rate = event.Rate{Calls: 1 + r.Int64N(9), PerSeconds: 60,
						Classes: [][]event.Class{nil, {event.Read}, {event.Read, event.Pay}}[r.IntN(3)]}
				}
				if r.IntN(4) == 0 {
					o = byHand(o)
				}
				want, should := w.wants(o, set, now)
				got, did := b.Trip(o, set, now)
				check("trip", got, did, want, should)
			case 3:
				epoch := w.last().Epoch - int64(r.IntN(2))
				l := w.last()
				got, did := b.Expire(epoch, set, now)
				check("expire", got, did, event.Command{Action: event.Restore, Epoch: l.Epoch + 1,
					Time: l.Time + l.DurationMS, IssuedAt: now, NotAfter: now + set.StartMS, Mode: l.Mode,
					Issuer: event.Issuer{Type: "expiry"}, Reason: "its duration is over", FindingUID: l.FindingUID},
					w.open() && epoch == l.Epoch && now >= end(l))
			case 4:
				l, who := w.last(), event.Issuer{Type: "human", By: "bob"}
				got, did := b.Restore(who, "done", now, set, now)
				check("restore", got, did, event.Command{Action: event.Restore, Epoch: l.Epoch + 1, Time: now,
					IssuedAt: now, NotAfter: now + set.StartMS, Mode: l.Mode, Issuer: who, Reason: "done",
					FindingUID: l.FindingUID}, w.open())
			case 5, 6:
				l := w.last()
				a := &event.Ack{CommandID: l.ID, Scope: b.Scope, Epoch: l.Epoch - int64(r.IntN(2)),
					Time: now + r.Int64N(5000), Status: event.AckStatus(1 + r.IntN(5))}
				weight := map[event.AckStatus]int{event.Received: 1, event.Rejected: 2, event.Failed: 2,
					event.Expired: 2, event.Applied: 3}[a.Status]
				want := AckTaken
				switch {
				case len(w.commands) == 0 || a.Epoch != l.Epoch:
					want = AckUnknown // the id is not that of the epoch before
				case weight <= w.weight:
					want = AckKnown
				default:
					if weight == 2 && w.open() && !w.missed {
						want = AckRefused
					}
					w.weight, w.status = weight, a.Status
				}
				seen[fmt.Sprint("ack", want)]++
				if got := b.TakeAck(a, now+2000); got != want {
					t.Fatalf("%s: ack %s of epoch %d: got %d, want %d", at, a.Status, a.Epoch, got, want)
				}
			case 7:
				l := w.last()
				due := len(w.commands) > 0 && l.Mode == event.Enforce && l.Action != event.Observe && w.weight < 2 &&
					!w.missed && now >= l.IssuedAt+enforced.AckMS
				got := b.Miss(l.Epoch, now)
				seen[fmt.Sprint("missed", got)]++
				if got != (due && w.open()) {
					t.Fatalf("%s: missed %v; in force %+v", at, got, l)
				}
				w.missed = w.missed || due
			}
			b = reload(t, b)
			var want *event.Breaker
			if l := w.last(); w.open() {
				want = &event.Breaker{Scope: b.Scope, State: []string{"", "observed", "throttled", "open", "open",
					"open"}[l.Action], Action: l.Action, Epoch: l.Epoch, Since: w.since, Rate: l.Rate, Mode: l.Mode,
					Enforced: w.status.String(), CommandID: l.ID, FindingUID: l.FindingUID, Reason: l.Reason,
					Issuer: l.Issuer}
				if l.DurationMS > 0 {
					want.Until = end(l)
				}
				if w.missed && w.weight < 2 {
					want.Enforced = "missed"
				}
			}
			if diff := cmp.Diff(want, b.State()); diff != "" {
				t.Fatalf("%s: state (-want +got):\n%s", at, diff)
			}
			if b.Epoch != int64(len(w.commands)) {
				t.Fatalf("%s: epoch %d after %d commands", at, b.Epoch, len(w.commands))
			}
		}
	}
	for _, what := range []string{"triptrue", "tripfalse", "expiretrue", "expirefalse", "restoretrue", "restorefalse",
		"missedtrue", "missedfalse", fmt.Sprint("ack", AckTaken), fmt.Sprint("ack", AckKnown),
		fmt.Sprint("ack", AckUnknown), fmt.Sprint("ack", AckRefused)} {
		if seen[what] < 20 {
			t.Errorf("%s happened %d times: the test has lost its teeth", what, seen[what])
		}
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

func FuzzDecode(f *testing.F) {
	b := blocked(f, minute)
	b.TakeAck(ack(b, event.Applied, t0), t0)
	b.Defied(event.Ref{Time: t0 + minute/2, ID: "e", Agent: "a"})
	f.Add(b.Append(nil))
	throttle := &Breaker{Scope: event.Scope{Type: event.ToolScope, Tenant: "acme", ID: "s|t"}}
	o := order(event.Throttle, t0, minute)
	o.Rate = event.Rate{Calls: 3, PerSeconds: 60, Classes: slices.Repeat([]event.Class{event.Read}, 40)}
	throttle.Trip(o, dry, t0)
	f.Add(throttle.Append(nil))
	f.Add((&Guard{open: []uint64{1, 2}, active: [2]int64{3, 4}, hour: 5, shut: true}).Append(nil))
	f.Fuzz(func(t *testing.T, d []byte) {
		b, r := &Breaker{}, wire.Reader{B: d}
		if b.Decode(&r); r.Err == nil {
			reload(t, b)
			if s := b.State(); s != nil { // whatever came back can be told, refused and ended
				s.Append(nil)
			}
			b.NotEnforced()
			c, _ := b.Restore(event.Issuer{}, "", t0, enforced, t0)
			c.Append(nil)
		}
		g, r := &Guard{}, wire.Reader{B: d}
		if g.Decode(&r); r.Err == nil {
			again, back := g.Append(nil), &Guard{}
			r := wire.Reader{B: again}
			if back.Decode(&r); r.Err != nil || !bytes.Equal(back.Append(nil), again) {
				t.Fatalf("%x comes back as %x, %v", again, back.Append(nil), r.Err)
			}
		}
	})
}

func TestACutBreakerIsNotRead(t *testing.T) {
	b := blocked(t, minute)
	d := b.Append(nil)
	for n := range d {
		r := wire.Reader{B: d[:n]}
		if (&Breaker{}).Decode(&r); r.Err == nil {
			t.Fatalf("%d of %d bytes decode without an error", n, len(d))
		}
	}
	for name, change := range map[string]func(*Breaker){
		"no scope":         func(b *Breaker) { b.Scope.Type = 0 },
		"an unknown scope": func(b *Breaker) { b.Scope.Type = event.GlobalScope + 1 },
		"restore in force": func(b *Breaker) { b.Action = event.Restore },
		"an unknown ack":   func(b *Breaker) { b.Ack = event.Expired + 1 },
		"an unknown class": func(b *Breaker) { b.Rate.Classes = []event.Class{event.Delegate + 1} },
	} {
		c := *b
		change(&c)
		r := wire.Reader{B: c.Append(nil)}
		if (&Breaker{}).Decode(&r); r.Err == nil {
			t.Errorf("%s decodes without an error", name)
		}
	}
}
