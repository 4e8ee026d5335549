package eval

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/fleet"
)

// What is judged apart is judged as it would be if nothing had been woven in: a stream judged by
// what it has itself taught gives the same findings.
func TestJudgedApartIsJudgedByTheCleanStream(t *testing.T) {
	x := &evaluation{ctx: t.Context(), Settings: &Settings{Seeds: []uint64{7}, Days: fleet.TestDay + 3, Scale: .1,
		Parts: []string{"attacks"}, Progress: func(_, _ int64) {}, Warn: func(string) {}}}
	var err error
	if x.Policies, err = DefaultPolicies(); err != nil {
		t.Fatal(err)
	}
	x.cleanRuns()
	clean, err := x.runOne(&plannedRun{WeeksOptions: x.cleanOptions(7), clean: true})
	if err != nil {
		t.Fatal(err)
	}
	apart, err := x.runOne(&plannedRun{WeeksOptions: x.cleanOptions(7), apart: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(clean.alarms.Alarms) < 30 {
		t.Fatalf("only %d findings: the test has lost its teeth", len(clean.alarms.Alarms))
	}
	if diff := cmp.Diff(clean.alarms.Alarms, apart.alarms.Alarms); diff != "" {
		t.Errorf("(-learning +apart):\n%.3000s", diff)
	}
	o := x.cleanOptions(7)
	o.Attacks = quickRuns[0]
	attacked, err := x.runOne(&plannedRun{WeeksOptions: o, apart: true})
	if err != nil {
		t.Fatal(err)
	}
	// Before the first attack it is the same stream, and whatever is woven in, the snapshots that
	// findings cite are the clean stream's.
	first := int64(fleet.Start + fleet.TestDay*baselines.DayMS)
	before := func(list []Alarm) (out []Alarm) {
		for _, a := range list {
			if a.Time < first {
				out = append(out, a)
			}
		}
		return
	}
	if diff := cmp.Diff(before(clean.alarms.Alarms), before(attacked.alarms.Alarms)); diff != "" {
		t.Errorf("before the first attack (-clean +attacked):\n%.3000s", diff)
	}
	if len(attacked.alarms.Alarms) <= len(clean.alarms.Alarms) {
		t.Errorf("%d findings with attacks, %d without", len(attacked.alarms.Alarms), len(clean.alarms.Alarms))
	}
	taught := map[string]bool{}
	for _, day := range clean.daily {
		for _, b := range day {
			m, err := decodeModel(b)
			if err != nil {
				t.Fatal(err)
			}
			taught[m.Snapshot()] = true
		}
	}
	for _, a := range attacked.alarms.Alarms {
		if !taught[a.Snapshot] {
			t.Errorf("%s at %d is judged by %q, which the clean stream has not taught", a.Test, a.Time, a.Snapshot)
		}
	}
}
