package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/baselines/audit"
	"github.com/wayward-sec/wayward/baselines/inspect"
	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/terminal"
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
				list = inspect.NewestEach(list)
			}
			rows := []audit.Row{}
			for _, s := range list {
				if s.Model.Persona == baselines.TenantWide && first(args) == "" {
					continue // counts every test of its personas again
				}
				rows = append(rows, audit.Audit(s.Model, set.Baseline(s.Model.Tenant, s.Model.Persona), tests)...)
			}
			if o.output == "json" {
				err = printJSON(cmd.OutOrStdout(), rows)
			} else {
				err = printAudit(cmd.OutOrStdout(), rows, tests)
			}
			if err == nil && slices.ContainsFunc(rows, func(r audit.Row) bool { return r.Verdict == "loose" }) {
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
func auditPolicies(dir, file string) (*policy.Set, error) {
	if dir == "" {
		c, err := config.Load(file)
		if err != nil {
			return nil, err
		}
		dir = c.Policies
	}
	return config.LoadPolicies(dir)
}

func printAudit(w io.Writer, rows []audit.Row, each bool) error {
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
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", terminal.Dash(r.Tenant),
			terminal.Visible(r.Persona, 60),
			terminal.Dash(r.Fork), cmp.Or(r.Test, r.Family), terminal.Rough(r.TestsPerDay),
			ratioText(&r.Levels[0]), ratioText(&r.Levels[1]), ratioText(&r.Levels[2]), alpha,
			terminal.Rough(r.AlertsPerDay),
			terminal.Rough(r.Budget), r.Verdict)
	}
	return t.Flush()
}

func ratioText(l *audit.Level) string {
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
