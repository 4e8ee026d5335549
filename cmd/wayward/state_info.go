package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
)

func newStateInfo() *cobra.Command {
	var name, format string
	cmd := &cobra.Command{
		Use:   "info",
		Short: "Show what the state directory holds, partition by partition",
		Long: "info shows the state on disk: what it was cut by, and of each partition its pages by kind, its size, and how far it has come. The instance must not\n" +
			"run. Exit 3 if there is no state.",
		Example: "  wayward state info -c wayward.yaml\n  wayward state info -c wayward.yaml --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := examine(cmd, name)
			if err != nil {
				return err
			}
			if format == "json" {
				return printJSON(cmd.OutOrStdout(), r)
			}
			return r.table(cmd.OutOrStdout(), time.Now())
		},
	}
	configFlag(cmd, &name)
	outputFlag(cmd, &format, "table", "json")
	return cmd
}

func (r *stateReport) table(w io.Writer, now time.Time) error {
	fmt.Fprintf(w, "directory  %s, %s on disk, format %d\n", r.Directory, config.FormatBytes(r.Bytes), r.Format)
	if r.Layout != nil {
		fmt.Fprintf(w, "layout     %d partitions of events, %d of facts\n", r.Layout.Events, r.Layout.Facts)
	}
	fmt.Fprintf(w, "sets       %d known\n\n", len(r.Sets))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t,
		"STAGE\tPARTITION\tAGENTS\tSESSIONS\tSCOPES\tOTHER\tSIZE\tTRANSACTIONS\tCONTROL AT\tMAIN LOG AT\tWATERMARK\tSAVED\tPOLICIES\t")
	for _, p := range r.Partitions {
		agents, sessions, scopes, other := p.Pages["agents"], p.Pages["sessions"], p.Pages["scopes"], 0
		for _, n := range p.Pages {
			other += n
		}
		mark, saved := "none yet", "-"
		if p.Watermark != 0 {
			mark = time.UnixMilli(p.Watermark).UTC().Format(time.RFC3339)
		}
		if p.Saved != 0 {
			saved = age(now.Sub(time.UnixMilli(p.Saved))) + " ago"
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%d\t%d\t%s\t%s\t%.12s\t\n", p.Stage, p.Partition, agents,
			sessions, scopes, other-agents-sessions-scopes, config.FormatBytes(p.Bytes), p.Seq, p.Control, p.Main,
			mark, saved, p.Set)
	}
	return t.Flush()
}

// age writes how long ago something was, for people.
func age(d time.Duration) string {
	switch {
	case d > 48*time.Hour:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	case d > time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	case d > time.Minute:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	}
	return fmt.Sprintf("%ds", int(max(0, d.Seconds())))
}
