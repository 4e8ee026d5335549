package audit

import (
	"encoding/json"
	"testing"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/policy"
)

// An audit judges by bounds: a set too small to show something shows nothing.
func TestAnAuditSaysWhatTheCountsShow(t *testing.T) {
	for _, c := range []struct {
		made, below2, below3 uint64
		budget               string
		want                 string
	}{
		{0, 0, 0, "", "blind"},
		{100, 1, 0, "", "few"},
		{100, 20, 0, "", "loose"},
		{10_000, 100, 10, "", "calibrated"},
		{10_000, 400, 10, "", "loose"},
		{10_000, 100, 60, "", "loose"},
		{10_000, 10, 1, "", "blind"},
		{299, 0, 0, "", "few"},
	} {
		m := &baselines.Model{}
		var d baselines.AuditDelta
		d.Of[baselines.SessionTest] = baselines.Tally{Made: c.made, Below2: c.below2, Below3: c.below3}
		m.Audit.Learn(&d)
		set := policy.Default()
		rows := Audit(m, set.Baseline("acme", "support"), false)
		if len(rows) != int(baselines.Families) || rows[0].Verdict != c.want {
			t.Errorf("%d tests, %d and %d below: %s, want %s", c.made, c.below2, c.below3, rows[0].Verdict, c.want)
		}
		if _, err := json.Marshal(rows); err != nil {
			t.Errorf("%v: %v", c, err) // NaN and infinity are not JSON
		}
	}
}
