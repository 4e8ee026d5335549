package detectors

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// volume says when a limit is crossed: a sum over a window of event time, of one agent, session, persona, user or tenant.
//
// A limit is crossed by the event that lifts the window's sum from at most the limit to above it. Above one agent the same holds of the 5 s bucket,
// and the trigger is its last event. The finding is updated each time the sum doubles and ends when the sum is no longer above the limit: the next
// crossing is a new one.
//
// Of agents and sessions a sliding window moves by a 60th of its length (at least 1 s); above one agent by 5 s. It covers its length less at most
// one such step, so it never counts what is older than its length.
type volume struct {
	slot   byte
	own    []*meter // scopes agent and session, counted in the behaviour stage
	above  []*meter // the others
	byHash map[uint64]*meter
	sums   Sums // of the event under observation; a panel belongs to one shard
}

// meter counts one scope under one condition. Limits that differ in measure or height alone share a window.
type meter struct {
	hash  uint64
	scope policy.Scope
	cond  *policy.Limit // any of its limits: they agree on where and currency
	spans []span
}

// span is one window of a meter and the limits on it.
type span struct {
	baselines.Span
	hash   uint64 // names its window on disk
	mask   uint8  // measures that its limits need
	limits []*policy.Limit
}

func newVolume(slot byte, set *policy.Set) Detector {
	v := &volume{slot: slot, byHash: map[uint64]*meter{}}
	var meters []*meter
	for _, l := range set.Limits() { // sorted by id, so all that follows is in a fixed order
		hash := meterHash(l)
		m := v.byHash[hash]
		if m == nil {
			m = &meter{hash: hash, scope: l.Scope, cond: l}
			v.byHash[hash] = m
			meters = append(meters, m)
		}
		m.add(l)
	}
	for _, m := range meters {
		if m.scope == policy.AgentScope || m.scope == policy.SessionScope {
			v.own = append(v.own, m)
		} else {
			v.above = append(v.above, m)
		}
	}
	return v
}

func (m *meter) add(l *policy.Limit) {
	s := spanOf(l)
	var k [24]byte
	binary.BigEndian.PutUint64(k[:], m.hash)
	binary.BigEndian.PutUint64(k[8:], uint64(s.StepMS))
	binary.BigEndian.PutUint64(k[16:], uint64(s.N))
	hash := xxhash.Sum64(k[:])
	i := slices.IndexFunc(m.spans, func(x span) bool { return x.hash == hash })
	if i < 0 {
		i = len(m.spans)
		m.spans = append(m.spans, span{Span: s, hash: hash})
	}
	m.spans[i].mask |= 1 << l.Measure
	m.spans[i].limits = append(m.spans[i].limits, l)
}

// meterHash names what is counted: scope, condition and currency.
func meterHash(l *policy.Limit) uint64 {
	h := xxhash.New()
	list := func(words []string) {
		for _, w := range words {
			h.WriteString(w + "\x00")
		}
		h.WriteString("\x01")
	}
	h.WriteString(l.Scope.String() + "\x00" + l.Currency + "\x00")
	list(l.Where.Tenants)
	list(l.Where.Personas)
	list(l.Where.Tools)
	list(l.Where.Servers)
	for _, c := range l.Where.Classes {
		h.WriteString(c.String() + "\x00")
	}
	return h.Sum64()
}

func spanOf(l *policy.Limit) baselines.Span {
	own := l.Scope == policy.AgentScope || l.Scope == policy.SessionScope
	switch {
	case l.WindowMS == 0:
		return baselines.Lifetime()
	case l.Tumbling:
		return baselines.Tumbling(l.WindowMS)
	case own:
		return baselines.Sliding(l.WindowMS, max(1000, l.WindowMS/60))
	default:
		return baselines.Sliding(l.WindowMS, BucketMS)
	}
}

// meterPart is what volume remembers of one entity: the windows of the meters that count it, and the findings on them that may still grow.
type meterPart struct {
	windows []window
	few     [1]window // where the first of them lies: most entities have one, and then it is not a line of memory apart
}

type window struct {
	span uint64 // span.hash
	baselines.Window
	open []crossing
}

// crossing is a limit that is crossed now.
type crossing struct {
	limit uint64 // policy.Limit.Hash
	open
}

func (p *meterPart) window(s *span) *window {
	for i := range p.windows {
		if p.windows[i].span == s.hash {
			p.windows[i].Shape(s.mask)
			return &p.windows[i]
		}
	}
	p.add(window{span: s.hash})
	w := &p.windows[len(p.windows)-1]
	w.Shape(s.mask)
	return w
}

func (p *meterPart) add(w window) {
	if p.windows == nil {
		p.windows = p.few[:0]
	}
	p.windows = append(p.windows, w)
	if len(p.windows) > len(p.few) {
		p.few = [1]window{} // they have moved out
	}
}

// prune forgets windows that none of the meters has any more, when there are more than they have.
func (p *meterPart) prune(meters []*meter, scope policy.Scope) {
	n := 0
	for _, m := range meters {
		if m.scope == scope {
			n += len(m.spans)
		}
	}
	if len(p.windows) <= n {
		return
	}
	p.windows = slices.DeleteFunc(p.windows, func(w window) bool {
		for _, m := range meters {
			if m.scope == scope && slices.ContainsFunc(m.spans, func(s span) bool { return s.hash == w.span }) {
				return false
			}
		}
		return true
	})
}

// measure measures one event. One record per call counts, at its end; money counts only if the call did not fail.
func measure(s *Sums, e *event.Event, currency string) {
	*s = Sums{policy.Count: 1}
	if e.Has&event.HasRecords != 0 {
		s[policy.Records] = e.Result.Records
	}
	if e.Has&event.HasBytes != 0 {
		s[policy.Bytes] = e.Result.Bytes
	}
	if e.Has&event.HasCost != 0 {
		s[policy.Cost] = max(0, e.Cost.MicroUSD)
	}
	if e.Has&event.HasAmount != 0 && e.Amount.Currency == currency && e.Result.Outcome <= event.OK {
		s[policy.Amount] = max(0, e.Amount.Micro)
	}
}

// self stands for the page's own agent, where there is no other.
const self = 1

func (v *volume) Observe(x *Scene, e *event.Event) {
	if e.Kind != event.ToolCall || e.Phase == event.Attempt {
		return
	}
	for _, m := range v.own {
		if !m.cond.Matches(x.Persona, e) {
			continue
		}
		mem, id := x.Agent, e.Agent.ID
		if m.scope == policy.SessionScope {
			if mem, id = x.Session(), e.Session; mem == nil {
				continue
			}
		}
		measure(&v.sums, e, m.cond.Currency)
		part := mem.Ensure(v.slot).(*meterPart)
		part.prune(v.own, m.scope)
		ref := x.Ref(e)
		for j := range m.spans {
			s := &m.spans[j]
			w := part.window(s)
			w.count(s, x.Time, 1, &v.sums, ref, ref, false, self, func(l *policy.Limit, a event.Activity, c *crossing) {
				x.Find(w.finding(l, a, c, id, x.Time))
			})
		}
	}
	for _, m := range v.above {
		id := ""
		switch m.scope {
		case policy.PersonaScope:
			id = x.Persona
		case policy.UserScope:
			id = e.User
		case policy.TenantScope:
			id = e.Tenant
		}
		if id == "" || !m.cond.Matches(x.Persona, e) {
			continue
		}
		measure(&v.sums, e, m.cond.Currency)
		x.Contribute(v.slot, m.hash, m.scope, id, &v.sums)
	}
}

// Relate adds a closed bucket to the windows of its scope. A bucket of a meter that the present set does not have is counted by nobody.
func (v *volume) Relate(x *Closing, b *Bucket) {
	m := v.byHash[b.Meter]
	if m == nil {
		return
	}
	part := x.Memory.Ensure(v.slot).(*meterPart)
	if len(part.windows) > len(m.spans) {
		part.prune([]*meter{m}, m.scope)
	}
	agent := uint32(0)
	if !b.Mixed {
		agent = uint32(xxhash.Sum64String(b.Last.Agent)) | 1
	}
	first := b.First.Clone() // once for all windows
	for i := range m.spans {
		s := &m.spans[i]
		w := part.window(s)
		w.count(s, b.Index*BucketMS, b.N, &b.Sums, first, b.Last, true, agent, func(l *policy.Limit, a event.Activity, c *crossing) {
			f := w.finding(l, a, c, b.ID, b.Last.Time)
			if w.Alone(agent) {
				f.Agent = strings.Clone(b.Last.Agent)
			}
			x.Find(f)
		})
	}
}

// count adds to the window at a time and calls found for each limit whose finding is to be made or updated.
func (w *window) count(s *span, at, n int64, v *Sums, first, last event.Ref, owned bool, agent uint32, found func(*policy.Limit, event.Activity, *crossing)) {
	index := s.Index(at)
	w.Move(s.Span, index)
	before := w.Total
	if !w.Add(s.Span, index, n, v, first, owned, agent) {
		return
	}
	for _, l := range s.limits {
		now := w.Total[l.Measure]
		if now <= l.Max && len(w.open) == 0 {
			continue
		}
		i := slices.IndexFunc(w.open, func(c crossing) bool { return c.limit == l.Hash })
		if i >= 0 && before[l.Measure] <= l.Max { // what was crossed is no longer: the next crossing is a new finding
			w.open = slices.Delete(w.open, i, i+1)
			i = -1
		}
		switch {
		case now <= l.Max:
		case before[l.Measure] <= l.Max:
			w.open = append(w.open, crossing{l.Hash, open{trigger: last.Clone(), refs: w.firstBut(last), next: above(max(l.Max, 1), now)}})
			found(l, event.Create, &w.open[len(w.open)-1])
		case i >= 0 && now >= w.open[i].next && now > before[l.Measure]: // a sum that has overflowed does not grow
			w.open[i].next = above(w.open[i].next, now)
			found(l, event.Update, &w.open[i])
		}
	}
}

// above doubles v until it is greater than now: where the next update is due.
func above(v, now int64) int64 {
	for v <= now && v < math.MaxInt64 {
		v = double(v)
	}
	return v
}

// firstBut are the first contributors without the trigger, which findings name last.
func (w *window) firstBut(trigger event.Ref) []event.Ref {
	return slices.DeleteFunc(w.First(), func(r event.Ref) bool { return r == trigger })
}

func (w *window) finding(l *policy.Limit, activity event.Activity, c *crossing, id string, last int64) event.Finding {
	first := c.trigger.Time
	if len(c.refs) > 0 {
		first = min(first, c.refs[0].Time)
	}
	observed, expected, unit := Quantity(w.Total[l.Measure], l.Measure), Quantity(l.Max, l.Measure), unitOf(l)
	over := "in its session"
	if l.WindowMS > 0 {
		over = "within " + Span(l.WindowMS)
	}
	return event.Finding{
		Activity: activity, Analytic: event.RuleAnalytic, Severity: l.Severity, Risk: risk(l.Severity), Alert: true,
		Detector: "limit", Rule: l.ID, RuleVersion: l.Version, Title: l.Title,
		Why:  l.Scope.String() + " " + strconv.Quote(short(id)) + " reached " + observed + " " + unit + " " + over + "; the limit is " + expected,
		Tags: l.Tags, ScopeType: l.Scope.String(), ScopeID: id,
		Time: c.trigger.Time, First: first, Last: max(last, c.trigger.Time), Count: w.Total[policy.Count], Refs: c.all(),
		Measure: l.Measure.String(), Unit: unit, Observed: observed, Expected: expected, WindowMS: l.WindowMS,
	}
}

func unitOf(l *policy.Limit) string {
	switch l.Measure {
	case policy.Amount:
		return l.Currency
	case policy.Cost:
		return "USD"
	case policy.Count:
		return "calls"
	default:
		return l.Measure.String()
	}
}

// Quantity writes a sum as people do: money from millionths as a decimal with at least two digits, the rest as it is.
func Quantity(v int64, m policy.Measure) string {
	if m != policy.Amount && m != policy.Cost {
		return strconv.FormatInt(v, 10)
	}
	s := strconv.FormatInt(v%1_000_000+1_000_000, 10)[1:]
	for len(s) > 2 && s[len(s)-1] == '0' {
		s = s[:len(s)-1]
	}
	return strconv.FormatInt(v/1_000_000, 10) + "." + s
}

// Span writes a length of time as limits are written: 90s, 10m, 1h, 1d.
func Span(ms int64) string {
	switch {
	case ms%86_400_000 == 0:
		return strconv.FormatInt(ms/86_400_000, 10) + "d"
	case ms%3_600_000 == 0:
		return strconv.FormatInt(ms/3_600_000, 10) + "h"
	case ms%60_000 == 0:
		return strconv.FormatInt(ms/60_000, 10) + "m"
	case ms%1000 == 0:
		return strconv.FormatInt(ms/1000, 10) + "s"
	}
	return (time.Duration(ms) * time.Millisecond).String()
}

// Append encodes the windows.
func (p *meterPart) Append(b []byte) []byte {
	if len(p.windows) == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(p.windows)))
	for i := range p.windows {
		w := &p.windows[i]
		b = binary.BigEndian.AppendUint64(b, w.span)
		b = w.Window.Append(b)
		b = binary.AppendUvarint(b, uint64(len(w.open)))
		for j := range w.open {
			b = binary.BigEndian.AppendUint64(b, w.open[j].limit)
			b = w.open[j].append(b)
		}
	}
	return b
}

// Decode reads what Append wrote.
func (p *meterPart) Decode(r *baselines.Reader) {
	p.windows = nil
	for range r.Len() {
		w := window{span: r.Uint64()}
		w.Window.Decode(r)
		for range r.Len() {
			c := crossing{limit: r.Uint64()}
			c.decode(r)
			w.open = append(w.open, c)
		}
		if r.Err != nil {
			return
		}
		p.add(w)
	}
}
