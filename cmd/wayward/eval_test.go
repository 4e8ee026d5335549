package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/eval"
	"github.com/wayward-sec/wayward/fleet"
)

func TestEvalMeasuresInAMinute(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.json")
	var out, errs strings.Builder
	if code := execute(context.Background(), []string{"eval", "--quick", "--quiet", "--json", file}, &out,
		&errs); code != 0 {
		t.Fatalf("exit %d: %s\n%s", code, errs.String(), out.String())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r evalReport
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Runs) != 5 || len(r.Gates) != 1 || !r.Gates[0].Holds {
		t.Errorf("%d runs, gates %+v", len(r.Runs), r.Gates)
	}
	for _, run := range r.Runs {
		if run.Events < 100_000 || run.Sessions < 1000 || run.EventsPerSecond <= 0 {
			t.Errorf("run %+v", run)
		}
	}
	for _, want := range []string{"burst-200", "insert-6", "pass  findings for 1 and 8 shards"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table says nothing of %q:\n%s", want, out.String())
		}
	}
	if len(r.Apart) != len(r.Attacks) || len(r.Precision) < 3 {
		t.Errorf("%d kinds of attacks, %d apart, %d points of precision", len(r.Attacks), len(r.Apart),
			len(r.Precision))
	}
	for i, p := range r.Attacks {
		a := &r.Apart[i]
		if a.Kind != p.Kind || a.Made != p.Made || p.Often.Value < p.Once.Value || a.Often.Value < a.Once.Value {
			t.Errorf("%+v, apart %+v: not the same attacks, or fewer are found where more false alarms are borne", p, a)
		}
	}
	for i := 1; i < len(r.Precision); i++ {
		if a, b := r.Precision[i-1], r.Precision[i]; a.False > b.False || a.Recall > b.Recall || a.Apart > b.Apart ||
			a.Threshold > b.Threshold {
			t.Errorf("more false alarms, and less is found: %+v, %+v", a, b)
		}
	}
	for _, p := range r.Attacks {
		// Another tenant's data is a matter of policy, not of chance: the control of the whole
		// apparatus.
		if p.Kind == "cross-tenant" && (p.Made == 0 || p.Rules.Value != 1) {
			t.Errorf("of %d times that another tenant's data was read %.0f %% were found", p.Made, 100*p.Rules.Value)
		}
	}
}

// What is judged apart is judged as it would be if nothing had been woven in: a stream judged by
// what it has itself taught gives the same findings.
func TestJudgedApartIsJudgedByTheCleanStream(t *testing.T) {
	x := &evaluation{evalOptions: &evalOptions{days: fleet.TestDay + 3, scale: .1, parts: []string{"attacks"},
		numbers: numbers{seed: []uint64{7}}}, ctx: t.Context(), stderr: io.Discard,
		tell: func(_, _ int64) {}}
	var err error
	if x.set, err = x.policies(newEval()); err != nil {
		t.Fatal(err)
	}
	x.cleanRuns()
	clean, err := x.one(&planned{WeeksOptions: x.quietly(7), clean: true})
	if err != nil {
		t.Fatal(err)
	}
	apart, err := x.one(&planned{WeeksOptions: x.quietly(7), apart: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(clean.book.Alarms) < 30 {
		t.Fatalf("only %d findings: the test has lost its teeth", len(clean.book.Alarms))
	}
	if diff := cmp.Diff(clean.book.Alarms, apart.book.Alarms); diff != "" {
		t.Errorf("(-learning +apart):\n%.3000s", diff)
	}
	o := x.quietly(7)
	o.Attacks = quickRuns[0]
	attacked, err := x.one(&planned{WeeksOptions: o, apart: true})
	if err != nil {
		t.Fatal(err)
	}
	// Before the first attack it is the same stream, and whatever is woven in, the snapshots that
	// findings cite are the clean stream's.
	first := int64(fleet.Start + fleet.TestDay*baselines.DayMS)
	before := func(list []eval.Alarm) (out []eval.Alarm) {
		for _, a := range list {
			if a.Time < first {
				out = append(out, a)
			}
		}
		return
	}
	if diff := cmp.Diff(before(clean.book.Alarms), before(attacked.book.Alarms)); diff != "" {
		t.Errorf("before the first attack (-clean +attacked):\n%.3000s", diff)
	}
	if len(attacked.book.Alarms) <= len(clean.book.Alarms) {
		t.Errorf("%d findings with attacks, %d without", len(attacked.book.Alarms), len(clean.book.Alarms))
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
	for _, a := range attacked.book.Alarms {
		if !taught[a.Snapshot] {
			t.Errorf("%s at %d is judged by %q, which the clean stream has not taught", a.Test, a.Time, a.Snapshot)
		}
	}
}

func TestEvalRefusesWhatItCannotMeasure(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--seeds 5-1", "--seeds 5-1"}, {"--seeds x", "--seeds x"}, {"--only speed", "no family of tests"},
		{"--days 22", "--days 22"}, {"--scale 0", "--scale 0"},
		{"--agents 3", "--agents 3"}, {"--shards 0", "--shards 0"}, {"everything", "everything"},
	} {
		var out, errs strings.Builder
		if code := execute(context.Background(), append([]string{"eval"}, strings.Fields(c.args)...), &out,
			&errs); code != 2 || !strings.Contains(errs.String(), c.want) {
			t.Errorf("eval %s: exit %d, %s", c.args, code, errs.String())
		}
	}
}
