package detectors

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

func intentOf(intent string) uint64 {
	if intent == "" {
		return 0
	}
	return xxhash.Sum64String(intent)
}

// callKind is a hash of what calls are compared with: those of the same tool, of the same model, or
// else of the same kind of event.
func callKind(e *event.Event) uint64 {
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
		return "call of " + strconv.Quote(short(e.Tool.Name))
	case event.ModelCall:
		if e.Agent.Model != "" {
			return "call of model " + strconv.Quote(short(e.Agent.Model))
		}
		return "model call"
	}
	return e.Kind.String()
}

// call judges the sizes of one call by those of its kind.
func (v *volume) call() {
	const marks = 1<<baselines.RecordSum | 1<<baselines.ByteSum | 1<<baselines.AmountSum | 1<<baselines.CostSum
	if v.has&marks == 0 {
		return
	}
	e, d := v.e, baselines.VolumeDeltaOf(v.x.Delta)
	hash := callKind(e)
	var known *lensTool
	if v.lens != nil {
		known = v.lens.tool(hash)
	}
	best := crossed{p: 2, test: baselines.CallTest}
	var sizes [baselines.Marks]float64
	judged := false
	for m := range baselines.Marks {
		f := baselines.MarkOf(m)
		if v.has&(1<<f) == 0 {
			continue
		}
		sizes[m] = baselines.LogSize(v.values[f])
		if known == nil || known.of[m] == nil || f == baselines.AmountSum &&
			v.lens.currency != currencyCode(e.Amount.Currency) {
			continue
		}
		judged = true
		if sizes[m] > known.look[m] {
			if p := known.of[m].P(sizes[m]); p < best.p {
				best.p, best.feature, best.observed = p, f, v.values[f]
			}
		}
	}
	joined := 1.0
	if best.p < lookP {
		v.ps = v.ps[:0]
		for m := range baselines.Marks {
			if f := baselines.MarkOf(m); v.has&(1<<f) != 0 && known.of[m] != nil {
				p := 0.5
				if sizes[m] > known.look[m] {
					p = min(known.of[m].P(sizes[m]), 0.5)
				}
				v.ps = append(v.ps, p)
			}
		}
		joined = baselines.Cauchy(v.ps...)
	}
	p := joined
	if judged {
		p = v.lens.together(baselines.CallTest, joined)
	}
	v.x.Delta.Audit.Count(baselines.CallTest, p)
	alert := false
	if best.p = p; p < 0.01 {
		told := false
		if told, alert = v.cross(best); told && v.best.test == baselines.CallTest {
			c := known.of[best.feature-baselines.RecordSum]
			v.best.expected, v.best.low, v.best.high = quantileSize(c, 0.5), quantileSize(c, 0.01), quantileSize(c,
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
	for m := range baselines.Marks {
		if f := baselines.MarkOf(m); v.has&(1<<f) != 0 && (f != baselines.AmountSum || v.x.Base != nil &&
			baselines.VolumeOf(v.x.Base).Currency == currencyCode(e.Amount.Currency)) {
			d.Calls[m].Add(sizes[m], 1)
			if tool != nil {
				tool.Of[m].Add(sizes[m], 1)
			}
		}
	}
}

// quantileSize is a quantile of sizes whose logarithms are kept: whole, as they were.
func quantileSize(c *baselines.Calibrator, q float64) float64 {
	return math.Round(math.Expm1(c.Quantile(q)))
}

// outcome tests failures in sequence, and looks for runs over ids.
func (v *volume) outcome(a *agentVolume) {
	e := v.e
	if e.Resource.ID != "" {
		if n, ok := baselines.Number(e.Resource.ID); ok {
			steps := a.Run.Add(n)
			a.RunTop = max(a.RunTop, uint8(steps))
			if steps >= leastRunOf31 && v.lens != nil && v.lens.run != nil {
				p := v.lens.run.P(baselines.RunScore(steps))
				if told, alert := v.cross(crossed{p: p, test: baselines.RunTest, feature: baselines.ResourceCount,
					observed: float64(steps + 1), expected: 2, high: float64(leastRunOf31), what: "run"}); told {
					a.Hot |= hotRun
					if alert {
						a.Alerted |= hotRun
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
	failed := [baselines.Outcomes]bool{
		baselines.DeniedOutcome:   e.Result.Outcome == event.Denied || e.Policy.Verdict == "deny",
		baselines.NotFoundOutcome: e.Result.Outcome == event.NotFound,
		baselines.ErrorOutcome: e.Result.Outcome == event.Error || e.Result.Outcome == event.NoOutcome &&
			e.Result.Error != "",
	}
	d := baselines.VolumeDeltaOf(v.x.Delta)
	for k, bad := range failed {
		if v.x.Eligible {
			d.Contacts[k]++
			if bad {
				d.Failed[k]++
			}
		}
		if v.lens == nil {
			continue
		}
		o := &a.Odds[k]
		o.Add(bad, v.lens.failure[k], v.lens.success[k])
		if a.OddsTop = max(a.OddsTop, o.L); !bad || o.L < 4 || v.lens.outcome == nil {
			continue
		}
		p := v.lens.outcomeP(o)
		a.OddsP = min(a.OddsP, p)
		theta := v.lens.theta[k]
		if told, alert := v.cross(crossed{p: p, test: baselines.OutcomeTest, feature: baselines.EventCount,
			what:     baselines.Outcome(k).String(),
			observed: math.Exp(float64(o.L)), expected: theta, high: theta}); told {
			a.Hot |= hotOutcome
			if alert {
				a.Alerted |= hotOutcome
			}
		}
	}
}

// outcomesOver ends the day of the tests that last a day.
func (v *volume) outcomesOver(a *agentVolume) {
	d := v.x.Delta
	if a.contacts != nil {
		d.Audit.Count(baselines.OutcomeTest, a.OddsP)
		if v.x.Eligible && a.Alerted&hotOutcome == 0 && v.lens != nil {
			baselines.VolumeDeltaOf(d).Outcome.Add(float64(a.OddsTop)/math.Ln10, 1)
		}
	}
	if a.Run.Any {
		p := 1.0
		if v.lens != nil && v.lens.run != nil {
			p = v.lens.run.P(baselines.RunScore(int(a.RunTop)))
		}
		d.Audit.Count(baselines.RunTest, p)
		if v.x.Eligible && a.Alerted&hotRun == 0 {
			baselines.VolumeDeltaOf(d).Run.Add(baselines.RunScore(int(a.RunTop)), 1)
		}
	}
	a.Hot &^= hotOutcome | hotRun
	a.Alerted &^= hotOutcome | hotRun
	a.RunTop, a.OddsTop, a.OddsP, a.Odds = 0, 0, 1, [baselines.Outcomes]baselines.Odds{}
}
