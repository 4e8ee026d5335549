package inspect

import (
	"cmp"
	"fmt"
	"io"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/baselines/audit"
	"github.com/wayward-sec/wayward/detectors/rarity"
	"github.com/wayward-sec/wayward/detectors/sequence"
	"github.com/wayward-sec/wayward/detectors/volume"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/terminal"
)

// Head is what every view of a snapshot begins with.
type Head struct {
	Tenant    string  `json:"tenant"`
	Persona   string  `json:"persona"`
	Fork      string  `json:"fork"`
	Day       string  `json:"day"`
	Hash      string  `json:"hash"`
	State     string  `json:"state"`
	Frozen    bool    `json:"frozen"`
	First     string  `json:"first_day"`
	Seen      string  `json:"newest_day_learned"`
	Days      int64   `json:"days"`
	Sessions  uint64  `json:"sessions"`
	AgentDays float64 `json:"agent_days"`
	Agents    uint64  `json:"agents"`
	Bytes     int     `json:"bytes"`
}

// HeadOf is the head of a snapshot's view.
func HeadOf(s Snapshot) Head {
	m := s.Model
	return Head{m.Tenant, m.Persona, m.Fork, Day(m.Day), m.Hash(), m.State.String(), m.Frozen, Day(m.First),
		Day(m.Seen), m.Day - m.First + 1, m.Sessions,
		audit.Rounded(float64(m.AgentDays) / baselines.Unit), m.Agents, s.Bytes}
}

// State says how far a baseline can be trusted, and whether it is frozen.
func State(m *baselines.Model) string {
	text := m.State.String()
	if m.Frozen {
		text += ", frozen"
	}
	return text
}

// View is all that there is to say of a snapshot.
type View struct {
	Head
	Volume   *volumeView   `json:"volume"`
	Sequence *sequenceView `json:"sequence"`
	Rarity   *rarityView   `json:"rarity"`
	Waiting  []waitingView `json:"waiting"` // quarantine
}

// waitingView is something that is not learned until enough agents show it on enough days, or a
// person says so.
type waitingView struct {
	Item   string `json:"item"` // names it in approve and reject
	What   string `json:"what"`
	Agents int    `json:"agents"`
	Days   int    `json:"days"`
	Why    string `json:"waits"`
	Last   string `json:"last_day,omitempty"`
}

// ViewOf gathers all that there is to say of a snapshot.
func ViewOf(s Snapshot) *View {
	m := s.Model
	v := &View{Head: HeadOf(s), Volume: viewVolume(volume.ModelOf(m)),
		Sequence: viewSequence(sequence.ModelOf(m)),
		Rarity:   viewRarity(rarity.ModelOf(m)), Waiting: []waitingView{}}
	v.Waiting = append(append(v.Waiting, v.Rarity.waiting()...), v.Sequence.Waiting...)
	return v
}

// Write writes the view for people. top bounds the rows of each list.
func (v *View) Write(w io.Writer, d terminal.Drawing, top int) {
	p := terminal.NewReport(w, d.Width)
	name := terminal.Visible(v.Persona, 100)
	if v.Persona == baselines.TenantWide {
		name = "* (the tenant as a whole)"
	}
	p.Line("%s %s", terminal.Visible(v.Tenant, 60), name)
	if v.Fork != "" {
		p.Field("fork", "%s", terminal.Visible(v.Fork, 100))
	}
	p.Field("snapshot", "%s/%s, %s", v.Day, v.Hash, KiB(v.Bytes))
	state := v.State
	if v.Frozen {
		state += ", frozen by a person: it learns nothing"
	}
	if text := stateMeans[v.State]; text != "" {
		state += ": " + text
	}
	p.Field("state", "%s", state)
	p.Field("learned", "%s to %s, %s; last learned something on %s", v.First, v.Day, terminal.Plural(v.Days, "day"),
		v.Seen)
	p.Field("support", "%s agent-days, %s agents on the newest day, %s sessions", terminal.Rough(v.AgentDays),
		event.Thousands(int64(v.Agents)), event.Thousands(int64(v.Sessions)))
	v.Volume.print(p, d)
	v.Sequence.print(p, d, top)
	v.Rarity.print(p, top)
	p.Line(
		"\n  WAITING    in quarantine: not learned until enough agents show it on enough days, or a person says that it is fine")
	if len(v.Waiting) == 0 {
		p.Line("    nothing")
		return
	}
	rows := [][]string{{"ITEM", "WHAT", "AGENTS", "DAYS", "LAST", "WAITS"}}
	for _, x := range v.Waiting {
		rows = append(rows, []string{terminal.Visible(x.Item, 100), terminal.Visible(x.What, 60), fmt.Sprint(x.Agents),
			fmt.Sprint(x.Days), cmp.Or(x.Last, "-"), x.Why})
	}
	p.Table(rows)
}

var stateMeans = map[string]string{
	"learning": "too young to call anybody, statistical findings are signals",
	"stale":    "nothing was learned of late",
	"suspect":  "it may be poisoned; it scores, learns nothing and calls nobody until somebody approves it or rolls it back",
}

// KiB writes a number of bytes for people.
func KiB(n int) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/1024)
}
