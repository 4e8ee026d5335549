package eval

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
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

// Write writes the report for people.
func (r *Report) Write(w io.Writer) {
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
