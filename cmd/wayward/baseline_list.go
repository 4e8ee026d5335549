package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/baselines/inspect"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/terminal"
)

func newBaselineList() *cobra.Command {
	var o snapshots
	var all bool
	cmd := &cobra.Command{Use: "list [PERSONA]", Short: "List the baselines with their state and support",
		Args: cobra.MaximumNArgs(1),
		Long: "list shows of each baseline the newest snapshot, or with --all every one that the topic or the files still have. STATE is learning, active, stale or\n" +
			"suspect, with frozen if a person stopped its learning. SUPPORT is the agents that acted, summed over days with a half-life of 14 days; DAYS is how many\n" +
			"days it has learned; SIZE that of the snapshot.",
		Example: "  wayward baseline list --config wayward.yaml --tenant acme\n" +
			"  wayward baseline list support --all --from snapshots/ --output json",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := o.readMany(cmd, first(args), all)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			if o.output == "json" {
				out := []inspect.Head{}
				for _, s := range list {
					out = append(out, inspect.HeadOf(s))
				}
				return printJSON(w, out)
			}
			return printList(w, list)
		}}
	o.flags(cmd)
	outputFlag(cmd, &o.output, "table", "json")
	cmd.Flags().StringVar(&o.day, "day", "", "of this UTC `day`, such as 2026-11-20")
	cmd.Flags().BoolVar(&all, "all", false, "every day, not the newest alone")
	return cmd
}

func printList(w io.Writer, list []inspect.Snapshot) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TENANT\tPERSONA\tFORK\tDAY\tSTATE\tSUPPORT\tAGENTS\tSESSIONS\tDAYS\tSIZE\tHASH")
	for _, s := range list {
		m := s.Model
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", terminal.Dash(m.Tenant),
			terminal.Visible(m.Persona, 60),
			terminal.Dash(m.Fork), inspect.Day(m.Day), inspect.State(m),
			terminal.Rough(float64(m.AgentDays)/baselines.Unit),
			event.Thousands(int64(m.Agents)), event.Thousands(int64(m.Sessions)), m.Day-m.First+1, inspect.KiB(s.Bytes),
			m.Hash())
	}
	return t.Flush()
}
