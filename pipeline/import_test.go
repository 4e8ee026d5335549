package pipeline

import (
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
)

func TestASnapshotFromElsewhereIsPutInForce(t *testing.T) {
	elsewhere := newRegistry(t)
	for n := range 5 {
		elsewhere.day(n)
	}
	there := elsewhere.work(5*24 + 1.1)
	order := func(m *baselines.Model) event.BaselineOrder {
		return event.BaselineOrder{Op: "import", Fork: m.Fork, Hash: m.Hash(), Model: m.Append(nil)}
	}

	r := newRegistry(t)
	if why := r.order(order(there)); !strings.Contains(why, "no_day_closed") {
		t.Errorf("before any day was closed: %q", why)
	}
	r.day(0)
	own := r.work(25.1)
	for want, change := range map[string]func(o *event.BaselineOrder){
		"bad_model":      func(o *event.BaselineOrder) { o.Model = o.Model[:len(o.Model)-1] },
		"bad_model:2":    func(o *event.BaselineOrder) { o.Model = append(o.Model, 0) },
		"bad_hash":       func(o *event.BaselineOrder) { o.Hash = "0123456789abcdef" },
		"other_baseline": func(o *event.BaselineOrder) { o.Fork = "v9" },
	} {
		o := order(there)
		change(&o)
		why := r.order(o)
		if word, _, _ := strings.Cut(want, ":"); !strings.Contains(why, word) {
			t.Errorf("%q, want %s", why, word)
		}
		if m := r.work(25.15); m.Hash() != own.Hash() {
			t.Errorf("%s: it is judged by %s", want, m.Snapshot())
		}
	}
	if why := r.order(order(there)); why != "" {
		t.Fatal(why)
	}
	if m := r.work(25.2); m.AgentDays != there.AgentDays || m.Sessions != there.Sessions || m.Day != own.Day ||
		m.Day-m.First != there.Day-there.First {
		t.Errorf("imported: %s with %d agent-days, learned since %s; there it was %s with %d", m.Snapshot(),
			m.AgentDays, dateOf(m.First), there.Snapshot(), there.AgentDays)
	}
	if why := r.order(order(there)); !strings.Contains(why, "nothing_changes") {
		t.Errorf("imported twice: %q", why)
	}
	r.day(1)
	if m := r.work(49.1); m.AgentDays != baselines.Decayed(there.AgentDays, baselines.HalfLife14)+baselines.Unit {
		t.Errorf("the next day it has %d agent-days, one more than of %d were left over", m.AgentDays, there.AgentDays)
	}
}
