package pipeline

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// How a relation shard closes the days of the personas that it owns. Deltas wait in pages of their
// own, one for each baseline and day, merged in whatever order they come. When the shard's
// watermark passes the end of a day by closeAfter, each baseline's snapshot of the day before
// learns what is there and becomes that of the day; what comes later counts for the next one. A
// closing says what there is at the end of a day: a behaviour shard has to wait for it alone.

const (
	// days without a delta after which a baseline is no longer closed daily: its last snapshot
	// stays in force
	sleepAfter = 21
	dropAfter  = 120 // and after which it is forgotten
	maxModels  = 1000
)

// lineage is what a relation shard has of one baseline.
type lineage struct {
	key     baselines.Key
	models  []*modelPage // ascending by day; the last one is the present
	pending []*deltaPage // likewise
}

func (l *lineage) seen() int64 {
	if n := len(l.models); n > 0 {
		return l.models[n-1].newest
	}
	return math.MinInt64 / 2
}

func (l *lineage) waits(day int64) bool { return len(l.pending) > 0 && l.pending[0].day <= day }

// lineages lists what there is, sorted by key.
func (b *relation) lineages() (out []*lineage) {
	by := map[baselines.Key]*lineage{}
	of := func(k baselines.Key) *lineage {
		l := by[k]
		if l == nil {
			l = &lineage{key: k}
			by[k] = l
			out = append(out, l)
		}
		return l
	}
	for _, pg := range b.pages {
		switch c := pg.content.(type) {
		case *deltaPage:
			l := of(c.baseline)
			l.pending = append(l.pending, c)
		case *modelPage:
			l := of(c.baseline)
			l.models = append(l.models, c)
		}
	}
	for _, l := range out {
		slices.SortFunc(l.models, func(x, y *modelPage) int { return cmp.Compare(x.day, y.day) })
		slices.SortFunc(l.pending, func(x, y *deltaPage) int { return cmp.Compare(x.day, y.day) })
	}
	slices.SortFunc(out, func(x, y *lineage) int { return compareKeys(x.key, y.key) })
	return out
}

// takeDelta files what one source has learned with what waits for the end of its day.
func (b *relation) takeDelta(source int32, r *wire.Reader) {
	k := keyDay{baselines.Key{Tenant: strings.Clone(r.String()), Persona: strings.Clone(r.String()),
		Fork: strings.Clone(r.String())}, r.Varint()}
	d := &baselines.Delta{}
	own := wire.Reader{B: r.Bytes()}
	if r.Err != nil {
		return
	}
	if d.Decode(&own); own.Err != nil || k.Tenant == "" {
		b.counts.badControl++
		return
	}
	b.counts.deltas++
	if b.learnedTo != noTime && k.day <= b.learnedTo {
		b.counts.knownDeltas++ // learned before the logs were made anew
		return
	}
	if b.closed != noTime && k.day <= b.closed {
		b.counts.lateDeltas++
		k.day = b.closed + 1
	}
	l := b.deltaPage(k)
	if l == nil {
		b.counts.dropped++
		return
	}
	l.delta.Merge(d)
	l.from = addShare(l.from, share{Source: source, Deltas: 1, Events: d.Events})
}

// deltaPage finds or makes the page of what a day adds to a baseline. nil: the tenant has too many.
func (b *relation) deltaPage(k keyDay) *deltaPage {
	pg := b.learnedPage(deltaKind, k)
	if pg == nil {
		return nil
	}
	return pg.content.(*deltaPage)
}

// modelPage finds or makes the page of a snapshot.
func (b *relation) modelPage(k keyDay) *modelPage {
	return b.learnedPage(modelKind, k).content.(*modelPage)
}

// learnedPage finds or makes a page of a baseline. nil: the tenant has too many.
func (b *relation) learnedPage(kind byte, k keyDay) *page {
	key := appendLearnedKey(b.key[:0], kind, k.Key, k.day)
	b.key = key
	if kind == modelKind {
		b.bases = nil
	}
	if pg := b.pages[string(key)]; pg != nil {
		b.touch(pg)
		return pg
	}
	// What is declared always has room: who makes up personas takes it from others that are made
	// up.
	if kind == deltaKind && k.Persona != baselines.TenantWide && b.panel.Set.Persona(k.Tenant, k.Persona) == nil &&
		b.baselinesOf(k.Tenant) >= maxModels*(keptDays+1) {
		return nil
	}
	return b.newPage(key, k.Tenant)
}

// baselinesOf is about how many pages of baselines a tenant has: all its pages, as far as it
// matters for a bound.
func (b *relation) baselinesOf(tenant string) int {
	n := 0
	if b.tenants[tenant] < maxModels*(keptDays+1) {
		return 0
	}
	for key := range b.pages {
		if (key[0] == deltaKind || key[0] == modelKind) && strings.HasPrefix(key[1:], tenant+"|") {
			n++
		}
	}
	return n
}

// closeDays closes each day that the watermark has passed by closeAfter.
func (b *relation) closeDays() {
	if target := lastOver(b.mark); b.closed == noTime || target > b.closed {
		b.closeTo(target)
	}
}

func (b *relation) closeTo(target int64) {
	list := b.lineages()
	if b.closed == noTime {
		// What was before the first day that is known of: nothing, or what came with the logs.
		b.closed = target
		for _, l := range list {
			if len(l.pending) > 0 {
				b.closed = min(b.closed, l.pending[0].day-1)
			}
		}
		b.publish(&Closing{From: noTime, To: b.closed}, list)
	}
	for b.closed < target {
		day := b.closed + 1
		next, awake := target+1, false
		for _, l := range list {
			awake = awake || l.waits(day) || day-l.seen() <= sleepAfter
			if len(l.pending) > 0 {
				next = min(next, l.pending[0].day)
			}
		}
		if !awake && next > day {
			b.closed = next - 1
			b.publish(&Closing{From: day, To: b.closed}, list)
			continue
		}
		b.closeDay(day, list)
		list = b.lineages()
	}
}

// closeDay makes the snapshots of a day.
func (b *relation) closeDay(day int64, list []*lineage) {
	b.closed = day
	c := &Closing{From: day, To: day}
	for i := range b.sources {
		if b.sources[i].out {
			c.LeftOut = append(c.LeftOut, int32(i))
			b.counts.leftOut++
		}
	}
	list = b.limitForks(day, list)
	for _, l := range list {
		waits := l.waits(day)
		if b.panel.Set.Baseline(l.key.Tenant, l.key.Persona).Off {
			for ; l.waits(day); l.pending = l.pending[1:] {
				b.drop(&l.pending[0].page)
			}
			continue
		}
		if !waits && (len(l.models) == 0 || day-l.seen() > sleepAfter) {
			continue
		}
		delta := &baselines.Delta{}
		for l.waits(day) {
			pg := l.pending[0]
			l.pending = l.pending[1:]
			delta.Merge(pg.delta)
			for _, s := range pg.from {
				c.Sources = addShare(c.Sources, s)
			}
			b.drop(&pg.page)
		}
		b.closeBaseline(l, day, waits, delta, list)
	}
	for _, l := range list {
		for len(l.models) > 1 && l.models[0].day <= day-keptDays {
			b.forgetModel(l.models[0])
			l.models = l.models[1:]
		}
		if len(l.models) == 1 && len(l.pending) == 0 && day-l.seen() > dropAfter {
			b.forgetModel(l.models[0])
			l.models = nil
		}
	}
	b.report()
	b.publish(c, list)
	// The list of a day goes with its snapshots. One that stands for many days has a key of its own
	// and stays: it is small, and there are few.
	if b.results == nil {
		b.emit(output{to: toBaselines, key: pieceKey(closingKey(b.rules.facts, b.p, day-keptDays, day-keptDays), 0, 1)})
	}
}

// closeBaseline makes the snapshot of one baseline.
func (b *relation) closeBaseline(l *lineage, day int64, came bool, delta *baselines.Delta, list []*lineage) {
	before := b.modelOf(l)
	if before == nil && l.key.Fork != "" {
		var best *Snapshot
		var parent *lineage
		for _, o := range list {
			if s := (&Snapshot{Fork: o.key.Fork, Seen: o.seen()}); o.key.Tenant == l.key.Tenant &&
				o.key.Persona == l.key.Persona && len(o.models) > 0 && o.models[len(o.models)-1].day < day {
				s.AgentDays = o.models[len(o.models)-1].agentDays
				if best == nil || s.after(best) {
					best, parent = s, o
				}
			}
		}
		if parent != nil {
			before = baselines.Fork(b.modelOf(parent), l.key, day)
		}
	}
	m := before
	if !b.frozen {
		m = baselines.Learn(before, l.key, day, delta, b.terms(l.key))
		seen := l.seen()
		if came {
			seen = day
		}
		b.setModel(l, m, seen, delta.Events)
		b.reportShifts(m)
	}
	if b.results != nil {
		b.results.add(l.key, day, m, delta)
	}
}

// terms are what the set in force says about learning a baseline.
func (b *relation) terms(k baselines.Key) baselines.Terms {
	p := b.panel.Set.Baseline(k.Tenant, k.Persona)
	return baselines.Terms{Approved: b.approved, LearnDays: p.LearnDays, LearnSessions: p.LearnSessions,
		AcceptAgents: p.AcceptAgents, AcceptPercent: p.AcceptPercent, AcceptDays: p.AcceptDays}
}

// reportShifts makes a finding of what a day has changed for good, or would if somebody approved it.
func (b *relation) reportShifts(m *baselines.Model) {
	if len(m.Shifts) == 0 || b.approved {
		return
	}
	why, waits := describeShifts(m.Shifts)
	id := m.Persona
	if m.Fork != "" {
		id += "/" + m.Fork
	}
	f := event.Finding{Activity: event.Create, Analytic: event.StatisticalAnalytic, Stage: "relation",
		Detector: "baseline", Rule: "shift", RuleVersion: m.Hash(), Tenant: m.Tenant, Persona: m.Persona,
		Title:     "Behaviour of persona " + m.Persona + " has shifted",
		Why:       "on " + dateOf(m.Day) + " the baseline of persona " + strconv.Quote(id) + " learned " + why,
		ScopeType: event.PersonaScope.String(), ScopeID: m.Persona, Severity: event.Signal,
		Time: (m.Day + 1) * baselines.DayMS, First: m.Day * baselines.DayMS, Last: (m.Day + 1) * baselines.DayMS,
		Count: int64(len(m.Shifts))}
	if waits {
		f.Alert, f.Severity = true, event.Low
	}
	for i := range b.sources {
		f.Incomplete = f.Incomplete || b.sources[i].out
	}
	f.UID = event.UID(m.Tenant, "baseline/shift", f.ScopeType, id, dateOf(m.Day))
	b.round = append(b.round, f)
}

// describeShifts says in words what is now normal, and what waits for approval if anything does.
func describeShifts(shifts []baselines.Shift) (why string, waits bool) {
	var accepted, waiting, parts []string
	for _, s := range shifts {
		text := fmt.Sprintf("%s %q (%s on %s)", s.Kind, s.What, countOf(int64(s.Agents), "agent", "agents"),
			countOf(int64(s.Days), "day", "days"))
		if s.Waits {
			waiting = append(waiting, text)
		} else {
			accepted = append(accepted, text)
		}
	}
	some := func(list []string) string {
		if n := len(list); n > 5 {
			return strings.Join(list[:5], ", ") + fmt.Sprintf(" and %d more", n-5)
		}
		return strings.Join(list, ", ")
	}
	if len(accepted) > 0 {
		parts = append(parts, "what is now normal for it: "+some(accepted))
	}
	if len(waiting) > 0 {
		parts = append(parts, "what waits for approval: "+some(waiting))
	}
	return strings.Join(parts, "; "), len(waiting) > 0
}

// seed begins with models that were learned elsewhere, as if they had been closed on a day.
func (b *relation) seed(list []*baselines.Model, day int64) {
	b.closed = day
	for _, m := range list {
		m = baselines.Rebase(m, day)
		b.setModel(&lineage{key: m.Key}, m, m.Seen, 0)
	}
	b.publish(&Closing{From: noTime, To: day}, b.lineages())
}

// setModel makes a model the present one of its key.
func (b *relation) setModel(l *lineage, m *baselines.Model, seen int64, events uint64) {
	pg := b.modelPage(keyDay{m.Key, m.Day})
	if b.results == nil {
		b.rememberVersion(pg, m.Hash())
	}
	pg.newest, pg.events, pg.hash, pg.agentDays, pg.figures = seen, events,
		m.Hash(), m.AgentDays, figuresOf(m)
	if b.results != nil {
		pg.made = m
	} else {
		pg.model = m.Append(nil)
		b.publishModel(m, pg.model)
	}
	if n := len(l.models); n == 0 || l.models[n-1] != pg {
		l.models = append(l.models, pg)
	}
	b.counts.closed++
}

// eachPresent calls f for each baseline that has a model, with what metrics say of it.
func (b *relation) eachPresent(f func(baselines.Key, *modelFigures)) {
	for _, l := range b.lineages() {
		if n := len(l.models); n > 0 {
			f(l.key, &l.models[n-1].figures)
		}
	}
}

// modelOf is the present model of a baseline, nil if it has none.
func (b *relation) modelOf(l *lineage) *baselines.Model {
	if len(l.models) == 0 {
		return nil
	}
	return modelOf(l.models[len(l.models)-1])
}

func modelOf(pg *modelPage) *baselines.Model {
	if pg.made != nil {
		return pg.made
	}
	m := &baselines.Model{}
	r := wire.Reader{B: pg.model}
	if m.Decode(&r); r.Err != nil {
		panic(fmt.Sprintf("snapshot on page %q does not decode", pg.key)) // our bug: a page has a checksum
	}
	return m
}

// baselineOf is the baseline of the persona whose bucket is being closed, as it is in force at a
// time: the same shard has both. Of forks the one that was active last stands for all, as for an
// agent of a new one.
func (b *relation) baselineOf(t int64) *baselines.Model {
	if b.scope != policy.PersonaScope {
		return nil
	}
	k := keyDay{baselines.Key{Tenant: b.closing.Tenant, Persona: b.closing.ID}, judgedBy(t)}
	if m, known := b.bases[k]; known {
		return m
	}
	var best *modelPage
	for _, pg := range b.pages {
		pg, ok := pg.content.(*modelPage)
		if !ok || pg.baseline.Tenant != k.Tenant || pg.baseline.Persona != k.Persona ||
			pg.day > k.day {
			continue
		}
		if best == nil || pg.day > best.day || pg.day == best.day &&
			pg.snapshot().after(best.snapshot()) {
			best = pg
		}
	}
	var m *baselines.Model
	if best != nil {
		m = modelOf(best)
	}
	if b.bases == nil || len(b.bases) >= maxModels {
		b.bases = map[keyDay]*baselines.Model{}
	}
	b.bases[k] = m
	return m
}

// limitForks lets no more forks of a persona have a baseline of their own than maxForks: those that
// have one, then those that did most on the day. What the others did counts for the fork "other". A
// fork not seen for a week makes room.
func (b *relation) limitForks(day int64, list []*lineage) []*lineage {
	changed := false
	for first := 0; first < len(list); {
		n := first
		for n < len(list) && list[n].key.Tenant == list[first].key.Tenant &&
			list[n].key.Persona == list[first].key.Persona {
			n++
		}
		if n-first > maxForks {
			changed = b.limitForksOf(day, list[first:n]) || changed
		}
		first = n
	}
	if changed {
		return b.lineages()
	}
	return list
}

func (b *relation) limitForksOf(day int64, forks []*lineage) (changed bool) {
	var known, fresh []*lineage
	for _, l := range forks {
		switch {
		case l.key.Fork == otherFork:
		case len(l.models) > 0:
			known = append(known, l)
		case l.waits(day):
			fresh = append(fresh, l)
		}
	}
	did := func(l *lineage) (agents, events uint64) {
		for _, pg := range l.pending {
			if pg.day <= day {
				agents += pg.delta.AgentDays
				events += pg.delta.Events
			}
		}
		return agents, events
	}
	slices.SortFunc(fresh, func(x, y *lineage) int {
		xa, xe := did(x)
		ya, ye := did(y)
		return cmp.Or(cmp.Compare(ya, xa), cmp.Compare(ye, xe), strings.Compare(x.key.Fork, y.key.Fork))
	})
	slices.SortFunc(known, func(x, y *lineage) int {
		return cmp.Or(cmp.Compare(x.seen(), y.seen()), strings.Compare(x.key.Fork, y.key.Fork))
	})
	for len(fresh) > 0 && len(known)+len(fresh) > maxForks {
		if len(known) > 0 && len(known[0].pending) == 0 && day-known[0].seen() > 7 && len(known) >= maxForks {
			for _, pg := range known[0].models {
				b.forgetModel(pg)
			}
			known = known[1:]
			changed = true
			continue
		}
		last := fresh[len(fresh)-1]
		fresh = fresh[:len(fresh)-1]
		for last.waits(day) {
			pg := last.pending[0]
			last.pending = last.pending[1:]
			k := pg.baseline
			k.Fork = otherFork
			into := b.deltaPage(keyDay{k, pg.day})
			if into != nil {
				into.delta.Merge(pg.delta)
				for _, s := range pg.from {
					into.from = addShare(into.from, s)
				}
			}
			b.drop(&pg.page)
		}
		changed = true
	}
	return changed
}

func countOf(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(n, 10) + " " + more
}
