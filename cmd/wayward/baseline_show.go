package main

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines/inspect"
	"github.com/wayward-sec/wayward/terminal"
)

func newBaselineShow() *cobra.Command {
	var o snapshots
	var ascii bool
	top := 10
	cmd := &cobra.Command{Use: "show PERSONA", Short: "Show and draw what was learned of a persona",
		Args: cobra.ExactArgs(1),
		Long: "show says what one snapshot holds: its state and support; how much an agent does in each window, and when, as a picture of the week; what sessions come to,\n" +
			"as bands; the order of calls; what is known of tools, servers, destinations and resources, and with how much support; and what waits in quarantine until\n" +
			"enough agents show it or a person says that it is fine (wayward baseline approve).",
		Example: "  wayward baseline show support --tenant acme --config wayward.yaml\n" +
			"  wayward baseline show support --day 2026-11-20 --from snapshots.jsonl --output json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if top < 0 {
				return fmt.Errorf("--top %d: use 0 or more", top)
			}
			s, err := o.one(cmd, args[0])
			if err != nil {
				return err
			}
			v := inspect.ViewOf(s)
			if o.output == "json" {
				return printJSON(cmd.OutOrStdout(), v)
			}
			var b bytes.Buffer
			v.Write(&b, terminal.DrawingFor(cmd.OutOrStdout(), ascii), top)
			_, err = cmd.OutOrStdout().Write(b.Bytes())
			return err
		}}
	o.flags(cmd)
	outputFlag(cmd, &o.output, "text", "json")
	cmd.Flags().StringVar(&o.day, "day", "", "of this UTC `day`, such as 2026-11-20; the newest without")
	cmd.Flags().IntVar(&top, "top", top, "so many tools, servers, destinations … of each")
	cmd.Flags().BoolVar(&ascii, "ascii", false,
		"draw with ASCII alone, as is done on terminals that do not say they understand UTF-8")
	return cmd
}
