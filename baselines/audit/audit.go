// Package audit compares how often the statistical tests of a persona came out low with how often
// they should have, and so says whether the detectors keep within their alert budget.
//
// It must never know a detector or a stream: it reads one snapshot. Begin with Audit.
package audit

import (
	"math"
	"strconv"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/policy"
)

// Row is how one family, or one kind of test, of one persona came out. All counts decay with
// 14 days.
type Row struct {
	Tenant   string `json:"tenant"`
	Persona  string `json:"persona"`
	Fork     string `json:"fork"`
	Snapshot string `json:"snapshot"`
	State    string `json:"state"`
	Family   string `json:"family"`
	Test     string `json:"test,omitempty"`
	// Tests is how many there were; TestsPerDay and AlertsPerDay how many on a day.
	Tests        float64 `json:"tests"`
	TestsPerDay  float64 `json:"tests_per_day"`
	Levels       []Level `json:"levels"`
	Alpha        float64 `json:"alpha"`
	AlertsPerDay float64 `json:"alerts_per_day"`
	Budget       float64 `json:"budget_alerts_per_day"`
	Verdict      string  `json:"verdict"`
}

// Level is one level at which it is looked how often p-values are below: 1 in 100, 1,000 and
// 10,000.
type Level struct {
	Level    float64  `json:"level"`
	Nominal  float64  `json:"nominal"` // tests that should have come out below
	Realised float64  `json:"realised"`
	Ratio    *float64 `json:"ratio"` // null: there were no tests
	Low      *float64 `json:"low_95"`
	High     *float64 `json:"high_95"`
}

var levels = [...]float64{1e-2, 1e-3, 1e-4}

// Audit looks at each family, or each kind of test, of which there were any or should have
// been.
func Audit(m *baselines.Model, terms *policy.Baseline, each bool) (rows []Row) {
	days := float64(m.Audit.Days) / baselines.Unit
	// alpha is the threshold of a test, or of a family the mean of its tests' thresholds.
	row := func(f baselines.Family, name string, t baselines.Tally, alpha, share float64) Row {
		r := Row{Tenant: m.Tenant, Persona: m.Persona, Fork: m.Fork, Snapshot: m.Snapshot(),
			State: m.State.String(), Family: f.String(), Test: name,
			Tests: Rounded(float64(t.Made) / baselines.Unit), Alpha: Rounded(alpha),
			Budget: Rounded(terms.AlertsPerDay * share)}
		if days > 0 {
			r.TestsPerDay = Rounded(float64(t.Made) / baselines.Unit / days)
			r.AlertsPerDay = Rounded(float64(t.Alerts) / baselines.Unit / days)
		}
		for i, below := range [...]uint64{t.Below2, t.Below3, t.Below4} {
			l := Level{Level: levels[i], Nominal: Rounded(levels[i] * float64(t.Made) / baselines.Unit),
				Realised: Rounded(float64(below) / baselines.Unit)}
			if nominal := levels[i] * float64(t.Made) / baselines.Unit; nominal > 0 {
				k := float64(below) / baselines.Unit
				low, high := baselines.Poisson95(k)
				l.Ratio, l.Low, l.High = new(Rounded(k/nominal)), new(Rounded(low/nominal)), new(Rounded(high/nominal))
			}
			r.Levels = append(r.Levels, l)
		}
		r.Verdict = verdict(&r)
		return r
	}
	for f := range baselines.Families {
		var sum baselines.Tally
		nominal := 0.0
		for t := range baselines.Tests {
			if t.Family() != f {
				continue
			}
			a := &m.Audit.Of[t]
			sum.Add(a)
			alpha := m.Audit.Alpha(t, terms.AlertsPerDay)
			nominal += alpha * float64(a.Made)
			if each && a.Made > 0 {
				rows = append(rows, row(f, t.String(), *a, alpha, t.Share()))
			}
		}
		if !each {
			rows = append(rows, row(f, "", sum, nominal/max(float64(sum.Made), 1), f.Weight()))
		}
	}
	return rows
}

// fewTests is how many tests are needed to tell anything: of 300 three should come out below 1 in
// 100, and if none does the truth may still be 1 in 100.
const fewTests = 300

// verdict judges by the bounds, not by the ratio: a set too small to show something shows
// nothing.
func verdict(r *Row) string {
	at := &r.Levels[0]
	switch {
	case r.Tests == 0 || r.Alpha <= 0:
		return "blind"
	case *at.Low > 2 || r.Levels[1].Low != nil && *r.Levels[1].Low > 2:
		return "loose"
	case r.Tests < fewTests:
		return "few"
	case *at.High < 0.5:
		return "blind"
	}
	return "calibrated"
}

// Rounded leaves six figures: what comes of sums of integers is exact enough, and the same on every
// machine.
func Rounded(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
	if err != nil {
		return 0
	}
	return short
}
