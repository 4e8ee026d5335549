package response

import (
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

func TestAcks(t *testing.T) {
	type answer struct {
		status event.AckStatus
		want   AckResult
	}
	for name, c := range map[string]struct {
		acks    []answer
		state   string
		applied bool
	}{
		"applied": {[]answer{{event.Received, AckTaken}, {event.Applied, AckTaken}},
			"applied", true},
		"a late received takes nothing back": {[]answer{{event.Applied, AckTaken}, {event.Received, AckKnown}},
			"applied", true},
		"applied twice is once": {[]answer{{event.Applied, AckTaken}, {event.Applied, AckKnown}},
			"applied", true},
		"one gateway's no after another's yes": {[]answer{{event.Applied, AckTaken}, {event.Failed, AckKnown}},
			"applied", true},
		"rejected is not enforced": {[]answer{{event.Rejected, AckRefused}}, "rejected", false},
		"so is failed": {[]answer{{event.Received, AckTaken}, {event.Failed, AckRefused}},
			"failed", false},
		"so is expired": {[]answer{{event.Expired, AckRefused}}, "expired", false},
		"that is news once": {[]answer{{event.Rejected, AckRefused}, {event.Rejected, AckKnown},
			{event.Failed, AckKnown}}, "rejected", false},
		"a late received does not hide a rejection": {[]answer{{event.Rejected, AckRefused}, {event.Received, AckKnown}},
			"rejected", false},
		"it may work in the end": {[]answer{{event.Failed, AckRefused}, {event.Applied, AckTaken}},
			"applied", true},
	} {
		t.Run(name, func(t *testing.T) {
			b := blocked(t, 0)
			for i, s := range c.acks {
				if got := b.TakeAck(ack(b, s.status, t0+5), t0+9); got != s.want {
					t.Errorf("ack %d, %s: got %d, want %d", i, s.status, got, s.want)
				}
			}
			if got := b.State().Enforced; got != c.state || (b.Applied != 0) != c.applied {
				t.Errorf("the state says %q, applied %v", got, b.Applied != 0)
			}
			if settled := c.acks[len(c.acks)-1].status != event.Received || len(c.acks) > 1; settled == (b.AckBy != 0) {
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
