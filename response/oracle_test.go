package response

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// gateway is an oracle: what is in force, worked out from the commands alone, as a gateway would.
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
