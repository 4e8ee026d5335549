package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines/inspect"
	"github.com/wayward-sec/wayward/terminal"
)

func newBaselineExport() *cobra.Command {
	var o snapshots
	var all bool
	var out string
	cmd := &cobra.Command{Use: "export [PERSONA]", Short: "Write snapshots to a file", Args: cobra.MaximumNArgs(1),
		Long: "export writes snapshots as JSON, one a line: what list says of each, and the model as it is stored, in base64. It holds counts, rates, hashes and the names\n" +
			"of tools, servers, resource types and destination domains; no content, and no names of users, subjects or addresses. import and --from read it.",
		Example: "  wayward baseline export --config wayward.yaml --out snapshots.jsonl\n" +
			"  wayward baseline export support --tenant acme --day 2026-11-20 --config wayward.yaml --out support.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := o.readMany(cmd, first(args), all)
			if err != nil {
				return err
			}
			if err := inspect.Write(cmd.OutOrStdout(), out, list); err != nil {
				return err
			}
			if out != "-" {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s in %s\n", terminal.Plural(int64(len(list)), "snapshot"), out)
			}
			return nil
		}}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.day, "day", "", "of this UTC `day`, such as 2026-11-20; the newest without")
	cmd.Flags().BoolVar(&all, "all", false, "every day, not the newest alone")
	cmd.Flags().StringVar(&out, "out", "-", "`file` to write; - is standard output")
	return cmd
}
