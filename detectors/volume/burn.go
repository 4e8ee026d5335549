package volume

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/limit"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/localtime"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// budget is a limit on money over a day, a week or a month of the calendar.
type budget struct {
	limit   *policy.Limit
	feature Feature
}

// maxBudgets bounds how many budgets of one agent, or of one wider scope, are followed.
const maxBudgets = 16

// Of burn rates: two windows each, of which the short one is a twelfth, so that what is over calms
// at once (Google SRE Workbook, ch. 5); a rate of 1 uses the budget up at its end, given the season
// (docs/statistics.md, Budgets).
const (
	burnStepMS   = 5 * 60_000
	burnSteps    = 72 // six hours
	fastBurn     = 6
	slowBurn     = 2
	burnShare    = 0.02 // of the budget, which the longer window must have used up
	burnQuantile = 1.64
)

// budgetsOf are the budgets of a scope.
func budgetsOf(set *policy.Set, scope policy.Scope) (list []*budget) {
	for _, l := range set.Limits() {
		if l.Calendar == policy.NoCalendar || l.Scope != scope || len(list) == maxBudgets {
			continue
		}
		switch l.Measure {
		case policy.Cost:
			list = append(list, &budget{l, CostSum})
		case policy.Amount:
			list = append(list, &budget{l, AmountSum})
		}
	}
	return list
}

// burning is how an agent, or a wider scope, uses up one budget.
type burning struct {
	Limit    uint64
	From, To int64 // the period
	Spent    float64
	Head     int64 // step
	Steps    [burnSteps]float32
	Reported uint8 // 0 nothing, 1 forecast, 2 slow, 3 fast
	Calls    uint8
	_        [6]uint8
}

// burn follows the budgets that count the event.
func (v *volume) burn(part *volumePart) {
	if len(v.budgets) == 0 || part.agent == nil || v.e.Kind != event.ToolCall {
		return
	}
	e, x := v.e, v.x
	for _, b := range v.budgets {
		l := b.limit
		money := 0.0
		switch {
		case b.feature == CostSum && e.Has&event.HasCost != 0:
			money = float64(max(0, e.Cost.MicroUSD))
		case b.feature == AmountSum && e.Has&event.HasAmount != 0 && e.Amount.Currency == l.Currency &&
			e.Result.Outcome <= event.OK:
			money = float64(max(0, e.Amount.Micro))
		}
		if money == 0 || !l.Covers(e.Tenant, x.Persona, &e.Tool) || l.Classes() != 0 &&
			l.Classes()&policy.ClassBits(e) == 0 ||
			l.Outcomes() != 0 && l.Outcomes()&(1<<e.Result.Outcome) == 0 || l.HasConditions() && !l.Matches(e) {
			continue
		}
		v.spend(part.agent, part.agent.burning(l.Hash), b, min(money, maxValue))
	}
}

// burning finds how one uses up a budget. Of a scope above agents there is nothing else in a.
func (a *agentVolume) burning(limit uint64) *burning {
	m := a.ensureDetail()
	for i := range m.budgets {
		if m.budgets[i].Limit == limit {
			return &m.budgets[i]
		}
	}
	if len(m.budgets) == maxBudgets { // of limits that are no more
		m.budgets = append(m.budgets[:0], m.budgets[1:]...)
	}
	m.budgets = append(m.budgets, burning{Limit: limit})
	return &m.budgets[len(m.budgets)-1]
}

// beginPeriod starts the period in which a time lies, if it is not the current one.
func (k *burning) beginPeriod(unit policy.Calendar, t int64, zone *time.Location) {
	if t >= k.To {
		from, to := period(unit, t, zone)
		*k = burning{Limit: k.Limit, From: from, To: to, Head: wire.FloorDiv(t, burnStepMS)}
	}
}

// add counts the money of some calls in a step; what is older than six hours is counted in the
// period alone.
func (k *burning) add(step int64, money float64, calls int64) {
	for i := k.Head + 1; i <= min(step, k.Head+burnSteps); i++ {
		k.Steps[burnPlace(i)] = 0
	}
	if k.Head = max(k.Head, step); step > k.Head-burnSteps {
		k.Steps[burnPlace(step)] += float32(money)
	}
	k.Spent += money
	k.Calls = uint8(min(int64(k.Calls)+calls, 255))
}

func burnPlace(step int64) int64 { return (step%burnSteps + burnSteps) % burnSteps }

// last is what was spent in the newest steps.
func (k *burning) last(steps int) (sum float64) {
	for i := range int64(steps) {
		sum += float64(k.Steps[burnPlace(k.Head-i)])
	}
	return sum
}

func (v *volume) spend(a *agentVolume, k *burning, b *budget, money float64) {
	t, zone := v.x.Time, b.limit.Zone
	if zone == nil {
		zone = v.x.Zone.Zone()
	}
	if t < k.From {
		return // of a period that is over
	}
	k.beginPeriod(b.limit.Calendar, t, zone)
	k.add(wire.FloorDiv(t, burnStepMS), money, 1)
	limit := float64(b.limit.Max)
	if k.Spent > limit || limit <= 0 || k.Calls < leastEvents {
		return // the limit's own finding says so, or it is too early
	}
	usualRest, sd := v.usualRest(a, b, t, k.To)
	level, burn, hours := k.pace(limit, t, 1, v.seasonal())
	if level == 0 && usualRest > 0 && k.Spent+usualRest+burnQuantile*sd > limit {
		level = 1
	}
	if level > k.Reported {
		k.Reported = level
		v.x.Find(v.burnFinding(k, b, zone, burn, hours, usualRest, sd))
	}
}

// pace tells how fast the budget goes: 2 is slow, 3 fast, 0 neither; the rate in the longer of the
// two windows, and its hours. A rate is what was spent in a window over what the budget has for it:
// its share of the period. It must be above its bound by a factor of margin.
func (k *burning) pace(limit float64, t int64, margin float64, h seasonHours) (level uint8, burn float64, hours int) {
	total := h.between(k.From, k.To)
	rate := func(steps int) float64 {
		return k.last(steps) / (limit * max(h.between(t-int64(steps)*burnStepMS, t), 1e-6) / max(total, 1e-6))
	}
	if long := rate(12); min(long, rate(1)) >= fastBurn*margin && k.last(12) >= burnShare*limit {
		return 3, long, 1
	}
	if long := rate(72); min(long, rate(6)) >= slowBurn*margin && k.last(72) >= burnShare*limit {
		return 2, long, 6
	}
	return 0, 0, 0
}

// seasonHours measures time by how busy its hours usually are; without a season all hours are
// alike.
type seasonHours struct {
	season *baselines.Season
	zone   *localtime.Clock
}

// seasonal are the hours of the persona under observation.
func (v *volume) seasonal() seasonHours {
	if v.reference == nil {
		return seasonHours{}
	}
	return seasonHours{v.reference.season, v.x.Zone}
}

// between is how many hours of a mean season lie between two times.
func (h seasonHours) between(from, to int64) float64 {
	if h.season == nil {
		return float64(to-from) / 3_600_000
	}
	from, to = h.zone.Local(from), h.zone.Local(to)
	at := func(t int64) float64 { // from the first hour of from's week on
		hour := wire.FloorDiv(t, 3_600_000)
		cell := baselines.HourOfWeek(t)
		return float64(wire.FloorDiv(hour+72, baselines.HoursOfWeek))*baselines.HoursOfWeek + h.season.Sum[cell] +
			h.season.Of[cell]*float64(t-hour*3_600_000)/3_600_000
	}
	return at(to) - at(from)
}

// usualRest is what the agent will usually spend until the end of the period, and the standard
// deviation of it; zero if nothing is known.
func (v *volume) usualRest(a *agentVolume, b *budget, from, to int64) (mean, sd float64) {
	c := int(a.Of[b.feature]) - 1
	if c < 0 || v.reference == nil || !v.reference.of[b.feature].on || b.feature == AmountSum &&
		v.reference.currency != currencyCode(b.limit.Currency) {
		return 0, 0
	}
	k := v.expected(a, DayWindow, c, v.seasonal().between(from, to))
	unit := v.reference.of[b.feature].unit
	return k.M * unit, math.Sqrt(k.Variance()) * unit
}

// period is the day, week or month of a zone's calendar in which a time lies.
func period(unit policy.Calendar, t int64, zone *time.Location) (from, to int64) {
	y, m, d := time.UnixMilli(t).In(zone).Date()
	start := time.Date(y, m, d, 0, 0, 0, 0, zone)
	end := start.AddDate(0, 0, 1)
	switch unit {
	case policy.Week:
		start = start.AddDate(0, 0, -(int(start.Weekday())+6)%7)
		end = start.AddDate(0, 0, 7)
	case policy.Month:
		start = time.Date(y, m, 1, 0, 0, 0, 0, zone)
		end = start.AddDate(0, 1, 0)
	}
	return start.UnixMilli(), end.UnixMilli()
}

var burnRules = [...]string{1: "forecast", 2: "slow", 3: "fast"}

// lastHours names the longer of the two windows.
func lastHours(n int) string {
	if n == 1 {
		return "the last hour"
	}
	return "the last six hours"
}

// newFinding begins the finding that a budget will not last. Each pace is found once in a period:
// fast is an alert, slow a low one, and that habits alone will use it up only a signal.
func (k *burning) newFinding(b *budget, scope, id string, trigger event.Ref) event.Finding {
	l, unit := b.limit, "USD"
	if b.feature == AmountSum {
		unit = l.Currency
	}
	return event.Finding{Activity: event.Create, Analytic: event.StatisticalAnalytic, Detector: "volume",
		Rule: "burn/" + burnRules[k.Reported] + "/" + l.ID, RuleVersion: l.Version,
		Title: titles[baselines.BurnTest], Severity: [...]event.Severity{1: event.Signal, 2: event.Low,
			3: event.Medium}[k.Reported], Tags: []string{"ASI08", "AML.T0034"},
		ScopeType: scope, ScopeID: id, Time: trigger.Time, First: trigger.Time, Last: trigger.Time,
		Count: int64(k.Calls), Refs: []event.Ref{trigger.Clone()},
		Measure: l.Measure.String(), Unit: unit, Observed: limit.Quantity(int64(k.Spent), l.Measure),
		Expected: limit.Quantity(l.Max, l.Measure), WindowMS: l.WindowMS}
}

// burnFinding is the finding about an agent's budget.
func (v *volume) burnFinding(k *burning, b *budget, zone *time.Location, burn float64, hours int, usualRest,
	sd float64) event.Finding {
	e, x, l := v.e, v.x, b.limit
	f, most := k.newFinding(b, "agent", e.Agent.ID, x.Ref(e)), float64(l.Max)
	unit := f.Unit
	f.Alert, f.Risk = f.Severity > event.Signal, detectors.Risk(f.Severity)
	spent := "agent " + strconv.Quote(detectors.Short(e.Agent.ID)) + " has used up " + f.Observed +
		" of " + f.Expected + " " +
		unit + limit.Over(l, x.Time, localtime.CalendarIn(zone))
	if burn > 0 {
		spent += ": in " + lastHours(hours) + " " + figure(burn) + " times as fast as the budget allows"
		if pace := k.last(hours*12) / float64(hours); pace > 0 {
			end := x.Time + int64((most-k.Spent)/pace*3_600_000)
			if end < k.To {
				spent += ", at which pace it is gone by " + time.UnixMilli(end).In(zone).Format("Mon 15:04")
			}
		}
	}
	// The probability that what is usual from here on leaves the budget whole.
	p := 1.0
	if usualRest > 0 {
		p = math.Erfc((k.Spent+usualRest-most)/(sd*math.Sqrt2)) / 2
		spent += "; until its end usually another " + limit.Quantity(int64(min(usualRest, maxValue)), l.Measure) +
			" follow, with which it holds in " + event.Percent(p) + " of cases"
	}
	f.Why = spent
	if m := x.Base; m != nil {
		f.Anomaly = &event.Anomaly{P: max(p, 1e-300), Alpha: x.Alpha(baselines.BurnTest),
			Family: baselines.VolumeFamily.String(), Test: baselines.BurnTest.String(), Feature: b.feature.String(),
			Unit: strings.Clone(unit), Observed: k.Spent / 1e6, Expected: max(0, most-usualRest) / 1e6, High: most / 1e6,
			WindowMS: l.WindowMS, Season: x.Season(x.Time),
			Persona: m.Persona, Fork: m.Fork, AgentDays: int64(m.AgentDays / baselines.Unit), Agents: int64(m.Agents),
			Snapshot: m.Snapshot(), State: m.State.String()}
	}
	return f
}
