package response

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

func TestActingAfterAnAppliedBlockIsFound(t *testing.T) {
	applied := t0 + 1000
	at := func(i, ms int64) event.Ref { return event.Ref{Time: ms, ID: fmt.Sprint("e", i), Agent: "a"} }
	b := blocked(t, 10*minute)
	if f := b.Defied(at(0, t0+5*minute)); f.Activity != 0 {
		t.Error("no gateway has reported that it is applied")
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
	var reported []int64
	var uid string
	for i := range int64(100) {
		f := b.Defied(at(i, applied+grace+1+i))
		if f.Activity == 0 {
			continue
		}
		if want := map[bool]event.Activity{true: event.Create, false: event.Update}[len(reported) == 0]; f.Activity != want || f.Count != i+1 || uid != "" && f.UID != uid {
			t.Errorf("act %d: %+v", i+1, f)
		}
		uid = f.UID
		if f.Time != applied+grace+1 || f.Last != applied+grace+1+i || f.Severity != event.Critical || f.Agent != "a" {
			t.Errorf("act %d: %+v", i+1, f)
		}
		reported = append(reported, f.Count)
	}
	if diff := cmp.Diff([]int64{1, 2, 4, 8, 16, 32, 64}, reported); diff != "" {
		t.Errorf("reported at (-want +got):\n%s", diff)
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
	news.calls, news.reportAt, news.firstCall = 0, 0, event.Ref{}
	if news.KeepCalls(one); news.calls != 3 || news.firstCall.ID != "0" {
		t.Errorf("the same epoch: %d acts, first %v", news.calls, news.firstCall)
	}
	later := &Breaker{Scope: one.Scope, Epoch: 2}
	if later.KeepCalls(one); later.calls != 0 {
		t.Error("another epoch begins with acts of the one before")
	}
}
