package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/doctor"
)

func newDoctor() *cobra.Command {
	var name, format string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out what keeps wayward from working here, and what to do",
		Long: "doctor looks at everything that wayward needs: config, policies, brokers and their versions, topics, permissions, disk, state, clock, listener and\n" +
			"limits of this machine. Each line is fine, a warning, a problem, or unknown where it cannot tell, with what to do. It changes nothing, but for one\n" +
			"transactional id of its own, which it asks the brokers for to see whether it may, and a file that it makes and removes in the state directory.\n" +
			"An instance may run meanwhile. Exit 0: nothing worse than warnings; 1: problems; 2: it could not be run.",
		Example: "  wayward doctor -c wayward.yaml\n" +
			"  wayward doctor -c wayward.yaml --output json > report.json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			results := doctor.Examine(cmd.Context(), config.Path(name))
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			if format == "json" {
				err := printJSON(cmd.OutOrStdout(), struct {
					Version string          `json:"version"`
					Checks  []doctor.Result `json:"checks"`
				}{versionOf(), results})
				if err != nil {
					return err
				}
			} else if err := printResults(cmd.OutOrStdout(), results); err != nil {
				return err
			}
			if slices.ContainsFunc(results, func(r doctor.Result) bool { return r.Status == doctor.Problem }) {
				return errSilent{1}
			}
			return nil
		},
	}
	configFlag(cmd, &name)
	outputFlag(cmd, &format, "text", "json")
	return cmd
}

func printResults(w io.Writer, results []doctor.Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range results {
		first, rest, _ := strings.Cut(r.What, "\n")
		fmt.Fprintf(t, "%s\t%s\t%s\n", r.Status, r.Check, first)
		for line := range strings.SplitSeq(rest, "\n") {
			if line != "" {
				fmt.Fprintf(t, "\t\t%s\n", line)
			}
		}
	}
	return t.Flush()
}
