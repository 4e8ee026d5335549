package response

import (
	"bytes"
	"slices"
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

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
	f.Add((&Guard{open: []uint64{1, 2}, active: [2]int64{3, 4}, hour: 5, full: true}).Append(nil))
	f.Fuzz(func(t *testing.T, d []byte) {
		b, r := &Breaker{}, wire.Reader{B: d}
		if b.Decode(&r); r.Err == nil {
			reload(t, b)
			if s := b.State(); s != nil { // whatever came back can be encoded, refused and ended
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
