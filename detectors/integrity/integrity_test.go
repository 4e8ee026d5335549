package integrity

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"
	"github.com/wayward-sec/wayward/event"
)

const dayMS = 86_400_000

// damaged shows the host records at minutes after a midnight: of each how it could not be read,
// "content" or the reason of a dead letter.
func damaged(h *detectorstest.Host, from int64, list ...string) {
	for i, line := range list {
		var at float64
		var agent, what string
		fmt.Sscan(line, &at, &agent, &what)
		e := detectorstest.Call(0, fmt.Sprint("e", from, "-", i))
		e.Time, e.Agent.ID = from+int64(at*60_000), agent
		h.Event, h.Time = &e, e.Time
		if what == "content" || what == "labels" {
			e.Unreadable = map[string]event.Unreadable{"content": event.UnreadableContent,
				"labels": event.UnreadableLabels}[what]
			h.Observe(&e)
			continue
		}
		h.Panel.Broken(&detectors.Scene{Host: h, Time: e.Time, Agent: h.Memory(h.Agents, e.Tenant+"|"+agent),
			Who: h.Panel.Who(e.Tenant, "", "")}, &e, what)
	}
}

func TestWhatCannotBeReadIsAFindingWhereItRepeats(t *testing.T) {
	const day = 1000 * int64(dayMS)
	for name, c := range map[string]struct {
		list []string
		want []string
	}{
		"twice is none": {[]string{"1 a content", "2 a content"}, nil},
		"three in ten minutes are": {[]string{"1 a content", "2 a labels", "11 a content"},
			[]string{"content a 3"}},
		"not in more": {[]string{"1 a content", "2 a content", "11.1 a content"}, nil},
		"the window moves on": {[]string{"1 a content", "8 a content", "12 a content", "17 a content"},
			[]string{"content a 3"}},
		"late ones count": {[]string{"9 a content", "1 a content", "5 a content"},
			[]string{"content a 3"}},
		"each agent for itself": {[]string{"1 a content", "1 b content", "2 a content", "2 b content",
			"3 b content"}, []string{"content b 3"}},
		"dead letters": {[]string{"1 a not_json", "2 a too_large", "3 a not_json"},
			[]string{"dead-letters a 3"}},
		"of which content is none": {[]string{"1 a not_json", "2 a content", "3 a not_json", "4 a content"},
			nil},
		"it grows by doubling": {slices.Repeat([]string{"1 a not_json"}, 13),
			[]string{"dead-letters a 3", "dead-letters a 6", "dead-letters a 12"}},
		"and at most eight times": {slices.Repeat([]string{"1 a not_json"}, 2000), nil},
		"the next day has its own": {[]string{"1439 a content", "1439 a content", "1439 a content",
			"1441 a content", "1442 a content", "1443 a content"}, []string{"content a 3", "content a 3"}},
		"a stamp of the day before has not": {[]string{"1441 a content", "1442 a content", "1443 a content",
			"1 a content", "2 a content", "3 a content"}, []string{"content a 3", "content a 6"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, reload := range []bool{false, true} {
				h := detectorstest.NewHost(t, `{"v":1}`)
				h.Reload = reload
				damaged(h, day, c.list...)
				var got []string
				for _, f := range h.Found {
					got = append(got, fmt.Sprint(f.Rule, " ", f.ScopeID, " ", f.Count))
					if f.Detector != "integrity" || len(f.Refs) == 0 || f.First > f.Last ||
						(f.Activity == event.Create) != (f.Count == 3) {
						t.Errorf("%+v", f)
					}
				}
				if len(c.list) == 2000 {
					if len(got) != 9 {
						t.Errorf("reload %v: a finding and %d updates", reload, len(got)-1)
					}
				} else if !slices.Equal(got, c.want) {
					t.Errorf("reload %v: %q, want %q", reload, got, c.want)
				}
			}
		})
	}
}

func TestAFindingOfDamageSaysWhat(t *testing.T) {
	h := detectorstest.NewHost(t, `{"v":1}`)
	damaged(h, 0, "1 a content", "2 a labels", "3 a content", "4 a not_json", "5 a bad_time", "6 a not_json")
	if len(h.Found) != 2 || !strings.Contains(h.Found[0].Why, "resource.labels, result.content") ||
		!strings.Contains(h.Found[1].Why, "(not_json, bad_time)") {
		t.Errorf("%+v", h.Found)
	}
}
