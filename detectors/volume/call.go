package volume

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

func intentOf(intent string) uint64 {
	if intent == "" {
		return 0
	}
	return xxhash.Sum64String(intent)
}

// CallKind is a hash of what calls are compared with: those of the same tool, of the same model, or
// else of the same kind of event.
func CallKind(e *event.Event) uint64 {
	switch e.Kind {
	case event.ToolCall:
		hash := xxhash.Sum64String(e.Tool.Name)
		if e.Tool.Server != "" {
			hash ^= xxhash.Sum64String(e.Tool.Server) * 31
		}
		return hash
	case event.ModelCall:
		return xxhash.Sum64String(e.Agent.Model)*0x9e3779b97f4a7c15 ^ uint64(e.Kind)
	}
	return uint64(e.Kind)
}

// callName says the same to people.
func callName(e *event.Event) string {
	switch e.Kind {
	case event.ToolCall:
		return "call of " + strconv.Quote(detectors.Short(e.Tool.Name))
	case event.ModelCall:
		if e.Agent.Model != "" {
			return "call of model " + strconv.Quote(detectors.Short(e.Agent.Model))
		}
		return "model call"
	}
	return e.Kind.String()
}

// call judges the sizes of one call by those of its kind.
func (v *volume) call() {
	const marks = 1<<RecordSum | 1<<ByteSum | 1<<AmountSum | 1<<CostSum
	if v.has&marks == 0 {
		return
	}
	e, d := v.e, DeltaOf(v.x.Delta)
	hash := CallKind(e)
	var known *referenceTool
	if v.reference != nil {
		known = v.reference.tool(hash)
	}
	best := crossed{p: 2, test: baselines.CallTest}
	var sizes [Marks]float64
	judged := false
	for m := range Marks {
		f := MarkOf(m)
		if v.has&(1<<f) == 0 {
			continue
		}
		sizes[m] = LogSize(v.values[f])
		if known == nil || known.of[m] == nil || f == AmountSum &&
			v.reference.currency != currencyCode(e.Amount.Currency) {
			continue
		}
		judged = true
		if sizes[m] > known.screen[m] {
			if p := known.of[m].P(sizes[m]); p < best.p {
				best.p, best.feature, best.observed = p, f, v.values[f]
			}
		}
	}
	joined := 1.0
	if best.p < screenP {
		v.ps = v.ps[:0]
		for m := range Marks {
			if f := MarkOf(m); v.has&(1<<f) != 0 && known.of[m] != nil {
				p := 0.5
				if sizes[m] > known.screen[m] {
					p = min(known.of[m].P(sizes[m]), 0.5)
				}
				v.ps = append(v.ps, p)
			}
		}
		joined = baselines.Cauchy(v.ps...)
	}
	p := joined
	if judged {
		p = v.reference.calibrated(baselines.CallTest, joined)
	}
	v.x.Delta.Audit.Count(baselines.CallTest, p)
	alert := false
	if best.p = p; p < 0.01 {
		reported := false
		if reported, alert = v.cross(best); reported && v.best.test == baselines.CallTest {
			c := known.of[best.feature-RecordSum]
			v.best.expected, v.best.low, v.best.high = QuantileSize(c, 0.5), QuantileSize(c, 0.01), QuantileSize(c,
				0.999)
		}
	}
	if !v.x.Eligible || alert {
		return
	}
	if judged {
		d.Joint[baselines.CallTest].Add(scoreOf(joined), 1)
	}
	tool := d.Tool(hash)
	for m := range Marks {
		if f := MarkOf(m); v.has&(1<<f) != 0 && (f != AmountSum || v.x.Base != nil &&
			ModelOf(v.x.Base).Currency == currencyCode(e.Amount.Currency)) {
			d.Calls[m].Add(sizes[m], 1)
			if tool != nil {
				tool.Of[m].Add(sizes[m], 1)
			}
		}
	}
}

// QuantileSize is a quantile of a reference of logarithms (see LogSize), turned back into a size
// and rounded to a whole number.
func QuantileSize(c *baselines.Calibrator, q float64) float64 {
	return math.Round(math.Expm1(c.Quantile(q)))
}

// outcome tests failures in sequence, and looks for runs over ids.
func (v *volume) outcome(a *agentVolume) {
	e := v.e
	if e.Resource.ID != "" {
		if n, ok := baselines.TrailingNumber(e.Resource.ID); ok {
			steps := a.Run.Add(n)
			a.RunTop = max(a.RunTop, uint8(steps))
			if steps >= leastRunOf31 && v.reference != nil && v.reference.run != nil {
				p := v.reference.run.P(baselines.RunScore(steps))
				if reported, alert := v.cross(crossed{p: p, test: baselines.RunTest, feature: ResourceCount,
					observed: float64(steps + 1), expected: 2, high: float64(leastRunOf31), what: "run"}); reported {
					a.Elevated |= elevatedRun
					if alert {
						a.Alerted |= elevatedRun
					}
				}
			}
		}
	}
	v.key = append(v.key[:0], e.Tool.Name...)
	v.key = append(append(v.key, 0), e.Tool.Server...)
	v.key = append(append(v.key, 0), e.Resource.Type...)
	v.key = append(append(v.key, 0), e.Resource.ID...)
	switch {
	case e.Resource.ID != "" || e.ArgsDigest == "":
	case policy.Shows(e): // the digest beside them is whatever somebody wrote there
		v.key = binary.BigEndian.AppendUint64(v.key, xxhash.Sum64(v.args.Canonical(e.Args)))
	default:
		v.key = append(v.key, e.ArgsDigest...)
	}
	if !a.contact(uint16(xxhash.Sum64(v.key))) {
		return
	}
	failed := [Outcomes]bool{
		DeniedOutcome:   e.Result.Outcome == event.Denied || e.Policy.Verdict == "deny",
		NotFoundOutcome: e.Result.Outcome == event.NotFound,
		ErrorOutcome: e.Result.Outcome == event.Error || e.Result.Outcome == event.NoOutcome &&
			e.Result.Error != "",
	}
	d := DeltaOf(v.x.Delta)
	for k, bad := range failed {
		if v.x.Eligible {
			d.Contacts[k]++
			if bad {
				d.Failed[k]++
			}
		}
		if v.reference == nil {
			continue
		}
		o := &a.Odds[k]
		o.Add(bad, v.reference.failure[k], v.reference.success[k])
		if a.OddsTop = max(a.OddsTop, o.LogRatio); !bad || o.LogRatio < 4 || v.reference.outcome == nil {
			continue
		}
		p := v.reference.outcomeP(o)
		a.OddsP = min(a.OddsP, p)
		theta := v.reference.theta[k]
		if reported, alert := v.cross(crossed{p: p, test: baselines.OutcomeTest, feature: EventCount,
			what:     Outcome(k).String(),
			observed: math.Exp(float64(o.LogRatio)), expected: theta, high: theta}); reported {
			a.Elevated |= elevatedOutcome
			if alert {
				a.Alerted |= elevatedOutcome
			}
		}
	}
}

// outcomesOver ends the day of the tests that last a day.
func (v *volume) outcomesOver(a *agentVolume) {
	d := v.x.Delta
	if a.contacts != nil {
		d.Audit.Count(baselines.OutcomeTest, a.OddsP)
		if v.x.Eligible && a.Alerted&elevatedOutcome == 0 && v.reference != nil {
			DeltaOf(d).Outcome.Add(float64(a.OddsTop)/math.Ln10, 1)
		}
	}
	if a.Run.Any {
		p := 1.0
		if v.reference != nil && v.reference.run != nil {
			p = v.reference.run.P(baselines.RunScore(int(a.RunTop)))
		}
		d.Audit.Count(baselines.RunTest, p)
		if v.x.Eligible && a.Alerted&elevatedRun == 0 {
			DeltaOf(d).Run.Add(baselines.RunScore(int(a.RunTop)), 1)
		}
	}
	a.Elevated &^= elevatedOutcome | elevatedRun
	a.Alerted &^= elevatedOutcome | elevatedRun
	a.RunTop, a.OddsTop, a.OddsP, a.Odds = 0, 0, 1, [Outcomes]baselines.SequentialTest{}
}
