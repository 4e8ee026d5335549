package explain

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/sinks"
	"github.com/wayward-sec/wayward/terminal"
)

// Outcome says why somebody was called, or why not: what the engine decided, in words.
func Outcome(f *event.Finding) string {
	a := f.Anomaly
	switch {
	case a == nil && f.Alert:
		return "an alert: a rule was broken, which is certain"
	case a == nil:
		return "a signal: recorded, nobody is called"
	case f.Alert && a.Alpha > 0:
		return fmt.Sprintf("an alert: %s is rarer than the budget's %s", event.Odds(a.P), event.Odds(a.Alpha))
	case f.Alert:
		return "an alert"
	case a.State == "learning":
		return "a signal: the baseline is still learning and calls nobody"
	case a.State == "suspect":
		return "a signal: the baseline is suspect (it may be poisoned) and calls nobody until somebody approves it or rolls it back"
	case a.Stranger:
		return fmt.Sprintf(
			"a signal: the agent is as new as what it brings, and the baseline rests on fewer than %d others, too few to say what newcomers bring",
			baselines.EnoughAgents)
	case a.Alpha <= 0:
		return fmt.Sprintf("a signal: the alert budget has nothing for %s tests, or none were made yet",
			terminal.Visible(a.Family, 40))
	case a.P >= a.Alpha:
		return fmt.Sprintf("a signal: %s is not rarer than the budget's %s", event.Odds(a.P), event.Odds(a.Alpha))
	}
	return "a signal: rare enough, but evidence of this kind alone calls nobody"
}

// Write explains a finding to people.
func (x *Explanation) Write(w io.Writer, d terminal.Drawing) {
	f := &x.Finding
	p := report{terminal.NewReport(w, d.Width)}
	p.Line("%s", terminal.Visible(f.Title, d.Width))
	p.Field("finding", "%s, %s, risk %d of 100", terminal.Visible(f.UID, 64), severityOf(f), f.Risk)
	p.Field("why", "%s", terminal.Visible(f.Why, 2000))
	p.Field("who", "%s", whoText(f))
	p.Field("when", "%s", whenText(f))
	if a := f.Anomaly; a != nil {
		p.anomaly(a, f, d)
	} else if f.Measure != "" {
		p.measured(f, d)
	}
	if f.Detector == "limit" && strings.HasPrefix(f.Rule, "builtin-") {
		p.Field("limit",
			"built in: it holds for everybody alike. It steps back for a persona whose baseline is active, which says what is usual instead, and for a user whom "+
				"many agents have shared on days before it is as high as for as many people. Limits of your own take its place")
	}
	p.Field("outcome", "%s", Outcome(f))
	if f.Incomplete {
		p.Field("",
			"incomplete: a source was left out or state had been dropped when it was made, so more may be behind it")
	}
	p.events(f)
	for i, c := range x.Commands {
		name := "commands"
		if i > 0 {
			name = ""
		}
		mode := ""
		if c.Mode != event.Enforce {
			mode = ", " + terminal.Visible(c.Mode, 20) + ": no gateway acts on it"
		}
		p.Field(name, "%s %s%s, epoch %d%s, %s", Action(c.Action, c.Rate), Scope(c.Scope),
			Lasting(c.DurationMS), c.Epoch, mode, terminal.UTC(c.Time))
	}
	if x.CommandsRead && len(x.Commands) == 0 {
		p.Field("commands", "none")
	}
	if len(f.Tags) > 0 {
		var tags []string
		for _, t := range f.Tags {
			tags = append(tags, terminal.Visible(t, 40))
		}
		p.Field("tags", "%s", strings.Join(tags, ", "))
	}
	if x.Truncated {
		p.Field("note", "the record was cut short when it was written: texts or steps are missing")
	}
}

// report prints the parts of an explanation.
type report struct{ *terminal.Report }

func severityOf(f *event.Finding) string {
	if f.Severity < event.Signal || f.Severity > event.Critical {
		return "unknown"
	}
	return f.Severity.String()
}

func whoText(f *event.Finding) string {
	text := strings.TrimSpace(terminal.Visible(f.ScopeType, 20) + " " + terminal.Visible(f.ScopeID, 100))
	add := func(word, s string) {
		if s != "" {
			text += word + terminal.Visible(s, 100)
		}
	}
	if f.ScopeType != "agent" {
		add(", agent ", f.Agent)
	}
	if f.ScopeType != "persona" {
		add(", persona ", f.Persona)
	}
	if f.ScopeType != "user" {
		add(", for user ", f.User)
	}
	add(", tenant ", f.Tenant)
	if f.Tool != "" {
		text += "; tool " + terminal.Visible(f.Tool, 100)
		add(" on ", f.Server)
	}
	add(", target ", f.Target)
	return text
}

func whenText(f *event.Finding) string {
	text := terminal.UTC(f.Time)
	if f.First < f.Time && f.First > 0 {
		text += ", since " + terminal.UTC(f.First)
	}
	if f.Last > f.Time {
		text += ", until " + terminal.UTC(f.Last)
	}
	if a := f.Anomaly; a != nil && a.Season != "" {
		text += " (" + terminal.Visible(a.Season, 60) + " for the persona)"
	}
	return text
}

func withUnit(v float64, unit string) string {
	text := event.Figure(v)
	if unit != "" {
		text += " " + terminal.Visible(unit, 40)
	}
	return text
}

// measureOf is what an amount counts: its currency or unit, else the feature.
func measureOf(a *event.Anomaly) string {
	if a.Unit != "" {
		return a.Unit
	}
	return a.Feature
}

func (p report) anomaly(a *event.Anomaly, f *event.Finding, d terminal.Drawing) {
	inner := d.Indented()
	rare := event.Odds(a.P) + " (p " + strconv.FormatFloat(a.P, 'g', 2, 64) + ")"
	switch {
	case sinks.IsAmount(a):
		over := ""
		if a.WindowMS > 0 {
			over = " in " + terminal.Short(time.Duration(a.WindowMS)*time.Millisecond)
		}
		p.Field("observed", "%s%s", withUnit(a.Observed, measureOf(a)), over)
		band := ""
		if a.High != 0 {
			band = fmt.Sprintf("; usual are %s to %s: 1 in 100 is below, 1 in 1,000 above", event.Figure(a.Low),
				event.Figure(a.High))
		}
		p.Field("expected", "%s%s", withUnit(a.Expected, measureOf(a)), band)
		p.Field("how rare", "%s", rare)
		if a.High != 0 {
			if picture := inner.Band(a.Low, a.Expected, a.High, a.Observed, true); picture != "" {
				p.Figure("", picture, inner.Pick("log scale: ├ ┤ usual, ┃ expected, ● observed",
					"log scale: [ ] usual, | expected, * observed"), "")
			}
		}
	case len(a.Steps) > 0:
		last := &a.Steps[len(a.Steps)-1]
		p.Field("observed", "%s", terminal.Visible(last.What, 200))
		p.Field("expected", "%s", orNothing(usualText(last.Usual, 3)))
		p.Field("how rare", "%s", rare)
	case a.Test == "outcome":
		p.Field("observed", "%s as somebody has who guesses: the odds for that are %s to 1",
			terminal.Visible(a.Feature, 40),
			terminal.Rough(a.Observed))
		p.Field("expected", "%s of first contacts", event.Percent(a.Expected))
		p.Field("how rare", "%s", rare)
	case a.Family == "rarity":
		p.Field("observed", "%s, which is new: %s", terminal.Visible(sinks.Seen(f), 100),
			terminal.Visible(a.Feature, 40))
		p.Field("how rare", "%s", rare)
		share := a.Expected
		if !(share > 0) {
			share = a.P
		}
		p.Figure("", "["+inner.Bar(share, 40)+"] "+event.Percent(min(share, 1))+
			" of agent-days bring something new of this kind", "")
	default:
		p.Field("observed", "%s", terminal.Visible(cmp.Or(a.Season, a.Feature), 60))
		p.Field("how rare", "%s", rare)
	}
	if len(a.Steps) > 0 {
		p.Figure(append(append([]string{""}, stepTable(inner, a.Steps)...), "")...)
	}
	if len(a.Scores) > 0 {
		var texts []string
		for _, s := range a.Scores {
			texts = append(texts, terminal.Visible(s.Name, 40)+" "+event.Odds(s.P))
		}
		p.Field("scores", "%s", strings.Join(texts, "; "))
	}
	against := "persona " + terminal.Visible(a.Persona, 100)
	if a.Fork != "" {
		against += ", fork " + terminal.Visible(a.Fork, 100)
	}
	p.Field("against", "%s: %s agent-days, %s agents on the last day", against, event.Thousands(a.AgentDays),
		event.Thousands(a.Agents))
	p.Field("baseline", "%s, %s", terminal.Visible(a.Snapshot, 60), terminal.Visible(a.State, 20))
	p.Field("test", "%s of %s, family %s", terminal.Visible(a.Test, 40), terminal.Visible(a.Feature, 40),
		terminal.Visible(a.Family, 40))
	if a.Alpha > 0 {
		p.Field("budget", "a %s test of this persona calls somebody below %s (alpha %s)",
			terminal.Visible(a.Family, 40),
			event.Odds(a.Alpha), strconv.FormatFloat(a.Alpha, 'g', 2, 64))
	}
}

func orNothing(s string) string {
	if s == "" {
		return "nothing: this comes after nothing that was learned"
	}
	return s
}

// leastShare is how often something must come to be called usual beside something else.
const leastShare = 0.005

func usualText(usual []event.Usual, most int) string {
	var texts []string
	for i, u := range usual[:min(len(usual), most)] {
		if i > 0 && u.Share < leastShare {
			break
		}
		texts = append(texts, terminal.Visible(u.What, 100)+" "+event.Percent(u.Share))
	}
	return strings.Join(texts, ", ")
}

// stepTable is a table of how surprising each step was and what usually comes there.
func stepTable(d terminal.Drawing, steps []event.Step) []string {
	const barWidth = 10
	most := 12.0 // bits: a step of 1 in 4,096 fills the bar
	wide := 4
	for i := range steps {
		most = max(most, steps[i].Bits)
		wide = max(wide, utf8.RuneCountInString(terminal.Visible(steps[i].What, 200)))
	}
	head := fmt.Sprintf("%5s  %s  ", "BITS", strings.Repeat(" ", barWidth))
	wide = min(wide, max(12, (d.Width-len(head))/2))
	rows := []string{head + terminal.Pad("STEP", wide) + "  USUALLY"}
	left := max(8, d.Width-len(head)-wide-2)
	for i := range steps {
		s := &steps[i]
		var usual []string // the share first, since names may be cut
		for i, u := range s.Usual[:min(len(s.Usual), 2)] {
			if i > 0 && u.Share < leastShare {
				break
			}
			usual = append(usual, event.Percent(u.Share)+" "+u.What)
		}
		rows = append(rows, fmt.Sprintf("%5.1f  %s  %s  %s", s.Bits, d.Bar(s.Bits/most, barWidth),
			terminal.Pad(d.Cut(s.What, wide), wide), d.Cut(strings.Join(usual, ", "), left)))
	}
	return rows
}

// measured is what a limit found: certain, so there is no band but the limit.
func (p report) measured(f *event.Finding, d terminal.Drawing) {
	unit := f.Unit
	if unit == "" && f.Measure != "count" {
		unit = f.Measure
	}
	over := ""
	if f.WindowMS > 0 {
		over = " in " + terminal.Short(time.Duration(f.WindowMS)*time.Millisecond)
	}
	p.Field("observed", "%s", strings.TrimSpace(terminal.Visible(f.Observed, 60)+" "+terminal.Visible(unit, 40))+over)
	if f.Expected == "" {
		return
	}
	p.Field("limit", "%s", strings.TrimSpace(terminal.Visible(f.Expected, 60)+" "+terminal.Visible(unit, 40)))
	seen, err1 := strconv.ParseFloat(f.Observed, 64)
	limit, err2 := strconv.ParseFloat(f.Expected, 64)
	if err1 != nil || err2 != nil || limit < 0 {
		return
	}
	inner := d.Indented()
	if picture := inner.Band(0, 0, limit, seen, false); picture != "" {
		p.Figure("", picture, "")
	}
}

// events are those that the finding rests on.
func (p report) events(f *event.Finding) {
	p.Field("events", "%s; the first of them, the last one last:", terminal.Plural(f.Count, "event"))
	for _, r := range f.Refs {
		row := terminal.UTC(r.Time) + "  " + terminal.Visible(r.ID, 80)
		if r.Agent != "" && r.Agent != f.Agent {
			row += "  of " + terminal.Visible(r.Agent, 80)
		}
		p.Figure(row)
	}
}
