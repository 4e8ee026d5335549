package detectors

import (
	"math"

	"github.com/wayward-sec/wayward/baselines"
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
	if s.Base != v.lens.day() { // another baseline came into force
		v.sessionLimits(s)
	}
	v.gap(s)
	closely := false
	s.Has |= v.has
	if part.first.Currency != 0 {
		s.Currency = part.first.Currency
	}
	for f := range baselines.Features {
		if v.has&(1<<f) == 0 {
			continue
		}
		if f.Distinct() {
			if n, fresh := s.things[f-baselines.SubjectCount].Add(v.things[f-baselines.SubjectCount]); fresh {
				s.Totals[f] = n
			}
		} else {
			s.Totals[f] += v.values[f]
		}
		closely = closely || s.Totals[f] > float64(s.Limits[f])
	}
	if closely {
		v.lookAtSession(s)
	}
	v.hot = v.hot || s.Hot
}

// sessionLimits sets the totals at which a session is looked at closely.
func (v *volume) sessionLimits(s *sessionVolume) {
	s.Base = v.lens.day()
	for f := range baselines.Features {
		s.Limits[f], s.Looks[f] = math.MaxFloat32, math.MaxFloat32
		if v.lens == nil {
			continue
		}
		if l := &v.lens.of[f]; l.session != nil {
			s.Limits[f] = l.sessionLook
			if c := v.lens.intent(s.Intent, f); c != l.session {
				s.Limits[f] = float32(math.Expm1(c.Quantile(1-lookP) - baselines.BinWidth))
			}
		}
		s.Looks[f] = s.Limits[f]
	}
}

func (v *volume) lookAtSession(s *sessionVolume) {
	joined, f := v.sessionP(s)
	for i := range s.Limits {
		if s.Totals[i] > float64(s.Limits[i]) {
			s.Limits[i] = float32(min(s.Totals[i]*growth, math.MaxFloat32))
		}
	}
	if joined >= 1 || s.Totals[baselines.EventCount] < leastEvents {
		return
	}
	p := v.lens.together(baselines.SessionTest, joined)
	told, alert := v.cross(crossed{p: p, test: baselines.SessionTest, feature: f, observed: s.Totals[f]})
	if !told {
		return
	}
	s.Hot, s.Alerted = true, s.Alerted || alert
	if v.best.test == baselines.SessionTest {
		c := v.lens.intent(s.Intent, f)
		v.best.expected, v.best.low, v.best.high = quantileSize(c, 0.5), quantileSize(c, 0.01), quantileSize(c, 0.999)
	}
}

// sessionP is the p-value of a session's totals together, and the oddest feature.
func (v *volume) sessionP(s *sessionVolume) (float64, baselines.Feature) {
	v.ps = v.ps[:0]
	least, at := 2.0, baselines.EventCount
	if v.lens != nil {
		for f := range baselines.Features {
			if s.Has&(1<<f) == 0 || !v.lens.judges(f, s.Currency) {
				continue
			}
			p := 0.5
			if s.Totals[f] > float64(s.Looks[f]) {
				p = min(v.lens.intent(s.Intent, f).P(baselines.LogSize(s.Totals[f])), 0.5)
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
func (v *volume) End(x *Ending) {
	part, _ := x.Memory.Part(v.slot).(*volumePart)
	if part == nil || part.session == nil {
		return
	}
	s := part.session
	v.lens = v.lensOfWho(x.Who)
	joined, _ := v.sessionP(s)
	p := joined
	if v.lens != nil {
		p = v.lens.together(baselines.SessionTest, joined)
	}
	x.Delta.Audit.Count(baselines.SessionTest, p)
	if d := baselines.VolumeDeltaOf(x.Delta); x.Eligible && !s.Alerted {
		if joined < 1 {
			d.Joint[baselines.SessionTest].Add(scoreOf(joined), 1)
		}
		var intent *baselines.IntentTotals
		if s.Intent != 0 {
			if intent = d.Intent(s.Intent); intent != nil {
				intent.N++
			}
		}
		for f := range baselines.Features {
			if s.Has&(1<<f) == 0 || f == baselines.AmountSum &&
				(x.Base == nil || baselines.VolumeOf(x.Base).Currency != s.Currency) {
				continue
			}
			size := baselines.LogSize(s.Totals[f])
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
	if v.lens != nil && baselines.VolumeOf(v.x.Base).Events() >= baselines.SeasonEvents {
		p = v.lens.season.Rare[baselines.HourOfWeek(v.x.Local(v.x.Time))]
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
			if v.lens != nil && v.lens.even != nil {
				if p = v.lens.even.P(s.Even); p < 0.01 && cv < 0.1 {
					v.timing(crossed{p: p, test: baselines.TimingTest, what: "gaps", observed: cv,
						expected: 10 * math.Exp(-v.lens.even.Quantile(0.5))})
				}
			}
			v.x.Delta.Audit.Count(baselines.TimingTest, p)
		}
	}
	s.Last = max(s.Last, v.x.Time)
}
