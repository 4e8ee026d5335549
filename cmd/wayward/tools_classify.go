package main

import (
	"cmp"

	"github.com/spf13/cobra"
)

func newToolsClassify() *cobra.Command {
	var o toolsOptions
	var output string
	cmd := &cobra.Command{
		Use:   "classify FILE",
		Short: "Say tool by tool what recorded calls are, and from what that is known",
		Long: "classify reads events, one a line, plain or .gz, .zst, .xz (- is standard input), and says of each tool what class its calls are, what they\n" +
			"touch, where they go, how often and from what that is known; and at the end, which tools it does not know. No value of an argument is shown.\n" +
			"The exit code is 1 if lines did not decode, 3 if there is no tool call.",
		Example: "  wayward tools classify events.jsonl.zst\n" +
			"  wayward tools classify events.jsonl --ignore-declared --output json",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := o.survey(cmd, args[0])
			if err != nil {
				return err
			}
			if output == "json" {
				err = s.json(cmd.OutOrStdout())
			} else {
				err = s.table(cmd.OutOrStdout())
			}
			return cmp.Or(err, s.empty(cmd, args[0]), s.bad.code())
		},
	}
	o.flags(cmd)
	outputFlag(cmd, &output, "table", "json")
	cmd.Flags().BoolVar(&o.ignore, "ignore-declared", false,
		"leave out what the events say of class, resource, subject, destination and amount")
	return cmd
}
