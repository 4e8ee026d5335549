package main

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/terminal"
)

// comparison is one persona as declared, against what its agents were seen to do.
type comparison struct {
	Tenant      string              `json:"tenant"`
	Persona     string              `json:"persona"`
	From        string              `json:"from"`
	AgentDays   int64               `json:"agent_days"`
	First       string              `json:"first_day"`
	Last        string              `json:"last_day"`
	Declared    bool                `json:"declared"`
	Differences []policy.Difference `json:"differences"`
}

func newPersonasDiff() *cobra.Command {
	var o usageFlags
	var output string
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Show where what agents do and what their persona declares part",
		Long: "diff compares declared personas with what was seen, in recorded events or exported snapshots: what was used and is not declared, which would be a\n" +
			"violation; what is declared and was never used; and what was used on fewer than --min-agent-days. Exit 0 if they agree, 1 if not, 3 if there was no\n" +
			"tool call.",
		Example: "  wayward personas diff --policies policies --input events.jsonl.zst\n" +
			"  wayward personas diff -c wayward.yaml --snapshots snapshots.jsonl --persona support --output json",
		Args: cobra.NoArgs,
	}
	outputFlag(cmd, &output, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		set, err := o.load(nil)
		if err != nil {
			return err
		}
		list, err := o.usages(cmd, set)
		if err != nil {
			return err
		}
		all := []comparison{}
		differ := false
		for _, u := range list {
			c := comparison{u.Tenant, u.Persona, u.From, u.AgentDays, isoDay(u.First), isoDay(u.Last), false,
				[]policy.Difference{}}
			if p := set.Persona(u.Tenant, u.Persona); p != nil {
				c.Declared = true
				c.Differences = append(c.Differences, p.Compare(u, o.least)...)
			}
			differ = differ || !c.Declared || len(c.Differences) > 0
			all = append(all, c)
		}
		if output == "json" {
			err = printJSON(cmd.OutOrStdout(), all)
		} else {
			err = printComparisons(cmd.OutOrStdout(), all)
		}
		if err == nil && differ {
			return errSilent{1}
		}
		return cmp.Or(err, o.bad.code())
	}
	o.flags(cmd, "agent-days below which something is used rarely")
	return cmd
}

func isoDay(day int64) string {
	return time.UnixMilli(day * baselines.DayMS).UTC().Format(time.DateOnly)
}

func printComparisons(w io.Writer, all []comparison) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range all {
		fmt.Fprintf(t, "%s of %s: %d agent-days from %s to %s (%s)\n", terminal.Visible(c.Persona, 100), terminal.Visible(c.Tenant, 100),
			c.AgentDays, c.First, c.Last, terminal.Visible(c.From, 100))
		switch {
		case !c.Declared:
			fmt.Fprintln(t, "  no persona of that name is declared; wayward personas suggest drafts one")
			continue
		case len(c.Differences) == 0:
			fmt.Fprintln(t, "  what is declared and what was seen agree")
		}
		for _, d := range c.Differences {
			where := ""
			if d.Line > 0 {
				where = fmt.Sprintf("%s:%d", d.File, d.Line)
			}
			text := ""
			switch d.Kind {
			case policy.Undeclared:
				text = fmt.Sprintf("used, not declared (%s: %s)\t%d agent-days, %s to %s", d.Verdict,
					terminal.Visible(d.Rule, 60), d.AgentDays, d.First, d.Last)
			case policy.Unused:
				text = "declared, never used\tnot since " + d.First
			case policy.Rare:
				text = fmt.Sprintf("used rarely\t%d agent-days, %s to %s", d.AgentDays, d.First, d.Last)
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", d.Dimension, terminal.Dash(d.Value), text, where)
		}
	}
	return t.Flush()
}
