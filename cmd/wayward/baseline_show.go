package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/terminal"
)

func newBaselineShow() *cobra.Command {
	var o snapshots
	var ascii bool
	top := 10
	cmd := &cobra.Command{Use: "show PERSONA", Short: "Show and draw what was learned of a persona",
		Args: cobra.ExactArgs(1),
		Long: "show says what one snapshot holds: its state and support; how much an agent does in each window, and when, as a picture of the week; what sessions come to,\n" +
			"as bands; the order of calls; what is known of tools, servers, destinations and resources, and with how much support; and what waits in quarantine until\n" +
			"enough agents show it or a person says that it is fine (wayward baseline approve).",
		Example: "  wayward baseline show support --tenant acme --config wayward.yaml\n" +
			"  wayward baseline show support --day 2026-11-20 --from snapshots.jsonl --output json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if top < 0 {
				return fmt.Errorf("--top %d: use 0 or more", top)
			}
			s, err := o.one(cmd, args[0])
			if err != nil {
				return err
			}
			v := viewOf(s)
			if o.output == "json" {
				return printJSON(cmd.OutOrStdout(), v)
			}
			var b bytes.Buffer
			v.print(&b, terminal.DrawingFor(cmd.OutOrStdout(), ascii), top)
			_, err = cmd.OutOrStdout().Write(b.Bytes())
			return err
		}}
	o.flags(cmd)
	outputFlag(cmd, &o.output, "text", "json")
	cmd.Flags().StringVar(&o.day, "day", "", "of this UTC `day`, such as 2026-11-20; the newest without")
	cmd.Flags().IntVar(&top, "top", top, "so many tools, servers, destinations … of each")
	cmd.Flags().BoolVar(&ascii, "ascii", false,
		"draw with ASCII alone, as is done on terminals that do not say they understand UTF-8")
	return cmd
}

// view is all that there is to say of a snapshot.
type view struct {
	head
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

func viewOf(s snapshot) *view {
	m := s.m
	v := &view{head: headOf(s), Volume: viewVolume(baselines.VolumeOf(m)), Sequence: viewSequence(baselines.SequenceOf(m)),
		Rarity: viewRarity(baselines.RarityOf(m)), Waiting: []waitingView{}}
	v.Waiting = append(append(v.Waiting, v.Rarity.waiting()...), v.Sequence.Waiting...)
	return v
}

func (v *view) print(w io.Writer, d terminal.Drawing, top int) {
	p := terminal.NewReport(w, d.Width)
	name := terminal.Visible(v.Persona, 100)
	if v.Persona == baselines.TenantWide {
		name = "* (the tenant as a whole)"
	}
	p.Line("%s %s", terminal.Visible(v.Tenant, 60), name)
	if v.Fork != "" {
		p.Field("fork", "%s", terminal.Visible(v.Fork, 100))
	}
	p.Field("snapshot", "%s/%s, %s", v.Day, v.Hash, kib(v.Bytes))
	state := v.State
	if v.Frozen {
		state += ", frozen by a person: it learns nothing"
	}
	if text := stateMeans[v.State]; text != "" {
		state += ": " + text
	}
	p.Field("state", "%s", state)
	p.Field("learned", "%s to %s, %s; last learned something on %s", v.First, v.Day, terminal.Plural(v.Days, "day"), v.Seen)
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
