package pipeline

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/history"
)

// monday is the first day of clerksAtWork.
const monday = midnight + 6*baselines.DayMS

// clerksAtWork is the events of twenty clerks who work from 9 to 17 UTC on weekdays and spend together about 9.6
// dollars a day. On the last day, at 10:00, three of them begin to spend a dollar in three minutes
// each, if hasty says so.
func clerksAtWork(days int, hasty bool) []byte {
	var b bytes.Buffer
	n := 0
	write := func(t int64, agent int, micro int64) {
		n++
		fmt.Fprintf(&b,
			`{"id":"o%06d","time":%d,"kind":"tool_call","tenant":"t","agent":{"id":"clerk-%d"},"session":"s%d","persona":"clerk","user":"u%d","tool":{"name":"ask"},"result":{"outcome":"ok"},"cost":{"usd":"0.%06d"}}`+
				"\n",
			n, t, agent, t/hour, agent%3, micro)
	}
	for day := range days {
		if day%7 >= 5 {
			continue
		}
		for minute := range 8 * 60 {
			t := monday + int64(day)*baselines.DayMS + 9*hour + int64(minute)*60_000
			for k := range 4 {
				write(t+int64(k)*15_000, (minute*4+k*7)%20, 5000)
			}
			if hasty && day == days-1 && minute >= 60 {
				for k := range 3 {
					write(t+59_000+int64(k), k, 333_000)
				}
			}
		}
	}
	return b.Bytes()
}

const costLimits = `{"v":1,"limits":[
{"id":"of-clerks","scope":"persona","measure":"cost","max":"12","window":"1d","kind":"calendar"},
{"id":"of-all","scope":"tenant","measure":"cost","max":"12","window":"1d","kind":"calendar"}]}`

func TestABudgetAboveOneAgentBurnsBeforeItIsGone(t *testing.T) {
	findings := func(events []byte, workers, buffer int) (out []*event.Finding) {
		src, err := history.OpenLines(write(t, "events.jsonl", events))
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		if buffer > 0 {
			src.Buffer = buffer
		}
		r := Replay{Policy: setOf(t, costLimits), Workers: workers, Flush: true, Deliver: func(f *event.Finding) error {
			if strings.HasPrefix(f.Rule, "burn/") || f.Detector == "limit" {
				k := *f
				out = append(out, &k)
			}
			return nil
		}}
		if _, err := r.Run(t.Context(), src); err != nil {
			t.Fatal(err)
		}
		return out
	}
	const days = 15                           // two weeks and a Monday
	week := int64(monday + 9*baselines.DayMS) // the last of its first seven days is closed on the day after
	// Of the tenant nobody knows when it works: each morning its budget seems to burn, which calls
	// nobody. Of the persona it is known after a week.
	even := 0
	for _, f := range findings(clerksAtWork(days, false), 1, 0) {
		switch {
		case f.Alert:
			t.Errorf("an ordinary day calls somebody: %s: %s", f.Rule, f.Why)
		case f.ScopeType == "persona" && f.Time >= week:
			t.Errorf("the persona's hours are known, and an ordinary day burns: %s", f.Why)
		case f.ScopeType == "tenant":
			even++
			if f.Rule != "burn/slow/of-all" ||
				!strings.Contains(f.Why,
					"if it goes on evenly: at which hours this tenant usually works is not known") {
				t.Errorf("%s: %s", f.Rule, f.Why)
			}
		}
	}
	if even < 5 {
		t.Errorf("only %d mornings look like a burn to who does not know the hours: the test proves nothing", even)
	}

	events := clerksAtWork(days, true)
	want := findings(events, 1, 0)
	first := map[string]*event.Finding{}
	for _, f := range want {
		if f.Time >= monday+14*baselines.DayMS && first[f.Rule] == nil {
			first[f.Rule] = f
		}
	}
	for _, rule := range []string{"burn/fast/of-clerks", "burn/fast/of-all"} {
		f, limit := first[rule], first[rule[len("burn/fast/"):]]
		switch {
		case f == nil || limit == nil:
			t.Fatalf("no finding of %s, or of the limit: %v", rule, first)
		case !f.Alert || f.Severity != event.Medium || f.Expected != "12.00" || f.Unit != "USD" || f.ScopeID == "" ||
			f.Tenant != "t":
			t.Errorf("%s: %+v", rule, f)
		case f.Time >= limit.Time:
			t.Errorf("%s is found at %d, and the budget was gone at %d", rule, f.Time, limit.Time)
		}
		t.Log(f.Why)
	}
	if f := first["burn/fast/of-clerks"]; !strings.Contains(f.Why, `persona "clerk" has used up `) ||
		!strings.Contains(f.Why, " of 12.00 USD on 2023-") ||
		!strings.Contains(f.Why, "at that pace it is gone by Mon 10:") ||
		!strings.Contains(f.Why, "by the usual hours of the persona (baseline 2023-") {
		t.Errorf("%s", f.Why)
	}
	for _, x := range []struct{ workers, buffer int }{{8, 0}, {1, 3000}, {8, 40_000}} {
		if diff := gocmp.Diff(want, findings(events, x.workers, x.buffer)); diff != "" {
			t.Errorf("%d workers, chunks of %d (-one +another):\n%.3000s", x.workers, x.buffer, diff)
		}
	}
}
