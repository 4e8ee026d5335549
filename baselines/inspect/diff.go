package inspect

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/wayward-sec/wayward/baselines/audit"
	"github.com/wayward-sec/wayward/terminal"
)

// Change is one thing that differs between two snapshots.
type Change struct {
	Kind   string   `json:"kind"` // new, gone or shifted
	Part   string   `json:"part"` // state, volume, sequence, known, quarantine
	What   string   `json:"what"`
	Old    string   `json:"old"`
	New    string   `json:"new"`
	Factor *float64 `json:"factor,omitempty"` // by which it has shifted; null: from nothing
}

// shifted adds a number that has changed.
func shifted(list []Change, part, what string, old, now float64) []Change {
	if old == now {
		return list
	}
	c := Change{Kind: "shifted", Part: part, What: what, Old: terminal.Rough(old), New: terminal.Rough(now)}
	if old != 0 {
		c.Factor = new(audit.Rounded(now / old))
	}
	return append(list, c)
}

// Differences are the changes from one snapshot to another; shifts by less than a factor are left
// out.
func Differences(old, now *View, least float64) []Change {
	out := []Change{}
	if old.State != now.State || old.Frozen != now.Frozen {
		text := func(v *View) string { return v.State + map[bool]string{true: ", frozen"}[v.Frozen] }
		out = append(out, Change{"shifted", "state", "state", text(old), text(now), nil})
	}
	out = shifted(out, "state", "support in agent-days", old.AgentDays, now.AgentDays)
	out = shifted(out, "state", "agents on the newest day", float64(old.Agents), float64(now.Agents))
	out = append(out, now.Volume.changes(old.Volume)...)
	out = append(out, now.Sequence.changes(old.Sequence)...)
	out = append(out, now.Rarity.changes(old.Rarity)...)
	return slices.DeleteFunc(out, func(c Change) bool {
		return c.Factor != nil && *c.Factor < least &&
			*c.Factor > 1/least
	})
}

// WriteDifferences writes the changes for people, as a table.
func WriteDifferences(w io.Writer, old, now *View, changes []Change) {
	name := func(v *View) string {
		return strings.TrimSpace(fmt.Sprintf("%s %s %s/%s %s", terminal.Visible(v.Tenant, 60),
			terminal.Visible(v.Persona, 60), v.Day,
			v.Hash, terminal.Visible(v.Fork, 60)))
	}
	fmt.Fprintf(w, "from %s\n  to %s\n", name(old), name(now))
	if len(changes) == 0 {
		fmt.Fprintln(w, "nothing has changed")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CHANGE\tPART\tWHAT\tOLD\tNEW\tFACTOR")
	for _, c := range changes {
		factor := ""
		if c.Factor != nil {
			factor = "×" + terminal.Rough(*c.Factor)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Kind, c.Part, terminal.Visible(c.What, 120), cmp.Or(c.Old, "-"),
			cmp.Or(c.New, "-"), factor)
	}
	t.Flush()
}
