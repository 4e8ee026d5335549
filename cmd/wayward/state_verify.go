package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/state"
)

func newStateVerify() *cobra.Command {
	var name, format string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read every page and marker and report the damaged ones",
		Long: "verify reads the whole state on disk, checks every checksum and decodes every page. The instance must not run. It says which stage, partition and\n" +
			"kind of page is damaged, never what is in it. The engine rebuilds a damaged partition by itself when it loads it; state rebuild does it for all.\n" +
			"Exit 0: nothing is damaged; 1: something is; 3: there is no state.",
		Example: "  wayward state verify -c wayward.yaml\n  wayward state verify -c wayward.yaml --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := examine(cmd, name)
			if errors.Is(err, state.ErrCorrupt) {
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				return errSilent{1}
			}
			if err != nil {
				return err
			}
			if format == "json" {
				if err := printJSON(cmd.OutOrStdout(), r); err != nil {
					return err
				}
			} else {
				r.verdict(cmd.OutOrStdout())
			}
			if r.damaged() > 0 {
				return errSilent{1}
			}
			return nil
		},
	}
	configFlag(cmd, &name)
	outputFlag(cmd, &format, "text", "json")
	return cmd
}

func (r *stateReport) verdict(w io.Writer) {
	pages := 0
	for _, p := range r.Partitions {
		for _, n := range p.Pages {
			pages += n
		}
		for _, d := range p.Damage {
			fmt.Fprintf(w, "%s partition %d: %s: %d damaged: %s\n", p.Stage, p.Partition, d.Kind, d.N, d.Why)
		}
	}
	for _, hash := range r.BadSets {
		fmt.Fprintf(w, "set of policies %.12s is damaged\n", hash)
	}
	fmt.Fprintf(w, "%d partitions, %d pages, %d sets: %d damaged\n", len(r.Partitions), pages, len(r.Sets), r.damaged())
}
