package inspect

import (
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/baselines/audit"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/terminal"
)

// sequenceView is what was learned of the order of calls.
type sequenceView struct {
	Bits    float64       `json:"bits_per_step"` // of surprise, on average
	Calls   []string      `json:"calls"`
	Grams   int           `json:"n_grams"`
	Held    int           `json:"n_grams_in_quarantine"`
	Habits  []habitView   `json:"habits"` // pairs of calls, most used first
	Waiting []waitingView `json:"-"`      // among those of the whole snapshot
}

// habitView is a call that comes after another one.
type habitView struct {
	Before    string  `json:"before"`
	Call      string  `json:"call"`
	Share     float64 `json:"share"` // of what comes after Before
	Sessions  uint32  `json:"sessions"`
	AgentDays uint32  `json:"agent_days"`
}

// mostHabits bounds a view: a persona may have thousands of pairs.
const mostHabits = 200

func viewSequence(m *baselines.SequenceModel) *sequenceView {
	out := &sequenceView{Bits: audit.Rounded(m.Mean()), Calls: m.Calls(), Habits: []habitView{}}
	_, out.Grams, out.Held = m.Size()
	for _, h := range m.Habits(mostHabits) {
		out.Habits = append(out.Habits, habitView{h.Before, h.Call, audit.Rounded(h.Share), h.Sessions, h.AgentDays})
	}
	for _, s := range m.Waiting() {
		why := "until more agents show it"
		if s.Waits {
			why = "for a person"
		}
		out.Waiting = append(out.Waiting, waitingView{Item: s.Item, What: s.Kind + " " + s.What, Agents: s.Agents,
			Days: s.Days, Why: why})
	}
	return out
}

func (v *sequenceView) print(p *terminal.Report, d terminal.Drawing, top int) {
	p.Line("\n  ORDER      %s, %s n-grams; a step costs %s bits on average",
		terminal.Plural(int64(len(v.Calls)), "different call"), event.Thousands(int64(v.Grams)), terminal.Rough(v.Bits))
	if len(v.Habits) == 0 {
		p.Line("    nothing yet")
		return
	}
	if top == 0 {
		return
	}
	before := 0
	for _, h := range v.Habits[:min(top, len(v.Habits))] {
		before = max(before, len([]rune(terminal.Visible(h.Before, 40))))
	}
	for _, h := range v.Habits[:min(top, len(v.Habits))] {
		p.Line("    %s  %s", terminal.Pad(terminal.Visible(h.Before, 40), before),
			strings.TrimSpace(d.Bar(h.Share, 10)+" "+terminal.Pad(event.Percent(h.Share), 5)+"  "+
				terminal.Visible(h.Call, 60)))
	}
	if more := len(v.Habits) - top; more > 0 {
		p.Line("    and more: --top shows them")
	}
}

// changes says which calls are new and gone, and what comes after which at another rate.
func (v *sequenceView) changes(was *sequenceView) (out []Change) {
	known := map[string]bool{}
	for _, c := range was.Calls {
		known[c] = true
	}
	for _, c := range v.Calls {
		if !known[c] {
			out = append(out, Change{"new", "order", "call " + terminal.Visible(c, 100), "", "", nil})
		}
		delete(known, c)
	}
	for _, c := range was.Calls {
		if known[c] {
			out = append(out, Change{"gone", "order", "call " + terminal.Visible(c, 100), "", "", nil})
		}
	}
	type pair struct{ before, call string }
	shares := map[pair]float64{}
	for _, h := range was.Habits {
		shares[pair{h.Before, h.Call}] = h.Share
	}
	// then what is missing may only be rare
	full := len(v.Habits) == mostHabits || len(was.Habits) == mostHabits
	for _, h := range v.Habits {
		k := pair{h.Before, h.Call}
		share, had := shares[k]
		delete(shares, k)
		if had || !full {
			out = shifted(out, "order", terminal.Visible(h.Call, 60)+" after "+terminal.Visible(h.Before, 60)+", share",
				share, h.Share)
		}
	}
	for _, h := range was.Habits {
		if share, gone := shares[pair{h.Before, h.Call}]; gone && !full {
			out = shifted(out, "order", terminal.Visible(h.Call, 60)+" after "+terminal.Visible(h.Before, 60)+", share",
				share, 0)
		}
	}
	return shifted(out, "order", "bits of a step", was.Bits, v.Bits)
}
