package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/eval"
)

// number is a float64 of a report; what is not known is null.
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// bounded is a number with its 95 % bounds.
type bounded struct {
	Value number `json:"value"`
	Low   number `json:"low"`
	High  number `json:"high"`
}

func share(k, n int) bounded {
	low, high := eval.Share(k, n)
	return bounded{number(float64(k) / float64(n)), number(low), number(high)}
}

// rate is k over n units, k Poisson.
func rate(k int, n float64) bounded {
	low, high := eval.Rate(float64(k))
	return bounded{number(float64(k) / n), number(low / n), number(high / n)}
}

func (b bounded) String() string {
	return fmt.Sprintf("%s (%s–%s)", brief(b.Value), brief(b.Low), brief(b.High))
}

// percent writes a share.
func (b bounded) percent() string {
	if math.IsNaN(float64(b.Value)) {
		return "–"
	}
	return fmt.Sprintf("%.1f %% (%.0f–%.0f)", 100*b.Value, 100*b.Low, 100*b.High)
}

// whole writes a share in percent.
func whole(n number) string {
	if math.IsNaN(float64(n)) {
		return "–"
	}
	return fmt.Sprintf("%.0f", 100*n)
}

// brief writes a number with as many places as it deserves.
func brief(n number) string {
	v := math.Abs(float64(n))
	switch {
	case math.IsNaN(v):
		return "–"
	case math.IsInf(v, 1):
		return "all"
	case v >= 100:
		return fmt.Sprintf("%.0f", n)
	case v >= 10:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.2f", n)
}

// The report as --json writes it.
type (
	evalReport struct {
		Version  string      `json:"version"`
		Machine  string      `json:"machine"`
		Seeds    []uint64    `json:"seeds"`
		Days     int         `json:"days"`
		Scale    float64     `json:"scale"`
		Families []string    `json:"families,omitempty"`
		Runs     []evalRun   `json:"runs"`
		Tests    []evalTest  `json:"tests,omitempty"`
		False    []evalFalse `json:"false_alarms,omitempty"`
		Attacks  []evalPower `json:"attacks,omitempty"`
		// Apart are the same attacks judged by what was learned without them.
		Apart     []evalPower     `json:"attacks_apart,omitempty"`
		Precision []evalPrecision `json:"precision,omitempty"`
		Ramps     []evalRamp      `json:"ramps,omitempty"`
		Repeats   []evalRepeat    `json:"repeats,omitempty"`
		Drift     []evalDrift     `json:"drift,omitempty"`
		Recorded  []evalSession   `json:"recorded,omitempty"`
		Logs      *evalLogs       `json:"logs,omitempty"`
		Gates     []evalGate      `json:"gates"`
	}
	evalRun struct {
		Name            string `json:"name"`
		Seed            uint64 `json:"seed"`
		Events          int64  `json:"events"`
		Sessions        int    `json:"sessions"` // of the days measured
		Findings        int64  `json:"findings"`
		EventsPerSecond number `json:"events_per_second"`
		// decoding and all shards, without making the stream
		CPUPerEvent number `json:"cpu_ns_per_event"`
		Hash        string `json:"hash"`
	}
	// evalTest says how often a test came out low over how often it should have.
	evalTest struct {
		Test    string          `json:"test"`
		Family  string          `json:"family"`
		Persona string          `json:"persona,omitempty"` // empty: all
		Seed    uint64          `json:"seed,omitempty"`    // 0: all
		Counts  baselines.Tally `json:"counts"`
		Ratio   [3]bounded      `json:"ratio"` // at 1e-2, 1e-3, 1e-4
		Alerts  int             `json:"alerts"`
		Nominal number          `json:"nominal_alerts"` // tests made times the threshold in force
	}
	// evalFalse counts what called somebody where nothing was amiss.
	evalFalse struct {
		What     string  `json:"what"` // all, a family, or a persona
		Seed     uint64  `json:"seed,omitempty"`
		Alerts   int     `json:"alerts"`
		Thousand bounded `json:"per_1000_sessions"`
		Daily    bounded `json:"per_persona_day"`
	}
	evalPower struct {
		Kind    string             `json:"kind"`
		Made    int                `json:"made"`
		Alert   bounded            `json:"alert"`
		Low     bounded            `json:"at_1e-3"`
		Once    bounded            `json:"at_1_false_alarm"` // per 1,000 sessions
		Often   bounded            `json:"at_5_false_alarms"`
		Family  map[string]bounded `json:"family"`
		Rules   bounded            `json:"rules"`
		Half    bounded            `json:"before_half"` // of attacks of several events
		Events  number             `json:"median_events"`
		Seconds number             `json:"median_seconds"`
	}
	// evalPrecision is one point of the curve of precision and recall: the threshold is a multiple
	// of each test's own.
	evalPrecision struct {
		False     number `json:"false_alarms_per_1000_sessions"`
		Threshold number `json:"threshold"`
		Recall    number `json:"recall"` // mean over kinds
		Precision number `json:"precision"`
		Apart     number `json:"recall_apart"`
		PApart    number `json:"precision_apart"`
	}
	evalRamp struct {
		Kind   string  `json:"kind"`
		Made   int     `json:"made"`
		Found  bounded `json:"found"`
		Before bounded `json:"before_4x"`
		Size   number  `json:"median_multiple"`
		Days   number  `json:"median_days"`
		// Others are agents that did not grow and were called in the same way within the same days.
		Others bounded `json:"others"`
	}
	evalRepeat struct {
		Kind  string    `json:"kind"`
		Days  []int     `json:"days"`
		Alert []bounded `json:"alert"`
		Low   []bounded `json:"at_1e-3"`
	}
	evalDrift struct {
		Name  string    `json:"name"`
		Weeks []bounded `json:"alerts_per_1000_sessions"` // from day 21 on
	}
	evalSession struct {
		Name     string       `json:"name"`
		Sessions int          `json:"benign_sessions"`
		Alerts   int          `json:"alerts"`
		Nominal  number       `json:"nominal"`
		Ratio    bounded      `json:"ratio"`
		Tests    []evalCalled `json:"tests"`
		Alarmed  bounded      `json:"benign_sessions_alarmed"`
		Unseen   bounded      `json:"exposed_unseen_alarmed"`
		Recall   bounded      `json:"attacked_sessions_alarmed"`
		Attacked int          `json:"attacked_sessions"`
	}
	// evalCalled is how often a test called somebody, and how often it should have.
	evalCalled struct {
		Test    string  `json:"test"`
		Made    uint64  `json:"made"`
		Alerts  int     `json:"alerts"`
		Nominal number  `json:"nominal"`
		Ratio   bounded `json:"ratio"`
	}
	evalLogs struct {
		Train  int     `json:"train"`
		Normal int     `json:"normal"`
		Failed int     `json:"failed"`
		AUC    bounded `json:"auc"`
	}
	// evalGate is a number of the issue.
	evalGate struct {
		Name  string `json:"name"`
		Got   string `json:"got"`
		Want  string `json:"want"`
		Holds bool   `json:"holds"`
	}
)

// table writes aligned columns under a heading.
func table(w io.Writer, title string, head []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  "+strings.Join(head, "\t"))
	for _, r := range rows {
		fmt.Fprintln(t, "  "+strings.Join(r, "\t"))
	}
	t.Flush()
}

// write writes the report for people.
func (r *evalReport) write(w io.Writer) {
	var rows [][]string
	fmt.Fprintf(w, "wayward %s, %s, seeds %v, %d days\n", r.Version, r.Machine, r.Seeds, r.Days)

	for _, t := range r.Tests {
		if t.Persona == "" && t.Seed == 0 {
			spread := ""
			for _, s := range r.Tests {
				if s.Test == t.Test && s.Persona == "" && s.Seed != 0 {
					spread += " " + brief(s.Ratio[1].Value)
				}
			}
			rows = append(rows, []string{t.Test, t.Family, fmt.Sprint(t.Counts.Made), t.Ratio[0].String(),
				t.Ratio[1].String(), t.Ratio[2].String(), strings.TrimSpace(spread), fmt.Sprint(t.Alerts),
				brief(t.Nominal)})
		}
	}
	table(w, "Realised over nominal, from day 21 on, nothing amiss",
		[]string{"test", "family", "made", "at 1e-2", "at 1e-3", "at 1e-4", "seeds at 1e-3", "alerts", "nominal"}, rows)

	rows = nil
	for _, f := range r.False {
		seed := "all"
		if f.Seed != 0 {
			seed = fmt.Sprint(f.Seed)
		}
		rows = append(rows, []string{f.What, seed, fmt.Sprint(f.Alerts), f.Thousand.String(), f.Daily.String()})
	}
	table(w, "False alerts, the budget being 1 a persona and day",
		[]string{"of", "seed", "alerts", "per 1,000 sessions", "per persona and day"}, rows)

	rows = nil
	for _, p := range r.Attacks {
		of := func(family string) string { return fmt.Sprintf("%.0f", 100*p.Family[family].Value) }
		rows = append(rows, []string{p.Kind, fmt.Sprint(p.Made), p.Alert.percent(), p.Low.percent(), of("volume"),
			of("sequence"), of("rarity"), fmt.Sprintf("%.0f", 100*p.Rules.Value),
			brief(p.Events), brief(p.Seconds), whole(p.Half.Value)})
	}
	table(w, "Attacks: share found by alerts within the budget, and by what had p <= 1e-3",
		[]string{"attack", "made", "alert", "at 1e-3", "volume", "sequence", "rarity", "rules", "events", "seconds",
			"before half"}, rows)

	rows = nil
	for i, p := range r.Attacks {
		a := &r.Apart[i]
		rows = append(rows, []string{p.Kind, fmt.Sprint(a.Made), whole(p.Alert.Value), whole(a.Alert.Value),
			whole(p.Once.Value), a.Once.percent(), whole(p.Often.Value), a.Often.percent(),
			brief(a.Events), brief(a.Seconds), whole(a.Half.Value)})
	}
	table(w,
		"The same attacks, learned as all else is, and apart: judged by what was learned without them; % found at so many false alarms per 1,000 sessions",
		[]string{"attack", "made", "alert", "apart", "at 1", "apart", "at 5", "apart", "events", "seconds",
			"before half"}, rows)
	rows = nil
	for _, p := range r.Precision {
		rows = append(rows, []string{brief(p.False), brief(p.Threshold), whole(p.Recall) + " %",
			brief(100*p.Precision) + " %", whole(p.Apart) + " %", brief(100*p.PApart) + " %"})
	}
	table(w,
		"Precision where 1 session in 10,000 is attacked, all kinds alike; the threshold as a multiple of the budget's",
		[]string{"false per 1,000 sessions", "threshold", "recall", "precision", "recall apart", "precision apart"},
		rows)

	rows = nil
	for _, p := range r.Ramps {
		rows = append(rows, []string{p.Kind, fmt.Sprint(p.Made), p.Found.percent(), p.Before.percent(), brief(p.Size),
			brief(p.Days), p.Others.percent()})
	}
	table(w, "Ramps, by alerts of a day's or week's volume", []string{"ramp", "agents", "found", "before 4x",
		"median at", "days", "other agents called"}, rows)

	rows = nil
	for _, p := range r.Repeats {
		alert, low := []string{p.Kind, "alert"}, []string{"", "at 1e-3"}
		for i := range p.Days {
			alert, low = append(alert, brief(100*p.Alert[i].Value)+" %"), append(low, brief(100*p.Low[i].Value)+" %")
		}
		rows = append(rows, alert, low)
	}
	if len(r.Repeats) > 0 {
		head := []string{"by", ""}
		for _, d := range r.Repeats[0].Days {
			head = append(head, fmt.Sprintf("day %d", d))
		}
		table(w, "The same odd chain twice a day by each of some agents: share found", head, rows)
	}

	rows = nil
	for _, d := range r.Drift {
		row := []string{d.Name}
		for _, week := range d.Weeks {
			row = append(row, week.String())
		}
		rows = append(rows, row)
	}
	table(w, "Honest changes: alerts per 1,000 sessions", []string{"change", "days 21–27", "days 28–34", "days 35–41"},
		rows)

	rows = nil
	for _, s := range r.Recorded {
		rows = append(rows, []string{s.Name, fmt.Sprint(s.Sessions), fmt.Sprint(s.Alerts), brief(s.Nominal),
			s.Ratio.String(), s.Alarmed.percent(), s.Unseen.percent(), s.Recall.percent(), fmt.Sprint(s.Attacked)})
	}
	table(w, "Recorded sessions, protocol p2", []string{"data", "benign", "alerts", "nominal", "alerts over nominal",
		"benign alarmed", "exposed, unseen", "attacked alarmed", "of"}, rows)
	rows = nil
	for _, s := range r.Recorded {
		for _, t := range s.Tests {
			if t.Alerts > 0 {
				rows = append(rows, []string{s.Name, t.Test, fmt.Sprint(t.Made), fmt.Sprint(t.Alerts), brief(t.Nominal),
					t.Ratio.String()})
			}
		}
	}
	table(w, "Tests that called somebody on recorded benign sessions",
		[]string{"data", "test", "made", "alerts", "nominal", "alerts over nominal"}, rows)
	if l := r.Logs; l != nil {
		fmt.Fprintf(w, "\nHDFS: %d traces to learn from; AUC %.4f (%.4f–%.4f) of %d failed against %d normal\n",
			l.Train, l.AUC.Value, l.AUC.Low, l.AUC.High, l.Failed, l.Normal)
	}

	rows = nil
	for _, run := range r.Runs {
		rows = append(rows, []string{run.Name, fmt.Sprint(run.Seed), fmt.Sprint(run.Events), fmt.Sprint(run.Findings),
			brief(run.EventsPerSecond), brief(run.CPUPerEvent), run.Hash})
	}
	table(w, "Runs", []string{"run", "seed", "events", "findings", "events/s", "CPU ns/event", "hash of findings"},
		rows)

	rows = nil
	for _, g := range r.Gates {
		mark := "pass"
		if !g.Holds {
			mark = "MISS"
		}
		rows = append(rows, []string{mark, g.Name, g.Got, g.Want})
	}
	table(w, "Gates", []string{"", "what", "got", "wanted"}, rows)
}
