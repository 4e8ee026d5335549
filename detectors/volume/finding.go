package volume

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/limit"
	"github.com/wayward-sec/wayward/event"
)

// report makes the finding of the oddest thing that the event crossed, or lets the open one grow.
func (v *volume) report(part *volumePart) {
	x, o := v.x, part.open
	if o != nil && x.Time-o.elevated > calmMS {
		part.open, o = nil, nil
	}
	if o != nil && v.elevated {
		o.elevated = max(o.elevated, x.Time)
		o.count++
	}
	if v.best.p >= 1 {
		return
	}
	c := &v.best
	activity := event.Update
	switch {
	case o == nil:
		o = &episode{OpenFinding: detectors.OpenFinding{Trigger: x.Ref(v.e).Clone()},
			test: c.test, feature: c.feature, what: c.what,
			elevated: x.Time, first: x.Time, count: 1}
		if part.agent != nil && part.agent.detail != nil && c.test >= baselines.MinuteTest &&
			c.test <= baselines.DayTest {
			o.Refs = slices.DeleteFunc(slices.Clone(part.agent.detail.watch),
				func(r event.Ref) bool { return r == o.Trigger })
			if len(o.Refs) > 0 {
				o.first = o.Refs[0].Time
				o.count += int64(len(o.Refs))
			}
		}
		if c.test == baselines.SessionTest {
			o.session = strings.Clone(v.e.Session)
		}
		o.Grade = x.Grade(c.test, c.p, c.alert)
		part.open = o
		activity = event.Create
	case !o.Regrade(x.Grade(c.test, c.p, o.alert || c.alert), c.test == o.test && c.feature == o.feature &&
		c.observed >= 2*o.observed):
		return
	}
	o.p, o.alert = min(c.p, cmpP(o.p)), o.alert || c.alert
	if c.test == o.test && c.feature == o.feature || o.observed == 0 {
		o.observed = c.observed
	}
	v.x.Find(v.finding(o, c, activity))
	if c.alert {
		x.Delta.Audit.Of[c.test].Alerts++
	}
}

// cmpP is an episode's least p-value so far.
func cmpP(p float64) float64 {
	if p == 0 {
		return 1
	}
	return p
}

func (v *volume) finding(o *episode, c *crossed, activity event.Activity) event.Finding {
	x, e := v.x, v.e
	f := x.NewAnomaly("volume", c.test, c.feature.String(), c.p, o.alert)
	f.Activity = activity
	f.Rule = o.test.String() + "/" + ruleFeature(o)
	f.Time, f.First, f.Last, f.Count, f.Refs = o.Trigger.Time, min(o.first, o.Trigger.Time), max(x.Time,
		o.Trigger.Time), o.count, o.All()
	f.ScopeType, f.ScopeID = "agent", e.Agent.ID
	if o.session != "" {
		f.ScopeType, f.ScopeID = "session", o.session
	}
	f.Title = titles[c.test]
	f.Tags = tagsOf(c)
	f.Measure = c.feature.String()
	a := f.Anomaly
	unit := 1.0
	switch {
	case c.what != "" && c.what != "peers":
		a.Feature, f.Measure = c.what, c.what
	case c.feature == AmountSum:
		unit, a.Unit = 1e6, e.Amount.Currency
	case c.feature == CostSum:
		unit, a.Unit = 1e6, "USD"
	case c.feature == ByteSum:
		a.Unit = "bytes"
	}
	a.Unit = strings.Clone(a.Unit)
	a.Observed, a.Expected, a.Low, a.High = finite(c.observed/unit), finite(c.expected/unit), finite(
		c.low/unit), finite(c.high/unit)
	f.Unit = a.Unit
	f.Observed, f.Expected = event.Figure(a.Observed), event.Figure(a.Expected)
	switch c.test {
	case baselines.MinuteTest, baselines.TenMinuteTest, baselines.HourTest, baselines.DayTest:
		a.WindowMS = baselines.WindowMS[c.window]
		a.Season = x.Season(x.Time)
	case baselines.RampTest:
		a.WindowMS = baselines.DayMS
	}
	if c.test == baselines.TimingTest {
		a.Season = x.Season(x.Time)
	}
	f.WindowMS = a.WindowMS
	f.Why = v.why(c, a)
	return f
}

// ruleFeature is the second part of the rule's name, which stays the same while the finding grows.
func ruleFeature(o *episode) string {
	if o.what != "" {
		return o.what
	}
	return o.feature.String()
}

// titles have at most 36 characters: what a terminal has for them beside time, severity and scope.
var titles = [baselines.Tests]string{
	baselines.CallTest: "One call was unusually large", baselines.SessionTest: "A session did unusually much",
	baselines.MinuteTest:    "Unusually much within a minute",
	baselines.TenMinuteTest: "Unusually much within ten minutes",
	baselines.HourTest:      "Unusually much within an hour", baselines.DayTest: "Unusually much within a day",
	baselines.OutcomeTest: "Calls fail unusually often", baselines.RunTest: "An agent counts through ids",
	baselines.RampTest: "Grows, or does more than its peers", baselines.BurnTest: "A budget is used up too fast",
	baselines.TimingTest: "An unusual hour, or a machine's pace",
}

// tagsOf are the entries of OWASP's list for agents and of MITRE ATLAS that a test speaks of.
func tagsOf(c *crossed) []string {
	switch {
	case c.test == baselines.OutcomeTest, c.test == baselines.RunTest, c.feature == SubjectCount,
		c.feature == ResourceCount:
		return []string{"ASI02", "AML.T0085"}
	case c.feature == CostSum:
		return []string{"ASI08", "AML.T0034"}
	case c.test == baselines.TimingTest, c.test == baselines.RampTest:
		return []string{"ASI10"}
	}
	return []string{"ASI02", "ASI10"}
}

// did are what an agent did of each feature, around the number.
var did = [Features][2]string{
	{"made", "events"}, {"read", "records"}, {"moved", "bytes"}, {"moved an amount of", ""}, {"cost", "USD"},
	{"touched", "different subjects"}, {"touched", "different resources"},
}

// why says in one sentence what was observed, what is usual, against whom, and how rare that is.
func (v *volume) why(c *crossed, a *event.Anomaly) string {
	who := "agent " + strconv.Quote(detectors.Short(v.e.Agent.ID))
	persona := "persona " + strconv.Quote(detectors.Short(v.x.Base.Persona))
	if v.x.Base.Persona == "" {
		persona = "no persona"
	}
	verb, noun := did[c.feature][0], did[c.feature][1]
	if c.feature == AmountSum {
		noun = a.Unit
	}
	amount := func(x float64) string { return strings.TrimRight(figure(x)+" "+noun, " ") }
	rarity := "; " + event.Odds(c.p)
	usual := func(when, of string) string {
		return "; usual " + when + "are " + figure(a.Expected) + ", at most " + figure(a.High) + " in 999 of 1,000 " +
			of + rarity
	}
	switch c.test {
	case baselines.CallTest:
		return "one " + callName(v.e) + " by " + who + " came to " + amount(a.Observed) + usual("",
			"such calls of "+persona)
	case baselines.SessionTest:
		return who + " " + verb + " " + amount(a.Observed) + " in session " + strconv.Quote(detectors.Short(v.e.Session)) +
			usual("", "sessions of "+persona)
	case baselines.OutcomeTest:
		return who + " meets " + c.what + " on first contacts as one who guesses does, by odds of " +
			figure(a.Observed) + " to 1; of " + persona + " " + event.Percent(a.Expected) + " of them fail so" + rarity
	case baselines.RunTest:
		return who + " counts through ids: " + figure(a.Observed-1) +
			" of its last 31 steps from one id to the next were the same small step; agents of " + persona + " do not" +
			rarity
	case baselines.RampTest:
		if c.what == "peers" {
			return who + " " + verb + " " + amount(a.Observed) + " on a mean day" + usual("", "agents of "+persona)
		}
		return who + " " + verb + " " + amount(a.Observed) + " on a day of the last seven" +
			usual("by its last sixty days ", "weeks")
	case baselines.TimingTest:
		if c.what == "hour" {
			return who + " started a session on " + a.Season + ", an hour in which " + persona + " hardly acts" + rarity
		}
		return who + " acts as evenly as a clock: the gaps between its events scatter by " + event.Percent(a.Observed) +
			" of their mean, those of " + persona + " by " + event.Percent(a.Expected) + rarity
	}
	return who + " " + verb + " " + amount(a.Observed) + " within " + limit.Span(a.WindowMS) + " (" + a.Season + ")" +
		usual("then ", "such times of one of "+persona)
}

// figure writes a number for people: whole from a hundred on, else three figures.
func figure(x float64) string {
	if x >= 100 && x < 1e15 {
		return event.Thousands(int64(math.Round(x)))
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

// finite keeps what is shown a number.
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return min(max(x, -1e18), 1e18)
}

// timing makes a finding of its own that never calls anybody.
func (v *volume) timing(c crossed) {
	if v.x.Base == nil {
		return
	}
	if report, _ := v.x.Weigh(baselines.TimingTest, c.p); !report {
		return
	}
	o := &episode{OpenFinding: detectors.OpenFinding{Trigger: v.x.Ref(v.e).Clone()}, test: c.test, what: c.what,
		session: strings.Clone(v.e.Session), first: v.x.Time, count: 1}
	v.x.Find(v.finding(o, &c, event.Create))
}
