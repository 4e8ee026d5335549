package limit

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/localtime"
	"github.com/wayward-sec/wayward/event/memo"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/sketch"
)

// meters says when a limit is crossed: by one call, or by a sum over a window of event time of one
// agent, session, persona, user and so on.
//
// A limit is crossed by the event that lifts the window's sum from at most the limit to above it.
// Above one agent the same holds of the 5 s bucket, and the trigger is its last event. The finding
// is updated each time the sum doubles and ends when the sum is no longer above the limit: the next
// crossing is a new one. A warn level is crossed in the same way, as long as the limit itself is
// not.
//
// Of agents and sessions a sliding window moves by a 60th of its length (at least 1 s); above one
// agent by 5 s. It covers its length less at most one such step, so it never counts what is older
// than its length.
type meters struct {
	slot   byte
	set    *policy.Set
	meters [policy.Scopes][]*meter // by scope, in the order of the first limit of each
	spans  [policy.Scopes]int      // how many windows a scope may have
	byHash map[uint64]*meter
	repeat bool // some meter counts retries
	args   policy.Arguments

	// What follows from the set alone, remembered.
	plans  memo.Map[planKey, *plan]       // a map alone costs more than most of what follows
	clocks map[string]*localtime.Calendar // by zone

	// Of the event under observation; a panel belongs to one shard.
	sums    detectors.Sums   // calls, records, bytes and cost
	money   detectors.Sums   // calls and amount, for meters of its currency
	foreign detectors.Sums   // calls alone, for meters of another
	others  []detectors.Sums // as money, of the other currencies that the call names
	traits  trait
	classes uint16
	outcome uint8
	seen    [3]uint64             // hashes of subject, resource, destination
	first   baselines.Contributor // it, once some window may want to remember it
	noted   bool                  // first is of this event
	key     []byte
	payee   []byte
	list    []detectors.Contribution
}

// trait is something that a call must have for some meters to count it.
type trait uint8

const (
	moved trait = 1 << iota // an amount
	failed
	turnedDown
	repeated // a call that the agent has just made
	aboutSubject
	onResource
	toDestination
)

// traits are what measures ask of a call, and the columns in which they are summed. Measures that
// ask for different things never share a meter.
var traits = [...]struct {
	trait
	column uint8
}{
	policy.Count: {0, 0}, policy.Records: {0, recordsColumn}, policy.Bytes: {0, bytesColumn},
	policy.Cost: {0, CostColumn}, policy.Amount: {moved, AmountColumn},
	policy.Errors: {failed, 0}, policy.Denials: {turnedDown, 0}, policy.Retries: {repeated, 0},
	policy.DistinctSubjects:     {aboutSubject, baselines.Distinct},
	policy.DistinctResources:    {onResource, baselines.Distinct},
	policy.DistinctDestinations: {toDestination, baselines.Distinct},
}

// Columns of sums, behind the count of calls.
const (
	recordsColumn = 1
	bytesColumn   = 2
	CostColumn    = 3
	AmountColumn  = 1
)

// meter counts one scope under one condition. Limits that differ in measure or height alone share a
// window.
type meter struct {
	hash     uint64
	scope    policy.Scope
	traits   trait
	outcomes uint8
	asks     bool
	classes  uint16
	mask     uint8  // columns that its limits need
	keep     uint32 // hashes that a window remembers at least, if it counts what is distinct
	seen     uint8  // which of meters.seen
	builtin  bool
	cond     *policy.Limit // any of its limits: they agree on where and currency
	spans    []span
}

// anything stands in the masks of classes and outcomes for "whatever it is".
const (
	anyClass   = 1 << 15
	anyOutcome = 1 << 7
)

// span is one window of a meter and the limits on it.
type span struct {
	baselines.Span
	calendar policy.Calendar
	clock    *localtime.Calendar // of calendar, if the limit names a zone
	hash     uint64              // names its window on disk
	mask     uint8
	lines    []line
	from, to int64 // the times of which cur is the index, as last asked
	cur      int64
}

// line is a limit, or its warn level.
type line struct {
	limit  *policy.Limit
	hash   uint64 // names the crossing on disk
	max    int64
	column uint8
	warn   bool
}

func newMeters(slot byte, set *policy.Set) detectors.Detector {
	v := &meters{slot: slot, set: set, byHash: map[uint64]*meter{}, plans: memo.NewMap[planKey, *plan](detectors.MaxNames),
		clocks: map[string]*localtime.Calendar{}}
	for _, l := range set.Limits() { // sorted by id, so all that follows is in a fixed order
		hash, t := MeterHash(l), traits[l.Measure]
		m := v.byHash[hash]
		if m == nil {
			m = &meter{hash: hash, scope: l.Scope, cond: l, traits: t.trait, classes: l.Classes(),
				outcomes: l.Outcomes(), asks: l.HasConditions(), builtin: l.Builtin}
			if m.classes == 0 {
				m.classes = anyClass
			}
			if m.outcomes == 0 {
				m.outcomes = anyOutcome
			}
			if l.Measure.Distinct() {
				m.keep, m.seen = keep(l), uint8(l.Measure-policy.DistinctSubjects)
			}
			v.byHash[hash] = m
			v.meters[l.Scope] = append(v.meters[l.Scope], m)
		}
		v.add(m, l, t.column)
		v.repeat = v.repeat || t.trait == repeated
	}
	for scope, list := range v.meters {
		for _, m := range list {
			v.spans[scope] += len(m.spans)
		}
	}
	return v
}

func (v *meters) add(m *meter, l *policy.Limit, column uint8) {
	s := span{Span: spanOf(l), calendar: l.Calendar}
	zone := ""
	if l.Zone != nil {
		s.clock = v.clockOf(l.Zone)
		zone = l.Zone.String()
	}
	k := binary.BigEndian.AppendUint64(nil, m.hash)
	k = binary.BigEndian.AppendUint64(k, uint64(s.StepMS))
	k = binary.BigEndian.AppendUint64(k, uint64(s.N))
	if s.calendar != policy.NoCalendar {
		k = append(append(k, byte(s.calendar)), zone...)
	}
	s.hash = xxhash.Sum64(k)
	i := slices.IndexFunc(m.spans, func(x span) bool { return x.hash == s.hash })
	if i < 0 {
		i = len(m.spans)
		m.spans = append(m.spans, s)
	}
	p := &m.spans[i]
	mask := uint8(1) << column
	if l.Measure.Distinct() {
		mask = baselines.CountDistinct
	}
	p.mask |= mask
	m.mask |= mask
	if l.Warns {
		hash := xxhash.Sum64(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, l.Hash), uint64(l.Warn)))
		p.lines = append(p.lines, line{l, hash, l.Warn, column, true})
	}
	p.lines = append(p.lines, line{l, l.Hash, l.Max, column, false})
}

// keep is how many different hashes are remembered for a limit: enough to be exact about whether it
// is crossed, and to say how far for a while.
func keep(l *policy.Limit) uint32 { return uint32(max(1000, 2*l.Max)) }

// meterHash names what is counted: scope, condition and currency, and what the measure asks of a
// call.
func MeterHash(l *policy.Limit) uint64 {
	b := []byte{byte(l.Scope), byte(traits[l.Measure].trait)}
	if l.Measure.Distinct() {
		b = binary.BigEndian.AppendUint32(b, keep(l))
	}
	b = wire.AppendString(b, l.Currency)
	if l.Builtin { // it leaves calls out that others count
		b = wire.AppendString(b, "builtin")
	}
	return xxhash.Sum64(l.Where.AppendIdentity(b))
}

func spanOf(l *policy.Limit) baselines.Span {
	own := l.Scope == policy.AgentScope || l.Scope == policy.SessionScope
	switch {
	case l.WindowMS == 0:
		return baselines.Lifetime()
	case l.Calendar != policy.NoCalendar:
		return baselines.Span{N: 1} // its clock tells the bucket of a time
	case l.Tumbling:
		return baselines.Tumbling(l.WindowMS)
	case own:
		return baselines.Sliding(l.WindowMS, max(1000, l.WindowMS/60))
	default:
		return baselines.Sliding(l.WindowMS, detectors.BucketMS)
	}
}

// at is the bucket of a time. Times come in much the same order, so the last answer mostly serves
// again.
func (s *span) at(t int64, zone *localtime.Calendar) int64 {
	switch {
	case s.calendar != policy.NoCalendar:
		return indexOf(s.calendar, s.zone(zone).On(t))
	case s.StepMS == 0:
		return 0
	case t < s.from || t >= s.to:
		s.cur = s.Index(t)
		s.from = s.cur * s.StepMS
		s.to = s.from + s.StepMS
	}
	return s.cur
}

// zone is the limit's own, else that of whom it is about.
func (s *span) zone(of *localtime.Calendar) *localtime.Calendar {
	if s.clock != nil {
		return s.clock
	}
	return of
}

// clockOf returns the calendar of a zone.
func (v *meters) clockOf(zone *time.Location) *localtime.Calendar {
	c := v.clocks[zone.String()]
	if c == nil {
		c = localtime.CalendarIn(zone)
		v.clocks[zone.String()] = c
	}
	return c
}

// indexOf numbers the days, weeks or months of a calendar.
func indexOf(unit policy.Calendar, day localtime.Day) int64 {
	switch unit {
	case policy.Week:
		return day.Week
	case policy.Month:
		return day.Month
	}
	return day.Day
}

// plan is which meters look at the calls of one tool by agents of one persona: all that need not be
// asked for each event.
type plan struct {
	planKey
	needs  trait // what of an event is worth finding out
	covers [policy.Scopes][]*meter
	ids    [policy.Scopes]string // of scopes that persona and tool decide
	zone   *localtime.Calendar   // of the persona
	cases  []*kase
}

type planKey struct {
	who  *detectors.Who
	tool *catalogue.Tool
}

// kase is a plan for calls that are alike: which of its meters count them. Of one tool most are.
type kase struct {
	alike   uint32
	call    []*meter
	agent   []*meter
	session []*meter
	above   []scoped
}

// scoped are the meters of one scope above agents.
type scoped struct {
	scope  policy.Scope
	id     string // of a scope that persona and tool decide
	meters []*meter
	adds   []detectors.Contribution // of each meter
	vary   []int                    // places in adds of what is not the same for each event
	asks   bool                     // some of them look closer at an event
}

// maxCases bounds the kinds of calls that a plan tells apart; beyond, it starts anew.
const maxCases = 64

func (v *meters) plan(x *detectors.Scene, e *event.Event) *plan {
	k := planKey{x.Who, x.Tool}
	hash := uint64(uintptr(unsafe.Pointer(k.who))>>5 ^ uintptr(unsafe.Pointer(k.tool))>>4)
	if p, ok := v.plans.Near(hash, k); ok {
		return p
	}
	p, ok := v.plans.Far(hash, k)
	if !ok {
		p = v.newPlan(x, e)
		v.plans.Put(hash, k, p)
	}
	return p
}

func (v *meters) newPlan(x *detectors.Scene, e *event.Event) *plan {
	p := &plan{planKey: planKey{x.Who, x.Tool}, zone: v.clockOf(v.set.ZoneOf(x.Tenant, x.Persona))}
	for scope, list := range v.meters {
		for _, m := range list {
			if m.cond.Covers(x.Tenant, x.Persona, &e.Tool) {
				p.covers[scope] = append(p.covers[scope], m)
				p.needs |= m.traits
			}
		}
	}
	p.ids[policy.PersonaScope], p.ids[policy.TenantScope] = x.Persona, x.Tenant
	p.ids[policy.ServerScope], p.ids[policy.ToolScope] = strings.Clone(e.Tool.Server), event.ToolID(e.Tool.Server,
		e.Tool.Name)
	return p
}

// of returns the meters for calls like the one under observation.
func (v *meters) of(p *plan) *kase {
	alike := uint32(v.classes)<<16 | uint32(v.outcome)<<8 | uint32(v.traits)
	for _, c := range p.cases {
		if c.alike == alike {
			return c
		}
	}
	c := &kase{alike: alike}
	for i, covers := range p.covers {
		var list []*meter
		above := scoped{scope: policy.Scope(i), id: p.ids[i]}
		for _, m := range covers {
			if v.classes&m.classes != 0 && v.outcome&m.outcomes != 0 && m.traits&^v.traits == 0 {
				if m.keep > 0 || m.traits&moved != 0 {
					above.vary = append(above.vary, len(list))
				}
				list = append(list, m)
				above.adds = append(above.adds, detectors.Contribution{Meter: m.hash, Mask: m.mask, Keep: m.keep, Sums: &v.sums})
				above.asks = above.asks || m.asks || m.builtin
			}
		}
		switch scope := policy.Scope(i); {
		case scope == policy.CallScope:
			c.call = list
		case scope == policy.AgentScope:
			c.agent = list
		case scope == policy.SessionScope:
			c.session = list
		case len(list) > 0:
			above.meters = list
			c.above = append(c.above, above)
		}
	}
	if len(p.cases) == maxCases {
		p.cases = nil
	}
	p.cases = append(p.cases, c)
	return c
}

// measure measures one call. One record per call counts, at its end; money counts only if the call
// did not fail.
func (v *meters) measure(e *event.Event, needs trait) {
	v.sums = detectors.Sums{1}
	if e.Has&event.HasRecords != 0 {
		v.sums[recordsColumn] = e.Result.Records
	}
	if e.Has&event.HasBytes != 0 {
		v.sums[bytesColumn] = e.Result.Bytes
	}
	if e.Has&event.HasCost != 0 {
		v.sums[CostColumn] = max(0, e.Cost.MicroUSD)
	}
	v.classes = policy.ClassBits(e) | anyClass
	v.outcome = 1<<e.Result.Outcome | anyOutcome
	v.traits &= repeated
	if e.Has&event.HasAmount != 0 {
		v.traits |= moved
		v.money, v.foreign = detectors.Sums{1}, detectors.Sums{1}
		if e.Result.Outcome <= event.OK {
			v.money[AmountColumn] = absolute(e.Amount.Micro)
		}
		v.others = v.others[:0]
		for i := range e.OtherAmounts {
			v.others = append(v.others, detectors.Sums{1})
			if e.Result.Outcome <= event.OK {
				v.others[i][AmountColumn] = absolute(e.OtherAmounts[i].Micro)
			}
		}
	}
	if e.Result.Outcome == event.Error || e.Result.Outcome == event.NoOutcome && e.Result.Error != "" {
		v.traits |= failed
	}
	if e.Result.Outcome == event.Denied || e.Policy.Verdict == "deny" {
		v.traits |= turnedDown
	}
	if needs&aboutSubject != 0 && e.Subject != "" {
		v.traits |= aboutSubject
		v.seen[0] = xxhash.Sum64String(e.Subject)
	}
	if needs&onResource != 0 && e.Resource.ID != "" {
		v.traits |= onResource
		v.key = append(wire.AppendString(v.key[:0], e.Resource.Type), e.Resource.ID...)
		v.seen[1] = xxhash.Sum64(v.key)
	}
	if needs&toDestination != 0 {
		if v.key = policy.AppendDestination(v.key[:0], &e.Destination); len(v.key) > 0 {
			v.traits |= toDestination
			v.seen[2] = xxhash.Sum64(v.key)
		}
	}
}

// sumsFor is what a meter adds up of the call.
func (v *meters) sumsFor(m *meter, e *event.Event) *detectors.Sums {
	switch {
	case m.traits&moved == 0:
		return &v.sums
	case m.cond.Currency == e.Amount.Currency:
		return &v.money
	}
	for i := range e.OtherAmounts { // of a batch each currency counts
		if e.OtherAmounts[i].Currency == m.cond.Currency {
			return &v.others[i]
		}
	}
	return &v.foreign
}

// absolute is how much money moves: what is paid back moves, too, and must not hide what is paid.
func absolute(micro int64) int64 {
	if micro == math.MinInt64 {
		return math.MaxInt64
	}
	return max(micro, -micro)
}

// self stands for the page's own agent, where there is no other.
const self = 1

func (v *meters) Observe(x *detectors.Scene, e *event.Event) {
	if e.Kind != event.ToolCall || e.Phase == event.Attempt || len(v.byHash) == 0 {
		return
	}
	v.traits = 0
	if v.repeat && x.Agent.Ensure(v.slot).(*meterPart).repeats(e, &v.args) {
		v.traits = repeated
	}
	p := v.plan(x, e)
	v.measure(e, p.needs)
	v.noted = false
	c := v.of(p)
	for _, m := range c.call {
		if !m.asks || m.cond.Matches(e) {
			v.call(x, e, m)
		}
	}
	if len(c.agent) > 0 {
		v.own(x, e, c.agent, x.Agent, e.Agent.ID, p.zone)
	}
	if len(c.session) > 0 {
		if mem := x.Session(); mem != nil {
			v.own(x, e, c.session, mem, e.Session, p.zone)
		}
	}
	v.payee = v.payee[:0]
	for i := range c.above {
		v.contribute(x, e, &c.above[i])
	}
	if e.Unreadable&measured != 0 || e.Has&event.HasAmount != 0 && e.Amount.Currency == "" {
		v.unmeasured(x, e, p)
	}
}

// measured are the fields that limits measure.
const measured = event.UnreadableAmount | event.UnreadableCurrency | event.UnreadableRecords | event.UnreadableBytes | event.UnreadableCost

// unmeasured tells which limits are about a call that they cannot measure, or not for certain:
// money without a currency is below every limit in one, and nobody would know.
func (v *meters) unmeasured(x *detectors.Scene, e *event.Event, p *plan) {
	for _, covers := range p.covers {
		for _, m := range covers {
			if v.classes&m.classes == 0 || v.outcome&m.outcomes == 0 || m.asks && !m.cond.Matches(e) {
				continue
			}
			for i := range m.spans {
				for _, k := range m.spans[i].lines {
					var marks event.Unreadable
					switch k.limit.Measure {
					case policy.Amount:
						marks = event.UnreadableAmount | event.UnreadableCurrency
					case policy.Records:
						marks = event.UnreadableRecords
					case policy.Bytes:
						marks = event.UnreadableBytes
					case policy.Cost:
						marks = event.UnreadableCost
					}
					bare := k.limit.Measure == policy.Amount && e.Has&event.HasAmount != 0 && e.Amount.Currency == ""
					if !k.warn && (bare || e.Unreadable&marks != 0) {
						x.Count("unmeasured", k.limit.ID)
					}
				}
			}
		}
	}
}

// call judges a call by itself: it has no window, and what is above the limit is a finding.
func (v *meters) call(x *detectors.Scene, e *event.Event, m *meter) {
	sums, s := v.sumsFor(m, e), &m.spans[0]
	for i := len(s.lines) - 1; i >= 0; i-- { // the limit before its warn level, which it makes idle
		k := &s.lines[i]
		if sums[k.column] <= k.max || k.warn && sums[k.column] > k.limit.Max {
			continue
		}
		id := e.Call
		if id == "" {
			id = e.ID
		}
		w := window{}
		w.Total = *sums
		x.Find(w.finding(k, event.Create, &crossing{OpenFinding: detectors.OpenFinding{Trigger: x.Ref(e).Clone()}}, id, x.Time, nil, 0))
	}
}

// own counts the call in windows of its agent or its session.
func (v *meters) own(x *detectors.Scene, e *event.Event, meters []*meter, mem *detectors.Memory, id string, zone *localtime.Calendar) {
	var part *meterPart
	next := 0
	for _, m := range meters {
		if m.asks && !m.cond.Matches(e) || m.builtin && x.OfAge() {
			continue
		}
		if part == nil {
			part = mem.Ensure(v.slot).(*meterPart)
			v.prune(part, m.scope)
		}
		sums := v.sumsFor(m, e)
		for j := range m.spans {
			s := &m.spans[j]
			w := part.window(s, &next)
			index := s.at(x.Time, zone)
			before := w.Total
			if !w.Bump(s.Span, index, sums, self) {
				if !v.noted {
					v.first, v.noted = baselines.Contributor{Ref: x.Ref(e)}, true
				}
				w.Move(s.Span, index)
				before = w.Total
				if !w.Add(s.Span, index, 1, sums, &v.first, self) {
					continue
				}
			}
			if m.keep > 0 {
				w.See(index, v.seen[m.seen:m.seen+1], int(m.keep))
			}
			if w.calm(s) {
				continue
			}
			w.judge(s, &before, x.Ref(e), func(k *line, a event.Activity, c *crossing) {
				if a == event.Again && x.Settled(k.limit.Respond, narrow(m.scope)) {
					return
				}
				x.Find(w.finding(k, a, c, id, x.Time, s.zone(zone), m.keep))
			})
		}
	}
}

// narrow is the scope of what is counted of one agent.
func narrow(s policy.Scope) event.ScopeType {
	if s == policy.SessionScope {
		return event.SessionScope
	}
	return event.AgentScope
}

// contribute tells the relation stage what the call adds to the meters of one scope.
func (v *meters) contribute(x *detectors.Scene, e *event.Event, p *scoped) {
	id := p.id
	switch p.scope {
	case policy.UserScope:
		id = e.User
	case policy.OwnerScope:
		id = e.Agent.Owner
	case policy.CredentialScope:
		id = e.Agent.Credential
	case policy.BeneficiaryScope, policy.UserBeneficiaryScope:
		if len(v.payee) == 0 {
			v.payee = policy.AppendBeneficiary(v.payee, e)
		}
		if len(v.payee) == 0 || p.scope == policy.UserBeneficiaryScope && e.User == "" {
			return
		}
		v.key = v.key[:0]
		if p.scope == policy.UserBeneficiaryScope {
			v.key = append(event.AppendKeyPart(v.key, e.User), '|')
			v.key = event.AppendKeyPart(v.key, alias(v.payee))
		} else {
			v.key = append(v.key, v.payee...)
		}
		id = alias(v.key)
	}
	if id == "" {
		return
	}
	for _, i := range p.vary {
		m := p.meters[i]
		p.adds[i].Seen, p.adds[i].Sums = v.seen[m.seen], v.sumsFor(m, e)
	}
	list := p.adds
	if p.asks {
		v.list = v.list[:0]
		for i, m := range p.meters {
			if (!m.asks || m.cond.Matches(e)) && !(m.builtin && x.OfAge()) {
				v.list = append(v.list, p.adds[i])
			}
		}
		list = v.list
	}
	if len(list) > 0 {
		x.Contribute(v.slot, p.scope, id, list)
	}
}

// alias is the text over bytes that do not change while it is used.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Relate adds a closed bucket to the windows of its scope. What a meter counted that the present
// set does not have is counted by nobody.
func (v *meters) Relate(x *detectors.Closing, b *detectors.Bucket) {
	var part *meterPart
	var zone *localtime.Calendar
	next := 0
	for i := range b.Counted {
		c := &b.Counted[i]
		m := v.byHash[c.Meter]
		if m == nil || m.scope != b.Scope {
			continue
		}
		if part == nil {
			part = x.Memory.Ensure(v.slot).(*meterPart)
			v.prune(part, m.scope)
			if zone = v.clockOf(v.set.Zone(b.Tenant)); b.Scope == policy.PersonaScope {
				zone = v.clockOf(v.set.ZoneOf(b.Tenant, b.ID))
			}
		}
		agent := uint32(0)
		if !c.Mixed {
			agent = uint32(xxhash.Sum64String(c.Last.Agent)) | 1
		}
		v.first = baselines.Contributor{Ref: c.First}
		share := int64(1)
		if m.builtin && m.scope == policy.UserScope {
			share = part.shared(b.Index*detectors.BucketMS, c.First.Agent, c.Last.Agent)
		}
		for j := range m.spans {
			s := m.spans[j].times(share)
			w := part.window(s, &next)
			index := s.at(b.Index*detectors.BucketMS, zone)
			w.Move(s.Span, index)
			before := w.Total
			if !w.Add(s.Span, index, c.Sums[0], &c.Sums, &v.first, agent) {
				continue
			}
			if m.keep > 0 {
				w.See(index, c.Seen, int(m.keep))
			}
			if w.calm(s) {
				continue
			}
			w.judge(s, &before, c.Last, func(k *line, a event.Activity, o *crossing) {
				f := w.finding(k, a, o, b.ID, c.Last.Time, s.zone(zone), m.keep)
				if w.Alone(agent) {
					f.Agent = strings.Clone(c.Last.Agent)
				}
				Named(&f, b)
				if share > 1 {
					f.Why += ", " + Quantity(k.limit.Max/share, k.limit.Measure) + " for each of the " +
						strconv.FormatInt(share, 10) + " agents that share the user"
				}
				x.Find(f)
			})
		}
	}
}

// named fills in whom the scope names besides itself.
func Named(f *event.Finding, b *detectors.Bucket) {
	switch b.Scope {
	case policy.BeneficiaryScope:
		f.Target = b.ID
	case policy.UserBeneficiaryScope:
		user, payee, _ := strings.Cut(b.ID, "|")
		f.User, f.Target = event.KeyPart(user), event.KeyPart(payee)
	case policy.ToolScope:
		f.Tool = event.KeyPart(b.ID)
		if server, tool, ok := strings.Cut(b.ID, "|"); ok {
			f.Server, f.Tool = event.KeyPart(server), event.KeyPart(tool)
		}
	case policy.ServerScope:
		f.Server = b.ID
	}
}

// meterPart is what volume remembers of one entity: the windows of the meters that count it, and
// the findings on them that may still grow; of an agent also its last calls, if some limit counts
// retries.
type meterPart struct {
	windows []window
	// where the first of them lies: most entities have one, and then it is not a line of memory
	// apart
	few   [1]window
	calls *sketch.Recent[uint32] // hashes of its newest
	fleet *fleet                 // of a user
}

// maxCalls is among how many of its agent's last calls a retry is looked for. 32 bits are enough:
// one in a hundred million calls is taken for another.
const maxCalls = 32

type window struct {
	span uint64 // span.hash
	baselines.Window
	open []crossing
}

// crossing is a limit, or a warn level, that is crossed now.
type crossing struct {
	line uint64 // line.hash
	detectors.OpenFinding
}

// repeats notes a call and tells whether it is among the agent's last: the same tool with the same
// arguments. A call whose arguments are not known is like no other. The order of keys, white space
// and a digest beside the arguments make no other call of one.
func (p *meterPart) repeats(e *event.Event, a *policy.Arguments) bool {
	var args uint64
	switch {
	case policy.Shows(e):
		args = xxhash.Sum64(a.Canonical(e.Args))
	case e.ArgsDigest != "":
		plain, _ := policy.PlainDigest(e.ArgsDigest)
		args = xxhash.Sum64String(plain)
	default:
		return false
	}
	h := xxhash.Sum64String(e.Tool.Name) ^ bits.RotateLeft64(xxhash.Sum64String(e.Tool.Server), 17) ^ args
	hash := uint32(h>>32) ^ uint32(h)
	if p.calls == nil {
		p.calls = &sketch.Recent[uint32]{}
	}
	again := p.calls.Has(hash)
	p.calls.Add(hash, maxCalls)
	return again
}

// window finds a window, from the one after the last that was found: events ask in much the same
// order.
func (p *meterPart) window(s *span, next *int) *window {
	i := *next
	for n := len(p.windows); n > 0; n-- {
		if i >= len(p.windows) {
			i = 0
		}
		if w := &p.windows[i]; w.span == s.hash {
			w.Shape(s.mask)
			*next = i + 1
			return w
		}
		i++
	}
	p.add(window{span: s.hash})
	*next = len(p.windows)
	w := &p.windows[*next-1]
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
func (v *meters) prune(p *meterPart, scope policy.Scope) {
	if len(p.windows) <= v.spans[scope] {
		return
	}
	p.windows = slices.DeleteFunc(p.windows, func(w window) bool {
		for _, m := range v.meters[scope] {
			if slices.ContainsFunc(m.spans, func(s span) bool { return s.hash == w.span }) {
				return false
			}
		}
		return true
	})
}

// calm tells that no line is or was crossed.
func (w *window) calm(s *span) bool {
	for i := range s.lines {
		if w.Total[s.lines[i].column] > s.lines[i].max {
			return false
		}
	}
	return len(w.open) == 0
}

// judge calls found for each line whose finding is to be made or updated. before are the totals
// before the last contribution.
func (w *window) judge(s *span, before *detectors.Sums, last event.Ref, found func(*line, event.Activity, *crossing)) {
	w.open = slices.DeleteFunc(w.open, func(c crossing) bool { // of a limit that is no more
		return !slices.ContainsFunc(s.lines, func(k line) bool { return k.hash == c.line })
	})
	for j := range s.lines {
		k := &s.lines[j]
		was, now := before[k.column], w.Total[k.column]
		i := slices.IndexFunc(w.open, func(c crossing) bool { return c.line == k.hash })
		if i >= 0 && was <= k.max { // what was crossed is no longer: the next crossing is a new finding
			w.open = slices.Delete(w.open, i, i+1)
			i = -1
		}
		switch {
		case now <= k.max || k.warn && now > k.limit.Max:
		case was <= k.max:
			w.open = append(w.open,
				crossing{k.hash, detectors.OpenFinding{Trigger: last.Clone(), Refs: w.firstBut(last), Next: above(max(k.max, 1), now)}})
			found(k, event.Create, &w.open[len(w.open)-1])
		case i >= 0 && now >= w.open[i].Next && now > was && w.open[i].Update():
			// a sum that has overflowed does not grow
			w.open[i].Next = above(w.open[i].Next, now)
			found(k, event.Update, &w.open[i])
		case i >= 0 && now > was && k.limit.Respond != nil && !k.warn:
			found(k, event.Again, &w.open[i])
		}
	}
}

// above doubles v until it is greater than now: where the next update is due.
func above(v, now int64) int64 {
	for v <= now && v < math.MaxInt64 {
		v = detectors.Double(v)
	}
	return v
}

// firstBut are the first contributors without the trigger, which findings name last.
func (w *window) firstBut(trigger event.Ref) []event.Ref {
	return slices.DeleteFunc(w.First(), func(r event.Ref) bool { return r == trigger })
}

// finding says what was crossed. keep is how many different things the window can tell apart, if
// that is what it counts.
func (w *window) finding(k *line, activity event.Activity, c *crossing, id string, last int64, zone *localtime.Calendar,
	keep uint32) event.Finding {
	l := k.limit
	first := c.Trigger.Time
	if len(c.Refs) > 0 {
		first = min(first, c.Refs[0].Time)
	}
	total, least := w.Total[k.column], ""
	if keep > 0 && total >= int64(keep) {
		total, least = int64(keep), "at least "
	}
	observed, expected, unit := Quantity(total, l.Measure), Quantity(l.Max, l.Measure), unitOf(l)
	f := event.Finding{
		Activity: activity, Analytic: event.RuleAnalytic, Severity: l.Severity, Alert: l.Severity > event.Signal,
		Detector: "limit", Rule: l.ID, RuleVersion: l.Version, Title: l.Title,
		Why: Whose(l.Scope, id) + " reached " + least + observed + " " + unit + Over(l, c.Trigger.Time, zone) +
			"; the limit is " + expected,
		Tags: l.Tags, ScopeType: l.Scope.String(), ScopeID: id,
		Time: c.Trigger.Time, First: first, Last: max(last, c.Trigger.Time), Count: w.Total[policy.Count],
		Refs:    c.All(),
		Measure: l.Measure.String(), Unit: unit, Observed: observed, Expected: expected, WindowMS: l.WindowMS,
		Response: l.Respond,
	}
	if k.warn {
		f.Rule += "/warn"
		f.Severity = min(l.Severity, max(event.Low, l.Severity-1))
		f.Title = "Nearly: " + l.Title
		f.Why += ", and above " + Quantity(k.max, l.Measure) + " is nearly too much"
		f.Response = nil
	}
	f.Risk = detectors.Risk(f.Severity)
	return f
}

// whose names a scope in a sentence.
func Whose(s policy.Scope, id string) string {
	if s == policy.UserBeneficiaryScope {
		user, payee, _ := strings.Cut(id, "|")
		return "user " + strconv.Quote(detectors.Short(event.KeyPart(user))) + " and beneficiary " +
			strconv.Quote(detectors.Short(event.KeyPart(payee)))
	}
	return s.String() + " " + strconv.Quote(detectors.Short(id))
}

// over says in which time.
func Over(l *policy.Limit, t int64, zone *localtime.Calendar) string {
	switch {
	case l.Calendar != policy.NoCalendar:
		day := time.UnixMilli(t).In(zone.Zone())
		in := " (" + zone.Zone().String() + ")"
		switch l.Calendar {
		case policy.Week:
			return " in the week from " + day.AddDate(0, 0, -(int(day.Weekday())+6)%7).Format(time.DateOnly) + in
		case policy.Month:
			return " in " + day.Format("2006-01") + in
		}
		return " on " + day.Format(time.DateOnly) + in
	case l.WindowMS > 0:
		return " within " + Span(l.WindowMS)
	case l.Scope == policy.SessionScope:
		return " in its session"
	}
	return ""
}

func unitOf(l *policy.Limit) string {
	switch {
	case l.Measure == policy.Amount:
		return l.Currency
	case l.Measure == policy.Cost:
		return "USD"
	case l.Measure == policy.Count:
		return "calls"
	case l.Measure.Distinct():
		return strings.ReplaceAll(l.Measure.String(), "_", " ")
	}
	return l.Measure.String()
}

// Quantity writes a sum as people do: money from millionths as a decimal with at least two digits,
// the rest as it is.
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
	if len(p.windows) == 0 && p.calls == nil && p.fleet == nil {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(p.windows)))
	for i := range p.windows {
		w := &p.windows[i]
		b = binary.BigEndian.AppendUint64(b, w.span)
		b = w.Window.Append(b)
		b = binary.AppendUvarint(b, uint64(len(w.open)))
		for j := range w.open {
			b = binary.BigEndian.AppendUint64(b, w.open[j].line)
			b = w.open[j].Append(b)
		}
	}
	if p.fleet != nil {
		b = p.fleet.append(append(b, fleetMark))
	}
	if p.calls != nil {
		b = append(b, byte(p.calls.Next))
		for _, h := range p.calls.Ring {
			b = binary.BigEndian.AppendUint32(b, h)
		}
	}
	return b
}

// Decode reads what Append wrote.
func (p *meterPart) Decode(r *wire.Reader) {
	p.windows, p.calls, p.fleet = nil, nil, nil
	for range r.Len() {
		w := window{span: r.Uint64()}
		w.Window.Decode(r)
		for range r.Len() {
			c := crossing{line: r.Uint64()}
			c.Decode(r)
			w.open = append(w.open, c)
		}
		if r.Err != nil {
			return
		}
		p.add(w)
	}
	if r.Err == nil && len(r.B) > 0 && r.B[0] == fleetMark {
		r.Byte()
		p.fleet = &fleet{}
		p.fleet.decode(r)
	}
	if r.Err != nil || len(r.B) == 0 {
		return
	}
	p.calls = &sketch.Recent[uint32]{Next: int(r.Byte()) % maxCalls}
	for len(r.B) > 0 && len(p.calls.Ring) < maxCalls {
		p.calls.Ring = append(p.calls.Ring, r.Uint32())
	}
}

// limitKind registers the detector of limits.
var Kind = detectors.Kind{Name: "limit", Slot: Slot, New: newMeters, Part: func() detectors.Part { return new(meterPart) }}

// meterSlot is the slot of what limits count.
const Slot = 2
