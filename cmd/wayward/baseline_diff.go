package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines/inspect"
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
			var both [2]*inspect.View
			var list []inspect.Snapshot
			for i, arg := range args {
				s, err := o.named(cmd, arg, persona, &list)
				if err != nil {
					return err
				}
				both[i] = inspect.ViewOf(s)
			}
			changes := inspect.Differences(both[0], both[1], least)
			w := cmd.OutOrStdout()
			if o.output == "json" {
				err := printJSON(w, struct {
					Old     inspect.Head     `json:"old"`
					New     inspect.Head     `json:"new"`
					Changes []inspect.Change `json:"changes"`
				}{both[0].Head, both[1].Head, changes})
				if err != nil {
					return err
				}
			} else {
				inspect.WriteDifferences(w, both[0], both[1], changes)
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
func (o *snapshots) named(cmd *cobra.Command, arg, persona string, list *[]inspect.Snapshot) (inspect.Snapshot, error) {
	m := dayAndHash.FindStringSubmatch(arg)
	if m == nil {
		if _, err := os.Stat(arg); err != nil {
			return inspect.Snapshot{}, fmt.Errorf("%s is neither a file nor a day such as 2026-11-20",
				terminal.Visible(arg, 100))
		}
		all, err := inspect.Read(arg)
		if err != nil {
			return inspect.Snapshot{}, err
		}
		all = slices.DeleteFunc(all, func(s inspect.Snapshot) bool { return !o.concerns(s.Model.Key, persona) })
		if len(all) != 1 {
			return inspect.Snapshot{}, fmt.Errorf(
				"%s holds %s of what was asked for, one is needed: say --persona, --tenant and --fork, or name a day and --from %s",
				arg, terminal.Plural(int64(len(all)), "snapshot"), arg)
		}
		return all[0], nil
	}
	if persona == "" {
		return inspect.Snapshot{}, errors.New("--persona: say whose days these are")
	}
	if *list == nil {
		all, err := o.read(cmd, persona)
		if err != nil {
			return inspect.Snapshot{}, err
		}
		*list = all
	}
	var found []inspect.Snapshot
	for _, s := range *list {
		if inspect.Day(s.Model.Day) == m[1] && strings.HasPrefix(s.Model.Hash(), m[2]) {
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 0:
		var days []string
		for _, s := range *list {
			if day := inspect.Day(s.Model.Day); !slices.Contains(days, day) {
				days = append(days, day)
			}
		}
		return inspect.Snapshot{}, fmt.Errorf("there is no snapshot %s of %s; there are %s", arg,
			terminal.Visible(persona, 60),
			oneOfAnd(days))
	case len(found) > 1:
		return inspect.Snapshot{}, fmt.Errorf(
			"%d snapshots are of %s: say --tenant and --fork, or give the beginning of the hash", len(found), arg)
	}
	return found[0], nil
}
