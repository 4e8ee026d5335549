package sinks

import (
	"strconv"

	"github.com/wayward-sec/wayward/event"
)

// Bounds of the anomaly in a record. The newest steps are kept, since the trigger is the last one.
const (
	maxSteps  = 16
	maxUsual  = 5
	maxScores = 16
)

// minSupport is how many agent-days a baseline should rest on for more than low confidence: a day of 30
// agents, or a month of one.
const minSupport = 30

// confidence writes OCSF's confidence: low for a young, stale or suspect baseline or one with little
// support, high for a p-value far below the threshold.
func (w *object) confidence(f *event.Finding) {
	a := f.Anomaly
	switch {
	case a.State != "active" || a.Stranger || a.AgentDays < minSupport || f.Incomplete:
		w.fixed(`"confidence_id":1,"confidence":"Low"`)
	case a.P <= a.Alpha/100:
		w.fixed(`"confidence_id":3,"confidence":"High"`)
	default:
		w.fixed(`"confidence_id":2,"confidence":"Medium"`)
	}
}

// analysisOf names the analysis and its pattern in OCSF's words.
func analysisOf(a *event.Anomaly) (kind, pattern string) {
	switch {
	case a.Family == "sequence":
		return "Sequence Analysis", "RARE"
	case a.Family == "rarity":
		return "Frequency Analysis", "UNSEEN"
	case a.Family == "timing":
		return "Time Pattern Analysis", "OFF_HOURS"
	case a.Test == "outcome":
		return "Frequency Analysis", "FREQUENT"
	}
	return "Volume Analysis", "SURGE"
}

// IsAmount reports whether Observed and Expected are amounts of one kind. Those of something new are
// shares of days, those of failures the odds that somebody guesses.
func IsAmount(a *event.Anomaly) bool {
	return a.Family != "rarity" && a.Test != "outcome" && (a.Observed != 0 || a.Expected != 0 || a.High != 0)
}

// Seen is what a finding that is not about an amount has seen: the thing that its feature names.
func Seen(f *event.Finding) string {
	switch f.Anomaly.Feature {
	case "tool":
		return f.Tool
	case "server":
		return f.Server
	case "user":
		return f.User
	}
	for _, s := range [...]string{f.Target, f.Tool, f.Server, f.User} {
		if s != "" {
			return s
		}
	}
	return f.ScopeID
}

// statisticalAnalysis is what a statistical finding observed and what is usual, as an anomaly analysis
// of OCSF. What that has no place for is under unmapped.
func (w *object) statisticalAnalysis(f *event.Finding) {
	a := f.Anomaly
	kind, pattern := analysisOf(a)
	begin := func(pattern string) {
		w.open("", '{')
		w.short("observation_parameter", a.Feature)
		w.word("observation_type", kind)
		w.word("observed_pattern", pattern)
		w.open("observations", '[')
	}
	usual := func(pattern string, v float64) {
		begin(pattern)
		w.open("", '{')
		w.figure("value", v)
		w.length(a)
		w.close("}]}")
	}
	steps := newest(a.Steps)

	w.beginAnalysis(f)
	begin(pattern)
	switch {
	case IsAmount(a):
		w.open("", '{')
		w.figure("value", a.Observed)
		w.observed(f)
	case len(steps) > 0:
		for i := range steps {
			w.open("", '{')
			w.short("value", steps[i].What)
			if i < len(steps)-1 {
				w.close("}")
			}
		}
		w.observed(f)
	default:
		w.open("", '{')
		w.short("value", Seen(f))
		w.observed(f)
	}
	w.close("]}]")
	switch {
	case IsAmount(a):
		w.open("baselines", '[')
		usual("EXPECTED", a.Expected)
		if a.High != 0 {
			usual("LOW", a.Low)
			usual("HIGH", a.High)
		}
		w.close("]")
	case len(steps) > 0 && len(steps[len(steps)-1].Usual) > 0:
		w.open("baselines", '[')
		begin("FREQUENT")
		for _, u := range first(steps[len(steps)-1].Usual) {
			w.open("", '{')
			w.short("value", u.What)
			w.close("}")
		}
		w.close("]}]")
	}
	w.close("}]")
}

// observed ends an observation with how often and when.
func (w *object) observed(f *event.Finding) {
	w.num("count", f.Count)
	w.open("timespan", '{')
	w.num("type_id", 9) // an interval
	w.num("start_time", f.First)
	w.num("end_time", f.Last)
	w.close("}}")
}

// length is the window that an expectation is for.
func (w *object) length(a *event.Anomaly) {
	if a.WindowMS != 0 {
		w.open("timespan", '{')
		w.num("type_id", 1) // milliseconds
		w.num("duration", a.WindowMS)
		w.close("}")
	}
}

// newest are the steps that fit.
func newest(steps []event.Step) []event.Step { return steps[max(0, len(steps)-maxSteps):] }

func first(usual []event.Usual) []event.Usual { return usual[:min(len(usual), maxUsual)] }

// unmappedAnomaly writes the anomaly in our own words: enough to draw it and to check it.
func (w *object) unmappedAnomaly(a *event.Anomaly) {
	w.open("anomaly", '{')
	w.float("p", a.P)
	w.float("alpha", a.Alpha)
	w.short("family", a.Family)
	w.short("test", a.Test)
	w.short("feature", a.Feature)
	if a.Unit != "" {
		w.short("unit", a.Unit)
	}
	if a.Observed != 0 || a.Expected != 0 || a.High != 0 {
		w.float("observed", a.Observed)
		w.float("expected", a.Expected)
		w.float("low", a.Low)
		w.float("high", a.High)
	}
	if a.WindowMS != 0 {
		w.num("window_ms", a.WindowMS)
	}
	if a.Season != "" {
		w.short("season", a.Season)
	}
	w.short("persona", a.Persona)
	if a.Fork != "" {
		w.short("fork", a.Fork)
	}
	w.open("support", '{')
	w.num("agent_days", a.AgentDays)
	w.num("agents", a.Agents)
	w.close("}")
	w.short("snapshot", a.Snapshot)
	w.short("state", a.State)
	if a.Stranger {
		w.fixed(`"stranger":true`)
	}
	if len(a.Scores) > 0 {
		w.open("scores", '[')
		for _, s := range a.Scores[:min(len(a.Scores), maxScores)] {
			w.open("", '{')
			w.short("name", s.Name)
			w.float("p", s.P)
			w.close("}")
		}
		w.close("]")
		w.cut = w.cut || len(a.Scores) > maxScores
	}
	if len(a.Steps) > 0 {
		w.open("steps", '[')
		for _, s := range newest(a.Steps) {
			w.open("", '{')
			w.short("what", s.What)
			w.float("bits", s.Bits)
			if len(s.Usual) > 0 {
				w.open("usual", '[')
				for _, u := range first(s.Usual) {
					w.open("", '{')
					w.short("what", u.What)
					w.float("share", u.Share)
					w.close("}")
				}
				w.close("]")
				w.cut = w.cut || len(s.Usual) > maxUsual
			}
			w.close("}")
		}
		w.close("]")
		w.cut = w.cut || len(a.Steps) > maxSteps
	}
	w.close("}")
}

// rare is the short line of a statistical finding for people: what was seen, what is usual, how
// rare that is.
func (p *page) rare(f *event.Finding) {
	a := f.Anomaly
	switch {
	case IsAmount(a):
		p.figure(a.Observed, a.Unit)
		p.ours(", expected ")
		p.figure(a.Expected, "")
		if a.High != 0 {
			p.ours(" (")
			p.figure(a.Low, "")
			p.ours("–")
			p.figure(a.High, "")
			p.ours(")")
		}
	case len(a.Steps) > 0:
		s := &a.Steps[len(a.Steps)-1]
		p.put(s.What, maxID)
		p.ours(" ")
		p.b = strconv.AppendFloat(p.b, s.Bits, 'f', 1, 64)
		p.ours(" bits")
		if len(s.Usual) > 0 {
			p.ours(", usually ")
			p.put(s.Usual[0].What, maxID)
			p.ours(" " + event.Percent(s.Usual[0].Share))
		}
	case a.Test == "outcome":
		p.ours("usually " + event.Percent(a.Expected) + " ")
		p.put(a.Feature, maxID)
	case a.Family != "rarity":
		p.put(a.Season, maxID)
	default:
		p.put(Seen(f), maxID)
		p.ours(" is new")
		if a.AgentDays > 0 {
			p.ours(" in ")
			p.ours(event.Thousands(a.AgentDays))
			p.ours(" agent-days")
		}
	}
	p.ours(", " + event.Odds(a.P))
}

func (p *page) figure(v float64, unit string) {
	p.ours(event.Figure(v))
	if unit != "" {
		p.ours(" ")
		p.put(unit, maxEvent)
	}
}
