package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/authoring"
)

func newRulesNew() *cobra.Command {
	form := "event"
	cmd := &cobra.Command{
		Use:   "new ID",
		Short: "Print a rule to begin with, with a test that fires and one that stays quiet",
		Long:  "new prints a whole rule of a form; change what it asks for and what its tests tell. It passes lint and its own tests as it is.",
		Example: "  wayward rules new refund-to-new-account > policies/rules/refund-to-new-account.yaml\n" +
			"  wayward rules new secret-then-out --form sequence",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`).MatchString(args[0]) {
				return fmt.Errorf("%q is no id; use letters, digits, dots, hyphens and underscores", args[0])
			}
			_, err := io.WriteString(cmd.OutOrStdout(), authoring.New(form, args[0]))
			return err
		},
	}
	choiceFlag(cmd, &form, "form", "what the rule looks at", "event", "window", "sequence", "absence")
	return cmd
}

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
