package eval

import (
	"math"
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/fleet"
)

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got-want) <= within) {
		t.Errorf("%s is %v, not %v", what, got, want)
	}
}

// Values of R: binom::binom.wilson.
func TestBoundsAreThoseOfTheTextbook(t *testing.T) {
	low, high := Share(8, 10)
	near(t, "lower bound of 8 in 10", low, .4902, .0005)
	near(t, "upper bound of 8 in 10", high, .9433, .0005)
	low, high = Share(0, 20)
	near(t, "lower bound of none in 20", low, 0, 1e-12)
	near(t, "upper bound of none in 20", high, .1611, .0005)
	near(t, "AUC with a tie", AUC([]float64{3, 2}, []float64{1, 2}), .875, 1e-12)
	near(t, "median", Median([]float64{5, 1, 2, 4}), 3, 0)
	if !math.IsNaN(Median(nil)) || !math.IsNaN(AUC(nil, []float64{1})) {
		t.Error("nothing has a median or an AUC")
	}
}

func TestAlarmsAreMatchedWithIncidents(t *testing.T) {
	i := &fleet.Incident{Kind: fleet.Insert4, Agent: "a", Sessions: []string{"a-1"}, Events: []string{"e1", "e2", "e3"},
		Times: []int64{1000, 2000, 3000}, First: 1000, Last: 3000}
	finding := func(agent, session, scope string, at int64, alert bool, p float64, refs ...string) *event.Finding {
		f := &event.Finding{Activity: event.Create, UID: agent + session + scope, Agent: agent, Session: session,
			ScopeType: scope, Time: at, Alert: alert,
			Anomaly: &event.Anomaly{P: p, Family: "sequence", Test: "sequence"}}
		for _, id := range refs {
			f.Refs = append(f.Refs, event.Ref{ID: id})
		}
		return f
	}
	for _, c := range []struct {
		name       string
		f          *event.Finding
		alert, low bool
		events     int
	}{
		{"another agent", finding("b", "a-1", "session", 2000, true, 1e-9), false, false, 0},
		{"before", finding("a", "a-1", "session", 999, true, 1e-9), false, false, 0},
		{"its session", finding("a", "a-1", "session", 2500, true, 1e-9), true, true, 2},
		{"its session, long after", finding("a", "a-1", "session", 9e9, true, 1e-9), true, true, 3},
		{"another session", finding("a", "a-2", "session", 2500, true, 1e-9), false, false, 0},
		{"another session that cites it", finding("a", "a-2", "session", 2500, true, 1e-9, "e9", "e2"), true, true, 2},
		{"the agent", finding("a", "", "agent", 3000+slackMS, true, 1e-9), true, true, 3},
		{"the agent too late", finding("a", "", "agent", 3001+slackMS, true, 1e-9), false, false, 0},
		{"a signal", finding("a", "a-1", "session", 1000, false, 5e-4), false, true, 0},
		{"a weak signal", finding("a", "a-1", "session", 1000, false, 5e-3), false, false, 0},
	} {
		b := AlarmLog{}
		b.Take(c.f)
		v := b.Judge([]*fleet.Incident{i})[0]
		if v.Alert.Found != c.alert || v.Low.Found != c.low || v.Alert.Events != c.events {
			t.Errorf("%s: %+v, %+v", c.name, v.Alert, v.Low)
		}
	}
}

func TestASignalThatGrowsCallsOnce(t *testing.T) {
	b := AlarmLog{}
	f := &event.Finding{UID: "u", Activity: event.Create, Agent: "a", Time: 5, Last: 5,
		Anomaly: &event.Anomaly{P: 1e-3}}
	b.Take(f)
	f.Activity, f.Alert, f.Last, f.Anomaly.P = event.Update, true, 9, 1e-6
	b.Take(f)
	f.Last = 12
	b.Take(f)
	if calls := b.Alerts(); len(calls) != 1 || calls[0].Time != 9 || calls[0].P != 1e-6 {
		t.Errorf("%+v", calls)
	}
}

func TestThresholdsFollowFromWhatCameOfNothing(t *testing.T) {
	b := AlarmLog{}
	for i, c := range []struct {
		at       int64
		p, alpha float64
	}{{1, 1e-9, 1e-4}, {10, 2e-4, 1e-4}, {11, 3e-4, 1e-4}, {12, 1e-3, 1e-3}, {13, 1e-9, 0}} {
		b.Take(&event.Finding{UID: string(rune('a' + i)), Activity: event.Create, Time: c.at,
			Anomaly: &event.Anomaly{P: c.p, Alpha: c.alpha}})
	}
	// it has grown
	b.Take(&event.Finding{UID: "b", Activity: event.Update, Time: 10, Last: 20,
		Anomaly: &event.Anomaly{P: 5e-5, Alpha: 1e-4}})
	scores := b.Scores(10)
	if len(scores) != 4 || math.Abs(scores[0]-.5) > 1e-9 || math.Abs(scores[1]-1) > 1e-9 ||
		math.Abs(scores[2]-3) > 1e-9 || !math.IsInf(scores[3], 1) {
		t.Fatalf("%v", scores)
	}
	for most, want := range []float64{.5, 1, 3, math.Inf(1)} {
		got := Threshold(scores, most)
		below := 0
		for _, s := range scores {
			if s < got {
				below++
			}
		}
		if below > most || math.Abs(got-want) > 1e-9 && got != want {
			t.Errorf("at most %d: %v, with %d below, not %v", most, got, below, want)
		}
	}
	if got := Threshold(scores, 4); !math.IsInf(got, 1) {
		t.Errorf("all of them: %v", got)
	}
	near(t, "precision of 1 false in 1,000", Precision(1e-4, .8, 1e-3), 8e-5/(8e-5+.9999e-3), 1e-12)
	p := Power{}
	p.Add(&Verdict{Incident: &fleet.Incident{Events: []string{"a"}}, Alert: Hit{Found: true, Events: 1}, Best: .2})
	p.Add(&Verdict{Incident: &fleet.Incident{Events: []string{"a", "b"}}, Alert: Hit{Found: true, Events: 1}, Best: .7})
	p.Add(&Verdict{Incident: &fleet.Incident{Events: []string{"a", "b"}}, Best: math.Inf(1)})
	if p.Below(.5) != 1 || p.Below(1) != 2 || p.Below(math.Inf(1)) != 2 || p.Long != 2 || p.Half != 1 {
		t.Errorf("%+v", p)
	}
}
