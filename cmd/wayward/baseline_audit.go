package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/policy"
)

func newBaselineAudit() *cobra.Command {
	var o snapshots
	var policies string
	var tests bool
	cmd := &cobra.Command{Use: "audit [PERSONA]", Short: "Say whether the detectors keep within their alert budget",
		Args: cobra.MaximumNArgs(1),
		Long: "audit compares how often the statistical tests of each persona came out low over the last 14 days or so with how often they should have: of tests of\n" +
			"ordinary behaviour 1 in 100 comes out below 1 in 100. RATIO is realised over nominal, with the interval that holds the truth in 95 of 100 cases.\n" +
			"  calibrated  between half and twice as often as it should, as far as can be told\n" +
			"  loose       more than twice as often: the threshold is lowered by itself, and alerts mean less\n" +
			"  blind       less than half as often, or nothing is tested, or the budget has nothing for it: it finds less than it could\n" +
			"  few         too few tests to tell\n" +
			"ALPHA is the p-value below which a test calls somebody now, from the persona's alerts_per_day in --policies (1 without). Real attacks come out low, too, so\n" +
			"a ratio above 1 in a bad week is as it should be. Exit 1 if something is loose.",
		Example: "  wayward baseline audit --config wayward.yaml\n" +
			"  wayward baseline audit support --tests --from snapshots.jsonl --output json",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.present = o.day == ""
			list, err := o.read(cmd, first(args))
			if err != nil {
				return err
			}
			set := policy.Default()
			if o.from == "" || policies != "" {
				if set, err = auditPolicies(policies, o.config); err != nil {
					return err
				}
			}
			if o.present {
				list = newestEach(list)
			}
			rows := []auditRow{}
			for _, s := range list {
				if s.m.Persona == baselines.TenantWide && first(args) == "" {
					continue // counts every test of its personas again
				}
				rows = append(rows, auditModel(s.m, set.Baseline(s.m.Tenant, s.m.Persona), tests)...)
			}
			if o.output == "json" {
				err = printJSON(cmd.OutOrStdout(), rows)
			} else {
				err = printAudit(cmd.OutOrStdout(), rows, tests)
			}
			if err == nil && slices.ContainsFunc(rows, func(r auditRow) bool { return r.Verdict == "loose" }) {
				return errSilent{1}
			}
			return err
		}}
	o.flags(cmd)
	outputFlag(cmd, &o.output, "table", "json")
	cmd.Flags().StringVar(&o.day, "day", "", "as of this UTC `day`; the newest without")
	cmd.Flags().StringVar(&policies, "policies", "", "`directory` of policies, instead of the config's")
	cmd.MarkFlagDirname("policies")
	cmd.Flags().BoolVar(&tests, "tests", false, "each kind of test, not the families alone")
	return cmd
}

// auditPolicies are the policies with the alert budgets.
func auditPolicies(dir, config string) (*policy.Set, error) {
	if dir == "" {
		c, err := loadConfig(config)
		if err != nil {
			return nil, err
		}
		dir = c.Policies
	}
	return loadPolicies(dir)
}

// auditRow is how one family, or one kind of test, of one persona came out. All counts decay with
// 14 days.
type auditRow struct {
	Tenant   string `json:"tenant"`
	Persona  string `json:"persona"`
	Fork     string `json:"fork"`
	Snapshot string `json:"snapshot"`
	State    string `json:"state"`
	Family   string `json:"family"`
	Test     string `json:"test,omitempty"`
	// Tests is how many there were; TestsPerDay and AlertsPerDay how many on a day.
	Tests        float64      `json:"tests"`
	TestsPerDay  float64      `json:"tests_per_day"`
	Levels       []auditLevel `json:"levels"`
	Alpha        float64      `json:"alpha"`
	AlertsPerDay float64      `json:"alerts_per_day"`
	Budget       float64      `json:"budget_alerts_per_day"`
	Verdict      string       `json:"verdict"`
}

// auditLevel is one level at which it is looked how often p-values are below: 1 in 100, 1,000 and
// 10,000.
type auditLevel struct {
	Level    float64  `json:"level"`
	Nominal  float64  `json:"nominal"` // tests that should have come out below
	Realised float64  `json:"realised"`
	Ratio    *float64 `json:"ratio"` // null: there were no tests
	Low      *float64 `json:"low_95"`
	High     *float64 `json:"high_95"`
}

var auditLevels = [...]float64{1e-2, 1e-3, 1e-4}

// auditModel looks at each family, or each kind of test, of which there were any or should have
// been.
func auditModel(m *baselines.Model, terms *policy.Baseline, each bool) (rows []auditRow) {
	days := float64(m.Audit.Days) / baselines.Unit
	// alpha is the threshold of a test, or of a family the mean of its tests' thresholds.
	row := func(f baselines.Family, name string, t baselines.Tally, alpha, share float64) auditRow {
		r := auditRow{Tenant: m.Tenant, Persona: m.Persona, Fork: m.Fork, Snapshot: m.Snapshot(),
			State: m.State.String(), Family: f.String(), Test: name,
			Tests: rounded(float64(t.Made) / baselines.Unit), Alpha: rounded(alpha),
			Budget: rounded(terms.AlertsPerDay * share)}
		if days > 0 {
			r.TestsPerDay = rounded(float64(t.Made) / baselines.Unit / days)
			r.AlertsPerDay = rounded(float64(t.Alerts) / baselines.Unit / days)
		}
		for i, below := range [...]uint64{t.Below2, t.Below3, t.Below4} {
			l := auditLevel{Level: auditLevels[i], Nominal: rounded(auditLevels[i] * float64(t.Made) / baselines.Unit),
				Realised: rounded(float64(below) / baselines.Unit)}
			if nominal := auditLevels[i] * float64(t.Made) / baselines.Unit; nominal > 0 {
				k := float64(below) / baselines.Unit
				low, high := poisson95(k)
				l.Ratio, l.Low, l.High = ptr(rounded(k/nominal)), ptr(rounded(low/nominal)), ptr(rounded(high/nominal))
			}
			r.Levels = append(r.Levels, l)
		}
		r.Verdict = auditVerdict(&r)
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
			sum = baselines.Tally{Made: sum.Made + a.Made, Below2: sum.Below2 + a.Below2, Below3: sum.Below3 + a.Below3,
				Below4: sum.Below4 + a.Below4, Alerts: sum.Alerts + a.Alerts}
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

// auditVerdict judges by the bounds, not by the ratio: a set too small to show something shows
// nothing.
func auditVerdict(r *auditRow) string {
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

// poisson95 is the interval that holds the mean of a count in 95 of 100 cases, after Byar (Rothman
// & Boice 1979). Counts that decay scatter less than whole ones, so it is rather too wide.
func poisson95(k float64) (low, high float64) {
	const z = 1.96
	cube := func(n, sign float64) float64 {
		x := 1 - 1/(9*n) + sign*z/(3*math.Sqrt(n))
		return n * x * x * x
	}
	if k > 0 {
		low = max(0, cube(k, -1))
	}
	return low, cube(k+1, 1)
}

func ptr[T any](v T) *T { return &v }

// rounded leaves six figures: what comes of sums of integers is exact enough, and the same on every
// machine.
func rounded(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
	if err != nil {
		return 0
	}
	return short
}

func printAudit(w io.Writer, rows []auditRow, each bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	name := "FAMILY"
	if each {
		name = "TEST"
	}
	fmt.Fprintf(t,
		"TENANT\tPERSONA\tFORK\t%s\tTESTS/DAY\tRATIO AT 1/100\t1/1,000\t1/10,000\tALPHA\tALERTS/DAY\tBUDGET\tVERDICT\n",
		name)
	for i := range rows {
		r := &rows[i]
		alpha := "-"
		if r.Alpha > 0 {
			alpha = strconv.FormatFloat(r.Alpha, 'g', 2, 64)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", dash(r.Tenant), visible(r.Persona, 60),
			dash(r.Fork), cmp.Or(r.Test, r.Family), rough(r.TestsPerDay),
			ratioText(&r.Levels[0]), ratioText(&r.Levels[1]), ratioText(&r.Levels[2]), alpha, rough(r.AlertsPerDay),
			rough(r.Budget), r.Verdict)
	}
	return t.Flush()
}

func ratioText(l *auditLevel) string {
	if l.Ratio == nil {
		return "-"
	}
	figure := func(v float64) string { // two decimals at most: more would pretend
		if v >= 100 {
			return strconv.FormatFloat(v, 'f', 0, 64)
		}
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return fmt.Sprintf("%s (%s–%s)", figure(*l.Ratio), figure(*l.Low), figure(*l.High))
}
