package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/baselines/audit"
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
				out := []head{}
				for _, s := range list {
					out = append(out, headOf(s))
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

// head is what every view of a snapshot begins with.
type head struct {
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

func headOf(s snapshot) head {
	m := s.m
	return head{m.Tenant, m.Persona, m.Fork, dayOf(m.Day), m.Hash(), m.State.String(), m.Frozen, dayOf(m.First),
		dayOf(m.Seen), m.Day - m.First + 1, m.Sessions,
		audit.Rounded(float64(m.AgentDays) / baselines.Unit), m.Agents, s.size}
}

func stateText(m *baselines.Model) string {
	text := m.State.String()
	if m.Frozen {
		text += ", frozen"
	}
	return text
}

func printList(w io.Writer, list []snapshot) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TENANT\tPERSONA\tFORK\tDAY\tSTATE\tSUPPORT\tAGENTS\tSESSIONS\tDAYS\tSIZE\tHASH")
	for _, s := range list {
		m := s.m
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", terminal.Dash(m.Tenant), terminal.Visible(m.Persona, 60),
			terminal.Dash(m.Fork), dayOf(m.Day), stateText(m), terminal.Rough(float64(m.AgentDays)/baselines.Unit),
			event.Thousands(int64(m.Agents)), event.Thousands(int64(m.Sessions)), m.Day-m.First+1, kib(s.size),
			m.Hash())
	}
	return t.Flush()
}

func kib(n int) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/1024)
}
