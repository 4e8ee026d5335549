package eval

import (
	"maps"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/fleet"
)

// Alarm is what a finding said at one time: when it was made, and each time that it grew.
type Alarm struct {
	UID string
	// event time of what made it so, Unix milliseconds
	Time                                                            int64
	Detector, Family, Test, Feature, Scope, Persona, Agent, Session string
	P, Alpha                                                        float64
	Alert                                                           bool
	Snapshot                                                        string   // by which it was judged
	Refs                                                            []string // ids of events
}

// SessionOrTrigger is the alarm's session. Of an alarm that is about no session it is that of its
// trigger, if ids of events read SESSION-NUMBER.
func (a *Alarm) SessionOrTrigger() string {
	if a.Session != "" || len(a.Refs) == 0 {
		return a.Session
	}
	id := a.Refs[len(a.Refs)-1]
	if i := strings.LastIndexByte(id, '-'); i > 0 {
		return id[:i]
	}
	return id
}

// Score is by how much the alarm is rarer than its test's share of the alert budget asks for: below
// 1 it is an alert. An operator who doubles the budget doubles the score below which alarms are
// alerts, whatever the test. p itself says little, since there are a thousand calls to one day.
func (a *Alarm) Score() float64 {
	if a.Alpha <= 0 {
		return math.Inf(1)
	}
	return a.P / a.Alpha
}

// AlarmLog keeps the alarms of a run in the order in which they came.
type AlarmLog struct {
	Alarms []Alarm
	// Of counts the findings of detectors that are no statistics, by detector.
	Of map[string]int
	// Others are these alarms: they are certain, so P is 0 and Alert as found.
	Others []Alarm
}

// Take notes a finding. Nothing of it is kept.
func (b *AlarmLog) Take(f *event.Finding) {
	a := Alarm{UID: f.UID, Time: f.Time, Detector: strings.Clone(f.Detector), Scope: f.ScopeType,
		Persona: strings.Clone(f.Persona), Agent: strings.Clone(f.Agent),
		Session: strings.Clone(f.Session), Alert: f.Alert}
	if f.Activity == event.Update {
		a.Time = max(f.Time, f.Last)
	}
	for _, r := range f.Refs {
		a.Refs = append(a.Refs, strings.Clone(r.ID))
	}
	if f.Anomaly == nil {
		if b.Of == nil {
			b.Of = map[string]int{}
		}
		b.Of[f.Detector]++
		b.Others = append(b.Others, a)
		return
	}
	a.Family, a.Test, a.Feature, a.P, a.Alpha = f.Anomaly.Family, f.Anomaly.Test, strings.Clone(
		f.Anomaly.Feature), f.Anomaly.P, f.Anomaly.Alpha
	a.Snapshot = strings.Clone(f.Anomaly.Snapshot)
	if a.Persona == "" {
		a.Persona = strings.Clone(f.Anomaly.Persona)
	}
	b.Alarms = append(b.Alarms, a)
}

// Alerts are the findings that raised an alert, each once, with what it was when it first did.
func (b *AlarmLog) Alerts() (out []Alarm) {
	seen := map[string]bool{}
	for _, a := range b.Alarms {
		if a.Alert && !seen[a.UID] {
			seen[a.UID] = true
			out = append(out, a)
		}
	}
	return
}

// Scores are the least scores that findings from a time on have come to, ascending.
func (b *AlarmLog) Scores(since int64) []float64 {
	best := map[string]float64{}
	for i := range b.Alarms {
		a := &b.Alarms[i]
		if have, known := best[a.UID]; a.Time >= since && (!known || a.Score() < have) {
			best[a.UID] = a.Score()
		}
	}
	return slices.Sorted(maps.Values(best))
}

// Threshold is the highest score below which at most so many of the ascending scores of streams
// without attacks lie: the score after the last of them. It is infinite if all of them may lie
// below, since how rare still lower ones are was not recorded.
func Threshold(scores []float64, most int) float64 {
	if most >= len(scores) {
		return math.Inf(1)
	}
	return scores[most]
}

// Precision is the share of alarms that are true, where a share base of all sessions is attacked, a
// share recall of them is found, and falseRate is the number of false alarms a session. It is
// Bayes' rule.
func Precision(base, recall, falseRate float64) float64 {
	return base * recall / (base*recall + (1-base)*falseRate)
}

// Hit is how an incident was found.
type Hit struct {
	Found   bool
	At      int64
	Events  int     // of the incident up to then
	Seconds float64 // since its first event
	By      string  // test
}

// Verdict is what became of an incident.
type Verdict struct {
	*fleet.Incident
	Alert  Hit            // by what raised an alert
	Low    Hit            // by what had p <= 1e-3, whether it called or not
	Family map[string]Hit // by what called, of each family
	Other  Hit            // by detectors that are no statistics
	Best   float64        // least score of all alarms about it; infinite if there is none
}

// slackMS is how long after its last event an alarm about an agent still is about an incident:
// windows look back, and an hour's is the longest that would not be another day's.
const slackMS = 15 * 60_000

// about tells whether the alarm is about an incident.
func (a *Alarm) about(i *fleet.Incident) bool {
	if a.Agent != i.Agent || a.Time < i.First {
		return false
	}
	if i.Kind.Growth() > 0 { // all else is too likely to be chance in so many days
		return a.Test == "ramp" || a.Test == "1d"
	}
	if a.Session != "" && slices.Contains(i.Sessions, a.Session) {
		return true
	}
	if a.Time <= i.Last+slackMS && a.Scope != "session" {
		return true
	}
	return slices.ContainsFunc(a.Refs, func(id string) bool { return slices.Contains(i.Events, id) })
}

func (a *Alarm) hit(i *fleet.Incident) Hit {
	h := Hit{Found: true, At: a.Time, Seconds: float64(a.Time-i.First) / 1000, By: a.Test}
	h.Events = sort.Search(len(i.Times), func(k int) bool { return i.Times[k] > a.Time })
	return h
}

// Judge says what became of incidents. Alarms must have come in the order of time but for a little.
func (b *AlarmLog) Judge(incidents []*fleet.Incident) []Verdict {
	byAgent := map[string][]int{}
	out := make([]Verdict, len(incidents))
	for n, i := range incidents {
		byAgent[i.Agent] = append(byAgent[i.Agent], n)
		out[n] = Verdict{Incident: i, Family: map[string]Hit{}, Best: math.Inf(1)}
	}
	first := func(h *Hit, i *fleet.Incident, a *Alarm) {
		if !h.Found || a.Time < h.At {
			*h = a.hit(i)
		}
	}
	for k := range b.Alarms {
		a := &b.Alarms[k]
		for _, n := range byAgent[a.Agent] {
			v := &out[n]
			if !a.about(v.Incident) {
				continue
			}
			v.Best = min(v.Best, a.Score())
			if a.P <= 1e-3 {
				first(&v.Low, v.Incident, a)
			}
			if a.Alert {
				first(&v.Alert, v.Incident, a)
				h := v.Family[a.Family]
				first(&h, v.Incident, a)
				v.Family[a.Family] = h
			}
		}
	}
	for k := range b.Others {
		a := &b.Others[k]
		for _, n := range byAgent[a.Agent] {
			if v := &out[n]; a.about(v.Incident) {
				first(&v.Other, v.Incident, a)
			}
		}
	}
	return out
}

// Power is how often incidents were found, and how soon.
type Power struct {
	Made, Alert, Low int
	Family           map[string]int
	Other            int // by rules
	// incidents of several events; of them, those found by alert before half of these
	Long, Half            int
	Events, Seconds, Size []float64
	Best                  []float64 // scores
}

// Below is how many incidents had a score below a threshold.
func (p *Power) Below(threshold float64) (n int) {
	for _, s := range p.Best {
		if s < threshold {
			n++
		}
	}
	return
}

// Add counts a verdict.
func (p *Power) Add(v *Verdict) {
	p.Made++
	p.Best = append(p.Best, v.Best)
	if len(v.Incident.Events) > 1 {
		p.Long++
	}
	if v.Low.Found {
		p.Low++
	}
	if v.Other.Found {
		p.Other++
	}
	if p.Family == nil {
		p.Family = map[string]int{}
	}
	for f := range v.Family {
		p.Family[f]++
	}
	if !v.Alert.Found {
		return
	}
	p.Alert++
	p.Events, p.Seconds = append(p.Events, float64(v.Alert.Events)), append(p.Seconds, v.Alert.Seconds)
	if 2*v.Alert.Events <= len(v.Incident.Events) {
		p.Half++
	}
	if v.Kind.Growth() > 0 {
		p.Size = append(p.Size, v.Multiple(v.Alert.At))
	}
}

// Before is how many ramps were found before they had grown so many times.
func (p *Power) Before(times float64) (n int) {
	for _, v := range p.Size {
		if v < times {
			n++
		}
	}
	return
}

// Ratio is a realised share over the nominal one, with bounds.
func Ratio(below, made uint64, nominal float64) (ratio, low, high float64) {
	if made == 0 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	want := nominal * float64(made)
	low, high = baselines.Poisson95(float64(below))
	return float64(below) / want, low / want, high / want
}
