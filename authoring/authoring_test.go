package authoring

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/policy"
)

// setOf is a set with one rule.
func setOf(t *testing.T, text string) *policy.Set {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "rules"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rules", "r.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, faults := policy.Load(dir)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return set
}

func TestEveryFormIsARuleWithTestsThatPass(t *testing.T) {
	for form := range Forms {
		set := setOf(t, New(form, "r"))
		if found := Lint(set, nil, nil, time.Now()); len(found) > 0 {
			t.Errorf("%s: %v", form, found)
		}
		results, err := Test(t.Context(), set, regexp.MustCompile(""), 2)
		if err != nil || len(results) < 2 {
			t.Fatal(form, len(results), err)
		}
		for _, r := range results {
			if r.Failed() {
				t.Errorf("%s, %s: %s", form, r.Test, r.Fault)
			}
		}
	}
}

func TestALockKnowsWhatARuleSays(t *testing.T) {
	text := New("event", "r")
	before, _ := CheckLock(setOf(t, text), nil, false)
	if now, wrong := CheckLock(setOf(t, text+"\n# a comment"), before, true); len(wrong) > 0 ||
		now["r"] != before["r"] {
		t.Errorf("a comment is a change: %v", wrong)
	}
	other := regexp.MustCompile(`max: 500`).ReplaceAllString(text, "max: 501")
	if _, wrong := CheckLock(setOf(t, other), before, false); len(wrong) != 1 {
		t.Errorf("a change under the same version is not refused: %v", wrong)
	}
	if d := Diff(setOf(t, text), setOf(t, other)); len(d) != 1 || d[0].Changes[0].Key != "params" {
		t.Errorf("%v", d)
	}
}

// All rules in configs find the same with one worker and with eight.
func TestRulesFindTheSameWithOneWorkerAndEight(t *testing.T) {
	set, faults := policy.Load("../configs")
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	alerting, findings := set.WithAlerts(), 0
	for _, test := range set.RuleTests() {
		one, _, err1 := play(t.Context(), alerting, &test, 1)
		eight, _, err8 := play(t.Context(), alerting, &test, 8)
		if err1 != nil || err8 != nil {
			t.Fatal(err1, err8)
		}
		if diff := cmp.Diff(one, eight); diff != "" {
			t.Errorf("%s, %s:\n%s", test.Rule, test.Name, diff)
		}
		findings += len(one)
	}
	if findings < 15 {
		t.Errorf("only %d findings", findings)
	}
}
