package volume

import (
	"math"
	"time"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/limit"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/localtime"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// Budgets above one agent burn as an agent's do. What is spent is what the limit's own meter
// counts, so that nothing is sent twice; the hours are those of the persona, if the scope is one
// and its baseline is of age. Of other scopes nobody has learned when they work: their budgets are
// followed as if they were spent evenly, and since work that is done in 40 of 168 hours then burns
// at 4.2 when all is well, a slow burn of theirs is a signal and calls nobody.

// wideBudgets are the budgets above one agent, by the hash of the meter that counts them.
func wideBudgets(set *policy.Set) map[uint64][]*budget {
	by := map[uint64][]*budget{}
	for scope := policy.PersonaScope; int(scope) < policy.Scopes; scope++ {
		for _, b := range budgetsOf(set, scope) {
			h := limit.MeterHash(b.limit)
			by[h] = append(by[h], b)
		}
	}
	return by
}

// Follow implements Follower.
func (v *volume) Follow(x *detectors.Closing, b *detectors.Bucket) {
	if len(v.wide) == 0 || b.Slot != limit.Slot {
		return
	}
	for i := range b.Counted {
		c := &b.Counted[i]
		for _, budget := range v.wide[c.Meter] {
			column := limit.CostColumn
			if budget.feature == AmountSum {
				column = limit.AmountColumn
			}
			if money := c.Sums[column]; money > 0 && budget.limit.Scope == b.Scope {
				v.spendWide(x, b, c, budget, min(float64(money), maxValue))
			}
		}
	}
}

func (v *volume) spendWide(x *detectors.Closing, b *detectors.Bucket, c *detectors.Counted, budget *budget,
	money float64) {
	part := x.Memory.Ensure(v.slot).(*volumePart)
	if part.agent == nil {
		part.agent = &agentVolume{}
	}
	l, t := budget.limit, c.Last.Time
	zone := l.Zone
	switch {
	case zone != nil:
	case b.Scope == policy.PersonaScope:
		zone = v.set.ZoneOf(b.Tenant, b.ID)
	default:
		zone = v.set.Zone(b.Tenant)
	}
	k := part.agent.burning(l.Hash)
	if t < k.From {
		return // of a period that is over
	}
	k.beginPeriod(l.Calendar, t, zone)
	k.add(wire.FloorDiv(b.Index*detectors.BucketMS, burnStepMS), money, c.Sums[0])
	limit := float64(l.Max)
	if k.Reported == 3 || k.Spent > limit || limit <= 0 || k.Calls < leastEvents {
		return // all levels are reported, or the limit's own finding says so, or it is too early
	}
	h, base := seasonHours{}, (*baselines.Model)(nil)
	if b.Scope == policy.PersonaScope && x.Base != nil {
		if base = x.Base(t); base != nil && base.State != baselines.Learning &&
			ModelOf(base).Events() >= baselines.SeasonEvents {
			if at := v.set.ZoneOf(b.Tenant, b.ID); v.zone == nil || v.zone.Zone() != at {
				v.zone = localtime.In(at)
			}
			h = seasonHours{&ModelOf(base).Hours, v.zone}
		}
	}
	// A few large payments are no pace: of n calls the rate is known to within 1/√n of itself.
	level, burn, hours := k.pace(limit, t, 1+burnQuantile/math.Sqrt(float64(k.Calls)), h)
	if level <= k.Reported {
		return
	}
	f := forecastOf(k, limit, t, hours, h)
	if f.total <= limit {
		return
	}
	k.Reported = level
	x.Find(wideBurnFinding(b, c, k, budget, zone, burn, hours, &f, h, base))
}

// forecast is what becomes of a budget at the pace of the last hours.
type forecast struct {
	total float64 // by the end of the period
	gone  int64   // when it is used up
}

func forecastOf(k *burning, limit float64, t int64, hours int, h seasonHours) forecast {
	pace := k.last(hours*12) / max(h.between(t-int64(hours)*3_600_000, t), 1e-6)
	f := forecast{total: min(k.Spent+pace*h.between(t, k.To), maxValue)}
	for from, to := t, k.To; from < to; { // the first moment at which it is gone
		if at := from + (to-from)/2; k.Spent+pace*h.between(t, at) >= limit {
			f.gone, to = at, at
		} else {
			from = at + 1
		}
	}
	return f
}

// wideBurnFinding is the finding that a budget above one agent will not last.
func wideBurnFinding(b *detectors.Bucket, c *detectors.Counted, k *burning, budget *budget,
	zone *time.Location, burn float64, hours int, at *forecast, h seasonHours, base *baselines.Model) event.Finding {
	l := budget.limit
	f := k.newFinding(budget, l.Scope.String(), b.ID, c.Last)
	f.Why = limit.Whose(l.Scope, b.ID) + " has used up " + f.Observed + " of " + f.Expected + " " + f.Unit +
		limit.Over(l, c.Last.Time, localtime.CalendarIn(zone)) + ": in " + lastHours(hours) + " " +
		figure(burn) + " times as fast as the budget allows; at that pace it is gone by " +
		time.UnixMilli(at.gone).In(zone).Format("Mon 15:04") + " and comes to " +
		limit.Quantity(int64(math.Round(at.total/1e4))*1e4, l.Measure) + " by the end of the " + l.Calendar.String()
	if h.season != nil {
		f.Why += ", by the usual hours of the persona (baseline " + base.Snapshot() + ")"
	} else {
		f.Why += ", if it goes on evenly: at which hours this " + b.Scope.String() + " usually works is not known"
		if hours == 6 {
			f.Severity = event.Signal
		}
	}
	f.Alert, f.Risk = f.Severity > event.Signal, detectors.Risk(f.Severity)
	limit.Named(&f, b)
	return f
}
