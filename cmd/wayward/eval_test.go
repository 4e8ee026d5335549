package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/eval"
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
	var r eval.Report
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
