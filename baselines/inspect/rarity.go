package inspect

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/baselines/audit"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/terminal"
)

// rarityView is what the agents of a persona are known to use and touch.
type rarityView struct {
	AgentDays  float64           `json:"agent_days"`
	Ready      bool              `json:"ready"` // enough of them to say how rare something new is
	Fields     []fieldView       `json:"fields"`
	Quarantine []quarantinedView `json:"quarantine"`
}

type fieldView struct {
	Field     string      `json:"field"`
	Values    int         `json:"values"`
	Estimate  float64     `json:"estimated_values"` // seen or not
	Open      bool        `json:"open"`             // there are more than are kept
	AgentDays float64     `json:"agent_days"`       // on which the field was there
	New       float64     `json:"new_per_agent_day"`
	Tested    bool        `json:"tested"`
	Named     []valueView `json:"named,omitempty"` // those that have names, most used first
}

type valueView struct {
	Name      string `json:"name"`
	AgentDays uint32 `json:"agent_days"`
	First     string `json:"first_day"`
	Last      string `json:"last_day"`
	Via       string `json:"known_by"`
}

type quarantinedView struct {
	Item     string `json:"item"`
	Sink     bool   `json:"sink"`
	Rejected bool   `json:"rejected"`
	Agents   int    `json:"agents"` // at least: they are counted by a hash of six bits
	Days     uint32 `json:"days"`
	First    string `json:"first_day"`
	Last     string `json:"last_day"`
}

func viewRarity(v *baselines.RarityModel) *rarityView {
	out := &rarityView{AgentDays: audit.Rounded(v.Support()), Ready: v.Ready(), Fields: []fieldView{},
		Quarantine: []quarantinedView{}}
	for f := range baselines.Fields {
		o := &v.Of[f]
		if len(o.Values) == 0 && o.Days == 0 {
			continue
		}
		fv := fieldView{Field: f.String(), Values: len(o.Values), Estimate: audit.Rounded(o.Size()), Open: o.Open,
			AgentDays: audit.Rounded(float64(o.Days) / baselines.Unit), New: audit.Rounded(v.New(f)),
			Tested: v.Tested(f)}
		if f.Named() {
			list := slices.Clone(o.Values)
			slices.SortFunc(list, func(a, b baselines.Value) int {
				return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Hash, b.Hash))
			})
			for i := range list {
				x := &list[i]
				fv.Named = append(fv.Named,
					valueView{cmp.Or(strings.TrimRight(x.Name, "|"), fmt.Sprintf("#%016x", x.Hash)), x.Count,
						Day(int64(x.First)), Day(int64(x.Last)), x.Via.String()})
			}
		}
		out.Fields = append(out.Fields, fv)
	}
	for i := range v.Quarantine {
		q := &v.Quarantine[i]
		out.Quarantine = append(out.Quarantine, quarantinedView{q.Item(), q.Sink, q.Rejected,
			max(bits.OnesCount64(q.Agents), int(q.Most)), q.Days, Day(int64(q.First)), Day(int64(q.Last))})
	}
	return out
}

func (v *rarityView) print(p *terminal.Report, top int) {
	young := ""
	if !v.Ready {
		young = fmt.Sprintf("; below %d what is new calls nobody", baselines.YoungDays)
	}
	p.Line("\n  KNOWN      from %s agent-days, decaying with 60 days%s", terminal.Rough(v.AgentDays), young)
	if len(v.Fields) == 0 {
		p.Line("    nothing yet")
	}
	rows := [][]string{{"FIELD", "VALUES", "ESTIMATED", "SOMETHING NEW", "TESTED"}}
	for i := range v.Fields {
		f := &v.Fields[i]
		values := event.Thousands(int64(f.Values))
		if f.Open {
			values += " and more"
		}
		novel := "not known yet"
		if f.New > 0 {
			novel = event.Percent(f.New) + " of agent-days"
		}
		rows = append(rows, []string{f.Field, values, terminal.Rough(f.Estimate), novel,
			map[bool]string{true: "yes", false: "no"}[f.Tested]})
	}
	if len(rows) > 1 {
		p.Table(rows)
	}
	for i := range v.Fields {
		f := &v.Fields[i]
		if len(f.Named) == 0 || top == 0 {
			continue
		}
		p.Line("\n    %s, most used first", f.Field)
		rows := [][]string{{"NAME", "AGENT-DAYS", "FIRST", "LAST", "KNOWN BY"}}
		for _, x := range f.Named[:min(top, len(f.Named))] {
			rows = append(rows, []string{terminal.Visible(x.Name, 60), event.Thousands(int64(x.AgentDays)), x.First,
				x.Last,
				x.Via})
		}
		p.Table(rows)
		if more := len(f.Named) - top; more > 0 {
			p.Line("    and %d more: --top shows them", more)
		}
	}
}

// changes says what is known now and was not, and the other way round.
func (v *rarityView) changes(was *rarityView) (out []Change) {
	field := func(r *rarityView, name string) *fieldView {
		for i := range r.Fields {
			if r.Fields[i].Field == name {
				return &r.Fields[i]
			}
		}
		return &fieldView{Field: name}
	}
	names := map[string]bool{}
	for f := range baselines.Fields {
		now, before := field(v, f.String()), field(was, f.String())
		if !f.Named() {
			out = shifted(out, "known", "number of "+f.String()+"s", float64(before.Values), float64(now.Values))
		}
		clear(names)
		for _, x := range before.Named {
			names[x.Name] = true
		}
		for _, x := range now.Named {
			if !names[x.Name] {
				out = append(out, Change{"new", "known", f.String() + " " + terminal.Visible(x.Name, 80), "",
					terminal.Plural(int64(x.AgentDays), "agent-day") + ", " + x.Via, nil})
			}
			delete(names, x.Name)
		}
		for _, x := range before.Named {
			if names[x.Name] {
				out = append(out, Change{"gone", "known", f.String() + " " + terminal.Visible(x.Name, 80),
					terminal.Plural(int64(x.AgentDays), "agent-day"), "", nil})
			}
		}
		out = shifted(out, "known", "something new: "+f.String()+", share of agent-days", before.New, now.New)
	}
	clear(names)
	for _, q := range was.Quarantine {
		names[q.Item] = true
	}
	for _, q := range v.Quarantine {
		if !names[q.Item] {
			out = append(out, Change{"new", "quarantine", terminal.Visible(q.Item, 100), "",
				fmt.Sprintf("%d agents on %d days", q.Agents, q.Days), nil})
		}
	}
	return out
}

// waiting are the items of the quarantine, as people name them in approve and reject.
func (v *rarityView) waiting() (out []waitingView) {
	for _, q := range v.Quarantine {
		why := "until more agents show it"
		switch {
		case q.Rejected:
			why = "rejected: never, unless somebody approves it"
		case q.Sink:
			why = "for a person: it sends, pays, deletes, approves or grants"
		}
		out = append(out, waitingView{q.Item, strings.Replace(q.Item, ":", " ", 1), q.Agents, int(q.Days), why, q.Last})
	}
	return out
}
