package main

import (
	"fmt"
	"io"
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
