package volume

import (
	"math"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
)

// session adds the event to its session's totals, which are judged against those of the persona's
// sessions as they end.
func (v *volume) session(part, own *volumePart) {
	if own.session == nil {
		own.session = &sessionVolume{sessionNumbers: sessionNumbers{Intent: intentOf(v.e.Intent)}}
		v.sessionLimits(own.session)
		v.start()
	}
	s := own.session
	if s.Base != v.reference.day() { // another baseline came into force
		v.sessionLimits(s)
	}
	v.gap(s)
	closely := false
	s.Has |= v.has
	if part.first.Currency != 0 {
		s.Currency = part.first.Currency
	}
	for f := range Features {
		if v.has&(1<<f) == 0 {
			continue
		}
		if f.Distinct() {
			if n, fresh := s.distinct[f-SubjectCount].Add(v.distinct[f-SubjectCount]); fresh {
				s.Totals[f] = n
			}
		} else {
			s.Totals[f] += v.values[f]
		}
		closely = closely || s.Totals[f] > float64(s.Limits[f])
	}
	if closely {
		v.inspectSession(s)
	}
	v.elevated = v.elevated || s.Elevated
}

// sessionLimits sets the totals at which a session is looked at closely.
func (v *volume) sessionLimits(s *sessionVolume) {
	s.Base = v.reference.day()
	for f := range Features {
		s.Limits[f], s.Screens[f] = math.MaxFloat32, math.MaxFloat32
		if v.reference == nil {
			continue
		}
		if l := &v.reference.of[f]; l.session != nil {
			s.Limits[f] = l.sessionScreen
			if c := v.reference.intent(s.Intent, f); c != l.session {
				s.Limits[f] = float32(math.Expm1(c.Quantile(1-screenP) - baselines.BinWidth))
			}
		}
		s.Screens[f] = s.Limits[f]
	}
}

func (v *volume) inspectSession(s *sessionVolume) {
	joined, f := v.sessionP(s)
	for i := range s.Limits {
		if s.Totals[i] > float64(s.Limits[i]) {
			s.Limits[i] = float32(min(s.Totals[i]*growth, math.MaxFloat32))
		}
	}
	if joined >= 1 || s.Totals[EventCount] < leastEvents {
		return
	}
	p := v.reference.calibrated(baselines.SessionTest, joined)
	reported, alert := v.cross(crossed{p: p, test: baselines.SessionTest, feature: f, observed: s.Totals[f]})
	if !reported {
		return
	}
	s.Elevated, s.Alerted = true, s.Alerted || alert
	if v.best.test == baselines.SessionTest {
		c := v.reference.intent(s.Intent, f)
		v.best.expected, v.best.low, v.best.high = QuantileSize(c, 0.5), QuantileSize(c, 0.01), QuantileSize(c, 0.999)
	}
}

// sessionP is the p-value of a session's totals together, and the oddest feature.
func (v *volume) sessionP(s *sessionVolume) (float64, Feature) {
	v.ps = v.ps[:0]
	least, at := 2.0, EventCount
	if v.reference != nil {
		for f := range Features {
			if s.Has&(1<<f) == 0 || !v.reference.judges(f, s.Currency) {
				continue
			}
			p := 0.5
			if s.Totals[f] > float64(s.Screens[f]) {
				p = min(v.reference.intent(s.Intent, f).P(LogSize(s.Totals[f])), 0.5)
			}
			v.ps = append(v.ps, p)
			if p < least {
				least, at = p, f
			}
		}
	}
	if len(v.ps) == 0 {
		return 1, at
	}
	return baselines.Cauchy(v.ps...), at
}

// End learns the totals of a session that is over.
func (v *volume) End(x *detectors.Ending) {
	part, _ := x.Memory.Part(v.slot).(*volumePart)
	if part == nil || part.session == nil {
		return
	}
	s := part.session
	v.reference = v.referenceOfWho(x.Who)
	joined, _ := v.sessionP(s)
	p := joined
	if v.reference != nil {
		p = v.reference.calibrated(baselines.SessionTest, joined)
	}
	x.Delta.Audit.Count(baselines.SessionTest, p)
	if d := DeltaOf(x.Delta); x.Eligible && !s.Alerted {
		if joined < 1 {
			d.Joint[baselines.SessionTest].Add(scoreOf(joined), 1)
		}
		var intent *IntentTotals
		if s.Intent != 0 {
			if intent = d.Intent(s.Intent); intent != nil {
				intent.N++
			}
		}
		for f := range Features {
			if s.Has&(1<<f) == 0 || f == AmountSum &&
				(x.Base == nil || ModelOf(x.Base).Currency != s.Currency) {
				continue
			}
			size := LogSize(s.Totals[f])
			d.Of[f].Session.Add(size, 1)
			if intent != nil {
				intent.Of[f].Add(size, 1)
			}
		}
		if s.Even > 0 {
			d.Even.Add(s.Even, 1)
		}
	}
	x.Memory.Drop(v.slot)
}

// start weighs the hour in which a session starts: a sign, never an alert.
func (v *volume) start() {
	p := 1.0
	if v.reference != nil && ModelOf(v.x.Base).Events() >= baselines.SeasonEvents {
		p = v.reference.season.Rare[baselines.HourOfWeek(v.x.Local(v.x.Time))]
		if p < 0.01 {
			v.timing(crossed{p: p, test: baselines.TimingTest, what: "hour"})
		}
	}
	v.x.Delta.Audit.Count(baselines.TimingTest, p)
}

// gap takes the time since the session's last event; the first 32 gaps tell a machine that does not
// wait for anybody by how even they are.
func (v *volume) gap(s *sessionVolume) {
	if s.Events++; s.Events > 1 && s.Gaps < evenGaps {
		g := float32(max(0, v.x.Time-s.Last)) / 1000
		s.Gaps++
		s.GapSum += g
		s.GapSquares += g * g
		if s.Gaps == evenGaps {
			mean := float64(s.GapSum) / evenGaps
			sd := math.Sqrt(max(float64(s.GapSquares)/evenGaps-mean*mean, 0))
			cv := 1.0
			if mean > 0 {
				cv = max(sd/mean, 1e-6)
			}
			// the more even, the larger; ten is the most uneven that matters
			s.Even = max(-math.Log(cv/10), baselines.BinWidth)
			p := 1.0
			if v.reference != nil && v.reference.even != nil {
				if p = v.reference.even.P(s.Even); p < 0.01 && cv < 0.1 {
					v.timing(crossed{p: p, test: baselines.TimingTest, what: "gaps", observed: cv,
						expected: 10 * math.Exp(-v.reference.even.Quantile(0.5))})
				}
			}
			v.x.Delta.Audit.Count(baselines.TimingTest, p)
		}
	}
	s.Last = max(s.Last, v.x.Time)
}
