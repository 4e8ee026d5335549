package main

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
)

// outcomeText says why somebody was called, or why not: what the engine decided, in words.
func outcomeText(f *event.Finding) string {
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
			baselines.MetEnough)
	case a.Alpha <= 0:
		return fmt.Sprintf("a signal: the alert budget has nothing for %s tests, or none were made yet",
			visible(a.Family, 40))
	case a.P >= a.Alpha:
		return fmt.Sprintf("a signal: %s is not rarer than the budget's %s", event.Odds(a.P), event.Odds(a.Alpha))
	}
	return "a signal: rare enough, but evidence of this kind alone calls nobody"
}

// printFinding explains a finding to people.
func printFinding(w io.Writer, x *explained, d drawing) {
	f := &x.f
	p := lines{w: w, width: d.width}
	p.line("%s", visible(f.Title, d.width))
	p.field("finding", "%s, %s, risk %d of 100", visible(f.UID, 64), severityOf(f), f.Risk)
	p.field("why", "%s", visible(f.Why, 2000))
	p.field("who", "%s", whoText(f))
	p.field("when", "%s", whenText(f))
	if a := f.Anomaly; a != nil {
		p.anomaly(a, f, d)
	} else if f.Measure != "" {
		p.measured(f, d)
	}
	if f.Detector == "limit" && strings.HasPrefix(f.Rule, "builtin-") {
		p.field("limit",
			"built in: it holds for everybody alike. It steps back for a persona whose baseline is active, which says what is usual instead, and for a user whom "+
				"many agents have shared on days before it is as high as for as many people. Limits of your own take its place")
	}
	p.field("outcome", "%s", outcomeText(f))
	if f.Incomplete {
		p.field("",
			"incomplete: a source was left out or state had been dropped when it was made, so more may be behind it")
	}
	p.events(f)
	for i, c := range x.commands {
		name := "commands"
		if i > 0 {
			name = ""
		}
		mode := ""
		if c.Mode != event.Enforce {
			mode = ", " + visible(c.Mode, 20) + ": no gateway acts on it"
		}
		p.field(name, "%s %s%s, epoch %d%s, %s", actionText(c.Action, c.Rate), scopeText(c.Scope),
			lasting(c.DurationMS), c.Epoch, mode, utc(c.Time))
	}
	if x.commandsRead && len(x.commands) == 0 {
		p.field("commands", "none")
	}
	if len(f.Tags) > 0 {
		var tags []string
		for _, t := range f.Tags {
			tags = append(tags, visible(t, 40))
		}
		p.field("tags", "%s", strings.Join(tags, ", "))
	}
	if x.truncated {
		p.field("note", "the record was cut short when it was written: texts or steps are missing")
	}
}

func severityOf(f *event.Finding) string {
	if f.Severity < event.Signal || f.Severity > event.Critical {
		return "unknown"
	}
	return f.Severity.String()
}

func whoText(f *event.Finding) string {
	text := strings.TrimSpace(visible(f.ScopeType, 20) + " " + visible(f.ScopeID, 100))
	add := func(word, s string) {
		if s != "" {
			text += word + visible(s, 100)
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
		text += "; tool " + visible(f.Tool, 100)
		add(" on ", f.Server)
	}
	add(", target ", f.Target)
	return text
}

func whenText(f *event.Finding) string {
	text := utc(f.Time)
	if f.First < f.Time && f.First > 0 {
		text += ", since " + utc(f.First)
	}
	if f.Last > f.Time {
		text += ", until " + utc(f.Last)
	}
	if a := f.Anomaly; a != nil && a.Season != "" {
		text += " (" + visible(a.Season, 60) + " for the persona)"
	}
	return text
}

// lines prints names and texts in two columns, texts broken at words.
type lines struct {
	w     io.Writer
	width int
}

const (
	nameWidth = 10
	leftOf    = 2 + nameWidth + 1
)

func (p *lines) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

func (p *lines) field(name, format string, args ...any) {
	// a number and its percent sign stay together
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), " %", "\u00a0%")
	col := leftOf
	fmt.Fprintf(p.w, "  %s", pad(name, nameWidth))
	for i, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\n' }) {
		word = strings.ReplaceAll(word, "\u00a0", " ")
		n := utf8.RuneCountInString(word)
		if i > 0 && col+1+n > p.width {
			fmt.Fprintf(p.w, "\n%s", strings.Repeat(" ", leftOf-1))
			col = leftOf
		}
		fmt.Fprintf(p.w, " %s", word)
		col += 1 + n
	}
	fmt.Fprintln(p.w)
}

// figure indents lines of a picture under the texts.
func (p *lines) figure(rows ...string) {
	for _, r := range rows {
		fmt.Fprintln(p.w, strings.TrimRight(strings.Repeat(" ", leftOf)+r, " "))
	}
}

func withUnit(v float64, unit string) string {
	text := event.Figure(v)
	if unit != "" {
		text += " " + visible(unit, 40)
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

func (p *lines) anomaly(a *event.Anomaly, f *event.Finding, d drawing) {
	inner := drawing{d.width - leftOf, d.ascii}
	rare := event.Odds(a.P) + " (p " + strconv.FormatFloat(a.P, 'g', 2, 64) + ")"
	switch {
	case sinks.IsAmount(a):
		over := ""
		if a.WindowMS > 0 {
			over = " in " + short(time.Duration(a.WindowMS)*time.Millisecond)
		}
		p.field("observed", "%s%s", withUnit(a.Observed, measureOf(a)), over)
		band := ""
		if a.High != 0 {
			band = fmt.Sprintf("; usual are %s to %s: 1 in 100 is below, 1 in 1,000 above", event.Figure(a.Low),
				event.Figure(a.High))
		}
		p.field("expected", "%s%s", withUnit(a.Expected, measureOf(a)), band)
		p.field("how rare", "%s", rare)
		if a.High != 0 {
			if picture := inner.band(a.Low, a.Expected, a.High, a.Observed, true); picture != "" {
				p.figure("", picture, inner.pick("log scale: ├ ┤ usual, ┃ expected, ● observed",
					"log scale: [ ] usual, | expected, * observed"), "")
			}
		}
	case len(a.Steps) > 0:
		last := &a.Steps[len(a.Steps)-1]
		p.field("observed", "%s", visible(last.What, 200))
		p.field("expected", "%s", orNothing(usualText(last.Usual, 3)))
		p.field("how rare", "%s", rare)
	case a.Test == "outcome":
		p.field("observed", "%s as somebody has who guesses: the odds for that are %s to 1", visible(a.Feature, 40),
			rough(a.Observed))
		p.field("expected", "%s of first contacts", event.Percent(a.Expected))
		p.field("how rare", "%s", rare)
	case a.Family == "rarity":
		p.field("observed", "%s, which is new: %s", visible(sinks.Seen(f), 100), visible(a.Feature, 40))
		p.field("how rare", "%s", rare)
		share := a.Expected
		if !(share > 0) {
			share = a.P
		}
		p.figure("", "["+inner.bar(share, 40)+"] "+event.Percent(min(share, 1))+
			" of agent-days bring something new of this kind", "")
	default:
		p.field("observed", "%s", visible(cmp.Or(a.Season, a.Feature), 60))
		p.field("how rare", "%s", rare)
	}
	if len(a.Steps) > 0 {
		p.figure(append(append([]string{""}, inner.steps(a.Steps)...), "")...)
	}
	if len(a.Scores) > 0 {
		var texts []string
		for _, s := range a.Scores {
			texts = append(texts, visible(s.Name, 40)+" "+event.Odds(s.P))
		}
		p.field("scores", "%s", strings.Join(texts, "; "))
	}
	against := "persona " + visible(a.Persona, 100)
	if a.Fork != "" {
		against += ", fork " + visible(a.Fork, 100)
	}
	p.field("against", "%s: %s agent-days, %s agents on the last day", against, event.Thousands(a.AgentDays),
		event.Thousands(a.Agents))
	p.field("baseline", "%s, %s", visible(a.Snapshot, 60), visible(a.State, 20))
	p.field("test", "%s of %s, family %s", visible(a.Test, 40), visible(a.Feature, 40), visible(a.Family, 40))
	if a.Alpha > 0 {
		p.field("budget", "a %s test of this persona calls somebody below %s (alpha %s)", visible(a.Family, 40),
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
		texts = append(texts, visible(u.What, 100)+" "+event.Percent(u.Share))
	}
	return strings.Join(texts, ", ")
}

// steps is a table of how surprising each step was and what usually comes there.
func (d drawing) steps(steps []event.Step) []string {
	const barWidth = 10
	most := 12.0 // bits: a step of 1 in 4,096 fills the bar
	wide := 4
	for i := range steps {
		most = max(most, steps[i].Bits)
		wide = max(wide, utf8.RuneCountInString(visible(steps[i].What, 200)))
	}
	head := fmt.Sprintf("%5s  %s  ", "BITS", strings.Repeat(" ", barWidth))
	wide = min(wide, max(12, (d.width-len(head))/2))
	rows := []string{head + pad("STEP", wide) + "  USUALLY"}
	left := max(8, d.width-len(head)-wide-2)
	for i := range steps {
		s := &steps[i]
		var usual []string // the share first, since names may be cut
		for i, u := range s.Usual[:min(len(s.Usual), 2)] {
			if i > 0 && u.Share < leastShare {
				break
			}
			usual = append(usual, event.Percent(u.Share)+" "+u.What)
		}
		rows = append(rows, fmt.Sprintf("%5.1f  %s  %s  %s", s.Bits, d.bar(s.Bits/most, barWidth),
			pad(d.cut(s.What, wide), wide), d.cut(strings.Join(usual, ", "), left)))
	}
	return rows
}

// measured is what a limit found: certain, so there is no band but the limit.
func (p *lines) measured(f *event.Finding, d drawing) {
	unit := f.Unit
	if unit == "" && f.Measure != "count" {
		unit = f.Measure
	}
	over := ""
	if f.WindowMS > 0 {
		over = " in " + short(time.Duration(f.WindowMS)*time.Millisecond)
	}
	p.field("observed", "%s", strings.TrimSpace(visible(f.Observed, 60)+" "+visible(unit, 40))+over)
	if f.Expected == "" {
		return
	}
	p.field("limit", "%s", strings.TrimSpace(visible(f.Expected, 60)+" "+visible(unit, 40)))
	seen, err1 := strconv.ParseFloat(f.Observed, 64)
	limit, err2 := strconv.ParseFloat(f.Expected, 64)
	if err1 != nil || err2 != nil || limit < 0 {
		return
	}
	inner := drawing{d.width - leftOf, d.ascii}
	if picture := inner.band(0, 0, limit, seen, false); picture != "" {
		p.figure("", picture, "")
	}
}

// events are those that the finding rests on.
func (p *lines) events(f *event.Finding) {
	p.field("events", "%s; the first of them, the last one last:", plural(f.Count, "event"))
	for _, r := range f.Refs {
		row := utc(r.Time) + "  " + visible(r.ID, 80)
		if r.Agent != "" && r.Agent != f.Agent {
			row += "  of " + visible(r.Agent, 80)
		}
		p.figure(row)
	}
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return event.Thousands(n) + " " + what + "s"
}
