package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/wayward-sec/wayward/suggest"
)

func newPersonasSuggest() *cobra.Command {
	var o usageFlags
	var output string
	cmd := &cobra.Command{
		Use:   "suggest",
		Short: "Draft the personas that may do what was seen, and nothing else",
		Long: "suggest drafts least-privilege personas, from recorded events (--input, as if all of them were known to be good) or from exported snapshots. Each line\n" +
			"of the draft says what it rests on: on how many agent-days it was seen, on what share of all, and when first and last. What was seen on fewer than\n" +
			"--min-agent-days stands there as a comment. A snapshot keeps names of tools, servers, classes of resources and domains alone; events say more.\n" +
			"Exit 3 if there was no tool call.",
		Example: "  wayward personas suggest --input events.jsonl.zst --tenant acme --persona support > policies/personas/support.yaml\n" +
			"  wayward personas suggest --snapshots snapshots.jsonl --min-agent-days 10 --output draft.yaml",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := o.declared()
			if err != nil {
				return err
			}
			list, err := o.usages(cmd, set)
			if err != nil {
				return err
			}
			var all []byte
			for i, u := range list {
				text, err := suggest.DraftPersona(u, o.least)
				if err != nil {
					if len(list) == 1 {
						return err
					}
					fmt.Fprintf(cmd.ErrOrStderr(), "wayward: left out: %v\n", err)
					continue
				}
				if i > 0 && len(all) > 0 {
					all = append(all, "---\n"...)
				}
				all = append(all, text...)
			}
			if len(all) == 0 {
				return errors.New("nothing was seen often enough; ask for fewer with --min-agent-days")
			}
			if output != "" && output != "-" {
				if err := os.WriteFile(output, all, 0o644); err != nil {
					return fmt.Errorf("output: %w", err)
				}
				return o.bad.code()
			}
			_, err = cmd.OutOrStdout().Write(all)
			return cmp.Or(err, o.bad.code())
		},
	}
	o.flags(cmd, "agent-days on which something must have been seen")
	cmd.Flags().StringVarP(&output, "output", "o", "-", "`file` to write; - is standard output")
	return cmd
}
