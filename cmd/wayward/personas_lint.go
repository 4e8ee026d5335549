package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/policy"
)

func newPersonasLint() *cobra.Command {
	var o policiesFlags
	var failOn string
	cmd := &cobra.Command{
		Use:   "lint [DIR]",
		Short: "Report what is wrong or suspicious in a folder of policies",
		Long: "lint reads the whole folder as the engine does. Problems stop the engine's start, and end lint with exit code 1; warnings do so with\n" +
			"--fail-on warning.",
		Example: "  wayward personas lint /etc/wayward/policies\n" +
			"  wayward personas lint -c wayward.yaml --fail-on warning",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := o.where(args)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			set, problems := policy.Load(dir)
			for _, p := range problems {
				fmt.Fprintln(w, p)
			}
			if set == nil {
				fmt.Fprintf(w, "%d problems\n", len(problems))
				return errSilent{1}
			}
			warnings := set.Lint()
			for _, p := range warnings {
				fmt.Fprintf(w, "%v (warning)\n", p)
			}
			fmt.Fprintf(w, "%d personas, %d limits; 0 problems, %d warnings\n", len(set.Personas()), len(set.Limits()),
				len(warnings))
			if failOn == "warning" && len(warnings) > 0 {
				return errSilent{1}
			}
			return nil
		},
	}
	o.flags(cmd)
	failOn = "problem"
	choiceFlag(cmd, &failOn, "fail-on", "exit with 1 on these, and on what is worse", "problem", "warning")
	return cmd
}
