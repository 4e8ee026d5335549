package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/authoring"
)

func newRulesFmt() *cobra.Command {
	var write, check bool
	cmd := &cobra.Command{
		Use:   "fmt FILE...",
		Short: "Write rules in one way: keys in order, two spaces, one blank line less",
		Long: "fmt prints rules with their keys in the order in which docs/rules.md explains them, comments in place. --write puts the result back into the file; --check only says\n" +
			"which files would change, with exit code 1 if any would.",
		Example: "  wayward rules fmt --write policies/rules/payments.yaml\n  wayward rules fmt --check policies/rules/*.yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			differ := 0
			for _, name := range args {
				text, err := os.ReadFile(name)
				if err != nil {
					return err
				}
				out, err := authoring.Format(text)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				switch {
				case check && !bytes.Equal(out, text):
					differ++
					fmt.Fprintln(cmd.OutOrStdout(), name)
				case check:
				case write && !bytes.Equal(out, text):
					if err := os.WriteFile(name, out, 0o644); err != nil {
						return err
					}
				case !write:
					if _, err := cmd.OutOrStdout().Write(out); err != nil {
						return err
					}
				}
			}
			if differ > 0 {
				return errSilent{1}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&write, "write", "w", false, "write the files")
	cmd.Flags().BoolVar(&check, "check", false, "only list the files that would change")
	cmd.MarkFlagsMutuallyExclusive("write", "check")
	return cmd
}
