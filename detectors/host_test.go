package detectors

import (
	"cmp"
	"fmt"
	"maps"
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
type host struct {
	panel    *Panel
	agents   map[string]*Memory
	sessions map[string]*Memory
	scopes   map[string]*Memory
	buckets  map[string]*Bucket
	event    *event.Event
	time     int64
	notes    []Note
	found    []event.Finding
	again    []event.Finding
	all      bool // what goes on is found like the rest
	reload   bool // every page goes through its encoding before each use
}

func newHost(t testing.TB, set string) *host {
	t.Helper()
	s, err := policy.Parse([]byte(set))
	if err != nil {
		t.Fatal(err)
	}
	return &host{panel: New(s), agents: map[string]*Memory{}, sessions: map[string]*Memory{},
		scopes: map[string]*Memory{}, buckets: map[string]*Bucket{}}
}

func (h *host) memory(of map[string]*Memory, key string) *Memory {
	m := of[key]
	if m == nil {
		m = &Memory{}
	}
	if h.reload {
		r := wire.Reader{B: m.Append(nil)}
		m = &Memory{}
		if m.Decode(&r); r.Err != nil || len(r.B) != 0 {
			panic(fmt.Sprint(r.Err, len(r.B), " bytes left"))
		}
	}
	of[key] = m
	return m
}

func (h *host) Session() *Memory {
	if h.event.Session == "" {
		return nil
	}
	return h.memory(h.sessions, h.event.Tenant+"|"+h.event.Agent.ID+"|"+h.event.Session)
}

func (h *host) Find(f event.Finding) {
	if f.Activity == event.Again && !h.all { // goes on without being told: for the breaker alone
		h.again = append(h.again, f)
		return
	}
	h.found = append(h.found, f)
}

func (h *host) Settled(*event.Response, event.ScopeType) bool { return false }

func (h *host) Count(string, string) {}

func (h *host) Tell(slot byte, scope policy.Scope, id string, body []byte) {
	h.notes = append(h.notes,
		Note{slot, scope, h.event.Tenant, id, event.Ref{Time: h.time, ID: h.event.ID, Agent: h.event.Agent.ID}, 0,
			slices.Clone(body)})
}

// closeNotes tells the notes in order of (time, id), as the relation stage does once the watermark
// has passed them.
func (h *host) closeNotes() {
	slices.SortFunc(h.notes, func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.Ref.Time, b.Ref.Time), cmp.Compare(a.Ref.ID, b.Ref.ID),
			cmp.Compare(a.Ref.Agent, b.Ref.Agent))
	})
	for _, n := range h.notes {
		m := h.memory(h.scopes, fmt.Sprint("note ", n.Slot, n.Scope, n.Tenant, "|", n.ID))
		h.panel.Note(&Closing{Tenant: n.Tenant, ID: n.ID, Memory: m, Find: h.Find}, &n)
	}
	h.notes = nil
}

func (h *host) Contribute(slot byte, scope policy.Scope, id string, list []Contribution) {
	ref := event.Ref{Time: h.time, ID: h.event.ID, Agent: h.event.Agent.ID}
	var p Partials // of one event, so that all depends on merging
	p.Add(slot, scope, h.event.Tenant, 1, id, xxhash.Sum64String(ref.Agent), ref, wire.FloorDiv(h.time, BucketMS), list)
	p.Each(func(b *Bucket) {
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

func (h *host) observe(e *event.Event) {
	h.event, h.time = e, e.Time
	x := Scene{Host: h, Time: e.Time, Agent: h.memory(h.agents, e.Tenant+"|"+e.Agent.ID),
		Who: h.panel.Who(e.Tenant, e.Persona, ""), Delta: &baselines.Delta{}}
	h.panel.Observe(&x, e)
}

// close closes every bucket that ends by a time, in order of time.
func (h *host) close(until int64) {
	keys := slices.SortedFunc(maps.Keys(h.buckets), func(a, b string) int {
		return cmp.Or(cmp.Compare(h.buckets[a].Index, h.buckets[b].Index), cmp.Compare(a, b))
	})
	for _, k := range keys {
		b := h.buckets[k]
		if (b.Index+1)*BucketMS > until {
			continue
		}
		delete(h.buckets, k)
		x := Closing{Find: h.Find, Memory: h.memory(h.scopes, fmt.Sprint(b.Slot, b.Scope, b.Tenant, "|", b.ID))}
		h.panel.Relate(&x, b)
	}
}

// limits writes a set of limits, each given as JSON without its braces.
func limits(list ...string) string {
	return `{"v":1,"limits":[{` + strings.Join(list, `},{`) + `}]}`
}

func call(t int64, id string) event.Event {
	return event.Event{ID: id, Time: t, Kind: event.ToolCall, Tenant: "acme", Agent: event.Agent{ID: "a1"},
		Session: "s1", User: "u1", Persona: "clerk", Tool: event.Tool{Name: "search"}}
}

func records(e event.Event, n int64) event.Event {
	e.Has |= event.HasRecords
	e.Result.Records = n
	return e
}

func amount(e event.Event, units int64, currency string) event.Event {
	e.Has |= event.HasAmount
	e.Amount = event.Amount{Micro: units * 1_000_000, Currency: currency}
	return e
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// calls are events at honest work: a tenth pays, a twentieth fails.
func calls(n int) (events []event.Event) {
	for i := range n {
		e := records(call(0, "event-"+strconv.Itoa(i)), 3)
		e.Tool.Class, e.Result.Outcome, e.Subject = event.Read, event.OK, "customer-"+strconv.Itoa(i)
		if i%10 == 9 {
			e = amount(e, 3, "EUR")
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

func benchmark(b *testing.B, p *Panel, n int, show func(p *Panel, x *Scene, e *event.Event)) {
	events := calls(200)
	tools := make([]*catalogue.Tool, len(events))
	for i := range events {
		tools[i] = p.tool("acme", &events[i].Tool)
	}
	host := &bare{partials: &Partials{}}
	type agent struct {
		id, user        string
		memory, session Memory
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
	x := Scene{Host: host, Who: p.Who("acme", "clerk", ""), Delta: &baselines.Delta{}}
	observe := func(i int) {
		k, a := i%len(events), &agents[order[i%len(order)]]
		e := &events[k]
		e.Agent.ID, e.User = a.id, a.user
		x.Time, x.Agent, x.Tool = int64(i)/10, &a.memory, tools[k]
		host.session, host.agent, host.ref = &a.session, uint64(order[i%len(order)]), event.Ref{Time: x.Time, ID: e.ID,
			Agent: a.id}
		show(p, &x, e)
		if i%4000 == 3999 {
			host.partials.Reset()
			p.Reset()
		}
	}
	for i := range order {
		observe(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	for i := range b.N {
		observe(len(order) + i)
	}
	if host.found > 0 {
		b.Fatalf("%d findings: the benchmark is of events that violate nothing", host.found)
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op") // others share the machine
}

// cpu is the processor time of this process so far, in nanoseconds.
func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// fifty are limits as an operator might have them.
func fifty(t testing.TB) *policy.Set {
	set, errs := policy.Load("../testdata/bench")
	if len(errs) > 0 || len(set.Limits()) != 50 {
		t.Fatal(len(set.Limits()), errs)
	}
	return set
}

// bare measures a detector without a shard.
type bare struct {
	nobody
	partials *Partials
	agent    uint64
	ref      event.Ref
	found    int
}

func (s *bare) Find(event.Finding) { s.found++ }

func (s *bare) Contribute(slot byte, scope policy.Scope, id string, list []Contribution) {
	s.partials.Add(slot, scope, "acme", 1, id, s.agent, s.ref, s.ref.Time/BucketMS, list)
}

func (s *bare) Settled(*event.Response, event.ScopeType) bool { return true }

// nobody is a host that forgets.
type nobody struct{ session *Memory }

func (q *nobody) Session() *Memory { return q.session }

func (*nobody) Find(event.Finding) {}

func (*nobody) Settled(*event.Response, event.ScopeType) bool { return false }

func (*nobody) Tell(byte, policy.Scope, string, []byte) {}

func (*nobody) Contribute(byte, policy.Scope, string, []Contribution) {}

func (*nobody) Count(string, string) {}
