package detectorstest

import (
	"cmp"
	"fmt"
	"maps"

	"github.com/wayward-sec/wayward/detectors"

	mathrand "math/rand"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// host is a shard of the test's own: pages are maps, and buckets above one agent close when the
// test says so.
type Host struct {
	Panel    *detectors.Panel
	Agents   map[string]*detectors.Memory
	sessions map[string]*detectors.Memory
	Scopes   map[string]*detectors.Memory
	buckets  map[string]*detectors.Bucket
	Event    *event.Event
	Time     int64
	Notes    []detectors.Note
	Found    []event.Finding
	Again    []event.Finding
	All      bool // what goes on is found like the rest
	Reload   bool // every page goes through its encoding before each use
}

func NewHost(t testing.TB, set string) *Host {
	t.Helper()
	s, err := policy.Parse([]byte(set))
	if err != nil {
		t.Fatal(err)
	}
	return &Host{Panel: detectors.New(s), Agents: map[string]*detectors.Memory{}, sessions: map[string]*detectors.Memory{},
		Scopes: map[string]*detectors.Memory{}, buckets: map[string]*detectors.Bucket{}}
}

func (h *Host) Memory(of map[string]*detectors.Memory, key string) *detectors.Memory {
	m := of[key]
	if m == nil {
		m = &detectors.Memory{}
	}
	if h.Reload {
		r := wire.Reader{B: m.Append(nil)}
		m = &detectors.Memory{}
		if m.Decode(&r); r.Err != nil || len(r.B) != 0 {
			panic(fmt.Sprint(r.Err, len(r.B), " bytes left"))
		}
	}
	of[key] = m
	return m
}

func (h *Host) Session() *detectors.Memory {
	if h.Event.Session == "" {
		return nil
	}
	return h.Memory(h.sessions, h.Event.Tenant+"|"+h.Event.Agent.ID+"|"+h.Event.Session)
}

func (h *Host) Find(f event.Finding) {
	if f.Activity == event.Again && !h.All { // goes on without being told: for the breaker alone
		h.Again = append(h.Again, f)
		return
	}
	h.Found = append(h.Found, f)
}

func (h *Host) Settled(*event.Response, event.ScopeType) bool { return false }

func (h *Host) Count(string, string) {}

func (h *Host) Tell(slot byte, scope policy.Scope, id string, body []byte) {
	h.Notes = append(h.Notes,
		detectors.Note{Slot: slot, Scope: scope, Tenant: h.Event.Tenant, ID: id,
			Ref: event.Ref{Time: h.Time, ID: h.Event.ID, Agent: h.Event.Agent.ID}, Body: slices.Clone(body)})
}

// closeNotes tells the notes in order of (time, id), as the relation stage does once the watermark
// has passed them.
func (h *Host) CloseNotes() {
	slices.SortFunc(h.Notes, func(a, b detectors.Note) int {
		return cmp.Or(cmp.Compare(a.Ref.Time, b.Ref.Time), cmp.Compare(a.Ref.ID, b.Ref.ID),
			cmp.Compare(a.Ref.Agent, b.Ref.Agent))
	})
	for _, n := range h.Notes {
		m := h.Memory(h.Scopes, fmt.Sprint("note ", n.Slot, n.Scope, n.Tenant, "|", n.ID))
		h.Panel.Note(&detectors.Closing{Tenant: n.Tenant, ID: n.ID, Memory: m, Find: h.Find}, &n)
	}
	h.Notes = nil
}

func (h *Host) Contribute(slot byte, scope policy.Scope, id string, list []detectors.Contribution) {
	ref := event.Ref{Time: h.Time, ID: h.Event.ID, Agent: h.Event.Agent.ID}
	var p detectors.Partials // of one event, so that all depends on merging
	p.Add(slot, scope, h.Event.Tenant, 1, id, xxhash.Sum64String(ref.Agent), ref, wire.FloorDiv(h.Time, detectors.BucketMS), list)
	p.Each(func(b *detectors.Bucket) {
		key := fmt.Sprint(slot, scope, b.Tenant, "|", id, "|", b.Index)
		if old := h.buckets[key]; old != nil {
			old.Merge(b)
		} else {
			own := *b
			own.ID, own.Counted = strings.Clone(b.ID), slices.Clone(b.Counted)
			h.buckets[key] = &own
		}
	})
}

func (h *Host) Observe(e *event.Event) {
	h.Event, h.Time = e, e.Time
	x := detectors.Scene{Host: h, Time: e.Time, Agent: h.Memory(h.Agents, e.Tenant+"|"+e.Agent.ID),
		Who: h.Panel.Who(e.Tenant, e.Persona, ""), Delta: &baselines.Delta{}}
	h.Panel.Observe(&x, e)
}

// close closes every bucket that ends by a time, in order of time.
func (h *Host) Close(until int64) {
	keys := slices.SortedFunc(maps.Keys(h.buckets), func(a, b string) int {
		return cmp.Or(cmp.Compare(h.buckets[a].Index, h.buckets[b].Index), cmp.Compare(a, b))
	})
	for _, k := range keys {
		b := h.buckets[k]
		if (b.Index+1)*detectors.BucketMS > until {
			continue
		}
		delete(h.buckets, k)
		x := detectors.Closing{Find: h.Find, Memory: h.Memory(h.Scopes, fmt.Sprint(b.Slot, b.Scope, b.Tenant, "|", b.ID))}
		h.Panel.Relate(&x, b)
	}
}

// limits writes a set of limits, each given as JSON without its braces.
func Limits(list ...string) string {
	return `{"v":1,"limits":[{` + strings.Join(list, `},{`) + `}]}`
}

func Call(t int64, id string) event.Event {
	return event.Event{ID: id, Time: t, Kind: event.ToolCall, Tenant: "acme", Agent: event.Agent{ID: "a1"},
		Session: "s1", User: "u1", Persona: "clerk", Tool: event.Tool{Name: "search"}}
}

func Records(e event.Event, n int64) event.Event {
	e.Has |= event.HasRecords
	e.Result.Records = n
	return e
}

func Amount(e event.Event, units int64, currency string) event.Event {
	e.Has |= event.HasAmount
	e.Amount = event.Amount{Micro: units * 1_000_000, Currency: currency}
	return e
}

func Zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// calls are events at honest work: a tenth pays, a twentieth fails.
func Calls(n int) (events []event.Event) {
	for i := range n {
		e := Records(Call(0, "event-"+strconv.Itoa(i)), 3)
		e.Tool.Class, e.Result.Outcome, e.Subject = event.Read, event.OK, "customer-"+strconv.Itoa(i)
		if i%10 == 9 {
			e = Amount(e, 3, "EUR")
			e.Tool.Name, e.Tool.Class = "refund_order", event.Pay
			e.Destination = event.Destination{Kind: "iban", Value: fmt.Sprintf("DE89 3704 0044 0532 01%02d 00", i%100)}
		}
		if i%20 == 3 {
			e.Result.Outcome = event.Error
		}
		events = append(events, e)
	}
	return events
}

func Benchmark(b *testing.B, p *detectors.Panel, n int, show func(p *detectors.Panel, x *detectors.Scene, e *event.Event)) {
	events := Calls(200)
	tools := make([]*catalogue.Tool, len(events))
	for i := range events {
		tools[i] = p.Tool("acme", &events[i].Tool)
	}
	host := &BareHost{Partials: &detectors.Partials{}}
	type agent struct {
		id, user        string
		memory, session detectors.Memory
	}
	agents := make([]agent, n)
	for i := range agents {
		agents[i].id, agents[i].user = "agent-"+strconv.Itoa(i), "user-"+strconv.Itoa(i/5)
	}
	order := make([]int32, 1<<18)
	zipf := mathrand.NewZipf(mathrand.New(mathrand.NewSource(1)), 1.1, 1, uint64(n-1))
	for i := range order {
		order[i] = int32(zipf.Uint64())
	}
	x := detectors.Scene{Host: host, Who: p.Who("acme", "clerk", ""), Delta: &baselines.Delta{}}
	observe := func(i int) {
		k, a := i%len(events), &agents[order[i%len(order)]]
		e := &events[k]
		e.Agent.ID, e.User = a.id, a.user
		x.Time, x.Agent, x.Tool = int64(i)/10, &a.memory, tools[k]
		host.Memory, host.agent, host.Ref = &a.session, uint64(order[i%len(order)]), event.Ref{Time: x.Time, ID: e.ID,
			Agent: a.id}
		show(p, &x, e)
		if i%4000 == 3999 {
			host.Partials.Reset()
			p.Reset()
		}
	}
	for i := range order {
		observe(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := CPU()
	for i := range b.N {
		observe(len(order) + i)
	}
	if host.found > 0 {
		b.Fatalf("%d findings: the benchmark is of events that violate nothing", host.found)
	}
	b.ReportMetric(float64(CPU()-before)/float64(b.N), "cpu-ns/op") // others share the machine
}

// cpu is the processor time of this process so far, in nanoseconds.
func CPU() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// fifty are limits as an operator might have them.
func Fifty(t testing.TB) *policy.Set {
	set, errs := policy.Load("../../testdata/bench")
	if len(errs) > 0 || len(set.Limits()) != 50 {
		t.Fatal(len(set.Limits()), errs)
	}
	return set
}

// bare measures a detector without a shard.
type BareHost struct {
	NoHost
	Partials *detectors.Partials
	agent    uint64
	Ref      event.Ref
	found    int
}

func (s *BareHost) Find(event.Finding) { s.found++ }

func (s *BareHost) Contribute(slot byte, scope policy.Scope, id string, list []detectors.Contribution) {
	s.Partials.Add(slot, scope, "acme", 1, id, s.agent, s.Ref, s.Ref.Time/detectors.BucketMS, list)
}

func (s *BareHost) Settled(*event.Response, event.ScopeType) bool { return true }

// nobody is a host that forgets.
type NoHost struct{ Memory *detectors.Memory }

func (q *NoHost) Session() *detectors.Memory { return q.Memory }

func (*NoHost) Find(event.Finding) {}

func (*NoHost) Settled(*event.Response, event.ScopeType) bool { return false }

func (*NoHost) Tell(byte, policy.Scope, string, []byte) {}

func (*NoHost) Contribute(byte, policy.Scope, string, []detectors.Contribution) {}

func (*NoHost) Count(string, string) {}
