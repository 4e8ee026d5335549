package limit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

const sharedDayMS = int64(86_400_000)

// builtinHost judges by the built-in limits, as somebody who has written no policy.
func builtinHost(t *testing.T, more string) *detectorstest.Host {
	h := detectorstest.NewHost(t, `{"v":1,"limits":[`+more+`]}`)
	set := policy.Default()
	if more != "" {
		var err error
		text := strings.Replace(string(set.Bytes()), `"limits":[`, `"limits":[`+more+`,`, 1)
		if set, err = policy.Parse([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	h.Panel = detectors.New(set)
	return h
}

// What a persona's own baseline can judge no number for everybody judges; whoever wrote a limit has
// it judged whatever was learned.
func TestBuiltinLimitsStepBackWhereABaselineIsOfAge(t *testing.T) {
	const mine = `{"id":"mine","scope":"session","measure":"count","max":"50"},{"id":"mine-too","scope":"user","measure":"count","max":"450","window":"1h"}`
	for state, want := range map[baselines.State]string{
		baselines.Active:   "[mine mine-too]",
		baselines.Learning: "[builtin-session-calls mine mine-too builtin-user-calls-hour]",
		baselines.Stale:    "[builtin-session-calls mine mine-too builtin-user-calls-hour]",
		// there is none
		99: "[builtin-session-calls mine mine-too builtin-user-calls-hour]",
	} {
		h := builtinHost(t, mine)
		if state != 99 {
			h.Panel.Who("acme", "clerk", "").Base = &baselines.Model{State: state}
		}
		for i := range 460 {
			e := detectorstest.Call(int64(i)*1000, fmt.Sprint("e", i))
			if i >= 52 { // of others no session is so long
				e.Session = fmt.Sprint("s", i)
			}
			h.Observe(&e)
		}
		h.Close(sharedDayMS)
		got := []string{}
		for _, f := range h.Found {
			if f.Activity == event.Create &&
				(strings.HasPrefix(f.Rule, "mine") || strings.HasPrefix(f.Rule, "builtin")) {
				got = append(got, f.Rule)
			}
		}
		if fmt.Sprint(got) != want {
			t.Errorf("state %v: %v, want %s", state, got, want)
		}
	}
}

// A user whom many agents share is told from a person by the days before, in whatever order its
// agents come and however often the page is written.
func TestAUserOfAServiceIsNoPerson(t *testing.T) {
	// work lets so many agents make calls for one user, within an hour of a day.
	work := func(h *detectorstest.Host, day, agents, calls int) {
		for i := range calls {
			e := detectorstest.Call(int64(day)*sharedDayMS+int64(i)*3_000_000/int64(calls), fmt.Sprint("d", day, ".", i))
			e.Agent.ID, e.User, e.Session = fmt.Sprint("a", i*7%agents), "svc", fmt.Sprint("s", i)
			h.Observe(&e)
		}
		h.Close(int64(day+1) * sharedDayMS)
	}
	type day struct{ agents, calls int }
	for claim, c := range map[string]struct {
		days []day
		want string // of the last day
	}{
		"on the first days it is a person": {[]day{{12, 300}, {12, 300}, {12, 500}}, "[450]"},
		"then it is not":                   {[]day{{12, 300}, {12, 300}, {12, 300}, {12, 5000}}, "[]"},
		"but no more than so many people":  {[]day{{12, 300}, {15, 300}, {12, 300}, {12, 5500}}, "[5400]"},
		"the quietest day counts":          {[]day{{40, 300}, {10, 300}, {40, 300}, {40, 4600}}, "[4500]"},
		"few agents are a person's":        {[]day{{9, 300}, {9, 300}, {9, 300}, {9, 500}}, "[450]"},
		"nor do agents of today count":     {[]day{{1, 300}, {1, 300}, {1, 300}, {30, 500}}, "[450]"},
		"nor those of a day":               {[]day{{1, 300}, {1, 300}, {30, 300}, {30, 500}}, "[450]"},
		"after a week of one agent it is one again": {[]day{{12, 300}, {12, 300}, {12, 300}, {1, 30}, {1, 30}, {1, 30},
			{1, 30}, {1, 30}, {1, 30}, {1, 500}}, "[450]"},
	} {
		for _, reload := range []bool{false, true} {
			h := builtinHost(t, "")
			h.Reload = reload
			for i, d := range c.days {
				if i == len(c.days)-1 {
					h.Found = nil
				}
				work(h, i, d.agents, d.calls)
			}
			got := []string{}
			for _, f := range h.Found {
				if f.Rule == "builtin-user-calls-hour" && f.Activity == event.Create {
					got = append(got, f.Expected)
				}
			}
			if fmt.Sprint(got) != c.want {
				t.Errorf("%s: %v, want %s", claim, got, c.want)
			}
		}
	}
	h := builtinHost(t, "")
	for i, d := range []day{{12, 300}, {12, 300}, {12, 300}, {12, 5500}} {
		work(h, i, d.agents, d.calls)
	}
	if last := h.Found[len(h.Found)-1]; !strings.HasSuffix(last.Why,
		"the limit is 5400, 450 for each of the 12 agents that share the user") {
		t.Error(last.Why)
	}
}

// However many agents share a user, no more of them are remembered than may be.
func TestAFleetIsBounded(t *testing.T) {
	p := &meterPart{}
	for i := range 100_000 {
		p.shared(int64(i)*sharedDayMS/2000, fmt.Sprint("a", i), fmt.Sprint("b", i))
	}
	if f := p.fleet; len(f.agents) > maxFleet || len(f.past) > fleetSpan || f.share() != maxFleet {
		t.Errorf("%d agents, %d days, share %d", len(f.agents), len(f.past), f.share())
	}
	b := p.Append(nil)
	for n := range len(b) {
		var cut meterPart
		cut.Decode(&wire.Reader{B: b[:n]}) // must not panic
	}
}
