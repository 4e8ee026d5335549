package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/policy"
)

func newPersonas() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "personas",
		Short: "Check, show, test and explain what each role may do",
		Long: "personas is for those who write policies: it reads a folder of them as the engine does, without a broker. A persona says what one role of\n" +
			"agents may use, touch and reach.",
		Example: "  wayward personas lint policies\n" +
			"  wayward personas test policies\n" +
			"  wayward personas explain --policies policies --event call.json",
	}
	cmd.AddCommand(newPersonasLint(), newPersonasShow(), newPersonasTest(), newPersonasExplain(), newPersonasSuggest(),
		newPersonasDiff())
	return cmd
}

// where is the folder: the argument's, the flag's or the config's.
func (o *policiesFlags) where(args []string) (string, error) {
	dir := o.dir
	if len(args) > 0 {
		dir = args[0]
	}
	if dir == "" {
		c, err := config.Load(o.config)
		if err != nil {
			return "", err
		}
		if dir = c.Policies; dir == "" {
			return "", errors.New("no policies: name their directory, or give --config with policies in it")
		}
	}
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("policies: %w", err)
	}
	return dir, nil
}

func (o *policiesFlags) load(args []string) (*policy.Set, error) {
	dir, err := o.where(args)
	if err != nil {
		return nil, err
	}
	return config.LoadPolicies(dir)
}

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

func newPersonasTest() *cobra.Command {
	var o policiesFlags
	least := 0
	cmd := &cobra.Command{
		Use:   "test [DIR]",
		Short: "Run the tests that stand beside the personas",
		Long: "test runs `tests:` of every persona: a call, and whether the persona allows it, denies it or wants it approved. Of --min-tests N\n" +
			"every persona that is not only a base for others needs N tests, one of a call that is allowed and one of a call that is not.\n" +
			"Exit code 1 if a test fails or is missing.",
		Example: "  wayward personas test configs --min-tests 2",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := o.load(args)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			ran, wrong := 0, 0
			fail := func(format string, args ...any) {
				wrong++
				fmt.Fprintf(w, "FAIL  "+format+"\n", args...)
			}
			for _, p := range set.Personas() {
				allowed, refused := 0, 0
				for i := range p.Tests {
					t := &p.Tests[i]
					ran++
					if t.Expect == policy.Allow {
						allowed++
					} else {
						refused++
					}
					if fault := set.RunTest(p, t); fault != "" {
						fail("%s:%d: %s: %q %s", t.File, t.Line, p.Name, t.Name, fault)
					}
				}
				switch {
				case least == 0 || p.Base():
				case len(p.Tests) < least:
					fail("%s:%d: persona %s has %d tests of %d; add some under tests", p.File, p.Line, p.Name,
						len(p.Tests), least)
				case allowed == 0 || refused == 0:
					fail(
						"%s:%d: persona %s has %d tests of calls that are allowed and %d of calls that are not; add one of the other kind",
						p.File, p.Line, p.Name, allowed, refused)
				}
			}
			fmt.Fprintf(w, "%d tests of %d personas, %d failed\n", ran, len(set.Personas()), wrong)
			if wrong > 0 {
				return errSilent{1}
			}
			return nil
		},
	}
	o.flags(cmd)
	cmd.Flags().IntVar(&least, "min-tests", 0, "tests that every persona needs, at least one of each kind; 0: none")
	return cmd
}
