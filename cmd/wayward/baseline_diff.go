package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines/audit"
	"github.com/wayward-sec/wayward/terminal"
)

func newBaselineDiff() *cobra.Command {
	var o snapshots
	var least float64
	var persona string
	cmd := &cobra.Command{Use: "diff OLD NEW", Short: "Say what changed between two snapshots",
		Args: cobra.ExactArgs(2),
		Long: "diff says what is new, what is gone and what has shifted by how much from one snapshot to another. OLD and NEW are files with one snapshot each, or UTC\n" +
			"days of --persona on the topic or in --from; a day may be followed by the beginning of the snapshot's hash, as findings cite it. Exit 1 if there is any\n" +
			"difference in what was learned.",
		Example: "  wayward baseline diff 2026-11-13 2026-11-20 --persona support --tenant acme --config wayward.yaml\n" +
			"  wayward baseline diff before.json after.json --least 2\n" +
			"  wayward baseline diff 2026-11-13/3fa9c1d2 2026-11-20 --persona support --from snapshots/ --output json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !(least > 1) || math.IsInf(least, 0) {
				return fmt.Errorf("--least %v: use a factor above 1, such as 1.5", least)
			}
			var both [2]*view
			var list []snapshot
			for i, arg := range args {
				s, err := o.named(cmd, arg, persona, &list)
				if err != nil {
					return err
				}
				both[i] = viewOf(s)
			}
			changes := differences(both[0], both[1], least)
			w := cmd.OutOrStdout()
			if o.output == "json" {
				err := printJSON(w, struct {
					Old     head     `json:"old"`
					New     head     `json:"new"`
					Changes []change `json:"changes"`
				}{both[0].head, both[1].head, changes})
				if err != nil {
					return err
				}
			} else {
				printDifferences(w, both[0], both[1], changes)
			}
			if len(changes) > 0 {
				return errSilent{1}
			}
			return nil
		}}
	o.flags(cmd)
	outputFlag(cmd, &o.output, "table", "json")
	cmd.Flags().StringVar(&persona, "persona", "", "of this `persona`, if OLD and NEW are days")
	cmd.Flags().Float64Var(&least, "least", 1.25, "show what has shifted by at least this `factor`, up or down")
	return cmd
}

var dayAndHash = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})(?:/([0-9a-f]{1,16}))?$`)

// named finds a snapshot by a file's name or by its day; list keeps what was read.
func (o *snapshots) named(cmd *cobra.Command, arg, persona string, list *[]snapshot) (snapshot, error) {
	m := dayAndHash.FindStringSubmatch(arg)
	if m == nil {
		if _, err := os.Stat(arg); err != nil {
			return snapshot{}, fmt.Errorf("%s is neither a file nor a day such as 2026-11-20", terminal.Visible(arg, 100))
		}
		all, err := readSnapshots(arg)
		if err != nil {
			return snapshot{}, err
		}
		all = slices.DeleteFunc(all, func(s snapshot) bool { return !o.concerns(s.m.Key, persona) })
		if len(all) != 1 {
			return snapshot{}, fmt.Errorf(
				"%s holds %s of what was asked for, one is needed: say --persona, --tenant and --fork, or name a day and --from %s",
				arg, terminal.Plural(int64(len(all)), "snapshot"), arg)
		}
		return all[0], nil
	}
	if persona == "" {
		return snapshot{}, errors.New("--persona: say whose days these are")
	}
	if *list == nil {
		all, err := o.read(cmd, persona)
		if err != nil {
			return snapshot{}, err
		}
		*list = all
	}
	var found []snapshot
	for _, s := range *list {
		if dayOf(s.m.Day) == m[1] && strings.HasPrefix(s.m.Hash(), m[2]) {
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 0:
		var days []string
		for _, s := range *list {
			if day := dayOf(s.m.Day); !slices.Contains(days, day) {
				days = append(days, day)
			}
		}
		return snapshot{}, fmt.Errorf("there is no snapshot %s of %s; there are %s", arg, terminal.Visible(persona, 60),
			oneOfAnd(days))
	case len(found) > 1:
		return snapshot{}, fmt.Errorf(
			"%d snapshots are of %s: say --tenant and --fork, or give the beginning of the hash", len(found), arg)
	}
	return found[0], nil
}

// change is one thing that differs between two snapshots.
type change struct {
	Kind   string   `json:"kind"` // new, gone or shifted
	Part   string   `json:"part"` // state, volume, sequence, known, quarantine
	What   string   `json:"what"`
	Old    string   `json:"old"`
	New    string   `json:"new"`
	Factor *float64 `json:"factor,omitempty"` // by which it has shifted; null: from nothing
}

// shifted adds a number that has changed.
func shifted(list []change, part, what string, old, now float64) []change {
	if old == now {
		return list
	}
	c := change{Kind: "shifted", Part: part, What: what, Old: terminal.Rough(old), New: terminal.Rough(now)}
	if old != 0 {
		c.Factor = ptr(audit.Rounded(now / old))
	}
	return append(list, c)
}

// differences are the changes from one snapshot to another; shifts by less than a factor are left
// out.
func differences(old, now *view, least float64) []change {
	out := []change{}
	if old.State != now.State || old.Frozen != now.Frozen {
		text := func(v *view) string { return v.State + map[bool]string{true: ", frozen"}[v.Frozen] }
		out = append(out, change{"shifted", "state", "state", text(old), text(now), nil})
	}
	out = shifted(out, "state", "support in agent-days", old.AgentDays, now.AgentDays)
	out = shifted(out, "state", "agents on the newest day", float64(old.Agents), float64(now.Agents))
	out = append(out, now.Volume.changes(old.Volume)...)
	out = append(out, now.Sequence.changes(old.Sequence)...)
	out = append(out, now.Rarity.changes(old.Rarity)...)
	return slices.DeleteFunc(out, func(c change) bool {
		return c.Factor != nil && *c.Factor < least &&
			*c.Factor > 1/least
	})
}

func printDifferences(w io.Writer, old, now *view, changes []change) {
	name := func(v *view) string {
		return strings.TrimSpace(fmt.Sprintf("%s %s %s/%s %s", terminal.Visible(v.Tenant, 60), terminal.Visible(v.Persona, 60), v.Day,
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

func ptr[T any](v T) *T { return &v }
