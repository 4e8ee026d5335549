package detectors

import (
	"math"
	"time"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
)

// stray begins a finding of a statistical detector about the event under observation: what it rests
// on, against whom, and what it is worth. The detector adds scope, title, why, what was observed
// and expected.
func (x *Scene) stray(detector string, test baselines.Test, feature string, p float64, alert bool) event.Finding {
	f := event.Finding{Activity: event.Create, Analytic: event.StatisticalAnalytic, Detector: detector,
		Rule: test.String() + "/" + feature, Alert: alert,
		Severity: x.grade(test, p, alert), Time: x.Time, First: x.Time, Last: x.Time, Count: 1}
	alpha := x.Alpha(test)
	// Ten p-values of a million make the most that a detector without certainty may say.
	f.Risk = int(math.Round(70 * min(1, -math.Log10(p)/8)))
	m := x.Base
	f.RuleVersion = m.Hash()[:12]
	f.Anomaly = &event.Anomaly{P: p, Alpha: alpha, Family: test.Family().String(), Test: test.String(),
		Feature: feature, Persona: m.Persona, Fork: m.Fork,
		AgentDays: int64(m.AgentDays / baselines.Unit), Agents: int64(m.Agents), Snapshot: m.Snapshot(),
		State:    m.State.String(),
		Stranger: x.stranger(test)}
	return f
}

// grade is the severity of a finding.
func (x *Scene) grade(test baselines.Test, p float64, alert bool) event.Severity {
	switch {
	case !alert:
		return event.Signal
	case p < x.Alpha(test)/100:
		return event.High
	}
	return event.Medium
}

// season is the persona's own clock at a time, as an analyst reads it.
func (w *Who) season(t int64) string {
	return time.UnixMilli(w.Local(t)).UTC().Format("Mon 15:00 ") + w.zone.Zone().String()
}
